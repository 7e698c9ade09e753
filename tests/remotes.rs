//! The broker in the place of a nats-server as a leaf node of another server: of a real one, and of its own kind.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]

#[path = "../broker/tests/support/jwt.rs"]
mod jwt;
mod support;

use async_nats::Client;
use futures_util::StreamExt;
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer};
use serde_json::json;
use std::net::SocketAddr;
use support::clients::{connect, joined};
use support::process::Process;
use support::whose::{BOTH, Whose, folder, path, write};
use support::{LIMIT, ports};
use tempfile::TempDir;

/// A server, and where its clients connect.
struct Server {
    process: Process,
    clients: SocketAddr,
    _folder: TempDir,
}

impl Server {
    fn start(whose: Whose, config: &str) -> Self {
        let folder = folder();
        let file = write(&folder, "server.conf", config);
        let (process, clients) = whose.start(&["-c", &file]);
        Self { process, clients, _folder: folder }
    }

    /// One with a port for leaf nodes, and what its block has besides.
    fn hub(whose: Whose, leafs: u16, leafnodes: &str, config: &str) -> Self {
        let text =
            format!("listen: \"127.0.0.1:-1\"\nleafnodes {{ listen: \"127.0.0.1:{leafs}\"\n{leafnodes} }}\n{config}\n");
        Self::start(whose, &text)
    }

    /// Ours, with these remotes.
    fn leaf(remotes: &str, config: &str) -> Self {
        Self::start(
            Whose::Ours,
            &format!("listen: \"127.0.0.1:-1\"\nleafnodes {{ remotes: [ {remotes} ] }}\n{config}\n"),
        )
    }

    async fn client(&self) -> Client {
        connect(&format!("nats://{}", self.clients)).await
    }

    async fn client_as(&self, user: &str) -> Client {
        let options = async_nats::ConnectOptions::with_user_and_password(user.to_owned(), user.to_owned());
        options.connect(self.clients.to_string()).await.unwrap()
    }
}

async fn next(subscription: &mut async_nats::Subscriber) -> String {
    let message = tokio::time::timeout(LIMIT, subscription.next()).await.expect("a message comes").unwrap();
    String::from_utf8(message.payload.to_vec()).unwrap()
}

async fn both_ways(one: &Client, other: &Client) {
    joined(one, other).await;
    joined(other, one).await;
}

/// A certificate for `localhost`, and who has signed it; returns the `tls` block of a server.
fn certificates(folder: &TempDir) -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority");
    let key = rcgen::KeyPair::generate().unwrap();
    write(folder, "ca.pem", &params.self_signed(&key).unwrap().pem());
    let authority = Issuer::new(params, key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let (certificate, key) =
        (write(folder, "server.pem", &certificate.pem()), write(folder, "server.key", &key.serialize_pem()));
    format!("tls {{ cert_file: {certificate:?}, key_file: {key:?} }}")
}

#[tokio::test]
async fn messages_and_requests_cross_and_the_link_comes_back() {
    for whose in BOTH {
        let leafs = ports::free();
        // The first address leads nowhere: the other one is tried.
        let urls = format!("{{ urls: [\"nats://127.0.0.1:{}\", \"nats://127.0.0.1:{leafs}\"] }}", ports::free());
        let leaf = Server::leaf(&urls, "server_name: edge");
        let below = leaf.client().await;
        for _ in 0..2 {
            let mut hub = Server::hub(whose, leafs, "", "");
            let above = hub.client().await;
            both_ways(&above, &below).await;
            let mut down = below.subscribe("down.*").await.unwrap();
            both_ways(&above, &below).await;
            for n in 0..200 {
                above.publish("down.a", n.to_string().into()).await.unwrap();
            }
            for n in 0..200 {
                assert_eq!(next(&mut down).await, n.to_string(), "{whose:?}");
            }
            let nobody = below.request("svc.none", "".into()).await.unwrap_err();
            assert_eq!(nobody.kind(), async_nats::client::RequestErrorKind::NoResponders);
            hub.process.kill();
        }
    }
}

#[tokio::test]
async fn a_remote_has_an_account_and_subjects_that_stay() {
    let accounts = "accounts { A { users: [{user: a, password: a}] }, B { users: [{user: b, password: b}] } }";
    for whose in BOTH {
        let leafs = ports::free();
        let hub = Server::hub(whose, leafs, "", accounts);
        let remote = format!(
            "{{ url: \"nats://b:b@127.0.0.1:{leafs}\", account: A, deny_imports: [\"in.no\"], deny_exports: \"out.no\" }}"
        );
        let leaf = Server::leaf(&remote, accounts);
        let (above, below, apart) = (hub.client_as("b").await, leaf.client_as("a").await, leaf.client_as("b").await);
        both_ways(&above, &below).await;
        let mut there = above.subscribe("out.*").await.unwrap();
        let mut here = below.subscribe("in.*").await.unwrap();
        let mut elsewhere = apart.subscribe(">").await.unwrap();
        both_ways(&above, &below).await;
        for (client, subject) in [(&below, "out.no"), (&below, "out.yes"), (&above, "in.no"), (&above, "in.yes")] {
            client.publish(subject, subject.into()).await.unwrap();
        }
        assert_eq!([next(&mut there).await, next(&mut here).await], ["out.yes", "in.yes"], "{whose:?}");
        apart.publish("mark", "mark".into()).await.unwrap();
        assert_eq!(next(&mut elsewhere).await, "mark", "{whose:?}");
    }
}

