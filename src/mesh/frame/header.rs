//! The header of a data frame: where the message has yet to go, and what is needed there.
//!
//! It borrows from the buffer that the frame was read into. A hop decodes it, groups the destinations by next hop,
//! and writes one frame for each: [`DataHeader::subset`] keeps what concerns them.

use super::{FrameError, HEADER_MAX, Kind, append};
use crate::codec::{self, BorrowDecode, Encode};
use bincode::de::{BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use smallvec::SmallVec;

/// Most destinations of one frame: as many as a database has nodes.
pub const DESTINATIONS_MAX: usize = 4096;
/// Most queue groups of one frame; the origin drops those beyond, and counts them.
pub const PICKS_MAX: usize = 256;
/// Longest subject and reply subject in bytes.
pub const SUBJECT_MAX: usize = 64 << 10;
/// Longest name of an account and of a queue group in bytes.
pub const NAME_MAX: usize = 4 << 10;

/// Rows of numbers that an origin has for each destination. A publisher's messages are all in the same one.
pub const ROWS: u8 = 8;
/// Data streams that a link has in each direction, at most: one for what is in no row, and one for each row of an origin.
pub const STREAMS: usize = 1 + ROWS as usize;
/// The stream for what is in no row.
pub const URGENT: u8 = 0;

/// The stream that a row of an origin is in, on every link. Rows of one origin are in different streams.
#[must_use]
pub fn stream_of(origin: u32, row: u8) -> u8 {
    // Less than the number of rows, which is a `u8`.
    1 + (origin.wrapping_add(u32::from(row)) % u32::from(ROWS)) as u8
}

/// Greatest number in a row: at a billion messages a second it is reached after nine years.
pub const SEQ_MAX: u64 = 1 << 58;

/// Class of a frame that is dropped when in doubt: somebody else answers for the message.
const AT_MOST_ONCE: u8 = 0;
/// Class of a frame that is kept until the next hop has taken it, and routed again when that does not happen.
pub const CUSTODY: u8 = 1;
/// Class of a copy of such a frame. It is dropped when in doubt, but for one thing: it may be copied once more.
const COPY: u8 = 2;

/// Bits of the class that say which class it is; the others are marks.
const CLASS: u8 = 3;
/// Mark of a message that goes back to its origin: its queue groups have no members at its destination any more.
const RETURNED: u8 = 4;
/// Mark of a message whose queue groups' members were chosen a second time.
const CHOSEN_AGAIN: u8 = 8;

/// Tag of a set of destinations that is written out. Another tag will stand for a set that the link has a name for.
const SET_LISTED: u8 = 0;

/// A message on its way between nodes, without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataHeader<'a> {
    /// Class of service: [`CUSTODY`], 2 for a copy of such a frame, 0 for what is dropped when in doubt; and marks.
    pub class: u8,
    /// Index of the node that the message entered the mesh at.
    pub origin: u32,
    /// That node's boot epoch: sequence numbers count within it.
    pub boot: u64,
    /// Reserved for areas: 0.
    pub area: u16,
    /// Reserved for areas: 0.
    pub part: u16,
    /// How many more links the frame may pass.
    pub hops: u8,
    /// Which of the origin's rows the numbers of the destinations are of; less than [`ROWS`].
    pub row: u8,
    /// The nodes that have yet to get it; at most [`DESTINATIONS_MAX`].
    pub destinations: SmallVec<[Destination; 4]>,
    /// The members chosen for queue groups; at most [`PICKS_MAX`].
    pub picks: SmallVec<[Target<'a>; 4]>,
    /// The upstream that the message came from: it must not go back there.
    pub via: Option<u64>,
    /// Index of the node whose client waits for the reply; 0 when none does.
    pub reply_home: u32,
    /// The account.
    pub account: &'a [u8],
    /// The subject.
    pub subject: &'a [u8],
    /// Where an answer is wanted.
    pub reply: Option<&'a [u8]>,
    /// Bytes of the body that are the message's header block.
    pub header_len: u32,
}

/// A node that a frame goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Its index.
    pub index: u32,
    /// Number of the message in that row from the origin to this node…
    pub seq: u64,
    /// …in the life of it that goes by this short name.
    pub life: u16,
}

/// A queue group and the member that was chosen to take the message for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The queue group's name.
    pub group: &'a [u8],
    /// Position in [`DataHeader::destinations`] of the node that takes it.
    pub position: u16,
    /// Set when it is not a client of that node but its upstream server.
    pub via: Option<u64>,
}

impl<'a> DataHeader<'a> {
    /// Appends the whole frame: length, kind, this header, and `body`.
    ///
    /// The limits on the lists are the caller's to keep; a peer refuses a frame that exceeds them.
    pub fn encode(&self, body: &[u8], out: &mut Vec<u8>) {
        out.reserve(64 + self.destinations.len() * 14 + self.subject.len() + body.len());
        append(Kind::Data, out, |out| {
            codec::encode_into(self, out);
            out.extend_from_slice(body);
        });
    }

    /// Decodes a data frame's payload into header and body.
    ///
    /// # Errors
    /// [`FrameError`]: the peer broke the protocol.
    pub fn decode(payload: &'a [u8]) -> Result<(Self, &'a [u8]), FrameError> {
        let (header, body): (Self, _) =
            codec::decode_prefix(payload).map_err(|error| FrameError::Record { kind: Kind::Data, error })?;
        let len = payload.len() - body.len();
        if len > HEADER_MAX {
            return Err(FrameError::TooLong { kind: Kind::Data, len, max: HEADER_MAX });
        }
        if header.header_len as usize > body.len() {
            return Err(FrameError::HeaderLength { header_len: header.header_len as usize, body_len: body.len() });
        }
        Ok((header, body))
    }

