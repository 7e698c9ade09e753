//! `NodeId`: who a node is, everywhere in the lattice. How keys are written as text is left to `nkey.rs`.

use super::nkey::{self, Kind, NkeyError};
use crate::codec::{Decode, Encode};
use std::fmt;
use std::str::FromStr;

/// A node: its Ed25519 public key. Displays as an nkey, `N…`. The order of the keys breaks every tie in the mesh.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct NodeId(pub [u8; 32]);

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
    fn text_and_back() {
        let id = NodeId([7; 32]);
        let text = id.to_string();
        assert!(text.starts_with('N') && text.len() == 56, "{text}");
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(id.short().len(), 9);
        assert!(text.contains(&id.short().replace('-', "")));
    }
}
