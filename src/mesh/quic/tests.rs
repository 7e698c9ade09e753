//! Real QUIC on loopback. What happens in virtual time over simulated sockets is tested where the simulator is.

use super::*;
use crate::identity::nkey::Kind;
use crate::identity::{Grant, Key, Terms};
use crate::store::MemoryStore;
use lattice_broker::env::Rng;
use rand_core::{Rng as _, SeedableRng};
use std::net::UdpSocket;

fn config() -> Config {
    Config::new("127.0.0.1:0".parse().unwrap())
}

fn lattice(seed: u64) -> (Arc<Identity>, Arc<Identity>) {
    let mut rng = Rng::seed_from_u64(seed);
    let root = Identity::generate_root(&mut rng, "a");
    let member = root.admit(&mut rng, "b").unwrap();
    (Arc::new(root), Arc::new(member))
}

fn bind_with(config: &Config, identity: &Arc<Identity>) -> Transport {
    Transport::bind(&Env::tokio(), config, identity, &roll(identity), &crypto_provider()).unwrap()
}

fn roll(identity: &Identity) -> Arc<Roll> {
    Arc::new(Roll::open(identity, Arc::new(MemoryStore::default()), Arc::default()).unwrap())
}

fn bind(identity: &Arc<Identity>) -> Transport {
    bind_with(&config(), identity)
}

async fn accept_link(transport: &Transport) -> Connected {
    match transport.accept().await.unwrap() {
        Accepted::Link(link) => link,
        Accepted::Join(join) => panic!("{join:?}"),
    }
}

