//! The broker in the place of a nats-server with an operator: client libraries with credentials, and reloads.
//!
//! Each story is told to ours and to the real one.
use crate::jwt;
use crate::support::LIMIT;
use crate::support::process::Process;
use crate::support::whose::{BOTH, Whose};
use async_nats::{Client, ConnectOptions, Event};
use futures_util::StreamExt as _;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

struct World {
    folder: TempDir,
    operator: KeyPair,
    system: KeyPair,
    account: KeyPair,
    user: KeyPair,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (operator, user) = (KeyPair::new_operator(), KeyPair::new_user());
        Self { folder, operator, system: KeyPair::new_account(), account: KeyPair::new_account(), user }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// A config file by which the server knows the account that says `nats`, in memory.
    fn config(&self, nats: &Value) -> String {
        let system = jwt::account(&self.operator, &self.system, &json!({}), &json!({}));
        let account = jwt::account(&self.operator, &self.account, nats, &json!({}));
        fs::write(self.path("op.jwt"), jwt::operator(&self.operator, &json!({}))).unwrap();
        let text = format!(
            "listen: \"127.0.0.1:-1\"\noperator: {:?}\nresolver: MEMORY\nsystem_account: {}\n\
             resolver_preload: {{\n  {}: {system}\n  {}: {account}\n}}\n",
            self.path("op.jwt"),
            self.system.public_key(),
            self.system.public_key(),
            self.account.public_key(),
        );
        let path = self.path("server.conf");
        fs::write(&path, text).unwrap();
        path
    }

    /// A config file of tokens of version 1, without a system account.
    fn config_of_version_1(&self) -> String {
        let key = |pair: &KeyPair| pair.public_key();
        let limits = json!({
            "subs": -1, "conn": -1, "imports": -1, "exports": -1, "data": -1, "payload": -1, "wildcards": true,
        });
        let operator = jwt::sign_first(&self.operator, &key(&self.operator), "operator", &json!({}));
        let account = jwt::sign_first(&self.operator, &key(&self.account), "account", &json!({ "limits": limits }));
        let preload = format!("resolver_preload: {{ {}: {account} }}", key(&self.account));
        let text = format!("listen: \"127.0.0.1:-1\"\noperator: {operator}\nresolver: MEMORY\n{preload}\n");
        fs::write(self.path("first.conf"), text).unwrap();
        self.path("first.conf")
    }

    /// The file of a user's credentials, as nsc writes it.
    fn credentials(&self, issuer: &KeyPair, more: &Value) -> String {
        self.credentials_of(&jwt::user(issuer, &self.user, &json!({}), more))
    }

    fn credentials_of(&self, token: &str) -> String {
        let seed = self.user.seed().unwrap();
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        let path = self.path("user.creds");
        fs::write(&path, text).unwrap();
        path
    }
}

/// A client with these credentials, and what happens to it.
async fn connect(at: SocketAddr, credentials: &str) -> Result<(Client, UnboundedReceiver<Event>), String> {
    let (told, events) = unbounded_channel();
    let options = ConnectOptions::with_credentials_file(credentials).await.unwrap().max_reconnects(1);
    let options = options.event_callback(move |event| {
        let told = told.clone();
        async move { drop(told.send(event)) }
    });
    options.connect(at.to_string()).await.map(|client| (client, events)).map_err(|error| error.to_string())
}

