//! What a link's task shares with those who send over it: the session while there is one, the interest, and who waits.
//!
//! It belongs behind one short lock, which is never held across a call to the broker. It owns no socket: `link.rs` moves the
//! bytes.

use super::interest::Interest;
use super::session::{Session, Unsent};
use crate::message::{Message, Pick};
use crate::neighbor::InterestChange;
use smallvec::SmallVec;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Bytes waiting for the peer from which publishers are slowed down; an eighth of the bound, if that is less.
const STALL_PENDING: usize = 4 << 20;
/// Bytes with which publishers go on that were slowed down, at most.
const DRAINED_BYTES: usize = 256 << 10;

/// The state of a link that others than its task look at.
#[derive(Debug)]
pub struct Desk {
    /// What the peer is told of; it may outlive the links.
    pub interest: Interest,
    /// The link, from the moment its connection stands.
    pub session: Option<Session>,
    stall_pending: usize,
    /// Publishers that were slowed down go on once no more than this waits: less than what slows them down.
    drained: usize,
    /// Set when the task has something to do; it is woken once for all that came since it last looked.
    work: bool,
    task: Option<Waker>,
    slowed: Vec<Waker>,
}

impl Desk {
    /// No link yet. Sessions will let `pending_bytes_max` wait at most.
    #[must_use]
    pub fn new(interest: Interest, pending_bytes_max: usize) -> Self {
        let stall_pending = STALL_PENDING.min(pending_bytes_max / 8);
        let drained = DRAINED_BYTES.min(stall_pending / 2);
        Self { interest, session: None, stall_pending, drained, work: false, task: None, slowed: Vec::new() }
    }

    /// Sends `message` to the peer's plain interest and to one member of each group in `picks`; it is on its way at the
    /// latest after [`Desk::flush`].
    ///
    /// # Errors
    /// [`Unsent`]: it was dropped, and is to be counted.
    pub fn send(&mut self, now: Instant, message: &Message<'_>, picks: &[Pick<'_>]) -> Result<(), Unsent> {
        // A group may have been picked for several of its filters; the line names it once.
        let mut groups: SmallVec<[&[u8]; 4]> = SmallVec::new();
        for pick in picks {
            if !groups.contains(&pick.group) {
                groups.push(pick.group);
            }
        }
        let session = self.session.as_mut().ok_or(Unsent::Down)?;
        session.send(now, message, groups.iter().copied(), &mut self.interest)
    }

    /// Takes a change of interest on this side, and tells it to the peer, if there is one.
    pub fn change(&mut self, change: &InterestChange<'_>) {
        match &mut self.session {
            Some(session) => {
                session.interest(change, &mut self.interest);
                self.flush();
            }
            None => self.interest.record(change),
        }
    }

    /// Has the task write what waits.
    pub fn flush(&mut self) {
        if self.pending_bytes() > 0 {
            self.wake_task();
        }
    }

    /// Gives the task something to do.
    pub fn wake_task(&mut self) {
        if !std::mem::replace(&mut self.work, true)
            && let Some(task) = self.task.take()
        {
            task.wake();
        }
    }

    /// Ready when there has been something to do since the last time it was ready.
    pub fn poll_work(&mut self, cx: &Context<'_>) -> Poll<()> {
        if std::mem::take(&mut self.work) {
            return Poll::Ready(());
        }
        self.task = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Bytes that wait for the peer.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.session.as_ref().map_or(0, Session::pending_bytes)
    }

    /// Those of them beyond which no publisher should have to send more.
    #[must_use]
    pub fn excess(&self) -> usize {
        self.pending_bytes().saturating_sub(self.stall_pending)
    }

    /// Keeps `waker` until little waits; false when that is so already.
    pub fn slow_down(&mut self, waker: &Waker) -> bool {
        let full = self.pending_bytes() > self.drained;
        if full && !self.slowed.iter().any(|known| known.will_wake(waker)) {
            self.slowed.push(waker.clone());
        }
        full
    }

    /// The publishers that may go on, if little waits: to be woken once the lock is released.
    #[must_use]
    pub fn drained(&mut self) -> Vec<Waker> {
        if self.pending_bytes() <= self.drained { std::mem::take(&mut self.slowed) } else { Vec::new() }
    }
}
