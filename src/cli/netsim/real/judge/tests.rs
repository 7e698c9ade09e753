use super::*;
use lattice_netsim::Scenario;

/// Two nodes, of which 0 publishes each second from 0 on; parted from 4 to 8 s; ends at 20 s.
fn plan() -> Plan {
    let text = "name = \"x\"\nduration_ms = 20000\ntopology = { nodes = 2, shape = \"line\" }\n\
        traffic = { publishers = [0], start_ms = 0, interval_ms = 1000 }\nbounds = { resume_ms = 3000, deliver_ms = 2000 }\n\
        [[fault]]\nat_ms = 4000\nfor_ms = 4000\nwhat = { partition = [[0], [1]] }\n";
    Plan::new(&Scenario::from_toml(text).unwrap(), 1).unwrap()
}

const BEGAN: Duration = Duration::from_secs(1_000);

fn at(ms: u64) -> u64 {
    super::super::record::nanos(BEGAN + Duration::from_millis(ms))
}

fn id(sequence: u64) -> MessageId {
    MessageId { publisher: 0, incarnation: 0, sequence }
}

/// Client 0 publishes twenty messages, 1 ms late; client 1 hears those that `heard` gives, at these times.
fn records(heard: &[(u64, u64)]) -> Vec<Vec<Record>> {
    let published = |n| Record::Published { message: id(n), due: at(n * 1_000), at: at(n * 1_000 + 1) };
    let delivered = |&(n, ms)| Record::Delivered { message: id(n), at: at(ms) };
    vec![(0..20).map(published).collect(), heard.iter().map(delivered).collect()]
}

fn on_time(numbers: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
    numbers.into_iter().map(|n| (n, n * 1_000 + 11)).collect()
}

#[test]
fn what_a_partition_costs_is_lost_but_no_violation() {
    let figures = judge(&plan(), BEGAN, &records(&on_time((0..4).chain(9..20))));
    // The last of the twenty had no time to arrive.
    assert_eq!((figures.published, figures.due, figures.lost), (20, 18, 5));
    assert_eq!((figures.duplicated, figures.reordered, figures.violations_total), (0, 0, 0));
    let resumed = Some(Duration::from_millis(1_011));
    assert_eq!((figures.first, figures.resumed), (resumed, resumed));
    assert_eq!(figures.oldest, Duration::from_millis(10));
    assert_eq!(figures.lateness.max, Duration::from_millis(1));
}

/// Goal: what was kept during the partition shows as an early first message and as an old one.
#[test]
fn stale_messages_are_told_from_traffic_that_is_back() {
    let mut heard = on_time(0..4);
    heard.extend([(4, 8_500), (5, 8_501)]);
    heard.extend(on_time(10..20));
    let figures = judge(&plan(), BEGAN, &records(&heard));
    assert_eq!(figures.first, Some(Duration::from_millis(500)));
    assert_eq!(figures.resumed, Some(Duration::from_millis(2_011)));
    assert_eq!(figures.oldest, Duration::from_millis(4_499));
}

#[test]
fn duplicates_and_turned_order_are_violations() {
    let mut heard = on_time((0..4).chain(9..20));
    heard.push((12, 19_500));
    heard.push((8, 19_600));
    let figures = judge(&plan(), BEGAN, &records(&heard));
    assert_eq!((figures.duplicated, figures.reordered, figures.violations_total), (1, 1, 2));
}

#[test]
fn traffic_that_is_back_too_late_or_never_is_a_violation() {
    let late = judge(&plan(), BEGAN, &records(&on_time((0..4).chain(13..20))));
    assert_eq!(late.resumed, Some(Duration::from_millis(5_011)));
    let broken: Vec<Check> = late.violations.iter().map(|violation| violation.check).collect();
    assert!(broken.starts_with(&[Check::Resume, Check::Complete]), "{broken:?}");
    let never = judge(&plan(), BEGAN, &records(&on_time(0..4)));
    assert_eq!((never.first, never.resumed), (None, None));
    // One for the resumption, and those of 11 to 14 s; what comes later had no time, or is in the quiet.
    assert_eq!(never.violations_total, 5);
}

#[test]
fn late_publishers_show() {
    let mut records = records(&on_time((0..4).chain(9..20)));
    for record in &mut records[0] {
        if let Record::Published { at, .. } = record {
            *at += 8_000_000;
        }
    }
    assert!(!judge(&plan(), BEGAN, &records).lateness.usable());
}

/// Three nodes in a ring, of which 0 publishes each second; the link from 0 to 1 is cut from 4 to 8 s.
fn ring() -> Plan {
    let text = "name = \"x\"\nduration_ms = 21000\ntopology = { nodes = 3, shape = \"ring\" }\n\
        traffic = { publishers = [0], hearers = [1], start_ms = 0, interval_ms = 1000 }\n\
        bounds = { resume_ms = 3000, deliver_ms = 2000, lost_max = 1 }\n\
        [[fault]]\nat_ms = 4000\nfor_ms = 4000\nwhat = { cut = { from = [0], to = [1] } }\n\
        [[fault]]\nat_ms = 12000\nfor_ms = 1000\nwhat = { isolate = [1] }\n";
    Plan::new(&Scenario::from_toml(text).unwrap(), 1).unwrap()
}

/// Goal: silence is told of faults under which there is a way, as long as it lasted, and not of those under which nobody
/// could have been heard.
#[test]
fn silence_is_measured_where_a_way_is_left() {
    let figures = judge(&ring(), BEGAN, &records(&on_time((0..4).chain(6..20))));
    assert_eq!(figures.silences, [Duration::from_secs(3)]);
}

/// Goal: what is lost beyond the bound is a violation; one who does not hear cannot lack anything.
#[test]
fn what_is_lost_beyond_the_bound_is_a_violation() {
    let one = judge(&ring(), BEGAN, &records(&on_time((0..5).chain(6..20))));
    assert_eq!((one.due, one.lost, one.violations_total), (19, 1, 0));
    let two = judge(&ring(), BEGAN, &records(&on_time((0..4).chain(6..20))));
    let broken: Vec<Check> = two.violations.iter().map(|violation| violation.check).collect();
    assert_eq!((two.lost, broken), (2, vec![Check::Lost]));
}
