//! Accounts, credentials and permissions byte for byte: each transcript of `wire/` is played against a broker with the
//! settings named here, and against the real nats-server with the file of the same name, which proves the transcript.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]
#![allow(unreachable_pub, dead_code, reason = "the transcripts are read by the tests of two crates")]

#[path = "support/line.rs"]
mod line;
#[path = "support/nats_server.rs"]
mod nats_server;
#[path = "../../tests/support/transcript.rs"]
mod transcript;

use lattice_broker::env::Env;
use lattice_broker::{
    AccountConfig, AccountLimits, AllowResponses, Auth, Broker, Config, ConnectionType, Export, ExportKind, Import,
    LocalSubject, MappedTo, Permissions, ResponseType, SubjectMapping, SubjectRules, User,
};
use line::{Line, nonce};
use nats_server::NatsServer;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use transcript::Transcript;

const HASHED: &str = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
const PUBLIC: &str = "UDLVVGABQKYQVN6VJP7NHSLEA45A5YLS6PNKMIZFV4BBU2HXA5IRUVAL";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A user of account A with the password `p`.
fn user(name: &str) -> User {
    User::with_password(name, "p").in_account("A")
}

fn publish(allow: &[&str], deny: &[&str]) -> Permissions {
    Permissions { publish: SubjectRules::new(allow, deny), ..Permissions::default() }
}

fn subscribe(allow: &[&str], deny: &[&str]) -> Permissions {
    Permissions { subscribe: SubjectRules::new(allow, deny), ..Permissions::default() }
}

fn answer(max: u32, ttl: Duration) -> Option<AllowResponses> {
    Some(AllowResponses { max, ttl })
}

fn in_a(users: Vec<User>) -> Auth {
    Auth { accounts: vec![AccountConfig::new("A"), AccountConfig::new("B")], ..Auth::users(users) }
}

fn accounts() -> Auth {
    let limits = AccountLimits { connections_max: Some(2), subscriptions_max: Some(2), payload_max: Some(100) };
    let a = AccountConfig { limits, ..AccountConfig::new("A") };
    let websocket = User { connection_types: vec![ConnectionType::WebSocket], ..user("ws").in_account("B") };
    Auth {
        accounts: vec![a, AccountConfig::new("B"), AccountConfig::new("S")],
        system_account: "S".to_owned(),
        no_auth_user: Some("b".to_owned()),
        ..Auth::users(vec![user("a"), user("b").in_account("B"), websocket, user("s").in_account("S")])
    }
}

fn imports() -> Auth {
    let to_b = |export: Export| Export { accounts: vec!["B".to_owned()], ..export };
    let stream = ExportKind::Service(ResponseType::Stream);
    let a = vec![
        Export::stream("pub.>"),
        to_b(Export::stream("priv.*")),
        Export::service("svc.add"),
        to_b(Export::service("svc.*.x")),
        Export { kind: stream, ..Export::service("st") },
    ];
    let to = |subject: &str| LocalSubject::To(subject.to_owned());
    let b = vec![
        Import { local: LocalSubject::Prefix("imp".to_owned()), ..Import::stream("A", "pub.>") },
        Import { local: to("my.$1.p"), ..Import::stream("A", "priv.*") },
        Import { local: to("add"), ..Import::service("A", "svc.add") },
        Import::service("A", "svc.*.x"),
        Import::service("A", "st"),
    ];
    let c = vec![Import::stream("A", "pub.>"), Import::service("A", "svc.add")];
    let denied = user("b2").in_account("B").with_permissions(subscribe(&[], &["imp.pub.no"]));
    Auth {
        accounts: vec![
            AccountConfig { exports: a, ..AccountConfig::new("A") },
            AccountConfig { imports: b, ..AccountConfig::new("B") },
            AccountConfig { imports: c, ..AccountConfig::new("C") },
        ],
        ..Auth::users(vec![user("a"), user("b").in_account("B"), denied, user("c").in_account("C")])
    }
}

fn logins() -> Auth {
    Auth::users(vec![
        User::with_password("hashed", HASHED),
        User::with_password("clear", "secret"),
        User::with_nkey(PUBLIC),
    ])
}

