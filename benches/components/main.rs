//! What components cost: how soon one runs, how long a call takes, and how much memory 50 of them have.
//!
//! ```text
//! cargo bench --profile fast --bench components
//! cargo bench --profile fast --bench components -- --calls 100000
//! ```
//!
//! Messages go through a broker in the same process, so that a call is all of it: published, handled by an instance that is
//! made for it, and answered.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, reason = "the table is the result")]

#[path = "../../tests/components/mod.rs"]
mod components;

use lattice::host::engine::{CodeCache, Engine, Settings};
use lattice::host::keyvalue::Buckets;
use lattice::host::links::Links;
use lattice::host::outgoing::Outgoing;
use lattice::host::runner::{Limits, Runner, Spec};
use lattice::wiring;
use lattice_broker::env::Env;
use lattice_broker::{Broker, Config, Local, Message};
use std::process::ExitCode;
use std::time::Duration;

/// How often a start is measured.
const STARTS: u32 = 20;

/// Components that run at once when memory is measured.
const MANY: u32 = 50;

fn main() -> ExitCode {
    let mut calls = 20_000;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // Cargo says so to every bench.
            "--bench" => {}
            "--calls" => match arguments.next().and_then(|number| number.parse().ok()) {
                Some(number) => calls = number,
                None => {
                    eprintln!("--calls: expected a number");
                    return ExitCode::FAILURE;
                }
            },
            other => {
                eprintln!("{other}: expected --calls and a number");
                return ExitCode::FAILURE;
            }
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async { Bench::new().run(calls).await });
    ExitCode::SUCCESS
}

struct Bench {
    env: Env,
    broker: Broker,
    local: Local,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let env = Env::tokio();
        let broker = Broker::new(env.clone(), Config::default()).unwrap();
        let local = broker.local();
        Self { env, broker, local, folder: tempfile::tempdir().unwrap() }
    }

    async fn run(&mut self, calls: u32) {
        println!("| what | result |");
        println!("|---|---|");
        self.memory().await;
        self.starts().await;
        self.calls(calls).await;
        self.nested(calls).await;
    }

    fn engine(&self) -> Engine {
        let cache = CodeCache::new(self.folder.path().join("code"), &[7; 32], 64 << 20);
        let settings = Settings { cache: Some(cache), ..Settings::default() };
        Engine::new(self.env.clone(), wiring::clients(&self.broker), settings)
    }

    fn spec(&self, id: &str, image: &[u8]) -> Spec {
        let path = self.folder.path().join("image.wasm");
        std::fs::write(&path, image).unwrap();
        Spec {
            id: id.to_owned(),
            image: path.to_str().unwrap().to_owned(),
            count: 4,
            config: [].into(),
            limits: Limits::default(),
            subscriptions: vec![id.to_owned()],
            buckets: Buckets::default(),
            links: Links::default(),
            outgoing: Outgoing::default(),
        }
    }

    /// Starts without compiled code, with it, and with it beside another component.
    async fn starts(&self) {
        let echo = components::echo();
        let (mut cold, mut first, mut warm) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..STARTS {
            std::fs::remove_dir_all(self.folder.path().join("code")).ok();
            for times in [&mut cold, &mut first] {
                let engine = self.engine();
                times.push(self.start(&engine, self.spec("echo", &echo)).await);
                engine.stop().await;
            }
            let engine = self.engine();
            self.start(&engine, self.spec("other", &echo)).await;
            warm.push(self.start(&engine, self.spec("echo", &echo)).await);
            engine.stop().await;
        }
        println!("| start, to be compiled ({} bytes) | {} |", echo.len(), times(&mut cold));
        println!("| start, compiled before, the first on the node | {} |", times(&mut first));
        println!("| start, compiled before, beside others | {} |", times(&mut warm));
    }

    async fn start(&self, engine: &Engine, spec: Spec) -> Duration {
        let start = self.env.now();
        engine.apply(spec).await.unwrap();
        self.env.now() - start
    }

    /// Calls one after the other, and as many at once as there may be.
    async fn calls(&mut self, calls: u32) {
        let engine = self.engine();
        engine.apply(self.spec("echo", &components::echo())).await.unwrap();
        let mut answers = self.local.subscribe(b"answers", None, calls as usize).unwrap();
        let ask = Message { subject: b"echo", reply: Some(b"answers"), header_len: 0, body: &[0; 128] };
        let mut took = Vec::new();
        for _ in 0..calls {
            let start = self.env.now();
            self.local.publish(&ask);
            answers.next().await;
            took.push(self.env.now() - start);
        }
        println!("| a call, alone, there and back | {} |", times(&mut took));
        let start = self.env.now();
        let window = 200;
        for _ in 0..window {
            self.local.publish(&ask);
        }
        for number in 0..calls {
            answers.next().await;
            if number + window < calls {
                self.local.publish(&ask);
            }
        }
        let each = (self.env.now() - start) / calls;
        println!("| a call, many at once | one every {:.1} µs |", each.as_secs_f64() * 1e6);
        engine.stop().await;
    }

    /// Calls that call another component in turn: on the same node, and on another engine, by the lattice.
    async fn nested(&mut self, calls: u32) {
        let (near, far) = (self.engine(), self.engine());
        let mut links = Links::default();
        links.add("shop:stock/mirrors".to_owned(), "mirror");
        near.apply(Spec { links, ..self.spec("asker", &components::asker()) }).await.unwrap();
        let mirror = |bench: &Self| Spec { subscriptions: Vec::new(), ..bench.spec("mirror", &components::mirror()) };
        far.apply(mirror(self)).await.unwrap();
        let mut answers = self.local.subscribe(b"answers", None, 10).unwrap();
        let ask = Message { subject: b"asker", reply: Some(b"answers"), header_len: 0, body: b"n" };
        for place in ["elsewhere", "on the node"] {
            let mut took = Vec::new();
            for _ in 0..calls {
                let start = self.env.now();
                self.local.publish(&ask);
                answers.next().await;
                took.push(self.env.now() - start);
            }
            println!("| the same, which calls another component {place} in turn | {} |", times(&mut took));
            near.apply(mirror(self)).await.unwrap();
        }
        for engine in [near, far] {
            engine.stop().await;
        }
    }

    /// What the process grows by with the first component, and with so many, all in the middle of a call.
    async fn memory(&mut self) {
        let image = components::ask();
        let engine = self.engine();
        let none = self.env.usage().memory;
        engine.apply(self.spec("0", &image)).await.unwrap();
        let one = self.env.usage().memory;
        let _silent = self.local.subscribe(b"elsewhere", None, 1_000).unwrap();
        for number in 1..MANY {
            engine.apply(self.spec(&number.to_string(), &image)).await.unwrap();
        }
        for number in 0..MANY {
            let subject = number.to_string();
            self.local.publish(&Message { subject: subject.as_bytes(), reply: None, header_len: 0, body: b"?" });
        }
        self.env.sleep(Duration::from_millis(300)).await;
        let in_flight = engine.memory_bytes();
        let many = self.env.usage().memory;
        let mega = |bytes: u64| bytes as f64 / 1e6;
        println!("| memory before the first component | {:.1} MB |", mega(none));
        println!("| memory with one, which has just been compiled | {:.1} MB |", mega(one));
        let declared = mega(in_flight);
        println!(
            "| memory with {MANY}, each in the middle of a call ({declared:.1} MB declared) | {:.1} MB |",
            mega(many)
        );
        engine.stop().await;
    }
}

fn times(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e6;
    format!("p50 {:.0} µs, p99 {:.0} µs", at(50), at(99))
}
