//! What comes before a connection by WebSocket: TLS where that is configured, and the request by HTTP.

use super::conn::{self, Conn};
use super::newcomer::{Caller, Door, Newcomer};
use super::peek::Peekable;
use super::place::Place;
use super::welcome::{Secured, bounded, secure};
use crate::env::{Stream, is_passing};
use crate::hub::Hub;
use crate::tls::TlsOffer;
use crate::websocket::{Accepted, WebSocket, accept};
use std::future::poll_fn;
use std::io;
use std::sync::Arc;

/// Bytes that are read from a client after its refusal.
const REST_MAX: usize = 64 << 10;

/// Opens a WebSocket on `raw`, and serves its client until it ends; one over the limit is told so.
pub(super) async fn welcome(
    hub: Arc<Hub>,
    websocket: Arc<WebSocket>,
    door: Door,
    raw: Arc<dyn Stream>,
    place: Place,
    is_refused: bool,
) {
    let peer = raw.peer_addr();
    let opening = bounded(&hub.env, websocket.timeout, open(&websocket, raw.clone()));
    let (accepted, secured) = match hub.stopping.run_until_cancelled(opening).await {
        Some(Ok(opened)) => opened,
        Some(Err(error)) => {
            tracing::debug!(%peer, "{error}");
            let heard = hub.env.timeout(websocket.timeout, hear_out(&*raw));
            // Either way there is no more to be done for it.
            let _ = hub.stopping.run_until_cancelled(heard).await;
            return;
        }
        None => return,
    };
    let offer = TlsOffer {
        required: secured.is_some(),
        available: secured.is_some(),
        verify: websocket.tls.as_ref().is_some_and(|tls| tls.verifies),
    };
    if let Some(client) = accepted.client_ip {
        tracing::debug!(%peer, %client, "a proxy speaks for a client");
    }
    let caller = Caller { address: peer, cookies: accepted.cookies, tls: offer };
    let mut newcomer = Newcomer::new(&hub, &door, caller, place);
    newcomer.begin(&hub, secured);
    newcomer.greet();
    let conn = Conn::new(&hub, Arc::new(accepted.stream), newcomer);
    let conn = if is_refused { conn.refused() } else { conn };
    // In a task of its own: what the opening needed is not kept for as long as the client stays.
    hub.env.spawn(conn::run(conn));
}

/// Reads what a client that was refused still sends: left unread, it would undo the answer on its way.
async fn hear_out(raw: &dyn Stream) {
    let (mut chunk, mut left) = ([0; 1024], REST_MAX);
    while left > 0 && poll_fn(|cx| raw.poll_read_ready(cx)).await.is_ok() {
        match raw.try_read(&mut chunk) {
            Ok(0) => return,
            Ok(len) => left = left.saturating_sub(len),
            Err(error) if is_passing(&error) => {}
            Err(_) => return,
        }
    }
}

async fn open(websocket: &WebSocket, raw: Arc<dyn Stream>) -> io::Result<(Accepted, Option<Secured>)> {
    let (stream, secured) = match &websocket.tls {
        None => (raw, None),
        Some(tls) => {
            let (stream, secured) = secure(tls, Arc::new(Peekable::new(raw))).await?;
            (stream, Some(secured))
        }
    };
    let accepted = accept(stream, &websocket.rules, secured.is_some()).await.map_err(io::Error::other)?;
    Ok((accepted, secured))
}
