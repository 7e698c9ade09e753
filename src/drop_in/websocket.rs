//! `websocket { … }`: where browsers connect, and how.

use super::grammar::{Block, Entry};
use super::options::Options;
use super::read::{Faults, listener};
use super::tls::{self, Encryption};
use lattice_broker::websocket::{Origin, Rules, TIMEOUT};
use std::time::Duration;

/// The settings of the listener.
#[derive(Clone, Debug, PartialEq)]
pub struct WebSocket {
    /// A name or an address, as for other clients.
    pub host: String,
    /// Where; 0 picks a free one.
    pub port: u16,
    /// How connections are encrypted; `None` is not at all, which has to be asked for.
    pub tls: Option<Encryption>,
    /// Time for the opening.
    pub timeout: Duration,
    /// The user that a client is that shows nothing.
    pub no_auth_user: Option<String>,
    /// Time between PINGs, if it is another one than for others.
    pub ping_interval: Option<Duration>,
    /// Who may connect, and what is offered.
    pub rules: Rules,
}

/// What a block says, before it is held against itself.
#[derive(Debug, Default)]
struct Said {
    host: Option<String>,
    port: Option<u16>,
    no_tls: bool,
    tls: Option<Encryption>,
    timeout: Option<Duration>,
    no_auth_user: Option<String>,
    ping_interval: Option<Duration>,
    rules: Rules,
}

/// Reads the block; `None` where it names no port, as for none.
pub(super) fn read(entry: &Entry, faults: &mut Faults) -> Option<WebSocket> {
    let before = faults.errors.len();
    let mut said = Said::default();
    for entry in &faults.block(entry)?.entries {
        let key = entry.key.to_lowercase();
        if !(place(&key, entry, &mut said, faults)
            || visitors(&key, entry, &mut said, faults)
            || cookie(&key, entry, &mut said.rules, faults)
            || refused(&key, entry, faults))
        {
            faults.unknown(entry);
        }
    }
    let port = said.port?;
    if said.tls.is_none() && !said.no_tls && faults.errors.len() == before {
        faults.error(&entry.place, "websocket requires TLS configuration: give it tls { … }, or no_tls: true");
    }
    Some(WebSocket {
        host: said.host.unwrap_or_else(|| "0.0.0.0".to_owned()),
        port,
        tls: said.tls.filter(|_| !said.no_tls),
        timeout: said.timeout.unwrap_or(TIMEOUT),
        no_auth_user: said.no_auth_user,
        ping_interval: said.ping_interval,
        rules: said.rules,
    })
}

/// A cookie with a JWT is good for something where JWTs are.
pub(super) fn check(block: &Block, options: &Options, faults: &mut Faults) {
    let has_cookie = options.websocket.as_ref().is_some_and(|websocket| websocket.rules.jwt_cookie.is_some());
    if !has_cookie || options.auth.operator.is_some() {
        return;
    }
    let is_it = |entry: &&Entry| matches!(entry.key.to_lowercase().as_str(), "websocket" | "ws");
    if let Some(entry) = block.entries.iter().find(is_it) {
        let what = "jwt_cookie is of use only where users have JWTs: name an operator, or leave it out";
        faults.error(&entry.place, what);
    }
}

/// Keys about where it listens. False for another key, as in the functions that follow.
fn place(key: &str, entry: &Entry, said: &mut Said, faults: &mut Faults) -> bool {
    match key {
        "tls" => said.tls = tls::read(entry, faults),
        "no_tls" => said.no_tls = faults.flag(entry).unwrap_or_default(),
        "handshake_timeout" => said.timeout = faults.duration(entry),
        "ping_interval" => said.ping_interval = faults.duration(entry),
        "no_auth_user" => said.no_auth_user = faults.text(entry),
        _ => return listener(key, entry, &mut said.host, &mut said.port, faults),
    }
    true
}

