//! Sends this node's beacons to the local network, and hands what is heard there to the driver.
//!
//! What a beacon says, how often one is sent and how many are read is `beacon.rs`'s.

use super::beacon::{Beacon, Codec, Heard, Hearing, LEN, Pace};
use super::shared::{Input, Shared};
use lattice_broker::env::{Lan, LanConfig};
use rand_core::Rng as _;
use ring::aead::NONCE_LEN;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether interfaces have come or gone.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long after the port could not be had it is tried again.
const OPEN_AGAIN: Duration = Duration::from_secs(30);

/// Spawns the task, unless beacons are not wanted. It ends with `accepting`.
pub(super) fn start(shared: &Arc<Shared>, accepting: CancellationToken) {
    if shared.config.forming.auto && shared.config.beacon.enabled {
        let talk = run(Arc::clone(shared));
        shared.env.spawn(async move {
            let _ = accepting.run_until_cancelled(talk).await;
        });
    }
}

/// Runs until it is dropped; ends by itself where there is no local network.
async fn run(shared: Arc<Shared>) {
    let listen = shared.transport.local_addr();
    let config = &shared.config.beacon;
    let lan = LanConfig { port: config.port, listen: listen.ip(), interfaces: config.interfaces.clone() };
    let mut told = false;
    loop {
        match shared.env.lan(&lan) {
            Ok(lan) => return talk(&shared, lan.as_ref(), listen).await,
            Err(error) if error.kind() == io::ErrorKind::Unsupported => return,
            Err(error) if !told => {
                tracing::warn!(port = config.port, %error, "no beacons: the port cannot be had; trying on");
                told = true;
            }
            Err(_) => {}
        }
        shared.env.sleep(OPEN_AGAIN).await;
    }
}

async fn talk(shared: &Shared, lan: &dyn Lan, listen: SocketAddr) {
    let (me, now) = (shared.facts.id, shared.env.now());
    let mut hearing = Hearing::new(Codec::new(shared.roll.root()), me);
    let beacon = Beacon { node: me, port: listen.port() };
    let (mut pace, mut rng) = (Pace::default(), shared.env.rng("beacon"));
    let mut buf = [0; LEN + 1];
    let (mut send_at, mut look_at) = (now, now);
    let mut timer = shared.env.timer(now);
    loop {
        let now = shared.env.now();
        if look_at <= now {
            look_at = now + LOOK_EVERY;
            if lan.refresh() {
                pace.restart();
                send_at = now;
            }
        }
        if send_at <= now {
            let mut nonce = [0; NONCE_LEN];
            rng.fill_bytes(&mut nonce);
            lan.send(&hearing.codec().seal(&beacon, nonce));
            shared.plane.counters.beacons_sent.add(1);
            let enough = shared.links.count() >= shared.config.forming.links_min;
            send_at = now + pace.wait(enough, &mut rng);
        }
        timer.as_mut().reset(send_at.min(look_at));
        let received = poll_fn(|cx| match lan.poll_recv(cx, &mut buf) {
            Poll::Ready(received) => Poll::Ready(Some(received)),
            Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
        });
        match received.await {
            // Beacons are the local network's affair: others could be sent here from anywhere.
            Some(Ok((_, from))) if !lan.is_attached(from.ip()) => shared.plane.counters.beacons_foreign.add(1),
            Some(Ok((len, from))) => hear(shared, &mut hearing, from, &buf[..len]).await,
            // Of one interface, perhaps, that has gone: no reason to give up, nor to go round and round.
            Some(Err(error)) => {
                tracing::debug!(%error, "a beacon was not received");
                shared.env.sleep(LOOK_EVERY / 5).await;
            }
            None => {}
        }
    }
}

async fn hear(shared: &Shared, hearing: &mut Hearing, from: SocketAddr, datagram: &[u8]) {
    let counters = &shared.plane.counters;
    match hearing.hear(shared.env.now(), from, datagram) {
        Heard::Of(node, addr) => {
            counters.beacons_heard.add(1);
            shared.tell(Input::Beacon(node, addr)).await;
        }
        Heard::Own => {}
        Heard::Foreign => counters.beacons_foreign.add(1),
        Heard::TooMany => counters.beacons_refused.add(1),
    }
}
