//! `Succession`: a root key that hands over to another one. All of them in their order are in `line.rs`.
//!
//! A succession is signed by both keys and says in one breath what of the old key's certificates goes on, and who stays
//! revoked. Everything else that the old key has signed, or will sign in a thief's hands, counts for nothing where the
//! succession is known. No member's certificate changes, since those below what goes on are signed by issuers, whose keys stay.
//!
//! Whom the old key had revoked is named by a digest: [`Expelled`] is the list, and travels with the line. So who takes in a
//! succession has its revocations as well, whatever happens to the link that brought it.

use super::key::{Key, PublicKey};
use super::warrant::Warrant;
use super::{Advice, NodeId};
use crate::codec;
use crate::store::StoreError;
use bincode::{Decode, Encode};

const CONTEXT: &[u8] = b"lattice succession 1\0";
/// Successions of one lattice, at most.
pub const SUCCESSIONS_MAX: usize = 16;
/// Certificates of the old key that go on, at most. A lattice has two: those of the node that has made it.
pub const KEPT_MAX: usize = 16;
/// Nodes that stay revoked by a succession, at most: the list and the line fit one frame of 64 KiB.
pub const EXPELLED_MAX: usize = 1_024;

/// A root key that has handed over to another.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Succession {
    /// The key that signs no more…
    pub old: [u8; 32],
    /// …and the one that takes its place.
    pub new: [u8; 32],
    /// Digests of those certificates, signed by a root, that go on: [`digest_of`]. Ascending.
    pub kept: Vec<[u8; 32]>,
    /// Digest of the nodes that the roots up to the old one have revoked and that stay out: [`digest_of_expelled`].
    pub expelled: [u8; 32],
    /// When, in seconds since 1970, as far as the signer knew; for people.
    pub at: u64,
    /// The old key's signature.
    pub by_old: [u8; 64],
    /// The new key's.
    pub by_new: [u8; 64],
}

/// A node that a root has revoked which was replaced since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Expelled {
    /// The node.
    pub node: [u8; 32],
    /// When, in seconds since 1970, as far as the root's holder knew; for people.
    pub at: u64,
}

/// What is no succession here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionError {
    /// A signature is not the key's, one does not begin where the last one ends, or a bound is broken.
    #[error("a succession of the root key that is none: {why}")]
    Broken {
        /// What is wrong.
        why: &'static str,
    },
    /// The old key has another heir here.
    #[error("the root key {} has another successor here, {}: {} was named later, or elsewhere first", short(*old), short(*ours), short(*theirs))]
    Rival {
        /// The key that has named both.
        old: [u8; 32],
        /// Whom this node goes by.
        ours: [u8; 32],
        /// Who is refused.
        theirs: [u8; 32],
    },
    /// No more are taken.
    #[error("the root key has been replaced {SUCCESSIONS_MAX} times, and cannot be any more")]
    Full,
    /// Not what such a file holds.
    #[error("it holds no succession of a root key: {why}")]
    Text {
        /// What is there instead.
        why: String,
    },
    /// Too little of a key to know it by.
    #[error("{given:?} is no beginning of a root key: expected {KEY_MIN} characters of it at least, as in OBQX4ABC")]
    Key {
        /// As given.
        given: String,
    },
    /// The file ends with another key than its user expects.
    #[error("the file leads to the root key {}, not to one that begins with {expected}", last.to_root_text())]
    Unexpected {
        /// As given.
        expected: String,
        /// The file's.
        last: PublicKey,
    },
    /// The file ends with a key that was replaced.
    #[error("the file leads to the root key {}, which is known here to have been replaced by {}", last.to_root_text(), current.to_root_text())]
    Older {
        /// The file's.
        last: PublicKey,
        /// The one that speaks for the lattice here.
        current: PublicKey,
    },
    /// It could not be written down, and does not count therefore.
    #[error("how the root key was replaced cannot be written down: {0}")]
    Store(#[from] StoreError),
}

/// Characters of a root key that name it, at least.
pub const KEY_MIN: usize = 8;

