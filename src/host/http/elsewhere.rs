//! Components of other hosts: asks for their answers, and has those of this one answer when others ask.
//!
//! A host that runs a component to which HTTP is linked, from wherever, listens for it as a member of a group, so that a request has one
//! taker of those that could be. All of it is between nodes: clients of the lattice neither hear it nor can ask that way. A request
//! and an answer are a message each, and as long as that may be.

use super::connection::Shared;
use super::wire::{decode_answer, decode_request, encode_answer, encode_request};
use crate::host::runner::{HttpError, HttpRequest, HttpResponse};
use crate::ports::{BadInterest, Client, Deliveries, Delivery};
use lattice_broker::env::{Env, Rng};
use rand_core::Rng as _;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Requests and answers that wait until they are looked at.
const PENDING_MAX: usize = 512;
/// How long the answer of another host is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes that a subject, its reply and a record's version take of a message.
const MARGIN: usize = 1 << 10;

/// The way to components of other hosts, and theirs to those of this one.
#[derive(Debug)]
pub(super) struct Elsewhere {
    env: Env,
    client: Arc<dyn Client>,
    lattice: String,
    max: usize,
    /// Answers come to subjects below this one.
    inbox: String,
    asked: Arc<Mutex<Asked>>,
    /// By component: cancelled when it is not offered any more.
    offered: Mutex<BTreeMap<String, CancellationToken>>,
    ended: CancellationToken,
}

#[derive(Debug)]
struct Asked {
    listening: bool,
    /// Who answers one request must not be able to answer another.
    numbers: Rng,
    waiting: BTreeMap<u64, oneshot::Sender<Delivery>>,
}

/// Forgets a request when its answer has come, or is waited for no more.
struct Question {
    number: u64,
    asked: Arc<Mutex<Asked>>,
}

impl Drop for Question {
    fn drop(&mut self) {
        lock(&self.asked).waiting.remove(&self.number);
    }
}

impl Elsewhere {
    /// Over `client`, in the account of the nodes, which takes `payload_max` bytes in a message.
    pub(super) fn new(env: Env, client: Arc<dyn Client>, lattice: String, payload_max: usize) -> Self {
        let mut numbers = env.rng("http between hosts");
        let mut unguessable = [0; 16];
        numbers.fill_bytes(&mut unguessable);
        let asked = Asked { listening: false, numbers, waiting: BTreeMap::new() };
        Self {
            env,
            client,
            lattice,
            max: payload_max.saturating_sub(MARGIN),
            inbox: format!("_INBOX.{}", data_encoding::BASE32_NOPAD.encode(&unguessable)),
            asked: Arc::new(Mutex::new(asked)),
            offered: Mutex::default(),
            ended: CancellationToken::new(),
        }
    }

    /// Has a component of another host answer. Dropping the future gives the answer up.
    ///
    /// # Errors
    /// [`HttpError::Missing`] when no host offers it.
    pub(super) async fn ask(&self, component: &str, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let body = encode_request(request);
        if body.len() > self.max {
            return Err(HttpError::RequestTooLong);
        }
        // It is always a subject to subscribe to.
        let (question, answer) = self.question().map_err(|_| HttpError::Missing)?;
        let reply = format!("{}.{}", self.inbox, question.number);
        if self.client.publish(&self.subject(component), Some(reply.as_bytes()), &body) == 0 {
            return Err(HttpError::Missing);
        }
        drop(body);
        let answer = self.env.timeout(PATIENCE, answer).await.map_err(|_| HttpError::Late)?;
        let answer = answer.map_err(|_| HttpError::Busy)?;
        // The one taker has gone in the meantime: then an answer without anything in it says so.
        decode_answer(&answer.payload).unwrap_or(Err(HttpError::Missing))
    }

    /// Has others ask for these components of this host, and for no others.
    pub(super) fn offer(&self, shared: &Arc<Shared>, components: &BTreeSet<String>) {
        let mut offered = lock(&self.offered);
        offered.retain(|component, stop| {
            let stays = components.contains(component);
            if !stays {
                stop.cancel();
            }
            stays
        });
        for component in components {
            if offered.contains_key(component) {
                continue;
            }
            let subject = self.subject(component);
            match self.client.subscribe(&subject, Some(&subject), PENDING_MAX) {
                Ok(requests) => {
                    let stop = self.ended.child_token();
                    let serving = Serving {
                        component: component.clone(),
                        shared: Arc::clone(shared),
                        client: Arc::clone(&self.client),
                        max: self.max,
                    };
                    self.env.spawn(shared.tasks.track_future(Arc::new(serving).run(requests, stop.clone())));
                    offered.insert(component.clone(), stop);
                }
                Err(error) => tracing::warn!(component, %error, "not offered to other hosts"),
            }
        }
    }

    /// Offers nothing more, and gives up what it waits for.
    pub(super) fn stop(&self) {
        self.ended.cancel();
    }

    fn subject(&self, component: &str) -> String {
        format!("host.http.{}.{component}", self.lattice)
    }

    fn question(&self) -> Result<(Question, oneshot::Receiver<Delivery>), BadInterest> {
        let mut asked = lock(&self.asked);
        if !asked.listening {
            let answers = self.client.subscribe(&format!("{}.*", self.inbox), None, PENDING_MAX)?;
            let skip = self.inbox.len() + 1;
            self.env.spawn(hand_out(answers, skip, Arc::clone(&self.asked), self.ended.clone()));
            asked.listening = true;
        }
        let (answer, answered) = oneshot::channel();
        let number = asked.numbers.next_u64();
        asked.waiting.insert(number, answer);
        Ok((Question { number, asked: Arc::clone(&self.asked) }, answered))
    }
}

/// Hands answers to those who wait for them, until the host ends.
async fn hand_out(mut answers: Box<dyn Deliveries>, skip: usize, asked: Arc<Mutex<Asked>>, ended: CancellationToken) {
    loop {
        let answer = tokio::select! {
            biased;
            () = ended.cancelled() => return lock(&asked).waiting.clear(),
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

/// One component that others may ask for.
struct Serving {
    component: String,
    shared: Arc<Shared>,
    client: Arc<dyn Client>,
    max: usize,
}

impl Serving {
    async fn run(self: Arc<Self>, mut requests: Box<dyn Deliveries>, stop: CancellationToken) {
        loop {
            let request = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                request = poll_fn(|cx| requests.poll_next(cx)) => request,
            };
            self.shared.env.spawn(self.shared.tasks.track_future(Arc::clone(&self).answer(request)));
        }
        // Nobody has begun with what waits: another host may.
        while let Some(request) = poll_fn(|cx| Poll::Ready(ready(requests.poll_next(cx)))).await {
            self.reply(&request, &Err(HttpError::Missing));
        }
    }

    async fn answer(self: Arc<Self>, request: Delivery) {
        let answer = match self.shared.take(request.payload.len()) {
            Some(_room) => match decode_request(&request.payload) {
                Some(asked) => self.shared.runner.answer(&self.component, asked).await,
                None => Err(HttpError::Failed),
            },
            None => Err(HttpError::Busy),
        };
        self.reply(&request, &answer);
    }

    fn reply(&self, request: &Delivery, answer: &Result<HttpResponse, HttpError>) {
        if let Some(reply) = request.reply.as_ref().and_then(|reply| str::from_utf8(reply).ok()) {
            self.client.publish(reply, None, &encode_answer(answer, self.max));
        }
    }
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(it) => Some(it),
        Poll::Pending => None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}
