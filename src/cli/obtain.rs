//! An answer to a request, from the node that runs on a data folder, or from the folder itself when none does.

use super::{CliError, backend};
use crate::config::Config;
use crate::control::client::{AskError, ask};
use crate::control::{self, Answer, HELD_MAX, HELD_POLL, Request, SocketError};
use lattice_broker::env::Env;

/// Asks the node that runs on the data folder; when none does, works on the folder itself.
pub(super) async fn obtain(env: &Env, config: &Config, request: Request) -> Result<Answer, CliError> {
    let until = env.now() + HELD_MAX;
    loop {
        match ask(env, &config.data, request.clone()).await {
            Ok(answer) => return Ok(answer),
            Err(AskError::Socket(SocketError::NotRunning { .. })) => {}
            // Before its first answer: a node that could not start, or that ended. At worst it is done twice.
            Err(AskError::Broken(_)) if env.now() < until => {}
            Err(error) => return Err(error.into()),
        }
        match control::hold(&config.data) {
            Ok(held) => {
                let answer = backend::answer_offline(env, config, request).await;
                // Last: a node that starts now must find nothing in use.
                drop(held);
                return answer;
            }
            // A node has just started, and can be asked in a moment; or ends; or another command is at work.
            Err(SocketError::InUse { .. }) if env.now() < until => env.sleep(HELD_POLL).await,
            Err(error) => return Err(error.into()),
        }
    }
}
