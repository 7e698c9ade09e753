//! The records as a service of the node: kept on its disk, and alike on all nodes that can be reached.
//!
//! Owns the task that brings [`Exchange`] its packets and its time. It speaks in an account of the nodes' own, where no
//! client is: on `ALL` to all, and to each node on a subject with its key.

use super::data::{Look, Page};
use super::disk;
use super::exchange::{Counters, Exchange, Now, Output};
use super::record::{Key, RecordError};
use super::replica::Limits;
use super::wire::Packet;
use crate::identity::NodeId;
use crate::ports::{BadInterest, Client, Deliveries, Delivery};
use crate::store::{Store, StoreError};
use lattice_broker::env::Env;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// Where news and digests are told.
const ALL: &str = "state.all";
/// Packets that wait for the task; more are dropped, and repaired.
const PENDING_MAX: usize = 1024;
/// How often it is looked how many nodes can be reached.
const LOOK: Duration = Duration::from_secs(1);

/// What the service is made of.
pub struct Parts {
    /// Time, tasks, randomness.
    pub env: Env,
    /// Whose records they are, here.
    pub me: NodeId,
    /// The disk.
    pub store: Arc<dyn Store>,
    /// A client in the account of the nodes.
    pub client: Arc<dyn Client>,
    /// How many other nodes can be reached at this moment.
    pub reachable: Box<dyn Fn() -> usize + Send + Sync>,
    /// How much is kept.
    pub limits: Limits,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("me", &self.me).field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// The records. Clones are handles of the same ones; its task runs until [`State::stop`].
#[derive(Clone, Debug)]
pub struct State {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    env: Env,
    me: NodeId,
    store: Arc<dyn Store>,
    client: Arc<dyn Client>,
    exchange: Mutex<Exchange>,
    /// Counts what has changed, but for data.
    changes: watch::Sender<u64>,
    /// There is something that may not survive a loss of power.
    unflushed: Notify,
    /// The task has to look when it is due.
    written: Notify,
    stop: CancellationToken,
}

/// Which records have changed.
#[derive(Clone, Copy, Debug, Default)]
struct Changed {
    any: bool,
    other_than_data: bool,
}

/// Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// It cannot be a record here.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The disk does not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The service did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The disk fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A subject that cannot be subscribed to.
    #[error(transparent)]
    Subject(#[from] BadInterest),
}

impl State {
    /// Reads the records from disk, and goes on keeping them alike with the others'.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(parts: Parts) -> Result<Self, StartError> {
        let Parts { env, me, store, client, reachable, limits } = parts;
        let mut exchange = Exchange::new(now(&env), me, limits, env.rng("state"));
        restore(&mut exchange, now(&env), store.as_ref())?;
        let all = client.subscribe(ALL, None, PENDING_MAX)?;
        let own = client.subscribe(&subject(me), None, PENDING_MAX)?;
        let shared = Arc::new(Shared {
            env: env.clone(),
            me,
            store,
            client,
            exchange: Mutex::new(exchange),
            changes: watch::channel(0).0,
            unflushed: Notify::new(),
            written: Notify::new(),
            stop: CancellationToken::new(),
        });
        env.spawn(run(Arc::clone(&shared), [all, own], reachable));
        env.spawn(flush(Arc::clone(&shared)));
        Ok(Self { shared })
    }