fn permissions() -> Auth {
    let many = Permissions {
        publish: SubjectRules::new(&["ok.>", "req"], &["ok.no"]),
        ..subscribe(&["in.>", "q", "q g", "qq g.*", "_INBOX.>"], &["in.no.>", "in.d g"])
    };
    let deny = user("deny").with_permissions(subscribe(&[], &["secret.>"]));
    in_a(vec![user("a").with_permissions(many), deny, user("full")])
}

fn responses() -> Auth {
    let minute = Duration::from_secs(60);
    let two = Permissions {
        publish: SubjectRules::new(&[], &[">"]),
        allow_responses: answer(2, minute),
        ..subscribe(&["req"], &[])
    };
    let one = Permissions { allow_responses: Some(AllowResponses::default()), ..subscribe(&["req1"], &[]) };
    let late = Permissions { allow_responses: answer(9, Duration::from_micros(1)), ..subscribe(&["req2"], &[]) };
    in_a(vec![
        user("two").with_permissions(two),
        user("one").with_permissions(one),
        user("late").with_permissions(late),
        user("full"),
    ])
}

fn reload() -> Auth {
    let more = Permissions { publish: SubjectRules::new(&["a"], &[]), ..subscribe(&["a"], &[]) };
    let plain = ["same", "gone", "moves", "secret", "less"].map(user);
    in_a(plain.into_iter().chain([user("more").with_permissions(more)]).collect())
}

fn reloaded() -> Auth {
    let less = Permissions { publish: SubjectRules::new(&["a"], &[]), ..subscribe(&["a", "w.>", "q q"], &["w.x"]) };
    in_a(vec![
        user("same"),
        User::with_password("secret", "other").in_account("A"),
        user("less").with_permissions(less),
        user("more"),
        user("moves").in_account("B"),
        user("new").in_account("B"),
    ])
}

fn user_info() -> Auth {
    let a = Permissions {
        publish: SubjectRules::new(&["$SYS.REQ.USER.INFO", "x"], &["no"]),
        allow_responses: answer(3, Duration::from_secs(60)),
        ..subscribe(&[], &["in.no", "in.d g"])
    };
    in_a(vec![user("a").with_permissions(a), user("b").with_permissions(publish(&["nothing"], &[])), user("c")])
}

fn services() -> Auth {
    let export = AccountConfig { exports: vec![Export::stream("pub.>")], ..AccountConfig::new("A") };
    let import = AccountConfig { imports: vec![Import::stream("A", "pub.>")], ..AccountConfig::new("B") };
    Auth {
        accounts: vec![export, import, AccountConfig::new("$SYS")],
        ..Auth::users(vec![user("a"), user("b").in_account("B"), user("s").in_account("$SYS")])
    }
}

fn events() -> Auth {
    services()
}

/// A mapping whose destinations are each written as `subject | weight | cluster`.
fn mapping(source: &str, destinations: &[&str]) -> SubjectMapping {
    let destinations = destinations.iter().map(|text| {
        let words: Vec<&str> = text.split(" | ").collect();
        let weight = words.get(1).map_or(100, |weight| weight.parse().unwrap());
        MappedTo { cluster: words.get(2).copied().unwrap_or_default().to_owned(), ..MappedTo::new(words[0], weight) }
    });
    SubjectMapping { source: source.to_owned(), destinations: destinations.collect() }
}

fn with_mappings(account: AccountConfig, mappings: &[(&str, &[&str])]) -> AccountConfig {
    let mappings = mappings.iter().map(|(source, destinations)| mapping(source, destinations));
    AccountConfig { mappings: mappings.collect(), ..account }
}

fn global(mappings: &[(&str, &[&str])]) -> Auth {
    Auth { accounts: vec![with_mappings(AccountConfig::new("$G"), mappings)], ..Auth::default() }
}

