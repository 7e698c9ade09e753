//! Whom this node trusts where it is a client over TLS: whoever the system trusts, or those who were named. What a handshake is part
//! of, and how long it may take, is its caller's.

use rustls::crypto::ring as backend;
use rustls::{ClientConfig, RootCertStore};
use std::sync::{Arc, OnceLock};

/// Trusts whom the system trusts; read once, when it is first needed. `None` when that is nobody.
pub(crate) fn of_the_system() -> Option<Arc<ClientConfig>> {
    static SYSTEM: OnceLock<Option<Arc<ClientConfig>>> = OnceLock::new();
    SYSTEM.get_or_init(|| system_roots().and_then(client)).clone()
}

/// Whom the system trusts; `None` when that is nobody.
pub(crate) fn system_roots() -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    // What cannot be read of them is as if it were not there.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    (!roots.is_empty()).then_some(roots)
}

/// Trusts `roots`, and shows nothing of itself.
pub(crate) fn client(roots: RootCertStore) -> Option<Arc<ClientConfig>> {
    let builder = ClientConfig::builder_with_provider(Arc::new(backend::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().ok()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    // Sessions take memory that nobody counts, and tell servers that it is the same client again.
    config.resumption = rustls::client::Resumption::disabled();
    Some(Arc::new(config))
}
