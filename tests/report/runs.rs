//! Runs that a page is made of: scenarios, and what could have come of them. Every picture that a page can show is in one.

#![allow(unreachable_pub, reason = "a module of a test crate")]

use lattice_netsim::{
    Band, Check, Count, FaultBite, FaultKind, LinkLine, Resumption, Scenario, Timeline, Verdict, Violation,
};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a link takes to notice that it is cut.
const NOTICE_MS: u64 = 1_000;
/// How long it takes to come back.
const RETURN_MS: u64 = 400;

/// Five nodes, all well.
pub const FIVE: &str = r#"
name = "crash-restart"
about = "Five nodes, one crashes and returns: its new life is taken for what it is, and traffic is back within the bound."
duration_ms = 24000
topology = { nodes = 5, shape = "ring" }
[[fault]]
at_ms = 6000
for_ms = 8000
what = { crash = 2 }
[[fault]]
at_ms = 9000
for_ms = 3000
what = { degrade = { from = [0], to = [1], loss = 0.2 } }
"#;

/// Twenty-four nodes in two halves for a while; what can be wrong with the page's text is in the names.
pub const HALVES: &str = r#"
name = "partition-24"
about = "Two halves for 15 s, then </script><script>document.title = 'escaped'</script> one again. \u2028 <!-- \"quotes\" 'too'"
duration_ms = 60000
topology = { nodes = 24, shape = "ring", chords = 2, names = ["<img src=x onerror=alert(1)>"] }
[bounds]
resume_ms = 4000
lost_max = 12000
[[shortfall]]
check = "links"
at_most = 90.0
why = "A link that flaps is given up each time."
[[shortfall]]
check = "dials"
at_most = 900.0
why = "Dialling does not back off yet."
[[fault]]
at_ms = 15000
for_ms = 15000
what = { partition = [["0..12"], ["12..24"]] }
[[fault]]
at_ms = 36000
for_ms = 8000
what = { flap = { from = [3], to = [4], period_ms = 1000 } }
[[fault]]
at_ms = 38000
for_ms = 6000
what = { rolling = { nodes = ["16..20"], what = "crash", every_ms = 1500, each_ms = 1200 } }
[[fault]]
at_ms = 20000
for_ms = 2000
what = { step = { nodes = [7], ms = 5000 } }
"#;

/// Four sites with bridges.
pub const SITES: &str = r#"
name = "sites"
duration_ms = 40000
[[topology.site]]
name = "berlin"
nodes = 6
shape = "clique"
[[topology.site]]
name = "oslo"
nodes = 5
shape = "star"
[[topology.site]]
name = "rome"
nodes = 9
shape = "grid"
[[topology.site]]
name = "ship"
nodes = 4
shape = "line"
[topology]
bridges = [[0, 6], [6, 11], [0, 11], [11, 20]]
[[fault]]
at_ms = 10000
for_ms = 9000
what = { cut = { from = ["0..20"], to = ["20..24"], both_ways = true } }
"#;

/// `nodes` nodes and no shape that has a picture of its own, some of them dying and returning.
pub fn many(nodes: usize) -> Scenario {
    let text = format!(
        "name = \"churn-{nodes}\"\nduration_ms = 60000\ntopology = {{ nodes = {nodes}, shape = \"ring\", chords = 1 }}\n\
         [traffic]\nhear = \"neighbors\"\n\
         [[fault]]\nat_ms = 12000\nfor_ms = 20000\nwhat = {{ churn = {{ nodes = [\"0..{nodes}\"], per_s = {}, down_ms = 2500 }} }}\n\
         [[fault]]\nat_ms = 36000\nfor_ms = 10000\nwhat = {{ partition = [[\"0..{}\"], [\"{}..{nodes}\"]] }}\n",
        nodes / 40 + 1,
        nodes / 3,
        nodes / 3,
    );
    let mut scenario = Scenario::from_toml(&text).unwrap();
    // A random tree with some more links: as no shape has them.
    let edges = (1..nodes).map(|node| (node, mixed(node) % node)).collect::<Vec<_>>();
    let more = (0..nodes / 3).map(|i| (mixed(i + 7_000) % nodes, mixed(i + 9_000) % nodes)).filter(|(a, b)| a != b);
    scenario.topology = lattice_netsim::Topology::of_edges(nodes, edges.iter().copied().chain(more).collect());
    scenario
}

