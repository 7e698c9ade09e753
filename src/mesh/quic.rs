//! QUIC between nodes: one UDP socket, mutual TLS against the lattice's root, dialling and accepting.
//!
//! Who is let in is decided here ([`Accepted`]); what is said over a connection is left to the link's driver and to
//! `join.rs`, whom to dial and when, to discovery. All time, tasks and randomness come from the [`Env`], so that the
//! same code runs over simulated sockets.
//!
//! A dialler cannot tell from TLS alone that its own certificate was accepted: that is judged after its handshake is
//! over. The accepting side therefore opens one empty unidirectional stream as a welcome, and [`Transport::dial`]
//! waits for it. It is the first one in that direction and is used up when the link's driver gets the connection.

mod accept;
mod cid;
mod congestion;
mod counters;
mod dial;
mod endpoint;
pub mod receipts;
mod runtime;
mod tls;

pub use counters::Counters;
pub use dial::DialError;
pub use tls::crypto_provider;

pub(crate) use dial::Dialer;
pub(crate) use endpoint::{bind_client, client_transport};
pub(crate) use tls::{ALPN_JOIN, ALPN_LINK, Expected, Standing, client_config};

use crate::identity::{Chain, Identity, NodeId, Roll};
use lattice_broker::env::Env;
use quinn::VarInt;
use rustls::crypto::CryptoProvider;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedSemaphorePermit, mpsc};

/// Why a connection was closed, as QUIC application codes.
pub mod close {
    /// The node stops, or the connection has done what it was for.
    pub const DONE: u32 = 0;
    /// Both ends are the same node.
    pub const MYSELF: u32 = 1;
    /// The certificate does not fit the protocol that was asked for.
    pub const WRONG_PROTOCOL: u32 = 2;
    /// The peer did not follow the protocol.
    pub const PROTOCOL: u32 = 3;
    /// More connections than are served at once.
    pub const BUSY: u32 = 4;
    /// Another link between the two nodes is up.
    pub const DUPLICATE: u32 = 5;
    /// Nothing was heard of the peer for too long.
    pub const SILENT: u32 = 6;
    /// The peer is a member no more.
    pub const REVOKED: u32 = 7;
}

/// Bytes that a link may have under way in each direction, unless it is configured otherwise.
pub(crate) const WINDOW: u32 = 8 << 20;

/// How a [`Transport`] works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// A connection that is silent for so long is dead. Links find out by themselves, and sooner.
    pub idle_timeout: Duration,
    /// A handshake takes at most so long, on either side.
    pub handshake_timeout: Duration,
    /// Handshakes under way at once, at most; beyond, first packets are ignored, and peers try again.
    pub handshakes_max: usize,
    /// Joins under way at once, at most.
    pub joins_max: usize,
    /// Bytes in a UDP payload, at most: found out by probing, from 1,200 up.
    pub payload_max: u16,
    /// Bytes under way on a connection's data streams in each direction that the peer's node has not taken, at most; on one of
    /// them half of that.
    pub window: u32,
}

impl Config {
    /// The defaults, listening on `listen`.
    #[must_use]
    pub const fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            idle_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(5),
            handshakes_max: 256,
            joins_max: 16,
            payload_max: 1_472,
            window: WINDOW,
        }
    }
}

/// The socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program has the port.
    #[error("UDP {addr} is in use by another program")]
    InUse {
        /// The address.
        addr: SocketAddr,
    },
    /// The system refuses.
    #[error("cannot listen on UDP {addr}: {error}")]
    Io {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The cryptography that was handed in cannot do this. A mistake of the caller.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// A link's connection: both ends have proved to be members.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The connection. Dropping all its handles closes it.
    pub connection: quinn::Connection,
    /// Who is at the other end.
    pub peer: NodeId,
    /// What makes it a member.
    pub member: Arc<Chain>,
    /// True when this side dialled.
    pub dialed: bool,
}

impl Connected {
    /// The other end's address now; it changes when the peer moves.
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        plain(self.connection.remote_address())
    }
}

