use super::*;
use crate::mesh::candidates::NODES_MAX;
use crate::mesh::start_of_time;
use rand_core::SeedableRng;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn node(n: u32) -> NodeId {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&n.to_be_bytes());
    NodeId(key)
}

fn addr(n: u32) -> SocketAddr {
    let [_, b, c, d] = n.to_be_bytes();
    ([10, b, c, d], 7443).into()
}

/// A node's decisions, its clock, and who can be reached from it.
struct Bench {
    forming: Forming,
    now: Instant,
    reach: BTreeMap<NodeId, Standing>,
}

impl Bench {
    fn new(config: Config) -> Self {
        let now = start_of_time();
        Self { forming: Forming::new(config, 5, Rng::from_seed([3; 32]), now), now, reach: BTreeMap::new() }
    }

    fn announced(&mut self, nodes: std::ops::Range<u32>) {
        for n in nodes {
            self.forming.announced(self.now, node(n), &[addr(n)]);
        }
    }

    fn reached(&mut self, n: u32, cost: u32, links: usize) {
        self.reach.insert(node(n), Standing { cost, links, transit: true });
        self.forming.routes_changed(self.now);
    }

    /// Whom it dials in the next `time`, with when.
    fn dials(&mut self, time: Duration, mut end: impl FnMut(&mut Self, &Dial)) -> Vec<(Duration, Dial)> {
        let (start, mut dialled) = (self.now, Vec::new());
        loop {
            let reach = self.reach.clone();
            while let Some(dial) = self.forming.poll(self.now, |node| reach.get(node).copied()) {
                dialled.push((self.now - start, dial.clone()));
                end(self, &dial);
            }
            match self.forming.due().filter(|due| *due <= start + time) {
                // A due time in the past is a loop without end.
                Some(due) => self.now = due.max(self.now + Duration::from_nanos(1)),
                None => {
                    self.now = start + time;
                    return dialled;
                }
            }
        }
    }

    fn fails(&mut self, dial: &Dial) {
        self.forming.ended(self.now, dial.node, Outcome::Failed);
    }
}

/// Goal: a member out of reach is dialled for ever: soon at first, then no more rarely than every ten minutes.
#[test]
fn who_cannot_be_reached_is_dialled_for_ever() {
    let mut bench = Bench::new(Config::default());
    bench.announced(1..2);
    let dialled = bench.dials(Duration::from_secs(24 * 3600), |bench, dial| bench.fails(dial));
    let times: Vec<Duration> = dialled.iter().map(|(at, _)| *at).collect();
    assert!(times[0] <= ms(300), "{:?}", times[0]);
    assert!(times.iter().filter(|at| **at < Duration::from_secs(30)).count() >= 5, "{times:?}");
    let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps[0] <= ms(500));
    assert!(gaps.iter().all(|gap| *gap <= Duration::from_secs(601)), "{gaps:?}");
    assert!(times.len() >= 144 && times.len() < 320, "{}", times.len());
}

/// Goal: many that are gone for good cost little, and a new one does not wait for them.
#[test]
fn those_that_are_gone_are_dialled_with_leisure() {
    let mut bench = Bench::new(Config::default());
    bench.announced(1..1_000);
    bench.dials(Duration::from_secs(3600), |bench, dial| bench.fails(dial));
    let dialled = bench.dials(Duration::from_secs(600), |bench, dial| bench.fails(dial));
    assert!((100..=200).contains(&dialled.len()), "{}", dialled.len());
    bench.announced(5_000..5_001);
    let dialled = bench.dials(ms(500), |bench, dial| bench.fails(dial));
    assert!(dialled.iter().any(|(_, dial)| dial.node == node(5_000)), "{dialled:?}");
}

