//! The shell around the sessions: sockets, tasks, buffers.
//!
//! One task for each connection, which waits for input, and for room to write only while something is pending.
//! What the bytes mean is the session's affair, whom a message goes to the delivery's.

mod accept;
mod backlog;
mod bench;
mod callout;
mod client;
mod conn;
mod figures;
mod leaf;
mod newcomer;
mod opening;
mod outbox;
mod peek;
mod place;
mod stall;
mod welcome;

pub use accept::ListenError;
pub(crate) use accept::{listen, listen_leafs, listen_websocket};
pub(crate) use callout::CALLOUTS_MAX;
pub(crate) use client::Client;
pub(crate) use figures::Who;
pub(crate) use leaf::{Bound, Leafs, Spoke};
pub(crate) use stall::Stall;
