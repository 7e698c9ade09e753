//! More clients: a queue group that not every node has a member of, requests with an inbox of their own, and bursts.

use super::calm::is_calm;
use lattice::client::{Client, Options, Outgoing, ServerUrl, Subscription};
use lattice_netsim::{Host, Scenario};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Messages of one burst.
const BURST: usize = 64;

/// What these clients saw; clones share it.
#[derive(Clone, Debug)]
pub struct Crew {
    scenario: Arc<Scenario>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Jobs, when they were published, and who took them.
    jobs: BTreeMap<String, (Duration, Vec<usize>)>,
    /// Requests with fresh inboxes, when they were sent, and whether an answer came.
    asked: BTreeMap<String, (Duration, bool)>,
}

impl Crew {
    pub fn new(scenario: &Arc<Scenario>) -> Self {
        Self { scenario: Arc::clone(scenario), seen: Arc::default() }
    }

    pub fn start(&self, host: &Host) {
        host.env().spawn(self.clone().all(host.clone()));
    }

    /// What must not be.
    pub fn violations(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let jobs = seen.jobs.iter().filter(|(_, (at, takers))| match takers.len() {
            1 => false,
            0 => is_calm(&self.scenario, *at),
            _ => true,
        });
        let jobs = jobs.map(|(job, (at, takers))| format!("crew: {job} of {at:?} was taken by {takers:?}"));
        let asked = seen.asked.iter().filter(|(_, (at, answered))| !answered && is_calm(&self.scenario, *at));
        let asked = asked.map(|(inbox, (at, _))| format!("fresh: {inbox} of {at:?} had no answer"));
        jobs.chain(asked).collect()
    }

    async fn all(self, host: Host) {
        let (env, me) = (host.env(), host.index());
        let server = ServerUrl::parse("nats://127.0.0.1:4222", 4222).unwrap();
        let client = Client::connect(&env, &server, Options::default()).await.unwrap();
        if me % 2 == 1 {
            let jobs = client.subscribe("job", Some("crew")).await.unwrap();
            env.spawn(self.clone().take(host.clone(), jobs));
        }
        let load = client.subscribe("load", None).await.unwrap();
        env.spawn(async move { drain(load).await });
        env.sleep(Duration::from_millis(3_000 + 37 * me as u64)).await;
        for number in 0u32.. {
            let job = format!("job {me}.{}.{number}", host.incarnation());
            if me == 0 && number % 16 == 7 {
                // More than a link takes: what is sent at the same moment may be lost, so nothing else is.
                for _ in 0..BURST {
                    client.publish("load", &[b'x'; 1024]).await.unwrap();
                }
            } else {
                client.publish("job", job.as_bytes()).await.unwrap();
                self.seen.lock().unwrap().jobs.insert(job, (host.time(), Vec::new()));
                env.spawn(self.clone().ask(host.clone(), client.clone(), number));
            }
            env.sleep(Duration::from_millis(330)).await;
        }
    }

    async fn take(self, host: Host, mut jobs: Subscription) {
        while let Some(job) = jobs.next().await {
            let job = String::from_utf8(job.payload.to_vec()).unwrap();
            self.seen.lock().unwrap().jobs.get_mut(&job).unwrap().1.push(host.index());
        }
    }

    /// Asks as programs do that make a connection for each request.
    async fn ask(self, host: Host, client: Client, number: u32) {
        let nodes = self.scenario.topology.nodes;
        let other = (host.index() + 1 + number as usize % (nodes - 1)) % nodes;
        let inbox = format!("_INBOX.{}-{}-{number}.1", host.index(), host.incarnation());
        let mut answers = client.subscribe(&inbox, None).await.unwrap();
        self.seen.lock().unwrap().asked.insert(inbox.clone(), (host.time(), false));
        let subject = format!("ask.{other}");
        let request = Outgoing { subject: &subject, reply: Some(&inbox), headers: None, payload: b"?" };
        client.send(request).await.unwrap();
        if let Ok(Some(_)) = host.env().timeout(Duration::from_secs(2), answers.next()).await {
            self.seen.lock().unwrap().asked.get_mut(&inbox).unwrap().1 = true;
        }
    }
}

async fn drain(mut load: Subscription) {
    while load.next().await.is_some() {}
}
