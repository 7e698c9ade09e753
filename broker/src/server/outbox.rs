//! The way out to one client, which any task may use: straight into the socket, else into a bounded backlog.
//!
//! The connection's own task writes the backlog when the socket has room again. When more than the maximum
//! waits, the client is a slow consumer and is closed; what waited is lost, as its protocol has no way to tell.

use super::backlog::Backlog;
use crate::clock::Stamp;
use crate::env::Stream;
use crate::lock::lock;
use crate::stats::{CloseReason, Traffic};
use smallvec::SmallVec;
use std::io::{ErrorKind, IoSlice};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

const SLICES_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct Outbox {
    pending_max: usize,
    pending: AtomicUsize,
    closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Gone once closed, so that cached routes do not keep the socket open.
    stream: Option<Arc<dyn Stream>>,
    backlog: Backlog,
    written: u64,
    /// Messages among what was sent, and when the last of them was.
    carried: Traffic,
    last: Stamp,
    end: Option<CloseReason>,
    owner: Option<Waker>,
    /// Publishers that wait until little is pending.
    waiting: Vec<Waker>,
}

impl Outbox {
    pub(super) fn new(stream: Arc<dyn Stream>, pending_max: usize) -> Self {
        let state = State {
            stream: Some(stream),
            backlog: Backlog::default(),
            written: 0,
            carried: Traffic::default(),
            last: Stamp::default(),
            end: None,
            owner: None,
            waiting: Vec::new(),
        };
        Self { pending_max, pending: AtomicUsize::new(0), closed: AtomicBool::new(false), state: Mutex::new(state) }
    }

    pub(crate) fn pending_max(&self) -> usize {
        self.pending_max
    }

    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Writes `parts`, which are no messages, as [`Outbox::send`] does.
    pub(crate) fn say<'a>(&self, parts: impl Iterator<Item = &'a [u8]> + Clone) -> usize {
        self.send(parts, Traffic::default(), Stamp::default())
    }

    /// Writes `parts` behind all that was sent before; returns the bytes that wait now. Never waits itself. Of what it
    /// writes, `carried` are messages, sent at `now`.
    pub(crate) fn send<'a>(
        &self,
        parts: impl Iterator<Item = &'a [u8]> + Clone,
        carried: Traffic,
        now: Stamp,
    ) -> usize {
        let mut state = lock(&self.state);
        state.carried += carried;
        if carried.msgs > 0 {
            state.last = state.last.max(now);
        }
        let Some(stream) = state.stream.clone() else {
            return 0;
        };
        let mut done = 0;
        if state.backlog.is_empty() {
            done = match write_all(&*stream, parts.clone()) {
                Ok(done) => done,
                Err(_) => {
                    self.end(&mut state, CloseReason::WriteError);
                    return 0;
                }
            };
            state.written += done as u64;
        }
        for part in after(parts, done) {
            state.backlog.push(part);
        }
        let pending = state.backlog.len();
        if pending > self.pending_max {
            self.end(&mut state, CloseReason::SlowConsumerPendingBytes);
            return 0;
        }
        self.pending.store(pending, Ordering::Release);
        if pending > 0
            && let Some(owner) = &state.owner
        {
            owner.wake_by_ref();
        }
        pending
    }

    /// Writes what waits; returns the bytes that still do.
    pub(super) fn flush(&self) -> usize {
        let mut state = lock(&self.state);
        let Some(stream) = state.stream.clone() else {
            return 0;
        };
        while !state.backlog.is_empty() {
            let written = {
                let slices: SmallVec<[IoSlice<'_>; SLICES_MAX]> = state.backlog.slices().take(SLICES_MAX).collect();
                stream.try_write_vectored(&slices)
            };
            match written {
                Ok(n) => {
                    state.backlog.consume(n);
                    state.written += n as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.end(&mut state, CloseReason::WriteError);
                    return 0;
                }
            }
        }
        let pending = state.backlog.len();
        self.pending.store(pending, Ordering::Release);
        if pending <= self.low_water() {
            state.waiting.drain(..).for_each(Waker::wake);
        }
        pending
    }

    /// Bytes written so far: tells a slow client from a dead one.
    pub(super) fn written(&self) -> u64 {
        lock(&self.state).written
    }

    /// Messages sent so far, and when the last of them was.
    pub(crate) fn carried(&self) -> (Traffic, Stamp) {
        let state = lock(&self.state);
        (state.carried, state.last)
    }

    /// Whom to wake when something waits, or the client is to be closed.
    pub(super) fn set_owner(&self, waker: &Waker) {
        lock(&self.state).owner = Some(waker.clone());
    }

    pub(super) fn wake_owner(&self) {
        if let Some(owner) = &lock(&self.state).owner {
            owner.wake_by_ref();
        }
    }

    /// Why the client must be closed, if it must.
    pub(super) fn end_reason(&self) -> Option<CloseReason> {
        lock(&self.state).end
    }

    /// Closes: what waits is lost, and nothing more is taken.
    pub(super) fn close(&self, reason: CloseReason) {
        self.end(&mut lock(&self.state), reason);
    }

    /// True when little is pending; else `waker` is woken once that is so.
    pub(super) fn is_drained(&self, waker: &Waker) -> bool {
        let mut state = lock(&self.state);
        if state.stream.is_none() || state.backlog.len() <= self.low_water() {
            return true;
        }
        if !state.waiting.iter().any(|other| other.will_wake(waker)) {
            state.waiting.push(waker.clone());
        }
        false
    }

    fn low_water(&self) -> usize {
        (1 << 20).min(self.pending_max / 4)
    }

    fn end(&self, state: &mut State, reason: CloseReason) {
        state.end.get_or_insert(reason);
        state.stream = None;
        state.backlog.clear();
        self.pending.store(0, Ordering::Release);
        self.closed.store(true, Ordering::Release);
        state.waiting.drain(..).for_each(Waker::wake);
        if let Some(owner) = state.owner.take() {
            owner.wake();
        }
    }
}

/// Writes as much of `parts` as the socket takes; returns how much that was.
fn write_all<'a>(stream: &dyn Stream, parts: impl Iterator<Item = &'a [u8]> + Clone) -> std::io::Result<usize> {
    let mut done = 0;
    loop {
        let slices: SmallVec<[IoSlice<'_>; SLICES_MAX]> =
            after(parts.clone(), done).take(SLICES_MAX).map(IoSlice::new).collect();
        if slices.is_empty() {
            return Ok(done);
        }
        match stream.try_write_vectored(&slices) {
            Ok(n) => done += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(done),
            Err(error) => return Err(error),
        }
    }
}

/// `parts` without their first `skip` bytes.
fn after<'a>(parts: impl Iterator<Item = &'a [u8]>, mut skip: usize) -> impl Iterator<Item = &'a [u8]> {
    parts.filter_map(move |part| {
        let gone = skip.min(part.len());
        skip -= gone;
        (gone < part.len()).then(|| &part[gone..])
    })
}
