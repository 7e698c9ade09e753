//! Real nats-servers, nodes of a lattice and connections by hand as leaf nodes of the broker in the place of nats-server.
//!
//! What can be said by hand is said to a real nats-server as well, so that the expectation is not ours alone.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]

mod support;

use async_nats::Client;
use futures_util::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use support::clients::{connect, joined};
use support::cluster::Node;
use support::nats_server::NatsServer;
use support::process::Process;
use support::transcript::Transcript;
use support::whose::{BOTH, Whose, folder, write};
use support::{LIMIT, ports};

/// A server with a port for leaf nodes.
struct Hub {
    process: Process,
    clients: SocketAddr,
    leafs: SocketAddr,
    http: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Hub {
    /// `leafnodes` is what its block has besides where it listens, `config` what the file has besides.
    fn start(whose: Whose, leafnodes: &str, config: &str) -> Self {
        let folder = folder();
        let [leafs, http] = [0, 1].map(|_| SocketAddr::from(([127, 0, 0, 1], ports::free())));
        let text = format!(
            "listen: \"127.0.0.1:-1\"\nhttp: \"{http}\"\nleafnodes {{ listen: \"{leafs}\"\n{leafnodes} }}\n{config}\n"
        );
        let file = write(&folder, "hub.conf", &text);
        let (process, clients) = whose.start(&["-c", &file]);
        Self { process, clients, leafs, http, _folder: folder }
    }

    async fn client(&self) -> Client {
        connect(&format!("nats://{}", self.clients)).await
    }

    /// A user whose password is its name.
    async fn client_as(&self, user: &str) -> Client {
        let options = async_nats::ConnectOptions::with_user_and_password(user.to_owned(), user.to_owned());
        options.connect(self.clients.to_string()).await.unwrap()
    }

    /// A real nats-server that is a leaf of it; `remote` is what its entry has besides the URL.
    fn real_leaf(&self, name: &str, user: &str, config: &str) -> NatsServer {
        NatsServer::start_remote(name, &format!("nats://{user}{}", self.leafs), config)
    }

    fn leafz(&self) -> serde_json::Value {
        support::http::get(self.http, "/leafz").json()
    }

    fn leaf_count(&self) -> usize {
        self.leafz()["leafs"].as_array().map_or(0, Vec::len)
    }
}

/// Asks `condition` again and again until it holds.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < LIMIT, "waited {LIMIT:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn next(subscription: &mut async_nats::Subscriber) -> String {
    let message = tokio::time::timeout(LIMIT, subscription.next()).await.expect("a message comes").unwrap();
    String::from_utf8(message.payload.to_vec()).unwrap()
}

/// Answers each request to `subject` with `name`, as one of the group `queue`.
async fn serve(client: &Client, subject: &'static str, queue: &str, name: &'static str) {
    let mut requests = client.queue_subscribe(subject, queue.to_owned()).await.unwrap();
    let client = client.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            if let Some(reply) = request.reply {
                client.publish(reply, name.into()).await.unwrap();
            }
        }
    });
}

#[tokio::test]
async fn a_real_server_is_a_leaf_node() {
    let hub = Hub::start(Whose::Ours, "", "");
    let leaf = hub.real_leaf("spoke", "", "");
    let (above, below) = (hub.client().await, connect(&leaf.url()).await);
    joined(&above, &below).await;
    joined(&below, &above).await;
    let mut up = above.subscribe("up.>").await.unwrap();
    let mut down = below.subscribe("down.*").await.unwrap();
    joined(&above, &below).await;
    joined(&below, &above).await;
    for n in 0..500 {
        above.publish("down.a", n.to_string().into()).await.unwrap();
        below.publish("up.a.b", n.to_string().into()).await.unwrap();
    }
    for n in 0..500 {
        assert_eq!([next(&mut up).await, next(&mut down).await], [n.to_string(), n.to_string()]);
    }
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Key", "value");
    above.publish_with_headers("down.h", headers, "x".into()).await.unwrap();
    let message = tokio::time::timeout(LIMIT, down.next()).await.unwrap().unwrap();
    assert_eq!(message.headers.unwrap().get("Key").unwrap().as_str(), "value");
    let leafz = hub.leafz();
    let figures = &leafz["leafs"][0];
    assert_eq!(
        (&figures["name"], &figures["is_spoke"], &figures["account"]),
        (&"spoke".into(), &false.into(), &"$G".into())
    );
    assert!(figures["in_msgs"].as_u64() >= Some(500) && figures["out_msgs"].as_u64() >= Some(501), "{leafz}");
    assert!(figures["subscriptions"].as_u64() >= Some(1), "{leafz}");
    let varz = support::http::get(hub.http, "/varz").json();
    assert_eq!((&varz["leafnodes"], &varz["leaf"]["host"]), (&1.into(), &"127.0.0.1".into()));
}

