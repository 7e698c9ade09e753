use super::*;
use crate::{World, WorldConfig};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Mutex;

fn disk(config: DiskConfig) -> Disk {
    Disk::new(Dice::new(1, "disk", 0), config)
}

/// Syncs a disk whose syncs take no time.
fn sync(disk: &Disk) -> Result<(), DiskError> {
    sync_in(&mut World::new(1, WorldConfig::hosts(1)), disk)
}

fn sync_in(world: &mut World, disk: &Disk) -> Result<(), DiskError> {
    let done = Arc::new(Mutex::new(None));
    let (log, sync) = (done.clone(), disk.sync(&world.host(0).env()));
    world.spawn_on(0, async move {
        let result = sync.await;
        *log.lock().unwrap() = Some(result);
    });
    world.run_until(|| done.lock().unwrap().is_some(), Duration::from_secs(60)).unwrap();
    done.lock().unwrap().take().unwrap()
}

#[test]
fn what_was_not_synced_is_lost_with_the_power() {
    let disk = disk(DiskConfig::default());
    disk.put(b"a", b"old").unwrap();
    disk.put(b"b", b"stays").unwrap();
    sync(&disk).unwrap();
    disk.put(b"a", b"new").unwrap();
    disk.delete(b"b").unwrap();
    disk.put(b"c", b"never").unwrap();
    assert_eq!((disk.get(b"a").unwrap().as_deref(), disk.get(b"b").unwrap()), (Some(&b"new"[..]), None));
    disk.crash();
    let all = disk.scan(b"", None, 10).unwrap();
    assert_eq!(all, [(b"a".to_vec(), b"old".to_vec()), (b"b".to_vec(), b"stays".to_vec())]);
    let counters = disk.counters();
    assert_eq!((counters.crashes, counters.lost, counters.kept, counters.syncs), (1, 3, 0, 1));
}

#[test]
fn what_chance_keeps_is_a_prefix() {
    let mut lengths = [0; 5];
    for seed in 0..200 {
        let config = DiskConfig { unsynced_kept: 0.5, ..DiskConfig::default() };
        let disk = Disk::new(Dice::new(seed, "disk", 0), config);
        (0..4_u8).for_each(|n| disk.put(&[n], b"x").unwrap());
        disk.crash();
        let kept: Vec<u8> = disk.scan(b"", None, 10).unwrap().into_iter().map(|(key, _)| key[0]).collect();
        assert_eq!(kept, (0..kept.len() as u8).collect::<Vec<_>>());
        assert_eq!(disk.counters().kept, kept.len() as u64);
        lengths[kept.len()] += 1;
    }
    assert!(lengths.iter().all(|count| *count > 3) && lengths[0] > 70, "{lengths:?}");
}

#[test]
fn a_torn_record_is_an_error_that_names_it_until_it_is_written_anew() {
    let disk = disk(DiskConfig { torn: 1.0, ..DiskConfig::default() });
    disk.put(b"other", b"fine").unwrap();
    disk.put(b"key", b"the old value").unwrap();
    sync(&disk).unwrap();
    disk.put(b"key", b"THE NEW VALUE").unwrap();
    disk.put(b"later", b"lost").unwrap();
    disk.crash();
    let damaged = DiskError::Damaged { key: b"key".to_vec() };
    assert_eq!(disk.get(b"key"), Err(damaged.clone()));
    assert_eq!(disk.scan(b"", None, 10), Err(damaged.clone()));
    assert_eq!(damaged.to_string(), "the record key is damaged: its checksum is wrong");
    assert_eq!((disk.get(b"other").unwrap().as_deref(), disk.get(b"later").unwrap()), (Some(&b"fine"[..]), None));
    let counters = disk.counters();
    assert_eq!((counters.torn, counters.lost, counters.damaged_reads), (1, 2, 2));
    disk.put(b"key", b"again").unwrap();
    sync(&disk).unwrap();
    assert_eq!(disk.get(b"key").unwrap().as_deref(), Some(&b"again"[..]));
}

#[test]
fn flipped_bits_are_found() {
    let disk = disk(DiskConfig::default());
    assert_eq!(disk.flip_bit(), None);
    disk.put(b"empty", b"").unwrap();
    disk.put(b"full", &[7; 32]).unwrap();
    assert_eq!(disk.flip_bit(), None, "nothing lies on the disk yet");
    sync(&disk).unwrap();
    let key = disk.flip_bit().unwrap();
    assert_eq!(disk.get(&key), Err(DiskError::Damaged { key: key.clone() }));
    assert_eq!((disk.counters().flipped, disk.counters().damaged_reads), (1, 1));
    disk.put(&key, b"new").unwrap();
    assert_eq!(disk.get(&key).unwrap().as_deref(), Some(&b"new"[..]), "what is written anew is not read from the disk");
}

