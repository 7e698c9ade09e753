//! Clients inside the process: publish and subscribe without a socket.

use crate::account::Account;
use crate::batch::Batch;
use crate::clock::Stamp;
use crate::delivery::{Dice, Job, Origin, deliver};
use crate::hub::Hub;
use crate::lock::lock;
use crate::message::{Groups, Message};
use crate::route::RouteCache;
use crate::stats::{add, sub};
use crate::subject::{BadFilter, Filter};
use crate::subscription::{Subscription as Entry, Taker};
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// A client inside the process. It gets its own messages, like any client with echo.
#[derive(Debug)]
pub struct Local {
    hub: Arc<Hub>,
    account: Arc<Account>,
    flow: u64,
    payload_max: usize,
    routes: RouteCache,
    dice: Dice,
    batch: Batch,
}

/// A message as an in-process client receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalMessage {
    /// The subject.
    pub subject: Bytes,
    /// Where an answer is wanted.
    pub reply: Option<Bytes>,
    /// The header block; empty when there is none.
    pub headers: Bytes,
    /// The payload.
    pub payload: Bytes,
}

/// Deliveries of one in-process subscription.
///
/// Dropping it unsubscribes. One publisher's messages arrive in order, at most once.
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<Hub>,
    account: Arc<Account>,
    entry: Arc<Entry>,
    inbox: Arc<Inbox>,
}

/// The queue between the publishers and a [`Subscription`].
#[derive(Debug)]
pub(crate) struct Inbox {
    pending_max: usize,
    state: Mutex<InboxState>,
}

#[derive(Debug, Default)]
struct InboxState {
    queue: VecDeque<LocalMessage>,
    dropped: u64,
    closed: bool,
    waker: Option<Waker>,
}

impl Local {
    pub(crate) fn new(hub: Arc<Hub>, account: Arc<Account>, payload_max: usize) -> Self {
        let dice = hub.dice();
        let flow = hub.flows.next();
        Self { hub, account, flow, payload_max, routes: RouteCache::default(), dice, batch: Batch::default() }
    }

    /// Publishes, and returns how many takers there were (a queue group and a node elsewhere are one each).
    ///
    /// Never waits: what a slow client cannot take is kept for it within the broker's limits. The header block
    /// of `message`, if any, is not checked. A body over the broker's maximum is not published and has no taker.
    pub fn publish(&mut self, message: &Message<'_>) -> usize {
        if message.body.len() > self.payload_max {
            add(&self.hub.counters.drop_denied, 1);
            return 0;
        }
        self.batch.begin(None, Stamp::default());
        let mapped = self.account.mappings().and_then(|mappings| mappings.apply(message.subject, &mut self.dice));
        let message = &Message { subject: mapped.as_deref().unwrap_or(message.subject), ..*message };
        let job = Job {
            account: self.account.name(),
            origin: Origin::Local,
            flow: self.flow,
            groups: Groups::Any,
            message: *message,
            has_headers: message.header_len > 0,
            wire: None,
            crossed: 0,
        };
        let route = self.routes.find(&self.account, message.subject);
        let takers = deliver(route, &job, &mut self.dice, &mut self.batch);
        self.batch.published.count(message.body.len());
        self.batch.write(&[], self.hub.config.stall_pending, &self.hub.counters);
        self.hub.expire(&mut self.batch);
        // In-process publishers are not slowed down: they pace themselves.
        drop(self.batch.end());
        takers
    }

    /// Registers interest in `filter`, alone or as a member of `queue`, and returns its deliveries.
    ///
    /// At most `pending_max` messages wait; when that many do, new ones are dropped and counted.
    ///
    /// # Errors
    /// [`BadFilter`]: nothing could ever match.
    pub fn subscribe(
        &self,
        filter: &[u8],
        queue: Option<&[u8]>,
        pending_max: usize,
    ) -> Result<Subscription, BadFilter> {
        let filter = Filter::parse(filter)?;
        let inbox = Arc::new(Inbox { pending_max: pending_max.max(1), state: Mutex::default() });
        let taker = Taker::Local(inbox.clone());
        let entry = Arc::new(Entry::new(self.hub.next_id(), filter, queue, b"", taker, &self.account));
        self.account.subscribe(&entry);
        add(&self.hub.counters.subscriptions, 1);
        Ok(Subscription { hub: self.hub.clone(), account: self.account.clone(), entry, inbox })
    }
}

impl Subscription {
    /// The next message. Cancel safe. Waits for ever when none comes.
    pub async fn next(&mut self) -> LocalMessage {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next message. One task may wait: the one that polled last is woken.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<LocalMessage> {
        let mut state = lock(&self.inbox.state);
        match state.queue.pop_front() {
            Some(message) => Poll::Ready(message),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The next message, when one is waiting already.
    pub fn try_next(&mut self) -> Option<LocalMessage> {
        lock(&self.inbox.state).queue.pop_front()
    }

    /// Messages lost because `pending_max` were waiting.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        lock(&self.inbox.state).dropped
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        lock(&self.inbox.state).closed = true;
        if self.account.unsubscribe(&self.entry) {
            sub(&self.hub.counters.subscriptions, 1);
        }
    }
}

impl Inbox {
    /// False when the message was dropped.
    pub(crate) fn push(&self, message: &Message<'_>) -> bool {
        let mut state = lock(&self.state);
        if state.closed || state.queue.len() >= self.pending_max {
            state.dropped += 1;
            return false;
        }
        let mut headers = Bytes::copy_from_slice(message.body);
        let payload = headers.split_off(message.header_len);
        state.queue.push_back(LocalMessage {
            subject: Bytes::copy_from_slice(message.subject),
            reply: message.reply.map(Bytes::copy_from_slice),
            headers,
            payload,
        });
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        true
    }
}
