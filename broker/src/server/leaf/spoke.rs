//! A leaf node of this server as the rest of the broker sees it: a neighbour of one account, with a bounded buffer.

use crate::auth::{Identity, Replies};
use crate::clock::Stamp;
use crate::env::Env;
use crate::hub::Hub;
use crate::leaf::{Desk, Interest, Scope};
use crate::lock::lock;
use crate::message::{Message, Pick, UpstreamId};
use crate::neighbor::{InterestChange, Neighbor, Waiting};
use crate::stats::Traffic;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Waker;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// One leaf node, from its first byte to its end.
#[derive(Debug)]
pub(crate) struct Spoke {
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) began: Stamp,
    env: Env,
    desk: Mutex<Desk>,
    /// Who it is, once it has been let in.
    bound: OnceLock<Bound>,
    is_unwanted: AtomicBool,
    /// Cancelled at its end.
    pub(super) ended: CancellationToken,
    in_msgs: AtomicU64,
    in_bytes: AtomicU64,
    out_msgs: AtomicU64,
    out_bytes: AtomicU64,
    dropped: AtomicU64,
}

/// Who a leaf node is.
#[derive(Debug)]
pub(crate) struct Bound {
    /// What it calls itself, its cluster, and the account that it has at its end.
    pub(crate) name: String,
    pub(crate) cluster: String,
    pub(crate) remote_account: String,
    /// Its account here.
    pub(crate) account: Box<[u8]>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) is_isolated: bool,
    /// What the account takes for others, as it was told.
    pub(crate) taken_for_others: Vec<String>,
    /// Leave to answer, where it has no other.
    pub(crate) replies: Option<Arc<Replies>>,
}

impl Bound {
    /// True for the same leaf node that has come again: the other end may have lost a link that is still up here.
    fn is_same(&self, other: &Self) -> bool {
        !self.name.is_empty()
            && !self.remote_account.is_empty()
            && (&self.name, &self.cluster, &self.account, &self.remote_account)
                == (&other.name, &other.cluster, &other.account, &other.remote_account)
    }
}

impl Spoke {
    /// One that has just connected; `None` when there are as many as there may be.
    pub(super) fn enter(hub: &Arc<Hub>, peer: SocketAddr) -> Option<Arc<Self>> {
        let live = hub.live();
        // Until it is let in nothing is sent, and nobody sends to it.
        let desk = Desk::new(Interest::new(b"", Scope::Up), live.max_pending);
        let spoke = Arc::new(Self {
            id: hub.next_id(),
            peer: SocketAddr::new(peer.ip().to_canonical(), peer.port()),
            began: hub.clock.stamp(hub.env.now()),
            env: hub.env.clone(),
            desk: Mutex::new(desk),
            bound: OnceLock::new(),
            is_unwanted: AtomicBool::new(false),
            ended: CancellationToken::new(),
            in_msgs: AtomicU64::new(0),
            in_bytes: AtomicU64::new(0),
            out_msgs: AtomicU64::new(0),
            out_bytes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        hub.leafs.enter(&spoke, live.max_connections).then_some(spoke)
    }

    pub(super) fn desk(&self) -> &Mutex<Desk> {
        &self.desk
    }

    /// It is let in, in the place of the same one that is still there.
    pub(super) fn bind(&self, hub: &Hub, bound: Bound) {
        let bound = self.bound.get_or_init(|| bound);
        for other in hub.leafs.all() {
            if other.id != self.id && other.bound().is_some_and(|other| other.is_same(bound)) {
                // Of two that come at once the later one stays.
                let earlier = if other.id < self.id { &*other } else { self };
                earlier.turn_out("Duplicate Remote LeafNode Connection");
            }
        }
    }

    /// Who it is, once it has been let in.
    pub(crate) fn bound(&self) -> Option<&Bound> {
        self.bound.get()
    }

    /// What it calls itself.
    pub(super) fn name(&self) -> &str {
        self.bound().map_or("", |bound| &bound.name)
    }

    /// Ends its link, and tells it why.
    pub(crate) fn turn_out(&self, text: &str) {
        self.is_unwanted.store(true, Relaxed);
        let mut desk = lock(&self.desk);
        if let Some(session) = &mut desk.session {
            session.complain(text);
        }
        desk.wake_task();
    }

    /// Ends its link without a word, as the server stops.
    pub(crate) fn drop_link(&self) {
        self.is_unwanted.store(true, Relaxed);
        lock(&self.desk).wake_task();
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.is_unwanted.load(Relaxed)
    }

    pub(super) fn count_in(&self, body_len: usize) {
        self.in_msgs.fetch_add(1, Relaxed);
        self.in_bytes.fetch_add(body_len as u64, Relaxed);
    }

    /// What has come from it, and what has gone to it.
    pub(crate) fn traffic(&self) -> [Traffic; 2] {
        [(&self.in_msgs, &self.in_bytes), (&self.out_msgs, &self.out_bytes)]
            .map(|(msgs, bytes)| Traffic { msgs: msgs.load(Relaxed), bytes: bytes.load(Relaxed) })
    }

    /// Messages that were not sent to it: over a limit, not permitted, or too much waiting already.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Subjects in which it is interested, and the round-trip time as last measured.
    pub(crate) fn interest_and_rtt(&self) -> (usize, Option<Duration>) {
        lock(&self.desk).session.as_ref().map_or((0, None), |session| (session.peer_interest(), session.rtt()))
    }
}

impl Drop for Spoke {
    fn drop(&mut self) {
        // Dropped by its task, or before it had one.
        self.ended.cancel();
    }
}

impl Neighbor for Spoke {
    fn deliver(
        &self,
        _: &[u8],
        message: &Message<'_>,
        _: u64,
        _: Option<UpstreamId>,
        members: &[u32],
        picks: &[Pick<'_>],
    ) -> Waiting {
        if members.is_empty() && picks.is_empty() {
            return Waiting::default();
        }
        let now = self.env.now();
        // Before it can have the message, as it might answer at once.
        if let (Some(reply), Some(replies)) = (message.reply, self.bound().and_then(|bound| bound.replies.as_ref())) {
            replies.note(now, reply);
        }
        let mut desk = lock(&self.desk);
        let sent = desk.send(now, message, picks);
        let excess = desk.excess();
        drop(desk);
        if sent.is_err() {
            self.dropped.fetch_add(1, Relaxed);
            return Waiting { buffer: self.id, excess };
        }
        self.out_msgs.fetch_add(1, Relaxed);
        self.out_bytes.fetch_add(message.body.len() as u64, Relaxed);
        Waiting { buffer: self.id, excess }
    }

    fn flush(&self) {
        lock(&self.desk).flush();
    }

    fn excess(&self, _buffer: u64) -> usize {
        lock(&self.desk).excess()
    }

    fn wake_when_drained(&self, _buffer: u64, waker: &Waker) {
        let slowed = lock(&self.desk).slow_down(waker);
        if !slowed {
            waker.wake_by_ref();
        }
    }

    fn interest(&self, change: &InterestChange<'_>) {
        lock(&self.desk).change(change);
    }
}
