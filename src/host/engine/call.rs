//! One call: a fresh instance, a message, and what came of it. Nothing is left of the instance afterwards.
//!
//! Time is held against its limit here, in two parts: every 10 ms running code gives way (`ticker.rs`), and when the time is
//! up it is not gone on with.

use super::clocks::{TimeIsUp, within};
use super::http::Handled;
use super::interfaces::BrokerMessage;
use super::live::Live;
use super::log::cut;
use super::messages::Message;
use super::state::State;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::{CallHook, Store, StoreContextMut};
use wasmtime_wasi::I32Exit;

/// A call did not end well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It took more than it may.
    #[error("component {id}: {limit}{then}")]
    Limit {
        /// The component.
        id: Arc<str>,
        /// What it ran into.
        limit: Limit,
        /// How it took that, if it had the chance.
        then: String,
    },
    /// It went wrong by itself.
    #[error("component {id}: trapped: {why}")]
    Trap {
        /// The component.
        id: Arc<str>,
        /// What it did.
        why: String,
    },
    /// It says so.
    #[error("component {id}: returned the error {why:?}")]
    Returned {
        /// The component.
        id: Arc<str>,
        /// Its words.
        why: String,
    },
    /// It ended the program that it is not.
    #[error("component {id}: exited with code {code}")]
    Exited {
        /// The component.
        id: Arc<str>,
        /// The code.
        code: i32,
    },
    /// It was asked by HTTP, and has not answered.
    #[error("component {id}: gave no whole answer: {why}")]
    Unanswered {
        /// The component.
        id: Arc<str>,
        /// What is amiss.
        why: &'static str,
    },
    /// It was stopped, and the time to drain is over.
    #[error("component {id}: stopped in the middle of a call")]
    Stopped {
        /// The component.
        id: Arc<str>,
    },
}

/// What a component may not have more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// Time of a call.
    #[error("cut off after {max:?} (limits.call)")]
    Time {
        /// The limit.
        max: Duration,
    },
    /// Memory of the instance.
    #[error("more than {max} bytes of memory (limits.memory)")]
    Memory {
        /// The limit.
        max: u64,
    },
    /// Memory of all instances.
    #[error("no memory left of the {max} bytes that all components share (memory_total_bytes_max)")]
    MemoryTotal {
        /// The limit.
        max: u64,
    },
    /// Elements of a table.
    #[error("a table of more than {max} elements (table_elements_max)")]
    Table {
        /// The limit.
        max: usize,
    },
    /// Calls to the host.
    #[error("more than {max} calls to the host within one call (host_calls_max)")]
    HostCalls {
        /// The limit.
        max: u64,
    },
    /// Bytes of the body of an answer by HTTP.
    #[error("more than {max} bytes in the body of an answer (http_body_bytes_max)")]
    Answer {
        /// The limit.
        max: usize,
    },
    /// Messages.
    #[error("more than {max} messages published within one call (published_max)")]
    Published {
        /// The limit.
        max: u64,
    },
    /// Bytes of the values of a call between components.
    #[error("more than {max} bytes of values in a call between components (carried_bytes_max)")]
    Values {
        /// The limit.
        max: usize,
    },
    /// Requests by HTTP.
    #[error("more than {max} requests made by HTTP within one call (asked_max)")]
    Asked {
        /// The limit.
        max: u64,
    },
    /// Values.
    #[error("more than {max} values written within one call (written_max)")]
    Written {
        /// The limit.
        max: u64,
    },
}

/// Calls the component with `message`; without one, makes an instance and looks whether it could be called.
///
/// Waits for its turn when as many calls are in flight on this node as may be. Dropping the future ends the instance at once.
///
/// # Errors
/// [`CallError`]: as good as all of it is the component's doing.
pub(super) async fn call(live: &Arc<Live>, message: Option<Message>) -> Result<(), CallError> {
    let turn = live.turn().await;
    let _ticking = live.machine.ticking();
    let reply = message.as_ref().and_then(|message| message.reply.clone());
    let id = live.id.clone();
    let limited = |limit| CallError::Limit { id: id.clone(), limit, then: String::new() };
    let mut store = store(live, reply, 0).map_err(limited)?;
    store.data_mut().turn = turn;
    if message.is_none() {
        // It is to be seen whether it could be called, and nobody else shall notice.
        store.data_mut().limiter.silence();
    }
    let limit = live.allowed.call;
    let done = within(limit, run(&mut store, live, message)).await;
    match done {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(why))) => Err(CallError::Returned { id, why: cut(&why).to_owned() }),
        Ok(Err(error)) => Err(explain(id, &store, &error)),
        Err(TimeIsUp) => Err(limited(Limit::Time { max: limit })),
    }
}

/// For an instance that takes `beside` bytes besides what it is made of.
///
/// # Errors
/// There is no memory left for it.
pub(super) fn store(live: &Arc<Live>, reply: Option<Box<str>>, beside: u64) -> Result<Store<State>, Limit> {
    let mut store = Store::new(&live.machine.engine, State::new(live, reply, beside)?);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(live.transfer_max());
    store.set_max_component_handles(live.bounds.handles_max);
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    store.call_hook(|mut context: StoreContextMut<'_, State>, hook| match hook {
        CallHook::CallingHost => Ok(context.data_mut().limiter.host_call()?),
        CallHook::CallingWasm | CallHook::ReturningFromWasm | CallHook::ReturningFromHost => Ok(()),
    });
    Ok(store)
}

async fn run(store: &mut Store<State>, live: &Live, message: Option<Message>) -> wasmtime::Result<Result<(), String>> {
    let instance = live.code.pre.instantiate_async(&mut *store).await?;
    if let (None, Some(http)) = (&message, &live.code.http) {
        instance.get_typed_func::<Handled, ()>(&mut *store, http)?;
    }
    let Some(handler) = &live.code.handler else { return Ok(Ok(())) };
    let handler = instance.get_typed_func::<(BrokerMessage,), (Result<(), String>,)>(&mut *store, handler)?;
    let Some(message) = message else { return Ok(Ok(())) };
    let (result,) = handler.call_async(store, (message.into(),)).await?;
    Ok(result)
}

/// What an error of wasmtime's comes from.
pub(super) fn explain(id: Arc<str>, store: &Store<State>, error: &wasmtime::Error) -> CallError {
    let why = cut(&error.root_cause().to_string()).to_owned();
    // What it was refused is why it failed, more likely than not; how it failed stands beside it.
    if let Some(limit) = store.data().limiter.hit() {
        let then = if error.is::<Limit>() { String::new() } else { format!("; then: {why}") };
        return CallError::Limit { id, limit, then };
    }
    if let Some(&limit) = error.downcast_ref::<Limit>() {
        return CallError::Limit { id, limit, then: String::new() };
    }
    match error.downcast_ref::<I32Exit>() {
        Some(&I32Exit(code)) => CallError::Exited { id, code },
        None => CallError::Trap { id, why },
    }
}
