//! What one component has of the lattice: it publishes, asks, and hears of what is published.
//!
//! It is a client of the node's own (`ports.rs`), with what a component needs besides: subjects are checked, since they are
//! the component's words; questions have their answers, each within its time; and what goes wrong has words. Which subjects a
//! component may publish to is `subjects.rs`'s business.

use super::clocks::within;
use super::lock;
use super::log::cut;
use crate::ports::{Client, Deliveries, Delivery, is_literal};
use bytes::Bytes;
use lattice_broker::env::{Env, Rng};
use rand_core::Rng as _;
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Answers that wait to be handed to those who have asked.
const ANSWERS_PENDING_MAX: usize = 1_024;

/// Answers that are handed out before other tasks of the node have their turn.
const BATCH: usize = 64;

/// What a server answers for nobody, where the protocol has no other words for it.
const NO_RESPONDERS: &[u8] = b"NATS/1.0 503";

/// One component's way to the lattice. What it publishes arrives in order. Dropping it gives up what it waits for.
#[derive(Debug)]
pub(super) struct Messenger {
    env: Env,
    client: Arc<dyn Client>,
    payload_max: usize,
    /// Answers come to subjects below this one: one subscription for all, or each request would be news to the lattice.
    inbox: String,
    asked: Arc<Mutex<Asked>>,
    ended: CancellationToken,
}

/// Who waits for which answer: as many at most as calls are in flight.
#[derive(Debug)]
struct Asked {
    /// Whether answers are listened for.
    listening: bool,
    /// Who answers one question must not be able to answer another.
    numbers: Rng,
    waiting: HashMap<u64, oneshot::Sender<Delivery>>,
}

/// Forgets a question when its answer has come, or is waited for no more.
struct Question {
    number: u64,
    asked: Arc<Mutex<Asked>>,
}

/// A message as a component gets it: headers are left out, since its interface has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The subject. One that is no text has replacement characters in it.
    pub(super) subject: Box<str>,
    /// Where an answer is wanted.
    pub(super) reply: Option<Box<str>>,
    /// The payload.
    pub(super) payload: Bytes,
}

impl Message {
    /// Bytes that it takes while it waits.
    pub(super) fn size(&self) -> usize {
        let reply = self.reply.as_ref().map_or(0, |reply| reply.len());
        size_of::<Self>() + self.subject.len() + reply + self.payload.len()
    }
}

impl From<Delivery> for Message {
    fn from(delivery: Delivery) -> Self {
        // What is no text cannot be answered to: what a component would send there would go elsewhere.
        let reply = delivery.reply.as_ref().and_then(|reply| str::from_utf8(reply).ok()).map(Into::into);
        // It shares its memory with the headers, which then would stay, uncounted, for as long as it waits.
        let is_alone = delivery.headers.is_empty();
        let payload = if is_alone { delivery.payload } else { Bytes::copy_from_slice(&delivery.payload) };
        Self { subject: String::from_utf8_lossy(&delivery.subject).into(), reply, payload }
    }
}

/// A message was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SendError {
    /// It can be published to no such subject.
    #[error(transparent)]
    Subject(#[from] BadSubject),
    /// It is too long for this lattice.
    #[error("a payload of {len} bytes: the broker takes at most {max}")]
    TooLong {
        /// Bytes of the payload.
        len: usize,
        /// How many there may be.
        max: usize,
    },
}

/// There is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestError {
    /// The question was not asked.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Nobody listens there.
    #[error("no responders on {subject}")]
    NoResponders {
        /// The subject that was asked.
        subject: String,
    },
    /// Nobody has answered in time.
    #[error("no answer on {subject} within {timeout:?}")]
    TimedOut {
        /// The subject that was asked.
        subject: String,
        /// How long was waited.
        timeout: Duration,
    },
}

/// No such subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{subject:?} is no subject {purpose}: expected words with dots between them, such as orders.new")]
pub(super) struct BadSubject {
    /// As it was given.
    pub(super) subject: String,
    /// What it was to be used for.
    pub(super) purpose: &'static str,
}

impl Drop for Messenger {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        lock(&self.asked).waiting.remove(&self.number);
    }
}

impl Messenger {
    /// Over `client`, which takes `payload_max` bytes in a message.
    pub(super) fn new(env: &Env, client: Arc<dyn Client>, payload_max: usize) -> Self {
        let mut numbers = env.rng("component inboxes");
        let mut unguessable = [0; 16];
        numbers.fill_bytes(&mut unguessable);
        let asked = Asked { listening: false, numbers, waiting: HashMap::new() };
        Self {
            env: env.clone(),
            client,
            payload_max,
            inbox: format!("_INBOX.{}", data_encoding::BASE32_NOPAD.encode(&unguessable)),
            asked: Arc::new(Mutex::new(asked)),
            ended: CancellationToken::new(),
        }
    }

