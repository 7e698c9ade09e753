//! Where members were found, as it survives a restart: a record of each in the node's store.
//!
//! Which nodes and addresses are worth it, and what they are good for, is left to `forming.rs`.

use super::candidates::{ADDRESSES_MAX, NODES_MAX};
use super::forming::{Forming, Record};
use super::id::NodeId;
use super::lsdb::Address;
use super::shared::Shared;
use crate::codec::{self, Decode, Encode};
use crate::store::{Store, StoreError};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Keys of the store: a member, by its key.
const PREFIX: &[u8] = b"member-at/";
/// What is written within this time reaches the disk together.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Encode, Decode)]
struct Found {
    addresses: Vec<Address>,
    /// The boot epoch of this node in which the two were last linked, 0 for never.
    linked: u64,
}

/// Hands all that is written down to `forming`. What cannot be read is passed over: it will be written anew.
///
/// # Errors
/// [`StoreError`]: the disk fails.
pub(super) fn load(store: &dyn Store, now: Instant, forming: &mut Forming) -> Result<(), StoreError> {
    for (key, value) in store.scan(PREFIX, None, NODES_MAX)? {
        let node = key[PREFIX.len()..].try_into().map(NodeId);
        if let (Ok(node), Ok(found)) = (node, codec::decode::<Found>(&value)) {
            let addresses: Vec<SocketAddr> = found.addresses.into_iter().map(|Address(addr)| addr).collect();
            forming.remember(now, node, addresses, found.linked);
        }
    }
    Ok(())
}

/// Writes a record down, or takes it out.
///
/// # Errors
/// [`StoreError`]: the disk fails or is full.
pub(super) fn save(store: &dyn Store, (node, found): Record) -> Result<(), StoreError> {
    let key = [PREFIX, &node.0].concat();
    match found {
        Some((addresses, linked)) => {
            let addresses = addresses.into_iter().take(ADDRESSES_MAX).map(Address).collect();
            store.put(&key, &codec::encode(&Found { addresses, linked }))
        }
        None => store.delete(&key),
    }
}

/// Has what was written survive a loss of power, a little after each time that `written` says there is something.
pub(super) async fn flush(shared: Arc<Shared>, store: Arc<dyn Store>, written: Arc<Notify>) {
    let flushing = async {
        loop {
            written.notified().await;
            shared.env.sleep(FLUSH_AFTER).await;
            if let Err(error) = store.flush_durable().await {
                tracing::debug!(%error, "where members were found may not survive a loss of power");
            }
        }
    };
    // Ended by the token alone.
    let _ = shared.stop.run_until_cancelled(flushing).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::forming::Config;
    use crate::mesh::start_of_time;
    use crate::store::MemoryStore;
    use lattice_broker::env::Rng;
    use rand_core::SeedableRng;

    /// Goal: after a restart a node dials first whom it was linked to, and what it cannot read does not keep it from that.
    #[test]
    fn what_is_written_down_is_dialled_first() {
        let (store, now) = (MemoryStore::default(), start_of_time());
        let addr: SocketAddr = "10.0.0.7:7443".parse().unwrap();
        for (n, linked) in [(1, 0), (2, 9), (3, 8), (4, 9)] {
            save(&store, (NodeId([n; 32]), Some((vec![addr], linked)))).unwrap();
        }
        save(&store, (NodeId([4; 32]), None)).unwrap();
        store.put(&[PREFIX, b"short"].concat(), b"x").unwrap();
        let mut forming = Forming::new(Config::default(), 10, Rng::from_seed([1; 32]), now);
        load(&store, now, &mut forming).unwrap();
        assert_eq!(forming.counters().candidates, 3);
        let dial = forming.poll(now, |_| None).unwrap();
        assert_eq!((dial.node, dial.addresses), (NodeId([2; 32]), vec![addr]));
    }
}
