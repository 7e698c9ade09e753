//! What a service is told of a client: the server, the connection, and what the client has shown, secrets too.

use super::CalloutCheck;
use crate::auth::jwt::{Unsigned, encode, seconds};
use crate::tls::TlsFacts;
use data_encoding::BASE64;
use nkeys::KeyPair;
use serde::Serialize;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// For whom requests are, whatever service that is.
const AUDIENCE: &str = "nats-authorization-request";
/// Characters of a line of PEM.
const LINE: usize = 64;

/// The server that asks.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ServerId {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) id: String,
    pub(crate) version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) cluster: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<String>,
}

/// An encrypted connection.
#[derive(Debug, Serialize)]
pub(crate) struct ClientTls {
    version: &'static str,
    cipher: String,
    /// What the client has shown, which has been verified: PEM, its own first, without the authority at the end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    verified_chains: Vec<Vec<String>>,
}

#[derive(Serialize)]
struct Request<'a> {
    server_id: &'a ServerId,
    user_nkey: &'a str,
    client_info: ClientInfo<'a>,
    connect_opts: ConnectOptions<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_tls: Option<&'a ClientTls>,
    #[serde(rename = "type")]
    kind: &'static str,
    version: u8,
}

#[derive(Serialize)]
struct ClientInfo<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    host: &'a str,
    id: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    kind: &'static str,
    #[serde(rename = "type")]
    over: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    nonce: &'a str,
}

/// Without a JWT: that would be of an operator, whom there is none of.
#[derive(Serialize)]
struct ConnectOptions<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    nkey: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    sig: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    auth_token: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pass: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    lang: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    protocol: i32,
}

/// What the connection itself knows of a client.
#[derive(Debug)]
pub(super) struct Connection<'a> {
    pub(super) id: u64,
    pub(super) kind_of_client: &'static str,
    pub(super) tls: Option<&'a ClientTls>,
}

impl ClientTls {
    pub(crate) fn new(facts: &TlsFacts) -> Self {
        let chain: Vec<String> = facts.certificates.iter().map(|one| pem(one)).collect();
        let verified_chains = if chain.is_empty() { Vec::new() } else { vec![chain] };
        Self { version: facts.version, cipher: facts.cipher.clone(), verified_chains }
    }
}

/// The request of the server whose key is `key`, about the client of `check`, for which `user` has been made. It holds
/// from `wall` on for so long.
pub(super) fn write(
    check: &CalloutCheck,
    connection: &Connection<'_>,
    (server, key): (&ServerId, &KeyPair),
    user: &str,
    (wall, validity): (SystemTime, Duration),
) -> Option<String> {
    fn text(field: Option<&String>) -> &str {
        field.map_or("", String::as_str)
    }
    let connect = &check.connect;
    let host = check.from.map(|ip| ip.to_string()).unwrap_or_default();
    let client_info = ClientInfo {
        host: &host,
        id: connection.id,
        user: super::claimed(connect),
        name: text(connect.name.as_ref()),
        kind: "Client",
        over: connection.kind_of_client,
        nonce: if text(connect.sig.as_ref()).is_empty() { "" } else { &check.nonce },
    };
    let connect_opts = ConnectOptions {
        nkey: text(connect.nkey.as_ref()),
        sig: text(connect.sig.as_ref()),
        auth_token: text(connect.auth_token.as_ref()),
        user: text(connect.user.as_ref()),
        pass: text(connect.pass.as_ref()),
        name: text(connect.name.as_ref()),
        lang: text(connect.lang.as_ref()),
        version: text(connect.version.as_ref()),
        protocol: connect.protocol,
    };
    let (kind, client_tls) = ("authorization_request", connection.tls);
    let nats = Request { server_id: server, user_nkey: user, client_info, connect_opts, client_tls, kind, version: 2 };
    let (issued, expires) = (seconds(wall), seconds(wall + validity));
    encode(key, &Unsigned { audience: AUDIENCE, expires, issued, subject: &check.service.callout.issuer, nats })
}

/// A certificate in DER as text.
fn pem(der: &[u8]) -> String {
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let encoded = BASE64.encode(der);
    for line in encoded.as_bytes().chunks(LINE) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
    }
    text + "-----END CERTIFICATE-----\n"
}
