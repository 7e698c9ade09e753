//! A service that says who may connect: each story is told to a broker and to the real nats-server, and both must say
//! the same, to the client and to the service.
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
use lattice_broker::{AccountConfig, Auth, Broker, Callout, Config, User};
use line::Line;
use nats_server::NatsServer;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const VIOLATION: &str = "-ERR 'Authorization Violation'";
const INFO: &str = "$SYS.REQ.USER.INFO";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The keys of a story.
struct Cast {
    issuer: KeyPair,
    other: KeyPair,
    /// A user of the account APP.
    keyed: KeyPair,
    /// Accounts that are asked about, when not all of them are.
    delegated: Vec<String>,
    timeout: Duration,
}

/// What is said to a service that is asked about a client.
struct Question {
    reply: String,
    /// The claims of the request.
    claims: Value,
}

impl Question {
    fn user(&self) -> &str {
        self.claims["nats"]["user_nkey"].as_str().unwrap()
    }

    fn server(&self) -> &str {
        self.claims["nats"]["server_id"]["id"].as_str().unwrap()
    }

    /// An answer of `issuer`, with what `nats` says.
    fn answer(&self, issuer: &KeyPair, nats: &Value, more: &Value) -> String {
        let nats = jwt::merged(json!({ "type": "authorization_response" }), nats);
        jwt::sign(issuer, self.user(), nats, &jwt::merged(json!({ "aud": self.server() }), more))
    }

    /// A user's token, for a client that is to be in APP.
    fn token(&self, issuer: &KeyPair, nats: &Value, more: &Value) -> String {
        let nats = jwt::merged(json!({ "type": "user", "subs": -1, "data": -1, "payload": -1 }), nats);
        jwt::sign(issuer, self.user(), nats, &jwt::merged(json!({ "aud": "APP", "name": "Ann" }), more))
    }

    /// Lets the client in as such a user.
    fn admit(&self, cast: &Cast, nats: &Value, more: &Value) -> String {
        self.answer(&cast.issuer, &json!({ "jwt": self.token(&cast.issuer, nats, more) }), &json!({}))
    }
}

/// What a service makes of a question.
type Answer<'a> = &'a dyn Fn(&Question) -> String;

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

    /// A client that has said who it is, and what the server has to sign.
    fn knock(&self, connect: &Value) -> Line {
        let mut line = Line::open(self.address());
        assert!(line.hear().contains("\"auth_required\":true"));
        line.say(&format!("CONNECT {}\r\nPING\r\n", jwt::merged(json!({ "verbose": false }), connect)));
        line
    }

    /// The service, which is asked from now on.
    fn service(&self) -> Line {
        let mut line = self.knock(&json!({ "user": "auth", "pass": "pwd" }));
        assert_eq!(line.hear(), "PONG");
        line.say("SUB $SYS.REQ.USER.AUTH 1\r\n");
        line.fence();
        line
    }

    /// What is said to a client that shows this, when the service answers so; and the client.
    fn enter(&self, service: &mut Line, connect: &Value, answer: Answer<'_>) -> (Line, String) {
        let mut line = self.knock(connect);
        let question = asked(service);
        respond(service, &question, &answer(&question));
        let heard = line.hear();
        (line, heard)
    }
}

fn asked(service: &mut Line) -> Question {
    let head = service.hear();
    let [_, subject, _, reply, _] = head.split(' ').collect::<Vec<_>>()[..] else { panic!("{head}") };
    assert_eq!(subject, "$SYS.REQ.USER.AUTH");
    assert!(reply.starts_with("$SYS._INBOX."), "{reply}");
    let token = service.hear();
    let claims = claims(&token);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let key = KeyPair::from_public_key(claims["iss"].as_str().unwrap()).unwrap();
    key.verify(signed.as_bytes(), &BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap()).unwrap();
    Question { reply: reply.to_owned(), claims }
}

