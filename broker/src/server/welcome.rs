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
use super::peek::peek;
use crate::env::{Env, Stream};
use crate::hub::Hub;
use crate::stats::CloseReason;
use crate::tls::{HandshakeFirst, Tls, TlsFacts, TlsStream};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

/// The first byte of a TLS handshake's record (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;

/// Welcomes a client, and serves it until it ends.
pub(super) async fn welcome(hub: Arc<Hub>, tls: Arc<Tls>, raw: Arc<dyn Stream>, mut newcomer: Newcomer) {
    let opening = open(&hub.env, &tls, raw.clone(), &mut newcomer.greeting);
    let opened = hub.stopping.run_until_cancelled(opening).await;
    let (id, peer) = (newcomer.id, raw.peer_addr());
    match opened {
        Some(Ok((stream, facts))) => {
            if let Some(facts) = facts {
                newcomer.secured(&hub, facts);
            }
            // In a task of its own: what the handshake needed is not kept for as long as the client stays.
            hub.env.spawn(conn::run(Conn::new(&hub, stream, newcomer)));
        }
        Some(Err(error)) => {
            tracing::debug!(cid = id, %peer, "TLS handshake error: {error}");
            newcomer.greeting.clear();
            Conn::new(&hub, raw, newcomer).end(CloseReason::TlsHandshakeError);
        }
        None => {
            newcomer.greeting.clear();
            Conn::new(&hub, raw, newcomer).end(CloseReason::ServerShutdown);
        }
    }
}

/// What the connection goes on with. Takes `greeting` when that is written.
async fn open(
    env: &Env,
    tls: &Tls,
    raw: Arc<dyn Stream>,
    greeting: &mut Vec<u8>,
) -> io::Result<(Arc<dyn Stream>, Option<TlsFacts>)> {
    let (is_first, mut raw) = match tls.first {
        HandshakeFirst::Always => (true, raw),
        HandshakeFirst::Within(wait) => begins_tls(env, wait, raw).await?,
        HandshakeFirst::Never => (false, raw),
    };
    if !is_first {
        bounded(env, tls.timeout, write(&*raw, greeting)).await?;
        greeting.clear();
        if tls.is_optional() {
            let (begins, looked_at) = begins_tls(env, tls.timeout, raw).await?;
            raw = looked_at;
            if !begins {
                return Ok((raw, None));
            }
        }
    }
    let (stream, facts) = bounded(env, tls.timeout, secure(tls, raw)).await?;
    Ok((stream, Some(TlsFacts { is_first, ..facts })))
}

/// Shakes hands with who begins to.
pub(super) async fn secure(tls: &Tls, raw: Arc<dyn Stream>) -> io::Result<(Arc<dyn Stream>, TlsFacts)> {
    let stream = match peek(&raw).await? {
        (Some(HANDSHAKE), raw) => TlsStream::accept(raw, tls.server.clone()).await?,
        // Who does not speak TLS would not know what an alert is.
        (Some(_), _) => return Err(io::Error::new(io::ErrorKind::InvalidData, "the client does not speak TLS")),
        (None, _) => return Err(io::ErrorKind::UnexpectedEof.into()),
    };
    let facts = stream.facts();
    if !tls.pinned.is_empty() && !facts.key_digest().is_some_and(|digest| tls.pinned.contains(&digest)) {
        let what = "the client's certificate is not among the pinned ones";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    Ok((Arc::new(stream), facts))
}

/// Whether the client begins a handshake within `wait`, and the stream to go on with.
async fn begins_tls(env: &Env, wait: Duration, stream: Arc<dyn Stream>) -> io::Result<(bool, Arc<dyn Stream>)> {
    match env.timeout(wait, peek(&stream)).await {
        Ok(peeked) => {
            let (byte, stream) = peeked?;
            Ok((byte == Some(HANDSHAKE), stream))
        }
        Err(_) => Ok((false, stream)),
    }
}

/// What `step` comes to within `max`.
pub(super) async fn bounded<T>(env: &Env, max: Duration, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("took longer than {max:?}"));
    env.timeout(max, step).await.map_err(late)?
}

async fn write(stream: &dyn Stream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        poll_fn(|cx| stream.poll_write_ready(cx)).await?;
        match stream.try_write_vectored(&[IoSlice::new(bytes)]) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
