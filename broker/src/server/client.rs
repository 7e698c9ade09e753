//! One connection as the rest of the broker sees it: its number, its way out, and what others tell it.

use super::figures::Figures;
use super::outbox::Outbox;
use crate::auth::{Identity, Replies, Rules};
use crate::env::{Env, Stream};
use crate::lock::{lock, read, write};
use crate::subscription::Subscription;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};

/// How messages are delivered to a client that has permissions.
#[derive(Debug, Default)]
struct Manners {
    /// Which messages are kept from it.
    hiding: Option<Arc<Rules>>,
    /// Where it is noted that it may answer, and the clock for that.
    replies: Option<(Env, Arc<Replies>)>,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) outbox: Outbox,
    pub(crate) figures: Figures,
    headers: AtomicBool,
    /// Whether `manners` say anything: most clients' do not.
    has_manners: AtomicBool,
    manners: RwLock<Manners>,
    drain: AtomicBool,
    kick: AtomicBool,
    lame: AtomicBool,
    revise: AtomicBool,
    has_news: AtomicBool,
    has_expired: AtomicBool,
    /// Subscriptions that have had their last message: sid and id. Bounded by the subscriptions of the client.
    expired: Mutex<Vec<(Box<[u8]>, u64)>>,
}

impl Client {
    pub(super) fn new(id: u64, stream: Arc<dyn Stream>, pending_max: usize, figures: Figures) -> Self {
        Self {
            id,
            outbox: Outbox::new(stream, pending_max),
            figures,
            headers: AtomicBool::new(false),
            has_manners: AtomicBool::new(false),
            manners: RwLock::default(),
            drain: AtomicBool::new(false),
            kick: AtomicBool::new(false),
            lame: AtomicBool::new(false),
            revise: AtomicBool::new(false),
            has_news: AtomicBool::new(false),
            has_expired: AtomicBool::new(false),
            expired: Mutex::default(),
        }
    }

    /// True when the client understands message headers.
    pub(crate) fn has_headers(&self) -> bool {
        self.headers.load(Ordering::Relaxed)
    }

    pub(super) fn set_headers(&self, headers: bool) {
        self.headers.store(headers, Ordering::Relaxed);
    }

    /// Sets which messages are kept from the client, and where leave to answer is noted. Routes made before do not
    /// know of it.
    pub(super) fn set_manners(&self, env: &Env, identity: &Identity, replies: Option<&Arc<Replies>>) {
        let hiding = identity.rules.as_ref().filter(|rules| rules.hide_messages()).cloned();
        let replies = replies.map(|replies| (env.clone(), replies.clone()));
        let mut manners = write(&self.manners);
        self.has_manners.store(hiding.is_some() || replies.is_some(), Ordering::Release);
        *manners = Manners { hiding, replies };
    }

    /// True when messages of `subject` are kept from a subscription of the client.
    pub(crate) fn is_hidden(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        self.has_manners.load(Ordering::Acquire)
            && read(&self.manners).hiding.as_ref().is_some_and(|rules| rules.hides(subject, queue))
    }

    /// The client is sent a message that wants an answer at `reply`.
    #[inline]
    pub(crate) fn note_reply(&self, reply: &[u8]) {
        if self.has_manners.load(Ordering::Acquire)
            && let Some((env, replies)) = &read(&self.manners).replies
        {
            replies.note(env.now(), reply);
        }
    }

    /// Asks the connection to end when what waits has been written.
    pub(crate) fn drain(&self) {
        self.drain.store(true, Ordering::Release);
        self.outbox.wake_owner();
    }

    /// Asks the connection to end, as somebody who watches over the server wants it.
    pub(crate) fn kick(&self) {
        self.kick.store(true, Ordering::Release);
        self.drain();
    }

    /// Asks the connection to tell its client to go elsewhere, as if the server were about to stop.
    pub(crate) fn tell_lame(&self) {
        self.lame.store(true, Ordering::Release);
        self.tell_news();
    }

    pub(super) fn is_lame(&self) -> bool {
        self.lame.load(Ordering::Acquire)
    }

    pub(super) fn is_kicked(&self) -> bool {
        self.kick.load(Ordering::Acquire)
    }

    /// Tells the connection that the terms are others now.
    pub(crate) fn revise(&self) {
        self.revise.store(true, Ordering::Release);
        self.outbox.wake_owner();
    }

    pub(super) fn take_revise(&self) -> bool {
        self.revise.load(Ordering::Acquire) && self.revise.swap(false, Ordering::AcqRel)
    }

    /// Tells the connection that there is news for its client.
    pub(crate) fn tell_news(&self) {
        self.has_news.store(true, Ordering::Release);
        self.outbox.wake_owner();
    }

    pub(super) fn take_has_news(&self) -> bool {
        self.has_news.load(Ordering::Acquire) && self.has_news.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drain.load(Ordering::Acquire)
    }

    /// A subscription is gone, which the session has yet to learn.
    pub(crate) fn expire(&self, subscription: &Subscription) {
        if self.outbox.is_closed() {
            return;
        }
        self.figures.expired();
        lock(&self.expired).push((subscription.sid.clone(), subscription.id));
        self.has_expired.store(true, Ordering::Release);
    }

    pub(super) fn take_expired(&self) -> Vec<(Box<[u8]>, u64)> {
        if !self.has_expired.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.has_expired.store(false, Ordering::Release);
        std::mem::take(&mut *lock(&self.expired))
    }
}
