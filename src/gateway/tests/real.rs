//! Against a real nats-server, with clients of its own kind on it.

use super::double::{Node, config, until};
use async_nats::{Client, ConnectOptions, HeaderMap, Subscriber};
use futures_util::StreamExt;
use lattice_broker::env::Env;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// A running nats-server; killed when dropped.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
    clients: u16,
    leafs: u16,
}

impl Server {
    /// Starts one on free ports. `leaf` goes into its `leafnodes` block, `rest` to the top level.
    async fn start(leaf: &str, rest: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(folder.path(), -1, -1, leaf, rest);
        let mut server = Self { child, folder, clients: 0, leafs: 0 };
        // The leaf nodes' port is told in the log alone.
        let file = server.folder.path().join("server.log");
        until("the server's ports", || {
            let log = std::fs::read_to_string(&file).unwrap_or_default();
            let port = |kind: &str| {
                let (_, rest) = log.split_once(&format!("Listening for {kind} connections on 127.0.0.1:"))?;
                rest.split_once('\n')?.0.trim().parse().ok()
            };
            let (Some(clients), Some(leafs)) = (port("client"), port("leafnode")) else { return false };
            (server.clients, server.leafs) = (clients, leafs);
            true
        })
        .await;
        server
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, on the same ports.
    fn restart(&mut self) {
        self.child = spawn(self.folder.path(), self.clients.into(), self.leafs.into(), "", "");
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.leafs)
    }

    async fn client(&self) -> Client {
        self.client_as(ConnectOptions::new()).await
    }

    async fn client_as(&self, options: ConnectOptions) -> Client {
        options.connect(format!("127.0.0.1:{}", self.clients)).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &Path, clients: i32, leafs: i32, leaf: &str, rest: &str) -> Child {
    let config = folder.join("server.conf");
    let text = format!(
        "listen: \"127.0.0.1:{clients}\"\nserver_name: hub\n\
         leafnodes {{ listen: \"127.0.0.1:{leafs}\"\n{leaf}\n}}\n{rest}\n"
    );
    std::fs::write(&config, text).unwrap();
    let binary = binary();
    let log = std::fs::File::create(folder.join("server.log")).unwrap();
    Command::new(&binary)
        .arg("-c")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("{} cannot be run: {error}", binary.display()))
}

fn binary() -> PathBuf {
    let path = std::env::var_os("LATTICE_NATS_SERVER")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".work/nats-server"), PathBuf::from);
    assert!(
        path.is_file(),
        "this test needs a real nats-server 2.15.1, and {} is none: run .ci/fetch-tools, or let LATTICE_NATS_SERVER \
         name one",
        path.display(),
    );
    path
}

/// What the server's client gets next.
async fn next(subscriber: &mut Subscriber) -> async_nats::Message {
    Env::tokio().timeout(LIMIT, subscriber.next()).await.expect("a message in time").expect("a message")
}

/// Subscribes at the server, and waits until the node knows.
async fn subscribed(client: &Client, node: &Node, subject: &str, queue: Option<&str>) -> Subscriber {
    let subscriber = match queue {
        Some(queue) => client.queue_subscribe(subject.to_owned(), queue.to_owned()).await.unwrap(),
        None => client.subscribe(subject.to_owned()).await.unwrap(),
    };
    client.flush().await.unwrap();
    until(&format!("interest in {subject}"), || node.bus.wants(subject, queue) > 0).await;
    subscriber
}

