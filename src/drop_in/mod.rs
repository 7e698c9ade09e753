//! The broker in the place of a nats-server: that server's flags, config file, log lines, files and signals.
//!
//! [`flags`] and [`grammar`] read what was typed and written, [`read`] and [`users`] make [`options`] of it, [`refused`]
//! names what there is no equivalent of, `mappings` reads subjects that become others, [`operator`] reads JWTs, [`cluster`] joins several servers, [`to_broker`] turns the options into the broker's own settings. [`log`],
//! [`files`] and [`signal`] are how the process is seen from outside; [`reload`] says what may change while it runs.
//! The process itself is `src/cli/nats_server.rs`.

pub mod cluster;
pub mod files;
pub mod flags;
pub mod grammar;
pub mod leafnodes;
pub mod log;
mod mappings;
pub mod operator;
pub mod options;
pub mod read;
pub mod refused;
pub mod reload;
pub mod remotes;
pub mod signal;
pub mod tls;
pub mod to_broker;
pub mod usage;
pub mod users;
pub mod websocket;

/// What the process is called in its messages, whatever file it was started from.
pub const PROGRAM: &str = "nats-server";
/// The release of nats-server whose surface this is.
pub const VERSION: &str = "2.15.1";
