//! Operators, accounts and users by JWT: each story is told to a broker and to the real nats-server, and both must say
//! the same.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]
#![allow(unreachable_pub, dead_code, reason = "what the stories share is shared with other tests")]

#[path = "support/jwt.rs"]
mod jwt;
#[path = "support/line.rs"]
mod line;
#[path = "support/nats_server.rs"]
mod nats_server;

use data_encoding::BASE64URL_NOPAD;
use lattice_broker::env::Env;
use lattice_broker::jwt::Operator;
use lattice_broker::{Auth, Broker, Config};
use line::{Line, nonce};
use nats_server::NatsServer;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

const VIOLATION: &str = "-ERR 'Authorization Violation'";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The keys of a story.
struct Cast {
    operator: KeyPair,
    system: KeyPair,
    a: KeyPair,
    b: KeyPair,
    signer: KeyPair,
    user: KeyPair,
}

impl Cast {
    fn new() -> Self {
        let account = KeyPair::new_account;
        let (operator, user) = (KeyPair::new_operator(), KeyPair::new_user());
        Self { operator, system: account(), a: account(), b: account(), signer: account(), user }
    }

    fn account(&self, key: &KeyPair, nats: &Value, more: &Value) -> String {
        jwt::account(&self.operator, key, nats, more)
    }

    fn a(&self, nats: &Value, more: &Value) -> String {
        self.account(&self.a, nats, more)
    }

    /// A user of account A.
    fn user(&self, nats: &Value, more: &Value) -> String {
        jwt::user(&self.a, &self.user, nats, more)
    }

    /// What the signing key of account A allows.
    fn scope(&self, template: &Value) -> Value {
        json!({ "signing_keys": [{ "kind": "user_scope", "key": self.signer.public_key(), "template": template }] })
    }

    fn scoped(&self) -> String {
        jwt::scoped_user(&self.signer, &self.a, &self.user, &json!({}))
    }
}

/// A server that knows the system account and those of `accounts`.
enum Server {
    Real(NatsServer),
    Ours(Broker, SocketAddr),
}

impl Server {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Real(server) => server.address(),
            Self::Ours(_, address) => *address,
        }
    }

    /// It knows these accounts from now on.
    fn reload(&self, cast: &Cast, accounts: &[String]) {
        match self {
            Self::Real(server) => server.reload(&text(cast, accounts)),
            Self::Ours(broker, _) => broker.reload(&config(cast, accounts)).unwrap(),
        }
    }

    /// What is answered to a CONNECT with `token`, which the user of `cast` signs for, and what comes with it.
    fn enter(&self, cast: &Cast, token: &str) -> (Line, String) {
        self.connect(token, &|nonce| BASE64URL_NOPAD.encode(&cast.user.sign(nonce.as_bytes()).unwrap()))
    }

    fn connect(&self, token: &str, sign: &dyn Fn(&str) -> String) -> (Line, String) {
        let mut line = Line::open(self.address());
        let info = line.hear();
        assert!(info.contains("\"auth_required\":true"), "{info}");
        let connect = json!({ "verbose": false, "jwt": token, "sig": sign(nonce(&info)) });
        line.say(&format!("CONNECT {connect}\r\nPING\r\n"));
        let answer = line.hear();
        (line, answer)
    }

    /// A client that is in.
    fn client(&self, cast: &Cast, token: &str) -> Line {
        let (line, answer) = self.enter(cast, token);
        assert_eq!(answer, "PONG");
        line
    }
}

fn text(cast: &Cast, accounts: &[String]) -> String {
    let operator = jwt::operator(&cast.operator, &json!({}));
    let mut text = format!("operator: {operator}\nresolver: MEMORY\nsystem_account: {}\n", cast.system.public_key());
    text += "resolver_preload: {\n";
    for token in accounts.iter().chain([&cast.account(&cast.system, &json!({}), &json!({}))]) {
        writeln!(text, "  {}: {token}", subject(token)).unwrap();
    }
    text + "}\n"
}

