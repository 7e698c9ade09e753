//! What one host has to do now so that apps are as they are wanted: sans-IO, from a [`View`] and the time.
//!
//! What is missing is started a second after the hosts in reach are known, and tried again when it fails, less and less often. What is too much
//! ends three seconds after that, and only once all others run theirs: so an instance is not given up before another one is
//! there in its place. What no app wants any more ends at once.

use super::OF_APP;
use super::app::{Component, Kept, Server};
use super::spread::{fits, spread};
use crate::host::control::request::{ScaleComponent, StartProvider, StopProvider};
use crate::host::control::{Map, Provider, Workload};
use crate::identity::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long the hosts in reach must have been the same before something is started for that.
const MISSING: Duration = Duration::from_secs(1);
/// The same, before something is ended.
const SURPLUS: Duration = Duration::from_secs(3);
/// How long a host waits after its start before it takes part: others are not in reach at once, and what it ran before runs again by itself.
const BOOT: Duration = Duration::from_secs(3);
/// How long until what has failed is tried again: at first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// What all hosts know, as one sees it.
#[derive(Clone, Debug)]
pub struct View {
    /// The host.
    pub me: NodeId,
    /// The apps, by name; `None` for one that cannot be read, by a later version perhaps.
    pub apps: BTreeMap<String, Option<Kept>>,
    /// The hosts in reach, this one among them.
    pub hosts: BTreeMap<NodeId, Seen>,
    /// The providers of this host.
    pub providers: BTreeMap<String, Provider>,
}

/// A host, as it is seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its labels.
    pub labels: Map,
    /// What runs there.
    pub runs: BTreeMap<String, Workload>,
}

/// Something to be done, by the control interface's own means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A component is started, changed or ended.
    Scale(ScaleComponent),
    /// A provider is started or changed.
    Start(StartProvider),
    /// A provider is ended.
    Stop(StopProvider),
}

/// What a look comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// What is to be done, now.
    pub acts: Vec<Act>,
    /// When to look again, if nothing changes before.
    pub again: Option<Instant>,
}

/// Remembers since when hosts are in reach, and what was tried.
#[derive(Debug)]
pub struct Keeper {
    hosts: BTreeSet<NodeId>,
    /// Since when these are the ones.
    since: Instant,
    components: Attempts<Workload>,
    providers: Attempts<Provider>,
}

/// How a component is wanted on this host.
struct Wanted {
    workload: Workload,
    /// All other hosts run theirs.
    others_do: bool,
}

impl Keeper {
    /// That of a host which starts now.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let (components, providers) = (Attempts::default(), Attempts::default());
        Self { hosts: BTreeSet::new(), since: now + BOOT.saturating_sub(MISSING), components, providers }
    }

    /// What is to be done, as all is in `view`; components that are being changed, by `is_busy`, are left alone.
    pub fn look(&mut self, now: Instant, view: &View, is_busy: impl Fn(&str) -> bool) -> Look {
        if !self.hosts.iter().eq(view.hosts.keys()) {
            self.hosts = view.hosts.keys().copied().collect();
            self.since = self.since.max(now);
        }
        let mut look = Look::default();
        let ready = self.since + MISSING;
        if now < ready {
            look.later(ready);
            return look;
        }
        let wanted = wanted(view);
        let runs = view.hosts.get(&view.me).map(|me| &me.runs);
        let none = BTreeMap::new();
        let runs = runs.unwrap_or(&none);
        let ids: BTreeSet<&String> = wanted.keys().chain(runs.keys()).collect();
        for id in ids.into_iter().filter(|id| !is_busy(id)) {
            let goal = match wanted.get(id) {
                Some(wanted) => self.goal(now, wanted, runs.get(id), &mut look),
                None => runs.get(id).filter(|has| is_orphan(view, &has.annotations)).map(nothing_of),
            };
            match goal {
                None => self.components.forget(id),
                Some(goal) => match self.components.may(now, id, &goal) {
                    Ok(()) => look.acts.push(scale(id, goal)),
                    Err(at) => look.later(at),
                },
            }
        }
        self.look_at_providers(now, view, &mut look);
        look
    }

    /// What a component is to be changed to, if it must be.
    fn goal(&self, now: Instant, wanted: &Wanted, has: Option<&Workload>, look: &mut Look) -> Option<Workload> {
        let Wanted { workload: goal, others_do } = wanted;
        let count = has.map_or(0, |has| has.count);
        let is_other = goal.count > 0 && has.is_some_and(|has| Workload { count: goal.count, ..has.clone() } != *goal);
        if is_other || count < goal.count {
            return Some(goal.clone());
        }
        // What somebody runs by hand where the app does not want it is theirs.
        let is_its = has.is_some_and(|has| has.annotations.get(OF_APP) == goal.annotations.get(OF_APP));
        if count == goal.count || !is_its {
            return None;
        }
        let ready = self.since + SURPLUS;
        if now < ready {
            look.later(ready);
        }
        (*others_do && now >= ready).then(|| goal.clone())
    }

    fn look_at_providers(&mut self, now: Instant, view: &View, look: &mut Look) {
        let wanted = wanted_providers(view);
        for (id, goal) in &wanted {
            if view.providers.get(id) == Some(goal) {
                self.providers.forget(id);
                continue;
            }
            match self.providers.may(now, id, goal) {
                Ok(()) => look.acts.push(start(id, goal)),
                Err(at) => look.later(at),
            }
        }
        for (id, has) in view.providers.iter().filter(|(id, _)| !wanted.contains_key(*id)) {
            if is_orphan(view, &has.annotations) {
                look.acts.push(Act::Stop(StopProvider { provider_id: id.clone(), host_id: None }));
            }
        }
    }
}