/// Waits until `done`, generously.
async fn eventually(what: &str, done: impl Fn() -> bool) {
    let env = Env::tokio();
    let deadline = env.now() + Duration::from_secs(20);
    while !done() {
        assert!(env.now() < deadline, "not within 20 s: {what}");
        env.sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn two_members_link() {
    let (a, b) = lattice(1);
    let (ta, tb) = (bind(&a), bind(&b));
    let (dialed, accepted) = tokio::join!(tb.dial(ta.local_addr()), accept_link(&ta));
    let dialed = dialed.unwrap();
    assert_eq!((dialed.peer, dialed.dialed), (a.node_id(), true));
    assert_eq!((accepted.peer, accepted.dialed), (b.node_id(), false));
    assert_eq!((dialed.remote(), accepted.remote()), (ta.local_addr(), tb.local_addr()));

    let mut send = dialed.connection.open_uni().await.unwrap();
    send.write_all(b"hello").await.unwrap();
    send.finish().unwrap();
    let mut receive = accepted.connection.accept_uni().await.unwrap();
    assert_eq!(receive.read_to_end(100).await.unwrap(), b"hello");
    accepted.connection.send_datagram(b"beat"[..].into()).unwrap();
    assert_eq!(&dialed.connection.read_datagram().await.unwrap()[..], b"beat");

    tb.close(Duration::from_secs(1)).await;
    assert!(matches!(accepted.connection.closed().await, quinn::ConnectionError::ApplicationClosed(_)));
    assert!(tb.accept().await.is_none());
    assert_eq!(tb.dial(ta.local_addr()).await.unwrap_err(), DialError::Closing { addr: ta.local_addr() });
}

/// A node of another lattice is refused by both sides, whoever dials.
#[tokio::test]
async fn a_stranger_is_refused_by_both_sides() {
    let ((a, _), (x, _)) = (lattice(1), lattice(2));
    let (ta, tx) = (bind(&a), bind(&x));
    for (from, to, ours, theirs) in [(&tx, &ta, &x, &a), (&ta, &tx, &a, &x)] {
        let addr = to.local_addr();
        let error = from.dial(addr).await.unwrap_err();
        assert_eq!(error, DialError::OtherLattice { addr, ours: ours.lattice(), theirs: theirs.lattice() });
        assert!(error.advice().explain(&error).contains("E0107"));
        eventually("the accepting side knows as well", || to.counters().handshakes_failed.value() == 1).await;
        assert_eq!(to.counters().refused()[0].0, from.local_addr());
    }
}

/// It knows the root's certificate (everyone may), has the right name in its own, and signs that itself.
#[tokio::test]
async fn a_self_made_certificate_is_refused() {
    let (a, b) = lattice(1);
    let forged = Arc::new(b.forged(Key::from_seed(Kind::Node, [66; 32])));
    let (ta, tf) = (bind(&a), bind(&forged));

    let error = tf.dial(ta.local_addr()).await.unwrap_err();
    assert!(matches!(error, DialError::NotAMember { .. }), "{error}");
    eventually("the member has counted it", || ta.counters().handshakes_failed.value() == 1).await;

    let error = ta.dial(tf.local_addr()).await.unwrap_err();
    assert!(matches!(error, DialError::BadCertificate { .. }), "{error}");
}

/// The voucher of an invite opens the door for joins only: for links it stays shut.
#[tokio::test]
async fn a_voucher_gets_no_link() {
    let (a, _) = lattice(1);
    let ta = bind(&a);
    let addresses = vec![ta.local_addr()];
    let terms = Terms { valid_for: Duration::from_secs(60), uses: 1, grant: Grant::all(), addresses };
    let invite = a.issue(&mut Rng::seed_from_u64(3), terms, None).unwrap();
    let endpoint = bind_client(&Env::tokio(), "127.0.0.1:0".parse().unwrap()).unwrap();
    let tls = client_config(&crypto_provider(), ALPN_LINK, invite.certificates(), invite.key()).unwrap();
    let transport = Arc::new(client_transport(Duration::from_secs(5)));
    let expected = Expected { lattice: a.lattice(), standing: Standing::Any };
    let dialer = Dialer::new(&Env::tokio(), &endpoint, tls, transport, expected, Duration::from_secs(5));
    assert!(dialer.link(ta.local_addr()).await.is_err());
    eventually("the member has counted it", || ta.counters().handshakes_failed.value() == 1).await;
}

/// Goal: who is revoked gets no link of anybody who knows, whoever dials, and both ends say why.
#[tokio::test]
async fn a_revoked_member_is_refused_by_name() {
    let (a, b) = lattice(1);
    let known = roll(&a);
    known.learn(b.membership().warrants().to_vec()).unwrap();
    known.revoke(&a.revoke(b.node_id(), &[b.membership()], 7, a.membership().root()).unwrap()).unwrap();
    let ta = Transport::bind(&Env::tokio(), &config(), &a, &known, &crypto_provider()).unwrap();
    let tb = bind(&b);
    let addr = ta.local_addr();
    assert_eq!(tb.dial(addr).await.unwrap_err(), DialError::IsRevoked { addr });
    let addr = tb.local_addr();
    let error = ta.dial(addr).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{addr} has been revoked: b ({})", b.node_id().short()));
    eventually("both have counted it", || ta.counters().handshakes_failed.value() == 1).await;
}

/// Goal: a certificate that was made with a root key which has been replaced gets no link of anybody who knows, whoever dials;
/// those from before do.
#[tokio::test]
async fn a_certificate_of_a_replaced_root_is_refused() {
    let (a, b) = lattice(1);
    let mut rng = Rng::seed_from_u64(5);
    let thief = Arc::new(a.certify(&mut rng, "thief"));
    let known = roll(&b);
    known.learn(a.membership().warrants().to_vec()).unwrap();
    let rotation = a.rotate(&mut rng, &roll(&a), &[], 7).unwrap();
    known.succeed(&rotation.line).unwrap();
    let tb = Transport::bind(&Env::tokio(), &config(), &b, &known, &crypto_provider()).unwrap();
    let (ta, tt) = (bind(&a), bind(&thief));
    let addr = tb.local_addr();
    assert_eq!(tt.dial(addr).await.unwrap_err(), DialError::IsRevoked { addr });
    let error = tb.dial(tt.local_addr()).await.unwrap_err().to_string();
    assert!(error.contains("what a root key has signed that was replaced"), "{error}");
    let (dialed, accepted) = tokio::join!(ta.dial(addr), accept_link(&tb));
    assert_eq!((dialed.unwrap().peer, accepted.peer), (b.node_id(), a.node_id()));
    // Who has not heard of it knows no better.
    let (dialed, _) = tokio::join!(tt.dial(ta.local_addr()), accept_link(&ta));
    assert_eq!(dialed.unwrap().peer, a.node_id());
}

#[tokio::test]
async fn dialing_oneself_is_noticed() {
    let (a, _) = lattice(1);
    let ta = bind(&a);
    let addr = ta.local_addr();
    assert_eq!(ta.dial(addr).await.unwrap_err(), DialError::Myself { addr });
}

#[tokio::test]
async fn nobody_there_is_no_answer() {
    let (a, _) = lattice(1);
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let waited = Duration::from_millis(300);
    let ta = bind_with(&Config { handshake_timeout: waited, ..config() }, &a);
    let addr = silent.local_addr().unwrap();
    assert_eq!(ta.dial(addr).await.unwrap_err(), DialError::NoAnswer { addr, waited });
    let v6 = "[::1]:9".parse().unwrap();
    assert!(matches!(ta.dial(v6).await, Err(DialError::Unreachable { .. })));
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let (a, b) = lattice(1);
    let ta = bind(&a);
    let taken = Config::new(ta.local_addr());
    let error = Transport::bind(&Env::tokio(), &taken, &b, &roll(&b), &crypto_provider()).unwrap_err();
    assert!(matches!(error, BindError::InUse { addr } if addr == ta.local_addr()), "{error}");
}

/// Garbage on the port costs counts; members still link.
#[tokio::test]
async fn garbage_does_no_harm() {
    let (a, b) = lattice(1);
    let (ta, tb) = (bind(&a), bind(&b));
    let noise = UdpSocket::bind("127.0.0.1:0").unwrap();
    noise.set_nonblocking(true).unwrap();
    let mut rng = Rng::seed_from_u64(7);
    for n in 0..2_000_usize {
        let mut datagram = vec![0; n % 1_400];
        rng.fill_bytes(&mut datagram);
        // A full buffer loses some of it, which is fine.
        let _ = noise.send_to(&datagram, ta.local_addr());
    }
    let (dialed, accepted) = tokio::join!(tb.dial(ta.local_addr()), accept_link(&ta));
    assert_eq!((dialed.unwrap().peer, accepted.peer), (a.node_id(), b.node_id()));
    assert!(ta.counters().datagrams_stray.value() > 100, "{:?}", ta.counters().snapshot());
}

/// First packets from addresses that nobody has proved take no slots; who proves its address gets in, at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_first_packets_hold_nobody_up() {
    let (a, b) = lattice(1);
    let patient = Config { handshakes_max: 4, handshake_timeout: Duration::from_secs(60), ..config() };
    let (ta, tb) = (bind_with(&patient, &a), bind(&b));
    let impatient = Config { handshake_timeout: Duration::from_millis(50), ..config() };
    let mut sources = Vec::new();
    for _ in 0..8 {
        let captured = first_datagram(&bind_with(&impatient, &b)).await;
        sources.push(captured.send(ta.local_addr()));
    }
    eventually("the flood was met", || ta.counters().retries_sent.value() >= 8).await;
    let (dialed, _) = tokio::join!(tb.dial(ta.local_addr()), accept_link(&ta));
    assert_eq!(dialed.unwrap().peer, a.node_id());
    assert_eq!(ta.counters().links_accepted.value(), 1);
}

/// Dials `to` through a relay that falls silent once the dialler has proved its address.
#[expect(clippy::disallowed_methods, reason = "no simulator here: the relay runs beside the runtime")]
fn half_open(from: &Transport, to: SocketAddr) -> impl Future<Output = Result<Connected, DialError>> {
    let relay = UdpSocket::bind("127.0.0.1:0").unwrap();
    relay.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let at = relay.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut datagram = [0; 2_000];
        let (len, dialler) = relay.recv_from(&mut datagram).unwrap();
        relay.send_to(&datagram[..len], to).unwrap();
        let (len, _) = relay.recv_from(&mut datagram).unwrap();
        relay.send_to(&datagram[..len], dialler).unwrap();
        let (len, _) = relay.recv_from(&mut datagram).unwrap();
        relay.send_to(&datagram[..len], to).unwrap();
    });
    from.dial(at)
}

