//! Files of PEM to what rustls serves by.

use super::{Wanted, suites};
use crate::trust;
use ring::digest::{Context, SHA256};
use rustls::crypto::{CryptoProvider, ring as backend};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use x509_parser::prelude::{FromDer, X509Certificate};

/// What the files come to. Equal when their content and what is made of it are.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) server: Arc<ServerConfig>,
    /// The same, which asks nobody for a certificate.
    pub(super) open: Arc<ServerConfig>,
    /// When the first certificate ends.
    pub(super) ends: Option<SystemTime>,
    digest: Vec<u8>,
}

impl PartialEq for Loaded {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Loaded {}

/// Reads all that `wanted` names.
pub(super) fn load(wanted: &Wanted) -> Result<Loaded, String> {
    let provider = Arc::new(provider(wanted));
    let mut seen = Context::new(&SHA256);
    let (mut keys, mut ends) = (Vec::new(), None::<SystemTime>);
    for (certificate, key) in &wanted.pairs {
        let (key, until) = pair(certificate, key, &provider, &mut seen)
            .map_err(|error| format!("error parsing X509 certificate/key pair: {error}"))?;
        keys.push(Arc::new(key));
        ends = ends.into_iter().chain(until).min();
    }
    let versions: &[_] = if wanted.is_newest_only { &[&rustls::version::TLS13] } else { rustls::ALL_VERSIONS };
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_protocol_versions(versions).map_err(|error| format!("cannot use TLS: {error}"))?;
    let resolver = Arc::new(Resolver(keys));
    let open = Arc::new(builder.clone().with_no_client_auth().with_cert_resolver(resolver.clone()));
    let roots = wanted.ca_file.as_deref().map(|path| roots(path, &mut seen)).transpose()?;
    let server = if wanted.verify || wanted.map {
        let roots = roots.ok_or("verify needs to know whose certificates are trusted: name them with ca_file")?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = verifier.map_err(|error| format!("cannot verify clients: {error}"))?;
        Arc::new(builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver))
    } else {
        open.clone()
    };
    let how = (&wanted.suites, &wanted.groups, wanted.is_newest_only, wanted.verify, wanted.map);
    seen.update(format!("{how:?}").as_bytes());
    Ok(Loaded { server, open, ends, digest: seen.finish().as_ref().to_vec() })
}

/// What is trusted of a server that is dialled, and shown to it; `None` where nothing is said of either: as the system does.
pub(super) fn load_outgoing(wanted: &Wanted) -> Result<Option<Arc<ClientConfig>>, String> {
    let provider = Arc::new(provider(wanted));
    let mut seen = Context::new(&SHA256);
    let versions: &[_] = if wanted.is_newest_only { &[&rustls::version::TLS13] } else { rustls::ALL_VERSIONS };
    let own = wanted.pairs.first().map(|(certificate, key)| private_pair(certificate, key, &mut seen)).transpose()?;
    let trusted = wanted.ca_file.as_deref().map(|path| roots(path, &mut seen)).transpose()?;
    if own.is_none()
        && trusted.is_none()
        && wanted.suites.is_empty()
        && wanted.groups.is_empty()
        && !wanted.is_newest_only
    {
        return Ok(None);
    }
    let trusted = trusted.or_else(trust::system_roots);
    let trusted = trusted.ok_or("no certificate authorities are known on this system: name them with ca_file")?;
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(versions).map_err(|error| format!("cannot use TLS: {error}"))?;
    let builder = builder.with_root_certificates(trusted);
    let client = match own {
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(|error| format!("cannot use TLS: {error}"))?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Some(Arc::new(client)))
}

/// A certificate with its key, as they are shown to a server.
fn private_pair(
    certificate: &Path,
    key: &Path,
    seen: &mut Context,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let chain = certificates(certificate, seen)?;
    let pem = read(key)?;
    seen.update(&pem);
    let private = PrivateKeyDer::from_pem_slice(&pem);
    Ok((chain, private.map_err(|error| format!("{}: no private key in PEM: {error}", key.display()))?))
}

fn provider(wanted: &Wanted) -> CryptoProvider {
    let mut provider = backend::default_provider();
    if !wanted.suites.is_empty() {
        let older = wanted.suites.iter().copied().filter(|suite| suite.tls13().is_none());
        provider.cipher_suites = suites::newest().chain(older).collect();
    }
    if !wanted.groups.is_empty() {
        provider.kx_groups.clone_from(&wanted.groups);
    }
    provider
}

/// A certificate with its key, and when it ends.
fn pair(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
    seen: &mut Context,
) -> Result<(CertifiedKey, Option<SystemTime>), String> {
    let (chain, private) = private_pair(certificate, key, seen)?;
    let ends = chain.first().and_then(|first| X509Certificate::from_der(first).ok()).and_then(|(_, certificate)| {
        let at = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(at))
    });
    let made = CertifiedKey::from_der(chain, private, provider);
    let made = made.map_err(|error| format!("{} and {}: {error}", certificate.display(), key.display()))?;
    Ok((made, ends))
}

fn certificates(path: &Path, seen: &mut Context) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(path)?;
    seen.update(&pem);
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{}: no certificate in PEM", path.display())),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn roots(path: &Path, seen: &mut Context) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, seen)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(roots)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("open {}: {error}", path.display()))
}

/// Certificates to choose from: the first that is for the name that the client wants, else the first that it can check.
#[derive(Debug)]
struct Resolver(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable = || self.0.iter().filter(|key| key.key.choose_scheme(hello.signature_schemes()).is_some());
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| usable().find(|key| is_for(key, &name)));
        named.or_else(|| usable().next()).cloned()
    }
}

fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let certificate = key.cert.first().and_then(|der| webpki::EndEntityCert::try_from(der).ok());
    certificate.is_some_and(|certificate| certificate.verify_is_valid_for_subject_name(name).is_ok())
}
