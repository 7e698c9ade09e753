//! The control interface of wasmCloud 1.x: what its clients ask of a host, and what hosts tell.
//!
//! `request.rs` reads what is asked, `desk.rs` answers, with what `books.rs` keeps; `crew.rs` has the runner do what takes
//! long; `event.rs` tells; `own.rs` answers what wasmCloud's clients do not ask. `service.rs` is the shell. The differences to a host of wasmCloud's: of providers the
//! built-in HTTP server alone is run (nobody bids for others, and to start one is refused), registries are not asked, components have no claims, and to stop
//! a host leaves its node running.

pub mod books;
pub mod crew;
pub mod desk;
pub mod event;
pub mod own;
pub mod request;
pub mod service;
#[cfg(test)]
pub(in crate::host) mod tests;

pub use books::{Books, LinkError, Provider, Table, Workload};
pub use crew::{BadLimit, Busy, Change, Crew, limits};
pub use desk::{Answer, Desk, Facts, Moment, Reply};
pub use event::Events;
pub use request::{BadRequest, Body, ID, Link, LinkId, Map, Operation, filters, is_id, parse};
pub use service::{Control, Parts};
