//! The bytes that wait for one stream of a link: filled by many tasks, emptied by the link's writer.
//!
//! Bounded: what does not fit is refused, and the caller counts it. Whoever fills it is told how much waits and may
//! ask to be woken when there is room again. What the bytes mean is left to `frame.rs`.

use std::sync::Mutex;
use std::task::{Poll, Waker};
use tokio::sync::Notify;

/// A bounded buffer between those who send on a stream and the task that writes it.
#[derive(Debug)]
pub struct Outbuf {
    state: Mutex<State>,
    /// Woken when there is something to write, or when the buffer has been closed.
    ready: Notify,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    staged: Vec<u8>,
    /// Frames in `staged`: what is lost when the link goes.
    frames: u64,
    /// Bytes and frames that the writer has taken and not written yet.
    writing: usize,
    writing_frames: u64,
    /// Nothing more is taken in; what is there is still written.
    finishing: bool,
    closed: bool,
    wakers: Vec<Waker>,
}

/// The buffer did not take a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It would exceed the bound.
    Full,
    /// The link is gone.
    Closed,
}

impl Outbuf {
    /// A buffer of at most `bytes_max` bytes, what is being written included. One frame larger than that is still
    /// taken when nothing else waits, so that no bound makes a lawful frame unsendable.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { state: Mutex::default(), ready: Notify::new(), bytes_max }
    }

    /// Appends one frame, which `write` puts at the end of the buffer, and returns the bytes that wait then. The writer
    /// is not woken: see [`Outbuf::flush`].
    ///
    /// # Errors
    /// [`Refused`]; nothing was appended then.
    pub fn push(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<usize, Refused> {
        let mut state = self.lock();
        if state.closed || state.finishing {
            return Err(Refused::Closed);
        }
        let before = state.staged.len();
        write(&mut state.staged);
        let waiting = state.staged.len() + state.writing;
        if waiting > self.bytes_max && before + state.writing > 0 {
            state.staged.truncate(before);
            return Err(Refused::Full);
        }
        state.frames += 1;
        Ok(waiting)
    }

    /// Wakes the writer if there is anything to write. Returns the bytes that wait.
    pub fn flush(&self) -> usize {
        let state = self.lock();
        if !state.staged.is_empty() && state.writing == 0 {
            self.ready.notify_one();
        }
        state.staged.len() + state.writing
    }

    /// The bytes that wait, those being written included.
    #[must_use]
    pub fn pending(&self) -> usize {
        let state = self.lock();
        state.staged.len() + state.writing
    }

    /// Adds a task to wake, once, at the next end of a write. Wakes it at once when nothing waits.
    pub fn wake_when_drained(&self, waker: &Waker) {
        let mut state = self.lock();
        if state.closed || state.staged.len() + state.writing == 0 {
            waker.wake_by_ref();
        } else if !state.wakers.iter().any(|known| known.will_wake(waker)) {
            state.wakers.push(waker.clone());
        }
    }

    /// Waits until at most `limit` bytes wait, or the buffer is closed. Cancel safe.
    pub async fn drained(&self, limit: usize) {
        std::future::poll_fn(|cx| {
            if self.pending() <= limit {
                return Poll::Ready(());
            }
            self.wake_when_drained(cx.waker());
            if self.pending() <= limit { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Lets the writer end once all that waits is written; nothing more is taken in.
    pub fn finish(&self) {
        self.lock().finishing = true;
        self.ready.notify_one();
    }

    /// For the writer: waits for bytes and takes them all, leaving the (empty) `spare` in their place.
    /// `None` once the buffer has been closed, or finished and emptied. Cancel safe.
    ///
    /// Calling it again says that what was taken before has been written.
    pub async fn take(&self, mut spare: Vec<u8>) -> Option<Vec<u8>> {
        spare.clear();
        loop {
            let wakers = self.written();
            wakers.into_iter().for_each(Waker::wake);
            {
                let mut state = self.lock();
                if state.closed {
                    return None;
                }
                if !state.staged.is_empty() {
                    let taken = std::mem::replace(&mut state.staged, spare);
                    state.writing = taken.len();
                    state.writing_frames = std::mem::take(&mut state.frames);
                    return Some(taken);
                }
                if state.finishing {
                    return None;
                }
            }
            self.ready.notified().await;
        }
    }

    /// Ends the buffer: nothing more is taken in or given out. Returns how many frames were in it.
    pub fn close(&self) -> u64 {
        let (lost, wakers) = {
            let mut state = self.lock();
            state.closed = true;
            let lost = std::mem::take(&mut state.frames) + std::mem::take(&mut state.writing_frames);
            state.staged = Vec::new();
            state.writing = 0;
            (lost, std::mem::take(&mut state.wakers))
        };
        wakers.into_iter().for_each(Waker::wake);
        self.ready.notify_one();
        lost
    }

    fn written(&self) -> Vec<Waker> {
        let mut state = self.lock();
        state.writing = 0;
        state.writing_frames = 0;
        std::mem::take(&mut state.wakers)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(buf: &Outbuf, len: usize) -> Result<usize, Refused> {
        buf.push(|out| out.resize(out.len() + len, b'x'))
    }

    #[test]
    fn refuses_what_does_not_fit_and_keeps_what_does() {
        let buf = Outbuf::new(10);
        assert_eq!(push(&buf, 6), Ok(6));
        assert_eq!(push(&buf, 5), Err(Refused::Full));
        assert_eq!(push(&buf, 4), Ok(10));
        assert_eq!(buf.close(), 2);
        assert_eq!(push(&buf, 1), Err(Refused::Closed));
    }

    #[test]
    fn one_frame_larger_than_the_bound_still_passes() {
        let buf = Outbuf::new(10);
        assert_eq!(push(&buf, 50), Ok(50));
        assert_eq!(push(&buf, 1), Err(Refused::Full));
    }

    #[tokio::test]
    async fn what_is_being_written_still_counts() {
        let buf = Outbuf::new(10);
        push(&buf, 8).unwrap();
        let taken = buf.take(Vec::new()).await.unwrap();
        assert_eq!((taken.len(), buf.pending()), (8, 8));
        assert_eq!(push(&buf, 3), Err(Refused::Full));
        push(&buf, 2).unwrap();
        assert_eq!(buf.take(taken).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn finishing_gives_out_the_rest_and_then_ends() {
        let buf = Outbuf::new(10);
        push(&buf, 3).unwrap();
        buf.finish();
        assert_eq!(push(&buf, 1), Err(Refused::Closed));
        assert_eq!(buf.take(Vec::new()).await.unwrap().len(), 3);
        assert_eq!(buf.take(Vec::new()).await, None);
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_the_end_of_a_write() {
        let buf = Outbuf::new(10);
        push(&buf, 9).unwrap();
        let (drained, ()) = tokio::join!(buf.drained(0), async {
            let taken = buf.take(Vec::new()).await.unwrap();
            buf.finish();
            assert_eq!(buf.take(taken).await, None);
        });
        assert_eq!((drained, buf.pending()), ((), 0));
    }
}
