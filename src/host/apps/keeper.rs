//! What one host has to do now so that apps are as they are wanted: sans-IO, from a [`View`] and the time.
//!
//! A host counts as lost, or as there, once it has been so for a second: one that comes and goes faster is what it was. What is missing is
//! started then, and tried again when it fails, less and less often. What is too much ends two seconds later, and only once all
//! others run theirs: so an instance is not given up before another one is there in its place. What no app wants any more ends at once.

use super::OF_APP;
use super::app::{Component, Kept, Server, Spread};
use super::spread::{fits, spread};
use crate::host::control::request::{ScaleComponent, StartProvider, StopProvider};
use crate::host::control::{Map, Provider, Workload};
use crate::identity::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long a host must have been in reach, or out of it, to count.
const SETTLED: Duration = Duration::from_secs(1);
/// How long the hosts that have a share must have counted before something is given up to them.
const SURPLUS: Duration = Duration::from_secs(2);
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
    /// The hosts, in reach or not, this one among them.
    pub hosts: BTreeMap<NodeId, Seen>,
    /// The providers of this host.
    pub providers: BTreeMap<String, Provider>,
}

/// A host, as it is seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its labels.
    pub labels: Map,
    /// Whether it can be reached now.
    pub in_reach: bool,
    /// What runs there, or will when it can.
    pub runs: BTreeMap<String, Workload>,
    /// Those of them that do not run.
    pub idle: BTreeSet<String>,
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

/// Remembers which hosts count, and what was tried.
#[derive(Debug)]
pub struct Keeper {
    hosts: BTreeMap<NodeId, Standing>,
    /// When it takes part.
    from: Instant,
    components: Attempts<Workload>,
    providers: Attempts<Provider>,
}

/// Whether a host counts.
#[derive(Debug)]
struct Standing {
    counts: bool,
    /// Since when.
    since: Instant,
    /// Since when it is otherwise than it counts.
    differs: Option<Instant>,
}

/// How a component is wanted on this host.
struct Wanted {
    workload: Workload,
    /// Since when all hosts that have a share have counted.
    since: Instant,
    /// All other hosts run theirs.
    others_do: bool,
}

impl Seen {
    /// Whether it has a component as it is wanted, but for how many.
    fn has(&self, id: &str, component: &Component) -> bool {
        self.runs.get(id).is_some_and(|has| has.image == component.image)
    }

    /// Instances of a component that run.
    fn count(&self, id: &str) -> u32 {
        let runs = self.runs.get(id).filter(|_| !self.idle.contains(id));
        runs.map_or(0, |runs| runs.count)
    }
}

