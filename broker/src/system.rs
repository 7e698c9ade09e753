//! What the server itself says and answers, on subjects that begin with `$SYS.`.
//!
//! `user.rs` tells a client who it is, `services.rs` answers those who watch over the server, `events.rs` tells of what
//! happens. Each begins with the same envelope. Whether a client may ask is left to the session; how an answer gets to
//! it, to the connection; what the answers say, to `monitor`.

pub(crate) mod events;
mod services;
mod user;

pub(crate) use services::{Asker, Said, answer, outcome};

use crate::hub::Hub;
use crate::lock::read;
use crate::monitor::time;
use serde::Serialize;
use std::collections::BTreeMap;

/// What questions to the server begin with.
pub(crate) const QUESTION: &[u8] = b"$SYS.REQ.";

/// The server, as each answer and event names it.
#[derive(Debug, Serialize)]
struct Server {
    name: String,
    host: String,
    id: String,
    ver: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    jetstream: bool,
    flags: u32,
    seq: u64,
    time: String,
}

impl Server {
    fn new(hub: &Hub) -> Self {
        let (info, surroundings) = (&hub.info, read(&hub.surroundings));
        Self {
            name: info.server_name.clone(),
            host: hub.address().0,
            id: info.server_id.clone(),
            ver: info.version.clone(),
            tags: surroundings.tags.clone(),
            metadata: surroundings.metadata.clone(),
            jetstream: false,
            flags: 0,
            seq: hub.next_answer(),
            time: time(hub.env.wall()),
        }
    }
}

/// Data that is made of names, texts and numbers, as JSON.
fn encoded(data: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(data).expect("texts and numbers under names always encode")
}
