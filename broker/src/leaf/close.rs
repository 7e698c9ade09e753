//! Why a link ends, and when to dial again.

use super::proto::ProtocolError;
use crate::env::Rng;
use rand_core::Rng as _;
use std::time::Duration;

/// Why the link must be closed, or is. [`retry_delay`] says when to dial again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Close {
    /// The peer is no leaf-node port.
    #[error(
        "the port speaks, but not as a leaf-node port: is it the port for clients? (leaf nodes usually connect to 7422)"
    )]
    WrongPort,
    /// TLS is required.
    #[error("the server requires TLS, which has not begun")]
    TlsRequired,
    /// The peer's JSON is none.
    #[error("the server's INFO cannot be read: {0}")]
    BadInfo(String),
    /// The peer broke the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// An operation that only a dialer sends.
    #[error("the server sent CONNECT, which only the dialing side does")]
    UnexpectedConnect,
    /// The peer did not speak first.
    #[error("the server sent no INFO within {0:?}")]
    NoInfo(Duration),
    /// The peer did not answer CONNECT.
    #[error("the server did not answer CONNECT within {0:?}")]
    NoAnswer(Duration),
    /// It does not read.
    #[error("it has taken nothing of what waits for it in {0:?}")]
    Slow(Duration),
    /// No sign of life.
    #[error("the server has not answered for {0:?}")]
    Stale(Duration),
    /// Our own mark came back.
    #[error("there is a loop: this node's own interest came back over the link")]
    Loop,
    /// The dialer's JSON is none, from that column on. What it says there may be a secret.
    #[error("CONNECT cannot be read from column {0} on")]
    BadConnect(usize),
    /// The peer was told why.
    #[error("it was told: {0}")]
    Told(String),
    /// The peer said why.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The connection ended.
    #[error("connection lost: {0}")]
    Lost(String),
}

/// How long to wait before the next attempt (§10), with a jitter that keeps many nodes apart.
#[must_use]
pub fn retry_delay(close: &Close, rng: &mut Rng) -> Duration {
    let extra = match close {
        Close::Loop => 30,
        Close::Refused(text) if text.contains("Loop detected") || text.contains("has same cluster name") => 30,
        Close::Refused(text) if text.contains("connection rejected since minimum version required is") => 5,
        // These take someone to change the configuration, here or there.
        Close::WrongPort | Close::TlsRequired => 5,
        Close::BadInfo(_)
        | Close::Protocol(_)
        | Close::UnexpectedConnect
        | Close::BadConnect(_)
        | Close::Told(_)
        | Close::NoInfo(_)
        | Close::NoAnswer(_)
        | Close::Slow(_)
        | Close::Stale(_)
        | Close::Refused(_)
        | Close::Lost(_) => 0,
    };
    Duration::from_secs(1 + extra) + Duration::from_micros(rng.next_u64() % 500_000)
}
