//! `Key`: an Ed25519 secret and what is signed with it. Where keys are kept is left to `folder.rs`.

use super::nkey::{self, Kind, NkeyError};
use lattice_broker::env::Rng;
use rand_core::Rng as _;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt;

/// A secret key. `Debug` shows its public half only.
pub struct Key {
    kind: Kind,
    seed: [u8; 32],
    public: PublicKey,
    pair: Ed25519KeyPair,
}

impl Key {
    /// A new key out of `rng`.
    #[must_use]
    pub fn generate(kind: Kind, rng: &mut Rng) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        Self::from_seed(kind, seed)
    }

    /// The key of `seed`.
    #[must_use]
    pub fn from_seed(kind: Kind, seed: [u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed of 32 bytes is always a key");
        let public = PublicKey(pair.public_key().as_ref().try_into().expect("Ed25519 keys have 32 bytes"));
        Self { kind, seed, public, pair }
    }

    /// Reads what [`Key::to_text`] wrote.
    ///
    /// # Errors
    /// [`NkeyError`]: the text is damaged or another kind of key.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, NkeyError> {
        nkey::parse_seed(kind, text).map(|seed| Self::from_seed(kind, seed))
    }

    /// The secret as an nkey seed, `S…`.
    #[must_use]
    pub fn to_text(&self) -> String {
        nkey::seed(self.kind, &self.seed)
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs `message`. Ed25519 is deterministic: the same message gives the same signature.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).as_ref().try_into().expect("Ed25519 signatures have 64 bytes")
    }

    /// The secret itself, for an invite.
    pub(super) const fn secret(&self) -> [u8; 32] {
        self.seed
    }

    /// 32 bytes for another purpose, that only the holder of the key can compute and that stay the same for ever.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.seed);
        ring::hmac::sign(&key, purpose.as_bytes()).as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }

    /// The secret as TLS wants it.
    pub(crate) fn to_pkcs8(&self) -> PrivateKeyDer<'static> {
        // PKCS#8 v1 (RFC 8410): a fixed frame around the seed.
        let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        der.extend_from_slice(&self.seed);
        PrivatePkcs8KeyDer::from(der).into()
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        Self::from_seed(self.kind, self.seed)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", nkey::public(self.kind, &self.public.0))
    }
}

impl rcgen::PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.public.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(Self::sign(self, message).to_vec())
    }
}

/// The public half of a [`Key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

/// The DER of every Ed25519 key starts like this (RFC 8410), and the 32 bytes of the key follow.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

impl PublicKey {
    /// Whether `signature` over `message` was made with this key.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }

    /// The key as the nkey of a root, `O…`.
    #[must_use]
    pub fn to_root_text(self) -> String {
        nkey::public(Kind::Root, &self.0)
    }

    /// The key as certificates hold it (SubjectPublicKeyInfo).
    #[must_use]
    pub fn to_spki(self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.0].concat()
    }

    /// Reads a SubjectPublicKeyInfo; `None` when it is no Ed25519 key.
    #[must_use]
    pub fn from_spki(spki: &[u8]) -> Option<Self> {
        spki.strip_prefix(&SPKI_PREFIX)?.try_into().ok().map(Self)
    }
}

impl rcgen::PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_verify_and_only_with_their_key() {
        let (a, b) = (Key::from_seed(Kind::Node, [1; 32]), Key::from_seed(Kind::Node, [2; 32]));
        let signature = a.sign(b"message");
        assert!(a.public().verifies(b"message", &signature));
        assert!(!a.public().verifies(b"massage", &signature));
        assert!(!b.public().verifies(b"message", &signature));
    }

    #[test]
    fn debug_keeps_the_secret() {
        let key = Key::from_seed(Kind::Node, [1; 32]);
        assert!(!format!("{key:?}").contains(&key.to_text()));
        assert_ne!(key.derive("a"), key.derive("b"));
    }
}
