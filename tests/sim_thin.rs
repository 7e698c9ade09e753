//! What a link makes of thin and lossy lines: whole nodes in the simulator. `benches/thin` prints the same as a table.

#[path = "../benches/thin/line.rs"]
mod line;

use line::{Line, play};
use std::time::Duration;

const TIME: Duration = Duration::from_secs(20);

/// Goal: however much of it chance takes, bulk fills a thin line, and next to nothing is sent in vain.
#[test]
fn bulk_fills_a_line_that_loses_packets() {
    for (seed, loss, least) in [(1, 0.0, 0.88), (2, 0.01, 0.88), (3, 0.03, 0.86), (4, 0.05, 0.85)] {
        let seen = play(Line { seed, loss, ..Line::default() }, TIME, true, false);
        assert!(seen.share >= least, "{loss}: payload fills {:.3} of the line", seen.share);
        assert!(seen.again <= 0.01, "{loss}: {:.4} of the packets were sent twice beyond the loss", seen.again);
    }
}

/// Goal: what is lost is sent again at once, and holds up those behind it for little more than a round trip.
#[test]
fn small_messages_stay_prompt_on_a_line_that_loses_packets() {
    for (seed, loss, most) in [(1, 0.0, 25), (2, 0.01, 75), (3, 0.03, 110), (4, 0.05, 120)] {
        let seen = play(Line { seed, loss, ..Line::default() }, TIME, false, true);
        assert!(seen.took.len() >= 19_000, "{loss}: {} messages arrived", seen.took.len());
        let p99 = seen.percentile(0.99);
        assert!(p99 <= Duration::from_millis(most), "{loss}: {p99:?}");
        assert!(seen.again <= 0.01, "{loss}: {:.4} of the packets were sent twice beyond the loss", seen.again);
    }
}

/// Goal: a line of a hundredth of that is filled as well, and its link lives, though a packet takes a tenth of a second.
#[test]
fn bulk_fills_a_very_thin_line() {
    for (seed, loss) in [(1, 0.0), (2, 0.05)] {
        let line = Line { seed, loss, rate: 100_000 / 8, queue: 64 << 10, ..Line::default() };
        let seen = play(line, Duration::from_secs(60), true, false);
        assert!(seen.share >= 0.75, "{loss}: payload fills {:.3} of the line", seen.share);
        assert!(seen.again <= 0.03, "{loss}: {:.4} of the packets were sent twice beyond the loss", seen.again);
    }
}
