use super::*;
use crate::mesh::start_of_time;
use lattice_broker::env::Rng;
use rand_core::{Rng as _, SeedableRng};

const MS: Duration = Duration::from_millis(1);

/// Feeds `secs` seconds of measurements, four a second; returns what was told when.
fn tell(cost: &mut Cost, secs: u32, mut sample: impl FnMut(Duration) -> (f64, bool)) -> Vec<(Duration, u32)> {
    let start = start_of_time();
    let mut told = Vec::new();
    for now in (0..secs * 4).map(|nth| start + 250 * MS * nth) {
        let (millis, lost) = sample(now - start);
        let round_trip = Duration::from_secs_f64(millis / 1e3);
        if cost.measure(now, round_trip, u32::from(!lost), u32::from(lost)) {
            told.push((now - start, cost.told()));
        }
    }
    told
}

fn uniform(rng: &mut Rng) -> f64 {
    f64::from(rng.next_u32()) / f64::from(u32::MAX)
}

#[test]
fn a_link_that_gets_bad_is_told_of_once_it_has_lasted() {
    let mut cost = Cost::new(Cost::of(20 * MS));
    assert_eq!(cost.told(), 30);
    let told = tell(&mut cost, 60, |at| (if at > 10_000 * MS { 420.0 } else { 20.0 }, false));
    assert_eq!(told, [(12_250 * MS, 430)]);
}

#[test]
fn a_burst_is_not_told_of() {
    let mut cost = Cost::new(30);
    assert_eq!(tell(&mut cost, 60, |at| (if at.as_millis() % 5_000 < 1_750 { 500.0 } else { 20.0 }, false)), []);
}

#[test]
fn loss_costs() {
    let mut cost = Cost::new(30);
    let mut rng = Rng::seed_from_u64(1);
    let told = tell(&mut cost, 120, |_| (20.0, uniform(&mut rng) < 0.4));
    assert!(cost.told() > 150, "{told:?}");
    assert!(told.len() <= 8 && told[0].0 < Duration::from_secs(8), "{told:?}");
}

/// Goal: jitter and a lost packet now and then are never told of, in an hour.
#[test]
fn noise_is_not_told_of() {
    for seed in 0..10 {
        let mut rng = Rng::seed_from_u64(seed);
        let mut smoothed = 40.0;
        let mut cost = Cost::new(50);
        let told = tell(&mut cost, 3_600, |_| {
            // As the transport smooths: jitter of up to 20 ms in either direction.
            smoothed += (30.0 + uniform(&mut rng) * 20.0 - smoothed) / 8.0;
            (smoothed, uniform(&mut rng) < 0.01)
        });
        assert_eq!(told, [], "seed {seed}");
    }
}

/// Goal: of two parallel links, one that gets slowly worse and one that gets slowly better, traffic changes over once.
#[test]
fn two_links_that_cross_slowly_change_places_once() {
    let (mut rng, start) = (Rng::seed_from_u64(3), start_of_time());
    let (mut one, mut two) = (Cost::new(30), Cost::new(130));
    let (mut better, mut changes) = (true, 0);
    for nth in 0..1_200_u32 {
        let now = start + 250 * MS * nth;
        let drift = f64::from(nth) / 12.0;
        let noise = uniform(&mut rng) * 8.0;
        one.measure(now, Duration::from_secs_f64((20.0 + drift + noise) / 1e3), 1, 0);
        two.measure(now, Duration::from_secs_f64((120.0 - drift + noise) / 1e3), 1, 0);
        if (one.told() < two.told()) != better {
            better = !better;
            changes += 1;
        }
    }
    assert_eq!(changes, 1);
}

#[test]
fn the_other_end_takes_over_what_was_measured_but_not_any_number_at_any_time() {
    let (start, mut cost) = (start_of_time(), Cost::new(30));
    assert!(!cost.adopt(start, 0) && !cost.adopt(start, 30));
    assert!(cost.adopt(start, 430));
    assert!(!cost.adopt(start + MS, 20), "too soon");
    assert!(cost.adopt(start + TOLD_APART, u32::MAX));
    assert_eq!(cost.told(), 10_000);
}