fn mappings() -> Auth {
    global(&[
        ("plain", &["plain.new"]),
        ("swap.*.*", &["swapped.$2.{{wildcard(1)}}"]),
        ("drop.*.*", &["dropped.$2"]),
        ("tail.*.>", &["tailed.>"]),
        ("part.*", &["p.{{partition(10,1)}}"]),
        ("parts.*.*", &["ps.{{partition(7, 2, 1)}}.{{Partition(5,1)}}"]),
        ("whole.*", &["w.{{partition(100)}}"]),
        ("sfl.*", &["cut.{{SplitFromLeft(1,2)}}"]),
        ("sfr.*", &["cut.{{splitFromRight(1, 2)}}"]),
        ("cfl.*", &["cut.{{SliceFromLeft(1,2)}}"]),
        ("cfr.*", &["cut.{{sliceFromRight(1,2)}}"]),
        ("split.*", &["cut.{{split(1,-)}}"]),
        ("chars.*", &["cut.{{Split(1,)}}"]),
        ("ends.*", &["cut.{{left(1,2)}}.{{Right(1,2)}}"]),
        ("zero.*", &["z.{{random(1)}}.{{partition(1,1)}}"]),
        ("literal", &["{{wildcard(1)}}x.$a"]),
        ("lost", &["lost | 0"]),
        ("all", &["all.1 | 100"]),
        ("none", &["none.1 | 0"]),
        ("other", &["other.1 | 100 | other"]),
        ("whoami", &["$SYS.REQ.USER.INFO"]),
        ("reserved", &["$NRG.x"]),
        ("same", &["same"]),
        ("gone", &["gone.1"]),
        ("changes", &["changes.1"]),
    ])
}

fn remapped() -> Auth {
    global(&[("plain", &["plain.new"]), ("changes", &["changes.2"]), ("new.*", &["new.1.$1"])])
}

fn mapped_accounts() -> Auth {
    let a = AccountConfig { exports: vec![Export::service("svc.*")], ..AccountConfig::new("A") };
    let ask = Import { local: LocalSubject::To("ask.*".to_owned()), ..Import::service("A", "svc.*") };
    let b = AccountConfig { imports: vec![ask], ..AccountConfig::new("B") };
    let of_b: &[(&str, &[&str])] = &[
        ("in", &["out"]),
        ("mine", &["other"]),
        ("odd", &["odd | 0"]),
        ("call.*", &["ask.$1"]),
        ("inbox.*", &["told.$1"]),
    ];
    Auth {
        accounts: vec![with_mappings(a, &[("svc.*", &["work.$1"]), ("news.*", &["old.$1"])]), with_mappings(b, of_b)],
        ..Auth::users(vec![
            user("a"),
            user("b").in_account("B"),
            user("rights").in_account("B").with_permissions(publish(&["out", "out.*"], &[])),
            user("mine").in_account("B").with_permissions(publish(&[], &["mine"])),
        ])
    }
}

fn token_hashed() -> Auth {
    Auth::token(HASHED)
}

fn play_real(name: &str) {
    let conf = |kind: &str| std::fs::read_to_string(root().join(format!("tests/wire/{name}{kind}.conf")));
    let server = NatsServer::start(&conf("").unwrap());
    let reload = &mut || server.reload(&conf(".reloaded").unwrap());
    Transcript::read(name).play_with(server.address(), reload);
}

fn config(auth: Auth) -> Config {
    Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)), auth, ..Config::default() }
}

fn with_broker(config: Config, play: impl FnOnce(&Broker, SocketAddr)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _context = runtime.enter();
    let broker = Broker::new(Env::tokio(), config).unwrap();
    play(&broker, broker.listen().unwrap());
    runtime.block_on(broker.drain());
}

fn play_broker(name: &str, auth: Auth, reloaded: Option<Auth>) {
    let transcript = Transcript::read(name);
    assert!(transcript.settings().is_empty(), "the settings are in files of their own");
    with_broker(config(auth), |broker, address| {
        transcript.play_with(address, &mut || broker.reload(&config(reloaded.clone().unwrap())).unwrap());
    });
}

macro_rules! transcripts {
    ($($name:ident $(=> $reloaded:ident)?)*) => {
        const ALL: &[&str] = &[$(stringify!($name)),*];

        mod real {
            $(#[test] fn $name() { super::play_real(stringify!($name)); })*
        }

        mod broker {
            $(#[test] fn $name() {
                let reloaded: &[super::Auth] = &[$(super::$reloaded())?];
                super::play_broker(stringify!($name), super::$name(), reloaded.first().cloned());
            })*
        }
    };
}

