//! TLS whose every random byte comes from the seed: real handshakes that repeat.
//!
//! ring draws its X25519 keys from the operating system whatever `secure_random` says, hence our own key
//! exchange group. Certificates, verification and the choice of Ed25519 (ECDSA signs with fresh nonces, which
//! would differ between runs) are left to whoever configures TLS.

use crate::guarded::Guarded;
use lattice_broker::env::Rng;
use rand_core::Rng as _;
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup,
};
use rustls::{Error, NamedGroup, PeerMisbehaved, SupportedCipherSuite};
use std::fmt;
use std::sync::Arc;

/// ring's provider with `rng` as its only source of randomness. TLS 1.3 and X25519 only.
///
/// rustls wants a key exchange group that lives for ever, so each call leaks about 500 bytes. Call it once for each
/// incarnation of a node, not once for each connection.
///
/// # Example
/// ```
/// # use lattice_netsim::{World, WorldConfig};
/// let world = World::new(1, WorldConfig::hosts(1));
/// let provider = lattice_netsim::tls::provider(world.host(0).env().rng("tls"));
/// let builder = rustls::ClientConfig::builder_with_provider(provider)
///     .with_protocol_versions(&[&rustls::version::TLS13])?;
/// # Ok::<_, rustls::Error>(())
/// ```
#[must_use]
pub fn provider(rng: Rng) -> Arc<CryptoProvider> {
    let random: &'static SeededRandom = Box::leak(Box::new(SeededRandom(Guarded::new(rng))));
    let group: &'static SeededX25519 = Box::leak(Box::new(SeededX25519(random)));
    let mut provider = rustls::crypto::ring::default_provider();
    provider.secure_random = random;
    provider.kx_groups = vec![group];
    provider.cipher_suites.retain(|suite| matches!(suite, SupportedCipherSuite::Tls13(_)));
    Arc::new(provider)
}

struct SeededRandom(Guarded<Rng>);

impl fmt::Debug for SeededRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeededRandom")
    }
}

impl SecureRandom for SeededRandom {
    fn fill(&self, buf: &mut [u8]) -> Result<(), GetRandomFailed> {
        self.0.lock().fill_bytes(buf);
        Ok(())
    }
}

#[derive(Debug)]
struct SeededX25519(&'static SeededRandom);

impl SupportedKxGroup for SeededX25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut secret = [0; 32];
        self.0.fill(&mut secret)?;
        let secret = x25519_dalek::StaticSecret::from(secret);
        let public = x25519_dalek::PublicKey::from(&secret);
        Ok(Box::new(Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Exchange {
    secret: x25519_dalek::StaticSecret,
    public: x25519_dalek::PublicKey,
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer: [u8; 32] = peer.try_into().map_err(|_| Error::from(PeerMisbehaved::InvalidKeyShare))?;
        let shared = self.secret.diffie_hellman(&x25519_dalek::PublicKey::from(peer));
        if !shared.was_contributory() {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        Ok(SharedSecret::from(&shared.as_bytes()[..]))
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::env_rng;

    fn exchange(provider: &CryptoProvider) -> Box<dyn ActiveKeyExchange> {
        provider.kx_groups[0].start().unwrap()
    }

    #[test]
    fn both_ends_agree_and_the_seed_decides() {
        let (a, b) = (provider(env_rng(1, "tls", 0)), provider(env_rng(1, "tls", 1)));
        let (mine, theirs) = (exchange(&a), exchange(&b));
        let (my_key, their_key) = (mine.pub_key().to_vec(), theirs.pub_key().to_vec());
        assert_ne!(my_key, their_key);
        let (ours, same) = (mine.complete(&their_key).unwrap(), theirs.complete(&my_key).unwrap());
        assert_eq!(ours.secret_bytes(), same.secret_bytes());
        assert_eq!(exchange(&provider(env_rng(1, "tls", 0))).pub_key(), my_key);
    }

    /// Goal: a hostile key share is an error, never a known secret.
    #[test]
    fn weak_and_malformed_shares_are_refused() {
        let provider = provider(env_rng(1, "tls", 0));
        assert!(exchange(&provider).complete(&[0; 32]).is_err());
        assert!(exchange(&provider).complete(&[1; 31]).is_err());
    }
}
