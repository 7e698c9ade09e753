//! Dialling: one connection to one address, and why it did not come about. Whom to dial and when is left to others.

use super::{close, endpoint, plain, tls};
use crate::identity::certificate::SERVER_NAME;
use crate::identity::{Advice, Chain, ChainError, LatticeId, NodeId, printable};
use lattice_broker::env::{Elapsed, Env};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ConnectError, Connection, ConnectionError, ConnectionId, Endpoint, TransportConfig};
use rustls::pki_types::CertificateDer;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// No connection. `NoAnswer`, `Busy` and `Closing` pass by themselves; the others need someone to act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// Nothing came back.
    #[error("{addr} does not answer (waited {} ms)", waited.as_millis())]
    NoAnswer {
        /// Where.
        addr: SocketAddr,
        /// For how long.
        waited: Duration,
    },
    /// The address cannot be dialled from here.
    #[error("{addr} cannot be reached from here: {why}")]
    Unreachable {
        /// Where.
        addr: SocketAddr,
        /// What is in the way.
        why: String,
    },
    /// The peer does not take this node for a member.
    #[error("{addr} refused this node: it is no member there")]
    NotAMember {
        /// Where.
        addr: SocketAddr,
        /// The TLS alert that it sent.
        alert: u8,
    },
    /// The peer knows that this node's membership has ended.
    #[error("{addr} refused this node: it has been revoked")]
    IsRevoked {
        /// Where.
        addr: SocketAddr,
    },
    /// A node that was a member once.
    #[error("{addr} has been revoked: {what}")]
    Revoked {
        /// Where.
        addr: SocketAddr,
        /// Who, in words.
        what: String,
    },
    /// A node of another lattice.
    #[error("{addr} answered, but for another lattice (root {theirs}, ours is {ours})")]
    OtherLattice {
        /// Where.
        addr: SocketAddr,
        /// The lattice that was expected there.
        ours: LatticeId,
        /// The one that answered.
        theirs: LatticeId,
    },
    /// Someone who claims our root without being signed by it.
    #[error("{addr} answered with a certificate that does not chain to the lattice's root ({why})")]
    BadCertificate {
        /// Where.
        addr: SocketAddr,
        /// What the verifier says.
        why: String,
    },
    /// Something that is no lattice node, or of another version.
    #[error("{addr} answered, but not as a lattice node ({why})")]
    NotLattice {
        /// Where.
        addr: SocketAddr,
        /// What it did instead.
        why: String,
    },
    /// It has more to do than it can.
    #[error("{addr} is busy and took no further connection")]
    Busy {
        /// Where.
        addr: SocketAddr,
    },
    /// This very node.
    #[error("{addr} is this node itself")]
    Myself {
        /// Where.
        addr: SocketAddr,
    },
    /// This node is closing.
    #[error("{addr} was not dialled: this node is closing")]
    Closing {
        /// Where.
        addr: SocketAddr,
    },
}

impl DialError {
    /// Likely cause, next command and code.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::NoAnswer { addr, .. } => Advice::new(
                "E0130",
                "no node runs there, or a firewall drops UDP",
                format!("lattice status   there, and let UDP port {} pass", addr.port()),
            ),
            Self::Unreachable { .. } => {
                Advice::new("E0131", "this device has no route, or listens on IPv4 only", "lattice status")
            }
            Self::NotAMember { .. } => Advice::new(
                "E0132",
                "this node was invited to another lattice, or its data is older than that lattice",
                "lattice invite   there, and join with a new data folder",
            ),
            Self::IsRevoked { .. } => Advice::new(
                "E0139",
                "somebody threw this node out",
                "lattice invite   there, and join with a new data folder",
            ),
            Self::Revoked { .. } => {
                Advice::new("E0139", "somebody threw that node out", "lattice members   tells who is revoked")
            }
            Self::OtherLattice { .. } => Advice::new(
                "E0107",
                "the lattice there was made anew, or the address belongs to someone else now",
                "lattice status   on both, and compare the lattice",
            ),
            Self::BadCertificate { .. } => Advice::new(
                "E0133",
                "someone pretends to be a member, or that node's data was mixed up",
                "lattice status   there; if that is no node of yours, do not use this address",
            ),
            Self::NotLattice { .. } => Advice::new(
                "E0134",
                "another service has that port, or the versions differ",
                "lattice --version   there",
            ),
            Self::Busy { .. } => Advice::new("E0135", "many devices connect at once", "wait; it is tried again"),
            Self::Myself { .. } => Advice::new("E0136", "the list of peers holds this node", "take it out of the list"),
            Self::Closing { .. } => Advice::new("E0137", "lattice is being stopped", "lattice up"),
        }
    }
}

/// TLS alerts (RFC 8446, 6) by which a peer says that it does not accept a certificate.
const CERTIFICATE_ALERTS: [u8; 9] = [42, 43, 44, 45, 46, 48, 49, 51, 116];
const CERTIFICATE_REVOKED: u8 = 44;
const NO_APPLICATION_PROTOCOL: u8 = 120;
const TLS_ALERT: u64 = 0x100;
const CONNECTION_REFUSED: u64 = 2;

/// Dials members of one lattice from one endpoint.
#[derive(Clone)]
pub(crate) struct Dialer {
    env: Env,
    endpoint: Endpoint,
    tls: Arc<rustls::ClientConfig>,
    transport: Arc<TransportConfig>,
    initial_ids: Arc<dyn Fn() -> ConnectionId + Send + Sync>,
    expected: tls::Expected,
    timeout: Duration,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialer({})", self.expected.lattice)
    }
}

