use super::*;
use crate::mesh::start_of_time;
use lattice_broker::env::Rng;
use proptest::prelude::*;
use rand_core::{Rng as _, SeedableRng};

const MS: Duration = Duration::from_millis(1);
const DEAD: Duration = Duration::from_millis(2_500);

fn end(now: Instant, leads: bool) -> Heartbeat {
    Heartbeat::new(now, Pace::Automatic, DEAD, leads, 4 * MS)
}

#[test]
fn the_interval_follows_the_round_trip() {
    let start = start_of_time();
    let interval = |pace, round_trip| Heartbeat::new(start, pace, DEAD, true, round_trip).interval();
    assert_eq!(interval(Pace::Automatic, 2 * MS), 100 * MS);
    assert_eq!(interval(Pace::Automatic, 20 * MS), 250 * MS);
    assert_eq!(interval(Pace::Automatic, 300 * MS), 500 * MS);
    assert_eq!(interval(Pace::Every(5_000 * MS), 300 * MS), 5_000 * MS);
    assert_eq!(interval(Pace::Metered, 300 * MS), METERED);
}

#[test]
fn the_end_that_leads_sends_once_an_interval_while_it_is_answered() {
    let start = start_of_time();
    let mut heartbeat = end(start, true);
    for nth in 0..20 {
        let now = start + 100 * MS * nth;
        assert_eq!(heartbeat.due(now), Due::Send);
        assert_eq!(heartbeat.due(now), Due::Nothing);
        assert_eq!(heartbeat.next(now), now + 100 * MS);
        let answer = VecDeque::from([Receipt { sent: now, at: now + 29 * MS }]);
        let exchanges = heartbeat.receipts(now + 99 * MS, 4 * MS, &answer);
        assert_eq!(exchanges, Exchanges { answered: 1, lost: 0 });
    }
}

#[test]
fn a_heartbeat_that_is_not_answered_is_followed_by_others_soon() {
    let start = start_of_time();
    let mut heartbeat = end(start, true);
    assert_eq!(heartbeat.due(start), Due::Send);
    let mut sent = vec![start];
    let mut now = start;
    while heartbeat.missing(now).time() < heartbeat.suspect_after() {
        now = heartbeat.next(now);
        heartbeat.receipts(now, 4 * MS, &VecDeque::new());
        if heartbeat.due(now) == Due::Send {
            sent.push(now);
        }
    }
    assert!(now - start >= 300 * MS && now - start <= 400 * MS, "{:?}", now - start);
    assert!(sent.len() >= 8, "{}", sent.len());
    assert!(sent.windows(2).all(|two| two[1] - two[0] >= PACE_MIN));
}

#[test]
fn silence_kills_at_both_ends() {
    let start = start_of_time();
    for leads in [true, false] {
        let mut heartbeat = end(start, leads);
        heartbeat.heard(start + 500 * MS);
        let mut now = start;
        let dead = loop {
            now = heartbeat.next(now);
            if let Due::Dead(missing) = heartbeat.due(now) {
                break missing;
            }
        };
        assert_eq!(dead.time(), DEAD);
        assert_eq!(matches!(dead, Missing::Answered(_)), leads, "who leads has had no answer for longer");
    }
}

#[test]
fn the_end_that_does_not_lead_is_quiet_while_it_hears() {
    let start = start_of_time();
    let mut heartbeat = end(start, false);
    assert_eq!(heartbeat.due(start), Due::Send);
    for nth in 0..8 {
        heartbeat.told(start + 100 * MS * nth, Beat { every_ms: 100, suspect_ms: 350, ..Beat::default() });
        assert_eq!(heartbeat.due(start + 100 * MS * (nth + 1)), Due::Nothing);
    }
    let last = start + 700 * MS;
    assert_eq!(heartbeat.next(last), last + 150 * MS);
    assert_eq!(heartbeat.due(last + 150 * MS), Due::Send);
    assert_eq!(heartbeat.suspect_after(), 350 * MS);
}

#[test]
fn whoever_is_not_heard_learns_it_from_the_other() {
    let start = start_of_time();
    let mut heartbeat = end(start, false);
    let deaf = Beat { every_ms: 100, suspect_ms: 350, silent_ms: 360, ..Beat::default() };
    heartbeat.told(start + 400 * MS, deaf);
    assert_eq!(heartbeat.missing(start + 400 * MS), Missing::Answered(360 * MS));
    assert_eq!(heartbeat.due(start + 400 * MS), Due::Send, "it tries to be heard");
    heartbeat.told(start + 500 * MS, Beat { silent_ms: 20, ..deaf });
    assert_eq!(heartbeat.missing(start + 500 * MS), Missing::Answered(20 * MS));

    let mut heartbeat = end(start, true);
    heartbeat.told(start + 400 * MS, Beat { silent_ms: 390, ..Beat::default() });
    assert_eq!(heartbeat.missing(start + 400 * MS), Missing::Answered(400 * MS), "nor was anything acknowledged");
    let answer = VecDeque::from([Receipt { sent: start + 410 * MS, at: start + 420 * MS }]);
    heartbeat.receipts(start + 420 * MS, 4 * MS, &answer);
    assert_eq!(heartbeat.missing(start + 420 * MS).time(), Duration::ZERO, "what was told before is over");
}

