//! Whom this node could dial: members by key, each with the addresses that it has announced or was found at. No IO.
//!
//! Bounded in nodes and in addresses. Whom of them to dial, and when, is left to `forming.rs`.

use super::id::NodeId;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// Nodes that are kept, at most.
pub const NODES_MAX: usize = 4_096;
/// Nodes of these that only beacons tell of, at most.
pub const HINTS_MAX: usize = 256;
/// Announced addresses that are kept of each, at most; the one that worked last comes on top.
pub const ADDRESSES_MAX: usize = 4;

/// A node that could be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it says that it is dialled.
    pub announced: Vec<SocketAddr>,
    /// Where it was last found.
    pub found: Option<SocketAddr>,
    /// Where the last beacon of it came from, which anybody may have made.
    pub beacon: Option<SocketAddr>,
    /// Nobody but beacons tells of it.
    pub hinted: bool,
    /// This node's boot epoch in which the two were last linked; 0 when they never were.
    pub linked: u64,
    /// Attempts that have failed since it was last linked.
    pub failures: u32,
    /// Links to it that ended soon after they were up, one after the other.
    pub brief: u32,
    /// It is not to be dialled before.
    pub due: Instant,
    /// When it was last dialled.
    pub tried: Option<Instant>,
}

impl Candidate {
    /// Where to dial it, those that are more likely first. Never this node's `own` addresses, and loopback only when that is
    /// among these: another machine's leads nowhere.
    #[must_use]
    pub fn addresses(&self, own: &[SocketAddr]) -> Vec<SocketAddr> {
        let local = own.iter().any(|addr| addr.ip().is_loopback());
        let beacon = self.beacon.iter().filter(|addr| Some(**addr) != self.found);
        let announced = self.announced.iter().filter(|addr| Some(**addr) != self.found && Some(**addr) != self.beacon);
        let all = self.found.iter().chain(beacon).chain(announced).copied();
        all.filter(|addr| !own.contains(addr) && (local || !addr.ip().is_loopback())).collect()
    }
}

/// Whether anybody could be dialled at `addr`: not at an address that means nothing without an interface, or many hosts.
#[must_use]
pub fn is_dialable(addr: &SocketAddr) -> bool {
    let ip = match addr.ip().to_canonical() {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_unicast_link_local(),
    };
    ip && addr.port() != 0
}

/// What was not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Nodes for which there was no room.
    pub refused: u64,
    /// Nodes that made room for others.
    pub evicted: u64,
    /// Addresses that nobody could dial, or beyond those that are kept of a node.
    pub addresses: u64,
}

/// What became of a node's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// They are new…
    New {
        /// …and this node had to make room.
        evicted: Option<NodeId>,
    },
    /// They were known.
    Known,
    /// There was no room for the node.
    Refused,
}

/// All of them, in the order of their keys.
#[derive(Debug, Default)]
pub struct Candidates {
    nodes: BTreeMap<NodeId, Candidate>,
    /// What was not kept.
    pub dropped: Dropped,
}

impl Candidates {
    /// Notes where `node` says that it is dialled, in place of what it has said before. When all places are taken, one of those
    /// makes room that only beacons tell of; else a member that does not answer: one that was never linked, or the one whose
    /// link is the longest ago. `boot` is this node's life: whoever was linked in it stays.
    pub fn note(&mut self, now: Instant, boot: u64, node: NodeId, addresses: &[SocketAddr]) -> Kept {
        let mut wanted: Vec<SocketAddr> = Vec::new();
        for addr in addresses.iter().filter(|addr| is_dialable(addr)) {
            if wanted.len() < ADDRESSES_MAX && !wanted.contains(addr) {
                wanted.push(*addr);
            }
        }
        self.dropped.addresses += (addresses.len() - wanted.len()) as u64;
        if let Some(known) = self.nodes.get_mut(&node) {
            let before = std::mem::replace(&mut known.announced, wanted);
            let hinted = std::mem::take(&mut known.hinted);
            return if before == known.announced && !hinted { Kept::Known } else { Kept::New { evicted: None } };
        }
        match self.make_room(|known| known.hinted || (known.failures > 0 && known.linked != boot)) {
            Ok(evicted) => {
                self.insert(node, Candidate::new(now, wanted));
                Kept::New { evicted }
            }
            Err(Full) => {
                self.dropped.refused += 1;
                Kept::Refused
            }
        }
    }

