//! How one system did in one run, and how that is shown: a paragraph, a row of a table, a line of JSON.

use super::fleet::System;
use super::judge::Figures;
use super::plan::Plan;
use crate::cli::output::{Output, Tone, count};
use lattice_netsim::Bite;
use lattice_netsim::tier2::Lateness;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// Violations that are shown; the rest is counted.
const SHOWN_MAX: usize = 10;

/// As JSON has it: times in milliseconds unless they say otherwise.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) scenario: String,
    pub(super) system: &'static str,
    nodes: usize,
    seed: u64,
    /// Real runs have none.
    trace_hash: Option<String>,
    pub(super) passed: bool,
    /// Why the figures say nothing about the system.
    pub(super) rejected: Option<String>,
    violations: Vec<String>,
    violations_total: u64,
    /// Packets and processes that each fault hit.
    bites: BTreeMap<String, u64>,
    published: u64,
    deliveries_due: u64,
    lost: u64,
    duplicated: u64,
    reordered: u64,
    first_ms: Option<f64>,
    resume_ms: Option<f64>,
    oldest_ms: f64,
    /// Null when no fault began while a way was left.
    silence_ms: Option<Silence>,
    switch_late_us: Late,
    publish_late_us: Late,
}

/// The longest silence after each of `faults`.
#[derive(Clone, Copy, Debug, Serialize)]
struct Silence {
    faults: usize,
    p50: f64,
    p99: f64,
    max: f64,
}

impl Silence {
    /// Of a list in ascending order.
    fn of(silences: &[Duration]) -> Option<Self> {
        let faults = silences.len();
        let at = |percent: usize| Some(ms(*silences.get((faults * percent).div_ceil(100).checked_sub(1)?)?));
        Some(Self { faults, p50: at(50)?, p99: at(99)?, max: at(100)? })
    }
}

/// Milliseconds, to a tenth.
fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Late {
    p50: u64,
    p99: u64,
    max: u64,
}

impl From<Lateness> for Late {
    fn from(lateness: Lateness) -> Self {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self { p50: us(lateness.p50), p99: us(lateness.p99), max: us(lateness.max) }
    }
}

impl Outcome {
    pub(super) fn new(
        plan: &Plan,
        system: System,
        seed: u64,
        figures: Figures,
        bites: &[Bite],
        switch: Lateness,
        rejected: Option<String>,
    ) -> Self {
        let mut violations: Vec<String> = figures.violations.iter().map(ToString::to_string).collect();
        let vacuous = bites.iter().filter(|bite| bite.hits == 0);
        violations
            .extend(vacuous.map(|bite| format!("the fault \"{}\" hit nothing: the run proves nothing", bite.what)));
        let unkept = figures.violations_total - figures.violations.len() as u64;
        Self {
            scenario: plan.name.clone(),
            system: system.name(),
            nodes: plan.nodes,
            seed,
            trace_hash: None,
            passed: rejected.is_none() && violations.is_empty(),
            rejected,
            violations_total: violations.len() as u64 + unkept,
            violations,
            bites: bites.iter().enumerate().map(|(n, bite)| (format!("{n} {}", bite.what), bite.hits)).collect(),
            published: figures.published,
            deliveries_due: figures.due,
            lost: figures.lost,
            duplicated: figures.duplicated,
            reordered: figures.reordered,
            first_ms: figures.first.map(ms),
            resume_ms: figures.resumed.map(ms),
            oldest_ms: ms(figures.oldest),
            silence_ms: Silence::of(&figures.silences),
            switch_late_us: switch.into(),
            publish_late_us: figures.lateness.into(),
        }
    }

    fn verdict(&self) -> String {
        match &self.rejected {
            Some(why) => format!("rejected: {why}"),
            None if self.passed => "passed".to_owned(),
            None => count(usize::try_from(self.violations_total).unwrap_or(usize::MAX), "violation"),
        }
    }

