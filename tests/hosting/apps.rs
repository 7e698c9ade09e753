//! Apps on nodes as a person has them: deployed by a file, served while hosts die, changed, given up.

use crate::components;
use crate::support::cluster::{Cluster, Node};
use crate::support::http::try_get;
use crate::support::ports::free;
use crate::support::process::Finished;
use crate::support::{LIMIT, wait_for};
use crate::{ask, commanded, file, local};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn app_file(node: &Node, at: SocketAddr, instances: u32) -> PathBuf {
    file(&node.data(), "web.wasm", &components::http_echo());
    let text = format!(
        r#"
        name = "shop"
        [components.web]
        image = "web.wasm"
        instances = {instances}
        on = {{ worker = "yes" }}
        http = {{ address = "{at}", on = {{ edge = "yes" }} }}
        "#
    );
    file(&node.data(), "shop.toml", text.as_bytes())
}

pub(crate) async fn label(node: &Node, key: &str) {
    let client = crate::connect(&node.url()).await;
    ask(&client, &format!("label.put.{}", node.status().id), json!({ "key": key, "value": "yes" })).await;
}

/// Instances of `web` that run, by host, as `ps` shows them.
fn instances(node: &Node) -> Vec<(String, u64)> {
    let listed = commanded(node, &["ps", "--json"]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap_or_default();
    let ours = listed.as_array().into_iter().flatten().filter(|one| one["component"] == "web");
    let one = |one: &Value| Some((one["host_name"].as_str()?.to_owned(), one["instances"].as_u64()?));
    ours.filter_map(one).collect()
}

fn deploy(node: &Node, file: &std::path::Path, more: &[&str]) -> Finished {
    commanded(node, &[&["deploy", file.to_str().unwrap()], more].concat())
}

/// Clients that ask so many times a second together.
pub(crate) const CLIENTS: u32 = 40;
const PER_SECOND: u32 = 200;

/// What has come of requests.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) answered: usize,
    /// The longest time that an answer took.
    pub(crate) longest: Duration,
    pub(crate) failed: Vec<Failed>,
}

/// A request without the answer that was expected.
#[derive(Debug)]
pub(crate) struct Failed {
    /// When that was seen.
    pub(crate) at: Instant,
    /// Read in what a test prints when it fails.
    #[allow(dead_code, reason = "for those who read what has failed")]
    why: String,
}

impl Load {
    pub(crate) fn sum(all: impl Iterator<Item = Self>) -> Self {
        all.fold(Self::default(), |mut sum, mut one| {
            sum.failed.append(&mut one.failed);
            Self { answered: sum.answered + one.answered, longest: sum.longest.max(one.longest), failed: sum.failed }
        })
    }
}

/// One of these clients, until it is told to stop.
pub(crate) fn load(at: SocketAddr, path: &str, expected: u16, stop: &AtomicBool) -> Load {
    let mut load = Load::default();
    while !stop.load(Ordering::Relaxed) {
        let sent = Instant::now();
        let why = match try_get(at, path) {
            Ok(answer) if answer.code == expected => None,
            Ok(answer) => Some(format!("{} after {:?}: {}", answer.code, sent.elapsed(), answer.body)),
            Err(error) => Some(format!("after {:?}: {error}", sent.elapsed())),
        };
        match why {
            None => load.answered += 1,
            Some(why) => load.failed.push(Failed { at: Instant::now(), why }),
        }
        load.longest = load.longest.max(sent.elapsed());
        thread::sleep((sent + Duration::from_secs(1) * CLIENTS / PER_SECOND).saturating_duration_since(Instant::now()));
    }
    load
}

