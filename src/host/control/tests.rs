use super::*;
use crate::host::Reach;
use crate::host::apps::Kept;
use crate::host::double::Double;
use crate::host::runner::Runner;
use crate::host::state::{Key, Limits, Replica, WriteError};
use crate::host::written::{Failure, Level, Line, Place, Written};
use crate::identity::NodeId;
use crate::ports::{Client, Deliveries, Delivery};
use crate::wiring;
use lattice_broker::Broker;
use lattice_broker::env::Env;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// Records of one node, in memory.
#[derive(Debug)]
pub(in crate::host) struct Memory(Mutex<Replica>, watch::Sender<u64>);

impl Memory {
    pub(in crate::host) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Replica::new(NodeId([7; 32]), Limits::default())), watch::channel(0).0))
    }
}

impl Table for Memory {
    fn me(&self) -> NodeId {
        self.0.lock().unwrap().me()
    }

    fn get(&self, key: &Key) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(key).map(<[u8]>::to_vec)
    }

    fn list(&self, owner: Option<NodeId>, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let replica = self.0.lock().unwrap();
        replica.list(owner, prefix).into_iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
    }

    fn owned(&self, prefix: &str) -> Vec<(NodeId, String, Vec<u8>)> {
        let replica = self.0.lock().unwrap();
        let found = replica.owned(prefix).into_iter();
        found.map(|(owner, name, value)| (owner, name.to_owned(), value.to_vec())).collect()
    }

    fn write(&self, key: Key, value: Option<Vec<u8>>) -> Result<(), WriteError> {
        let mut replica = self.0.lock().unwrap();
        if let Some(entry) = replica.stage(1_800_000_000_000, key, value)? {
            replica.commit(entry);
            self.1.send_modify(|count| *count += 1);
        }
        Ok(())
    }
}

pub(in crate::host) fn facts() -> Facts {
    Facts {
        id: "NHOST".to_owned(),
        name: "kitchen".to_owned(),
        lattice: "default".to_owned(),
        version: "0.1.0".to_owned(),
        nats: "nats://127.0.0.1:4222".to_owned(),
        labels: Map::new(),
        payload_max: 4000,
    }
}

/// A desk, and what is said at it.
struct Talk(Desk, Books);

impl Talk {
    fn new() -> Self {
        let books = Books::new(Memory::new());
        Self(Desk::new(facts(), books.clone()), books)
    }

    fn ask(&self, operation: &str, body: &str) -> Answer {
        let moment = Moment { uptime: Duration::from_secs(93_784), running: &[], serving: &BTreeMap::new() };
        self.0.answer(moment, &format!("wasmbus.ctl.v1.default.{operation}"), body.as_bytes())
    }

    /// Asks what wasmCloud's clients do not ask; what is answered.
    #[track_caller]
    fn ask_own(&self, operation: &str, body: &Value) -> Reply {
        let subject = format!("lattice.ctl.v1.default.{operation}");
        let body = body.to_string();
        let answer = own::answer(&self.0, &self.1, &Double::default(), &subject, body.as_bytes()).expect(operation);
        assert!(answer.events.is_empty() && answer.change.is_none() && answer.stop.is_none());
        answer.reply.unwrap()
    }

    /// Asks, and expects exactly that reply and the names of those events.
    #[track_caller]
    fn expect(&self, operation: &str, body: &Value, reply: Value, events: &[&str]) -> Answer {
        let answer = self.ask(operation, &body.to_string());
        assert_eq!(json!(answer.reply), reply, "{operation} {body}");
        let names: Vec<&str> = answer.events.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, events, "{operation} {body}");
        answer
    }

    /// What is said when it is not done.
    #[track_caller]
    fn refused(&self, operation: &str, body: &str) -> String {
        let answer = self.ask(operation, body);
        assert!(answer.change.is_none() && answer.stop.is_none(), "{operation} {body}");
        let reply = answer.reply.unwrap();
        assert!(!reply.success && reply.response.is_none(), "{reply:?}");
        reply.message
    }
}

fn done(message: &str) -> Value {
    json!({ "success": true, "message": message })
}

