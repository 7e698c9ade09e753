//! Links, configurations and what components write, by the commands of a person, at nodes as a person has them.

use crate::components;
use crate::support::LIMIT;
use crate::support::clients::connect;
use crate::support::cluster::{Cluster, Node, lattice};
use crate::support::process::{Finished, Process};
use crate::support::wait_for;
use crate::{answer, commanded, file, start_keeper, until_answered};
use serde_json::{Value, json};
use std::time::Duration;

fn document(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:#?}"))
}

/// One document of JSON a line.
fn records(finished: &Finished) -> Vec<Value> {
    finished.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[track_caller]
fn said(node: &Node, args: &[&str], expected: &str) {
    let finished = commanded(node, args);
    assert_eq!((finished.code, finished.stdout.trim_end()), (Some(0), expected), "{args:?}: {finished:#?}");
}

#[track_caller]
fn refused(node: &Node, args: &[&str], code: i32, words: &[&str]) {
    let finished = commanded(node, args);
    assert_eq!(finished.code, Some(code), "{args:?}: {finished:#?}");
    assert!(words.iter().all(|word| finished.stderr.contains(word)), "{args:?}: {finished:#?}");
}

/// Goal: a component keeps values where a link that was put by a command says, and no more once that was removed.
#[tokio::test(flavor = "multi_thread")]
async fn links_by_commands() {
    let node = Node::alone("");
    let client = connect(&node.url()).await;
    said(&node, &["links"], "no links: `lattice links put SOURCE TARGET NAMESPACE:PACKAGE/INTERFACE` makes one");
    start_keeper(&client, &node, "counter").await;
    assert_eq!(answer(&client, "counter", "gx").await, "denied");
    said(&node, &["config", "put", "shop", "bucket=shop"], "shop: configuration put, with 1 key");
    let put = ["links", "put", "counter", "kv", "wasi:keyvalue", "--target-config", "shop"];
    said(&node, &put, "counter calls wasi:keyvalue/store,atomics,batch of kv");
    until_answered(&client, "counter", "gx", "none").await;

    let two = ["links", "put", "web", "greeter", "acme:shop/cart,till", "acme:zoo/ape", "acme:shop/cart"];
    let two = commanded(&node, &[&two[..], &["--name", "second", "--source-config", "later"]].concat());
    let lines: Vec<&str> = two.stdout.lines().collect();
    let expected = [
        "web calls acme:shop/cart,till of greeter by the name second",
        "web calls acme:zoo/ape of greeter by the name second",
    ];
    assert_eq!((two.code, lines), (Some(0), expected.to_vec()), "{two:#?}");
    assert!(two.stderr.contains("there is no configuration later yet: lattice config put later"), "{two:#?}");
    let listed = commanded(&node, &["links"]);
    let rows = [
        "SOURCE   NAME     INTERFACES                         TARGET   SOURCE-CONFIG  TARGET-CONFIG",
        "counter  default  wasi:keyvalue/store,atomics,batch  kv       -              shop",
        "nats     counter  wasmcloud:messaging/handler        counter  counter        -",
        "web      second   acme:shop/cart,till                greeter  later          -",
        "web      second   acme:zoo/ape                       greeter  later          -",
    ];
    assert_eq!(listed.stdout.lines().collect::<Vec<_>>(), rows, "{listed:#?}");
    let link = json!({
        "source": "counter", "name": "default", "package": "wasi:keyvalue",
        "interfaces": ["store", "atomics", "batch"], "target": "kv", "source_config": [], "target_config": ["shop"],
    });
    assert_eq!(document(&commanded(&node, &["links", "--json"]))[0], link);
    assert_eq!(document(&commanded(&node, &[&put[..], &["--json"]].concat())), json!([link]));

    refused(
        &node,
        &["links", "put", "counter", "file", "wasi:keyvalue/store"],
        1,
        &["sends store to kv already", "try:"],
    );
    refused(&node, &["links", "put", "a.b", "kv", "wasi:keyvalue"], 2, &["the source is \"a.b\": 1 to 100 letters"]);
    refused(&node, &["links", "put", "counter", "kv", "keyvalue"], 2, &["NAMESPACE:PACKAGE/INTERFACE is accepted"]);
    refused(&node, &["links", "put", "counter", "kv", "acme:shop"], 2, &["names no interface"]);
    refused(&node, &["links", "put", "counter", "kv"], 2, &["NAMESPACE:PACKAGE"]);
    refused(&node, &["links", "rm", "nobody", "wasi:keyvalue"], 1, &["no link default of nobody for wasi:keyvalue"]);
    refused(&node, &["links", "rm", "counter", "wasi:keyvalue/store"], 2, &["is removed with all of its interfaces"]);
    let gone = ["links", "rm", "web", "acme:shop", "--name", "second", "--json"];
    assert_eq!(document(&commanded(&node, &gone))[0]["interfaces"], json!(["cart", "till"]));
    let rm = ["links", "rm", "counter", "wasi:keyvalue"];
    said(&node, &rm, "link default of counter for wasi:keyvalue is removed: its calls went to kv");
    until_answered(&client, "counter", "gx", "denied").await;
}

/// Goal: a component goes by what a command has put, at once, from a file or typed; lists show no values, and say which app has what.
#[tokio::test(flavor = "multi_thread")]
async fn configurations_by_commands() {
    let node = Node::alone("");
    let client = connect(&node.url()).await;
    said(&node, &["config"], "no configurations: `lattice config put NAME KEY=VALUE` makes one");
    said(&node, &["config", "put", "words", "greeting=good morning"], "words: configuration put, with 1 key");
    let image = file(&node.data(), "greeter.wasm", &components::config());
    let start = ["start", "component", image.to_str().unwrap(), "--config", "words", "--subscribe", "greet"];
    assert_eq!(commanded(&node, &start).code, Some(0));
    assert_eq!(answer(&client, "greet", "?").await, "good morning");

    let text = "# what it says\ngreeting = \"from the file\"\ntimes = 3\n";
    let toml = file(&node.data(), "words.toml", text.as_bytes());
    let toml = toml.to_str().unwrap();
    said(&node, &["config", "put", "words", "--file", toml], "words: configuration put, with 2 keys");
    until_answered(&client, "greet", "?", "from the file").await;
    let put = commanded(&node, &["config", "put", "words", "--file", toml, "greeting=hush = \"1\"", "--json"]);
    let expected = json!({ "name": "words", "keys": 2, "message": "configuration put" });
    assert_eq!(document(&put), expected);
    until_answered(&client, "greet", "?", "hush = \"1\"").await;
    said(&node, &["config", "get", "words"], "greeting=hush = \"1\"\ntimes=3");
    let got = commanded(&node, &["config", "get", "words", "--json"]);
    assert_eq!(document(&got), json!({ "greeting": "hush = \"1\"", "times": "3" }));

    let app = "name = \"shop\"\n[components.front]\nimage = \"greeter.wasm\"\nconfig = { greeting = \"hi\" }";
    let app = file(&node.data(), "shop.toml", app.as_bytes());
    let deployed = commanded(&node, &["deploy", app.to_str().unwrap()]);
    assert_eq!(deployed.code, Some(0), "{deployed:#?}");
    let listed = commanded(&node, &["config"]);
    let rows = [
        "NAME                      KEYS  APP",
        "shop.front                1     shop",
        "subscriptions-of-greeter  1     -",
        "words                     2     -",
    ];
    assert_eq!(listed.stdout.lines().collect::<Vec<_>>(), rows, "{listed:#?}");
    let listed = document(&commanded(&node, &["config", "--json"]));
    assert_eq!(listed[0], json!({ "name": "shop.front", "keys": 1, "app": "shop" }));
    let of_app = commanded(&node, &["config", "put", "shop.front", "greeting=hello"]);
    assert!(of_app.code == Some(0) && of_app.stdout.contains("it is of app shop"), "{of_app:#?}");

    refused(&node, &["config", "get", "nobody"], 1, &["there is no configuration nobody", "lattice config "]);
    refused(&node, &["config", "put", "words"], 2, &["KEY=VALUE"]);
    let astray = commanded(&node, &["config", "put", "words", "hush"]);
    assert!(astray.code == Some(2) && !astray.stderr.contains("hush"), "{astray:#?}");
    refused(&node, &["config", "put", "words", "--file", "none.toml"], 2, &["none.toml: No such file"]);
    let deep = file(&node.data(), "deep.json", br#"{"a": {"b": "c"}}"#);
    refused(&node, &["config", "put", "words", "--file", deep.to_str().unwrap()], 2, &["deep.json: \"a\": a text"]);
    refused(&node, &["config", "put", "two words", "a=b"], 2, &["\"two words\" cannot be the name"]);
    let long = format!("long={}", "x".repeat(13_000));
    refused(&node, &["config", "put", "large", &long], 1, &["at most 12288", "12 KiB"]);
    said(&node, &["config", "rm", "words"], "words: configuration deleted");
    refused(&node, &["config", "rm", "words"], 1, &["there is no configuration words"]);
}

/// Starts the component that logs what it is sent on a host, heard at `note`.
fn start_log(node: &Node, host: &str) {
    let image = file(&node.data(), "log.wasm", &components::log());
    let start = ["start", "component", image.to_str().unwrap(), "--host", host, "--subscribe", "note"];
    let started = commanded(node, &start);
    assert_eq!(started.code, Some(0), "{started:#?}");
}

/// Goal: what a component has written is shown of all hosts that run it, in order and once, also while it goes on; and so are calls that
/// have failed.
#[tokio::test(flavor = "multi_thread")]
async fn what_components_write_by_commands() {
    let cluster = Cluster::line(2);
    let [a, b] = &cluster.nodes[..] else { panic!("two nodes") };
    start_log(a, "a");
    said(a, &["logs", "log"], "log has written nothing on a");
    said(b, &["logs", "log", "--json"], "");
    refused(
        a,
        &["logs", "log", "--host", "b"],
        1,
        &["component log does not run on this host", "(host b)", "lattice ps"],
    );
    refused(a, &["logs", "log", "--host", "attic"], 1, &["--host with one of: a, b"]);
    refused(a, &["logs", "nobody"], 1, &["no host that can be reached runs a component \"nobody\"", "lattice ps"]);
    refused(a, &["logs", "a.b"], 2, &["the component is \"a.b\""]);

    start_log(a, "b");
    let clients = [connect(&a.url()).await, connect(&b.url()).await];
    let mut number = 0;
    // Which of the two hosts is called is up to the nodes.
    let both = loop {
        for client in &clients {
            answer(client, "note", &format!("note {number}")).await;
            number += 1;
        }
        let lines = records(&commanded(a, &["logs", "log", "--json"]));
        if ["a", "b"].iter().all(|name| lines.iter().any(|line| line["host_name"] == *name)) {
            break lines;
        }
        assert!(number < 60, "one of the two is never called: {lines:?}");
    };
    let times: Vec<u64> = both.iter().map(|line| line["at_ms"].as_u64().unwrap()).collect();
    assert!(times.is_sorted(), "{both:#?}");
    assert_eq!(both.len(), number, "{both:#?}");
    let line = both.iter().find(|line| line["text"] == "note 0").expect("the first is there");
    let what = (&line["kind"], &line["level"], &line["source"], &line["number"]);
    assert_eq!(what, (&json!("line"), &json!("warn"), &json!("note"), &json!(1)));

    let mut command = lattice();
    let mut following = Process::start("logs", command.args(["logs", "log", "--follow", "--server", &b.url()]));
    following.wait_line("what there is", |line| line.ends_with("warn   note: note 0").then_some(()));
    answer(&clients[0], "note", "the kettle \u{1b}[2Jboils").await;
    following.wait_line("what comes", |line| line.ends_with("note: the kettle \\u{1b}[2Jboils").then_some(()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let shown = following.log().iter().filter(|line| line.ends_with("note: note 0")).count();
    assert_eq!(shown, 1, "{:#?}", following.log());
    following.kill();

    let trap = file(&a.data(), "trap.wasm", &components::trap());
    let started = commanded(a, &["start", "component", trap.to_str().unwrap(), "--subscribe", "go"]);
    assert_eq!(started.code, Some(0), "{started:#?}");
    clients[0].publish("go", "".into()).await.unwrap();
    clients[0].flush().await.unwrap();
    let failed = wait_for("the call has failed", LIMIT, || {
        let told = commanded(a, &["logs", "trap"]);
        told.stdout.contains("failed").then_some(told)
    });
    assert!(failed.stdout.starts_with("! 1 call failed on a, the latest at "), "{failed:#?}");
    assert!(failed.stdout.contains("component trap: trapped: "), "{failed:#?}");
    let failed = records(&commanded(b, &["logs", "trap", "--json"]));
    assert_eq!((failed.len(), &failed[0]["kind"], &failed[0]["count"]), (1, &json!("failed"), &json!(1)));
    assert!(failed[0]["why"].as_str().unwrap().contains("trapped") && failed[0]["at_ms"].is_u64(), "{failed:?}");
}