fn subject(token: &str) -> String {
    let claims = BASE64URL_NOPAD.decode(token.split('.').nth(1).unwrap().as_bytes()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["sub"].as_str().unwrap().to_owned()
}

fn config(cast: &Cast, accounts: &[String]) -> Config {
    let mut operator = Operator::new([jwt::operator(&cast.operator, &json!({})).as_str()]).unwrap();
    for token in accounts.iter().chain([&cast.account(&cast.system, &json!({}), &json!({}))]) {
        operator.add_account(token).unwrap();
    }
    let auth = Auth { system_account: cast.system.public_key(), ..Auth::operator(operator) };
    Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)), auth, ..Config::default() }
}

fn with_real(cast: &Cast, accounts: &[String], story: impl FnOnce(&Server)) {
    story(&Server::Real(NatsServer::start(&text(cast, accounts))));
}

fn with_ours(cast: &Cast, accounts: &[String], story: impl FnOnce(&Server)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _context = runtime.enter();
    let broker = Broker::new(Env::tokio(), config(cast, accounts)).unwrap();
    let address = broker.listen().unwrap();
    story(&Server::Ours(broker.clone(), address));
    runtime.block_on(broker.drain());
}

/// What comes until the server closes the connection.
fn to_the_end(line: &mut Line) -> Vec<String> {
    std::iter::repeat_with(|| line.hear()).take_while(|line| !line.is_empty()).collect()
}

/// Who is let in is told who it is.
fn logins(cast: &Cast, server: &Server) {
    let user = json!({ "pub": { "allow": ["$SYS.REQ.USER.INFO", "x"] }, "resp": { "max": 3, "ttl": 1_000 } });
    let mut line = server.client(cast, &cast.user(&user, &json!({ "exp": jwt::now() + 1000 })));
    line.say("SUB i 1\r\nPUB $SYS.REQ.USER.INFO i 0\r\n\r\n");
    assert!(line.hear().starts_with("MSG i 1 "));
    let told: Value = serde_json::from_str(&line.hear()).unwrap();
    let mut data = told["data"].clone();
    // The real server lists the subjects of a rule in no fixed order.
    data["permissions"]["publish"]["allow"].as_array_mut().unwrap().sort_by_key(Value::to_string);
    let left = data["expires"].take().as_u64().unwrap();
    assert!((900_000_000_000..=1_000_000_000_000).contains(&left), "{told}");
    let expected = json!({
        "user": cast.user.public_key(), "account": cast.a.public_key(), "account_name": "ACC", "user_name": "USR",
        "expires": null, "permissions": {
            "publish": { "allow": ["$SYS.REQ.USER.INFO", "x"] }, "subscribe": {}, "responses": { "max": 3, "ttl": 1000 },
        },
    });
    assert_eq!(data, expected);
    line.say("PUB y 0\r\n\r\n");
    assert_eq!(line.hear(), "-ERR 'Permissions Violation for Publish to \"y\"'");
    let (mut line, answer) =
        server.connect(&cast.user(&json!({ "bearer_token": true }), &json!({})), &|_| String::new());
    assert_eq!(answer, "PONG");
    line.say("CONNECT {\"verbose\":false,\"protocol\":1,\"jwt\":\"x\"}\r\n");
    assert_eq!(line.hear(), VIOLATION);
    let scoped = server.client(cast, &cast.scoped());
    drop(scoped);
}

