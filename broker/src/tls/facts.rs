//! What a handshake has come to: what was agreed on, and whose certificates were shown.

use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, ProtocolVersion, ServerConnection};
use x509_parser::prelude::{FromDer, X509Certificate};

/// What is known of an encrypted connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// The version, as `1.3`.
    pub version: &'static str,
    /// The cipher suite by its name in the registry, as `TLS_AES_128_GCM_SHA256`.
    pub cipher: String,
    /// What the client has shown, its own certificate first; each has been verified, or none was asked for.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The handshake came before INFO.
    pub is_first: bool,
}

impl TlsFacts {
    pub(super) fn of(tls: &ServerConnection) -> Self {
        let version = match tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "",
        };
        let cipher = tls.negotiated_cipher_suite().map(|suite| name(suite.suite())).unwrap_or_default();
        let certificates = tls.peer_certificates().unwrap_or_default().iter().map(|one| one.clone().into_owned());
        Self { version, cipher, certificates: certificates.collect(), is_first: false }
    }

    /// The digest of the key that the client has proven to hold; `None` when it has shown none.
    #[must_use]
    pub fn key_digest(&self) -> Option<[u8; 32]> {
        key_digest(self.certificates.first()?)
    }
}

/// The digest of the public key, as DER of a `SubjectPublicKeyInfo`, of a certificate in DER.
pub(crate) fn key_digest(certificate: &[u8]) -> Option<[u8; 32]> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(sha256(certificate.public_key().raw))
}

/// As Go and the registry have it; rustls's own names tell 1.3 apart by a word.
fn name(suite: CipherSuite) -> String {
    let name = suite.as_str().map_or_else(|| format!("{suite:?}"), str::to_owned);
    name.replacen("TLS13_", "TLS_", 1)
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}
