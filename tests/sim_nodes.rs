//! Whole nodes in the simulator, a subject in each module: what is looked at by hand, where `sim.rs` plays what comes by chance.
//! One program, since to link one takes longer than to run it.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

#[path = "sim/forming.rs"]
mod forming;
#[path = "sim/links.rs"]
mod links;
#[path = "sim/members.rs"]
mod members;
#[path = "sim/seeing.rs"]
mod seeing;
#[path = "sim/state.rs"]
mod state;
#[path = "sim/thin.rs"]
mod thin;
#[path = "sim/watch.rs"]
mod watch;
