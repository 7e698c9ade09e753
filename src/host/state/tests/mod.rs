//! What must hold of replicated records, whatever happens.

mod network;

use super::*;
use crate::identity::NodeId;
use network::Network;
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000_000;

fn node(n: u8) -> NodeId {
    NodeId([n; 32])
}

fn replica(n: u8) -> Replica {
    Replica::new(node(n), Limits::default())
}

fn entry(key: Key, wall_ms: u64, writer: u8, value: Option<&str>) -> Entry {
    let stamp = Stamp { wall_ms, count: 0, writer: node(writer) };
    Entry { key, record: Record { stamp, value: value.map(|text| text.as_bytes().to_vec()) } }
}

/// Records of three writers to few keys, own and shared, close in time, tombstones among them.
fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let one = (0..4_u8, any::<bool>(), 0..6_u64, 1..4_u8, proptest::option::of("[ab]{0,2}"));
    let one = one.prop_map(|(name, owned, at, writer, value)| {
        let name = format!("{}{name}", if name % 2 == 0 { DATA } else { "key/" });
        let key = if owned { Key::owned(node(writer), name) } else { Key::shared(name) };
        entry(key, NOW + at, writer, value.as_deref())
    });
    proptest::collection::vec(one, 0..24)
}

fn merged(all: &[Entry]) -> Replica {
    let mut replica = replica(9);
    all.iter().for_each(|entry| drop(replica.merge(NOW, entry.clone())));
    replica
}

fn same(a: &Replica, b: &Replica) -> bool {
    let both: (Vec<&Entry>, Vec<&Entry>) = (a.entries().collect(), b.entries().collect());
    let data = |replica: &Replica| (1..4).map(|n| replica.data_of(node(n))).collect::<Vec<_>>();
    both.0 == both.1 && data(a) == data(b) && a.root() == b.root() && a.buckets() == b.buckets() && a.size() == b.size()
}

proptest! {
    /// Goal: order, repetition and grouping do not matter.
    #[test]
    fn merging_is_commutative_associative_and_idempotent(all in entries(), more in entries(), turn in any::<prop::sample::Index>()) {
        let together = [all.clone(), more.clone()].concat();
        let expected = merged(&together);
        let mut turned = together.clone();
        if !turned.is_empty() {
            turned.rotate_left(turn.index(together.len()));
        }
        turned.reverse();
        prop_assert!(same(&merged(&turned), &expected));
        let twice = [together.clone(), together].concat();
        prop_assert!(same(&merged(&twice), &expected));
        // One that has merged each part by itself, and then what came of the other.
        let (a, b) = (merged(&all), merged(&more));
        let of_both: Vec<Entry> = a.entries().chain(b.entries()).cloned().collect();
        prop_assert!(same(&merged(&of_both), &expected));
    }

    /// Goal: the digests are those of the records, however these came to be.
    #[test]
    fn digests_do_not_depend_on_history(all in entries()) {
        let by_history = merged(&all);
        let present: Vec<Entry> = by_history.entries().cloned().collect();
        prop_assert!(same(&merged(&present), &by_history));
    }

    /// Goal: any number of copies, over a network that loses, doubles and delays, in parts, with restarts and with
    /// clocks that are wrong or missing, are alike soon after it is whole; and what each has last said of itself stands.
    #[test]
    fn copies_come_to_be_alike(seed: u64, nodes in 2..7_usize) {
        let mut network = Network::new(seed, nodes);
        network.live(120);
        network.heal();
        prop_assert!(network.settle(60), "seed {seed}, {nodes} nodes: {:?}", network.roots());
        network.check();
    }

    /// Goal: bytes that nobody vouches for are a packet or an error, and no packet does harm.
    #[test]
    fn garbage_is_refused(bytes: Vec<u8>) {
        let mut bytes = bytes;
        bytes.insert(0, crate::codec::VERSION);
        if let Ok(packet) = Packet::decode(&bytes) {
            let mut network = Network::new(1, 1);
            network.inject(packet);
        }
    }
}

