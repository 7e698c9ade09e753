//! Chains of tokens, each with one thing wrong.

use super::*;
use crate::auth::{Access, Auth, ConnectionType, Identity, Review, Verdict};
use crate::proto::Connect;
use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[path = "../../../tests/support/jwt.rs"]
pub(in crate::auth) mod make;

const NOW: u64 = 1_800_000_000;
const NONCE: &str = "n0nce";

struct World {
    operator: KeyPair,
    account: KeyPair,
    signer: KeyPair,
    user: KeyPair,
}

impl World {
    fn new() -> Self {
        let (operator, user) = (KeyPair::new_operator(), KeyPair::new_user());
        Self { operator, account: KeyPair::new_account(), signer: KeyPair::new_account(), user }
    }

    fn trusted(&self) -> Operator {
        Operator::new([make::operator(&self.operator, &json!({})).as_str()]).unwrap()
    }

    /// Judges by one account that says `nats` and `more`.
    fn access(&self, nats: &Value, more: &Value) -> Access {
        let mut operator = self.trusted();
        operator.add_account(&make::account(&self.operator, &self.account, nats, more)).unwrap();
        let auth = Auth::operator(operator);
        assert_eq!(auth.validate(), Ok(()));
        Access::new(&auth)
    }

    fn connect(&self, jwt: String) -> Connect {
        let signature = BASE64URL_NOPAD.encode(&self.user.sign(NONCE.as_bytes()).unwrap());
        Connect { jwt: Some(jwt), sig: Some(signature), ..Connect::default() }
    }