/// Numbers that look like chance, the same each time.
fn mixed(of: usize) -> usize {
    let mut z = (of as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (z ^ (z >> 31)) as usize >> 8
}

/// What could have come of a scenario; `broken` says whether something went wrong.
pub struct Made {
    /// The scenario itself.
    pub scenario: Scenario,
    /// How it went.
    pub verdict: Verdict,
    /// What happened when.
    pub timeline: Timeline,
}

impl Made {
    /// The scenario of `text`.
    pub fn of(text: &str, broken: bool) -> Self {
        Self::play(Scenario::from_toml(text).unwrap(), broken)
    }

    /// What comes of it, by rules far simpler than those of a network.
    pub fn play(scenario: Scenario, broken: bool) -> Self {
        let names = (0..scenario.nodes()).map(|node| scenario.topology.name(node)).collect();
        let mut made = Self {
            timeline: Timeline::new(Duration::from_millis(scenario.duration_ms), names),
            verdict: Verdict::default(),
            scenario,
        };
        made.faults();
        made.links();
        made.traffic();
        made.judged(broken);
        made
    }

    /// How many parts the nodes that run hang together in.
    pub fn parts_at(&self, at_ms: u64) -> usize {
        let parts: BTreeSet<usize> = self.parts(at_ms as f64).into_iter().filter(|part| *part != usize::MAX).collect();
        parts.len()
    }

    /// How many nodes do not run.
    pub fn down_at(&self, at_ms: u64) -> usize {
        self.parts(at_ms as f64).into_iter().filter(|part| *part == usize::MAX).count()
    }

    fn faults(&mut self) {
        for (number, (place, fault)) in self.scenario.plain_faults(1).into_iter().enumerate() {
            let (from, until) = fault.span();
            let nodes = fault.what.nodes();
            let named: Vec<_> = nodes.iter().take(4).map(|node| self.timeline.nodes[*node].name.clone()).collect();
            let kind = self.scenario.faults[place].what.name();
            if let FaultKind::Crash(node) = fault.what {
                self.timeline.nodes[node].down.push((from.as_secs_f64() * 1e3, until.as_secs_f64() * 1e3));
            }
            self.timeline.faults.push(Band {
                fault: place,
                kind: kind.to_owned(),
                what: format!("{} of {}", fault.what.name(), named.join(", ")),
                nodes,
                from_ms: from.as_secs_f64() * 1e3,
                until_ms: until.as_secs_f64() * 1e3,
                hits: if kind == "step" { 0 } else { 100 + mixed(number) as u64 % 900 },
            });
        }
    }

    /// Whether a fault is in the way between two nodes.
    fn severed(&self, a: usize, b: usize) -> Vec<(u64, u64)> {
        let plain = self.scenario.plain_faults(1);
        let hit = plain.iter().filter(|(_, fault)| match &fault.what {
            FaultKind::Partition(groups) => !groups.iter().any(|group| group.contains(&a) && group.contains(&b)),
            FaultKind::Cut(cut) => {
                cut.from.contains(&a) && cut.to.contains(&b) || cut.from.contains(&b) && cut.to.contains(&a)
            }
            FaultKind::Crash(node) => *node == a || *node == b,
            _ => false,
        });
        let mut spans: Vec<_> = hit.map(|(_, fault)| (fault.at_ms, fault.at_ms + fault.for_ms)).collect();
        spans.sort_unstable();
        spans
    }

    fn links(&mut self) {
        for (number, (a, b)) in self.scenario.edges().into_iter().enumerate() {
            let mut since = 300 + mixed(number) as u64 % 900;
            let mut up = Vec::new();
            for (from, until) in self.severed(a, b) {
                if until - from < NOTICE_MS {
                    continue;
                }
                let noticed = from + NOTICE_MS - mixed(number + from as usize) as u64 % 300;
                if noticed > since {
                    up.push((since as f64, noticed as f64));
                }
                since = until + RETURN_MS + mixed(number * 31) as u64 % 2_500;
            }
            up.push((since as f64, self.timeline.duration_ms as f64));
            self.timeline.links.push(LinkLine { a: a.min(b), b: a.max(b), up });
        }
    }

    /// By node, the first node of its part at a moment.
    fn parts(&self, at: f64) -> Vec<usize> {
        // What lasts until the end of the run includes it.
        let end = self.timeline.duration_ms as f64;
        let covers = |(from, until): &(f64, f64)| *from <= at && (at < *until || *until >= end);
        let inside = |spans: &[(f64, f64)]| spans.iter().any(covers);
        let mut part: Vec<usize> = (0..self.timeline.nodes.len()).collect();
        fn root(part: &mut [usize], mut node: usize) -> usize {
            while part[node] != node {
                part[node] = part[part[node]];
                node = part[node];
            }
            node
        }
        let running = |node: usize| !inside(&self.timeline.nodes[node].down);
        let up = |link: &&LinkLine| inside(&link.up) && running(link.a) && running(link.b);
        for link in self.timeline.links.iter().filter(up) {
            let (a, b) = (root(&mut part, link.a), root(&mut part, link.b));
            part[a.max(b)] = a.min(b);
        }
        (0..part.len()).map(|node| if running(node) { root(&mut part, node) } else { usize::MAX }).collect()
    }

    fn traffic(&mut self) {
        let (from, until) =
            (self.scenario.traffic_from().as_millis() as u64, self.scenario.traffic_until().as_millis() as u64);
        let (every, bin_ms) = (self.scenario.traffic.interval_ms, self.timeline.bin_ms);
        let hearers = self.scenario.hearers();
        for bin in 0..self.timeline.lost.len() {
            let begin = bin as u64 * bin_ms;
            let part = self.parts(begin as f64);
            for publisher in (0..part.len()).filter(|node| part[*node] != usize::MAX) {
                let phase = mixed(publisher) as u64 % every;
                let sent = |at: u64| (at.clamp(from, until) + phase) / every;
                let sent = (sent(begin + bin_ms) - sent(begin)) as u32;
                self.timeline.nodes[publisher].published[bin] = sent;
                self.verdict.published += u64::from(sent);
                for hearer in &hearers[publisher] {
                    if part[*hearer] == part[publisher] {
                        self.timeline.nodes[*hearer].delivered[bin] += sent;
                        self.verdict.delivered += u64::from(sent);
                    }
                }
            }
            let together = |node: usize| part.iter().filter(|other| **other == part[node]).count() as u32 - 1;
            let reached: Vec<u32> =
                (0..part.len()).map(|node| if part[node] == usize::MAX { 0 } else { together(node) }).collect();
            for (line, reached) in self.timeline.nodes.iter_mut().zip(reached) {
                line.reached[bin] = reached;
            }
        }
        self.cost();
    }

    /// What got lost and who had to wait, in the moments after each fault's beginning and end.
    fn cost(&mut self) {
        let bounds = self.scenario.bounds;
        let moments: Vec<f64> = self.timeline.faults.iter().flat_map(|band| [band.from_ms, band.until_ms]).collect();
        for (number, at_ms) in moments.iter().enumerate().take(60) {
            let first = self.timeline.bin(Duration::from_secs_f64(at_ms / 1e3));
            for (distance, bin) in self.timeline.lost[first..].iter_mut().take(6).enumerate() {
                *bin += (mixed(number) as u64 % 300) >> distance;
            }
            for wait in 0..8 {
                let after = 40 + mixed(number * 8 + wait) as u64 % (bounds.resume_ms * 9 / 10);
                let receiver = mixed(wait + number) % self.timeline.nodes.len();
                let publisher = (receiver + 1) % self.timeline.nodes.len();
                self.timeline.resumptions.push(Resumption {
                    at_ms: *at_ms,
                    receiver,
                    publisher,
                    after_ms: Some(after as f64),
                });
            }
        }
        self.verdict.lost = self.timeline.lost.iter().sum();
    }

    fn judged(&mut self, broken: bool) {
        let waits = self.timeline.resumptions.iter().filter_map(|wait| wait.after_ms);
        self.verdict.resume_ms = waits.reduce(f64::max);
        self.verdict.scenario = self.scenario.name.clone();
        self.verdict.seed = 4_711;
        self.verdict.trace_hash = "9f2c61d04be7a8155d0c3e9b7a46f1c2e88d7b0135a94cf6".to_owned();
        let faults = self.scenario.faults.iter().enumerate();
        let hits =
            |place: usize| self.timeline.faults.iter().filter(|band| band.fault == place).map(|band| band.hits).sum();
        self.verdict.faults =
            faults.map(|(fault, of)| FaultBite { fault, kind: of.what.name().to_owned(), hits: hits(fault) }).collect();
        self.verdict
            .shortfalls
            .extend(self.scenario.shortfalls.first().map(|known| (known.check, known.at_most - 40.0)));
        if broken {
            self.broken();
        }
    }

    fn broken(&mut self) {
        let nodes = self.timeline.nodes.len();
        let at = |share: f64| self.scenario.duration_ms as f64 * share;
        let mut found = vec![
            violation(at(0.58), Check::Resume, Some(nodes - 1), "hears <node-0> again after 4,310 ms only"),
            violation(at(0.99), Check::Leak, None, "14 timers more than at the beginning"),
        ];
        for number in 0..100 {
            let node = (nodes / 2 + number % 3).min(nodes - 1);
            let what = format!("message {number} of {} after {}", self.timeline.nodes[0].name, number + 1);
            found.push(violation(at(0.51) + 14.0 * number as f64, Check::Order, Some(node), &what));
            found.push(violation(at(0.52) + 90.0 * number as f64, Check::Complete, Some(node), &what));
        }
        found.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        self.verdict.violations = found;
        let counts = [
            (Check::Complete, 1_310, None),
            (Check::Resume, 1, Some(4_310.0)),
            (Check::Order, 200, None),
            (Check::Leak, 1, Some(14.0)),
        ];
        self.verdict.violated =
            counts.into_iter().map(|(check, times, worst)| (check, Count { times, worst })).collect();
        let never = Resumption { at_ms: at(0.5), receiver: nodes - 1, publisher: 0, after_ms: None };
        let late = Resumption { after_ms: Some(4_310.0), ..never };
        self.timeline.resumptions.extend([never, late]);
        self.verdict.resume_ms = Some(4_310.0);
    }
}

fn violation(at_ms: f64, check: Check, node: Option<usize>, what: &str) -> Violation {
    Violation { at_ms, check, node, what: what.to_owned(), figure: None }
}
