//! What a session goes by: the terms of its server, the news that clients are told, and what the connection is from outside.

use crate::auth::{Access, ConnectionType};
use crate::proto::{Info, Limits};
use crate::tls::{CertificateNames, TlsOffer};
use crate::websocket::Cookies;
use std::sync::Arc;
use std::time::Duration;

/// What all sessions of a server have in common. A reload makes another one.
#[derive(Debug)]
pub struct Terms {
    /// What INFO says, without what differs from connection to connection.
    pub info: Info,
    /// What a client may send.
    pub limits: Limits,
    /// Who may connect.
    pub access: Access,
    /// The account of those who watch over the server.
    pub system_account: Box<str>,
    /// Subscriptions of one client.
    pub subscriptions_max: usize,
    /// Time without input after which a PING is sent.
    pub ping_interval: Duration,
    /// The same for clients by WebSocket.
    pub websocket_ping_interval: Duration,
    /// PINGs without answer.
    pub ping_max: u32,
    /// Time for CONNECT when credentials are wanted.
    pub auth_timeout: Duration,
}

/// What clients are told of the service as a whole, and again when it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Where else there is the same service, as `host:port`.
    pub connect_urls: Vec<String>,
    /// The server is about to stop: clients had better go elsewhere.
    pub is_lame: bool,
}

/// What one connection is, from the outside.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Where it came in.
    pub host: Arc<str>,
    /// Where it came in.
    pub port: u16,
    /// The server's number for it.
    pub client_id: u64,
    /// The address that it comes from.
    pub client_ip: Box<str>,
    /// What it has shown before CONNECT, which holds where that says nothing.
    pub cookies: Cookies,
    /// What kind of connection it is.
    pub over: ConnectionType,
    /// What it is told of TLS.
    pub tls: TlsOffer,
    /// The names of the certificate that it has shown, which has been verified.
    pub certificate: Option<Arc<CertificateNames>>,
    /// What it is asked to sign; only where [`Terms::wants_nonce`] says so.
    pub nonce: Option<Box<str>>,
}

impl Terms {
    /// Time without input after which a PING is sent to a client that comes over this.
    #[must_use]
    pub fn ping_interval(&self, over: ConnectionType) -> Duration {
        if over == ConnectionType::WebSocket { self.websocket_ping_interval } else { self.ping_interval }
    }

    /// True when clients may have to sign a nonce.
    #[must_use]
    pub fn wants_nonce(&self) -> bool {
        self.access.wants_nonce()
    }
}
