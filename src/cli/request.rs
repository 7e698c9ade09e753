//! `lattice request`: sends a request and prints the first answer.

use super::nats::{ServerArgs, print_record};
use super::output::Output;
use super::publish::HeaderArgs;
use super::{CliError, EXIT_OK};
use crate::config::units::Period;
use lattice_broker::env::Env;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to.
    subject: String,
    /// The payload; nothing when it is left out.
    #[arg(default_value = "")]
    payload: String,
    /// How long to wait for the answer.
    #[arg(long, value_name = "TIME", default_value = "5s")]
    timeout: Period,
    #[command(flatten)]
    headers: HeaderArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(env: &Env, args: &Args, output: &Output) -> Result<u8, CliError> {
    let headers = args.headers.headers()?;
    let client = args.server.connect(env).await?;
    let Period(timeout) = args.timeout;
    let answer = client.request(&args.subject, Some(&headers), args.payload.as_bytes(), timeout).await?;
    if output.json {
        print_record(&answer, output)?;
    } else {
        output.bytes(&answer.payload)?;
    }
    Ok(EXIT_OK)
}
