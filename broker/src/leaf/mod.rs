//! The leaf protocol, by which two NATS servers join their subject spaces: both sides of it.
//!
//! Bytes flow through [`Parser`] (what was said), [`Session`] (what it means for the link) and, for what goes the
//! other way, [`Interest`] (what is wanted here) and the filters of [`Permissions`], none of which does IO. [`Link`] moves the
//! bytes of one connection, and [`Desk`] is what it shares with those who send. Dialling, listening, TLS and the way
//! to the broker are left to the caller; compression is declined.

mod buffer;
mod close;
mod config;
mod desk;
mod encode;
mod info;
mod interest;
mod link;
mod permissions;
mod port;
mod proto;
mod session;

pub use close::{Close, retry_delay};
pub use config::{Config, random_token};
pub use desk::Desk;
pub use encode::{write_connect, write_err, write_info, write_interest, write_message, write_ping, write_pong};
pub use info::{Connect, Info, SubjectLists};
pub use interest::{Interest, Scope};
pub use link::{Handler, Link};
pub use permissions::{Direction, Permissions, Refusal};
pub use port::LeafPort;
pub use proto::{Control, GroupNames, LeafMessage, Op, Parser, ParserLimits, ProtocolError, Step};
pub use session::{Binding, Event, Peer, Session, Unsent, version};
pub(crate) use session::{PROTOCOL, violation};

/// Some moment for tests to count from.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "nothing but a start of the count: the tests move the time themselves")]
fn some_moment() -> std::time::Instant {
    std::time::Instant::now()
}
