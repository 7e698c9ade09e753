//! Everything between the nodes: who there is, who wants what, and which way it goes.
//!
//! The order of the modules is the order in which a link comes to life.

pub mod control;
pub mod digest;
pub mod frame;
pub mod id;
pub mod interest;
pub mod join;
pub mod learnt;
pub mod lsdb;
pub mod queue;
pub mod quic;
pub mod spf;

/// An instant for tests to count from.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do, and there is no other way to one")]
fn start_of_time() -> std::time::Instant {
    std::time::Instant::now()
}
