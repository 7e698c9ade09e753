//! The exchange over real QUIC on loopback.

use super::ask::CONNECT_TIMEOUT;
use super::wire::{ANSWER_MAX, Answer};
use super::*;
use crate::codec;
use crate::identity::{Applicant, Grant, Identity, Invite, Joiner, LatticeId, Refusal, Roll, Terms};
use crate::mesh::quic::{
    ALPN_JOIN, ALPN_LINK, Accepted, Config, Dialer, Expected, Standing, Transport, bind_client, client_config,
    client_transport, close, crypto_provider,
};
use crate::store::MemoryStore;
use lattice_broker::env::{Env, Rng};
use quinn::{ConnectionError, VarInt};
use rand_core::SeedableRng;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

fn expected(lattice: LatticeId) -> Expected {
    Expected { lattice, standing: Standing::Any }
}

struct Member {
    env: Env,
    identity: Arc<Identity>,
    roll: Arc<Roll>,
    transport: Arc<Transport>,
}

fn member_of(identity: Identity) -> Member {
    let env = Env::tokio();
    let identity = Arc::new(identity);
    let config = Config::new("127.0.0.1:0".parse().unwrap());
    let roll = Arc::new(Roll::open(&identity, Arc::new(MemoryStore::default()), Arc::default()).unwrap());
    let transport = Arc::new(Transport::bind(&env, &config, &identity, &roll, &crypto_provider()).unwrap());
    Member { env, identity, roll, transport }
}

fn member(seed: u64) -> Member {
    member_of(Identity::generate_root(&mut Rng::seed_from_u64(seed), "first"))
}

impl Member {
    fn invite(&self, uses: u32, valid_for: Duration, issued: SystemTime) -> Invite {
        let terms = Terms { valid_for, uses, grant: Grant::all(), addresses: vec![self.transport.local_addr()] };
        let issued = issued.duration_since(UNIX_EPOCH).unwrap().as_secs();
        self.identity.issue(&mut self.env.rng("test"), terms, Some(issued)).unwrap()
    }

    fn fresh_invite(&self) -> Invite {
        self.invite(1, Duration::from_secs(3_600), self.env.wall())
    }

    async fn serve_one(&self) -> Result<Served, Broken> {
        let Accepted::Join(attempt) = self.transport.accept().await.unwrap() else { panic!("a link") };
        let peers = [self.transport.local_addr(), "10.1.2.3:7443".parse().unwrap()];
        serve(&self.env, &self.identity, &self.roll, attempt, &peers).await
    }

    async fn join(&self, invite: &Invite, applicant: Applicant) -> Result<Joined, JoinError> {
        join(&self.env, invite, &applicant, &crypto_provider(), None).await
    }
}

fn applicant(seed: u64) -> Applicant {
    Applicant::generate(&mut Rng::seed_from_u64(seed), &format!("n{seed}"))
}

/// A device joins, links, and invites the next one itself.
#[tokio::test]
async fn a_device_becomes_a_member() {
    let m = member(1);
    let invite: Invite = m.fresh_invite().to_string().parse().unwrap();
    let (joined, served) = tokio::join!(m.join(&invite, applicant(10)), m.serve_one());
    let joined = joined.unwrap();
    assert_eq!(joined.identity.lattice(), m.identity.lattice());
    assert_eq!((joined.identity.name(), joined.identity.lattice_name()), ("n10", "first"));
    assert_eq!((joined.via, joined.peers.len()), (m.transport.local_addr(), 2));
    let expected = Joiner { node: joined.identity.node_id(), name: "n10".to_owned() };
    assert!(matches!(served, Ok(Served::Admitted(joiner, _)) if joiner == expected));

    let second = member_of(joined.identity);
    let link = second.transport.dial(m.transport.local_addr()).await.unwrap();
    assert_eq!(link.peer, m.identity.node_id());
    let invite = second.fresh_invite();
    let (joined, _) = tokio::join!(second.join(&invite, applicant(11)), second.serve_one());
    assert_eq!(joined.unwrap().identity.lattice(), m.identity.lattice());
}

