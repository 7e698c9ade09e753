//! The bytes that wait for one stream of a link: filled by many tasks, emptied by the stream's writer.
//!
//! Bounded: what does not fit is refused, and the caller counts it. Whoever fills it is told how much waits and may
//! ask to be woken when there is room again. What was written is kept until the peer has taken it; when that is too much the
//! writer waits for the peer. Buffers of one link have their bounds together ([`Share`]). What the bytes mean
//! is left to `frame.rs`, which streams there are, to `streams.rs`.

use super::custody::{BadReceipt, Kept};
use super::ring::Ring;
use super::share::Share;
use crate::planted::{self, Bug};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use tokio::sync::Notify;

/// Frames are gathered into pieces of this size: QUIC keeps a piece until its last byte is acknowledged, so that it
/// should not be large, and looks for a place in a row of pieces, so that they should not be many.
const PIECE: usize = 64 << 10;
/// Room for the frame that fills a piece, unless it is a large one.
const PIECE_SLACK: usize = 4 << 10;

/// A bounded buffer between those who send on a stream and the task that writes it.
#[derive(Debug)]
pub struct Outbuf {
    state: Mutex<State>,
    /// Woken when there is something to write, or when the buffer has been closed.
    ready: Notify,
    share: Arc<Share>,
    /// Where pieces with frames of this node go as well.
    ring: Arc<Ring>,
}

#[derive(Debug, Default)]
struct State {
    /// Pieces that are full, in order, and their bytes.
    full: VecDeque<Bytes>,
    full_len: usize,
    /// The piece that is being filled, behind them. Holds no memory while it is empty.
    open: Vec<u8>,
    /// The room that it will likely need.
    room: usize,
    /// It holds frames of this node.
    own: bool,
    /// Written, and not known to have been taken by the peer.
    kept: Kept,
    /// Bytes that the writer has taken and not written yet.
    writing: usize,
    /// Of those that wait: the bytes of a frame that no bound had room for. It is the first one.
    beyond: usize,
    /// Nothing more is taken in; what is there is still written.
    finishing: bool,
    closed: bool,
    wakers: Vec<Waker>,
}

impl State {
    fn staged(&self) -> usize {
        self.full_len + self.open.len()
    }

    fn waiting(&self) -> usize {
        self.staged() + self.writing
    }

    /// Closes the piece that is being filled; the next one will get room for `room` bytes.
    fn seal(&mut self, room: usize, ring: &Ring) {
        let mut piece = std::mem::take(&mut self.open);
        // It is kept, with all its room, until the peer has acknowledged its last byte.
        if piece.len() < piece.capacity() / 2 {
            piece.shrink_to_fit();
        }
        self.room = room;
        self.full_len += piece.len();
        let (cost, piece) = (piece.capacity(), Bytes::from(piece));
        if std::mem::take(&mut self.own) {
            ring.push(piece.clone(), cost);
        }
        self.full.push_back(piece);
    }

    /// Takes pieces of `most` bytes or a little more: at least one, all if they are no more. The next ones will likely be as
    /// large as these.
    fn take(&mut self, most: usize, ring: &Ring) -> Vec<Bytes> {
        let room = self.staged().next_power_of_two().min(PIECE + PIECE_SLACK);
        if !self.open.is_empty() && self.full_len < most {
            self.seal(room, ring);
        }
        if self.full_len <= most {
            self.full_len = 0;
            return std::mem::take(&mut self.full).into();
        }
        let (mut pieces, mut taken) = (Vec::new(), 0);
        while taken < most
            && let Some(piece) = self.full.pop_front()
        {
            taken += piece.len();
            pieces.push(piece);
        }
        self.full_len -= taken;
        pieces
    }
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
    /// A buffer that keeps what was written until [`Outbuf::acknowledge`], within the bounds of `share`, and lets
    /// `ring` have the pieces with frames of this node. A frame is taken when nothing else waits in this buffer, and written
    /// when nothing is kept in it, whatever the others hold.
    #[must_use]
    pub fn new(share: Arc<Share>, ring: Arc<Ring>) -> Self {
        Self { state: Mutex::default(), ready: Notify::new(), share, ring }
    }

