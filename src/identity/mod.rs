//! Who a node is and which lattice it belongs to: keys, certificates, invites, and the folder that keeps them.
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
mod folder;
mod invite;
mod issue;
mod key;
mod lattice_id;
mod name;
pub mod nkey;
mod node_id;
mod refusal;
mod voucher;

pub use advice::Advice;
pub use applicant::{Admission, AdmissionError, Applicant, Application};
pub use certificate::ChainError;
pub use folder::{Folder, FolderError};
pub use invite::{ADDRESSES_MAX, Invite, InviteError};
pub use issue::{IssueError, Terms, USES_MAX};
pub use key::{Key, PublicKey};
pub use lattice_id::LatticeId;
pub use name::{BadName, NAME_MAX, check_name};
pub use node_id::NodeId;
pub use refusal::Refusal;
pub use voucher::{Joiner, NoVouchers, StoreVouchers, Use, Voucher, Vouchers};

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
    /// Node, issuers, root.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) issuer: Option<OwnIssuer>,
    /// On the node that made the lattice only.
    pub(super) root: Option<Key>,
    pub(super) lattice: LatticeId,
    pub(super) name: String,
    pub(super) lattice_name: String,
    pub(super) boot: u64,
}

/// The key by which a node admits others.
#[derive(Clone, Debug)]
pub(super) struct OwnIssuer {
    pub(super) key: Key,
    pub(super) certificate: CertificateDer<'static>,
}

impl Identity {
    /// A new lattice and its first node, both named `name`.
    #[must_use]
    pub fn generate_root(rng: &mut Rng, name: &str) -> Self {
        let root = Key::generate(Kind::Root, rng);
        let node = Key::generate(Kind::Node, rng);
        let issuer = Key::generate(Kind::Issuer, rng);
        let signer = (Kind::Root, &root);
        let own = certificate::issuer(issuer.public(), 1, signer);
        Self {
            chain: vec![certificate::node(node.public(), signer), certificate::root(&root)],
            issuer: Some(OwnIssuer { key: issuer, certificate: own }),
            lattice: LatticeId::of(root.public()),
            root: Some(root),
            node,
            name: name.to_owned(),
            lattice_name: name.to_owned(),
            boot: 1,
        }
    }

    /// Makes a further member in memory, as a join would: for tests and simulations.
    ///
    /// # Errors
    /// [`AdmissionError::NoIssuer`] when this node may not invite.
    pub fn admit(&self, rng: &mut Rng, name: &str) -> Result<Self, AdmissionError> {
        let applicant = Applicant::generate(rng, name);
        let admission = self.admission(&applicant.application())?;
        applicant.accept(self.lattice, admission)
    }

    /// Signs the certificates of an applicant whose right to join has been checked by the caller.
    /// The same application gets the same certificates, byte for byte.
    ///
    /// # Errors
    /// [`AdmissionError::NoIssuer`] when this node may not invite.
    pub fn admission(&self, application: &Application) -> Result<Admission, AdmissionError> {
        let issuer = self.issuer.as_ref().ok_or(AdmissionError::NoIssuer { depth_max: ISSUERS_MAX })?;
        let signer = (Kind::Issuer, &issuer.key);
        // The own chain holds the node, the issuers above and the root: its own issuer stands where the node does.
        let depth = self.chain.len();
        let mut chain = vec![certificate::node(application.node, signer), issuer.certificate.clone()];
        chain.extend_from_slice(&self.chain[1..]);
        let may_invite = depth <= ISSUERS_MAX;
        Ok(Admission {
            chain: chain.iter().map(|c| c.to_vec()).collect(),
            issuer: may_invite.then(|| certificate::issuer(application.issuer, depth, signer).to_vec()),
            lattice_name: self.lattice_name.clone(),
        })
    }

    /// Who this node is.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        NodeId(self.node.public().0)
    }

    /// Which lattice it is a member of.
    #[must_use]
    pub const fn lattice(&self) -> LatticeId {
        self.lattice
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

    /// Whether it may admit others: false at the limit of depth.
    #[must_use]
    pub const fn can_invite(&self) -> bool {
        self.issuer.is_some()
    }

    /// Whether it holds the lattice's root key.
    #[must_use]
    pub const fn has_root(&self) -> bool {
        self.root.is_some()
    }

    /// The node's key.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.node
    }

    /// Its certificates: the node's first, the root's last.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }
}

/// Seconds since 1970; 0 for a clock that stands before.
pub(crate) fn unix(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

#[cfg(test)]
mod tests;
