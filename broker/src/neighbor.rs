//! How something inside the process joins the broker's routing: the mesh, a leaf link to a real server, or a leaf node
//! of this server.
//!
//! A neighbour brings interest from elsewhere into the sublist (as *members*: one for each node behind a mesh,
//! one for a leaf link either way), gets the messages that match it, and publishes what arrives from there. What it does
//! with them (frames, LMSG) is its own affair. Routing between the kinds:
//!
//! | from | to clients | to the mesh | to a leaf link | to a spoke |
//! |---|---|---|---|---|
//! | a client | yes | yes | yes | yes |
//! | the mesh | yes | no | yes, unless the message came from an upstream | yes |
//! | a leaf link | yes | yes, but to no interest that is itself upstream | no | yes |
//! | a spoke | yes | yes | yes | yes, but not to itself or another of its cluster |
//!
//! A spoke's interest and messages are to all but other spokes as if they were those of a client of this server.

use crate::message::{ClusterId, Message, Pick, UpstreamId};
use std::fmt;

/// Which row and column of the routing table a neighbour is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NeighborKind {
    /// All other nodes of the lattice; one member for each.
    Mesh,
    /// One real server that this node is a leaf of; its interest has one member, numbered 0.
    Leaf(UpstreamId),
    /// One leaf node of this server, and the cluster that it belongs to; its interest has one member, numbered 0.
    Spoke(Option<ClusterId>),
}

/// What the broker calls on a neighbour. No call may block or wait: each only moves data to the neighbour's buffers.
pub trait Neighbor: Send + Sync + fmt::Debug + 'static {
    /// Takes a message for the plain interest of `members` and for the queue groups in `picks`.
    ///
    /// Called in the order of each publisher's messages, from many threads; `flow` tells publishers apart, and is the same
    /// for all messages of one of them. `members` has no repeats; a member may be in `picks` as well, and more than once.
    /// `via` is the upstream that the message came from.
    ///
    /// Returns the buffer that the message went to, or was refused by, which is the most overfull: its publisher waits for that.
    fn deliver(
        &self,
        account: &[u8],
        message: &Message<'_>,
        flow: u64,
        via: Option<UpstreamId>,
        members: &[u32],
        picks: &[Pick<'_>],
    ) -> Waiting;

    /// The publisher has read all that was there: send what was delivered since, if that has not begun yet.
    fn flush(&self);

    /// As [`Waiting::excess`] of a buffer, as [`Waiting::buffer`] named it; 0 when it is gone, and when nothing waits there.
    fn excess(&self, buffer: u64) -> usize;

    /// Adds a task to wake, once, when that buffer has been written out or is gone.
    fn wake_when_drained(&self, buffer: u64, waker: &std::task::Waker);

    /// Interest on this side has changed. Calls come in order; the present state is replayed on attaching.
    fn interest(&self, change: &InterestChange<'_>);

    /// A member that wants `subject` although its interest has not arrived yet (reply inboxes learnt from requests).
    fn learnt(&self, _account: &[u8], _subject: &[u8]) -> Option<u32> {
        None
    }

    /// Chooses among `candidates` (never empty) of one queue group; returns an index. `random` is uniform.
    fn choose(&self, candidates: &[Candidate], random: u64) -> usize {
        by_weight(candidates, random)
    }
}

/// A neighbour's buffer, and how much more waits there than should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// The neighbour's own number for it.
    pub buffer: u64,
    /// Bytes that wait there beyond those for which no publisher has to wait.
    pub excess: usize,
}

impl Waiting {
    /// The one of two with the greater excess.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if other.excess > self.excess { other } else { self }
    }
}

/// A member of a queue group behind a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Whose member it is.
    pub member: u32,
    /// How many subscriptions it stands for; at least 1.
    pub weight: u32,
    /// Set when it is not that member's client but its upstream server.
    pub via: Option<UpstreamId>,
}

/// Picks with a probability proportional to the weight.
#[must_use]
pub fn by_weight(candidates: &[Candidate], random: u64) -> usize {
    let total: u64 = candidates.iter().map(|c| u64::from(c.weight)).sum();
    let mut at = ((u128::from(random) * u128::from(total)) >> 64) as u64;
    for (index, candidate) in candidates.iter().enumerate() {
        match at.checked_sub(u64::from(candidate.weight)) {
            None => return index,
            Some(rest) => at = rest,
        }
    }
    candidates.len() - 1
}

/// Where interest comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InterestSource {
    /// The broker's own clients, all together.
    Clients,
    /// A member of the mesh, directly or from its upstream.
    Mesh {
        /// The node's index.
        member: u32,
        /// Set when it is the interest of that node's upstream server.
        via: Option<UpstreamId>,
    },
    /// A leaf link of this node.
    Leaf(UpstreamId),
    /// A leaf node of this server. Told to other spokes alone: in what everybody else is told it counts among `Clients`.
    Spoke {
        /// Tells it apart from others.
        id: u32,
        /// The cluster that it belongs to.
        cluster: Option<ClusterId>,
    },
}

/// How much interest a source has in a subject: an absolute figure, not a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterestChange<'a> {
    /// Whose interest.
    pub source: InterestSource,
    /// The account.
    pub account: &'a [u8],
    /// The subject, with wildcards.
    pub subject: &'a [u8],
    /// The queue group, or plain interest.
    pub queue: Option<&'a [u8]>,
    /// Members of the queue group, or 1 for plain interest; 0 when there is none any more.
    pub weight: u32,
}