#[test]
fn the_owner_alone_writes_what_is_its_own() {
    let mut copy = replica(9);
    let key = Key::owned(node(1), "labels");
    assert_eq!(copy.merge(NOW, entry(key.clone(), NOW, 1, Some("a"))), Merged::Taken);
    let forged = copy.merge(NOW, entry(key.clone(), NOW + 9, 2, Some("b")));
    assert!(matches!(forged, Merged::Refused(RecordError::Owner { .. })), "{forged:?}");
    assert_eq!((copy.get(&key), copy.refused), (Some(b"a".as_slice()), 1));
    let refused = copy.stage(NOW, key, Some(vec![]));
    assert!(refused.unwrap_err().to_string().contains("which does not own it"));
}

#[test]
fn what_is_too_large_is_refused_with_its_measure() {
    let mut copy = replica(1);
    let mut error = |name: &str, len| copy.stage(NOW, Key::shared(name), Some(vec![0; len])).unwrap_err().to_string();
    assert_eq!(error("", 1), "the name of a record has 0 bytes: 1 to 256 are accepted");
    assert_eq!(error("config/a", 20_000), "the value of config/a has 20000 bytes: at most 12288 are accepted");
    let mut copy = Replica::new(node(1), Limits { records: 2, bytes: 1000 });
    let mut write = |name: &str, value: Option<Vec<u8>>| {
        let staged = copy.stage(NOW, Key::shared(name), value)?;
        staged.into_iter().for_each(|entry| copy.commit(entry));
        Ok::<_, RecordError>(copy.size())
    };
    assert_eq!(write("a", Some(vec![0; 500])).unwrap(), (1, 601));
    let full = write("b", Some(vec![0; 500])).unwrap_err().to_string();
    assert_eq!(full, "b has no room: there are 1 records of 601 bytes, and at most 2 of 1000 are kept");
    assert_eq!(write("b", Some(vec![0; 90])).unwrap(), (2, 792));
    assert!(matches!(write("c", Some(vec![])), Err(RecordError::Full { .. })));
    // What is deleted makes room, and its tombstone goes when there is no other.
    assert_eq!(write("a", None).unwrap(), (2, 292));
    assert_eq!(write("c", Some(vec![])).unwrap(), (2, 292));
}

/// Goal: data has half of the room for whoever writes it, and what others have written is taken nonetheless.
#[test]
fn data_leaves_room_for_the_rest() {
    let mut copy = Replica::new(node(1), Limits { records: 4, bytes: 2_000 });
    let mut write = |name: &str, value: Option<Vec<u8>>| {
        let staged = copy.stage(NOW, Key::shared(name), value)?;
        staged.into_iter().for_each(|entry| copy.commit(entry));
        Ok::<_, RecordError>(())
    };
    write("kv/a", Some(vec![0; 500])).unwrap();
    let refused = write("kv/b", Some(vec![0; 500])).unwrap_err().to_string();
    let expected = "kv/b has no room: there are 1 records of 604 bytes of data, and at most 2 of 1000 are written";
    assert_eq!(refused, expected);
    write("kv/b", Some(vec![0; 100])).unwrap();
    assert!(matches!(write("kv/c", Some(vec![])), Err(RecordError::Share { .. })));
    write("kv/a", Some(vec![1; 600])).unwrap();
    assert!(matches!(write("kv/a", Some(vec![1; 900])), Err(RecordError::Share { .. })));
    write("config/a", Some(vec![0; 900])).unwrap();
    write("kv/b", None).unwrap();
    write("kv/c", Some(vec![])).unwrap();
    let theirs = entry(Key::shared("kv/d"), NOW + 10, 2, Some("d"));
    assert_eq!(copy.merge(NOW, theirs), Merged::Taken);
}