/// Goal: near ones up to the least number, one by chance, and then no more, whatever others there are.
#[test]
fn links_are_near_ones_and_one_by_chance() {
    let mut bench = Bench::new(Config::default());
    bench.announced(1..100);
    (1..100).for_each(|n| bench.reached(n, if n < 60 { 12 } else { 50 }, 3));
    bench.forming.linked(bench.now, node(50), None);
    let linked = |bench: &mut Bench, dial: &Dial| {
        assert!(bench.forming.dialling.len() == 1, "one at a time");
        bench.forming.linked(bench.now, dial.node, Some(dial.addresses[0]));
    };
    let dialled = bench.dials(Duration::from_secs(3600), linked);
    let whys: Vec<Why> = dialled.iter().map(|(_, dial)| dial.why).collect();
    assert_eq!(whys, [Why::Near, Why::Near, Why::Far]);
    assert!(dialled[..2].iter().all(|(_, dial)| dial.node < node(60)), "the cheap ones");
    // When the one by chance ends, another takes its place, and so for the others.
    bench.forming.unlinked(bench.now, dialled[2].1.node);
    let dialled = bench.dials(Duration::from_secs(3600), linked);
    assert_eq!(dialled.len(), 1);
    // Whom others link to, up to the most, costs no further link; the bridge comes in any case.
    (20..30).for_each(|n| bench.forming.linked(bench.now, node(n), None));
    assert_eq!(bench.dials(Duration::from_secs(3600), linked), []);
    bench.announced(200..201);
    let dialled = bench.dials(Duration::from_secs(1), linked);
    assert_eq!((dialled.len(), dialled[0].1.why), (1, Why::Bridge));
}

/// Goal: those that have enough links are left alone while there are others, and taken when there are none.
#[test]
fn who_has_enough_links_is_spared() {
    let mut bench = Bench::new(Config::default());
    bench.announced(1..20);
    (1..20).for_each(|n| bench.reached(n, 12, if n < 17 { 6 } else { 2 }));
    bench.forming.linked(bench.now, node(100), None);
    let linked = |bench: &mut Bench, dial: &Dial| bench.forming.linked(bench.now, dial.node, None);
    let dialled = bench.dials(Duration::from_secs(60), linked);
    assert_eq!(dialled.len(), 3);
    assert!(dialled.iter().all(|(_, dial)| dial.node >= node(17)), "{dialled:?}");
    bench.forming.unlinked(bench.now, node(100));
    bench.reach.values_mut().for_each(|standing| standing.links = 6);
    let dialled = bench.dials(Duration::from_secs(60), linked);
    assert_eq!(dialled.len(), 1, "a fourth link is wanted of whomever");
}

/// Goal: one that announces ever new addresses is not dialled more often for it: it could name those of a victim.
#[test]
fn announcements_do_not_make_a_node_dial_more_often() {
    let mut bench = Bench::new(Config::default());
    let mut dialled = 0;
    for n in 0..10_000 {
        bench.forming.announced(bench.now, node(1), &[addr(n)]);
        dialled += bench.dials(ms(10), |bench, dial| bench.fails(dial)).len();
    }
    assert!(dialled <= 20, "{dialled} in 100 s");
}

/// Goal: what is made up by the thousand finds a bound in memory and in attempts.
#[test]
fn a_flood_of_nodes_finds_a_bound() {
    let mut bench = Bench::new(Config::default());
    let (mut dialled, mut most) = (0, 0);
    for n in 0..20 {
        bench.announced(n * 1_000..(n + 1) * 1_000);
        while bench.forming.last_record().is_some() {}
        dialled += bench.dials(ms(100), |_, _| {}).len();
        most = most.max(bench.forming.dialling.len());
        let under_way: Vec<NodeId> = bench.forming.dialling.keys().copied().collect();
        under_way.into_iter().for_each(|node| bench.forming.ended(bench.now, node, Outcome::Failed));
    }
    let counters = bench.forming.counters();
    assert_eq!(counters.candidates, NODES_MAX as u64);
    assert_eq!(counters.candidates_refused + counters.candidates_evicted, 20_000 - NODES_MAX as u64);
    assert!(most <= 8 && dialled <= 160, "{most} at once, {dialled} in 2 s");
}

