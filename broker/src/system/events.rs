//! What happens, told to the system account: who comes and goes, and how the server is.
//!
//! An event is made only where somebody listens: without interest in the system account a connection costs one look at it.

use super::{Server, encoded};
use crate::account::Account;
use crate::batch::Batch;
use crate::delivery::{Job, Origin, deliver};
use crate::hub::Hub;
use crate::message::{Groups, Message};
use crate::monitor::{AccountStat, Monitor, Outcome, Record, Statsz, kind_of_client, stat_of, time};
use crate::route::Route;
use crate::server::Client;
use crate::stats::{CloseReason, Traffic};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// From this pause on the pauses between two reports double.
const REPORT_PAUSE_MIN: Duration = Duration::from_millis(250);

#[derive(Serialize)]
struct Event<T> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    timestamp: String,
    server: Server,
    #[serde(flatten)]
    told: T,
}

#[derive(Serialize)]
struct Connected {
    client: ClientInfo,
}

#[derive(Serialize)]
struct Disconnected {
    client: ClientInfo,
    /// As the client sees it: what it has published.
    sent: Flow,
    received: Flow,
    reason: &'static str,
}

#[derive(Serialize)]
struct Flow {
    msgs: u64,
    bytes: u64,
}

impl From<Traffic> for Flow {
    fn from(traffic: Traffic) -> Self {
        Self { msgs: traffic.msgs, bytes: traffic.bytes }
    }
}

#[derive(Serialize)]
struct ClientInfo {
    start: String,
    host: String,
    id: u64,
    acc: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lang: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ver: Option<Box<str>>,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<String>,
    name_tag: String,
    kind: &'static str,
    client_type: &'static str,
}

#[derive(Serialize)]
struct Report {
    server: Server,
    statsz: Statsz,
}

impl ClientInfo {
    fn of(hub: &Hub, record: &Record) -> Self {
        let about = &record.who.about;
        let ended = record.end.is_some();
        let rtt = record.who.rtt.filter(|_| ended);
        Self {
            start: time(hub.clock.wall(record.began)),
            host: record.peer.ip().to_string(),
            id: record.id,
            acc: record.account().to_owned(),
            user: record.user().to_owned(),
            name: about.name.clone(),
            lang: about.lang.clone(),
            ver: about.version.clone(),
            rtt: rtt.map(|rtt| u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX)),
            stop: record.end.map(|(at, _)| time(hub.clock.wall(at))),
            name_tag: record.account().to_owned(),
            kind: "Client",
            client_type: kind_of_client(record.over),
        }
    }
}

fn event<T: Serialize>(hub: &Hub, kind: &'static str, told: T) -> Vec<u8> {
    let (id, timestamp) = (hub.event_id(), time(hub.env.wall()));
    encoded(&Event { kind, id, timestamp, server: Server::new(hub), told })
}

/// The clients of an account, as they are counted when one comes or goes.
pub(super) fn account_connections(hub: &Hub, account: &Arc<Account>) -> Vec<u8> {
    event::<AccountStat>(hub, "io.nats.server.advisory.v1.account_connections", stat_of(hub, account))
}

/// A client has come in.
pub(crate) fn connected(hub: &Hub, client: &Client, account: &Arc<Account>) {
    let Some(to) = listeners(hub) else { return };
    count(hub, &to, account);
    tell(hub, &to, &["$SYS.ACCOUNT.", &name(account), ".CONNECT"], || {
        let client = ClientInfo::of(hub, &Record::of(client));
        event(hub, "io.nats.server.advisory.v1.client_connect", Connected { client })
    });
}

/// A client has gone, or was not let in.
pub(crate) fn disconnected(hub: &Hub, record: &Record, account: &Arc<Account>) {
    let Some(to) = listeners(hub) else { return };
    let Some((_, reason)) = record.end else { return };
    let made = || {
        let told = Disconnected {
            client: ClientInfo::of(hub, record),
            sent: record.received.into(),
            received: record.sent.into(),
            reason: reason.text(),
        };
        event(hub, "io.nats.server.advisory.v1.client_disconnect", told)
    };
    if record.who.is_in {
        count(hub, &to, account);
    } else if reason == CloseReason::AuthenticationFailure {
        tell(hub, &to, &["$SYS.SERVER.", &hub.info.server_id, ".CLIENT.AUTH.ERR"], made);
    } else {
        return;
    }
    tell(hub, &to, &["$SYS.ACCOUNT.", &name(account), ".DISCONNECT"], made);
}