fn refusals(cast: &Cast, server: &Server) {
    let (none, public) = (json!({}), cast.a.public_key());
    let other = KeyPair::new_account();
    for (what, token) in [
        ("nothing", String::new()),
        ("no token", "a.b.c".to_owned()),
        ("an account's token", cast.a(&none, &none)),
        ("an unknown account", jwt::user(&other, &cast.user, &none, &none)),
        ("an unknown signing key", jwt::user(&other, &cast.user, &json!({ "issuer_account": public }), &none)),
        ("a signing key without its account", jwt::user(&cast.signer, &cast.user, &none, &none)),
        ("rights beside a scope", jwt::user(&cast.signer, &cast.user, &json!({ "issuer_account": public }), &none)),
        ("an old token", cast.user(&none, &json!({ "exp": jwt::now() - 10 }))),
        ("a future token", cast.user(&none, &json!({ "nbf": jwt::now() + 1000 }))),
        ("another kind of connection", cast.user(&json!({ "allowed_connection_types": ["WEBSOCKET"] }), &none)),
        ("another network", cast.user(&json!({ "src": ["10.0.0.0/8"] }), &none)),
        ("a subject that is none", cast.user(&json!({ "pub": { "allow": ["a..b"] } }), &none)),
        ("a revoked user", jwt::user(&cast.b, &cast.user, &none, &none)),
    ] {
        let (mut line, answer) = server.enter(cast, &token);
        assert_eq!(answer, VIOLATION, "{what}");
        assert_eq!(line.hear(), "", "{what}");
    }
    let stranger = KeyPair::new_user();
    let sign = |nonce: &str| BASE64URL_NOPAD.encode(&stranger.sign(nonce.as_bytes()).unwrap());
    assert_eq!(server.connect(&cast.user(&none, &none), &sign).1, VIOLATION);
    assert_eq!(server.connect(&cast.user(&none, &none), &|_| String::new()).1, VIOLATION);
    let mut line = Line::open(server.address());
    line.say("PING\r\n");
    assert!(line.hear().starts_with("INFO "));
    assert_eq!(line.hear(), VIOLATION);
}

/// The least of what user and account allow holds.
fn limits(cast: &Cast, server: &Server) {
    let mut line = server.client(cast, &cast.user(&json!({ "subs": 1, "payload": 100 }), &json!({})));
    line.say("SUB a 1\r\nSUB b 2\r\nPUB a 200\r\n");
    assert_eq!(line.hear(), "-ERR 'maximum subscriptions exceeded'");
    assert_eq!(line.hear(), "-ERR 'Maximum Payload Violation'");
    let mut line = server.client(cast, &cast.user(&json!({ "subs": 9 }), &json!({})));
    line.say("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n");
    assert_eq!(line.hear(), "-ERR 'maximum subscriptions exceeded'");
    let _second = server.client(cast, &cast.user(&json!({}), &json!({})));
    let (_, answer) = server.enter(cast, &cast.user(&json!({}), &json!({})));
    assert_eq!(answer, "-ERR 'maximum account active connections exceeded'");
    line.fence();
    // What is left out of a token is nothing.
    let token = jwt::sign(&cast.b, &cast.user.public_key(), json!({ "type": "user" }), &json!({}));
    let (mut line, first) = server.enter(cast, &token);
    line.say("SUB a 1\r\nPUB a 1\r\n");
    let mut heard = vec![first];
    heard.extend(to_the_end(&mut line));
    assert_eq!(heard.pop().unwrap(), "-ERR 'Maximum Payload Violation'");
    // The real server says it once more than it was asked, before PONG or after it.
    let count = heard.len();
    heard.retain(|line| line != "-ERR 'maximum subscriptions exceeded'");
    assert!(heard == ["PONG"] && count > 1, "{heard:?}, {count}");
}

/// Clients go when a token ends: their own, or that of their account.
fn expiry(cast: &Cast, server: &Server) {
    let mut user = server.client(cast, &cast.user(&json!({}), &json!({ "exp": jwt::now() + 2 })));
    let mut account = server.client(cast, &jwt::user(&cast.b, &cast.user, &json!({}), &json!({})));
    assert_eq!((user.hear(), user.hear()), ("-ERR 'User Authentication Expired'".to_owned(), String::new()));
    assert_eq!((account.hear(), account.hear()), ("-ERR 'Account Authentication Expired'".to_owned(), String::new()));
    let (_, answer) = server.enter(cast, &jwt::user(&cast.b, &cast.user, &json!({}), &json!({})));
    assert_eq!(answer, VIOLATION);
}

