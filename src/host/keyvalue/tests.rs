//! What must hold of values and counters, on nodes that do not always hear of each other.

use super::*;
use crate::host::state::{Entry, Limits};
use crate::identity::NodeId;
use proptest::prelude::*;

const B: &str = "shop";

/// A node with its records; `disk` has them as they were before its latest write.
struct Node {
    id: NodeId,
    memory: Arc<Memory>,
    store: Store,
    life: Life,
    disk: Vec<Entry>,
    part: u8,
    /// Times that it was killed since it has heard of all others.
    killed: u32,
}

impl Node {
    fn new(n: u8) -> Self {
        Self::begin(NodeId([n; 32]), Life { disk: n.into(), number: 0 }, &[])
    }

    fn begin(id: NodeId, life: Life, disk: &[Entry]) -> Self {
        let memory = Arc::new(Memory::new(id, Limits::default()));
        disk.iter().for_each(|entry| memory.restore(entry.clone()));
        let store = Store::new(memory.clone(), life);
        Self { id, memory, store, life, disk: disk.to_vec(), part: 0, killed: 0 }
    }

    fn get(&self, key: &str) -> Option<String> {
        self.store.get(B, key).unwrap().map(|value| String::from_utf8(value).unwrap())
    }

    fn keys(&self) -> Vec<String> {
        self.store.keys(B, None).unwrap().0
    }
}

struct World(Vec<Node>);

impl World {
    fn new(nodes: u8) -> Self {
        Self((1..=nodes).map(Node::new).collect())
    }

    /// Tells all in the part of `n` what it has.
    fn tell(&mut self, n: usize) {
        let (entries, part) = (self.0[n].memory.entries(), self.0[n].part);
        for (other, node) in self.0.iter_mut().enumerate() {
            if other != n && node.part == part {
                entries.iter().for_each(|entry| drop(node.memory.merge(entry.clone())));
            }
        }
    }

    fn heal(&mut self) {
        self.0.iter_mut().for_each(|node| (node.part, node.killed) = (0, 0));
        (0..self.0.len()).chain(0..self.0.len()).for_each(|n| self.tell(n));
    }

    /// Puts a node into another part, where all hear of each other.
    fn join(&mut self, n: usize, part: u8) {
        self.0[n].part = part;
        (0..self.0.len())
            .filter(|other| self.0[*other].part == part)
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|n| self.tell(n));
    }

    fn increment(&mut self, n: usize, key: &str, delta: u64) -> u64 {
        self.0[n].disk = self.0[n].memory.entries();
        let sum = self.0[n].store.increment(B, key, delta).unwrap();
        self.tell(n);
        sum
    }

    /// Ends the life of a node without its latest write, which others have heard of; or without its disk.
    fn kill(&mut self, n: usize, loses_disk: bool) {
        let part = self.0[n].part;
        let is_alone = self.0.iter().filter(|node| node.part == part).count() < 2;
        // What was on no disk yet is gone when all who knew of it are killed before they have told it.
        let others_were = self.0.iter().enumerate().any(|(other, node)| other != n && node.killed > 0);
        if is_alone || others_were || self.0[n].killed >= 3 {
            return;
        }
        let Node { id, mut life, killed, .. } = self.0[n];
        life.number += 1;
        if loses_disk {
            life = Life { disk: life.disk + 1000, number: 0 };
        }
        let disk = if loses_disk { Vec::new() } else { self.0[n].disk.clone() };
        self.0[n] = Node { part, killed: killed + 1, ..Node::begin(id, life, &disk) };
    }

    fn all(&self, key: &str) -> Vec<Option<String>> {
        self.0.iter().map(|node| node.get(key)).collect()
    }
}