/// The first datagram of a handshake, and the socket that caught it.
struct Captured(Vec<u8>, UdpSocket);

impl Captured {
    fn send(self, to: SocketAddr) -> UdpSocket {
        self.1.send_to(&self.0, to).unwrap();
        self.1
    }
}

async fn first_datagram(from: &Transport) -> Captured {
    let trap = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(from.dial(trap.local_addr().unwrap()).await.is_err());
    let mut datagram = vec![0; 2_000];
    let len = trap.recv(&mut datagram).unwrap();
    datagram.truncate(len);
    Captured(datagram, trap)
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up() {
    let (a, b) = lattice(1);
    let short = Config { handshake_timeout: Duration::from_millis(100), ..config() };
    let (ta, tb) = (bind_with(&short, &a), bind_with(&short, &b));
    assert!(half_open(&tb, ta.local_addr()).await.is_err());
    eventually("it timed out", || ta.counters().handshakes_timed_out.value() == 1).await;
}

/// A node that crashed and came back answers for its old connections: peers need not wait for their time-out.
#[test]
fn a_restart_is_noticed_at_once() {
    let (a, b) = lattice(1);
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (living, doomed) = (runtime(), runtime());
    let slow = Config { idle_timeout: Duration::from_secs(60), ..config() };
    let tb = doomed.block_on(async { bind_with(&slow, &b) });
    let addr = tb.local_addr();
    let (ta, link) = living.block_on(async {
        let ta = bind_with(&slow, &a);
        let link = ta.dial(addr).await.unwrap();
        (ta, link)
    });
    // Once this has returned nothing is sent any more: what is dropped later has no runtime to run on.
    doomed.shutdown_timeout(Duration::from_secs(20));
    drop(tb);
    living.block_on(async {
        let env = Env::tokio();
        let again = Config { listen: addr, ..slow };
        let deadline = env.now() + Duration::from_secs(10);
        let _tb = loop {
            match Transport::bind(&env, &again, &b, &roll(&b), &crypto_provider()) {
                Ok(transport) => break transport,
                Err(BindError::InUse { .. }) if env.now() < deadline => env.sleep(Duration::from_millis(10)).await,
                Err(error) => panic!("{error}"),
            }
        };
        let restarted = env.now();
        // Links say something now and then; this connection has none.
        link.connection.send_datagram(bytes::Bytes::new()).unwrap();
        let ended = env.timeout(Duration::from_secs(20), link.connection.closed()).await.expect("well before 60 s");
        assert_eq!(ended, quinn::ConnectionError::Reset);
        assert!(env.now() - restarted < Duration::from_secs(10));
        ta.dial(addr).await.unwrap();
    });
}
