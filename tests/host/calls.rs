//! Components call each other: on one node without a message, from node to node by wRPC, as others speak it as well.

use super::components;
use super::harness::{Host, PATIENCE, limit, tight};
use lattice::host::engine::{Bounds, Engine, Limit, Settings};
use lattice::host::links::Links;
use lattice::host::runner::{Runner, Spec};
use lattice_broker::{Message, Subscription};
use std::time::Duration;

const COUNTS: &str = "default.stock.wrpc.0.0.1.shop:stock/counts@0.1.0";
const MIRRORS: &str = "default.mirror.wrpc.0.0.1.shop:stock/mirrors@0.1.0";

/// One of everything, as the world of components says, put together by hand.
const EVERYTHING: &[u8] = &[
    1, // a: true
    0xff, 200, // b: -1, c: 200
    0x80, 0x7f, // d: -128
    0xff, 0xff, 3, // e: 65,535
    0xc0, 0, // f: 64
    0x80, 0x80, 4, // g: 65,536
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f, // h: the least there is
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, // i: the most there is
    0, 0, 0x80, 0x3f, // j: 1.0
    0, 0, 0, 0, 0, 0, 0, 0xc0, // k: -2.0
    0xe2, 0x82, 0xac, // l: a Euro sign
    2, b'h', b'i', // m
    3, 0, 1, 255, // n
    2, 0, 1, b'x', // o: "" and "x"
    1, 7, // p: 7
    1, 2, b'n', b'o', // q: the error "no"
    9, 0x7f, // r: 9 and -1
    2, 3, b'b', b'o', b'x',  // s: named("box")
    1,     // t: green
    0b101, // u: read and run
];

fn links() -> Links {
    let mut links = Links::default();
    links.add("shop:stock/counts".to_owned(), "stock");
    links.add("shop:stock/mirrors".to_owned(), "mirror");
    links
}

/// The headers of the end of what is returned.
fn ended(bytes: usize) -> String {
    format!("NATS/1.0\r\nlattice-bytes: {bytes}\r\n\r\n")
}

fn callable(host: &Host, id: &str, bytes: &[u8]) -> Spec {
    let mut spec = host.spec(id, bytes);
    spec.subscriptions.clear();
    spec.buckets.open(id, &std::collections::BTreeMap::new());
    spec
}

async fn start_asker(host: &Host, links: Links) {
    let spec = Spec { links, ..host.spec("asker", &components::asker()) };
    host.engine.apply(spec).await.unwrap();
}

async fn start_others(host: &Host, engine: &Engine) {
    for (id, bytes) in [("stock", components::stock()), ("mirror", components::mirror())] {
        engine.apply(callable(host, id, &bytes)).await.unwrap();
    }
}

/// An engine of its own beside the host's: what runs on it is elsewhere.
fn elsewhere(host: &Host, settings: Settings) -> Engine {
    let engine = Host::engine(&host.env, &host.broker, settings);
    let store = host.keep();
    engine.provide(store);
    engine
}

/// Calls a function as any client may.
struct Asked {
    answers: Subscription,
}

impl Asked {
    fn ask(host: &mut Host, subject: &str, params: &[u8]) -> Self {
        let answers = host.local.subscribe(b"_INBOX.test.>", None, 100).unwrap();
        let message =
            Message { subject: subject.as_bytes(), reply: Some(b"_INBOX.test.rx"), header_len: 0, body: params };
        assert_eq!(host.local.publish(&message), 1, "somebody hears {subject}");
        Self { answers }
    }

    /// Where further parameters are wanted.
    async fn greeted(&mut self, host: &Host) -> String {
        let greeting = host.env.timeout(PATIENCE, self.answers.next()).await.unwrap();
        assert_eq!((&*greeting.subject, &*greeting.payload), (&b"_INBOX.test.rx"[..], &b""[..]));
        format!("{}.params", str::from_utf8(&greeting.reply.unwrap()).unwrap())
    }

