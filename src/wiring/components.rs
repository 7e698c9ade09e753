//! The lattice as components have it, over the broker's clients inside the process.

use crate::host::engine::{BadSubject, Client, Deliveries, Lattice, Message, RequestError, SendError};
use bytes::Bytes;
use lattice_broker::env::{BoxFuture, Env};
use lattice_broker::{Broker, Local, LocalMessage, Subscription, is_literal};
use rand_core::Rng as _;
use std::collections::HashMap;
use std::future::Future as _;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Answers that wait to be handed to those who have asked.
const ANSWERS_PENDING_MAX: usize = 1_024;

/// What a server answers for nobody, where the protocol has no other words for it.
const NO_RESPONDERS: &[u8] = b"NATS/1.0 503";

/// The lattice that a broker is part of.
#[derive(Clone, Debug)]
pub struct LocalLattice {
    env: Env,
    broker: Broker,
    body_max: usize,
}

impl LocalLattice {
    /// The lattice of `broker`, which takes `body_max` bytes in a message ([`lattice_broker::Config::max_payload`]).
    #[must_use]
    pub fn new(env: Env, broker: Broker, body_max: usize) -> Self {
        Self { env, broker, body_max }
    }
}

impl Lattice for LocalLattice {
    fn client(&self) -> Arc<dyn Client> {
        let mut unguessable = [0; 16];
        self.env.rng("component inboxes").fill_bytes(&mut unguessable);
        Arc::new(LocalClient {
            env: self.env.clone(),
            local: Mutex::new(self.broker.local()),
            body_max: self.body_max,
            inbox: format!("_INBOX.{}", data_encoding::BASE32_NOPAD.encode(&unguessable)),
            asked: Arc::default(),
            ended: CancellationToken::new(),
        })
    }
}

#[derive(Debug)]
struct LocalClient {
    env: Env,
    local: Mutex<Local>,
    body_max: usize,
    /// Answers come to subjects below this one: one subscription for all, or each request would be news to the lattice.
    inbox: String,
    asked: Arc<Mutex<Asked>>,
    ended: CancellationToken,
}

/// Who waits for which answer.
#[derive(Debug, Default)]
struct Asked {
    /// Whether answers are listened for.
    listening: bool,
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<LocalMessage>>,
}

/// Forgets a question when its answer has come, or is waited for no more.
struct Question {
    number: u64,
    asked: Arc<Mutex<Asked>>,
}

impl Drop for LocalClient {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        lock(&self.asked).waiting.remove(&self.number);
    }
}

impl LocalClient {
    /// Publishes; how many takers there were.
    fn send(&self, subject: &str, reply: Option<&str>, body: &[u8]) -> Result<usize, SendError> {
        for (subject, purpose) in [(Some(subject), "to publish to"), (reply, "to answer to")] {
            if let Some(subject) = subject.filter(|subject| !is_literal(subject.as_bytes())) {
                return Err(BadSubject { subject: subject.to_owned(), purpose }.into());
            }
        }
        if body.len() > self.body_max {
            return Err(SendError::TooLong { len: body.len(), max: self.body_max });
        }
        let reply = reply.map(str::as_bytes);
        let message = lattice_broker::Message { subject: subject.as_bytes(), reply, header_len: 0, body };
        Ok(lock(&self.local).publish(&message))
    }

    fn ask(&self) -> Result<(Question, oneshot::Receiver<LocalMessage>), SendError> {
        let mut asked = lock(&self.asked);
        if !asked.listening {
            let filter = format!("{}.*", self.inbox);
            let answers = lock(&self.local).subscribe(filter.as_bytes(), None, ANSWERS_PENDING_MAX);
            let answers = answers.map_err(|_| BadSubject { subject: filter, purpose: "to answer to" })?;
            let skip = self.inbox.len() + 1;
            self.env.spawn(hand_out(answers, skip, self.asked.clone(), self.ended.clone()));
            asked.listening = true;
        }
        asked.last += 1;
        let (answer, answered) = oneshot::channel();
        let number = asked.last;
        asked.waiting.insert(number, answer);
        Ok((Question { number, asked: self.asked.clone() }, answered))
    }
}

impl Client for LocalClient {
    fn publish(&self, subject: &str, reply: Option<&str>, body: &[u8]) -> Result<(), SendError> {
        self.send(subject, reply, body).map(drop)
    }

    fn request(&self, subject: &str, body: &[u8], timeout: Duration) -> BoxFuture<Result<Message, RequestError>> {
        let asked = self.ask().and_then(|(question, answer)| {
            let reply = format!("{}.{}", self.inbox, question.number);
            Ok((question, answer, self.send(subject, Some(&reply), body)?))
        });
        let (env, subject) = (self.env.clone(), subject.to_owned());
        Box::pin(async move {
            let (_question, answer, takers) = asked?;
            if takers == 0 {
                return Err(RequestError::NoResponders { subject });
            }
            match env.timeout(timeout, answer).await {
                Ok(Ok(answer)) if answer.headers.starts_with(NO_RESPONDERS) => {
                    Err(RequestError::NoResponders { subject })
                }
                Ok(Ok(answer)) => Ok(message(answer)),
                Ok(Err(_)) | Err(_) => Err(RequestError::TimedOut { subject, timeout }),
            }
        })
    }

    fn subscribe(&self, subject: &str, queue: &str, waiting_max: usize) -> Result<Box<dyn Deliveries>, BadSubject> {
        let bad = |_| BadSubject { subject: subject.to_owned(), purpose: "to subscribe to" };
        let queue = Some(queue.as_bytes());
        let subscription = lock(&self.local).subscribe(subject.as_bytes(), queue, waiting_max).map_err(bad)?;
        Ok(Box::new(LocalDeliveries(subscription)))
    }
}

/// Hands answers to those who wait for them, until the client ends.
async fn hand_out(mut answers: Subscription, skip: usize, asked: Arc<Mutex<Asked>>, ended: CancellationToken) {
    loop {
        let answer = tokio::select! {
            () = ended.cancelled() => return,
            answer = answers.next() => answer,
        };
        let number = answer.subject.get(skip..).and_then(|number| str::from_utf8(number).ok()?.parse().ok());
        let waiting = number.and_then(|number: u64| lock(&asked).waiting.remove(&number));
        if let Some(waiting) = waiting {
            // Nobody may be waiting any more.
            drop(waiting.send(answer));
        }
    }
}

#[derive(Debug)]
struct LocalDeliveries(Subscription);

impl Deliveries for LocalDeliveries {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Message> {
        pin!(self.0.next()).poll(cx).map(message)
    }

    fn dropped(&self) -> u64 {
        self.0.dropped()
    }
}

fn message(message: LocalMessage) -> Message {
    let text = |bytes: &Bytes| -> Box<str> { String::from_utf8_lossy(bytes).into() };
    Message { subject: text(&message.subject), reply: message.reply.as_ref().map(text), payload: message.payload }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