/// A lost answer costs nothing: the same device asks again; another one hears who was first.
#[tokio::test]
async fn a_use_is_counted_once_for_each_device() {
    let m = member(1);
    let invite = m.fresh_invite();
    for _ in 0..2 {
        let (joined, _) = tokio::join!(m.join(&invite, applicant(10)), m.serve_one());
        joined.unwrap();
    }
    let (refused, served) = tokio::join!(m.join(&invite, applicant(11)), m.serve_one());
    let refused = refused.unwrap_err();
    assert!(matches!(&refused, JoinError::Refused { refusal: Refusal::UsedUp { by, .. }, .. } if by == "n10"));
    assert!(refused.to_string().contains("was used by n10"), "{refused}");
    assert!(matches!(served, Ok(Served::Refused(Refusal::UsedUp { .. }))));
}

#[tokio::test]
async fn an_expired_invite_is_refused_with_its_age() {
    let m = member(1);
    let long_ago = m.env.wall() - Duration::from_secs(10_900);
    let invite = m.invite(1, Duration::from_secs(3_600), long_ago);
    let (refused, _) = tokio::join!(m.join(&invite, applicant(10)), m.serve_one());
    let refused = refused.unwrap_err();
    assert!(refused.to_string().contains("expired 2 h ago"), "{refused}");
    assert_eq!(refused.advice().code, "E0104");
}

/// The address belongs to a node of another lattice by now.
#[tokio::test]
async fn another_lattice_is_named() {
    let (m, other) = (member(1), member(2));
    let mut invite = m.fresh_invite();
    invite.addresses = vec![other.transport.local_addr()];
    let error = m.join(&invite, applicant(10)).await.unwrap_err();
    let (ours, theirs) = (m.identity.lattice(), other.identity.lattice());
    let by = other.transport.local_addr();
    assert!(matches!(error, JoinError::OtherLattice { by: b, ours: o, theirs: t } if (b, o, t) == (by, ours, theirs)));
    let text = error.advice().explain(&error);
    assert!(text.contains("the invite says") && text.contains("(E0107)"), "{text}");
}

/// Goal: joining needs no particular member: one that never heard of the invite admits by it.
#[tokio::test]
async fn any_member_admits() {
    let m = member(1);
    let second = member_of(m.identity.admit(&mut Rng::seed_from_u64(5), "second").unwrap());
    let mut invite = m.fresh_invite();
    invite.addresses = vec![second.transport.local_addr()];
    let (joined, _) = tokio::join!(second.join(&invite, applicant(10)), second.serve_one());
    let joined = joined.unwrap().identity;
    assert_eq!(joined.lattice(), m.identity.lattice());
    assert_eq!(joined.membership().signer().map(|(_, node)| node), Some(second.identity.node_id()));
}

/// An invite of another lattice is worth nothing here, wherever it points.
#[tokio::test]
async fn an_invite_of_another_lattice_opens_nothing() {
    let (m, other) = (member(1), member(2));
    let invite = other.fresh_invite();
    let endpoint = bind_client(&m.env, "127.0.0.1:0".parse().unwrap()).unwrap();
    let tls = client_config(&crypto_provider(), ALPN_JOIN, invite.certificates(), invite.key()).unwrap();
    let transport = Arc::new(client_transport(EXCHANGE_TIMEOUT));
    let dialer = Dialer::new(&m.env, &endpoint, tls, transport, expected(m.identity.lattice()), CONNECT_TIMEOUT);
    let connection = dialer.connect(m.transport.local_addr()).await.unwrap();
    assert!(matches!(connection.closed().await, ConnectionError::ConnectionClosed(_)));
}

/// A dead address first, another lattice second: the third one counts.
#[tokio::test]
async fn the_first_good_address_wins() {
    let (m, other) = (member(1), member(2));
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut invite = m.fresh_invite();
    invite.addresses = vec![silent.local_addr().unwrap(), other.transport.local_addr(), m.transport.local_addr()];
    let (joined, _) = tokio::join!(m.join(&invite, applicant(10)), m.serve_one());
    assert_eq!(joined.unwrap().via, m.transport.local_addr());
}

