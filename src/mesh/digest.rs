//! A digest of a set that does not depend on the order in which the set came about.
//!
//! The sum of the hashes of the elements: adding and taking away are as cheap as one hash. It finds what was lost or
//! mixed up, not what was forged: every link's peer is a member, and announcements are signed.

/// The digest of a set; 0 for the empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(pub u64);

impl Digest {
    /// Takes an element in.
    pub fn add(&mut self, element: Element) {
        self.0 = self.0.wrapping_add(element.finish());
    }

    /// Takes an element out that was in.
    pub fn remove(&mut self, element: Element) {
        self.0 = self.0.wrapping_sub(element.finish());
    }
}

/// The hash of one element, fed part by part. The same on every platform and in every version of the protocol.
#[derive(Clone, Copy, Debug)]
pub struct Element(u64);

impl Element {
    /// An element without parts yet.
    #[must_use]
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Feeds a part, with its length: `ab`, `c` is another element than `a`, `bc`.
    #[must_use]
    pub fn bytes(self, part: &[u8]) -> Self {
        let mut state = self.number(part.len() as u64).0;
        for chunk in part.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            state = mix(state ^ u64::from_le_bytes(word));
        }
        Self(state)
    }

    /// Feeds a part that is a number.
    #[must_use]
    pub fn number(self, part: u64) -> Self {
        Self(mix(self.0 ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15))
    }

    fn finish(self) -> u64 {
        mix(self.0)
    }
}

impl Default for Element {
    fn default() -> Self {
        Self::new()
    }
}

/// Spreads every bit over all others (the finalizer of `SplitMix64`).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(elements: &[(&str, &str)]) -> Digest {
        let mut digest = Digest::default();
        for (a, b) in elements {
            digest.add(Element::new().bytes(a.as_bytes()).bytes(b.as_bytes()));
        }
        digest
    }

    #[test]
    fn order_does_not_count_and_content_does() {
        assert_eq!(digest(&[("a", "b"), ("c", "d")]), digest(&[("c", "d"), ("a", "b")]));
        assert_ne!(digest(&[("ab", "c")]), digest(&[("a", "bc")]));
        assert_ne!(digest(&[("", "")]), digest(&[]));
        assert_ne!(digest(&[("a", "")]), digest(&[("a\0", "")]));
    }

    #[test]
    fn what_is_taken_out_is_forgotten() {
        let mut set = digest(&[("a", "b"), ("c", "d")]);
        set.remove(Element::new().bytes(b"c").bytes(b"d"));
        assert_eq!(set, digest(&[("a", "b")]));
    }
}
