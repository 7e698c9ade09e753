//! Apps: components, the servers before them and what they are linked and configured with, wanted as a whole, and kept so without a
//! coordinator.
//!
//! `app.rs` is what is wanted, `desk.rs` takes it in and says what would change; `spread.rs` says which host runs how much of it, from
//! what every host knows alike, and `keeper.rs` what one host has to do for that now. So each part of a split lattice
//! serves itself, and after the heal what is too much ends. What is carried out, and how, is left to `control/`.

pub mod app;
pub mod desk;
pub mod keeper;
pub mod spread;
#[cfg(test)]
mod tests;

pub use app::{App, BadApp, Component, Kept, Server, Spread};
pub use desk::{Change, answer, filters};
pub use keeper::{Act, Keeper, Look, Seen, View};

/// The annotation that says which app something is run for.
pub const OF_APP: &str = "lattice.app";
