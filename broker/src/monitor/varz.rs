//! `/varz`: the server as a whole.

use super::text::{maybe_time, serialize_time, uptime};
use crate::auth::ConnectionType;
use crate::config::Config;
use crate::hub::Hub;
use crate::lock::read;
use crate::tls::Tls;
use crate::websocket::TIMEOUT;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// What only the program around the broker knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Where it answers HTTP.
    pub http_host: String,
    /// The port of that; 0 when it does not.
    pub http_port: u16,
    /// The port of HTTPS; 0 when it does not.
    pub https_port: u16,
    /// What the paths begin with.
    pub http_base_path: String,
    /// When its config was read; the start of the broker when this is not said.
    pub config_load_time: Option<SystemTime>,
    /// Of the config file, `sha256:…`.
    pub config_digest: String,
    /// What operators have named it by.
    pub tags: Vec<String>,
    /// What operators have noted of it.
    pub metadata: BTreeMap<String, String>,
}

/// Something that is off, or that there is none of: an object without members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Nothing {}

/// A count by kind of connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ByKind {
    /// Of clients.
    pub clients: u64,
    /// Of routes.
    pub routes: u64,
    /// Of gateways.
    pub gateways: u64,
    /// Of leaf nodes.
    pub leafs: u64,
}

/// The disk's part in delays: none, as nothing is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DiskWaits {
    waiters: u64,
    waits: u64,
    wait_time: u64,
    max_wait_time: u64,
}

/// The server as a whole. Names, order and units are nats-server's.
#[derive(Clone, Debug, Serialize)]
pub struct Varz {
    /// What it is and goes by.
    #[serde(flatten)]
    pub settings: Settings,
    /// What it does.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What a server is and goes by.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are those of the protocol, and documented there")]
pub struct Settings {
    pub server_id: String,
    pub server_name: String,
    pub version: String,
    pub proto: i32,
    pub git_commit: String,
    pub go: String,
    pub host: String,
    pub port: u16,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub auth_required: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls_required: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls_verify: bool,
    pub max_connections: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_subscriptions: Option<usize>,
    /// Nanoseconds.
    pub ping_interval: u64,
    pub ping_max: u32,
    pub http_host: String,
    pub http_port: u16,
    pub http_base_path: String,
    pub https_port: u16,
    /// Seconds.
    pub auth_timeout: f64,
    pub max_control_line: usize,
    pub max_payload: usize,
    pub max_pending: usize,
    pub cluster: Nothing,
    pub gateway: Nothing,
    pub leaf: LeafVarz,
    pub mqtt: Nothing,
    pub websocket: WebSocketVarz,
    pub jetstream: Nothing,
    /// Seconds.
    pub tls_timeout: f64,
    #[serde(serialize_with = "maybe_time", skip_serializing_if = "Option::is_none")]
    pub tls_cert_not_after: Option<SystemTime>,
    /// Nanoseconds.
    pub write_deadline: u64,
}

/// Where browsers connect, if they can.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the names are those of the protocol, and documented there")]
pub struct WebSocketVarz {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub no_auth_user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jwt_cookie: String,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake_timeout: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_tls: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls_map: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub same_origin: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_origins: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub compression: bool,
    #[serde(serialize_with = "maybe_time", skip_serializing_if = "Option::is_none")]
    pub tls_cert_not_after: Option<SystemTime>,
}

/// Where leaf nodes connect, if they can.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LeafVarz {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_timeout: Option<f64>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_timeout: Option<f64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls_required: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls_verify: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub isolate_leafnode_interest: bool,
}

/// What a server does.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are those of the protocol, and documented there")]
pub struct Figures {
    #[serde(serialize_with = "serialize_time")]
    pub start: SystemTime,
    #[serde(serialize_with = "serialize_time")]
    pub now: SystemTime,
    pub uptime: String,
    /// Resident bytes.
    pub mem: u64,
    pub cores: usize,
    /// Threads that may run at once.
    pub gomaxprocs: usize,
    /// Percent of one core.
    pub cpu: f64,
    pub connections: u64,
    pub total_connections: u64,
    pub routes: u64,
    pub remotes: u64,
    pub leafnodes: u64,
    pub in_msgs: u64,
    pub in_bytes: u64,
    pub in_client_msgs: u64,
    pub in_client_bytes: u64,
    pub out_msgs: u64,
    pub out_bytes: u64,
    pub out_client_msgs: u64,
    pub out_client_bytes: u64,
    pub slow_consumers: u64,
    pub stale_connections: u64,
    pub stalled_clients: u64,
    pub subscriptions: u64,
    pub http_req_stats: BTreeMap<&'static str, u64>,
    #[serde(serialize_with = "serialize_time")]
    pub config_load_time: SystemTime,
    pub config_digest: String,
    /// Where clients find the service: as they are told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect_urls: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    pub system_account: String,
    pub slow_consumer_stats: ByKind,
    pub stale_connection_stats: ByKind,
    pub disk_io_wait_stats: DiskWaits,
}

pub(super) fn varz(hub: &Hub) -> Varz {
    let surroundings = read(&hub.surroundings).clone();
    Varz { settings: settings(hub, &surroundings), figures: figures(hub, surroundings) }
}

