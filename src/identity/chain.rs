//! `Chain`: certificates from the root down to a node, an issuer or a voucher, each signed by the one above.
//!
//! A value of the type has been verified: there is no other way to one. What is checked is the same for chains that TLS
//! shows and for those that travel as [`Warrant`]s: each certificate is made again from its warrant, byte for byte, so that
//! nothing can be in it that this lattice does not put there. Whether it has been revoked is left to `roll.rs`.

use super::certificate::{self, CHAIN_MAX, ISSUERS_MAX};
use super::grant::Grant;
use super::key::{Key, PublicKey};
use super::name::check_name;
use super::nkey::Kind;
use super::warrant::{Claims, NodeClaims, VoucherClaims, Warrant};
use super::{LatticeId, NodeId, USES_MAX};
use rustls::pki_types::CertificateDer;

/// A verified chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    root: PublicKey,
    /// Below the root; the last one is what the chain is about.
    warrants: Vec<Warrant>,
}

/// A chain that does not lead to the root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// It ends in another root.
    #[error("it is of another lattice (root {theirs}, ours is {ours})")]
    OtherLattice {
        /// The lattice that was expected.
        ours: LatticeId,
        /// The one that the chain ends in.
        theirs: LatticeId,
    },
    /// It claims our root and is not signed down from it, or breaks another rule.
    #[error("its certificate does not chain to the lattice's root ({why})")]
    Broken {
        /// Which rule.
        why: String,
    },
    /// Not certificates of a lattice at all.
    #[error("it shows no certificates of a lattice ({why})")]
    Foreign {
        /// What is there instead.
        why: String,
    },
    /// It was one, and is not any more.
    #[error("it has been revoked: {what}")]
    Revoked {
        /// Who, in words.
        what: String,
    },
}

fn broken(why: impl Into<String>) -> ChainError {
    ChainError::Broken { why: why.into() }
}

impl Chain {
    /// Checks `warrants`, those closest to the root first.
    ///
    /// # Errors
    /// [`ChainError::Broken`] says what is wrong.
    pub fn verify(root: PublicKey, warrants: Vec<Warrant>) -> Result<Self, ChainError> {
        build(root, &warrants)?;
        Ok(Self { root, warrants })
    }

