//! Who answers for the frames on a link: its sender keeps what it has written until the receiver has taken it.
//!
//! Counted in bytes of each data stream, which is reliable as long as the link lives: one number says all of it. [`Kept`] is
//! the sender's side, [`Receipt`] says when the receiver tells its number, in a datagram that may get lost. What becomes
//! of the frames that a link leaves behind is left to `plane/recover.rs`. Sans-IO.

use super::frame::STREAMS;
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// First byte of a datagram that says how much has been taken.
pub const TAG: u8 = 2;

/// So many bytes are told of at once…
const TELL_BYTES: u64 = 256 << 10;
/// …and fewer after this time…
const TELL_AFTER: Duration = Duration::from_millis(20);
/// …and again when nothing else was taken for this long, doubled each time, up to that: the datagram may have been lost.
const TELL_AGAIN: RangeInclusive<Duration> = Duration::from_millis(250)..=Duration::from_secs(64);

/// A peer says that it has taken more than it was sent, or something that is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReceipt {
    /// More than was sent.
    #[error("{taken} bytes acknowledged of {sent} that were sent")]
    Beyond {
        /// As it says.
        taken: u64,
        /// What was sent.
        sent: u64,
    },
    /// Not a tag, and for each stream its number and 8 bytes.
    #[error("acknowledgement of {0} bytes, which has 1, and 9 for each of up to {STREAMS} streams")]
    Length(usize),
}

/// What was written and is not known to have been taken: pieces of whole frames, in order.
#[derive(Debug, Default)]
pub struct Kept {
    pieces: VecDeque<Bytes>,
    len: usize,
    /// Bytes that were written since the beginning…
    sent: u64,
    /// …and those of them that were taken.
    taken: u64,
}

impl Kept {
    /// Notes that `piece` is being written; its bytes are shared, not copied.
    pub fn add(&mut self, piece: &Bytes) {
        self.len += piece.len();
        self.sent += piece.len() as u64;
        self.pieces.push_back(piece.clone());
    }

    /// Lets go of what the peer has taken; a number that was told before changes nothing.
    ///
    /// # Errors
    /// [`BadReceipt`]: the peer broke the protocol.
    pub fn acknowledge(&mut self, taken: u64) -> Result<(), BadReceipt> {
        if taken > self.sent {
            return Err(BadReceipt::Beyond { taken, sent: self.sent });
        }
        let mut rest = taken.saturating_sub(self.taken);
        self.taken = self.taken.max(taken);
        while let Some(first) = self.pieces.front_mut().filter(|_| rest > 0) {
            // Both fit into memory's addresses: one is a length there, and the other is no more than it.
            let part = usize::try_from(rest).unwrap_or(usize::MAX).min(first.len());
            first.advance(part);
            self.len -= part;
            rest -= part as u64;
            if first.is_empty() {
                self.pieces.pop_front();
            }
        }
        Ok(())
    }

    /// Bytes that are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when all was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces, which begin with a frame.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter()
    }

    /// Takes the pieces out: the link is over.
    pub fn take(&mut self) -> VecDeque<Bytes> {
        self.len = 0;
        std::mem::take(&mut self.pieces)
    }
}

/// Bytes that say how much of one stream has been taken: its number, and the bytes' little endian.
const ENTRY: usize = 9;

/// When to tell how much has been taken of the streams of a link.
#[derive(Debug, Default)]
pub struct Receipt {
    taken: [u64; STREAMS],
    /// Bytes of all streams: that were taken, and that were told of.
    total: u64,
    told: u64,
    /// When to tell it next, and how long after the last time that is when nothing is taken until then.
    due: Option<Instant>,
    again: Duration,
}

impl Receipt {
    /// So many bytes of a stream have been taken in all, up to the end of a frame. Returns when they are to be told of, if
    /// that is another time than before.
    pub fn took(&mut self, now: impl FnOnce() -> Instant, stream: u8, taken: u64) -> Option<Instant> {
        let before = std::mem::replace(self.taken.get_mut(usize::from(stream))?, taken);
        let first = taken != before && self.total == self.told;
        self.total += taken.saturating_sub(before);
        if first {
            self.due = Some(now() + TELL_AFTER);
        }
        self.due.filter(|_| first)
    }

