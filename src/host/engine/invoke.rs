//! One call of a function that another component, or a client, has asked for: a fresh instance, the values, and what it returns.

use super::call::{self, CallError, Limit};
use super::clocks::{TimeIsUp, within};
use super::limiter::Share;
use super::live::Live;
use super::state::State;
use super::values::{self, Fault};
use super::wrpc::Refusal;
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime::component::Val;

/// A call, and who waits for what it returns. Dropping it says that there was no room for it.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) interface: Arc<str>,
    pub(super) function: Arc<str>,
    /// Encoded, all of them.
    pub(super) params: Bytes,
    /// What they have of the memory for components, if they have come in parts.
    pub(super) share: Option<Share>,
    pub(super) answer: oneshot::Sender<Result<Bytes, Refusal>>,
}

impl Invocation {
    /// Bytes that it takes while it waits.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + self.params.len()
    }
}

/// A call came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// By what was asked for.
    Asker(Refusal),
    /// By what the component did.
    Component(CallError),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Component(error)
    }
}

impl Failure {
    /// What who has asked is told: nothing of the component's insides.
    pub(super) fn told(&self) -> Refusal {
        match self {
            Self::Asker(refusal) => refusal.clone(),
            Self::Component(error) => match error {
                CallError::Limit { limit: Limit::Time { .. }, .. } => Refusal::Late,
                CallError::Limit { limit: Limit::MemoryTotal { .. }, .. } | CallError::Stopped { .. } => Refusal::Busy,
                _ => Refusal::Failed,
            },
        }
    }
}

/// Calls the function with its parameters; what it returns, encoded.
///
/// Waits for its turn when as many calls are in flight on this node as may be; not, when who asks is `gone` by then. Dropping the
/// future ends the instance at once.
///
/// # Errors
/// [`Failure`] says whose doing it is.
pub(super) async fn call(
    live: &Arc<Live>,
    interface: &str,
    function: &str,
    (params, share): (Bytes, Option<Share>),
    gone: impl Future<Output = ()>,
) -> Result<Bytes, Failure> {
    let export = live.code.exports.get(interface, function).ok_or(Failure::Asker(Refusal::NoFunction))?;
    let max = live.bounds.values_bytes_max;
    let asker = |fault: Fault| Failure::Asker(fault.into());
    let memory = values::measure(&export.signature.params, &params, max).map_err(asker)?;
    let turn = tokio::select! {
        biased;
        () = gone => return Err(Failure::Asker(Refusal::Late)),
        turn = live.turn() => turn,
    };
    let _ticking = live.machine.ticking();
    let id = live.id.clone();
    let limited = |limit| CallError::Limit { id: id.clone(), limit, then: String::new() };
    let mut store = call::store(live, None, memory).map_err(limited)?;
    store.data_mut().turn = turn;
    let values = values::decode(&export.signature.params, &params, max).map_err(asker)?;
    // They are values now, which are charged.
    drop((params, share));
    let mut results = vec![Val::Bool(false); export.signature.results.len()];
    let limit = live.allowed.call;
    match within(limit, run(&mut store, live, &export.index, &values, &mut results)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(call::explain(id, &store, &error).into()),
        Err(TimeIsUp) => return Err(limited(Limit::Time { max: limit }).into()),
    }
    let results = values::encode(&export.signature.results, &results).map_err(asker)?;
    let max = live.bounds.carried_bytes_max;
    if results.len() > max {
        return Err(limited(Limit::Values { max }).into());
    }
    Ok(results)
}

async fn run(
    store: &mut Store<State>,
    live: &Live,
    index: &wasmtime::component::ComponentExportIndex,
    params: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let instance = live.code.pre.instantiate_async(&mut *store).await?;
    // It has been found in the component that this is made of.
    let missing = || wasmtime::Error::msg("the function is not there");
    let function = instance.get_func(&mut *store, index).ok_or_else(missing)?;
    function.call_async(store, params, results).await
}