    fn user(&self, nats: &Value, more: &Value) -> Connect {
        self.connect(make::user(&self.account, &self.user, nats, more))
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn here() -> Option<IpAddr> {
    Some(IpAddr::from([127, 0, 0, 1]))
}

fn judge(access: &Access, connect: &Connect) -> Option<Arc<Identity>> {
    match access.judge(&crate::auth::Showing {
        connect,
        nonce: Some(NONCE),
        over: ConnectionType::Standard,
        from: here(),
        certificate: None,
    }) {
        Verdict::Slow(check) => check.run(at(NOW)),
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
fn a_user_is_let_in_by_its_chain_alone() {
    let world = World::new();
    let access = world.access(&json!({}), &json!({}));
    assert!(access.is_required() && access.wants_nonce() && access.anonymous(ConnectionType::Standard).is_none());
    let identity = judge(&access, &world.user(&json!({}), &json!({ "exp": NOW + 5 }))).unwrap();
    assert_eq!(identity.user.as_deref(), Some(&*world.user.public_key()));
    assert_eq!((&*identity.account, &*identity.account_name), (&*world.account.public_key(), "ACC"));
    assert_eq!(identity.until().map(|(until, _)| until), Some(at(NOW + 5)));
    let good = world.user(&json!({}), &json!({}));
    for bad in [
        Connect::default(),
        Connect { sig: None, ..good.clone() },
        Connect {
            sig: Some(BASE64URL_NOPAD.encode(&KeyPair::new_user().sign(NONCE.as_bytes()).unwrap())),
            ..good.clone()
        },
        world.connect(make::user(&KeyPair::new_account(), &world.user, &json!({}), &json!({}))),
        world.connect(make::user(
            &world.signer,
            &world.user,
            &json!({ "issuer_account": world.account.public_key() }),
            &json!({}),
        )),
        world.user(&json!({}), &json!({ "exp": NOW - 1 })),
        world.user(&json!({}), &json!({ "nbf": NOW + 1 })),
        world.user(&json!({ "allowed_connection_types": ["WEBSOCKET"] }), &json!({})),
        world.user(&json!({ "src": ["10.0.0.0/8"] }), &json!({})),
        world.user(&json!({ "src": "10.0.0.0/8, 11.0.0.0/8" }), &json!({})),
        world.user(
            &json!({ "times": [{ "start": "00:00:00", "end": "00:00:01" }], "times_location": "UTC" }),
            &json!({}),
        ),
        world.user(&json!({ "times": [{ "start": "00:00:00", "end": "23:59:59" }] }), &json!({})),
        world.user(&json!({ "pub": { "allow": ["a..b"] } }), &json!({})),
    ] {
        assert!(judge(&access, &bad).is_none(), "{bad:?}");
    }
    for good in [
        world.user(&json!({ "allowed_connection_types": ["standard", "PIGEON"] }), &json!({})),
        world.user(&json!({ "src": "10.0.0.0/8,127.0.0.0/8" }), &json!({})),
        Connect { sig: None, ..world.user(&json!({ "bearer_token": true }), &json!({})) },
        world.user(
            &json!({ "times": [{ "start": "00:00:00", "end": "23:59:59" }], "times_location": "UTC" }),
            &json!({}),
        ),
    ] {
        assert!(judge(&access, &good).is_some(), "{good:?}");
    }
}

#[test]
fn an_account_decides_about_its_users() {
    let world = World::new();
    let public = world.user.public_key();
    let good = world.user(&json!({}), &json!({}));
    for (nats, more) in [
        (json!({ "revocations": { &public: make::ISSUED } }), json!({})),
        (json!({ "revocations": { "*": make::ISSUED + 1 } }), json!({})),
        (json!({}), json!({ "exp": NOW - 1 })),
        (json!({}), json!({ "nbf": NOW + 1 })),
    ] {
        assert!(judge(&world.access(&nats, &more), &good).is_none(), "{nats} {more}");
    }
    let older = json!({ "revocations": { &public: make::ISSUED - 1 } });
    assert!(judge(&world.access(&older, &json!({})), &good).is_some());
    let bearer = Connect { sig: None, ..world.user(&json!({ "bearer_token": true }), &json!({})) };
    let strict = json!({ "limits": { "disallow_bearer": true } });
    assert!(judge(&world.access(&strict, &json!({})), &bearer).is_none());
    let limited = json!({ "limits": { "subs": 3, "payload": 10 } });
    let least =
        judge(&world.access(&limited, &json!({})), &world.user(&json!({ "subs": 7, "payload": 9 }), &json!({})))
            .unwrap();
    assert_eq!((least.subscriptions_max, least.payload_max), (3, 9));
    let allows = json!({ "default_permissions": { "pub": { "allow": ["a"] } } });
    let described = |nats: &Value| {
        let identity = judge(&world.access(&allows, &json!({})), &world.user(nats, &json!({}))).unwrap();
        identity.rules.as_ref().unwrap().describe()[0][0].clone()
    };
    assert_eq!(described(&json!({})), ["a"]);
    assert_eq!(described(&json!({ "pub": { "allow": ["b"] } })), ["b"]);
}

#[test]
fn scopes_say_what_their_users_may() {
    let world = World::new();
    let template = json!({
        "pub": { "allow": ["u.{{name()}}.{{tag(team)}}", "all"] },
        "sub": { "allow": ["{{account-name()}}.>", "{{subject()}}"] },
        "subs": 4, "data": -1, "payload": -1,
    });
    let key = json!({ "kind": "user_scope", "key": world.signer.public_key(), "template": template });
    let access = world.access(&json!({ "signing_keys": [key] }), &json!({}));
    let judge = |nats: &Value| {
        judge(&access, &world.connect(make::scoped_user(&world.signer, &world.account, &world.user, nats)))
    };
    let identity = judge(&json!({ "tags": ["team:a", "TEAM:b", "other:c"] })).unwrap();
    let [publish, subscribe] = identity.rules.as_ref().unwrap().describe();
    assert_eq!(publish[0], ["u.USR.a", "u.USR.b", "all"]);
    assert_eq!(subscribe[0], ["ACC.>".to_owned(), world.user.public_key()]);
    assert_eq!(identity.subscriptions_max, 4);
    assert!(judge(&json!({ "subs": 9 })).is_none(), "the scope says what is allowed");
    assert_eq!(judge(&json!({})).unwrap().rules.as_ref().unwrap().describe()[0][0], ["all"]);
}

#[test]
fn clients_that_are_in_are_looked_at_again() {
    let world = World::new();
    let key = |template: &Value| json!({ "signing_keys": [{ "kind": "user_scope", "key": world.signer.public_key(), "template": template }] });
    let first = key(&json!({ "subs": 1, "data": -1, "payload": -1 }));
    let connect = world.connect(make::scoped_user(&world.signer, &world.account, &world.user, &json!({})));
    let identity = judge(&world.access(&first, &json!({})), &connect).unwrap();
    let review = |nats: &Value, more: &Value| match world.access(nats, more).review(
        &identity,
        ConnectionType::Standard,
        here(),
        at(NOW),
    ) {
        Review::Stays(identity) => format!("stays {} {:?}", identity.subscriptions_max, identity.until()),
        Review::Gone => "gone".to_owned(),
        Review::Denied => "denied".to_owned(),
        Review::Revoked => "revoked".to_owned(),
    };
    assert_eq!(review(&key(&json!({ "subs": 2, "data": -1, "payload": -1 })), &json!({})), "gone");
    assert!(review(&first, &json!({ "exp": NOW + 9 })).contains("Account"));
    assert_eq!(review(&json!({}), &json!({})), "gone");
    assert_eq!(review(&first, &json!({ "exp": NOW })), "denied");
    assert_eq!(review(&first, &json!({})), "stays 1 None");
    let revoked = make::merged(first.clone(), &json!({ "revocations": { "*": make::ISSUED } }));
    assert_eq!(review(&revoked, &json!({})), "revoked");
}

#[test]
fn tokens_that_are_none_are_told_apart() {
    let world = World::new();
    let (empty, public) = (json!({}), world.account.public_key());
    let mut operator = world.trusted();
    let mut add = |text: &str| operator.add_account(text).map_err(|error| error.to_string());
    let good = make::account(&world.operator, &world.account, &empty, &empty);
    assert_eq!(add(&good), Ok(public.clone()));
    let mapped =
        |mappings: &Value| make::account(&world.operator, &world.account, &json!({ "mappings": mappings }), &empty);
    let other = KeyPair::new_operator();
    // With the signature of another.
    let (signed, signature) =
        (&good[..good.rfind('.').unwrap()], make::account(&other, &world.account, &empty, &empty));
    let broken = format!("{signed}{}", &signature[signature.rfind('.').unwrap()..]);
    for (text, part) in [
        (String::new(), "three parts"),
        ("a.b".to_owned(), "three parts"),
        ("a.b.c.d".to_owned(), "three parts"),
        ("e30.e30.".to_owned(), "its header says"),
        ("x".repeat(TOKEN_BYTES_MAX + 1), "exceeds 1048576"),
        (broken, "signature is not that"),
        (make::operator(&world.operator, &empty), "is of type \"operator\""),
        (make::account(&other, &world.account, &empty, &empty), "is no key of the operator"),
        (make::account(&world.account, &world.account, &empty, &empty), "is no key of the operator"),
        (make::account(&world.operator, &world.user, &empty, &empty), "its subject"),
        (make::account(&world.operator, &world.account, &json!({ "type": "user" }), &empty), "is of type \"user\""),
        (make::account(&world.operator, &world.account, &json!({ "exports": 7 }), &empty), "cannot be read"),
        (
            make::account(&world.operator, &world.account, &json!({ "exports": [{ "subject": "a" }], }), &empty),
            "nats.exports",
        ),
        (
            make::account(
                &world.operator,
                &world.account,
                &json!({ "authorization": { "auth_users": ["U"] } }),
                &empty,
            ),
            "nats.authorization.auth_users",
        ),
        (
            mapped(&json!({ "a": [{ "subject": "b", "weight": 60 }, { "subject": "c", "weight": 41 }] })),
            "weights of 101",
        ),
        (mapped(&json!({ "a": [{ "subject": "b" }, { "subject": "c", "weight": 1 }] })), "weights of 101"),
        (mapped(&json!({ "a": [{ "subject": "{{random(1, 2)}} " }] })), "nats.mappings"),
        (mapped(&json!({ "a..b": [] })), "nats.mappings"),
    ] {
        let error = add(&text).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    assert!(Operator::new([good.as_str()]).is_err() && inspect(&good, TokenKind::Account).is_ok());
    assert!(inspect(&good, TokenKind::User).is_err());
}

#[test]
fn imports_are_what_is_exported_to_them() {
    let world = World::new();
    let (exporter, importer) = (&world.account, &world.signer);
    let (from, to) = (exporter.public_key(), importer.public_key());
    let activation = |subject: &str, more: &Value| {
        let nats = json!({ "type": "activation", "subject": subject, "kind": "stream" });
        make::sign(exporter, &to, nats, more)
    };
    let exports = json!({ "exports": [
        { "subject": "pub.>", "type": "stream" },
        { "subject": "priv.>", "type": "stream", "token_req": true },
        { "subject": "help.*", "type": "service", "response_type": "Stream" },
        { "subject": "own.*.x", "type": "service", "account_token_position": 2 },
    ]});
    let stream =
        |subject: &str, token: &str| json!({ "subject": subject, "account": from, "type": "stream", "token": token });
    let service = |subject: &str| json!({ "subject": subject, "account": from, "type": "service" });
    let kept = |import: &Value| {
        let mut operator = world.trusted();
        let imports = json!({ "imports": [import] });
        operator.add_account(&make::account(&world.operator, exporter, &exports, &json!({}))).unwrap();
        operator.add_account(&make::account(&world.operator, importer, &imports, &json!({}))).unwrap();
        let auth = Auth::operator(operator);
        assert_eq!(auth.validate(), Ok(()));
        !auth.account(&to).unwrap().imports.is_empty()
    };
    for good in [
        stream("pub.a", ""),
        stream("priv.a", &activation("priv.a", &json!({}))),
        make::merged(service("help.*"), &json!({ "local_subject": "ask.*" })),
        make::merged(service("ask"), &json!({ "to": "help.a" })),
        service(&format!("own.{to}.x")),
    ] {
        assert!(kept(&good), "{good}");
    }
    for bad in [
        stream("other.a", ""),
        stream("priv.a", ""),
        stream("priv.a", &activation("priv.b", &json!({}))),
        stream("priv.a", &activation("priv.a", &json!({ "exp": NOW + 100 }))),
        stream("help.a", ""),
        make::merged(service("help.*"), &json!({ "local_subject": "ask" })),
        service(&format!("own.{from}.x")),
    ] {
        assert!(!kept(&bad), "{bad}");
    }
}
