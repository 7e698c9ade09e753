//! `/connz`: client connections, those that are there and those that have gone.

mod sort;

pub use sort::SortBy;

use super::subsz::SubDetail;
use super::text::{duration, maybe_time, serialize_time, uptime};
use super::{BadQuestion, LIMIT, Record};
use crate::auth::ConnectionType;
use crate::clock::Stamp;
use crate::hub::Hub;
use crate::subscription::{Subscription, Taker};
use crate::tls::TlsFacts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

/// Which connections are wanted. In JSON it is a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "i64")]
pub enum ConnState {
    /// Those that are there.
    #[default]
    Open,
    /// Those that have gone, as far as they are remembered.
    Closed,
    /// Both.
    All,
}

impl From<i64> for ConnState {
    fn from(number: i64) -> Self {
        match number {
            1 => Self::Closed,
            2 => Self::All,
            _ => Self::Open,
        }
    }
}

/// What is wanted of the connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ConnzOptions {
    /// In which order; empty is by number.
    pub sort: String,
    /// Say who they are, and in which account.
    #[serde(rename = "auth")]
    pub username: bool,
    /// List their subscriptions.
    pub subscriptions: bool,
    /// List them with all that is known of them.
    pub subscriptions_detail: bool,
    /// Rows to leave out at the beginning.
    pub offset: i64,
    /// Rows at most; [`LIMIT`] when it is not above 0.
    pub limit: i64,
    /// Only the one with this number.
    pub cid: u64,
    /// Only those of this client by MQTT, of which there are none.
    pub mqtt_client: String,
    /// Which of them.
    pub state: ConnState,
    /// Only those of this user.
    pub user: String,
    /// Only those of this account.
    pub acc: String,
    /// Only those with a subscription to this, or one that it matches.
    pub filter_subject: String,
}

/// Connections.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are those of the protocol, and documented there")]
pub struct Connz {
    pub server_id: String,
    #[serde(serialize_with = "serialize_time")]
    pub now: SystemTime,
    /// In this answer.
    pub num_connections: usize,
    /// That there are.
    pub total: usize,
    pub offset: usize,
    pub limit: usize,
    pub connections: Option<Vec<ConnInfo>>,
}

/// One connection.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are those of the protocol, and documented there")]
pub struct ConnInfo {
    pub cid: u64,
    pub kind: &'static str,
    #[serde(rename = "type")]
    pub kind_of_client: &'static str,
    pub ip: String,
    pub port: u16,
    #[serde(serialize_with = "serialize_time")]
    pub start: SystemTime,
    #[serde(serialize_with = "serialize_time")]
    pub last_activity: SystemTime,
    #[serde(serialize_with = "maybe_time", skip_serializing_if = "Option::is_none")]
    pub stop: Option<SystemTime>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rtt: String,
    pub uptime: String,
    pub idle: String,
    pub pending_bytes: usize,
    pub in_msgs: u64,
    pub out_msgs: u64,
    pub in_bytes: u64,
    pub out_bytes: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub stalls: u64,
    pub subscriptions: usize,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lang: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub tls_version: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tls_cipher_suite: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tls_peer_certs: Vec<PeerCert>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls_first: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub authorized_user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscriptions_list: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscriptions_list_detail: Vec<SubDetail>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name_tag: String,
}

/// A certificate that a client has shown.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are those of the protocol, and documented there")]
pub struct PeerCert {
    pub subject: String,
    pub spki_sha256: String,
    pub cert_sha256: String,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The word for what a connection speaks.
pub(crate) fn kind_of_client(over: ConnectionType) -> &'static str {
    match over {
        ConnectionType::Mqtt | ConnectionType::MqttWebSocket => "mqtt",
        ConnectionType::WebSocket | ConnectionType::LeafNodeWebSocket => "websocket",
        ConnectionType::Standard | ConnectionType::LeafNode | ConnectionType::InProcess => "nats",
    }
}

pub(super) fn connz(hub: &Hub, options: &ConnzOptions) -> Result<Connz, BadQuestion> {
    let sort = SortBy::parse(&options.sort, options.state)?;
    let limit = usize::try_from(options.limit).ok().filter(|limit| *limit > 0).unwrap_or(LIMIT);
    let mut answer = Connz {
        server_id: hub.info.server_id.clone(),
        now: hub.env.wall(),
        num_connections: 0,
        total: 0,
        offset: usize::try_from(options.offset).unwrap_or(0),
        limit: if options.cid > 0 { 1 } else { limit },
        connections: None,
    };
    if !options.acc.is_empty() && hub.account(options.acc.as_bytes()).is_none() {
        answer.server_id = String::new();
        return Ok(answer);
    }
    let mut records = records(hub, options);
    answer.total = records.len();
    records.retain(|record| is_wanted(record, options));
    let lists = Lists::new(hub, options);
    records.retain(|record| lists.has_subject(record, &options.filter_subject));
    let now = hub.clock.stamp(hub.env.now());
    sort.apply(&mut records, now);
    let page = records.iter().skip(answer.offset).take(answer.limit);
    let connections: Vec<ConnInfo> = page.map(|record| info(hub, record, options, &lists, now)).collect();
    answer.num_connections = connections.len();
    answer.connections = Some(connections);
    Ok(answer)
}

