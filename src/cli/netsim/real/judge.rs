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
    let number = |node: &usize| u32::try_from(*node).expect("there are a few hundred nodes at most");
    let receivers: Vec<u32> = (0..plan.nodes).map(|node| number(&node)).collect();
    let publishers: Vec<u32> = plan.publishers.iter().map(number).collect();
    let tail = plan.duration.saturating_sub(plan.deliver);
    let (found, _) = checker.judge(&plan.epochs, plan.resume, &plan.publishers, &plan.hearers);
    let count = |check| found.by_check.get(&check).map_or(0, |count: &Count| count.times);
    let (due, lost) = history.lost(tail, &receivers);
    let resumed = checker.resumed(plan.healed);
    let pairs = publishers.iter().map(|publisher| receivers.iter().filter(|receiver| *receiver != publisher).count());
    Figures {
        published: history.published.len() as u64,
        due,
        lost,
        duplicated: count(Check::Duplicate),
        reordered: count(Check::Order),
        first: history.first(plan),
        resumed: (resumed.len() == pairs.sum::<usize>()).then(|| resumed.into_values().max()).flatten(),
        oldest: history.oldest(),
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

    /// Deliveries that were due of what was published until `tail`, and those that there were not.
    fn lost(&self, tail: Duration, receivers: &[u32]) -> (u64, u64) {
        let heard: BTreeSet<_> = self.delivered.iter().map(|(receiver, message, _)| (*receiver, *message)).collect();
        let counted = self.published.iter().filter(|(_, (at, _))| *at <= tail).map(|(message, _)| *message);
        let due = counted.flat_map(|message| receivers.iter().map(move |receiver| (*receiver, message)));
        due.filter(|(receiver, message)| *receiver != message.publisher)
            .fold((0, 0), |(due, lost), delivery| (due + 1, lost + u64::from(!heard.contains(&delivery))))
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

#[cfg(test)]
mod tests;
