//! Monitoring by HTTP in the place of nats-server: each endpoint is asked of both servers, and the names and types in the
//! answers are compared.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]

mod support;

use support::http::{Answer, ask, get};
use support::process::Process;
use support::whose::{BOTH, Client, Whose, folder, write};
use support::{LIMIT, wait_for};

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};

/// Two accounts with users, of which one gives to the other, and a system account.
const CONFIG: &str = r#"
port: -1
http: "127.0.0.1:-1"
server_name: watched
server_tags: ["a:b", c]
server_metadata: { x: y }
max_subscriptions: 1000
accounts {
  A { users: [ {user: a, password: p} ], exports: [ {stream: "pub.>"}, {service: svc} ],
      mappings: { m: n, "half.*.x": [ {dest: "h.$1", weight: 60%}, {dest: c, weight: 10, cluster: other} ] } }
  B { users: [ {user: b, password: p} ]
      imports: [ {stream: {account: A, subject: "pub.>"}}, {service: {account: A, subject: svc}} ] }
  $SYS { users: [ {user: s, password: p} ] }
}
no_auth_user: a
"#;

/// What only the real server tells, and why we do not.
const ABSENT: &[(&str, &str)] = &[
    (".feature_flags", "switches of JetStream's inside"),
    (".account_detail.exports", "of the system account: ours answers requests without exporting them"),
];

/// One server, with clients that have done the same to each.
struct Watched {
    _process: Process,
    clients: SocketAddr,
    http: SocketAddr,
    open: Vec<Client>,
}

fn monitoring(line: &str) -> Option<SocketAddr> {
    line.split_once("[INF] Starting http monitor on ")?.1.trim().parse().ok()
}

impl Watched {
    fn start(whose: Whose) -> Self {
        let folder = folder();
        let file = write(&folder, "t.conf", CONFIG);
        let (mut process, clients) = whose.start(&["-c", &file]);
        let http = process.wait_line("where it is watched", monitoring);
        let mut watched = Self { _process: process, clients, http, open: Vec::new() };
        let options = "\"name\":\"one\",\"lang\":\"x\",\"version\":\"1.2\"";
        let mut a = watched.login("a", options);
        a.send("SUB foo.* 1\r\nSUB bar q 2\r\nUNSUB 1 10\r\nPUB foo.x 5\r\nhello\r\nPUB nobody 3\r\nabc\r\nPING\r\n");
        a.hear("PONG");
        let b = watched.login("b", options);
        // One that goes, and one that may not come.
        let mut gone = watched.login("a", options);
        gone.send("SUB x 1\r\nPING\r\n");
        gone.hear("PONG");
        drop(gone);
        let mut denied = Client::new(watched.clients, "{\"user\":\"no\",\"pass\":\"no\"}");
        denied.hear("-ERR");
        drop(denied);
        watched.open.extend([a, b]);
        wait_for("two have gone", LIMIT, || {
            (get(http, "/connz?state=closed").json()["num_connections"] == 2).then_some(())
        });
        watched
    }

    fn login(&self, user: &str, options: &str) -> Client {
        let connect = format!("{{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"p\",{options}}}");
        let mut client = Client::new(self.clients, &connect);
        client.hear("PONG");
        client
    }
}

/// The types in `value` by their place; those of a list's members together.
fn shape(value: &Value, place: &str, found: &mut BTreeMap<String, &'static str>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(items) => {
            items.iter().for_each(|item| shape(item, &format!("{place}[]"), found));
            "list"
        }
        Value::Object(members) => {
            // Paths of HTTP, which differ by what was asked before.
            for (key, member) in members.iter().filter(|(key, _)| !key.starts_with('/')) {
                shape(member, &format!("{place}.{key}"), found);
            }
            "object"
        }
    };
    found.insert(place.to_owned(), kind);
}

fn compare(what: &str, [ours, real]: [&Value; 2]) {
    let [ours, real] = [ours, real].map(|value| {
        let mut found = BTreeMap::new();
        shape(value, "", &mut found);
        found.retain(|place, _| !ABSENT.iter().any(|(absent, _)| place.starts_with(absent)));
        found
    });
    assert_eq!(ours, real, "{what}: left is ours");
}

