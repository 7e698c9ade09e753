//! Why a client could not do what was asked.

use super::ServerUrl;
use lattice_broker::proto::ParseError;

/// What went wrong, grouped by who must act: the caller, the server's operator, or whoever tries again later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The caller: a subject or queue name that cannot be sent.
    #[error("{subject:?} is no subject: it must not be empty or hold blanks")]
    BadSubject {
        /// The subject.
        subject: String,
    },
    /// The caller: more than the server takes.
    #[error("a message of {len} bytes is more than the {max} that the server takes")]
    TooLarge {
        /// The message's length with its headers.
        len: usize,
        /// The server's limit.
        max: usize,
    },
    /// The operator: the server did not let this client in.
    #[error("the server refused the connection: {text}")]
    Refused {
        /// The server's words.
        text: String,
    },
    /// The operator: the server speaks TLS only.
    #[error("the server wants TLS, which this client does not speak")]
    TlsRequired,
    /// The operator, or the caller: the server complained.
    #[error("the server says: {text}")]
    Server {
        /// The server's words.
        text: String,
    },
    /// Whoever started no service: nobody is subscribed to the subject of a request.
    #[error("no responders: nobody serves {subject}")]
    NoResponders {
        /// The subject.
        subject: String,
    },
    /// Later: no connection came about.
    #[error("cannot connect to {server}: {reason}")]
    Unreachable {
        /// The server.
        server: String,
        /// What the network said.
        reason: String,
        /// True when the machine answered, but nothing listens there.
        refused: bool,
    },
    /// Later: it took too long.
    #[error("timed out {what}")]
    TimedOut {
        /// What was waited for.
        what: String,
    },
    /// Later: the connection broke.
    #[error("the connection was lost: {reason}")]
    Lost {
        /// What the network said.
        reason: String,
    },
    /// The server speaks something else.
    #[error("what answers does not speak NATS: {0}")]
    Protocol(#[from] ParseError),
    /// The connection was closed from this side.
    #[error("the connection is closed")]
    Closed,
}

impl ClientError {
    pub(super) fn unreachable(server: &ServerUrl, error: &std::io::Error) -> Self {
        let refused = error.kind() == std::io::ErrorKind::ConnectionRefused;
        Self::Unreachable { server: server.to_string(), reason: error.to_string(), refused }
    }

    pub(super) fn lost(error: &std::io::Error) -> Self {
        Self::Lost { reason: error.to_string() }
    }
}