/// Goal: whoever is heard is dialled at once by those who are alone, and by few of those who are many; and never for nothing
/// but beacons more often than they may cost.
#[test]
fn who_is_heard_is_dialled() {
    let mut bench = Bench::new(Config::default());
    bench.forming.heard(bench.now, node(1), addr(1), 0);
    let dialled = bench.dials(ms(1), |bench, dial| bench.fails(dial));
    assert_eq!(
        dialled.iter().map(|(_, dial)| (dial.node, dial.addresses.clone())).collect::<Vec<_>>(),
        [(node(1), vec![addr(1)])]
    );
    assert_eq!(bench.forming.last_record(), None, "a hint is not written down");
    // One that is known for long and was given up comes back.
    bench.announced(2..3);
    bench.dials(Duration::from_secs(3600), |bench, dial| bench.fails(dial));
    bench.forming.heard(bench.now, node(2), addr(2), 0);
    let dialled = bench.dials(ms(2_100), |bench, dial| bench.fails(dial));
    assert!(dialled.iter().any(|(_, dial)| dial.node == node(2)), "{dialled:?}");
    // Of a hundred that hear a newcomer a few dial it in the first tenth of a second.
    let soon = (0..100).filter(|seed| {
        let mut bench = Bench::new(Config::default());
        bench.forming.rng = Rng::from_seed([*seed; 32]);
        bench.forming.heard(bench.now, node(1), addr(1), 99);
        !bench.dials(ms(100), |bench, dial| bench.fails(dial)).is_empty()
    });
    assert!((1..=15).contains(&soon.count()));
}

/// Goal: beacons that somebody makes up cost a bounded number of attempts, and no member its place.
#[test]
fn made_up_beacons_find_a_bound() {
    let mut bench = Bench::new(Config::default());
    bench.announced(0..10);
    bench.dials(Duration::from_secs(600), |bench, dial| bench.fails(dial));
    let (start, mut dialled) = (bench.now, 0);
    for n in 0..100_000 {
        bench.forming.heard(bench.now, node(100 + n % 5_000), addr(1), 50);
        dialled += if n % 100 == 0 { bench.dials(ms(10), |bench, dial| bench.fails(dial)).len() } else { 0 };
    }
    let seconds = (bench.now - start).as_secs() as usize;
    assert!(dialled <= 20 + 32 + 8 * (seconds + 1), "{dialled} in {seconds} s");
    let counters = bench.forming.counters();
    assert!(counters.candidates <= 10 + 256, "{}", counters.candidates);
    assert!((0..10).all(|n| bench.forming.candidates.get(&node(n)).is_some()));
    assert!(counters.beacons_late > 90_000, "{}", counters.beacons_late);
}

/// Goal: members that do not answer at present are dialled as often beside made-up beacons as without, even when the attempts
/// that those cost never end.
#[test]
fn made_up_beacons_hold_up_nobody() {
    let mut bench = Bench::new(Config::default());
    bench.announced(0..2);
    bench.dials(Duration::from_secs(60), |bench, dial| bench.fails(dial));
    let mut dialled = 0;
    for n in 0..1_200 {
        bench.forming.heard(bench.now, node(100 + n), addr(1), 0);
        let ended = bench.dials(Duration::from_secs(1), |bench, dial| {
            if dial.node == node(0) || dial.node == node(1) {
                bench.fails(dial);
            }
        });
        dialled += ended.iter().filter(|(_, dial)| dial.node == node(0) || dial.node == node(1)).count();
    }
    // Every ten minutes at the longest, each.
    assert!(dialled >= 4, "{dialled} in twenty minutes");
}

/// Goal: who is no member any more is not dialled, and not remembered.
#[test]
fn who_is_revoked_is_forgotten() {
    let mut bench = Bench::new(Config::default());
    bench.announced(0..2);
    while bench.forming.last_record().is_some() {}
    bench.forming.forget(|out| *out == node(0));
    assert_eq!(bench.forming.last_record(), Some((node(0), None)));
    let dialled = bench.dials(Duration::from_secs(60), |bench, dial| bench.fails(dial));
    assert!(!dialled.is_empty() && dialled.iter().all(|(_, dial)| dial.node == node(1)), "{dialled:?}");
}

#[test]
fn what_is_worth_it_is_written_down() {
    let mut bench = Bench::new(Config::default());
    bench.announced(1..2);
    assert_eq!(bench.forming.last_record(), Some((node(1), Some((vec![addr(1)], 0)))));
    assert_eq!(bench.forming.last_record(), None);
    bench.forming.linked(bench.now, node(1), Some(addr(9)));
    assert_eq!(bench.forming.last_record(), Some((node(1), Some((vec![addr(9), addr(1)], 5)))));
    bench.forming.unlinked(bench.now, node(1));
    bench.forming.linked(bench.now, node(1), Some(addr(9)));
    assert_eq!(bench.forming.last_record(), None, "nothing new");
    bench.forming.ended(bench.now, node(1), Outcome::Revoked);
    assert_eq!(bench.forming.last_record(), Some((node(1), None)));
}

