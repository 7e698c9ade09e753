//! Has the [`Runner`] do what was asked for: for each component one change after the other, and then tells what came of it.
//!
//! What runs is remembered once it does, and is started again when the host is; what fails leaves all as it was. A
//! component whose configuration or links have changed is changed as well, without a word.

use super::books::{Books, Workload};
use super::event::Events;
use super::request::{Link, Map, ScaleComponent, UpdateComponent};
use crate::host::images::{Digest, Images};
use crate::host::keyvalue::Buckets;
use crate::host::links::Links;
use crate::host::outgoing::Outgoing;
use crate::host::runner::{Limits, Runner, Spec};
use lattice_broker::env::Env;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Changes of one component that wait, at most.
const WAITING_MAX: usize = 8;
/// Components that are being changed, at most.
const BUSY_MAX: usize = 256;

const MEMORY: &str = "max_memory_limit";
const TIME: &str = "max_execution_time";

/// What is to become of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// As it was asked for.
    Scale(ScaleComponent),
    /// Another image.
    Update(UpdateComponent),
    /// It runs as it is remembered, after a start of the host.
    Start,
    /// The same, after what it is configured with has changed.
    Refresh,
}

/// A limit that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLimit {
    /// No such limit.
    #[error("component_limits has {name:?}: {MEMORY} (bytes) and {TIME} (seconds) are accepted")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// Not a number.
    #[error("component_limits has {name} = {value:?}: a whole number above 0 is accepted")]
    Value {
        /// Its name.
        name: &'static str,
        /// What it says.
        value: String,
    },
}

/// Too much is being changed already: ask again in a moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// Of this component.
    #[error("component {id}: {WAITING_MAX} changes wait already")]
    Component {
        /// The component.
        id: String,
    },
    /// Of all.
    #[error("{BUSY_MAX} components are being changed already")]
    All,
    /// The host stops.
    #[error("the host stops")]
    Stopping,
}

/// Carries out changes.
#[derive(Debug)]
pub struct Crew {
    env: Env,
    host: String,
    books: Books,
    events: Arc<Events>,
    runner: Arc<dyn Runner>,
    images: Option<Images>,
    work: Mutex<Work>,
}

#[derive(Debug, Default)]
struct Work {
    stopping: bool,
    /// Of each component that is being changed what waits; it has a task.
    waiting: BTreeMap<String, VecDeque<Change>>,
    /// As what each runs, or was last tried to run.
    tried: BTreeMap<String, Spec>,
}

impl Crew {
    /// A crew that has nothing to do.
    #[must_use]
    pub fn new(
        env: Env,
        host: String,
        books: Books,
        events: Arc<Events>,
        runner: Arc<dyn Runner>,
        images: Option<Images>,
    ) -> Self {
        Self { env, host, books, events, runner, images, work: Mutex::default() }
    }

    /// Has a change carried out, after those of the same component that wait.
    ///
    /// # Errors
    /// [`Busy`]: it will not be.
    pub fn take(self: &Arc<Self>, id: &str, change: Change) -> Result<(), Busy> {
        let mut work = self.work();
        if work.stopping {
            return Err(Busy::Stopping);
        }
        let busy = work.waiting.len();
        match work.waiting.get_mut(id) {
            Some(waiting) if waiting.len() >= WAITING_MAX => return Err(Busy::Component { id: id.to_owned() }),
            Some(waiting) => waiting.push_back(change),
            None if busy >= BUSY_MAX => return Err(Busy::All),
            None => {
                work.waiting.insert(id.to_owned(), VecDeque::from([change]));
                self.env.spawn(Arc::clone(self).work_on(id.to_owned()));
            }
        }
        Ok(())
    }

    /// Whether a component is being changed.
    #[must_use]
    pub fn is_busy(&self, id: &str) -> bool {
        self.work().waiting.contains_key(id)
    }

    /// Starts what is remembered and does not run, and changes what runs otherwise than its configuration and links say now.
    pub fn look(self: &Arc<Self>) {
        let links = self.books.links();
        for (id, workload) in self.books.workloads() {
            let before = {
                let work = self.work();
                if work.waiting.contains_key(&id) {
                    // It is looked at again when that is done.
                    continue;
                }
                work.tried.get(&id).cloned()
            };
            let spec = self.spec(&id, &workload, &links).ok();
            let Some(spec) = spec.or_else(|| Some(self.relinked(before.as_ref()?, &links))) else { continue };
            let change = match before {
                Some(before) if before == spec => continue,
                Some(_) => Change::Refresh,
                None => Change::Start,
            };
            if let Err(error) = self.take(&id, change) {
                tracing::warn!(component = id, %error, "not changed");
            }
        }
    }

    /// The same, and tries again what is remembered and does not run: its image may have come, or memory may be free.
    pub fn look_again(self: &Arc<Self>) {
        {
            let mut work = self.work();
            let Work { waiting, tried, .. } = &mut *work;
            tried.retain(|id, _| waiting.contains_key(id) || self.runner.runs(id));
        }
        self.look();
    }

