//! `wasmcloud:messaging`: the lattice's messages, to a component and from it.

use crate::host::engine::call::Limit;
use crate::host::engine::messages::Message;
use crate::host::engine::state::State;
use std::time::Duration;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

/// What a component exports to be called with messages.
pub(in crate::host::engine) const HANDLER: &str = "wasmcloud:messaging/handler@0.2.0";

/// A message as the interface has it.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(in crate::host::engine) struct BrokerMessage {
    subject: String,
    body: Vec<u8>,
    #[component(name = "reply-to")]
    reply_to: Option<String>,
}

impl From<Message> for BrokerMessage {
    fn from(message: Message) -> Self {
        Self { subject: message.subject.into(), body: message.payload.into(), reply_to: message.reply.map(Into::into) }
    }
}

type Context<'a> = StoreContextMut<'a, State>;

pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut consumer = linker.instance("wasmcloud:messaging/consumer@0.2.0")?;
    consumer.func_wrap("publish", |mut context: Context<'_>, (message,): (BrokerMessage,)| {
        Ok((publish(context.data_mut(), &message)?,))
    })?;
    consumer.func_wrap_async("request", |mut context: Context<'_>, (subject, body, millis): (String, Vec<u8>, u32)| {
        Box::new(async move { Ok((request(context.data_mut(), &subject, &body, millis).await?,)) })
    })
}

/// What goes wrong the component is told, but for a limit, which stops it.
fn publish(state: &mut State, message: &BrokerMessage) -> Result<Result<(), String>, Limit> {
    state.limiter.publish()?;
    let is_answer = state.reply.as_deref() == Some(&*message.subject);
    if !is_answer && let Err(why) = state.live.subjects.check(&message.subject) {
        return Ok(Err(why));
    }
    let sent = state.live.client.publish(&message.subject, message.reply_to.as_deref(), &message.body);
    Ok(sent.map_err(|error| error.to_string()))
}

async fn request(
    state: &mut State,
    subject: &str,
    body: &[u8],
    millis: u32,
) -> Result<Result<BrokerMessage, String>, Limit> {
    state.limiter.publish()?;
    if let Err(why) = state.live.subjects.check(subject) {
        return Ok(Err(why));
    }
    let timeout = Duration::from_millis(millis.into());
    let answer = state.live.client.request(subject, body, timeout).await;
    Ok(answer.map(Into::into).map_err(|error| error.to_string()))
}