fn link(target: &str, interfaces: &[&str]) -> Value {
    json!({
        "source_id": "http", "target": target, "name": "default", "wit_namespace": "wasi", "wit_package": "keyvalue",
        "interfaces": interfaces, "source_config": ["a"], "target_config": []
    })
}

#[test]
fn a_host_says_who_it_is() {
    let talk = Talk::new();
    let ping = talk.ask("host.ping", "").reply.unwrap().response.unwrap();
    let keys: Vec<&String> = ping.as_object().unwrap().keys().collect();
    let expected = [
        "ctl_host",
        "friendly_name",
        "id",
        "js_domain",
        "labels",
        "lattice",
        "rpc_host",
        "uptime_human",
        "uptime_seconds",
        "version",
    ];
    assert_eq!(keys, expected);
    assert_eq!((&ping["id"], &ping["uptime_human"]), (&json!("NHOST"), &json!("1d 2h 3m 4s")));
    let inventory = talk.ask("host.get.NHOST", "").reply.unwrap().response.unwrap();
    let keys: Vec<&String> = inventory.as_object().unwrap().keys().collect();
    let expected =
        ["components", "friendly_name", "host_id", "labels", "providers", "uptime_human", "uptime_seconds", "version"];
    assert_eq!(keys, expected);
    assert_eq!(inventory["labels"]["hostcore.os"], json!(std::env::consts::OS));
}

