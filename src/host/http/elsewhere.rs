//! Components of other hosts: asks for their answers, and has those of this one answer when others ask.
//!
//! A host that runs a component to which HTTP is linked, from wherever, listens for it as a member of a group, so that a request has one
//! taker of those that could be. All of it is between nodes: clients of the lattice neither hear it nor can ask that way. A request
//! and an answer are a message each, and as long as that may be.
//!
//! Who works on an answer for longer says so every second. Of whom nothing is heard for four seconds has been lost: a request that may be
//! made twice without harm (GET, PUT and the like, RFC 9110 section 9.2.2) is then made again, of another host if there is one; for any other
//! nobody knows whether it was carried out, and whoever has asked is told so.

use super::connection::Shared;
use super::wire::{Word, decode_request, decode_word, encode_answer, encode_long, encode_request, encode_working};
use crate::host::runner::{HttpError, HttpRequest, HttpResponse};
use crate::ports::{BadInterest, Client, Deliveries, Delivery};
use futures_util::FutureExt as _;
use lattice_broker::env::{Env, Rng};
use rand_core::Rng as _;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Requests and answers that wait until they are looked at.
const PENDING_MAX: usize = 512;
/// How long the answer of other hosts is waited for, of all together.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often who works on an answer says so.
const WORKING: Duration = Duration::from_secs(1);
/// How long nothing may be heard.
const SILENCE: Duration = Duration::from_secs(4);
/// How fast what is long comes at the least, in bytes a second: it is not silence before that.
const SLOW: usize = 8 << 10;
/// From how many bytes on an answer is announced.
const LONG: usize = 16 << 10;
/// How often a request is made that may be made again.
const TRIES: u32 = 3;
/// Words of one host that wait until they are looked at.
const WORDS_MAX: usize = 256;
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
    waiting: BTreeMap<u64, mpsc::Sender<Delivery>>,
}

/// Forgets a request when it is waited for no more.
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
        let tries = if request.method().is_idempotent() { TRIES } else { 1 };
        let tried = async {
            for _ in 1..tries {
                match self.ask_one(component, &body).await {
                    Err(HttpError::Lost) => tracing::debug!(component, "a host was lost: another is asked"),
                    done => return done,
                }
            }
            self.ask_one(component, &body).await
        };
        self.env.timeout(PATIENCE, tried).await.unwrap_or(Err(HttpError::Late))
    }

    /// Has one host answer, whichever takes it.
    async fn ask_one(&self, component: &str, body: &[u8]) -> Result<HttpResponse, HttpError> {
        // It is always a subject to subscribe to.
        let (question, mut words) = self.question().map_err(|_| HttpError::Missing)?;
        let reply = format!("{}.{}", self.inbox, question.number);
        if self.client.publish(&self.subject(component), Some(reply.as_bytes()), body) == 0 {
            return Err(HttpError::Missing);
        }
        let mut silence = silence(body.len());
        loop {
            let word = self.env.timeout(silence, words.recv()).await.map_err(|_| HttpError::Lost)?;
            let word = word.ok_or(HttpError::Busy)?;
            silence = match decode_word(&word.payload) {
                Some(Word::Answer(answer)) => return answer,
                Some(Word::Working) => SILENCE,
                Some(Word::Long(bytes)) => self::silence(usize::try_from(bytes).unwrap_or(usize::MAX).min(self.max)),
                // The one taker has gone in the meantime: then an answer without anything in it says so.
                None if word.payload.is_empty() => return Err(HttpError::Missing),
                None => return Err(HttpError::Failed),
            };
        }
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

    fn question(&self) -> Result<(Question, mpsc::Receiver<Delivery>), BadInterest> {
        let mut asked = lock(&self.asked);
        if !asked.listening {
            let answers = self.client.subscribe(&format!("{}.*", self.inbox), None, PENDING_MAX)?;
            let skip = self.inbox.len() + 1;
            self.env.spawn(hand_out(answers, skip, Arc::clone(&self.asked), self.ended.clone()));
            asked.listening = true;
        }
        let (word, words) = mpsc::channel(WORDS_MAX);
        let number = asked.numbers.next_u64();
        asked.waiting.insert(number, word);
        Ok((Question { number, asked: Arc::clone(&self.asked) }, words))
    }
}

/// How long nothing may be heard while so many bytes are on their way.
fn silence(bytes: usize) -> Duration {
    SILENCE + Duration::from_secs((bytes / SLOW) as u64)
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
        let waiting = number.and_then(|number: u64| lock(&asked).waiting.get(&number).cloned());
        if let Some(waiting) = waiting {
            // Nobody may be waiting any more; and who says so much is not what was asked.
            drop(waiting.try_send(answer));
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
        while let Some(request) = poll_fn(|cx| requests.poll_next(cx)).now_or_never() {
            self.reply(&request, &Err(HttpError::Missing));
        }
    }

    async fn answer(self: Arc<Self>, request: Delivery) {
        let mut answering = pin!(self.work(&request.payload));
        let answer = loop {
            match self.shared.env.timeout(WORKING, &mut answering).await {
                Ok(answer) => break answer,
                Err(_) => self.say(&request, &encode_working()),
            }
        };
        self.reply(&request, &answer);
    }

    async fn work(&self, request: &[u8]) -> Result<HttpResponse, HttpError> {
        let _room = self.shared.take(request.len()).ok_or(HttpError::Busy)?;
        let asked = decode_request(request).ok_or(HttpError::Failed)?;
        self.shared.runner.answer(&self.component, asked).await
    }

    fn reply(&self, request: &Delivery, answer: &Result<HttpResponse, HttpError>) {
        let answer = encode_answer(answer, self.max);
        if answer.len() > LONG {
            self.say(request, &encode_long(answer.len()));
        }
        self.say(request, &answer);
    }

    fn say(&self, request: &Delivery, word: &[u8]) {
        if let Some(reply) = request.reply.as_ref().and_then(|reply| str::from_utf8(reply).ok()) {
            self.client.publish(reply, None, word);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}
