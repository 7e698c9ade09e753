//! Certificates: what a lattice's look like, to the byte.
//!
//! All names are fixed or derived from keys, and what a certificate grants is in one extension, so that any of them can be
//! made again from its subject, its [`Claims`] and its signature, and an issuer needs nothing but its key. Validity spans
//! millennia and is judged at a fixed moment: a wrong clock never locks a node out. Which certificates make a member is
//! left to `chain.rs`.

use super::LatticeId;
use super::key::{Key, PublicKey};
use super::nkey::{self, Kind};
use super::warrant::{Claims, Warrant};
use crate::codec;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use std::cell::Cell;
use std::time::Duration;
use webpki::EndEntityCert;

/// The name in every node's certificate. Nothing depends on it but that both ends say the same.
pub const SERVER_NAME: &str = "node.lattice.internal";

/// Issuers below the root, at most: an invited node invites, and so on, four times.
pub const ISSUERS_MAX: usize = 4;

/// Certificates in a chain, at most: the node's, the issuers', the root's.
pub const CHAIN_MAX: usize = ISSUERS_MAX + 2;

/// The extension that holds the claims, in the arc for experiments; a number of our own would have to be registered.
const CLAIMS_OID: [u64; 7] = [1, 3, 6, 1, 3, 7_443, 1];
/// The same as certificates have it.
const CLAIMS_OID_DER: [u8; 7] = [0x2b, 6, 1, 3, 0xba, 0x13, 1];

/// When certificates are judged, whatever the clock says.
pub(crate) fn verification_time() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000))
}

/// The certificate of a lattice's root. It tells the root's key and no more, and its signature is left out (zeros): whoever
/// relies on it knows the key's hash from elsewhere.
pub(crate) fn root(public: PublicKey) -> CertificateDer<'static> {
    let params = authority(Kind::Root, public, BasicConstraints::Unconstrained);
    assemble(&params, public, (Kind::Root, &Given { public, signature: &[0; 64], genuine: Cell::new(false) }))
}

/// Certifies `claims` of `subject` with the key of `parent`.
pub(super) fn sign(subject: PublicKey, claims: Claims, parent: (Kind, &Key)) -> Warrant {
    let der = assemble(&params(subject, &claims), subject, parent);
    let signature = *der.last_chunk().expect("a certificate ends in its signature");
    Warrant { subject: subject.0, claims, signature }
}

/// The certificate that `warrant` stands for, and whether `parent` has signed it.
pub(super) fn rebuild(warrant: &Warrant, (kind, parent): (Kind, PublicKey)) -> (CertificateDer<'static>, bool) {
    let subject = PublicKey(warrant.subject);
    let given = Given { public: parent, signature: &warrant.signature, genuine: Cell::new(false) };
    let der = assemble(&params(subject, &warrant.claims), subject, (kind, &given));
    (der, given.genuine.get())
}

/// What a certificate says. Nothing of it is trusted before it has been [`rebuild`]t and compared.
pub(super) fn read(der: &CertificateDer<'_>) -> Option<Warrant> {
    let claims = codec::decode(claims_of(der)?).ok()?;
    Some(Warrant { subject: public_key(der)?.0, claims, signature: *der.last_chunk()? })
}

/// Whose the certificate is.
pub(crate) fn public_key(certificate: &CertificateDer<'_>) -> Option<PublicKey> {
    PublicKey::from_spki(&EndEntityCert::try_from(certificate).ok()?.subject_public_key_info())
}

/// The lattice that `root` is the root certificate of.
pub(crate) fn lattice_id(root: &CertificateDer<'_>) -> Option<LatticeId> {
    public_key(root).map(LatticeId::of)
}

fn params(subject: PublicKey, claims: &Claims) -> CertificateParams {
    let mut params = match claims {
        Claims::Issuer(issuer) => {
            let below = ISSUERS_MAX.saturating_sub(issuer.depth.into());
            let below = u8::try_from(below).expect("the limit is small");
            authority(Kind::Issuer, subject, BasicConstraints::Constrained(below))
        }
        Claims::Node(_) => end_entity(&nkey::public(Kind::Node, &subject.0), &[true, false]),
        Claims::Voucher(_) => end_entity("voucher", &[false]),
    };
    params.custom_extensions = vec![CustomExtension::from_oid_content(&CLAIMS_OID, codec::encode(claims))];
    params
}

fn assemble(
    params: &CertificateParams,
    subject: PublicKey,
    (kind, key): (Kind, &impl rcgen::SigningKey),
) -> CertificateDer<'static> {
    let public = PublicKey(key.der_bytes().try_into().expect("Ed25519 keys have 32 bytes"));
    let issuer = Issuer::new(authority(kind, public, BasicConstraints::Unconstrained), key);
    params.signed_by(&subject, &issuer).expect("parameters of ours are valid").der().clone()
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(1975, 1, 1);
    params.not_after = rcgen::date_time_ymd(4096, 1, 1);
    params
}

fn authority(kind: Kind, public: PublicKey, below: BasicConstraints) -> CertificateParams {
    let mut params = named(&nkey::public(kind, &public.0));
    params.is_ca = IsCa::Ca(below);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// `roles`: whether it may be shown by the end that was dialled (true), and by the one that dials (false).
fn end_entity(name: &str, roles: &[bool]) -> CertificateParams {
    let mut params = named(name);
    let san = SERVER_NAME.try_into().expect("the fixed name is ASCII");
    params.subject_alt_names = vec![rcgen::SanType::DnsName(san)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let usage = |dialed: &bool| match dialed {
        true => ExtendedKeyUsagePurpose::ServerAuth,
        false => ExtendedKeyUsagePurpose::ClientAuth,
    };
    params.extended_key_usages = roles.iter().map(usage).collect();
    params
}

/// A key of which only the public half is there, and the one signature that is to be put in its place.
struct Given<'a> {
    public: PublicKey,
    signature: &'a [u8; 64],
    /// Set when the signature is one, over what was to be signed.
    genuine: Cell<bool>,
}

impl rcgen::PublicKeyData for Given<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.public.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for Given<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.genuine.set(self.public.verifies(message, self.signature));
        Ok(self.signature.to_vec())
    }
}

const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
/// Of a certificate's parts the one that holds the extensions.
const EXTENSIONS: u8 = 0xa3;

/// The content of the extension that holds the claims.
fn claims_of(der: &[u8]) -> Option<&[u8]> {
    let certificate = expect(SEQUENCE, &mut &der[..])?;
    let mut parts = expect(SEQUENCE, &mut &certificate[..])?;
    let mut extensions = loop {
        let (tag, content) = element(&mut parts)?;
        if tag == EXTENSIONS {
            break expect(SEQUENCE, &mut &content[..])?;
        }
    };
    loop {
        let mut extension = expect(SEQUENCE, &mut extensions)?;
        if expect(OID, &mut extension)? == CLAIMS_OID_DER {
            return expect(OCTETS, &mut extension);
        }
    }
}

fn expect<'a>(tag: u8, from: &mut &'a [u8]) -> Option<&'a [u8]> {
    element(from).filter(|(found, _)| *found == tag).map(|(_, content)| content)
}

/// Takes one element of DER off `from`: its tag and its content.
fn element<'a>(from: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, rest) = from.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let long = usize::from(first.saturating_sub(0x80));
    if long > 2 || first == 0x80 {
        return None;
    }
    let (digits, rest) = rest.split_at_checked(long)?;
    let len = digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit));
    let (content, rest) = rest.split_at_checked(if long == 0 { first.into() } else { len })?;
    *from = rest;
    Some((tag, content))
}
