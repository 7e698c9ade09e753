//! Which life of a node this is: from its start to its end. Kept on its disk, and told to nobody.

use crate::codec::{self, Decode, Encode};
use crate::store::{Store, StoreError};
use lattice_broker::env::Rng;
use rand_core::Rng as _;

/// Where it is kept.
const KEY: &[u8] = b"keyvalue/life";
/// Lives until a part is counted in again.
const PARTS: u64 = 4;

/// A life of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Life {
    /// The disk that it has: another when that was lost.
    pub disk: u64,
    /// How many there were before with this disk.
    pub number: u64,
}

impl Life {
    /// Begins one, which survives a loss of power after [`Store::flush_durable`].
    ///
    /// # Errors
    /// [`StoreError`]: the disk fails.
    pub fn begin(store: &dyn Store, rng: &mut Rng) -> Result<Self, StoreError> {
        let last: Option<Self> = store.get(KEY)?.and_then(|bytes| codec::decode(&bytes).ok());
        let life = match last {
            Some(Self { disk, number }) => Self { disk, number: number.wrapping_add(1) },
            None => Self { disk: rng.next_u64(), number: 0 },
        };
        store.put(KEY, &codec::encode(&life))?;
        Ok(life)
    }

    /// What the names of the parts end with that this life counts in: 17 digits.
    pub(super) fn part(self) -> String {
        format!("{:016x}{}", self.disk, self.number % PARTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use rand_core::SeedableRng as _;

    #[test]
    fn lives_take_turns_and_another_disk_is_another_row_of_them() {
        let mut rng = Rng::seed_from_u64(1);
        let mut row = || {
            let store = MemoryStore::default();
            (0..5).map(|_| Life::begin(&store, &mut rng).unwrap().part()).collect::<Vec<_>>()
        };
        let (one, other) = (row(), row());
        assert_eq!(one[0], one[4]);
        assert!((1..4).all(|n| one[n] != one[0]) && one.iter().all(|part| !other.contains(part)));
    }
}
