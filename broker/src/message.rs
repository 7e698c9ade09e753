//! One message on its way through the broker, and who may still take it.
//!
//! Everything here is borrowed: a message lives in the buffer that it was read into until it has been copied
//! to the sockets and links that want it.

/// A published message, borrowed from the buffer that it arrived in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The subject, without blanks; any other bytes, as NATS allows them.
    pub subject: &'a [u8],
    /// Where an answer is wanted.
    pub reply: Option<&'a [u8]>,
    /// Bytes of `body` that are the header block; 0 when there is none.
    pub header_len: usize,
    /// The header block, then the payload.
    pub body: &'a [u8],
}

/// Names a real NATS server (or cluster of them) that some node of the lattice is a leaf of.
///
/// A message that came from an upstream carries its id and is never handed back to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamId(pub u64);

/// The cluster that a leaf node says it belongs to, by a number made of its name.
///
/// What one member of a cluster sends is never handed to another: these have ways of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u64);

/// Which queue groups may still take a message. Plain subscriptions always do.
#[derive(Clone, Copy, Debug)]
pub enum Groups<'a> {
    /// One member of each matching group: what a client's publish means.
    Any,
    /// One member of each group named here, and no other group: the choice was made upstream or at the origin.
    Only(&'a [Pick<'a>]),
    /// One member of each group named here and nobody else: another than the member that is named, which has handed the
    /// message back, unless there is no other by now. A group that is named twice gets it once.
    Again(&'a [Pick<'a>]),
}

/// A queue group for which a taker has been chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick<'a> {
    /// The queue group's name.
    pub group: &'a [u8],
    /// The member that was chosen: a node's index on the mesh. Of no meaning in what arrives from a leaf link.
    pub member: u32,
    /// Set when the chosen member is not a client of that node but its upstream server.
    pub via: Option<UpstreamId>,
    /// It was chosen in the place of a member that has handed the message back, and there is no third choice.
    pub again: bool,
}
