//! Listens as the plan says, and no longer than it says so; tells what cannot be, and when it can.

use super::connection::{Shared, accept};
use super::elsewhere::Elsewhere;
use super::plan::{Plan, is_for_http, plan};
use super::site::Site;
use crate::host::control::{Books, Events, Facts, Link};
use crate::host::runner::Runner;
use crate::ports::Client;
use arc_swap::ArcSwap;
use lattice_broker::env::Env;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The servers of a host. Dropping them leaves them running: call [`Servers::stop`].
#[derive(Debug)]
pub struct Servers {
    host: String,
    books: Books,
    events: Arc<Events>,
    shared: Arc<Shared>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    stopped: bool,
    listening: BTreeMap<SocketAddr, Listening>,
    /// By provider, as they were told last.
    problems: BTreeMap<String, Vec<String>>,
}

#[derive(Debug)]
struct Listening {
    /// The address with its port.
    at: SocketAddr,
    site: Arc<ArcSwap<Site>>,
    stop: CancellationToken,
}

/// How a provider is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serving {
    /// Where it listens.
    pub listening: Vec<SocketAddr>,
    /// What it cannot serve, in words.
    pub problems: Vec<String>,
}

impl Servers {
    /// Servers that listen nowhere yet, for the components of `runner`, and by `nodes`, a client in the account of the nodes, for those of
    /// other hosts.
    #[must_use]
    pub fn new(
        env: Env,
        facts: &Facts,
        books: Books,
        events: Arc<Events>,
        runner: Arc<dyn Runner>,
        nodes: Arc<dyn Client>,
    ) -> Self {
        let elsewhere = Elsewhere::new(env.clone(), nodes, facts.lattice.clone(), facts.payload_max);
        let shared = Arc::new(Shared::new(env, runner, elsewhere));
        Self { host: facts.id.clone(), books, events, shared, open: Mutex::default() }
    }

    /// Listens where providers, links and configurations say now, and offers what runs here and is linked to other hosts. False when an
    /// address cannot be had, or what is to run does not yet: look again later.
    pub fn look(&self) -> bool {
        let mut open = self.open();
        if open.stopped {
            return true;
        }
        let providers = self.books.providers();
        let links = self.books.links();
        let now = open.listening.iter().map(|(at, listening)| (*at, listening.site.load_full())).collect();
        let Plan { sites, mut problems } = plan(&providers, &links, |name| self.books.config(name), &now);
        open.listening.retain(|at, listening| {
            let stays = sites.contains_key(at);
            if !stays {
                tracing::info!(at = %listening.at, "listens for HTTP no more");
                listening.stop.cancel();
            }
            stays
        });
        let mut good = self.offer(&links);
        for (at, site) in sites {
            if let Some(listening) = open.listening.get(&at) {
                listening.site.store(Arc::new(site));
                continue;
            }
            let provider = site.provider.clone();
            match self.listen(at, site) {
                Ok(listening) => drop(open.listening.insert(at, listening)),
                Err(error) => {
                    good = false;
                    problems.entry(provider).or_default().push(format!("cannot listen on {at}: {error}"));
                }
            }
        }
        for (provider, now) in &problems {
            let before = open.problems.get(provider).map_or(&[][..], Vec::as_slice);
            self.tell(provider, before, now);
        }
        open.problems = problems;
        good
    }

    /// How each provider is.
    #[must_use]
    pub fn serving(&self) -> BTreeMap<String, Serving> {
        let open = self.open();
        let problems = open.problems.iter();
        let mut serving: BTreeMap<String, Serving> = problems
            .map(|(id, problems)| (id.clone(), Serving { listening: Vec::new(), problems: problems.clone() }))
            .collect();
        for listening in open.listening.values() {
            serving.entry(listening.site.load().provider.clone()).or_default().listening.push(listening.at);
        }
        serving
    }

    /// Listens no more, and waits until what is in hand is answered, at most for `patience`.
    pub async fn stop(&self, patience: Duration) {
        {
            let mut open = self.open();
            open.stopped = true;
            std::mem::take(&mut open.listening).into_values().for_each(|listening| listening.stop.cancel());
        }
        self.shared.elsewhere.offer(&self.shared, &BTreeSet::new());
        self.shared.tasks.close();
        if self.shared.env.timeout(patience, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!(?patience, "requests by HTTP did not end in time");
        }
        self.shared.elsewhere.stop();
    }

    /// False when a component that is to be offered does not run yet.
    fn offer(&self, links: &[Link]) -> bool {
        let linked: BTreeSet<&str> =
            links.iter().filter(|link| is_for_http(link)).map(|link| link.target.as_str()).collect();
        // Most hosts have none.
        if linked.is_empty() {
            self.shared.elsewhere.offer(&self.shared, &BTreeSet::new());
            return true;
        }
        let here = self.books.workloads().into_keys().filter(|id| linked.contains(id.as_str()));
        let (run, late): (BTreeSet<String>, BTreeSet<String>) = here.partition(|id| self.shared.runner.runs(id));
        self.shared.elsewhere.offer(&self.shared, &run);
        late.is_empty()
    }

    fn listen(&self, at: SocketAddr, site: Site) -> std::io::Result<Listening> {
        let listener = self.shared.env.tcp_listen(at)?;
        let (local, provider) = (listener.local_addr(), site.provider.clone());
        let (site, stop) = (Arc::new(ArcSwap::from_pointee(site)), CancellationToken::new());
        let accepting = accept(Arc::clone(&self.shared), listener, Arc::clone(&site), stop.clone());
        self.shared.env.spawn(self.shared.tasks.track_future(accepting));
        tracing::info!(at = %local, provider, "listens for HTTP");
        Ok(Listening { at: local, site, stop })
    }

    fn tell(&self, provider: &str, before: &[String], now: &[String]) {
        for problem in now.iter().filter(|problem| !before.contains(problem)) {
            tracing::warn!(provider, problem, "not served by HTTP");
        }
        let data = json!({ "host_id": self.host, "provider_id": provider });
        if now != before && !now.is_empty() {
            let mut data = data;
            data["error"] = json!(now.join("; "));
            self.events.tell("health_check_failed", data);
        } else if now.is_empty() && !before.is_empty() {
            self.events.tell("health_check_passed", data);
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().expect("no holder of this lock panics")
    }
}
