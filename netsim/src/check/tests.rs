use super::*;
use proptest::prelude::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn published(checker: &Checker, count: u64) -> Vec<MessageId> {
    (0..count).map(|n| checker.publish(ms(n * 10), 1, 0)).collect()
}

fn broken(checker: &Checker) -> Vec<Broken> {
    checker.violations().into_iter().map(|violation| violation.broken).collect()
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
    let late = Broken::OutOfOrder { after: 3 };
    assert_eq!(broken(&checker), [Broken::Duplicate, late, Broken::Duplicate, late]);
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
    assert_eq!(broken(&checker), [Broken::Unknown]);
}

#[test]
fn completeness_looks_at_its_window_only() {
    let checker = Checker::new();
    let ids = published(&checker, 10);
    for n in [0, 3, 4, 6] {
        checker.deliver(ms(100), 2, ids[n]);
    }
    assert_eq!(checker.complete(ms(30), ms(40), &[1, 2]), []);
    let missing = checker.complete(ms(30), ms(60), &[1, 2]);
    assert_eq!(missing.iter().map(|violation| violation.message.sequence).collect::<Vec<_>>(), [5]);
    assert_eq!(checker.complete(ms(0), ms(0), &[3]).len(), 1, "a receiver that heard nothing misses all");
}

/// Goal: what was published before the heal and arrives after it is no resumption.
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
    assert_eq!(checker.resume_within(ms(100), ms(70), &[1, 2], &[1]), []);
    let late = checker.resume_within(ms(100), ms(69), &[1, 2, 3], &[1]);
    assert_eq!(late.iter().map(|violation| violation.receiver).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(checker.violations_total(), 2);
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
                expected.push(Broken::Duplicate);
            } else if let Some(after) = highest.filter(|highest| *highest > n as u64) {
                expected.push(Broken::OutOfOrder { after });
            }
        }
        prop_assert_eq!(broken(&checker), expected);
        prop_assert_eq!(checker.complete(ms(0), ms(1000), &[2]).len(), 12 - seen.len());
    }
}