const PATHS: &[&str] = &[
    "/varz",
    "/connz",
    "/connz?subs=1",
    "/connz?subs=detail&auth=1",
    "/connz?auth=true&limit=1&offset=1",
    "/connz?cid=999",
    "/connz?state=closed&auth=1&subs=1",
    "/connz?state=all",
    "/connz?user=a&auth=1",
    "/connz?acc=A",
    "/connz?acc=NOPE",
    "/connz?mqtt_client=x",
    "/connz?limit=-1&offset=-3",
    "/subsz",
    "/subsz?subs=1&test=foo.x",
    "/subsz?subs=1&test=bar&acc=A",
    "/subsz?acc=NOPE&subs=1",
    "/subscriptionsz",
    "/accountz",
    "/accountz?acc=A",
    "/accountz?acc=B",
    "/accountz?acc=$SYS",
    "/accstatz",
    "/accstatz?unused=1",
    "/leafz",
    "/leafz?subs=1",
    "/routez",
    "/routez?subs=detail",
    "/gatewayz",
    "/gatewayz?accs=1",
    "/jsz",
    "/healthz",
    "/healthz?js-enabled-only=1",
];

/// Goal: each endpoint answers with the names, types, code and headers of the real server.
#[test]
fn answers_have_the_shape_of_the_real_ones() {
    let servers = BOTH.map(Watched::start);
    for path in PATHS {
        let [ours, real] = [&servers[0], &servers[1]].map(|server| get(server.http, path));
        let head = |answer: &Answer| (answer.code, answer.kind.clone(), answer.is_shared);
        assert_eq!(head(&ours), head(&real), "{path}");
        let [mut ours, mut real] = [ours.json(), real.json()];
        if path.starts_with("/accountz?acc=") {
            // The real server has its own services in each list, and no account without them: one of each is enough.
            for answer in [&mut ours, &mut real] {
                let imports = answer["account_detail"]["imports"].take();
                let own = imports.as_array().into_iter().flatten().filter(|import| import["account"] == "A");
                answer["account_detail"]["imports"] = own.cloned().collect();
            }
        }
        let mappings = |answer: &Value| answer["account_detail"]["mappings"].clone();
        assert_eq!(mappings(&ours), mappings(&real), "{path}");
        compare(path, [&ours, &real]);
    }
}

/// Goal: what cannot be answered is refused with the code and the words of the real server.
#[test]
fn questions_that_make_no_sense_are_refused_alike() {
    let servers = BOTH.map(Watched::start);
    let paths = [
        "/nothing",
        "/connz?state=bogus",
        "/connz?sort=bogus",
        "/connz?sort=stop",
        "/connz?sort=reason",
        "/connz?limit=x",
        "/connz?cid=x",
        "/connz?auth=x",
        "/connz?subs=x",
        "/subsz?subs=x",
        "/subsz?subs=1&test=foo..x",
        "/accountz?acc=NOPE",
        "/accstatz?unused=x",
        "/leafz?subs=x",
        "/routez?subs=x",
        "/healthz?js-server-only=x",
    ];
    for path in paths {
        let [ours, real] = [&servers[0], &servers[1]].map(|server| get(server.http, path));
        let told = |answer: Answer| (answer.code, answer.kind, answer.body.trim_end().to_owned());
        assert_eq!(told(ours), told(real), "{path}");
    }
}