transcripts! {
    accounts
    events
    imports
    logins
    mapped_accounts
    mappings => remapped
    permissions
    reload => reloaded
    responses
    services
    token_hashed
    user_info
}

/// A user with the password `p`, who is in.
fn enter(address: SocketAddr, user: &str) -> Line {
    let mut line = Line::open(address);
    line.say(&format!("CONNECT {{\"verbose\":false,\"headers\":true,\"user\":\"{user}\",\"pass\":\"p\"}}\r\n"));
    assert!(line.hear().starts_with("INFO "));
    line.fence();
    line
}

/// Answers find the asker in its account: one of a service that gives one, several of one that gives several.
fn play_answers(address: SocketAddr) {
    let (mut serve, mut ask) = (enter(address, "a"), enter(address, "b"));
    serve.say("SUB svc.> 1\r\nSUB st 2\r\n");
    ask.say("SUB inbox.* 9\r\n");
    serve.fence();
    ask.fence();
    ask.say("PUB add inbox.1 2\r\nhi\r\n");
    let reply = serve.hear_request("hi");
    assert!(reply.starts_with("_R_."), "{reply}");
    serve.say(&format!("PUB {reply} 1\r\n1\r\nPUB {reply} 1\r\n2\r\nPUB _R_.no.no 1\r\n3\r\n"));
    serve.fence();
    assert_eq!((ask.hear(), ask.hear()), ("MSG inbox.1 9 1".to_owned(), "1".to_owned()));
    ask.fence();
    ask.say("HPUB svc.q.x inbox.2 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n");
    let reply = serve.hear_request("hi");
    serve.say(&format!("HPUB {reply} 18 20\r\nNATS/1.0\r\nX: y\r\n\r\nho\r\n"));
    let heard: Vec<String> = (0..5).map(|_| ask.hear()).collect();
    assert_eq!(heard, ["HMSG inbox.2 9 18 20", "NATS/1.0", "X: y", "", "ho"]);
    ask.say("PUB st inbox.3 1\r\ns\r\n");
    let reply = serve.hear_request("s");
    serve.say(&format!("PUB {reply} 1\r\n1\r\nPUB {reply} 1\r\n2\r\nPUB {reply} 0\r\n\r\nPUB {reply} 1\r\n3\r\n"));
    serve.fence();
    let heard: Vec<String> = (0..6).map(|_| ask.hear()).collect();
    assert_eq!(heard, ["MSG inbox.3 9 1", "1", "MSG inbox.3 9 1", "2", "MSG inbox.3 9 0", ""]);
    ask.fence();
}

/// A request goes by the mappings of the account that asks and of the one that serves, its answer by those of the first.
fn play_mapped_answers(address: SocketAddr) {
    let (mut serve, mut ask) = (enter(address, "a"), enter(address, "b"));
    serve.say("SUB work.* 1\r\nSUB svc.* 2\r\n");
    ask.say("SUB told.* 1\r\nSUB inbox.* 2\r\n");
    serve.fence();
    ask.fence();
    ask.say("PUB call.x inbox.1 2\r\nhi\r\n");
    let reply = serve.hear_request("hi");
    serve.say(&format!("PUB {reply} 2\r\nho\r\n"));
    assert_eq!((ask.hear(), ask.hear()), ("MSG told.1 1 2".to_owned(), "ho".to_owned()));
    serve.fence();
    ask.fence();
}

const SHARES: &str = r#"
    server_name: one
    cluster { name: here, port: -1 }
    mappings {
        "half.*": [ { dest: "h.$1", weight: 50% } ]
        three: [ { dest: t.1, weight: 20% }, { dest: t.2, weight: 30% }, { dest: t.3, weight: 50% } ]
        lossy: [ { dest: lossy, weight: 30 }, { dest: l.2, weight: 30 } ]
        own: [ { dest: o.1, weight: 50, cluster: here }, { dest: o.2, weight: 100, cluster: there }, { dest: o.3, weight: 100 } ]
        rest: [ { dest: rest, weight: 100, cluster: there } ]
        random: "r.{{random(4)}}"
    }
"#;

