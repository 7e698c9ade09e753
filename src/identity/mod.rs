//! Who a node is and which lattice it belongs to: keys, certificates, invites, who else is a member, and the folder that
//! keeps what must not be lost.
//!
//! [`Identity`] is a plain value: made in memory for a new lattice ([`Identity::generate_root`]) or of an
//! [`Applicant`] that a member admitted, and kept on disk by [`Folder`]. Connections are left to `mesh`.
//!
//! ```text
//! root ── issuer(A) ── issuer(B) ── …          every member may invite, four issuers deep
//!  └ node(A)   └ node(B)    └ node(C)
//! ```

mod address;
mod advice;
mod applicant;
pub mod certificate;
mod chain;
pub mod escrow;
mod folder;
mod grant;
mod invite;
mod issue;
mod key;
mod lattice_id;
mod lattice_text;
mod line;
mod name;
pub mod nkey;
mod node_id;
mod notary;
mod refusal;
pub mod revocation;
mod roll;
mod rotation;
mod shared_secret;
pub mod succession;
mod warrant;

pub use advice::Advice;
pub use applicant::{Admission, AdmissionError, Applicant, Application};
pub use chain::{Chain, ChainError};
pub use folder::{Folder, FolderError};
pub use grant::{ACCOUNT_LEN_MAX, ACCOUNTS_MAX, Grant, GrantError};
pub use invite::{ADDRESSES_MAX, Invite, InviteError, TEXT_MAX};
pub use issue::{IssueError, NoIssuer, Terms, USES_MAX};
pub use key::{Key, PublicKey};
pub use lattice_id::LatticeId;
pub use line::{LINE_TEXT_MAX, Line, News};
pub use name::{BadName, NAME_MAX, check_name};
pub use node_id::NodeId;
pub use notary::Notary;
pub use refusal::Refusal;
pub use revocation::{Revocation, RevocationError};
pub use roll::{Admitted, BUCKETS, Joiner, Learnt, Member, Roll};
pub use rotation::{Rotation, RotationError};
pub use succession::{Expelled, Succession, SuccessionError};
pub use warrant::{Claims, IssuerClaims, NodeClaims, VoucherClaims, VoucherUse, Warrant};

pub(crate) use address::Address;
pub(crate) use name::printable;

use certificate::ISSUERS_MAX;
use lattice_broker::env::Rng;
use nkey::Kind;
use rustls::pki_types::CertificateDer;
use std::time::{SystemTime, UNIX_EPOCH};

/// A member of a lattice: its keys, its certificates, its names and how often it has started.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(super) node: Key,
    pub(super) chain: Chain,
    /// The chain as TLS shows it: node, issuers, root.
    certificates: Vec<CertificateDer<'static>>,
    pub(super) issuer: Option<OwnIssuer>,
    /// On the node that made the lattice, unless it was taken away, and where it was put.
    pub(super) root: Option<Key>,
    /// What is not to be lost of how the root key was replaced: on a node that has done that, or has joined afterwards.
    pub(super) line: Line,
    pub(super) name: String,
    pub(super) lattice_name: String,
    pub(super) boot: u64,
}

/// The key by which a node admits others.
#[derive(Clone, Debug)]
pub(super) struct OwnIssuer {
    pub(super) key: Key,
    pub(super) chain: Chain,
}

impl Identity {
    /// A new lattice and its first node, both named `name`.
    ///
    /// # Panics
    /// When `name` has not passed [`check_name`].
    #[must_use]
    pub fn generate_root(rng: &mut Rng, name: &str) -> Self {
        let root = Key::generate(Kind::Root, rng);
        let node = Key::generate(Kind::Node, rng);
        let issuer = Key::generate(Kind::Issuer, rng);
        let found = |subject, claims| Chain::found(&root, subject, claims).expect("the name was checked");
        let claims = NodeClaims { name: name.to_owned(), grant: Grant::all(), voucher: None, at: 0 };
        let chain = found(node.public(), Claims::Node(claims));
        let claims = IssuerClaims { node: node.public().0, depth: 1, grant: Grant::all() };
        let own = OwnIssuer { chain: found(issuer.public(), Claims::Issuer(claims)), key: issuer };
        let member = Self::member(node, chain, Some(own), name.to_owned(), name.to_owned());
        Self { root: Some(root), ..member }
    }

    pub(super) fn member(
        node: Key,
        chain: Chain,
        issuer: Option<OwnIssuer>,
        name: String,
        lattice_name: String,
    ) -> Self {
        let (certificates, line) = (chain.to_der(), Line::new(chain.root()));
        Self { node, chain, certificates, issuer, root: None, line, name, lattice_name, boot: 1 }
    }

    /// Makes a further member in memory, as a join would: for tests and simulations.
    ///
    /// # Errors
    /// [`AdmissionError::NoIssuer`] when this node may not invite.
    pub fn admit(&self, rng: &mut Rng, name: &str) -> Result<Self, AdmissionError> {
        let own = self.issuer.as_ref().map(|issuer| issuer.chain.last().claims.grant().clone());
        self.admit_with(rng, name, &own.unwrap_or_default())
    }

    /// The same with a grant that is given.
    ///
    /// # Errors
    /// [`AdmissionError`] when this node may not invite, or not grant as much.
    pub fn admit_with(&self, rng: &mut Rng, name: &str, grant: &Grant) -> Result<Self, AdmissionError> {
        let applicant = Applicant::generate(rng, name);
        let claims = NodeClaims { name: name.to_owned(), grant: grant.clone(), voucher: None, at: 0 };
        let (_, admission) = self.admission(&applicant.application(), claims)?;
        applicant.accept(self.chain.root(), admission)
    }

