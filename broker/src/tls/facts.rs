//! What a handshake has come to: what was agreed on, and whose certificates were shown.

use super::names::written;
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, CommonState, ProtocolVersion};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Certificates of a chain that are remembered, and bytes of a name.
const SHOWN_MAX: usize = 4;
const NAME_MAX: usize = 512;

/// What is known of an encrypted connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// The version, as `1.3`.
    pub version: &'static str,
    /// The cipher suite by its name in the registry, as `TLS_AES_128_GCM_SHA256`.
    pub cipher: String,
    /// What the client has shown, its own certificate first; each has been verified, or none was asked for.
    pub certificates: Vec<CertificateDer<'static>>,
    /// What is remembered of the first of them.
    pub shown: Vec<ShownCertificate>,
    /// The handshake came before INFO.
    pub is_first: bool,
}

/// A certificate that a client has shown, as those see it who watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownCertificate {
    /// Its subject, as RFC 2253 writes it; the start of a long one.
    pub subject: String,
    /// The SHA-256 of its key, as DER of a `SubjectPublicKeyInfo`.
    pub key: [u8; 32],
    /// The SHA-256 of all of it.
    pub digest: [u8; 32],
}

impl TlsFacts {
    pub(super) fn of(tls: &CommonState) -> Self {
        let version = match tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "",
        };
        let cipher = tls.negotiated_cipher_suite().map(|suite| cipher_name(suite.suite())).unwrap_or_default();
        let chain = tls.peer_certificates().unwrap_or_default();
        let certificates = chain.iter().map(|one| one.clone().into_owned()).collect();
        let shown = chain.iter().take(SHOWN_MAX).filter_map(|der| show(der)).collect();
        Self { version, cipher, certificates, shown, is_first: false }
    }

    /// The same without the certificates themselves: some kilobytes at most, whatever the client has shown.
    #[must_use]
    pub(crate) fn remembered(&self) -> Self {
        Self { certificates: Vec::new(), ..self.clone() }
    }
}

fn show(der: &[u8]) -> Option<ShownCertificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let mut subject = written(certificate.subject());
    subject.truncate(subject.floor_char_boundary(NAME_MAX));
    Some(ShownCertificate { subject, key: sha256(certificate.public_key().raw), digest: sha256(der) })
}

/// What Go and the registry call a cipher suite; rustls's own names tell 1.3 apart by a word.
#[must_use]
pub fn cipher_name(suite: CipherSuite) -> String {
    let name = suite.as_str().map_or_else(|| format!("{suite:?}"), str::to_owned);
    name.replacen("TLS13_", "TLS_", 1)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}
