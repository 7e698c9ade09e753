//! Accepting: a task that takes first packets, and one short-lived task for each handshake, so that a slow one holds
//! nobody up. Floods cost a bounded number of handshakes for a bounded time.

use super::counters::Counters;
use super::dial::shown;
use super::{ALPN_JOIN, ALPN_LINK, Accepted, Config, Connected, JoinAttempt, close, plain};
use crate::identity::{Chain, LatticeId, NodeId};
use lattice_broker::env::{Elapsed, Env};
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, ConnectionError, Endpoint, Incoming, VarInt};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Accepted connections that wait to be picked up; handshakes behind them wait with their permit.
const ACCEPTED_MAX: usize = 32;

/// What every handshake task needs.
struct Door {
    env: Env,
    lattice: LatticeId,
    me: NodeId,
    counters: Arc<Counters>,
    joins: Arc<Semaphore>,
    timeout: Duration,
    accepted: Sender<Accepted>,
}

/// Spawns the accepting task. It ends when the endpoint is closed.
pub(super) fn start(
    env: &Env,
    config: &Config,
    endpoint: &Endpoint,
    identity: &crate::identity::Identity,
    counters: &Arc<Counters>,
) -> Receiver<Accepted> {
    let (accepted, receiver) = mpsc::channel(ACCEPTED_MAX);
    let door = Arc::new(Door {
        env: env.clone(),
        lattice: identity.lattice(),
        me: identity.node_id(),
        counters: counters.clone(),
        joins: Arc::new(Semaphore::new(config.joins_max)),
        timeout: config.handshake_timeout,
        accepted,
    });
    env.spawn(take(endpoint.clone(), door, config.handshakes_max));
    receiver
}

async fn take(endpoint: Endpoint, door: Arc<Door>, handshakes_max: usize) {
    let slots = Arc::new(Semaphore::new(handshakes_max));
    while let Some(incoming) = endpoint.accept().await {
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            door.counters.handshakes_ignored.add();
            incoming.ignore();
            continue;
        };
        // A peer proves its address first: nothing is kept for whoever forges one. Nor for a dialler who has given up, and
        // whose farewell is the first packet that gets here: quinn would keep that connection until its idle time-out.
        if !incoming.remote_address_validated() {
            door.counters.retries_sent.add();
            // An error says that the address is proved already, which was just ruled out.
            let _ = incoming.retry();
            continue;
        }
        door.env.spawn(door.clone().handshake(incoming, slot));
    }
}

impl Door {
    async fn handshake(self: Arc<Self>, incoming: Incoming, _slot: OwnedSemaphorePermit) {
        let from = plain(incoming.remote_address());
        let accepted = match self.env.timeout(self.timeout, self.admit(incoming)).await {
            Ok(Ok(accepted)) => accepted,
            Ok(Err(Turned::Away(why))) => return self.counters.refuse(from, &why),
            Ok(Err(Turned::Busy)) => return self.counters.joins_refused_busy.add(),
            Err(Elapsed) => return self.counters.handshakes_timed_out.add(),
        };
        // An error says that the transport is gone, and its connections with it.
        let _ = self.accepted.send(accepted).await;
    }

    async fn admit(&self, incoming: Incoming) -> Result<Accepted, Turned> {
        let connection = incoming.accept().map_err(Turned::by)?.await.map_err(Turned::by)?;
        let data = connection.handshake_data().and_then(|any| any.downcast::<HandshakeData>().ok());
        let alpn = data.and_then(|data| data.protocol).unwrap_or_default();
        if alpn == ALPN_LINK {
            self.link(connection).await
        } else if alpn == ALPN_JOIN {
            self.join(connection)
        } else {
            Err(turn_away(&connection, close::WRONG_PROTOCOL, "an unknown protocol"))
        }
    }

    async fn link(&self, connection: Connection) -> Result<Accepted, Turned> {
        // TLS lets in members and holders of invites: which of them it was has to fit what was asked for.
        let (member, peer) = Chain::read_member(self.lattice, &shown(&connection))
            .map_err(|e| turn_away(&connection, close::WRONG_PROTOCOL, &format!("asked for a link, but {e}")))?;
        if peer == self.me {
            return Err(turn_away(&connection, close::MYSELF, "this node itself"));
        }
        let mut welcome = connection.open_uni().await.map_err(Turned::by)?;
        // An error says that the stream is closed already, and then so is the connection.
        let _ = welcome.finish();
        self.counters.links_accepted.add();
        Ok(Accepted::Link(Connected { connection, peer, member: Arc::new(member), dialed: false }))
    }

    fn join(&self, connection: Connection) -> Result<Accepted, Turned> {
        let shown = Chain::read(self.lattice, &shown(&connection)).ok();
        let Some(voucher) = shown.filter(|chain| chain.voucher().is_some()) else {
            return Err(turn_away(&connection, close::WRONG_PROTOCOL, "asked to join without an invite"));
        };
        let Ok(permit) = self.joins.clone().try_acquire_owned() else {
            connection.close(VarInt::from_u32(close::BUSY), b"busy");
            return Err(Turned::Busy);
        };
        self.counters.joins_accepted.add();
        Ok(Accepted::Join(JoinAttempt { connection, voucher, _permit: permit }))
    }
}

/// Why nobody came in.
enum Turned {
    Away(String),
    Busy,
}

impl Turned {
    fn by(error: ConnectionError) -> Self {
        Self::Away(error.to_string())
    }
}

fn turn_away(connection: &Connection, code: u32, why: &str) -> Turned {
    connection.close(VarInt::from_u32(code), why.as_bytes());
    Turned::Away(why.to_owned())
}