/// Goal: however much data is deleted, what was deleted of the rest is remembered.
#[test]
fn tombstones_of_data_give_way_first() {
    let mut copy = Replica::new(node(1), Limits { records: 4, bytes: 10_000 });
    let mut write = |key: Key, value: Option<Vec<u8>>| {
        let staged = copy.stage(NOW, key, value).unwrap();
        staged.into_iter().for_each(|entry| copy.commit(entry));
        copy.entries().map(|entry| entry.key.name.clone()).filter(|name| name == "config/a").count()
    };
    write(Key::shared("config/a"), Some(vec![1]));
    write(Key::shared("config/a"), None);
    for n in 0..20 {
        let key = Key::owned(node(1), format!("kv/{n}"));
        assert_eq!(write(key.clone(), Some(vec![1])) + write(key, None), 2);
    }
}

/// Goal: what steers the lattice is taken by a copy that is full of later deletions of data, from others and from its disk, and the
/// deletions do not drive it out again.
#[test]
fn deletions_of_data_keep_nothing_out() {
    let (config, run) = (entry(Key::shared("config/b"), NOW, 2, Some("b")), Key::owned(node(1), "run/a"));
    let deletions = (0..4).map(|n| entry(Key::shared(format!("kv/{n}")), NOW + 10 + n, 2, None));
    let deletions: Vec<Entry> = deletions.collect();
    let full = || {
        let mut copy = Replica::new(node(1), Limits { records: 4, bytes: 10_000 });
        deletions.iter().for_each(|entry| copy.restore(NOW, entry.clone()).unwrap());
        copy
    };
    let mut copy = full();
    assert_eq!(copy.merge(NOW, config.clone()), Merged::Taken);
    assert_eq!((copy.forgotten(), copy.size().0), (vec![Key::shared("kv/0")], 4));
    assert_eq!(copy.merge(NOW, entry(Key::shared("config/c"), NOW, 2, None)), Merged::Taken);
    for entry in deletions.iter().chain([&entry(Key::shared("kv/9"), NOW + 99, 2, Some("late"))]) {
        copy.merge(NOW, entry.clone());
        assert!(copy.by_hash(config.key.hash()).is_some());
        assert!(copy.by_hash(Key::shared("config/c").hash()).is_some(), "{}", entry.key);
    }
    let mut copy = full();
    copy.restore(NOW, entry(run.clone(), NOW - 9, 1, Some("a"))).unwrap();
    assert_eq!((copy.forgotten(), copy.get(&run)), (vec![Key::shared("kv/0")], Some(b"a".as_slice())));
    // An older value is no reason to forget a later deletion: it may be what was deleted.
    let old = copy.merge(NOW, entry(Key::shared("kv/old"), NOW, 2, Some("old")));
    assert!(matches!(old, Merged::Refused(RecordError::Full { .. })), "{old:?}");
}

/// Goal: what was deleted of the rest keeps no data out, and who still has more of it is not listened to for ever.
#[test]
fn deletions_of_the_rest_have_half_of_the_room() {
    let mut copy = Replica::new(node(1), Limits { records: 8, bytes: 10_000 });
    let deletion = |n: u64| entry(Key::shared(format!("config/{n}")), NOW + n, 2, None);
    for n in 10..20 {
        assert_eq!(copy.merge(NOW, deletion(n)), Merged::Taken);
    }
    assert_eq!(copy.entries().map(|entry| entry.record.stamp.wall_ms - NOW).min(), Some(16));
    assert_eq!((copy.merge(NOW, deletion(15)), copy.size().0), (Merged::Known, 4));
    // It ends what it is for nonetheless.
    copy.merge(NOW, entry(Key::shared("config/1"), NOW, 2, Some("1")));
    assert_eq!((copy.merge(NOW, deletion(1)), copy.size().0), (Merged::Taken, 4));
    for n in 0..4 {
        let staged = copy.stage(NOW + 30, Key::shared(format!("kv/{n}")), Some(vec![1])).unwrap();
        staged.into_iter().for_each(|entry| copy.commit(entry));
    }
    assert_eq!(copy.size().0, 8);
}

