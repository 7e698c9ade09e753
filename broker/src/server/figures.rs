//! What is known of one connection besides what it does: who is there, since when, and how much has come from it.
//!
//! Counted once for each read, never for each message. What goes out is counted by the outbox, under the lock that it
//! takes anyway.

use crate::auth::{ConnectionType, Identity};
use crate::clock::Stamp;
use crate::flows::Publisher;
use crate::lock::lock;
use crate::session::About;
use crate::stats::Traffic;
use crate::tls::TlsFacts;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Figures of a connection.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) peer: SocketAddr,
    pub(crate) over: ConnectionType,
    pub(crate) began: Stamp,
    in_msgs: AtomicU64,
    in_bytes: AtomicU64,
    last_in: AtomicU64,
    stalls: AtomicU64,
    subscriptions: AtomicUsize,
    who: Mutex<Who>,
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    /// What it says of itself.
    pub(crate) about: Arc<About>,
    pub(crate) identity: Arc<Identity>,
    /// Its CONNECT has been taken.
    pub(crate) is_in: bool,
    pub(crate) rtt: Option<Duration>,
    /// Of an encrypted connection.
    pub(crate) tls: Option<Arc<TlsFacts>>,
}

impl Figures {
    pub(super) fn new(peer: SocketAddr, over: ConnectionType, began: Stamp, identity: Arc<Identity>) -> Self {
        Self {
            peer: SocketAddr::new(peer.ip().to_canonical(), peer.port()),
            over,
            began,
            in_msgs: AtomicU64::new(0),
            in_bytes: AtomicU64::new(0),
            last_in: AtomicU64::new(began.0),
            stalls: AtomicU64::new(0),
            subscriptions: AtomicUsize::new(0),
            who: Mutex::new(Who { about: Arc::default(), identity, is_in: false, rtt: None, tls: None }),
        }
    }

    /// Messages have come.
    pub(crate) fn published(&self, traffic: Traffic) {
        if traffic.msgs > 0 {
            self.in_msgs.fetch_add(traffic.msgs, Relaxed);
            self.in_bytes.fetch_add(traffic.bytes, Relaxed);
        }
    }

    /// Something has come.
    #[inline]
    pub(super) fn heard(&self, now: Stamp) {
        self.last_in.store(now.0, Relaxed);
    }

    /// Its publishing was slowed down.
    pub(super) fn stalled(&self) {
        self.stalls.fetch_add(1, Relaxed);
    }

    /// It has so many subscriptions now.
    pub(super) fn set_subscriptions(&self, count: usize) {
        self.subscriptions.store(count, Relaxed);
    }

    /// One of them has had its last message, which its connection learns when it runs next.
    pub(super) fn expired(&self) {
        // Saturating: the connection may have counted already.
        let _ = self.subscriptions.try_update(Relaxed, Relaxed, |count| count.checked_sub(1));
    }

    /// The connection is encrypted.
    pub(super) fn set_tls(&self, facts: TlsFacts) {
        lock(&self.who).tls = Some(Arc::new(facts));
    }

    /// Changes who is there.
    pub(super) fn set_who(&self, change: impl FnOnce(&mut Who)) {
        change(&mut lock(&self.who));
    }

    /// Who publishes, as far as its next connection will show it, too.
    pub(crate) fn publisher(&self) -> Publisher {
        Publisher { address: self.peer.ip(), name: self.who().about.name.clone() }
    }

    pub(crate) fn who(&self) -> Who {
        lock(&self.who).clone()
    }

    pub(crate) fn received(&self) -> Traffic {
        Traffic { msgs: self.in_msgs.load(Relaxed), bytes: self.in_bytes.load(Relaxed) }
    }

    pub(crate) fn last_in(&self) -> Stamp {
        Stamp(self.last_in.load(Relaxed))
    }

    pub(crate) fn stalls(&self) -> u64 {
        self.stalls.load(Relaxed)
    }

    pub(crate) fn subscriptions(&self) -> usize {
        self.subscriptions.load(Relaxed)
    }
}
