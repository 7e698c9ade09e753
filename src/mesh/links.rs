//! The links that are up, at most one for each neighbour, and the decision which of two to keep.
//!
//! Both ends of a pair may dial at the same moment. One of them, the one with the smaller key, decides: a link is up
//! only when it says so, so the two never disagree about which link is theirs. Running a link is left to `link.rs`.

use super::frame::ControlFrame;
use super::frame_queue::FrameQueue;
use super::outbuf::Refused;
use super::quic::plain;
use super::streams::Streams;
use super::watcher::Health;
use crate::identity::{Chain, NodeId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use super::id::LinkId;

/// One link that is up, as the rest of the node sees it.
#[derive(Debug)]
pub struct Link {
    /// Unique within this node's life.
    pub id: LinkId,
    /// Who is at the other end.
    pub peer: NodeId,
    /// What makes it a member.
    pub member: Arc<Chain>,
    /// The peer's life: a higher one replaces the link.
    pub boot: u64,
    /// The peer's name, as it gave it.
    pub name: String,
    /// True when this node dialled.
    pub dialed: bool,
    /// True when the peer takes probes.
    pub traces: bool,
    /// When it came up.
    pub since: Instant,
    /// The connection below.
    pub connection: quinn::Connection,
    /// What waits for the control stream.
    pub control: FrameQueue,
    /// What waits for the data streams.
    pub data: Streams,
    /// Set by the first frame after the greeting: the peer knows that the link is up.
    pub confirmed: AtomicBool,
    /// When something last arrived on a stream, in nanoseconds since the link came up: a sign of life.
    pub heard: AtomicU64,
    /// The routes lead over it though there is a way round it. Looked at only while it is suspected.
    pub in_vain: AtomicBool,
    /// How it is, as its watcher sees it.
    pub health: Mutex<Health>,
    /// Ends the link.
    pub stop: CancellationToken,
}

impl Link {
    /// The peer's address at this moment, an IPv4 one as such; it may move.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        plain(self.connection.remote_address())
    }

    /// Something has arrived on a stream.
    pub fn hear(&self, now: Instant) {
        let since = u64::try_from(now.saturating_duration_since(self.since).as_nanos()).unwrap_or(u64::MAX);
        self.heard.fetch_max(since, Ordering::Relaxed);
    }

    /// When something last arrived on a stream.
    #[must_use]
    pub fn heard_at(&self) -> Instant {
        self.since + Duration::from_nanos(self.heard.load(Ordering::Relaxed))
    }

    /// How the link is.
    #[must_use]
    pub fn health(&self) -> Health {
        *self.health.lock().expect("no holder of this lock panics")
    }

    /// Notes how the link is, and returns how it was.
    pub(super) fn set_health(&self, health: Health) -> Health {
        std::mem::replace(&mut *self.health.lock().expect("no holder of this lock panics"), health)
    }

    /// Sends a control frame.
    pub fn send(&self, frame: &ControlFrame) {
        if self.control.push(frame.encode()) == Err(Refused::Full) {
            self.overrun();
        }
        self.control.flush();
    }

    /// More control frames wait than the buffer takes: the peer does not keep up, and the link is ended. It comes up
    /// again with a clean slate.
    pub fn overrun(&self) {
        tracing::warn!(peer = %self.peer, name = self.name, "a peer does not read its control stream; its link is ended");
        self.stop.cancel();
    }
}

/// All links that are up.
#[derive(Debug, Default)]
pub struct Links {
    up: Mutex<BTreeMap<NodeId, Arc<Link>>>,
    changed: Notify,
}

/// A link to the same neighbour is up and stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate;

impl Links {
    /// For the end that decides: takes `link`, unless a link to the same life of the peer is up and still good for
    /// the peer too (`peer_has_link` is what its greeting said) or is so new that the peer cannot know it yet.
    ///
    /// # Errors
    /// [`Duplicate`]: refuse the new one.
    pub fn decide(&self, link: &Arc<Link>, peer_has_link: bool) -> Result<(), Duplicate> {
        let mut up = self.lock();
        if let Some(old) = up.get(&link.peer) {
            let unconfirmed = !old.confirmed.load(Ordering::Relaxed);
            if old.boot == link.boot && !old.stop.is_cancelled() && (peer_has_link || unconfirmed) {
                return Err(Duplicate);
            }
            old.stop.cancel();
        }
        up.insert(link.peer, Arc::clone(link));
        drop(up);
        self.changed.notify_waiters();
        Ok(())
    }

    /// For the other end: takes `link`, in place of any older one.
    pub fn accept(&self, link: &Arc<Link>) {
        let old = self.lock().insert(link.peer, Arc::clone(link));
        if let Some(old) = old {
            old.stop.cancel();
        }
        self.changed.notify_waiters();
    }

    /// Forgets `link`, if it is still the one in use.
    pub fn remove(&self, link: &Link) {
        let mut up = self.lock();
        if up.get(&link.peer).is_some_and(|known| known.id == link.id) {
            up.remove(&link.peer);
        }
        drop(up);
        self.changed.notify_waiters();
    }

    /// The link to `peer`.
    #[must_use]
    pub fn get(&self, peer: &NodeId) -> Option<Arc<Link>> {
        self.lock().get(peer).cloned()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// All links, in the order of their peers' keys.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Link>> {
        self.lock().values().cloned().collect()
    }

    /// Waits until there is no link to `peer`. Cancel safe.
    pub async fn gone(&self, peer: &NodeId) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Registered before the look, so that no change between the two is missed.
            changed.as_mut().enable();
            if self.get(peer).is_none() {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, Arc<Link>>> {
        self.up.lock().expect("no holder of this lock panics")
    }
}
