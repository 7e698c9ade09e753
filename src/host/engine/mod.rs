//! Runs components: WebAssembly that this node was asked to run, and does not trust.
//!
//! An [`Engine`] costs nothing until it runs a component, and again when it has stopped the last one: no thread, no
//! memory. What components may take is said by [`Bounds`], and none of it is unlimited; what they may call, by
//! `interfaces.rs`: what is not given does not exist. Each call is made to an instance of its own, so nothing is left in one
//! that a later call could find, and one that goes wrong takes nothing with it.
//! [Decision 17](../../../docs/decisions/0017-how-components-are-confined.md) says why it is done this way.
//!
//! ```no_run
//! use lattice::host::engine::{Bounds, CodeCache, Engine, Settings};
//! use lattice::host::keyvalue::Buckets;
//! use lattice::host::links::Links;
//! use lattice::host::outgoing::Outgoing;
//! use lattice::host::runner::{Limits, Runner, Spec};
//! use lattice::wiring;
//! use lattice_broker::{Broker, Config, env::Env};
//!
//! # async fn run(key: [u8; 32]) -> Result<(), Box<dyn std::error::Error>> {
//! let env = Env::tokio();
//! let config = Config::default();
//! let payload_max = config.max_payload;
//! let broker = Broker::new(env.clone(), config)?;
//! let settings = Settings {
//!     payload_max,
//!     // Without a cache each start compiles anew: 50 ms for a small component, many seconds for one in Python.
//!     cache: Some(CodeCache::new("/var/lib/lattice/code".into(), &key, 256 << 20)),
//!     ..Settings::default()
//! };
//! let engine = Engine::new(env, wiring::clients(&broker), settings);
//! let spec = Spec {
//!     id: "echo".to_owned(),
//!     image: "file:///srv/echo.wasm".to_owned(),
//!     count: 4,
//!     config: [("greeting".to_owned(), "hello".to_owned())].into(),
//!     limits: Limits::default(),
//!     subscriptions: vec!["echo.>".to_owned()],
//!     buckets: Buckets::default(),
//!     links: Links::default(),
//!     outgoing: Outgoing::default(),
//! };
//! // Ready when messages to `echo.>` reach it; a mistake is named, with what would be accepted.
//! engine.apply(spec).await?;
//! println!("{:?}", engine.inspect("echo"));
//! engine.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # The way of a message
//!
//! `component.rs` (`listen`) takes it from the lattice into `queue.rs`; a worker on the threads of `machine.rs` takes it from there
//! and has `call.rs` make an instance of the code in `live.rs`, with the `state.rs` that its functions in `interfaces/` look
//! at; what these publish goes out by `messages.rs`. A request by HTTP comes by [`Runner::answer`], takes the same way, and has
//! its call made by `http.rs`. A call of a function comes from the lattice or from another component by `wrpc/`, and is made by `invoke.rs`;
//! `functions.rs` says which can be, `imports.rs` has components make them, and `values.rs` reads and writes what goes over.
//! What a component asks others by HTTP goes out by `outgoing/`.
//!
//! # The way of an image
//!
//! `image.rs` reads it (a file, or what `../images/` keeps), `parts.rs` counts what it is made of, `cache.rs` looks whether it has been compiled before, and otherwise the compiler does that, beside
//! the node's tasks, one at a time. `live.rs` joins it with what is given, and a first instance, which is
//! called for nothing, shows that it can be made within its limits.

mod bounds;
mod cache;
mod call;
mod clocks;
mod component;
mod data;
mod functions;
mod http;
mod image;
mod imports;
mod interfaces;
mod invoke;
mod limiter;
mod live;
mod log;
mod machine;
mod messages;
mod outgoing;
mod output;
mod parts;
mod queue;
mod rate;
mod shapes;
mod state;
mod subjects;
mod ticker;
mod values;
mod work;
mod wrpc;

pub use bounds::Bounds;
pub use cache::CodeCache;
pub use call::{CallError, Limit};
pub use log::{Level, Line};

