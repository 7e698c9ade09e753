//! The node: one binary that makes any device a member of a self-forming mesh that speaks NATS.

pub mod codec;
pub mod identity;
pub mod mesh;
pub mod ports;
pub mod status;
pub mod store;
