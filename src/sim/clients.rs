//! What clients do on the hosts of a scenario: each hears feeds, works in a queue group, serves, publishes and asks.
//!
//! What must come of it is judged by `record.rs` and by `lattice_netsim`'s checker.

use super::Nodes;
use super::record::{Answer, Question, Record, Service};
use crate::client::{Client, ClientError, Options, ServerUrl, Subscription};
use crate::control::InviteRequest;
use crate::identity::Applicant;
use lattice_netsim::{Checker, Hear, Host, MessageId, Scenario};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How long an answer is waited for: longer than it may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Between two attempts to connect to the node on the same host.
const RECONNECT: Duration = Duration::from_millis(100);
/// When nothing more is to be done: as many tasks and timers stay as there were before.
const FOR_EVER: Duration = Duration::from_secs(1_000_000);

/// The clients of one run.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    pub(super) scenario: Arc<Scenario>,
    /// By node, whose feeds its client subscribes to one by one, if it hears any; by a wildcard, when there are none.
    pub(super) feeds: Arc<Vec<Vec<usize>>>,
    pub(super) checker: Checker,
    pub(super) record: Record,
    nodes: Nodes,
}

impl Clients {
    /// The clients of `scenario`.
    pub(super) fn new(scenario: &Scenario, checker: Checker, nodes: Nodes) -> Self {
        let feeds = match scenario.traffic.hear {
            Hear::All => Vec::new(),
            Hear::Neighbors => scenario.topology.neighbors(),
        };
        Self { scenario: Arc::new(scenario.clone()), feeds: Arc::new(feeds), checker, record: Record::default(), nodes }
    }

    /// What the client on node `me` is subscribed to when all is quiet, with the queue group after a blank. Inboxes for
    /// answers come on top.
    pub(super) fn wants(&self, me: usize) -> BTreeSet<String> {
        let scenario = &self.scenario;
        let mut wants: BTreeSet<String> = self.feeds_of(me).into_iter().collect();
        if scenario.workers().contains(&me) {
            wants.insert("work crew".to_owned());
        }
        if scenario.traffic.ask_every > 0 {
            wants.insert(format!("ask.{me}"));
        }
        wants
    }

    fn feeds_of(&self, me: usize) -> Vec<String> {
        if !self.scenario.hears(me) {
            return Vec::new();
        }
        match self.feeds.get(me) {
            Some(of) => of.iter().map(|node| format!("feed.{node}")).collect(),
            None => vec!["feed.*".to_owned()],
        }
    }

    /// Starts the client on `host`, beside its node. It connects again whenever it loses its connection.
    pub(super) fn start(&self, host: &Host) {
        let client = OneClient { all: self.clone(), host: host.clone() };
        if self.scenario.traffic.invite_every_ms > 0 {
            host.env().spawn(client.clone().invite());
        }
        host.env().spawn(client.run());
    }
}

#[derive(Clone)]
struct OneClient {
    all: Clients,
    host: Host,
}

impl OneClient {
    async fn run(self) {
        let env = self.host.env();
        let server = ServerUrl::parse("nats://127.0.0.1:4222", 4222).expect("this is a URL");
        loop {
            if let Ok(client) = Client::connect(&env, &server, Options::default()).await {
                // However it ends, there is one thing to do: begin again.
                let _ = self.serve(&client).await;
            }
            env.sleep(RECONNECT).await;
        }
    }

    /// Asks the node for invites, as somebody at its terminal does, and comes with each as a new device does. None may be
    /// refused, whatever the clock says.
    async fn invite(self) {
        let env = self.host.env();
        let request = InviteRequest::new(Duration::from_secs(3_600), 1);
        while self.host.time() < self.all.scenario.traffic_until() {
            env.sleep(Duration::from_millis(self.all.scenario.traffic.invite_every_ms)).await;
            let Some(node) = self.all.nodes.node(self.host.index()) else { continue };
            let refused = match node.invite(request.clone()).await {
                Ok(invite) => {
                    let applicant = Applicant::generate(&mut env.rng("applicant"), "device");
                    let admitted = node.take_in(&invite, &applicant).await;
                    admitted.err().map(|refusal| format!("it does not admit by its own invite: {refusal}"))
                }
                Err(error) => Some(format!("it makes no invite: {error}")),
            };
            if let Some(what) = refused {
                self.all.record.violate(self.host.time(), self.host.index(), what);
            }
        }
        env.sleep(FOR_EVER).await;
    }

    /// All that is done over one connection, until it ends.
    async fn serve(&self, client: &Client) -> Result<(), ClientError> {
        let (env, me) = (self.host.env(), self.host.index());
        for feed in self.all.feeds_of(me) {
            env.spawn(self.clone().hear(client.subscribe(&feed, None).await?));
        }
        let scenario = &self.all.scenario;
        if scenario.workers().contains(&me) {
            env.spawn(self.clone().work(client.subscribe("work", Some("crew")).await?));
        }
        if scenario.traffic.ask_every > 0 {
            env.spawn(answer(client.clone(), client.subscribe(&format!("ask.{me}"), None).await?));
        }
        client.flush().await?;
        if scenario.traffic.shift_ms > 0 {
            env.spawn(self.clone().while_connected(client.clone(), |own, client| own.shifts(client)));
        }
        if scenario.publishers().contains(&me) {
            env.spawn(self.clone().while_connected(client.clone(), |own, client| own.publish(client)));
        }
        Err(client.ended().await)
    }

