//! What components may have of the lattice: publish, ask, and hear of what is published.
//!
//! `wiring/components.rs` implements it over the broker's clients inside the process; tests put a double here. Which
//! subjects a component may publish to is `subjects.rs`'s business.

use lattice_broker::env::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// The lattice as the host of components sees it.
pub trait Lattice: Send + Sync + fmt::Debug + 'static {
    /// A client for one component. What one client publishes arrives in order; it is independent of what others do.
    fn client(&self) -> Arc<dyn Client>;
}

/// One component's way to the lattice. Dropping the last handle gives up what it waits for.
pub trait Client: Send + Sync + fmt::Debug + 'static {
    /// Publishes, and never waits: what a slow taker cannot take is kept for it within the broker's limits.
    ///
    /// # Errors
    /// [`SendError`]; nothing was published then.
    fn publish(&self, subject: &str, reply: Option<&str>, body: &[u8]) -> Result<(), SendError>;
    /// Asks, and waits for one answer, at most for `timeout`. Dropping the future gives the answer up.
    fn request(&self, subject: &str, body: &[u8], timeout: Duration) -> BoxFuture<Result<Message, RequestError>>;
    /// Messages to `subject` (with wildcards), as a member of the queue group `queue`. At most `waiting_max` wait;
    /// when that many do, new ones are dropped and counted.
    ///
    /// # Errors
    /// [`BadSubject`]: nothing could ever match.
    fn subscribe(&self, subject: &str, queue: &str, waiting_max: usize) -> Result<Box<dyn Deliveries>, BadSubject>;
}

/// What a subscription brings. Dropping it unsubscribes.
pub trait Deliveries: Send + fmt::Debug {
    /// The next message.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Message>;
    /// Messages that were dropped because too many waited, since it was made.
    fn dropped(&self) -> u64;
}

/// A message as a component gets it: headers are left out, since its interface has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The subject. One that is no text has replacement characters in it.
    pub subject: Box<str>,
    /// Where an answer is wanted.
    pub reply: Option<Box<str>>,
    /// The payload.
    pub payload: bytes::Bytes,
}

impl Message {
    /// Bytes that it takes while it waits.
    #[must_use]
    pub fn size(&self) -> usize {
        let reply = self.reply.as_ref().map_or(0, |reply| reply.len());
        size_of::<Self>() + self.subject.len() + reply + self.payload.len()
    }
}

/// A message was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It can be published to no such subject.
    #[error(transparent)]
    Subject(#[from] BadSubject),
    /// It is too long for this lattice.
    #[error("a payload of {len} bytes: the broker takes at most {max}")]
    TooLong {
        /// Bytes of the payload.
        len: usize,
        /// How many there may be.
        max: usize,
    },
}

/// There is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The question was not asked.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Nobody listens there.
    #[error("no responders on {subject}")]
    NoResponders {
        /// The subject that was asked.
        subject: String,
    },
    /// Nobody has answered in time.
    #[error("no answer on {subject} within {timeout:?}")]
    TimedOut {
        /// The subject that was asked.
        subject: String,
        /// How long was waited.
        timeout: Duration,
    },
}

/// No such subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{subject:?} is no subject {purpose}: expected words with dots between them, such as orders.new")]
pub struct BadSubject {
    /// As it was given.
    pub subject: String,
    /// What it was to be used for.
    pub purpose: &'static str,
}