/// What accounts say is in force on those who are in as soon as it has been read.
fn reload(cast: &Cast, server: &Server) {
    let none = json!({});
    let other = KeyPair::new_user();
    let sign = |nonce: &str| BASE64URL_NOPAD.encode(&other.sign(nonce.as_bytes()).unwrap());
    let mut revoked = server.client(cast, &cast.user(&none, &none));
    let (mut stays, _) = server.connect(&jwt::user(&cast.a, &other, &none, &none), &sign);
    let (mut scoped, _) = server.enter(cast, &cast.scoped());
    let mut gone = server.client(cast, &jwt::user(&cast.b, &cast.user, &none, &none));
    stays.say("SUB a 1\r\nSUB b 2\r\n");
    stays.fence();
    let changed =
        json!({ "revocations": { cast.user.public_key(): jwt::now() }, "limits": { "subs": 3, "payload": 5 } });
    server.reload(cast, &[cast.a(&changed, &none)]);
    assert_eq!((revoked.hear(), revoked.hear()), ("-ERR 'User Authentication Revoked'".to_owned(), String::new()));
    assert_eq!((gone.hear(), gone.hear()), (VIOLATION.to_owned(), String::new()));
    // Its key is revoked and what it was let in by is gone: which of the two is told is left open, as is more than that.
    let told = ["PONG", "-ERR 'User Authentication Revoked'", "-ERR 'maximum subscriptions exceeded'"];
    let heard = to_the_end(&mut scoped);
    assert!(heard.iter().all(|line| told.contains(&&**line)), "{heard:?}");
    stays.fence();
    stays.say("SUB c 3\r\nSUB d 4\r\nPUB a 6\r\n");
    assert_eq!(stays.hear(), "-ERR 'maximum subscriptions exceeded'");
    assert_eq!(stays.hear(), "-ERR 'Maximum Payload Violation'");
    assert_eq!(server.enter(cast, &cast.user(&none, &none)).1, VIOLATION);
    server.reload(cast, &[cast.a(&none, &none), cast.account(&cast.b, &none, &none)]);
    drop(server.client(cast, &jwt::user(&cast.b, &cast.user, &none, &none)));
    drop(server.client(cast, &cast.user(&none, &none)));
}

/// A key that signs no more, or for something else, takes those whom it has signed with it.
fn keys(cast: &Cast, server: &Server) {
    let mut altered = server.client(cast, &cast.scoped());
    server.reload(cast, &[cast.a(&cast.scope(&json!({ "subs": 1, "data": -1, "payload": -1 })), &json!({}))]);
    assert_eq!(altered.hear(), "");
    let mut removed = server.client(cast, &cast.scoped());
    server.reload(cast, &[cast.a(&json!({}), &json!({}))]);
    assert_eq!(removed.hear(), "");
}

/// Streams and services cross between accounts, by activation where one is asked for.
fn imports(cast: &Cast, server: &Server) {
    let (none, user_b) = (json!({}), jwt::user(&cast.b, &cast.user, &json!({}), &json!({})));
    let mut a = server.client(cast, &cast.user(&none, &none));
    let mut b = server.client(cast, &user_b);
    b.say("SUB here.> 1\r\nSUB priv.* 2\r\nSUB secret.* 3\r\nSUB inbox 4\r\n");
    a.say("SUB help 9\r\n");
    a.fence();
    b.fence();
    a.say("PUB pub.x 1\r\n1\r\nPUB priv.x 1\r\n2\r\nPUB secret.x 1\r\n3\r\n");
    a.fence();
    let heard: Vec<String> = (0..4).map(|_| b.hear()).collect();
    assert_eq!(heard, ["MSG here.x 1 1", "1", "MSG priv.x 2 1", "2"]);
    b.say("PUB ask inbox 2\r\nhi\r\n");
    let reply = a.hear_request("hi");
    a.say(&format!("PUB {reply} 2\r\nho\r\n"));
    assert_eq!((b.hear(), b.hear()), ("MSG inbox 4 2".to_owned(), "ho".to_owned()));
}

/// Mappings send messages to other subjects, as long as the account says so. What cannot be is left out.
fn mappings(cast: &Cast, server: &Server) {
    let none = json!({});
    let mut line = server.client(cast, &cast.user(&none, &none));
    line.say("SUB > 1\r\n");
    let mut arrives = |subject: &str, as_what: &str| {
        line.say(&format!("PUB {subject} 0\r\n\r\n"));
        assert_eq!((line.hear(), line.hear()), (format!("MSG {as_what} 1 0"), String::new()), "{subject}");
    };
    for (subject, as_what) in [
        ("moved.x", "new.x"),
        ("part.order", "p.1"),
        ("all", "all.1"),
        ("beyond.x", "beyond.x"),
        ("elsewhere", "elsewhere"),
        ("empty", "empty"),
    ] {
        arrives(subject, as_what);
    }
    let changed = json!({ "mappings": { "moved.*": [{ "subject": "newer.$1" }], "more": [{ "subject": "more.1" }] } });
    server.reload(cast, &[cast.a(&changed, &none), cast.account(&cast.b, &none, &none)]);
    for (subject, as_what) in [("moved.x", "newer.x"), ("all", "all"), ("more", "more.1")] {
        arrives(subject, as_what);
    }
    let mut other = server.client(cast, &jwt::user(&cast.b, &cast.user, &none, &none));
    other.say("SUB > 1\r\nPUB more 0\r\n\r\n");
    assert_eq!(other.hear(), "MSG more 1 0");
}

