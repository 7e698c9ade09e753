//! One subscription of a client or in-process client: who takes the messages, and how many it may have.

use crate::account::Account;
use crate::imports::Shadow;
use crate::local::Inbox;
use crate::mapping::Mapping;
use crate::server::Client;
use crate::subject::Filter;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

/// Who gets the messages.
#[derive(Clone, Debug)]
pub(crate) enum Taker {
    Client(Arc<Client>),
    Local(Arc<Inbox>),
}

#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) id: u64,
    pub(crate) filter: Filter,
    pub(crate) queue: Option<Box<[u8]>>,
    pub(crate) sid: Box<[u8]>,
    pub(crate) taker: Taker,
    /// Set when it is another account's subscription that gets the messages.
    pub(crate) shadow: Option<Shadow>,
    /// Where it is; nowhere when it is a shadow.
    pub(crate) home: Weak<Account>,
    delivered: AtomicU64,
    /// 0 while there is no maximum.
    max: AtomicU64,
}

/// Whether a message may still go to a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// Yes, and the caller counts it with [`Subscription::count`] before long.
    Uncounted,
    Yes,
    /// Yes, and then it is to be removed.
    Last,
    No,
}

impl Subscription {
    pub(crate) fn new(
        id: u64,
        filter: Filter,
        queue: Option<&[u8]>,
        sid: &[u8],
        taker: Taker,
        home: &Arc<Account>,
    ) -> Self {
        Self {
            id,
            filter,
            queue: queue.map(Into::into),
            sid: sid.into(),
            taker,
            shadow: None,
            home: Arc::downgrade(home),
            delivered: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }

    /// A stand-in for a subscription in an account that exports a stream.
    pub(crate) fn shadow(id: u64, filter: Filter, of: &Arc<Self>, mapping: &Arc<Mapping>) -> Self {
        Self {
            id,
            filter,
            queue: of.queue.clone(),
            sid: of.sid.clone(),
            taker: of.taker.clone(),
            shadow: Some(Shadow { of: of.clone(), mapping: mapping.clone() }),
            home: Weak::new(),
            delivered: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(crate) fn take(&self) -> Take {
        let max = self.max.load(Relaxed);
        if max == 0 {
            return Take::Uncounted;
        }
        match self.delivered.fetch_add(1, Relaxed) + 1 {
            n if n < max => Take::Yes,
            n if n == max => Take::Last,
            _ => Take::No,
        }
    }

    /// Counts messages that were taken while there was no maximum.
    pub(crate) fn count(&self, messages: u64) {
        self.delivered.fetch_add(messages, Relaxed);
    }

    /// Messages that it has had, without those of batches that have not ended, and how many it may have.
    pub(crate) fn figures(&self) -> (u64, Option<u64>) {
        let max = self.max.load(Relaxed);
        (self.delivered.load(Relaxed), (max > 0).then_some(max))
    }

    /// Sets the maximum; true when the subscription has had as many already.
    pub(crate) fn limit(&self, max: u64) -> bool {
        self.max.store(max, Relaxed);
        self.delivered.load(Relaxed) >= max
    }
}
