//! The leaf protocol, by which two NATS servers join their subject spaces: the side that dials, without IO.
//!
//! Bytes flow through [`Parser`] (what was said), [`Session`] (what it means for the link) and, for what goes the
//! other way, [`Interest`] (what is wanted here) and the filters of [`Permissions`]. Sockets, timers and the way
//! to the broker are left to the caller; so are TLS, compression (declined) and the accepting side.

mod close;
mod config;
mod encode;
mod info;
mod interest;
mod permissions;
mod proto;
mod session;

pub use close::{Close, retry_delay};
pub use config::{Config, random_token};
pub use encode::{write_connect, write_err, write_info, write_interest, write_message, write_ping, write_pong};
pub use info::{Connect, Info, SubjectLists};
pub use interest::Interest;
pub use permissions::{Direction, Permissions, Refusal};
pub use proto::{Control, GroupNames, LeafMessage, Op, Parser, ParserLimits, ProtocolError, Step};
pub use session::{Event, Peer, Session, Unsent};

/// Some moment for tests to count from.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "nothing but a start of the count: the tests move the time themselves")]
fn some_moment() -> std::time::Instant {
    std::time::Instant::now()
}
