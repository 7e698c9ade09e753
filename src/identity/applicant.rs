//! `Applicant`: a device that is to become a member. How it asks is left to `mesh/join.rs`, where it waits to `folder.rs`.

use super::certificate::{self, CHAIN_MAX, ChainError, ISSUERS_MAX, Role};
use super::key::{Key, PublicKey};
use super::name::{BadName, check_name};
use super::nkey::Kind;
use super::{Identity, LatticeId, OwnIssuer};
use bincode::{Decode, Encode};
use lattice_broker::env::Rng;
use rustls::pki_types::CertificateDer;

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
    /// Node, issuers, root.
    pub chain: Vec<Vec<u8>>,
    /// The new node's own right to admit others, unless the depth forbids it.
    pub issuer: Option<Vec<u8>>,
    /// The lattice's name.
    pub lattice_name: String,
}

/// No member came of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// The member may not admit anyone.
    #[error("this node may not invite: {depth_max} issuers already stand between it and the root")]
    NoIssuer {
        /// How many may.
        depth_max: usize,
    },
    /// The certificates in the answer do not make this node a member.
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

    /// Becomes a member of `lattice` by a member's answer, which is checked first.
    ///
    /// # Errors
    /// [`AdmissionError`]: the member is broken or hostile; nothing has changed.
    pub fn accept(self, lattice: LatticeId, admission: Admission) -> Result<Identity, AdmissionError> {
        check_name(&admission.lattice_name)?;
        let chain: Vec<_> = admission.chain.into_iter().take(CHAIN_MAX + 1).map(CertificateDer::from).collect();
        let node = certificate::verify(lattice, &chain, Role::Dialed)?;
        if node.0 != self.node.public().0 {
            return Err(AdmissionError::OtherKeys);
        }
        let issuer = admission.issuer.map(|der| self.own_issuer(&chain, der.into())).transpose()?;
        Ok(Identity {
            node: self.node,
            chain,
            issuer,
            root: None,
            lattice,
            name: self.name,
            lattice_name: admission.lattice_name,
            boot: 1,
        })
    }

    fn own_issuer(
        &self,
        chain: &[CertificateDer<'static>],
        certificate: CertificateDer<'static>,
    ) -> Result<OwnIssuer, AdmissionError> {
        let own = OwnIssuer { key: self.issuer.clone(), certificate };
        check_issuer(&own, chain)?;
        Ok(own)
    }
}

/// Whether nodes that `own` admits will be members: tried with a throw-away node.
pub(super) fn check_issuer(own: &OwnIssuer, chain: &[CertificateDer<'static>]) -> Result<(), AdmissionError> {
    if certificate::public_key(&own.certificate) != Some(own.key.public()) || chain.len() > ISSUERS_MAX + 1 {
        return Err(AdmissionError::OtherKeys);
    }
    let root = chain.last().and_then(certificate::lattice_id).ok_or(AdmissionError::OtherKeys)?;
    let trial = certificate::node(own.key.public(), (Kind::Issuer, &own.key));
    let mut trial_chain = vec![trial, own.certificate.clone()];
    trial_chain.extend_from_slice(&chain[1..]);
    certificate::verify(root, &trial_chain, Role::Dialed)?;
    Ok(())
}
