//! `/accstatz`: what the clients of each account have moved.

use super::text::serialize_time;
use super::{Record, SublistStats};
use crate::account::Account;
use crate::hub::Hub;
use crate::stats::Traffic;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

/// Which accounts are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AccstatzOptions {
    /// These; empty is all.
    pub accounts: Vec<String>,
    /// Those without connections, too.
    pub include_unused: bool,
}

/// The accounts' figures.
#[derive(Clone, Debug, Serialize)]
pub struct Accstatz {
    /// Who answers.
    pub server_id: String,
    /// When.
    #[serde(serialize_with = "serialize_time")]
    pub now: SystemTime,
    /// By name.
    pub account_statz: Vec<AccountStat>,
}

/// One account's figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are those of the protocol, and documented there")]
pub struct AccountStat {
    pub acc: String,
    pub name: String,
    pub conns: usize,
    pub leafnodes: usize,
    pub total_conns: usize,
    pub num_subscriptions: u64,
    /// To clients.
    pub sent: Flow,
    /// From clients.
    pub received: Flow,
    pub slow_consumers: u64,
}

/// Messages and bytes of bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// Messages.
    pub msgs: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Of these, over gateways.
    pub gateways: Part,
    /// Of these, over routes.
    pub routes: Part,
    /// Of these, over leaf links.
    pub leafs: Part,
}

/// A part of a [`Flow`]: always none, as what goes elsewhere is not counted by account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Part {
    msgs: u64,
    bytes: u64,
}

impl From<Traffic> for Flow {
    fn from(traffic: Traffic) -> Self {
        Self { msgs: traffic.msgs, bytes: traffic.bytes, ..Self::default() }
    }
}

pub(super) fn accstatz(hub: &Hub, options: &AccstatzOptions) -> Accstatz {
    let live = by_account(hub);
    let named = |account: &Account| options.accounts.iter().any(|name| name.as_bytes() == account.name());
    let accounts = hub.accounts();
    let wanted = accounts.iter().filter(|account| options.accounts.is_empty() || named(account));
    let stats = wanted.map(|account| account_stat(hub, account, &live));
    Accstatz {
        server_id: hub.info.server_id.clone(),
        now: hub.env.wall(),
        account_statz: stats.filter(|stat| options.include_unused || stat.conns > 0).collect(),
    }
}

/// One account's figures, for who has no use for the others'.
pub(crate) fn stat_of(hub: &Hub, account: &Arc<Account>) -> AccountStat {
    account_stat(hub, account, &by_account(hub))
}

/// What the clients that are there have moved: from them, and to them.
fn by_account(hub: &Hub) -> BTreeMap<String, (Traffic, Traffic)> {
    let mut live = BTreeMap::<String, (Traffic, Traffic)>::new();
    for record in hub.clients().iter().map(|client| Record::of(client)) {
        let (received, sent) = live.entry(record.account().to_owned()).or_default();
        *received += record.received;
        *sent += record.sent;
    }
    live
}

fn account_stat(hub: &Hub, account: &Arc<Account>, live: &BTreeMap<String, (Traffic, Traffic)>) -> AccountStat {
    let name = String::from_utf8_lossy(account.name()).into_owned();
    let past = account.past();
    let (mut received, mut sent) = live.get(&name).copied().unwrap_or_default();
    received += past.received;
    sent += past.sent;
    let leafnodes = hub.leafs.count(Some(account.name()));
    let conns = account.connections().saturating_sub(leafnodes);
    AccountStat {
        acc: name.clone(),
        name,
        conns,
        leafnodes,
        total_conns: conns + leafnodes,
        num_subscriptions: SublistStats::of(std::slice::from_ref(account)).num_subscriptions,
        sent: sent.into(),
        received: received.into(),
        slow_consumers: past.slow_consumers,
    }
}
