//! What components write: so many lines a second into the node's log, with the component's id, and the latest to look at.
//!
//! Lines are cut at 1 KiB, and escaped where they are shown. What is beyond the rate is dropped, and counted in the next
//! line that passes.

pub use crate::host::written::{Level, Line};

use super::rate::{Pass, Rate};
use crate::host::written::{Place, Written};
use lattice_broker::env::Env;
use rand_core::Rng as _;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of a line; what is beyond is cut off.
pub(super) const LINE_BYTES_MAX: usize = 1_024;

/// Lines that are kept to look at.
const RECENT_MAX: usize = 64;

/// The log of one component.
#[derive(Debug)]
pub(super) struct Log {
    id: Arc<str>,
    env: Env,
    /// Tells its row of lines from those of other starts.
    life: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rate: Rate,
    recent: VecDeque<Line>,
    /// How many there were.
    written: u64,
    dropped: u64,
}

impl Log {
    pub(super) fn new(id: Arc<str>, env: &Env, lines_per_second: u32) -> Self {
        let rate = Rate::new(lines_per_second, env.now());
        // As large as numbers in JSON are read exactly by all.
        let life = env.rng("component log").next_u64() >> 11;
        let state = State { rate, recent: VecDeque::new(), written: 0, dropped: 0 };
        Self { id, env: env.clone(), life, state: Mutex::new(state) }
    }

    /// Writes a line, if the rate allows it.
    pub(super) fn write(&self, level: Level, source: &str, text: &str) {
        let now = self.env.now();
        let (source, text, at_ms) = (cut(source), cut(text), millis(self.env.wall()));
        let refused = {
            let mut state = self.lock();
            let Pass::Yes { refused } = state.rate.pass(now) else {
                state.dropped += 1;
                return;
            };
            if state.recent.len() >= RECENT_MAX {
                state.recent.pop_front();
            }
            state.written += 1;
            let (number, source, text) = (state.written, source.to_owned(), text.to_owned());
            state.recent.push_back(Line { number, at_ms, level, source, text });
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

    /// What was written behind `after` and is still there, and what is counted of lines.
    pub(super) fn since(&self, after: Place) -> Written {
        let state = self.lock();
        let seen = if after.life == self.life { after.number.min(state.written) } else { 0 };
        let lines: Vec<Line> = state.recent.iter().filter(|line| line.number > seen).cloned().collect();
        Written {
            forgotten: state.written - seen - lines.len() as u64,
            lines,
            next: Place { life: self.life, number: state.written },
            dropped: state.dropped,
            ..Written::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A moment, in milliseconds since 1970.
pub(super) fn millis(at: SystemTime) -> u64 {
    u64::try_from(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// The beginning of `text`, at most [`LINE_BYTES_MAX`] bytes.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LINE_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines_per_second: u32) -> Log {
        Log::new("greeter".into(), &Env::tokio(), lines_per_second)
    }

    fn texts(written: &Written) -> Vec<&str> {
        written.lines.iter().map(|line| line.text.as_str()).collect()
    }

    /// Goal: who asks again from where the last answer ended gets each line once, and hears of those that he has missed.
    #[tokio::test]
    async fn lines_are_told_from_a_place_on() {
        let log = log(1_000);
        let none = log.since(Place::default());
        assert_eq!((none.lines.len(), none.forgotten, none.next.number), (0, 0, 0));
        log.write(Level::Info, "stdout", "one");
        log.write(Level::Warn, "stderr", "two");
        let first = log.since(Place::default());
        assert_eq!(texts(&first), ["one", "two"]);
        assert_eq!((first.lines[1].number, first.lines[1].level, first.next.number), (2, Level::Warn, 2));
        assert!(first.lines[0].at_ms > 1_500_000_000_000);
        assert_eq!(log.since(first.next).lines, []);
        log.write(Level::Info, "stdout", "three");
        assert_eq!(texts(&log.since(first.next)), ["three"]);
        (4..=100).for_each(|n| log.write(Level::Info, "stdout", &n.to_string()));
        let late = log.since(first.next);
        assert_eq!((late.lines.len(), late.forgotten, late.next.number), (64, 34, 100));
        assert_eq!((texts(&late)[0], texts(&late)[63]), ("37", "100"));
    }

    /// Goal: a place in the row of another start, or of none, is as good as the beginning.
    #[tokio::test]
    async fn each_start_has_a_row_of_its_own() {
        let (before, after) = (log(1_000), log(1_000));
        (0..3).for_each(|_| before.write(Level::Info, "stdout", "before"));
        after.write(Level::Info, "stdout", "after");
        let place = before.since(Place::default()).next;
        assert_eq!(texts(&after.since(place)), ["after"]);
        let beyond = Place { number: 9, ..after.since(place).next };
        assert_eq!((after.since(beyond).lines.len(), after.since(beyond).forgotten), (0, 0));
    }

    /// Goal: what is told at once fits in one message, whatever is in it.
    #[tokio::test]
    async fn what_is_told_has_a_bound() {
        let (log, control) = (log(1_000), "\u{1}".repeat(2 * LINE_BYTES_MAX));
        (0..100).for_each(|_| log.write(Level::Error, &control, &control));
        let written = log.since(Place::default());
        let len = serde_json::to_vec(&written).unwrap().len();
        assert!(written.lines.len() == RECENT_MAX && len < 900_000, "{len}");
    }

    #[tokio::test]
    async fn what_is_too_much_is_counted_and_has_no_number() {
        let log = log(2);
        (0..5).for_each(|_| log.write(Level::Info, "stdout", &"x".repeat(2_000)));
        let written = log.since(Place::default());
        assert_eq!((written.lines.len(), written.dropped, written.next.number), (2, 3, 2));
        assert_eq!(written.lines[0].text.len(), LINE_BYTES_MAX);
    }
}
