//! Listening: takes connections in, refuses those over the limit, and survives a lack of descriptors.

use super::conn::{self, Conn};
use super::newcomer::{Caller, Door, Newcomer};
use super::place::Place;
use super::{opening, welcome};
use crate::auth::ConnectionType;
use crate::env::Listener;
use crate::hub::Hub;
use crate::stats::add;
use crate::websocket::Cookies;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const BACK_OFF_MIN: Duration = Duration::from_millis(10);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);
/// Refused connections that may linger to hear why; more are dropped without a word.
const REFUSED_MAX: u64 = 256;

/// The server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program has the port.
    #[error("cannot listen for NATS clients on {addr}: the address is in use")]
    InUse {
        /// As configured.
        addr: SocketAddr,
    },
    /// The system does not allow it.
    #[error("cannot listen for NATS clients on {addr}: {source}")]
    Refused {
        /// As configured.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// Listens at `addr` and serves whoever connects, until the broker drains. Returns the address with its port.
pub(crate) fn listen(hub: &Arc<Hub>, addr: SocketAddr) -> Result<SocketAddr, ListenError> {
    let (local, door) = open(hub, addr, &hub.config.host, ConnectionType::Standard)?;
    hub.set_address(&door.host, door.port);
    Ok(local)
}

/// Likewise for clients by WebSocket, where these are configured.
pub(crate) fn listen_websocket(hub: &Arc<Hub>) -> Result<Option<SocketAddr>, ListenError> {
    let Some(websocket) = &hub.config.websocket else { return Ok(None) };
    let (local, door) = open(hub, websocket.listen, &websocket.host, ConnectionType::WebSocket)?;
    hub.set_websocket_address(&door.host, door.port);
    Ok(Some(local))
}

/// Likewise for leaf nodes, where these are configured.
pub(crate) fn listen_leafs(hub: &Arc<Hub>) -> Result<Option<SocketAddr>, ListenError> {
    let Some(leaf) = &hub.config.leaf else { return Ok(None) };
    let (local, door) = open(hub, leaf.listen, &leaf.host, ConnectionType::LeafNode)?;
    hub.leafs.set_address(&door.host, door.port);
    Ok(Some(local))
}

fn open(hub: &Arc<Hub>, addr: SocketAddr, host: &str, over: ConnectionType) -> Result<(SocketAddr, Door), ListenError> {
    let listener = hub.env.tcp_listen(addr).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { addr },
        _ => ListenError::Refused { addr, source },
    })?;
    let local = listener.local_addr();
    let host = if host.is_empty() { local.ip().to_string() } else { host.to_owned() };
    let door = Door { host: host.into(), port: local.port(), over };
    hub.env.spawn(accept(hub.clone(), listener, door.clone()));
    Ok((local, door))
}

async fn accept(hub: Arc<Hub>, mut listener: Box<dyn Listener>, door: Door) {
    let mut back_off = BACK_OFF_MIN;
    loop {
        let next = hub.listening.run_until_cancelled(poll_fn(|cx| listener.poll_accept(cx)));
        match next.await {
            None => return,
            Some(Ok(stream)) => {
                back_off = BACK_OFF_MIN;
                admit(&hub, &door, stream);
            }
            Some(Err(error)) if is_about_one_attempt(&error) => add(&hub.counters.accept_errors, 1),
            Some(Err(error)) => {
                add(&hub.counters.accept_errors, 1);
                tracing::warn!(%error, wait = ?back_off, "cannot accept connections for now");
                // Waiting is all that helps against a lack of descriptors; trying at once would only burn the CPU.
                if hub.listening.run_until_cancelled(hub.env.sleep(back_off)).await.is_none() {
                    return;
                }
                back_off = (back_off * 2).min(BACK_OFF_MAX);
            }
        }
    }
}

fn admit(hub: &Arc<Hub>, door: &Door, stream: Arc<dyn crate::env::Stream>) {
    if door.over == ConnectionType::LeafNode {
        // Other settings may have none, and the door stays.
        let Some(leaf) = hub.live().leaf.clone() else { return };
        return hub.env.spawn(super::leaf::serve(hub.clone(), leaf, door.clone(), stream));
    }
    let connections = hub.counters.connections.load(Relaxed);
    let config = hub.live();
    let max = config.max_connections as u64;
    if connections >= max.saturating_add(REFUSED_MAX) {
        add(&hub.counters.accept_errors, 1);
        return;
    }
    let (place, is_refused) = (Place::take(hub), connections >= max);
    if door.over == ConnectionType::WebSocket {
        // Other settings may have none, and the door stays.
        let Some(websocket) = &config.websocket else { return };
        let (hub, websocket, door) = (hub.clone(), websocket.clone(), door.clone());
        return hub.clone().env.spawn(opening::welcome(hub, websocket, door, stream, place, is_refused));
    }
    let tls = config.tls.as_ref();
    let offer = tls.map(|tls| tls.offer()).unwrap_or_default();
    let caller = Caller { address: stream.peer_addr(), cookies: Cookies::default(), tls: offer };
    let mut newcomer = Newcomer::new(hub, door, caller, place);
    if let Some(tls) = tls.filter(|_| !is_refused) {
        return hub.env.spawn(welcome::welcome(hub.clone(), tls.clone(), stream, newcomer));
    }
    // Who is refused is told so in the clear.
    newcomer.greet();
    let conn = Conn::new(hub, stream, newcomer);
    hub.env.spawn(conn::run(if is_refused { conn.refused() } else { conn }));
}

/// A peer that has gone already, as those who look for open ports do, has no address any more: it is not connected.
fn is_about_one_attempt(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | NotConnected)
}
