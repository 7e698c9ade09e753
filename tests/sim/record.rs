//! What the clients saw beyond the feeds that `Checker` judges: the queue group's work, and requests.

use super::calm::{is_calm, is_known_apart};
use lattice_netsim::{MessageId, Scenario};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A request that nobody serves is told so within this: it need not leave the node.
const REFUSED_WITHIN: Duration = Duration::from_millis(10);

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

/// A request and its end.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// When it was asked.
    pub at: Duration,
    /// On which node.
    pub by: usize,
    /// Of which node's service; `None` is a service that nobody offers.
    pub of: Option<usize>,
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
        let questions =
            inner.questions.iter().filter_map(|question| Some(format!("{}: {question:?}", wrong(scenario, question)?)));
        work.chain(questions).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

fn wrong(scenario: &Scenario, question: &Question) -> Option<&'static str> {
    let Question { at, by, of, answer, took } = *question;
    let refused_at_once = answer == Answer::NoResponders && took <= REFUSED_WITHIN;
    match of {
        _ if answer == Answer::Wrong => Some("the answer to another request"),
        None if !refused_at_once => Some("nobody serves this, and it was not said at once"),
        Some(of) if is_known_apart(scenario, at, by, of) && !refused_at_once => {
            Some("nobody within reach serves this, and it was not said at once")
        }
        Some(_) if is_calm(scenario, at) && answer != Answer::Right => Some("no answer in calm times"),
        None | Some(_) => None,
    }
}
