//! What a link makes of a thin and lossy line, in the simulator: nothing else on the machine has a say in it.
//!
//! ```text
//! cargo bench --profile fast --bench thin              50 Mbit/s, 40 ms, 256 KiB of queue; 0, 1, 3 and 5 % lost
//! cargo bench --profile fast --bench thin -- --seconds 60 --seed 7 --kbit 100 --queue 65536 --delay-ms 20 0 5
//! ```
//!
//! Every row is three runs: bulk alone, a thousand small messages a second alone, and both at once.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is the result")]

mod line;

use line::{Line, play};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let (mut line, mut seconds, mut losses) = (Line::default(), 20, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse().ok());
        match argument.as_str() {
            // Cargo says so to every bench.
            "--bench" => {}
            "--seed" => line.seed = number().unwrap_or(line.seed),
            "--seconds" => seconds = number().unwrap_or(seconds),
            "--kbit" => line.rate = number().map_or(line.rate, |kbit| kbit * 1000 / 8),
            "--queue" => line.queue = number().unwrap_or(line.queue),
            "--delay-ms" => line.delay = number().map_or(line.delay, Duration::from_millis),
            percent => match percent.parse::<f64>() {
                Ok(percent) if (0.0..100.0).contains(&percent) => losses.push(percent / 100.0),
                Ok(_) | Err(_) => {
                    eprintln!("{percent} is no share: expected per cent from 0 to 100, or one of the options");
                    return ExitCode::FAILURE;
                }
            },
        }
    }
    if losses.is_empty() {
        losses = vec![0.0, 0.01, 0.03, 0.05];
    }
    println!(
        "| lost | bulk: payload, of the line | sent twice beyond that | alone: p50 | p99 | beside bulk: p50 | p99 | found no room |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for loss in losses {
        row(Line { loss, ..line }, Duration::from_secs(seconds));
    }
    ExitCode::SUCCESS
}

fn row(line: Line, time: Duration) {
    let bulk = play(line, time, 1, false);
    let small = play(line, time, 0, true);
    let both = play(line, time, 1, true);
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "| {:.0} % | {:.1} % | {:.1} % | {:.1} ms | {:.1} ms | {:.0} ms | {:.0} ms | {} |",
        line.loss * 100.0,
        bulk.share * 100.0,
        bulk.again * 100.0,
        millis(small.percentile(0.5)),
        millis(small.percentile(0.99)),
        millis(both.percentile(0.5)),
        millis(both.percentile(0.99)),
        bulk.dropped + small.dropped + both.dropped,
    );
}
