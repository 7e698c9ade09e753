//! A hash that is the same on every platform and in every version of the protocol: of keys, records and sets of them.
//!
//! It spreads keys and finds what differs, not what was forged: who speaks here is a member.

/// A hash, fed part by part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0x9ae1_6a3b_2f90_404f)
    }
}

impl Hash {
    /// Feeds a part, with its length: `ab`, `c` is another hash than `a`, `bc`.
    pub(super) fn bytes(self, part: &[u8]) -> Self {
        part.chunks(8).fold(self.number(part.len() as u64), |hash, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash.number(u64::from_le_bytes(word))
        })
    }

    /// Feeds a number.
    pub(super) fn number(self, part: u64) -> Self {
        Self(mix(self.0 ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15))
    }

    pub(super) fn finish(self) -> u64 {
        mix(self.0)
    }
}

/// The finalizer of splitmix64: every bit of the input moves each of the output.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
