//! TLS 1.3 on both ends of every connection: who is let in, before a byte of ours is exchanged.
//!
//! An accepting node takes a node's or a voucher's chain to its own root; a dialling one takes a node's chain to the root
//! that it expects, and nothing else. No resumption, no early data, and a fixed time: there is one way in, and no clock
//! closes it.

use crate::identity::certificate;
use crate::identity::{Chain, ChainError, Claims, Identity, Key, LatticeId, Line, Roll};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};
use std::fmt;
use std::sync::{Arc, Mutex};

/// What links say they speak.
pub(crate) const ALPN_LINK: &[u8] = b"lattice/1";
/// What joins say they speak.
pub(crate) const ALPN_JOIN: &[u8] = b"lattice-join/1";

/// The cryptography of a node that is not simulated.
#[must_use]
pub fn crypto_provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What an accepting node shows and asks for.
pub(super) fn server_config(
    crypto: &Arc<CryptoProvider>,
    identity: &Identity,
    roll: &Arc<Roll>,
) -> Result<ServerConfig, Error> {
    let verifier =
        Admit { lattice: identity.lattice(), roll: Arc::clone(roll), signatures: Signatures(crypto.clone()) };
    let mut config = ServerConfig::builder_with_details(crypto.clone(), Arc::new(FixedTime))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(identity.chain().to_vec(), identity.key().to_pkcs8())?;
    config.alpn_protocols = vec![ALPN_LINK.to_vec(), ALPN_JOIN.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// What a dialling node shows. It trusts nobody until [`expecting`] says whom.
pub(crate) fn client_config(
    crypto: &Arc<CryptoProvider>,
    alpn: &[u8],
    chain: Vec<CertificateDer<'static>>,
    key: &Key,
) -> Result<ClientConfig, Error> {
    let nobody = Expect {
        expected: Expected { lattice: LatticeId([0; 32]), standing: Standing::Any },
        verdict: Verdict::default(),
        signatures: Signatures(crypto.clone()),
    };
    let mut config = ClientConfig::builder_with_details(crypto.clone(), Arc::new(FixedTime))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(nobody))
        .with_client_auth_cert(chain, key.to_pkcs8())?;
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

/// Whom a dialling node takes for a member.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// Of this lattice.
    pub(crate) lattice: LatticeId,
    /// By this it may be none any more.
    pub(crate) standing: Standing,
}

/// By what a chain may count no more.
#[derive(Clone, Debug)]
pub(crate) enum Standing {
    /// Nothing is known.
    Any,
    /// The root keys: all that a device knows that only just joins.
    Line(Arc<Line>),
    /// All that a member knows.
    Roll(Arc<Roll>),
}

impl Standing {
    fn refuses(&self, chain: &Chain) -> Option<String> {
        match self {
            Self::Any => None,
            Self::Line(line) => line.refuses(chain),
            Self::Roll(roll) => roll.refuses(chain),
        }
    }
}

/// `config` for one connection to a member as `expected`; `verdict` then holds why the peer is none.
pub(super) fn expecting(config: &ClientConfig, expected: &Expected, verdict: &Verdict) -> ClientConfig {
    let mut config = config.clone();
    let signatures = Signatures(config.crypto_provider().clone());
    let verifier = Expect { expected: expected.clone(), verdict: verdict.clone(), signatures };
    config.dangerous().set_certificate_verifier(Arc::new(verifier));
    config
}

/// Why the other end's chain was not accepted: more than a TLS error can carry.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict(Arc<Mutex<Option<ChainError>>>);

impl Verdict {
    pub(super) fn take(&self) -> Option<ChainError> {
        self.0.lock().expect("no one panics while holding it").take()
    }

    fn set(&self, error: ChainError) {
        *self.0.lock().expect("no one panics while holding it") = Some(error);
    }
}

#[derive(Debug)]
struct FixedTime;

impl TimeProvider for FixedTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(certificate::verification_time())
    }
}

/// The checks of signatures in the handshake, which both directions share.
#[derive(Clone)]
struct Signatures(Arc<CryptoProvider>);

impl Signatures {
    fn verify(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }
}

impl fmt::Debug for Signatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signatures")
    }
}

fn no_tls12() -> Error {
    Error::General("TLS 1.2 is not offered".to_owned())
}

/// Ends a dialled connection unless the peer is a member.
#[derive(Debug)]
struct Expect {
    expected: Expected,
    verdict: Verdict,
    signatures: Signatures,
}

impl ServerCertVerifier for Expect {
    fn verify_server_cert(
        &self,
        node: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Expected { lattice, standing } = &self.expected;
        let member = Chain::read_member(*lattice, &joined(node, rest))
            .and_then(|(chain, _)| standing.refuses(&chain).map_or(Ok(()), |what| Err(ChainError::Revoked { what })));
        member.map(|()| ServerCertVerified::assertion()).map_err(|error| {
            let alert = match error {
                ChainError::Revoked { .. } => CertificateError::Revoked,
                ChainError::OtherLattice { .. } | ChainError::Broken { .. } | ChainError::Foreign { .. } => {
                    CertificateError::UnknownIssuer
                }
            };
            self.verdict.set(error);
            alert.into()
        })
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signatures.verify(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// Lets members in, and holders of an invite: also of one that is used up or expired, to be told so.
#[derive(Debug)]
struct Admit {
    lattice: LatticeId,
    roll: Arc<Roll>,
    signatures: Signatures,
}

impl ClientCertVerifier for Admit {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        node: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain = Chain::read(self.lattice, &joined(node, rest)).map_err(|_| CertificateError::UnknownIssuer)?;
        let admitted = match chain.last().claims {
            // Who holds a revoked member's invite gets to hear whose it is.
            Claims::Voucher(_) => Ok(()),
            Claims::Node(_) if self.roll.refuses(&chain).is_some() => Err(CertificateError::Revoked),
            Claims::Node(_) => Ok(()),
            Claims::Issuer(_) => Err(CertificateError::ApplicationVerificationFailure),
        };
        admitted.map(|()| ClientCertVerified::assertion()).map_err(Error::from)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signatures.verify(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

fn joined<'a>(node: &CertificateDer<'a>, rest: &[CertificateDer<'a>]) -> Vec<CertificateDer<'a>> {
    // One more than a chain may have is enough to be refused.
    std::iter::once(node).chain(rest.iter().take(certificate::CHAIN_MAX)).cloned().collect()
}