    /// Notes that a beacon says where `node` is. Of those that nobody else tells of only [`HINTS_MAX`] are kept: one that was
    /// dialled in vain makes room.
    pub fn hint(&mut self, now: Instant, node: NodeId, at: SocketAddr) -> Kept {
        if let Some(known) = self.nodes.get_mut(&node) {
            let before = known.beacon.replace(at);
            return if before == Some(at) { Kept::Known } else { Kept::New { evicted: None } };
        }
        let hints = self.nodes.values().filter(|known| known.hinted).count();
        let room = if hints < HINTS_MAX && self.nodes.len() < NODES_MAX {
            Ok(None)
        } else {
            self.evict(|known| known.hinted && known.failures > 0)
        };
        let Ok(evicted) = room else {
            self.dropped.refused += 1;
            return Kept::Refused;
        };
        self.insert(node, Candidate { beacon: Some(at), hinted: true, ..Candidate::new(now, Vec::new()) });
        Kept::New { evicted }
    }

    /// Takes a node in as it was before a restart, if there is room.
    pub fn insert(&mut self, node: NodeId, candidate: Candidate) {
        if self.nodes.len() < NODES_MAX || self.nodes.contains_key(&node) {
            self.nodes.insert(node, candidate);
        }
    }

    /// What is known of `node`.
    #[must_use]
    pub fn get(&self, node: &NodeId) -> Option<&Candidate> {
        self.nodes.get(node)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, node: &NodeId) -> Option<&mut Candidate> {
        self.nodes.get_mut(node)
    }

