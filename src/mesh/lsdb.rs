//! The link-state database: the newest announcement of every node that is known.
//!
//! It checks, orders, bounds and ages announcements. Where they are sent is left to the control plane, and what the
//! graph that they form means to the shortest paths.

use super::announcement::{Announcement, Shelf};
use super::client_urls::OWN_MAX;
use super::id::NodeId;
use super::spf::COST;
use crate::codec::{self, Decode, Encode};
use crate::identity::check_name;
use crate::nats_url::is_host_port;
use crate::planted::{self, Bug};
use bincode::de::{BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bytes::Bytes;
use ring::signature::{ED25519, UnparsedPublicKey};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// Most neighbours that a node announces.
pub const ADJACENCY_MAX: usize = 256;
/// Most addresses that a node announces.
pub const ADDRESSES_MAX: usize = 16;
/// Most upstreams that a node announces.
pub const UPSTREAMS_MAX: usize = 64;
const SIGNATURE: usize = 64;
/// What is signed begins with this, so that no other record of the same key can stand for an announcement.
const CONTEXT: &[u8] = b"lattice announcement 1\0";

/// What a node announces about itself.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Lsa {
    /// Whose announcement.
    pub node: NodeId,
    /// Reserved for areas: 0.
    pub area: u16,
    /// Reserved for areas: 0.
    pub part: u16,
    /// The number that frames name the node with; never 0.
    pub index: u32,
    /// Greater after every start.
    pub boot: u64,
    /// Greater with every announcement of the same boot epoch.
    pub seq: u64,
    /// For people, who see it as it is: without blanks and control characters.
    pub name: String,
    /// Its neighbours in ascending order, with the cost of the link to each.
    pub adjacency: Vec<(NodeId, u32)>,
    /// Where it can be dialled.
    pub addresses: Vec<Address>,
    /// The upstreams that it can serve, in ascending order.
    pub upstreams: Vec<u64>,
    /// A version of its interest, not always the newest…
    pub interest_version: u64,
    /// …and the digest at that version, by which a copy is checked.
    pub interest_digest: u64,
    /// Where NATS clients can connect to it, each as `host:port`.
    pub clients: Vec<String>,
}

/// A socket address on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(pub SocketAddr);

impl Encode for Address {
    fn encode<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
        match self.0 {
            SocketAddr::V4(addr) => (4u8, addr.ip().octets(), addr.port()).encode(to),
            SocketAddr::V6(addr) => (6u8, addr.ip().octets(), addr.port()).encode(to),
        }
    }
}

impl<C> Decode<C> for Address {
    fn decode<D: Decoder<Context = C>>(from: &mut D) -> Result<Self, DecodeError> {
        match u8::decode(from)? {
            4 => <([u8; 4], u16)>::decode(from).map(|addr| Self(addr.into())),
            6 => <([u8; 16], u16)>::decode(from).map(|addr| Self(addr.into())),
            _ => Err(DecodeError::Other("an address of an unknown family")),
        }
    }
}

impl<'a, C> codec::BorrowDecode<'a, C> for Address {
    fn borrow_decode<D: BorrowDecoder<'a, Context = C>>(from: &mut D) -> Result<Self, DecodeError> {
        Self::decode(from)
    }
}

/// Signs with a node's key, wherever that is kept.
pub trait Signer: Send + Sync {
    /// The Ed25519 signature of `message`.
    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE];
}

impl<F: Fn(&[u8]) -> [u8; SIGNATURE] + Send + Sync> Signer for F {
    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE] {
        self(message)
    }
}

impl fmt::Debug for dyn Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

