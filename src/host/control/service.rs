//! The control interface as a service of the node: listens, answers, has things done, and says every half a minute that the
//! host is there.

use super::books::Books;
use super::crew::{Change, Crew};
use super::desk::{Desk, Facts, Moment, Reply};
use super::event::Events;
use super::own;
use super::request::filters;
use crate::host::Reach;
use crate::host::apps::{self, Act, Keeper, Look, View};
use crate::host::http::{Servers, Serving};
use crate::host::images::Images;
use crate::host::runner::{Runner, Running};
use crate::ports::{BadInterest, Client, Deliveries, Delivery};
use lattice_broker::env::Env;
use serde_json::Value;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the host says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Requests of one kind that wait, at most; more are dropped, and their askers ask again.
const PENDING_MAX: usize = 256;
/// How long components may take to end when nobody has said.
const STOP: Duration = Duration::from_secs(10);
/// How long until an address is tried again that could not be had.
const RETRY: Duration = Duration::from_secs(2);
/// How long after a change of the records components are looked at: many come together.
const SETTLE: Duration = Duration::from_millis(50);

/// How often it is looked which hosts can be reached, where there are apps.
const REACH: Duration = Duration::from_millis(500);

/// What the service is made of.
#[derive(Debug)]
pub struct Parts {
    /// Time, tasks, randomness.
    pub env: Env,
    /// What the host says of itself.
    pub facts: Facts,
    /// What it keeps.
    pub books: Books,
    /// Tells of each change of what is kept.
    pub changes: watch::Receiver<u64>,
    /// A client in the account of the nodes: for requests by HTTP from host to host.
    pub nodes: Arc<dyn Client>,
    /// A client in the account in which hosts are asked.
    pub client: Arc<dyn Client>,
    /// What runs components.
    pub runner: Arc<dyn Runner>,
    /// Which nodes can be reached.
    pub reach: Arc<dyn Reach>,
    /// What keeps their images; without it they come from files alone.
    pub images: Option<Images>,
}

/// The service. Dropping it leaves it running: call [`Control::stop`].
#[derive(Debug)]
pub struct Control {
    stop: CancellationToken,
    ended: watch::Receiver<bool>,
}

/// The task's own.
struct Service {
    env: Env,
    desk: Desk,
    client: Arc<dyn Client>,
    payload_max: usize,
    events: Arc<Events>,
    crew: Arc<Crew>,
    servers: Servers,
    runner: Arc<dyn Runner>,
    books: Books,
    reach: Arc<dyn Reach>,
    started: Instant,
    stop: CancellationToken,
}

impl Control {
    /// Listens, and starts what ran when the host ended.
    ///
    /// # Errors
    /// [`BadInterest`]: the name of the lattice cannot be a part of a subject.
    pub fn start(parts: Parts) -> Result<Self, BadInterest> {
        let Parts { env, facts, books, changes, nodes, client, runner, reach, images } = parts;
        let mut subscriptions = Vec::new();
        let apps = apps::filters(&facts.lattice).into_iter().map(|filter| (filter, true));
        let own = own::filters(&facts.lattice, &facts.id);
        for (filter, takes_turns) in filters(&facts.lattice, &facts.id).into_iter().chain(apps).chain(own) {
            let queue = takes_turns.then_some(&*facts.lattice);
            subscriptions.push(client.subscribe(&filter, queue, PENDING_MAX)?);
        }
        let events = Events::new(env.clone(), Arc::clone(&client), facts.lattice.clone(), facts.id.clone());
        let events = Arc::new(events);
        let (told, run) = (Arc::clone(&events), Arc::clone(&runner));
        let crew = Crew::new(env.clone(), facts.id.clone(), books.clone(), told, run, images);
        let servers = Servers::new(env.clone(), &facts, books.clone(), Arc::clone(&events), Arc::clone(&runner), nodes);
        let stop = CancellationToken::new();
        let service = Service {
            payload_max: facts.payload_max,
            desk: Desk::new(facts, books.clone()),
            books,
            reach,
            client,
            events,
            crew: Arc::new(crew),
            servers,
            runner,
            started: env.now(),
            stop: stop.clone(),
            env: env.clone(),
        };
        let (ended_tx, ended) = watch::channel(false);
        env.spawn(async move {
            service.run(Ears { subscriptions, next: 0 }, changes).await;
            // Nobody may be waiting.
            ended_tx.send_replace(true);
        });
        Ok(Self { stop, ended })
    }