use super::images::Shelf;
use super::keyvalue::Store;
use super::runner::{HttpError, HttpRequest, HttpResponse, RunError, Runner, Running, Spec};
use super::written::{Failure, Place, Written};
use crate::ports::Clients;
use bounds::Allowed;
use component::{Component, Ear, PENDING_MAX};
use data::{Data, Pace};
use futures_util::future::join_all;
use http::Exchange;
use lattice_broker::env::{BoxFuture, Env};
use limiter::Budget;
use live::{Code, Live};
use log::Log;
use machine::Machine;
use messages::{BadSubject, Messenger};
use outgoing::{Allow, Asking, Room};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use subjects::Subjects;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wrpc::{Calls, Serving};

/// Threads for components, at most: those who need more can say so.
const THREADS_MAX: usize = 8;

/// How an [`Engine`] runs components.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What they may take.
    pub bounds: Bounds,
    /// Where compiled code is kept; without it every start compiles.
    pub cache: Option<CodeCache>,
    /// Threads that they share, at least one.
    pub threads: usize,
    /// Bytes of a message that the broker takes ([`lattice_broker::Config::max_payload`]).
    pub payload_max: usize,
    /// Where images are that have no path but a digest; without it there are none.
    pub images: Option<Shelf>,
    /// The lattice's name, by which components call each other.
    pub lattice: String,
}

impl Default for Settings {
    /// As many threads as there are processors, 8 at most; no cache; messages of 1 MiB; images in files alone; the lattice `default`.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = processors.min(THREADS_MAX);
        Self {
            bounds: Bounds::default(),
            cache: None,
            threads,
            payload_max: 1 << 20,
            images: None,
            lattice: "default".to_owned(),
        }
    }
}

/// Runs components in wasmtime. Clones are handles of the same one; when the last is dropped all components end at once
/// ([`Runner::stop`] lets them end what is in hand).
#[derive(Clone, Debug)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    env: Env,
    lattice: Arc<dyn Clients>,
    bounds: Arc<Bounds>,
    cache: Option<CodeCache>,
    images: Option<Shelf>,
    threads: usize,
    payload_max: usize,
    budget: Arc<Budget>,
    /// One for each call that may be in flight.
    turns: Arc<Semaphore>,
    components: Arc<Mutex<BTreeMap<String, Arc<Component>>>>,
    /// The way from component to component.
    calls: Arc<Calls>,
    /// For what they ask by HTTP.
    asking: Arc<Room>,
    /// Where they keep values, once there is such a place.
    values: OnceLock<Arc<Store>>,
    /// Cancelled when all are stopped, and replaced: what was on its way to be started then does not start.
    ended: Mutex<CancellationToken>,
    /// Alive while components run.
    machine: Mutex<Weak<Machine>>,
    /// One compilation at a time: it takes a processor, and much memory.
    loading: Arc<tokio::sync::Mutex<()>>,
}

/// A component looked at from near.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// What others see of it.
    pub running: Running,
    /// Messages that wait for it.
    pub waiting: usize,
    /// Messages that were dropped because too many waited.
    pub dropped: u64,
    /// Why the latest call failed that did.
    pub last_failure: Option<CallError>,
    /// The latest lines that it has written, the oldest first; 64 at most.
    pub log: Vec<Line>,
    /// Lines that were dropped because it wrote too many.
    pub log_dropped: u64,
}

impl Engine {
    /// Ready to run components; nothing is made yet.
    #[must_use]
    pub fn new(env: Env, lattice: Arc<dyn Clients>, settings: Settings) -> Self {
        let Settings { bounds, cache, threads, payload_max, images, lattice: name } = settings;
        let components: Arc<Mutex<BTreeMap<_, _>>> = Arc::default();
        let carried_max = bounds.carried_bytes_max;
        let room = wrpc::Room { payload_max, carried_max };
        // What components ask and what they are asked by others do not wait for each other.
        let clients = [lattice.client(), lattice.client()];
        let calls = Calls::new(&env, clients, name, room, Arc::downgrade(&components));
        let inner = Inner {
            env,
            lattice,
            budget: Arc::new(Budget::new(bounds.memory_total_bytes_max)),
            turns: Arc::new(Semaphore::new(bounds.calls_max as usize)),
            asking: Room::of_all(bounds.asking_total_max),
            ended: Mutex::default(),
            bounds: Arc::new(bounds),
            cache,
            images,
            threads: threads.max(1),
            payload_max,
            components,
            calls: Arc::new(calls),
            values: OnceLock::new(),
            machine: Mutex::default(),
            loading: Arc::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// What there is to see of a component that runs.
    #[must_use]
    pub fn inspect(&self, id: &str) -> Option<Inspection> {
        let component = self.inner.component(id)?;
        let (log, log_dropped) = component.live().log.recent();
        let figures = component.figures();
        Some(Inspection {
            running: running(id, &component),
            waiting: figures.waiting,
            dropped: figures.dropped,
            last_failure: component.last_failure().map(|(_, error)| error),
            log,
            log_dropped,
        })
    }

    /// Bytes of linear memory that instances have at this moment.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.inner.budget.used()
    }
}

impl Runner for Engine {
    fn provide(&self, store: Arc<Store>) {
        // The first one stays: what components have kept is there.
        drop(self.inner.values.set(store));
    }

