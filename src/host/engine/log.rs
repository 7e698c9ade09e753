//! What components write: so many lines a second into the node's log, with the component's id, and the latest to look at.
//!
//! Lines are cut at 1 KiB, and escaped where they are shown. What is beyond the rate is dropped, and counted in the next
//! line that passes.

use super::rate::{Pass, Rate};
use lattice_broker::env::Env;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a line; what is beyond is cut off.
pub(super) const LINE_BYTES_MAX: usize = 1_024;

/// Lines that are kept to look at.
const RECENT_MAX: usize = 64;

/// How serious a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Of use to who looks for a fault in the component.
    Debug,
    /// What happens.
    Info,
    /// Something is not as it should be.
    Warn,
    /// Something has failed.
    Error,
}

/// A line that a component has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How serious.
    pub level: Level,
    /// Where it came from: `stdout`, `stderr`, or the context that the component gave.
    pub source: String,
    /// The line.
    pub text: String,
}

/// The log of one component.
#[derive(Debug)]
pub(super) struct Log {
    id: Arc<str>,
    env: Env,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rate: Rate,
    recent: VecDeque<Line>,
    dropped: u64,
}

impl Log {
    pub(super) fn new(id: Arc<str>, env: &Env, lines_per_second: u32) -> Self {
        let rate = Rate::new(lines_per_second, env.now());
        Self { id, env: env.clone(), state: Mutex::new(State { rate, recent: VecDeque::new(), dropped: 0 }) }
    }

    /// Writes a line, if the rate allows it.
    pub(super) fn write(&self, level: Level, source: &str, text: &str) {
        let now = self.env.now();
        let (source, text) = (cut(source), cut(text));
        let refused = {
            let mut state = self.lock();
            let Pass::Yes { refused } = state.rate.pass(now) else {
                state.dropped += 1;
                return;
            };
            if state.recent.len() >= RECENT_MAX {
                state.recent.pop_front();
            }
            state.recent.push_back(Line { level, source: source.to_owned(), text: text.to_owned() });
            refused
        };
        if refused > 0 {
            tracing::warn!(component = %self.id, lines = refused, "the component writes too much: lines are dropped");
        }
        // `?`: what a component writes must not steer the terminal of who reads it.
        match level {
            Level::Debug => tracing::debug!(component = %self.id, ?source, line = ?text, "the component writes"),
            Level::Info => tracing::info!(component = %self.id, ?source, line = ?text, "the component writes"),
            Level::Warn => tracing::warn!(component = %self.id, ?source, line = ?text, "the component writes"),
            Level::Error => tracing::error!(component = %self.id, ?source, line = ?text, "the component writes"),
        }
    }

    /// The latest lines, the oldest first, and how many were dropped since the start.
    pub(super) fn recent(&self) -> (Vec<Line>, u64) {
        let state = self.lock();
        (state.recent.iter().cloned().collect(), state.dropped)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The beginning of `text`, at most [`LINE_BYTES_MAX`] bytes.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LINE_BYTES_MAX)]
}