fn of_logins(cast: &Cast) -> Vec<String> {
    let scope = cast.scope(&json!({ "subs": -1, "data": -1, "payload": -1 }));
    let revoked = json!({ "revocations": { "*": jwt::now() } });
    vec![cast.a(&scope, &json!({})), cast.account(&cast.b, &revoked, &json!({}))]
}

fn of_limits(cast: &Cast) -> Vec<String> {
    let limits = json!({ "limits": { "subs": 2, "payload": 1000, "conn": 2 } });
    vec![cast.a(&limits, &json!({})), cast.account(&cast.b, &json!({}), &json!({}))]
}

fn of_expiry(cast: &Cast) -> Vec<String> {
    vec![cast.a(&json!({}), &json!({})), cast.account(&cast.b, &json!({}), &json!({ "exp": jwt::now() + 4 }))]
}

fn of_reload(cast: &Cast) -> Vec<String> {
    let scope = cast.scope(&json!({ "subs": -1, "data": -1, "payload": -1 }));
    vec![cast.a(&scope, &json!({})), cast.account(&cast.b, &json!({}), &json!({}))]
}

fn of_imports(cast: &Cast) -> Vec<String> {
    let (a, b) = (cast.a.public_key(), cast.b.public_key());
    let activation = json!({ "type": "activation", "subject": "priv.*", "kind": "stream" });
    let token = jwt::sign(&cast.a, &b, activation, &json!({}));
    let exports = json!({ "exports": [
        { "subject": "pub.>", "type": "stream" },
        { "subject": "priv.*", "type": "stream", "token_req": true },
        { "subject": "secret.*", "type": "stream", "token_req": true },
        { "subject": "help", "type": "service", "response_type": "Singleton" },
    ]});
    let imports = json!({ "imports": [
        { "subject": "pub.>", "account": a, "type": "stream", "local_subject": "here.>" },
        { "subject": "priv.*", "account": a, "type": "stream", "token": token },
        { "subject": "help", "account": a, "type": "service", "local_subject": "ask" },
    ]});
    vec![cast.a(&exports, &json!({})), cast.account(&cast.b, &imports, &json!({}))]
}

fn of_mappings(cast: &Cast) -> Vec<String> {
    let mappings = json!({ "mappings": {
        "moved.*": [{ "subject": "new.$1", "weight": 100 }],
        "part.*": [{ "subject": "p.{{partition(10,1)}}" }],
        // Without a weight it is all of them.
        "all": [{ "subject": "all.1" }],
        "beyond.*": [{ "subject": "beyond.$2" }],
        "elsewhere": [{ "subject": "there", "cluster": "other" }],
        "empty": [],
    }});
    vec![cast.a(&mappings, &json!({})), cast.account(&cast.b, &json!({}), &json!({}))]
}

macro_rules! stories {
    ($($name:ident of $accounts:ident)*) => {
        mod real {
            $(#[test] fn $name() {
                let cast = super::Cast::new();
                super::with_real(&cast, &super::$accounts(&cast), |server| super::$name(&cast, server));
            })*
        }

        mod broker {
            $(#[test] fn $name() {
                let cast = super::Cast::new();
                super::with_ours(&cast, &super::$accounts(&cast), |server| super::$name(&cast, server));
            })*
        }
    };
}

stories! {
    logins of of_logins
    refusals of of_logins
    limits of of_limits
    expiry of of_expiry
    reload of of_reload
    keys of of_reload
    imports of of_imports
    mappings of of_mappings
}
