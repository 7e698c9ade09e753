use super::*;
use crate::store::MemoryStore;
use std::net::{Ipv4Addr, TcpListener};

fn local() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

#[tokio::test]
async fn a_start_that_fails_leaves_no_listener_behind() {
    let env = Env::tokio();
    let free = TcpListener::bind(local()).unwrap().local_addr().unwrap();
    let mut config = Config { listen: free, ..Config::default() };
    config.link.listen = local();
    let parts = Parts {
        identity: Arc::new(Identity::generate_root(&mut env.rng("identity"), "first")),
        // A disk that is full.
        store: Arc::new(MemoryStore::new(0)),
        crypto: quic::crypto_provider(),
        warnings: Vec::new(),
        config,
        env,
    };
    let failed = Node::start(parts).unwrap_err();
    assert!(matches!(failed, StartError::Store(_)), "{failed}");
    TcpListener::bind(free).unwrap();
}