impl SuccessionError {
    /// Likely cause, next command and code.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::Rival { .. } => Advice::new(
                "E0125",
                "somebody else holds the old root key, or it was replaced on two nodes",
                "lattice root follow FILE --instead KEY   with the file and the key that you trust, on the nodes that follow the other",
            ),
            Self::Full => Advice::new("E0126", "a key that is replaced too often", "a new lattice"),
            Self::Broken { .. } | Self::Text { .. } => Advice::new(
                "E0127",
                "the file is of another lattice, or was cut off or changed",
                "lattice root rotate --file FILE   or lattice root show --file FILE, and copy that",
            ),
            Self::Key { .. } | Self::Unexpected { .. } => Advice::new(
                "E0142",
                "the file is another one than you mean, or not from where you think",
                "lattice root show   where the key was replaced, and its last key",
            ),
            Self::Older { .. } => Advice::new(
                "E0143",
                "the file was written before the key was replaced again",
                "lattice root show --file FILE   on a node that goes by the last key",
            ),
            Self::Store(_) => {
                Advice::new("E0123", "the disk is full, failing or read-only", "the same again, with room on it")
            }
        }
    }
}

/// As people see a root key: its first letters.
fn short(key: [u8; 32]) -> String {
    let text = PublicKey(key).to_root_text();
    format!("{}-{}", &text[..4], &text[4..8])
}

/// By what a certificate that a root has signed is named in a succession.
#[must_use]
pub fn digest_of(warrant: &Warrant) -> [u8; 32] {
    sha256(&codec::encode(warrant))
}

/// By what a list of nodes is named in a succession.
#[must_use]
pub fn digest_of_expelled(list: &[Expelled]) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(list.len() * 40);
    for one in list {
        bytes.extend_from_slice(&one.node);
        bytes.extend_from_slice(&one.at.to_le_bytes());
    }
    sha256(&bytes)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl Expelled {
    /// Who.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        NodeId(self.node)
    }
}

impl Succession {
    /// Has `old` hand over to `new`, in the lattice that `first` has made. Only the certificates in `kept` go on, and the nodes
    /// in `expelled`, which is in order, stay out.
    #[must_use]
    pub fn sign(
        first: PublicKey,
        (old, new): (&Key, &Key),
        mut kept: Vec<[u8; 32]>,
        expelled: &[Expelled],
        at: u64,
    ) -> Self {
        kept.sort_unstable();
        kept.dedup();
        let (from, to) = (old.public().0, new.public().0);
        let expelled = digest_of_expelled(expelled);
        let unsigned = Self { old: from, new: to, kept, expelled, at, by_old: [0; 64], by_new: [0; 64] };
        let message = unsigned.message(first);
        Self { by_old: old.sign(&message), by_new: new.sign(&message), ..unsigned }
    }

    fn message(&self, first: PublicKey) -> Vec<u8> {
        let mut message = [CONTEXT, &first.0, &self.old, &self.new, &self.at.to_le_bytes(), &self.expelled].concat();
        self.kept.iter().for_each(|digest| message.extend_from_slice(digest));
        message
    }

    /// Whether both keys have signed it, for the lattice that `first` has made.
    pub(super) fn verify(&self, first: PublicKey) -> Result<(), SuccessionError> {
        let broken = |why| Err(SuccessionError::Broken { why });
        if self.kept.len() > KEPT_MAX || !self.kept.is_sorted_by(|a, b| a < b) {
            return broken("its list of certificates is too long, or not in order");
        }
        let message = self.message(first);
        if !PublicKey(self.old).verifies(&message, &self.by_old) {
            return broken("the old key has not signed it");
        }
        if !PublicKey(self.new).verifies(&message, &self.by_new) {
            return broken("the new key has not signed it");
        }
        Ok(())
    }

    /// Whether `list` is that of the nodes that stay out by it.
    pub(super) fn verify_expelled(&self, list: &[Expelled]) -> Result<(), SuccessionError> {
        let broken = |why| Err(SuccessionError::Broken { why });
        if list.len() > EXPELLED_MAX || !list.is_sorted_by(|a, b| a.node < b.node) {
            return broken("its list of revoked nodes is too long, or not in order");
        }
        if digest_of_expelled(list) != self.expelled {
            return broken("its list of revoked nodes is not the one that was signed");
        }
        Ok(())
    }
}
