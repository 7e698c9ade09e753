//! `STATSZ`: the figures by which servers are watched from afar.

use super::text::serialize_time;
use crate::hub::Hub;
use serde::Serialize;
use std::time::SystemTime;

/// How a server is.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are those of the protocol, and documented there")]
pub struct Statsz {
    #[serde(serialize_with = "serialize_time")]
    pub start: SystemTime,
    /// Resident bytes.
    pub mem: u64,
    pub cores: usize,
    /// Percent of one core.
    pub cpu: f64,
    pub connections: u64,
    pub total_connections: u64,
    pub active_accounts: usize,
    pub subscriptions: u64,
    pub sent: Amount,
    pub sent_to_clients: Amount,
    pub received: Amount,
    pub received_from_clients: Amount,
    pub slow_consumers: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub stalled_clients: u64,
    pub active_servers: u64,
    pub gomaxprocs: usize,
}

/// Messages and bytes of bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are those of the protocol, and documented there")]
pub struct Amount {
    pub msgs: u64,
    pub bytes: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

pub(super) fn statsz(hub: &Hub) -> Statsz {
    let figures = super::varz::varz(hub).figures;
    let amount = |msgs, bytes| Amount { msgs, bytes };
    Statsz {
        start: figures.start,
        mem: figures.mem,
        cores: figures.cores,
        cpu: figures.cpu,
        connections: figures.connections,
        total_connections: figures.total_connections,
        active_accounts: hub.accounts().iter().filter(|account| account.connections() > 0).count(),
        subscriptions: figures.subscriptions,
        sent: amount(figures.out_msgs, figures.out_bytes),
        sent_to_clients: amount(figures.out_client_msgs, figures.out_client_bytes),
        received: amount(figures.in_msgs, figures.in_bytes),
        received_from_clients: amount(figures.in_client_msgs, figures.in_client_bytes),
        slow_consumers: figures.slow_consumers,
        stalled_clients: figures.stalled_clients,
        active_servers: 1,
        gomaxprocs: figures.gomaxprocs,
    }
}
