//! Components in a node's broker: honest ones do what they are for, hostile ones do no more than they may, and the error names
//! component and limit.
#![cfg(feature = "components")]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

#[path = "host/calls.rs"]
mod calls;
mod components;
#[path = "host/harness.rs"]
mod harness;

use harness::{Host, PATIENCE, limit, tight};
use lattice::host::engine::{Bounds, CallError, CodeCache, Engine, Level, Limit, Settings};
use lattice::host::keyvalue::Buckets;
use lattice::host::runner::{HttpError, HttpRequest, Limits, RunError, Runner, Spec};
use lattice::ports::{BadInterest, Client, Clients, Deliveries, Delivery};
use lattice_broker::Message as BrokerMessage;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn messages_reach_a_component_and_answers_come_back() {
    let mut host = Host::new(Settings::default());
    host.start("echo", &components::echo()).await;
    for number in 0..100 {
        assert_eq!(host.ask("echo", &format!("message {number}")).await, format!("message {number}"));
    }
    let large = "x".repeat(900_000);
    assert_eq!(host.ask("echo", &large).await, large);
    let running = host.engine.running();
    assert_eq!(running.len(), 1);
    assert_eq!((&*running[0].id, running[0].count, running[0].calls, running[0].failed), ("echo", 2, 101, 0));
    host.until("echo", |_| host.engine.memory_bytes() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_reads_its_configuration_and_it_can_be_changed() {
    let mut host = Host::new(Settings::default());
    host.start("config", &components::config()).await;
    assert_eq!(host.ask("config", "").await, "hello");
    let mut spec = host.spec("config", &components::config());
    spec.config.insert("greeting".to_owned(), "good evening".to_owned());
    host.engine.apply(spec).await.unwrap();
    assert_eq!(host.ask("config", "").await, "good evening");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_component_logs_is_seen_and_bounded() {
    let mut host = Host::new(tight());
    host.start("log", &components::log()).await;
    host.ask("log", "all is\u{1b}[2J well").await;
    let seen = host.look("log");
    assert_eq!(seen.log.len(), 1);
    assert_eq!((seen.log[0].level, &*seen.log[0].source), (Level::Warn, "log"));
    assert_eq!(seen.log[0].text, "all is\u{1b}[2J well");
    host.failure("flood", &components::log_flood()).await;
    let seen = host.look("flood");
    assert!(seen.log.len() <= 64 && seen.log_dropped > 1_000, "{} {}", seen.log.len(), seen.log_dropped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_asks_others() {
    let mut host = Host::new(Settings::default());
    host.start("ask", &components::ask()).await;
    assert_eq!(host.ask("ask", "anyone?").await, "no responders on elsewhere");
    let mut spec = host.spec("echo", &components::echo());
    spec.subscriptions = vec!["elsewhere".to_owned()];
    host.engine.apply(spec).await.unwrap();
    assert_eq!(host.ask("ask", "anyone?").await, "anyone?");
    let _silent = host.local.subscribe(b"elsewhere", None, 10).unwrap();
    host.engine.apply(Spec { count: 0, ..host.spec("echo", &[]) }).await.unwrap();
    assert_eq!(host.ask("ask", "anyone?").await, "no answer on elsewhere within 1s");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_with_the_same_component_handle_each_message_once() {
    let mut host = Host::new(Settings::default());
    let other = Host::engine(&host.env, &host.broker, Settings::default());
    host.start("echo", &components::echo()).await;
    other.apply(host.spec("echo", &components::echo())).await.unwrap();
    for number in 0..200 {
        assert_eq!(host.ask("echo", &number.to_string()).await, number.to_string());
    }
    let calls = (host.look("echo").running.calls, other.inspect("echo").unwrap().running.calls);
    assert_eq!(calls.0 + calls.1, 200);
    assert!(calls.0 > 20 && calls.1 > 20, "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_may_not_steer_the_lattice_unless_it_is_told_so() {
    let mut host = Host::new(Settings::default());
    host.start("steer", &components::steer()).await;
    let told = host.ask("steer", "x").await;
    assert!(told.starts_with("may not publish to \"$SYS.REQ.SERVER.PING\""), "{told}");
    let mut spec = host.spec("steer", &components::steer());
    spec.config.insert("messaging.publish.allow".to_owned(), "$SYS.REQ.>".to_owned());
    host.engine.apply(spec).await.unwrap();
    assert_eq!(host.ask("steer", "x").await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_no_way_to_steer_the_lattice() {
    let mut host = Host::new(Settings::default());
    let mut steered = host.local.subscribe(b"wasmbus.>", None, 10).unwrap();
    host.start("detour", &components::detour()).await;
    let told = host.ask("detour", "x").await;
    assert!(told.starts_with("may not publish to \"$SYS.REQ.SERVER.PING\""), "{told}");
    host.start("echo", &components::echo()).await;
    let reply = Some(b"wasmbus.ctl.v1.default.host.stop.N".as_slice());
    host.local.publish(&BrokerMessage { subject: b"echo", reply, header_len: 0, body: b"{}" });
    assert_eq!(host.ask("echo", "x").await, "x");
    host.until("echo", |seen| seen.running.calls == 2 && seen.waiting == 0).await;
    assert!(steered.try_next().is_none(), "somebody has sent it there");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_when_all_are_stopped_does_not_start() {
    let mut settings = tight();
    settings.bounds.call = Duration::from_secs(60);
    let host = Host::new(settings);
    let spec = host.spec("endless", &components::endless_start());
    let starting = tokio::task::JoinSet::from_iter([host.engine.apply(spec)]);
    let deadline = host.env.now() + PATIENCE;
    while host.engine.memory_bytes() == 0 {
        assert!(host.env.now() < deadline, "it is not tried");
        host.env.sleep(Duration::from_millis(5)).await;
    }
    host.env.timeout(PATIENCE, host.engine.stop()).await.unwrap();
    let ended = host.env.timeout(PATIENCE, starting.join_all()).await.unwrap();
    let why = ended[0].clone().unwrap_err().to_string();
    assert_eq!(why, "component endless: all components were stopped meanwhile");
    assert!(host.engine.running().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_takes_besides_its_memory_is_counted_too() {
    let mut settings = tight();
    // Stack and what wasmtime keeps of an instance do not fit.
    settings.bounds.memory_total_bytes_max = 512 << 10;
    settings.bounds.memory_bytes = 256 << 10;
    let host = Host::new(settings);
    let why = host.refusal(host.spec("a", &components::echo())).await;
    assert!(why.contains("no memory left of the 524288 bytes that all components share"), "{why}");
    assert_eq!(host.engine.memory_bytes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_has_changed_is_read_anew() {
    let mut host = Host::new(Settings::default());
    host.start("c", &components::config()).await;
    assert_eq!(host.ask("c", "x").await, "hello");
    host.start("c", &components::echo()).await;
    assert_eq!(host.ask("c", "x").await, "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_changed_without_losing_messages() {
    let mut host = Host::new(Settings::default());
    host.start("c", &components::config()).await;
    let mut spec = host.spec("c", &components::config());
    spec.image = host.image("other", &components::echo());
    let change = tokio::task::JoinSet::from_iter([host.engine.apply(spec)]);
    let mut answers = Vec::new();
    while answers.last().is_none_or(|last| last != "x") {
        answers.push(host.ask("c", "x").await);
    }
    assert!(change.join_all().await.iter().all(Result::is_ok));
    assert!(answers.iter().all(|answer| answer == "hello" || answer == "x"), "{answers:?}");
    assert_eq!(host.look("c").running.failed, 0);
    assert!(host.look("c").running.image.ends_with("other"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_is_refused_and_named() {
    let host = Host::new(tight());
    let why = host.refusal(host.spec("a", &components::stranger())).await;
    assert!(
        why.starts_with("component a: imports \"wasi:sockets/tcp@0.2.0\", which is not given; given are wasi:cli/"),
        "{why}"
    );
    let why = host.refusal(host.spec("a", &components::idle())).await;
    assert!(why.ends_with("expected wasmcloud:messaging/handler@0.2.0"), "{why}");
    let why = host.refusal(Spec { subscriptions: Vec::new(), ..host.spec("a", &components::idle()) }).await;
    let expected = "expected wasmcloud:messaging/handler@0.2.0, wasi:http/incoming-handler@0.2.0, or an interface whose functions \
                    take and return values";
    assert!(why.ends_with(expected), "{why}");
    let whole = components::echo();
    let why = host.refusal(host.spec("a", &whole[..whole.len() / 2])).await;
    assert!(why.contains("is no whole component"), "{why}");
    let spec = host.spec("a", &whole[..8]);
    std::fs::File::options().write(true).open(host.folder.path().join("a")).unwrap().set_len(60 << 20).unwrap();
    let why = host.refusal(spec).await;
    assert!(why.contains("has 62914560 bytes: expected at most 33554432 (image_bytes_max)"), "{why}");
    let why = host.refusal(Spec { count: 101, ..host.spec("a", &whole) }).await;
    assert_eq!(why, "component a: count 101 is too high: expected at most 100");
    let limits = Limits { memory: Some(1 << 40), call: None };
    let why = host.refusal(Spec { limits, ..host.spec("a", &whole) }).await;
    assert!(why.contains("limits.memory of 1099511627776 bytes: expected 65536 to 268435456"), "{why}");
    let why = host.refusal(Spec { subscriptions: vec!["a..b".to_owned()], ..host.spec("a", &whole) }).await;
    assert!(why.contains("\"a..b\" is no subject to subscribe to"), "{why}");
    let why = host.refusal(host.spec("a", &components::large_memory())).await;
    assert!(why.contains("more than 33554432 bytes of memory (limits.memory)"), "{why}");
    let why = host.refusal(host.spec("a", &components::endless_start())).await;
    assert!(why.contains("cut off after 300ms (limits.call)"), "{why}");
    assert!(host.engine.running().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_refused_leaves_all_as_it_was() {
    let mut host = Host::new(Settings::default());
    host.start("echo", &components::echo()).await;
    let mut spec = host.spec("echo", &components::echo());
    spec.image = host.image("bad", b"\0asm\x0d\0\x01\0\xff");
    assert!(matches!(host.engine.apply(spec).await, Err(RunError::Image { .. })));
    let spec =
        Spec { subscriptions: vec!["new".to_owned(), "..".to_owned()], ..host.spec("echo", &components::echo()) };
    assert!(matches!(host.engine.apply(spec).await, Err(RunError::Refused { .. })));
    assert_eq!(host.ask("echo", "still here").await, "still here");
    assert_eq!(host.try_ask("new", "x", Duration::from_millis(50)).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_components_run_into_their_limits() {
    let mut host = Host::new(tight());
    let error = host.failure("endless", &components::endless()).await;
    assert_eq!(error.to_string(), "component endless: cut off after 300ms (limits.call)");
    let error = host.failure("poller", &components::poller()).await;
    assert_eq!(error.to_string(), "component poller: cut off after 300ms (limits.call)");
    let error = host.failure("bomb", &components::memory_bomb()).await;
    assert_eq!(limit(&error), Limit::Memory { max: 32 << 20 });
    let text = error.to_string();
    assert!(text.starts_with("component bomb: more than 33554432 bytes of memory (limits.memory); then: "), "{text}");
    let error = host.failure("calls", &components::host_call_flood()).await;
    assert_eq!(
        error.to_string(),
        "component calls: more than 100000 calls to the host within one call (host_calls_max)"
    );
    let mut elsewhere = host.local.subscribe(b"elsewhere", None, 10_000).unwrap();
    let error = host.failure("messages", &components::publish_flood()).await;
    assert_eq!(
        error.to_string(),
        "component messages: more than 1000 messages published within one call (published_max)"
    );
    let arrived = std::iter::from_fn(|| elsewhere.try_next()).count();
    assert_eq!(arrived, 1_000);
    let error = host.failure("trap", &components::trap()).await;
    assert!(error.to_string().starts_with("component trap: trapped: "), "{error}");
    let error = host.failure("recursion", &components::recursion()).await;
    assert!(error.to_string().contains("call stack exhausted"), "{error}");
    let error = host.failure("transfer", &components::transfer_bomb()).await;
    assert!(matches!(error, CallError::Trap { .. }), "{error}");
    let error = host.failure("error", &components::error()).await;
    assert_eq!(error.to_string(), "component error: returned the error \"it does not like this\"");
    host.until("bomb", |_| host.engine.memory_bytes() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_keeps_values_where_it_may() {
    let bounds = Bounds { written_max: 700, ..Bounds::default() };
    let mut host = Host::new(Settings { bounds, ..Settings::default() });
    let spec = host.spec("keeper", &components::keeper());
    host.engine.apply(spec.clone()).await.unwrap();
    assert_eq!(host.ask("keeper", "gx").await, "denied");
    let mut buckets = Buckets::default();
    buckets.open("keeper", &[("buckets".to_owned(), "common, no bucket".to_owned())].into());
    let spec = Spec { buckets, ..spec };
    host.engine.apply(spec.clone()).await.unwrap();
    assert_eq!(host.ask("keeper", "gx").await, "no such store");
    let store = host.keep();
    host.engine.apply(spec.clone()).await.unwrap();
    for (asked, answer) in [
        ("gx", "none"),
        ("ex", "none"),
        ("sxhello", "ok"),
        ("gx", "hello"),
        ("ex", "yes"),
        ("ic", "1"),
        ("ic", "2"),
        ("gc", "2"),
        ("bbin one", "in one"),
        ("gb", "none"),
        ("dx", "ok"),
        ("gx", "none"),
        ("l", "c"),
        ("sxhello", "ok"),
        (
            "ix",
            "x: its value is no decimal number from 0 to 18446744073709551615: set one, or delete it, to count there",
        ),
        ("ocommon", "ok"),
        ("oother", "denied"),
    ] {
        assert_eq!(host.ask("keeper", asked).await, answer, "{asked}");
    }
    let told = host.ask("keeper", "ono bucket").await;
    assert!(told.starts_with("bucket \"no bucket\": a name of 1 to 64 letters"), "{told}");
    assert_eq!(store.get("keeper", "c"), Ok(Some(b"2".to_vec())));
    store.set("keeper", "c", b"40".to_vec()).unwrap();
    assert_eq!(host.ask("keeper", "ic").await, "41");

    host.send("keeper", "ff");
    let failed = host.until("keeper", |seen| seen.running.failed == 1).await.last_failure.unwrap().to_string();
    assert_eq!(failed, "component keeper: more than 700 values written within one call (written_max)");
    // What it may write at once outlives a change.
    host.engine.apply(Spec { config: [].into(), ..spec }).await.unwrap();
    let told = host.ask("keeper", "ff").await;
    assert_eq!(told, "this component writes too fast: at most 100 values a second, 1000 at once");
    host.send("keeper", "hh");
    let seen = host.until("keeper", |seen| seen.running.failed == 2).await;
    assert!(matches!(seen.last_failure, Some(CallError::Trap { .. })), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_component_goes_on_beside_hostile_ones() {
    let mut host = Host::new(tight());
    host.start("echo", &components::echo()).await;
    let hostile = [
        ("endless", components::endless()),
        ("bomb", components::memory_bomb()),
        ("trap", components::trap()),
        ("calls", components::host_call_flood()),
        ("messages", components::publish_flood()),
        ("log", components::log_flood()),
    ];
    for (id, bytes) in &hostile {
        host.start(id, bytes).await;
    }
    for round in 0..50 {
        for (id, _) in &hostile {
            host.send(id, "go");
        }
        assert_eq!(host.ask("echo", &round.to_string()).await, round.to_string());
    }
    for (id, _) in &hostile {
        assert!(host.look(id).running.calls > 0, "{id}");
    }
    host.until("trap", |seen| seen.running.failed == 50).await;
    assert_eq!(host.look("echo").running.failed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finds_no_room_to_wait_is_counted_and_the_count_can_be_changed() {
    let mut settings = tight();
    settings.bounds.waiting_max = 3;
    settings.bounds.call = Duration::from_secs(60);
    let mut host = Host::new(settings);
    host.start("endless", &components::endless()).await;
    for _ in 0..10 {
        host.send("endless", "go");
    }
    let seen = host.until("endless", |seen| seen.dropped == 5 && seen.running.calls == 2).await;
    assert_eq!(seen.waiting, 3);
    host.engine.apply(Spec { count: 4, ..host.spec("endless", &components::endless()) }).await.unwrap();
    let seen = host.until("endless", |seen| seen.running.calls == 4).await;
    assert_eq!((seen.waiting, seen.dropped), (1, 5));
}

/// Threads are counted: other tests of this process would count as well.
#[test]
fn a_node_without_components_pays_nothing() {
    let alone = ["--exact", "threads_come_and_go_with_components", "--ignored", "--nocapture"];
    let ended = std::process::Command::new(std::env::current_exe().unwrap()).args(alone).output().unwrap();
    assert!(
        ended.status.success(),
        "{}{}",
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr)
    );
    assert!(String::from_utf8_lossy(&ended.stdout).contains("1 passed"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "is run by the one above, alone in a process"]
async fn threads_come_and_go_with_components() {
    let mut host = Host::new(tight());
    let idle = threads();
    host.start("echo", &components::echo()).await;
    assert_eq!(host.ask("echo", "x").await, "x");
    assert!(threads() >= idle + 3, "two for components, and the clock");
    host.engine.stop().await;
    assert!(host.engine.running().is_empty());
    let deadline = host.env.now() + PATIENCE;
    while component_threads() > 0 {
        assert!(host.env.now() < deadline, "threads are left");
        host.env.sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(host.try_ask("echo", "x", Duration::from_millis(20)).await, None);
    host.start("echo", &components::echo()).await;
    assert_eq!(host.ask("echo", "again").await, "again");
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

fn component_threads() -> usize {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let name = |task: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(task.ok()?.path().join("comm")).ok();
    tasks.filter_map(name).filter(|name| name.starts_with("component")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_hand_is_done_before_a_component_is_stopped() {
    let mut host = Host::new(Settings::default());
    let mut spec = host.spec("echo", &components::echo());
    spec.count = 1;
    host.engine.apply(spec).await.unwrap();
    let mut answers = host.local.subscribe(b"answers", None, 1_000).unwrap();
    let reply = Some(b"answers".as_slice());
    for _ in 0..500 {
        host.local.publish(&BrokerMessage { subject: b"echo", reply, header_len: 0, body: b"x" });
    }
    host.engine.stop().await;
    assert_eq!(std::iter::from_fn(|| answers.try_next()).count(), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_is_ended_when_the_time_to_drain_is_over() {
    let mut settings = tight();
    settings.bounds.call = Duration::from_secs(60);
    settings.bounds.drain = Duration::from_millis(100);
    let mut host = Host::new(settings);
    host.start("endless", &components::endless()).await;
    host.send("endless", "go");
    host.until("endless", |seen| seen.running.calls == 1).await;
    host.env.timeout(Duration::from_secs(10), host.engine.stop()).await.unwrap();
}

fn cached(folder: &Path) -> Settings {
    Settings { cache: Some(CodeCache::new(folder.join("code"), &[7; 32], 64 << 20)), ..tight() }
}

fn compiled(folder: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder.join("code")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn compiled_code_is_kept_and_what_was_tampered_with_is_compiled_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::new(cached(folder.path()));
    host.start("echo", &components::echo()).await;
    let files = compiled(folder.path());
    assert_eq!(files.len(), 1);
    let good = std::fs::read(&files[0]).unwrap();
    host.engine.stop().await;

    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&files[0], &bad).unwrap();
    host.engine = Host::engine(&host.env, &host.broker, cached(folder.path()));
    host.start("echo", &components::echo()).await;
    assert_eq!(host.ask("echo", "x").await, "x");
    assert_ne!(std::fs::read(&files[0]).unwrap(), bad);
    assert_eq!(compiled(folder.path()), files);
}

/// A lattice in which nobody takes anything.
#[derive(Debug)]
struct Deaf;

impl Clients for Deaf {
    fn client(&self) -> Arc<dyn Client> {
        Arc::new(Self)
    }
}

impl Client for Deaf {
    fn publish_headed(&self, _: &str, _: Option<&[u8]>, _: &[u8], _: &[u8]) -> usize {
        0
    }

    fn subscribe(&self, _: &str, _: Option<&str>, _: usize) -> Result<Box<dyn Deliveries>, BadInterest> {
        let delivery =
            Delivery { subject: "s".into(), reply: Some("r".into()), headers: Default::default(), payload: "p".into() };
        Ok(Box::new(Once(Some(delivery))))
    }
}

/// Brings one message.
#[derive(Debug)]
struct Once(Option<Delivery>);

impl Deliveries for Once {
    fn poll_next(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Delivery> {
        self.0.take().map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    }

    fn dropped(&self) -> u64 {
        7
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_told_when_the_lattice_fails_and_goes_on() {
    let mut host = Host::new(tight());
    let settings = Settings { payload_max: 0, ..tight() };
    host.engine = Engine::new(host.env.clone(), Arc::new(Deaf), settings);
    host.start("echo", &components::echo()).await;
    let seen = host.until("echo", |seen| seen.running.calls == 1 && seen.dropped == 7).await;
    assert_eq!(seen.running.failed, 0);
}

fn request(method: &str, path: &str, body: impl Into<bytes::Bytes>) -> HttpRequest {
    let request = hyper::Request::builder().method(method).uri(path).header("host", "here:8000");
    request.body(body.into()).unwrap()
}

impl Host {
    /// Starts a component that is asked by HTTP alone.
    async fn start_http(&self, id: &str, bytes: &[u8]) {
        self.engine.apply(Spec { subscriptions: Vec::new(), ..self.spec(id, bytes) }).await.unwrap();
    }

    /// What comes of a request to a component that has just been started, and why the call failed, if it did.
    async fn asked(&self, id: &str, bytes: &[u8]) -> (Result<(u16, usize), HttpError>, Option<String>) {
        self.start_http(id, bytes).await;
        let answer = self.engine.answer(id, request("GET", "/", "")).await;
        let answer = answer.map(|answer| (answer.status().as_u16(), answer.body().len()));
        (answer, self.look(id).last_failure.map(|failure| failure.to_string()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_by_http_are_answered_each_by_an_instance_of_its_own() {
    let host = Host::new(Settings::default());
    host.start_http("http", &components::http_echo()).await;
    let ask = |number: usize| {
        let engine = host.engine.clone();
        async move {
            let body = "x".repeat(number * 2_000);
            let answer = engine.answer("http", request("POST", &format!("/a/{number}?b"), body.clone())).await.unwrap();
            assert_eq!(answer.status(), 201);
            assert_eq!(answer.body(), format!("POST /a/{number}?b\n{body}").as_bytes());
        }
    };
    futures_util::future::join_all((0..50).map(ask)).await;
    assert_eq!((host.look("http").running.calls, host.engine.memory_bytes()), (50, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_by_http_that_go_wrong_are_named_to_the_node_alone() {
    let host = Host::new(tight());
    let failed = |why: &str| (Err(HttpError::Failed), Some(why.to_owned()));
    assert_eq!(host.engine.answer("none", request("GET", "/", "")).await.unwrap_err(), HttpError::Missing);
    let trapped = host.asked("traps", &components::http_trap()).await;
    assert_eq!(trapped, failed("component traps: trapped: wasm trap: wasm `unreachable` instruction executed"));
    let silent = host.asked("silent", &components::http_silent()).await;
    assert_eq!(silent, failed("component silent: gave no whole answer: it has set none"));
    let late = host.asked("endless", &components::http_endless()).await;
    assert_eq!(late, (Err(HttpError::Late), Some("component endless: cut off after 300ms (limits.call)".to_owned())));
    let most = host.asked("most", &components::http_large(4 << 20)).await;
    assert_eq!(most, (Ok((200, 4 << 20)), None));
    let large = host.asked("large", &components::http_large((4 << 20) + 1)).await;
    let why = "component large: more than 4194304 bytes in the body of an answer (http_body_bytes_max)";
    assert_eq!(large, failed(why));
    host.start("echo", &components::echo()).await;
    assert_eq!(host.engine.answer("echo", request("GET", "/", "")).await.unwrap_err(), HttpError::NoHandler);
    assert_eq!(host.engine.memory_bytes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_has_too_much_to_do_says_so_by_http() {
    let settings = tight();
    let bounds = Bounds { waiting_max: 1, ..settings.bounds };
    let host = Host::new(Settings { bounds, ..settings });
    let spec = host.spec("endless", &components::http_endless());
    host.engine.apply(Spec { subscriptions: Vec::new(), count: 1, ..spec }).await.unwrap();
    let asked = (0..3).map(|_| host.engine.answer("endless", request("GET", "/", "")));
    let mut answers: Vec<HttpError> =
        futures_util::future::join_all(asked).await.into_iter().map(Result::unwrap_err).collect();
    answers.sort_by_key(|error| *error != HttpError::Busy);
    assert_eq!(answers, [HttpError::Busy, HttpError::Late, HttpError::Late]);
}
