//! Names of nodes and links inside the mesh.
//!
//! How a node's key is shown to people (`N…`) is left to the identity module.

use crate::codec::{Decode, Encode};
use std::fmt;

/// A node: its Ed25519 public key. The order of the keys breaks every tie in the mesh.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct NodeId(pub [u8; 32]);

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}{d:02x}")
    }
}

/// One link of this node, for as long as it is up; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);
