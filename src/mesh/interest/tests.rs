use super::*;
use crate::mesh::frame::More;
use crate::mesh::start_of_time;
use proptest::collection::vec;
use proptest::prelude::*;
use std::time::Duration;

const NODE: NodeId = NodeId([1; 32]);

fn key(n: u32) -> Key {
    let queue = n.is_multiple_of(3).then(|| (*b"workers").into());
    Key { account: (*b"A").into(), subject: format!("subject.{n}").into_bytes().into(), queue, via: None }
}

fn local(limits: Limits) -> Local {
    Local::new(1, limits, Duration::from_millis(250))
}

fn follower() -> Interest {
    let mut interest = Interest::new(Limits::default());
    interest.reset(NODE, 1);
    interest
}

fn same(local: &Local, interest: &Interest) -> bool {
    let copy = interest.get(NODE).unwrap();
    copy.entries().eq(local.held().entries())
        && (copy.exact_version(), copy.digest()) == (local.held().version(), local.held().digest())
}

fn delta(from: u64, changes: impl IntoIterator<Item = Change>) -> Delta {
    Delta { node: NODE, boot: 1, from, changes: changes.into_iter().collect() }
}

/// Copies the whole set in parts.
fn copy(local: &Local, interest: &mut Interest) -> Option<Vec<Change>> {
    let (mut staging, mut after) = (None, None::<Arc<Key>>);
    loop {
        let (entries, last) = local.held().part(after.as_deref());
        let first = after.is_none();
        after = entries.last().map(|change| change.key.clone());
        let version = local.held().version();
        let part = Snapshot { node: NODE, boot: 1, version, first, entries, more: More::End };
        staging = interest.stage(staging, &part);
        if last {
            return interest.replace(NODE, staging.unwrap());
        }
    }
}

proptest! {
    /// Deltas in any batches, repeated and overlapping, lead to the same set; and so does a snapshot at any time.
    #[test]
    fn copies_are_exact(
        changes in vec((0u32..30, 0u32..3, any::<u8>()), 1..120), overlaps in vec(0u64..20, 120),
    ) {
        let (mut local, mut interest, mut now) = (local(Limits::default()), follower(), start_of_time());
        let mut mirror = BTreeMap::new();
        for (step, (n, weight, what)) in changes.into_iter().enumerate() {
            now += Duration::from_millis(u64::from(what));
            local.set(now, key(n), weight);
            while local.expire(now) {}
            let version = interest.get(NODE).unwrap().version();
            let changed = match what % 8 {
                0 => continue,
                1 => copy(&local, &mut interest).unwrap_or_default(),
                _ => {
                    let from = version.saturating_sub(overlaps[step]);
                    let all: Vec<Change> = local.held().since(from).unwrap().cloned().collect();
                    match interest.apply(&delta(from, all)) {
                        Applied::New { changed, .. } => changed,
                        Applied::Old => vec![],
                        Applied::Gap => unreachable!("it began at or before what is held"),
                    }
                }
            };
            for Change { key, weight } in changed {
                if weight > 0 { mirror.insert(key, weight) } else { mirror.remove(&key) };
            }
            prop_assert!(same(&local, &interest));
            prop_assert!(interest.get(NODE).unwrap().entries().eq(mirror.iter().map(|(key, weight)| (key, *weight))));
            prop_assert_eq!(interest.bytes, interest.get(NODE).unwrap().bytes);
        }
    }
}

#[test]
fn a_gap_is_noticed_and_nothing_taken() {
    let mut interest = follower();
    let change = |n| Change { key: Arc::new(key(n)), weight: 1 };
    assert_eq!(interest.apply(&delta(1, [change(1)])), Applied::Gap);
    assert!(matches!(interest.apply(&delta(0, [change(1), change(2)])), Applied::New { skipped: 0, .. }));
    assert_eq!(interest.apply(&delta(0, [change(1)])), Applied::Old);
    assert!(matches!(interest.apply(&delta(1, [change(2), change(3)])), Applied::New { skipped: 1, .. }));
    assert_eq!(interest.apply(&delta(u64::MAX, [change(2)])), Applied::Gap);
    assert_eq!(interest.get(NODE).unwrap().version(), 3);
}

