//! The built-in HTTP server of a host: listens where links say, and has components answer.
//!
//! `plan.rs` reads from providers, links and configurations where is to be listened, and for whom; `site.rs` says which
//! component a request is for; `servers.rs` listens as the plan says, and tells what it cannot; `connection.rs` speaks HTTP. What
//! a component does with a request is the [`Runner`](super::runner::Runner)'s; when it runs on another host, `elsewhere.rs` asks there, with
//! what `wire.rs` writes.

mod connection;
mod elsewhere;
mod plan;
mod servers;
mod site;
mod wire;

pub use plan::{BadSetting, Plan, REFERENCE, Settings, is_http_server, plan};
pub use servers::{Servers, Serving};
pub use site::{Refusal, Routes, Site};
