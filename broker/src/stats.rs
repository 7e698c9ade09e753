//! What is counted: messages, bytes, connections, and every drop by its reason.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Messages, and the bytes of their bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) msgs: u64,
    pub(crate) bytes: u64,
}

impl Traffic {
    #[inline]
    pub(crate) fn count(&mut self, body_len: usize) {
        self.msgs += 1;
        self.bytes += body_len as u64;
    }
}

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.msgs += other.msgs;
        self.bytes += other.bytes;
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CloseReason {
    /// The client closed it.
    ClientClosed,
    /// No CONNECT in time.
    AuthenticationTimeout,
    /// Wrong or missing credentials.
    AuthenticationFailure,
    /// Its credentials, or those of its account, have ended.
    AuthenticationExpired,
    /// Its credentials have been declared void.
    Revocation,
    /// Too many bytes waited for it.
    SlowConsumerPendingBytes,
    /// It read nothing for too long.
    SlowConsumerWriteDeadline,
    /// Writing failed.
    WriteError,
    /// Reading failed.
    ReadError,
    /// It said that there was an error.
    ParseError,
    /// It did not answer PINGs.
    StaleConnection,
    /// It sent what cannot be read, or is not allowed.
    ProtocolViolation,
    /// It speaks a release of the protocol that there is not.
    BadProtocolVersion,
    /// It wants to be told by headers, which it does not understand, that nobody serves a request.
    NoRespondersWithoutHeaders,
    /// There are too many connections.
    MaximumConnectionsExceeded,
    /// Somebody who watches over the server wanted it.
    Kicked,
    /// Its account has connections enough.
    MaximumAccountConnectionsExceeded,
    /// It sent a message over the limit.
    MaximumPayloadExceeded,
    /// It sent a control line over the limit.
    MaximumControlLineExceeded,
    /// It did not come to an agreement about TLS.
    TlsHandshakeError,
    /// The server stops.
    ServerShutdown,
}

impl CloseReason {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::ClientClosed,
        Self::AuthenticationTimeout,
        Self::AuthenticationFailure,
        Self::AuthenticationExpired,
        Self::Revocation,
        Self::SlowConsumerPendingBytes,
        Self::SlowConsumerWriteDeadline,
        Self::WriteError,
        Self::ReadError,
        Self::ParseError,
        Self::StaleConnection,
        Self::ProtocolViolation,
        Self::BadProtocolVersion,
        Self::NoRespondersWithoutHeaders,
        Self::MaximumConnectionsExceeded,
        Self::Kicked,
        Self::MaximumAccountConnectionsExceeded,
        Self::MaximumPayloadExceeded,
        Self::MaximumControlLineExceeded,
        Self::TlsHandshakeError,
        Self::ServerShutdown,
    ];

    /// The status of a WebSocket's close frame (RFC 6455, section 7.4.1), as nats-server has it.
    pub(crate) fn websocket_status(self) -> u16 {
        match self {
            Self::ClientClosed => 1000,
            Self::WriteError | Self::ReadError | Self::StaleConnection | Self::ServerShutdown => 1001,
            Self::ParseError | Self::ProtocolViolation | Self::BadProtocolVersion => 1002,
            Self::MaximumPayloadExceeded => 1009,
            Self::TlsHandshakeError => 1015,
            Self::AuthenticationTimeout
            | Self::AuthenticationFailure
            | Self::AuthenticationExpired
            | Self::Revocation
            | Self::SlowConsumerPendingBytes
            | Self::SlowConsumerWriteDeadline
            | Self::MaximumConnectionsExceeded
            | Self::MaximumAccountConnectionsExceeded
            | Self::MaximumControlLineExceeded => 1008,
            Self::NoRespondersWithoutHeaders | Self::Kicked => 1011,
        }
    }

    /// The words that operators' tools know.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::ClientClosed => "Client Closed",
            Self::AuthenticationTimeout => "Authentication Timeout",
            Self::AuthenticationFailure => "Authentication Failure",
            Self::AuthenticationExpired => "Authentication Expired",
            Self::Revocation => "Credentials Revoked",
            Self::SlowConsumerPendingBytes => "Slow Consumer (Pending Bytes)",
            Self::SlowConsumerWriteDeadline => "Slow Consumer (Write Deadline)",
            Self::WriteError => "Write Error",
            Self::ReadError => "Read Error",
            Self::ParseError => "Parse Error",
            Self::StaleConnection => "Stale Connection",
            Self::ProtocolViolation => "Protocol Violation",
            Self::BadProtocolVersion => "Bad Client Protocol Version",
            Self::NoRespondersWithoutHeaders => "No Responders Requires Headers",
            Self::MaximumConnectionsExceeded => "Maximum Connections Exceeded",
            Self::Kicked => "Kicked",
            Self::MaximumAccountConnectionsExceeded => "Maximum Account Connections Exceeded",
            Self::MaximumPayloadExceeded => "Maximum Message Payload Exceeded",
            Self::MaximumControlLineExceeded => "Maximum Control Line Exceeded",
            Self::TlsHandshakeError => "TLS Handshake Failure",
            Self::ServerShutdown => "Server Shutdown",
        }
    }
}