impl Keeper {
    /// That of a host which starts now.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let (components, providers) = (Attempts::default(), Attempts::default());
        Self { hosts: BTreeMap::new(), from: now + BOOT, components, providers }
    }

    /// What is to be done, as all is in `view`; components that are being changed, by `is_busy`, are left alone.
    pub fn look(&mut self, now: Instant, view: &View, is_busy: impl Fn(&str) -> bool) -> Look {
        let mut look = Look::default();
        self.count(now, view, &mut look);
        if now < self.from {
            look.later(self.from);
            return look;
        }
        let wanted = self.wanted(view);
        let none = Seen::default();
        let me = view.hosts.get(&view.me).unwrap_or(&none);
        let ids: BTreeSet<&String> = wanted.keys().chain(me.runs.keys()).collect();
        self.components.keep(|id| ids.contains(id));
        for id in ids.into_iter().filter(|id| !is_busy(id)) {
            let goal = match wanted.get(id) {
                Some(wanted) => goal(now, id, wanted, me, &mut look),
                None => me.runs.get(id).filter(|has| is_orphan(view, &has.annotations)).map(nothing_of),
            };
            match goal {
                None => self.components.keep(|tried| tried != id),
                Some(goal) => match self.components.may(now, id, &goal) {
                    Ok(()) => look.acts.push(scale(id, goal)),
                    Err(at) => look.later(at),
                },
            }
        }
        self.look_at_providers(now, view, &mut look);
        look
    }

    /// Notes which hosts count now.
    fn count(&mut self, now: Instant, view: &View, look: &mut Look) {
        for host in view.hosts.keys() {
            let counts = *host == view.me;
            self.hosts.entry(*host).or_insert(Standing { counts, since: now, differs: None });
        }
        for (host, standing) in &mut self.hosts {
            let is_there = *host == view.me || view.hosts.get(host).is_some_and(|seen| seen.in_reach);
            if is_there == standing.counts {
                standing.differs = None;
                continue;
            }
            let since = *standing.differs.get_or_insert(now);
            // Nobody is asked of one that has said that it is a host no more.
            if now >= since + SETTLED || !view.hosts.contains_key(host) {
                *standing = Standing { counts: is_there, since: now, differs: None };
            } else {
                look.later(since + SETTLED);
            }
        }
        self.hosts.retain(|host, standing| standing.counts || view.hosts.contains_key(host));
    }

    /// How all components of all apps are wanted on this host. Of two apps that have the same one the first by name decides.
    fn wanted(&self, view: &View) -> BTreeMap<String, Wanted> {
        let count = |host: &NodeId| self.hosts.get(host).filter(|standing| standing.counts);
        let there = view.hosts.iter().filter(|(host, _)| count(host).is_some());
        let hosts: BTreeMap<NodeId, &Map> = there.map(|(host, seen)| (*host, &seen.labels)).collect();
        let mut wanted = BTreeMap::new();
        for (app, kept) in &view.apps {
            for (id, component) in kept.iter().flat_map(|kept| &kept.components) {
                wanted.entry(id.clone()).or_insert_with(|| {
                    let shares = spread(id, component, &hosts);
                    let does = |(host, share): (&NodeId, &u32)| {
                        let runs = view.hosts.get(host).filter(|seen| seen.has(id, component));
                        *host == view.me || runs.is_some_and(|seen| seen.count(id) >= *share)
                    };
                    let is_each_its_own = matches!(component.spread, Spread::PerHost(_));
                    let since = shares.keys().filter_map(|host| Some(count(host)?.since)).max();
                    Wanted {
                        workload: workload(app, component, shares.get(&view.me).copied().unwrap_or_default()),
                        since: since.unwrap_or(self.from),
                        others_do: is_each_its_own || shares.iter().all(does),
                    }
                });
            }
        }
        wanted
    }

    fn look_at_providers(&mut self, now: Instant, view: &View, look: &mut Look) {
        let wanted = wanted_providers(view);
        self.providers.keep(|id| wanted.get(id).is_some_and(|goal| view.providers.get(id) != Some(goal)));
        for (id, goal) in wanted.iter().filter(|(id, goal)| view.providers.get(*id) != Some(goal)) {
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

    /// Forgets the others.
    fn keep(&mut self, keeps: impl Fn(&String) -> bool) {
        self.0.retain(|id, _| keeps(id));
    }
}

/// What a component is to be changed to, if it must be.
fn goal(now: Instant, id: &str, wanted: &Wanted, me: &Seen, look: &mut Look) -> Option<Workload> {
    let Wanted { workload: goal, since, others_do } = wanted;
    let (has, count) = (me.runs.get(id), me.count(id));
    let ready = *since + SURPLUS;
    let may_end = *others_do && now >= ready;
    if has.is_some() && count >= goal.count && now < ready {
        look.later(ready);
    }
    // Another image takes the place of as many as run, until others do.
    let goal = Workload { count: if may_end { goal.count } else { goal.count.max(count) }, ..goal.clone() };
    let is_its = has.is_none_or(|has| has.annotations.contains_key(OF_APP));
    match has {
        None => (goal.count > 0).then_some(goal),
        // What somebody runs by hand where no app wants it is theirs.
        Some(_) if wanted.workload.count == 0 && !is_its => None,
        Some(_) if wanted.workload.count == 0 => may_end.then_some(goal),
        Some(has) => (*has != goal || count < goal.count).then_some(goal),
    }
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
