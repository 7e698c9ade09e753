//! Where the command line meets the node: all that it asks of the layers below, in one file.

use super::CliError;
use crate::config::Config;
use crate::control::InviteRequest;
use crate::status::Status;
use lattice_broker::env::{BoxFuture, Env};
use serde::Serialize;
use std::fmt;

/// A node whose listeners are up.
pub trait RunningNode: Send + Sync + fmt::Debug + 'static {
    /// How it is.
    fn status(&self) -> Status;
    /// Makes an invite.
    ///
    /// # Errors
    /// What its user shall read.
    fn invite(&self, request: InviteRequest) -> Result<String, CliError>;
    /// Ends it in order: no new clients, deliver what is there, close links. The caller sets the deadline.
    fn drain(&self) -> BoxFuture<()>;
}

/// What became of an invite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Joined {
    /// The lattice: hash of its root key, in hex.
    pub lattice: String,
    /// The node's name.
    pub name: String,
    /// The node's public key, `N…`.
    pub id: String,
    /// True when the data folder was a member already, and nothing was done.
    pub already: bool,
}

/// Starts a node; returns once its listeners are up. Makes identity and lattice on the first start.
///
/// # Errors
/// What its user shall read.
pub async fn start(_env: &Env, _config: Config) -> Result<Box<dyn RunningNode>, CliError> {
    std::future::ready(Err(not_wired_yet())).await
}

/// Makes an invite from the data folder of a node that does not run.
///
/// # Errors
/// What its user shall read.
pub fn invite_offline(_env: &Env, _config: &Config, _request: InviteRequest) -> Result<String, CliError> {
    Err(not_wired_yet())
}

/// Makes the data folder a member of the lattice that `invite` is from. No node runs on it meanwhile.
///
/// A folder that is a member of that lattice already stays as it is, whether the invite is still valid or not: a node
/// is started with the same invite again and again. A member of another lattice is an error.
///
/// # Errors
/// What its user shall read; the folder is unchanged then.
pub async fn join(_env: &Env, _config: &Config, _invite: &str) -> Result<Joined, CliError> {
    std::future::ready(Err(not_wired_yet())).await
}

fn not_wired_yet() -> CliError {
    CliError::new("this build has a command line, but no node behind it")
}
