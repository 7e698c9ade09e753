//! The grammar of a link: what two nodes write to each other on a QUIC stream.
//!
//! ```text
//! frame   = length kind payload      length: u32 LE, counts kind and payload
//! control = version record           by the codec; see [`ControlFrame`]
//! data    = version header body      see [`DataHeader`]
//! ```
//!
//! Every kind has a greatest length, so a reader's memory is bounded by what its peer may send at once. What the
//! frames mean is left to the control plane and to forwarding; which stream carries which, to the driver.

mod control;
mod header;
mod repair;
mod trace;

pub use control::{
    Changes, ControlFrame, Delta, FEATURES, Goodbye, Hello, Known, Members, More, PROTOCOL, SUCCESSION, Snapshot, Told,
    Want, WantInterest,
};
pub use header::{
    CUSTODY, DESTINATIONS_MAX, DataHeader, Destination, NAME_MAX, PICKS_MAX, ROWS, SEQ_MAX, STREAMS, SUBJECT_MAX,
    Target, URGENT, stream_of,
};

pub use repair::{Ask, Mark, RepairFrame};
pub use trace::{Fate, Probe, Report, STEPS_MAX, Step, TRACE, TraceFrame};

use crate::codec;
use bytes::Bytes;

/// The longest payload of control frames that carry lists, in bytes: longer lists go as several frames.
pub const LIST_MAX: usize = 64 << 10;
/// What a data frame may need beside its body, in bytes.
pub const HEADER_MAX: usize = 1 << 20;
/// The longest payload of a data frame, header and body, in bytes. The same on every node, whatever it sends itself:
/// a lawful frame must pass everywhere.
pub const DATA_MAX: usize = 65 << 20;
const LENGTH: usize = 4;
const KEEP_MAX: usize = 64 << 10;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// First frame of a link: who is there.
    Hello = 1,
    /// Last frame of a link: why it ends.
    Goodbye = 2,
    /// A node's signed announcement.
    Lsa = 3,
    /// Changes of a node's interest.
    Delta = 4,
    /// A part of all of a node's interest.
    Snapshot = 5,
    /// What the sender knows of each node.
    Summary = 6,
    /// What the sender wants to be sent.
    Pull = 7,
    /// Digest of the sender's whole database.
    Digest = 8,
    /// The link is up: sent by the end that decides.
    Welcome = 9,
    /// Nodes that are members no more.
    Revoked = 10,
    /// Who is a member: what the sender knows, or chains.
    Members = 11,
    /// How the root key was replaced: all of it at once.
    Succession = 12,
    /// A message of an application.
    Data = 16,
    /// A destination asks the origin for what it misses.
    Ask = 17,
    /// An origin tells a destination how far their row goes.
    Mark = 18,
    /// Follows the way of a message, for people.
    Probe = 19,
    /// A node on that way tells the origin.
    Report = 20,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Hello,
            2 => Self::Goodbye,
            3 => Self::Lsa,
            4 => Self::Delta,
            5 => Self::Snapshot,
            6 => Self::Summary,
            7 => Self::Pull,
            8 => Self::Digest,
            9 => Self::Welcome,
            10 => Self::Revoked,
            11 => Self::Members,
            12 => Self::Succession,
            16 => Self::Data,
            17 => Self::Ask,
            18 => Self::Mark,
            19 => Self::Probe,
            20 => Self::Report,
            _ => return None,
        })
    }

    /// The longest payload in bytes, for links that carry data frames of up to `data_max`.
    #[must_use]
    pub fn payload_max(self, data_max: usize) -> usize {
        match self {
            Self::Hello | Self::Goodbye => 4 << 10,
            Self::Lsa => 16 << 10,
            Self::Delta
            | Self::Snapshot
            | Self::Summary
            | Self::Pull
            | Self::Revoked
            | Self::Members
            | Self::Succession => LIST_MAX,
            Self::Digest | Self::Welcome => 64,
            Self::Ask | Self::Mark => 1 << 10,
            Self::Probe | Self::Report => 2 << 10,
            Self::Data => data_max,
        }
    }
}

/// The peer sent what is no frame: the link is closed with this as the reason.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A length of 0: not even a kind.
    #[error("frame without a kind")]
    NoKind,
    /// A kind that this version does not know.
    #[error("frame of unknown kind {0}")]
    UnknownKind(u8),
    /// More than the kind allows.
    #[error("{kind:?} frame of {len} bytes exceeds {max}")]
    TooLong {
        /// What the frame is.
        kind: Kind,
        /// Its payload's length in bytes.
        len: usize,
        /// What is allowed.
        max: usize,
    },
    /// The payload is no record of that kind.
    #[error("{kind:?} frame: {error}")]
    Record {
        /// What the frame is.
        kind: Kind,
        /// What is wrong with it.
        error: codec::DecodeError,
    },
    /// A header that contradicts its body.
    #[error("header block of {header_len} bytes in a body of {body_len}")]
    HeaderLength {
        /// As the frame says.
        header_len: usize,
        /// Bytes that are there.
        body_len: usize,
    },
    /// A control frame where data is expected, or the other way round.
    #[error("{0:?} frame on a stream that does not carry it")]
    Misplaced(Kind),
}