    /// Publishes, and never waits: what a slow taker cannot take is kept for it within the broker's limits.
    ///
    /// # Errors
    /// [`SendError`]; nothing was published then.
    pub(super) fn publish(&self, subject: &str, reply: Option<&str>, body: &[u8]) -> Result<(), SendError> {
        self.send(subject, reply, body).map(drop)
    }

    /// Asks, and waits for one answer, at most for `timeout`. Dropping the future gives the answer up.
    ///
    /// # Errors
    /// [`RequestError`].
    pub(super) async fn request(
        &self,
        subject: &str,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<Message, RequestError> {
        let (question, answer) = self.ask()?;
        let reply = format!("{}.{}", self.inbox, question.number);
        let nobody = || RequestError::NoResponders { subject: subject.to_owned() };
        if self.send(subject, Some(&reply), &body)? == 0 {
            return Err(nobody());
        }
        // It may be long, and the answer far away.
        drop(body);
        match within(timeout, answer).await {
            Ok(Ok(answer)) if answer.headers.starts_with(NO_RESPONDERS) => Err(nobody()),
            Ok(Ok(answer)) => Ok(answer.into()),
            Ok(Err(_)) | Err(_) => Err(RequestError::TimedOut { subject: subject.to_owned(), timeout }),
        }
    }

    /// Messages to `subject` (with wildcards), as a member of the queue group `queue`. At most `pending_max` wait;
    /// when that many do, new ones are dropped and counted.
    ///
    /// # Errors
    /// [`BadSubject`]: nothing could ever match.
    pub(super) fn subscribe(
        &self,
        subject: &str,
        queue: &str,
        pending_max: usize,
    ) -> Result<Box<dyn Deliveries>, BadSubject> {
        let bad = |_| BadSubject { subject: subject.to_owned(), purpose: "to subscribe to" };
        self.client.subscribe(subject, Some(queue), pending_max).map_err(bad)
    }

    /// Publishes; how many takers there were.
    fn send(&self, subject: &str, reply: Option<&str>, body: &[u8]) -> Result<usize, SendError> {
        for (subject, purpose) in [(Some(subject), "to publish to"), (reply, "to answer to")] {
            if let Some(subject) = subject.filter(|subject| !is_literal(subject.as_bytes())) {
                return Err(BadSubject { subject: cut(subject).to_owned(), purpose }.into());
            }
        }
        if body.len() > self.payload_max {
            return Err(SendError::TooLong { len: body.len(), max: self.payload_max });
        }
        Ok(self.client.publish(subject, reply.map(str::as_bytes), body))
    }

    fn ask(&self) -> Result<(Question, oneshot::Receiver<Delivery>), SendError> {
        let mut asked = lock(&self.asked);
        if !asked.listening {
            let filter = format!("{}.*", self.inbox);
            let answers = self.client.subscribe(&filter, None, ANSWERS_PENDING_MAX);
            let answers = answers.map_err(|_| BadSubject { subject: filter, purpose: "to answer to" })?;
            let skip = self.inbox.len() + 1;
            self.env.spawn(hand_out(answers, skip, self.asked.clone(), self.ended.clone()));
            asked.listening = true;
        }
        let (answer, answered) = oneshot::channel();
        let number = asked.numbers.next_u64();
        asked.waiting.insert(number, answer);
        Ok((Question { number, asked: self.asked.clone() }, answered))
    }
}

/// Hands answers to those who wait for them, until the component ends.
async fn hand_out(mut answers: Box<dyn Deliveries>, skip: usize, asked: Arc<Mutex<Asked>>, ended: CancellationToken) {
    for taken in 1usize.. {
        if taken.is_multiple_of(BATCH) {
            tokio::task::yield_now().await;
        }
        let answer = tokio::select! {
            () = ended.cancelled() => return,
            answer = poll_fn(|cx| answers.poll_next(cx)) => answer,
        };
        let number = answer.subject.get(skip..).and_then(|number| str::from_utf8(number).ok()?.parse().ok());
        let waiting = number.and_then(|number: u64| lock(&asked).waiting.remove(&number));
        if let Some(waiting) = waiting {
            // Nobody may be waiting any more.
            drop(waiting.send(answer));
        }
    }
}
