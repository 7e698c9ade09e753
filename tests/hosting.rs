//! Components in a node as a person has it: a process, asked by its control interface and by the commands, with clients that are
//! not ours.
#![cfg(feature = "components")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]

#[path = "hosting/apps.rs"]
mod apps;
#[path = "hosting/calls.rs"]
mod calls;
mod components;
#[path = "hosting/steering.rs"]
mod steering;
mod support;

use async_nats::Client;
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::clients::connect;
use support::cluster::{Cluster, Node, lattice};
use support::http::{Answer, ask as ask_http, get};
use support::ports::free;
use support::process::{Finished, run};
use support::{LIMIT, wait_for};

/// Longer than a node takes to have on its disk what it was told.
const ON_DISK: Duration = Duration::from_secs(2);

fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Asks a host, and takes what is answered apart.
async fn ask(client: &Client, operation: &str, body: Value) -> Value {
    let subject = format!("wasmbus.ctl.v1.default.{operation}");
    let reply = client.request(subject, body.to_string().into()).await.unwrap();
    let mut reply: Value = serde_json::from_slice(&reply.payload).unwrap();
    assert_eq!(reply["success"], json!(true), "{operation}: {reply}");
    reply["response"].take()
}

/// Asks a component until it answers.
async fn answer(client: &Client, subject: &str, body: &str) -> String {
    let deadline = std::time::Instant::now() + LIMIT;
    loop {
        match client.request(subject.to_owned(), body.to_owned().into()).await {
            Ok(answer) => return String::from_utf8(answer.payload.to_vec()).unwrap(),
            Err(error) => assert!(std::time::Instant::now() < deadline, "{subject}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn scale(host: &str, image: &Path, count: u32) -> Value {
    json!({
        "component_id": "greeter", "component_ref": format!("file://{}", image.display()), "count": count,
        "host_id": host, "config": ["words"], "allow_update": false,
    })
}

/// Goal: a component that was started, linked and configured by the control interface answers a client's request, is there
/// again after the node was killed, and no more once it was stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_component_answers_outlives_a_kill_and_is_stopped() {
    let mut node = Node::alone("");
    let image = file(&node.data(), "greeter.wasm", &components::config());
    let client = connect(&node.url()).await;
    let host = node.status().id;
    let mut events = client.subscribe("wasmbus.evt.default.component_scaled").await.unwrap();

    ask(&client, "config.put.words", json!({ "greeting": "good morning" })).await;
    ask(&client, "config.put.subjects", json!({ "subscriptions": "greet.*" })).await;
    let link = json!({
        "source_id": "nats", "target": "greeter", "name": "default", "wit_namespace": "wasmcloud",
        "wit_package": "messaging", "interfaces": ["handler"], "source_config": ["subjects"], "target_config": [],
    });
    ask(&client, "link.put", link).await;
    ask(&client, &format!("component.scale.{host}"), scale(&host, &image, 3)).await;
    events.next().await.unwrap();
    assert_eq!(answer(&client, "greet.ann", "?").await, "good morning");
    let inventory = ask(&client, &format!("host.get.{host}"), json!({})).await;
    assert_eq!(
        (&inventory["components"][0]["id"], &inventory["components"][0]["max_instances"]),
        (&json!("greeter"), &json!(3))
    );

    let key = node.data().join("components/key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&key).unwrap();
    tokio::time::sleep(ON_DISK).await;
    node.kill();
    node.start(&[]);
    assert_eq!(answer(&client, "greet.ann", "?").await, "good morning");
    assert_eq!(std::fs::read(&key).unwrap(), before, "made once");

    let mut events = client.subscribe("wasmbus.evt.default.component_scaled").await.unwrap();
    ask(&client, &format!("component.scale.{host}"), scale(&host, &image, 0)).await;
    events.next().await.unwrap();
    assert!(client.request("greet.ann", "?".into()).await.is_err(), "nobody is there any more");
    assert!(node.stop().success());
}

/// Goal: a node that is asked to end while a component computes for ever ends in order, and soon.
#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_does_not_end_does_not_keep_the_node() {
    let mut node = Node::alone("");
    let image = file(&node.data(), "endless.wasm", &components::endless());
    let started = commanded(&node, &["start", "component", image.to_str().unwrap(), "--subscribe", "go"]);
    assert_eq!(started.code, Some(0), "{started:#?}");
    let client = connect(&node.url()).await;
    client.publish("go", "".into()).await.unwrap();
    client.flush().await.unwrap();
    let began = std::time::Instant::now();
    assert!(node.stop().success());
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

/// Runs a command at the node to its end.
fn commanded(node: &Node, args: &[&str]) -> Finished {
    let mut command: Command = lattice();
    command.args(args).args(["--server", &node.url()]);
    run(&mut command, LIMIT)
}

/// Goal: the commands start, list and stop a component, and what they refuse has a cause and a next step.
#[tokio::test(flavor = "multi_thread")]
async fn components_by_commands() {
    let mut node = Node::alone("");
    let none = commanded(&node, &["ps"]);
    assert_eq!((none.code, none.stdout.trim()), (Some(0), "no components run on 1 host"), "{none:#?}");

    let echo = file(&node.data(), "echo.wasm", &components::echo());
    let flags = ["--name", "parrot", "--scale", "4", "--subscribe", "say", "--subscribe", "shout.*"];
    let started = commanded(&node, &[&["start", "component", echo.to_str().unwrap()], &flags[..]].concat());
    assert_eq!(
        (started.code, started.stdout.trim()),
        (Some(0), "parrot runs on alone, 4 calls at a time"),
        "{started:#?}"
    );
    let client = connect(&node.url()).await;
    assert_eq!(answer(&client, "shout.loud", "hello").await, "hello");
    assert_eq!(answer(&client, "say", "hello again").await, "hello again");

    let listed = commanded(&node, &["ps", "--json"]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let image = format!("file://{}", echo.canonicalize().unwrap().display());
    let expected = json!([{
        "host": node.status().id, "host_name": "alone", "component": "parrot", "image": image, "instances": 4,
        "state": "running", "kind": "component",
    }]);
    assert_eq!(listed, expected);

    let log = file(&node.data(), "log.wasm", &components::log());
    let started = commanded(&node, &["start", "component", log.to_str().unwrap(), "--subscribe", "note"]);
    assert_eq!(started.code, Some(0), "{started:#?}");
    answer(&client, "note", "the kettle boils").await;
    let is_noted = |line: &str| line.contains("component=log") && line.contains("the kettle boils");
    node.process().wait_line("what the component writes", |line| is_noted(line).then_some(()));
    assert_eq!(commanded(&node, &["stop", "component", "log"]).code, Some(0));

    let bad = file(&node.data(), "bad.wasm", b"\0asm\x01\0\0\0");
    let refused = commanded(&node, &["start", "component", bad.to_str().unwrap(), "--name", "bad"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("is a core module"), "{refused:#?}");
    let refused = commanded(&node, &["start", "component", "no-such-file.wasm"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("no-such-file.wasm: No such file"), "{refused:#?}");
    let refused = commanded(&node, &["start", "component", echo.to_str().unwrap(), "--host", "attic"]);
    assert!(refused.stderr.contains("--host with one of: alone"), "{refused:#?}");
    let refused = commanded(&node, &["stop", "component", "nobody"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("lattice ps"), "{refused:#?}");

    let stopped = commanded(&node, &["stop", "component", "parrot"]);
    assert_eq!((stopped.code, stopped.stdout.trim()), (Some(0), "parrot has ended on alone"), "{stopped:#?}");
    assert!(client.request("say", "?".into()).await.is_err());
    assert_eq!(ask(&client, "link.get", json!({})).await, json!([]));
    wait_for("nothing is listed", LIMIT, || commanded(&node, &["ps"]).stdout.contains("no components").then_some(()));
    assert!(node.stop().success());
}

/// Goal: from any node a component is started, listed and stopped on any other, and answers at all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_component_on_another_node() {
    let cluster = Cluster::line(2);
    let [a, b] = &cluster.nodes[..] else { panic!("two nodes") };
    let echo = file(&a.data(), "echo.wasm", &components::echo());
    let started = commanded(a, &["start", "component", echo.to_str().unwrap(), "--host", "b", "--subscribe", "say"]);
    assert_eq!((started.code, started.stdout.trim()), (Some(0), "echo runs on b, 1 call at a time"), "{started:#?}");
    for node in [a, b] {
        assert_eq!(answer(&connect(&node.url()).await, "say", "hello").await, "hello");
        let listed = commanded(node, &["ps"]);
        assert_eq!(listed.stdout.lines().count(), 2, "{listed:#?}");
        assert!(listed.stdout.contains("b     echo       1          running"), "{listed:#?}");
    }
    let stopped = commanded(a, &["stop", "component", "echo"]);
    assert_eq!((stopped.code, stopped.stdout.trim()), (Some(0), "echo has ended on b"), "{stopped:#?}");
}

/// Starts the component that keeps values on a host, heard at its name there.
async fn start_keeper(client: &Client, node: &Node, id: &str) {
    let image = file(&node.data(), "keeper.wasm", &components::keeper());
    let mut events = client.subscribe("wasmbus.evt.default.component_scaled").await.unwrap();
    let messages = json!({
        "source_id": "nats", "target": id, "name": id, "wit_namespace": "wasmcloud", "wit_package": "messaging",
        "interfaces": ["handler"], "source_config": [id],
    });
    ask(client, &format!("config.put.{id}"), json!({ "subscriptions": id })).await;
    ask(client, "link.put", messages).await;
    let host = node.status().id;
    let body = json!({
        "component_id": id, "component_ref": format!("file://{}", image.display()), "count": 1, "host_id": host,
    });
    ask(client, &format!("component.scale.{host}"), body).await;
    events.next().await.unwrap();
}

/// Asks a component until it answers so.
async fn until_answered(client: &Client, subject: &str, body: &str, expected: &str) {
    let deadline = std::time::Instant::now() + LIMIT;
    loop {
        let told = answer(client, subject, body).await;
        if told == expected {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{subject} answers {told:?} to {body:?}, not {expected:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Goal: what components keep is where a link says, is on all nodes, adds up, and outlives a kill.
#[tokio::test(flavor = "multi_thread")]
async fn values_are_kept_on_all_nodes() {
    let mut cluster = Cluster::line(2);
    let client = connect(&cluster.nodes[0].url()).await;
    start_keeper(&client, &cluster.nodes[0], "one").await;
    start_keeper(&client, &cluster.nodes[1], "two").await;
    assert_eq!(answer(&client, "one", "gx").await, "denied");
    ask(&client, "config.put.common", json!({ "bucket": "common" })).await;
    for id in ["one", "two"] {
        let link = json!({
            "source_id": id, "target": "keyvalue", "name": "default", "wit_namespace": "wasi",
            "wit_package": "keyvalue", "interfaces": ["store", "atomics"], "target_config": ["common"],
        });
        ask(&client, "link.put", link).await;
        until_answered(&client, id, "gx", "none").await;
    }
    for _ in 0..20 {
        answer(&client, "one", "ic").await;
        answer(&client, "two", "ic").await;
    }
    answer(&client, "two", "sxhello").await;
    for id in ["one", "two"] {
        until_answered(&client, id, "gc", "40").await;
        until_answered(&client, id, "gx", "hello").await;
    }
    // Right after it has counted: its disk may not have it, but the other node has.
    cluster.nodes[1].kill();
    cluster.nodes[1].start(&[]);
    until_answered(&client, "two", "gc", "40").await;
    until_answered(&client, "one", "gc", "40").await;
    assert_eq!(answer(&client, "two", "ic").await, "41");
    until_answered(&client, "one", "gc", "41").await;
    ask(
        &client,
        "link.del",
        json!({"source_id": "one", "name": "default", "wit_namespace": "wasi", "wit_package": "keyvalue"}),
    )
    .await;
    until_answered(&client, "one", "gx", "denied").await;
}

/// Goal: a node that shall not run components is no host, and the commands say so.
#[test]
fn a_node_that_is_no_host_says_so() {
    let node = Node::alone("[host]\nenabled = false\n");
    let refused = commanded(&node, &["ps"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("host.enabled"), "{refused:#?}");
    assert!(!node.data().join("components").exists());
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Waits until there is an answer by HTTP with that code.
fn served(at: SocketAddr, path: &str, code: u16) -> Answer {
    wait_for("it is answered by HTTP", LIMIT, || {
        drop(std::net::TcpStream::connect(at).ok()?);
        Some(get(at, path)).filter(|answer| answer.code == code)
    })
}

/// Goal: a component that was started with an address answers by HTTP when the command returns, is there again after the node was
/// killed, and no more once it was stopped.
#[tokio::test(flavor = "multi_thread")]
async fn http_by_commands() {
    let mut node = Node::alone("");
    let image = file(&node.data(), "web.wasm", &components::http_echo());
    let at = local(free());
    let start = ["start", "component", image.to_str().unwrap(), "--scale", "4", "--http"];
    let started = commanded(&node, &[&start[..], &[&at.to_string()]].concat());
    let said = format!("web runs on alone, 4 calls at a time, and answers HTTP on {at}");
    assert_eq!((started.code, started.stdout.trim()), (Some(0), &*said), "{started:#?}");
    let answer = ask_http(at, "POST /a?b HTTP/1.0\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!((answer.code, &*answer.body), (201, "POST /a?b\nhello"));

    let listed = commanded(&node, &["ps", "--json"]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!((&listed[0]["kind"], &listed[1]["kind"]), (&json!("component"), &json!("provider")), "{listed}");
    assert!(listed[1]["component"].as_str().is_some_and(|name| name.starts_with("http-of-web-n")), "{listed}");
    assert_eq!(listed[1]["listening"], json!([at.to_string()]));
    tokio::time::sleep(ON_DISK).await;
    node.kill();
    node.start(&[]);
    served(at, "/", 201);

    let other = file(&node.data(), "other.wasm", &components::http_echo());
    let args = ["start", "component", other.to_str().unwrap(), "--http", &at.to_string(), "--timeout", "2s"];
    let taken = commanded(&node, &args);
    assert!(taken.code == Some(1) && taken.stderr.contains(&format!("{at} is provider http-of-")), "{taken:#?}");
    assert_eq!(commanded(&node, &["stop", "component", "other"]).code, Some(0));
    let stopped = commanded(&node, &["stop", "component", "web"]);
    assert_eq!(stopped.code, Some(0), "{stopped:#?}");
    wait_for("nobody listens", LIMIT, || std::net::TcpStream::connect(at).is_err().then_some(()));
    let client = connect(&node.url()).await;
    assert_eq!(ask(&client, "link.get", json!({})).await, json!([]));
    assert_eq!(commanded(&node, &["ps"]).stdout.trim(), "no components run on 1 host");
    assert!(node.stop().success());
}

/// Starts a component that is asked by HTTP alone.
async fn start_http(client: &Client, host: &str, id: &str, image: &Path) {
    let mut events = client.subscribe("wasmbus.evt.default.component_scaled").await.unwrap();
    let body = json!({
        "component_id": id, "component_ref": format!("file://{}", image.display()), "count": 1, "host_id": host,
        "component_limits": { "max_execution_time": "1" },
    });
    ask(client, &format!("component.scale.{host}"), body).await;
    events.next().await.unwrap();
}

async fn link_http(client: &Client, name: &str, target: &str, config: Value) {
    ask(client, &format!("config.put.{name}"), config).await;
    let link = json!({
        "source_id": "web", "target": target, "name": name, "wit_namespace": "wasi", "wit_package": "http",
        "interfaces": ["incoming-handler"], "source_config": [name],
    });
    ask(client, "link.put", link).await;
}

/// The next event of that name; its data.
async fn told(events: &mut async_nats::Subscriber, name: &str) -> Value {
    loop {
        let event = tokio::time::timeout(LIMIT, events.next()).await.expect(name).unwrap();
        if event.subject.ends_with(name) {
            return serde_json::from_slice::<Value>(&event.payload).unwrap()["data"].take();
        }
    }
}

/// Goal: the built-in provider is started, linked, configured and stopped by the control interface, and what goes wrong is told
/// to those who run it, and not to those who ask.
#[tokio::test(flavor = "multi_thread")]
async fn http_by_the_control_interface() {
    let node = Node::alone("");
    let client = connect(&node.url()).await;
    let host = node.status().id;
    let mut events = client.subscribe("wasmbus.evt.default.*").await.unwrap();
    let (echo, trap, large) = (components::http_echo(), components::http_trap(), components::http_large(3_000_001));
    for (id, bytes) in [("echo", echo), ("trap", trap), ("large", large), ("endless", components::http_endless())] {
        let image = file(&node.data(), &format!("{id}.wasm"), &bytes);
        start_http(&client, &host, id, &image).await;
    }

    let reference = "wasmcloud+builtin://http-server/0.1.0";
    let auction = json!({ "provider_ref": reference, "provider_id": "web", "constraints": {} });
    assert_eq!(ask(&client, "provider.auction", auction).await["host_id"], json!(host));
    let at = local(free());
    ask(&client, "config.put.web", json!({ "routing_mode": "path", "default_address": at.to_string() })).await;
    let start = json!({ "provider_id": "web", "provider_ref": reference, "host_id": host, "config": ["web"] });
    ask(&client, &format!("provider.start.{host}"), start).await;
    assert_eq!(told(&mut events, "provider_started").await["image_ref"], json!(reference));
    link_http(&client, "echoes", "echo", json!({ "path": "/" })).await;
    link_http(&client, "large", "large", json!({ "path": "/large" })).await;
    link_http(&client, "traps", "trap", json!({ "path": "/trap" })).await;
    link_http(&client, "endless", "endless", json!({ "path": "/endless" })).await;
    link_http(&client, "nobody", "nobody", json!({ "path": "/nobody" })).await;

    assert_eq!(served(at, "/x", 201).body, "GET /x\n");
    assert_eq!(served(at, "/large", 200).body.len(), 3_000_001);
    let two = "POST /1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    let two = ask_http(at, &format!("{two}GET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    assert!(two.body.starts_with("POST /1\nabHTTP/1.1 201 ") && two.body.ends_with("GET /2\n"), "{two:?}");
    assert_eq!(ask_http(at, "HEAD / HTTP/1.0\r\nHost: x\r\n\r\n").body, "");
    assert_eq!(served(at, "/trap/x", 500).body, "the component has failed\n");
    assert_eq!(served(at, "/endless", 504).body, "the component has not answered in time\n");
    assert_eq!(served(at, "/nobody", 503).body, "the component runs on no host that can be reached\n");
    assert_eq!(ask_http(at, "GET / HTTP/1.0\r\n\r\n").code, 400);
    assert_eq!(ask_http(at, "PUT / HTTP/1.0\r\nHost: x\r\nContent-Length: 4194305\r\n\r\n").code, 413);
    let long = format!("GET / HTTP/1.0\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert_eq!(ask_http(at, &long).code, 431);

    let taken = std::net::TcpListener::bind(local(free())).unwrap();
    let elsewhere = taken.local_addr().unwrap();
    ask(&client, "config.put.web", json!({ "default_address": elsewhere.to_string() })).await;
    ask(
        &client,
        "link.del",
        json!({"source_id": "web", "name": "nobody", "wit_namespace": "wasi", "wit_package": "http"}),
    )
    .await;
    let failed = told(&mut events, "health_check_failed").await;
    assert!(failed["error"].as_str().unwrap().contains(&format!("cannot listen on {elsewhere}: ")), "{failed}");
    wait_for("nobody listens", LIMIT, || std::net::TcpStream::connect(at).is_err().then_some(()));
    drop(taken);
    served(elsewhere, "/y", 201);
    ask(&client, &format!("provider.stop.{host}"), json!({ "provider_id": "web", "host_id": host })).await;
    assert_eq!(told(&mut events, "provider_stopped").await["provider_id"], json!("web"));
    wait_for("nobody listens", LIMIT, || std::net::TcpStream::connect(elsewhere).is_err().then_some(()));
}

/// Goal: a host answers by HTTP for a component that runs on another one, within what one message carries.
#[tokio::test(flavor = "multi_thread")]
async fn http_from_host_to_host() {
    let cluster = Cluster::line(2);
    let [a, b] = &cluster.nodes[..] else { panic!("two nodes") };
    let client = connect(&a.url()).await;
    let large = components::http_large(2 << 20);
    for (id, bytes) in [("echo", components::http_echo()), ("large", large), ("trap", components::http_trap())] {
        let image = file(&b.data(), &format!("{id}.wasm"), &bytes);
        start_http(&client, &b.status().id, id, &image).await;
    }
    let (at, host) = (local(free()), a.status().id);
    ask(&client, "config.put.web", json!({ "routing_mode": "path", "default_address": at.to_string() })).await;
    let start = json!({
        "provider_id": "web", "provider_ref": "wasmcloud+builtin://http-server", "host_id": host, "config": ["web"],
    });
    ask(&client, &format!("provider.start.{host}"), start).await;
    for id in ["echo", "large", "trap"] {
        link_http(&client, id, id, json!({ "path": format!("/{id}") })).await;
    }
    assert_eq!(served(at, "/echo/x", 201).body, "GET /echo/x\n");
    let post = "POST /echo HTTP/1.0\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(ask_http(at, post).body, "POST /echo\nhello");
    assert_eq!(served(at, "/large", 502).body, "an answer that is too long from another host\n");
    assert_eq!(served(at, "/trap", 500).body, "the component has failed\n");
    let long = "x".repeat(2 << 20);
    let long = format!("POST /echo HTTP/1.0\r\nHost: x\r\nContent-Length: {}\r\n\r\n{long}", long.len());
    assert_eq!(ask_http(at, &long).code, 413);
    let stop = json!({ "component_id": "echo", "component_ref": "none", "count": 0, "host_id": b.status().id });
    ask(&client, &format!("component.scale.{}", b.status().id), stop).await;
    served(at, "/echo", 503);
}

/// The same component, with as many bytes more that mean nothing: a custom section of 2 to 255 MiB.
fn padded(mut component: Vec<u8>, bytes: usize) -> Vec<u8> {
    let len = bytes + 4;
    component.push(0);
    // LEB128, in four bytes.
    component.extend((0..4).map(|n| u8::try_from(len >> (7 * n) & 0x7f).unwrap() | if n < 3 { 0x80 } else { 0 }));
    component.extend(b"\x03pad");
    component.extend((0..bytes).map(|n| u8::try_from(n % 251).unwrap()));
    component
}

/// The last word of what a command has printed.
fn reference(finished: &Finished) -> String {
    finished.stdout.trim().rsplit(' ').next().unwrap().to_owned()
}

/// Goal: a component that was pushed to one host runs on another by its digest alone, which keeps it when the first one is gone, and
/// has it still after a start of its own.
#[tokio::test(flavor = "multi_thread")]
async fn images_go_from_host_to_host() {
    let mut cluster = Cluster::line(2);
    let [a, b] = &mut cluster.nodes[..] else { panic!("two nodes") };
    let bytes = padded(components::echo(), 3 << 20);
    let echo = file(&a.data(), "echo.wasm", &bytes);
    let pushed = commanded(a, &["push", echo.to_str().unwrap()]);
    let image = reference(&pushed);
    let said = format!("echo.wasm is kept on a (3.1 MB) as {image}");
    assert_eq!((pushed.code, pushed.stdout.trim()), (Some(0), &*said), "{pushed:#?}");
    std::fs::remove_file(&echo).unwrap();
    let start = ["start", "component", &*image, "--name", "parrot", "--host", "b", "--subscribe", "say"];
    let started = commanded(a, &start);
    assert_eq!((started.code, started.stdout.trim()), (Some(0), "parrot runs on b, 1 call at a time"), "{started:#?}");
    let short = &image.rsplit(':').next().unwrap()[..12];
    let listed = commanded(a, &["images"]);
    assert!(listed.code == Some(0) && listed.stdout.contains(&format!("{short}  3.1 MB  a, b")), "{listed:#?}");

    tokio::time::sleep(ON_DISK).await;
    a.kill();
    b.kill();
    b.start(&[]);
    let client = connect(&b.url()).await;
    assert_eq!(answer(&client, "say", "hello").await, "hello");
    let listed: Value = serde_json::from_str(&commanded(b, &["images", "--json"]).stdout).unwrap();
    let digest = image.strip_prefix("lattice://").unwrap();
    let kept = json!({
        "host": b.status().id, "host_name": "b", "image": image, "digest": digest, "size": bytes.len(),
    });
    assert_eq!(listed, json!([kept]));
    let removed = commanded(b, &["images", "rm", short]);
    assert_eq!((removed.code, removed.stdout.trim()), (Some(0), &*format!("{digest} is removed from b")));
    assert_eq!(answer(&client, "say", "hello again").await, "hello again", "what runs goes on");
    assert_eq!(commanded(b, &["images"]).stdout.trim(), "no images are kept on 1 host");
}

/// Goal: what is no component is not pushed, what nobody keeps is not started, and either says what to do.
#[test]
fn images_that_are_none_are_refused() {
    let node = Node::alone("");
    let refused = |args: &[&str], code: i32, words: &[&str]| {
        let finished = commanded(&node, args);
        assert_eq!(finished.code, Some(code), "{finished:#?}");
        assert!(words.iter().all(|word| finished.stderr.contains(word)), "{finished:#?}");
    };
    let good = file(&node.data(), "good.wasm", &components::echo());
    let text = file(&node.data(), "notes.txt", b"buy milk, and oats");
    let module = file(&node.data(), "module.wasm", b"\0asm\x01\0\0\0");
    let [good, text, module] = [&good, &text, &module].map(|path| path.to_str().unwrap());
    refused(&["push", good, text], 2, &["notes.txt: is no WebAssembly", "try:"]);
    refused(&["push", module], 2, &["module.wasm: is a core module", "wasm-tools component new"]);
    refused(&["push", "no-such-file.wasm"], 2, &["no-such-file.wasm: No such file"]);
    refused(&["push", good, "--host", "attic"], 1, &["--host with one of: alone"]);
    assert_eq!(commanded(&node, &["images"]).stdout.trim(), "no images are kept on 1 host", "nothing was sent");

    let unknown = format!("lattice://sha256:{}", "ab".repeat(32));
    refused(&["start", "component", &unknown], 2, &["says no name", "--name NAME"]);
    let missing = format!("no host that can be reached has image sha256:{}", "ab".repeat(32));
    refused(&["start", "component", &unknown, "--name", "x"], 1, &[&missing, "lattice push it again"]);
    refused(&["start", "component", "lattice://sha256:abc", "--name", "x"], 2, &["64 hexadecimal digits"]);
    refused(&["images", "rm", &unknown], 1, &["no host that answers keeps", "lattice images"]);
    refused(&["images", "rm", "good.wasm"], 2, &["at least 8 hexadecimal digits"]);
    assert_eq!(commanded(&node, &["ps"]).stdout.trim(), "no components run on 1 host");

    let pushed = commanded(&node, &["push", good, "--json"]);
    let pushed: Value = serde_json::from_str(&pushed.stdout).unwrap();
    assert_eq!((&pushed["file"], &pushed["host_name"]), (&json!("good.wasm"), &json!("alone")));
    let again = commanded(&node, &["push", good]);
    assert_eq!(Some(&*reference(&again)), pushed["image"].as_str(), "{again:#?}");
}
