//! What clients do on the hosts: each publishes a feed and hears all, works in a queue group, serves, and asks.

use super::record::{Answer, Question, Record, Service};
use lattice::client::{Client, ClientError, Options, ServerUrl, Subscription};
use lattice_netsim::{Checker, Host, MessageId, Scenario};
use std::sync::Arc;
use std::time::Duration;

/// Every so many messages a client asks.
const ASK_EVERY: u64 = 3;
/// How long an answer is waited for: longer than it may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How long a shift is, and the rest after it.
const SHIFT: Duration = Duration::from_millis(2_600);

/// The clients of one run.
#[derive(Clone, Debug)]
pub struct Traffic {
    pub scenario: Arc<Scenario>,
    pub checker: Checker,
    pub record: Record,
}

impl Traffic {
    /// Starts the client on `host`, beside its node. It must not lose its connection while the host lives.
    pub fn start(&self, host: &Host) {
        let run = Run { traffic: self.clone(), host: host.clone() };
        host.env().spawn(run.all());
    }
}

#[derive(Clone)]
struct Run {
    traffic: Traffic,
    host: Host,
}

impl Run {
    async fn all(self) {
        let server = ServerUrl::parse("nats://127.0.0.1:4222", 4222).unwrap();
        let client = Client::connect(&self.host.env(), &server, Options::default()).await.unwrap();
        let feeds = client.subscribe("feed.*", None).await.unwrap();
        let work = client.subscribe("work", Some("crew")).await.unwrap();
        let questions = client.subscribe(&format!("ask.{}", self.host.index()), None).await.unwrap();
        client.flush().await.unwrap();
        self.host.env().spawn(self.clone().hear(feeds));
        self.host.env().spawn(self.clone().work(work));
        self.host.env().spawn(answer(client.clone(), questions));
        self.host.env().spawn(self.clone().shifts(client.clone()));
        if self.traffic.scenario.publishers().contains(&self.host.index()) {
            self.publish(client).await;
        } else {
            panic!("{}", client.ended().await);
        }
    }

    async fn hear(self, mut feeds: Subscription) {
        while let Some(message) = feeds.next().await {
            let id = id(&message.payload);
            self.traffic.checker.deliver(self.host.time(), self.host.index() as u32, id);
        }
    }

    async fn work(self, mut work: Subscription) {
        while let Some(message) = work.next().await {
            self.traffic.record.worked(self.host.index(), id(&message.payload));
        }
    }

    async fn publish(self, client: Client) {
        let env = self.host.env();
        let (me, life) = (self.host.index(), self.host.incarnation());
        let traffic = self.traffic.scenario.traffic.clone();
        let interval = Duration::from_millis(traffic.interval_ms);
        // Not all at the same moment.
        let start = Duration::from_millis(traffic.start_ms) + interval.mul_f64(me as f64 / 7.0);
        env.sleep(start.saturating_sub(self.host.time())).await;
        for number in 0.. {
            let id = self.traffic.checker.publish(self.host.time(), me as u32, life);
            let mut payload = id.to_string();
            payload.extend(std::iter::repeat_n(' ', traffic.payload_bytes.saturating_sub(payload.len())));
            client.publish(&format!("feed.{me}"), payload.as_bytes()).await.unwrap();
            self.traffic.record.work(self.host.time(), id);
            client.publish("work", id.to_string().as_bytes()).await.unwrap();
            if number % ASK_EVERY == 0 {
                let others = self.traffic.scenario.topology.nodes - 1;
                let other = (me + 1 + (number / ASK_EVERY) as usize % others) % (others + 1);
                for of in [Service::Steady(other), Service::Shift(other), Service::Nobody] {
                    env.spawn(self.clone().ask(client.clone(), of, id));
                }
            }
            env.sleep(interval).await;
        }
    }

    /// Subscribes and unsubscribes, whatever befalls the network meanwhile.
    async fn shifts(self, client: Client) {
        let (env, me) = (self.host.env(), self.host.index());
        env.sleep(SHIFT.mul_f64(me as f64 / 5.0)).await;
        loop {
            let questions = client.subscribe(&format!("shift.{me}"), None).await.unwrap();
            self.traffic.record.shift(self.host.time(), me, true);
            // It ends, and the subscription with it, when the time is up.
            let _ = env.timeout(SHIFT, answer(client.clone(), questions)).await;
            self.traffic.record.shift(self.host.time(), me, false);
            env.sleep(SHIFT).await;
        }
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
            Err(error) => panic!("{error}"),
        };
        let took = self.host.time() - at;
        self.traffic.record.question(Question { at, by: self.host.index(), of, answer, took });
    }
}

async fn answer(client: Client, mut questions: Subscription) {
    while let Some(question) = questions.next().await {
        let reply = question.reply.expect("a request says where its answer goes");
        client.publish(&reply, &question.payload).await.unwrap();
    }
}

fn id(payload: &[u8]) -> MessageId {
    std::str::from_utf8(payload).unwrap().trim_end().parse().unwrap()
}