    /// Takes no more changes, and ends all that runs; what it runs stays remembered. Within `time` in any case.
    pub async fn stop(&self, time: Duration) {
        self.work().stopping = true;
        if self.env.timeout(time, self.runner.stop()).await.is_err() {
            tracing::warn!(?time, "components did not end in time");
        }
    }

    async fn work_on(self: Arc<Self>, id: String) {
        loop {
            let change = {
                let mut work = self.work();
                let change = work.waiting.get_mut(&id).and_then(VecDeque::pop_front);
                let Some(change) = change.filter(|_| !work.stopping) else {
                    work.waiting.remove(&id);
                    break;
                };
                change
            };
            self.carry_out(&id, change).await;
        }
        // What has changed meanwhile may concern it.
        if !self.work().stopping {
            self.look();
        }
    }

    async fn carry_out(&self, id: &str, change: Change) {
        let (silent, again) = (change == Change::Refresh, matches!(change, Change::Start | Change::Refresh));
        let tried = self.work().tried.get(id).cloned();
        let Some(workload) = changed(self.books.workload(id), change) else { return };
        match self.apply(id, &workload, tried.as_ref().filter(|_| silent)).await {
            Ok(()) if silent => {}
            Ok(()) => self.events.tell("component_scaled", self.told(id, &workload)),
            Err(error) => {
                if !again {
                    // What ran before goes on.
                    let mut work = self.work();
                    work.tried.remove(id);
                    work.tried.extend(tried.map(|spec| (id.to_owned(), spec)));
                }
                tracing::warn!(component = id, %error, "not as it should be");
                let mut data = self.told(id, &workload);
                data["error"] = json!(error);
                self.events.tell("component_scale_failed", data);
            }
        }
    }

    async fn apply(&self, id: &str, workload: &Workload, former: Option<&Spec>) -> Result<(), String> {
        let links = self.books.links();
        let spec = self.spec(id, workload, &links);
        let spec = spec.or_else(|why| former.map(|former| self.relinked(former, &links)).ok_or(why));
        if workload.count == 0 {
            self.work().tried.remove(id);
        } else if let Ok(spec) = &spec {
            self.work().tried.insert(id.to_owned(), spec.clone());
        }
        // What stops needs no configuration.
        let stopped = |_: String| Spec {
            id: id.to_owned(),
            image: workload.image.clone(),
            count: 0,
            config: Map::new(),
            limits: Limits::default(),
            subscriptions: Vec::new(),
            buckets: Buckets::default(),
            links: Links::default(),
            outgoing: Outgoing::default(),
        };
        let spec = if workload.count == 0 { spec.unwrap_or_else(stopped) } else { spec? };
        if spec.count > 0 {
            self.obtain(&spec).await?;
        }
        self.runner.apply(spec).await.map_err(|error| error.to_string())?;
        self.books
            .remember(id, workload)
            .map_err(|error| format!("it is so now, but will not be after a restart of the host: {error}"))
    }

    /// Has the image of a component that is to run come here, when it is one that hosts hand to each other.
    async fn obtain(&self, spec: &Spec) -> Result<(), String> {
        let image = &spec.image;
        let Some(digest) = Digest::in_reference(image) else { return Ok(()) };
        let digest = digest.map_err(|error| error.to_string())?;
        if self.runner.running().iter().any(|running| running.id == spec.id && running.image == *image) {
            // What runs was made of it.
            return Ok(());
        }
        let Some(images) = &self.images else {
            return Err(format!("image {image}: this host keeps no images: expected file:///path"));
        };
        images.obtain(digest).await.map_err(|error| error.to_string())?;
        // That may have taken long.
        if self.work().stopping { Err("the host stops".to_owned()) } else { Ok(()) }
    }

    /// A component with all that it is configured with.
    fn spec(&self, id: &str, workload: &Workload, links: &[Link]) -> Result<Spec, String> {
        let mut config = Map::new();
        for name in &workload.config {
            let found = self.books.config(name);
            config.extend(found.ok_or_else(|| format!("configuration {name} is not there: config.put.{name} first"))?);
        }
        Ok(Spec {
            id: id.to_owned(),
            image: workload.image.clone(),
            count: workload.count,
            config,
            limits: limits(&workload.limits).map_err(|error| error.to_string())?,
            subscriptions: self.subscriptions(id, links),
            buckets: self.buckets(id, links),
            links: calls(id, links),
            outgoing: self.outgoing(id, links),
        })
    }

    /// What runs, with what links say now: one that is gone is gone, also when a configuration is not there any more.
    fn relinked(&self, former: &Spec, links: &[Link]) -> Spec {
        let id = &former.id;
        Spec {
            subscriptions: self.subscriptions(id, links),
            buckets: self.buckets(id, links),
            links: calls(id, links),
            outgoing: self.outgoing(id, links),
            ..former.clone()
        }
    }