/// The broker's figures at one moment. Messages and bytes are counted in batches, shortly after they moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Client connections now.
    pub connections: u64,
    /// Client connections since the start.
    pub total_connections: u64,
    /// Subscriptions of clients and in-process clients now.
    pub subscriptions: u64,
    /// Messages published by clients.
    pub in_msgs: u64,
    /// Their bodies, in bytes.
    pub in_bytes: u64,
    /// Messages published by neighbours.
    pub neighbor_in_msgs: u64,
    /// Messages handed to clients.
    pub out_msgs: u64,
    /// Their bodies, in bytes.
    pub out_bytes: u64,
    /// Messages handed to neighbours.
    pub neighbor_out_msgs: u64,
    /// Clients closed because they did not keep up.
    pub slow_consumers: u64,
    /// Times that a publisher was slowed down.
    pub stalls: u64,
    /// Attempts to connect that failed before there was a connection.
    pub accept_errors: u64,
    /// Connections that ended, by reason; only those that occurred.
    pub closed: BTreeMap<&'static str, u64>,
    /// Messages that were not handed on, by reason; only those that occurred.
    pub drops: BTreeMap<&'static str, u64>,
}

macro_rules! counters {
    ($($name:ident),*) => {
        /// The live counters.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
            closed: [AtomicU64; CloseReason::ALL.len()],
        }
    };
}

counters!(
    connections,
    total_connections,
    subscriptions,
    in_msgs,
    in_bytes,
    neighbor_in_msgs,
    out_msgs,
    out_bytes,
    neighbor_out_msgs,
    stalls,
    accept_errors,
    drop_local_full,
    drop_closed,
    drop_denied,
    drop_account
);

impl Counters {
    pub(crate) fn close(&self, reason: CloseReason) {
        self.closed[reason as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let closed = |reason: CloseReason| read(&self.closed[reason as usize]);
        let drops = [
            ("local subscription full", read(&self.drop_local_full)),
            ("taker closed", read(&self.drop_closed)),
            ("publish denied", read(&self.drop_denied)),
            ("unknown account", read(&self.drop_account)),
        ];
        Stats {
            connections: read(&self.connections),
            total_connections: read(&self.total_connections),
            subscriptions: read(&self.subscriptions),
            in_msgs: read(&self.in_msgs),
            in_bytes: read(&self.in_bytes),
            neighbor_in_msgs: read(&self.neighbor_in_msgs),
            out_msgs: read(&self.out_msgs),
            out_bytes: read(&self.out_bytes),
            neighbor_out_msgs: read(&self.neighbor_out_msgs),
            slow_consumers: closed(CloseReason::SlowConsumerPendingBytes)
                + closed(CloseReason::SlowConsumerWriteDeadline),
            stalls: read(&self.stalls),
            accept_errors: read(&self.accept_errors),
            closed: CloseReason::ALL.into_iter().map(|r| (r.text(), closed(r))).filter(|(_, n)| *n > 0).collect(),
            drops: drops.into_iter().filter(|(_, n)| *n > 0).collect(),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    if n > 0 {
        counter.fetch_add(n, Relaxed);
    }
}

pub(crate) fn sub(counter: &AtomicU64, n: u64) {
    counter.fetch_sub(n, Relaxed);
}
