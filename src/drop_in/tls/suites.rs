//! Cipher suites and curves by the names that Go has for them.

use lattice_broker::tls::cipher_name;
use rustls::SupportedCipherSuite;
use rustls::crypto::{SupportedKxGroup, ring};

/// The cipher suite of that name.
///
/// # Errors
/// What is accepted instead.
pub(super) fn suite(name: &str) -> Result<SupportedCipherSuite, String> {
    let wanted = name.trim_end_matches("_SHA256");
    let found = all().find(|suite| cipher_name(suite.suite()).trim_end_matches("_SHA256") == wanted);
    found.ok_or_else(|| {
        let names: Vec<String> = all().map(|suite| cipher_name(suite.suite())).collect();
        format!("unrecognized cipher {name}: accepted are {}", names.join(", "))
    })
}

fn all() -> impl Iterator<Item = SupportedCipherSuite> {
    ring::DEFAULT_CIPHER_SUITES.iter().copied()
}

/// Those of TLS 1.3, which no list leaves out.
pub(super) fn newest() -> impl Iterator<Item = SupportedCipherSuite> {
    all().filter(|suite| suite.tls13().is_some())
}

/// The curve of that name.
///
/// # Errors
/// What is accepted instead.
pub(super) fn group(name: &str) -> Result<&'static dyn SupportedKxGroup, String> {
    match name {
        "X25519" => Ok(ring::kx_group::X25519),
        "CurveP256" => Ok(ring::kx_group::SECP256R1),
        "CurveP384" => Ok(ring::kx_group::SECP384R1),
        _ => Err(format!("unrecognized curve preference {name}: accepted are X25519, CurveP256 and CurveP384")),
    }
}
