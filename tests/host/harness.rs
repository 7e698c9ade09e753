//! A broker with an engine in this process, and what tests ask of them.
#![allow(dead_code, unreachable_pub, reason = "each of those who include this uses a part of it")]

use lattice::host::engine::{Bounds, CallError, Engine, Inspection, Limit, Settings};
use lattice::host::keyvalue::{Buckets, Life, Memory, Store};
use lattice::host::links::Links;
use lattice::host::outgoing::Outgoing;
use lattice::host::runner::{Limits, Runner, Spec};
use lattice::identity::NodeId;
use lattice::wiring;
use lattice_broker::env::Env;
use lattice_broker::{Broker, Config, Local, Message as BrokerMessage};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Longer than anything here takes on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A broker, an engine, and a folder for images.
pub struct Host {
    pub env: Env,
    pub broker: Broker,
    pub engine: Engine,
    pub folder: TempDir,
    pub local: Local,
}

impl Host {
    pub fn new(settings: Settings) -> Self {
        let env = Env::tokio();
        let broker = Broker::new(env.clone(), Config::default()).unwrap();
        let engine = Self::engine(&env, &broker, settings);
        let local = broker.local();
        Self { env, broker, engine, folder: tempfile::tempdir().unwrap(), local }
    }

    pub fn engine(env: &Env, broker: &Broker, settings: Settings) -> Engine {
        Engine::new(env.clone(), wiring::clients(broker), settings)
    }

    /// Gives components a place to keep values in.
    pub fn keep(&self) -> Arc<Store> {
        let records = Memory::new(NodeId([1; 32]), lattice::host::state::Limits::default());
        let store = Arc::new(Store::new(Arc::new(records), Life { disk: 1, number: 0 }));
        self.engine.provide(Arc::clone(&store));
        store
    }

    pub fn image(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        format!("file://{}", path.display())
    }

    /// A component that hears its own name.
    pub fn spec(&self, id: &str, bytes: &[u8]) -> Spec {
        Spec {
            id: id.to_owned(),
            image: self.image(id, bytes),
            count: 2,
            config: [("greeting".to_owned(), "hello".to_owned())].into(),
            limits: Limits::default(),
            subscriptions: vec![id.to_owned()],
            buckets: Buckets::default(),
            links: Links::default(),
            outgoing: Outgoing::default(),
        }
    }

    pub async fn start(&self, id: &str, bytes: &[u8]) {
        self.engine.apply(self.spec(id, bytes)).await.unwrap();
    }

    pub async fn refusal(&self, spec: Spec) -> String {
        self.engine.apply(spec).await.unwrap_err().to_string()
    }

    pub fn send(&mut self, subject: &str, body: &str) {
        let message = BrokerMessage { subject: subject.as_bytes(), reply: None, header_len: 0, body: body.as_bytes() };
        assert_eq!(self.local.publish(&message), 1, "somebody hears {subject}");
    }

    /// Asks, and waits for the answer.
    pub async fn ask(&mut self, subject: &str, body: &str) -> String {
        self.try_ask(subject, body, PATIENCE).await.unwrap()
    }

    pub async fn try_ask(&mut self, subject: &str, body: &str, patience: Duration) -> Option<String> {
        let mut answers = self.local.subscribe(b"answers", None, 1).unwrap();
        let reply = Some(b"answers".as_slice());
        let message = BrokerMessage { subject: subject.as_bytes(), reply, header_len: 0, body: body.as_bytes() };
        self.local.publish(&message);
        let answer = self.env.timeout(patience, answers.next()).await.ok()?;
        Some(String::from_utf8(answer.payload.to_vec()).unwrap())
    }

    pub fn look(&self, id: &str) -> Inspection {
        self.engine.inspect(id).unwrap()
    }

    /// Waits until a component looks as it should.
    pub async fn until(&self, id: &str, good: impl Fn(&Inspection) -> bool) -> Inspection {
        let deadline = self.env.now() + PATIENCE;
        loop {
            let seen = self.look(id);
            if good(&seen) {
                return seen;
            }
            assert!(self.env.now() < deadline, "it is not so: {seen:?}");
            self.env.sleep(Duration::from_millis(5)).await;
        }
    }

    /// Has a component fail once; how.
    pub async fn failure(&mut self, id: &str, bytes: &[u8]) -> CallError {
        self.start(id, bytes).await;
        self.send(id, "go");
        let seen = self.until(id, |seen| seen.running.failed == 1).await;
        seen.last_failure.unwrap()
    }
}

pub fn limit(error: &CallError) -> Limit {
    match error {
        CallError::Limit { limit, .. } => *limit,
        other => panic!("no limit: {other}"),
    }
}

/// Little of everything, so that tests are soon done.
pub fn tight() -> Settings {
    let bounds = Bounds {
        call: Duration::from_millis(300),
        memory_bytes: 32 << 20,
        host_calls_max: 100_000,
        drain: Duration::from_secs(5),
        ..Bounds::default()
    };
    Settings { bounds, threads: 2, ..Settings::default() }
}
