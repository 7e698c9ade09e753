//! What waits for the data streams of a link: one for what is in no row, and one for each of a few rows.
//!
//! A message keeps its place among those of its publisher, which are all in one stream, and waits for nobody else: QUIC gives
//! each stream its turn, and a packet that is lost holds up its own stream alone. A stream is opened when there is something for
//! it, and its buffer made then, so that a quiet link costs nothing for those it does not use. Their bounds they have together
//! (`share.rs`). Who writes and reads is left to `link/data.rs`.

use super::custody::{self, BadReceipt};
use super::frame::STREAMS;
use super::outbuf::{Outbuf, Refused};
use super::ring::Ring;
use super::share::Share;
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use tokio::sync::Notify;

/// The buffers of a link's data streams, by their numbers.
#[derive(Debug)]
pub struct Streams {
    buffers: [OnceLock<Box<Outbuf>>; STREAMS],
    share: Arc<Share>,
    ring: Arc<Ring>,
    /// Bits of those that nobody has begun to write yet.
    unopened: AtomicU16,
    /// Woken when there is another one of these, or when there will be none any more.
    news: Notify,
    /// Nothing more is taken in.
    ended: AtomicBool,
}

impl Streams {
    /// No streams yet. `bytes_max` may wait for all of them, and `kept_max` be kept until the peer has taken it. `ring` gets
    /// the pieces with frames of this node.
    #[must_use]
    pub fn new(bytes_max: usize, kept_max: usize, ring: Arc<Ring>) -> Self {
        Self {
            buffers: Default::default(),
            share: Arc::new(Share::new(bytes_max, kept_max)),
            ring,
            unopened: AtomicU16::new(0),
            news: Notify::new(),
            ended: AtomicBool::new(false),
        }
    }

    /// The buffer of a stream.
    ///
    /// # Panics
    /// When there is no stream of that number.
    pub fn buffer(&self, stream: u8) -> &Outbuf {
        let slot = &self.buffers[usize::from(stream)];
        slot.get().unwrap_or_else(|| {
            let buffer = slot.get_or_init(|| {
                self.unopened.fetch_or(1 << stream, SeqCst);
                Box::new(Outbuf::new(Arc::clone(&self.share), Arc::clone(&self.ring)))
            });
            self.news.notify_one();
            buffer
        })
    }

    /// Appends one frame for a stream, as [`Outbuf::push`], or [`Outbuf::push_own`] if it is this node's `own`.
    ///
    /// # Errors
    /// [`Refused`]; nothing was appended then.
    pub fn push(&self, stream: u8, own: bool, write: impl FnOnce(&mut Vec<u8>)) -> Result<usize, Refused> {
        if self.ended.load(SeqCst) {
            return Err(Refused::Closed);
        }
        let buffer = self.buffer(stream);
        // Looked at again when the buffer is there: it may have been made too late to be ended with the others.
        if self.ended.load(SeqCst) {
            buffer.finish();
            return Err(Refused::Closed);
        }
        if own { buffer.push_own(write) } else { buffer.push(write) }
    }

    /// Wakes a stream's writer if there is anything to write. Returns the bytes that wait.
    pub fn flush(&self, stream: u8) -> usize {
        self.made(stream).map_or(0, Outbuf::flush)
    }

    /// The bytes that wait for a stream.
    #[must_use]
    pub fn pending_for(&self, stream: u8) -> usize {
        self.made(stream).map_or(0, Outbuf::pending)
    }

    /// By how much the `pending` bytes that wait for a stream are more than its publishers should let wait.
    #[must_use]
    pub fn excess(&self, pending: usize) -> usize {
        self.share.excess(pending)
    }