#[test]
fn the_log_is_bounded_and_says_when_it_does_not_reach_back() {
    let (mut local, now) = (local(Limits::default()), start_of_time());
    for n in 0..5000 {
        local.set(now, key(n), 1);
        if local.full() {
            let (from, changes) = local.tell();
            assert_eq!(from + changes.len() as u64, u64::from(n) + 1, "nothing is lost before it is told");
        }
    }
    assert!(local.held().since(0).is_none());
    assert_eq!(local.held().since(4990).unwrap().count(), 10);
    assert_eq!(local.held().since(5000).unwrap().count(), 0);
    assert!(local.held().since(5001).is_none());
    assert!(local.held().log.len() <= LOG_CHANGES_MAX);
}

#[test]
fn less_is_told_later_and_more_at_once() {
    let (mut local, start) = (local(Limits::default()), start_of_time());
    let ms = |n| start + Duration::from_millis(n);
    local.set(ms(0), key(3), 5);
    assert_eq!(local.held().weight(&key(3)), 5);
    local.set(ms(10), key(3), 2);
    local.set(ms(20), key(3), 3);
    assert_eq!((local.held().weight(&key(3)), local.due()), (5, Some(ms(260))));
    assert!(!local.expire(ms(259)) && local.expire(ms(260)) && !local.expire(ms(260)));
    assert_eq!((local.held().weight(&key(3)), local.due()), (3, None));
    local.set(ms(300), key(3), 0);
    local.set(ms(310), key(3), 4);
    assert_eq!((local.held().weight(&key(3)), local.due()), (4, None));
}

#[test]
fn limits_hold_for_each_node_and_for_all() {
    let limits = Limits { entries: 3, bytes: 10_000, bytes_total: 4 * (OVERHEAD + 20) };
    let mut interest = Interest::new(limits);
    for n in 1..4u8 {
        let node = NodeId([n; 32]);
        interest.reset(node, 1);
        let changes = (0..5).map(|k| Change { key: Arc::new(key(k)), weight: 1 }).collect();
        interest.apply(&Delta { node, boot: 1, from: 0, changes });
    }
    let held = |n: u8| interest.get(NodeId([n; 32])).unwrap();
    assert_eq!([1, 2, 3].map(|n| held(n).entries().len()), [3, 1, 0]);
    assert!(held(1).truncated() && held(1).version() == 5);
    assert_eq!(interest.refused, 11);
    interest.remove(NodeId([1; 32]));
    interest.remove(NodeId([2; 32]));
    assert_eq!(interest.bytes, 0);
}

#[test]
fn parts_and_frames_fit() {
    let (mut local, now) = (local(Limits::default()), start_of_time());
    for n in 0..40u32 {
        let subject = format!("{n}.{}", "x".repeat(ENTRY_MAX - 100)).into_bytes().into();
        local.set(now, Key { subject, ..key(1) }, 1);
        let (from, changes) = local.tell();
        for changes in frames(changes.into_iter()) {
            let size = crate::mesh::frame::ControlFrame::delta(&delta(from, changes)).encode().len();
            assert!(size <= crate::mesh::frame::LIST_MAX, "{size} bytes");
        }
    }
    let mut interest = follower();
    assert_eq!(copy(&local, &mut interest).unwrap().len(), 40);
    assert!(same(&local, &interest));
    let (entries, _) = local.held().part(None);
    let size = crate::codec::encode(&entries).len();
    assert!((FRAME_FILL..crate::mesh::frame::LIST_MAX - 200).contains(&size), "{size} bytes");
}
