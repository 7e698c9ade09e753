//! A component that can be called: its code, joined with what it is given, and all that its calls go by.
//!
//! It does not change: what is to be otherwise is another one, which takes its place.

use super::bounds::{Allowed, Bounds};
use super::data::Data;
use super::functions::Exports;
use super::image::Stamp;
use super::interfaces::{self, HANDLER, HTTP_HANDLER};
use super::limiter::Budget;
use super::log::{Log, cut};
use super::machine::Machine;
use super::messages::Messenger;
use super::outgoing::Asking;
use super::parts::Parts;
use super::state::State;
use super::subjects::Subjects;
use super::wrpc::Calls;
use crate::host::links::Links;
use crate::host::runner::{RunError, Spec};
use lattice_broker::env::Env;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

/// Code that has been joined with what it is given.
#[derive(Clone)]
pub(super) struct Code {
    /// Where it came from.
    pub(super) image: String,
    /// Which file that was.
    pub(super) stamp: Option<Stamp>,
    /// What an instance of it comes to.
    pub(super) parts: Parts,
    pub(super) pre: InstancePre<State>,
    /// What is called with messages, if it has that.
    pub(super) handler: Option<ComponentExportIndex>,
    /// What is asked by HTTP, if it has that.
    pub(super) http: Option<ComponentExportIndex>,
    /// What others can call.
    pub(super) exports: Exports,
    /// Whether it calls others, or they it.
    pub(super) carries: bool,
}

/// Interfaces that others can call, of one component: each is a subscription.
const INTERFACES_MAX: usize = 64;

/// What calls of a component go by.
pub(super) struct Live {
    pub(super) id: Arc<str>,
    pub(super) code: Code,
    pub(super) config: BTreeMap<String, String>,
    pub(super) subjects: Subjects,
    pub(super) data: Data,
    /// Whom it calls.
    pub(super) links: Links,
    pub(super) calls: Arc<Calls>,
    pub(super) asking: Asking,
    pub(super) allowed: Allowed,
    pub(super) bounds: Arc<Bounds>,
    pub(super) budget: Arc<Budget>,
    /// One for each call that may be in flight on this node.
    pub(super) turns: Arc<Semaphore>,
    pub(super) machine: Arc<Machine>,
    pub(super) messenger: Arc<Messenger>,
    pub(super) log: Arc<Log>,
    pub(super) env: Env,
    /// When it began to run: the zero of its clock.
    pub(super) start: Instant,
}

impl Code {
    /// Joins `component` with what this node gives.
    ///
    /// # Errors
    /// [`RunError::Refused`] names what it wants, and what is given.
    pub(super) fn link(
        machine: &Machine,
        spec: &Spec,
        component: &Component,
        parts: Parts,
        stamp: Option<Stamp>,
    ) -> Result<Self, RunError> {
        let refused = |why: String| RunError::Refused { id: spec.id.clone(), why };
        let kind = component.component_type();
        let calls = interfaces::check(kind.imports(component.engine()).map(|(name, _)| name)).map_err(refused)?;
        let pre = machine.link(component).map_err(|error| refused(cut(&error).to_owned()))?;
        let function = |interface, name| {
            let interface = component.get_export_index(None, interface)?;
            component.get_export_index(Some(&interface), name)
        };
        let (handler, http) = (function(HANDLER, "handle-message"), function(HTTP_HANDLER, "handle"));
        let exports = Exports::of(component);
        let count = exports.interfaces().len();
        if count > INTERFACES_MAX {
            return Err(refused(format!("it exports {count} interfaces: expected at most {INTERFACES_MAX}")));
        }
        let carries = calls || count > 0;
        let wanted = !spec.subscriptions.is_empty();
        if handler.is_none() && (wanted || (http.is_none() && count == 0)) {
            let names: Vec<&str> = kind.exports(component.engine()).map(|(name, _)| name).collect();
            let exports = cut(&names.join(", ")).to_owned();
            return Err(refused(if wanted {
                format!("messages are to be sent to it, but it exports {exports:?}: expected {HANDLER}")
            } else {
                format!(
                    "it exports {exports:?}, and so could not be called: expected {HANDLER}, {HTTP_HANDLER}, or an interface whose \
                     functions take and return values"
                )
            }));
        }
        Ok(Self { image: spec.image.clone(), stamp, parts, pre, handler, http, exports, carries })
    }
}

impl Live {
    /// Bytes that it may hand to the host in one call to it: values of functions take much more than they have.
    pub(super) fn transfer_max(&self) -> usize {
        let values = usize::try_from(self.bounds.values_bytes_max).unwrap_or(usize::MAX);
        if self.code.carries { self.bounds.transfer_bytes_max.max(values) } else { self.bounds.transfer_bytes_max }
    }

    /// Waits for its turn among all calls of this node; an error says that there are none to be had ever, which nobody says.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.turns.clone().acquire_owned().await.ok()
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("id", &self.id).field("image", &self.code.image).finish_non_exhaustive()
    }
}