#[test]
fn the_quota_bounds_what_is_there_and_not_what_was() {
    let disk = disk(DiskConfig { quota_bytes: 100, ..DiskConfig::default() });
    disk.put(b"a", &[0; 60]).unwrap();
    assert_eq!(disk.put(b"b", &[0; 60]), Err(DiskError::Full { used: 61, quota: 100 }));
    disk.put(b"a", &[0; 99]).unwrap();
    disk.configure(DiskConfig { quota_bytes: 50, ..disk.config() });
    assert_eq!(disk.put(b"a", &[0; 50]), Err(DiskError::Full { used: 100, quota: 50 }));
    disk.delete(b"a").unwrap();
    disk.put(b"b", &[0; 49]).unwrap();
    assert_eq!((disk.bytes(), disk.counters().full), (50, 2));
}

#[test]
fn a_slow_sync_takes_its_time_and_covers_what_came_before_it() {
    let disk = disk(DiskConfig { sync: Duration::from_secs(3), ..DiskConfig::default() });
    let mut world = World::new(1, WorldConfig::hosts(1));
    disk.put(b"before", b"x").unwrap();
    let done = Arc::new(Mutex::new(Vec::new()));
    let (log, env, on) = (done.clone(), world.host(0).env(), disk.clone());
    world.spawn_on(0, async move {
        let sync = on.sync(&env);
        on.put(b"meanwhile", b"x").unwrap();
        let result = sync.await;
        log.lock().unwrap().push(result);
    });
    let took = world.run_until(|| !done.lock().unwrap().is_empty(), Duration::from_secs(60)).unwrap();
    assert_eq!((took, done.lock().unwrap()[0].clone()), (Duration::from_secs(3), Ok(())));
    disk.crash();
    assert_eq!(disk.scan(b"", None, 10).unwrap().len(), 1, "what was written after the call is not covered");
}

#[test]
fn a_loss_of_power_during_a_sync_is_before_it() {
    let disk = disk(DiskConfig { sync: Duration::from_secs(3), ..DiskConfig::default() });
    let mut world = World::new(1, WorldConfig::hosts(1));
    disk.put(b"a", b"x").unwrap();
    let done = Arc::new(Mutex::new(None));
    let (log, sync) = (done.clone(), disk.sync(&world.host(0).env()));
    world.spawn_on(0, async move {
        let result = sync.await;
        *log.lock().unwrap() = Some(result);
    });
    world.run_for(Duration::from_secs(2));
    disk.crash();
    disk.put(b"b", b"x").unwrap();
    world.run_for(Duration::from_secs(2));
    assert_eq!(*done.lock().unwrap(), Some(Err(DiskError::PowerLost)));
    disk.crash();
    assert_eq!(disk.bytes(), 0);
}

#[test]
fn a_disk_that_fails_says_so_and_changes_nothing() {
    let disk = disk(DiskConfig::default());
    disk.put(b"a", b"x").unwrap();
    let failing = |config| disk.configure(config);
    let failed = |what| DiskError::Failed { what };
    failing(DiskConfig { read_fails: 1.0, ..DiskConfig::default() });
    assert_eq!(disk.get(b"a"), Err(failed("read")));
    assert_eq!(disk.scan(b"", None, 1), Err(failed("read")));
    failing(DiskConfig { write_fails: 1.0, ..DiskConfig::default() });
    assert_eq!(disk.put(b"a", b"y"), Err(failed("write")));
    assert_eq!(disk.delete(b"a"), Err(failed("write")));
    assert_eq!(disk.get(b"a").unwrap().as_deref(), Some(&b"x"[..]));
    failing(DiskConfig { sync_fails: 1.0, ..DiskConfig::default() });
    assert_eq!(sync(&disk), Err(failed("sync")));
    assert_eq!((disk.counters().failed, disk.counters().syncs), (5, 0));
    disk.crash();
    assert_eq!(disk.get(b"a").unwrap_or_default(), None, "a sync that failed made nothing safe");
}

#[test]
fn a_sync_that_lies_makes_nothing_safe() {
    let disk = disk(DiskConfig { sync_lies: 1.0, ..DiskConfig::default() });
    disk.put(b"a", b"x").unwrap();
    assert_eq!(sync(&disk), Ok(()));
    assert_eq!((disk.counters().lied, disk.counters().syncs), (1, 0));
    disk.crash();
    assert_eq!(disk.get(b"a").unwrap(), None);
}

