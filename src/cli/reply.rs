//! `lattice reply`: answers requests, with a fixed text or with what was asked.

use super::nats::ServerArgs;
use super::output::Output;
use super::{CliError, EXIT_OK};
use crate::client::{Client, Message, Outgoing};
use lattice_broker::env::Env;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The subject of the requests.
    subject: String,
    /// The answer; nothing when it is left out.
    #[arg(default_value = "", conflicts_with = "echo")]
    payload: String,
    /// Answer with the request's own payload and headers.
    #[arg(long)]
    echo: bool,
    /// Share the requests with the other members of this queue group.
    #[arg(long, value_name = "GROUP")]
    queue: Option<String>,
    /// End after so many requests.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(env: &Env, args: &Args, output: &Output) -> Result<u8, CliError> {
    let mut had = 0;
    args.server.stay(env, output, async |client| answer_all(client, args, output, &mut had).await).await?;
    Ok(EXIT_OK)
}

/// Answers until the connection ends, or until there have been enough: then it returns true.
async fn answer_all(client: &Client, args: &Args, output: &Output, had: &mut u64) -> Result<bool, CliError> {
    let mut requests = client.subscribe(&args.subject, args.queue.as_deref()).await?;
    if let Some(count) = args.count {
        requests.unsubscribe_after(count - *had).await?;
    }
    client.flush().await?;
    output.notice(format!("answering on {}", args.subject));
    while let Some(request) = requests.next().await {
        *had += 1;
        answer(client, &request, args).await?;
        output.line(format!("[{had}] {}", request.subject.escape_debug()))?;
    }
    Ok(args.count == Some(*had))
}

async fn answer(client: &Client, request: &Message, args: &Args) -> Result<(), CliError> {
    // Whoever publishes without a reply subject wants no answer.
    let Some(reply) = &request.reply else { return Ok(()) };
    let headers = args.echo.then(|| request.headers());
    let payload = if args.echo { &request.payload[..] } else { args.payload.as_bytes() };
    Ok(client.send(Outgoing { subject: reply, reply: None, headers: headers.as_ref(), payload }).await?)
}
