//! What a user reads when a command fails: what happened, the likely cause, the next command.

use super::{EXIT_FAILED, EXIT_OK, EXIT_USAGE};
use crate::client::ClientError;
use crate::config::ConfigError;
use crate::control::client::AskError;
use crate::control::{Refused, SocketError};
use std::io;
use std::net::SocketAddr;

/// A failed command, in its user's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    message: String,
    likely: Option<String>,
    next: Option<String>,
    exit: u8,
}

impl CliError {
    /// Something happened that keeps the command from its work. Ends with exit code 1.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), likely: None, next: None, exit: EXIT_FAILED }
    }

    /// The command was given what cannot be used. Ends with exit code 2.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: EXIT_USAGE, ..Self::new(message) }
    }

    /// Adds the likely cause.
    #[must_use]
    pub fn likely(mut self, likely: impl Into<String>) -> Self {
        self.likely = Some(likely.into());
        self
    }

    /// Adds what to try next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// `what` (as "NATS clients", "links") cannot be listened for on `addr`, which `flag` can change.
    #[must_use]
    pub fn cannot_listen(what: &str, addr: SocketAddr, flag: &str, error: &io::Error) -> Self {
        let new = Self::new(format!("cannot listen for {what} on {addr}: {error}"));
        match error.kind() {
            io::ErrorKind::AddrInUse => new.likely("another node or another program has this port").next(format!(
                "{flag} {}:{}",
                addr.ip(),
                addr.port().wrapping_add(1).max(1024)
            )),
            io::ErrorKind::AddrNotAvailable => new
                .likely("no interface of this machine has this address")
                .next(format!("{flag} 127.0.0.1:{}", addr.port())),
            io::ErrorKind::PermissionDenied => {
                new.likely("ports below 1024 need a privilege").next(format!("{flag} with a higher port"))
            }
            _ => new.next(format!("{flag} with another address")),
        }
    }

    /// The exit code that it ends with.
    #[must_use]
    pub fn exit(&self) -> u8 {
        self.exit
    }

    /// The lines to print; none when the reader has left.
    pub(super) fn lines(&self) -> Vec<String> {
        if self.message.is_empty() {
            return Vec::new();
        }
        let likely = self.likely.iter().map(|likely| format!("  likely: {likely}"));
        let next = self.next.iter().map(|next| format!("  try:    {next}"));
        std::iter::once(format!("error: {}", self.message)).chain(likely).chain(next).collect()
    }
}

impl From<CliError> for Refused {
    fn from(error: CliError) -> Self {
        Self { message: error.message, likely: error.likely, r#try: error.next }
    }
}

impl From<Refused> for CliError {
    fn from(refused: Refused) -> Self {
        Self { message: refused.message, likely: refused.likely, next: refused.r#try, exit: EXIT_FAILED }
    }
}

/// Concerns the standard output: who closes it has seen enough, which is no failure.
impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { exit: EXIT_OK, ..Self::new("") },
            _ => Self::new(format!("cannot write the output: {error}")),
        }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<SocketError> for CliError {
    fn from(error: SocketError) -> Self {
        let new = Self::new(error.to_string());
        match error {
            SocketError::InUse { data } => new.next(format!(
                "lattice status --data {0}, or another folder for a second node: --data",
                data.display()
            )),
            SocketError::NotRunning { data } => new.next(format!("lattice up --data {}", data.display())),
            SocketError::Denied { .. } => new.next("the same command as that user"),
            SocketError::Io { .. } => new.next("--data with a folder that this user may write to"),
        }
    }
}

impl From<AskError> for CliError {
    fn from(error: AskError) -> Self {
        let message = error.to_string();
        match error {
            AskError::Socket(error) => error.into(),
            AskError::Refused(refused) => refused.into(),
            AskError::TimedOut | AskError::Broken(_) => Self::new(message)
                .likely("the node is overloaded or ending")
                .next("the same command again, or the node's log"),
            AskError::Misunderstood => Self::new(message).next("restart the node with the same binary"),
        }
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let new = Self::new(error.to_string());
        match error {
            ClientError::BadSubject { .. } => Self { exit: EXIT_USAGE, ..new },
            ClientError::TooLarge { .. } => new.next("a smaller payload, or client.max_payload in the node's config"),
            ClientError::Refused { .. } => new
                .likely("the server wants credentials, or others than these")
                .next("--server nats://user:password@host:port, or nats://token@host:port"),
            ClientError::NoResponders { subject } => {
                new.next(format!("lattice reply {subject} hello   in another terminal"))
            }
            ClientError::Unreachable { refused: true, .. } => {
                new.likely("no node runs there").next("lattice up   in another terminal, or --server")
            }
            ClientError::TimedOut { .. } => new.next("the same command with a longer --timeout, or lattice status"),
            ClientError::Unreachable { .. } => new.next("--server with an address that this machine can reach"),
            ClientError::TlsRequired
            | ClientError::Server { .. }
            | ClientError::Lost { .. }
            | ClientError::Protocol(_)
            | ClientError::Closed => new,
        }
    }
}