#[tokio::test]
async fn requests_find_services_on_either_side_and_nobody_is_told_at_once() {
    let hub = Hub::start(Whose::Ours, "", "");
    let (one, two) = (hub.real_leaf("one", "", ""), hub.real_leaf("two", "", ""));
    let (above, first, second) = (hub.client().await, connect(&one.url()).await, connect(&two.url()).await);
    joined(&above, &first).await;
    joined(&first, &second).await;
    serve(&second, "svc.below", "q", "below").await;
    serve(&above, "svc.above", "q", "above").await;
    for (asker, subject, answer) in [
        (&above, "svc.below", "below"),
        (&first, "svc.below", "below"),
        (&first, "svc.above", "above"),
        (&second, "svc.above", "above"),
    ] {
        let asked = async || asker.request(subject, "".into()).await.ok().map(|message| message.payload);
        until("the service to be known", async || asked().await.is_some_and(|payload| payload == answer)).await;
    }
    let nobody = above.request("svc.none", "".into()).await.unwrap_err();
    assert_eq!(nobody.kind(), async_nats::client::RequestErrorKind::NoResponders);
}

#[tokio::test]
async fn a_group_over_several_leaf_nodes_gets_each_message_once() {
    let hub = Hub::start(Whose::Ours, "", "");
    let leafs = [hub.real_leaf("one", "", ""), hub.real_leaf("two", "", "")];
    let above = hub.client().await;
    let mut members = Vec::new();
    let mut clients = Vec::new();
    for leaf in &leafs {
        let client = connect(&leaf.url()).await;
        members.push(client.queue_subscribe("work", "q".to_owned()).await.unwrap());
        clients.push(client);
    }
    let mut plain = clients[0].subscribe("work").await.unwrap();
    for client in &clients {
        joined(&above, client).await;
    }
    const COUNT: usize = 400;
    for n in 0..COUNT {
        above.publish("work", n.to_string().into()).await.unwrap();
    }
    let mut seen = BTreeMap::new();
    let [one, two] = &mut members[..] else { unreachable!("two were made") };
    let mut shares = [0, 0];
    for _ in 0..COUNT {
        let (at, message) = tokio::time::timeout(LIMIT, async {
            tokio::select! { m = one.next() => (0, m), m = two.next() => (1, m) }
        })
        .await
        .unwrap();
        shares[at] += 1;
        *seen.entry(message.unwrap().payload).or_insert(0) += 1;
    }
    assert!(seen.len() == COUNT && shares.iter().all(|share| *share > COUNT / 8), "{shares:?}, {} seen", seen.len());
    for n in 0..COUNT {
        assert_eq!(next(&mut plain).await, n.to_string(), "plain interest gets all of them, each once");
    }
}

#[tokio::test]
async fn leaf_nodes_hear_each_other_unless_isolated() {
    let hub = Hub::start(Whose::Ours, "isolate: true", "");
    let (one, two) = (hub.real_leaf("one", "", ""), hub.real_leaf("two", "", ""));
    let (above, first, second) = (hub.client().await, connect(&one.url()).await, connect(&two.url()).await);
    joined(&above, &first).await;
    joined(&above, &second).await;
    let mut heard = second.subscribe("x").await.unwrap();
    let mut above_too = above.subscribe("x").await.unwrap();
    joined(&above, &second).await;
    joined(&first, &above).await;
    // The subscriber above is why it comes at all; below, nobody is known of.
    first.publish("x", "1".into()).await.unwrap();
    assert_eq!([next(&mut above_too).await, next(&mut heard).await], ["1", "1"]);
    serve(&second, "only.below", "q", "below").await;
    joined(&above, &second).await;
    assert_eq!(above.request("only.below", "".into()).await.unwrap().payload, "below");
    let refused = first.request("only.below", "".into()).await.unwrap_err();
    assert_eq!(refused.kind(), async_nats::client::RequestErrorKind::NoResponders);
}