    /// Whose copy it is.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.shared.me
    }

    /// The value at `key`, unless there is none.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Vec<u8>> {
        self.shared.exchange().replica().get(key).map(<[u8]>::to_vec)
    }

    /// Names and values of `owner`, or the shared ones, whose names begin with `prefix`; by name.
    #[must_use]
    pub fn list(&self, owner: Option<NodeId>, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let exchange = self.shared.exchange();
        let found = exchange.replica().list(owner, prefix).into_iter();
        found.map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
    }

    /// Owners, names and values of what nodes have as their own under names that begin with `prefix`; by owner, then by name.
    #[must_use]
    pub fn owned(&self, prefix: &str) -> Vec<(NodeId, String, Vec<u8>)> {
        let exchange = self.shared.exchange();
        let found = exchange.replica().owned(prefix).into_iter();
        found.map(|(owner, name, value)| (owner, name.to_owned(), value.to_vec())).collect()
    }

    /// Writes `value` to `key`, or deletes it: here at once, on the nodes in reach in a moment, on the others when they are
    /// again. It survives a crash of the process soon, and a loss of power a moment later.
    ///
    /// # Errors
    /// [`WriteError`]; nothing has changed then.
    pub fn write(&self, key: Key, value: Option<Vec<u8>>) -> Result<(), WriteError> {
        let shared = &self.shared;
        let (now, is_data) = (now(&shared.env), key.is_data());
        {
            let mut exchange = shared.exchange();
            let Some(entry) = exchange.stage(now, key, value)? else { return Ok(()) };
            // On disk first: what its writer was told is kept must not be gone after a crash.
            disk::keep(shared.store.as_ref(), &entry.key, Some(&entry.record))?;
            exchange.write(now, entry);
        }
        let others = shared.act();
        shared.changed(Changed { any: true, other_than_data: !is_data || others.other_than_data });
        shared.written.notify_one();
        Ok(())
    }

    /// What stands at a name of data, and the parts of owners there: [`super::Replica::look`].
    #[must_use]
    pub fn look(&self, name: &str) -> Look {
        self.shared.exchange().replica().look(name)
    }

    /// Names of shared data: [`super::Replica::page`].
    #[must_use]
    pub fn page(&self, prefix: &str, after: Option<u64>, max: usize) -> Page {
        self.shared.exchange().replica().page(prefix, after, max)
    }

    /// This node's own keys of data.
    #[must_use]
    pub fn own_data(&self) -> Vec<Key> {
        self.shared.exchange().replica().data_of(self.shared.me)
    }

    /// Tells of each change of anything but data, of this node and of others: the number of them so far, of which some may be left out.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// What all records come to: two nodes that have the same ones have the same digest.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.shared.exchange().replica().root()
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let exchange = self.shared.exchange();
        let Counters { taken, given, repairs, repaired, digests } = exchange.counters;
        let replica = exchange.replica();
        let (records, bytes) = replica.size();
        vec![
            ("records", records as u64),
            ("bytes", bytes as u64),
            ("taken", taken),
            ("given", given),
            ("refused", replica.refused),
            ("stamps_ahead", replica.ahead()),
            ("repairs", repairs),
            ("repaired", repaired),
            ("digests", digests),
        ]
    }

    /// Ends the task. Ready when what was written survives a loss of power, or the disk does not take it.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        if let Err(error) = self.shared.store.flush_durable().await {
            tracing::warn!(%error, "the records may not survive a loss of power");
        }
    }
}

