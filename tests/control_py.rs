//! The control interface as an unmodified client has it: a script with the official Python client, against two nodes in this
//! process with a runner that runs nothing.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]

mod support;

use lattice::config::Config;
use lattice::host::double::Double;
use lattice::identity::Identity;
use lattice::mesh::announcement::OwnShelf;
use lattice::mesh::quic;
use lattice::node::{Node, Parts};
use lattice::store::MemoryStore;
use lattice_broker::env::Env;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;
use support::process::run;
use support::{LIMIT, root, tell, tool};

fn start(env: &Env, identity: Identity, peers: Vec<String>) -> Node {
    let mut config = Config { listen: (Ipv4Addr::LOCALHOST, 0).into(), ..Config::default() };
    config.link.listen = (Ipv4Addr::LOCALHOST, 0).into();
    config.link.peers = peers;
    config.beacon.enabled = false;
    let parts = Parts {
        env: env.clone(),
        config,
        identity: Arc::new(identity),
        store: Arc::new(MemoryStore::default()),
        crypto: quic::crypto_provider(),
        shelf: Arc::new(OwnShelf),
        notary: Arc::default(),
        warnings: Vec::new(),
        runner: Some(Arc::new(Double::default())),
        images: None,
    };
    Node::start(parts).unwrap()
}

/// Goal: every operation, on a host near and on one far, says and does what the protocol says.
#[tokio::test(flavor = "multi_thread")]
async fn every_operation() {
    let env = Env::tokio();
    let mut rng = env.rng("identity");
    let first = Identity::generate_root(&mut rng, "first");
    let second = first.admit(&mut rng, "second").unwrap();
    let near = start(&env, first, Vec::new());
    let far = start(&env, second, vec![near.link().to_string()]);
    let urls = [near.nats(), far.nats()].map(|at| format!("nats://{at}"));
    let script = root().join("tests/py/control.py");
    let ended = tokio::task::spawn_blocking(move || {
        run(Command::new(tool("venv/bin/python")).arg("-B").arg(script).args(urls), LIMIT * 4)
    });
    let ended = ended.await.unwrap();
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.stdout.lines().last(), Some("passed"), "{ended:?}");
    tell(&ended.stdout.replace('\n', " "));
    near.drain().await;
    far.drain().await;
}
