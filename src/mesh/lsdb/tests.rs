use super::*;
use crate::mesh::announcement::OwnShelf;
use crate::mesh::start_of_time;
use proptest::prelude::*;
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::time::Duration;

struct Node {
    key: Ed25519KeyPair,
    id: NodeId,
}

impl Signer for Node {
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).as_ref().try_into().unwrap()
    }
}

fn node(seed: u8) -> Node {
    let key = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let id = NodeId(key.public_key().as_ref().try_into().unwrap());
    Node { key, id }
}

fn lsa(node: &Node, seq: u64) -> Lsa {
    Lsa {
        node: node.id,
        area: 0,
        part: 0,
        index: derive_index(node.id, 0),
        boot: 1,
        seq,
        name: "node".into(),
        adjacency: vec![(NodeId([1; 32]), 10), (NodeId([2; 32]), 20)],
        addresses: vec![Address("127.0.0.1:7443".parse().unwrap()), Address("[::1]:7443".parse().unwrap())],
        upstreams: vec![3, 9],
        interest_version: 0,
        interest_digest: 0,
        clients: Vec::new(),
    }
}

fn signed(node: &Node, seq: u64) -> Vec<u8> {
    lsa(node, seq).sign(node)
}

#[test]
fn a_signed_announcement_comes_back_as_it_was() {
    let author = node(1);
    let bytes = signed(&author, 4);
    let decoded = Lsa::decode(&bytes).unwrap();
    decoded.verify(&bytes).unwrap();
    assert_eq!(decoded, lsa(&author, 4));
}

#[test]
fn only_the_newer_one_counts() {
    let (now, author) = (start_of_time(), node(1));
    let mut lsdb = Lsdb::new(node(9).id, 10, Arc::new(OwnShelf));
    assert!(matches!(lsdb.ingest(now, &signed(&author, 4)).unwrap(), Ingest::New { before: None, .. }));
    assert_eq!(lsdb.ingest(now, &signed(&author, 4)).unwrap(), Ingest::Known(author.id));
    assert_eq!(lsdb.ingest(now, &signed(&author, 3)).unwrap(), Ingest::Old(author.id));
    let rebooted = Lsa { boot: 2, ..lsa(&author, 1) }.sign(&author);
    assert!(matches!(lsdb.ingest(now, &rebooted).unwrap(), Ingest::New { before: Some(_), .. }));
    assert_eq!(lsdb.get(author.id).unwrap().lsa().age(), (2, 1));
}

#[test]
fn a_forged_one_is_refused() {
    let (author, forger) = (node(1), node(2));
    let mut lsdb = Lsdb::new(node(9).id, 10, Arc::new(OwnShelf));
    let forged = lsa(&author, 4).sign(&forger);
    assert!(matches!(lsdb.ingest(start_of_time(), &forged), Err(LsaError::Signature(id)) if id == author.id));
    assert!(matches!(lsdb.ingest(start_of_time(), &[0; 63]), Err(LsaError::Unsigned)));
    assert!(lsdb.get(author.id).is_none());
}

#[test]
fn limits_hold() {
    let author = node(1);
    let refused = |change: &dyn Fn(&mut Lsa)| {
        let mut lsa = lsa(&author, 1);
        change(&mut lsa);
        matches!(Lsa::decode(&lsa.sign(&author)), Err(LsaError::Content { .. }))
    };
    assert!(!refused(&|_| ()));
    assert!(refused(&|lsa| lsa.index = 0));
    assert!(refused(&|lsa| lsa.name = "x".repeat(65)));
    assert!(refused(&|lsa| lsa.name = "\u{1b}[2Jgone".into()));
    assert!(refused(&|lsa| lsa.name.clear()));
    assert!(refused(&|lsa| lsa.adjacency.reverse()));
    assert!(refused(&|lsa| lsa.adjacency[1].0 = lsa.adjacency[0].0));
    assert!(refused(&|lsa| lsa.adjacency[0].1 = 0));
    assert!(refused(
        &|lsa| lsa.adjacency = (0..=255).map(|n| (NodeId([n; 32]), 1)).chain([(NodeId([255; 32]), 1)]).collect()
    ));
    assert!(refused(&|lsa| lsa.addresses = vec![lsa.addresses[0]; 17]));
    assert!(refused(&|lsa| lsa.upstreams = vec![2, 1]));
}

