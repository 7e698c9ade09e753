//! What an origin knows of its probes: how far each has come, and how long that took there and back. No IO, no clock.
//!
//! A probe goes to each destination of a message. Every node that it passes reports to the origin, so where a way ends is
//! known although nobody behind that place answers. Times are those of the origin's own clock, from the start of the probe
//! until the report of a node was back: no two clocks are ever compared.

use super::allowance::{Allowance, Limit};
use super::frame::{Fate, Report, Step};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Questions that may be open at a time.
pub const OPEN_MAX: usize = 16;
/// Destinations of one question.
pub const DESTINATIONS_MAX: usize = 64;
/// A probe or a report costs others something: so many of them are dealt with in a second…
const RATE: u32 = 500;
/// …and so many at once: a few questions to many, over long ways.
const BURST: u32 = 4096;
const LIMIT: Limit = Limit { at_once: BURST, every: Duration::from_nanos(1_000_000_000 / RATE as u64) };

/// Why nothing is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// Too many questions are open.
    #[error("{OPEN_MAX} traces are running already")]
    Open,
    /// Too many were asked of late.
    #[error("more traces were asked for than this node sends: {RATE} probes a second")]
    Rate,
}

/// Where a probe has been, and since when that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// What the node says.
    pub step: Step,
    /// How long the probe took there, and its report back. None of the origin itself, and of a node whose report was lost.
    pub round_trip: Option<Duration>,
}

/// What is known of the way to one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// The nodes on it in order, the origin first.
    pub passed: Vec<Passed>,
    /// What became of the probe, if that was told: never [`Fate::Passed`].
    pub end: Option<Fate>,
}

/// The questions of this node.
#[derive(Debug, Default)]
pub struct Traces {
    last: u64,
    open: BTreeMap<u64, Open>,
    /// For the probes of others and their reports, and for the own ones.
    allowance: Allowance,
}

#[derive(Debug)]
struct Open {
    began: Instant,
    ways: BTreeMap<u32, Way>,
}

impl Traces {
    /// Whether one more frame may be dealt with.
    pub fn may(&mut self, now: Instant) -> bool {
        self.allowance.take(now, LIMIT)
    }

    /// Opens a question about the ways to `destinations`. Returns its number.
    ///
    /// # Errors
    /// [`TraceError`].
    pub fn begin(&mut self, now: Instant, destinations: impl IntoIterator<Item = u32>) -> Result<u64, TraceError> {
        if self.open.len() >= OPEN_MAX {
            return Err(TraceError::Open);
        }
        let destinations = destinations.into_iter().take(DESTINATIONS_MAX);
        let ways: BTreeMap<u32, Way> = destinations.map(|to| (to, Way::default())).collect();
        if !ways.iter().all(|_| self.may(now)) {
            return Err(TraceError::Rate);
        }
        self.last += 1;
        self.open.insert(self.last, Open { began: now, ways });
        Ok(self.last)
    }

    /// Takes in a report, this node's own ones too. True when it was of a question that is open.
    pub fn told(&mut self, now: Instant, report: &Report) -> bool {
        let Some(open) = self.open.get_mut(&report.id) else { return false };
        let Some(way) = open.ways.get_mut(&report.destination) else { return false };
        way.told(now.saturating_duration_since(open.began), report);
        true
    }

    /// Whether it is known of all destinations what became of their probes; also when there is no such question.
    #[must_use]
    pub fn is_done(&self, id: u64) -> bool {
        self.open.get(&id).is_none_or(|open| open.ways.values().all(Way::is_done))
    }

    /// Closes a question.
    pub fn close(&mut self, id: u64) -> BTreeMap<u32, Way> {
        self.open.remove(&id).map(|open| open.ways).unwrap_or_default()
    }
}

impl Way {
    /// Reports overtake each other: all that was known stays, and the longest list counts.
    fn told(&mut self, round_trip: Duration, report: &Report) {
        let known = self.passed.len();
        let more = report.steps.iter().skip(known).map(|&step| Passed { step, round_trip: None });
        self.passed.extend(more);
        if let Some(at) = report.steps.len().checked_sub(1) {
            let passed = &mut self.passed[at];
            // Its own step is complete only in what it sends itself.
            passed.step = report.steps[at];
            // The first is the origin itself.
            if at > 0 {
                passed.round_trip.get_or_insert(round_trip);
            }
        }
        if report.fate != Fate::Passed {
            self.end = Some(report.fate);
        }
    }

