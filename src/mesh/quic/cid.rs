//! Connection ids that this node recognises as its own, also after a restart, and that garbage does not hit.

use super::counters::Counters;
use crate::identity::Identity;
use lattice_broker::env::Rng;
use quinn::{ConnectionId, ConnectionIdGenerator};
use quinn_proto::InvalidCid;
use rand_core::Rng as _;
use ring::hmac;
use std::sync::Arc;
use std::time::Duration;

const NONCE: usize = 5;
const LEN: usize = 8;

/// 5 random bytes and 3 of their keyed hash. A datagram with another id costs a hash and a count: it makes neither a
/// connection nor a stateless reset.
#[derive(Clone)]
pub(super) struct Cids {
    rng: Rng,
    key: hmac::Key,
    counters: Arc<Counters>,
}

impl Cids {
    pub(super) fn new(rng: Rng, identity: &Identity, counters: &Arc<Counters>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &identity.key().derive("quic connection ids"));
        Self { rng, key, counters: counters.clone() }
    }

    fn tag(&self, nonce: &[u8]) -> [u8; LEN - NONCE] {
        let tag = hmac::sign(&self.key, nonce);
        *tag.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
    }
}

impl ConnectionIdGenerator for Cids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut nonce = [0; NONCE];
        self.rng.fill_bytes(&mut nonce);
        ConnectionId::new(&[&nonce[..], &self.tag(&nonce)].concat())
    }

    fn validate(&self, cid: &ConnectionId) -> Result<(), InvalidCid> {
        if cid.len() == LEN && self.tag(&cid[..NONCE]) == cid[NONCE..] {
            return Ok(());
        }
        self.counters.datagrams_stray.add();
        Err(InvalidCid)
    }

    fn cid_len(&self) -> usize {
        LEN
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    #[test]
    fn own_ids_are_known_across_restarts_and_others_are_counted() {
        let identity = Identity::generate_root(&mut Rng::seed_from_u64(1), "a");
        let counters = Arc::new(Counters::default());
        let mut first = Cids::new(Rng::seed_from_u64(2), &identity, &counters);
        let restarted = Cids::new(Rng::seed_from_u64(3), &identity, &counters);
        for _ in 0..100 {
            assert!(restarted.validate(&first.generate_cid()).is_ok());
        }
        assert!(restarted.validate(&ConnectionId::new(&[7; LEN])).is_err());
        assert!(restarted.validate(&ConnectionId::new(&[])).is_err());
        assert_eq!(counters.datagrams_stray.value(), 2);
    }
}
