//! What runs components on this node, as the control interface sees it: a trait, and what goes over it.
//!
//! The engine (`engine/`) implements it over wasmtime; simulation and tests put a double here. Who may ask for what, and what the
//! others are told of it, is `control/`'s.

use crate::codec::{Decode, Encode};
use crate::host::keyvalue::{Buckets, Store};
use crate::host::links::Links;
use crate::host::outgoing::Outgoing;
use crate::host::written::{Place, Written};
use bytes::Bytes;
use lattice_broker::env::BoxFuture;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Runs components. All calls for one component happen one after the other; the caller sees to that.
pub trait Runner: Send + Sync + fmt::Debug + 'static {
    /// Gives components that start from now on a place to keep values in. Without one they have none.
    fn provide(&self, _store: Arc<Store>) {}
    /// Makes a component run as `spec` says: starts it, changes its number or its image, or stops it when `spec.count` is 0.
    /// Ready when that has happened. Messages that arrive meanwhile go to the instances that were there before.
    ///
    /// # Errors
    /// [`RunError`]; what ran before goes on.
    fn apply(&self, spec: Spec) -> BoxFuture<Result<(), RunError>>;
    /// Has a component answer a request by HTTP, which names the host that it is for. Ready in bounded time. Dropping the
    /// future gives up the answer; a call that is in hand goes on.
    ///
    /// # Errors
    /// [`HttpError`]; a component that has failed is in the log.
    fn answer(&self, id: &str, request: HttpRequest) -> BoxFuture<Result<HttpResponse, HttpError>>;
    /// Whether a component runs.
    fn runs(&self, id: &str) -> bool;
    /// What runs now.
    fn running(&self) -> Vec<Running>;
    /// What a component has written behind `after`, as far as it is still there, and how its calls fare; `None` when it does not run.
    /// A place in the row of an earlier start is as good as the beginning.
    fn written(&self, id: &str, after: Place) -> Option<Written>;
    /// Stops all, after what is in hand is done, or after the drain time of each.
    fn stop(&self) -> BoxFuture<()>;
}

/// A component as it should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its id, unique in the lattice.
    pub id: String,
    /// Where its image comes from: `file:///path`, a path, or `lattice://sha256:HEX`, which the host has by then.
    pub image: String,
    /// Instances at most at a time; 0 stops it.
    pub count: u32,
    /// What it is configured with, merged.
    pub config: BTreeMap<String, String>,
    /// What it may take of the machine; what is not set has the engine's own bounds.
    pub limits: Limits,
    /// Which subjects it is called for when a message arrives (wasmcloud:messaging).
    pub subscriptions: Vec<String>,
    /// Where it may keep values (wasi:keyvalue).
    pub buckets: Buckets,
    /// Whom it calls.
    pub links: Links,
    /// Whom it may ask by HTTP (wasi:http/outgoing-handler).
    pub outgoing: Outgoing,
}

/// What one component may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory of an instance.
    pub memory: Option<u64>,
    /// Longest time of a call.
    pub call: Option<std::time::Duration>,
}

/// A component that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its id.
    pub id: String,
    /// As in [`Spec::image`].
    pub image: String,
    /// As in [`Spec::count`].
    pub count: u32,
    /// Calls since it started, and those that failed.
    pub calls: u64,
    /// Calls that trapped, ran into a limit or returned an error.
    pub failed: u64,
}

/// A request by HTTP, whole.
pub type HttpRequest = hyper::Request<Bytes>;

/// An answer by HTTP, whole.
pub type HttpResponse = hyper::Response<Bytes>;

/// There is no answer by HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum HttpError {
    /// No such component runs here.
    #[error("the component does not run on this host")]
    Missing,
    /// It does not export what is asked by HTTP.
    #[error("the component has nothing that answers HTTP: expected wasi:http/incoming-handler 0.2")]
    NoHandler,
    /// So much waits already that there is no room, or no memory is left; or it is being stopped.
    #[error("the component has no room for more requests")]
    Busy,
    /// Its time was up before it had answered.
    #[error("the component has not answered in time")]
    Late,
    /// It has trapped, run into a limit, or given no answer.
    #[error("the component has failed")]
    Failed,
    /// It runs on another host, to which so much cannot be sent.
    #[error("the request is too long for a component on another host")]
    RequestTooLong,
    /// It runs on another host, and has answered more than can be sent.
    #[error("the answer is too long from another host")]
    AnswerTooLong,
    /// It runs on another host, which was lost before it had answered: whether it has done what was asked is not known.
    #[error("the host was lost on which the component runs")]
    Lost,
}

/// A component was not started, changed or stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// No such image, or it cannot be read.
    #[error("image {image}: {why}")]
    Image {
        /// As asked for.
        image: String,
        /// What stands in the way.
        why: String,
    },
    /// It wants what this node does not give it, or more than it may have.
    #[error("component {id}: {why}")]
    Refused {
        /// The component.
        id: String,
        /// What it wants, and what would be accepted.
        why: String,
    },
}