    /// Tells it at the terminal.
    pub(super) fn show(&self, output: &Output) -> io::Result<()> {
        if output.json {
            return output.record(self);
        }
        let tone = if self.passed { Tone::Good } else { Tone::Bad };
        let title = format!("{} on {} × {}", self.scenario, self.nodes, self.system);
        output.line(format!("{title}: {}", output.paint(tone, self.verdict())))?;
        output.line(format!(
            "  {} messages published; of {} deliveries {} lost, {} duplicated, {} out of order; the oldest took {}",
            self.published,
            self.deliveries_due,
            self.lost,
            self.duplicated,
            self.reordered,
            seconds(Some(self.oldest_ms))
        ))?;
        // Where all have resumed and nobody was parted from whom it hears, there was no first message.
        let first = (self.first_ms.is_some() || self.resume_ms.is_none())
            .then(|| format!("first message {}, ", seconds(self.first_ms)));
        output.line(format!(
            "  after the heal: {}all resumed {}",
            first.unwrap_or_default(),
            seconds(self.resume_ms)
        ))?;
        if let Some(Silence { faults, p50, p99, max }) = self.silence_ms {
            output.line(format!(
                "  longest silence after each of {} (p50, p99, max): {p50:.0}, {p99:.0}, {max:.0} ms",
                count(faults, "fault")
            ))?;
        }
        let (switch, publish) = (self.switch_late_us, self.publish_late_us);
        output.line(format!(
            "  late by (p50, p99, max): switch {}, {}, {} µs; publishing {}, {}, {} µs",
            switch.p50, switch.p99, switch.max, publish.p50, publish.p99, publish.max
        ))?;
        self.violations.iter().take(SHOWN_MAX).try_for_each(|violation| output.line(format!("  {violation}")))?;
        let more = self.violations_total.saturating_sub(SHOWN_MAX as u64);
        if more > 0 { output.line(format!("  … and {more} more")) } else { Ok(()) }
    }

    fn cells(&self) -> [String; 11] {
        let share = self.lost as f64 * 100.0 / self.deliveries_due.max(1) as f64;
        [
            self.scenario.clone(),
            format!("{} × {}", self.nodes, self.system),
            self.published.to_string(),
            self.deliveries_due.to_string(),
            format!("{} ({share:.1} %)", self.lost),
            self.duplicated.to_string(),
            self.reordered.to_string(),
            seconds(self.first_ms),
            seconds(self.resume_ms),
            seconds(Some(self.oldest_ms)),
            self.verdict(),
        ]
    }
}

/// All runs as a Markdown table.
pub(super) fn table(outcomes: &[Outcome]) -> Vec<String> {
    let titles = [
        "scenario",
        "system",
        "published",
        "deliveries due",
        "lost",
        "duplicated",
        "out of order",
        "first after heal",
        "all resumed",
        "oldest delivered",
        "verdict",
    ];
    let row = |cells: &[String]| format!("| {} |", cells.join(" | "));
    let mut lines = vec![row(&titles.map(str::to_owned)), format!("|{}", "---|".repeat(titles.len()))];
    lines.extend(outcomes.iter().map(|outcome| row(&outcome.cells())));
    lines
}

fn seconds(ms: Option<f64>) -> String {
    ms.map_or_else(|| "never".to_owned(), |ms| format!("{:.2} s", ms / 1_000.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_netsim::Scenario;

    fn outcome(figures: Figures, rejected: Option<String>) -> Outcome {
        let text = "name = \"x\"\nduration_ms = 20000\ntopology = { nodes = 2, shape = \"line\" }\n";
        let plan = Plan::new(&Scenario::from_toml(text).unwrap(), 1).unwrap();
        Outcome::new(&plan, System::Lattice, 1, figures, &[], Lateness::default(), rejected)
    }

    #[test]
    fn a_row_has_a_cell_for_each_title() {
        let figures = Figures {
            published: 10,
            due: 20,
            lost: 5,
            first: Some(Duration::from_millis(1_234)),
            ..Figures::default()
        };
        let lines = table(&[outcome(figures, None)]);
        assert_eq!(lines[2], "| x | 2 × lattice | 10 | 20 | 5 (25.0 %) | 0 | 0 | 1.23 s | never | 0.00 s | passed |");
        assert!(lines.iter().all(|line| line.matches('|').count() == 12), "{lines:#?}");
    }

    #[test]
    fn a_rejected_run_neither_passes_nor_fails() {
        let rejected = outcome(Figures::default(), Some("the switch was late".to_owned()));
        assert_eq!((rejected.passed, rejected.verdict().as_str()), (false, "rejected: the switch was late"));
        assert_eq!(serde_json::to_value(&rejected).unwrap()["rejected"], "the switch was late");
    }
}