proptest! {
    /// Goal: two copies that have not room for all stop giving each other things, whatever they are told first.
    #[test]
    fn copies_without_room_come_to_rest(all in entries(), more in entries()) {
        let copy = |entries: &[Entry]| {
            let mut copy = Replica::new(node(9), Limits { records: 4, bytes: 10_000 });
            entries.iter().for_each(|entry| drop(copy.merge(NOW, entry.clone())));
            copy
        };
        let mut copies = [copy(&all), copy(&more), copy(&[more, all].concat())];
        let mut give = |from: usize, to: usize| {
            let entries: Vec<Entry> = copies[from].entries().cloned().collect();
            entries.into_iter().filter(|entry| copies[to].merge(NOW, entry.clone()) == Merged::Taken).count()
        };
        let rounds = (0..100).take_while(|_| {
            [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)].map(|(from, to)| give(from, to)).iter().sum::<usize>() > 0
        });
        prop_assert!(rounds.count() < 100);
    }
}

#[test]
fn data_is_found_by_name_and_in_pages() {
    let mut copy = replica(9);
    let (a, b) = (Key::owned(node(1), "kv/s/n\0x"), Key::owned(node(2), "kv/s/n\0y"));
    let others = ["kv/s/n", "kv/s/n2", "kv/s/n/0", "kv/s/m", "config/n"].map(Key::shared);
    for key in others.iter().chain([&a, &b, &Key::owned(node(2), "kv/s/n2\0y"), &Key::shared("kv/s/n\0z")]) {
        copy.merge(NOW, entry(key.clone(), NOW, key.owner.map_or(3, |owner| owner.0[0]), Some(&key.name)));
    }
    let look = copy.look("kv/s/n");
    assert_eq!(look.value.as_deref(), Some(b"kv/s/n".as_slice()));
    let value = |key: &Key| (key.clone(), key.name.clone().into_bytes());
    assert_eq!(look.parts, [value(&a), value(&b)]);
    copy.merge(NOW, entry(Key::shared("kv/s/n"), NOW + 1, 3, None));
    copy.merge(NOW, entry(a.clone(), NOW + 1, 1, None));
    let after = copy.look("kv/s/n");
    assert!(after.value.is_none() && ![0, look.digest].contains(&after.digest), "a tombstone is something");
    assert_eq!((after.parts, copy.look("kv/s/x")), (vec![value(&b)], Look::default()));
    assert_eq!(copy.data_of(node(2)).len(), 2);

    let first = copy.page("kv/s/", None, 3);
    let second = copy.page("kv/s/", first.next, 3);
    let mut names = [first.names, second.names].concat();
    names.sort();
    assert_eq!((names.len(), second.next), (4, None), "{names:?}");
}

#[test]
fn tombstones_are_forgotten_after_their_time() {
    let mut copy = replica(9);
    copy.merge(NOW, entry(Key::shared("a"), NOW, 1, Some("a")));
    copy.merge(NOW, entry(Key::shared("a"), NOW + 1, 1, None));
    copy.merge(NOW, entry(Key::shared("b"), 77, 1, None));
    let later = NOW + TOMBSTONE_MS + 2;
    copy.merge(later, entry(Key::shared("x"), later + 50 * TOMBSTONE_MS, 2, Some("a clock that is wrong")));
    assert!(copy.expire().is_empty());
    copy.merge(later, entry(Key::shared("y"), later, 3, Some("y")));
    assert_eq!(copy.expire(), [Key::shared("a")], "the other has no age");
    // One that comes too late ends what it is for, and is not kept.
    copy.merge(later, entry(Key::shared("c"), NOW - 5, 1, Some("c")));
    assert_eq!(copy.merge(later, entry(Key::shared("c"), NOW - 4, 1, None)), Merged::Taken);
    assert_eq!(copy.merge(later, entry(Key::shared("c"), NOW - 4, 1, None)), Merged::Known);
    assert_eq!((copy.get(&Key::shared("c")), copy.size().0), (None, 3));
}

