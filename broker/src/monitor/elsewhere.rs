//! `/routez`, `/gatewayz` and `/jsz`: what is off here, in the words in which nats-server tells that it is off there.

use super::text::serialize_time;
use crate::hub::Hub;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// Routes of a cluster.
#[derive(Clone, Debug, Serialize)]
pub struct Routez {
    server_id: String,
    server_name: String,
    #[serde(serialize_with = "serialize_time")]
    now: SystemTime,
    num_routes: usize,
    routes: [(); 0],
}

/// Gateways to other clusters.
#[derive(Clone, Debug, Serialize)]
pub struct Gatewayz {
    server_id: String,
    #[serde(serialize_with = "serialize_time")]
    now: SystemTime,
    outbound_gateways: BTreeMap<String, ()>,
    inbound_gateways: BTreeMap<String, ()>,
}

/// JetStream.
#[derive(Clone, Debug, Serialize)]
pub struct Jsz {
    memory: u64,
    storage: u64,
    reserved_memory: u64,
    reserved_storage: u64,
    accounts: u64,
    ha_assets: u64,
    api: Api,
    server_id: String,
    #[serde(serialize_with = "serialize_time")]
    now: SystemTime,
    disabled: bool,
    config: JszConfig,
    streams: u64,
    consumers: u64,
    messages: u64,
    bytes: u64,
    total: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Api {
    level: u32,
    total: u64,
    errors: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct JszConfig {
    max_memory: u64,
    max_storage: u64,
}

pub(super) fn routez(hub: &Hub) -> Routez {
    Routez {
        server_id: hub.info.server_id.clone(),
        server_name: hub.info.server_name.clone(),
        now: hub.env.wall(),
        num_routes: 0,
        routes: [],
    }
}

pub(super) fn gatewayz(hub: &Hub) -> Gatewayz {
    Gatewayz {
        server_id: hub.info.server_id.clone(),
        now: hub.env.wall(),
        outbound_gateways: BTreeMap::new(),
        inbound_gateways: BTreeMap::new(),
    }
}

pub(super) fn jsz(hub: &Hub) -> Jsz {
    Jsz {
        memory: 0,
        storage: 0,
        reserved_memory: 0,
        reserved_storage: 0,
        accounts: 0,
        ha_assets: 0,
        api: Api::default(),
        server_id: hub.info.server_id.clone(),
        now: hub.env.wall(),
        disabled: true,
        config: JszConfig::default(),
        streams: 0,
        consumers: 0,
        messages: 0,
        bytes: 0,
        total: 0,
    }
}
