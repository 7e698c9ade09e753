//! State without a coordinator: records that all nodes of a lattice come to have alike, whatever parts it falls into.
//!
//! # Rules of merging
//!
//! - A record has a key, a value and a stamp (`clock.rs`): when it was written, and by whom. Of two records of one key the one
//!   with the later stamp is kept, on every node and in whatever order they come. Of what parts of a lattice that were
//!   apart have written to one key, the later stands; what they have written to different keys all stands.
//! - A key that belongs to a node is written by that node alone: what runs there, its labels. Nobody else's record is taken for
//!   it, so that nothing that a node has said of itself is ever lost to another.
//! - Who writes a key after having seen what stands there is later, whatever the clocks say. A clock that is wrong decides only
//!   between those who have not seen each other.
//! - What is deleted is a record too, without a value. It is forgotten when two nodes have written something more than 90 days
//!   later, or earlier, those of data and then the oldest first, when there is no room (`tombstones.rs`): a part that was away for longer, or for more
//!   deletions than are remembered, may bring back what was deleted meanwhile.
//! - Copies that have room for all are alike in the end; what holds where they have not says `replica.rs`.
//! - Whatever is no record, or has no room, is refused and counted; a node that is full is not alike until it has room.
//!
//! # How they come to be alike
//!
//! What is written is told to all nodes in reach at once (`exchange.rs`). Digests, told often after changes and seldom at rest
//! (`pace.rs`), show what was missed; a repair between two nodes then moves that and nothing else (`repair.rs`), in messages
//! of some 24 KiB (`wire.rs`). `service.rs` runs it on a node, `disk.rs` keeps it there; `data.rs` sees to it
//! that what components keep leaves room for the rest.
//!
//! Members are believed: a member may say that it is another. Only members can speak in the account where this is said, and of
//! those only they that are limited to no account.

pub mod clock;
pub mod data;
mod disk;
pub mod exchange;
mod hash;
pub mod pace;
pub mod record;
pub mod repair;
pub mod replica;
pub mod service;
#[cfg(test)]
mod tests;
mod tombstones;
pub mod wire;

pub use clock::{Clock, DRIFT_MAX_MS, Stamp};
pub use data::{Look, Page};
pub use exchange::{Counters, Exchange, Now, Output};
pub use record::{DATA, Entry, Key, NAME_MAX, Record, RecordError, TOMBSTONE_MS, VALUE_MAX};
pub use replica::{Limits, Merged, Replica};
pub use service::{Parts, StartError, State, WriteError};
pub use wire::{BadPacket, Message, PACKET_MAX, Packet};