fn shares() -> Config {
    let auth = global(&[
        ("half.*", &["h.$1 | 50"]),
        ("three", &["t.1 | 20", "t.2 | 30", "t.3 | 50"]),
        ("lossy", &["lossy | 30", "l.2 | 30"]),
        ("own", &["o.1 | 50 | here", "o.2 | 100 | there", "o.3 | 100"]),
        ("rest", &["rest | 100 | there"]),
        ("random", &["r.{{random(4)}}"]),
    ]);
    Config { cluster_name: "here".to_owned(), ..config(auth) }
}

/// Weights are shares of the messages, in each cluster its own.
fn play_shares(address: SocketAddr) {
    for (subject, expected) in [
        ("half.x", &[("h.x", 500), ("half.x", 500)][..]),
        ("three", &[("t.1", 200), ("t.2", 300), ("t.3", 500)]),
        ("lossy", &[("lossy", 300), ("l.2", 300)]),
        ("own", &[("o.1", 500), ("own", 500)]),
        ("rest", &[]),
        ("random", &[("r.0", 250), ("r.1", 250), ("r.2", 250), ("r.3", 250)]),
    ] {
        let mut line = Line::open(address);
        line.say("CONNECT {\"verbose\":false}\r\nSUB > 1\r\n");
        line.say(&format!("PUB {subject} 0\r\n\r\n").repeat(1000));
        line.say("PING\r\n");
        assert!(line.hear().starts_with("INFO "));
        let mut heard: BTreeMap<String, u32> = BTreeMap::new();
        while let Some(subject) = line.hear().strip_prefix("MSG ").and_then(|rest| rest.split(' ').next()) {
            *heard.entry(subject.to_owned()).or_default() += 1;
            line.hear();
        }
        assert_eq!(heard.len(), expected.len(), "{subject}: {heard:?}");
        for (subject, share) in expected {
            let count = heard.get(*subject).copied().unwrap_or_default();
            // Six standard deviations of the widest.
            assert!(count.abs_diff(*share) < 96, "{subject}: {heard:?}");
        }
    }
}

/// Whoever has the key can sign the nonce.
fn play_key(address: SocketAddr, key: &nkeys::KeyPair) {
    let mut line = Line::open(address);
    let info = line.hear();
    let nonce = nonce(&info);
    assert_eq!(nonce.len(), 15);
    let signature = data_encoding::BASE64URL_NOPAD.encode(&key.sign(nonce.as_bytes()).unwrap());
    let public = key.public_key();
    line.say(&format!("CONNECT {{\"verbose\":false,\"nkey\":\"{public}\",\"sig\":\"{signature}\"}}\r\n"));
    line.fence();
}

#[test]
fn answers_real() {
    let config = std::fs::read_to_string(root().join("tests/wire/imports.conf")).unwrap();
    play_answers(NatsServer::start(&config).address());
}

#[test]
fn answers_broker() {
    with_broker(config(imports()), |_, address| play_answers(address));
}

#[test]
fn mapped_answers_real() {
    let config = std::fs::read_to_string(root().join("tests/wire/mapped_accounts.conf")).unwrap();
    play_mapped_answers(NatsServer::start(&config).address());
}

#[test]
fn mapped_answers_broker() {
    with_broker(config(mapped_accounts()), |_, address| play_mapped_answers(address));
}

#[test]
fn shares_real() {
    play_shares(NatsServer::start(SHARES).address());
}

#[test]
fn shares_broker() {
    with_broker(shares(), |_, address| play_shares(address));
}

#[test]
fn keys_real() {
    let key = nkeys::KeyPair::new_user();
    let config = format!("authorization {{ users [ {{ nkey: {} }} ] }}", key.public_key());
    play_key(NatsServer::start(&config).address(), &key);
}

#[test]
fn keys_broker() {
    let key = nkeys::KeyPair::new_user();
    let auth = Auth::users(vec![User::with_nkey(key.public_key())]);
    with_broker(config(auth), |_, address| play_key(address, &key));
}

#[test]
fn every_transcript_is_played() {
    let mut found: Vec<String> = std::fs::read_dir(root().join("tests/wire"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".txt").map(str::to_owned))
        .collect();
    found.sort();
    assert_eq!(found, ALL);
}
