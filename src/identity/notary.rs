//! `Notary`: checks chains, each once, and keeps each once.

use super::chain::{Chain, ChainError};
use super::key::PublicKey;
use super::warrant::Warrant;
use crate::weak_map::WeakMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Checks chains, each once for all who ask: in a process of many nodes, as the simulator is, they share one.
#[derive(Debug, Default)]
pub struct Notary(Mutex<WeakMap<[u8; 64], Chain>>);

impl Notary {
    /// The chain of `warrants`, verified.
    ///
    /// # Errors
    /// [`ChainError`]: it is none.
    pub fn verify(&self, root: PublicKey, warrants: Vec<Warrant>) -> Result<Arc<Chain>, ChainError> {
        let signature = warrants.last().map(|last| last.signature);
        let found = signature.and_then(|signature| self.lock().get(&signature));
        if let Some(known) = found.filter(|known| known.root() == root && known.warrants() == warrants) {
            return Ok(known);
        }
        Chain::verify(root, warrants).map(|chain| self.keep(chain))
    }

    pub(super) fn keep(&self, chain: Chain) -> Arc<Chain> {
        // By the last signature. The same one under another chain is one issuer under two: each is kept by whoever has it.
        let (mut known, signature) = (self.lock(), chain.last().signature);
        if let Some(same) = known.get(&signature).filter(|same| **same == chain) {
            return same;
        }
        let chain = Arc::new(chain);
        known.insert(signature, &chain);
        chain
    }

    fn lock(&self) -> MutexGuard<'_, WeakMap<[u8; 64], Chain>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;
    use lattice_broker::env::Rng;
    use rand_core::SeedableRng;

    #[test]
    fn who_shares_a_notary_keeps_one_copy() {
        let mut rng = Rng::seed_from_u64(1);
        let root = Identity::generate_root(&mut rng, "a");
        let member = root.admit(&mut rng, "b").unwrap();
        let (notary, key) = (Notary::default(), root.membership().root());
        let warrants = || member.membership().warrants().to_vec();
        let first = notary.verify(key, warrants()).unwrap();
        assert!(Arc::ptr_eq(&first, &notary.verify(key, warrants()).unwrap()));
        let mut forged = warrants();
        forged[1].subject[0] ^= 1;
        assert!(notary.verify(key, forged).is_err());
        assert!(notary.verify(PublicKey([1; 32]), warrants()).is_err());
    }
}