async fn wait_event(events: &mut UnboundedReceiver<Event>, text: &str) {
    let wait = async {
        loop {
            let event = events.recv().await.expect("the client is there");
            if event.to_string().contains(text) {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("never {text:?}"));
}

fn start(whose: Whose, config: &str) -> (Process, SocketAddr) {
    whose.start(&["-c", config])
}

fn reload(server: &mut Process) {
    server.tell("HUP");
    server.wait_line("that it has reloaded", |line| line.contains("Reloaded server configuration").then_some(()));
}

/// A request and its answer between two clients with the same credentials.
async fn talk(at: SocketAddr, credentials: &str) {
    let (serving, _) = connect(at, credentials).await.unwrap();
    let mut requests = serving.subscribe("help").await.unwrap();
    serving.flush().await.unwrap();
    let answering = async {
        let request = requests.next().await.unwrap();
        serving.publish(request.reply.unwrap(), "ho".into()).await.unwrap();
        serving.flush().await.unwrap();
    };
    let (asking, _) = connect(at, credentials).await.unwrap();
    let (answer, ()) = tokio::join!(asking.request("help", "hi".into()), answering);
    assert_eq!(&answer.unwrap().payload[..], b"ho");
}

#[tokio::test]
async fn clients_come_in_with_credentials_and_go_when_these_are_revoked() {
    for whose in BOTH {
        let world = World::new();
        let (mut server, at) = start(whose, &world.config(&json!({})));
        let credentials = world.credentials(&world.account, &json!({}));
        talk(at, &credentials).await;
        let (_client, mut events) = connect(at, &credentials).await.unwrap();
        let revoked = json!({ "revocations": { world.user.public_key(): jwt::ISSUED } });
        world.config(&revoked);
        reload(&mut server);
        wait_event(&mut events, "disconnected").await;
        let refused = connect(at, &credentials).await.unwrap_err();
        assert!(refused.contains("authorization violation"), "{whose:?}: {refused}");
    }
}

#[tokio::test]
async fn credentials_of_others_and_of_yesterday_are_refused() {
    for whose in BOTH {
        let world = World::new();
        let (_server, at) = start(whose, &world.config(&json!({})));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let yesterday = json!({ "exp": (now - Duration::from_secs(86_400)).as_secs() });
        for credentials in
            [world.credentials(&KeyPair::new_account(), &json!({})), world.credentials(&world.account, &yesterday)]
        {
            let refused = connect(at, &credentials).await.unwrap_err();
            assert!(refused.contains("authorization violation"), "{whose:?}: {refused}");
        }
    }
}

#[tokio::test]
async fn tokens_of_version_1_are_good() {
    for whose in BOTH {
        let world = World::new();
        let (_server, at) = start(whose, &world.config_of_version_1());
        let nats = json!({ "pub": { "deny": ["secret"] }, "sub": {} });
        let token = |issuer: &KeyPair| jwt::sign_first(issuer, &world.user.public_key(), "user", &nats);
        talk(at, &world.credentials_of(&token(&world.account))).await;
        let refused = connect(at, &world.credentials_of(&token(&KeyPair::new_account()))).await.unwrap_err();
        assert!(refused.contains("authorization violation"), "{whose:?}: {refused}");
        if whose == Whose::Ours {
            // The other algorithm signs more: the same bytes are not good under its name, though the real one takes them.
            let (_, rest) = token(&world.account).split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
            let header = data_encoding::BASE64URL_NOPAD.encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
            let refused = connect(at, &world.credentials_of(&format!("{header}.{rest}"))).await.unwrap_err();
            assert!(refused.contains("authorization violation"), "{refused}");
        }
    }
}

#[tokio::test]
async fn accounts_are_found_in_a_folder() {
    for whose in BOTH {
        let world = World::new();
        let config = world.config(&json!({}));
        fs::create_dir(world.path("jwt")).unwrap();
        for key in [&world.system, &world.account] {
            let token = jwt::account(&world.operator, key, &json!({}), &json!({}));
            fs::write(world.path(&format!("jwt/{}.jwt", key.public_key())), token).unwrap();
        }
        let text = fs::read_to_string(&config).unwrap();
        let (head, _) = text.split_once("resolver: MEMORY").unwrap();
        let (system, folder) = (world.system.public_key(), world.path("jwt"));
        let text = format!("{head}\nresolver: {{ type: full, dir: {folder:?} }}\nsystem_account: {system}\n");
        fs::write(&config, text).unwrap();
        let (_server, at) = start(whose, &config);
        talk(at, &world.credentials(&world.account, &json!({}))).await;
    }
}

/// What both refuse to start with.
#[test]
fn files_that_cannot_be_used_are_refused() {
    for whose in BOTH {
        let world = World::new();
        let good = world.config(&json!({}));
        let text = fs::read_to_string(&good).unwrap();
        assert_eq!(whose.run(&["-t", "-c", &good]).code, Some(0));
        for (from, to) in [
            ("resolver: MEMORY\n", ""),
            ("listen:", "accounts { A {} }\nlisten:"),
            (
                "listen:",
                "authorization { user: a, password: b }\naccounts { A { users: [ { user: a, password: b } ] } }\nlisten:",
            ),
            ("op.jwt", "no.jwt"),
            ("resolver_preload: {", "resolver_preload: {\n AB: 7"),
            ("resolver_preload: {", "resolver_preload: {\n AB: \"eyJ0\""),
        ] {
            let bad = world.path("bad.conf");
            fs::write(&bad, text.replace(from, to)).unwrap();
            let finished = whose.run(&["-c", &bad]);
            assert_eq!(finished.code, Some(1), "{whose:?} {from:?} {to:?}");
        }
    }
}