/// A member that may not admit is passed over; alone, it says why, and who it is.
#[tokio::test]
async fn who_may_not_admit_says_so_and_spends_nothing() {
    let m = member(1);
    let guest = Grant { invite: false, ..Grant::all() };
    let guest = member_of(m.identity.admit_with(&mut Rng::seed_from_u64(3), "guest", &guest).unwrap());
    let mut invite = m.fresh_invite();
    invite.addresses = vec![guest.transport.local_addr()];
    let (refused, _) = tokio::join!(m.join(&invite, applicant(10)), guest.serve_one());
    let refused = refused.unwrap_err();
    assert!(matches!(&refused, JoinError::Refused { refusal: Refusal::MayNot { .. }, .. }), "{refused:?}");
    assert!(refused.to_string().contains("guest may not admit"), "{refused}");
    invite.addresses.push(m.transport.local_addr());
    let (joined, _, _) = tokio::join!(m.join(&invite, applicant(10)), guest.serve_one(), m.serve_one());
    assert_eq!(joined.unwrap().via, m.transport.local_addr());
}

/// An invite opens the door to the join exchange and to nothing else, and a membership not to that.
#[tokio::test]
async fn certificate_and_protocol_have_to_fit() {
    let m = member(1);
    let (invite, other) = (m.fresh_invite(), m.identity.admit(&mut Rng::seed_from_u64(5), "b").unwrap());
    let endpoint = bind_client(&m.env, "127.0.0.1:0".parse().unwrap()).unwrap();
    let voucher = client_config(&crypto_provider(), ALPN_LINK, invite.certificates(), invite.key());
    let chain = client_config(&crypto_provider(), ALPN_JOIN, other.chain().to_vec(), other.key());
    for (n, tls) in (1..).zip([voucher, chain]) {
        let transport = Arc::new(client_transport(EXCHANGE_TIMEOUT));
        let dialer =
            Dialer::new(&m.env, &endpoint, tls.unwrap(), transport, expected(invite.lattice()), CONNECT_TIMEOUT);
        let connection = dialer.connect(m.transport.local_addr()).await.unwrap();
        let ConnectionError::ApplicationClosed(closed) = connection.closed().await else { panic!("not turned away") };
        assert_eq!(closed.error_code, VarInt::from_u32(close::WRONG_PROTOCOL));
        assert_eq!(m.transport.counters().handshakes_failed.value(), n);
    }
    assert_eq!(m.transport.counters().links_accepted.value() + m.transport.counters().joins_accepted.value(), 0);
}

/// With a valid invite, but garbage instead of a request: told so, and no use is spent.
#[tokio::test]
async fn a_garbled_request_is_refused() {
    let m = member(1);
    let invite = m.fresh_invite();
    let send = async {
        let endpoint = bind_client(&m.env, "127.0.0.1:0".parse().unwrap()).unwrap();
        let tls = client_config(&crypto_provider(), ALPN_JOIN, invite.certificates(), invite.key()).unwrap();
        let transport = Arc::new(client_transport(EXCHANGE_TIMEOUT));
        let dialer = Dialer::new(&m.env, &endpoint, tls, transport, expected(invite.lattice()), CONNECT_TIMEOUT);
        let connection = dialer.connect(m.transport.local_addr()).await.unwrap();
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(b"\x01GET / HTTP/1.1\r\n\r\n").await.unwrap();
        send.finish().unwrap();
        codec::decode::<Answer>(&receive.read_to_end(ANSWER_MAX).await.unwrap()).unwrap()
    };
    let (answer, served) = tokio::join!(send, m.serve_one());
    assert!(matches!(answer, Answer::Refused(Refusal::BadRequest { .. })), "{answer:?}");
    assert!(matches!(served, Ok(Served::Refused(Refusal::BadRequest { .. }))));
    assert_eq!(m.roll.uses(invite.key().public()), 0);
}