/// Goal: an app of a component on two hosts and an HTTP server on a third answers all requests while one of the two is killed and comes
/// back: those that the dead one had are asked again. Its instances are all there, soon, each time.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_served_while_a_host_dies() {
    let mut cluster = Cluster::line(3);
    for (node, key) in cluster.nodes.iter().zip(["edge", "worker", "worker"]) {
        label(node, key).await;
    }
    let at = local(free());
    let app = app_file(&cluster.nodes[0], at, 4);
    let planned = deploy(&cluster.nodes[0], &app, &["--plan"]);
    assert_eq!((planned.code, planned.stdout.lines().count()), (Some(0), 5), "{planned:#?}");
    assert_eq!(instances(&cluster.nodes[0]), []);
    let deployed = deploy(&cluster.nodes[0], &app, &[]);
    assert!(deployed.code == Some(0) && deployed.stdout.contains("web runs: 4 instances on b, c"), "{deployed:#?}");
    wait_for("it is served", LIMIT, || try_get(at, "/x").ok().filter(|answer| answer.code == 201));

    let stop = AtomicBool::new(false);
    let load = thread::scope(|scope| {
        let loads: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| load(at, "/x", 201, &stop))).collect();
        thread::sleep(Duration::from_secs(1));
        cluster.nodes[2].kill();
        let killed = Instant::now();
        let four_on_b = [("b".to_owned(), 4)];
        wait_for("b runs all four", LIMIT, || (instances(&cluster.nodes[0]) == four_on_b).then_some(()));
        println!("all four on b {:?} after the kill", killed.elapsed());
        cluster.nodes[2].start(&[]);
        let two_each = [("b".to_owned(), 2), ("c".to_owned(), 2)];
        wait_for("both run two", LIMIT, || (instances(&cluster.nodes[0]) == two_each).then_some(()));
        thread::sleep(Duration::from_secs(1));
        stop.store(true, Ordering::Relaxed);
        Load::sum(loads.into_iter().map(|load| load.join().unwrap()))
    });
    println!("{} answered, the slowest after {:?}; {} failed", load.answered, load.longest, load.failed.len());
    assert!(load.answered > 500, "{load:?}");
    assert!(load.failed.is_empty(), "{load:?}");

    let undeployed = commanded(&cluster.nodes[1], &["undeploy", "shop"]);
    assert_eq!((undeployed.code, undeployed.stdout.trim()), (Some(0), "shop has ended"), "{undeployed:#?}");
    wait_for("nobody listens", LIMIT, || try_get(at, "/x").is_err().then_some(()));
    assert_eq!(commanded(&cluster.nodes[0], &["ps"]).stdout.trim(), "no components run on 3 hosts");
}

/// Goal: what changes is shown and made, what cannot be is named, and an app that cannot be as it is wanted says why.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_by_commands() {
    let node = Node::alone("");
    label(&node, "worker").await;
    label(&node, "edge").await;
    let none = commanded(&node, &["apps"]);
    assert_eq!((none.code, none.stdout.trim()), (Some(0), "no apps: `lattice deploy app.toml` has one run"));
    let at = local(free());
    let deployed = deploy(&node, &app_file(&node, at, 2), &[]);
    assert!(deployed.code == Some(0) && deployed.stdout.contains("shop: 4 changes"), "{deployed:#?}");
    let again = deploy(&node, &app_file(&node, at, 2), &[]);
    assert!(again.code == Some(0) && again.stdout.contains("shop: nothing to change"), "{again:#?}");
    let more = deploy(&node, &app_file(&node, at, 3), &["--json"]);
    let document: Value = serde_json::from_str(&more.stdout).unwrap();
    assert_eq!(
        (document["changes"].as_array().unwrap().len(), &document["changes"][0]["action"]),
        (1, &json!("change"))
    );
    assert_eq!((&document["components"][0]["runs"], &document["deployed"]), (&json!(3), &json!(true)));
    let listed = commanded(&node, &["apps"]);
    let rows = [
        "APP   COMPONENT    WANTED      RUNS  STATE    HOSTS",
        "shop  web          3           3     settled  alone",
        "shop  http-of-web  1 per host  1     settled  alone",
    ];
    assert_eq!(listed.stdout.lines().collect::<Vec<_>>(), rows, "{listed:#?}");

    let gone = "name = \"gone\"\n[components.none]\nimage = \"file:///no/such.wasm\"";
    let gone = deploy(&node, &file(&node.data(), "gone.toml", gone.as_bytes()), &["--timeout", "3s"]);
    assert!(gone.code == Some(1) && gone.stderr.contains("none has 0 of 1"), "{gone:#?}");
    assert!(gone.stderr.contains("none on alone: image file:///no/such.wasm: No such file"), "{gone:#?}");
    let nowhere = "name = \"far\"\n[components.none2]\nimage = \"file:///no/such.wasm\"\non = { zone = \"far\" }";
    let nowhere = deploy(&node, &file(&node.data(), "far.toml", nowhere.as_bytes()), &[]);
    assert!(nowhere.code == Some(1) && nowhere.stderr.contains("no host that answers has the labels"), "{nowhere:#?}");
    let taken = "name = \"second\"\n[components.web]\nimage = \"file:///other.wasm\"";
    let taken = deploy(&node, &file(&node.data(), "taken.toml", taken.as_bytes()), &[]);
    assert!(taken.code == Some(1) && taken.stderr.contains("component web is of app shop already"), "{taken:#?}");
    let wrong = deploy(&node, &file(&node.data(), "wrong.toml", b"name = 3"), &[]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("invalid type: integer"), "{wrong:#?}");
    let dotted = commanded(&node, &["undeploy", "my.shop"]);
    assert!(dotted.code == Some(2) && dotted.stderr.contains("name is \"my.shop\""), "{dotted:#?}");
    let unknown = commanded(&node, &["undeploy", "shopping"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("there are far, gone, shop"), "{unknown:#?}");
}