    /// Appends one frame, which `write` puts at the end of the buffer, and returns the bytes that wait then. The writer
    /// is not woken: see [`Outbuf::flush`].
    ///
    /// # Errors
    /// [`Refused`]; nothing was appended then.
    pub fn push(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<usize, Refused> {
        self.append(false, write)
    }

    /// As [`Outbuf::push`], for a frame of this node that somebody may ask for.
    ///
    /// # Errors
    /// [`Refused`]; nothing was appended then.
    pub fn push_own(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<usize, Refused> {
        self.append(true, write)
    }

    fn append(&self, own: bool, write: impl FnOnce(&mut Vec<u8>)) -> Result<usize, Refused> {
        let mut state = self.lock();
        if state.closed || state.finishing {
            return Err(Refused::Closed);
        }
        let (before, start) = (state.waiting(), state.open.len());
        if state.open.is_empty() {
            let room = state.room;
            state.open.reserve(room);
        }
        write(&mut state.open);
        let added = state.open.len() - start;
        // Planted: the bound is not looked at.
        if planted::is(Bug::BufferUnbounded) {
            self.share.force(added);
        } else if !self.share.take_in(before, added) {
            if before > 0 {
                state.open.truncate(start);
                return Err(Refused::Full);
            }
            state.beyond = added;
        }
        state.own |= own;
        if state.open.len() >= PIECE {
            state.seal(PIECE + PIECE_SLACK, &self.ring);
        }
        Ok(state.waiting())
    }

    /// Wakes the writer if there is anything to write. Returns the bytes that wait.
    pub fn flush(&self) -> usize {
        let state = self.lock();
        if state.staged() > 0 && state.writing == 0 {
            self.ready.notify_one();
        }
        state.waiting()
    }

    /// The bytes that wait, those being written included.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.lock().waiting()
    }

    /// The most bytes that have waited at a time, in all buffers of the share; of a frame that no bound had room for, none.
    #[must_use]
    pub fn most(&self) -> usize {
        self.share.most()
    }

    /// The bound on the bytes that wait in all buffers of the share.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.share.bytes_max()
    }

