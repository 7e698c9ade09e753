use super::*;
use crate::auth::jwt::tests::make;
use crate::auth::{
    Access, AccountConfig, ConnectionType, Identity, Permissions, Review, Showing, SubjectRules, User, Verdict,
};
use crate::tls::TlsFacts;
use nkeys::{KeyPair, KeyPairType};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NOW: u64 = 1_800_000_000;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn callout(issuer: &KeyPair) -> Callout {
    let account = "AUTH".to_owned();
    Callout { issuer: issuer.public_key(), account, users: vec!["auth".to_owned()], accounts: Vec::new() }
}

fn auth(callout: Callout) -> Auth {
    let bcrypted = User::with_password("slow", bcrypt::hash("pwd", 4).unwrap()).in_account("APP");
    let user = |name: &str, account: &str| User::with_password(name, "pwd").in_account(account);
    let accounts = ["AUTH", "APP"].map(AccountConfig::new).into();
    let users = vec![user("auth", "AUTH"), user("app", "APP"), user("any", ""), bcrypted];
    Auth { accounts, callout: Some(callout), ..Auth::users(users) }
}

fn connect(user: &str, pass: &str) -> Connect {
    Connect { user: Some(user.to_owned()), pass: Some(pass.to_owned()), ..Connect::default() }
}

fn judge(access: &Access, connect: &Connect) -> Verdict {
    let from = Some(IpAddr::from([127, 0, 0, 1]));
    let over = ConnectionType::Standard;
    access.judge(&Showing { connect, nonce: Some("n0nce"), over, from, certificate: None })
}

/// What a client with these credentials comes to: its name and account, or what has to be done.
fn outcome(access: &Access, user: &str, pass: &str) -> String {
    match judge(access, &connect(user, pass)) {
        Verdict::Admitted(identity) => format!("{}@{}", identity.label(), identity.account),
        Verdict::Denied => "denied".to_owned(),
        Verdict::Slow(_) => "slow".to_owned(),
        Verdict::Asked(check) => if check.before.is_some() { "slow, asked" } else { "asked" }.to_owned(),
    }
}

#[test]
fn only_users_of_the_service_and_other_accounts_are_judged_here() {
    let issuer = KeyPair::new_account();
    let access = Access::new(&auth(callout(&issuer)));
    for (user, pass, expected) in [
        ("auth", "pwd", "auth@AUTH"),
        ("auth", "no", "denied"),
        ("app", "pwd", "asked"),
        ("app", "no", "asked"),
        ("slow", "pwd", "asked"),
        ("any", "pwd", "asked"),
        ("nobody", "", "asked"),
        ("", "", "asked"),
    ] {
        assert_eq!(outcome(&access, user, pass), expected, "{user} {pass}");
    }
    let access = Access::new(&auth(Callout { accounts: vec!["AUTH".to_owned()], ..callout(&issuer) }));
    for (user, pass, expected) in [
        ("app", "pwd", "app@APP"),
        ("app", "no", "asked"),
        ("slow", "pwd", "slow, asked"),
        ("any", "pwd", "asked"),
        ("", "", "asked"),
    ] {
        assert_eq!(outcome(&access, user, pass), expected, "{user} {pass}");
    }
}

fn server() -> (ServerId, KeyPair) {
    let key = KeyPair::new_from_raw(KeyPairType::Server, [7; 32]).unwrap();
    let text = str::to_owned;
    let (name, host, version) = (text("S"), text("127.0.0.1"), text("2"));
    (ServerId { name, host, id: key.public_key(), version, cluster: String::new(), tags: Vec::new() }, key)
}

fn ask(access: &Access, user: &str) -> Inquiry {
    let Verdict::Asked(check) = judge(access, &connect(user, "s3cret")) else { panic!("judged here") };
    assert!(!format!("{check:?}").contains("s3cret"));
    let (id, key) = server();
    check.inquire((5, None), (&id, &key), [9; 32], (at(NOW), Duration::from_secs(2))).unwrap()
}

/// The public key that was made for the client.
fn public() -> String {
    KeyPair::new_from_raw(KeyPairType::User, [9; 32]).unwrap().public_key()
}

fn answer(issuer: &KeyPair, nats: &Value, more: &Value) -> String {
    let token = make::sign(issuer, &public(), make::merged(json!({ "type": "user" }), nats), more);
    let nats = json!({ "type": "authorization_response", "jwt": token });
    make::sign(issuer, &public(), nats, &json!({ "aud": server().0.id }))
}

#[test]
fn an_answer_makes_an_identity() {
    let issuer = KeyPair::new_account();
    let access = Access::new(&auth(callout(&issuer)));
    let settle = |nats: &Value, more: &Value| {
        let inquiry = ask(&access, "app");
        assert!(!format!("{inquiry:?}").contains(&inquiry.request));
        inquiry.judge(answer(&issuer, nats, more).as_bytes(), at(NOW))
    };
    let identity = settle(&json!({}), &json!({ "aud": "APP", "name": "Ann", "exp": NOW + 9 })).unwrap();
    assert_eq!((identity.label(), &*identity.account), ("Ann", "APP"));
    assert!(identity.rules.is_none() && identity.until().unwrap().0 == at(NOW + 9));
    let identity = settle(&json!({ "pub": { "allow": ["a"] } }), &json!({ "aud": "AUTH" })).unwrap();
    let rules = identity.rules.as_ref().unwrap();
    assert_eq!(identity.label(), "app");
    assert!(rules.may_publish(b"a") && !rules.may_publish(SUBJECT.as_bytes()));
    for bad in [json!({ "aud": "NONE" }), json!({}), json!({ "aud": "APP", "exp": NOW })] {
        assert!(settle(&json!({}), &bad).is_err(), "{bad}");
    }
}

