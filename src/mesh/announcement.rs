//! An announcement as a node keeps it: decoded once, checked once, framed once.
//!
//! What it says is `lsdb.rs`'s. A process that runs many nodes, as the simulator does, may let them share what they all
//! know: see [`Shelf`].

use super::frame::ControlFrame;
use super::id::NodeId;
use super::interest::{Held, Key};
use super::lsdb::{Lsa, LsaError};
use crate::weak_map::{SWEEP_MIN, WeakMap};
use bytes::Bytes;
use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// An announcement and the frame that passes it on.
#[derive(Debug)]
pub struct Announcement {
    lsa: Lsa,
    frame: Bytes,
    /// Its signature has been found good.
    verified: AtomicBool,
}

impl PartialEq for Announcement {
    fn eq(&self, other: &Self) -> bool {
        self.frame == other.frame
    }
}

impl Eq for Announcement {}

impl Announcement {
    /// Decodes a signed announcement; it is not trusted before [`Announcement::verify`].
    ///
    /// # Errors
    /// [`LsaError`]: the peer that sent it broke the protocol.
    pub fn decode(signed: &[u8]) -> Result<Self, LsaError> {
        Ok(Self { lsa: Lsa::decode(signed)?, frame: frame(signed), verified: AtomicBool::new(false) })
    }

    /// What this node says of itself.
    #[must_use]
    pub fn own(lsa: Lsa, signed: &[u8]) -> Self {
        Self { lsa, frame: frame(signed), verified: AtomicBool::new(true) }
    }

    /// What it says.
    #[must_use]
    pub fn lsa(&self) -> &Lsa {
        &self.lsa
    }

    /// The record and its signature.
    #[must_use]
    pub fn signed(&self) -> &[u8] {
        ControlFrame::payload(&self.frame)
    }

    /// The frame for neighbours, shared by all that it is sent to.
    #[must_use]
    pub fn frame(&self) -> Bytes {
        self.frame.clone()
    }

    /// Checks that its node has signed it; a signature that was found good is not looked at again.
    ///
    /// # Errors
    /// [`LsaError::Signature`] when it has not.
    pub fn verify(&self) -> Result<(), LsaError> {
        if !self.verified.load(Relaxed) {
            self.lsa.verify(self.signed())?;
            self.verified.store(true, Relaxed);
        }
        Ok(())
    }
}

fn frame(signed: &[u8]) -> Bytes {
    ControlFrame::Lsa(signed.to_vec()).encode()
}

/// Where the announcements come from that a node keeps.
///
/// What stands on it follows from the bytes alone, so that nobody can tell one shelf from another but by the cost.
pub trait Shelf: Send + Sync + fmt::Debug {
    /// The announcement with these bytes.
    ///
    /// # Errors
    /// [`LsaError`]: it is none.
    fn read(&self, signed: &[u8]) -> Result<Arc<Announcement>, LsaError>;

    /// A key that equals `key`: the same one for all who ask, where there are several.
    fn key(&self, key: Arc<Key>) -> Arc<Key>;

    /// What is known of the interest of `node`, which equals `held`: the same for all who ask, where there are several.
    fn interest(&self, node: NodeId, held: Arc<Held>) -> Arc<Held>;
}

/// The shelf of a process with one node: nobody to share with.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnShelf;

impl Shelf for OwnShelf {
    fn read(&self, signed: &[u8]) -> Result<Arc<Announcement>, LsaError> {
        Announcement::decode(signed).map(Arc::new)
    }

    fn key(&self, key: Arc<Key>) -> Arc<Key> {
        key
    }

    fn interest(&self, _: NodeId, held: Arc<Held>) -> Arc<Held> {
        held
    }
}

/// A shelf that the nodes of one process share: each announcement is decoded, checked and kept once for all of them, and
/// so are each key of interest, and what they know alike of a node's interest.
///
/// What no node holds any more is let go when the shelf has become twice as full.
#[derive(Debug, Default)]
pub struct SharedShelf {
    /// By signature.
    books: Mutex<WeakMap<[u8; 64], Announcement>>,
    keys: Mutex<Keys>,
    /// The last one of a node, boot epoch and version.
    interests: Mutex<WeakMap<(NodeId, u64, u64), Held>>,
}

impl Shelf for SharedShelf {
    fn read(&self, signed: &[u8]) -> Result<Arc<Announcement>, LsaError> {
        let signature = signed.last_chunk().ok_or(LsaError::Unsigned)?;
        let mut books = self.books.lock().expect("no holder of this lock panics");
        let known = books.get(signature);
        // The same signature under other bytes is a forgery, which is not to take the place of the genuine one.
        match known {
            Some(known) if known.signed() == signed => Ok(known),
            Some(_) => Announcement::decode(signed).map(Arc::new),
            None => {
                let announcement = Arc::new(Announcement::decode(signed)?);
                books.insert(*signature, &announcement);
                Ok(announcement)
            }
        }
    }

