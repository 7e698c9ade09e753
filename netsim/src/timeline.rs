//! What happened when, small enough to keep and to draw: deliveries by node, links, faults, times of resumption.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Pieces that the time of a run is divided into.
const BINS: u64 = 400;
/// The shortest piece.
const BIN_MS_MIN: u64 = 50;
/// Resumptions that are kept: the slowest ones.
pub(crate) const RESUMPTIONS_MAX: usize = 500;

/// A run over time. All times are milliseconds of virtual time since the beginning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// How long the run lasted.
    pub duration_ms: u64,
    /// How long a piece of time is, of those that counts are given by.
    pub bin_ms: u64,
    /// By node.
    pub nodes: Vec<NodeLine>,
    /// Pairs of nodes that were linked at any time.
    pub links: Vec<LinkLine>,
    /// Faults as the world played them, those of stories each by itself.
    pub faults: Vec<Band>,
    /// How long receivers waited for publishers after a fault began or ended: the slowest ones.
    pub resumptions: Vec<Resumption>,
    /// Messages between each two nodes that were published and never arrived, by piece of time.
    pub lost: Vec<u64>,
}

/// One node over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeLine {
    /// What it is called.
    pub name: String,
    /// Messages that its client published, by piece of time.
    pub published: Vec<u32>,
    /// Messages that its client received, by piece of time.
    pub delivered: Vec<u32>,
    /// Other nodes that it could reach, as it saw it, by piece of time.
    pub reached: Vec<u32>,
    /// When it was not running: from, until.
    pub down: Vec<(f64, f64)>,
}

/// One link over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LinkLine {
    /// The node with the smaller number …
    pub a: usize,
    /// … and the other one.
    pub b: usize,
    /// When both ends held it up: from, until.
    pub up: Vec<(f64, f64)>,
}

/// A fault over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// Its place in the scenario, from 0.
    pub fault: usize,
    /// Its kind, as in the scenario's file.
    pub kind: String,
    /// What it was, for people.
    pub what: String,
    /// The nodes that it is about.
    pub nodes: Vec<usize>,
    /// When it began.
    pub from_ms: f64,
    /// When it ended.
    pub until_ms: f64,
    /// Packets, segments, tasks, timers or hosts that it hit.
    pub hits: u64,
}

/// How long one receiver waited for one publisher after something happened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resumption {
    /// When it happened.
    pub at_ms: f64,
    /// Who waited …
    pub receiver: usize,
    /// … for whom.
    pub publisher: usize,
    /// How long; nothing when it never heard of it again.
    pub after_ms: Option<f64>,
}

impl Timeline {
    /// An empty one for a run of `duration` with these nodes.
    #[must_use]
    pub fn new(duration: Duration, names: Vec<String>) -> Self {
        let duration_ms = duration.as_millis() as u64;
        let bin_ms = (duration_ms / BINS).max(BIN_MS_MIN);
        let bins = usize::try_from(duration_ms / bin_ms + 1).unwrap_or(usize::MAX);
        let node = |name| NodeLine {
            name,
            published: vec![0; bins],
            delivered: vec![0; bins],
            reached: vec![0; bins],
            down: Vec::new(),
        };
        let nodes = names.into_iter().map(node).collect();
        Self { duration_ms, bin_ms, nodes, lost: vec![0; bins], ..Self::default() }
    }

    /// The piece of time that `at` is in.
    #[must_use]
    pub fn bin(&self, at: Duration) -> usize {
        let bin = at.as_millis() as u64 / self.bin_ms.max(1);
        usize::try_from(bin).unwrap_or(usize::MAX).min(self.lost.len().saturating_sub(1))
    }
}

/// Things that come and go, noted each time that one looks.
#[derive(Clone, Debug, Default)]
pub struct Spans<K> {
    open: BTreeMap<K, f64>,
    closed: BTreeMap<K, Vec<(f64, f64)>>,
}

impl<K: Ord + Copy> Spans<K> {
    /// Notes what there is at `at`.
    pub fn look(&mut self, at: Duration, present: impl IntoIterator<Item = K>) {
        let at_ms = ms(at);
        let before = std::mem::take(&mut self.open);
        for key in present {
            self.open.insert(key, before.get(&key).copied().unwrap_or(at_ms));
        }
        for (key, from) in before {
            if !self.open.contains_key(&key) {
                self.closed.entry(key).or_default().push((from, at_ms));
            }
        }
    }

    /// How often anything has gone so far.
    #[must_use]
    pub fn gone(&self) -> usize {
        self.closed.values().map(Vec::len).sum()
    }

    /// All that there was, until `at`.
    #[must_use]
    pub fn close(mut self, at: Duration) -> BTreeMap<K, Vec<(f64, f64)>> {
        self.look(at, []);
        self.closed
    }
}

/// A time in milliseconds, with its fraction.
#[must_use]
pub fn ms(at: Duration) -> f64 {
    at.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_begin_and_end_when_it_is_seen() {
        let mut spans = Spans::default();
        let at = Duration::from_millis;
        spans.look(at(10), ["a", "b"]);
        spans.look(at(20), ["a"]);
        assert_eq!(spans.gone(), 1);
        spans.look(at(30), ["a", "b"]);
        let all = spans.close(at(40));
        assert_eq!(all["a"], [(10.0, 40.0)]);
        assert_eq!(all["b"], [(10.0, 20.0), (30.0, 40.0)]);
    }

    #[test]
    fn every_moment_has_its_bin() {
        let timeline = Timeline::new(Duration::from_secs(60), vec!["a".to_owned()]);
        assert_eq!((timeline.bin_ms, timeline.lost.len()), (150, 401));
        assert_eq!((timeline.bin(Duration::ZERO), timeline.bin(Duration::from_secs(600))), (0, 400));
    }
}
