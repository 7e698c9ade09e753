//! `NodeId`: who a node is, everywhere in the lattice. How keys are written as text is left to `nkey.rs`.

use super::nkey::{self, Kind, NkeyError};
use crate::codec::{Decode, Encode};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A node: its Ed25519 public key. Displays as an nkey, `N…`. The order of the keys breaks every tie in the mesh.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct NodeId(pub [u8; 32]);

/// That of the bytes. Keys are random, so that their first eight bytes nearly always decide, in one step: large tables of
/// nodes are searched all the time.
impl Ord for NodeId {
    fn cmp(&self, other: &Self) -> Ordering {
        let first = |id: &Self| u64::from_be_bytes(std::array::from_fn(|at| id.0[at]));
        first(self).cmp(&first(other)).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for NodeId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl NodeId {
    /// Eight characters out of the nkey, for people: `7F3Q-K2M8`. Not unique enough for a program.
    #[must_use]
    pub fn short(&self) -> String {
        // The first two characters hold the kind and hardly vary.
        let text = self.to_string();
        format!("{}-{}", &text[2..6], &text[6..10])
    }

    /// The public key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&nkey::public(Kind::Node, &self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({})", self.short())
    }
}

impl FromStr for NodeId {
    type Err = NkeyError;

    fn from_str(text: &str) -> Result<Self, NkeyError> {
        nkey::parse_public(Kind::Node, text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_in_the_order_of_their_bytes() {
        let ids: Vec<NodeId> = [(0, 1), (0, 2), (7, 1), (8, 2), (31, 1)]
            .map(|(at, byte)| {
                let mut id = [1; 32];
                id[at] = byte;
                NodeId(id)
            })
            .into();
        for (a, b) in ids.iter().flat_map(|a| ids.iter().map(move |b| (a, b))) {
            assert_eq!(a.cmp(b), a.0.cmp(&b.0));
        }
    }

    #[test]
    fn text_and_back() {
        let id = NodeId([7; 32]);
        let text = id.to_string();
        assert!(text.starts_with('N') && text.len() == 56, "{text}");
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(id.short().len(), 9);
        assert!(text.contains(&id.short().replace('-', "")));
    }
}