#[test]
fn a_stamp_of_the_far_future_is_written_over_by_whoever_has_seen_it() {
    let mut copy = replica(2);
    let future = NOW + 80 * 365 * 24 * 3_600_000;
    copy.merge(NOW, entry(Key::shared("a"), future, 1, Some("poison")));
    let over = copy.stage(NOW, Key::shared("a"), Some(b"cure".to_vec())).unwrap().unwrap();
    assert!(over.record.stamp.wall_ms >= future);
    copy.commit(over);
    assert_eq!(copy.get(&Key::shared("a")), Some(b"cure".as_slice()));
    let other = copy.stage(NOW, Key::shared("b"), Some(vec![])).unwrap().unwrap();
    assert_eq!((other.record.stamp.wall_ms, copy.ahead()), (NOW, 1), "no other key is any later");
}

/// Goal: a node whose disk is gone gets its own records back, but for those that it has written anew, whatever its clock says.
#[test]
fn a_node_that_lost_its_disk_remembers_by_the_others() {
    let mut copy = replica(1);
    let (run, labels) = (Key::owned(node(1), "run/a"), Key::owned(node(1), "labels"));
    let written = copy.stage(3_000, labels.clone(), Some(b"new".to_vec())).unwrap().unwrap();
    copy.commit(written);
    assert_eq!(copy.merge(4_000, entry(run.clone(), NOW, 1, Some("hello"))), Merged::Taken);
    let Merged::Reasserted(again) = copy.merge(4_000, entry(labels.clone(), NOW, 1, Some("old"))) else {
        panic!("it has written that in this life");
    };
    assert!(again.record.stamp.wall_ms >= NOW);
    assert_eq!((copy.get(&run), copy.get(&labels)), (Some(b"hello".as_slice()), Some(b"new".as_slice())));
}

/// Goal: a repair moves what differs and nothing else, in bounded messages, also when that is much.
#[test]
fn a_repair_moves_what_differs() {
    let mut network = Network::perfect(5, 2);
    for n in 0..3000 {
        network.seed_all(&entry(Key::shared(format!("old/{n}")), NOW, 7, Some("as it was")));
    }
    for n in 0..7 {
        network.write(n % 2, Key::shared(format!("new/{n}")), Some(vec![0; 9000]));
    }
    network.write(0, Key::shared("old/5"), None);
    network.forget_packets();
    assert!(network.settle(10));
    let (packets, bytes, moved) = (network.sent, network.sent_bytes, network.moved());
    assert_eq!(moved, 8);
    assert!(packets < 60 && bytes < 7 * 9000 + 30_000, "{packets} packets of {bytes} bytes");
    let mut empty = Network::perfect(6, 2);
    for n in 0..5000 {
        empty.seed(0, &entry(Key::shared(format!("{n}")), NOW, 7, Some("all of it")));
    }
    assert!(empty.settle(30));
    assert_eq!(empty.moved(), 5000);
}

/// Goal: at rest, all nodes together say a digest now and then, and nothing else.
#[test]
fn little_is_said_at_rest() {
    const HOUR: u64 = 3600;
    let mut network = Network::perfect(7, 20);
    network.write(3, Key::shared("a"), Some(vec![1; 100]));
    assert!(network.settle(30));
    network.run_for(300);
    (network.sent, network.sent_bytes) = (0, 0);
    network.run_for(HOUR);
    // Each packet goes over some six links of its node, with about 100 bytes around it.
    let on_links = (network.sent_bytes + network.sent * 100) * 6 / 20;
    assert!(on_links < 30 * HOUR, "{} packets of {} bytes", network.sent, network.sent_bytes);
    assert!((20..200).contains(&network.sent), "{}", network.sent);
}

/// Goal: a node that has no room does not keep the others busy for ever.
#[test]
fn a_full_node_is_left_alone() {
    let mut network = Network::perfect(8, 2);
    network.limit(1, Limits { records: 5, bytes: 10_000 });
    for n in 0..50 {
        network.write(0, Key::shared(format!("{n}")), Some(vec![1; 100]));
    }
    network.run_for(600);
    network.sent = 0;
    network.run_for(3600);
    assert!(network.sent < 200, "{}", network.sent);
}