#[test]
fn configuration_is_put_got_and_deleted() {
    let talk = Talk::new();
    let answer = talk.expect("config.put.app.one", &json!({"k": "v"}), done("configuration put"), &["config_set"]);
    assert_eq!(answer.events[0].1, json!({"config_name": "app.one"}));
    let got = json!({ "success": true, "message": "", "response": {"k": "v"} });
    talk.expect("config.get.app.one", &json!({}), got, &[]);
    talk.expect("config.get.other", &json!({}), done("Configuration not found"), &[]);
    talk.expect("config.del.app.one", &json!({}), done("configuration deleted"), &["config_deleted"]);
    talk.expect("config.get.app.one", &json!({}), done("Configuration not found"), &[]);
    assert_eq!(
        talk.refused("config.put.a", r#"{"k": 1}"#),
        "config.put: invalid type: integer `1`, expected a string at line 1 column 7"
    );
    let long = json!({"k": "v".repeat(13_000)}).to_string();
    assert!(talk.refused("config.put.a", &long).starts_with("the value of config/a has 13007 bytes: at most 12288"));
}

/// Goal: configurations are listed page by page, without their values, with the apps that have them; and who changes one of an app's
/// hears that.
#[test]
fn configurations_are_listed_with_their_apps() {
    let talk = Talk::new();
    assert_eq!(talk.ask_own("config.list", &json!({})).response, Some(json!({ "configs": [], "more": false })));
    talk.expect("config.put.a", &json!({"secret": "hush", "k": "v"}), done("configuration put"), &["config_set"]);
    let app = |config: &str| Kept { configs: vec![config.to_owned()], ..Kept::default() };
    talk.1.set_app("default", "shop", Some(&app("b"))).unwrap();
    talk.1.set_app("default", "zoo", Some(&app("b"))).unwrap();
    talk.1.set_app("north", "shed", Some(&app("c"))).unwrap();
    let of_app = |done: &str, app: &str| json!({ "success": true, "message": format!("{done}: it is of app {app}, which has it as its file says when it is deployed again") });
    talk.expect("config.put.b", &json!({"k": "v"}), of_app("configuration put", "shop"), &["config_set"]);
    talk.expect("config.put.c", &json!({}), of_app("configuration put", "north/shed"), &["config_set"]);
    let listed = json!([
        { "name": "a", "keys": 2, "app": null }, { "name": "b", "keys": 1, "app": "shop" },
        { "name": "c", "keys": 0, "app": "north/shed" },
    ]);
    let reply = talk.ask_own("config.list", &json!({}));
    assert_eq!(reply.response, Some(json!({ "configs": listed, "more": false })));
    let body = json!({ "after": "b" });
    assert_eq!(talk.ask_own("config.list", &body).response.unwrap()["configs"].as_array().unwrap().len(), 1);
    talk.expect("config.del.b", &json!({}), of_app("configuration deleted", "shop"), &["config_deleted"]);

    (0..499).for_each(|n| talk.1.put_config(&format!("d{n:03}"), &Map::new()).unwrap());
    let page = talk.ask_own("config.list", &json!({})).response.unwrap();
    assert_eq!((page["configs"].as_array().unwrap().len(), &page["more"]), (500, &json!(true)));
    let rest = talk.ask_own("config.list", &json!({ "after": page["configs"][499]["name"] })).response.unwrap();
    assert_eq!(rest, json!({ "configs": [{ "name": "d498", "keys": 0, "app": null }], "more": false }));
    let refused = talk.ask_own("config.list", &json!({ "before": "b" }));
    assert!(!refused.success && refused.message.contains("config.list: unknown field `before`"), "{refused:?}");
}

#[test]
fn links_are_put_got_and_deleted() {
    let talk = Talk::new();
    let one = link("redis", &["store", "batch"]);
    let answer = talk.expect("link.put", &one, done("link put"), &["linkdef_set"]);
    assert_eq!(answer.events[0].1, one);
    let all = |links: Value| json!({ "success": true, "message": "", "response": links });
    talk.expect("link.get", &json!({}), all(json!([one])), &[]);
    // The same target again takes its place; another one for the same calls is refused, for others it is not.
    talk.expect("link.put", &link("redis", &["store"]), done("link put"), &["linkdef_set"]);
    let answer = talk.ask("link.put", &link("file", &["atomics", "store"]).to_string());
    let message =
        "link default of http sends store to redis already: delete that link first, or give this one another name";
    assert_eq!(json!(answer.reply), json!({ "success": false, "message": message }));
    assert_eq!((answer.events[0].0, &answer.events[0].1["error"]), ("linkdef_set_failed", &json!(message)));
    talk.expect("link.put", &link("file", &["atomics"]), done("link put"), &["linkdef_set"]);
    let both = json!([link("file", &["atomics"]), link("redis", &["store"])]);
    talk.expect("link.get", &json!({}), all(both), &[]);
    let id = json!({"source_id": "http", "name": "default", "wit_namespace": "wasi", "wit_package": "keyvalue"});
    let answer = talk.expect("link.del", &id, done("link deleted"), &["linkdef_deleted", "linkdef_deleted"]);
    assert_eq!(answer.events[0].1["interfaces"], json!(["atomics"]));
    let answer = talk.expect("link.del", &id, done("there was no such link"), &["linkdef_deleted"]);
    assert_eq!(answer.events[0].1, id);
    talk.expect("link.get", &json!({}), all(json!([])), &[]);
}

/// Goal: two parts that have sent the same calls to different targets agree on one of them, and on what each has alone.
#[test]
fn links_of_two_parts_become_one_set() {
    let (a, b) = (Memory::new(), Memory::new());
    let put = |memory: &Arc<Memory>, target: &str, interfaces: &[&str]| {
        let link: Link = serde_json::from_value(link(target, interfaces)).unwrap();
        Books::new(Arc::clone(memory) as _).put_link(&link).unwrap();
    };
    put(&a, "redis", &["store", "batch"]);
    put(&b, "file", &["atomics", "store"]);
    put(&b, "file", &["atomics", "store", "x"]);
    let entries = |memory: &Memory| memory.0.lock().unwrap().entries().cloned().collect::<Vec<_>>();
    let (of_a, of_b) = (entries(&a), entries(&b));
    of_b.into_iter().for_each(|entry| drop(a.0.lock().unwrap().merge(1_800_000_000_000, entry)));
    of_a.into_iter().for_each(|entry| drop(b.0.lock().unwrap().merge(1_800_000_000_000, entry)));
    let links = |memory: &Arc<Memory>| Books::new(Arc::clone(memory) as _).links();
    let targets: Vec<(String, usize)> =
        links(&a).into_iter().map(|link| (link.target, link.interfaces.len())).collect();
    assert_eq!(links(&a), links(&b));
    assert_eq!(targets.iter().map(|(_, count)| count).sum::<usize>(), 4, "{targets:?}");
}

#[test]
fn labels_are_put_and_deleted() {
    let talk = Talk::new();
    let answer = talk.expect(
        "label.put.NHOST",
        &json!({"key": "room", "value": "attic"}),
        done("label put"),
        &["labels_changed"],
    );
    assert_eq!(
        (&answer.events[0].1["host_id"], &answer.events[0].1["labels"]["room"]),
        (&json!("NHOST"), &json!("attic"))
    );
    let bid = json!({"component_ref": "file:///a", "component_id": "a", "constraints": {"room": "attic"}});
    let mut bidden = bid.clone();
    bidden["host_id"] = json!("NHOST");
    talk.expect("component.auction", &bid, json!({ "success": true, "message": "", "response": bidden }), &[]);
    talk.expect("label.del.NHOST", &json!({"key": "room"}), done("label deleted"), &["labels_changed"]);
    talk.expect("label.del.NHOST", &json!({"key": "room"}), done("there was no label room"), &[]);
    talk.expect("component.auction", &bid, Value::Null, &[]);
    let machine = talk.refused("label.put.NHOST", r#"{"key": "hostcore.os", "value": "x"}"#);
    assert!(machine.starts_with(r#"label.put: key is "hostcore.os": hostcore.* say what the machine is"#), "{machine}");
}

#[test]
fn who_runs_it_does_not_bid() {
    let talk = Talk::new();
    talk.1.remember("a", &Workload { image: "file:///a".to_owned(), count: 1, ..Workload::default() }).unwrap();
    talk.expect("component.auction", &json!({"component_ref": "r", "component_id": "a"}), Value::Null, &[]);
    talk.expect(
        "provider.auction",
        &json!({"provider_ref": "r", "provider_id": "p", "constraints": {}}),
        Value::Null,
        &[],
    );
}

/// Goal: the built-in server is bid for, started once, listed and stopped, and what it cannot be told is named.
#[test]
fn the_built_in_server_is_started_and_stopped() {
    let talk = Talk::new();
    let reference = "wasmcloud+builtin://http-server/0.1.0";
    let bid = json!({"provider_ref": reference, "provider_id": "web", "constraints": {}});
    let mut bidden = bid.clone();
    bidden["host_id"] = json!("NHOST");
    talk.expect("provider.auction", &bid, json!({ "success": true, "message": "", "response": bidden }), &[]);
    let start = json!({"provider_ref": reference, "provider_id": "web", "config": ["web"], "annotations": {"a": "b"}});
    let missing = json!({ "success": false, "message": "configuration web is not there: config.put.web first" });
    talk.expect("provider.start.NHOST", &start, missing, &["provider_start_failed"]);
    talk.1.put_config("web", &Map::from([("routing_mode".to_owned(), "magic".to_owned())])).unwrap();
    let wrong = "provider web: routing_mode is \"magic\": address, path or host is accepted";
    let refused = json!({ "success": false, "message": wrong });
    talk.expect("provider.start.NHOST", &start, refused, &["provider_start_failed"]);
    talk.1.put_config("web", &Map::new()).unwrap();
    let answer = talk.expect("provider.start.NHOST", &start, done(""), &["provider_started"]);
    let told = json!({
        "host_id": "NHOST", "provider_id": "web", "image_ref": reference, "annotations": {"a": "b"},
    });
    assert_eq!(answer.events[0].1, told);
    talk.expect(
        "provider.start.NHOST",
        &start,
        done("provider web runs already, and goes on by this"),
        &["provider_started"],
    );
    talk.expect("provider.auction", &bid, Value::Null, &[]);
    let inventory = talk.ask("host.get.NHOST", "").reply.unwrap().response.unwrap();
    let listed = json!([{
        "id": "web", "image_ref": reference, "annotations": {"a": "b"}, "revision": 0, "listening": [], "problems": [],
    }]);
    assert_eq!(inventory["providers"], listed);
    let stop = json!({"provider_id": "web"});
    talk.expect("provider.stop.NHOST", &stop, done("provider stopped"), &["provider_stopped"]);
    assert_eq!(
        talk.refused("provider.stop.NHOST", r#"{"provider_id":"web"}"#),
        "provider web does not run on this host"
    );
}

#[test]
fn what_is_wrong_is_named() {
    let talk = Talk::new();
    let refusals = [
        ("component.scale.NHOST", "{", "component.scale: EOF while parsing an object at line 1 column 1"),
        (
            "component.scale.NHOST",
            r#"{"component_ref":"r","count":1}"#,
            "component.scale: missing field `component_id` at line 1 column 31",
        ),
        (
            "component.scale.NHOST",
            r#"{"component_ref":"r","component_id":"a.b","count":1}"#,
            r#"component.scale: component_id is "a.b": 1 to 100 letters without blanks, '.', '*', '>' and '/' are accepted"#,
        ),
        (
            "component.scale.NHOST",
            r#"{"component_ref":"r","component_id":"a","count":1,"host_id":"NX"}"#,
            r#"component.scale: host_id is "NX": another host than the one that was asked"#,
        ),
        (
            "component.scale.NHOST",
            r#"{"component_ref":"r","component_id":"a","count":1,"component_limits":{"fuel":"9"}}"#,
            r#"component.scale: component_limits has "fuel": max_memory_limit (bytes) and max_execution_time (seconds) are accepted"#,
        ),
        (
            "component.scale.NHOST",
            r#"{"component_ref":"r","component_id":"a","count":1,"component_limits":{"max_memory_limit":"1M"}}"#,
            r#"component.scale: component_limits has max_memory_limit = "1M": a whole number above 0 is accepted"#,
        ),
        (
            "component.update.NHOST",
            r#"{"component_id":"a","new_component_ref":"s"}"#,
            "component a does not run on this host",
        ),
        (
            "provider.start.NHOST",
            r#"{"provider_id":"p","provider_ref":"ghcr.io/p"}"#,
            "provider p (ghcr.io/p): this host runs wasmcloud+builtin://http-server, and no other provider",
        ),
        ("provider.stop.NHOST", r#"{"provider_id":"p"}"#, "provider p does not run on this host"),
        (
            "host.stop.NHOST",
            r#"{"host_id":"NX"}"#,
            r#"host.stop: host_id is "NX": another host than the one that was asked"#,
        ),
        (
            "link.put",
            r#"{"source_id":"a","target":"b","name":"default","wit_namespace":"n","wit_package":"p","interfaces":[]}"#,
            r#"link.put: interfaces is "": at least one interface is needed"#,
        ),
        ("link.del", r#"{"source_id":"a"}"#, "link.del: missing field `wit_namespace` at line 1 column 17"),
        ("label.put.NHOST", r#"{"value":"b"}"#, "label.put: missing field `key` at line 1 column 13"),
        (
            "registry.put",
            r#"{"ghcr.io":{"username":"u","registryType":"oci"}}"#,
            "registries are not asked by this host: images come from files, as file:///path, or from the hosts, as lattice://sha256:…",
        ),
    ];
    for (operation, body, message) in refusals {
        assert_eq!(talk.refused(operation, body), message, "{operation} {body}");
    }
    for operation in ["link.list", "config.put", "host.get.NX", "host.fly.NHOST", ""] {
        let message = talk.refused(operation, "");
        assert!(
            message.starts_with(&format!("unknown operation {operation}: this host answers host.ping")),
            "{message}"
        );
    }
}

#[test]
fn an_answer_that_cannot_be_sent_says_so() {
    let reply = Reply::with(json!("x".repeat(5000)));
    let sent = String::from_utf8(reply.encode(4000)).unwrap();
    assert!(sent.contains("the answer has 5043 bytes: at most 4000 can be sent"), "{sent}");
}

/// Goal: what is subscribed to names each operation, so that others are refused by the server.
#[test]
fn filters_are_those_of_the_operations() {
    let filters = filters("default", "NHOST");
    assert_eq!(filters.len(), 15);
    let turns: Vec<&str> = filters.iter().filter(|(_, turns)| *turns).map(|(filter, _)| &filter[23..]).collect();
    assert_eq!(turns, ["link.*", "config.>", "claims.get"]);
    assert!(filters.contains(&("wasmbus.ctl.v1.default.component.scale.NHOST".to_owned(), false)));
}

/// No other node is in reach.
#[derive(Debug)]
struct Alone;

impl Reach for Alone {
    fn count(&self) -> usize {
        0
    }

    fn reaches(&self, _: &NodeId) -> bool {
        false
    }
}

/// A host on a broker of its own, and a client that asks it.
struct Stage {
    client: Arc<dyn Client>,
    runner: Arc<Double>,
    books: Books,
    control: Control,
    events: Box<dyn Deliveries>,
    answers: Box<dyn Deliveries>,
}

impl Stage {
    fn set(memory: &Arc<Memory>) -> Self {
        let env = Env::tokio();
        let broker = Broker::new(env.clone(), lattice_broker::Config::default()).unwrap();
        let (client, runner) = (wiring::client(&broker), Arc::new(Double::default()));
        let events = client.subscribe("wasmbus.evt.default.*", None, 100).unwrap();
        let answers = client.subscribe("answers", None, 100).unwrap();
        let books = Books::new(Arc::clone(memory) as _);
        let parts = Parts {
            env,
            facts: facts(),
            books: books.clone(),
            changes: memory.1.subscribe(),
            nodes: wiring::client(&broker),
            client: wiring::client(&broker),
            runner: Arc::clone(&runner) as _,
            reach: Arc::new(Alone),
            images: None,
        };
        Self { client, runner, books, control: Control::start(parts).unwrap(), events, answers }
    }

    /// The next event: its name and its data.
    async fn event(&mut self) -> (String, Value) {
        let delivery = next(&mut self.events).await;
        let mut event: Value = serde_json::from_slice(&delivery.payload).unwrap();
        let name = String::from_utf8_lossy(&delivery.subject[20..]).into_owned();
        assert_eq!((&event["specversion"], &event["source"]), (&json!("1.0"), &json!("NHOST")));
        assert_eq!(event["type"], json!(format!("com.wasmcloud.lattice.{name}")));
        assert!(event["id"].as_str().unwrap().len() == 36 && event["time"].as_str().unwrap().ends_with('Z'));
        (name, event["data"].take())
    }

    async fn ask(&mut self, operation: &str, body: Value) -> Value {
        self.request(&format!("wasmbus.ctl.v1.default.{operation}"), body).await
    }

    async fn request(&mut self, subject: &str, body: Value) -> Value {
        assert_eq!(self.client.publish(subject, Some(b"answers"), body.to_string().as_bytes()), 1, "{subject}");
        serde_json::from_slice(&next(&mut self.answers).await.payload).unwrap()
    }

    fn running(&self) -> BTreeMap<String, (String, u32)> {
        self.runner.running().into_iter().map(|one| (one.id, (one.image, one.count))).collect()
    }
}

async fn next(deliveries: &mut Box<dyn Deliveries>) -> Delivery {
    let next = poll_fn(|cx| deliveries.poll_next(cx));
    Env::tokio().timeout(Duration::from_secs(20), next).await.expect("it comes")
}

fn scale(image: &str, count: u32) -> Value {
    json!({"component_ref": image, "component_id": "a", "count": count, "host_id": "NHOST", "config": [], "allow_update": false})
}

/// Goal: a component's life: it is started, scaled, updated, fails and is stopped, each acknowledged at once and then told.
#[tokio::test]
async fn a_component_is_scaled_updated_and_stopped() {
    let mut stage = Stage::set(&Memory::new());
    assert_eq!(stage.event().await.0, "host_started");
    assert_eq!(stage.ask("component.scale.NHOST", scale("file:///a", 3)).await, done(""));
    let (name, data) = stage.event().await;
    let told = json!({"annotations": {}, "host_id": "NHOST", "image_ref": "file:///a", "max_instances": 3, "component_id": "a"});
    assert_eq!((name.as_str(), data), ("component_scaled", told));
    let reply = stage.ask("component.scale.NHOST", scale("file:///b", 4)).await;
    assert_eq!(reply, done("a runs file:///a and goes on with that: component.update changes an image"));
    assert_eq!(stage.event().await.1["image_ref"], json!("file:///a"));
    let update = json!({"component_id": "a", "new_component_ref": "file:///b", "host_id": "NHOST"});
    let reply = stage.ask("component.update.NHOST", update.clone()).await;
    assert_eq!(reply, done("component a changes from file:///a to file:///b"));
    assert_eq!(stage.event().await.1["image_ref"], json!("file:///b"));
    assert_eq!(stage.ask("component.update.NHOST", update).await, done("component a runs file:///b already"));
    let update = json!({"component_id": "a", "new_component_ref": "missing", "host_id": "NHOST"});
    assert_eq!(stage.ask("component.update.NHOST", update).await["success"], json!(true));
    let (name, data) = stage.event().await;
    assert_eq!((name.as_str(), &data["error"]), ("component_scale_failed", &json!("image missing: no such file")));
    assert_eq!(stage.running(), BTreeMap::from([("a".to_owned(), ("file:///b".to_owned(), 4))]));
    let inventory = stage.ask("host.get.NHOST", json!({})).await["response"].take();
    let component = json!({"id": "a", "image_ref": "file:///b", "annotations": {}, "revision": 0, "max_instances": 4, "limits": null});
    assert_eq!(inventory["components"], json!([component]));
    assert_eq!(stage.ask("component.scale.NHOST", scale("file:///b", 0)).await, done(""));
    assert_eq!(stage.event().await.1["max_instances"], json!(0));
    assert_eq!((stage.running().len(), stage.books.workloads().len()), (0, 0));
}

/// Goal: what ran is started again, with what it is configured with by then, and changed when that changes.
#[tokio::test]
async fn what_runs_is_remembered_and_follows_its_configuration() {
    let memory = Memory::new();
    let mut stage = Stage::set(&memory);
    stage.ask("config.put.c", json!({"k": "1", "subscriptions": "x.>, y"})).await;
    let mut body = scale("file:///a", 1);
    body["config"] = json!(["c"]);
    stage.ask("component.scale.NHOST", body).await;
    while stage.event().await.0 != "component_scaled" {}
    let told = stage.runner.specs()["a"].clone();
    assert_eq!((told.config["k"].as_str(), told.subscriptions.len()), ("1", 0));
    let link = json!({
        "source_id": "nats", "target": "a", "name": "default", "wit_namespace": "wasmcloud", "wit_package": "messaging",
        "interfaces": ["handler"], "source_config": ["c"], "target_config": []
    });
    stage.ask("link.put", link).await;
    stage.ask("config.put.c", json!({"k": "2", "subscriptions": "x.>, y"})).await;
    let changed = |told: &crate::host::runner::Spec| told.config["k"] == "2" && told.subscriptions == ["x.>", "y"];
    for _ in 0..2000 {
        Env::tokio().sleep(Duration::from_millis(5)).await;
        if changed(&stage.runner.specs()["a"]) {
            break;
        }
    }
    assert!(changed(&stage.runner.specs()["a"]));
    assert_eq!(stage.ask("host.stop.NHOST", json!({"host_id": "NHOST", "timeout": 500})).await["success"], json!(true));
    while stage.event().await.0 != "host_stopped" {}
    assert!(stage.runner.is_stopped());
    stage.control.stop().await;

    let mut stage = Stage::set(&memory);
    assert_eq!(stage.event().await.0, "host_started");
    assert_eq!(stage.event().await.0, "component_scaled");
    assert!(changed(&stage.runner.specs()["a"]));
    let mut body = scale("file:///b", 1);
    body["component_id"] = json!("b");
    body["config"] = json!(["none"]);
    stage.ask("component.scale.NHOST", body).await;
    let error = json!("configuration none is not there: config.put.none first");
    assert_eq!(stage.event().await.1["error"], error);
}

/// Goal: whom a component may ask by HTTP is what its links say whose configurations are there, and changes with them.
#[tokio::test]
async fn links_say_whom_a_component_asks() {
    let mut stage = Stage::set(&Memory::new());
    stage.ask("config.put.words", json!({})).await;
    let mut scale = scale("file:///a", 1);
    scale["config"] = json!(["words"]);
    stage.ask("component.scale.NHOST", scale).await;
    while stage.event().await.0 != "component_scaled" {}
    assert!(stage.runner.specs()["a"].outgoing.ways().is_empty());
    for (name, interface, config) in
        [("one", "outgoing-handler", "c"), ("two", "types", "c"), ("three", "outgoing-handler", "none")]
    {
        let link = json!({
            "source_id": "a", "target": "http-client", "name": name, "wit_namespace": "wasi", "wit_package": "http",
            "interfaces": [interface], "source_config": [], "target_config": [config]
        });
        assert_eq!(stage.ask("link.put", link).await["success"], json!(true));
    }
    stage.ask("config.put.c", json!({"allow": "api.example.org", "ca": "PEM"})).await;
    let seen = |stage: &Stage| {
        let spec = stage.runner.specs()["a"].clone();
        let ways = spec.outgoing.ways().iter();
        ways.map(|way| (way.link.clone(), way.allow.clone(), way.ca.clone())).collect::<Vec<_>>()
    };
    let wanted = vec![("link one to http-client".to_owned(), "api.example.org".to_owned(), Some("PEM".to_owned()))];
    let until = async |stage: &Stage, wanted: &[_]| {
        for _ in 0..2000 {
            if seen(stage) == wanted {
                break;
            }
            Env::tokio().sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(seen(stage), wanted);
    };
    until(&stage, &wanted).await;
    // A link that is gone is gone, also from a component that has lost a configuration.
    stage.ask("config.del.words", Value::Null).await;
    let link = json!({ "source_id": "a", "name": "one", "wit_namespace": "wasi", "wit_package": "http" });
    assert_eq!(stage.ask("link.del", link).await["success"], json!(true));
    until(&stage, &[]).await;
}

/// Goal: what a component has written is told to who asks the host that runs it, and from the place on that he names.
#[tokio::test]
async fn what_a_component_has_written_is_told() {
    let mut stage = Stage::set(&Memory::new());
    stage.ask("component.scale.NHOST", scale("file:///a", 1)).await;
    while stage.event().await.0 != "component_scaled" {}
    let line = |number, text: &str| Line {
        number,
        at_ms: 1_777_644_127_250,
        level: Level::Warn,
        source: "stdout".to_owned(),
        text: text.to_owned(),
    };
    let written = Written {
        lines: vec![line(7, "one"), line(8, "two")],
        next: Place { life: 3, number: 8 },
        forgotten: 6,
        dropped: 5,
        failed: 1,
        last_failure: Some(Failure { at_ms: 1_777_644_127_251, why: "trapped".to_owned() }),
    };
    stage.runner.write("a", written);
    let subject = "lattice.ctl.v1.default.component.log.NHOST";
    let told = stage.request(subject, json!({ "component_id": "a" })).await["response"].take();
    let mut expected = json!({
        "lines": [
            { "number": 7, "at_ms": 1_777_644_127_250_u64, "level": "warn", "source": "stdout", "text": "one" },
            { "number": 8, "at_ms": 1_777_644_127_250_u64, "level": "warn", "source": "stdout", "text": "two" },
        ],
        "next": { "life": 3, "number": 8 },
        "forgotten": 6, "dropped": 5, "failed": 1,
        "last_failure": { "at_ms": 1_777_644_127_251_u64, "why": "trapped" },
    });
    assert_eq!(told, expected);
    let after = json!({ "component_id": "a", "after": { "life": 3, "number": 7 } });
    expected["lines"].as_array_mut().unwrap().remove(0);
    assert_eq!(stage.request(subject, after).await["response"], expected);
    let missing = json!({ "success": false, "message": "component b does not run on this host" });
    assert_eq!(stage.request(subject, json!({ "component_id": "b" })).await, missing);
    for (body, why) in [
        (json!({}), "component.log: missing field `component_id`"),
        (json!({ "component_id": "a.b" }), "component.log: component_id is \"a.b\": 1 to 100 letters"),
        (json!({ "component_id": "a", "since": 1 }), "component.log: unknown field `since`"),
    ] {
        let refused = stage.request(subject, body).await;
        assert!(refused["message"].as_str().unwrap().starts_with(why), "{refused}");
    }
    let listed = stage.request("lattice.ctl.v1.default.config.list", json!({})).await["response"].take();
    assert_eq!(listed, json!({ "configs": [], "more": false }));
}