proptest! {
    /// Goal: increments add up, whatever parts the nodes were in, and whatever was lost of their disks.
    #[test]
    fn increments_add_up(steps in proptest::collection::vec((0..6_u8, 0..4_usize, 0..3_u8, 1..100_u64), 0..80)) {
        let mut world = World::new(4);
        let mut expected = [0; 2];
        for (kind, n, part, delta) in steps {
            match kind {
                0 => world.join(n, part),
                1 => world.kill(n, delta < 10),
                2 => world.heal(),
                _ => {
                    world.increment(n, &format!("key/{}", part % 2), delta);
                    expected[usize::from(part % 2)] += delta;
                }
            }
        }
        world.heal();
        for (n, expected) in expected.into_iter().enumerate() {
            let sum = (expected > 0).then(|| expected.to_string());
            prop_assert_eq!(world.all(&format!("key/{n}")), vec![sum; 4]);
        }
    }

    /// Goal: with all else that can be done, all nodes still agree, and sweeping changes nothing that can be read.
    #[test]
    fn all_agree_in_the_end(steps in proptest::collection::vec((0..8_u8, 0..3_usize, 0..2_u8, 1..100_u64), 0..60)) {
        let mut world = World::new(3);
        for (kind, n, part, delta) in steps {
            let store = &world.0[n].store;
            match kind {
                0 => world.0[n].part = part,
                1 => world.heal(),
                2 => store.set(B, "key", delta.to_string().into_bytes()).unwrap(),
                3 => store.delete(B, "key").unwrap(),
                4 => (0..2).for_each(|_| store.sweep()),
                _ => drop(world.increment(n, "key", delta)),
            }
            world.tell(n);
        }
        world.heal();
        let before = world.all("key");
        prop_assert!(before.iter().all(|value| *value == before[0]), "{before:?}");
        world.0.iter().for_each(|node| (0..2).for_each(|_| node.store.sweep()));
        world.heal();
        prop_assert_eq!(world.all("key"), before);
    }
}

#[test]
fn a_value_is_set_read_listed_and_deleted() {
    let node = Node::new(1);
    let store = &node.store;
    assert_eq!((node.get("a"), store.exists(B, "a"), node.keys()), (None, Ok(false), vec![]));
    store.set(B, "a", b"one".to_vec()).unwrap();
    store.set(B, "ä/ö", Vec::new()).unwrap();
    store.set("other", "a", b"elsewhere".to_vec()).unwrap();
    assert_eq!((node.get("a"), node.get("ä/ö")), (Some("one".to_owned()), Some(String::new())));
    let mut keys = node.keys();
    keys.sort();
    assert_eq!(keys, ["a", "ä/ö"]);
    store.delete(B, "a").unwrap();
    store.delete(B, "nothing").unwrap();
    assert_eq!((node.get("a"), store.exists(B, "ä/ö"), node.keys()), (None, Ok(true), vec!["ä/ö".to_owned()]));
}

/// Goal: of two parts that set a key, the one that sets it last has it, also when that is what it has already.
#[test]
fn the_same_value_once_more_is_later() {
    let mut world = World::new(2);
    let set = |world: &World, n: usize, value: &str| world.0[n].store.set(B, "a", value.as_bytes().to_vec()).unwrap();
    set(&world, 1, "x");
    world.tell(1);
    world.0[0].part = 1;
    set(&world, 0, "y");
    set(&world, 1, "x");
    world.heal();
    assert_eq!(world.all("a"), [Some("x".to_owned()), Some("x".to_owned())]);
}

