//! An embeddable server for the NATS protocol: sans-IO core, thin shells.
#![forbid(unsafe_code)]

pub mod env;
pub mod leaf;
mod message;
mod neighbor;

pub use message::{Groups, Message, Pick, UpstreamId};
pub use neighbor::{Candidate, InterestChange, InterestSource, Neighbor, NeighborKind, by_weight};
