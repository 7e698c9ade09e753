//! Leaf nodes of this server: how one comes in, from its first byte until it is a neighbour of its account.
//!
//! What it is there is left to `leaf/spoke.rs`, what comes over its link to `leaf/dialer.rs`, and what the protocol says to
//! `crate::leaf`.

mod dialer;
mod leafs;
mod spoke;

pub(crate) use leafs::Leafs;
pub(crate) use spoke::{Bound, Spoke};

use super::newcomer::Door;
use super::peek::Peekable;
use super::welcome::{HANDSHAKE, bounded, first_byte, secure};
use crate::env::{Stream, write_all};
use crate::hub::Hub;
use crate::leaf::{Config, Info, LeafPort, Link, PROTOCOL, ParserLimits, Session, write_info};
use crate::tls::{CertificateNames, HandshakeFirst, Tls};
use crate::trace::Traced;
use dialer::Dialer;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

/// Serves a leaf node until it ends.
pub(super) async fn serve(hub: Arc<Hub>, port: Arc<LeafPort>, door: Door, raw: Arc<dyn Stream>) {
    let Some(spoke) = Spoke::enter(&hub, raw.peer_addr()) else {
        crate::stats::add(&hub.counters.accept_errors, 1);
        return;
    };
    if hub.stopping.is_cancelled() {
        // It came in after the others were told to go.
        return hub.leafs.leave(&hub, spoke.id);
    }
    let info = info(&hub, &port, &door, spoke.id);
    let opening = open(&hub, port.tls.as_deref(), raw, &info);
    let opened = hub.stopping.run_until_cancelled(opening).await;
    match opened {
        Some(Ok(opened)) => run(&hub, &port, info, opened, spoke).await,
        Some(Err(error)) => {
            tracing::debug!(lid = spoke.id, peer = %spoke.peer, "leaf node: {error}");
            hub.leafs.leave(&hub, spoke.id);
        }
        None => hub.leafs.leave(&hub, spoke.id),
    }
}

/// A stream on which the leaf protocol begins, and whether its INFO has been said.
struct Opened {
    stream: Arc<dyn Stream>,
    is_greeted: bool,
    names: Option<CertificateNames>,
}

async fn open(hub: &Hub, tls: Option<&Tls>, raw: Arc<dyn Stream>, info: &Info) -> io::Result<Opened> {
    let Some(tls) = tls else { return Ok(Opened { stream: raw, is_greeted: false, names: None }) };
    let raw = Arc::new(Peekable::new(raw));
    let is_first = match tls.first {
        HandshakeFirst::Always => true,
        HandshakeFirst::Within(wait) => first_byte(&hub.env, wait, &raw).await? == Some(HANDSHAKE),
        HandshakeFirst::Never => false,
    };
    if !is_first {
        let mut line = Vec::new();
        write_info(&mut line, info);
        bounded(&hub.env, tls.timeout, write_all(&*raw, &line)).await?;
    }
    let (stream, secured) = bounded(&hub.env, tls.timeout, secure(tls, raw)).await?;
    Ok(Opened { stream, is_greeted: !is_first, names: secured.names })
}

async fn run(hub: &Arc<Hub>, port: &Arc<LeafPort>, info: Info, opened: Opened, spoke: Arc<Spoke>) {
    let nonce = info.nonce.clone();
    let mut session = Session::accepted(Arc::new(config(hub, port)), info, hub.env.now());
    if !opened.is_greeted {
        session.greet();
    }
    let limits = ParserLimits { payload_bytes_max: hub.live().max_payload, ..ParserLimits::default() };
    let dialer = Dialer::new(hub, port, spoke.clone(), nonce, opened.names);
    let stream = Traced::over(opened.stream, hub.config.tracer.as_ref(), "lid", spoke.id);
    let mut link = Link::new(&hub.env, stream, session, limits, dialer);
    let close = link.run().await;
    link.handler().end();
    let reason = close.map_or_else(|| "not wanted any more".to_owned(), |close| close.to_string());
    // Whoever was not let in shall not fill the log.
    match spoke.bound() {
        Some(_) => {
            tracing::info!(lid = spoke.id, peer = %spoke.peer, name = spoke.name(), reason, "leaf node has gone");
        }
        None => tracing::debug!(lid = spoke.id, peer = %spoke.peer, reason, "leaf node was not let in"),
    }
    let (_, lost) = link.farewell().await;
    if lost > 0 {
        tracing::debug!(lid = spoke.id, lost, "messages for a leaf node were not written");
    }
}

fn config(hub: &Hub, port: &LeafPort) -> Config {
    let live = hub.live();
    // Of what cluster a lone server is, nobody but itself says.
    let cluster = if hub.info.cluster.is_empty() { &hub.info.server_name } else { &hub.info.cluster };
    Config {
        is_acceptor: true,
        answer_timeout: port.auth_timeout,
        ping_interval: live.ping_interval,
        pings_max: live.ping_max,
        pending_bytes_max: live.max_pending,
        write_deadline: live.write_deadline,
        peer_interest_max: live.max_subscriptions.min(INTEREST_MAX),
        version_min: port.version_min,
        ..Config::new(&hub.info.server_name, cluster, "", String::new())
    }
}

/// Subjects in which one leaf node may be interested, where nothing less is configured.
const INTEREST_MAX: usize = 1 << 20;

fn info(hub: &Hub, port: &LeafPort, door: &Door, id: u64) -> Info {
    let known = &hub.info;
    // An address that stands for all is none to connect to: dialers keep to the one that they were given.
    let is_one = door.host.parse::<IpAddr>().map_or(true, |ip| !ip.is_unspecified());
    let host = if door.host.contains(':') { format!("[{}]", door.host) } else { door.host.to_string() };
    let at = port.advertise.clone().or_else(|| is_one.then(|| format!("{host}:{}", door.port)));
    Info {
        server_id: known.server_id.clone(),
        server_name: known.server_name.clone(),
        version: known.version.clone(),
        proto: PROTOCOL,
        git_commit: known.git_commit.clone(),
        go: known.go.clone(),
        host: door.host.to_string(),
        port: door.port,
        ip: at.clone().unwrap_or_default(),
        auth_required: true,
        client_id: id,
        nonce: hub.nonce().into(),
        cluster: known.cluster.clone(),
        headers: Some(true),
        max_payload: Some(hub.live().max_payload as u64),
        tls_required: port.tls.is_some(),
        tls_verify: port.tls.as_ref().is_some_and(|tls| tls.verifies),
        info_on_connect: true,
        api_lvl: u16::try_from(known.api_lvl).unwrap_or_default(),
        leafnode_urls: Some(at.into_iter().filter(|_| port.is_advertised).collect()),
        ..Info::default()
    }
}
