//! What the clients' records amount to: how much was lost, doubled or turned round, when traffic was back, and what of
//! it breaks the scenario's bounds.

use super::plan::Plan;
use super::record::Record;
use lattice_netsim::tier2::Lateness;
use lattice_netsim::{Check, Checker, Count, MessageId, Violation};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The figures of one fleet.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// Messages.
    pub(super) published: u64,
    /// Deliveries that there should have been: each message at each other client. Without the last messages, which had
    /// no time to arrive.
    pub(super) due: u64,
    /// Those of them that there were not.
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) reordered: u64,
    /// From the last fault's end to the first message, old or new, between nodes that it had parted.
    pub(super) first: Option<Duration>,
    /// From the last fault's end until every client had heard something from every publisher that was published since.
    pub(super) resumed: Option<Duration>,
    /// The longest that a message was on its way.
    pub(super) oldest: Duration,
    /// For each moment at which a fault began and a way was left between publishers and hearers: the longest that one of these heard
    /// nothing of one of those, until the next fault began. In ascending order.
    pub(super) silences: Vec<Duration>,
    /// How late messages were published.
    pub(super) lateness: Lateness,
    pub(super) violations: Vec<Violation>,
    pub(super) violations_total: u64,
}

/// Judges what the clients of one fleet wrote, by client; `began` is when the scenario did, by their clock.
pub(super) fn judge(plan: &Plan, began: Duration, records: &[Vec<Record>]) -> Figures {
    let history = History::new(began, records);
    let checker = Checker::new();
    plan.epochs.judged().for_each(|epoch| checker.watch(epoch.from));
    history.published.iter().for_each(|(message, (at, _))| {
        checker.publish(*at, message.publisher, message.incarnation);
    });
    for &(receiver, message, at) in &history.delivered {
        checker.deliver(at, receiver, message);
    }
    let tail = plan.duration.saturating_sub(plan.deliver);
    let (mut found, _) = checker.judge(&plan.epochs, plan.resume, &plan.publishers, &plan.hearers);
    let (due, lost) = history.lost(tail, &plan.hearers, &BTreeSet::new());
    let lost_of_others = || history.lost(tail, &plan.hearers, &plan.killed()).1;
    if let Some((lost, bound)) = plan.lost_max.map(|max| (lost_of_others(), max)).filter(|(lost, max)| lost > max) {
        let what = format!("{lost} deliveries were lost, the bound is {bound}");
        let at_ms = plan.duration.as_secs_f64() * 1e3;
        found.add(Violation { at_ms, check: Check::Lost, node: None, what, figure: Some(lost as f64) });
    }
    let count = |check| found.by_check.get(&check).map_or(0, |count: &Count| count.times);
    let resumed = checker.resumed(plan.healed);
    let pairs = plan.publishers.iter().map(|publisher| plan.hearers[*publisher].len());
    Figures {
        published: history.published.len() as u64,
        due,
        lost,
        duplicated: count(Check::Duplicate),
        reordered: count(Check::Order),
        first: history.first(plan),
        resumed: (resumed.len() == pairs.sum::<usize>()).then(|| resumed.into_values().max()).flatten(),
        oldest: history.oldest(),
        silences: silences(plan, &history),
        lateness: Lateness::of(history.published.values().map(|(at, due)| at.saturating_sub(*due))),
        violations_total: found.total(),
        violations: found.kept,
    }
}

/// Who published and heard what when, counted from the beginning of the scenario.
struct History {
    /// When each message was, and when it was due.
    published: BTreeMap<MessageId, (Duration, Duration)>,
    /// In order of time.
    delivered: Vec<(u32, MessageId, Duration)>,
}

impl History {
    fn new(began: Duration, records: &[Vec<Record>]) -> Self {
        let since = |at: u64| Duration::from_nanos(at).saturating_sub(began);
        let mut history = Self { published: BTreeMap::new(), delivered: Vec::new() };
        for (client, record) in
            (0..).zip(records).flat_map(|(client, records)| records.iter().map(move |record| (client, record)))
        {
            match *record {
                Record::Published { message, due, at } => {
                    history.published.insert(message, (since(at), since(due)));
                }
                Record::Delivered { message, at } => history.delivered.push((client, message, since(at))),
                Record::Connected { .. } | Record::Ready { .. } | Record::Disconnected { .. } | Record::Done { .. } => {
                }
            }
        }
        history.delivered.sort_by_key(|(.., at)| *at);
        history
    }