#[tokio::test]
async fn it_comes_back_after_either_end_was_gone() {
    let hub = Hub::start(Whose::Ours, "", "");
    let mut leaf = hub.real_leaf("spoke", "", "");
    let (above, below) = (hub.client().await, connect(&leaf.url()).await);
    joined(&above, &below).await;
    let mut down = below.subscribe("down").await.unwrap();
    joined(&above, &below).await;
    leaf.kill();
    until("its interest to be gone", async || hub.leaf_count() == 0).await;
    let nobody = above.request("down", "".into()).await.unwrap_err();
    assert_eq!(nobody.kind(), async_nats::client::RequestErrorKind::NoResponders);
    leaf.restart();
    joined(&above, &below).await;
    above.publish("down", "again".into()).await.unwrap();
    assert_eq!(next(&mut down).await, "again");
    assert_eq!(hub.leaf_count(), 1);
}

#[tokio::test]
async fn users_of_leaf_nodes_have_accounts_and_permissions() {
    let accounts = "accounts { A { users: [{user: a, password: a}], exports: [{stream: \"out.>\"}] }
        B { users: [{user: b, password: b}, {user: limited, password: l,
            permissions: {publish: {allow: [\"up.>\"]}, subscribe: {allow: [\"down.>\", \"_INBOX.>\"]}}}] } }";
    let hub = Hub::start(Whose::Ours, "", accounts);
    let leaf = hub.real_leaf("limited", "limited:l@", "");
    let below = connect(&leaf.url()).await;
    let above = hub.client_as("b").await;
    let elsewhere = hub.client_as("a").await;
    until("the link", async || hub.leaf_count() == 1).await;
    assert_eq!(hub.leafz()["leafs"][0]["account"], "B");
    let mut down = below.subscribe(">").await.unwrap();
    let mut up = above.subscribe("up.*").await.unwrap();
    until("both ways", async || {
        below.publish("up.try", "".into()).await.unwrap();
        above.publish("down.try", "".into()).await.unwrap();
        let soon = Duration::from_millis(100);
        tokio::time::timeout(soon, up.next()).await.is_ok()
            && tokio::time::timeout(soon, async {
                while let Some(message) = down.next().await
                    && message.subject.as_str() != "down.try"
                {}
            })
            .await
            .is_ok()
    })
    .await;
    elsewhere.publish("down.other", "account".into()).await.unwrap();
    above.publish("secret", "x".into()).await.unwrap();
    above.publish("down.last", "x".into()).await.unwrap();
    loop {
        let message = tokio::time::timeout(LIMIT, down.next()).await.unwrap().unwrap();
        assert!(!["secret", "down.other"].contains(&message.subject.as_str()), "{}", message.subject);
        if message.subject.as_str() == "down.last" {
            break;
        }
    }
    assert_eq!(hub.leaf_count(), 1, "the leaf node knows what it may not send, and stays");
}

#[tokio::test]
async fn a_node_of_a_lattice_is_a_leaf_node() {
    let hub = Hub::start(Whose::Ours, "", "");
    let mut node = Node::new("n", "").with(&["--upstream", &format!("nats://{}", hub.leafs)]);
    node.start(&[]);
    let (above, below) = (hub.client().await, connect(&node.url()).await);
    joined(&above, &below).await;
    joined(&below, &above).await;
}

#[tokio::test]
async fn a_loop_is_found_and_cut() {
    let hub = Hub::start(Whose::Ours, "", "");
    let one = hub.real_leaf("one", "", "");
    // The second is a leaf of the hub, and of the first one: what the hub says comes back to it.
    let remotes = format!("{{ url: \"nats://{}\" }}, {{ url: \"{}\" }}", hub.leafs, one.leaf_url());
    let _two = NatsServer::start_remotes("two", &remotes, "");
    let mut said = String::new();
    let mut process = hub.process;
    process.wait_line("the loop", |line| {
        said.push_str(line);
        line.contains("loop").then_some(())
    });
}

#[test]
fn a_message_over_the_limit_and_interest_that_is_none_are_complained_of() {
    for whose in BOTH {
        let hub = Hub::start(whose, "", "max_payload: 1000");
        let mut leaf = Leaf::linked(&hub, "{\"version\":\"2.15.1\",\"name\":\"hand\",\"headers\":true}");
        leaf.send("LS+ a..b\r\nPING\r\n");
        assert!(leaf.hear("PONG").contains("-ERR 'Invalid Subscription'\r\n"), "{whose:?}");
        leaf.send("LMSG a 1001\r\n");
        assert!(leaf.hear_all().contains("-ERR 'Maximum Payload Violation'\r\n"), "{whose:?}");
    }
}

#[test]
fn the_same_leaf_node_again_takes_the_place_of_the_first() {
    for whose in BOTH {
        let hub = Hub::start(whose, "", "");
        let who = "{\"version\":\"2.15.1\",\"name\":\"hand\",\"cluster\":\"c\",\"remote_account\":\"X\"}";
        let mut first = Leaf::linked(&hub, who);
        let mut second = Leaf::linked(&hub, who);
        assert!(first.hear_all().contains("-ERR 'Duplicate Remote LeafNode Connection'\r\n"), "{whose:?}");
        second.send("PING\r\n");
        second.hear("PONG\r\n");
        let _other =
            Leaf::linked(&hub, "{\"version\":\"2.15.1\",\"name\":\"hand\",\"cluster\":\"d\",\"remote_account\":\"X\"}");
        second.send("PING\r\n");
        second.hear("PONG\r\n");
    }
}

#[test]
fn groups_are_named_and_nobody_else_gets_the_message() {
    for whose in BOTH {
        let hub = Hub::start(whose, "", "");
        let connect = |name: &str| {
            format!("{{\"version\":\"2.15.1\",\"name\":\"{name}\",\"cluster\":\"{name}\",\"headers\":true}}")
        };
        let mut from = Leaf::linked(&hub, &connect("from"));
        let mut to = Leaf::linked(&hub, &connect("to"));
        to.send("LS+ a\r\nLS+ a q 2\r\nLS+ a.> r 1\r\nPING\r\n");
        to.hear("PONG\r\n");
        let heard = from.hear("LS+ a q 2");
        assert!(!heard.contains("LS- "), "{whose:?}");
        from.send("LMSG a 1\r\n1\r\nLMSG a | q 1\r\n2\r\nLMSG a + reply q r 1\r\n3\r\nHMSG a | q 12 13\r\nNATS/1.0\r\n\r\n4\r\nLMSG a.b | r 1\r\n5\r\nLMSG a.b 1\r\n6\r\nPING\r\n");
        from.hear("PONG\r\n");
        to.send("PING\r\n");
        let got = to.hear("\r\n5\r\n");
        for line in [
            "LMSG a 1\r\n1\r\n",
            "LMSG a | q 1\r\n2\r\n",
            "LMSG a + reply q 1\r\n3\r\n",
            "HMSG a | q 12 13\r\nNATS/1.0\r\n\r\n4\r\n",
            "LMSG a.b | r 1\r\n5\r\n",
        ] {
            assert!(got.contains(line), "{whose:?}: {got:?} lacks {line:?}");
        }
        assert_eq!(got.matches("MSG a").count(), 5, "{whose:?}: {got:?}");
    }
}

#[test]
fn transcripts_are_played_against_both() {
    let users = "authorization { users: [{user: leaf, password: l, account: A}] }";
    let clients = "accounts { A {}\nB { users: [{user: client, password: c}] } }";
    let all = [
        ("refused", "", ""),
        ("silent", "", ""),
        ("users", users, clients),
        ("versions", "min_version: \"2.11.0\"", ""),
    ];
    let files = std::fs::read_dir(support::root().join("tests/wire/leaf")).unwrap();
    let files: BTreeSet<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, all.iter().map(|(name, ..)| format!("{name}.txt")).collect());
    for whose in BOTH {
        for (name, leafnodes, config) in all {
            let hub = Hub::start(whose, leafnodes, config);
            Transcript::read(&format!("leaf/{name}")).play(hub.leafs);
        }
    }
}

#[test]
fn a_message_of_one_that_is_not_in_is_not_waited_for() {
    let hub = Hub::start(Whose::Ours, "", "");
    let mut leaf = Leaf(TcpStream::connect(hub.leafs).unwrap(), String::new());
    leaf.hear("\r\n");
    leaf.send("LMSG a 1000000\r\n");
    assert_eq!(leaf.hear_all(), "-ERR 'Authorization Violation'\r\n");
}

#[test]
fn what_one_says_costs_no_more_than_it_takes() {
    let hub = Hub::start(Whose::Ours, "", "");
    let mut leaf = Leaf::linked(&hub, "{\"version\":\"2.15.1\"}");
    let deep = ["a"; 30_000].join(".");
    leaf.send(&format!("LS+ {deep}\r\nLMSG {deep} 1\r\nx\r\nLS- {deep}\r\nPING\r\n"));
    assert!(leaf.hear("PONG").contains("-ERR 'Invalid Subscription'"));
    let mut client = support::whose::Client::new(hub.clients, support::whose::OPEN);
    client.hear("PONG");
    client.send("SUB a q 1\r\nPING\r\n");
    client.hear("PONG");
    leaf.send("LMSG a | q q q q 1\r\nx\r\nPING\r\n");
    leaf.hear("PONG");
    client.send("PING\r\n");
    assert_eq!(client.hear("PONG").matches("MSG a 1 1\r\n").count(), 1, "a group that is named twice is one group");
}

#[tokio::test]
async fn one_that_does_not_read_is_left_and_slows_nobody() {
    let hub = Hub::start(Whose::Ours, "", "write_deadline: \"1s\"\nmax_pending: 4mb");
    let mut leaf = Leaf::linked(&hub, "{\"version\":\"2.15.1\"}");
    leaf.send("LS+ a\r\nPING\r\n");
    leaf.hear("PONG");
    let client = hub.client().await;
    let body = vec![b'x'; 256 << 10];
    let start = Instant::now();
    while hub.leaf_count() > 0 {
        assert!(start.elapsed() < LIMIT, "it is still there");
        // It says something now and then, and reads nothing.
        let _ = leaf.0.write_all(b"PING\r\n");
        for _ in 0..10 {
            client.publish("a", body.clone().into()).await.unwrap();
        }
        client.flush().await.unwrap();
    }
}

/// A leaf node by hand.
struct Leaf(TcpStream, String);

impl Leaf {
    /// One that has been let in.
    fn linked(hub: &Hub, connect: &str) -> Self {
        let stream = TcpStream::connect(hub.leafs).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut leaf = Self(stream, String::new());
        leaf.hear("\r\n");
        leaf.send(&format!("CONNECT {connect}\r\n"));
        leaf.hear("LS+ $LDS.");
        leaf
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until `text` has come; returns all that has come since the last time.
    fn hear(&mut self, text: &str) -> String {
        while !self.1.contains(text) {
            assert!(self.read() > 0, "{text:?} has not come before the end: {:?}", self.1);
        }
        std::mem::take(&mut self.1)
    }

    /// Reads to the end.
    fn hear_all(&mut self) -> String {
        while self.read() > 0 {}
        std::mem::take(&mut self.1)
    }

    fn read(&mut self) -> usize {
        let mut chunk = [0; 4096];
        let len =
            self.0.read(&mut chunk).unwrap_or_else(|error| panic!("nothing more has come: {error}; {:?}", self.1));
        self.1.push_str(&String::from_utf8_lossy(&chunk[..len]));
        len
    }
}
