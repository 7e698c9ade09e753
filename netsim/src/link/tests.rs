use super::*;
use proptest::prelude::*;

const MS: Nanos = 1_000_000;

fn links(link: Link) -> Links {
    Links::new(1, 4, link, Duration::from_micros(20))
}

fn arrivals(links: &mut Links, count: usize, gap: Nanos, len: usize) -> Vec<Nanos> {
    let fates = (0..count as Nanos).map(|n| links.datagram(n * gap, 0, 1, len));
    fates.collect::<Vec<_>>().iter().flat_map(|fate| fate.arrivals).flatten().collect()
}

#[test]
fn loss_and_duplication_follow_their_probabilities() {
    let mut links = links(Link { loss: 0.2, duplicate: 0.1, ..Link::default() });
    let arrived = arrivals(&mut links, 10_000, MS, 100).len();
    assert!((1_800..2_200).contains(&links.counters.lost), "{:?}", links.counters);
    assert!((700..900).contains(&links.counters.duplicated), "{:?}", links.counters);
    assert_eq!(arrived as u64, 10_000 - links.counters.lost + links.counters.duplicated);
}

#[test]
fn jitter_keeps_order_and_reordering_does_not() {
    let calm = Link { jitter: Duration::from_millis(20), ..Link::default() };
    assert!(arrivals(&mut links(calm), 1_000, MS, 100).is_sorted());
    let mut rough = links(Link { reorder: 0.1, ..calm });
    assert!(!arrivals(&mut rough, 1_000, MS, 100).is_sorted());
    assert!((60..140).contains(&rough.counters.reordered), "{:?}", rough.counters);
}

/// Goal: a thousand packets of 1000 bytes at 100 kB/s: the queue of 10 kB takes ten, then one each 10 ms.
#[test]
fn the_rate_fills_the_queue_and_the_queue_overflows() {
    let link = Link { rate: Some(100_000), queue_bytes: 10_000, jitter: Duration::ZERO, ..Link::default() };
    let mut links = links(link);
    let arrived = arrivals(&mut links, 1_000, MS, 1_000);
    assert!((100..=112).contains(&arrived.len()), "{}", arrived.len());
    assert!(arrived.windows(2).all(|pair| pair[1] - pair[0] == 10 * MS));
    assert_eq!(arrived.len() as u64 + links.counters.overflowed, 1_000);
}

#[test]
fn a_datagram_over_the_mtu_is_lost_and_counted() {
    let mut links = links(Link::default());
    assert_eq!(links.datagram(0, 0, 1, 1473), Fate::default());
    assert!(links.datagram(0, 0, 1, 1472).arrivals[0].is_some());
    assert_eq!(links.counters.oversized, 1);
}

#[test]
fn partitions_cut_between_groups_only_and_count_their_hits() {
    let mut links = links(Link::default());
    let fault = links.partition(0, &[&[0], &[1, 2]]);
    assert!(links.is_cut(0, 1) && links.is_cut(2, 0));
    assert!(!links.is_cut(1, 2) && !links.is_cut(0, 3) && !links.is_cut(0, 0));
    assert_eq!(links.bites()[fault.0].hits, 2);
    links.lift(5, fault);
    assert!(!links.is_cut(0, 1));
    assert_eq!(links.bites()[fault.0].until, Some(Duration::from_nanos(5)));
}

#[test]
fn one_way_cuts_let_the_other_way_through_and_faults_overlap() {
    let mut links = links(Link::default());
    links.cut(0, &[0], &[1], false);
    assert!(links.is_cut(0, 1) && !links.is_cut(1, 0));
    let second = links.cut(0, &[0], &[1], true);
    links.lift(1, second);
    assert!(links.is_cut(0, 1) && !links.is_cut(1, 0));
    links.heal(2);
    assert!(!links.is_cut(0, 1));
}

#[test]
fn degrading_only_worsens() {
    let mut links = links(Link { rate: Some(1_000), loss: 0.5, ..Link::default() });
    let worse = Degrade { delay: Duration::from_millis(400), rate: Some(5_000), loss: 0.1, ..Degrade::default() };
    let fault = links.degrade(0, &[0], &[1], worse);
    let link = links.conditions(1, 0);
    assert_eq!((link.delay, link.rate, link.loss), (Duration::from_millis(410), Some(1_000), 0.5));
    assert_eq!(links.conditions(1, 2).delay, Duration::from_millis(10));
    assert_eq!(links.bites()[fault.0].hits, 1);
}

proptest! {
    /// Nothing arrives before the delay has passed, and what one pair draws is no concern of another's.
    #[test]
    fn pairs_are_independent(seed: u64, loss in 0.0..0.9f64, noise in 0usize..50) {
        let link = Link { loss, duplicate: 0.2, reorder: 0.2, ..Link::default() };
        let run = |noise: usize| {
            let mut links = Links::new(seed, 4, link, Duration::from_micros(20));
            (0..20).map(|n| {
                for _ in 0..noise { links.datagram(n * MS, 2, 3, 50); }
                links.datagram(n * MS, 0, 1, 50)
            }).collect::<Vec<_>>()
        };
        let fates = run(0);
        prop_assert_eq!(&fates, &run(noise));
        for (n, fate) in fates.iter().enumerate() {
            for at in fate.arrivals.into_iter().flatten() {
                prop_assert!(at >= n as Nanos * MS + 10 * MS);
            }
        }
    }
}