fn claims(token: &str) -> Value {
    let part = |at: usize| BASE64URL_NOPAD.decode(token.split('.').nth(at).unwrap().as_bytes()).unwrap();
    let header: Value = serde_json::from_slice(&part(0)).unwrap();
    assert_eq!(header, json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
    serde_json::from_slice(&part(1)).unwrap()
}

fn respond(service: &mut Line, question: &Question, answer: &str) {
    service.say(&format!("PUB {} {}\r\n{answer}\r\n", question.reply, answer.len()));
}

/// Who a client is, as it is told.
fn who(line: &mut Line) -> Value {
    line.say(&format!("SUB who 9\r\nPUB {INFO} who 0\r\n\r\n"));
    // One that understands it is sent an INFO before.
    while !line.hear().starts_with("MSG who 9 ") {}
    let told: Value = serde_json::from_str(&line.hear()).unwrap();
    told["data"].clone()
}

fn text(cast: &Cast) -> String {
    let (issuer, keyed, seconds) = (cast.issuer.public_key(), cast.keyed.public_key(), cast.timeout.as_secs_f64());
    let delegated = if cast.delegated.is_empty() {
        String::new()
    } else {
        format!("allowed_accounts: [{}]", cast.delegated.join(", "))
    };
    format!(
        "server_name: S
        authorization {{
            timeout: {seconds}
            auth_callout {{ issuer: {issuer}, account: AUTH, auth_users: [auth], {delegated} }}
        }}
        accounts {{
            AUTH {{ users: [ {{user: auth, password: pwd}} ] }}
            APP {{ users: [ {{user: app, password: pwd}}, {{nkey: {keyed}}} ] }}
            OTHER {{ users: [ {{user: other, password: pwd}} ] }}
        }}"
    )
}

fn config(cast: &Cast) -> Config {
    let user = |name: &str, account: &str| User::with_password(name, "pwd").in_account(account);
    let users = vec![
        user("auth", "AUTH"),
        user("app", "APP"),
        User::with_nkey(cast.keyed.public_key()).in_account("APP"),
        user("other", "OTHER"),
    ];
    let callout = Callout {
        issuer: cast.issuer.public_key(),
        account: "AUTH".to_owned(),
        users: vec!["auth".to_owned()],
        accounts: cast.delegated.clone(),
    };
    let accounts = ["AUTH", "APP", "OTHER"].map(AccountConfig::new).into();
    let auth = Auth { accounts, callout: Some(callout), ..Auth::users(users) };
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    Config { listen, server_name: "S".to_owned(), auth_timeout: cast.timeout, auth, ..Config::default() }
}

/// Tells `story` to both servers.
fn with_both(cast: &Cast, story: impl Fn(&Server)) {
    story(&Server::Real(NatsServer::start(&text(cast))));
    with_ours(cast, story);
}

fn with_ours(cast: &Cast, story: impl Fn(&Server)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _context = runtime.enter();
    let broker = Broker::new(Env::tokio(), config(cast)).unwrap();
    let address = broker.listen().unwrap();
    story(&Server::Ours(broker.clone(), address));
    runtime.block_on(broker.drain());
}

fn cast() -> Cast {
    let account = KeyPair::new_account;
    let (delegated, timeout) = (Vec::new(), Duration::from_secs(15));
    Cast { issuer: account(), other: account(), keyed: KeyPair::new_user(), delegated, timeout }
}

/// What the service is asked, without what differs from one question to the next.
fn asks(cast: &Cast, server: &Server) {
    let mut service = server.service();
    let key = cast.keyed.public_key();
    let ann = json!({ "user": "ann", "pass": "secret", "name": "n", "lang": "l", "version": "v", "protocol": 1 });
    let signed = json!({ "nkey": key, "sig": "x", "user": "ignored" });
    for (connect, user, shown) in [
        (&ann, "ann", ann.clone()),
        (&json!({ "auth_token": "t" }), "[REDACTED]", json!({ "auth_token": "t", "protocol": 0 })),
        (&signed, &key, jwt::merged(signed.clone(), &json!({ "protocol": 0 }))),
        (&json!({ "jwt": "j" }), "", json!({ "protocol": 0 })),
    ] {
        let before = jwt::now();
        let (line, heard) = server.enter(&mut service, connect, &|question| {
            let claims = &question.claims;
            let (issued, expires) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
            assert!((before..=jwt::now()).contains(&issued), "{claims}");
            assert!((issued + 14..=issued + 16).contains(&expires), "{claims}");
            assert!(!claims["jti"].as_str().unwrap().is_empty());
            assert_eq!(
                (&claims["aud"], &claims["iss"]),
                (&json!("nats-authorization-request"), &json!(question.server()))
            );
            assert_eq!(claims["sub"], cast.issuer.public_key());
            let nats = &claims["nats"];
            let id = &nats["server_id"];
            assert_eq!(
                (&id["name"], &id["host"], &id["version"]),
                (&json!("S"), &json!("127.0.0.1"), &json!("2.15.1"))
            );
            let mut client =
                json!({ "host": "127.0.0.1", "id": nats["client_info"]["id"], "kind": "Client", "type": "nats" });
            for (key, value) in [("user", user), ("name", connect["name"].as_str().unwrap_or_default())] {
                if !value.is_empty() {
                    client[key] = json!(value);
                }
            }
            if connect["sig"].is_string() {
                client["nonce"] = nats["client_info"]["nonce"].clone();
            }
            let expected = json!({
                "server_id": id, "user_nkey": question.user(), "client_info": client, "connect_opts": shown,
                "type": "authorization_request", "version": 2,
            });
            assert_eq!(*nats, expected);
            assert!(client["id"].as_u64().unwrap() > 0 && question.user().starts_with('U'));
            question.admit(cast, &json!({}), &json!({}))
        });
        assert_eq!(heard, "PONG", "{connect}");
        drop(line);
    }
}

/// Who is let in is what the service says.
fn admits(cast: &Cast, server: &Server) {
    let mut service = server.service();
    let (none, ann) = (json!({}), json!({ "user": "ann", "pass": "secret" }));
    let mut told = |nats: &Value, more: &Value| {
        let (mut line, heard) = server.enter(&mut service, &ann, &|question| question.admit(cast, nats, more));
        assert_eq!(heard, "PONG", "{nats} {more}");
        let who = who(&mut line);
        (line, who)
    };
    let plain = |user: &str, account: &str| json!({ "user": user, "account": account, "account_name": account });
    assert_eq!(told(&none, &none).1, plain("Ann", "APP"));
    assert_eq!(told(&none, &json!({ "name": "" })).1, plain("ann", "APP"));
    assert_eq!(told(&none, &json!({ "aud": "$G" })).1, plain("Ann", "$G"));
    assert_eq!(told(&none, &json!({ "aud": "$SYS" })).1, plain("Ann", "$SYS"));
    let denied = json!({ "publish": { "deny": ["$SYS.REQ.USER.AUTH"] }, "subscribe": {} });
    assert_eq!(told(&none, &json!({ "aud": "AUTH" })).1["permissions"], denied);
    let rules =
        json!({ "pub": { "allow": [INFO] }, "sub": { "allow": ["who", "b.>"] }, "resp": { "max": 3, "ttl": 1000 } });
    let (mut line, who) = told(&rules, &json!({ "exp": jwt::now() + 100 }));
    assert_eq!(who["permissions"]["publish"], json!({ "allow": [INFO] }));
    assert_eq!(who["permissions"]["responses"], json!({ "max": 3, "ttl": 1000 }));
    assert!((90_000_000_000..=100_000_000_000).contains(&who["expires"].as_u64().unwrap()), "{who}");
    line.say("PUB x 0\r\n\r\nSUB a 1\r\nSUB b.c 2\r\n");
    assert_eq!(line.hear(), "-ERR 'Permissions Violation for Publish to \"x\"'");
    assert_eq!(line.hear(), "-ERR 'Permissions Violation for Subscription to \"a\"'");
    line.fence();
    // What its token limits besides is not looked at.
    let (mut line, _) = told(&json!({ "subs": 1, "payload": 1 }), &none);
    line.say("SUB a 1\r\nSUB b 2\r\nPUB c 5\r\nhello\r\n");
    line.fence();
    let (mut line, _) = told(&none, &json!({ "exp": jwt::now() + 2 }));
    assert_eq!((line.hear(), line.hear()), ("-ERR 'User Authentication Expired'".to_owned(), String::new()));
}

/// What is wrong with an answer lets nobody in.
fn refuses(cast: &Cast, server: &Server) {
    let mut service = server.service();
    let (none, ann) = (json!({}), json!({ "user": "ann", "pass": "secret" }));
    let Cast { issuer, other, .. } = cast;
    let stranger = KeyPair::new_user().public_key();
    let outer = |q: &Question, more: &Value| q.answer(issuer, &json!({ "jwt": q.token(issuer, &none, &none) }), more);
    let answers: [(&str, Answer<'_>); 19] = [
        ("nothing", &|_| String::new()),
        ("no token", &|_| "garbage".to_owned()),
        ("a token alone", &|q| q.token(issuer, &none, &none)),
        ("an error", &|q| q.answer(issuer, &json!({ "error": "no" }), &none)),
        ("neither", &|q| q.answer(issuer, &none, &none)),
        ("both", &|q| q.answer(issuer, &json!({ "error": "no", "jwt": q.token(issuer, &none, &none) }), &none)),
        ("another issuer", &|q| q.answer(other, &json!({ "jwt": q.token(issuer, &none, &none) }), &none)),
        ("another issuer of the user", &|q| q.answer(issuer, &json!({ "jwt": q.token(other, &none, &none) }), &none)),
        ("another server", &|q| outer(q, &json!({ "aud": KeyPair::new_server().public_key() }))),
        ("another client", &|q| outer(q, &json!({ "sub": stranger }))),
        ("another user", &|q| q.admit(cast, &none, &json!({ "sub": stranger }))),
        ("an old answer", &|q| outer(q, &json!({ "exp": jwt::now() - 10 }))),
        ("a future answer", &|q| outer(q, &json!({ "nbf": jwt::now() + 100 }))),
        ("an old user", &|q| q.admit(cast, &none, &json!({ "exp": jwt::now() - 10 }))),
        ("a future user", &|q| q.admit(cast, &none, &json!({ "nbf": jwt::now() + 100 }))),
        ("no account", &|q| q.admit(cast, &none, &json!({ "aud": "" }))),
        ("an unknown account", &|q| q.admit(cast, &none, &json!({ "aud": "NONE" }))),
        ("an account of an operator", &|q| q.admit(cast, &json!({ "issuer_account": other.public_key() }), &none)),
        ("no subject", &|q| q.admit(cast, &json!({ "pub": { "allow": ["a..b"] } }), &none)),
    ];
    for (what, answer) in answers {
        let (mut line, heard) = server.enter(&mut service, &ann, answer);
        assert_eq!((heard.as_str(), line.hear()), (VIOLATION, String::new()), "{what}");
    }
    // It is still asked, and the next one is let in.
    let (_, heard) = server.enter(&mut service, &ann, &|question| question.admit(cast, &none, &none));
    assert_eq!(heard, "PONG");
}

/// The service's own users are judged by the server, and nobody else is.
fn exempts(cast: &Cast, server: &Server) {
    let mut service = server.service();
    let mut second = server.service();
    second.say("UNSUB 1\r\n");
    second.fence();
    second.say("PUB $SYS.REQ.USER.AUTH 0\r\n\r\n");
    assert_eq!(second.hear(), "-ERR 'Permissions Violation for Publish to \"$SYS.REQ.USER.AUTH\"'");
    let mut line = server.knock(&json!({ "user": "auth", "pass": "wrong" }));
    assert_eq!((line.hear().as_str(), line.hear()), (VIOLATION, String::new()));
    // Its password is right, and does not count.
    let right = json!({ "user": "app", "pass": "pwd" });
    let deny = |question: &Question| question.answer(&cast.issuer, &json!({ "error": "no" }), &json!({}));
    assert_eq!(server.enter(&mut service, &right, &deny).1, VIOLATION);
    let admit = |question: &Question| question.admit(cast, &json!({}), &json!({ "aud": "OTHER" }));
    let (mut line, heard) = server.enter(&mut service, &right, &admit);
    assert_eq!((heard.as_str(), &who(&mut line)["account"]), ("PONG", &json!("OTHER")));
}

/// Where the service has a say about some accounts only, users of others come in by their passwords.
fn delegates(cast: &Cast, server: &Server) {
    let mut service = server.service();
    let mut line = server.knock(&json!({ "user": "other", "pass": "pwd" }));
    assert_eq!(line.hear(), "PONG");
    assert_eq!(who(&mut line)["account"], "OTHER");
    let admit = |question: &Question| question.admit(cast, &json!({}), &json!({}));
    for (user, pass) in [("app", "pwd"), ("other", "wrong"), ("nobody", "")] {
        let (_, heard) = server.enter(&mut service, &json!({ "user": user, "pass": pass }), &admit);
        assert_eq!(heard, "PONG", "{user}");
    }
}

/// Who is not answered for in time is not let in, and the server goes on.
fn waits(cast: &Cast, server: &Server) {
    let connect = json!({ "user": "ann", "pass": "secret" });
    let began = Instant::now();
    // Nobody listens.
    let mut alone = server.knock(&connect);
    assert_eq!((alone.hear().as_str(), alone.hear()), (VIOLATION, String::new()));
    let mut service = server.service();
    let mut late = server.knock(&connect);
    let question = asked(&mut service);
    assert_eq!((late.hear().as_str(), late.hear()), (VIOLATION, String::new()));
    assert!(began.elapsed() >= cast.timeout * 2, "{:?}", began.elapsed());
    respond(&mut service, &question, &question.admit(cast, &json!({}), &json!({})));
    let (_, heard) = server.enter(&mut service, &connect, &|question| question.admit(cast, &json!({}), &json!({})));
    assert_eq!(heard, "PONG");
    // One that goes before the answer comes.
    drop(server.knock(&connect));
    let question = asked(&mut service);
    respond(&mut service, &question, &question.admit(cast, &json!({}), &json!({})));
    service.fence();
}

#[test]
fn a_service_is_told_what_the_server_knows() {
    let cast = cast();
    with_both(&cast, |server| asks(&cast, server));
}

#[test]
fn a_service_says_who_a_client_is() {
    let cast = cast();
    with_both(&cast, |server| admits(&cast, server));
}

#[test]
fn a_bad_answer_lets_nobody_in() {
    let cast = cast();
    with_both(&cast, |server| refuses(&cast, server));
}

#[test]
fn a_services_own_users_are_not_asked_about() {
    let cast = cast();
    with_both(&cast, |server| exempts(&cast, server));
}

#[test]
fn a_service_may_be_asked_about_some_accounts_only() {
    let cast = Cast { delegated: vec!["APP".to_owned()], ..cast() };
    with_both(&cast, |server| delegates(&cast, server));
}

#[test]
fn no_answer_in_time_lets_nobody_in() {
    let cast = Cast { timeout: Duration::from_secs(1), ..cast() };
    with_both(&cast, |server| waits(&cast, server));
}

/// Restrictions that the real server has no eye for in a service's user hold here.
#[test]
fn where_and_how_a_user_may_come_is_heeded() {
    let cast = cast();
    with_ours(&cast, |server| {
        let mut service = server.service();
        let ann = json!({ "user": "ann", "pass": "secret" });
        for nats in [json!({ "src": ["10.0.0.0/8"] }), json!({ "allowed_connection_types": ["WEBSOCKET"] })] {
            let (_, heard) = server.enter(&mut service, &ann, &|question| question.admit(&cast, &nats, &json!({})));
            assert_eq!(heard, VIOLATION, "{nats}");
        }
    });
}
