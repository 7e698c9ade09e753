//! `lattice sub`: prints what arrives on a subject, and stays when the server goes and comes back.

use super::nats::{ServerArgs, describe, print_record};
use super::output::Output;
use super::{CliError, EXIT_OK};
use crate::client::{Client, Message};
use lattice_broker::env::Env;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The subject; `*` stands for one token, `>` at the end for all that follow.
    subject: String,
    /// Share the messages with the other members of this queue group.
    #[arg(long, value_name = "GROUP")]
    queue: Option<String>,
    /// End after so many messages.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print payloads only, as they are, each with an end of line.
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(env: &Env, args: &Args, output: &Output) -> Result<u8, CliError> {
    let mut had = 0;
    args.server.stay(env, output, async |client| print_all(client, args, output, &mut had).await).await?;
    Ok(EXIT_OK)
}

/// Prints until the connection ends, or until there have been enough: then it returns true.
async fn print_all(client: &Client, args: &Args, output: &Output, had: &mut u64) -> Result<bool, CliError> {
    let mut messages = client.subscribe(&args.subject, args.queue.as_deref()).await?;
    if let Some(count) = args.count {
        messages.unsubscribe_after(count - *had).await?;
    }
    client.flush().await?;
    output.notice(format!("listening on {}", args.subject));
    while let Some(message) = messages.next().await {
        *had += 1;
        print(*had, &message, args, output)?;
    }
    Ok(args.count == Some(*had))
}

fn print(number: u64, message: &Message, args: &Args, output: &Output) -> std::io::Result<()> {
    if args.raw {
        output.bytes(&message.payload)
    } else if output.json {
        print_record(message, output)
    } else {
        describe(number, message).iter().try_for_each(|line| output.line(line))
    }
}