    fn key(&self, key: Arc<Key>) -> Arc<Key> {
        self.keys.lock().expect("no holder of this lock panics").get(key)
    }

    fn interest(&self, node: NodeId, held: Arc<Held>) -> Arc<Held> {
        let mut interests = self.interests.lock().expect("no holder of this lock panics");
        let version = (node, held.boot(), held.version());
        // Copies of one version may differ: in what they refused, and in how far back they know the changes.
        if let Some(known) = interests.get(&version).filter(|known| *known == held) {
            return known;
        }
        interests.insert(version, &held);
        held
    }
}

#[derive(Debug, Default)]
struct Keys {
    /// Only looked up.
    known: HashSet<Arc<Key>>,
    /// As many as there may be before those that nobody else holds are taken out.
    sweep_at: usize,
}

impl Keys {
    fn get(&mut self, key: Arc<Key>) -> Arc<Key> {
        if let Some(known) = self.known.get(&key) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.sweep_at = (self.known.len() * 2).max(SWEEP_MIN);
        }
        self.known.insert(Arc::clone(&key));
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    fn signed(seed: u8, boot: u64) -> Vec<u8> {
        let key = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let lsa = Lsa {
            node: NodeId(key.public_key().as_ref().try_into().unwrap()),
            area: 0,
            part: 0,
            index: 1,
            boot,
            seq: 1,
            name: "node".into(),
            adjacency: Vec::new(),
            addresses: Vec::new(),
            upstreams: Vec::new(),
            interest_version: 0,
            interest_digest: 0,
            clients: Vec::new(),
        };
        lsa.sign(&|message: &[u8]| -> [u8; 64] { key.sign(message).as_ref().try_into().unwrap() })
    }

    #[test]
    fn who_shares_a_shelf_keeps_one_copy() {
        let shelf = SharedShelf::default();
        let (first, again) = (shelf.read(&signed(1, 1)).unwrap(), shelf.read(&signed(1, 1)).unwrap());
        assert!(Arc::ptr_eq(&first, &again));
        assert!(!Arc::ptr_eq(&first, &shelf.read(&signed(1, 2)).unwrap()));
        assert_eq!(first.signed(), signed(1, 1));
    }

    /// Goal: a forgery neither passes for the genuine one nor hides it.
    #[test]
    fn a_forgery_under_a_known_signature_is_found() {
        let shelf = SharedShelf::default();
        let genuine = signed(1, 1);
        let mut forged = genuine.clone();
        forged[2] ^= 1;
        shelf.read(&genuine).unwrap().verify().unwrap();
        assert!(shelf.read(&forged).and_then(|forged| forged.verify()).is_err());
        shelf.read(&genuine).unwrap().verify().unwrap();
    }

    #[test]
    fn equal_keys_become_one_and_unused_ones_are_let_go() {
        let shelf = SharedShelf::default();
        let key = |n: usize| {
            let subject = n.to_string().into_bytes().into();
            Arc::new(Key { account: (*b"$G").into(), subject, queue: None, via: None })
        };
        let held = shelf.key(key(0));
        assert!(Arc::ptr_eq(&held, &shelf.key(key(0))));
        for n in 1..=2 * SWEEP_MIN {
            assert_eq!(shelf.key(key(n)), key(n));
        }
        assert!(shelf.keys.lock().unwrap().known.len() <= SWEEP_MIN);
        assert!(Arc::ptr_eq(&held, &shelf.key(key(0))));
    }

    #[test]
    fn interest_that_is_known_alike_is_kept_once() {
        let shelf = SharedShelf::default();
        let (one, other) = (NodeId([1; 32]), NodeId([2; 32]));
        let held = shelf.interest(one, Arc::new(Held::new(1)));
        assert!(Arc::ptr_eq(&held, &shelf.interest(one, Arc::new(Held::new(1)))));
        assert!(!Arc::ptr_eq(&held, &shelf.interest(other, Arc::new(Held::new(1)))));
        assert!(!Arc::ptr_eq(&held, &shelf.interest(one, Arc::new(Held::new(2)))));
        for boot in 3..=3 + 2 * SWEEP_MIN as u64 {
            drop(shelf.interest(one, Arc::new(Held::new(boot))));
        }
        assert!(shelf.interests.lock().unwrap().len() <= SWEEP_MIN);
    }

    #[test]
    fn what_nobody_holds_is_let_go() {
        let shelf = SharedShelf::default();
        let held = shelf.read(&signed(1, 0)).unwrap();
        for boot in 1..=2 * SWEEP_MIN as u64 {
            drop(shelf.read(&signed(1, boot)).unwrap());
        }
        assert!(shelf.books.lock().unwrap().len() <= SWEEP_MIN);
        assert!(Arc::ptr_eq(&held, &shelf.read(&signed(1, 0)).unwrap()));
    }
}
