//! Names of nodes and links inside the mesh.
//!
//! How a node's key is shown to people (`N…`) is left to the identity module.

pub use crate::identity::NodeId;

/// One link of this node, for as long as it is up; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);