    /// Does something until it fails, or the connection ends.
    async fn while_connected<F: Future<Output = Result<(), ClientError>>>(
        self,
        client: Client,
        what: impl FnOnce(Self, Client) -> F + Send,
    ) {
        let (mut what, mut ended) = (Box::pin(what(self, client.clone())), Box::pin(client.ended()));
        std::future::poll_fn(|cx| {
            let done = what.as_mut().poll(cx).is_ready();
            if done || ended.as_mut().poll(cx).is_ready() {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
    }

    async fn hear(self, mut feeds: Subscription) {
        while let Some(message) = feeds.next().await {
            if let Some(id) = id(&message.payload) {
                self.all.checker.deliver(self.host.time(), self.host.index() as u32, id);
            }
        }
    }

    async fn work(self, mut work: Subscription) {
        while let Some(message) = work.next().await {
            if let Some(id) = id(&message.payload) {
                self.all.record.worked(self.host.time(), self.host.index(), id);
            }
        }
    }

    async fn publish(self, client: Client) -> Result<(), ClientError> {
        let (env, traffic) = (self.host.env(), &self.all.scenario.traffic);
        let interval = Duration::from_millis(traffic.interval_ms);
        // Not all at the same moment.
        let start = self.all.scenario.traffic_from() + interval.mul_f64(self.host.index() as f64 / 7.0 % 1.0);
        env.sleep(start.saturating_sub(self.host.time())).await;
        let mut number = 0;
        while self.host.time() < self.all.scenario.traffic_until() {
            for _ in 0..traffic.burst {
                self.publish_one(&client, number).await?;
                number += 1;
            }
            env.sleep(interval).await;
        }
        env.sleep(FOR_EVER).await;
        Ok(())
    }

    async fn publish_one(&self, client: &Client, number: u64) -> Result<(), ClientError> {
        let (me, traffic) = (self.host.index(), &self.all.scenario.traffic);
        let id = self.all.checker.publish(self.host.time(), me as u32, self.host.incarnation());
        let mut payload = id.to_string();
        payload.extend(std::iter::repeat_n(' ', traffic.payload_bytes.saturating_sub(payload.len())));
        client.publish(&format!("feed.{me}"), payload.as_bytes()).await?;
        if traffic.work {
            self.all.record.work(self.host.time(), id);
            client.publish("work", id.to_string().as_bytes()).await?;
        }
        // The last answers are in before the quiet begins.
        let late = self.host.time() + ANSWER_WITHIN >= self.all.scenario.traffic_until();
        let Some(turn) =
            number.checked_div(traffic.ask_every).filter(|_| number.is_multiple_of(traffic.ask_every) && !late)
        else {
            return Ok(());
        };
        let nodes = self.all.scenario.nodes();
        let other = (me + 1 + turn as usize % (nodes - 1).max(1)) % nodes;
        for of in [Service::Steady(other), Service::Shift(other), Service::Nobody] {
            if traffic.shift_ms > 0 || !matches!(of, Service::Shift(_)) {
                self.host.env().spawn(self.clone().ask(client.clone(), of, id));
            }
        }
        Ok(())
    }

    /// Subscribes and unsubscribes, whatever befalls the network meanwhile.
    async fn shifts(self, client: Client) -> Result<(), ClientError> {
        let (env, me) = (self.host.env(), self.host.index());
        let shift = Duration::from_millis(self.all.scenario.traffic.shift_ms);
        let until = self.all.scenario.traffic_until();
        let first = self.all.scenario.traffic_from() + shift.mul_f64(me as f64 / 5.0 % 1.0);
        env.sleep(first.saturating_sub(self.host.time())).await;
        while self.host.time() < until {
            let questions = client.subscribe(&format!("shift.{me}"), None).await?;
            self.all.record.shift(self.host.time(), me, true);
            // It ends, and the subscription with it, when the time is up: at the latest when the quiet begins.
            let length = shift.min(until.saturating_sub(self.host.time()));
            let _ = env.timeout(length, answer(client.clone(), questions)).await;
            self.all.record.shift(self.host.time(), me, false);
            env.sleep(shift).await;
        }
        env.sleep(FOR_EVER).await;
        Ok(())
    }

    async fn ask(self, client: Client, of: Service, id: MessageId) {
        let at = self.host.time();
        let subject = match of {
            Service::Steady(node) => format!("ask.{node}"),
            Service::Shift(node) => format!("shift.{node}"),
            Service::Nobody => "nobody".to_owned(),
        };
        let text = id.to_string();
        let answer = match client.request(&subject, None, text.as_bytes(), ANSWER_WITHIN).await {
            Ok(message) if message.payload == text.as_bytes() => Answer::Right,
            Ok(_) => Answer::Wrong,
            Err(ClientError::NoResponders { .. }) => Answer::NoResponders,
            Err(ClientError::TimedOut { .. }) => Answer::None,
            // The asker's own connection is gone: nothing is known of the answer.
            Err(_) => return,
        };
        let took = self.host.time() - at;
        self.all.record.question(Question { at, by: self.host.index(), of, answer, took });
    }
}

async fn answer(client: Client, mut questions: Subscription) {
    while let Some(question) = questions.next().await {
        let Some(reply) = question.reply else { continue };
        if client.publish(&reply, &question.payload).await.is_err() {
            return;
        }
    }
}

fn id(payload: &[u8]) -> Option<MessageId> {
    std::str::from_utf8(payload).ok()?.trim_end().parse().ok()
}