    /// Signs the certificates of an applicant whose right to join has been checked by the caller. The same application
    /// with the same claims gets the same certificates, byte for byte.
    ///
    /// # Errors
    /// [`AdmissionError`] when this node may not admit others, or not grant as much.
    pub fn admission(
        &self,
        application: &Application,
        claims: NodeClaims,
    ) -> Result<(Chain, Admission), AdmissionError> {
        let issuer = self.issuer.as_ref().ok_or(AdmissionError::NoIssuer { why: self.no_issuer() })?;
        let own = issuer.chain.last().claims.grant();
        if !claims.grant.within(own) {
            return Err(AdmissionError::Grant { wanted: claims.grant, own: own.clone() });
        }
        let depth = issuer.chain.warrants().len() + 1;
        let below = (claims.grant.invite && depth <= ISSUERS_MAX).then(|| IssuerClaims {
            node: application.node.0,
            depth: u8::try_from(depth).expect("the limit is small"),
            // Whom the last issuer admits can admit nobody, and so has no such right.
            grant: Grant { invite: depth < ISSUERS_MAX, ..claims.grant.clone() },
        });
        let sign = |subject, claims| issuer.chain.extend(&issuer.key, subject, claims);
        let chain = sign(application.node, Claims::Node(claims))?;
        let below = below.map(|claims| sign(application.issuer, Claims::Issuer(claims))).transpose()?;
        let admission = Admission {
            chain: chain.warrants().to_vec(),
            issuer: below.map(|chain| chain.last().clone()),
            lattice_name: self.lattice_name.clone(),
        };
        Ok((chain, admission))
    }

    /// What it admits others by.
    #[cfg(test)]
    pub(crate) fn issuer_chain_and_key(&self) -> (&Chain, &Key) {
        let issuer = self.issuer.as_ref().expect("it may admit others");
        (&issuer.chain, &issuer.key)
    }

    /// A member that the root itself has certified, as whoever holds its key can make one.
    #[cfg(test)]
    pub(crate) fn certify(&self, rng: &mut Rng, name: &str) -> Self {
        let (root, node) = (self.root.as_ref().expect("it holds the root"), Key::generate(Kind::Node, rng));
        let claims = Claims::Node(NodeClaims { name: name.to_owned(), grant: Grant::all(), voucher: None, at: 0 });
        let chain = Chain::found(root, node.public(), claims).expect("the name is one");
        Self::member(node, chain, None, name.to_owned(), self.lattice_name.clone())
    }

    /// The same member, to which its user has brought another root key.
    #[cfg(test)]
    pub(crate) fn with_root(mut self, root: Key) -> Self {
        self.root = Some(root);
        self
    }

    /// This member with another key, for which it shows what it has signed itself.
    #[cfg(test)]
    pub(crate) fn forged(&self, node: Key) -> Self {
        let stranger = Key::from_seed(Kind::Root, [99; 32]);
        let claims = Claims::Node(NodeClaims { name: "x".to_owned(), grant: Grant::all(), voucher: None, at: 0 });
        let chain = Chain::found(&stranger, node.public(), claims).expect("a chain of a root of its own");
        let mut forged = Self::member(node, chain, None, "x".to_owned(), "x".to_owned());
        *forged.certificates.last_mut().expect("a chain ends in a root") =
            self.certificates[self.certificates.len() - 1].clone();
        forged.chain = self.chain.clone();
        forged
    }

    /// Who this node is.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        NodeId(self.node.public().0)
    }

    /// Which lattice it is a member of.
    #[must_use]
    pub fn lattice(&self) -> LatticeId {
        LatticeId::of(self.chain.root())
    }

    /// The node's name, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The lattice's name, for people.
    #[must_use]
    pub fn lattice_name(&self) -> &str {
        &self.lattice_name
    }

    /// How often the node has started: grows with every start, and orders what it announces.
    #[must_use]
    pub const fn boot(&self) -> u64 {
        self.boot
    }

    /// The same node in its start number `boot`: what a simulator sets at a restart.
    #[must_use]
    pub fn with_boot(mut self, boot: u64) -> Self {
        self.boot = boot;
        self
    }

    /// Whether it may admit others.
    #[must_use]
    pub const fn can_invite(&self) -> bool {
        self.issuer.is_some()
    }

    /// The key by which it admits others.
    #[must_use]
    pub fn issuer_key(&self) -> Option<PublicKey> {
        self.issuer.as_ref().map(|issuer| issuer.key.public())
    }

    /// What it may do.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        self.chain.last().claims.grant()
    }

    /// What makes it a member.
    #[must_use]
    pub const fn membership(&self) -> &Chain {
        &self.chain
    }

    /// Whether it holds the lattice's root key.
    #[must_use]
    pub const fn has_root(&self) -> bool {
        self.root.is_some()
    }

    /// The lattice's root key, where it is.
    #[must_use]
    pub const fn root_key(&self) -> Option<&Key> {
        self.root.as_ref()
    }

    /// How the root key was replaced, as far as that is kept with the keys.
    #[must_use]
    pub const fn line(&self) -> &Line {
        &self.line
    }

    /// The same member, which knows how the root key was replaced.
    #[must_use]
    pub fn with_line(mut self, line: Line) -> Self {
        self.line = line;
        self
    }

    /// The node's key.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.node
    }

    /// Its certificates: the node's first, the root's last.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }
}

/// Seconds since 1970; 0 for a clock that stands before.
pub(crate) fn unix(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

#[cfg(test)]
mod tests;
