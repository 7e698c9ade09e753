use super::*;
use crate::scenario::Scenario;
use proptest::prelude::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn published(checker: &Checker, count: u64) -> Vec<MessageId> {
    (0..count).map(|n| checker.publish(ms(n * 10), 1, 0)).collect()
}

fn broken(checker: &Checker) -> Vec<Check> {
    checker.found().kept.into_iter().map(|violation| violation.check).collect()
}

/// A calm minute of three nodes, all of whom hear node 1.
fn calm() -> (Epochs, Vec<Vec<usize>>) {
    let text = r#"
        name = "calm"
        duration_ms = 60000
        topology = { nodes = 4, shape = "clique" }
        traffic = { start_ms = 0 }
        bounds = { resume_ms = 70, deliver_ms = 10 }
    "#;
    let scenario = Scenario::from_toml(text).unwrap();
    (Epochs::new(&scenario, &[]), vec![vec![], vec![2, 3], vec![], vec![]])
}

#[test]
fn in_order_with_gaps_is_fine_and_the_gaps_are_counted() {
    let checker = Checker::new();
    let ids = published(&checker, 5);
    for n in [0, 2, 4] {
        checker.deliver(ms(100), 2, ids[n]);
    }
    assert_eq!(broken(&checker), []);
    assert_eq!(checker.gaps(), 2);
}

#[test]
fn duplicates_and_late_ones_are_told_apart() {
    let checker = Checker::new();
    let ids = published(&checker, 5);
    for n in [1, 3, 3, 2, 2, 0] {
        checker.deliver(ms(100), 2, ids[n]);
    }
    assert_eq!(broken(&checker), [Check::Duplicate, Check::Order, Check::Duplicate, Check::Order]);
    let what = checker.found().kept[1].what.clone();
    assert_eq!(what, "1.0.2 arrived after number 3 of the same publisher");
    assert_eq!(checker.gaps(), 0);
}

#[test]
fn a_new_life_of_the_publisher_begins_anew() {
    let checker = Checker::new();
    let ids = published(&checker, 3);
    ids.iter().for_each(|id| checker.deliver(ms(100), 2, *id));
    let next = checker.publish(ms(200), 1, 1);
    checker.deliver(ms(210), 2, next);
    assert_eq!(broken(&checker), []);
    assert_eq!(next.sequence, 0);
}

#[test]
fn what_nobody_published_is_a_violation() {
    let checker = Checker::new();
    checker.deliver(ms(1), 2, MessageId { publisher: 1, incarnation: 0, sequence: 0 });
    assert_eq!(broken(&checker), [Check::Unknown]);
}

/// Goal: what must arrive is what was published in calm, and only that.
#[test]
fn completeness_looks_at_calm_moments_only() {
    let checker = Checker::new();
    let ids = published(&checker, 10);
    // Of those from 70 ms on 7 and 9 are missed by node 2, and all three by node 3.
    for n in [0, 3, 8] {
        checker.deliver(ms(100), 2, ids[n]);
    }
    let (epochs, hearers) = calm();
    let (found, _) = checker.judge(&epochs, ms(70), &[1], &hearers);
    let missed: Vec<_> = found.kept.iter().filter(|violation| violation.check == Check::Complete).collect();
    assert_eq!(missed.len(), 5, "{missed:?}");
    assert_eq!((missed[0].what.as_str(), missed[0].node, missed[0].at_ms), ("1.0.7 never arrived", Some(2), 70.0));
}

/// Goal: what was published before the border and arrives after it is no resumption.
#[test]
fn resumption_counts_messages_published_since() {
    let checker = Checker::new();
    let before = checker.publish(ms(90), 1, 0);
    checker.watch(ms(100));
    let after = checker.publish(ms(150), 1, 0);
    checker.deliver(ms(160), 2, before);
    assert_eq!(checker.resumed(ms(100)), BTreeMap::new());
    checker.deliver(ms(170), 2, after);
    assert_eq!(checker.resumed(ms(100)), BTreeMap::from([((2, 1), ms(70))]));
    checker.watch(ms(200));
    checker.deliver(ms(210), 3, after);
    assert_eq!(checker.resumed(ms(200)), BTreeMap::new(), "it was published before that border");
}

#[test]
fn a_late_resumption_and_one_that_never_came_are_violations() {
    let checker = Checker::new();
    checker.watch(ms(0));
    let first = checker.publish(ms(50), 1, 0);
    checker.deliver(ms(71), 2, first);
    let (epochs, hearers) = calm();
    let (found, slowest) = checker.judge(&epochs, ms(70), &[1], &hearers);
    let late: Vec<_> = found.kept.iter().filter(|violation| violation.check == Check::Resume).collect();
    assert_eq!(late.iter().map(|violation| violation.node).collect::<Vec<_>>(), [Some(2), Some(3)]);
    assert_eq!(late[0].figure, Some(71.0));
    assert_eq!((slowest[0].receiver, slowest[0].after_ms), (3, None));
}

#[test]
fn the_timeline_has_what_came_when() {
    let checker = Checker::new();
    let ids = published(&checker, 20);
    for n in [0, 1, 19] {
        checker.deliver(ms(n * 10 + 5), 2, ids[n as usize]);
    }
    let mut timeline = Timeline::new(ms(1_000), (0..3).map(|n| n.to_string()).collect());
    checker.draw(&mut timeline);
    assert_eq!(timeline.nodes[1].published[..4], [5, 5, 5, 5]);
    assert_eq!(timeline.nodes[2].delivered[..5], [2, 0, 0, 1, 0]);
    assert_eq!(timeline.lost[..4], [3, 5, 5, 4]);
}

proptest! {
    #[test]
    fn ids_survive_as_text(publisher: u32, incarnation: u32, sequence: u64) {
        let id = MessageId { publisher, incarnation, sequence };
        prop_assert_eq!(id.to_string().parse::<MessageId>().unwrap(), id);
    }

    #[test]
    fn other_text_is_refused(text in "[0-9.]{0,8}|.{0,8}") {
        if let Ok(id) = text.parse::<MessageId>() {
            prop_assert_eq!(text.split('.').count(), 3);
            prop_assert!(id.publisher.to_string().len() <= text.len());
        }
    }

    /// Against a plain model: a set of what was seen and the highest of it.
    #[test]
    fn verdicts_match_a_plain_model(arrivals in proptest::collection::vec(0usize..12, 0..40)) {
        let checker = Checker::new();
        let ids = published(&checker, 12);
        let (mut seen, mut expected) = (BTreeSet::new(), Vec::new());
        for n in arrivals {
            checker.deliver(ms(200), 2, ids[n]);
            let highest = seen.last().copied();
            if !seen.insert(n as u64) {
                expected.push(Check::Duplicate);
            } else if highest.is_some_and(|highest| highest > n as u64) {
                expected.push(Check::Order);
            }
        }
        prop_assert_eq!(broken(&checker), expected);
        let between = seen.first().map_or(0, |first| seen.last().unwrap() - first + 1 - seen.len() as u64);
        prop_assert_eq!(checker.gaps(), between);
    }
}

/// Goal: a publisher that never says anything is missed, as one that is not heard is.
#[test]
fn silence_is_a_violation() {
    let checker = Checker::new();
    checker.watch(ms(0));
    let (epochs, hearers) = calm();
    let (found, _) = checker.judge(&epochs, ms(70), &[1], &hearers);
    assert_eq!(found.by_check[&Check::Resume].times, 2);
    assert_eq!(found.by_check[&Check::Resume].worst, Some(f64::MAX), "no figure excuses it");
}
