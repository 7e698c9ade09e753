//! Beacons: what a node says to the whole of a local network, so that members there find each other. No IO.
//!
//! A beacon is a hint whom to dial and nothing else: who answers has to prove in the handshake that it is a member. It is
//! sealed under a key that follows from the lattice's root, so that it looks like noise to whoever does not know that, and no
//! two of them are alike. This file makes and reads them, bounds what hearing them may cost, and says when to send. Sockets
//! are `lan.rs`'s; what a hint is good for, `forming.rs`'s.

use super::allowance::{Allowance, Limit};
use super::id::NodeId;
use crate::identity::PublicKey;
use lattice_broker::env::Rng;
use rand_core::Rng as _;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// The first byte of this kind of beacon.
const VERSION: u8 = 1;
/// What is sealed: the node's key and its port.
const BODY: usize = 32 + 2;
/// Bytes of a beacon.
pub const LEN: usize = 1 + NONCE_LEN + BODY + 16;

/// Beacons of one address: four a second.
const SOURCE: Limit = Limit { at_once: 20, every: Duration::from_millis(250) };
/// Beacons of all addresses together: 500 a second.
const ALL: Limit = Limit { at_once: 1_000, every: Duration::from_millis(2) };
/// Datagrams that are opened to see whether they are beacons at all: 10,000 a second, some hundredths of a core.
const OPENED: Limit = Limit { at_once: 2_000, every: Duration::from_micros(100) };
/// How often addresses that need not be told apart any more are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Addresses that are told apart.
const SOURCES_MAX: usize = 1_024;

/// Waits after the first beacons.
const QUICK: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1_000),
    Duration::from_millis(2_000),
    Duration::from_millis(4_000),
];
/// The longest wait after that, and when the node has enough links. The shortest is half of it.
const CALM: Duration = Duration::from_secs(10);
const CALM_WITH_LINKS: Duration = Duration::from_secs(40);

/// Whether and where beacons are sent and heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether they are.
    pub enabled: bool,
    /// The UDP port.
    pub port: u16,
    /// The interfaces, by name; all when none is named.
    pub interfaces: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, port: 7433, interfaces: Vec::new() }
    }
}

/// What a beacon says: there is this node, and it takes links on that port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// Whose.
    pub node: NodeId,
    /// The UDP port of its links.
    pub port: u16,
}

/// Makes and reads the beacons of one lattice.
pub struct Codec(LessSafeKey);

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Codec")
    }
}

impl Codec {
    /// For the lattice of `root`.
    #[must_use]
    pub fn new(root: PublicKey) -> Self {
        let secret = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &root.0), b"lattice beacon 1");
        let key = UnboundKey::new(&CHACHA20_POLY1305, secret.as_ref()).expect("HMAC-SHA-256 is as long as the key");
        Self(LessSafeKey::new(key))
    }

    /// The datagram. A `nonce` must not come twice: draw it.
    #[must_use]
    pub fn seal(&self, beacon: &Beacon, nonce: [u8; NONCE_LEN]) -> Vec<u8> {
        let mut body = Vec::with_capacity(LEN);
        body.extend_from_slice(&beacon.node.0);
        body.extend_from_slice(&beacon.port.to_le_bytes());
        let nonce_of = Nonce::assume_unique_for_key(nonce);
        self.0.seal_in_place_append_tag(nonce_of, Aad::from([VERSION]), &mut body).expect("a beacon is short");
        [&[VERSION], &nonce[..], &body].concat()
    }

    /// What the datagram says, if it is a beacon of this lattice.
    #[must_use]
    pub fn open(&self, datagram: &[u8]) -> Option<Beacon> {
        let (version, rest) = datagram.split_first()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        if *version != VERSION || datagram.len() != LEN {
            return None;
        }
        let mut body = sealed.to_vec();
        let opened =
            self.0.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from([VERSION]), &mut body).ok()?;
        let (node, port) = opened.split_first_chunk::<32>()?;
        Some(Beacon { node: NodeId(*node), port: u16::from_le_bytes(port.try_into().ok()?) })
    }
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A member may be there.
    Of(NodeId, SocketAddr),
    /// It was this node's own.
    Own,
    /// It is no beacon of this lattice.
    Foreign,
    /// Too many have come from there, or in all: it counts for nothing.
    TooMany,
}

