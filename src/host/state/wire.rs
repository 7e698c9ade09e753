//! What the copies of the records say to each other, and how long it may be.
//!
//! News and digests go to all; a repair is between two: one asks what the other has ([`Message::Compare`],
//! [`Message::Summary`]), and then both give what the other lacks ([`Message::Trade`], [`Message::Records`]). Who answers
//! keeps nothing in mind: every question says all that the answer needs.

use super::record::Entry;
use super::replica::BUCKETS;
use crate::codec::{self, Decode, DecodeError, Encode};
use crate::identity::NodeId;

/// Bytes of records in one message, at most; one record alone may be of more than is left.
pub const RECORDS_BYTES_MAX: usize = 24 << 10;
/// Lines of a summary, and hashes that one message asks for, at most.
pub const LINES_MAX: usize = 1024;
/// Bytes of a message, at most: longer ones are not looked at.
pub const PACKET_MAX: usize = 48 << 10;

/// A message, with who sends it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Packet {
    /// Who.
    pub from: NodeId,
    /// Which of its repairs this belongs to: an answer says the number of its question.
    pub round: u32,
    /// What it says.
    pub message: Message,
}

/// What one says to another, or to all.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Message {
    /// This was written just now.
    News(Vec<Entry>),
    /// What all of the sender's records come to.
    Digest(u64),
    /// What do you have in those buckets in which we differ, from that hash on?
    Compare {
        /// The digests of the asker's buckets, [`BUCKETS`] of them.
        buckets: Vec<u64>,
        /// The first hash to speak of.
        from: u64,
    },
    /// That.
    Summary(Summary),
    /// Take these, and give me those.
    Trade {
        /// Records that the other lacks.
        give: Vec<Entry>,
        /// Hashes of keys of which the asker wants the records.
        want: Vec<u64>,
    },
    /// Here are some of them; the others are to be asked for again. None when none of them is here.
    Records(Vec<Entry>),
}

/// What a node has, of a range of hashes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Summary {
    /// The first hash that it speaks of, and the last one: all that is there and differs is named.
    pub from: u64,
    /// As above.
    pub to: u64,
    /// The buckets in which the two differed: a bit for each, the first one lowest. It says nothing of others.
    pub differing: u64,
    /// What it has there, in the order of the hashes.
    pub lines: Vec<Line>,
}

/// A record without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Line {
    /// The hash of its key.
    pub hash: u64,
    /// Its stamp's time.
    pub wall_ms: u64,
    /// As above.
    pub count: u32,
    /// What tells it from others of that time.
    pub tie: u64,
}

const _: () = assert!(BUCKETS == u64::BITS as usize, "a summary has a bit for each bucket");

/// Bytes that are no packet.
#[derive(Debug, thiserror::Error)]
pub enum BadPacket {
    /// More than anybody sends.
    #[error("a packet of {len} bytes exceeds {PACKET_MAX}")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// Not in the form of one.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

impl Packet {
    /// The packet as it is sent.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a packet.
    ///
    /// # Errors
    /// [`BadPacket`]: whoever sent it is at fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadPacket> {
        if bytes.len() > PACKET_MAX {
            return Err(BadPacket::TooLong { len: bytes.len() });
        }
        Ok(codec::decode(bytes)?)
    }
}

impl Line {
    /// The line of an entry whose key has that hash.
    #[must_use]
    pub fn of(hash: u64, entry: &Entry) -> Self {
        let record = &entry.record;
        Self { hash, wall_ms: record.stamp.wall_ms, count: record.stamp.count, tie: record.tie() }
    }
}

/// As many of `entries`, from the first on, as one message may hold; at least one.
pub fn within<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Entry> {
    let mut bytes = 0;
    let fits = entries.take_while(|entry| {
        bytes += entry.size();
        bytes <= RECORDS_BYTES_MAX
    });
    fits.cloned().collect()
}
