//! Where answers come, and what did not fit into one message: one subscription for all, or each call would be news to the lattice.

use super::super::lock;
use crate::ports::{Client, Deliveries, Delivery};
use lattice_broker::env::{Env, Rng};
use rand_core::Rng as _;
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Messages that wait in the subscription until they are handed out.
const PENDING_MAX: usize = 1_024;
/// Messages to one inbox that wait to be read.
const WAITING_MAX: usize = 4_096;
/// Messages that are handed out before other tasks of the node have their turn.
const BATCH: usize = 64;

/// Makes inboxes. Dropping it closes them.
#[derive(Debug)]
pub(super) struct Inboxes {
    env: Env,
    client: Arc<dyn Client>,
    /// All inboxes are below this subject.
    root: String,
    /// How many may be open at a time.
    open_max: usize,
    /// Bytes that one inbox takes in all.
    bytes_max: usize,
    open: Arc<Mutex<Open>>,
    ended: CancellationToken,
}

#[derive(Debug)]
struct Open {
    listening: bool,
    /// Who knows one inbox must not be able to guess another.
    numbers: Rng,
    waiting: HashMap<u64, Slot>,
}

#[derive(Debug)]
struct Slot {
    bytes_left: usize,
    words: mpsc::Sender<Word>,
}

/// A message to an inbox, or below it.
#[derive(Debug)]
pub(super) struct Word {
    /// Which words of its subject come after the inbox's own: `results`, or none.
    pub(super) below: Box<str>,
    pub(super) delivery: Delivery,
}

/// An inbox. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Inbox {
    number: u64,
    subject: String,
    words: mpsc::Receiver<Word>,
    open: Arc<Mutex<Open>>,
}

impl Inboxes {
    pub(super) fn new(env: &Env, client: Arc<dyn Client>, open_max: usize, bytes_max: usize) -> Self {
        let mut numbers = env.rng("inboxes of calls");
        let mut unguessable = [0; 16];
        numbers.fill_bytes(&mut unguessable);
        Self {
            env: env.clone(),
            client,
            root: format!("_INBOX.{}", data_encoding::BASE32_NOPAD.encode(&unguessable)),
            open_max,
            bytes_max,
            open: Arc::new(Mutex::new(Open { listening: false, numbers, waiting: HashMap::new() })),
            ended: CancellationToken::new(),
        }
    }

    /// Opens one; `None` when there are too many.
    pub(super) fn open(&self) -> Option<Inbox> {
        let mut open = lock(&self.open);
        if open.waiting.len() >= self.open_max {
            return None;
        }
        if !open.listening {
            // It is always a subject to subscribe to.
            let words = self.client.subscribe(&format!("{}.>", self.root), None, PENDING_MAX).ok()?;
            let skip = self.root.len() + 1;
            self.env.spawn(hand_out(words, skip, Arc::clone(&self.open), self.ended.clone()));
            open.listening = true;
        }
        let number = open.numbers.next_u64();
        let (sender, words) = mpsc::channel(WAITING_MAX);
        open.waiting.insert(number, Slot { bytes_left: self.bytes_max, words: sender });
        Some(Inbox { number, subject: format!("{}.{number}", self.root), words, open: Arc::clone(&self.open) })
    }

    /// The subject of an inbox that nobody hears: where wasmCloud sends the end of parameters of which there is no more.
    pub(super) fn nowhere(&self) -> String {
        format!("{}.0", self.root)
    }
}

impl Drop for Inboxes {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

impl Inbox {
    /// Its subject.
    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    /// The next message; `None` when there were more than there may be. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Word> {
        self.words.recv().await
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        lock(&self.open).waiting.remove(&self.number);
    }
}

async fn hand_out(mut words: Box<dyn Deliveries>, skip: usize, open: Arc<Mutex<Open>>, ended: CancellationToken) {
    let mut dropped = 0;
    for taken in 1usize.. {
        if taken.is_multiple_of(BATCH) {
            tokio::task::yield_now().await;
        }
        let delivery = tokio::select! {
            biased;
            () = ended.cancelled() => return lock(&open).waiting.clear(),
            delivery = poll_fn(|cx| words.poll_next(cx)) => delivery,
        };
        if words.dropped() > dropped {
            // Nobody knows whose words are missing now.
            dropped = words.dropped();
            lock(&open).waiting.clear();
        }
        let place = delivery.subject.get(skip..).and_then(|place| str::from_utf8(place).ok()).unwrap_or_default();
        let (number, below) = place.split_once('.').unwrap_or((place, ""));
        let Ok(number) = number.parse::<u64>() else { continue };
        let (below, mut open) = (below.into(), lock(&open));
        let Some(slot) = open.waiting.get_mut(&number) else { continue };
        let bytes = size_of::<Word>() + delivery.subject.len() + delivery.headers.len() + delivery.payload.len();
        let left = slot.bytes_left.checked_sub(bytes);
        slot.bytes_left = left.unwrap_or_default();
        // Of what is to be put together nothing may be missing: it is all or nothing.
        if left.is_none() || slot.words.try_send(Word { below, delivery }).is_err() {
            open.waiting.remove(&number);
        }
    }
}
