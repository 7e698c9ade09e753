//! The client protocol byte for byte: each transcript of `tests/wire/` is played against a node, and against the real
//! nats-server, which proves the transcript.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]

mod support;

use support::cluster::Node;
use support::nats_server::NatsServer;
use support::transcript::{Setting, Transcript};

/// What nats-server's configuration file calls the settings.
fn nats_config(settings: &[Setting]) -> String {
    let mut plain = Vec::new();
    let mut auth = Vec::new();
    let mut users = Vec::new();
    for setting in settings {
        match setting {
            Setting::MaxPayload(n) => plain.push(format!("max_payload: {n}")),
            Setting::MaxControlLine(n) => plain.push(format!("max_control_line: {n}")),
            Setting::MaxConnections(n) => plain.push(format!("max_connections: {n}")),
            Setting::MaxSubscriptions(n) => plain.push(format!("max_subscriptions: {n}")),
            Setting::PingIntervalSecs(n) => plain.push(format!("ping_interval: \"{n}s\"")),
            Setting::PingMax(n) => plain.push(format!("ping_max: {n}")),
            Setting::AuthTimeoutSecs(n) => auth.push(format!("timeout: {n}")),
            Setting::Token(token) => auth.push(format!("token: \"{token}\"")),
            Setting::User { name, password } => users.push(format!("{{user: \"{name}\", password: \"{password}\"}}")),
        }
    }
    if !users.is_empty() {
        auth.push(format!("users: [{}]", users.join(", ")));
    }
    if !auth.is_empty() {
        plain.push(format!("authorization {{ {} }}", auth.join(", ")));
    }
    plain.join("\n")
}

/// What our configuration file calls the settings.
fn lattice_config(settings: &[Setting]) -> String {
    let mut client = Vec::new();
    let mut auth = Vec::new();
    let mut users = Vec::new();
    for setting in settings {
        match setting {
            Setting::MaxPayload(n) => client.push(format!("max_payload = {n:?}")),
            Setting::MaxControlLine(n) => client.push(format!("max_control_line = {n:?}")),
            Setting::MaxConnections(n) => client.push(format!("max_connections = {n}")),
            Setting::MaxSubscriptions(n) => client.push(format!("max_subscriptions = {n}")),
            Setting::PingIntervalSecs(n) => client.push(format!("ping_interval = \"{n}s\"")),
            Setting::PingMax(n) => client.push(format!("ping_max = {n}")),
            Setting::AuthTimeoutSecs(n) => client.push(format!("auth_timeout = \"{n}s\"")),
            Setting::Token(token) => auth.push(format!("token = {token:?}")),
            Setting::User { name, password } => users.push(format!("{{ name = {name:?}, password = {password:?} }}")),
        }
    }
    if !users.is_empty() {
        auth.push(format!("users = [{}]", users.join(", ")));
    }
    format!("[client]\n{}\n\n[client.auth]\n{}\n", client.join("\n"), auth.join("\n"))
}

fn play_real(name: &str) {
    let transcript = Transcript::read(name);
    let server = NatsServer::start("wire", &nats_config(transcript.settings()));
    transcript.play(server.address());
}

fn play_lattice(name: &str) {
    let transcript = Transcript::read(name);
    let node = Node::alone(&lattice_config(transcript.settings()));
    transcript.play(node.address());
}

macro_rules! transcripts {
    ($($name:ident)*) => {
        const ALL: &[&str] = &[$(stringify!($name)),*];

        mod real {
            $(#[test] fn $name() { super::play_real(stringify!($name)); })*
        }

        mod lattice {
            $(#[test] fn $name() { super::play_lattice(stringify!($name)); })*
        }
    };
}

transcripts! {
    auth_timeout
    auth_token
    auth_user
    auto_unsub
    before_connect
    connect_defaults
    echo
    echo_503
    err_connect
    err_silent
    err_unknown
    headers
    headers_cut
    info
    max_connections
    max_control_line
    max_payload
    max_subscriptions
    no_responders
    pedantic
    ping_fence
    protocol_1
    pubsub
    queue
    queue_no_echo
    reserved
    second_connect
    stale
    subjects_bad
    unsub
    verbose
    verbs
    wildcards
}

#[test]
fn every_transcript_is_played() {
    let mut found: Vec<String> = std::fs::read_dir(support::root().join("tests/wire"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".txt").map(str::to_owned))
        .collect();
    found.sort();
    let mut played: Vec<&str> = ALL.to_vec();
    played.sort_unstable();
    assert_eq!(found, played);
}