#[test]
fn certificates_are_told_as_text() {
    let facts = |certificates: Vec<Vec<u8>>| TlsFacts {
        version: "1.3",
        cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
        certificates: certificates.into_iter().map(Into::into).collect(),
        ..TlsFacts::default()
    };
    let told = |facts: &TlsFacts| serde_json::to_value(ClientTls::new(facts)).unwrap();
    let (version, cipher) = ("1.3", "TLS_AES_128_GCM_SHA256");
    assert_eq!(told(&facts(Vec::new())), json!({ "version": version, "cipher": cipher }));
    let (line, rest) = ("AAAA".repeat(16), "AAAA".repeat(4));
    let text = format!("-----BEGIN CERTIFICATE-----\n{line}\n{rest}\n-----END CERTIFICATE-----\n");
    let expected = json!({ "version": version, "cipher": cipher, "verified_chains": [[text]] });
    assert_eq!(told(&facts(vec![vec![0; 60]])), expected);
}

#[test]
fn bad_answers_let_nobody_in() {
    let issuer = KeyPair::new_account();
    let access = Access::new(&auth(callout(&issuer)));
    let refusal = |answer: &[u8]| ask(&access, "app").judge(answer, at(NOW)).unwrap_err().to_string();
    assert_eq!(refusal(b""), "the service gave no reason");
    assert!(refusal(b"\xff\xff").contains("no JWT") && refusal(b"a.b.c").contains("no JWT"));
    assert!(refusal(&vec![b'.'; 2 << 20]).contains("exceeds"));
    let good = answer(&issuer, &json!({}), &json!({ "aud": "APP" }));
    // Whatever is cut off or changed, nobody comes in and nothing breaks.
    for at in (0..good.len()).step_by(7) {
        let mut changed = good.clone().into_bytes();
        changed[at] ^= 1;
        refusal(&changed);
        refusal(&good.as_bytes()[..at]);
    }
    let long = "x".repeat(5000);
    let denied = make::sign(
        &issuer,
        &public(),
        json!({ "type": "authorization_response", "error": long }),
        &json!({ "aud": server().0.id }),
    );
    assert!((100..400).contains(&refusal(denied.as_bytes()).len()));
}

#[test]
fn who_was_let_in_stays_as_long_as_the_issuer_and_the_account_do() {
    let issuer = KeyPair::new_account();
    let access = Access::new(&auth(callout(&issuer)));
    let answer = answer(&issuer, &json!({}), &json!({ "aud": "APP" }));
    let identity: Arc<Identity> = ask(&access, "ann").settle(answer.as_bytes(), at(NOW)).unwrap();
    let review = |auth: &Auth| match Access::new(auth).review(&identity, ConnectionType::Standard, None, at(NOW)) {
        Review::Stays(_) => "stays",
        Review::Gone => "gone",
        Review::Denied => "denied",
        Review::Revoked => "revoked",
    };
    let same = auth(callout(&issuer));
    assert_eq!(review(&same), "stays");
    assert_eq!(review(&Auth { accounts: vec![AccountConfig::new("AUTH")], ..same.clone() }), "gone");
    assert_eq!(review(&auth(callout(&KeyPair::new_account()))), "denied");
    assert_eq!(review(&Auth { callout: None, ..same }), "denied");
}

#[test]
fn clients_beside_the_service_may_not_ask_it() {
    let restricted = Permissions { publish: SubjectRules::new(&[">"], &[]), ..Permissions::default() };
    let mut auth = auth(callout(&KeyPair::new_account()));
    auth.users[0] = auth.users[0].clone().with_permissions(restricted);
    let Verdict::Admitted(identity) = judge(&Access::new(&auth), &connect("auth", "pwd")) else { panic!("denied") };
    let rules = identity.rules.as_ref().unwrap();
    assert!(rules.may_publish(b"$SYS.REQ.USER.INFO") && !rules.may_publish(SUBJECT.as_bytes()));
}

#[test]
fn what_cannot_work_is_named() {
    let issuer = KeyPair::new_account();
    let good = callout(&issuer);
    let refused = |auth: &Auth| auth.validate().map_err(|error| error.key);
    let with = |callout: Callout| refused(&auth(callout));
    assert_eq!(with(good.clone()), Ok(()));
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(with(Callout { issuer: String::new(), ..good.clone() }), Err("auth.callout.issuer"));
    assert_eq!(with(Callout { issuer: KeyPair::new_user().public_key(), ..good.clone() }), Err("auth.callout.issuer"));
    assert_eq!(with(Callout { account: "NONE".to_owned(), ..good.clone() }), Err("auth.callout.account"));
    assert_eq!(with(Callout { users: Vec::new(), ..good.clone() }), Err("auth.callout.users"));
    assert_eq!(with(Callout { users: names(&["auth", "x"]), ..good.clone() }), Err("auth.callout.users"));
    assert_eq!(with(Callout { accounts: names(&["x"]), ..good.clone() }), Err("auth.callout.accounts"));
    let silent = Auth { no_auth_user: Some("app".to_owned()), ..auth(good.clone()) };
    let certified = Auth { by_certificate: vec![ConnectionType::Standard], ..auth(good) };
    assert_eq!((refused(&silent), refused(&certified)), (Err("auth.callout"), Err("auth.callout")));
}