impl Look {
    fn later(&mut self, at: Instant) {
        self.again = Some(self.again.map_or(at, |before| before.min(at)));
    }
}

/// What was tried last for each, and when it may be tried again.
#[derive(Debug)]
struct Attempts<T>(BTreeMap<String, Tried<T>>);

#[derive(Debug)]
struct Tried<T> {
    goal: T,
    next: Instant,
    wait: Duration,
}

impl<T> Default for Attempts<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Clone + PartialEq> Attempts<T> {
    /// Notes that it is tried now.
    ///
    /// # Errors
    /// When it may be, since it has been tried.
    fn may(&mut self, now: Instant, id: &str, goal: &T) -> Result<(), Instant> {
        let wait = match self.0.get(id).filter(|tried| tried.goal == *goal) {
            Some(tried) if now < tried.next => return Err(tried.next),
            Some(tried) => (tried.wait * 2).min(AGAIN.1),
            None => AGAIN.0,
        };
        self.0.insert(id.to_owned(), Tried { goal: goal.clone(), next: now + wait, wait });
        Ok(())
    }

    fn forget(&mut self, id: &str) {
        self.0.remove(id);
    }
}

/// How all components of all apps are wanted on this host. Of two apps that have the same one the first by name decides.
fn wanted(view: &View) -> BTreeMap<String, Wanted> {
    let hosts: BTreeMap<NodeId, &Map> = view.hosts.iter().map(|(host, seen)| (*host, &seen.labels)).collect();
    let mut wanted = BTreeMap::new();
    for (app, kept) in &view.apps {
        for (id, component) in kept.iter().flat_map(|kept| &kept.components) {
            wanted.entry(id.clone()).or_insert_with(|| {
                let shares = spread(id, component, &hosts);
                let does = |(host, count): (&NodeId, &u32)| {
                    let has = view.hosts.get(host).and_then(|seen| seen.runs.get(id));
                    *host == view.me || has.is_some_and(|has| has.count >= *count && has.image == component.image)
                };
                let count = shares.get(&view.me).copied().unwrap_or_default();
                Wanted { workload: workload(app, component, count), others_do: shares.iter().all(does) }
            });
        }
    }
    wanted
}

fn wanted_providers(view: &View) -> BTreeMap<String, Provider> {
    let labels = view.hosts.get(&view.me).map(|me| me.labels.clone()).unwrap_or_default();
    let mut wanted = BTreeMap::new();
    for (app, kept) in &view.apps {
        let here = kept.iter().flat_map(|kept| &kept.providers).filter(|(_, server)| fits(&server.on, &labels));
        for (id, Server { image, config, .. }) in here {
            let provider = || Provider { image: image.clone(), config: config.clone(), annotations: note(app) };
            wanted.entry(id.clone()).or_insert_with(provider);
        }
    }
    wanted
}

/// Whether it runs for an app that does not want it any more.
fn is_orphan(view: &View, annotations: &Map) -> bool {
    annotations.get(OF_APP).is_some_and(|app| !matches!(view.apps.get(app), Some(None)))
}

fn note(app: &str) -> Map {
    [(OF_APP.to_owned(), app.to_owned())].into()
}

fn workload(app: &str, component: &Component, count: u32) -> Workload {
    let Component { image, config, limits, .. } = component.clone();
    Workload { image, count, config, annotations: note(app), limits }
}

fn nothing_of(has: &Workload) -> Workload {
    Workload { count: 0, ..has.clone() }
}

fn scale(id: &str, goal: Workload) -> Act {
    let Workload { image, count, config, annotations, limits } = goal;
    Act::Scale(ScaleComponent {
        component_ref: image,
        component_id: id.to_owned(),
        count,
        host_id: None,
        config,
        annotations: Some(annotations),
        component_limits: Some(limits),
        allow_update: true,
    })
}

fn start(id: &str, goal: &Provider) -> Act {
    let Provider { image, config, annotations } = goal.clone();
    Act::Start(StartProvider {
        provider_id: id.to_owned(),
        provider_ref: image,
        host_id: None,
        config,
        annotations: Some(annotations),
    })
}
