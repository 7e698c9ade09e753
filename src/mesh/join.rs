//! Joining: the one exchange by which a device with an invite becomes a member, on both sides of it.
//!
//! ```text
//! joiner ── TLS: voucher's chain ────────────► member   checks it against the root, as any member can
//!        ◄── TLS: chain to the invite's root ──
//!        ── Request: name, keys, proofs ─────►          counts the use, durably
//!        ◄── Answer: Admitted | Refused ───────
//! ```
//!
//! One bidirectional stream, one message each way, each ended by the stream's end and bounded in size and time. What
//! an admission holds is left to `identity`; when to serve, to the node.

mod ask;
mod error;
mod serve;
mod wire;

pub use ask::{Joined, join};
pub use error::JoinError;
pub use serve::{Broken, Served, serve};

use std::time::Duration;

/// A whole exchange takes at most so long, on either side.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Addresses of members in an answer, at most.
const PEERS_MAX: usize = 32;

#[cfg(test)]
mod tests;