    /// Adds a task to wake, once, at the next end of a write. Wakes it at once when nothing waits.
    pub fn wake_when_drained(&self, waker: &Waker) {
        let mut state = self.lock();
        if state.closed || state.waiting() == 0 {
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

    /// For the writer: waits for bytes and takes them, as many as may be kept, in pieces none of which is empty.
    /// `None` once the buffer has been closed, or finished and emptied. Cancel safe.
    ///
    /// Calling it again says that what was taken before has been written.
    pub async fn take(&self) -> Option<Vec<Bytes>> {
        loop {
            let wakers = self.written();
            wakers.into_iter().for_each(Waker::wake);
            {
                let mut state = self.lock();
                if state.closed {
                    return None;
                }
                let most = self.share.may_write(state.kept.len());
                if state.staged() > 0 && most > 0 {
                    return Some(self.give(&mut state, most));
                }
                if state.finishing && state.staged() == 0 {
                    return None;
                }
            }
            self.ready.notified().await;
        }
    }

    fn give(&self, state: &mut State, most: usize) -> Vec<Bytes> {
        let pieces = state.take(most, &self.ring);
        state.writing = pieces.iter().map(Bytes::len).sum();
        pieces.iter().for_each(|piece| state.kept.add(piece));
        self.share.keep(state.writing);
        pieces
    }

    /// The bytes that were given to the writer and are not known to have been taken by the peer.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.lock().kept.len()
    }

    /// The peer has taken so many bytes of the stream: they need not be kept any more. The writers that wait for that are
    /// not woken: see [`Outbuf::flush`].
    ///
    /// # Errors
    /// [`BadReceipt`]: it cannot have.
    pub fn acknowledge(&self, taken: u64) -> Result<(), BadReceipt> {
        let wakers = {
            let mut state = self.lock();
            if state.closed {
                return Ok(());
            }
            let before = state.kept.len();
            state.kept.acknowledge(taken)?;
            self.share.let_go(before - state.kept.len());
            if state.kept.is_empty() { std::mem::take(&mut state.wakers) } else { Vec::new() }
        };
        wakers.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Waits until the peer has taken all, or the buffer is closed. Cancel safe.
    pub async fn settled(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            if state.closed || (state.waiting() == 0 && state.kept.is_empty()) {
                return Poll::Ready(());
            }
            state.wakers.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// What the peer is not known to have taken, in pieces of whole frames, the oldest first.
    #[must_use]
    pub fn outstanding(&self) -> Vec<Bytes> {
        let mut state = self.lock();
        if !state.open.is_empty() {
            let room = state.room;
            state.seal(room, &self.ring);
        }
        state.kept.pieces().chain(&state.full).cloned().collect()
    }

    /// Ends the buffer: nothing more is taken in or given out. Returns what the peer is not known to have taken, as
    /// [`Outbuf::outstanding`] does.
    pub fn close(&self) -> Vec<Bytes> {
        let (left, wakers) = {
            let mut state = self.lock();
            state.closed = true;
            self.share.give_out(state.waiting() - std::mem::take(&mut state.beyond));
            self.share.let_go(state.kept.len());
            let mut left = Vec::from(state.kept.take());
            left.append(&mut state.take(usize::MAX, &self.ring));
            state.writing = 0;
            (left, std::mem::take(&mut state.wakers))
        };
        wakers.into_iter().for_each(Waker::wake);
        self.ready.notify_one();
        left
    }

    fn written(&self) -> Vec<Waker> {
        let mut state = self.lock();
        let written = std::mem::take(&mut state.writing);
        if written == 0 {
            // Nothing has been taken yet, or the buffer has been closed.
            return Vec::new();
        }
        self.share.give_out(written - std::mem::take(&mut state.beyond));
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

    fn of(bytes_max: usize) -> Outbuf {
        Outbuf::new(Arc::new(Share::alone(bytes_max)), Arc::new(Ring::new(0)))
    }

    async fn taken(buf: &Outbuf) -> Option<usize> {
        Some(buf.take().await?.iter().map(Bytes::len).sum())
    }

    #[tokio::test]
    async fn what_goes_in_comes_out_in_order_and_in_pieces() {
        let buf = of(1 << 20);
        let mut expected = Vec::new();
        for at in 0..100_000usize {
            let frame = at.to_le_bytes();
            expected.extend_from_slice(&frame);
            buf.push(|out| out.extend_from_slice(&frame)).unwrap();
        }
        let pieces = buf.take().await.unwrap();
        assert!(pieces.iter().all(|piece| (1..=PIECE + PIECE_SLACK).contains(&piece.len())));
        assert_eq!((pieces.concat() == expected, buf.pending()), (true, expected.len()));
    }

    #[test]
    fn refuses_what_does_not_fit_and_keeps_what_does() {
        let buf = of(10);
        assert_eq!(push(&buf, 6), Ok(6));
        assert_eq!(push(&buf, 5), Err(Refused::Full));
        assert_eq!(push(&buf, 4), Ok(10));
        assert_eq!(buf.most(), 10);
        assert_eq!(buf.close().concat().len(), 10);
        assert_eq!(push(&buf, 1), Err(Refused::Closed));
    }

    #[tokio::test]
    async fn what_the_peer_has_not_taken_is_left_when_the_link_ends() {
        let ring = Arc::new(Ring::new(1 << 20));
        let buf = Outbuf::new(Arc::new(Share::alone(100)), Arc::clone(&ring));
        buf.push_own(|out| out.extend_from_slice(b"abc")).unwrap();
        assert_eq!(taken(&buf).await, Some(3));
        buf.push(|out| out.extend_from_slice(b"def")).unwrap();
        assert_eq!(taken(&buf).await, Some(3));
        buf.push(|out| out.extend_from_slice(b"ghi")).unwrap();
        assert_eq!((buf.acknowledge(3), buf.acknowledge(7)), (Ok(()), Err(BadReceipt::Beyond { taken: 7, sent: 6 })));
        assert_eq!(buf.outstanding().concat(), b"defghi");
        assert_eq!(buf.close().concat(), b"defghi");
        assert_eq!(ring.pieces(), ["abc"], "the others are not this node's own");
    }

    #[tokio::test]
    async fn the_writer_waits_for_a_peer_that_takes_nothing() {
        let buf = of(10);
        push(&buf, 10).unwrap();
        assert_eq!(taken(&buf).await, Some(10));
        // The writer has written that.
        let (more, ()) = tokio::join!(taken(&buf), async {
            push(&buf, 5).unwrap();
            buf.flush();
            tokio::task::yield_now().await;
            assert_eq!((buf.pending(), buf.outstanding().len()), (5, 2));
            buf.acknowledge(10).unwrap();
            buf.flush();
        });
        assert_eq!(more, Some(5));
        let ((), ()) = tokio::join!(buf.settled(), async {
            buf.finish();
            assert_eq!(taken(&buf).await, None);
            buf.acknowledge(15).unwrap();
        });
    }

    #[test]
    fn one_frame_larger_than_the_bound_still_passes() {
        let buf = of(10);
        assert_eq!(push(&buf, 50), Ok(50));
        assert_eq!(push(&buf, 1), Err(Refused::Full));
        assert_eq!(buf.most(), 0);
    }

    #[tokio::test]
    async fn what_is_being_written_still_counts() {
        let buf = of(10);
        push(&buf, 8).unwrap();
        assert_eq!((taken(&buf).await, buf.pending()), (Some(8), 8));
        assert_eq!(push(&buf, 3), Err(Refused::Full));
        push(&buf, 2).unwrap();
        assert_eq!(taken(&buf).await, Some(2));
    }

    #[tokio::test]
    async fn finishing_gives_out_the_rest_and_then_ends() {
        let buf = of(10);
        push(&buf, 3).unwrap();
        buf.finish();
        assert_eq!(push(&buf, 1), Err(Refused::Closed));
        assert_eq!(taken(&buf).await, Some(3));
        assert_eq!(taken(&buf).await, None);
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_the_end_of_a_write() {
        let buf = of(10);
        push(&buf, 9).unwrap();
        let (drained, ()) = tokio::join!(buf.drained(0), async {
            assert_eq!(taken(&buf).await, Some(9));
            buf.finish();
            assert_eq!(taken(&buf).await, None);
        });
        assert_eq!((drained, buf.pending()), ((), 0));
    }
}