/// Goal: figures are counted as the real server counts them, by server, connection, subscription and account.
#[test]
fn figures_are_those_of_the_real_server() {
    for whose in BOTH {
        let server = Watched::start(whose);
        let varz = get(server.http, "/varz").json();
        for (name, value) in [
            ("connections", 2),
            ("total_connections", 4),
            ("in_msgs", 2),
            ("in_client_bytes", 8),
            ("out_msgs", 1),
            ("out_client_bytes", 5),
            ("slow_consumers", 0),
            ("max_payload", 1 << 20),
        ] {
            assert_eq!(varz[name], value, "{whose:?} {name}: {varz}");
        }
        assert_eq!((&varz["server_name"], &varz["http_host"]), (&"watched".into(), &"127.0.0.1".into()), "{whose:?}");
        assert!(varz["mem"].as_u64().unwrap() > 1 << 20, "{whose:?}");
        let connz = get(server.http, "/connz?sort=msgs_from&subs=detail&auth=1").json();
        let first = &connz["connections"][0];
        let figures = ["in_msgs", "in_bytes", "out_msgs", "out_bytes", "subscriptions"];
        assert_eq!(figures.map(|name| first[name].as_u64().unwrap()), [2, 8, 1, 5, 2], "{whose:?}: {first}");
        let words = ["name", "lang", "version", "authorized_user", "account", "kind", "type"];
        let expected = ["one", "x", "1.2", "a", "A", "Client", "nats"];
        assert_eq!(words.map(|name| first[name].as_str().unwrap()), expected, "{whose:?}");
        let list = first["subscriptions_list_detail"].as_array().unwrap();
        let foo = list.iter().find(|one| one["subject"] == "foo.*").unwrap();
        assert_eq!((&foo["msgs"], &foo["max"], &foo["sid"]), (&1.into(), &10.into(), &"1".into()), "{whose:?}");
        let closed = get(server.http, "/connz?state=closed&sort=reason&auth=1").json();
        let reasons: Vec<&Value> = (0..2).map(|at| &closed["connections"][at]["reason"]).collect();
        assert_eq!(reasons, ["Authentication Failure", "Client Closed"], "{whose:?}");
        assert_eq!(closed["connections"][0]["authorized_user"], "no", "{whose:?}");
        let accounts = get(server.http, "/accstatz").json();
        let stat = accounts["account_statz"].as_array().unwrap().iter().find(|one| one["acc"] == "A").unwrap();
        assert_eq!(
            (&stat["conns"], &stat["received"]["msgs"], &stat["sent"]["bytes"]),
            (&1.into(), &2.into(), &5.into()),
            "{whose:?}: {stat}"
        );
    }
}

