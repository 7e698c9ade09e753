//! What the transport counts, and the last few whom it turned away. Showing it is left to `status`.

use crate::identity::printable;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const REMEMBERED: usize = 16;

/// Counts since the start. All only grow.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that this node tried to make to others.
    pub dials: Count,
    /// Handshakes that made a link, as the accepting side.
    pub links_accepted: Count,
    /// Handshakes that began a join.
    pub joins_accepted: Count,
    /// Peers that showed no certificate of this lattice and no known invite, or broke the handshake off.
    pub handshakes_failed: Count,
    /// Handshakes that took too long.
    pub handshakes_timed_out: Count,
    /// First packets ignored because too many handshakes were under way.
    pub handshakes_ignored: Count,
    /// Peers asked to prove their address, because many handshakes were under way.
    pub retries_sent: Count,
    /// Joins turned away because too many were under way.
    pub joins_refused_busy: Count,
    /// Datagrams for no connection that this node ever had.
    pub datagrams_stray: Count,
    refused: Mutex<VecDeque<(SocketAddr, String)>>,
}

/// One count.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds one.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The count so far.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    /// All counts by name.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<String, u64> {
        [
            ("quic_dials", &self.dials),
            ("quic_links_accepted", &self.links_accepted),
            ("quic_joins_accepted", &self.joins_accepted),
            ("quic_handshakes_failed", &self.handshakes_failed),
            ("quic_handshakes_timed_out", &self.handshakes_timed_out),
            ("quic_handshakes_ignored", &self.handshakes_ignored),
            ("quic_retries_sent", &self.retries_sent),
            ("quic_joins_refused_busy", &self.joins_refused_busy),
            ("quic_datagrams_stray", &self.datagrams_stray),
        ]
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count.value()))
        .collect()
    }

    /// The last 16 who were turned away, and why, oldest first.
    #[must_use]
    pub fn refused(&self) -> Vec<(SocketAddr, String)> {
        self.refused.lock().expect("no one panics while holding it").iter().cloned().collect()
    }

    pub(super) fn refuse(&self, from: SocketAddr, why: &str) {
        self.handshakes_failed.add();
        let mut refused = self.refused.lock().expect("no one panics while holding it");
        if refused.len() == REMEMBERED {
            refused.pop_front();
        }
        refused.push_back((from, printable(why)));
    }
}
