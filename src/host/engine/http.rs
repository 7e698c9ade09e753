//! One request by HTTP: a fresh instance, the request, and the answer that the component gives, whole. Messages are `call.rs`'s, and
//! what a component asks others `outgoing/`'s.
//!
//! An answer is taken when the call has ended: whoever reads it slowly does not keep an instance, and of one whose end goes wrong
//! nothing has been said yet.

use super::call::{self, CallError, Limit};
use super::clocks::{TimeIsUp, within};
use super::limiter::Share;
use super::live::Live;
use super::log::cut;
use super::state::State;
use crate::host::runner::{HttpError, HttpRequest, HttpResponse};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::Response;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime::component::Resource;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};
use wasmtime_wasi_http::{Error, WasiHttpView as _};

/// What a component is called with.
pub(super) type Handled = (Resource<HostIncomingRequest>, Resource<HostResponseOutparam>);

/// An answer as a component gives it.
type Given = Result<Response<HyperOutgoingBody>, ErrorCode>;

/// A request, and who waits for the answer. Dropping it says that there was no room for it.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) request: HttpRequest,
    pub(super) answer: oneshot::Sender<Result<HttpResponse, HttpError>>,
}

impl Exchange {
    /// Bytes that it takes while it waits.
    pub(super) fn size(&self) -> usize {
        let headers = self.request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
        size_of::<Self>() + self.request.body().len() + headers.sum::<usize>()
    }
}

/// No answer, or none that can be sent.
enum Fault {
    Missing,
    Broken,
    Code(ErrorCode),
    Limit(Limit),
}

impl Fault {
    fn of(self, id: Arc<str>) -> CallError {
        let unanswered = |id, why| CallError::Unanswered { id, why };
        match self {
            Self::Missing => unanswered(id, "it has set none"),
            Self::Broken => unanswered(id, "its body breaks off, or has not the length that its head says"),
            Self::Code(code) => CallError::Returned { id, why: cut(&format!("{code:?}")).to_owned() },
            Self::Limit(limit) => CallError::Limit { id, limit, then: String::new() },
        }
    }
}

/// Has the component answer `request`, which has a body of bounded length, and a host that it is for.
///
/// Waits for its turn when as many calls are in flight on this node as may be; not, when who asks is `gone` by then. Dropping the future ends the instance at once.
///
/// # Errors
/// [`CallError`]: as good as all of it is the component's doing.
pub(super) async fn call(
    live: &Arc<Live>,
    request: HttpRequest,
    gone: impl Future<Output = ()>,
) -> Result<HttpResponse, CallError> {
    let turn = tokio::select! {
        biased;
        () = gone => return Err(CallError::Stopped { id: live.id.clone() }),
        turn = live.turn() => turn,
    };
    let _ticking = live.machine.ticking();
    let id = live.id.clone();
    let limited = |limit| CallError::Limit { id: id.clone(), limit, then: String::new() };
    let mut store = call::store(live, None, request.body().len() as u64).map_err(limited)?;
    store.data_mut().turn = turn;
    let (answer, answered) = oneshot::channel();
    let max = live.bounds.http_body_bytes_max;
    let mut whole = pin!(collect(answered, max, Share::of(&live.budget)));
    let limit = live.allowed.call;
    let mut early = None;
    let done = within(limit, async {
        let mut running = pin!(run(&mut store, live, request, answer));
        loop {
            tokio::select! {
                biased;
                done = &mut running => break Some(done),
                got = &mut whole, if early.is_none() => match got {
                    // It will not get better.
                    Err(_) => { early = Some(got); break None }
                    Ok(_) => early = Some(got),
                },
            }
        }
    });
    match done.await {
        Ok(Some(Err(error))) => return Err(call::explain(id, &store, &error)),
        Err(TimeIsUp) => return Err(limited(Limit::Time { max: limit })),
        Ok(Some(Ok(())) | None) => {}
    }
    // What it has not ended itself ends with it.
    drop(store);
    let whole = match early {
        Some(got) => got,
        None => within(limit, whole).await.unwrap_or(Err(Fault::Broken)),
    };
    whole.map_err(|fault| fault.of(id))
}

async fn run(
    store: &mut Store<State>,
    live: &Live,
    request: HttpRequest,
    answer: oneshot::Sender<Given>,
) -> wasmtime::Result<()> {
    let instance = live.code.pre.instantiate_async(&mut *store).await?;
    let Some(handler) = &live.code.http else { return Ok(()) };
    let handler = instance.get_typed_func::<Handled, ()>(&mut *store, handler)?;
    let mut http = store.data_mut().http();
    let request = request.map(|body| Full::new(body).map_err(|never: Infallible| -> Error { match never {} }));
    let request = http.new_incoming_request(Scheme::Http, request)?;
    let answer = http.new_response_outparam(answer)?;
    handler.call_async(store, (request, answer)).await
}

async fn collect(answered: oneshot::Receiver<Given>, max: usize, mut share: Share) -> Result<HttpResponse, Fault> {
    let given = answered.await.map_err(|_| Fault::Missing)?.map_err(Fault::Code)?;
    let (head, mut body) = given.into_parts();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // What comes after a body is left out.
        let Ok(data) = frame.map_err(|_| Fault::Broken)?.into_data() else { continue };
        if whole.len() + data.len() > max {
            return Err(Fault::Limit(Limit::Answer { max }));
        }
        share.take(data.len() as u64).map_err(Fault::Limit)?;
        whole.extend_from_slice(&data);
    }
    Ok(Response::from_parts(head, Bytes::from(whole)))
}

/// What who has asked is told of a call that went wrong: nothing of its insides.
pub(super) fn told(error: &CallError) -> HttpError {
    match error {
        CallError::Limit { limit: Limit::Time { .. }, .. } => HttpError::Late,
        CallError::Limit { limit: Limit::MemoryTotal { .. }, .. } | CallError::Stopped { .. } => HttpError::Busy,
        CallError::Limit { .. }
        | CallError::Trap { .. }
        | CallError::Returned { .. }
        | CallError::Exited { .. }
        | CallError::Unanswered { .. } => HttpError::Failed,
    }
}