#[test]
fn long_lists_come_in_pages() {
    let node = Node::new(1);
    (0..2_500).for_each(|n| node.store.set(B, &format!("{n}"), vec![1]).unwrap());
    let (mut all, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let (keys, next) = node.store.keys(B, cursor).unwrap();
        assert!(keys.len() <= 1_000);
        all.extend(keys);
        pages += 1;
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    all.sort();
    all.dedup();
    assert_eq!((all.len(), pages), (2_500, 3));
}

#[test]
fn a_number_is_counted_on_from_and_a_set_begins_anew() {
    let mut world = World::new(2);
    assert_eq!(world.increment(0, "n", 0), 0);
    assert_eq!(world.0[1].get("n"), Some("0".to_owned()));
    assert_eq!((world.increment(0, "n", 2), world.increment(1, "n", 3)), (2, 5));
    world.0[0].store.set(B, "n", b"40".to_vec()).unwrap();
    world.tell(0);
    assert_eq!((world.increment(1, "n", 2), world.0[0].get("n")), (42, Some("42".to_owned())));
    // The same value once more is another one.
    world.0[1].store.set(B, "n", b"40".to_vec()).unwrap();
    world.tell(1);
    assert_eq!((world.0[0].get("n"), world.increment(0, "n", 1)), (Some("40".to_owned()), 41));
    world.0[0].store.delete(B, "n").unwrap();
    world.tell(0);
    assert_eq!((world.0[1].get("n"), world.0[1].keys()), (None, vec![]));
    assert_eq!((world.increment(1, "n", 7), world.0[0].get("n")), (7, Some("7".to_owned())));
    // What belonged to counts that are over goes; what counts stays.
    world.0.iter().for_each(|node| node.store.sweep());
    world.0.iter().for_each(|node| node.store.sweep());
    world.heal();
    assert_eq!(world.all("n"), [Some("7".to_owned()), Some("7".to_owned())]);
    let live = world.0[0].memory.entries().into_iter().filter(|entry| !entry.record.is_tombstone());
    assert_eq!(live.count(), 2, "a base and one part");
}

#[test]
fn what_cannot_be_is_refused_and_named() {
    let node = Node::new(1);
    let store = &node.store;
    let why = |result: Result<(), Error>| result.unwrap_err().to_string();
    assert!(why(store.set("a b", "x", vec![])).starts_with("bucket \"a b\": a name of 1 to 64 letters"));
    assert!(Store::check("").is_err() && Store::check(&"x".repeat(65)).is_err() && Store::check("a/b").is_err());
    let (bucket, key) = ("b".repeat(64), "k".repeat(170));
    store.set(&bucket, &key, vec![]).unwrap();
    store.increment(&bucket, &"n".repeat(170), 1).unwrap();
    let told = why(store.set(&bucket, &format!("{key}k"), vec![]));
    assert!(told.contains("a key of 171 bytes") && told.contains("1 to 170 bytes without control"), "{told}");
    for bad in ["", "a\0b", "a\nb"] {
        assert!(matches!(store.get(B, bad), Err(Error::Key { .. })), "{bad:?}");
    }
    store.set(B, "x", vec![1; VALUE_BYTES_MAX]).unwrap();
    let told = why(store.set(B, "x", vec![1; VALUE_BYTES_MAX + 1]));
    assert_eq!(told, "x: a value of 12001 bytes: at most 12000 are accepted");
    for bad in ["", "-1", "+1", " 1", "18446744073709551616", "one"] {
        store.set(B, "n", bad.as_bytes().to_vec()).unwrap();
        assert_eq!(store.increment(B, "n", 1), Err(Error::NoNumber { key: "n".to_owned() }), "{bad:?}");
    }
    store.set(B, "n", u64::MAX.to_string().into_bytes()).unwrap();
    assert_eq!(store.increment(B, "n", 1), Err(Error::TooLarge { key: "n".to_owned() }));
    assert_eq!(store.increment(B, "n", 0), Ok(u64::MAX));
}

#[test]
fn when_there_is_no_room_nothing_is_counted() {
    let memory = Arc::new(Memory::new(NodeId([1; 32]), Limits { records: 4, bytes: 10_000 }));
    let store = Store::new(memory, Life { disk: 1, number: 0 });
    store.set(B, "a", vec![1]).unwrap();
    let told = store.increment(B, "n", 1).unwrap_err().to_string();
    assert!(told.contains("there are 2 records of") && told.contains("and at most 2 of 5000 are written"), "{told}");
    assert_eq!(store.exists(B, "n"), Ok(false));
    store.delete(B, "a").unwrap();
    assert_eq!(store.increment(B, "n", 1), Ok(1));
}
