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
        Box::new(async move { Ok((request(context.data_mut(), &subject, body, millis).await?,)) })
    })
}

/// What goes wrong the component is told, but for a limit, which stops it.
fn publish(state: &mut State, message: &BrokerMessage) -> Result<Result<(), String>, Limit> {
    state.limiter.publish()?;
    if let Err(why) = may_publish(state, message) {
        return Ok(Err(why));
    }
    let sent = state.live.messenger.publish(&message.subject, message.reply_to.as_deref(), &message.body);
    Ok(sent.map_err(|error| error.to_string()))
}

/// An answer may go where it is wanted, and others may be had answer there: where the component might publish itself.
fn may_publish(state: &State, message: &BrokerMessage) -> Result<(), String> {
    let subjects = &state.live.subjects;
    let asked_from = |subject: &str| state.reply.as_deref() == Some(subject);
    let check = |subject: &str| {
        if asked_from(subject) { subjects.check_answer(subject) } else { subjects.check(subject) }
    };
    check(&message.subject)?;
    message.reply_to.as_deref().map_or(Ok(()), check)
}

async fn request(
    state: &mut State,
    subject: &str,
    body: Vec<u8>,
    millis: u32,
) -> Result<Result<BrokerMessage, String>, Limit> {
    state.limiter.publish()?;
    if let Err(why) = state.live.subjects.check(subject) {
        return Ok(Err(why));
    }
    let timeout = Duration::from_millis(millis.into());
    let live = state.live.clone();
    let answer = state.waiting(live.messenger.request(subject, body, timeout)).await;
    Ok(answer.map(Into::into).map_err(|error| error.to_string()))
}
