//! What the gateway's task shares with the broker's threads. One short lock, never held across a call to the broker.

use lattice_broker::leaf::{Interest, Session};
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// Publishers that were slowed down go on once no more than this waits.
const DRAINED_BYTES: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Shared(Mutex<State>);

#[derive(Debug)]
pub(super) struct State {
    /// Outlives the links.
    pub(super) interest: Interest,
    /// The link, from the moment its connection stands.
    pub(super) session: Option<Session>,
    pub(super) active: bool,
    pub(super) stopping: bool,
    /// The server's name while messages flow.
    pub(super) server: Option<String>,
    /// Why not, otherwise.
    pub(super) error: Option<String>,
    /// Set when the task has something to do; it is woken once for all that came since it last looked.
    work: bool,
    task: Option<Waker>,
    slowed: Vec<Waker>,
}

impl Shared {
    pub(super) fn new(interest: Interest) -> Self {
        Self(Mutex::new(State {
            interest,
            session: None,
            active: true,
            stopping: false,
            server: None,
            error: None,
            work: false,
            task: None,
            slowed: Vec::new(),
        }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it is held")
    }
}

impl State {
    /// Whether a link is wanted.
    pub(super) fn wanted(&self) -> bool {
        self.active && !self.stopping
    }

    /// Gives the task something to do.
    pub(super) fn wake_task(&mut self) {
        if !std::mem::replace(&mut self.work, true)
            && let Some(task) = self.task.take()
        {
            task.wake();
        }
    }

    /// Ready when there has been something to do since the last time it was ready.
    pub(super) fn poll_work(&mut self, cx: &Context<'_>) -> Poll<()> {
        if std::mem::take(&mut self.work) {
            return Poll::Ready(());
        }
        self.task = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn pending_bytes(&self) -> usize {
        self.session.as_ref().map_or(0, Session::pending_bytes)
    }

    /// Keeps `waker` until little waits; false when that is so already.
    pub(super) fn slow_down(&mut self, waker: &Waker) -> bool {
        let full = self.pending_bytes() > DRAINED_BYTES;
        if full && !self.slowed.iter().any(|known| known.will_wake(waker)) {
            self.slowed.push(waker.clone());
        }
        full
    }

    /// The publishers that may go on, if little waits: to be woken once the lock is released.
    #[must_use]
    pub(super) fn drained(&mut self) -> Vec<Waker> {
        if self.pending_bytes() <= DRAINED_BYTES { std::mem::take(&mut self.slowed) } else { Vec::new() }
    }
}