/// Those of the wanted state and account.
fn records(hub: &Hub, options: &ConnzOptions) -> Vec<Arc<Record>> {
    let mut records = Vec::new();
    if options.state != ConnState::Closed {
        records.extend(hub.clients().iter().map(|client| Arc::new(Record::of(client))));
    }
    if options.state != ConnState::Open {
        records.extend(hub.gone());
    }
    records.retain(|record| options.acc.is_empty() || record.account() == options.acc);
    records
}

fn is_wanted(record: &Record, options: &ConnzOptions) -> bool {
    options.mqtt_client.is_empty()
        && (options.cid == 0 || record.id == options.cid)
        && (options.user.is_empty() || record.user() == options.user)
}

/// Subscriptions by connection, when they are wanted at all.
struct Lists(BTreeMap<u64, Vec<Arc<Subscription>>>);

impl Lists {
    fn new(hub: &Hub, options: &ConnzOptions) -> Self {
        let mut lists = BTreeMap::<u64, Vec<Arc<Subscription>>>::new();
        if options.subscriptions || options.subscriptions_detail || !options.filter_subject.is_empty() {
            for subscription in hub.accounts().iter().flat_map(|account| account.subscriptions()) {
                if let Taker::Client(client) = &subscription.taker {
                    lists.entry(client.id).or_default().push(subscription.clone());
                }
            }
        }
        Self(lists)
    }

    fn has_subject(&self, record: &Record, subject: &str) -> bool {
        subject.is_empty()
            || self.details(record).iter().any(|detail| {
                let (wanted, has) = (subject.as_bytes(), detail.subject.as_bytes());
                crate::subject::covers(wanted, has) || crate::subject::covers(has, wanted)
            })
    }

    fn details(&self, record: &Record) -> Vec<SubDetail> {
        if record.end.is_some() {
            return record.listed.clone();
        }
        let all = self.0.get(&record.id).map(Vec::as_slice).unwrap_or_default();
        all.iter().map(|entry| SubDetail::of(entry, None)).collect()
    }
}

fn info(hub: &Hub, record: &Record, options: &ConnzOptions, lists: &Lists, now: Stamp) -> ConnInfo {
    let (about, tls) = (&record.who.about, record.who.tls.as_deref());
    let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
    let only = |wanted: bool, text: &str| if wanted { text.to_owned() } else { String::new() };
    let is_known = options.username && record.who.is_in;
    let details =
        if options.subscriptions || options.subscriptions_detail { lists.details(record) } else { Vec::new() };
    let (subscriptions_list, subscriptions_list_detail) = match options.subscriptions_detail {
        true => (Vec::new(), details),
        false => (details.into_iter().map(|detail| detail.subject).collect(), Vec::new()),
    };
    ConnInfo {
        cid: record.id,
        kind: "Client",
        kind_of_client: kind_of_client(record.over),
        ip: record.peer.ip().to_string(),
        port: record.peer.port(),
        start: hub.clock.wall(record.began),
        last_activity: hub.clock.wall(record.last),
        stop: record.end.map(|(at, _)| hub.clock.wall(at)),
        reason: record.end.map(|(_, reason)| reason.text()).unwrap_or_default(),
        rtt: record.who.rtt.map(duration).unwrap_or_default(),
        uptime: uptime(record.uptime(now)),
        idle: uptime(record.idle(now)),
        pending_bytes: record.pending,
        in_msgs: record.received.msgs,
        out_msgs: record.sent.msgs,
        in_bytes: record.received.bytes,
        out_bytes: record.sent.bytes,
        stalls: record.stalls,
        subscriptions: record.subscriptions,
        name: text(&about.name),
        lang: text(&about.lang),
        version: text(&about.version),
        tls_version: tls.map(|tls| tls.version).unwrap_or_default(),
        tls_cipher_suite: tls.map(|tls| tls.cipher.clone()).unwrap_or_default(),
        tls_peer_certs: tls.filter(|_| options.username).map(peer_certs).unwrap_or_default(),
        tls_first: tls.is_some_and(|tls| tls.is_first),
        authorized_user: only(options.username, record.user()),
        account: only(is_known, record.account()),
        subscriptions_list,
        subscriptions_list_detail,
        name_tag: only(is_known, record.account()),
    }
}

fn peer_certs(tls: &TlsFacts) -> Vec<PeerCert> {
    let hex = |digest: [u8; 32]| data_encoding::HEXLOWER.encode(&digest);
    let shown = tls.shown.iter().map(|one| PeerCert {
        subject: one.subject.clone(),
        spki_sha256: hex(one.key),
        cert_sha256: hex(one.digest),
    });
    shown.collect()
}
