//! `lattice invite`: one line of text that lets another device in, from a running node or from its data folder.

use super::output::{Output, count, spoken};
use super::{CliError, EXIT_OK, NodeArgs, backend};
use crate::config::Config;
use crate::config::units::Period;
use crate::control::client::{AskError, ask};
use crate::control::{self, Answer, HELD_MAX, HELD_POLL, InviteRequest, Request, SocketError};
use crate::identity::USES_MAX;
use clap::ArgMatches;
use lattice_broker::env::Env;
use serde::Serialize;
use std::time::Duration;

/// An invite is meant for the coming hours: what is lost or copied must not stay good.
const EXPIRES_MAX: Duration = Duration::from_secs(365 * 86_400);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
    /// How long it is valid, as 30m, 1h or 7d.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    expires: Period,
    /// How many devices may join with it.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(USES_MAX)))]
    uses: u32,
}

#[derive(Serialize)]
struct Document<'a> {
    invite: &'a str,
    expires_secs: u64,
    uses: u32,
}

pub(super) async fn run(env: &Env, args: &Args, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
    let Period(expires) = args.expires;
    if !(Duration::from_secs(1)..=EXPIRES_MAX).contains(&expires) {
        let message = format!("--expires {} cannot be used: expected 1s to 365d", Period(expires));
        return Err(CliError::usage(message));
    }
    let config = args.node.config(matches, Vec::new())?;
    let request = InviteRequest { expires, uses: args.uses };
    let invite = obtain(env, &config, request).await?;
    if output.json {
        output.document(&Document { invite: &invite, expires_secs: expires.as_secs(), uses: args.uses })?;
        return Ok(EXIT_OK);
    }
    let uses = count(args.uses as usize, "use");
    output.line(format!(
        "valid {}, {uses}; on the other device:  lattice join <invite>, then  lattice up",
        spoken(expires)
    ))?;
    output.line(invite)?;
    Ok(EXIT_OK)
}

/// Asks the node that runs on the data folder; when none does, works on the folder itself.
async fn obtain(env: &Env, config: &Config, request: InviteRequest) -> Result<String, CliError> {
    let until = env.now() + HELD_MAX;
    loop {
        let asked = ask(env, &config.data, Request::Invite(request)).await;
        match asked {
            Ok(Answer::Invite(invite)) => return Ok(invite),
            Ok(Answer::Status(_) | Answer::Stopping) => return Err(AskError::Misunderstood.into()),
            Err(AskError::Socket(SocketError::NotRunning { .. })) => {}
            // Before its first answer: a node that could not start, or that ended. At worst there are two invites.
            Err(AskError::Broken(_)) if env.now() < until => {}
            Err(error) => return Err(error.into()),
        }
        match control::hold(&config.data) {
            Ok(held) => {
                let invite = backend::invite_offline(env, config, request).await;
                // Last: a node that starts now must find nothing in use.
                drop(held);
                return invite;
            }
            // A node has just started, and can be asked in a moment; or ends; or another command is at work.
            Err(SocketError::InUse { .. }) if env.now() < until => env.sleep(HELD_POLL).await,
            Err(error) => return Err(error.into()),
        }
    }
}
