//! What a link makes of thin and lossy lines: whole nodes in the simulator. `benches/thin` prints the same as a table.

#[path = "../../benches/thin/line.rs"]
mod line;

use line::{Line, Seen, play};
use std::time::Duration;

const TIME: Duration = Duration::from_secs(20);

/// One run is one throw of the dice: a figure is that of the run in the middle of so many.
const RUNS: u64 = 9;

/// What is seen of a line in each run, in ascending order of `figure`.
fn runs<K: PartialOrd>(loss: f64, bulk: bool, figure: impl Fn(&Seen) -> K) -> Vec<Seen> {
    let mut seen: Vec<Seen> =
        (1..=RUNS).map(|seed| play(Line { seed, loss, ..Line::default() }, TIME, usize::from(bulk), !bulk)).collect();
    seen.sort_by(|a, b| figure(a).partial_cmp(&figure(b)).expect("no figure is NaN"));
    seen
}

/// Goal: however much of it chance takes, bulk fills a thin line, and next to nothing is sent in vain.
#[test]
fn bulk_fills_a_line_that_loses_packets() {
    for (loss, least) in [(0.0, 0.88), (0.01, 0.88), (0.03, 0.86), (0.05, 0.85)] {
        let seen = runs(loss, true, |seen| seen.share);
        let shares: Vec<f64> = seen.iter().map(|seen| seen.share).collect();
        assert!(shares[shares.len() / 2] >= least, "{loss}: payload fills {shares:.3?} of the line");
        let again = seen.iter().map(|seen| seen.again).fold(0.0, f64::max);
        assert!(again <= 0.01, "{loss}: {again:.4} of the packets were sent twice beyond the loss");
    }
}

/// Goal: what is lost is sent again at once, and holds up those behind it for little more than a round trip.
#[test]
fn small_messages_stay_prompt_on_a_line_that_loses_packets() {
    for (loss, most) in [(0.0, 25), (0.01, 75), (0.03, 110), (0.05, 120)] {
        let seen = runs(loss, false, |seen| seen.percentile(0.99));
        assert!(seen.iter().all(|seen| seen.took.len() >= 19_000), "{loss}: too few messages arrived");
        let p99: Vec<Duration> = seen.iter().map(|seen| seen.percentile(0.99)).collect();
        assert!(p99[p99.len() / 2] <= Duration::from_millis(most), "{loss}: {p99:?}");
        let again = seen.iter().map(|seen| seen.again).fold(0.0, f64::max);
        assert!(again <= 0.01, "{loss}: {again:.4} of the packets were sent twice beyond the loss");
    }
}

/// Goal: small messages of one client do not wait for what another client sends as fast as it can, neither in front of the
/// first line nor on the node between two, and bulk fills the lines all the same.
#[test]
fn small_messages_do_not_wait_for_the_bulk_of_another_client() {
    for (hops, loss, most) in [(1, 0.0, 60), (1, 0.05, 150), (2, 0.0, 150), (2, 0.05, 300)] {
        let (mut p99, mut shares) = (Vec::new(), Vec::new());
        for seed in 1..=if loss > 0.0 { RUNS } else { 1 } {
            let seen = play(Line { seed, hops, loss, ..Line::default() }, TIME, 1, true);
            assert!(seen.took.len() >= 19_000, "{hops}, {loss}: {} small messages arrived", seen.took.len());
            p99.push(seen.percentile(0.99));
            shares.push(seen.share);
        }
        p99.sort_unstable();
        shares.sort_by(f64::total_cmp);
        assert!(shares[shares.len() / 2] >= 0.8, "{hops}, {loss}: the payload of bulk fills {shares:.3?} of the line");
        assert!(p99[p99.len() / 2] <= Duration::from_millis(most), "{hops}, {loss}: {p99:?}");
    }
}

/// Goal: however many clients send as fast as they can, each pauses in time: nothing is lost in front of the line, and the
/// line is full.
#[test]
fn many_that_send_bulk_all_pause_in_time() {
    for bulk in [8, 9, 40] {
        let seen = play(Line::default(), TIME, bulk, false);
        assert_eq!(seen.dropped, 0, "{bulk} clients");
        assert!(seen.share >= 0.8, "{bulk} clients fill {:.3} of the line", seen.share);
    }
}

/// Goal: a line of a hundredth of that is filled as well, and its link lives, though a packet takes a tenth of a second.
#[test]
fn bulk_fills_a_very_thin_line() {
    for (seed, loss) in [(1, 0.0), (2, 0.05)] {
        let line = Line { seed, loss, rate: 100_000 / 8, queue: 64 << 10, ..Line::default() };
        let seen = play(line, Duration::from_secs(60), 1, false);
        assert!(seen.share >= 0.75, "{loss}: payload fills {:.3} of the line", seen.share);
        assert!(seen.again <= 0.03, "{loss}: {:.4} of the packets were sent twice beyond the loss", seen.again);
    }
}
