//! The clock by which running code is interrupted: every 10 ms while a call is in flight, and never otherwise.
//!
//! It has a thread of its own: a task could be waiting behind the very code that it is to interrupt.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

/// How long code runs before others have their turn.
const TICK: Duration = Duration::from_millis(10);

/// Ticks while somebody holds a [`Ticking`]. Dropping it ends the thread.
#[derive(Debug)]
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    calls: AtomicUsize,
    /// Set by the thread before it looks at `calls` for the last time and sleeps.
    asleep: AtomicBool,
    ended: AtomicBool,
}

/// A call is in flight.
#[derive(Debug)]
pub(super) struct Ticking(Arc<Shared>);

impl Ticker {
    /// Starts the thread, which calls `tick`.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(super) fn new(tick: impl Fn() + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread: JoinHandle<()> = thread::Builder::new().name("component-clock".to_owned()).spawn({
            let shared = shared.clone();
            move || run(&shared, tick)
        })?;
        Ok(Self { shared, thread: thread.thread().clone() })
    }

    /// Ticks until the result is dropped.
    pub(super) fn ticking(&self) -> Ticking {
        self.shared.calls.fetch_add(1, SeqCst);
        if self.shared.asleep.load(SeqCst) {
            self.thread.unpark();
        }
        Ticking(self.shared.clone())
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.ended.store(true, SeqCst);
        self.thread.unpark();
    }
}

fn run(shared: &Shared, tick: impl Fn()) {
    while !shared.ended.load(SeqCst) {
        if shared.calls.load(SeqCst) > 0 {
            thread::park_timeout(TICK);
            tick();
            continue;
        }
        shared.asleep.store(true, SeqCst);
        // Who comes after this look sees that the thread is asleep, and wakes it: `unpark` is not lost.
        if shared.calls.load(SeqCst) == 0 && !shared.ended.load(SeqCst) {
            thread::park();
        }
        shared.asleep.store(false, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn it_ticks_while_a_call_is_in_flight_and_ends_with_its_owner() {
        let (tick, ticks) = mpsc::channel();
        let ticker = Ticker::new(move || {
            // Nobody may be listening any more.
            let _ = tick.send(());
        })
        .unwrap();
        assert!(ticks.recv_timeout(TICK * 5).is_err(), "nothing runs yet");
        for _ in 0..3 {
            let ticking = ticker.ticking();
            for _ in 0..3 {
                ticks.recv_timeout(Duration::from_secs(10)).unwrap();
            }
            drop(ticking);
            // The one that was under way, and then none.
            while ticks.recv_timeout(TICK * 5).is_ok() {}
        }
        drop(ticker);
        assert_eq!(ticks.recv_timeout(Duration::from_secs(10)), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