/// An announcement that no honest node would have passed on.
#[derive(Debug, thiserror::Error)]
pub enum LsaError {
    /// Not an announcement at all.
    #[error("announcement: {0}")]
    Record(#[from] codec::DecodeError),
    /// Too short to be signed.
    #[error("announcement without a signature")]
    Unsigned,
    /// Not written by the node that it speaks of.
    #[error("announcement of {0:?} with a wrong signature")]
    Signature(NodeId),
    /// It exceeds a limit, or its lists are not in order.
    #[error("announcement of {node:?} with {what}")]
    Content {
        /// Whose it is.
        node: NodeId,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl Lsa {
    /// The announcement as it is sent: record, then signature.
    #[must_use]
    pub fn sign(&self, signer: &dyn Signer) -> Vec<u8> {
        let mut message = CONTEXT.to_vec();
        codec::encode_into(self, &mut message);
        let signature = signer.sign(&message);
        message.drain(..CONTEXT.len());
        message.extend_from_slice(&signature);
        message
    }

    /// Decodes a signed announcement and checks what is cheap to check. It is not trusted before [`Lsa::verify`].
    ///
    /// # Errors
    /// [`LsaError`]: the peer that sent it broke the protocol.
    pub fn decode(signed: &[u8]) -> Result<Self, LsaError> {
        let (record, _) = signed.split_last_chunk::<SIGNATURE>().ok_or(LsaError::Unsigned)?;
        let lsa: Self = codec::decode(record)?;
        match lsa.flaw() {
            None => Ok(lsa),
            Some(what) => Err(LsaError::Content { node: lsa.node, what }),
        }
    }

    /// Whose announcement this would be; nothing when it is too short for any.
    #[must_use]
    pub fn node_of(signed: &[u8]) -> Option<NodeId> {
        // The node is the record's first field, after its version.
        signed.get(1..33)?.try_into().ok().map(NodeId)
    }

    /// Checks that its node has signed it.
    ///
    /// # Errors
    /// [`LsaError::Signature`] when it has not.
    pub fn verify(&self, signed: &[u8]) -> Result<(), LsaError> {
        let (record, signature) = signed.split_last_chunk::<SIGNATURE>().ok_or(LsaError::Unsigned)?;
        let message = [CONTEXT, record].concat();
        UnparsedPublicKey::new(&ED25519, self.node.0)
            .verify(&message, signature)
            .map_err(|_| LsaError::Signature(self.node))
    }

    /// Which of two announcements of a node is newer.
    #[must_use]
    pub fn age(&self) -> (u64, u64) {
        (self.boot, self.seq)
    }

    fn flaw(&self) -> Option<&'static str> {
        let limits = [
            (check_name(&self.name).is_err(), "a name that cannot be one"),
            (self.index == 0, "index 0"),
            (self.adjacency.len() > ADJACENCY_MAX, "too many neighbours"),
            (self.addresses.len() > ADDRESSES_MAX, "too many addresses"),
            (self.upstreams.len() > UPSTREAMS_MAX, "too many upstreams"),
            (self.clients.len() > OWN_MAX, "too many addresses for clients"),
            (!self.clients.iter().all(|url| is_host_port(url)), "an address for clients that cannot be one"),
            (!self.adjacency.is_sorted_by(|a, b| a.0 < b.0), "neighbours out of order"),
            (self.adjacency.iter().any(|(_, cost)| !COST.contains(cost)), "a cost out of range"),
            (!self.upstreams.is_sorted_by(|a, b| a < b), "upstreams out of order"),
        ];
        limits.into_iter().find_map(|(broken, what)| broken.then_some(what))
    }
}

/// The index that a node's key leads to; `salt` counts the ones that were taken.
#[must_use]
pub fn derive_index(node: NodeId, salt: u32) -> u32 {
    let input = [&node.0[..], &salt.to_le_bytes()].concat();
    let hash = ring::digest::digest(&ring::digest::SHA256, &input);
    let bytes = hash.as_ref().first_chunk().expect("the hash has 32 bytes");
    u32::from_le_bytes(*bytes).max(1)
}

/// A node in the database.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its newest announcement.
    pub announcement: Arc<Announcement>,
    /// Since when no path to it is known.
    pub unreachable_since: Option<Instant>,
    /// The links, a bit each, that its news need not cross, as the peers have them from elsewhere.
    pub idle: u64,
}

impl Entry {
    /// Its newest announcement, decoded.
    #[must_use]
    pub fn lsa(&self) -> &Lsa {
        self.announcement.lsa()
    }