#[test]
fn the_slower_end_has_its_way() {
    let start = start_of_time();
    let mut leads = end(start, true);
    let mut metered = Heartbeat::new(start, Pace::Metered, DEAD, false, 4 * MS);
    let beat = metered.beat(start, 7);
    assert!(beat.metered && beat.cost == 0);
    leads.told(start, beat);
    assert_eq!(leads.interval(), METERED);
    assert!(leads.dead_after() > METERED * 4);
    // Until the other end knows, it is told again.
    metered.told(start, Beat { every_ms: 100, suspect_ms: 350, ..Beat::default() });
    assert_eq!(metered.due(start), Due::Send);
    metered.told(start + 100 * MS, Beat { every_ms: 100, suspect_ms: 350, ..Beat::default() });
    assert_eq!(metered.due(start + 100 * MS), Due::Send);
    metered.told(start + 200 * MS, leads.beat(start + 200 * MS, 7));
    assert_eq!(metered.due(start + 200 * MS), Due::Nothing);
    assert_eq!(metered.interval(), METERED);
}

#[test]
fn who_stood_still_blames_nobody() {
    let start = start_of_time();
    let mut heartbeat = end(start, true);
    assert_eq!(heartbeat.due(start), Due::Send);
    heartbeat.slept(start + DEAD * 2, DEAD * 2 - 100 * MS);
    assert_eq!(heartbeat.missing(start + DEAD * 2).time(), 100 * MS);
}

#[test]
fn a_heartbeat_is_read_as_it_was_written_and_nonsense_is_none() {
    let beat = Beat { every_ms: 250, suspect_ms: 812, silent_ms: 203, cost: 31, metered: true };
    let datagram = beat.encode();
    assert_eq!(datagram[0], TAG);
    assert_eq!(Beat::decode(&datagram[1..]), Some(beat));
    assert_eq!(Beat::decode(&datagram[1..4]), None);
    assert_eq!(Beat::decode(&[]), None);
}

/// One end that leads against a peer that acknowledges each heartbeat it gets, over a link that loses packets and delays
/// each by chance. Returns how often the link would have been suspected within `time`.
fn suspicions(seed: u64, loss: f64, delay: Duration, jitter: Duration, time: Duration) -> u32 {
    let mut rng = Rng::seed_from_u64(seed);
    let start = start_of_time();
    let mut heartbeat = Heartbeat::new(start, Pace::Automatic, DEAD, true, delay * 2);
    let (mut now, mut suspected) = (start, 0);
    // Receipts that are still under way.
    let mut coming: Vec<Receipt> = Vec::new();
    let mut receipts = VecDeque::new();
    while now < start + time {
        coming.sort_by_key(|receipt| receipt.at);
        let arrived = coming.iter().take_while(|receipt| receipt.at <= now).count();
        for receipt in coming.drain(..arrived) {
            if receipts.back().is_none_or(|last: &Receipt| last.sent < receipt.sent) {
                receipts.push_back(receipt);
            }
        }
        while receipts.len() > RECEIPTS_MAX {
            receipts.pop_front();
        }
        heartbeat.receipts(now, delay * 2, &receipts);
        if heartbeat.due(now) == Due::Send {
            let mut chance = || f64::from(rng.next_u32()) / f64::from(u32::MAX);
            if chance() >= loss && chance() >= loss {
                let took = delay * 2 + jitter.mul_f64(chance()) + jitter.mul_f64(chance()) + ACK_DELAY;
                coming.push(Receipt { sent: now, at: now + took });
            }
        }
        if heartbeat.missing(now).time() >= heartbeat.suspect_after() {
            suspected += 1;
            heartbeat.slept(now, DEAD);
        }
        now = heartbeat.next(now);
    }
    suspected
}

/// Goal: one packet in ten lost in either direction at a round trip of 100 ms, or jitter as long as the delay, is no
/// reason to suspect a link. The transport's own probes, which make it rarer still, are left out.
#[test]
fn loss_and_jitter_are_hardly_ever_taken_for_silence() {
    let hour = Duration::from_secs(3_600);
    let lossy: u32 = (0..24).map(|seed| suspicions(seed, 0.1, 50 * MS, 10 * MS, hour)).sum();
    assert!(lossy <= 24, "{lossy} times in 24 hours");
    let jittery: u32 = (0..24).map(|seed| suspicions(seed, 0.01, 50 * MS, 100 * MS, hour)).sum();
    assert_eq!(jittery, 0);
    let near: u32 = (0..24).map(|seed| suspicions(seed, 0.01, MS, 5 * MS, hour)).sum();
    assert!(near <= 1, "{near} times in 24 hours");
}

proptest! {
    /// Goal: whatever a peer claims, heartbeats are bounded in number, and a silent peer is dead in a bounded time.
    #[test]
    fn claims_change_no_bounds(every_ms: u32, suspect_ms: u32, silent_ms: u32, cost: u32, metered: bool, leads: bool) {
        let start = start_of_time();
        let mut heartbeat = end(start, leads);
        heartbeat.told(start, Beat { every_ms, suspect_ms, silent_ms, cost, metered });
        let (mut now, mut sent) = (start, 0);
        while !matches!(heartbeat.due(now), Due::Dead(_)) {
            let next = heartbeat.next(now);
            prop_assert!(next > now);
            now = next;
            sent += 1;
            prop_assert!(sent <= 1_000 && now <= start + Duration::from_secs(1_000), "{sent} {:?}", now - start);
        }
    }
}