    /// Whether whoever has the frame answers for it until the next hop has taken it.
    #[must_use]
    pub fn has_custody(&self) -> bool {
        !matches!(self.class & CLASS, AT_MOST_ONCE | COPY)
    }

    /// Class of a copy of this frame, if it may be copied. Were there no end to copies of copies, each suspicion of a link
    /// on their way would double them.
    #[must_use]
    pub fn copy_class(&self) -> Option<u8> {
        let marks = self.class & !CLASS;
        match self.class & CLASS {
            AT_MOST_ONCE => None,
            COPY => Some(AT_MOST_ONCE | marks),
            _ => Some(COPY | marks),
        }
    }

    /// The class of a message that is handed back.
    #[must_use]
    pub fn returned() -> u8 {
        CUSTODY | RETURNED
    }

    /// The class of a message whose members were chosen a second time.
    #[must_use]
    pub fn chosen_again() -> u8 {
        CUSTODY | CHOSEN_AGAIN
    }

    /// Whether the message was handed back, and this is its origin.
    #[must_use]
    pub fn is_returned(&self) -> bool {
        self.class & RETURNED != 0
    }

    /// Whether a destination may hand the message back: once is enough.
    #[must_use]
    pub fn may_return(&self) -> bool {
        self.class & (RETURNED | CHOSEN_AGAIN) == 0
    }

    /// The same message for the destinations at `positions` alone, which are in ascending order, and their picks.
    #[must_use]
    pub fn subset(&self, positions: &[usize]) -> Self {
        let destinations = positions.iter().filter_map(|&p| self.destinations.get(p).copied()).collect();
        let picks = self.picks.iter().filter_map(|pick| {
            let position = positions.binary_search(&usize::from(pick.position)).ok()?;
            Some(Target { position: u16::try_from(position).ok()?, ..*pick })
        });
        Self { destinations, picks: picks.collect(), ..*self }
    }

    /// The queue groups that the destination at `position` was chosen for.
    pub fn picks_of(&self, position: usize) -> impl Iterator<Item = &Target<'a>> {
        self.picks.iter().filter(move |pick| usize::from(pick.position) == position)
    }
}

impl Encode for DataHeader<'_> {
    fn encode<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
        (self.class, self.origin, self.boot, self.area, self.part, self.hops, self.row).encode(to)?;
        SET_LISTED.encode(to)?;
        self.destinations.len().encode(to)?;
        for destination in &self.destinations {
            (destination.index, destination.seq, destination.life.to_le_bytes()).encode(to)?;
        }
        self.picks.len().encode(to)?;
        for pick in &self.picks {
            (pick.group, pick.position, pick.via).encode(to)?;
        }
        (self.via, self.reply_home, self.account, self.subject, self.reply, self.header_len).encode(to)
    }
}

impl<'a, C> BorrowDecode<'a, C> for DataHeader<'a> {
    fn borrow_decode<D: BorrowDecoder<'a, Context = C>>(from: &mut D) -> Result<Self, DecodeError> {
        let (class, origin, boot, area, part, hops, row) = BorrowDecode::borrow_decode(from)?;
        let row = row_number(row)?;
        if u8::borrow_decode(from)? != SET_LISTED {
            return Err(DecodeError::Other("a set of destinations that is not listed"));
        }
        let count = bounded_count(from, DESTINATIONS_MAX)?;
        let mut destinations = SmallVec::with_capacity(count);
        for _ in 0..count {
            let (index, seq, life): (_, _, [u8; 2]) = BorrowDecode::borrow_decode(from)?;
            destinations.push(Destination { index, seq: number(seq)?, life: u16::from_le_bytes(life) });
        }
        let mut picks = SmallVec::new();
        for _ in 0..bounded_count(from, PICKS_MAX)? {
            let (group, position, via) = BorrowDecode::borrow_decode(from)?;
            if usize::from(position) >= count {
                return Err(DecodeError::Other("a queue group picked for no destination"));
            }
            picks.push(Target { group: bounded(group, NAME_MAX)?, position, via });
        }
        let (via, reply_home, account, subject, reply, header_len) = BorrowDecode::borrow_decode(from)?;
        let account = bounded(account, NAME_MAX)?;
        let subject = bounded(subject, SUBJECT_MAX)?;
        let reply: Option<&[u8]> = reply;
        let reply = reply.map(|reply| bounded(reply, SUBJECT_MAX)).transpose()?;
        Ok(Self {
            class,
            origin,
            boot,
            area,
            part,
            hops,
            row,
            destinations,
            picks,
            via,
            reply_home,
            account,
            subject,
            reply,
            header_len,
        })
    }
}

fn bounded_count<D: Decoder>(from: &mut D, max: usize) -> Result<usize, DecodeError> {
    match bincode::Decode::decode(from)? {
        count if count > max => Err(DecodeError::Other("a list longer than allowed")),
        count => Ok(count),
    }
}

/// A row that an origin may have.
pub(super) fn row_number(row: u8) -> Result<u8, DecodeError> {
    if row < ROWS { Ok(row) } else { Err(DecodeError::Other("a row that no origin has")) }
}

/// A number that an origin may have given: sums of these and of differences between them never overflow.
pub(super) fn number(seq: u64) -> Result<u64, DecodeError> {
    if (1..=SEQ_MAX).contains(&seq) { Ok(seq) } else { Err(DecodeError::Other("a number that no origin gives")) }
}

fn bounded(text: &[u8], max: usize) -> Result<&[u8], DecodeError> {
    if text.len() > max { Err(DecodeError::Other("a name longer than allowed")) } else { Ok(text) }
}