    fn apply(&self, spec: Spec) -> BoxFuture<Result<(), RunError>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            if spec.count == 0 {
                inner.end(&spec.id).await;
                return Ok(());
            }
            inner.run(spec).await
        })
    }

    fn answer(&self, id: &str, request: HttpRequest) -> BoxFuture<Result<HttpResponse, HttpError>> {
        let (component, inner) = (self.inner.component(id), self.inner.clone());
        Box::pin(async move {
            let component = component.ok_or(HttpError::Missing)?;
            let live = component.live();
            if live.code.http.is_none() {
                return Err(HttpError::NoHandler);
            }
            let patience = live.allowed.call + inner.bounds.http_wait;
            let (answer, answered) = tokio::sync::oneshot::channel();
            component.ask(Exchange { request, answer });
            match inner.env.timeout(patience, answered).await {
                Ok(Ok(answer)) => answer,
                // It found no room, or its turn had not come when the component was stopped.
                Ok(Err(_)) => Err(HttpError::Busy),
                Err(_) => Err(HttpError::Late),
            }
        })
    }

    fn runs(&self, id: &str) -> bool {
        self.inner.component(id).is_some()
    }

    fn running(&self) -> Vec<Running> {
        lock(&self.inner.components).iter().map(|(id, component)| running(id, component)).collect()
    }

    fn written(&self, id: &str, after: Place) -> Option<Written> {
        let component = self.inner.component(id)?;
        let failure = |(at, error): (_, CallError)| Failure {
            at_ms: log::millis(at),
            why: log::cut(&error.to_string()).to_owned(),
        };
        let last_failure = component.last_failure().map(failure);
        Some(Written { failed: component.figures().failed, last_failure, ..component.live().log.since(after) })
    }

    fn stop(&self) -> BoxFuture<()> {
        let inner = self.inner.clone();
        Box::pin(async move {
            let components = {
                let mut components = lock(&inner.components);
                std::mem::take(&mut *lock(&inner.ended)).cancel();
                std::mem::take(&mut *components)
            };
            join_all(components.values().map(|component| component.drain(inner.bounds.drain))).await;
        })
    }
}

impl Inner {
    fn component(&self, id: &str) -> Option<Arc<Component>> {
        lock(&self.components).get(id).cloned()
    }

    async fn end(&self, id: &str) {
        let component = lock(&self.components).remove(id);
        if let Some(component) = component {
            component.drain(self.bounds.drain).await;
        }
    }

    /// Starts or changes a component. Nothing has changed when it fails.
    async fn run(&self, spec: Spec) -> Result<(), RunError> {
        let ended = lock(&self.ended).clone();
        let allowed = self.bounds.allow(&spec)?;
        let subjects = Subjects::parse(&spec.id, &spec.config)?;
        let asks = Allow::parse(&spec.outgoing);
        let asks = asks.map_err(|why| RunError::Refused { id: spec.id.clone(), why: why.to_string() })?;
        let present = self.component(&spec.id);
        self.check_room(&lock(&self.components), &spec.id)?;
        let former = present.as_ref().map(|component| component.live());
        let started = async {
            let live = Arc::new(self.prepare(&spec, allowed, subjects, asks, former.as_deref()).await?);
            self.try_out(&spec, &live, &ended).await?;
            Ok(live)
        };
        let live = tokio::select! {
            biased;
            () = ended.cancelled() => return Err(stopped(&spec)),
            live = started => live?,
        };

        let component = present.unwrap_or_else(|| Arc::new(Component::new(live.clone())));
        // Before anything is changed: a bad subject must leave all as it was.
        let wanted = self.subjects(&spec, &live);
        let mut heard = Vec::new();
        for (subject, queue, ear) in wanted.iter().filter(|(subject, ..)| !component.hears(subject)) {
            let deliveries = live.messenger.subscribe(subject, queue, PENDING_MAX);
            let refused = |error: BadSubject| RunError::Refused { id: spec.id.clone(), why: error.to_string() };
            heard.push((subject, ear.clone(), deliveries.map_err(refused)?));
        }
        let mut components = lock(&self.components);
        if ended.is_cancelled() {
            return Err(stopped(&spec));
        }
        self.check_room(&components, &spec.id)?;
        component.change(live, spec.count);
        for (subject, ear, deliveries) in heard {
            component.hear(subject, ear, deliveries);
        }
        component.hear_only(|subject| wanted.iter().any(|(wanted, ..)| wanted == subject));
        components.insert(spec.id, component);
        Ok(())
    }

