//! Several servers as one: a cluster of ours beside one of real nats-servers, told the same and asked the same.

use crate::support::clients::{connect_all, joined, wait_told};
use crate::support::http::get;
use crate::support::process::Process;
use crate::support::whose::Whose;
use crate::support::{LIMIT, ports, scenario};

use async_nats::{Client, ConnectOptions};
use futures_util::{FutureExt, StreamExt};
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;

/// A server of a cluster, and where clients find it.
struct Server {
    process: Process,
    address: SocketAddr,
    cluster: u16,
    _folder: TempDir,
}

impl Server {
    /// Starts one that knows the server whose cluster port is `route`, with `config` besides.
    fn start(whose: Whose, password: &str, route: Option<u16>, config: &str) -> Self {
        let (folder, cluster) = (tempfile::tempdir().unwrap(), ports::free());
        let routes = route.map(|port| format!("routes: [\"nats-route://u:{password}@127.0.0.1:{port}\"]"));
        let text = format!(
            "listen: \"127.0.0.1:-1\"\n{config}\ncluster {{ name: X, listen: \"127.0.0.1:{cluster}\"\n\
             authorization {{ user: u, password: {password} }}\n{} }}\n",
            routes.unwrap_or_default(),
        );
        let file = folder.path().join("server.conf");
        std::fs::write(&file, text).unwrap();
        let (process, address) = whose.start(&["-c", file.to_str().unwrap()]);
        Self { process, address, cluster, _folder: folder }
    }

    fn url(&self) -> String {
        format!("nats://{}", self.address)
    }
}

/// Three, of which each knows the one before.
fn three(whose: Whose, config: &str) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    for _ in 0..3 {
        servers.push(Server::start(whose, "p", servers.last().map(|server| server.cluster), config));
    }
    told_of_each_other(&servers.iter().collect::<Vec<_>>());
    servers
}

fn told_of_each_other(servers: &[&Server]) {
    let all: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
    all.iter().for_each(|address| wait_told(*address, &all));
}

async fn one_service(whose: Whose) {
    let mut servers = three(whose, "");
    let urls: Vec<String> = servers.iter().map(Server::url).collect();
    let clients = connect_all(&urls).await;
    joined(&clients[0], &clients[2]).await;
    scenario::in_order(&clients[0], &clients[2], 2_000).await;
    scenario::headers(&clients[2], &clients[1]).await;
    scenario::requests(&clients[1], &clients[2], 100).await;
    scenario::one_member_each(&clients[0], &clients[1..], 2_000).await;
    scenario::nobody_serves(&clients[0]).await;
    // What was told is true: a client of the first goes on at one of the others.
    servers[0].process.kill();
    told_of_each_other(&[&servers[1], &servers[2]]);
    joined(&clients[0], &clients[2]).await;
    scenario::in_order(&clients[0], &clients[2], 500).await;
}

/// Goal: those who watch are told where clients find the service, all of them.
async fn watchers_are_told_where_the_service_is(whose: Whose) {
    let http = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let first = Server::start(whose, "p", None, &format!("http: \"{http}\""));
    let second = Server::start(whose, "p", Some(first.cluster), "");
    told_of_each_other(&[&first, &second]);
    let told = get(http, "/varz").json();
    let mut urls: Vec<SocketAddr> = serde_json::from_value(told["connect_urls"].clone()).unwrap();
    urls.sort_unstable();
    let mut all = [first.address, second.address];
    all.sort_unstable();
    assert_eq!(urls, all, "{told}");
}

/// Goal: who shows another password is no part of it.
async fn strangers_stay_out(whose: Whose) {
    let first = Server::start(whose, "p", None, "");
    let stranger = Server::start(whose, "q", Some(first.cluster), "");
    // It comes later, and is in when the stranger is not.
    let second = Server::start(whose, "p", Some(first.cluster), "");
    told_of_each_other(&[&first, &second]);
    drop(stranger);
}

const ACCOUNTS: &str = "accounts {
    A { users: [{user: a, password: p}], exports: [{service: help}, {stream: news}] }
    B { users: [{user: b, password: p}], imports: [{service: {account: A, subject: help}, to: ask}, {stream: {account: A, subject: news}}] }
}";