impl Shared {
    fn exchange(&self) -> MutexGuard<'_, Exchange> {
        self.exchange.lock().expect("no holder of this lock panics")
    }

    fn changed(&self, changed: Changed) {
        if changed.any {
            self.unflushed.notify_one();
        }
        if changed.other_than_data {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Does all that is to be done, and says which records have changed by it.
    fn act(&self) -> Changed {
        let mut changed = Changed::default();
        loop {
            let mut exchange = self.exchange();
            let Some(output) = exchange.poll_output() else { return changed };
            match output {
                Output::Keep(key) => {
                    changed.any = true;
                    changed.other_than_data |= !key.is_data();
                    // With the records held: another who writes there in between would find its later record gone from the disk.
                    let kept = disk::keep(self.store.as_ref(), &key, exchange.replica().record(&key));
                    drop(exchange);
                    // It is here nonetheless, and after a restart the others have it.
                    if let Err(error) = kept {
                        tracing::warn!(%key, %error, "a record of another node is not on disk");
                    }
                }
                Output::ToAll(packet) => {
                    drop(exchange);
                    self.client.publish(ALL, None, &packet.encode());
                }
                Output::To(node, packet) => {
                    drop(exchange);
                    self.client.publish(&subject(node), None, &packet.encode());
                }
            }
        }
    }

    fn received(&self, delivery: &Delivery) {
        match Packet::decode(&delivery.payload) {
            Ok(packet) => self.exchange().packet(now(&self.env), packet),
            Err(error) => tracing::debug!(%error, "a packet was not understood"),
        }
    }
}

/// Reads what is on the disk: first what stands, then what was deleted, as far as there is room. The rest of that goes from the disk.
fn restore(exchange: &mut Exchange, now: Now, store: &dyn Store) -> Result<(), StoreError> {
    let (mut unreadable, mut refused) = (0, 0);
    for deleted in [false, true] {
        unreadable = disk::load(store, |entry| {
            if entry.record.is_tombstone() != deleted {
                return Ok(());
            }
            match exchange.restore(now, entry) {
                Ok(gone) => gone.iter().try_for_each(|key| disk::keep(store, key, None)),
                Err(_) => {
                    refused += 1;
                    Ok(())
                }
            }
        })?;
    }
    if unreadable + refused > 0 {
        tracing::warn!(unreadable, refused, "records on disk were left out; the other nodes may have them");
    }
    Ok(())
}

/// Where a node is spoken to.
fn subject(node: NodeId) -> String {
    format!("state.to.{node}")
}

fn now(env: &Env) -> Now {
    let since = env.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Now { at: env.now(), wall_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
}

async fn run(
    shared: Arc<Shared>,
    mut subscriptions: [Box<dyn Deliveries>; 2],
    reachable: Box<dyn Fn() -> usize + Send + Sync>,
) {
    let mut timer = shared.env.timer(shared.env.now());
    let (mut reached, mut look) = (0, shared.env.now());
    while !shared.stop.is_cancelled() {
        let due = shared.exchange().due().min(look);
        timer.as_mut().reset(due);
        let arrived = poll_fn(|cx| {
            let mut polls = subscriptions.iter_mut().map(|each| each.poll_next(cx));
            polls.find(Poll::is_ready).unwrap_or(Poll::Pending)
        });
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            delivery = arrived => shared.received(&delivery),
            () = shared.written.notified() => {}
            () = poll_fn(|cx| timer.as_mut().poll(cx)) => {}
        }
        let now = now(&shared.env);
        if look <= now.at {
            look = now.at + LOOK;
            let before = std::mem::replace(&mut reached, reachable());
            if reached > before {
                shared.exchange().reunited(now);
            }
        }
        shared.exchange().tick(now);
        shared.changed(shared.act());
    }
}

/// Has what was written kept through a loss of power, many changes at a time.
async fn flush(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = shared.unflushed.notified() => {}
        }
        if let Err(error) = shared.store.flush_durable().await {
            tracing::warn!(%error, "records may not survive a loss of power");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use rand_core::SeedableRng as _;

    #[expect(clippy::disallowed_methods, reason = "any instant will do, and there is no other way to one")]
    fn now(wall_ms: u64) -> Now {
        Now { at: std::time::Instant::now(), wall_ms: 1_800_000_000_000 + wall_ms }
    }

    fn exchange(limits: Limits) -> Exchange {
        Exchange::new(now(0), NodeId([1; 32]), limits, lattice_broker::env::Rng::seed_from_u64(1))
    }

    fn on_disk(store: &MemoryStore) -> usize {
        store.scan(b"state/", None, usize::MAX).unwrap().len()
    }

    /// Goal: the disk has no more records than memory, however much is set and deleted; also one that had more before.
    #[test]
    fn what_is_forgotten_leaves_the_disk() {
        let (limits, store) = (Limits { records: 256, bytes: 1 << 20 }, MemoryStore::default());
        let mut exchange = exchange(limits);
        let mut write = |n: u64, key: Key, value: Option<Vec<u8>>| {
            let entry = exchange.stage(now(n), key, value).unwrap().unwrap();
            disk::keep(&store, &entry.key, Some(&entry.record)).unwrap();
            exchange.write(now(n), entry);
            while let Some(output) = exchange.poll_output() {
                if let Output::Keep(key) = output {
                    disk::keep(&store, &key, exchange.replica().record(&key)).unwrap();
                }
            }
        };
        write(0, Key::shared("config/a"), Some(vec![1]));
        for n in 1..10_000 {
            let key = Key::shared(format!("kv/session/{n}"));
            write(n, key.clone(), Some(vec![1; 100]));
            write(n, key, None);
        }
        assert_eq!(on_disk(&store), limits.records);
        let (root, mut small) = (exchange.replica().root(), self::exchange(Limits { records: 16, ..limits }));
        let mut same = self::exchange(limits);
        restore(&mut same, now(0), &store).unwrap();
        assert_eq!((same.replica().root(), on_disk(&store)), (root, limits.records));
        restore(&mut small, now(0), &store).unwrap();
        assert_eq!((small.replica().size().0, on_disk(&store)), (16, 16));
        assert!(small.replica().get(&Key::shared("config/a")).is_some());
        assert!(small.replica().by_hash(Key::shared("kv/session/9999").hash()).is_some(), "the latest are remembered");
    }
}