    /// The same as it is sent to neighbours.
    #[must_use]
    pub fn frame(&self) -> Bytes {
        self.announcement.frame()
    }
}

/// What became of an announcement.
#[derive(Debug, PartialEq, Eq)]
pub enum Ingest {
    /// It is in the database now.
    New {
        /// Whose it is.
        node: NodeId,
        /// What was known before.
        before: Option<Arc<Announcement>>,
        /// Who had to make room for it.
        evicted: Option<NodeId>,
    },
    /// It speaks of this node, and is newer than what this node has said: nothing has changed.
    Own {
        /// The boot epoch in it.
        boot: u64,
        /// The sequence number in it.
        seq: u64,
    },
    /// It was known.
    Known(NodeId),
    /// A newer one of this node is known.
    Old(NodeId),
    /// There is no room for another node.
    Full,
}

/// The newest announcement of each node.
#[derive(Debug)]
pub struct Lsdb {
    me: NodeId,
    nodes_max: usize,
    shelf: Arc<dyn Shelf>,
    /// Since when the node that has been out of reach the longest is so: asked after every event.
    oldest_unreachable: Option<Instant>,
    nodes: BTreeMap<NodeId, Entry>,
}

impl Lsdb {
    /// A database of `me`, for at most `nodes_max` nodes, itself included, whose announcements stand on `shelf`.
    #[must_use]
    pub fn new(me: NodeId, nodes_max: usize, shelf: Arc<dyn Shelf>) -> Self {
        Self { me, nodes_max, shelf, oldest_unreachable: None, nodes: BTreeMap::new() }
    }

    /// Takes in an announcement that a neighbour has sent.
    ///
    /// When the database is full, the node that has been out of reach the longest makes room; when all are within
    /// reach, the new one is refused.
    ///
    /// # Errors
    /// [`LsaError`]: the neighbour broke the protocol.
    pub fn ingest(&mut self, now: Instant, signed: &[u8]) -> Result<Ingest, LsaError> {
        let announcement = self.shelf.read(signed)?;
        let lsa = announcement.lsa();
        let node = lsa.node;
        let known = self.nodes.get(&node);
        if let Some(known) = known {
            // Two processes with one key may say different things under one number: that is for the node to settle.
            let same = known.lsa().age() == lsa.age() && (node != self.me || known.announcement.signed() == signed);
            if same {
                return Ok(Ingest::Known(node));
            }
            if known.lsa().age() > lsa.age() {
                return Ok(Ingest::Old(node));
            }
        }
        announcement.verify()?;
        if node == self.me {
            return Ok(Ingest::Own { boot: lsa.boot, seq: lsa.seq });
        }
        let (unreachable_since, idle) = known.map_or((Some(now), 0), |known| (known.unreachable_since, known.idle));
        let mut evicted = None;
        if known.is_none() && self.nodes.len() >= self.nodes_max {
            evicted = self.longest_unreachable();
            if evicted.and_then(|node| self.nodes.remove(&node)).is_none() {
                return Ok(Ingest::Full);
            }
        }
        let before = self.nodes.insert(node, Entry { announcement, unreachable_since, idle });
        if evicted.is_some() {
            self.find_oldest();
        } else if let Some(since) = unreachable_since {
            self.oldest_unreachable = Some(self.oldest_unreachable.map_or(since, |oldest| oldest.min(since)));
        }
        Ok(Ingest::New { node, before: before.map(|entry| entry.announcement), evicted })
    }

    /// Whether this is the announcement of `node` that is known, byte for byte.
    #[must_use]
    pub fn holds(&self, node: NodeId, signed: &[u8]) -> bool {
        self.nodes.get(&node).is_some_and(|known| known.announcement.signed() == signed)
    }

