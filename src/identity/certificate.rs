//! Certificates: what a lattice's look like, and whether a chain of them leads to its root.
//!
//! A chain is node, issuer, …, issuer, root, in this order. All names are fixed or derived from keys, so that a
//! certificate can be made again byte for byte and an issuer needs nothing but its key. Validity spans millennia
//! and is judged at a fixed moment: a wrong clock never locks a node out. Who may be admitted is left to `voucher.rs`.

use super::key::{Key, PublicKey};
use super::nkey::{self, Kind};
use super::{LatticeId, NodeId};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage};

/// The name in every node's certificate. Nothing depends on it but that both ends say the same.
pub const SERVER_NAME: &str = "node.lattice.internal";

/// Issuers below the root, at most: an invited node invites, and so on, four times.
pub const ISSUERS_MAX: usize = 4;

/// Certificates in a chain, at most: the node's, the issuers', the root's.
pub const CHAIN_MAX: usize = ISSUERS_MAX + 2;

/// When certificates are judged, whatever the clock says.
pub(crate) fn verification_time() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000))
}

/// The certificate of a lattice's root, which it signs itself.
pub(crate) fn root(root: &Key) -> CertificateDer<'static> {
    let params = authority(Kind::Root, root.public(), None);
    params.self_signed(root).expect("parameters of ours are valid").der().clone()
}

/// The certificate of an issuer at `depth` below the root (1 to [`ISSUERS_MAX`]), signed by `parent`.
pub(crate) fn issuer(public: PublicKey, depth: usize, parent: (Kind, &Key)) -> CertificateDer<'static> {
    let below = u8::try_from(ISSUERS_MAX.saturating_sub(depth)).expect("the limit is small");
    sign(&authority(Kind::Issuer, public, Some(below)), public, parent)
}

/// The certificate of a node, signed by `parent`.
pub(crate) fn node(public: PublicKey, parent: (Kind, &Key)) -> CertificateDer<'static> {
    sign(&end_entity(&nkey::public(Kind::Node, &public.0)), public, parent)
}

/// What a joining device shows: a certificate that it signs itself with the key from its invite.
pub(crate) fn voucher(key: &Key) -> CertificateDer<'static> {
    end_entity("voucher").self_signed(key).expect("parameters of ours are valid").der().clone()
}

fn sign(params: &CertificateParams, public: PublicKey, (kind, key): (Kind, &Key)) -> CertificateDer<'static> {
    let issuer = Issuer::new(authority(kind, key.public(), None), key);
    params.signed_by(&public, &issuer).expect("parameters of ours are valid").der().clone()
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(1975, 1, 1);
    params.not_after = rcgen::date_time_ymd(4096, 1, 1);
    params
}

fn authority(kind: Kind, public: PublicKey, issuers_below: Option<u8>) -> CertificateParams {
    let mut params = named(&nkey::public(kind, &public.0));
    params.is_ca = IsCa::Ca(issuers_below.map_or(BasicConstraints::Unconstrained, BasicConstraints::Constrained));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn end_entity(name: &str) -> CertificateParams {
    let mut params = named(name);
    let san = SERVER_NAME.try_into().expect("the fixed name is ASCII");
    params.subject_alt_names = vec![rcgen::SanType::DnsName(san)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// Which end of a connection showed the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Dialed,
    Dialing,
}

/// A chain that does not make its holder a member.
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
        /// Which rule, as the verifier puts it.
        why: String,
    },
    /// Not certificates of a lattice at all.
    #[error("it shows no certificates of a lattice ({why})")]
    Foreign {
        /// What is there instead.
        why: String,
    },
}

/// Whose the certificate is.
pub(crate) fn public_key(certificate: &CertificateDer<'_>) -> Option<PublicKey> {
    PublicKey::from_spki(&EndEntityCert::try_from(certificate).ok()?.subject_public_key_info())
}

/// The lattice that `root` is the root certificate of.
pub(crate) fn lattice_id(root: &CertificateDer<'_>) -> Option<LatticeId> {
    public_key(root).map(LatticeId::of)
}

/// Whether `chain` (node first, root last) makes its holder a member of `lattice`, and which node it is.
pub(crate) fn verify(lattice: LatticeId, chain: &[CertificateDer<'_>], role: Role) -> Result<NodeId, ChainError> {
    let foreign = |why: String| ChainError::Foreign { why };
    let [node, issuers @ .., root] = chain else {
        return Err(foreign(format!("{} of them, at least 2 make a chain", chain.len())));
    };
    if chain.len() > CHAIN_MAX {
        return Err(foreign(format!("{} of them, at most {CHAIN_MAX} make a chain", chain.len())));
    }
    let theirs = lattice_id(root).ok_or_else(|| foreign("the last one holds no Ed25519 key".to_owned()))?;
    if theirs != lattice {
        return Err(ChainError::OtherLattice { ours: lattice, theirs });
    }
    let broken = |e: webpki::Error| ChainError::Broken { why: e.to_string() };
    // The hash names the key, not the whole certificate: only its key and name are used, as those of an anchor.
    let anchor = webpki::anchor_from_trusted_cert(root).map_err(broken)?;
    verify_path(node, issuers, &anchor, role).map_err(broken)?;
    let public = public_key(node).ok_or_else(|| foreign("the first one holds no Ed25519 key".to_owned()))?;
    Ok(NodeId(public.0))
}

fn verify_path(
    node: &CertificateDer<'_>,
    issuers: &[CertificateDer<'_>],
    anchor: &TrustAnchor<'_>,
    role: Role,
) -> Result<(), webpki::Error> {
    let usage = match role {
        Role::Dialed => KeyUsage::server_auth(),
        Role::Dialing => KeyUsage::client_auth(),
    };
    let node = EndEntityCert::try_from(node)?;
    let anchors = std::slice::from_ref(anchor);
    let algorithms: &[&dyn rustls::pki_types::SignatureVerificationAlgorithm] = &[webpki::ring::ED25519];
    node.verify_for_usage(algorithms, anchors, issuers, verification_time(), usage, None, None)?;
    let name = ServerName::try_from(SERVER_NAME).expect("the fixed name is a DNS name");
    node.verify_is_valid_for_subject_name(&name)
}

#[cfg(test)]
mod tests;