/// Reads what comes, within bounds.
#[derive(Debug)]
pub struct Hearing {
    codec: Codec,
    me: NodeId,
    opened: Allowance,
    all: Allowance,
    /// Of members only: others would take the room with addresses that they make up.
    sources: BTreeMap<IpAddr, Allowance>,
    swept: Option<Instant>,
}

impl Hearing {
    /// For the node `me`.
    #[must_use]
    pub fn new(codec: Codec, me: NodeId) -> Self {
        let (opened, all) = Default::default();
        Self { codec, me, opened, all, sources: BTreeMap::new(), swept: None }
    }

    /// Makes this node's own beacons.
    #[must_use]
    pub fn codec(&self) -> &Codec {
        &self.codec
    }

    /// Takes a datagram in that came from `from`.
    pub fn hear(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Heard {
        if datagram.len() != LEN {
            return Heard::Foreign;
        }
        if !self.opened.take(now, OPENED) {
            return Heard::TooMany;
        }
        match self.codec.open(datagram) {
            None => Heard::Foreign,
            Some(Beacon { node, .. }) if node == self.me => Heard::Own,
            Some(Beacon { port: 0, .. }) => Heard::Foreign,
            Some(_) if !self.may(now, from.ip()) => Heard::TooMany,
            Some(Beacon { node, port }) => {
                // Scope and all: it may be an address that means nothing without the interface.
                let mut addr = from;
                addr.set_port(port);
                Heard::Of(node, addr)
            }
        }
    }

    fn may(&mut self, now: Instant, source: IpAddr) -> bool {
        let is_time = self.swept.is_none_or(|at| now >= at + SWEEP_EVERY);
        if self.sources.len() >= SOURCES_MAX && is_time {
            self.swept = Some(now);
            self.sources.retain(|_, allowance| !allowance.is_whole(now));
        }
        let room = self.sources.len() < SOURCES_MAX || self.sources.contains_key(&source);
        room && self.sources.entry(source).or_default().take(now, SOURCE) && self.all.take(now, ALL)
    }
}

/// When to send: several at first, then ever so often.
#[derive(Debug, Default)]
pub struct Pace {
    sent: usize,
}

impl Pace {
    /// Begins anew: the network is another one.
    pub fn restart(&mut self) {
        self.sent = 0;
    }

