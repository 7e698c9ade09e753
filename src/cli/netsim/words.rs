//! How a run went, in words for people.

use super::super::output::{Output, Tone, count};
use super::answer::Report;
use lattice_netsim::Scenario;
use std::io;

/// Violations of each check that are told; the rest is counted.
const TOLD_OF_EACH: usize = 3;

/// Tells how one run went.
pub(super) fn tell(output: &Output, scenario: &Scenario, report: &Report) -> io::Result<()> {
    let outcome = if report.passed { output.paint(Tone::Good, "passed") } else { output.paint(Tone::Bad, "FAILED") };
    let Report { published, delivered, lost, .. } = report;
    output.line(format!("{} seed {}: {outcome}", report.scenario, report.seed))?;
    output.line(format!(
        "  {}, {} s; {published} messages, {delivered} deliveries, {lost} lost in faults; {} of CPU",
        count(scenario.nodes(), "node"),
        scenario.duration_ms / 1_000,
        seconds(report.cpu_ms)
    ))?;
    if let Some(ms) = report.resume_ms {
        let bound = seconds(scenario.bounds.resume_ms as f64);
        output.line(format!("  traffic was back within {} of every change (bound {bound})", seconds(ms)))?;
    }
    if let Some(ms) = report.overfilled_ms {
        let until = seconds(ms + scenario.bounds.resume_ms as f64);
        output.line(format!(
            "  links had no room for all until {}: nothing before {until} is judged complete",
            seconds(ms)
        ))?;
    }
    for (name, hits) in &report.bites {
        let vacuous = if *hits == 0 { "  never made a difference: it proves nothing" } else { "" };
        output.line(format!("  fault {name}: {hits} hits{vacuous}"))?;
    }
    for shortfall in scenario.shortfalls.iter() {
        if let Some(figure) = report.shortfalls.get(&shortfall.check) {
            output.line(format!(
                "  known shortfall: {} {figure:.0} (at most {:.0}): {}",
                shortfall.check, shortfall.at_most, shortfall.why
            ))?;
        }
    }
    violations(output, report)?;
    output.line(format!("  trace {}", report.trace_hash))
}

/// Tells what was broken.
pub(super) fn violations(output: &Output, report: &Report) -> io::Result<()> {
    let mut told = 0;
    for (check, count) in &report.violated {
        let worst = count.worst.filter(|worst| *worst < f64::MAX).map(|worst| format!(", worst {worst:.0}"));
        output.line(format!("  {check}: {} violations{}", count.times, worst.unwrap_or_default()))?;
        for violation in report.violations.iter().filter(|violation| violation.check == *check).take(TOLD_OF_EACH) {
            told += 1;
            output.line(format!("  {violation}"))?;
        }
    }
    let more = report.violations_total.saturating_sub(told);
    if more > 0 {
        output.line(format!("  … and {more} more"))?;
    }
    Ok(())
}

/// Milliseconds as seconds.
pub(super) fn seconds(ms: f64) -> String {
    format!("{:.3} s", ms / 1e3)
}