#[test]
fn writes_that_nobody_syncs_are_written_back_in_the_end() {
    let disk = disk(DiskConfig::default());
    (0..70_000_u32).for_each(|n| disk.put(&(n % 70_000).to_be_bytes(), b"x").unwrap());
    disk.crash();
    assert_eq!(disk.scan(b"", None, 70_000).unwrap().len(), 70_000 - 65_536);
}

#[derive(Clone, Debug)]
enum Op {
    Put(u8, Vec<u8>),
    Delete(u8),
    Sync,
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0u8..6, proptest::collection::vec(any::<u8>(), 0..20)).prop_map(|(key, value)| Op::Put(key, value)),
        2 => (0u8..6).prop_map(Op::Delete),
        1 => Just(Op::Sync),
        1 => Just(Op::Crash),
    ]
}

proptest! {
    /// Whatever is done to it: a reader sees what was written last, or after a loss of power what some prefix of the
    /// writes since the last sync left, or an error; and never anything else. The bytes add up.
    #[test]
    fn a_disk_shows_a_prefix_of_what_was_written(seed: u64, ops in proptest::collection::vec(op(), 1..60)) {
        let config = DiskConfig { unsynced_kept: 0.7, torn: 0.5, ..DiskConfig::default() };
        let disk = Disk::new(Dice::new(seed, "disk", 0), config);
        let mut world = World::new(1, WorldConfig::hosts(1));
        // All states since the last sync, the newest last.
        let mut states: Vec<BTreeMap<Vec<u8>, Option<Vec<u8>>>> = vec![BTreeMap::new()];
        for op in ops {
            let mut next = states.last().unwrap().clone();
            match op {
                Op::Put(key, value) => {
                    disk.put(&[key], &value).unwrap();
                    next.insert(vec![key], Some(value));
                    states.push(next);
                }
                Op::Delete(key) => {
                    disk.delete(&[key]).unwrap();
                    next.remove(&vec![key]);
                    states.push(next);
                }
                Op::Sync => {
                    sync_in(&mut world, &disk).unwrap();
                    states = vec![next];
                }
                Op::Crash => {
                    disk.crash();
                    let seen = |key: u8| disk.get(&[key]);
                    // A damaged record is `None` in the map from now on.
                    let shown: BTreeMap<Vec<u8>, Option<Vec<u8>>> =
                        (0..6).filter_map(|key| match seen(key) {
                            Ok(value) => value.map(|value| (vec![key], Some(value))),
                            Err(_) => Some((vec![key], None)),
                        }).collect();
                    let damaged: Vec<_> = shown.iter().filter(|(_, v)| v.is_none()).map(|(k, _)| k.clone()).collect();
                    let without = |state: &BTreeMap<_, _>| {
                        let mut state = state.clone();
                        damaged.iter().for_each(|key| { state.remove(key); });
                        state
                    };
                    let sound = without(&shown);
                    prop_assert!(states.iter().any(|state| without(state) == sound), "{sound:?} of {states:?}");
                    states = vec![shown];
                }
            }
            let now = states.last().unwrap();
            let sound = now.values().all(Option::is_some);
            match disk.scan(b"", None, 100) {
                Ok(records) => {
                    prop_assert!(sound);
                    let bytes: usize = records.iter().map(|(key, value)| key.len() + value.len()).sum();
                    prop_assert_eq!(bytes as u64, disk.bytes());
                    let shown: Vec<_> = now.iter().map(|(k, v)| (k.clone(), v.clone().unwrap())).collect();
                    prop_assert_eq!(&records, &shown);
                    let rest = disk.scan(b"", Some(&[2]), 2).unwrap();
                    let expected: Vec<_> = shown.into_iter().filter(|(key, _)| key[0] > 2).take(2).collect();
                    prop_assert_eq!(rest, expected);
                }
                Err(error) => prop_assert!(!sound, "{}", error),
            }
        }
    }

    /// Goal: a flipped bit is never read as a value, wherever it is.
    #[test]
    fn no_flipped_bit_is_read(seed: u64, values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..6)) {
        let disk = Disk::new(Dice::new(seed, "disk", 0), DiskConfig::default());
        values.iter().enumerate().for_each(|(n, value)| disk.put(&[n as u8], value).unwrap());
        sync(&disk).unwrap();
        let flipped = disk.flip_bit().unwrap();
        for (n, value) in values.iter().enumerate() {
            let (read, is_flipped) = (disk.get(&[n as u8]), flipped == [n as u8]);
            prop_assert_eq!(read.ok(), (!is_flipped).then(|| Some(value.clone())));
        }
    }
}
