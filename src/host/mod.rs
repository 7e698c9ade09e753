//! The host: what runs components on a node, and the records that all nodes come to have alike.
//!
//! It sees the lattice through the ports, as a client in the process would.

pub mod state;
