//! What the gateway's task shares with others: the desk with the broker's threads, and what people look at or want. Two short
//! locks, never held across a call to the broker, nor one within the other.

use lattice_broker::leaf::{Desk, Interest};
use std::sync::{Mutex, MutexGuard};

#[derive(Debug)]
pub(super) struct Shared {
    desk: Mutex<Desk>,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) active: bool,
    pub(super) stopping: bool,
    /// The server's name while messages flow.
    pub(super) server: Option<String>,
    /// Why not, otherwise.
    pub(super) error: Option<String>,
}

impl Shared {
    pub(super) fn new(interest: Interest, pending_bytes_max: usize) -> Self {
        let state = State { active: true, stopping: false, server: None, error: None };
        Self { desk: Mutex::new(Desk::new(interest, pending_bytes_max)), state: Mutex::new(state) }
    }

    pub(super) fn desk(&self) -> &Mutex<Desk> {
        &self.desk
    }

    pub(super) fn lock_desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().expect("nothing panics while it is held")
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it is held")
    }

    /// Whether a link is wanted.
    pub(super) fn is_wanted(&self) -> bool {
        let state = self.lock();
        state.active && !state.stopping
    }
}
