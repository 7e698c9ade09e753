use super::*;
use proptest::prelude::*;

const MS: Nanos = 1_000_000;

fn links(link: Link) -> Links {
    Links::new(1, 4, link, Duration::from_micros(20))
}

fn arrivals(links: &mut Links, count: usize, gap: Nanos, len: usize) -> Vec<Nanos> {
    let fates = (0..count as Nanos).map(|n| links.datagram(n * gap, 0, 1, len));
    fates.collect::<Vec<_>>().iter().flat_map(|passage| passage.arrivals).flatten().collect()
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
    assert_eq!(links.datagram(0, 0, 1, 1473).arrivals, [None, None]);
    assert!(links.datagram(0, 0, 1, 1472).arrivals[0].is_some());
    assert_eq!(links.counters.oversized, 1);
}

#[test]
fn partitions_cut_between_groups_only_and_count_their_hits() {
    let mut links = links(Link::default());
    let fault = links.faults.partition(0, &[&[0], &[1, 2]]);
    assert!(links.is_cut(0, 1) && links.is_cut(2, 0));
    assert!(!links.is_cut(1, 2) && !links.is_cut(0, 3) && !links.is_cut(0, 0));
    assert_eq!(links.faults.bites()[fault.0].hits, 2);
    links.lift(5, fault);
    assert!(!links.is_cut(0, 1));
    assert_eq!(links.faults.bites()[fault.0].until, Some(Duration::from_nanos(5)));
}

#[test]
fn one_way_cuts_let_the_other_way_through_and_faults_overlap() {
    let mut links = links(Link::default());
    links.faults.cut(0, &[0], &[1], false);
    assert!(links.is_cut(0, 1) && !links.is_cut(1, 0));
    let second = links.faults.cut(0, &[0], &[1], true);
    links.lift(1, second);
    assert!(links.is_cut(0, 1) && !links.is_cut(1, 0));
    links.faults.heal(2);
    assert!(!links.is_cut(0, 1));
}

#[test]
fn degrading_only_worsens() {
    let mut links = links(Link { rate: Some(1_000), loss: 0.5, ..Link::default() });
    let worse = Degrade { delay: Duration::from_millis(400), rate: Some(5_000), loss: 0.1, ..Degrade::default() };
    links.faults.degrade(0, &[0], &[1], true, worse);
    let link = links.way(1, 0).pair.now;
    assert_eq!((link.delay, link.rate, link.loss), (Duration::from_millis(410), Some(1_000), 0.5));
    assert_eq!(links.way(1, 2).pair.now.delay, Duration::from_millis(10));
}

#[test]
fn a_degrade_in_one_direction_leaves_the_other_as_it_is() {
    let mut links = links(Link::default());
    let slow = Degrade { delay: Duration::from_millis(400), ..Degrade::default() };
    let fault = links.faults.degrade(0, &[0], &[1], false, slow);
    let arrival = |links: &mut Links, from, to| links.datagram(0, from, to, 100).arrivals[0].unwrap();
    assert!(arrival(&mut links, 0, 1) >= 410 * MS);
    assert!(arrival(&mut links, 1, 0) <= 12 * MS);
    assert_eq!(links.faults.bites()[fault.0].hits, 1);
    links.lift(0, fault);
    let later = links.datagram(1_000 * MS, 0, 1, 100).arrivals[0].unwrap();
    assert!(later <= 1_012 * MS, "what was concluded from the fault is forgotten with it: {later}");
}

/// Each effect of a degrade, the counter that it must move, and a datagram of what length shows it.
#[test]
fn every_effect_counts_and_bites_and_no_other_does() {
    let none = Degrade::default();
    let burst = Some(Burst { enter: 1.0, leave: 0.0, loss: 1.0 });
    let counter = |change: fn(&mut Counters)| {
        let mut counters = Counters::default();
        change(&mut counters);
        counters
    };
    let cases = [
        (Degrade { loss: 1.0, ..none }, 100, counter(|c| c.lost = 1)),
        (Degrade { burst, ..none }, 100, counter(|c| c.lost_in_bursts = 1)),
        (Degrade { duplicate: 1.0, ..none }, 100, counter(|c| c.duplicated = 1)),
        (Degrade { reorder: 1.0, ..none }, 100, counter(|c| c.reordered = 1)),
        (Degrade { corrupt: 1.0, ..none }, 100, counter(|c| c.corrupted = 1)),
        (Degrade { mtu_bytes: Some(99), ..none }, 100, counter(|c| c.oversized = 1)),
        (Degrade { delay: Duration::from_millis(1), ..none }, 100, Counters::default()),
        (Degrade { jitter: Duration::from_millis(3), ..none }, 100, Counters::default()),
        (Degrade { rate: Some(1_000), ..none }, 100, Counters::default()),
    ];
    for (degrade, len, counters) in cases {
        let mut links = links(Link::default());
        let idle = links.faults.degrade(0, &[0], &[1], true, Degrade { mtu_bytes: Some(1_000), ..none });
        let fault = links.faults.degrade(0, &[0], &[1], true, degrade);
        links.datagram(0, 0, 1, len);
        assert_eq!(links.counters, counters, "{degrade}");
        assert_eq!(links.faults.bites()[fault.0].hits, 1, "{degrade}");
        assert_eq!(links.faults.bites()[idle.0].hits, 0, "a limit that nothing exceeds has made no difference");
    }
}