    /// The subjects that links for messages name in their configurations.
    fn subscriptions(&self, id: &str, links: &[Link]) -> Vec<String> {
        let calls_it = |link: &&Link| {
            let is_messaging = (&*link.id.wit_namespace, &*link.id.wit_package) == ("wasmcloud", "messaging");
            link.target == id && is_messaging && link.interfaces.iter().any(|interface| interface == "handler")
        };
        let names = links.iter().filter(calls_it).flat_map(|link| &link.source_config);
        let mut subjects = BTreeSet::new();
        for config in names.filter_map(|name| self.books.config(name)) {
            let listed = config.get("subscriptions").map(String::as_str).unwrap_or_default().split(',').map(str::trim);
            subjects.extend(listed.filter(|subject| !subject.is_empty()).map(str::to_owned));
        }
        subjects.into_iter().collect()
    }

    /// What the component's links for values open to it; one whose configuration is not there opens nothing.
    fn buckets(&self, id: &str, links: &[Link]) -> Buckets {
        let mut buckets = Buckets::default();
        for (_, config) in self.opening(id, links, ("wasi", "keyvalue"), &["atomics", "batch", "store"]) {
            buckets.open(id, &config);
        }
        buckets
    }

    /// Whom the component's links let it ask by HTTP; one whose configuration is not there lets it ask nobody.
    fn outgoing(&self, id: &str, links: &[Link]) -> Outgoing {
        let mut outgoing = Outgoing::default();
        for (link, config) in self.opening(id, links, ("wasi", "http"), &["outgoing-handler"]) {
            outgoing.open(&link.id.name, &link.target, &config);
        }
        outgoing
    }

    /// The component's links for one of these interfaces, with their target configurations, merged.
    fn opening<'a>(
        &'a self,
        id: &'a str,
        links: &'a [Link],
        package: (&'a str, &'a str),
        interfaces: &'a [&'a str],
    ) -> impl Iterator<Item = (&'a Link, Map)> {
        let is_meant = move |link: &&Link| {
            let is_of = (&*link.id.wit_namespace, &*link.id.wit_package) == package;
            let is_given = |interface: &String| interfaces.contains(&interface.as_str());
            link.id.source_id == id && is_of && link.interfaces.iter().any(is_given)
        };
        links.iter().filter(is_meant).filter_map(|link| {
            let named = link.target_config.iter().map(|name| self.books.config(name));
            Some((link, named.collect::<Option<Vec<Map>>>()?.into_iter().flatten().collect()))
        })
    }

    fn told(&self, id: &str, workload: &Workload) -> Value {
        json!({
            "annotations": workload.annotations,
            "host_id": self.host,
            "image_ref": workload.image,
            "max_instances": workload.count,
            "component_id": id,
        })
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().expect("no holder of this lock panics")
    }
}

/// What is to run after `change`; `None` when there is nothing that it could change.
fn changed(before: Option<Workload>, change: Change) -> Option<Workload> {
    match change {
        Change::Scale(scale) => {
            let before = before.unwrap_or_default();
            let keeps = !before.image.is_empty() && !scale.allow_update;
            Some(Workload {
                image: if keeps { before.image } else { scale.component_ref },
                count: scale.count,
                config: scale.config,
                annotations: scale.annotations.unwrap_or(before.annotations),
                limits: scale.component_limits.unwrap_or(before.limits),
            })
        }
        Change::Update(update) => {
            let before = before?;
            let annotations = update.annotations.unwrap_or(before.annotations);
            Some(Workload { image: update.new_component_ref, annotations, ..before })
        }
        Change::Start | Change::Refresh => before,
    }
}

/// Whom a component calls, for each interface of its links; links of another name than `default` are chosen by nobody yet.
fn calls(id: &str, links: &[Link]) -> Links {
    let mut calls = Links::default();
    for link in links.iter().filter(|link| link.id.source_id == id && link.id.name == "default") {
        let package = format!("{}:{}", link.id.wit_namespace, link.id.wit_package);
        for interface in &link.interfaces {
            calls.add(format!("{package}/{interface}"), &link.target);
        }
    }
    calls
}

/// Reads what a component may take.
///
/// # Errors
/// [`BadLimit`] names what cannot be.
pub fn limits(map: &Map) -> Result<Limits, BadLimit> {
    if let Some(name) = map.keys().find(|name| ![MEMORY, TIME].contains(&name.as_str())) {
        return Err(BadLimit::Unknown { name: name.clone() });
    }
    let number = |name| {
        let parse = |value: &String| match value.parse::<u64>() {
            Ok(number) if number > 0 => Ok(number),
            Ok(_) | Err(_) => Err(BadLimit::Value { name, value: value.clone() }),
        };
        map.get(name).map(parse).transpose()
    };
    Ok(Limits { memory: number(MEMORY)?, call: number(TIME)?.map(Duration::from_secs) })
}