/// A device with a voucher, that waits for [`crate::mesh::join::serve`].
#[derive(Debug)]
pub struct JoinAttempt {
    pub(crate) connection: quinn::Connection,
    pub(crate) voucher: Chain,
    /// Bounds how many are served at once.
    pub(crate) _permit: OwnedSemaphorePermit,
}

/// Who has come in.
#[derive(Debug)]
pub enum Accepted {
    /// A member.
    Link(Connected),
    /// A device that wants to become one.
    Join(JoinAttempt),
}

/// One socket with all connections of a node. Dropping it closes them.
#[derive(Debug)]
pub struct Transport {
    env: Env,
    endpoint: quinn::Endpoint,
    dialer: Dialer,
    me: NodeId,
    accepted: Mutex<mpsc::Receiver<Accepted>>,
    counters: Arc<Counters>,
    local: SocketAddr,
}

impl Transport {
    /// Opens the socket, and spawns the task that accepts and one for each handshake.
    ///
    /// # Errors
    /// [`BindError`]: nothing is left behind.
    ///
    /// # Panics
    /// On [`Env::tokio`], when called outside of its runtime.
    pub fn bind(
        env: &Env,
        config: &Config,
        identity: &Arc<Identity>,
        roll: &Arc<Roll>,
        crypto: &Arc<CryptoProvider>,
    ) -> Result<Self, BindError> {
        let counters = Arc::new(Counters::default());
        let server = tls::server_config(crypto, identity, roll)?;
        let endpoint = endpoint::bind(env, config, identity, server, &counters)?;
        let local = endpoint.local_addr().map_err(|error| BindError::Io { addr: config.listen, error })?;
        let client = client_config(crypto, ALPN_LINK, identity.chain().to_vec(), identity.key())?;
        let transport = Arc::new(endpoint::transport(config));
        let expected = Expected { lattice: identity.lattice(), standing: Standing::Roll(Arc::clone(roll)) };
        let dialer = Dialer::new(env, &endpoint, client, transport, expected, config.handshake_timeout);
        let accepted = accept::start(env, config, &endpoint, identity, &counters);
        Ok(Self {
            env: env.clone(),
            me: identity.node_id(),
            accepted: Mutex::new(accepted),
            endpoint,
            dialer,
            counters,
            local,
        })
    }

    /// The next one who has come in; `None` once closed, or when the socket has failed for good. Cancel safe.
    ///
    /// Up to 32 wait to be accepted, and as many as handshakes are allowed wait behind them; nothing else is held up.
    pub async fn accept(&self) -> Option<Accepted> {
        self.accepted.lock().await.recv().await
    }

    /// Connects to the node at `addr`. Ready when both sides have accepted each other. Dropping it gives up.
    ///
    /// # Errors
    /// [`DialError`]: which of them are worth another attempt is said there.
    pub async fn dial(&self, addr: SocketAddr) -> Result<Connected, DialError> {
        self.counters.dials.add();
        let (connection, member, peer) = self.dialer.link(addr).await?;
        if peer == self.me {
            connection.close(VarInt::from_u32(close::MYSELF), b"");
            return Err(DialError::Myself { addr });
        }
        Ok(Connected { connection, peer, member: Arc::new(member), dialed: true })
    }

    /// Where it listens, with the port that was picked.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Closes all connections and waits, at most so long, until the peers know: for some of their round trips, which whoever
    /// talks to them is answered with. Who does not hear of it finds out by its idle time-out.
    pub async fn close(&self, patience: Duration) {
        self.endpoint.close(VarInt::from_u32(close::DONE), b"");
        let _ = self.env.timeout(patience, self.endpoint.wait_idle()).await;
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.endpoint.close(VarInt::from_u32(close::DONE), b"");
    }
}

/// An IPv4 address that a dual-stack socket shows as IPv6, as IPv4.
pub(crate) fn plain(addr: SocketAddr) -> SocketAddr {
    let ip: IpAddr = addr.ip().to_canonical();
    if ip == addr.ip() { addr } else { (ip, addr.port()).into() }
}

#[cfg(test)]
mod tests;