/// Goal: a fault that asks for less than the link does by itself, or than another fault does, is not credited with it.
#[test]
fn a_fault_that_does_not_show_does_not_bite() {
    let mut links = links(Link { loss: 0.5, ..Link::default() });
    let less = links.faults.degrade(
        0,
        &[0],
        &[1],
        true,
        Degrade { loss: 0.1, jitter: Duration::from_millis(1), ..Degrade::default() },
    );
    let more = links.faults.degrade(0, &[0], &[1], true, Degrade { loss: 0.9, ..Degrade::default() });
    arrivals(&mut links, 1_000, MS, 100);
    let hits = |fault: FaultId| links.faults.bites()[fault.0].hits;
    assert_eq!((hits(less), hits(more)), (0, links.counters.lost));
    assert!(links.counters.lost > 850);
}

#[test]
fn a_smaller_queue_overflows_and_bites() {
    let mut links = links(Link { rate: Some(100_000), ..Link::default() });
    let fault = links.faults.degrade(0, &[0], &[1], true, Degrade { queue_bytes: Some(2_000), ..Degrade::default() });
    let arrived = arrivals(&mut links, 10, 0, 1_000).len() as u64;
    assert_eq!((arrived, links.counters.overflowed), (3, 7));
    assert_eq!(links.faults.bites()[fault.0].hits, 7);
}

/// Goal: bursts lose as much as they should, in runs as long as they should, and end with their fault.
#[test]
fn bursts_come_in_runs() {
    let burst = Burst { enter: 0.01, leave: 0.1, loss: 1.0 };
    let mut links = links(Link { burst: Some(burst), ..Link::default() });
    let lost: Vec<bool> = (0..100_000).map(|n| links.datagram(n * MS, 0, 1, 100).arrivals[0].is_none()).collect();
    let total = lost.iter().filter(|lost| **lost).count();
    let runs = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
    assert_eq!(total as u64, links.counters.lost_in_bursts);
    assert!((8_000..10_200).contains(&total), "a share of 1 in 11: {total}");
    assert!((8..12).contains(&(total / runs)), "runs of 10: {}", total / runs);
    links.set(0, 1, Link::default());
    assert_eq!(arrivals(&mut links, 100, MS, 100).len(), 100);
}

#[test]
fn streams_lose_time_to_bursts_and_corruption_and_the_faults_count_it() {
    for by in [
        Degrade { burst: Some(Burst { enter: 1.0, leave: 0.0, loss: 0.5 }), ..Degrade::default() },
        Degrade { corrupt: 0.5, ..Degrade::default() },
    ] {
        let mut links = links(Link::default());
        let fault = links.faults.degrade(0, &[0], &[1], true, by);
        let late = (0..100).filter(|n| links.segment(n * MS, 0, 1, 100) > (n + 200) * MS).count() as u64;
        let hits = links.faults.bites()[fault.0].hits;
        assert!((30..70).contains(&late) && hits >= late, "{by}: {late} late, {hits} hits");
    }
}

#[test]
fn the_chosen_bits_depend_on_the_datagram_alone() {
    let flips = |before: u64| {
        let mut links = links(Link { corrupt: 1.0, ..Link::default() });
        for n in 0..before {
            links.datagram(n, 0, 1, 100);
        }
        links.datagram(before, 0, 1, 100).flips.unwrap().next_u64()
    };
    assert_eq!(flips(3), flips(3));
    assert_ne!(flips(3), flips(4));
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
                links.datagram(n * MS, 0, 1, 50).arrivals
            }).collect::<Vec<_>>()
        };
        let fates = run(0);
        prop_assert_eq!(&fates, &run(noise));
        for (n, arrivals) in fates.iter().enumerate() {
            for at in arrivals.iter().flatten() {
                prop_assert!(*at >= n as Nanos * MS + 10 * MS);
            }
        }
    }

    /// Goal: the fates of a run, forced where chance decides nothing but the jitter, are the run again; and those of the
    /// second run are those of the first.
    #[test]
    fn forced_fates_are_the_run_in_which_they_were_drawn(
        seed: u64,
        loss in 0.0..0.3f64,
        reorder in 0.0..0.3f64,
        duplicate in 0.0..0.3f64,
        corrupt in 0.0..0.3f64,
        enter in 0.0..0.2f64,
        cut in 0u64..200,
    ) {
        let calm = Link { rate: Some(1_000_000), jitter: Duration::from_millis(7), ..Link::default() };
        let burst = Some(Burst { enter, leave: 0.3, loss: 0.8 });
        let rough = Link { loss, reorder, duplicate, corrupt, burst, ..calm };
        let play = |link, forced: Option<&[Fate]>| {
            let mut links = Links::new(seed, 2, link, Duration::from_micros(20));
            let fault = links.faults.note(0, "forced".into());
            links.ledger.force(fault, forced.unwrap_or_default());
            let mut seen = Vec::new();
            for n in 0..200 {
                if forced.is_none() && n == cut {
                    links.faults.cut(n * MS, &[0], &[1], false);
                } else if forced.is_none() && n == cut + 20 {
                    links.faults.heal(n * MS);
                }
                let Passage { arrivals, flips, .. } = links.datagram(n * MS, 0, 1, 500);
                seen.push((arrivals, flips.map(|mut dice| dice.next_u64())));
            }
            (seen, links.ledger.recorded().to_vec(), links.faults.bites()[fault.0].hits)
        };
        let (seen, fates, _) = play(rough, None);
        let (again, fates_again, hits) = play(calm, Some(&fates));
        prop_assert_eq!(seen, again);
        prop_assert_eq!(&fates, &fates_again);
        let befallen: BTreeSet<u64> = fates.iter().map(|fate| fate.nth).collect();
        prop_assert_eq!(hits, befallen.len() as u64);
    }
}
