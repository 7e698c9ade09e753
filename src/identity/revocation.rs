//! `Revocation`: a member that is none any more, signed by who stands above it. Who is refused by it is decided here; the
//! set of them is `roll.rs`'s.
//!
//! The root may revoke every node, an issuer those below it: a revocation counts for chains in which its signer stands above
//! the node, or above an issuer of the node's. So whom a revoked node has admitted goes with it, and nobody can take away a
//! membership that it has not given, not even by certifying another's key and then revoking it.

use super::certificate::ISSUERS_MAX;
use super::chain::{Chain, ChainError};
use super::key::{Key, PublicKey};
use super::lattice_text::Kind;
use super::warrant::{Claims, Warrant};
use super::{Identity, NodeId};
use bincode::{Decode, Encode};

const CONTEXT: &[u8] = b"lattice revocation 1\0";
const TEXT: Kind = Kind { scheme: "latrev1:", what: "revocations", they_are: "they are" };
/// Revocations in a file, at most; as many as a node keeps.
pub const REVOCATIONS_MAX: usize = 4_096;
/// Bytes of such a file, at most.
pub const FILE_MAX: usize = 4 << 20;

/// A node whose membership has ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Revocation {
    /// The chain of the issuer that has signed, without the root; empty when it was the root itself.
    pub signer: Vec<Warrant>,
    /// The node.
    pub node: [u8; 32],
    /// When, in seconds since 1970, as far as the signer knew; for people.
    pub at: u64,
    /// The signer's.
    pub signature: [u8; 64],
}

/// What is no revocation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// The signer is none.
    #[error("a revocation by somebody who may not revoke: {0}")]
    Signer(#[from] ChainError),
    /// The signature is not the signer's.
    #[error("a revocation with a wrong signature")]
    Signature,
    /// The same where the root key was replaced: most likely it is the old key's, or that of one that this node does not go by.
    #[error("a revocation that the root key of now has not signed")]
    Root,
    /// Neither the root nor an issuer.
    #[error("a revocation by one that is no issuer")]
    NoIssuer,
    /// Not what such a file holds.
    #[error("it holds no revocations: {why}")]
    Text {
        /// What is there instead.
        why: String,
    },
    /// There is no room for more of this signer's kind.
    #[error("too many revocations are known already: {REVOCATIONS_MAX} are kept, half of them of issuers at most")]
    Full,
}

impl Revocation {
    /// Revokes `node` with the root's key, or with an issuer's, whose chain is given.
    pub(super) fn sign(root: PublicKey, key: &Key, signer: &[Warrant], node: NodeId, at: u64) -> Self {
        let signature = key.sign(&message(root, node, at));
        Self { signer: signer.to_vec(), node: node.0, at, signature }
    }

    /// Whose membership has ended.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        NodeId(self.node)
    }

    /// The key that stands for whoever has signed it: an issuer's, or `root`, which has made the lattice, for whichever root
    /// speaks for it. Whether it was signed is left to [`Revocation::verify`].
    #[must_use]
    pub fn by(&self, root: PublicKey) -> PublicKey {
        self.signer.last().map_or(root, Warrant::subject)
    }

    /// Whether somebody has signed it who may, in the lattice that `root` has made and `current` speaks for. Returns the
    /// issuer's chain; none when it was the root.
    ///
    /// # Errors
    /// [`RevocationError`] says what is wrong.
    pub fn verify(&self, root: PublicKey, current: PublicKey) -> Result<Option<Chain>, RevocationError> {
        let chain = (!self.signer.is_empty()).then(|| Chain::verify(root, self.signer.clone())).transpose()?;
        if chain.as_ref().is_some_and(|chain| !matches!(chain.last().claims, Claims::Issuer(_))) {
            return Err(RevocationError::NoIssuer);
        }
        let by = if chain.is_some() { self.by(root) } else { current };
        match by.verifies(&message(root, self.node(), self.at), &self.signature) {
            true => Ok(chain),
            // Who goes by another line of root keys breaks no rule.
            false if chain.is_none() && current != root => Err(RevocationError::Root),
            false => Err(RevocationError::Signature),
        }
    }
}

fn message(root: PublicKey, node: NodeId, at: u64) -> Vec<u8> {
    [CONTEXT, &root.0, &node.0, &at.to_le_bytes()].concat()
}

/// Each pair of a key that stands above a node in `chain`, and that node: who may have revoked whom in it.
pub(super) fn pairs(chain: &Chain) -> impl Iterator<Item = (PublicKey, NodeId)> + '_ {
    pairs_of(chain.root(), chain.warrants())
}

/// The same of `warrants` that have been verified.
pub(super) fn pairs_of(root: PublicKey, warrants: &[Warrant]) -> impl Iterator<Item = (PublicKey, NodeId)> + '_ {
    let node = |warrant: &Warrant| match &warrant.claims {
        Claims::Issuer(claims) => NodeId(claims.node),
        Claims::Node(_) | Claims::Voucher(_) => NodeId(warrant.subject),
    };
    let above = move |at: usize| std::iter::once(root).chain(warrants[..at].iter().map(Warrant::subject));
    (0..warrants.len().min(ISSUERS_MAX + 1)).flat_map(move |at| above(at).map(move |by| (by, node(&warrants[at]))))
}

/// Revocations as a line of text, for a file.
#[must_use]
pub fn to_text(root: PublicKey, revocations: &[Revocation]) -> String {
    TEXT.encode(root, revocations)
}

/// Reads what [`to_text`] wrote; each is checked by whoever takes it in.
///
/// # Errors
/// [`RevocationError::Text`].
pub fn from_text(root: PublicKey, text: &str) -> Result<Vec<Revocation>, RevocationError> {
    TEXT.decode(root, text).map_err(|why| RevocationError::Text { why })
}

impl Identity {
    /// Revokes `node`, all of whose `chains` are given, with the root's key where it is the `current` one, else with this
    /// node's issuer.
    ///
    /// Nothing when this node stands above none of them: whoever does is named in the chains.
    #[must_use]
    pub fn revoke(&self, node: NodeId, chains: &[&Chain], at: u64, current: PublicKey) -> Option<Revocation> {
        let root = self.membership().root();
        if let Some(key) = self.root.as_ref().filter(|key| key.public() == current) {
            return Some(Revocation::sign(root, key, &[], node, at));
        }
        let issuer = self.issuer.as_ref()?;
        let pair = (issuer.key.public(), node);
        let below = !chains.is_empty() && chains.iter().all(|chain| pairs(chain).any(|found| found == pair));
        below.then(|| Revocation::sign(root, &issuer.key, issuer.chain.warrants(), node, at))
    }
}

#[cfg(test)]
mod tests;
