use super::*;
use crate::identity::nkey::Kind;
use crate::identity::succession::EXPELLED_MAX;
use crate::identity::{Claims, Grant, Key, Learnt, NodeClaims, Revocation, RevocationError, VoucherUse};
use crate::store::{MemoryStore, Store};
use lattice_broker::env::{BoxFuture, Rng};
use rand_core::SeedableRng;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A disk that takes so many writes more, and then none.
#[derive(Debug)]
struct Failing {
    kept: MemoryStore,
    left: AtomicUsize,
}

impl Failing {
    fn new() -> Arc<Self> {
        Arc::new(Self { kept: MemoryStore::default(), left: AtomicUsize::new(usize::MAX) })
    }

    fn allow(&self, writes: usize) {
        self.left.store(writes, Ordering::Relaxed);
    }

    fn spend(&self) -> Result<(), StoreError> {
        let spent = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        spent.map(drop).map_err(|_| StoreError::Io { why: "no".to_owned() })
    }

    fn records(&self) -> Vec<Record> {
        self.kept.scan(b"", None, 1_000).unwrap()
    }
}

impl Store for Failing {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.kept.get(key)
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.spend()?;
        self.kept.put(key, value)
    }

    fn delete(&self, key: &[u8]) -> Result<(), StoreError> {
        self.spend()?;
        self.kept.delete(key)
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.kept.scan(prefix, after, limit)
    }

    fn flush_durable(&self) -> BoxFuture<Result<(), StoreError>> {
        self.kept.flush_durable()
    }

    fn size(&self) -> u64 {
        self.kept.size()
    }
}

fn founder() -> Identity {
    Identity::generate_root(&mut Rng::seed_from_u64(1), "a")
}

fn open(identity: &Identity, store: &Arc<Failing>) -> Roll {
    Roll::open(identity, Arc::clone(store) as _, Arc::default()).unwrap()
}

fn by_root(a: &Identity, node: NodeId) -> Revocation {
    Revocation::sign(a.membership().root(), a.root_key().unwrap(), &[], node, 7)
}

fn node(n: usize) -> NodeId {
    NodeId([&n.to_be_bytes()[..], &[1; 24]].concat().try_into().unwrap())
}

/// A line that does not fit one record, since so many are out; and the key at its end.
fn long(a: &Identity, roll: &Roll) -> (Line, Key) {
    for n in 0..EXPELLED_MAX {
        roll.revoke(&by_root(a, node(n))).unwrap();
    }
    let rotation = a.rotate(&mut Rng::seed_from_u64(2), roll, &[], 7).unwrap();
    (rotation.line, rotation.root)
}

/// Goal: wherever the disk fails the node goes by the old line, with all that it knew by that, or by the new one, and never by
/// something between; and it takes in the new one when it is told again.
#[test]
fn a_line_is_taken_in_whole_or_not_at_all() {
    let a = founder();
    let (line, _) = long(&a, &open(&a, &Failing::new()));
    let parts = codec::encode(&(line.steps(), line.expelled())).len().div_ceil(PART);
    assert!(parts > 1);
    for writes in 0..parts {
        let store = Failing::new();
        let roll = open(&a, &store);
        roll.revoke(&by_root(&a, node(0))).unwrap();
        let before = (roll.revocations(), store.records());
        store.allow(writes);
        assert!(matches!(roll.hear(line.news().unwrap()), Err(SuccessionError::Store(_))));
        assert_eq!((roll.line().steps().len(), roll.revocations()), (0, before.0.clone()), "{writes}");
        store.allow(usize::MAX);
        assert!(before.1.iter().all(|record| store.records().contains(record)), "{writes}: nothing is deleted");
        let again = open(&a, &store);
        assert_eq!((again.line().steps().len(), again.revocations()), (0, before.0), "{writes}");
        for roll in [again, open(&a, &store)] {
            let is_new = roll.line().steps().is_empty();
            assert_eq!(roll.hear(line.news().unwrap()), Ok(is_new), "{writes}");
            assert!(*roll.line() == line && roll.revocations().is_empty());
        }
    }
    // Written, and what was there before cannot be deleted.
    let store = Failing::new();
    let roll = open(&a, &store);
    roll.revoke(&by_root(&a, node(0))).unwrap();
    store.allow(parts);
    assert_eq!(roll.hear(line.news().unwrap()), Ok(true));
    store.allow(usize::MAX);
    let again = open(&a, &store);
    assert!(*again.line() == line && again.revocations().is_empty());
}

