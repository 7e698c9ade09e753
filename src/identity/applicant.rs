//! `Applicant`: a device that is to become a member. How it asks is left to `mesh/join.rs`, where it waits to `folder.rs`.

use super::chain::{Chain, ChainError};
use super::issue::NoIssuer;
use super::key::{Key, PublicKey};
use super::name::{BadName, check_name};
use super::nkey::Kind;
use super::warrant::{Claims, Warrant};
use super::{Grant, Identity, OwnIssuer};
use bincode::{Decode, Encode};
use lattice_broker::env::Rng;

/// The keys and the name of a node that is no member yet. Keep it until the answer is stored: asking again with
/// the same keys costs no further use of the invite.
#[derive(Clone, Debug)]
pub struct Applicant {
    pub(super) node: Key,
    pub(super) issuer: Key,
    pub(super) name: String,
}

/// What a member signs: public keys of an [`Applicant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Application {
    /// The node's.
    pub node: PublicKey,
    /// Its issuer's.
    pub issuer: PublicKey,
}

/// A member's answer to an [`Application`], as it crosses the wire; checked by [`Applicant::accept`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Admission {
    /// The new node's chain without the root: issuers, node.
    pub chain: Vec<Warrant>,
    /// The new node's own right to admit others, when it has it.
    pub issuer: Option<Warrant>,
    /// The lattice's name.
    pub lattice_name: String,
}

/// No member came of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// The member may not admit anyone.
    #[error("this node may not admit others: {why}")]
    NoIssuer {
        /// Why not.
        why: NoIssuer,
    },
    /// The member may not grant as much.
    #[error("this node cannot grant {wanted}: it may pass on {own}")]
    Grant {
        /// What was promised.
        wanted: Grant,
        /// What it has.
        own: Grant,
    },
    /// The certificates do not make this node a member.
    #[error("the member's answer is no membership: {0}")]
    Chain(#[from] ChainError),
    /// The certificates are for other keys.
    #[error("the member's answer certifies other keys than this node's")]
    OtherKeys,
    /// The lattice's name is unusable.
    #[error("the member's answer names the lattice strangely: {0}")]
    Name(#[from] BadName),
}

impl Applicant {
    /// A new device named `name`.
    #[must_use]
    pub fn generate(rng: &mut Rng, name: &str) -> Self {
        let (node, issuer) = (Key::generate(Kind::Node, rng), Key::generate(Kind::Issuer, rng));
        Self { node, issuer, name: name.to_owned() }
    }

    /// One with keys of the caller's.
    #[cfg(test)]
    pub(crate) fn with_seed(node: [u8; 32], name: &str) -> Self {
        let issuer = Key::from_seed(Kind::Issuer, node);
        Self { node: Key::from_seed(Kind::Node, node), issuer, name: name.to_owned() }
    }

    /// What to ask a member to sign.
    #[must_use]
    pub fn application(&self) -> Application {
        Application { node: self.node.public(), issuer: self.issuer.public() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Signs `proof` with both keys: that it holds what it wants certified.
    #[must_use]
    pub fn sign(&self, proof: &[u8]) -> ([u8; 64], [u8; 64]) {
        (self.node.sign(proof), self.issuer.sign(proof))
    }

    /// Becomes a member of the lattice of `root` by a member's answer, which is checked first.
    ///
    /// # Errors
    /// [`AdmissionError`]: the member is broken or hostile; nothing has changed.
    pub fn accept(self, root: PublicKey, admission: Admission) -> Result<Identity, AdmissionError> {
        check_name(&admission.lattice_name)?;
        let chain = Chain::verify(root, admission.chain)?;
        if chain.node().is_none_or(|(node, _)| node.0 != self.node.public().0) {
            return Err(AdmissionError::OtherKeys);
        }
        let issuer = admission.issuer.map(|warrant| own_issuer(self.issuer, &chain, warrant)).transpose()?;
        Ok(Identity::member(self.node, chain, issuer, self.name, admission.lattice_name))
    }
}

/// The right of the node of `chain` to admit others: `warrant` certifies `key`, and the same have signed it as the node.
pub(super) fn own_issuer(key: Key, chain: &Chain, warrant: Warrant) -> Result<OwnIssuer, AdmissionError> {
    let node = chain.last().subject;
    let fits = matches!(&warrant.claims, Claims::Issuer(claims) if claims.node == node);
    if !fits || warrant.subject() != key.public() {
        return Err(AdmissionError::OtherKeys);
    }
    let (_, above) = chain.warrants().split_last().expect("a chain is never empty");
    let chain = Chain::verify(chain.root(), [above, &[warrant]].concat())?;
    Ok(OwnIssuer { key, chain })
}