    /// The end is known, and those before it have answered.
    fn is_done(&self) -> bool {
        self.end.is_some() && self.passed.iter().skip(1).all(|passed| passed.round_trip.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::start_of_time;

    fn report(id: u64, destination: u32, nodes: &[u32], fate: Fate) -> Report {
        let step = |&node: &u32| Step { node, took_us: 1, waiting: 0, rtt_us: 1000 * node };
        Report { to: 0, hops: 63, destination, boot: 1, id, steps: nodes.iter().map(step).collect(), fate }
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn seen(way: &Way) -> Vec<(u32, Option<Duration>)> {
        way.passed.iter().map(|passed| (passed.step.node, passed.round_trip)).collect()
    }

    #[test]
    fn a_way_is_put_together_from_reports_in_any_order() {
        let (now, mut traces) = (start_of_time(), Traces::default());
        let id = traces.begin(now, [3]).unwrap();
        assert!(traces.told(now, &report(id, 3, &[9], Fate::Passed)));
        assert!(traces.told(now + ms(9), &report(id, 3, &[9, 1, 2, 3], Fate::Arrived)));
        assert!(traces.told(now + ms(10), &report(id, 3, &[9, 1, 2], Fate::Passed)));
        assert!(!traces.is_done(id), "one has not answered");
        assert!(traces.told(now + ms(12), &report(id, 3, &[9, 1], Fate::Passed)));
        assert!(traces.is_done(id));
        let way = &traces.close(id)[&3];
        assert_eq!(seen(way), [(9, None), (1, Some(ms(12))), (2, Some(ms(10))), (3, Some(ms(9)))]);
        assert_eq!(way.end, Some(Fate::Arrived));
    }

    /// Goal: where a way breaks off is seen from what those before that place have said.
    #[test]
    fn silence_begins_behind_the_last_who_answered() {
        let (now, mut traces) = (start_of_time(), Traces::default());
        let id = traces.begin(now, [3, 4]).unwrap();
        traces.told(now, &report(id, 3, &[9], Fate::Passed));
        traces.told(now + ms(2), &report(id, 3, &[9, 1], Fate::Passed));
        traces.told(now + ms(3), &report(id, 4, &[9, 1], Fate::NoWay));
        assert!(!traces.is_done(id));
        let ways = traces.close(id);
        assert_eq!((seen(&ways[&3]), ways[&3].end), (vec![(9, None), (1, Some(ms(2)))], None));
        assert_eq!(ways[&4].end, Some(Fate::NoWay));
    }

    #[test]
    fn what_was_not_asked_is_not_heard() {
        let (now, mut traces) = (start_of_time(), Traces::default());
        let id = traces.begin(now, [3]).unwrap();
        assert!(!traces.told(now, &report(id + 1, 3, &[9], Fate::Arrived)));
        assert!(!traces.told(now, &report(id, 4, &[9], Fate::Arrived)));
        traces.close(id);
        assert!(!traces.told(now, &report(id, 3, &[9], Fate::Arrived)) && traces.is_done(id));
    }

    #[test]
    fn questions_are_few() {
        let (now, mut traces) = (start_of_time(), Traces::default());
        let ids: Vec<u64> = (0..OPEN_MAX).map(|_| traces.begin(now, 0..1000).unwrap()).collect();
        assert_eq!(traces.begin(now, [1]), Err(TraceError::Open));
        assert_eq!(traces.close(ids[0]).len(), DESTINATIONS_MAX);
        let mut asked = ids.len();
        while let Ok(id) = traces.begin(now, 0..1000) {
            asked += 1;
            traces.close(id);
        }
        assert_eq!(asked, BURST as usize / DESTINATIONS_MAX);
        assert_eq!(traces.begin(now, [1]), Err(TraceError::Rate));
        assert!(traces.begin(now + ms(2), [1]).is_ok());
    }
}