/// A whole frame, not yet decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its record: for [`ControlFrame::decode`] or [`DataHeader::decode`].
    pub payload: &'a [u8],
}

/// Splits a stream of bytes into frames, wherever the stream was cut into pieces.
///
/// Frames that lie whole in a piece are not copied. What is kept of an unfinished frame is what has arrived of it,
/// and never more than its kind's greatest length.
#[derive(Debug)]
pub struct Reader {
    data_max: usize,
    partial: Vec<u8>,
    complete: bool,
}

impl Reader {
    /// A reader that takes data frames with payloads (header and body) of up to `data_max` bytes.
    #[must_use]
    pub fn new(data_max: usize) -> Self {
        Self { data_max, partial: Vec::new(), complete: false }
    }

    /// The next frame, or `None` when all of `input` is used up. Advances `input` past what was taken.
    ///
    /// # Errors
    /// [`FrameError`], after which the stream is of no use any more.
    pub fn next<'r, 'i: 'r>(&'r mut self, input: &mut &'i [u8]) -> Result<Option<Raw<'r>>, FrameError> {
        if std::mem::take(&mut self.complete) {
            self.partial.clear();
            self.partial.shrink_to(KEEP_MAX);
        }
        if self.partial.is_empty() {
            if let Some((kind, end)) = self.head(input)?
                && let Some((frame, rest)) = input.split_at_checked(end)
            {
                *input = rest;
                return Ok(Some(Raw { kind, payload: &frame[LENGTH + 1..] }));
            }
        } else {
            self.take(input, LENGTH + 1);
        }
        let Some((kind, end)) = self.head(if self.partial.is_empty() { input } else { &self.partial })? else {
            self.take(input, LENGTH + 1);
            return Ok(None);
        };
        self.take(input, end);
        self.complete = self.partial.len() == end;
        Ok(self.complete.then(|| Raw { kind, payload: &self.partial[LENGTH + 1..] }))
    }

    /// How many bytes are kept of a frame that is not whole yet: when [`Reader::next`] has said that there is no more.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.partial.len()
    }

    /// Moves bytes from `input` until `len` have been gathered.
    fn take(&mut self, input: &mut &[u8], len: usize) {
        let missing = len.saturating_sub(self.partial.len()).min(input.len());
        let (taken, rest) = input.split_at(missing);
        self.partial.extend_from_slice(taken);
        *input = rest;
    }

    /// Kind and end of the frame that `bytes` begin with, once that can be told.
    fn head(&self, bytes: &[u8]) -> Result<Option<(Kind, usize)>, FrameError> {
        let Some((&length, rest)) = bytes.split_first_chunk::<LENGTH>() else { return Ok(None) };
        let length = u32::from_le_bytes(length) as usize;
        let Some(len) = length.checked_sub(1) else { return Err(FrameError::NoKind) };
        let Some(&kind) = rest.first() else { return Ok(None) };
        let kind = Kind::from_byte(kind).ok_or(FrameError::UnknownKind(kind))?;
        let max = kind.payload_max(self.data_max);
        if len > max {
            return Err(FrameError::TooLong { kind, len, max });
        }
        Ok(Some((kind, LENGTH + length)))
    }
}

/// The frames in `piece`, each with its kind, up to the first that is not whole. None of them is copied.
pub fn split(piece: &Bytes) -> impl Iterator<Item = (Kind, Bytes)> {
    let (piece, mut at) = (piece.clone(), 0);
    std::iter::from_fn(move || {
        let mut rest = &piece[at..];
        let kind = Reader::new(DATA_MAX).next(&mut rest).ok()??.kind;
        let (start, end) = (at, piece.len() - rest.len());
        at = end;
        Some((kind, piece.slice(start..end)))
    })
}

/// The payload of a whole frame.
///
/// # Panics
/// When `frame` is shorter than any frame.
#[must_use]
pub fn payload(frame: &[u8]) -> &[u8] {
    &frame[LENGTH + 1..]
}

/// Appends a frame of `kind`, whose payload `write` appends.
fn append(kind: Kind, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH]);
    out.push(kind as u8);
    write(out);
    let length = u32::try_from(out.len() - start - LENGTH).expect("the limits on every part sum up to less than 4 GiB");
    out[start..start + LENGTH].copy_from_slice(&length.to_le_bytes());
}

#[cfg(test)]
mod tests;