#[test]
fn nothing_is_dialled_when_it_is_off() {
    let mut bench = Bench::new(Config { auto: false, ..Config::default() });
    bench.announced(1..50);
    bench.forming.linked(bench.now, node(1), Some(addr(1)));
    assert_eq!(bench.dials(Duration::from_secs(3600), |_, _| {}), []);
    assert_eq!((bench.forming.counters().candidates, bench.forming.last_record()), (0, None));
}

/// Goal: a beacon of nobody, repeated for ever, is not followed up more often than one of a member that is there.
#[test]
fn a_hint_that_fails_is_remembered() {
    let mut bench = Bench::new(Config::default());
    let mut dialled = 0;
    for _ in 0..600 {
        bench.forming.heard(bench.now, node(1), addr(1), 0);
        dialled += bench.dials(ms(100), |bench, dial| bench.fails(dial)).len();
    }
    assert!((20..=31).contains(&dialled), "{dialled} in a minute");
    let silent = bench.dials(Duration::from_secs(60), |bench, dial| bench.fails(dial));
    assert_eq!(silent.len(), 0, "the next beacon tells of it again, if it is there");
}

/// Goal: a node whose links end as soon as they are up is not dialled without a pause, and one with a good link soon again.
#[test]
fn links_that_do_not_last_are_made_more_rarely() {
    let mut bench = Bench::new(Config::default());
    bench.announced(1..2);
    let ends_at_once = |bench: &mut Bench, dial: &Dial| {
        bench.forming.linked(bench.now, dial.node, Some(addr(1)));
        bench.forming.unlinked(bench.now, dial.node);
        bench.forming.ended(bench.now, dial.node, Outcome::WasLinked);
    };
    let dialled = bench.dials(Duration::from_secs(600), ends_at_once);
    assert!((60..=130).contains(&dialled.len()), "{}", dialled.len());
    bench.forming.linked(bench.now, node(1), Some(addr(1)));
    bench.now += Duration::from_secs(10);
    bench.forming.unlinked(bench.now, node(1));
    let dialled = bench.dials(ms(600), ends_at_once);
    assert_eq!(dialled.len(), 1);
}

/// Goal: that two dialled each other's part at the same time is nobody's failure.
#[test]
fn a_bridge_that_is_not_needed_is_no_failure() {
    let mut bench = Bench::new(Config::default());
    bench.announced(1..2);
    let dialled = bench.dials(Duration::from_secs(1), |bench, dial| {
        bench.forming.ended(bench.now, dial.node, Outcome::Needless);
        bench.reach.insert(dial.node, Standing { cost: 1, links: 4, transit: true });
    });
    assert_eq!((dialled.len(), bench.forming.counters().failures), (1, 0));
    bench.reach.clear();
    bench.forming.routes_changed(bench.now);
    let refuses = |bench: &mut Bench, dial: &Dial| bench.forming.ended(bench.now, dial.node, Outcome::Refused);
    assert_eq!(bench.dials(ms(800), refuses).len(), 1, "it is dialled as soon as ever");
    let dialled = bench.dials(Duration::from_secs(60), refuses).len();
    assert!((6..=12).contains(&dialled), "{dialled}");
    assert_eq!(bench.forming.counters().failures, 0);
}

/// Goal: a member that says each second that it has moved does not wear the disk out, and where it was last is not forgotten.
#[test]
fn what_changes_all_the_time_is_written_down_rarely() {
    let mut bench = Bench::new(Config::default());
    let mut written = 0;
    for n in 0..3_600 {
        bench.forming.announced(bench.now, node(1), &[addr(n)]);
        while bench.forming.poll_record(bench.now).is_some() {
            written += 1;
        }
        bench.now += Duration::from_secs(1);
    }
    assert!((100..=150).contains(&written), "{written} in an hour");
    assert!(bench.forming.due().is_some_and(|due| due <= bench.now + SAVE_AGAIN), "the rest is not left");
    assert_eq!(bench.forming.last_record(), Some((node(1), Some((vec![addr(3_599)], 0)))));
}