#[tokio::test]
async fn tls_begins_where_it_is_asked_for_and_only_with_whom_it_should() {
    let world = folder();
    let tls = certificates(&world);
    let ca = path(&world, "ca.pem");
    for whose in BOTH {
        for (scheme, first) in [("tls", ""), ("nats", ""), ("nats", "handshake_first: true")] {
            let leafs = ports::free();
            let tls = tls.replace('}', &format!(", {first} }}"));
            let hub = Server::hub(whose, leafs, &tls, "");
            let remote = format!("{{ url: \"{scheme}://localhost:{leafs}\", tls {{ ca_file: {ca:?}, {first} }} }}");
            let leaf = Server::leaf(&remote, "");
            both_ways(&hub.client().await, &leaf.client().await).await;
        }
        let (secure, open) = (ports::free(), ports::free());
        let _hubs = [Server::hub(whose, secure, &tls, ""), Server::hub(whose, open, "", "")];
        let other = folder();
        certificates(&other);
        let stranger = path(&other, "ca.pem");
        for (remote, expected) in [
            (format!("{{ url: \"nats://localhost:{secure}\", tls {{ ca_file: {stranger:?} }} }}"), "TLS handshake"),
            (format!("{{ url: \"nats://127.0.0.1:{secure}\", tls {{ ca_file: {ca:?} }} }}"), "TLS handshake"),
            (format!("{{ url: \"tls://localhost:{open}\" }}"), "leaf-node port has none"),
        ] {
            let mut leaf = Server::leaf(&remote, "");
            leaf.process.wait_line(expected, |line| line.contains(expected).then_some(()));
        }
    }
}

#[tokio::test]
async fn keys_and_files_of_credentials_are_shown() {
    for whose in BOTH {
        let (user, leafs) = (KeyPair::new_user(), ports::free());
        let hub = Server::hub(whose, leafs, &format!("authorization {{ nkey: {} }}", user.public_key()), "");
        let remote = format!("{{ url: \"nats://127.0.0.1:{leafs}\", nkey: {} }}", user.seed().unwrap());
        both_ways(&hub.client().await, &Server::leaf(&remote, "").client().await).await;

        let (operator, system, account) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
        let (keys, leafs) = (folder(), ports::free());
        let token = |pair: &KeyPair| jwt::account(&operator, pair, &json!({}), &json!({}));
        let config = format!(
            "operator: {}\nresolver: MEMORY\nsystem_account: {}\nresolver_preload: {{ {}: {}\n {}: {} }}",
            jwt::operator(&operator, &json!({})),
            system.public_key(),
            system.public_key(),
            token(&system),
            account.public_key(),
            token(&account),
        );
        let hub = Server::hub(whose, leafs, "", &config);
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            jwt::user(&account, &user, &json!({}), &json!({})),
            user.seed().unwrap()
        );
        let creds = write(&keys, "user.creds", &text);
        let leaf = Server::leaf(&format!("{{ url: \"nats://127.0.0.1:{leafs}\", credentials: {creds:?} }}"), "");
        let above = async_nats::ConnectOptions::with_credentials_file(&creds).await.unwrap();
        let above = above.connect(hub.clients.to_string()).await.unwrap();
        both_ways(&above, &leaf.client().await).await;
    }
}

#[tokio::test]
async fn servers_that_are_leaf_nodes_of_each_other_find_the_loop() {
    let (first, second) = (ports::free(), ports::free());
    let config = |at: u16, other: u16| {
        format!(
            "listen: \"127.0.0.1:-1\"\nleafnodes {{ listen: \"127.0.0.1:{at}\", remotes: [{{url: \"nats://127.0.0.1:{other}\"}}] }}\n"
        )
    };
    let mut one = Server::start(Whose::Ours, &config(first, second));
    let other = Server::start(Whose::Ours, &config(second, first));
    one.process.wait_line("the loop", |line| line.to_lowercase().contains("loop").then_some(()));
    // Whichever links are left for the next half a minute, nothing goes round: each message comes once.
    let here = one.client().await;
    let mut all = here.subscribe(">").await.unwrap();
    for n in 0..100 {
        here.publish("n", n.to_string().into()).await.unwrap();
    }
    here.publish("n", "end".into()).await.unwrap();
    for n in 0..100 {
        assert_eq!(next(&mut all).await, n.to_string());
    }
    assert_eq!(next(&mut all).await, "end");
    drop(other);
}

#[tokio::test]
async fn another_address_is_tried_when_one_refuses() {
    for whose in BOTH {
        let (strict, open) = (ports::free(), ports::free());
        let _strict = Server::hub(whose, strict, "authorization { user: a, password: b }", "");
        let hub = Server::hub(whose, open, "", "");
        let urls =
            format!("{{ urls: [\"nats://127.0.0.1:{strict}\", \"nats://127.0.0.1:{open}\"], no_randomize: true }}");
        let leaf = Server::leaf(&urls, "");
        both_ways(&hub.client().await, &leaf.client().await).await;
    }
}

#[test]
fn what_cannot_be_is_said_at_the_start() {
    let folder = folder();
    for (config, expected) in [
        ("leafnodes { remotes: [{url: \"nats://h\", account: X}] }", "account \"X\" is none of those"),
        ("leafnodes { remotes: [{urls: [\"nats://h\", \"nats://H:7422\"]}] }", "there twice for the same account"),
        ("leafnodes { remotes: [{url: \"nats://h\"}] }\ncluster { port: -1 }", "leave cluster out"),
        ("leafnodes { remotes: [{url: \"nats://u:s3cret@h:0\"}] }", "accepted is nats:// or tls://"),
    ] {
        let file = write(&folder, "server.conf", config);
        let finished = Whose::Ours.run(&["-c", &file, "-t"]);
        assert!(finished.stderr.contains(expected), "{config}: {}", finished.stderr);
        assert!(!finished.stderr.contains("s3cret"), "{}", finished.stderr);
    }
}
