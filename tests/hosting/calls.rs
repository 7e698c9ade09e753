//! Components that call each other, on nodes as a person has them.

use crate::apps::{CLIENTS, Load, label, load};
use crate::components;
use crate::support::cluster::{Cluster, Node};
use crate::support::http::try_get;
use crate::support::ports::free;
use crate::support::{LIMIT, wait_for};
use crate::{commanded, connect, file, local};
use futures_util::StreamExt as _;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Half as many clients as ask an app: a component keeps 100 values a second on a host, and one host may have all of them.
const ASKING: u32 = CLIENTS / 2;

/// How long a call may be in the hands of a host that is dead, until whoever waits for it is told.
const DETECTION: Duration = Duration::from_secs(5);

fn app_file(node: &Node, at: SocketAddr) -> PathBuf {
    file(&node.data(), "front.wasm", &components::front());
    file(&node.data(), "stock.wasm", &components::stock());
    let text = format!(
        r#"
        name = "shop"
        [components.front]
        image = "front.wasm"
        instances = 40
        on = {{ edge = "yes" }}
        http = {{ address = "{at}", on = {{ edge = "yes" }} }}
        [components.stock]
        image = "stock.wasm"
        instances = 40
        on = {{ worker = "yes" }}
        [[links]]
        source = "front"
        target = "stock"
        package = "shop:stock"
        interfaces = ["counts"]
        [[links]]
        source = "stock"
        target = "keyvalue"
        package = "wasi:keyvalue"
        interfaces = ["store", "atomics"]
        target_config = {{ bucket = "stock" }}
        "#
    );
    file(&node.data(), "shop.toml", text.as_bytes())
}

/// Instances of `stock` that run, by host, as `ps` shows them.
fn stocks(node: &Node) -> Vec<(String, u64)> {
    let listed = commanded(node, &["ps", "--json"]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap_or_default();
    let ours = listed.as_array().into_iter().flatten().filter(|one| one["component"] == "stock");
    let one = |one: &Value| Some((one["host_name"].as_str()?.to_owned(), one["instances"].as_u64()?));
    ours.filter_map(one).collect()
}

/// What a client that is not ours is told of how much there is of a thing: it speaks wRPC itself.
async fn counted(nodes: &[Node], at: usize, thing: &str, more: u8) -> u64 {
    let client = connect(&nodes[at].url()).await;
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(format!("{inbox}.>")).await.unwrap();
    client.flush().await.unwrap();
    // What is returned comes below the subject that is told: whoever answers must have heard of the subscription.
    for node in nodes {
        let there = connect(&node.url()).await;
        let is_heard = async {
            loop {
                there.publish(format!("{inbox}.probe"), "".into()).await.unwrap();
                let probe = tokio::time::timeout(Duration::from_millis(50), answers.next()).await;
                if probe.is_ok() {
                    break;
                }
            }
        };
        tokio::time::timeout(LIMIT, is_heard).await.unwrap();
    }
    let rx = format!("{inbox}.rx");
    let params = [&[u8::try_from(thing.len()).unwrap()], thing.as_bytes(), &[more]].concat();
    let subject = "default.stock.wrpc.0.0.1.shop:stock/counts@0.1.0.add";
    client.publish_with_reply(subject, rx, params.into()).await.unwrap();
    let mut whole = Vec::new();
    loop {
        let part = tokio::time::timeout(LIMIT, answers.next()).await.unwrap().unwrap();
        if part.subject.ends_with(".probe") {
            continue;
        }
        match part.subject.ends_with(".results") {
            true if part.payload.is_empty() => break,
            true => whole.extend_from_slice(&part.payload),
            false => assert!(part.status.is_none() && part.reply.is_some(), "{part:?}"),
        }
    }
    assert_eq!(whole[0], 0, "it has counted");
    whole[1..].iter().rev().fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f))
}

/// Goal: a component behind HTTP on one host calls another one, which keeps values, on two others, while one of these is killed and
/// comes back. Only what the dead one had in hand may fail; nothing that was counted is lost; the instances are all there each time.
#[tokio::test(flavor = "multi_thread")]
async fn components_call_each_other_while_a_host_dies() {
    let mut cluster = Cluster::line(3);
    for (node, key) in cluster.nodes.iter().zip(["edge", "worker", "worker"]) {
        label(node, key).await;
    }
    let at = local(free());
    let app = app_file(&cluster.nodes[0], at);
    let deployed = commanded(&cluster.nodes[0], &["deploy", app.to_str().unwrap()]);
    assert!(deployed.code == Some(0) && deployed.stdout.contains("stock runs: 40 instances on b, c"), "{deployed:#?}");
    wait_for("it is served", LIMIT, || try_get(at, "/").ok().filter(|answer| answer.code == 200));

    let stop = AtomicBool::new(false);
    let (killed, load) = thread::scope(|scope| {
        let loads: Vec<_> = (0..ASKING).map(|_| scope.spawn(|| load(at, "/", 200, &stop))).collect();
        thread::sleep(Duration::from_secs(1));
        cluster.nodes[2].kill();
        let killed = Instant::now();
        let all_on_b = [("b".to_owned(), 40)];
        wait_for("b runs all", LIMIT, || (stocks(&cluster.nodes[0]) == all_on_b).then_some(()));
        println!("all on b {:?} after the kill", killed.elapsed());
        thread::sleep(DETECTION.saturating_sub(killed.elapsed()));
        cluster.nodes[2].start(&[]);
        let started = Instant::now();
        let both = [("b".to_owned(), 20), ("c".to_owned(), 20)];
        wait_for("both run half", LIMIT, || (stocks(&cluster.nodes[0]) == both).then_some(()));
        println!("half each {:?} after the start", started.elapsed());
        thread::sleep(Duration::from_secs(1));
        stop.store(true, Ordering::Relaxed);
        (killed, Load::sum(loads.into_iter().map(|load| load.join().unwrap())))
    });
    let late = load.failed.iter().filter(|failed| failed.at > killed + DETECTION).count();
    let early = load.failed.len() - late;
    println!(
        "{} answered, the slowest after {:?}; {early} failed in the hands of the dead",
        load.answered, load.longest
    );
    assert!(load.answered > 500, "{load:?}");
    assert_eq!(late, 0, "{:?}", load.failed);
    // Not more than were with the dead host when it died: there are as many clients, and not all asked it.
    assert!(early <= ASKING as usize, "{:?}", load.failed);

    // Each that was answered was counted, and of those that failed some.
    let least = load.answered as u64 + 1;
    let most = least + early as u64;
    let sum = counted(&cluster.nodes, 0, "things", 0).await;
    println!("{sum} counted of {least} to {most}");
    assert!((least..=most).contains(&sum), "{sum} of {least} to {most}");
    assert_eq!(counted(&cluster.nodes, 2, "others", 7).await, 7);
}
