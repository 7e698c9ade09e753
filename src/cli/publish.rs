//! `lattice pub`: publishes a message, or the same one many times.

use super::nats::ServerArgs;
use super::output::{Output, count};
use super::{CliError, EXIT_OK};
use crate::client::{Headers, Outgoing};
use lattice_broker::env::Env;
use serde::Serialize;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to.
    subject: String,
    /// The payload; nothing when it is left out.
    #[arg(default_value = "")]
    payload: String,
    /// The subject on which answers are wanted.
    #[arg(long, value_name = "SUBJECT")]
    reply: Option<String>,
    #[command(flatten)]
    headers: HeaderArgs,
    /// How many times.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    count: u64,
    #[command(flatten)]
    server: ServerArgs,
}

/// Headers of a message to send.
#[derive(Debug, clap::Args)]
pub(super) struct HeaderArgs {
    /// A header; may be repeated.
    #[arg(long, short = 'H', value_name = "NAME:VALUE")]
    header: Vec<String>,
}

impl HeaderArgs {
    pub(super) fn headers(&self) -> Result<Headers, CliError> {
        let mut headers = Headers::default();
        for text in &self.header {
            headers.push(text).map_err(|error| CliError::usage(format!("--header cannot be used: {error}")))?;
        }
        Ok(headers)
    }
}

#[derive(Serialize)]
struct Document<'a> {
    subject: &'a str,
    published: u64,
}

pub(super) async fn run(env: &Env, args: &Args, output: &Output) -> Result<u8, CliError> {
    let headers = args.headers.headers()?;
    let client = args.server.connect(env).await?;
    let message = Outgoing {
        subject: &args.subject,
        reply: args.reply.as_deref(),
        headers: Some(&headers),
        payload: args.payload.as_bytes(),
    };
    for _ in 0..args.count {
        client.send(message).await?;
    }
    client.close().await?;
    if output.json {
        output.document(&Document { subject: &args.subject, published: args.count })?;
    } else {
        let messages = count(usize::try_from(args.count).unwrap_or(usize::MAX), "message");
        output.line(format!("published {messages} to {}", args.subject))?;
    }
    Ok(EXIT_OK)
}
