//! The control frames that wait for a link: filled by the driver, emptied by the link's writer.
//!
//! What is flooded goes to several links as the same bytes, and stays so here and in QUIC below: a lattice that forms
//! would hold each announcement as often as it has links else. Bounded: what does not fit is refused, and the caller
//! ends the link. What the frames mean is left to `frame.rs`, data to `outbuf.rs`.

use super::outbuf::Refused;
use bytes::Bytes;
use std::sync::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// A bounded queue of whole frames between the driver and the task that writes them.
#[derive(Debug)]
pub struct FrameQueue {
    state: Mutex<State>,
    /// Woken when there is something to write, or when the queue has been closed.
    ready: Notify,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    frames: Vec<Bytes>,
    len: usize,
    /// Bytes that the writer has taken and not written yet.
    writing: usize,
    /// The most that has waited at a time, as more than one frame.
    most: usize,
    /// Nothing more is taken in; what is there is still written.
    finishing: bool,
    closed: bool,
}

impl FrameQueue {
    /// A queue of at most `bytes_max` bytes, what is being written included. One frame larger than that is still taken
    /// when nothing else waits.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { state: Mutex::default(), ready: Notify::new(), bytes_max }
    }

    /// Appends one frame. The writer is not woken: see [`FrameQueue::flush`].
    ///
    /// # Errors
    /// [`Refused`]; nothing was appended then.
    pub fn push(&self, frame: Bytes) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed || state.finishing {
            return Err(Refused::Closed);
        }
        let before = state.len + state.writing;
        if before > 0 && before + frame.len() > self.bytes_max {
            return Err(Refused::Full);
        }
        state.len += frame.len();
        state.frames.push(frame);
        if before > 0 {
            state.most = state.most.max(state.len + state.writing);
        }
        Ok(())
    }

    /// Wakes the writer if there is anything to write.
    pub fn flush(&self) {
        let state = self.lock();
        if state.len > 0 && state.writing == 0 {
            self.ready.notify_one();
        }
    }

    /// The bytes that wait, those being written included.
    #[must_use]
    pub fn pending(&self) -> usize {
        let state = self.lock();
        state.len + state.writing
    }

    /// The most bytes that have waited at a time, as more than one frame.
    #[must_use]
    pub fn most(&self) -> usize {
        self.lock().most
    }

    /// The bound on the bytes that wait.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// For the writer: waits for frames and takes them all, in order. `None` once the queue has been closed, or finished
    /// and emptied. Cancel safe.
    ///
    /// Calling it again says that what was taken before has been written.
    pub async fn take(&self) -> Option<Vec<Bytes>> {
        self.lock().writing = 0;
        loop {
            {
                let mut state = self.lock();
                if state.closed {
                    return None;
                }
                if state.len > 0 {
                    state.writing = std::mem::take(&mut state.len);
                    return Some(std::mem::take(&mut state.frames));
                }
                if state.finishing {
                    return None;
                }
            }
            self.ready.notified().await;
        }
    }

    /// Lets the writer end once all that waits is written; nothing more is taken in.
    pub fn finish(&self) {
        self.lock().finishing = true;
        self.ready.notify_one();
    }

    /// Ends the queue: nothing more is taken in or given out, and what waits is let go.
    pub fn close(&self) {
        let mut state = self.lock();
        *state = State { closed: true, most: state.most, ..State::default() };
        drop(state);
        self.ready.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize) -> Bytes {
        vec![b'x'; len].into()
    }

    #[tokio::test]
    async fn frames_come_out_in_order_and_are_not_copied() {
        let (queue, shared) = (FrameQueue::new(100), Bytes::from(vec![1, 2, 3]));
        queue.push(shared.clone()).unwrap();
        queue.push(frame(2)).unwrap();
        let taken = queue.take().await.unwrap();
        assert_eq!(taken, [&shared[..], b"xx"]);
        assert_eq!(taken[0].as_ptr(), shared.as_ptr());
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_and_what_is_being_written_counts() {
        let queue = FrameQueue::new(10);
        queue.push(frame(8)).unwrap();
        assert_eq!(queue.take().await.unwrap().len(), 1);
        assert_eq!((queue.push(frame(3)), queue.push(frame(2))), (Err(Refused::Full), Ok(())));
        assert_eq!(queue.take().await.unwrap().len(), 1);
        assert_eq!(queue.push(frame(8)), Ok(()));
        assert_eq!(queue.take().await.unwrap().len(), 1);
        let (none, ()) = tokio::join!(queue.take(), async {
            queue.close();
            assert_eq!(queue.push(frame(1)), Err(Refused::Closed));
        });
        assert_eq!(none, None);
        let large = FrameQueue::new(10);
        assert_eq!((large.push(frame(50)), large.push(frame(1))), (Ok(()), Err(Refused::Full)));
    }

    #[tokio::test]
    async fn finishing_gives_out_the_rest_and_then_ends() {
        let queue = FrameQueue::new(10);
        let (first, ()) = tokio::join!(queue.take(), async {
            queue.push(frame(3)).unwrap();
            queue.flush();
        });
        assert_eq!(first.unwrap().len(), 1);
        queue.push(frame(4)).unwrap();
        queue.finish();
        assert_eq!(queue.push(frame(1)), Err(Refused::Closed));
        assert_eq!(queue.take().await.unwrap().len(), 1);
        assert_eq!(queue.take().await, None);
    }
}
