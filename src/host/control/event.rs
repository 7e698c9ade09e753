//! What a host tells of itself: events, as CloudEvents 1.0 in JSON.

use crate::ports::Client;
use chrono::{DateTime, SecondsFormat, Utc};
use lattice_broker::env::{Env, Rng};
use rand_core::Rng as _;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// Tells events.
#[derive(Debug)]
pub struct Events {
    env: Env,
    client: Arc<dyn Client>,
    lattice: String,
    source: String,
    ids: Mutex<Rng>,
}

impl Events {
    /// The events of host `source` in `lattice`, told by `client`.
    #[must_use]
    pub fn new(env: Env, client: Arc<dyn Client>, lattice: String, source: String) -> Self {
        let ids = Mutex::new(env.rng("host events"));
        Self { env, client, lattice, source, ids }
    }

    /// Tells one; who listens may be nobody.
    pub fn tell(&self, name: &str, data: Value) {
        let event = json!({
            "specversion": "1.0",
            "id": self.id(),
            "source": self.source,
            "type": format!("com.wasmcloud.lattice.{name}"),
            "time": DateTime::<Utc>::from(self.env.wall()).to_rfc3339_opts(SecondsFormat::Millis, true),
            "datacontenttype": "application/json",
            "data": data,
        });
        let subject = format!("wasmbus.evt.{}.{name}", self.lattice);
        self.client.publish(&subject, None, event.to_string().as_bytes());
    }

    /// A random UUID (version 4).
    fn id(&self) -> String {
        let mut bytes = [0; 16];
        self.ids.lock().expect("no holder of this lock panics").fill_bytes(&mut bytes);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex = data_encoding::HEXLOWER.encode(&bytes);
        let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        parts.join("-")
    }
}