fn settings(hub: &Hub, surroundings: &Surroundings) -> Settings {
    let (info, config) = (&hub.info, hub.live());
    let (host, port) = hub.address();
    let tls = config.tls.as_deref();
    let offer = tls.map(Tls::offer).unwrap_or_default();
    Settings {
        server_id: info.server_id.clone(),
        server_name: info.server_name.clone(),
        version: info.version.clone(),
        proto: info.proto,
        git_commit: info.git_commit.clone(),
        go: info.go.clone(),
        host,
        port,
        auth_required: config.auth.is_required(),
        tls_required: offer.required || offer.available,
        tls_verify: offer.verify,
        max_connections: config.max_connections,
        max_subscriptions: Some(config.max_subscriptions).filter(|max| *max != usize::MAX),
        ping_interval: nanos(config.ping_interval),
        ping_max: config.ping_max,
        http_host: surroundings.http_host.clone(),
        http_port: surroundings.http_port,
        http_base_path: surroundings.http_base_path.clone(),
        https_port: surroundings.https_port,
        auth_timeout: config.auth_timeout.as_secs_f64(),
        max_control_line: config.max_control_line,
        max_payload: config.max_payload,
        max_pending: config.max_pending,
        cluster: Nothing {},
        gateway: Nothing {},
        leaf: leaf(hub, &config),
        mqtt: Nothing {},
        websocket: websocket(hub, &config),
        jetstream: Nothing {},
        tls_timeout: tls.map_or(2.0, |tls| tls.timeout.as_secs_f64()),
        tls_cert_not_after: tls.and_then(|tls| tls.ends),
        write_deadline: nanos(config.write_deadline),
    }
}

fn leaf(hub: &Hub, config: &Config) -> LeafVarz {
    let (Some((host, port)), Some(leaf)) = (hub.leafs.address(), config.leaf.as_deref()) else {
        return LeafVarz::default();
    };
    LeafVarz {
        host: host.clone(),
        port: Some(*port),
        auth_timeout: Some(leaf.auth_timeout.as_secs_f64()),
        tls_timeout: leaf.tls.as_ref().map(|tls| tls.timeout.as_secs_f64()),
        tls_required: leaf.tls.is_some(),
        tls_verify: leaf.tls.as_ref().is_some_and(|tls| tls.verifies),
        isolate_leafnode_interest: leaf.is_isolated,
    }
}

fn websocket(hub: &Hub, config: &Config) -> WebSocketVarz {
    let (Some((host, port)), Some(websocket)) = (hub.websocket_address(), config.websocket.as_deref()) else {
        return WebSocketVarz::default();
    };
    let rules = &websocket.rules;
    WebSocketVarz {
        host: host.clone(),
        port: Some(*port),
        no_auth_user: config.auth.websocket_no_auth_user.clone().unwrap_or_default(),
        jwt_cookie: rules.jwt_cookie.clone().unwrap_or_default(),
        handshake_timeout: Some(nanos(websocket.timeout)).filter(|_| websocket.timeout != TIMEOUT),
        no_tls: websocket.tls.is_none(),
        tls_map: config.auth.by_certificate.contains(&ConnectionType::WebSocket),
        same_origin: rules.same_origin,
        allowed_origins: rules.allowed_origins.iter().map(ToString::to_string).collect(),
        compression: rules.compression,
        tls_cert_not_after: websocket.tls.as_ref().and_then(|tls| tls.ends),
    }
}

fn figures(hub: &Hub, surroundings: Surroundings) -> Figures {
    let stats = hub.counters.snapshot();
    let (start, now) = (hub.clock.wall(crate::clock::Stamp::default()), hub.env.wall());
    let usage = hub.env.usage();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let stale = stats.closed.get(crate::CloseReason::StaleConnection.text()).copied().unwrap_or_default();
    let of_clients = |clients| ByKind { clients, ..ByKind::default() };
    Figures {
        start,
        now,
        uptime: uptime(now.duration_since(start).unwrap_or_default()),
        mem: usage.memory,
        cores,
        gomaxprocs: cores,
        cpu: usage.cpu_percent,
        connections: stats.connections,
        total_connections: stats.total_connections,
        routes: 0,
        remotes: 0,
        leafnodes: super::leafz::count(hub),
        in_msgs: stats.in_msgs + stats.neighbor_in_msgs,
        in_bytes: stats.in_bytes,
        in_client_msgs: stats.in_msgs,
        in_client_bytes: stats.in_bytes,
        out_msgs: stats.out_msgs + stats.neighbor_out_msgs,
        out_bytes: stats.out_bytes,
        out_client_msgs: stats.out_msgs,
        out_client_bytes: stats.out_bytes,
        slow_consumers: stats.slow_consumers,
        stale_connections: stale,
        stalled_clients: stats.stalls,
        subscriptions: stats.subscriptions,
        http_req_stats: hub.http_requests(),
        config_load_time: surroundings.config_load_time.unwrap_or(start),
        config_digest: surroundings.config_digest,
        connect_urls: hub.news().connect_urls.clone(),
        tags: surroundings.tags,
        metadata: surroundings.metadata,
        system_account: hub.live().auth.system_account().to_owned(),
        slow_consumer_stats: of_clients(stats.slow_consumers),
        stale_connection_stats: of_clients(stale),
        disk_io_wait_stats: DiskWaits::default(),
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
