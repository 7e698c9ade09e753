//! The records that nodes exchange to agree on who there is and who wants what.
//!
//! None of them is on the way of a message, so they own their parts. When each is sent is left to the control plane.

use super::{FrameError, Kind, LENGTH, Raw, append, payload};
use crate::codec::{self, Decode, Encode};
use crate::identity::{News, Revocation};
use crate::mesh::id::NodeId;
use crate::mesh::interest::{Change, Key};
use bytes::Bytes;
use std::sync::Arc;

/// The version of the link protocol, exchanged in [`Hello`]; links need the same.
pub const PROTOCOL: u16 = 4;
/// Bits of [`Hello::features`] that this version has.
pub const FEATURES: u64 = super::TRACE | SUCCESSION;
/// The bit of those that take [`ControlFrame::Succession`].
pub const SUCCESSION: u64 = 2;

/// What one node tells another about the lattice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlFrame {
    /// Who is there; the first frame in both directions.
    Hello(Hello),
    /// Why the link ends; nothing follows it.
    Goodbye(Goodbye),
    /// A signed announcement, as its node wrote it.
    Lsa(Vec<u8>),
    /// Changes of one node's interest: see [`ControlFrame::delta`].
    Delta(Changes),
    /// A part of all of one node's interest.
    Snapshot(Snapshot),
    /// What the sender knows; the receiver pulls what is newer than its own.
    Summary(Vec<Known>),
    /// What the sender lacks.
    Pull(Vec<Want>),
    /// Digest of the nodes and versions that the sender knows and can reach.
    Digest(u64),
    /// The link is up.
    Welcome,
    /// Who is a member no more.
    Revoked(Vec<Revocation>),
    /// Who is one.
    Members(Members),
    /// How the root key was replaced, and who stays revoked of before.
    Succession(News),
}

/// What one node tells another about who is a member.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Members {
    /// For each bucket the sum of the ids of the chains that the sender knows; an id's highest bits say which it is in.
    Digests(Vec<u64>),
    /// The chains in one bucket that the sender knows, which asks for the others.
    Have {
        /// Which bucket.
        bucket: u8,
        /// The ids.
        ids: Vec<u64>,
    },
    /// Chains.
    Chains(Vec<Told>),
}

/// A chain by which somebody is a member.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Told {
    /// The first eight bytes of its last signature: whoever has it already need not read on.
    pub id: u64,
    /// Its warrants, as a record of their own.
    pub warrants: Vec<u8>,
}

/// Introduces a node to its neighbour.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// [`PROTOCOL`] of the sender.
    pub protocol: u16,
    /// Its key; the link's handshake has proven it.
    pub node: NodeId,
    /// Its name, for people.
    pub name: String,
    /// Its boot epoch: greater after every start.
    pub boot: u64,
    /// The lattice: hash of its root key.
    pub lattice: [u8; 32],
    /// Optional abilities, one bit each; unknown bits are ignored.
    pub features: u64,
    /// True while the sender has another link to the receiver that it holds for good.
    pub has_link: bool,
}

/// Ends a link.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Goodbye {
    /// Why, for people.
    pub reason: String,
}

/// Changes of one node's interest, each of which is one step of its version.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Delta {
    /// Whose interest.
    pub node: NodeId,
    /// The boot epoch that the versions count in.
    pub boot: u64,
    /// The version that the changes apply to; they lead to this one plus their number.
    pub from: u64,
    /// The changes, oldest first.
    pub changes: Vec<Change>,
}

/// A [`Delta`] as it came. A node gets several copies of most, so that the changes are read only when one of them is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Whose interest.
    pub node: NodeId,
    /// The boot epoch that the versions count in.
    pub boot: u64,
    /// The version that the changes apply to.
    pub from: u64,
    /// How many there are.
    pub len: u64,
    record: Vec<u8>,
}

impl Changes {
    fn read(record: &[u8]) -> Result<Self, codec::DecodeError> {
        // What a delta begins with: its parts, and how many elements its last one has.
        let ((node, boot, from, len), _) = codec::decode_prefix(record)?;
        Ok(Self { node, boot, from, len, record: record.to_vec() })
    }

    /// Reads the changes.
    ///
    /// # Errors
    /// [`FrameError`]: the peer broke the protocol.
    pub fn open(&self) -> Result<Delta, FrameError> {
        codec::decode(&self.record).map_err(|error| FrameError::Record { kind: Kind::Delta, error })
    }
}

/// A part of all of one node's interest, in the order of the entries.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Snapshot {
    /// Whose interest.
    pub node: NodeId,
    /// The boot epoch that the version counts in.
    pub boot: u64,
    /// The version at the time of sending. Later parts may have a later one.
    pub version: u64,
    /// True for the first part.
    pub first: bool,
    /// Entries that follow those of the part before.
    pub entries: Vec<Change>,
    /// What comes after this part.
    pub more: More,
}

