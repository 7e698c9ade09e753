//! Names of nodes and links inside the mesh.
//!
//! How a node's key is shown to people (`N…`) is left to the identity module.

pub use crate::identity::NodeId;

/// One link of this node, for as long as it is up; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// A short name for one life of a node, by which a frame that was meant for an earlier one is told apart. Lives that
/// follow each other never share it.
#[must_use]
pub fn life(node: NodeId, boot: u64) -> u16 {
    let folded = boot ^ boot >> 16 ^ boot >> 32 ^ boot >> 48;
    u16::from_le_bytes([node.0[0], node.0[1]]) ^ (folded & 0xffff) as u16
}