    /// Stops listening and ends what runs, which takes at most ten seconds, and says so. What runs stays remembered.
    pub async fn stop(&self) {
        self.stop.cancel();
        // An error says that the task is gone, which is as good.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }
}

impl Service {
    async fn run(self, mut ears: Ears, mut changes: watch::Receiver<u64>) {
        if let Err(error) = self.books.all_idle() {
            tracing::warn!(%error, "the other hosts may think that all runs here again");
        }
        self.enter();
        self.events.tell("host_started", self.desk.started());
        self.desk.running_providers().into_iter().for_each(|data| self.events.tell("provider_started", data));
        self.crew.look();
        let (mut look, mut stop) = (None, None);
        let mut timer = self.env.timer(self.env.now());
        let mut heartbeat = self.env.now() + HEARTBEAT;
        // When the servers are looked at: now, with the components, and again where an address could not be had.
        let mut serve = Some(self.env.now());
        // When apps are looked at; with every change, and when hosts may have come or gone.
        let (mut keeper, mut keep) = (Keeper::new(self.env.now()), Some(self.env.now()));
        // As the records say, until they change.
        let mut view = None;
        while stop.is_none() {
            let next = [look, serve, keep].into_iter().flatten().fold(heartbeat, Instant::min);
            timer.as_mut().reset(next);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                request = poll_fn(|cx| ears.poll_next(cx)) => stop = self.request(&request),
                changed = changes.changed(), if look.is_none() => match changed {
                    Ok(()) => look = Some(self.env.now() + SETTLE),
                    Err(_) => break,
                },
                () = poll_fn(|cx| timer.as_mut().poll(cx)) => {}
            }
            let now = self.env.now();
            if look.take_if(|at| *at <= now).is_some() {
                changes.mark_unchanged();
                self.crew.look();
                serve = Some(now);
                (keep, view) = (Some(now), None);
            }
            if keep.take_if(|at| *at <= now).is_some() {
                keep = self.keep(now, &mut keeper, &mut view);
            }
            if serve.take_if(|at| *at <= now).is_some() && !self.servers.look() {
                serve = Some(now + RETRY);
            }
            if heartbeat <= now {
                heartbeat = now + HEARTBEAT;
                self.crew.look_again();
                self.enter();
                self.events.tell(
                    "host_heartbeat",
                    self.desk.inventory(self.moment(&self.runner.running(), &self.servers.serving())),
                );
            }
        }
        drop(ears);
        // Others take over at once what apps want here.
        if let Err(error) = self.books.enter(None) {
            tracing::warn!(%error, "the other hosts still count this one in");
        }
        let time = stop.flatten().unwrap_or(STOP);
        tokio::join!(self.servers.stop(time), self.crew.stop(time));
        self.events.tell("host_stopped", self.desk.stopped());
    }

    /// Answers; returns how long there is for stopping when that was asked for.
    fn request(&self, request: &Delivery) -> Option<Option<Duration>> {
        let subject = String::from_utf8_lossy(&request.subject);
        let (running, serving) = (self.runner.running(), self.servers.serving());
        let answer = own::answer(&self.desk, &self.books, self.runner.as_ref(), &subject, &request.payload)
            .or_else(|| apps::answer(&self.desk, &self.books, &subject, &request.payload));
        let mut answer =
            answer.unwrap_or_else(|| self.desk.answer(self.moment(&running, &serving), &subject, &request.payload));
        if let Some((id, change)) = answer.change.take()
            && let Err(error) = self.crew.take(&id, change)
        {
            answer.reply = Some(Reply::failed(error));
        }
        if let (Some(to), Some(reply)) = (&request.reply, &answer.reply) {
            self.client.publish(&String::from_utf8_lossy(to), None, &reply.encode(self.payload_max));
        }
        self.tell(answer.events);
        answer.stop
    }

    /// Does what apps want of this host; returns when to look again.
    fn keep(&self, now: Instant, keeper: &mut Keeper, view: &mut Option<View>) -> Option<Instant> {
        let view = view.get_or_insert_with(|| self.view());
        for (host, seen) in &mut view.hosts {
            seen.in_reach = self.reach.reaches(host);
        }
        let Look { acts, again } = keeper.look(now, view, |id| self.crew.is_busy(id));
        for act in acts {
            match act {
                Act::Scale(scale) => {
                    let id = scale.component_id.clone();
                    tracing::info!(component = id, instances = scale.count, "as an app wants it");
                    if let Err(error) = self.crew.take(&id, Change::Scale(scale)) {
                        tracing::warn!(component = id, %error, "not changed");
                    }
                }
                Act::Start(start) => self.tell(self.desk.start_provider(start).events),
                Act::Stop(stop) => self.tell(self.desk.stop_provider(&stop).events),
            }
        }
        let looks = (!view.apps.is_empty()).then(|| now + REACH);
        [again, looks].into_iter().flatten().min()
    }

    fn view(&self) -> View {
        let lattice = self.desk.lattice();
        let (apps, hosts) = (self.books.apps(lattice), self.books.hosts(lattice));
        View { me: self.books.me(), apps, hosts, providers: self.books.providers() }
    }

    /// Says that this is a host, unless it has been said.
    fn enter(&self) {
        if let Err(error) = self.books.enter(Some(self.desk.lattice())) {
            tracing::warn!(%error, "the other hosts do not count this one in");
        }
    }

    fn tell(&self, events: Vec<(&'static str, Value)>) {
        for (name, data) in events {
            self.events.tell(name, data);
        }
    }

    fn moment<'a>(&self, running: &'a [Running], serving: &'a BTreeMap<String, Serving>) -> Moment<'a> {
        Moment { uptime: self.env.now().saturating_duration_since(self.started), running, serving }
    }
}

/// All subscriptions, each in its turn.
struct Ears {
    subscriptions: Vec<Box<dyn Deliveries>>,
    /// Which one is looked at first.
    next: usize,
}

impl Ears {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Delivery> {
        let count = self.subscriptions.len();
        for n in 0..count {
            let at = (self.next + n) % count;
            if let Poll::Ready(delivery) = self.subscriptions[at].poll_next(cx) {
                self.next = at + 1;
                return Poll::Ready(delivery);
            }
        }
        Poll::Pending
    }
}
