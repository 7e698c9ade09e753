//! Everything between the nodes: who there is, who wants what, and which way it goes.
//!
//! The order of the modules is the order in which a link comes to life.

pub mod control;
pub mod digest;
pub mod frame;
pub mod id;
pub mod interest;
pub mod learnt;
pub mod lsdb;
pub mod queue;
pub mod spf;