async fn user(server: &Server, name: &str) -> Client {
    let options = ConnectOptions::with_user_and_password(name.to_owned(), "p".to_owned());
    options.request_timeout(Some(Duration::from_secs(5))).connect(server.url()).await.unwrap()
}

/// Goal: an account is the same on all servers and apart from others, but for what it exports.
async fn accounts_span_servers(whose: Whose) {
    let servers = three(whose, ACCOUNTS);
    let (a, other_a, b) = (user(&servers[0], "a").await, user(&servers[1], "a").await, user(&servers[2], "b").await);
    let (mut near, mut far) = (other_a.subscribe("x").await.unwrap(), b.subscribe("x").await.unwrap());
    let mut news = b.subscribe("news").await.unwrap();
    joined(&a, &other_a).await;
    joined(&other_a, &a).await;
    let mut asked = a.subscribe("help").await.unwrap();
    let helper = tokio::spawn(async move {
        let request = asked.next().await.unwrap();
        a.publish(request.reply.unwrap(), request.payload).await.unwrap();
        a
    });
    let answer = loop {
        match b.request("ask", "1".into()).await {
            Ok(answer) => break answer,
            // Where it is served has not become known here yet.
            Err(error) if error.kind() == async_nats::client::RequestErrorKind::NoResponders => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(&answer.payload[..], b"1");
    let a = helper.await.unwrap();
    let mut sent = 0;
    let first = loop {
        a.publish("news", "2".into()).await.unwrap();
        sent += 1;
        let soon = tokio::time::timeout(Duration::from_millis(200), news.next()).await;
        if let Ok(first) = soon {
            break first.unwrap();
        }
        assert!(sent < 300, "the stream does not come");
    };
    assert_eq!(&first.payload[..], b"2");
    a.publish("x", "3".into()).await.unwrap();
    let heard = tokio::time::timeout(LIMIT, near.next()).await.unwrap().unwrap();
    assert_eq!(&heard.payload[..], b"3");
    // What was sent to B before is there when this returns, and nothing of A's is.
    b.flush().await.unwrap();
    assert!(far.next().now_or_never().is_none());
}

const MAPPINGS: &str = "mappings {
    t.a: t.b
    t.b: t.c
    t.d: [ {dest: t.here, weight: 100%, cluster: X}, {dest: t.there, weight: 100%, cluster: Y}, {dest: t.e, weight: 100%} ]
}";

/// Goal: a message is mapped once, where it is published, and by what is said of that cluster.
async fn mapped_once(whose: Whose) {
    let servers = three(whose, MAPPINGS);
    let urls: Vec<String> = servers.iter().map(Server::url).collect();
    let clients = connect_all(&urls).await;
    let mut arrived = clients[2].subscribe("t.>").await.unwrap();
    joined(&clients[0], &clients[2]).await;
    for subject in ["t.a", "t.b", "t.d"] {
        clients[0].publish(subject, "".into()).await.unwrap();
    }
    for expected in ["t.b", "t.c", "t.here"] {
        let message = tokio::time::timeout(LIMIT, arrived.next()).await.unwrap().unwrap();
        assert_eq!(message.subject.as_str(), expected, "{whose:?}");
    }
}

/// Goal: a route to a real nats-server, which can come to nothing, is told of by name.
#[test]
fn a_real_server_at_the_other_end_is_told_of() {
    let real = Server::start(Whose::Real, "p", None, "");
    let mut ours = Server::start(Whose::Ours, "p", Some(real.cluster), "");
    let at = format!("127.0.0.1:{}: a real nats-server answers there", real.cluster);
    ours.process.wait_line(&at, |line| (line.contains("[ERR]") && line.contains(&at)).then_some(()));
}

macro_rules! of_both {
    ($($name:ident)*) => {
        mod real {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name(super::Whose::Real).await; })*
        }

        mod ours {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name(super::Whose::Ours).await; })*
        }
    };
}

of_both! {
    one_service
    watchers_are_told_where_the_service_is
    strangers_stay_out
    accounts_span_servers
    mapped_once
}
