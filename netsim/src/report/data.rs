//! What the scripts of a page draw, picked from a run and bounded.

use super::text::{count, cut, told};
use crate::scenario::{Scenario, Shape, Site, Topology};
use crate::timeline::{self, NodeLine, RESUMPTIONS_MAX, Resumption, Timeline, ms};
use crate::verdict::{self, Verdict};
use serde::Serialize;
use std::collections::BTreeMap;

/// Rows of the chart; where there are more nodes than that, a row is several of them, one after the other.
pub(super) const ROWS_MAX: usize = 200;
/// Links that are drawn.
pub(super) const LINKS_MAX: usize = 10_000;
/// Faults that are drawn; those of stories count each by itself.
pub(super) const BANDS_MAX: usize = 2_000;
/// Times at which links came up and went down, all together.
const SPANS_MAX: usize = 60_000;
/// Ranges of nodes that one fault is drawn across.
const RANGES_MAX: usize = 50;
/// Characters of one description.
const WHAT_MAX: usize = 300;
/// Messages of each publisher that a level is told from: fewer, and it would only show how they fall into bins.
const LEVEL_MESSAGES: u64 = 3;
/// Bins that a level is told from at most.
const WINDOW_MAX: usize = 15;
/// Calm bins that it takes to say what a node gets in calm time.
const CALM_BINS_MIN: usize = 5;

/// All that is embedded. Times are whole milliseconds; lists of times are from, until, from, until …
#[derive(Debug, Serialize)]
pub(super) struct Data<'a> {
    duration_ms: u64,
    bin_ms: u64,
    /// Bins whose deliveries are summed up before they are compared with calm time.
    window: usize,
    /// When clients publish.
    traffic_ms: [u64; 2],
    /// Within what traffic must be back.
    resume_bound_ms: u64,
    names: Vec<&'a str>,
    down: Vec<Vec<u64>>,
    /// Nodes in each row of the chart.
    per_row: usize,
    rows: Vec<Row>,
    layout: Layout<'a>,
    links: Vec<Link>,
    bands: Vec<Band<'a>>,
    violations: Vec<Violation>,
    /// When, who, for whom, how long.
    resumptions: Vec<(u64, usize, usize, Option<u64>)>,
    lost: &'a [u64],
    #[serde(skip)]
    left_out: LeftOut,
}

#[derive(Debug, Default)]
struct LeftOut {
    links: usize,
    bands: usize,
}

/// A row of the chart.
#[derive(Debug, Serialize)]
struct Row {
    /// What it gets in `window` bins of calm time.
    calm: u64,
    delivered: Vec<u64>,
    reached: Vec<u64>,
}

#[derive(Debug, Serialize)]
struct Link {
    a: usize,
    b: usize,
    /// The scenario asks for it: when it is down, something is missing.
    planned: bool,
    up: Vec<u64>,
}

#[derive(Debug, Serialize)]
struct Band<'a> {
    fault: usize,
    kind: &'a str,
    what: String,
    from: u64,
    until: u64,
    hits: u64,
    /// Ranges of nodes, without their ends.
    nodes: Vec<(usize, usize)>,
}

#[derive(Debug, Serialize)]
struct Violation {
    at: u64,
    check: String,
    node: Option<usize>,
    what: String,
}

/// How the nodes are laid out.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Layout<'a> {
    Shape { shape: Shape, columns: usize },
    Sites { sites: &'a [Site] },
    Force,
}

impl<'a> Data<'a> {
    pub(super) fn new(scenario: &'a Scenario, verdict: &Verdict, timeline: &'a Timeline) -> Self {
        let mut left_out = LeftOut::default();
        let nodes = &timeline.nodes;
        let per_row = nodes.len().div_ceil(ROWS_MAX).max(1);
        let window = window(scenario.traffic.interval_ms, timeline.bin_ms);
        let calm = calm_bins(scenario, timeline);
        let rows = nodes.chunks(per_row).map(|nodes| {
            let sum = |of: fn(&NodeLine) -> &[u32]| summed(nodes.iter().map(of), timeline.lost.len());
            let delivered = sum(|node| &node.delivered);
            Row { calm: calm_level(&delivered, window, &calm), delivered, reached: sum(|node| &node.reached) }
        });
        Self {
            duration_ms: timeline.duration_ms,
            bin_ms: timeline.bin_ms.max(1),
            window,
            traffic_ms: [whole(ms(scenario.traffic_from())), whole(ms(scenario.traffic_until()))],
            resume_bound_ms: scenario.bounds.resume_ms,
            names: nodes.iter().map(|node| node.name.as_str()).collect(),
            down: nodes.iter().map(|node| flat(&node.down)).collect(),
            per_row,
            rows: rows.collect(),
            layout: layout(&scenario.topology),
            links: links(scenario, timeline, &mut left_out),
            bands: bands(timeline, &mut left_out),
            violations: violations(verdict),
            resumptions: resumptions(timeline),
            lost: &timeline.lost,
            left_out,
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers, strings and lists can be written")
    }

    /// What is not drawn, for people; nothing when all is.
    pub(super) fn left_out(&self) -> String {
        let LeftOut { links, bands } = self.left_out;
        let mut said = Vec::new();
        if self.per_row > 1 {
            said.push(format!("Each row is {} nodes.", self.per_row));
        }
        for (what, number) in [("links", links), ("faults", bands)] {
            if number > 0 {
                said.push(format!("{} more {what} are not drawn.", count(number as u64)));
            }
        }
        said.join(" ")
    }
}

fn whole(ms: f64) -> u64 {
    ms.max(0.0).round() as u64
}

fn flat(spans: &[(f64, f64)]) -> Vec<u64> {
    spans.iter().flat_map(|&(from, until)| [whole(from), whole(until)]).collect()
}

/// As many bins as hold about a whole number of messages of each publisher: else levels would go up and down with how
/// messages fall into bins.
fn window(interval_ms: u64, bin_ms: u64) -> usize {
    let least = (interval_ms * LEVEL_MESSAGES).div_ceil(bin_ms.max(1));
    let least = usize::try_from(least).unwrap_or(WINDOW_MAX).clamp(1, WINDOW_MAX);
    let unrest = |bins: usize| {
        let messages = bins as f64 * bin_ms as f64 / interval_ms.max(1) as f64;
        // The shorter of two that are as good shows more.
        (messages - messages.round()).abs() / messages + bins as f64 / 500.0
    };
    (least..=WINDOW_MAX).min_by(|a, b| unrest(*a).total_cmp(&unrest(*b))).unwrap_or(WINDOW_MAX)
}

fn summed<'a>(lines: impl Iterator<Item = &'a [u32]>, bins: usize) -> Vec<u64> {
    let mut sums = vec![0; bins];
    for line in lines {
        for (sum, value) in sums.iter_mut().zip(line) {
            *sum += u64::from(*value);
        }
    }
    sums
}