/// The server takes no more clients in.
pub(crate) fn lame(hub: &Hub) {
    farewell(hub, ".LAMEDUCK");
}

/// The server ends.
pub(crate) fn shut_down(hub: &Hub) {
    farewell(hub, ".SHUTDOWN");
}

fn farewell(hub: &Hub, what: &str) {
    if let Some(to) = listeners(hub) {
        tell(hub, &to, &["$SYS.SERVER.", &hub.info.server_id, what], || encoded(&Server::new(hub)));
    }
}

/// Tells how the server is, first often and then every `pause_max`, until it stops.
pub(crate) async fn report(hub: Arc<Hub>, pause_max: Duration) {
    let mut pause = REPORT_PAUSE_MIN.min(pause_max);
    while hub.stopping.run_until_cancelled(hub.env.sleep(pause)).await.is_some() {
        pause = (pause * 2).min(pause_max);
        if let Some(to) = listeners(&hub) {
            tell(&hub, &to, &["$SYS.SERVER.", &hub.info.server_id, ".STATSZ"], || {
                let statsz = Monitor::new(hub.clone()).statsz();
                encoded(&Report { server: Server::new(&hub), statsz })
            });
        }
    }
}

fn name(account: &Account) -> String {
    String::from_utf8_lossy(account.name()).into_owned()
}

/// The system account, when anybody there listens to anything.
fn listeners(hub: &Hub) -> Option<Arc<Account>> {
    hub.account(hub.live().auth.system_account().as_bytes()).filter(|account| account.has_interest())
}

/// Tells how many clients an account has, under both names that this goes by.
fn count(hub: &Hub, to: &Arc<Account>, account: &Arc<Account>) {
    for [before, behind] in [["$SYS.SERVER.ACCOUNT.", ".CONNS"], ["$SYS.ACCOUNT.", ".SERVER.CONNS"]] {
        tell(hub, to, &[before, &name(account), behind], || account_connections(hub, account));
    }
}

/// Tells whoever asked, in an account and at a subject of its own, what has come of a wish.
pub(crate) async fn tell_outcome(hub: Arc<Hub>, to: Arc<Account>, reply: Box<[u8]>, outcome: Outcome) {
    // Without a word about it, the program has given the wish up.
    let result = outcome.await.unwrap_or_else(|_| Err("the server is about to stop".to_owned()));
    let route = to.route(&reply);
    publish(&hub, &to, &route, &super::outcome(&hub, result));
}

/// Publishes what `made` makes, if anybody listens.
fn tell(hub: &Hub, to: &Arc<Account>, subject: &[&str], made: impl FnOnce() -> Vec<u8>) {
    let subject = subject.concat();
    let route = to.route(subject.as_bytes());
    if route.is_empty() {
        return;
    }
    publish(hub, to, &route, &made());
}

/// Publishes what the server says on the subject of `route`.
fn publish(hub: &Hub, to: &Account, route: &Route, body: &[u8]) {
    let mut batch = Batch::default();
    batch.begin(None, hub.clock.stamp(hub.env.now()));
    let message = Message { subject: &route.subject, reply: None, header_len: 0, body };
    let job = Job {
        account: to.name(),
        origin: Origin::Local,
        flow: 0,
        groups: Groups::Any,
        message,
        has_headers: false,
        wire: None,
        crossed: 0,
    };
    deliver(route, &job, &mut hub.dice(), &mut batch);
    batch.write(&[], hub.config.stall_pending, &hub.counters);
    hub.expire(&mut batch);
    // Nobody is slowed down by what the server itself says.
    drop(batch.end());
}