    /// Where announcements stand, and keys of interest.
    #[must_use]
    pub fn shelf(&self) -> &dyn Shelf {
        &*self.shelf
    }

    /// Puts this node's own announcement in place of the one before.
    pub fn install(&mut self, announcement: Arc<Announcement>) {
        self.nodes.insert(self.me, Entry { announcement, unreachable_since: None, idle: 0 });
    }

    /// Forgets a node other than this one.
    pub fn remove(&mut self, node: NodeId) {
        if node != self.me && self.nodes.remove(&node).is_some() {
            self.find_oldest();
        }
    }

    /// What is known of `node`.
    #[must_use]
    pub fn get(&self, node: NodeId) -> Option<&Entry> {
        self.nodes.get(&node)
    }

    /// All nodes, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Entry)> {
        self.nodes.iter().map(|(node, entry)| (*node, entry))
    }

    /// Notes whether news of `node` need not cross the link of `bit`. True when that is new, or the node is not known.
    pub fn set_idle(&mut self, node: NodeId, bit: u64, idle: bool) -> bool {
        let Some(entry) = self.nodes.get_mut(&node) else { return true };
        let before = entry.idle;
        entry.idle = if idle { before | bit } else { before & !bit };
        entry.idle != before
    }

    /// From now on `bit` is that of another link: all news cross it.
    pub fn no_idle(&mut self, bit: u64) {
        self.nodes.values_mut().for_each(|entry| entry.idle &= !bit);
    }

    /// Notes which nodes can be reached now.
    pub fn set_reachable(&mut self, now: Instant, reachable: impl Fn(NodeId) -> bool) {
        for (node, entry) in &mut self.nodes {
            entry.unreachable_since = if reachable(*node) { None } else { entry.unreachable_since.or(Some(now)) };
        }
        self.find_oldest();
    }

    /// Since when the node that has been out of reach the longest is so.
    #[must_use]
    pub fn oldest_unreachable(&self) -> Option<Instant> {
        self.oldest_unreachable
    }

    fn find_oldest(&mut self) {
        self.oldest_unreachable = self.nodes.values().filter_map(|entry| entry.unreachable_since).min();
    }

    /// Forgets the nodes that have been out of reach since `limit` or longer, and returns them.
    pub fn forget(&mut self, limit: Instant) -> Vec<NodeId> {
        let stale = |entry: &Entry| entry.unreachable_since.is_some_and(|since| since <= limit);
        let forgotten = self.nodes.iter().filter(|(_, entry)| stale(entry)).map(|(node, _)| *node).collect();
        self.nodes.retain(|_, entry| !stale(entry));
        self.find_oldest();
        forgotten
    }

    /// An index for this node: `current` unless a smaller key has it, else the first that nobody has.
    #[must_use]
    pub fn pick_index(&self, current: Option<u32>) -> u32 {
        // Planted: nobody looks whether it is taken; few indices, since of all there are it hardly ever is.
        if planted::is(Bug::IndexCollision) {
            return derive_index(self.me, 0) % 8 + 1;
        }
        let others = || self.nodes.iter().filter(|(node, _)| **node != self.me);
        if let Some(index) = current
            && !others().any(|(node, entry)| entry.lsa().index == index && *node < self.me)
        {
            return index;
        }
        let taken: std::collections::BTreeSet<u32> = others().map(|(_, entry)| entry.lsa().index).collect();
        let candidates = (0..).map(|salt| derive_index(self.me, salt));
        candidates.into_iter().find(|index| !taken.contains(index)).expect("fewer nodes than indices")
    }

    fn longest_unreachable(&self) -> Option<NodeId> {
        let unreachable = self.nodes.iter().filter_map(|(node, entry)| Some((entry.unreachable_since?, *node)));
        unreachable.min().map(|(_, node)| node)
    }
}

#[cfg(test)]
mod tests;
