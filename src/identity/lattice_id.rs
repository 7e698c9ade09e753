//! `LatticeId`: which lattice, as the hash of its root's key.

use super::key::PublicKey;
use data_encoding::HEXLOWER;
use std::fmt;

/// A lattice: SHA-256 of its root certificate's SubjectPublicKeyInfo.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LatticeId(pub [u8; 32]);

impl LatticeId {
    /// The lattice that `root` is the root of.
    #[must_use]
    pub fn of(root: PublicKey) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, &root.to_spki());
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// All of it in hex; `Display` shows the first four bytes.
    #[must_use]
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

impl fmt::Display for LatticeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", HEXLOWER.encode(&self.0[..4]))
    }
}

impl fmt::Debug for LatticeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LatticeId({self})")
    }
}