/// Keys about who comes, and what they get.
fn visitors(key: &str, entry: &Entry, said: &mut Said, faults: &mut Faults) -> bool {
    let rules = &mut said.rules;
    match key {
        "compress" | "compression" => rules.compression = faults.flag(entry).unwrap_or_default(),
        "same_origin" => rules.same_origin = faults.flag(entry).unwrap_or_default(),
        "allowed_origins" | "allowed_origin" | "allow_origins" | "allow_origin" | "origins" | "origin" => {
            for text in faults.texts(entry).unwrap_or_default() {
                match text.parse::<Origin>() {
                    Ok(origin) => rules.allowed_origins.push(origin),
                    Err(error) => faults.error(&entry.place, format!("{} has {text:?}: {error}", entry.key)),
                }
            }
        }
        "headers" => {
            if let Some(block) = faults.block(entry) {
                rules.headers = headers(block, faults);
            }
        }
        _ => return false,
    }
    true
}

fn headers(block: &Block, faults: &mut Faults) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for entry in &block.entries {
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        match faults.text(entry) {
            Some(value) if is_name(&entry.key) && !value.contains(char::is_control) => {
                headers.push((entry.key.clone(), value));
            }
            Some(value) => faults.error(&entry.place, format!("{:?}: {value:?} is no field of HTTP", entry.key)),
            None => {}
        }
    }
    headers
}

fn cookie(key: &str, entry: &Entry, rules: &mut Rules, faults: &mut Faults) -> bool {
    let cookie = match key {
        "jwt_cookie" => &mut rules.jwt_cookie,
        "user_cookie" => &mut rules.user_cookie,
        "pass_cookie" => &mut rules.pass_cookie,
        "token_cookie" => &mut rules.token_cookie,
        _ => return false,
    };
    *cookie = faults.text(entry).filter(|name| !name.is_empty());
    true
}

fn refused(key: &str, entry: &Entry, faults: &mut Faults) -> bool {
    let instead = match key {
        "advertise" => "leave it out: browsers are told of no other server",
        "authorization" | "authentication" => "let users connect over WEBSOCKET with allowed_connection_types",
        _ => return false,
    };
    faults.refuse(entry, "websocket", instead);
    true
}

#[cfg(test)]
mod tests {
    use super::super::read::tests::read;

    #[test]
    fn a_block_is_read() {
        let text = "websocket { listen: \"127.0.0.1:-1\", no_tls: true, compression: true, same_origin: true,
            allowed_origins: [\"http://a\", \"https://b:1\"], user_cookie: u, handshake_timeout: \"3s\",
            no_auth_user: joe, ping_interval: \"5s\", headers { X-One: \"1 2\" } }";
        let (options, faults) = read(text);
        assert!(faults.errors.is_empty(), "{:?}", faults.errors);
        let made = options.websocket.unwrap();
        assert_eq!((made.host.as_str(), made.port, made.timeout.as_secs()), ("127.0.0.1", 0, 3));
        assert!(made.tls.is_none() && made.rules.compression && made.rules.same_origin);
        assert_eq!((made.rules.allowed_origins.len(), made.rules.user_cookie.as_deref()), (2, Some("u")));
        assert_eq!(made.rules.headers, [("X-One".to_owned(), "1 2".to_owned())]);
        assert_eq!(made.no_auth_user.as_deref(), Some("joe"));
        assert!(read("websocket {}").0.websocket.is_none());
        assert!(read("ws { port: 80, no_tls: true }").0.websocket.is_some());
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (text, expected) in [
            ("port: 80", "websocket requires TLS configuration"),
            ("port: 80, no_tls: true, foo: 1", "unknown field \"foo\""),
            ("port: 80, no_tls: true, origins: [\"bad\"]", "origins has \"bad\""),
            ("port: 80, no_tls: true, headers { \"a:b\": c }", "is no field of HTTP"),
            ("port: 99999, no_tls: true", "port is 99999"),
            ("listen: \"x:y\", no_tls: true", "listen is \"x:y\""),
            ("port: 80, tls { cert_file: \"/none\", key_file: \"/none\" }", "open /none"),
            ("port: 80, no_tls: true, jwt_cookie: j", "name an operator"),
            ("port: 80, no_tls: true, authorization { user: a }", "allowed_connection_types"),
        ] {
            let (_, faults) = read(&format!("websocket {{ {text} }}"));
            let said: Vec<String> = faults.errors.iter().map(ToString::to_string).collect();
            assert!(said.len() == 1 && said[0].contains(expected), "{text}: {said:?} does not say {expected:?}");
        }
    }
}