    /// Deliveries that were due of what was published until `tail`, and those that there were not; none from or to
    /// nodes that are `left_out`.
    fn lost(&self, tail: Duration, hearers: &[Vec<usize>], left_out: &BTreeSet<usize>) -> (u64, u64) {
        let mut heard: Vec<_> =
            self.delivered.iter().map(|(receiver, message, _)| (*receiver as usize, *message)).collect();
        heard.sort_unstable();
        let counted = self.published.iter().filter(|(_, (at, _))| *at <= tail).map(|(message, _)| *message);
        let counted = counted.filter(|message| !left_out.contains(&(message.publisher as usize)));
        let due = counted.flat_map(|message| {
            let receivers = hearers[message.publisher as usize].iter().filter(|receiver| !left_out.contains(receiver));
            receivers.map(move |receiver| (*receiver, message))
        });
        due.fold((0, 0), |(due, lost), delivery| (due + 1, lost + u64::from(heard.binary_search(&delivery).is_err())))
    }

    /// When each hearer heard something of each publisher, by publisher and hearer, in order.
    fn arrivals(&self) -> BTreeMap<(usize, usize), Vec<Duration>> {
        let mut arrivals: BTreeMap<_, Vec<Duration>> = BTreeMap::new();
        for (receiver, message, at) in &self.delivered {
            arrivals.entry((message.publisher as usize, *receiver as usize)).or_default().push(*at);
        }
        arrivals
    }

    fn first(&self, plan: &Plan) -> Option<Duration> {
        let parted = |one: u32, other: u32| plan.parts(one as usize, other as usize);
        let after = self
            .delivered
            .iter()
            .filter(|(receiver, message, at)| *at >= plan.healed && parted(*receiver, message.publisher));
        after.map(|(.., at)| *at - plan.healed).min()
    }

    fn oldest(&self) -> Duration {
        let took = self.delivered.iter().filter_map(|(_, message, at)| {
            let (published, _) = self.published.get(message)?;
            Some(at.saturating_sub(*published))
        });
        took.max().unwrap_or_default()
    }
}

/// See [`Figures::silences`].
fn silences(plan: &Plan, history: &History) -> Vec<Duration> {
    let arrivals = history.arrivals();
    let mut begins: Vec<Duration> = plan.faults.iter().map(|strike| strike.begins).collect();
    begins.sort_unstable();
    // What begins at once is one change.
    begins.dedup();
    let until = begins.iter().skip(1).copied().chain([plan.duration.saturating_sub(plan.deliver)]);
    let silent = |(from, until): (Duration, Duration)| {
        let epoch = plan.epochs.settled(from, Duration::ZERO)?;
        let pairs = plan.publishers.iter().flat_map(|one| plan.hearers[*one].iter().map(move |other| (*one, *other)));
        let joined = pairs.filter(|(one, other)| epoch.joined(*one, *other));
        joined.map(|pair| longest_gap(arrivals.get(&pair).map_or(&[], Vec::as_slice), from, until)).max()
    };
    let mut silences: Vec<Duration> = begins.iter().copied().zip(until).filter_map(silent).collect();
    silences.sort_unstable();
    silences
}

/// The longest time without an arrival that ends between `from` and `until`, or goes on then: as far as it has come.
fn longest_gap(arrivals: &[Duration], from: Duration, until: Duration) -> Duration {
    let first = arrivals.partition_point(|at| *at <= from);
    let last = arrivals.partition_point(|at| *at < until);
    let before = first.checked_sub(1).map_or(from, |before| arrivals[before]);
    let ends = arrivals[first..last].iter().copied().chain([until]);
    let mut longest = Duration::ZERO;
    ends.fold(before, |before, at| {
        longest = longest.max(at.saturating_sub(before));
        at
    });
    longest
}

#[cfg(test)]
mod tests;