/// Publishes at the server until the node gets it: when the server has learnt of interest shows in nothing else.
async fn published(client: &Client, node: &Node, subject: &str) {
    let env = Env::tokio();
    let limit = env.now() + LIMIT;
    while !node.bus.received().iter().any(|message| message.subject == subject) {
        assert!(env.now() < limit, "{subject} does not arrive");
        client.publish(subject.to_owned(), "probe".into()).await.unwrap();
        client.flush().await.unwrap();
        env.sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn messages_go_both_ways_in_order_with_headers_and_groups() {
    let server = Server::start("", "").await;
    let node = Node::start(config(&server.url(), "n1"));
    // Interest from before the link, and from after.
    node.subscribe("up.*", None, 1);
    node.until_linked().await;
    assert_eq!(node.gateway.status().server.as_deref(), Some("hub"));
    node.subscribe("work", Some("q"), 2);
    node.subscribe("ready", None, 1);
    let client = server.client().await;
    published(&client, &node, "ready").await;
    for n in 0..1000 {
        client.publish("up.a", format!("{n}").into()).await.unwrap();
    }
    let mut headers = HeaderMap::new();
    headers.insert("Key", "value");
    client.publish_with_reply_and_headers("up.h", "answer.here", headers, "body".into()).await.unwrap();
    client.publish("work", "job".into()).await.unwrap();
    client.flush().await.unwrap();
    let from = |subject: &'static str| {
        let received = node.bus.received();
        received.into_iter().filter(move |message| message.subject == subject).collect::<Vec<_>>()
    };
    until("all messages", || from("up.a").len() == 1000 && from("up.h").len() == 1 && from("work").len() == 1).await;
    let numbers: Vec<_> =
        from("up.a").iter().map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect();
    assert_eq!(numbers, (0..1000).map(|n| n.to_string()).collect::<Vec<_>>());
    let with_headers = &from("up.h")[0];
    assert_eq!(with_headers.header, "NATS/1.0\r\nKey: value\r\n\r\n");
    assert_eq!((with_headers.reply.as_deref(), &with_headers.payload[..]), (Some("answer.here"), &b"body"[..]));
    assert!(with_headers.groups.is_empty() && with_headers.via.is_some());
    assert_eq!(from("work")[0].groups, ["q"]);

    let mut plain = subscribed(&client, &node, "down.>", None).await;
    let mut group = subscribed(&client, &node, "down.q", Some("g")).await;
    for n in 0..1000 {
        node.deliver("down.a", None, "", format!("{n}").as_bytes(), &[]);
    }
    for n in 0..1000 {
        assert_eq!(&next(&mut plain).await.payload[..], format!("{n}").as_bytes());
    }
    node.deliver("down.h", Some("r"), "NATS/1.0\r\nKey: value\r\n\r\n", b"body", &[]);
    let message = next(&mut plain).await;
    assert_eq!(message.headers.unwrap().get("Key").unwrap().as_str(), "value");
    assert_eq!((message.reply.as_deref(), &message.payload[..]), (Some("r"), &b"body"[..]));
    // Named groups get it, others do not.
    node.deliver("down.q", None, "", b"nobody", &["other"]);
    node.deliver("down.q", None, "", b"g", &["g", "g"]);
    assert_eq!(&next(&mut group).await.payload[..], b"g");
    assert_eq!(node.count("messages_out"), 1003);
    drop(group);
    until("the withdrawal", || node.bus.wants("down.q", Some("g")) == 0).await;
}

#[tokio::test]
async fn an_answer_finds_back_although_its_inbox_is_not_known_yet() {
    let server = Server::start("", "").await;
    let node = Node::linked(&server.url(), "n1").await;
    let client = server.client().await;
    let mut service = subscribed(&client, &node, "service", None).await;
    node.deliver("service", Some("_INBOX.elsewhere.1"), "", b"?", &[]);
    let request = next(&mut service).await;
    client.publish(request.reply.unwrap(), "!".into()).await.unwrap();
    client.flush().await.unwrap();
    until("the answer", || node.bus.received().iter().any(|message| message.subject == "_INBOX.elsewhere.1")).await;
    // And the other way: the server's own clients ask, we answer.
    node.subscribe("ours", None, 1);
    node.subscribe("ready", None, 1);
    published(&client, &node, "ready").await;
    let asking = client.clone();
    let (answer, asked) = (asking.request("ours", "?".into()), async {
        until("the question", || node.bus.received().iter().any(|message| message.subject == "ours")).await;
        let received = node.bus.received();
        let question = received.iter().find(|message| message.subject == "ours").unwrap();
        node.deliver(question.reply.as_ref().unwrap(), None, "", b"!", &[]);
    });
    let (answer, ()) = futures_util::future::join(answer, asked).await;
    assert_eq!(&answer.unwrap().payload[..], b"!");
}

#[tokio::test]
async fn a_killed_server_is_found_again() {
    let mut server = Server::start("", "").await;
    let node = Node::linked(&server.url(), "n1").await;
    node.subscribe("up", None, 1);
    let client = server.client().await;
    published(&client, &node, "up").await;
    let _gone = subscribed(&client, &node, "down", None).await;
    drop(client);
    server.kill();
    until("the loss", || !node.gateway.status().connected && node.bus.interest_is_empty()).await;
    node.subscribe("while.away", None, 1);
    server.restart();
    node.until_linked().await;
    let client = server.client().await;
    published(&client, &node, "while.away").await;
    let before = node.bus.received().len();
    client.publish("up", "again".into()).await.unwrap();
    client.flush().await.unwrap();
    until("traffic", || node.bus.received().len() > before).await;
    // Another subject than before: the old subscriber comes back as well, and its interest would pass for this one's.
    let mut after = subscribed(&client, &node, "after", None).await;
    node.deliver("after", None, "", b"x", &[]);
    assert_eq!(&next(&mut after).await.payload[..], b"x");
    assert_eq!(node.count("connects"), 2);
}

#[tokio::test]
async fn what_the_server_forbids_does_not_cost_the_link() {
    let accounts = r#"
        max_payload: 1024
        accounts { A { users: [
            { user: leaf, password: "p@ss", permissions: { publish: { allow: ["up.>"], deny: ["up.secret"] }, subscribe: ["down.>"] } }
            { user: all, password: all }
        ] } }"#;
    let server = Server::start("", accounts).await;
    let url = server.url().replace("//", "//leaf:p%40ss@");
    let node = Node::linked(&url, "n1").await;
    assert!(!node.gateway.status().url.contains("leaf"));
    let client = server.client_as(ConnectOptions::with_user_and_password("all".into(), "all".into())).await;
    let mut all = subscribed(&client, &node, ">", None).await;
    node.subscribe("elsewhere", None, 1);
    node.subscribe("down.a", None, 1);
    node.deliver("elsewhere", None, "", b"", &[]);
    node.deliver("up.secret", None, "", b"", &[]);
    node.deliver("up.large", None, "", &[b'x'; 1025], &[]);
    node.deliver("$JS.API.INFO", None, "", b"", &[]);
    node.deliver("$SYS.REQ.ELSEWHERE", None, "", b"", &[]);
    node.deliver("up.fits", None, "", &[b'x'; 1024], &[]);
    assert_eq!(next(&mut all).await.subject.as_str(), "up.fits");
    published(&client, &node, "down.a").await;
    let dropped = ["not_permitted", "too_large", "denied"].map(|why| node.count(&format!("out_dropped_{why}")));
    assert_eq!(dropped, [3, 1, 1]);
    assert_eq!((node.count("connects"), node.count("failures")), (1, 0));
}

#[tokio::test]
async fn refusals_are_named() {
    let server =
        Server::start("authorization { user: u, password: p }", "cluster { name: taken, listen: \"127.0.0.1:-1\" }")
            .await;
    let address = server.url().replace("nats://", "");
    let clients = format!("nats://127.0.0.1:{}", server.clients);
    let mut namesake = config(&format!("nats://u:p@{address}"), "n1");
    namesake.cluster = "taken".to_owned();
    for (config, reason) in [
        (config(&format!("nats://u:wrong@{address}"), "n1"), "Authorization Violation"),
        (config(&clients, "n1"), "port for clients"),
        (namesake, "same cluster name"),
    ] {
        let node = Node::start(config);
        until(reason, || node.gateway.status().error.is_some_and(|error| error.contains(reason))).await;
        node.gateway.stop().await;
    }
    Node::linked(&format!("nats://u:p@{address}"), "n1").await.gateway.stop().await;
    let server = Server::start("", "authorization { token: t0k }").await;
    Node::linked(&server.url().replace("//", "//t0k@"), "n1").await.gateway.stop().await;
}

#[tokio::test]
async fn two_nodes_of_a_lattice_never_hear_each_other_through_the_server() {
    let server = Server::start("", "").await;
    let (one, two) = (Node::linked(&server.url(), "n1").await, Node::linked(&server.url(), "n2").await);
    two.subscribe("x", None, 1);
    two.subscribe("ready", None, 1);
    let client = server.client().await;
    published(&client, &two, "ready").await;
    let mut at_server = subscribed(&client, &one, "x", None).await;
    one.deliver("x", None, "", b"from one", &[]);
    assert_eq!(&next(&mut at_server).await.payload[..], b"from one");
    // A message that comes later to the second shows that the first one's never does.
    client.publish("x", "from the server".into()).await.unwrap();
    client.flush().await.unwrap();
    until("the server's", || two.bus.received().iter().any(|message| message.subject == "x")).await;
    let got: Vec<_> = two.bus.received().into_iter().filter(|message| message.subject == "x").collect();
    assert_eq!((got.len(), &got[0].payload[..]), (1, &b"from the server"[..]));
    assert_eq!((one.count("failures"), two.count("failures")), (0, 0));
    // One takes over from the other.
    one.gateway.set_active(false);
    until("the standby", || one.bus.interest_is_empty()).await;
    assert!(two.gateway.status().connected);
}
