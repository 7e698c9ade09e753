//! The NATS client protocol as bytes: operations in, operations out, for both ends of a connection.
//!
//! Parsing never acts and never allocates; what an operation means is left to the session. [`parse()`] is the
//! server's side, [`client`] the other end's, and both take any prefix of the stream: what is not complete yet
//! is said to be so, and any split of the bytes yields the same operations.

pub mod client;
pub mod encode;
pub mod headers;
mod info;
mod line;
mod op;
mod parse;
mod quoted;

pub use info::{Connect, Info};
pub use op::Op;
pub use parse::{Limits, ParseError, Step, parse};
pub use quoted::quoted;
