use super::*;
use crate::store::MemoryStore;
use std::net::{Ipv4Addr, TcpListener};

fn local() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn parts(env: &Env, config: Config, store: MemoryStore) -> Parts {
    Parts {
        env: env.clone(),
        identity: Arc::new(Identity::generate_root(&mut env.rng("identity"), "first")),
        store: Arc::new(store),
        crypto: quic::crypto_provider(),
        warnings: Vec::new(),
        config,
    }
}

#[tokio::test]
async fn counters_are_named_once() {
    let env = Env::tokio();
    let mut config = Config { listen: local(), ..Config::default() };
    config.link.listen = local();
    let url = "nats://127.0.0.1:1".parse().unwrap();
    config.upstream = Some(config::Upstream { url, ping_interval: config::UPSTREAM_PING_INTERVAL });
    let node = Node::start(parts(&env, config, MemoryStore::default())).unwrap();
    let counters = node.status().counters;
    for layer in ["client_", "mesh_", "upstream_"] {
        let names = || counters.keys().filter_map(|name| name.strip_prefix(layer));
        assert!(names().next().is_some(), "{layer}");
        assert!(!names().any(|name| name.starts_with(layer)), "{counters:?}");
    }
    node.drain().await;
}

#[tokio::test]
async fn a_start_that_fails_leaves_no_listener_behind() {
    let env = Env::tokio();
    let free = TcpListener::bind(local()).unwrap().local_addr().unwrap();
    let mut config = Config { listen: free, ..Config::default() };
    config.link.listen = local();
    let full = MemoryStore::new(0);
    let failed = Node::start(parts(&env, config, full)).unwrap_err();
    assert!(matches!(failed, StartError::Store(_)), "{failed}");
    TcpListener::bind(free).unwrap();
}
