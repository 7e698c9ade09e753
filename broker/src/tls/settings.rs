//! How the connections of clients are encrypted: as it is configured, and what a client is told of it in INFO.

use rustls::ServerConfig;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// TLS for the clients of a listener.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Certificates, versions, ciphers, and whose certificates are trusted.
    pub server: Arc<ServerConfig>,
    /// Time that a client has for its handshake. 1 ms to 1 hour.
    pub timeout: Duration,
    /// Whether the handshake comes before INFO.
    pub first: HandshakeFirst,
    /// Clients may go on in the clear. Of no effect where the handshake comes first.
    pub allows_plain: bool,
    /// `server` asks for a certificate of the client; INFO says so.
    pub verifies: bool,
    /// The SHA-256 digests of the public keys that clients may have, if not all that are trusted. As DER of a
    /// `SubjectPublicKeyInfo`.
    pub pinned: BTreeSet<[u8; 32]>,
    /// When the first of the server's certificates ends, for those who watch.
    pub ends: Option<SystemTime>,
}

/// Whether a TLS handshake comes before INFO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HandshakeFirst {
    /// INFO comes first, in the clear.
    #[default]
    Never,
    /// The handshake comes first.
    Always,
    /// The handshake comes first if the client begins it within this time, else INFO.
    Within(Duration),
}

/// What INFO says of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsOffer {
    /// The handshake follows.
    pub required: bool,
    /// The client must show a certificate.
    pub verify: bool,
    /// The handshake may follow.
    pub available: bool,
}

impl Tls {
    /// TLS by `server`, for all clients, after INFO.
    #[must_use]
    pub fn new(server: Arc<ServerConfig>) -> Self {
        Self {
            server,
            timeout: Duration::from_secs(2),
            first: HandshakeFirst::Never,
            allows_plain: false,
            verifies: false,
            pinned: BTreeSet::new(),
            ends: None,
        }
    }

    /// True when a client may go on in the clear.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        self.allows_plain && self.first != HandshakeFirst::Always
    }

    /// What clients over TCP are told of it.
    pub(crate) fn offer(&self) -> TlsOffer {
        let available = self.is_optional();
        TlsOffer { required: !available, verify: self.verifies, available }
    }
}