#[test]
fn the_longest_announcement_fits_its_frame() {
    let author = node(1);
    let mut lsa = lsa(&author, u64::MAX);
    lsa.name = "x".repeat(crate::identity::NAME_MAX);
    lsa.adjacency = (0..=255).map(|n| (NodeId([n; 32]), *COST.end())).collect();
    lsa.addresses = vec![Address("[::1]:7443".parse().unwrap()); ADDRESSES_MAX];
    lsa.upstreams = (0..UPSTREAMS_MAX as u64).map(|n| u64::MAX - 64 + n).collect();
    let bytes = lsa.sign(&author);
    assert!(Lsa::decode(&bytes).is_ok());
    assert!(bytes.len() <= crate::mesh::frame::Kind::Lsa.payload_max(0), "{} bytes", bytes.len());
}

#[test]
fn who_is_out_of_reach_makes_room() {
    let start = start_of_time();
    let at = |secs| start + Duration::from_secs(secs);
    let mut lsdb = Lsdb::new(node(9).id, 2, Arc::new(OwnShelf));
    lsdb.ingest(at(0), &signed(&node(1), 1)).unwrap();
    lsdb.ingest(at(1), &signed(&node(2), 1)).unwrap();
    lsdb.set_reachable(at(1), |id| id == node(1).id);
    let outcome = lsdb.ingest(at(2), &signed(&node(3), 1)).unwrap();
    assert!(matches!(outcome, Ingest::New { evicted: Some(id), .. } if id == node(2).id));
    lsdb.set_reachable(at(3), |_| true);
    assert_eq!(lsdb.ingest(at(4), &signed(&node(4), 1)).unwrap(), Ingest::Full);
}

#[test]
fn who_is_out_of_reach_for_long_is_forgotten() {
    let start = start_of_time();
    let at = |secs| start + Duration::from_secs(secs);
    let mut lsdb = Lsdb::new(node(9).id, 9, Arc::new(OwnShelf));
    lsdb.ingest(at(0), &signed(&node(1), 1)).unwrap();
    lsdb.ingest(at(5), &signed(&node(2), 1)).unwrap();
    lsdb.set_reachable(at(9), |_| false);
    assert_eq!(lsdb.oldest_unreachable(), Some(at(0)));
    assert_eq!(lsdb.forget(at(4)), [node(1).id]);
    lsdb.set_reachable(at(9), |_| true);
    assert!(lsdb.forget(at(99)).is_empty());
}

#[test]
fn the_smaller_key_keeps_an_index() {
    let (small, large) = if node(1).id < node(2).id { (node(1), node(2)) } else { (node(2), node(1)) };
    for (me, other, keeps) in [(&small, &large, true), (&large, &small, false)] {
        let mut lsdb = Lsdb::new(me.id, 9, Arc::new(OwnShelf));
        let mine = lsdb.pick_index(None);
        assert_eq!(mine, derive_index(me.id, 0));
        lsdb.ingest(start_of_time(), &Lsa { index: mine, ..lsa(other, 1) }.sign(other)).unwrap();
        assert_eq!(lsdb.pick_index(Some(mine)) == mine, keeps);
        assert_eq!(lsdb.pick_index(Some(mine)), lsdb.pick_index(Some(mine)));
    }
}

proptest! {
    #[test]
    fn garbage_is_an_error(mut bytes: Vec<u8>, at: usize, byte: u8) {
        let mut lsdb = Lsdb::new(node(9).id, 9, Arc::new(OwnShelf));
        prop_assert!(lsdb.ingest(start_of_time(), &bytes).is_err());
        bytes.insert(0, codec::VERSION);
        prop_assert!(lsdb.ingest(start_of_time(), &bytes).is_err());
        let (mut broken, author) = (signed(&node(1), 1), node(1).id);
        let at = at % broken.len();
        prop_assume!(broken[at] != byte);
        broken[at] = byte;
        // Only the codec's version, the record or the signature can be hit; none of them goes unnoticed.
        prop_assert!(lsdb.ingest(start_of_time(), &broken).is_err());
        prop_assert!(lsdb.get(author).is_none());
    }
}
