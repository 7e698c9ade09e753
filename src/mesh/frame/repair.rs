//! The frames by which a destination and an origin find out what was lost between them: they travel with the data.
//!
//! Neither belongs to a row of numbers itself. When they are sent is left to `resequence.rs` and `plane/recover.rs`.

use super::header::{URGENT, number, row_number, stream_of};
use super::{FrameError, Kind, Raw, append};
use crate::codec::{self, Decode, Encode};
use crate::mesh::resequence::{RANGES_MAX, Range};
use bincode::error::DecodeError;

/// Asks an origin for frames that are missing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Ask {
    /// Index of the origin.
    pub to: u32,
    /// How many more links the frame may pass.
    pub hops: u8,
    /// Index of the destination that asks.
    pub from: u32,
    /// The life of the destination.
    pub life: u16,
    /// The boot epoch of the origin that the numbers count in.
    pub boot: u64,
    /// Which of the origin's rows.
    pub row: u8,
    /// Which numbers; at most [`RANGES_MAX`] ranges.
    pub ranges: Vec<Range>,
}

/// Tells a destination how far its row goes, and what of it the origin no longer has.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Mark {
    /// Index of the destination.
    pub to: u32,
    /// How many more links the frame may pass.
    pub hops: u8,
    /// Index of the origin.
    pub origin: u32,
    /// The boot epoch of the origin.
    pub boot: u64,
    /// The life of the destination that the row is for.
    pub life: u16,
    /// Which of the origin's rows.
    pub row: u8,
    /// The last number that was given.
    pub last: u64,
    /// What was asked for and is gone; at most [`RANGES_MAX`] ranges.
    pub gone: Vec<Range>,
}

/// One of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepairFrame {
    /// A question.
    Ask(Ask),
    /// An answer, or news.
    Mark(Mark),
}

impl RepairFrame {
    /// Index of the node that it goes to.
    #[must_use]
    pub fn to(&self) -> u32 {
        match self {
            Self::Ask(Ask { to, .. }) | Self::Mark(Mark { to, .. }) => *to,
        }
    }

    /// The stream that it goes in. What is told of a row comes after what was sent in that row; questions do not wait for it.
    #[must_use]
    pub fn stream(&self) -> u8 {
        match self {
            Self::Ask(_) => URGENT,
            Self::Mark(mark) => stream_of(mark.origin, mark.row),
        }
    }

    /// How many more links it may pass.
    pub fn hops_mut(&mut self) -> &mut u8 {
        match self {
            Self::Ask(Ask { hops, .. }) | Self::Mark(Mark { hops, .. }) => hops,
        }
    }

    /// Appends the whole frame: length, kind and record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ask(ask) => append(Kind::Ask, out, |out| codec::encode_into(ask, out)),
            Self::Mark(mark) => append(Kind::Mark, out, |out| codec::encode_into(mark, out)),
        }
    }

    /// Decodes a frame.
    ///
    /// # Errors
    /// [`FrameError`]: the peer broke the protocol.
    pub fn decode(raw: Raw<'_>) -> Result<Self, FrameError> {
        let Raw { kind, payload } = raw;
        let frame = match kind {
            Kind::Ask => codec::decode(payload).map(Self::Ask),
            Kind::Mark => codec::decode(payload).map(Self::Mark),
            _ => return Err(FrameError::Misplaced(kind)),
        };
        let frame = frame.map_err(|error| FrameError::Record { kind, error })?;
        frame.check().map_err(|error| FrameError::Record { kind, error: error.into() })?;
        Ok(frame)
    }

    fn check(&self) -> Result<(), DecodeError> {
        let (row, ranges) = match self {
            Self::Ask(ask) => (ask.row, &ask.ranges),
            // In a row of which nothing was given yet the last number is 0.
            Self::Mark(mark) => {
                number(mark.last.max(1))?;
                (mark.row, &mark.gone)
            }
        };
        row_number(row)?;
        if ranges.len() > RANGES_MAX {
            return Err(DecodeError::Other("more ranges of numbers than allowed"));
        }
        ranges.iter().try_for_each(|(first, last)| number(*first).and(number(*last)).map(drop))
    }
}
