//! Randomness from one seed: independent streams by name, and the hash of what a run did.
//!
//! Adding a consumer never shifts the numbers of another, so a changed test keeps the rest of its run.

use lattice_broker::env::Rng;
use rand_core::SeedableRng;

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// One number for the stream `(seed, label, index)`.
pub(crate) fn derive(seed: u64, label: &str, index: u64) -> u64 {
    let mut state = seed;
    let mut mixed = splitmix(&mut state);
    for byte in label.bytes() {
        state ^= mixed ^ u64::from(byte);
        mixed = splitmix(&mut state);
    }
    state ^= mixed.rotate_left(32) ^ index;
    splitmix(&mut state)
}

/// The generator that an `Env` hands out for `(seed, label, index)`.
pub(crate) fn env_rng(seed: u64, label: &str, index: u64) -> Rng {
    let mut state = derive(seed, label, index);
    let mut key = [0; 32];
    for chunk in key.chunks_exact_mut(8) {
        chunk.copy_from_slice(&splitmix(&mut state).to_le_bytes());
    }
    Rng::from_seed(key)
}

/// A fast generator for the simulator's own choices (xoshiro256**). Not for keys.
#[derive(Clone, Debug)]
pub struct Dice([u64; 4]);

impl Dice {
    /// The stream `(seed, label, index)`, independent of every other.
    #[must_use]
    pub fn new(seed: u64, label: &str, index: u64) -> Self {
        let mut state = derive(seed, label, index);
        Self(std::array::from_fn(|_| splitmix(&mut state)))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number below `bound`, or 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        (wide >> 64) as u64
    }

    /// True with probability `p`. Draws nothing when `p` is 0, so that a fault that is off costs no numbers.
    pub fn chance(&mut self, p: f64) -> bool {
        p > 0.0 && ((self.next_u64() >> 11) as f64) * (1.0 / (1u64 << 53) as f64) < p
    }
}

/// A running hash of everything a world did: fast, with a fixed key, of no cryptographic worth.
#[derive(Clone, Debug)]
pub(crate) struct TraceHash {
    a: u64,
    b: u64,
}

impl TraceHash {
    pub(crate) fn new(seed: u64) -> Self {
        Self { a: derive(seed, "trace", 0), b: derive(seed, "trace", 1) }
    }

    pub(crate) fn word(&mut self, word: u64) {
        self.a = (self.a ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
        self.b = (self.b.rotate_left(23) ^ word).wrapping_mul(0x9FB2_1C65_1E98_DF25);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let (chunks, rest) = bytes.as_chunks::<8>();
        for chunk in chunks {
            self.word(u64::from_le_bytes(*chunk));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
        self.word(bytes.len() as u64);
    }

    pub(crate) fn hex(&self) -> String {
        format!("{:016x}{:016x}", self.a, self.b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_core::Rng as _;

    /// Goal: streams are told apart by each of their three names.
    #[test]
    fn streams_are_independent() {
        let first = |seed, label, index| Dice::new(seed, label, index).next_u64();
        let mut seen = vec![
            first(1, "a", 0),
            first(2, "a", 0),
            first(1, "b", 0),
            first(1, "a", 1),
            first(1, "ab", 0),
            first(1, "ba", 0),
        ];
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 6);
        assert_eq!(env_rng(1, "x", 2).next_u64(), env_rng(1, "x", 2).next_u64());
        assert_ne!(env_rng(1, "x", 2).next_u64(), env_rng(1, "x", 3).next_u64());
    }

    #[test]
    fn chance_follows_its_probability() {
        let mut dice = Dice::new(7, "chance", 0);
        let hits = (0..100_000).filter(|_| dice.chance(0.3)).count();
        assert!((29_000..31_000).contains(&hits), "{hits}");
        assert!(!dice.chance(0.0));
        assert!(dice.chance(1.0));
    }

    proptest! {
        #[test]
        fn below_stays_below(seed: u64, bound in 1u64..) {
            prop_assert!(Dice::new(seed, "below", 0).below(bound) < bound);
        }

        /// A flipped bit anywhere, or a moved boundary, changes the hash.
        #[test]
        fn the_hash_sees_every_bit(bytes in proptest::collection::vec(any::<u8>(), 1..64), at: usize, bit in 0u8..8) {
            let hash = |bytes: &[u8]| { let mut h = TraceHash::new(0); h.bytes(bytes); h.hex() };
            let mut other = bytes.clone();
            let at = at % other.len();
            other[at] ^= 1 << bit;
            prop_assert_ne!(hash(&bytes), hash(&other));
            other = bytes.clone();
            other.push(0);
            prop_assert_ne!(hash(&bytes), hash(&other));
        }
    }
}