    /// The bytes that wait for all of them.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.all().map(Outbuf::pending).sum()
    }

    /// The most bytes that have waited at a time, but for frames that no bound had room for.
    #[must_use]
    pub fn most(&self) -> usize {
        self.share.most()
    }

    /// The bound on the bytes that wait.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.share.bytes_max()
    }

    /// Adds a task to wake, once, at the next end of a write of a stream. Wakes it at once when nothing waits there.
    pub fn wake_when_drained(&self, stream: u8, waker: &Waker) {
        match self.made(stream) {
            Some(buffer) => buffer.wake_when_drained(waker),
            None => waker.wake_by_ref(),
        }
    }

    /// Takes in a datagram in which the peer says how much it has taken of each stream.
    ///
    /// # Errors
    /// [`BadReceipt`]: it cannot have, or the datagram says nothing.
    pub fn acknowledge(&self, datagram: &[u8]) -> Result<(), BadReceipt> {
        for (stream, taken) in custody::read(datagram)? {
            match self.made(stream) {
                Some(buffer) => buffer.acknowledge(taken)?,
                None if self.ended.load(SeqCst) => {}
                None => return Err(BadReceipt::Beyond { taken, sent: 0 }),
            }
        }
        // What was let go of gives room to all.
        for buffer in self.all() {
            buffer.flush();
        }
        Ok(())
    }

    /// Waits for a stream to open: there is something for it, and nobody writes it yet. `None` once nothing more is taken in
    /// and all have been opened. Cancel safe.
    pub async fn unopened(&self) -> Option<u8> {
        loop {
            let ended = self.ended.load(SeqCst);
            let unopened = self.unopened.load(SeqCst);
            if unopened != 0 {
                let stream = unopened.trailing_zeros() as u8;
                self.unopened.fetch_and(!(1 << stream), SeqCst);
                return Some(stream);
            }
            if ended {
                return None;
            }
            self.news.notified().await;
        }
    }

    /// Lets the writers end once all that waits is written; nothing more is taken in.
    pub fn finish(&self) {
        self.ended.store(true, SeqCst);
        self.all().for_each(Outbuf::finish);
        self.news.notify_one();
    }

    /// Waits until the peer has taken all. Cancel safe.
    pub async fn settled(&self) {
        for buffer in self.all() {
            buffer.settled().await;
        }
    }

    /// What the peer is not known to have taken, in pieces of whole frames; of each stream the oldest first.
    #[must_use]
    pub fn outstanding(&self) -> Vec<Bytes> {
        self.all().flat_map(Outbuf::outstanding).collect()
    }

    /// Ends the buffers: nothing more is taken in or given out. Returns what the peer is not known to have taken, as
    /// [`Streams::outstanding`] does.
    pub fn close(&self) -> Vec<Bytes> {
        self.ended.store(true, SeqCst);
        let left = self.all().flat_map(Outbuf::close).collect();
        self.news.notify_one();
        left
    }

    fn made(&self, stream: u8) -> Option<&Outbuf> {
        self.buffers.get(usize::from(stream))?.get().map(|buffer| &**buffer)
    }

    fn all(&self) -> impl Iterator<Item = &Outbuf> {
        self.buffers.iter().filter_map(|slot| slot.get().map(|buffer| &**buffer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn streams(bytes_max: usize) -> Streams {
        Streams::new(bytes_max, bytes_max, Arc::new(Ring::new(1 << 20)))
    }

    fn push(streams: &Streams, stream: u8, len: usize) -> Result<usize, Refused> {
        streams.push(stream, true, |out| out.resize(out.len() + len, stream))
    }

    fn receipt(taken: &[(u8, u64)]) -> Vec<u8> {
        let each = taken.iter().flat_map(|(stream, taken)| [&[*stream][..], &taken.to_le_bytes()].concat());
        [custody::TAG].into_iter().chain(each).collect()
    }

    #[tokio::test]
    async fn a_stream_is_opened_when_there_is_something_for_it() {
        let streams = streams(1 << 20);
        assert_eq!((streams.pending(), streams.flush(3)), (0, 0));
        push(&streams, 3, 10).unwrap();
        push(&streams, 3, 10).unwrap();
        push(&streams, 1, 5).unwrap();
        assert_eq!((streams.unopened().await, streams.unopened().await), (Some(1), Some(3)));
        assert_eq!((streams.pending_for(3), streams.pending()), (20, 25));
        streams.finish();
        assert_eq!((streams.unopened().await, push(&streams, 3, 1)), (None, Err(Refused::Closed)));
        assert_eq!(push(&streams, 5, 1), Err(Refused::Closed), "nor is one made any more");
        assert_eq!(streams.buffer(3).take().await.map(|pieces| pieces.concat().len()), Some(20));
        assert_eq!(streams.buffer(3).take().await, None);
    }

    #[tokio::test]
    async fn each_stream_is_acknowledged_by_itself_and_what_is_left_of_all_is_routed_again() {
        let streams = streams(1 << 20);
        for (stream, len) in [(1, 10), (2, 20)] {
            push(&streams, stream, len).unwrap();
            streams.buffer(stream).take().await.unwrap();
        }
        streams.acknowledge(&receipt(&[(2, 20)])).unwrap();
        push(&streams, 2, 3).unwrap();
        assert_eq!(streams.outstanding().concat(), [[1; 10].as_slice(), &[2; 3]].concat());
        let beyond = |taken: (u8, u64)| streams.acknowledge(&receipt(&[taken]));
        assert_eq!(beyond((1, 11)), Err(BadReceipt::Beyond { taken: 11, sent: 10 }));
        assert_eq!(beyond((3, 1)), Err(BadReceipt::Beyond { taken: 1, sent: 0 }));
        assert_eq!(streams.close().concat().len(), 13);
        assert_eq!((streams.share.waiting(), push(&streams, 1, 1)), (0, Err(Refused::Closed)));
    }

    /// Goal: whoever fills a link leaves room for others in front of it, and in what is kept of it.
    #[tokio::test]
    async fn one_stream_leaves_room_for_the_others() {
        let streams = streams(10_000);
        while push(&streams, 1, 10).is_ok() {}
        assert_eq!((streams.pending(), streams.excess(0)), (9_370, 0));
        assert!(push(&streams, 2, 30).is_ok());
        // The first one's writer takes all that it may, and waits.
        let mut written = 0;
        while let Some(Some(pieces)) = streams.buffer(1).take().now_or_never() {
            written += pieces.concat().len();
            while push(&streams, 1, 10).is_ok() {}
        }
        assert!(written >= 8_000, "{written}");
        assert_eq!(streams.buffer(2).take().await.map(|pieces| pieces.concat().len()), Some(30));
    }
}
