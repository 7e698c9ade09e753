//! What the commands that speak NATS share: where the server is, and how a message is shown.

use super::CliError;
use super::output::Output;
use crate::client::{Client, Message, Options, ServerUrl, WhenFull};
use lattice_broker::env::Env;
use serde::Serialize;
use std::time::Duration;

/// The first and the longest wait before connecting again.
const REDIAL: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// Which server to speak to.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ServerArgs {
    /// The server, with credentials when it wants them: nats://user:password@host:port, nats://token@host:port.
    #[arg(
        long,
        value_name = "URL",
        env = "LATTICE_SERVER",
        default_value = "nats://127.0.0.1:4222",
        hide_env_values = true
    )]
    server: String,
}

impl ServerArgs {
    fn url(&self) -> Result<ServerUrl, CliError> {
        ServerUrl::parse(&self.server, 4222).map_err(|error| {
            CliError::usage(format!("--server cannot be used: {error}")).next("--server nats://host:port")
        })
    }

    pub(super) async fn connect(&self, env: &Env) -> Result<Client, CliError> {
        let options = Options { name: "lattice cli".to_owned(), when_full: WhenFull::Wait, ..Options::default() };
        Ok(Client::connect(env, &self.url()?, options).await?)
    }

    /// Gives `work` a connection, and a new one whenever one ends, until `work` returns true or fails by itself, or the
    /// person at the terminal ends it.
    pub(super) async fn stay(
        &self,
        env: &Env,
        output: &Output,
        work: impl AsyncFnMut(&Client) -> Result<bool, CliError>,
    ) -> Result<(), CliError> {
        tokio::select! {
            biased;
            // Ctrl-C is how a person ends it: no failure.
            _ = tokio::signal::ctrl_c() => Ok(()),
            done = self.work(env, output, work) => done,
        }
    }

    async fn work(
        &self,
        env: &Env,
        output: &Output,
        mut work: impl AsyncFnMut(&Client) -> Result<bool, CliError>,
    ) -> Result<(), CliError> {
        let mut client = self.connect(env).await?;
        loop {
            match work(&client).await {
                Ok(true) => return Ok(client.close().await?),
                Err(error) if !client.has_ended() => return Err(error),
                // The connection is gone, or going: what failed because of that is done again on the next one.
                Ok(false) | Err(_) => {}
            }
            let lost = client.ended().await;
            output.notice(format!("{lost}; connecting again"));
            client = self.reconnect(env).await;
            output.notice("connected again");
        }
    }

    async fn reconnect(&self, env: &Env) -> Client {
        let mut wait = REDIAL.0;
        loop {
            env.sleep(wait).await;
            wait = (wait * 2).min(REDIAL.1);
            if let Ok(client) = self.connect(env).await {
                return client;
            }
        }
    }
}

/// A message in JSON.
#[derive(Serialize)]
struct Document<'a> {
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    /// The payload as text; what is no UTF-8 is in `payload_base64` instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

/// One line of JSON.
pub(super) fn print_record(message: &Message, output: &Output) -> std::io::Result<()> {
    let text = std::str::from_utf8(&message.payload).ok();
    output.record(&Document {
        subject: &message.subject,
        reply: message.reply.as_deref(),
        headers: message.headers().pairs,
        payload: text,
        payload_base64: text.is_none().then(|| data_encoding::BASE64.encode(&message.payload)),
    })
}

/// A line with number and subject, one for each header, then the payload: safe to look at, whatever it holds.
pub(super) fn describe(number: u64, message: &Message) -> Vec<String> {
    let reply = message.reply.as_ref().map(|reply| format!("  reply {}", printable(reply))).unwrap_or_default();
    let mut lines = vec![format!("[{number}] {}{reply}", printable(&message.subject))];
    let headers = message.headers().pairs.into_iter();
    lines.extend(headers.map(|(name, value)| format!("{}: {}", printable(&name), printable(&value))));
    lines.push(printable(&String::from_utf8_lossy(&message.payload)));
    lines
}

/// Without what would move the cursor or change the terminal's colours.
fn printable(text: &str) -> String {
    let escape =
        |c: char| if c.is_control() && c != '\n' && c != '\t' { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn messages_cannot_touch_the_terminal() {
        let message = Message {
            subject: "a.b".into(),
            reply: Some("r".into()),
            header: Bytes::from_static(b"NATS/1.0\r\nTrace: 1\r\n\r\n"),
            payload: Bytes::from_static(b"\x1b[2Jred\tblue"),
        };
        assert_eq!(describe(7, &message), ["[7] a.b  reply r", "Trace: 1", "\\u{1b}[2Jred\tblue"]);
    }
}
