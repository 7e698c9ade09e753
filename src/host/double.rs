//! A [`Runner`] that runs nothing, for tests and simulations: it remembers what it was told, and fails when it shall.

use super::runner::{HttpError, HttpRequest, HttpResponse, RunError, Runner, Running, Spec};
use super::written::{Place, Written};
use lattice_broker::env::BoxFuture;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// Runs nothing, and answers requests with the path that was asked for. An image whose name has `missing` in it is not there, and one with `refused` is refused.
#[derive(Debug, Default)]
pub struct Double {
    state: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    running: BTreeMap<String, Spec>,
    /// What each is to have written.
    written: BTreeMap<String, Written>,
    applied: u64,
    stopped: bool,
}

impl Double {
    /// What runs, as it was told.
    #[must_use]
    pub fn specs(&self) -> BTreeMap<String, Spec> {
        self.told().running.clone()
    }

    /// Has a component have written that.
    pub fn write(&self, id: &str, written: Written) {
        self.told().written.insert(id.to_owned(), written);
    }

    /// How often it was told something.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.told().applied
    }

    /// Whether it was stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.told().stopped
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.state.lock().expect("no holder of this lock panics")
    }

    fn take(&self, spec: Spec) -> Result<(), RunError> {
        let mut told = self.told();
        told.applied += 1;
        if spec.count == 0 {
            told.running.remove(&spec.id);
        } else if spec.image.contains("missing") {
            return Err(RunError::Image { image: spec.image, why: "no such file".to_owned() });
        } else if spec.image.contains("refused") {
            return Err(RunError::Refused { id: spec.id, why: "it wants what nobody gives it".to_owned() });
        } else {
            told.running.insert(spec.id.clone(), spec);
        }
        Ok(())
    }
}

impl Runner for Double {
    fn apply(&self, spec: Spec) -> BoxFuture<Result<(), RunError>> {
        Box::pin(std::future::ready(self.take(spec)))
    }

    fn answer(&self, id: &str, request: HttpRequest) -> BoxFuture<Result<HttpResponse, HttpError>> {
        let runs = self.told().running.contains_key(id);
        let answer = |(): ()| hyper::Response::new(format!("{id} answers {}", request.uri()).into());
        Box::pin(std::future::ready(runs.then_some(()).ok_or(HttpError::Missing).map(answer)))
    }

    fn runs(&self, id: &str) -> bool {
        self.told().running.contains_key(id)
    }

    fn running(&self) -> Vec<Running> {
        let told = self.told();
        let running = |spec: &Spec| Running {
            id: spec.id.clone(),
            image: spec.image.clone(),
            count: spec.count,
            calls: 0,
            failed: 0,
        };
        told.running.values().map(running).collect()
    }

    fn written(&self, id: &str, after: Place) -> Option<Written> {
        let told = self.told();
        told.running.get(id)?;
        let mut written = told.written.get(id).cloned().unwrap_or_default();
        written.lines.retain(|line| line.number > after.number);
        Some(written)
    }

    fn stop(&self) -> BoxFuture<()> {
        let mut told = self.told();
        told.running.clear();
        told.stopped = true;
        Box::pin(std::future::ready(()))
    }
}