/// Goal: the page, a base path, methods and the ports file are as with the real server.
#[test]
fn the_server_is_found_and_its_paths_may_begin_with_more() {
    for whose in BOTH {
        let folder = folder();
        let dir = folder.path().to_str().unwrap();
        let file = write(&folder, "t.conf", "port: -1\nhttp_port: -1\nhttp_base_path: \"/base\"\nhost: 127.0.0.1\n");
        let (mut process, _) = whose.start(&["-c", &file, "--ports_file_dir", dir]);
        let http = process.wait_line("where it is watched", monitoring);
        let codes = ["/base", "/base/varz", "/varz", "/"].map(|path| get(http, path).code);
        assert_eq!(codes, [200, 200, 404, 404], "{whose:?}");
        assert_eq!(get(http, "/base").kind, "text/html; charset=utf-8", "{whose:?}");
        let posted = "POST /base/varz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";
        assert_eq!(ask(http, posted).code, 200, "{whose:?}");
        let head = ask(http, "HEAD /base/varz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert_eq!((head.code, head.body.as_str()), (200, ""), "{whose:?}");
        let file = format!("{dir}/nats-server_{}.ports", process.id());
        let text = wait_for("the ports file", LIMIT, || std::fs::read_to_string(&file).ok());
        let ports: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(ports["monitoring"][0], format!("http://{http}"), "{whose:?}: {text}");
    }
}

/// Goal: a lame duck is not healthy, and can still be asked.
#[test]
fn a_lame_duck_is_not_healthy() {
    for whose in BOTH {
        let folder = folder();
        let file = write(&folder, "t.conf", "port: -1\nhttp: 127.0.0.1:-1\nlame_duck_grace_period: \"9s\"\n");
        let (mut process, address) = whose.start(&["-c", &file]);
        let http = process.wait_line("where it is watched", monitoring);
        let mut client = Client::new(address, "{}");
        client.hear("PONG");
        assert_eq!(get(http, "/healthz").code, 200, "{whose:?}");
        whose.run(&["--signal", &format!("ldm={}", process.id())]);
        let health = wait_for("it is not healthy", LIMIT, || Some(get(http, "/healthz")).filter(|one| one.code != 200));
        assert_eq!((health.code, &health.json()["status"]), (500, &"error".into()), "{whose:?}");
        assert_eq!(get(http, "/varz").code, 200, "{whose:?}");
    }
}

/// Goal: what tools read again and again: nats-top's questions, and metrics with their values.
#[test]
fn tools_read_what_they_look_for() {
    let server = Watched::start(Whose::Ours);
    let top = "/connz?limit=1024&sort=bytes_to&subs=1";
    assert_eq!(get(server.http, top).json()["connections"].as_array().unwrap().len(), 2);
    assert!(get(server.http, "/varz").json()["cpu"].is_number());
    let metrics = get(server.http, "/metrics");
    assert_eq!(metrics.code, 200);
    for line in [
        "nats_server_connections 2.0",
        "nats_server_in_messages_total 2",
        "nats_server_closed_total{reason=\"Client Closed\"} 1",
        "# EOF",
    ] {
        assert!(metrics.body.contains(line), "{line} is not in {}", metrics.body);
    }
}

/// Goal: a request that does not end takes no memory and does not stop others.
#[test]
fn endless_requests_are_cut_off() {
    let server = Watched::start(Whose::Ours);
    let mut stream = TcpStream::connect(server.http).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(b"GET /varz HTTP/1.1\r\n").unwrap();
    // The other end may close at any time.
    while stream.write_all(&[b'x'; 4096]).is_ok() {}
    assert_eq!(get(server.http, "/varz").code, 200);
}

/// Questions of the system account by its id or by `PING`, with their options.
const QUESTIONS: &[(&str, &str)] = &[
    ("PING", ""),
    ("PING.STATSZ", ""),
    ("ID.STATSZ", ""),
    ("ID.IDZ", ""),
    ("ID.VARZ", ""),
    ("ID.CONNZ", "{\"auth\":true,\"subscriptions_detail\":true,\"user\":\"a\"}"),
    ("ID.CONNZ", "{\"state\":1,\"sort\":\"stop\"}"),
    ("ID.SUBSZ", "{\"subscriptions\":true,\"test\":\"foo.x\"}"),
    ("ID.ACCOUNTZ", "{\"account\":\"A\"}"),
    ("ID.HEALTHZ", ""),
    ("ID.LEAFZ", ""),
    ("ID.ROUTEZ", ""),
    ("ID.GATEWAYZ", ""),
    ("ID.JSZ", ""),
    ("ID.KICK", "{\"cid\":12345}"),
    ("ID.LDM", "{\"cid\":12345}"),
];

/// The payload of the next message, as JSON.
fn hear_json(client: &mut Client) -> Value {
    let text = client.hear("}\r\n");
    let start = text.find("\r\n{").unwrap_or_else(|| panic!("no message in {text:?}"));
    let end = text.rfind("}\r\n").unwrap();
    serde_json::from_str(&text[start + 2..=end]).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

/// Goal: answers to the system account have the shape of the real server's.
#[test]
fn services_have_the_shape_of_the_real_ones() {
    let servers = BOTH.map(Watched::start);
    let mut watchers = servers.each_ref().map(|server| {
        let mut watcher = server.login("s", "\"name\":\"watcher\"");
        watcher.send("SUB _INBOX.s 9\r\n");
        let id = get(server.http, "/varz").json()["server_id"].as_str().unwrap().to_owned();
        (watcher, id)
    });
    for (question, options) in QUESTIONS {
        let [mut ours, mut real] = watchers.each_mut().map(|(watcher, id)| {
            let subject = question.replace("ID.", &format!("{id}."));
            watcher.send(&format!("PUB $SYS.REQ.SERVER.{subject} _INBOX.s {}\r\n{options}\r\n", options.len()));
            hear_json(watcher)
        });
        for answer in [&mut ours, &mut real] {
            answer["server"]["feature_flags"].take();
            if let Some(data) = answer.get_mut("data").and_then(Value::as_object_mut) {
                data.remove("feature_flags");
                if let Some(detail) = data.get_mut("account_detail").and_then(Value::as_object_mut) {
                    // The real server has its own services there, as above.
                    detail.remove("imports");
                }
            }
        }
        compare(question, [&ours, &real]);
    }
}

/// Goal: a client that is kicked is gone, and the answer to who did it has come.
#[test]
fn a_client_can_be_kicked() {
    for whose in BOTH {
        let mut server = Watched::start(whose);
        let varz = get(server.http, "/varz").json();
        let cid = get(server.http, "/connz?user=b&auth=1").json()["connections"][0]["cid"].clone();
        let mut watcher = server.login("s", "\"name\":\"watcher\"");
        let order = format!("{{\"cid\":{cid}}}");
        let subject = format!("$SYS.REQ.SERVER.{}.KICK", varz["server_id"].as_str().unwrap());
        watcher.send(&format!("SUB r 1\r\nPUB {subject} r {}\r\n{order}\r\n", order.len()));
        assert!(hear_json(&mut watcher).get("error").is_none(), "{whose:?}");
        assert!(!server.open[1].hear("the end").contains("-ERR"), "{whose:?}");
        let closed = wait_for("it is gone", LIMIT, || {
            let closed = get(server.http, &format!("/connz?state=closed&cid={cid}")).json();
            closed["connections"].get(0).cloned()
        });
        assert_eq!(closed["reason"], "Kicked", "{whose:?}");
    }
}

/// Goal: the system account can have the config read again, and is told when that cannot be.
#[test]
fn the_config_can_be_read_again_from_afar() {
    for whose in BOTH {
        let folder = folder();
        let file = write(&folder, "t.conf", CONFIG);
        let (mut process, address) = whose.start(&["-c", &file]);
        let http = process.wait_line("where it is watched", monitoring);
        let mut watcher = Client::new(address, "{\"verbose\":false,\"user\":\"s\",\"pass\":\"p\"}");
        watcher.hear("PONG");
        let id = get(http, "/varz").json()["server_id"].as_str().unwrap().to_owned();
        write(&folder, "t.conf", &CONFIG.replace("server_tags", "max_payload: 1000\nserver_tags"));
        let wish = format!("PUB $SYS.REQ.SERVER.{id}.RELOAD r 0\r\n\r\n");
        watcher.send(&format!("SUB r 1\r\n{wish}"));
        assert!(hear_json(&mut watcher).get("error").is_none(), "{whose:?}");
        assert_eq!(get(http, "/varz").json()["max_payload"], 1000, "{whose:?}");
        write(&folder, "t.conf", "nonsense: 1\n");
        watcher.send(&wish);
        assert_eq!(hear_json(&mut watcher)["error"]["code"], 500, "{whose:?}");
    }
}

/// Goal: the system account hears how the server is, and that it ends.
#[test]
fn the_system_account_hears_how_the_server_is() {
    let reports = BOTH.map(|whose| {
        let folder = folder();
        let file = write(&folder, "t.conf", CONFIG);
        let (mut process, address) = whose.start(&["-c", &file]);
        let mut watcher = Client::new(address, "{\"verbose\":false,\"user\":\"s\",\"pass\":\"p\"}");
        watcher.hear("PONG");
        watcher.send("SUB $SYS.SERVER.*.STATSZ 1\r\n");
        let mut report = hear_json(&mut watcher);
        report["server"]["feature_flags"].take();
        watcher.send("UNSUB 1\r\nSUB $SYS.SERVER.*.SHUTDOWN 2\r\nPING\r\n");
        watcher.hear("PONG");
        process.signal("TERM");
        assert!(watcher.hear("the end").contains(".SHUTDOWN 2"), "{whose:?}");
        report
    });
    let [ours, real] = &reports;
    compare("STATSZ", [ours, real]);
}