/// Goal: of several generations on the disk the newest that is whole counts.
#[test]
fn the_newest_whole_generation_counts() {
    let (a, store) = (founder(), Failing::new());
    let roll = open(&a, &store);
    let (line, key) = long(&a, &roll);
    roll.succeed(&line).unwrap();
    let first: Vec<Record> = store.kept.scan(LINE_PREFIX, None, 100).unwrap();
    let holder = Identity { root: Some(key), ..a.clone() };
    let second = holder.rotate(&mut Rng::seed_from_u64(3), &roll, &[], 8).unwrap().line;
    roll.succeed(&second).unwrap();
    let records = store.kept.scan(LINE_PREFIX, None, 100).unwrap();
    assert!(
        records.iter().all(|(key, _)| key.starts_with(&line_key(1, 0)[..LINE_PREFIX.len() + 8])),
        "the older is gone"
    );
    // A crash before the older one was deleted, and one before the newer one was written.
    first.iter().for_each(|(key, value)| store.kept.put(key, value).unwrap());
    assert_eq!(*open(&a, &store).line(), second);
    store.kept.delete(&records.last().unwrap().0).unwrap();
    assert_eq!(*open(&a, &store).line(), line);
    assert_eq!(open(&a, &store).succeed(&second), Ok(true));
    assert_eq!(*open(&a, &store).line(), second);
}

/// Goal: a revocation that was looked at by one root key is not taken in when another speaks by then.
#[test]
fn what_the_old_key_revokes_meanwhile_does_not_count() {
    let (a, store) = (founder(), Failing::new());
    let roll = open(&a, &store);
    let rotation = a.rotate(&mut Rng::seed_from_u64(2), &roll, &[], 7).unwrap();
    let (revocation, looked_at) = (by_root(&a, node(1)), roll.line().current());
    assert_eq!(revocation.verify(roll.root, looked_at), Ok(None));
    roll.succeed(&rotation.line).unwrap();
    assert_eq!(roll.take_in(&revocation, None, looked_at), Err(RevocationError::Root));
    assert!(roll.revocations().is_empty() && open(&a, &store).revocations().is_empty());
}

/// Goal: a use of a voucher goes with the last chain of the node that came by it, and not before.
#[test]
fn a_use_stays_while_a_chain_by_the_voucher_does() {
    let a = founder();
    let roll = open(&a, &Failing::new());
    let device = Key::from_seed(Kind::Node, [5; 32]).public();
    let used = VoucherUse { key: [4; 32], uses: 1 };
    let claims = |name: &str| {
        Claims::Node(NodeClaims { name: name.to_owned(), grant: Grant::all(), voucher: Some(used.clone()), at: 0 })
    };
    let by_thief = Chain::found(a.root_key().unwrap(), device, claims("x")).unwrap();
    let (issuer, key) = a.issuer_chain_and_key();
    let genuine = issuer.extend(key, device, claims("y")).unwrap();
    let another = Key::from_seed(Kind::Node, [6; 32]).public();
    let other = Chain::found(a.root_key().unwrap(), another, claims("z")).unwrap();
    for chain in [&by_thief, &genuine, &other] {
        assert!(matches!(roll.learn(chain.warrants().to_vec()), Ok(Learnt::New(_))));
    }
    assert_eq!(roll.uses(PublicKey(used.key)), 2);
    roll.succeed(&a.rotate(&mut Rng::seed_from_u64(2), &roll, &[], 7).unwrap().line).unwrap();
    assert_eq!(roll.chains(NodeId(device.0)).len(), 1);
    assert_eq!(roll.uses(PublicKey(used.key)), 1, "the thief's other device is gone, and this one has come by it");
}
