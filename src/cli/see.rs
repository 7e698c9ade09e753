//! Asks the node that runs on the data folder to show something: what `routes`, `events` and `trace` have in common.

use super::{CliError, NodeArgs};
use crate::control::client::{AskError, ask};
use crate::control::{Answer, Question, Request, Seen};
use clap::ArgMatches;
use lattice_broker::env::Env;

/// Asks; the answer is of the same kind as the question.
pub(super) async fn see(
    env: &Env,
    node: &NodeArgs,
    matches: &ArgMatches,
    question: Question,
) -> Result<Seen, CliError> {
    let config = node.config(matches, Vec::new())?;
    match ask(env, &config.data, Request::See(question)).await? {
        Answer::Seen(seen) => Ok(seen),
        Answer::Status(_)
        | Answer::Invite(_)
        | Answer::Members(_)
        | Answer::Revoked(_)
        | Answer::Roots(_)
        | Answer::Stopping => Err(AskError::Misunderstood.into()),
    }
}

/// The node has answered something else.
pub(super) fn misunderstood() -> CliError {
    AskError::Misunderstood.into()
}