/// What follows a part of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum More {
    /// The next part, without being asked for.
    Next,
    /// Nothing until the receiver asks for what follows the last entry.
    Ask,
    /// Nothing: this was all.
    End,
}

/// What the sender knows about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Known {
    /// The node.
    pub node: NodeId,
    /// Boot epoch of its announcement, and of its interest.
    pub boot: u64,
    /// Sequence number of its announcement.
    pub seq: u64,
    /// Version of its interest; 0 when none is known.
    pub interest: u64,
}

/// What the sender lacks about a node.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Want {
    /// The node.
    pub node: NodeId,
    /// Its announcement.
    pub lsa: bool,
    /// Its interest.
    pub interest: Option<WantInterest>,
}

/// Which part of a node's interest the sender lacks.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct WantInterest {
    /// The boot epoch of what it has.
    pub boot: u64,
    /// The version that it has, when the changes from there on will do; `None` asks for the whole set.
    pub have: Option<u64>,
    /// The last entry of the parts of a snapshot that it has already.
    pub after: Option<Arc<Key>>,
}

impl ControlFrame {
    /// Changes of one node's interest.
    #[must_use]
    pub fn delta(delta: &Delta) -> Self {
        let &Delta { node, boot, from, ref changes } = delta;
        Self::Delta(Changes { node, boot, from, len: changes.len() as u64, record: codec::encode(delta) })
    }

    /// What the frame is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Hello(_) => Kind::Hello,
            Self::Goodbye(_) => Kind::Goodbye,
            Self::Lsa(_) => Kind::Lsa,
            Self::Delta(_) => Kind::Delta,
            Self::Snapshot(_) => Kind::Snapshot,
            Self::Summary(_) => Kind::Summary,
            Self::Pull(_) => Kind::Pull,
            Self::Digest(_) => Kind::Digest,
            Self::Welcome => Kind::Welcome,
            Self::Revoked(_) => Kind::Revoked,
            Self::Members(_) => Kind::Members,
            Self::Succession(_) => Kind::Succession,
        }
    }

    /// The whole frame: length, kind and record.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        // What is flooded the most fits exactly.
        let mut out = match self {
            Self::Lsa(record) | Self::Delta(Changes { record, .. }) => Vec::with_capacity(LENGTH + 1 + record.len()),
            _ => Vec::new(),
        };
        append(self.kind(), &mut out, |out| match self {
            Self::Hello(hello) => codec::encode_into(hello, out),
            Self::Goodbye(goodbye) => codec::encode_into(goodbye, out),
            Self::Lsa(signed) => out.extend_from_slice(signed),
            Self::Delta(changes) => out.extend_from_slice(&changes.record),
            Self::Snapshot(snapshot) => codec::encode_into(snapshot, out),
            Self::Summary(known) => codec::encode_into(known, out),
            Self::Pull(wants) => codec::encode_into(wants, out),
            Self::Digest(digest) => codec::encode_into(digest, out),
            Self::Welcome => codec::encode_into(&(), out),
            Self::Revoked(revocations) => codec::encode_into(revocations, out),
            Self::Members(members) => codec::encode_into(members, out),
            Self::Succession(news) => codec::encode_into(news, out),
        });
        out.into()
    }

    /// The payload of a whole frame, as [`ControlFrame::encode`] makes it.
    ///
    /// # Panics
    /// When `frame` is shorter than any frame.
    #[must_use]
    pub fn payload(frame: &[u8]) -> &[u8] {
        payload(frame)
    }

    /// Decodes a frame.
    ///
    /// # Errors
    /// [`FrameError`]: the peer broke the protocol.
    pub fn decode(raw: Raw<'_>) -> Result<Self, FrameError> {
        let Raw { kind, payload } = raw;
        let frame = match kind {
            Kind::Hello => codec::decode(payload).map(Self::Hello),
            Kind::Goodbye => codec::decode(payload).map(Self::Goodbye),
            Kind::Lsa => Ok(Self::Lsa(payload.to_vec())),
            Kind::Delta => Changes::read(payload).map(Self::Delta),
            Kind::Snapshot => codec::decode(payload).map(Self::Snapshot),
            Kind::Summary => codec::decode(payload).map(Self::Summary),
            Kind::Pull => codec::decode(payload).map(Self::Pull),
            Kind::Digest => codec::decode(payload).map(Self::Digest),
            Kind::Welcome => codec::decode::<()>(payload).map(|()| Self::Welcome),
            Kind::Revoked => codec::decode(payload).map(Self::Revoked),
            Kind::Members => codec::decode(payload).map(Self::Members),
            Kind::Succession => codec::decode(payload).map(Self::Succession),
            Kind::Data | Kind::Ask | Kind::Mark | Kind::Probe | Kind::Report => {
                return Err(FrameError::Misplaced(kind));
            }
        };
        frame.map_err(|error| FrameError::Record { kind, error })
    }
}
