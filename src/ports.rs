//! What mesh, gateway and host may ask of the local broker, as traits: none of them knows the broker itself.
//!
//! The vocabulary (messages, interest, queue-group picks) is the broker crate's; `wiring.rs` implements the
//! traits over it. Tests of a layer put a recording double here instead.

pub use lattice_broker::env::BoxFuture;
pub use lattice_broker::{
    Candidate, Groups, InterestChange, InterestSource, Message, Neighbor, NeighborKind, Pick, UpstreamId, Waiting,
    by_weight, is_literal,
};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The broker as one attached neighbour sees it. Dropping the last handle detaches it and withdraws its interest.
pub trait Bus: Send + Sync + fmt::Debug + 'static {
    /// Sets what `entry` says: an absolute weight, 0 to withdraw. A subject that is no valid filter is refused.
    ///
    /// # Errors
    /// [`BadInterest`]; nothing has changed then.
    fn set_interest(&self, entry: &RemoteInterest<'_>) -> Result<(), BadInterest>;
    /// Withdraws all interest of `member`.
    fn remove_member(&self, member: u32);
    /// What [`Neighbor::learnt`] answers has changed: cached routes are stale.
    fn invalidate(&self);
    /// A way in for messages that arrive from the neighbour; one for each task that publishes.
    fn inbound(&self) -> Box<dyn Inbound>;
}

/// Publishes what arrives from a neighbour, in order.
pub trait Inbound: Send {
    /// Hands a message to those who want it here. Returns how many takers it had.
    fn publish(&mut self, account: &[u8], message: &Message<'_>, groups: Groups<'_>, via: Option<UpstreamId>) -> usize;
    /// Which picks of the last message, by their position in [`Groups::Only`], nobody took.
    fn untaken(&self) -> &[usize];
    /// Writes out what `publish` has staged; call it whenever no more input is at hand.
    /// True when a taker is congested: await [`Inbound::ready`] before publishing more.
    fn flush(&mut self) -> bool;
    /// Waits until congested takers have room again, or the broker's limit on stalls has passed. Cancel safe.
    fn ready(&mut self) -> BoxFuture<()>;
}

/// Interest of a member elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteInterest<'a> {
    /// The account.
    pub account: &'a [u8],
    /// Whose interest: a node's index on the mesh, 0 for a leaf link.
    pub member: u32,
    /// Set when it is that node's upstream server that is interested.
    pub via: Option<UpstreamId>,
    /// The subject, with wildcards.
    pub subject: &'a [u8],
    /// The queue group, or plain interest.
    pub queue: Option<&'a [u8]>,
    /// Members of the group, 1 for plain interest, 0 to withdraw.
    pub weight: u32,
}

/// Interest in a subject that cannot be subscribed to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{subject:?} is no subject to subscribe to")]
pub struct BadInterest {
    /// The subject, as text.
    pub subject: String,
}

/// The lattice as clients in the process have it, in the account of clients that say nothing else.
pub trait Clients: Send + Sync + fmt::Debug + 'static {
    /// A client of its own: what one publishes does not wait for what others do, and arrives in order.
    fn client(&self) -> Arc<dyn Client>;
}

/// The lattice as a client in the process has it, in one account. Publishes and subscribes as any client may.
pub trait Client: Send + Sync + fmt::Debug + 'static {
    /// Publishes `body`, without headers; returns how many takers there were (a node elsewhere is one, however many it has).
    /// Never waits; what is longer than the broker allows is not published and has no taker.
    fn publish(&self, subject: &str, reply: Option<&[u8]>, body: &[u8]) -> usize {
        self.publish_headed(subject, reply, &[], body)
    }
    /// The same, with a block of headers: `NATS/1.0`, a line for each, and an empty line; or none. Both count by their length.
    fn publish_headed(&self, subject: &str, reply: Option<&[u8]>, headers: &[u8], body: &[u8]) -> usize;
    /// Registers interest in `filter`, alone or as a member of `queue`. Dropping the result ends it. When `pending_max`
    /// messages wait, new ones are dropped.
    ///
    /// # Errors
    /// [`BadInterest`]: nothing could ever match.
    fn subscribe(
        &self,
        filter: &str,
        queue: Option<&str>,
        pending_max: usize,
    ) -> Result<Box<dyn Deliveries>, BadInterest>;
}

/// What a subscription of a [`Client`] brings, one publisher's messages in order.
pub trait Deliveries: Send + fmt::Debug {
    /// The next message. One task may wait.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Delivery>;
    /// Messages that were dropped because too many waited, since it was made.
    fn dropped(&self) -> u64;
}

/// A message as a [`Client`] gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The subject.
    pub subject: bytes::Bytes,
    /// Where an answer is wanted.
    pub reply: Option<bytes::Bytes>,
    /// The header block; empty when there is none.
    pub headers: bytes::Bytes,
    /// The payload, without headers.
    pub payload: bytes::Bytes,
}
