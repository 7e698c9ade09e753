//! The shapes that networks have, on real processes: what `lattice netsim run` plays in virtual time holds there, too.
//! Needs root, and fails with the reason without.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]

mod support;

use serde_json::Value;
use std::time::{Duration, Instant};
use support::cluster::lattice;
use support::process::run;
use support::tell;

/// One run takes about 15 s, of which the processes need some to find each other.
const RUN_LIMIT: Duration = Duration::from_secs(180);
/// A run that the machine was too busy for says nothing of times, and is played again so often; then the rest of it is judged.
const TRIES: usize = 2;

/// The scenarios, and whether all of their messages must arrive.
const SHAPES: [(&str, bool); 9] = [
    ("half-open", false),
    ("two-bridges", true),
    ("one-way-link", true),
    ("grid", false),
    ("star-relay", true),
    ("moving-node", true),
    ("line", true),
    ("ring", true),
    ("hidden-node", true),
];

/// Plays one. What went wrong, or nothing.
fn play(args: [&str; 3], all_arrive: bool) -> String {
    let (name, mut left) = (args.join(" "), TRIES);
    loop {
        left -= 1;
        let began = Instant::now();
        let played = run(lattice().arg("netsim").args(args), RUN_LIMIT);
        let Ok(outcome) = serde_json::from_str::<Value>(&played.stdout) else {
            return format!("{name}: {played:#?}\n");
        };
        let figure = |key: &str| outcome[key].as_u64().unwrap_or(u64::MAX);
        tell(&format!(
            "{name}: {} of {} lost, back after {} ms, silent for {}, in {:.0?}; refused: {}",
            figure("lost"),
            figure("deliveries_due"),
            outcome["resume_ms"],
            outcome["silence_ms"],
            began.elapsed(),
            outcome["rejected"]
        ));
        // However late everything is: nothing may come twice, or out of order.
        let sound = figure("duplicated") == 0 && figure("reordered") == 0;
        let in_time = played.code == Some(0) && (figure("lost") == 0 || !all_arrive);
        match played.code {
            Some(3) if sound && left > 0 => {}
            Some(3) if sound => return String::new(),
            _ if sound && in_time => return String::new(),
            _ => return format!("{name}: {outcome:#}\n"),
        }
    }
}

/// Goal: in every shape nothing comes twice or out of order, traffic is back within the scenario's bound, and nothing is
/// lost where a way is left or the only one is missing for a moment.
#[test]
fn shapes_hold_on_real_processes() {
    let shapes = SHAPES.map(|(name, all_arrive)| (["real", name, "--json"], all_arrive));
    // The measuring storms in short.
    let storms = [(["storm", "--cuts=5", "--json"], true), (["storm", "--kills=3", "--json"], false)];
    // One after the other: two on two cores get each other refused.
    let all = shapes.into_iter().chain(storms);
    let failed: String = all.map(|(args, all_arrive)| play(args, all_arrive)).collect();
    assert!(failed.is_empty(), "{failed}");
}