    /// What a component is to be called for: subject, queue group, and what comes there.
    fn subjects(&self, spec: &Spec, live: &Live) -> Vec<(String, String, Ear)> {
        let messages = spec.subscriptions.iter().map(|subject| (subject.clone(), spec.id.clone(), Ear::Messages));
        let calls = live.code.exports.interfaces().map(|interface| {
            let (subject, queue) = self.calls.place(&spec.id, interface);
            let serving = Serving::new(&self.calls, interface, &subject);
            (subject, queue, Ear::Calls(Arc::new(serving)))
        });
        messages.chain(calls).collect()
    }

    fn check_room(&self, components: &BTreeMap<String, Arc<Component>>, id: &str) -> Result<(), RunError> {
        let max = self.bounds.components_max;
        if components.len() < max || components.contains_key(id) {
            return Ok(());
        }
        let why = format!("{max} components run already, as many as may (components_max)");
        Err(RunError::Refused { id: id.to_owned(), why })
    }

    /// What calls of `spec` are to go by: with the code that there is, if it has not changed.
    async fn prepare(
        &self,
        spec: &Spec,
        allowed: Allowed,
        subjects: Subjects,
        allow: Allow,
        former: Option<&Live>,
    ) -> Result<Live, RunError> {
        // A file that is gone is no reason to end what was made of it.
        let is_as_it_was = |code: &Code| image::stamp(&spec.image).is_none_or(|stamp| Some(stamp) == code.stamp);
        let same = former.filter(|former| former.code.image == spec.image && is_as_it_was(&former.code));
        let (machine, code) = match same {
            Some(same) if same.code.handler.is_some() || spec.subscriptions.is_empty() => {
                (same.machine.clone(), same.code.clone())
            }
            Some(_) | None => self.load(spec).await?,
        };
        let id: Arc<str> = former.map_or_else(|| spec.id.as_str().into(), |former| former.id.clone());
        let log = former.map(|former| former.log.clone());
        let log = log.unwrap_or_else(|| Arc::new(Log::new(id.clone(), &self.env, self.bounds.log_lines_per_second)));
        let data = self.data(spec, former);
        let asking = self.asking(allow, former);
        Ok(Live {
            id,
            code,
            config: spec.config.clone(),
            subjects,
            data,
            links: spec.links.clone(),
            calls: self.calls.clone(),
            asking,
            allowed,
            bounds: self.bounds.clone(),
            budget: self.budget.clone(),
            turns: self.turns.clone(),
            machine,
            messenger: former.map_or_else(|| self.messenger(), |former| former.messenger.clone()),
            log,
            start: former.map_or_else(|| self.env.now(), |former| former.start),
            env: self.env.clone(),
        })
    }

    fn data(&self, spec: &Spec, former: Option<&Live>) -> Data {
        let pace = former.map(|former| former.data.pace.clone());
        Data {
            store: self.values.get().cloned(),
            buckets: spec.buckets.clone(),
            pace: pace.unwrap_or_else(|| Arc::new(Pace::new(self.env.now()))),
        }
    }

    fn asking(&self, allow: Allow, former: Option<&Live>) -> Asking {
        let own = former.map(|former| former.asking.own.clone());
        Asking { allow, own: own.unwrap_or_else(|| Room::of_one(self.bounds.asking_max)), all: self.asking.clone() }
    }

    fn messenger(&self) -> Arc<Messenger> {
        Arc::new(Messenger::new(&self.env, self.lattice.client(), self.payload_max))
    }

