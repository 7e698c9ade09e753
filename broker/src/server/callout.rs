//! Asks a service about a client: sends the request, and waits for the first answer.
//!
//! What is sent, and what an answer means, is left to `auth/callout`; how long is waited, to whoever drops the future.

use crate::auth::{CALLOUT_SUBJECT, CalloutCheck, ClientTls, Identity, Inquiry, ServerId};
use crate::hub::Hub;
use crate::local::Local;
use crate::lock::read;
use crate::message::Message;
use rand_core::Rng as _;
use std::sync::Arc;

/// Clients that services are asked about at a time; others wait.
pub(crate) const CALLOUTS_MAX: usize = 128;
/// What the subjects of answers begin with, as services may have been given leave to answer there.
const INBOX: &str = "$SYS._INBOX.";

/// Who the client of that number is, as the service says; `None` when it is not let in. Waits for ever when there is no answer.
pub(super) async fn ask(
    hub: Arc<Hub>,
    client: u64,
    tls: Option<ClientTls>,
    mut check: CalloutCheck,
) -> Option<Arc<Identity>> {
    if let Some(before) = check.take_before() {
        let identity = hub.work_slowly(move |wall| before.run(wall)).await.flatten();
        if identity.is_some() {
            return identity;
        }
    }
    let _leave = hub.callouts.acquire().await.ok()?;
    let mut local = Local::new(hub.clone(), hub.account(check.account().as_bytes())?, hub.config.max_payload);
    let inquiry = inquire(&hub, client, tls.as_ref(), check)?;
    let reply = format!("{INBOX}{}", hub.event_id());
    let mut answers = local.subscribe(reply.as_bytes(), None, 1).ok()?;
    let (subject, reply) = (CALLOUT_SUBJECT.as_bytes(), Some(reply.as_bytes()));
    local.publish(&Message { subject, reply, header_len: 0, body: inquiry.request.as_bytes() });
    let answer = answers.next().await;
    drop(answers);
    hub.work_slowly(move |wall| inquiry.settle(&answer.payload, wall)).await.flatten()
}

fn inquire(hub: &Hub, client: u64, tls: Option<&ClientTls>, check: CalloutCheck) -> Option<Inquiry> {
    let mut secret = [0; 32];
    hub.env.rng("callout").fill_bytes(&mut secret);
    let time = (hub.env.wall(), hub.live().auth_timeout);
    check.inquire((client, tls), (&server_id(hub), hub.server_key.as_ref()?), secret, time)
}

fn server_id(hub: &Hub) -> ServerId {
    let info = &hub.info;
    ServerId {
        name: info.server_name.clone(),
        host: hub.address().0,
        id: info.server_id.clone(),
        version: info.version.clone(),
        cluster: info.cluster.clone(),
        tags: read(&hub.surroundings).tags.clone(),
    }
}
