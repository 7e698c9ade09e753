//! What the clients saw beyond the feeds that `Checker` judges: the queue group's work, and requests.

use super::calm::{is_calm, is_known_apart};
use lattice_netsim::{MessageId, Scenario};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A request that nobody serves is told so within this: it need not leave the node.
const REFUSED_WITHIN: Duration = Duration::from_millis(10);

/// By then everybody knows of a subscription, or of its end.
const SETTLED: Duration = Duration::from_millis(1_000);

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With the answer to it.
    Right,
    /// With another one.
    Wrong,
    /// 503.
    NoResponders,
    /// Not at all.
    None,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// What this node's client always answers.
    Steady(usize),
    /// What this node's client answers in its shifts.
    Shift(usize),
    /// What nobody answers.
    Nobody,
}

/// A request and its end.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// When it was asked.
    pub at: Duration,
    /// On which node.
    pub by: usize,
    /// What was asked.
    pub of: Service,
    /// How it ended …
    pub answer: Answer,
    /// … and after how long.
    pub took: Duration,
}

/// The record; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Record(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// When each piece of work was published, and which nodes' members took it.
    work: BTreeMap<MessageId, (Duration, Vec<usize>)>,
    questions: Vec<Question>,
    /// When each node's shifts began (true) and ended.
    shifts: BTreeMap<usize, Vec<(Duration, bool)>>,
}

impl Inner {
    /// Whether `node` was in its shift from [`SETTLED`] before `at` to as long after it, or was not; else nothing.
    fn on_shift(&self, node: usize, at: Duration) -> Option<bool> {
        let turns = self.shifts.get(&node)?;
        let next = turns.partition_point(|(turn, _)| *turn < at + SETTLED);
        let (turn, on) = turns[..next].last()?;
        (*turn + SETTLED <= at).then_some(*on)
    }
}

/// What is worth a line when all is well.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub work: u64,
    pub work_lost: u64,
    pub questions: u64,
    pub refused: u64,
    pub unanswered: u64,
}

impl Record {
    pub fn work(&self, at: Duration, id: MessageId) {
        self.lock().work.insert(id, (at, Vec::new()));
    }

    pub fn worked(&self, node: usize, id: MessageId) {
        self.lock().work.get_mut(&id).expect("what arrives was published").1.push(node);
    }

    pub fn shift(&self, at: Duration, node: usize, on: bool) {
        self.lock().shifts.entry(node).or_default().push((at, on));
    }

    pub fn question(&self, question: Question) {
        self.lock().questions.push(question);
    }

    pub fn counts(&self) -> Counts {
        let inner = self.lock();
        let answered = |answer| inner.questions.iter().filter(|question| question.answer == answer).count() as u64;
        Counts {
            work: inner.work.len() as u64,
            work_lost: inner.work.values().filter(|(_, takers)| takers.is_empty()).count() as u64,
            questions: inner.questions.len() as u64,
            refused: answered(Answer::NoResponders),
            unanswered: answered(Answer::None),
        }
    }

    /// What must not be.
    pub fn violations(&self, scenario: &Scenario) -> Vec<String> {
        let inner = self.lock();
        let work = inner.work.iter().filter_map(|(id, (at, takers))| match takers.len() {
            1 => None,
            0 if !is_calm(scenario, *at) => None,
            _ => Some(format!("work {id} of {at:?} was taken by {takers:?}")),
        });
        let questions = inner
            .questions
            .iter()
            .filter_map(|question| Some(format!("{}: {question:?}", wrong(&inner, scenario, question)?)));
        work.chain(questions).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

fn wrong(inner: &Inner, scenario: &Scenario, question: &Question) -> Option<&'static str> {
    let Question { at, by, of, answer, took } = *question;
    let refused_at_once = answer == Answer::NoResponders && took <= REFUSED_WITHIN;
    let apart = |node| is_known_apart(scenario, at, by, node);
    let serves = match of {
        Service::Nobody => Some(false),
        Service::Steady(node) | Service::Shift(node) if apart(node) => Some(false),
        Service::Steady(_) | Service::Shift(_) if !is_calm(scenario, at) => None,
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