    /// One is sent now: how long to wait for the next, with `enough` links or without.
    pub fn wait(&mut self, enough: bool, rng: &mut Rng) -> Duration {
        let step = QUICK.get(self.sent).copied().unwrap_or(if enough { CALM_WITH_LINKS } else { CALM });
        self.sent = self.sent.saturating_add(1);
        step / 2 + (step / 2).mul_f64(f64::from(rng.next_u32()) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::start_of_time;
    use rand_core::SeedableRng;

    const ME: NodeId = NodeId([1; 32]);
    const OTHER: Beacon = Beacon { node: NodeId([2; 32]), port: 7443 };

    fn from(n: u32) -> SocketAddr {
        let [_, b, c, d] = n.to_be_bytes();
        ([10, b, c, d], 7433).into()
    }

    fn hearing() -> Hearing {
        Hearing::new(Codec::new(PublicKey([9; 32])), ME)
    }

    #[test]
    fn a_beacon_says_where_a_node_is() {
        let (mut hearing, now) = (hearing(), start_of_time());
        let sealed = hearing.codec.seal(&OTHER, [7; NONCE_LEN]);
        assert_eq!(sealed.len(), LEN);
        const { assert!(LEN < 200) };
        assert_eq!(hearing.hear(now, from(5), &sealed), Heard::Of(OTHER.node, "10.0.0.5:7443".parse().unwrap()));
        let own = hearing.codec.seal(&Beacon { node: ME, port: 1 }, [8; NONCE_LEN]);
        assert_eq!(hearing.hear(now, from(5), &own), Heard::Own);
        let scoped = SocketAddr::V6(std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 7433, 0, 3));
        let Heard::Of(_, SocketAddr::V6(at)) = hearing.hear(now, scoped, &sealed) else { panic!("not heard") };
        assert_eq!((at.scope_id(), at.port()), (3, 7443));
    }

    /// Goal: who does not know the root reads nothing out of beacons, cannot tell that two are of one node, and cannot make one.
    #[test]
    fn outsiders_learn_nothing() {
        let (ours, theirs) = (Codec::new(PublicKey([9; 32])), Codec::new(PublicKey([8; 32])));
        let (one, two) = (ours.seal(&OTHER, [1; NONCE_LEN]), ours.seal(&OTHER, [2; NONCE_LEN]));
        assert_eq!(theirs.open(&one), None);
        let alike = one.iter().zip(&two).skip(1 + NONCE_LEN).filter(|(a, b)| a == b).count();
        assert!(alike < 10, "{alike} bytes of {LEN} are alike");
        assert!(!one.windows(4).any(|part| part == [2; 4]), "the key is not in there");
        for at in 0..LEN {
            let mut forged = one.clone();
            forged[at] ^= 1;
            assert_eq!(ours.open(&forged), None, "byte {at}");
        }
        for len in 0..LEN {
            assert_eq!(ours.open(&one[..len]), None);
        }
        assert_eq!(ours.open(&[&one[..], &[0]].concat()), None);
    }

    /// Goal: neither one address nor very many make a node read more than a bounded number of beacons, or remember more.
    #[test]
    fn a_flood_is_not_looked_at() {
        let (mut hearing, start) = (hearing(), start_of_time());
        let sealed = hearing.codec.seal(&OTHER, [7; NONCE_LEN]);
        let mut read = |now, n: u32| hearing.hear(now, from(n), &sealed) != Heard::TooMany;
        let second = |n| start + Duration::from_secs(n);
        let of_one = (0..1_000).filter(|_| read(start, 1)).count();
        assert_eq!(of_one, 20);
        assert!(read(start, 2), "others are heard");
        assert_eq!((0..100).filter(|_| read(second(1), 1)).count(), 4);
        let of_all = (0..100_000).filter(|n| read(second(10), n + 10)).count();
        assert!((900..=1_000).contains(&of_all), "{of_all}");
        assert!(hearing.sources.len() <= SOURCES_MAX);
        assert!(hearing.hear(second(60), from(1), &sealed) != Heard::TooMany, "all is well again");
    }

    /// Goal: what anybody can send, who need not know the lattice, does not keep its members from being heard.
    #[test]
    fn junk_does_not_deafen() {
        let (mut hearing, start) = (hearing(), start_of_time());
        let sealed = hearing.codec.seal(&OTHER, [7; NONCE_LEN]);
        let mut junk = sealed.clone();
        junk[LEN - 1] ^= 1;
        let mut heard = 0;
        for n in 0..50_000 {
            // Five thousand a second, each from another address.
            let now = start + Duration::from_micros(200) * n;
            assert_eq!(hearing.hear(now, from(n), &junk), Heard::Foreign);
            assert_eq!(hearing.hear(now, from(n), &junk[1..]), Heard::Foreign);
            if n % 5_000 == 0 {
                heard += usize::from(hearing.hear(now, from(1 << 20), &sealed) != Heard::TooMany);
            }
        }
        assert_eq!((heard, hearing.sources.len()), (10, 1));
        let nowhere = hearing.codec.seal(&Beacon { port: 0, ..OTHER }, [8; NONCE_LEN]);
        assert_eq!(hearing.hear(start + Duration::from_secs(60), from(5), &nowhere), Heard::Foreign);
    }

    #[test]
    fn several_at_first_and_fewer_with_links() {
        let (mut pace, mut rng) = (Pace::default(), Rng::from_seed([4; 32]));
        let first: Duration = (0..5).map(|_| pace.wait(false, &mut rng)).sum();
        assert!(first <= Duration::from_secs(8));
        for _ in 0..50 {
            let (lonely, linked) = (pace.wait(false, &mut rng), pace.wait(true, &mut rng));
            assert!(lonely >= CALM / 2 && lonely <= CALM);
            assert!(linked >= CALM_WITH_LINKS / 2 && linked <= CALM_WITH_LINKS);
        }
        pace.restart();
        assert!(pace.wait(true, &mut rng) <= QUICK[0]);
    }
}
