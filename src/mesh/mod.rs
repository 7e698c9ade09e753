//! Everything between the nodes: who there is, who wants what, and which way it goes.

pub mod join;
pub mod quic;