    /// Forgets `node`.
    pub fn remove(&mut self, node: &NodeId) {
        self.nodes.remove(node);
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&NodeId, &Candidate)> {
        self.nodes.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn make_room(&mut self, may_go: impl Fn(&Candidate) -> bool) -> Result<Option<NodeId>, Full> {
        if self.nodes.len() < NODES_MAX { Ok(None) } else { self.evict(may_go) }
    }

    /// Forgets one of those that may go: hints before members, the longest unlinked, those that have failed most often.
    fn evict(&mut self, may_go: impl Fn(&Candidate) -> bool) -> Result<Option<NodeId>, Full> {
        let worth = |known: &Candidate| (!known.hinted, known.linked, Reverse(known.failures));
        let all = self.nodes.iter().filter(|(_, known)| may_go(known));
        let node = all.min_by_key(|(_, known)| worth(known)).map(|(node, _)| *node).ok_or(Full)?;
        self.nodes.remove(&node);
        self.dropped.evicted += 1;
        Ok(Some(node))
    }
}

/// No node may be forgotten for another.
struct Full;

impl Candidate {
    /// One that has never been dialled.
    #[must_use]
    pub fn new(due: Instant, announced: Vec<SocketAddr>) -> Self {
        Self { announced, found: None, beacon: None, hinted: false, linked: 0, failures: 0, brief: 0, due, tried: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::start_of_time;

    const BOOT: u64 = 7;

    fn node(n: u32) -> NodeId {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&n.to_be_bytes());
        NodeId(key)
    }

    fn addrs(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn addresses_that_lead_nowhere_are_not_kept() {
        let mut all = Candidates::default();
        let given =
            addrs(&["0.0.0.0:1", "10.0.0.1:0", "224.0.0.1:5", "[fe80::1]:5", "10.0.0.1:5", "10.0.0.1:5", "[::1]:5"]);
        all.note(start_of_time(), BOOT, node(1), &given);
        let kept = all.get(&node(1)).unwrap();
        assert_eq!(kept.addresses(&[]), addrs(&["10.0.0.1:5"]));
        assert_eq!(kept.addresses(&addrs(&["127.0.0.1:9"])), addrs(&["10.0.0.1:5", "[::1]:5"]));
        assert_eq!(kept.addresses(&addrs(&["10.0.0.1:5"])), []);
        assert_eq!(all.dropped.addresses, 5);
    }

    #[test]
    fn what_worked_comes_first_and_stays() {
        let (mut all, now) = (Candidates::default(), start_of_time());
        all.note(now, BOOT, node(1), &addrs(&["10.0.0.1:5", "10.0.0.2:5"]));
        all.get_mut(&node(1)).unwrap().found = Some("10.0.0.2:5".parse().unwrap());
        assert_eq!(all.get(&node(1)).unwrap().addresses(&[]), addrs(&["10.0.0.2:5", "10.0.0.1:5"]));
        assert_eq!(all.note(now, BOOT, node(1), &addrs(&["10.0.0.3:5"])), Kept::New { evicted: None });
        assert_eq!(all.note(now, BOOT, node(1), &addrs(&["10.0.0.3:5"])), Kept::Known);
        assert_eq!(all.get(&node(1)).unwrap().addresses(&[]), addrs(&["10.0.0.2:5", "10.0.0.3:5"]));
    }

    /// Goal: made up beacons take no room of members', and no more than is theirs.
    #[test]
    fn hints_have_a_bound_of_their_own() {
        let (mut all, now) = (Candidates::default(), start_of_time());
        let at: SocketAddr = "10.0.0.9:5".parse().unwrap();
        all.note(now, BOOT, node(0), &addrs(&["10.0.0.1:5"]));
        assert_eq!(all.hint(now, node(0), at), Kept::New { evicted: None });
        assert_eq!(all.get(&node(0)).unwrap().addresses(&[]), addrs(&["10.0.0.9:5", "10.0.0.1:5"]));
        for n in 1..10_000 {
            all.hint(now, node(n), at);
        }
        assert_eq!((all.len(), all.dropped.refused), (1 + HINTS_MAX, 9_999 - HINTS_MAX as u64));
        assert_eq!(all.hint(now, node(30_000), at), Kept::Refused);
        all.note(now, BOOT, node(8), &addrs(&["10.0.0.2:5"]));
        assert!(!all.get(&node(8)).unwrap().hinted);
        assert_eq!(all.hint(now, node(30_000), at), Kept::New { evicted: None }, "a member's place is another one");
        all.get_mut(&node(5)).unwrap().failures = 1;
        assert_eq!(all.hint(now, node(30_001), at), Kept::New { evicted: Some(node(5)) });
    }

    /// Goal: neither hints nor whom this node knew in other lives keep a new member out, and nobody leaves who is at hand.
    #[test]
    fn whoever_does_not_answer_makes_room_for_a_member() {
        let (mut all, now) = (Candidates::default(), start_of_time());
        for n in 0..NODES_MAX as u32 {
            all.note(now, BOOT, node(n), &addrs(&["10.0.0.1:5"]));
            all.get_mut(&node(n)).unwrap().linked = u64::from(n % 4) + 4;
        }
        assert_eq!(all.note(now, BOOT, node(9_000), &[]), Kept::Refused, "all of them may answer");
        all.get_mut(&node(3)).unwrap().failures = 9;
        assert_eq!(all.note(now, BOOT, node(9_000), &[]), Kept::Refused, "it was linked in this life");
        all.get_mut(&node(2)).unwrap().failures = 9;
        all.get_mut(&node(1)).unwrap().failures = 1;
        all.get_mut(&node(5)).unwrap().failures = 2;
        all.get_mut(&node(7)).unwrap().hinted = true;
        for (newcomer, leaves) in [(9_000, 7), (9_001, 5), (9_002, 1), (9_003, 2)] {
            assert_eq!(all.note(now, BOOT, node(newcomer), &[]), Kept::New { evicted: Some(node(leaves)) });
        }
        assert_eq!(all.note(now, BOOT, node(9_004), &[]), Kept::Refused);
    }

    /// Goal: whoever makes up nodes and addresses takes no more memory than there is for them, and drives nobody out who was
    /// ever linked.
    #[test]
    fn a_flood_of_candidates_finds_a_bound() {
        let (mut all, now) = (Candidates::default(), start_of_time());
        let many: Vec<SocketAddr> = (1..=16).map(|port| ([10, 0, 0, 1], port).into()).collect();
        all.note(now, BOOT, node(0), &many);
        all.get_mut(&node(0)).unwrap().linked = 7;
        for n in 1..20_000 {
            all.note(now, BOOT, node(n), &many);
            // Nobody answers at what is made up.
            if let Some(forged) = all.get_mut(&node(n)).filter(|_| n % 2 == 0) {
                forged.failures = 1 + n % 5;
            }
        }
        assert_eq!(all.len(), NODES_MAX);
        assert!(all.iter().all(|(_, known)| known.announced.len() <= ADDRESSES_MAX));
        assert_eq!(all.get(&node(0)).unwrap().linked, 7);
        let Dropped { refused, evicted, addresses } = all.dropped;
        assert_eq!(refused + evicted, 20_000 - NODES_MAX as u64);
        assert_eq!(addresses, 20_000 * 12);
    }
}