    /// True when so much has gathered that it is told at once.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.total - self.told >= TELL_BYTES
    }

    /// When [`Receipt::tell`] is due.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The datagram to send now: what was taken of each stream that anything was taken of, if there is one. After that another
    /// time is due.
    pub fn tell(&mut self, now: Instant) -> Option<Bytes> {
        if self.total == 0 {
            return None;
        }
        self.again =
            if self.told == self.total { (self.again * 2).min(*TELL_AGAIN.end()) } else { *TELL_AGAIN.start() };
        self.told = self.total;
        self.due = Some(now + self.again);
        let mut datagram = vec![TAG];
        for (stream, taken) in (0u8..).zip(self.taken).filter(|(_, taken)| *taken > 0) {
            datagram.push(stream);
            datagram.extend_from_slice(&taken.to_le_bytes());
        }
        Some(datagram.into())
    }
}

/// How much the peer has taken of which streams, as its datagram says.
///
/// # Errors
/// [`BadReceipt::Length`]: the peer broke the protocol.
pub fn read(datagram: &[u8]) -> Result<impl Iterator<Item = (u8, u64)>, BadReceipt> {
    let entries = datagram.strip_prefix(&[TAG]).unwrap_or_default();
    if entries.is_empty() || !entries.len().is_multiple_of(ENTRY) || entries.len() / ENTRY > STREAMS {
        return Err(BadReceipt::Length(datagram.len()));
    }
    Ok(entries.chunks_exact(ENTRY).map(|entry| {
        let mut taken = [0; ENTRY - 1];
        taken.copy_from_slice(&entry[1..]);
        (entry[0], u64::from_le_bytes(taken))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::start_of_time;
    use proptest::prelude::*;

    fn told(datagram: &[u8]) -> Vec<(u8, u64)> {
        read(datagram).unwrap().collect()
    }

    #[test]
    fn what_is_taken_is_told_after_a_while_or_when_it_is_much_and_then_again() {
        let (start, mut receipt) = (start_of_time(), Receipt::default());
        assert_eq!((receipt.due(), receipt.tell(start)), (None, None));
        assert_eq!(receipt.took(|| start, 3, 100), Some(start + TELL_AFTER));
        assert_eq!((receipt.due(), receipt.is_large()), (Some(start + TELL_AFTER), false));
        assert_eq!(receipt.took(|| start + TELL_AFTER, 1, TELL_BYTES), None);
        assert_eq!((receipt.due(), receipt.is_large()), (Some(start + TELL_AFTER), true));
        let all = [(1, TELL_BYTES), (3, 100)];
        assert_eq!(told(&receipt.tell(start).unwrap()), all);
        for wait in [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 64_000] {
            assert_eq!(receipt.due(), Some(start + Duration::from_millis(wait)));
            assert_eq!(told(&receipt.tell(start).unwrap()), all);
        }
        assert_eq!(receipt.took(|| start, 3, 101), Some(start + TELL_AFTER));
        assert_eq!(told(&receipt.tell(start).unwrap()), [(1, TELL_BYTES), (3, 101)]);
    }

    #[test]
    fn what_says_nothing_is_refused() {
        let whole = [&[TAG][..], &[0; ENTRY * STREAMS]].concat();
        assert_eq!(told(&whole).len(), STREAMS);
        for bad in [&whole[..1], &whole[..ENTRY], &[&whole[..], &[0; ENTRY]].concat(), b""] {
            assert_eq!(read(bad).map(drop), Err(BadReceipt::Length(bad.len())));
        }
    }

    #[test]
    fn more_than_was_sent_is_refused() {
        let mut kept = Kept::default();
        kept.add(&Bytes::from_static(b"abc"));
        assert_eq!(kept.acknowledge(4), Err(BadReceipt::Beyond { taken: 4, sent: 3 }));
        assert_eq!((kept.acknowledge(3), kept.is_empty()), (Ok(()), true));
    }

    proptest! {
        /// Whatever is told in whatever order: what is kept is what follows the greatest number.
        #[test]
        fn what_is_kept_is_what_was_not_taken(lens in proptest::collection::vec(1usize..50, 0..30), told: Vec<u16>) {
            let mut kept = Kept::default();
            let mut stream = Vec::new();
            for (nth, len) in lens.iter().enumerate() {
                let piece = vec![nth as u8; *len];
                stream.extend_from_slice(&piece);
                kept.add(&piece.into());
            }
            let mut taken = 0;
            for told in told {
                let told = usize::from(told) % (stream.len() + 1);
                taken = taken.max(told);
                prop_assert_eq!(kept.acknowledge(told as u64), Ok(()));
                prop_assert_eq!(kept.len(), stream.len() - taken);
            }
            prop_assert_eq!(kept.pieces().flatten().copied().collect::<Vec<_>>(), &stream[taken..]);
        }
    }
}