    /// What is returned, and what the headers of its end say.
    async fn returned(&mut self, host: &Host) -> (Vec<u8>, String) {
        let mut whole = Vec::new();
        loop {
            let part = host.env.timeout(PATIENCE, self.answers.next()).await.unwrap();
            assert_eq!(&*part.subject, b"_INBOX.test.rx.results");
            if part.payload.is_empty() {
                return (whole, String::from_utf8(part.headers.to_vec()).unwrap());
            }
            whole.extend_from_slice(&part.payload);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_one_node_no_message_is_needed() {
    let mut host = Host::new(Settings::default());
    host.keep();
    let mut overheard = host.local.subscribe(b"default.>", None, 10).unwrap();
    start_others(&host, &host.engine).await;
    start_asker(&host, links()).await;
    for sum in 1..=9 {
        assert_eq!(host.ask("asker", "aapples").await, sum.to_string());
    }
    assert_eq!(host.ask("asker", "n").await, "done");
    let large = "x".repeat(300_000);
    assert_eq!(host.ask("asker", &format!("b{large}")).await, large);
    assert_eq!(host.look("stock").running.calls, 9);
    assert!(overheard.try_next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_leaves_its_turn_to_whom_it_calls() {
    let bounds = Bounds { calls_max: 1, ..Bounds::default() };
    let mut host = Host::new(Settings { bounds, ..Settings::default() });
    host.keep();
    for (id, bytes) in [("stock", components::stock()), ("mirror", components::mirror())] {
        host.engine.apply(Spec { count: 1, ..callable(&host, id, &bytes) }).await.unwrap();
    }
    host.engine.apply(Spec { count: 1, links: links(), ..host.spec("asker", &components::asker()) }).await.unwrap();
    for sum in 1..=5 {
        assert_eq!(host.ask("asker", "aapples").await, sum.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_node_to_node_by_the_lattice() {
    let settings = || Settings { payload_max: 4 << 10, ..Settings::default() };
    let mut host = Host::new(Settings::default());
    host.engine = Host::engine(&host.env, &host.broker, settings());
    let far = elsewhere(&host, settings());
    start_others(&host, &far).await;
    start_asker(&host, links()).await;
    for sum in 1..=9 {
        assert_eq!(host.ask("asker", "aapples").await, sum.to_string());
    }
    assert_eq!(host.ask("asker", "n").await, "done");
    // Of this only the answer to the test is too long for a message; the component does not send it then.
    assert_eq!(host.ask("asker", &format!("b{}", "x".repeat(4_000))).await, "x".repeat(4_000));
    let calls = |id| far.inspect(id).unwrap().running.calls;
    host.send("asker", &format!("b{}", "x".repeat(300_000)));
    // The answer has not come: it is counted where it was called.
    let deadline = host.env.now() + PATIENCE;
    while calls("mirror") < 3 && host.env.now() < deadline {
        host.env.sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((calls("stock"), calls("mirror")), (9, 3));
    assert_eq!(host.ask("asker", "aapples").await, ":", "the tenth");
    assert_eq!(host.look("asker").running.failed, 0);
    assert!(host.engine.running().iter().all(|running| running.id == "asker"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_named_to_who_has_called() {
    for is_far in [false, true] {
        let mut host = Host::new(tight());
        host.keep();
        let far = elsewhere(&host, tight());
        let others = if is_far { far.clone() } else { host.engine.clone() };
        start_asker(&host, Links::default()).await;
        let mut failures = 0;
        let mut failure = async |host: &mut Host, message: &str| {
            host.send("asker", message);
            failures += 1;
            let seen = host.until("asker", |seen| seen.running.failed == failures).await;
            seen.last_failure.unwrap().to_string()
        };
        let why = failure(&mut host, "aapples").await;
        let expected = "component asker: trapped: shop:stock/counts@0.1.0 add: no link says which component it is of";
        assert_eq!(why, expected);
        host.engine.apply(Spec { links: links(), ..host.spec("asker", &components::asker()) }).await.unwrap();
        let of = "component asker: trapped: shop:stock/counts@0.1.0 add of component \"stock\": ";
        assert_eq!(failure(&mut host, "aapples").await, format!("{of}no host runs it"));
        start_others(&host, &others).await;
        assert_eq!(failure(&mut host, "atrap").await, format!("{of}it has failed"));
        let slow = Spec { limits: generous(), links: links(), ..host.spec("asker", &components::asker()) };
        host.engine.apply(slow).await.unwrap();
        assert_eq!(failure(&mut host, "aloop").await, format!("{of}it has not answered in time"));
        // A byte in a list takes 40 of memory while it is handed over.
        let why = failure(&mut host, &format!("b{}", "x".repeat(600_000))).await;
        assert!(why.contains("fuel"), "{why}");
        assert_eq!(host.ask("asker", "aapples").await, "1");
        assert_eq!(others.inspect("stock").unwrap().running.failed, 2);
    }
}

fn generous() -> lattice::host::runner::Limits {
    lattice::host::runner::Limits { call: Some(Duration::from_secs(20)), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_a_loop_end_at_the_limit_of_messages() {
    let mut host = Host::new(Settings::default());
    host.keep();
    start_others(&host, &host.engine).await;
    host.engine
        .apply(Spec { limits: generous(), links: links(), ..host.spec("asker", &components::asker()) })
        .await
        .unwrap();
    host.send("asker", "fapples");
    let seen = host.until("asker", |seen| seen.running.failed == 1).await;
    assert_eq!(limit(&seen.last_failure.unwrap()), Limit::Published { max: 1_000 });
}

#[tokio::test(flavor = "multi_thread")]
async fn any_client_can_call_a_function() {
    let mut host = Host::new(Settings::default());
    host.keep();
    start_others(&host, &host.engine).await;
    let mut asked = Asked::ask(&mut host, &format!("{MIRRORS}.mirror"), EVERYTHING);
    asked.greeted(&host).await;
    assert_eq!(asked.returned(&host).await, (EVERYTHING.to_vec(), ended(EVERYTHING.len())));

    let mut asked = Asked::ask(&mut host, &format!("{COUNTS}.add"), &[3, b'f', b'i', b'g', 0x80, 1]);
    asked.greeted(&host).await;
    assert_eq!(asked.returned(&host).await.0, [0, 0x80, 1]);

    let mut asked = Asked::ask(&mut host, &format!("{MIRRORS}.nothing"), &[]);
    asked.greeted(&host).await;
    assert_eq!(asked.returned(&host).await, (Vec::new(), ended(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_come_in_parts() {
    let mut host = Host::new(Settings::default());
    start_others(&host, &host.engine).await;
    for part in 1..EVERYTHING.len() {
        let mut asked = Asked::ask(&mut host, &format!("{MIRRORS}.mirror"), &EVERYTHING[..part]);
        let to = asked.greeted(&host).await;
        for body in [&EVERYTHING[part..], b""] {
            let message = Message { subject: to.as_bytes(), reply: None, header_len: 0, body };
            assert_eq!(host.local.publish(&message), 1);
        }
        assert_eq!(asked.returned(&host).await.0, EVERYTHING);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_call_is_told_and_is_not_the_components_doing() {
    let mut host = Host::new(Settings::default());
    start_others(&host, &host.engine).await;
    let refused = async |host: &mut Host, function: &str, params: &[u8], why: &str| {
        let mut asked = Asked::ask(host, &format!("{MIRRORS}.{function}"), params);
        asked.greeted(host).await;
        let expected = (Vec::new(), format!("NATS/1.0\r\nlattice-error: {why}\r\n\r\n"));
        assert_eq!(asked.returned(host).await, expected);
    };
    refused(&mut host, "unknown", &[], "no-function").await;
    refused(&mut host, "nothing", &[1], "values").await;
    for bad in [0, EVERYTHING.len() - 1] {
        let mut params = EVERYTHING.to_vec();
        params[bad] = 0xf8;
        refused(&mut host, "mirror", &params, "values").await;
    }
    // A list of more than there is memory for.
    refused(&mut host, "bytes", &[0xff, 0xff, 0xff, 0xff, 0xf], "values").await;
    assert_eq!(host.look("mirror").running.failed, 0);
}

/// A component elsewhere that answers as others do.
struct Outsider {
    calls: Subscription,
}

impl Outsider {
    fn new(host: &mut Host) -> Self {
        Self { calls: host.local.subscribe(format!("{COUNTS}.add").as_bytes(), Some(b"default.stock"), 10).unwrap() }
    }

    /// Takes a call; its parameters, and where the answer is wanted.
    async fn taken(&mut self, host: &mut Host, headers: &str) -> (Vec<u8>, String) {
        let call = host.env.timeout(PATIENCE, self.calls.next()).await.unwrap();
        let sent = String::from_utf8(call.headers.to_vec()).unwrap();
        assert!(sent.contains("source-id: asker\r\n") && sent.contains("target-id: stock\r\n"), "{sent}");
        let rx = String::from_utf8(call.reply.unwrap().to_vec()).unwrap();
        let reply = Some(b"_INBOX.tx".as_slice());
        let (header_len, body) = (headers.len(), headers.as_bytes());
        host.local.publish(&Message { subject: rx.as_bytes(), reply, header_len, body });
        (call.payload.to_vec(), rx)
    }

    fn answer(host: &mut Host, rx: &str, parts: &[&[u8]]) {
        let subject = format!("{rx}.results");
        for body in parts {
            host.local.publish(&Message { subject: subject.as_bytes(), reply: None, header_len: 0, body });
        }
    }
}

/// A component that is ended tells those who wait, and nothing of it stays.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_are_told_when_a_component_is_stopped() {
    let bounds = Bounds { drain: Duration::from_millis(200), ..Bounds::default() };
    let mut host = Host::new(Settings { bounds, ..Settings::default() });
    host.keep();
    host.engine.apply(Spec { count: 1, ..callable(&host, "stock", &components::stock()) }).await.unwrap();
    host.engine.apply(callable(&host, "mirror", &components::mirror())).await.unwrap();
    start_asker(&host, links()).await;
    let looping = &[4, b'l', b'o', b'o', b'p', 1];
    let mut asked = Vec::new();
    for number in 0..3 {
        let rx = format!("_INBOX.test{number}.rx");
        asked.push(host.local.subscribe(format!("{rx}.results").as_bytes(), None, 10).unwrap());
        let subject = format!("{COUNTS}.add");
        let message = Message { subject: subject.as_bytes(), reply: Some(rx.as_bytes()), header_len: 0, body: looping };
        host.local.publish(&message);
    }
    // One whose parameters do not come does not keep it either.
    let mut halved = Asked::ask(&mut host, &format!("{MIRRORS}.bytes"), &[9]);
    halved.greeted(&host).await;
    host.until("stock", |seen| seen.waiting == 2).await;
    host.send("asker", "aapples");
    host.until("stock", |seen| seen.waiting == 3).await;
    let began = host.env.now();
    for id in ["stock", "mirror"] {
        host.engine.apply(Spec { count: 0, ..callable(&host, id, &components::stock()) }).await.unwrap();
    }
    assert!(host.env.now() - began < Duration::from_secs(1), "a call that is ended gives way at once");
    for mut answers in asked {
        let end = host.env.timeout(PATIENCE, answers.next()).await.unwrap();
        assert!(end.headers.ends_with(b"lattice-error: busy\r\n\r\n"), "{end:?}");
    }
    assert!(halved.returned(&host).await.1.contains("busy"));
    let seen = host.until("asker", |seen| seen.running.failed == 1).await;
    let why = seen.last_failure.unwrap().to_string();
    assert!(why.ends_with("it has no room for more calls"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn components_call_what_is_no_component() {
    let mut host = Host::new(Settings::default());
    start_asker(&host, links()).await;
    let mut outsider = Outsider::new(&mut host);
    let mut answers = host.local.subscribe(b"answers", None, 1).unwrap();
    for (parts, expected) in [(vec![b"\x00\x05".as_slice(), b""], "5"), (vec![b"\x01", b"\x03s", b"ad", b""], "sad")] {
        let message = Message { subject: b"asker", reply: Some(b"answers"), header_len: 0, body: b"afig" };
        host.local.publish(&message);
        let (params, rx) = outsider.taken(&mut host, "").await;
        assert_eq!(params, b"\x03fig\x01");
        Outsider::answer(&mut host, &rx, &parts);
        let answer = host.env.timeout(PATIENCE, answers.next()).await.unwrap();
        assert_eq!(&*answer.payload, expected.as_bytes());
    }
    // An end without what should have come before.
    host.send("asker", "afig");
    let (_, rx) = outsider.taken(&mut host, "").await;
    Outsider::answer(&mut host, &rx, &[b"\x00", b""]);
    let seen = host.until("asker", |seen| seen.running.failed == 1).await;
    let why = seen.last_failure.unwrap().to_string();
    assert!(why.ends_with("values that are not of its types: they break off"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_falls_silent_is_lost_and_one_that_works_is_not() {
    let mut host = Host::new(Settings::default());
    host.engine
        .apply(Spec { limits: generous(), links: links(), ..host.spec("asker", &components::asker()) })
        .await
        .unwrap();
    let alive = "NATS/1.0\r\nlattice-alive: 0\r\n\r\n";
    let mut outsider = Outsider::new(&mut host);
    host.send("asker", "afig");
    let (_, rx) = outsider.taken(&mut host, alive).await;
    for _ in 0..6 {
        host.env.sleep(Duration::from_secs(1)).await;
        let (header_len, body) = (alive.len(), alive.as_bytes());
        host.local.publish(&Message { subject: rx.as_bytes(), reply: None, header_len, body });
    }
    assert_eq!(host.look("asker").running.failed, 0);
    let seen = host.until("asker", |seen| seen.running.failed == 1).await;
    let why = seen.last_failure.unwrap().to_string();
    assert!(why.ends_with("the host was lost on which it runs"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_carried_is_refused() {
    let host = Host::new(Settings::default());
    let why = host.refusal(host.spec("handed", &components::handed())).await;
    let expected = "component handed: imports \"shop:stock/handles@0.1.0\" from other components, which has a resource: values \
                    alone can be carried";
    assert_eq!(why, expected);
}
