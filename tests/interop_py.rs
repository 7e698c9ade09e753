//! The official Python client on one lattice: the scripts of `tests/py/`, each with the addresses to connect to.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]

mod support;

use support::cluster::{Cluster, Node};
use support::nats_server::NatsServer;
use support::process::run;
use support::{LIMIT, root, tell, tool};

use std::process::Command;

/// Runs a script to its end. Each says `passed` last, so that an empty one cannot pass.
fn play(script: &str, urls: &[&str]) {
    let file = root().join("tests/py").join(script);
    let ended = run(Command::new(tool("venv/bin/python")).arg("-B").arg(file).args(urls), LIMIT * 4);
    assert_eq!(ended.code, Some(0), "{script} {urls:?}:\n{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.stdout.lines().last(), Some("passed"), "{script}: {ended:?}");
    tell(&format!("{script}: {}", ended.stdout.replace('\n', " ")));
}

/// All scripts, between two places; the queue group has members at both and at a third.
fn play_all(near: &str, far: &str, third: &str) {
    play("pubsub.py", &[near, far]);
    play("queue_group.py", &[near, far, far, third]);
    play("queue_group.py", &[near, near, far, third]);
    play("request.py", &[near, far]);
    play("content.py", &[near, far]);
}

#[test]
fn real_server() {
    let server = NatsServer::start("one", "");
    play_all(&server.url(), &server.url(), &server.url());
}

#[test]
fn across_a_line() {
    let cluster = Cluster::line(4);
    let urls: Vec<String> = cluster.nodes.iter().map(Node::url).collect();
    play_all(&urls[0], &urls[3], &urls[2]);
}

#[test]
fn around_a_triangle() {
    let (cluster, _link) = Cluster::triangle();
    let urls: Vec<String> = cluster.nodes.iter().map(Node::url).collect();
    play_all(&urls[0], &urls[2], &urls[1]);
}

#[test]
fn with_a_real_server_above() {
    let server = NatsServer::start("hub", "");
    let d = Node::new("d", "").with(&["--upstream", &server.leaf_url()]);
    let cluster = Cluster::chain(vec![Node::new("a", ""), Node::new("b", ""), Node::new("c", ""), d]);
    let urls: Vec<String> = cluster.nodes.iter().map(Node::url).collect();
    play_all(&urls[0], &server.url(), &urls[3]);
    play_all(&server.url(), &urls[0], &urls[1]);
}