    /// Checks the certificates that somebody shows: what they are about first, the root's last.
    ///
    /// # Errors
    /// [`ChainError`] says what is wrong.
    pub(crate) fn read(lattice: LatticeId, shown: &[CertificateDer<'_>]) -> Result<Self, ChainError> {
        let foreign = |why: String| ChainError::Foreign { why };
        if !(2..=CHAIN_MAX).contains(&shown.len()) {
            return Err(foreign(format!("{} of them, 2 to {CHAIN_MAX} make a chain", shown.len())));
        }
        let (root, below) = shown.split_last().expect("there are two at least");
        let root = certificate::public_key(root);
        let root = root.ok_or_else(|| foreign("the last one holds no Ed25519 key".to_owned()))?;
        let theirs = LatticeId::of(root);
        if theirs != lattice {
            return Err(ChainError::OtherLattice { ours: lattice, theirs });
        }
        let warrants: Option<Vec<Warrant>> = below.iter().rev().map(certificate::read).collect();
        let warrants = warrants.ok_or_else(|| broken("one says nothing that a certificate of a lattice says"))?;
        let built = build(root, &warrants)?;
        // The root's own is beside the point: its key is all that counts.
        let same = built.iter().zip(below).all(|(built, shown)| built == shown);
        if same {
            Ok(Self { root, warrants })
        } else {
            Err(broken("one says more than a certificate of a lattice says"))
        }
    }

    /// The same for somebody who says to be a member.
    ///
    /// # Errors
    /// [`ChainError`] says what is wrong.
    pub(crate) fn read_member(lattice: LatticeId, shown: &[CertificateDer<'_>]) -> Result<(Self, NodeId), ChainError> {
        let chain = Self::read(lattice, shown)?;
        let node = chain.node().map(|(node, _)| node);
        let node = node.ok_or_else(|| broken("it is no node's, and a node's is needed here"))?;
        Ok((chain, node))
    }

    /// The certificates: what they are about first, the root's last.
    pub(crate) fn to_der(&self) -> Vec<CertificateDer<'static>> {
        build(self.root, &self.warrants).expect("a chain has been verified")
    }

    /// Certifies `claims` of `subject` with `key`, which is that of the last issuer of this chain.
    pub(super) fn extend(&self, key: &Key, subject: PublicKey, claims: Claims) -> Result<Self, ChainError> {
        if self.last().subject() != key.public() {
            return Err(broken("the key is not the issuer's"));
        }
        let mut warrants = self.warrants.clone();
        warrants.push(certificate::sign(subject, claims, (Kind::Issuer, key)));
        check_shape(&warrants)?;
        Ok(Self { root: self.root, warrants })
    }

    /// Certifies `claims` of `subject` with the root's key.
    pub(super) fn found(root: &Key, subject: PublicKey, claims: Claims) -> Result<Self, ChainError> {
        let warrants = vec![certificate::sign(subject, claims, (Kind::Root, root))];
        check_shape(&warrants)?;
        Ok(Self { root: root.public(), warrants })
    }

    /// The root's key.
    #[must_use]
    pub const fn root(&self) -> PublicKey {
        self.root
    }

    /// All of it, those closest to the root first.
    #[must_use]
    pub fn warrants(&self) -> &[Warrant] {
        &self.warrants
    }

    /// What the chain is about.
    #[must_use]
    pub fn last(&self) -> &Warrant {
        self.warrants.last().expect("a chain is never empty")
    }

    /// A number that no other chain has, but by a chance of 2^-64.
    #[must_use]
    pub fn id(&self) -> u64 {
        u64::from_be_bytes(*self.last().signature.first_chunk().expect("a signature has 64 bytes"))
    }

    /// The node that it makes a member, with what is said of it; none for an issuer's and a voucher's.
    #[must_use]
    pub fn node(&self) -> Option<(NodeId, &NodeClaims)> {
        match &self.last().claims {
            Claims::Node(claims) => Some((NodeId(self.last().subject), claims)),
            Claims::Issuer(_) | Claims::Voucher(_) => None,
        }
    }

    /// The voucher that it is about, with its terms.
    #[must_use]
    pub fn voucher(&self) -> Option<(PublicKey, &VoucherClaims)> {
        match &self.last().claims {
            Claims::Voucher(claims) => Some((self.last().subject(), claims)),
            Claims::Node(_) | Claims::Issuer(_) => None,
        }
    }

    /// The nodes whose issuers stand above what it is about, those closest to the root first.
    pub fn above(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.warrants[..self.warrants.len() - 1].iter().filter_map(|warrant| match &warrant.claims {
            Claims::Issuer(claims) => Some(NodeId(claims.node)),
            Claims::Node(_) | Claims::Voucher(_) => None,
        })
    }

    /// Who has signed what it is about: the key of an issuer and the node whose it is, or nobody when it was the root.
    #[must_use]
    pub fn signer(&self) -> Option<(PublicKey, NodeId)> {
        let above = self.warrants.len().checked_sub(2)?;
        match &self.warrants[above].claims {
            Claims::Issuer(claims) => Some((self.warrants[above].subject(), NodeId(claims.node))),
            Claims::Node(_) | Claims::Voucher(_) => None,
        }
    }
}

/// Checks `warrants`, and makes the certificates that they stand for: the last one's first, the root's last.
fn build(root: PublicKey, warrants: &[Warrant]) -> Result<Vec<CertificateDer<'static>>, ChainError> {
    check_shape(warrants)?;
    let mut parent = (Kind::Root, root);
    let mut all = vec![certificate::root(root)];
    for warrant in warrants {
        let (certificate, genuine) = certificate::rebuild(warrant, parent);
        if !genuine {
            return Err(broken("a signature is not the one above's"));
        }
        all.push(certificate);
        parent = (Kind::Issuer, warrant.subject());
    }
    all.reverse();
    Ok(all)
}

/// Everything about `warrants` but the signatures.
fn check_shape(warrants: &[Warrant]) -> Result<(), ChainError> {
    let Some((last, issuers)) = warrants.split_last() else { return Err(broken("it is empty")) };
    let issuers_all = issuers.len() + usize::from(matches!(last.claims, Claims::Issuer(_)));
    if issuers_all > ISSUERS_MAX {
        return Err(broken(format!("{issuers_all} issuers, at most {ISSUERS_MAX} may follow each other")));
    }
    let mut above = &Grant::all();
    for (depth, warrant) in (1..).zip(warrants) {
        let grant = warrant.claims.grant();
        grant.check().map_err(|error| broken(error.to_string()))?;
        if !grant.within(above) {
            return Err(broken(format!("it grants {grant}, and the one above has no more than {above}")));
        }
        match &warrant.claims {
            Claims::Issuer(_) if !above.invite => return Err(broken("one that may admit no issuers has admitted one")),
            Claims::Issuer(issuer) if usize::from(issuer.depth) == depth => {}
            Claims::Issuer(_) => return Err(broken("an issuer stands at another place than it says")),
            Claims::Node(_) | Claims::Voucher(_) if depth < warrants.len() => {
                return Err(broken("one that is no issuer has signed another"));
            }
            Claims::Node(node) => check_name(&node.name).map_err(|error| broken(error.to_string()))?,
            Claims::Voucher(voucher) if (1..=USES_MAX).contains(&voucher.uses) => {}
            Claims::Voucher(voucher) => {
                return Err(broken(format!("a voucher of {} uses, it has 1 to {USES_MAX}", voucher.uses)));
            }
        }
        above = grant;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