/// The bins of traffic in which no fault is going on, nor its aftermath; all bins of traffic when these are too few.
fn calm_bins(scenario: &Scenario, timeline: &Timeline) -> Vec<usize> {
    let (from, until) = (ms(scenario.traffic_from()), ms(scenario.traffic_until()));
    let bin_ms = timeline.bin_ms as f64;
    let begin = |bin: usize| bin as f64 * bin_ms;
    let traffic = (0..timeline.lost.len()).filter(|bin| begin(*bin) >= from && begin(*bin) + bin_ms <= until);
    let aftermath = scenario.bounds.resume_ms as f64;
    let troubled = |bin: usize| {
        let hit = |band: &timeline::Band| begin(bin) + bin_ms > band.from_ms && begin(bin) < band.until_ms + aftermath;
        timeline.faults.iter().any(hit)
    };
    let calm: Vec<usize> = traffic.clone().filter(|bin| !troubled(*bin)).collect();
    if calm.len() >= CALM_BINS_MIN { calm } else { traffic.collect() }
}

/// What is usual in those bins.
fn calm_level(delivered: &[u64], window: usize, calm: &[usize]) -> u64 {
    let around = |bin: &usize| {
        let (from, until) = (bin.saturating_sub(window / 2), (bin + window.div_ceil(2)).min(delivered.len()));
        delivered[from..until].iter().sum::<u64>()
    };
    let mut levels: Vec<u64> = calm.iter().map(around).filter(|level| *level > 0).collect();
    levels.sort_unstable();
    levels.get(levels.len() / 2).copied().unwrap_or_default()
}

fn layout(topology: &Topology) -> Layout<'_> {
    match topology.shape {
        _ if !topology.sites.is_empty() => Layout::Sites { sites: &topology.sites },
        Some(shape) => Layout::Shape { shape, columns: topology.columns },
        None => Layout::Force,
    }
}

/// The links that the scenario asks for, and those that the nodes made besides.
fn links(scenario: &Scenario, timeline: &Timeline, left_out: &mut LeftOut) -> Vec<Link> {
    let ordered = |a: usize, b: usize| (a.min(b), a.max(b));
    let mut all: BTreeMap<_, (bool, Vec<u64>)> = BTreeMap::new();
    for (a, b) in scenario.edges() {
        all.entry(ordered(a, b)).or_default().0 = true;
    }
    for link in &timeline.links {
        all.entry(ordered(link.a, link.b)).or_default().1 = flat(&link.up);
    }
    let mut spans = 0;
    let total = all.len();
    let drawn = all.into_iter().take(LINKS_MAX).map_while(|((a, b), (planned, up))| {
        spans += up.len() / 2;
        (spans <= SPANS_MAX).then_some(Link { a, b, planned, up })
    });
    let drawn: Vec<_> = drawn.collect();
    left_out.links = total - drawn.len();
    drawn
}

fn bands<'a>(timeline: &'a Timeline, left_out: &mut LeftOut) -> Vec<Band<'a>> {
    left_out.bands = timeline.faults.len().saturating_sub(BANDS_MAX);
    let band = |band: &'a timeline::Band| Band {
        fault: band.fault,
        kind: &band.kind,
        what: cut(told(&band.kind, &band.what), WHAT_MAX),
        from: whole(band.from_ms),
        until: whole(band.until_ms),
        hits: band.hits,
        nodes: ranges(&band.nodes),
    };
    timeline.faults.iter().take(BANDS_MAX).map(band).collect()
}

/// Nodes as ranges; one range over all of them when there would be too many.
fn ranges(nodes: &[usize]) -> Vec<(usize, usize)> {
    let mut sorted = nodes.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let runs: Vec<_> = sorted.chunk_by(|a, b| a + 1 == *b).map(|run| (run[0], run[run.len() - 1] + 1)).collect();
    match runs[..] {
        [first, .., last] if runs.len() > RANGES_MAX => vec![(first.0, last.1)],
        _ => runs,
    }
}

fn violations(verdict: &Verdict) -> Vec<Violation> {
    let of = |violation: &verdict::Violation| Violation {
        at: whole(violation.at_ms),
        check: violation.check.to_string(),
        node: violation.node,
        what: cut(&violation.what, WHAT_MAX),
    };
    verdict.violations.iter().map(of).collect()
}

fn resumptions(timeline: &Timeline) -> Vec<(u64, usize, usize, Option<u64>)> {
    let of = |wait: &Resumption| (whole(wait.at_ms), wait.receiver, wait.publisher, wait.after_ms.map(whole));
    timeline.resumptions.iter().take(RESUMPTIONS_MAX).map(of).collect()
}