impl Dialer {
    pub(crate) fn new(
        env: &Env,
        endpoint: &Endpoint,
        tls: rustls::ClientConfig,
        transport: Arc<TransportConfig>,
        expected: tls::Expected,
        timeout: Duration,
    ) -> Self {
        let initial_ids = endpoint::initial_ids(env.rng("quic initial ids"));
        Self {
            env: env.clone(),
            endpoint: endpoint.clone(),
            tls: Arc::new(tls),
            transport,
            initial_ids,
            expected,
            timeout,
        }
    }

    /// A connection for which the peer has proved to be a member, and it accepted us: for links.
    pub(super) async fn link(&self, addr: SocketAddr) -> Result<(Connection, Chain, NodeId), DialError> {
        self.within(addr, async {
            let connection = self.handshake(addr).await?;
            let welcome = connection.accept_uni().await;
            let mut welcome = welcome.map_err(|e| self.explain(addr, &e, None))?;
            let ended = welcome.read_to_end(0).await;
            ended.map_err(|e| DialError::NotLattice { addr, why: format!("its welcome is not empty: {e}") })?;
            let (member, peer) = Chain::read_member(self.expected.lattice, &shown(&connection))
                .map_err(|e| DialError::BadCertificate { addr, why: e.to_string() })?;
            Ok((connection, member, peer))
        })
        .await
    }

    /// A connection for which the peer has proved to be a member; whether it accepted us shows later: for joins.
    pub(crate) async fn connect(&self, addr: SocketAddr) -> Result<Connection, DialError> {
        self.within(addr, self.handshake(addr)).await
    }

    async fn within<T>(
        &self,
        addr: SocketAddr,
        attempt: impl Future<Output = Result<T, DialError>>,
    ) -> Result<T, DialError> {
        let result = self.env.timeout(self.timeout, attempt).await;
        result.unwrap_or_else(|Elapsed| Err(DialError::NoAnswer { addr, waited: self.timeout }))
    }

    async fn handshake(&self, addr: SocketAddr) -> Result<Connection, DialError> {
        let verdict = tls::Verdict::default();
        let tls = tls::expecting(&self.tls, &self.expected, &verdict);
        let crypto = QuicClientConfig::try_from(tls).map_err(|e| unreachable(addr, e))?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(self.transport.clone()).initial_dst_cid_provider(self.initial_ids.clone());
        let connecting = self.endpoint.connect_with(config, addr, SERVER_NAME).map_err(|e| match e {
            ConnectError::EndpointStopping => DialError::Closing { addr },
            other => unreachable(addr, other),
        })?;
        connecting.await.map_err(|e| self.explain(addr, &e, verdict.take()))
    }

    /// What a connection's error means for whoever dialled.
    pub(crate) fn explain(&self, addr: SocketAddr, error: &ConnectionError, verdict: Option<ChainError>) -> DialError {
        let addr = plain(addr);
        let not_lattice = |why: String| DialError::NotLattice { addr, why: printable(&why) };
        if let Some(chain_error) = verdict {
            return match chain_error {
                ChainError::OtherLattice { ours, theirs } => DialError::OtherLattice { addr, ours, theirs },
                ChainError::Broken { why } => DialError::BadCertificate { addr, why },
                ChainError::Revoked { what } => DialError::Revoked { addr, what },
                ChainError::Foreign { why } => not_lattice(format!("it shows no certificates of a lattice: {why}")),
            };
        }
        match error {
            ConnectionError::TimedOut => DialError::NoAnswer { addr, waited: self.timeout },
            ConnectionError::ConnectionClosed(frame) => by_code(addr, frame.error_code.into(), &error.to_string()),
            ConnectionError::ApplicationClosed(frame) => match u32::try_from(frame.error_code.into_inner()) {
                Ok(close::MYSELF) => DialError::Myself { addr },
                Ok(close::REVOKED) => DialError::IsRevoked { addr },
                Ok(close::BUSY) => DialError::Busy { addr },
                Ok(_) | Err(_) => not_lattice(error.to_string()),
            },
            ConnectionError::VersionMismatch => not_lattice("no common version of QUIC".to_owned()),
            ConnectionError::LocallyClosed => DialError::Closing { addr },
            ConnectionError::TransportError(_) | ConnectionError::Reset | ConnectionError::CidsExhausted => {
                not_lattice(error.to_string())
            }
        }
    }
}

fn by_code(addr: SocketAddr, code: u64, text: &str) -> DialError {
    let alert = u8::try_from(code.wrapping_sub(TLS_ALERT)).ok();
    match alert {
        Some(CERTIFICATE_REVOKED) => DialError::IsRevoked { addr },
        Some(alert) if CERTIFICATE_ALERTS.contains(&alert) => DialError::NotAMember { addr, alert },
        Some(NO_APPLICATION_PROTOCOL) => {
            DialError::NotLattice { addr, why: "it speaks no protocol that this version knows".to_owned() }
        }
        None if code == CONNECTION_REFUSED => DialError::Busy { addr },
        Some(_) | None => DialError::NotLattice { addr, why: printable(text) },
    }
}

fn unreachable(addr: SocketAddr, why: impl ToString) -> DialError {
    DialError::Unreachable { addr, why: why.to_string() }
}

/// The certificates that the other end has shown.
pub(super) fn shown(connection: &Connection) -> Vec<CertificateDer<'static>> {
    connection.peer_identity().and_then(|any| any.downcast().ok()).map_or_else(Vec::new, |chain| *chain)
}
