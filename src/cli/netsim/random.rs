//! The flags that say which scenarios a swarm draws from, and how to write them again.

use super::super::CliError;
use crate::config::units::Period;
use lattice_netsim::{Kind, Scenario, Space};
use std::ops::RangeInclusive;

/// Most nodes that a swarm's scenarios may have: more take minutes each.
const NODES_MAX: usize = 1_000;

/// Which scenarios a swarm draws from.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct SpaceArgs {
    /// How many nodes: a number or a range, as 3..=12; without the = the last one does not count.
    #[arg(long, value_name = "NODES", default_value = "3..=12", value_parser = nodes)]
    nodes: RangeInclusive<usize>,
    /// How long each lasts in virtual time, with twelve seconds at the end in which nothing more goes wrong.
    #[arg(long, value_name = "TIME", default_value = "40s")]
    time: Period,
    /// Kinds of faults to draw from, separated by commas [default: all].
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    faults: Vec<Kind>,
    /// Within what traffic must be back after every change [default: 6500ms].
    #[arg(long, value_name = "TIME")]
    resume: Option<Period>,
}

/// Reads `7`, `3..=12`, or `3..13`, as ranges are written in scenarios.
fn nodes(text: &str) -> Result<RangeInclusive<usize>, String> {
    let number = |text: &str| text.trim().parse::<usize>().ok();
    let range = match text.split_once("..") {
        None => number(text).map(|only| only..=only),
        Some((least, most)) => match most.strip_prefix('=') {
            Some(most) => number(least).zip(number(most)).map(|(least, most)| least..=most),
            None => {
                number(least).zip(number(most).and_then(|end| end.checked_sub(1))).map(|(least, last)| least..=last)
            }
        },
    };
    let range = range.filter(|range| *range.start() >= 1 && range.end() >= range.start() && *range.end() <= NODES_MAX);
    range.ok_or_else(|| format!("{text:?} is no number of nodes: 1 to {NODES_MAX}, or a range such as 3..=12"))
}

impl SpaceArgs {
    pub(super) fn space(&self) -> Space {
        let duration_ms = u64::try_from(self.time.0.as_millis()).unwrap_or(u64::MAX);
        let mut bounds = Space::default().bounds;
        if let Some(Period(resume)) = self.resume {
            bounds.resume_ms = u64::try_from(resume.as_millis()).unwrap_or(u64::MAX);
        }
        Space { nodes: self.nodes.clone(), duration_ms, kinds: self.faults.clone(), bounds }
    }

    /// What `seed` draws.
    pub(super) fn draw(&self, seed: u64) -> Result<Scenario, CliError> {
        let scenario = Scenario::random(seed, &self.space());
        scenario
            .check()
            .map_err(|error| CliError::usage(format!("no fault fits into --time with --resume: {error}")))?;
        Ok(scenario)
    }

    /// The flags, as they have to be typed again.
    pub(super) fn typed(&self) -> String {
        let (least, most) = (self.nodes.start(), self.nodes.end());
        let mut flags = format!(" --nodes {least}..={most} --time {}ms", self.time.0.as_millis());
        if !self.faults.is_empty() {
            let kinds: Vec<String> = self.faults.iter().map(ToString::to_string).collect();
            flags += &format!(" --faults {}", kinds.join(","));
        }
        if let Some(Period(resume)) = self.resume {
            flags += &format!(" --resume {}ms", resume.as_millis());
        }
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a range means the same here as in a scenario, and what is none is refused with what would be one.
    #[test]
    fn numbers_of_nodes_are_read_as_in_scenarios() {
        assert_eq!(nodes("7"), Ok(7..=7));
        assert_eq!(nodes("3..=12"), Ok(3..=12));
        assert_eq!(nodes("3..12"), Ok(3..=11));
        for wrong in ["", "0", "3..3", "..=4", "5..=4", "1..=1001", "3..=", "a..=b"] {
            assert!(nodes(wrong).unwrap_err().contains("3..=12"), "{wrong}");
        }
    }
}
