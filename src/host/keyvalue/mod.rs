//! Values that components keep (`wasi:keyvalue`), in the records that all nodes come to have alike: on every host, in every part of a
//! lattice that has fallen apart, and merged afterwards.
//!
//! `buckets.rs` says what a component may open; `store.rs` what is kept, and how counters add up; the engine's
//! `interfaces/keyvalue.rs` is the way of a component to it. How records travel and merge is left to `state/`.
//!
//! # What holds
//!
//! - A component reads what it has written on the same node at once, and elsewhere in a moment, or after the heal.
//! - Of two that set or delete the same key without having seen each other, the later stands, as with all records. To set what is
//!   there already is later, too; to delete what is deleted already is nothing.
//! - **Increments alone lose nothing**, wherever and in however many parts they are made: each node counts for itself, and the value
//!   is the sum. What `increment` returns is the sum that this node knows.
//! - `set` begins the count anew, from the number that was set; `delete` ends it. Increments that are made elsewhere at that time, by
//!   nodes that have not seen it, end with the count that they belong to; of two counts that were begun anew apart from each other one stands.
//! - A counter reads as a decimal number, and a value that is one (0 to 2^64 - 1) can be counted on from. A sum beyond that
//!   reads as the greatest number; nobody increments it further.
//! - A counter that was deleted may come back when a part of the lattice was away for more than 90 days, or when records were so many
//!   that the deletion had to be forgotten: as all that was deleted.
//!
//! # How a counter is kept
//!
//! At the shared key is the base: a value, or that it is counted from 0; so what has a base exists, and nothing else does. Beside it
//! each node that counts has a record of its own, its part: a sum, and of which base (its *generation*). The value is that of the base and of
//! all parts of its generation. The generation of a value is the digest of its record, which no other has; that of a count from 0 is the
//! digest of what stood there before (a tombstone, or nothing), so that it is the same wherever it is begun.
//!
//! A node that is killed may find an older sum on its disk than the others have of it, and what it writes takes the place of theirs. So
//! each life of a node (`life.rs`) counts in another part than the one before: there are four, and when their turn comes again, the
//! others have told what they had. Only who is killed four times without hearing in between of those who know more than its disk loses that. A
//! disk that was lost has other parts from its beginning. Parts of former generations are removed by their owners ([`Store::sweep`]).

mod buckets;
pub mod double;
mod life;
mod store;
#[cfg(test)]
mod tests;

pub use buckets::Buckets;
pub use double::Memory;
pub use life::Life;
pub use store::{BUCKET_BYTES_MAX, Error, NAME_BYTES_MAX, Records, Store, VALUE_BYTES_MAX};

use crate::store::Store as Disk;
use lattice_broker::env::Env;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often parts of counters are looked for that nobody needs.
const SWEEP: Duration = Duration::from_secs(3600);

/// Keeps on `disk` which life this is, and `store` clean until `stop`.
pub(super) async fn tend(env: Env, disk: Arc<dyn Disk>, store: Arc<Store>, stop: CancellationToken) {
    if let Err(error) = disk.flush_durable().await {
        tracing::warn!(%error, "a loss of power may lose what is counted");
    }
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = env.sleep(SWEEP) => store.sweep(),
        }
    }
}
