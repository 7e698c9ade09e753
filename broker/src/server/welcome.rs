//! What comes before a connection where it is encrypted: INFO and the TLS handshake, in the order that is configured.
//!
//! ```text
//!            handshake first ───────────────────────────┐
//! come in ── within a time: does it begin? ── yes ──────┤
//!        └── never ── INFO ◄───────────────── no        │
//!                      ├── plain is allowed: does it begin TLS? ── no ──► connection in the clear
//!                      └────────────────── yes ─────────┴── handshake ──► connection in TLS, or the end
//! ```
//!
//! Each step has its time. Those who wait here count as connections; what they hold is bounded by the handshake's.

use super::conn::{self, Conn};
use super::newcomer::Newcomer;
use super::peek::Peekable;
use crate::env::{Env, Stream, write_all};
use crate::hub::Hub;
use crate::stats::CloseReason;
use crate::tls::{CertificateNames, HandshakeFirst, Tls, TlsFacts, TlsStream};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The first byte of a TLS handshake's record (RFC 8446, section 5.1).
pub(super) const HANDSHAKE: u8 = 0x16;

/// Welcomes a client, and serves it until it ends.
pub(super) async fn welcome(hub: Arc<Hub>, tls: Arc<Tls>, raw: Arc<dyn Stream>, mut newcomer: Newcomer) {
    let opening = open(&hub.env, &tls, raw.clone(), &mut newcomer);
    let opened = hub.stopping.run_until_cancelled(opening).await;
    let (id, peer) = (newcomer.id, raw.peer_addr());
    match opened {
        Some(Ok((stream, secured))) => {
            newcomer.begin(&hub, secured);
            // In a task of its own: what the handshake needed is not kept for as long as the client stays.
            hub.env.spawn(conn::run(Conn::new(&hub, stream, newcomer)));
        }
        Some(Err(error)) => {
            tracing::debug!(cid = id, %peer, "TLS handshake error: {error}");
            newcomer.greeting.clear();
            Conn::new(&hub, raw, newcomer).end(CloseReason::TlsHandshakeError).await;
        }
        None => {
            newcomer.greeting.clear();
            Conn::new(&hub, raw, newcomer).end(CloseReason::ServerShutdown).await;
        }
    }
}

/// What a handshake has come to.
pub(super) struct Secured {
    pub(super) facts: TlsFacts,
    /// Of the certificate that the client has shown.
    pub(super) names: Option<CertificateNames>,
}

/// What the connection goes on with; `newcomer` has been greeted, or is owed its greeting.
async fn open(
    env: &Env,
    tls: &Tls,
    raw: Arc<dyn Stream>,
    newcomer: &mut Newcomer,
) -> io::Result<(Arc<dyn Stream>, Option<Secured>)> {
    let raw = Arc::new(Peekable::new(raw));
    let is_first = match tls.first {
        HandshakeFirst::Always => true,
        HandshakeFirst::Within(wait) => {
            let first = first_byte(env, wait, &raw).await?;
            // Who says something else has to be in for that.
            first == Some(HANDSHAKE) || (first.is_some() && !tls.is_optional())
        }
        HandshakeFirst::Never => false,
    };
    newcomer.greet();
    if !is_first {
        bounded(env, tls.timeout, write_all(&*raw, &newcomer.greeting)).await?;
        newcomer.greeting.clear();
        if tls.is_optional() && first_byte(env, tls.timeout, &raw).await? != Some(HANDSHAKE) {
            return Ok((raw, None));
        }
    }
    let (stream, mut secured) = bounded(env, tls.timeout, secure(tls, raw)).await?;
    secured.facts.is_first = is_first;
    Ok((stream, Some(secured)))
}

/// Shakes hands with who begins to.
pub(super) async fn secure(tls: &Tls, raw: Arc<Peekable>) -> io::Result<(Arc<dyn Stream>, Secured)> {
    let stream = match raw.peek().await? {
        Some(HANDSHAKE) => TlsStream::accept(raw, tls.server.clone()).await?,
        // Who does not speak TLS would not know what an alert is.
        Some(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "the client does not speak TLS")),
        None => return Err(io::ErrorKind::UnexpectedEof.into()),
    };
    let (facts, names) = (stream.facts(), stream.names());
    if !tls.pinned.is_empty() && !facts.shown.first().is_some_and(|own| tls.pinned.contains(&own.key)) {
        let what = "the client's certificate is not among the pinned ones";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    Ok((Arc::new(stream), Secured { facts, names }))
}

/// The first byte that comes within `wait`, if one does.
pub(super) async fn first_byte(env: &Env, wait: Duration, raw: &Peekable) -> io::Result<Option<u8>> {
    env.timeout(wait, raw.peek()).await.unwrap_or(Ok(None))
}

/// What `step` comes to within `max`.
pub(super) async fn bounded<T>(env: &Env, max: Duration, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("took longer than {max:?}"));
    env.timeout(max, step).await.map_err(late)?
}
