//! What the clients of a run saw beyond the feeds: the queue group's work, and requests.

use lattice_netsim::{Check, Epochs, MessageId, Tally, Violation, ms};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A request that nobody serves is told so within this: it need not leave the node.
const REFUSED_WITHIN: Duration = Duration::from_millis(10);

/// By then everybody knows of a subscription, or of its end.
const SETTLED: Duration = Duration::from_millis(1_000);

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// With the answer to it.
    Right,
    /// With another one.
    Wrong,
    /// 503.
    NoResponders,
    /// Not at all.
    None,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Right => "the answer",
            Self::Wrong => "a wrong answer",
            Self::NoResponders => "a refusal",
            Self::None => "neither an answer nor a refusal",
        })
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// What this node's client always answers.
    Steady(usize),
    /// What this node's client answers in its shifts.
    Shift(usize),
    /// What nobody answers.
    Nobody,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steady(node) => write!(f, "node {node}"),
            Self::Shift(node) => write!(f, "node {node} (in its shifts)"),
            Self::Nobody => f.write_str("what nobody serves"),
        }
    }
}

/// A request and its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    /// When it was asked.
    pub(super) at: Duration,
    /// On which node.
    pub(super) by: usize,
    /// What was asked.
    pub(super) of: Service,
    /// How it ended …
    pub(super) answer: Answer,
    /// … and after how long.
    pub(super) took: Duration,
}

/// The record; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Record(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// When each piece of work was published, and which nodes' members took it.
    work: BTreeMap<MessageId, (Duration, Vec<usize>)>,
    questions: Vec<Question>,
    /// When each node's shifts began (true) and ended.
    shifts: BTreeMap<usize, Vec<(Duration, bool)>>,
    found: Tally,
}

impl Inner {
    /// Whether `node` was in its shift from [`SETTLED`] before `at` to as long after it, or was not; else nothing.
    fn on_shift(&self, node: usize, at: Duration) -> Option<bool> {
        let Some(turns) = self.shifts.get(&node) else { return Some(false) };
        let next = turns.partition_point(|(turn, _)| *turn < at + SETTLED);
        let Some((turn, on)) = turns[..next].last() else { return Some(false) };
        (*turn + SETTLED <= at).then_some(*on)
    }
}

/// How many of what there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Pieces of work for the queue group …
    pub work: u64,
    /// … and those that nobody took.
    pub work_lost: u64,
    /// Requests …
    pub requests: u64,
    /// … those that were refused …
    pub refused: u64,
    /// … and those that were neither answered nor refused.
    pub unanswered: u64,
}

impl Record {
    pub(super) fn work(&self, at: Duration, id: MessageId) {
        self.lock().work.insert(id, (at, Vec::new()));
    }

    pub(super) fn worked(&self, at: Duration, node: usize, id: MessageId) {
        let mut inner = self.lock();
        let Some((_, takers)) = inner.work.get_mut(&id) else {
            let what = format!("work {id} arrived, which nobody published");
            return inner.found.add(violation(at, Check::Unknown, node, what));
        };
        takers.push(node);
        if takers.len() > 1 {
            let what = format!("work {id} was taken by each of the nodes {takers:?}");
            inner.found.add(violation(at, Check::Queue, node, what));
        }
    }

    pub(super) fn shift(&self, at: Duration, node: usize, on: bool) {
        self.lock().shifts.entry(node).or_default().push((at, on));
    }

    pub(super) fn question(&self, question: Question) {
        self.lock().questions.push(question);
    }

    /// Notes something else that a client found broken.
    pub(super) fn violate(&self, at: Duration, node: usize, what: String) {
        self.lock().found.add(violation(at, Check::Request, node, what));
    }

    pub(super) fn counts(&self) -> Counts {
        let inner = self.lock();
        let answered = |answer| inner.questions.iter().filter(|question| question.answer == answer).count() as u64;
        Counts {
            work: inner.work.len() as u64,
            work_lost: inner.work.values().filter(|(_, takers)| takers.is_empty()).count() as u64,
            requests: inner.questions.len() as u64,
            refused: answered(Answer::NoResponders),
            unanswered: answered(Answer::None),
        }
    }

    /// What must not be. `workers` are the nodes with a member of the queue group; after a fault has begun or ended
    /// everybody knows within `known` who is apart from whom.
    pub(super) fn judge(&self, epochs: &Epochs, workers: &[usize], known: Duration) -> Tally {
        let inner = self.lock();
        let mut found = inner.found.clone();
        for (id, (at, takers)) in &inner.work {
            let by = id.publisher as usize;
            let owed = epochs.calm(*at).is_some_and(|epoch| workers.iter().any(|node| epoch.joined(by, *node)));
            if takers.is_empty() && owed {
                found.add(violation(*at, Check::Queue, by, format!("work {id} was taken by nobody")));
            }
        }
        for question in &inner.questions {
            if let Some(why) = wrong(&inner, epochs, question, known) {
                let Question { at, by, of, answer, took } = *question;
                let what = format!("{why}: {of} was asked, and there was {answer} after {took:.3?}");
                found.add(violation(at, Check::Request, by, what));
            }
        }
        found
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

fn violation(at: Duration, check: Check, node: usize, what: String) -> Violation {
    Violation { at_ms: ms(at), check, node: Some(node), what, figure: None }
}

fn wrong(inner: &Inner, epochs: &Epochs, question: &Question, known: Duration) -> Option<&'static str> {
    let Question { at, by, of, answer, took } = *question;
    let refused_at_once = answer == Answer::NoResponders && took <= REFUSED_WITHIN;
    let apart = |node| epochs.settled(at, known).is_some_and(|epoch| epoch.apart(by, node));
    let joined = |node| epochs.calm(at).is_some_and(|epoch| epoch.joined(by, node));
    let serves = match of {
        Service::Nobody => Some(false),
        Service::Steady(node) | Service::Shift(node) if apart(node) => Some(false),
        Service::Steady(node) | Service::Shift(node) if !joined(node) => None,
        Service::Steady(_) => Some(true),
        Service::Shift(node) => inner.on_shift(node, at),
    };
    match serves {
        _ if answer == Answer::Wrong => Some("the answer to another request"),
        Some(true) if answer != Answer::Right => Some("it is served, and there was no answer"),
        Some(false) if !refused_at_once => Some("nobody within reach serves it, and it was not said at once"),
        None | Some(_) => None,
    }
}
