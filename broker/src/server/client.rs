//! One connection as the rest of the broker sees it: its number, its way out, and what others tell it.

use super::outbox::Outbox;
use crate::env::Stream;
use crate::lock::lock;
use crate::subscription::Subscription;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) outbox: Outbox,
    headers: AtomicBool,
    drain: AtomicBool,
    has_expired: AtomicBool,
    /// Subscriptions that have had their last message: sid and id. Bounded by the subscriptions of the client.
    expired: Mutex<Vec<(Box<[u8]>, u64)>>,
}

impl Client {
    pub(super) fn new(id: u64, stream: Arc<dyn Stream>, pending_max: usize) -> Self {
        Self {
            id,
            outbox: Outbox::new(stream, pending_max),
            headers: AtomicBool::new(false),
            drain: AtomicBool::new(false),
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

    /// Asks the connection to end when what waits has been written.
    pub(crate) fn drain(&self) {
        self.drain.store(true, Ordering::Release);
        self.outbox.wake_owner();
    }

    pub(super) fn is_draining(&self) -> bool {
        self.drain.load(Ordering::Acquire)
    }

    /// A subscription is gone, which the session has yet to learn.
    pub(crate) fn expire(&self, subscription: &Subscription) {
        if self.outbox.is_closed() {
            return;
        }
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
