use super::*;
use crate::mesh::start_of_time;

const MS: Duration = Duration::from_millis(1);
const TOO_LONG: Duration = Duration::from_millis(350);

/// Plays `secs` seconds of a link that is silent while `silent` says so. Returns its turns, with their times.
fn play(history: &mut History, secs: u32, silent: impl Fn(Duration) -> bool) -> Vec<(Duration, Turn)> {
    let start = start_of_time();
    let mut suspicion = Suspicion::new(start, history);
    let (mut heard, mut turns) = (start, Vec::new());
    for now in (0..secs * 100).map(|nth| start + 10 * MS * nth) {
        if !silent(now - start) {
            heard = now;
        }
        let turn = suspicion.look(now, now - heard, TOO_LONG, history);
        turns.extend(turn.map(|turn| (now - start, turn)));
    }
    turns
}

#[test]
fn a_silence_is_suspicious_and_a_second_of_calm_is_good_again() {
    let silence = 1_000 * MS..2_000 * MS;
    let turns = play(&mut History::default(), 10, |at| silence.contains(&at));
    assert_eq!(turns, [(1_340 * MS, Turn::Suspected), (3_000 * MS, Turn::Trusted)]);
}

#[test]
fn a_silence_that_is_short_is_nothing() {
    assert_eq!(play(&mut History::default(), 60, |at| at.as_millis() % 1_000 < 300), []);
}

/// Goal: however fast or slowly a link flaps for a minute, the lattice hears of it ten times at most.
#[test]
fn a_link_that_flaps_is_told_of_rarely() {
    for period in [700, 1_000, 2_000, 3_000, 4_000, 6_000, 10_000_u128] {
        let turns = play(&mut History::default(), 90, |at| {
            at < Duration::from_secs(60) && at.as_millis() % period < period / 2
        });
        assert!(turns.len() <= 10, "every {period} ms: {turns:?}");
    }
}

#[test]
fn a_silent_link_can_be_doubted_more_until_it_is_calm() {
    let (start, mut history) = (start_of_time(), History::default());
    let mut suspicion = Suspicion::new(start, &history);
    assert!(!suspicion.worsen(), "it is trusted");
    suspicion.look(start, TOO_LONG, TOO_LONG, &mut history);
    assert_eq!(suspicion.doubt(), 1);
    assert!(suspicion.worsen() && !suspicion.worsen());
    assert_eq!(suspicion.doubt(), WORSE);
    // A relapse: the calm that is asked for is longer than the one that lets it count as others on probation do.
    history.calm = CALM_MIN * 4;
    for (at, doubt) in [(0, WORSE), (900, WORSE), (1_000, 1), (3_900, 1), (4_000, 0)] {
        suspicion.look(start + MS * at, Duration::ZERO, TOO_LONG, &mut history);
        assert!(!suspicion.worsen(), "it is not silent");
        assert_eq!(suspicion.doubt(), doubt, "after {at} ms");
    }
}

#[test]
fn a_link_that_comes_back_from_the_dead_is_on_probation() {
    let start = start_of_time();
    let mut history = History::default();
    assert_eq!(Suspicion::new(start, &history), Suspicion::Trusted);
    history.trouble(start);
    let mut again = Suspicion::new(start, &history);
    assert!(again.is_suspected());
    assert_eq!(again.next(&history), Some(start + CALM_MIN));
    assert_eq!(again.look(start + CALM_MIN, Duration::ZERO, TOO_LONG, &mut history), Some(Turn::Trusted));
    assert_eq!(again.next(&history), None);
}

#[test]
fn what_is_good_is_forgotten_and_what_is_remembered_is_bounded() {
    let (start, histories) = (start_of_time(), Histories::default());
    let node = |nth: u32| {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&nth.to_be_bytes());
        NodeId(key)
    };
    histories.with(node(0), |history| assert!(!history.troubled));
    assert!(histories.lock().is_empty());
    for nth in 0..REMEMBERED_MAX as u32 * 2 {
        histories.trouble(start + MS * nth, node(nth));
    }
    assert_eq!(histories.lock().len(), REMEMBERED_MAX);
    assert!(histories.with(node(REMEMBERED_MAX as u32 * 2 - 1), |history| history.troubled));
}
