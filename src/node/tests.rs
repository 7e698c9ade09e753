use super::*;
use crate::config::{UPSTREAM_PING_INTERVAL, Upstream};
use crate::identity::Applicant;
use crate::mesh::announcement::OwnShelf;
use crate::status::events::Place;
use crate::store::MemoryStore;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

fn local() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn config() -> Config {
    let mut config = Config { listen: local(), ..Config::default() };
    config.link.listen = local();
    config.beacon.enabled = false;
    config
}

fn parts(env: &Env, config: Config, store: MemoryStore) -> Parts {
    Parts {
        env: env.clone(),
        identity: Arc::new(Identity::generate_root(&mut env.rng("identity"), "first")),
        store: Arc::new(store),
        crypto: quic::crypto_provider(),
        shelf: Arc::new(OwnShelf),
        notary: Arc::default(),
        warnings: Vec::new(),
        runner: None,
        images: None,
        config,
    }
}

#[test]
fn the_mesh_and_the_config_agree_on_defaults() {
    let from_config = mesh_config(&Config::default(), Vec::new());
    let nodes_max = Config::default().mesh.nodes_max;
    let control = mesh::control::Config { nodes_max, ..mesh::control::Config::default() };
    let default = mesh::Config { control, ..mesh::Config::default() };
    assert_eq!(from_config, default);
    assert_eq!(plane_bounds(&Config::default().mesh, &Config::default().link), plane::Bounds::default());
}

#[tokio::test]
async fn counters_are_named_once() {
    let env = Env::tokio();
    let mut config = config();
    let url = "nats://127.0.0.1:1".parse().unwrap();
    config.upstream = Some(Upstream {
        url,
        credentials_file: None,
        tls: gateway::Encryption::default(),
        ping_interval: UPSTREAM_PING_INTERVAL,
    });
    let node = Node::start(parts(&env, config, MemoryStore::default())).unwrap();
    let counters = node.status().counters;
    for layer in ["client_", "mesh_", "control_", "upstream_"] {
        let names = || counters.keys().filter_map(|name| name.strip_prefix(layer));
        assert!(names().next().is_some(), "{layer}");
        assert!(!names().any(|name| name.starts_with(layer)), "{counters:?}");
    }
    let counted = async {
        while node.status().counters["control_routes_computed"] == 0 {
            env.sleep(Duration::from_millis(5)).await;
        }
    };
    env.timeout(Duration::from_secs(20), counted).await.expect("the control plane's counts are shown");
    node.drain().await;
}

#[tokio::test]
async fn a_start_that_fails_leaves_no_listener_behind() {
    let env = Env::tokio();
    let free = TcpListener::bind(local()).unwrap().local_addr().unwrap();
    let config = Config { listen: free, ..config() };
    let full = MemoryStore::new(0);
    let failed = Node::start(parts(&env, config, full)).unwrap_err();
    assert!(matches!(failed, StartError::Store(_)), "{failed}");
    TcpListener::bind(free).unwrap();
}

#[tokio::test]
async fn invites_and_joiners_tell_of_what_is_advertised() {
    let env = Env::tokio();
    let mut config = config();
    config.link.advertise = vec!["10.1.2.3:7443".into()];
    let advertised: [SocketAddr; 1] = ["10.1.2.3:7443".parse().unwrap()];
    let node = Node::start(parts(&env, config, MemoryStore::default())).unwrap();
    let request = InviteRequest::new(Duration::from_secs(60), 1);
    let mut invite = node.invite(request).await.unwrap();
    assert_eq!(invite.addresses, advertised);
    // Where it really is, since nobody answers there.
    invite.addresses = vec![node.link()];
    let applicant = Applicant::generate(&mut env.rng("applicant"), "second");
    let joined = mesh::join::join(&env, &invite, &applicant, &quic::crypto_provider(), None).await.unwrap();
    assert_eq!((joined.via, &joined.peers[..]), (node.link(), &advertised[..]));
    node.drain().await;
}

/// Goal: who follows a node that has started anew misses nothing of its new life.
#[tokio::test]
async fn a_place_in_the_events_of_another_life_counts_for_nothing() {
    let env = Env::tokio();
    let node = Node::start(parts(&env, config(), MemoryStore::default())).unwrap();
    let mut invite = node.invite(InviteRequest::new(Duration::from_secs(60), 1)).await.unwrap();
    invite.addresses = vec![node.link()];
    let applicant = Applicant::generate(&mut env.rng("applicant"), "second");
    mesh::join::join(&env, &invite, &applicant, &quic::crypto_provider(), None).await.unwrap();
    let all = node.events(Place::default());
    assert_eq!(all.events[0].event, "member_admitted");
    assert_eq!(node.events(all.next).events, []);
    let before_the_start = Place { life: all.next.life - 1, number: all.next.number };
    assert_eq!(node.events(before_the_start).events, all.events);
    node.drain().await;
}