    async fn load(&self, spec: &Spec) -> Result<(Arc<Machine>, Code), RunError> {
        let one_at_a_time = self.loading.clone().lock_owned().await;
        let machine = lock(&self.machine).upgrade();
        let (bytes_max, threads) = (self.bounds.image_bytes_max, self.threads);
        let (cache, images) = (self.cache.clone(), self.images.clone());
        let (done, loaded) = tokio::sync::oneshot::channel();
        let compiling = std::thread::Builder::new().name("component-load".to_owned()).spawn({
            let spec = spec.clone();
            move || {
                // Once begun it is carried out, whoever waits; so the next begins after that.
                let _one_at_a_time = one_at_a_time;
                machine::give_way();
                // Nobody may be waiting any more.
                let read = || image::read(&spec.image, images.as_ref(), bytes_max);
                drop(done.send(load(&spec, read, machine, cache.as_ref(), threads)));
            }
        });
        let failed = |why: String| RunError::Image { image: spec.image.clone(), why };
        compiling.map_err(|error| failed(format!("a thread for the compiler: {error}")))?;
        let loaded = loaded.await.map_err(|_| failed("the compiler fails on it".to_owned()))?;
        let (machine, code) = loaded?;
        *lock(&self.machine) = Arc::downgrade(&machine);
        Ok((machine, code))
    }

    /// Makes an instance, to see that it can be made. On the threads of components: what runs then is not trusted either.
    async fn try_out(&self, spec: &Spec, live: &Arc<Live>, ended: &CancellationToken) -> Result<(), RunError> {
        let (done, result) = tokio::sync::oneshot::channel();
        live.machine.spawn({
            let (live, ended) = (live.clone(), ended.clone());
            async move {
                tokio::select! {
                    biased;
                    () = ended.cancelled() => {}
                    // Nobody may be waiting any more.
                    result = call::call(&live, None) => drop(done.send(result)),
                }
            }
        });
        let refused = |why: String| RunError::Refused { id: spec.id.clone(), why };
        match result.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(refused(format!("no instance can be made of it: {error}"))),
            Err(_ended) => Err(refused("no instance can be made of it: the host fails".to_owned())),
        }
    }
}

/// Has the code of `spec` at hand, compiled when it must be. Takes its time.
fn load(
    spec: &Spec,
    read: impl FnOnce() -> Result<Vec<u8>, RunError>,
    machine: Option<Arc<Machine>>,
    cache: Option<&CodeCache>,
    threads: usize,
) -> Result<(Arc<Machine>, Code), RunError> {
    let error = |why: String| RunError::Image { image: spec.image.clone(), why };
    // Before it is read: what is written meanwhile is another file then.
    let stamp = image::stamp(&spec.image);
    let bytes = read()?;
    let parts = parts::count(&bytes).map_err(error)?;
    let machine = match machine {
        Some(machine) => machine,
        None => Arc::new(Machine::new(threads).map_err(|why| RunError::Refused { id: spec.id.clone(), why })?),
    };
    let name = machine.code_name(&bytes);
    let component = match cache.and_then(|cache| cache.load(&machine.engine, name)) {
        Some(component) => component,
        None => {
            let compiled = wasmtime::component::Component::from_binary(&machine.engine, &bytes);
            let broken =
                |broken: wasmtime::Error| error(format!("is no whole component: {}", log::cut(&format!("{broken:#}"))));
            let component = compiled.map_err(broken)?;
            if let Some(cache) = cache {
                keep(cache, name, &component);
            }
            component
        }
    };
    let code = Code::link(&machine, spec, &component, parts, stamp)?;
    Ok((machine, code))
}

fn stopped(spec: &Spec) -> RunError {
    RunError::Refused { id: spec.id.clone(), why: "all components were stopped meanwhile".to_owned() }
}

fn keep(cache: &CodeCache, name: cache::CodeName, component: &wasmtime::component::Component) {
    match component.serialize() {
        Ok(code) => cache.store(name, &code),
        Err(error) => tracing::debug!(%error, "compiled code cannot be kept"),
    }
}

fn running(id: &str, component: &Component) -> Running {
    let figures = component.figures();
    Running {
        id: id.to_owned(),
        image: component.live().code.image.clone(),
        count: figures.count,
        calls: figures.calls,
        failed: figures.failed,
    }
}

/// What is locked here is whole whenever it is not held, whoever has panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
