//! Operators, accounts and users whose keys and JWTs are made as a test runs.
#![allow(unreachable_pub, dead_code, reason = "several tests make tokens, not all of them every kind")]

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// Issued then, where a test does not say otherwise: long ago, in seconds since 1970.
pub const ISSUED: i64 = 1_700_000_000;

/// Seconds since 1970.
#[allow(clippy::disallowed_methods, reason = "the servers that are asked live in real time")]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token of `subject`; `nats` has its type, `more` replaces what is outside of that.
pub fn sign(issuer: &KeyPair, subject: &str, mut nats: Value, more: &Value) -> String {
    nats["version"] = json!(2);
    let mut claims = json!({ "jti": "ID", "iat": ISSUED, "iss": issuer.public_key(), "sub": subject, "nats": nats });
    for (key, value) in more.as_object().into_iter().flatten() {
        claims[key] = value.clone();
    }
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

/// A token of version 1 of the format: its type stands beside `nats`, and the claims alone are signed.
pub fn sign_first(issuer: &KeyPair, subject: &str, kind: &str, nats: &Value) -> String {
    let claims = json!({
        "jti": "ID", "iat": ISSUED, "iss": issuer.public_key(), "name": kind, "sub": subject, "type": kind, "nats": nats,
    });
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = part(&claims);
    let signature = BASE64URL_NOPAD.encode(&issuer.sign(signed.as_bytes()).unwrap());
    format!("{}.{signed}.{signature}", part(&json!({ "typ": "jwt", "alg": "ed25519" })))
}

/// `base` with the keys of `more`, those inside of blocks too.
pub fn merged(mut base: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        base[key] = if value.is_object() { merged(base[key].clone(), value) } else { value.clone() };
    }
    base
}

/// An operator's token.
pub fn operator(key: &KeyPair, nats: &Value) -> String {
    sign(key, &key.public_key(), merged(json!({ "type": "operator" }), nats), &json!({ "name": "OP" }))
}

/// An account's token: without limits, where `nats` does not say otherwise.
pub fn account(operator: &KeyPair, key: &KeyPair, nats: &Value, more: &Value) -> String {
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
    });
    let nats = merged(json!({ "type": "account", "limits": limits }), nats);
    sign(operator, &key.public_key(), nats, &merged(json!({ "name": "ACC" }), more))
}

/// A user's token: without limits, where `nats` does not say otherwise.
pub fn user(issuer: &KeyPair, key: &KeyPair, nats: &Value, more: &Value) -> String {
    let nats = merged(json!({ "type": "user", "subs": -1, "data": -1, "payload": -1 }), nats);
    sign(issuer, &key.public_key(), nats, &merged(json!({ "name": "USR" }), more))
}

/// A user's token that leaves all to the scope of the key that signs it.
pub fn scoped_user(signer: &KeyPair, account: &KeyPair, key: &KeyPair, nats: &Value) -> String {
    let nats = merged(json!({ "type": "user", "issuer_account": account.public_key() }), nats);
    sign(signer, &key.public_key(), nats, &json!({ "name": "USR" }))
}
