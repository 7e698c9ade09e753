//! By which certificates a server is known that a component asks by HTTPS: those of the system, or those that the link has.

use crate::trust::{client, of_the_system};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// Who is trusted.
#[derive(Clone, Debug)]
pub(in crate::host::engine) enum Trust {
    /// Whoever the system trusts.
    System,
    /// These, and nobody else.
    Only(Arc<ClientConfig>),
}

/// What is no text of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::host::engine) enum BadTrust {
    #[error("it is no PEM text")]
    Text,
    #[error("it has no certificate")]
    None,
    #[error("it has a certificate that is of no authority")]
    Certificate,
}

impl Trust {
    /// Those in `pem`, if there is one.
    ///
    /// # Errors
    /// [`BadTrust`] says what is amiss.
    pub(super) fn parse(pem: Option<&str>) -> Result<Self, BadTrust> {
        let Some(pem) = pem else { return Ok(Self::System) };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.add(certificate.map_err(|_| BadTrust::Text)?).map_err(|_| BadTrust::Certificate)?;
        }
        if roots.is_empty() {
            return Err(BadTrust::None);
        }
        client(roots).map(Self::Only).ok_or(BadTrust::Certificate)
    }

    /// What a handshake goes by; `None` when nobody is trusted. The system's are read when they are first asked for, which takes
    /// some milliseconds.
    pub(super) fn client(&self) -> Option<Arc<ClientConfig>> {
        match self {
            Self::System => of_the_system(),
            Self::Only(client) => Some(client.clone()),
        }
    }
}
