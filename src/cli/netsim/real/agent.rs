//! `lattice netsim client-agent`: one client beside one server. It publishes by the clock, writes down what it hears,
//! and connects again whenever its server has been away.
//!
//! It knows its server as any NATS client does. The parent tells it the beginning by a line on its standard input, and
//! ends it by closing that.

use super::record::{Record, nanos};
use crate::cli::{CliError, EXIT_OK};
use crate::client::{Client, ClientError, Message, Options, ServerUrl};
use lattice_broker::env::Env;
use lattice_netsim::MessageId;
use lattice_netsim::tier2::{go_first, monotonic};
use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;
use tokio::sync::mpsc;

const DATA: &str = "netsim.data";
const PROBE: &str = "netsim.probe";
const PROBES: &str = "netsim.probe.*";
/// Until the beginning, each client says so often that it is there.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// Between two attempts to connect, and for one.
const RECONNECT: Duration = Duration::from_millis(200);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AgentArgs {
    /// Its server.
    #[arg(long)]
    server: String,
    /// Its number.
    #[arg(long)]
    me: u32,
    /// How many there are.
    #[arg(long)]
    of: u32,
    /// When its first message is due, after the beginning; it publishes none without.
    #[arg(long)]
    first_ms: Option<u64>,
    /// From one message to the next.
    #[arg(long)]
    interval_ms: u64,
    /// How many messages each time.
    #[arg(long)]
    burst: u64,
    /// It hears what the others publish.
    #[arg(long)]
    hears: bool,
    #[arg(long)]
    payload_bytes: usize,
    #[arg(long)]
    duration_ms: u64,
}

/// What `tell` writes: the moment of the beginning.
pub(super) fn begin_line(at: Duration) -> String {
    nanos(at).to_string()
}

pub(in crate::cli) async fn run(env: &Env, args: &AgentArgs) -> Result<u8, CliError> {
    // A client that is late would be taken for a network that is.
    go_first();
    let server = ServerUrl::parse(&args.server, 4222).map_err(|error| CliError::usage(error.to_string()))?;
    let mut agent = Agent {
        env: env.clone(),
        args,
        begin: begins(),
        began: None,
        parent_gone: false,
        ready: false,
        heard: BTreeSet::new(),
        due: Duration::ZERO,
        next: MessageId { publisher: args.me, incarnation: 0, sequence: 0 },
    };
    while !agent.is_over() {
        if let Some(client) = agent.connect(&server).await {
            let why = agent.live(&client).await;
            agent.next = MessageId { incarnation: agent.next.incarnation + 1, sequence: 0, ..agent.next };
            if let Err(why) = why {
                write(&Record::Disconnected { at: nanos(monotonic()), why: why.to_string() })?;
            }
        }
    }
    write(&Record::Done { at: nanos(monotonic()) })?;
    Ok(EXIT_OK)
}

/// The beginnings that the parent tells; closed when it is gone.
#[expect(clippy::disallowed_methods, reason = "standard input can only be read by a thread that waits")]
fn begins() -> mpsc::UnboundedReceiver<Duration> {
    let (told, begins) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if let Ok(at) = line.trim().parse() {
                // Nobody listens any more at the end.
                let _ = told.send(Duration::from_nanos(at));
            }
        }
    });
    begins
}

struct Agent<'a> {
    env: Env,
    args: &'a AgentArgs,
    begin: mpsc::UnboundedReceiver<Duration>,
    began: Option<Duration>,
    parent_gone: bool,
    ready: bool,
    heard: BTreeSet<u32>,
    /// When the next message or probe is due.
    due: Duration,
    next: MessageId,
}

impl Agent<'_> {
    fn end(&self) -> Option<Duration> {
        Some(self.began? + Duration::from_millis(self.args.duration_ms))
    }

    fn is_over(&self) -> bool {
        self.parent_gone || self.end().is_some_and(|end| monotonic() >= end)
    }

    async fn connect(&mut self, server: &ServerUrl) -> Option<Client> {
        let name = format!("netsim {}", self.args.me);
        let options = Options { name, connect_timeout: CONNECT_TIMEOUT, echo: false, ..Options::default() };
        let attempt = Client::connect(&self.env, server, options).await;
        if attempt.is_err() {
            self.env.sleep(RECONNECT).await;
            match self.begin.try_recv() {
                Ok(at) => self.start(at),
                Err(mpsc::error::TryRecvError::Disconnected) => self.parent_gone = true,
                Err(mpsc::error::TryRecvError::Empty) => {}
            }
        }
        attempt.ok()
    }

    /// From one connection to its end, or to that of the scenario.
    async fn live(&mut self, client: &Client) -> Result<(), ClientError> {
        let subjects = if self.args.hears { "netsim.*.*" } else { PROBES };
        let mut messages = client.subscribe(subjects, None).await?;
        client.flush().await?;
        record(&Record::Connected { at: nanos(monotonic()) })?;
        self.skip_missed();
        while !self.is_over() {
            let until = self.end().map_or(self.due, |end| end.min(self.due));
            tokio::select! {
                biased;
                begin = self.begin.recv() => match begin {
                    Some(at) => self.start(at),
                    None => self.parent_gone = true,
                },
                message = messages.next() => match message {
                    Some(message) => self.hear(&message)?,
                    None => return Err(client.ended().await),
                },
                () = self.env.sleep(until.saturating_sub(monotonic())) => self.speak(client).await?,
            }
        }
        Ok(())
    }

    fn start(&mut self, at: Duration) {
        self.began = Some(at);
        let never = Duration::from_secs(u64::from(u32::MAX));
        self.due = self.args.first_ms.map_or(never, |first| at + Duration::from_millis(first));
    }

    /// What was due while there was no connection is not published: no client could have.
    fn skip_missed(&mut self) {
        let step = if self.began.is_some() { Duration::from_millis(self.args.interval_ms) } else { PROBE_INTERVAL };
        let missed = monotonic().saturating_sub(self.due).as_nanos().div_ceil(step.as_nanos().max(1));
        self.due += step * u32::try_from(missed).unwrap_or(u32::MAX);
    }

    async fn speak(&mut self, client: &Client) -> Result<(), ClientError> {
        let now = monotonic();
        if now < self.due {
            return Ok(());
        }
        if self.began.is_none() {
            client.publish(&format!("{PROBE}.{}", self.args.me), b"").await?;
            self.due = now + PROBE_INTERVAL;
            return Ok(());
        }
        for _ in 0..self.args.burst {
            let mut payload = self.next.to_string();
            payload.extend(std::iter::repeat_n(' ', self.args.payload_bytes.saturating_sub(payload.len())));
            client.publish(&format!("{DATA}.{}", self.args.me), payload.as_bytes()).await?;
            record(&Record::Published { message: self.next, due: nanos(self.due), at: nanos(now) })?;
            self.next.sequence += 1;
        }
        self.due += Duration::from_millis(self.args.interval_ms);
        Ok(())
    }

    fn hear(&mut self, message: &Message) -> Result<(), ClientError> {
        let at = nanos(monotonic());
        if message.subject.starts_with(DATA) {
            let id = std::str::from_utf8(&message.payload).ok().and_then(|text| text.trim_end().parse().ok());
            if let Some(message) = id {
                record(&Record::Delivered { message, at })?;
            }
            return Ok(());
        }
        let from: Option<u32> = message.subject.rsplit('.').next().and_then(|number| number.parse().ok());
        self.heard.extend(from.filter(|from| *from != self.args.me));
        if !self.ready && self.heard.len() as u32 + 1 >= self.args.of {
            self.ready = true;
            record(&Record::Ready { at })?;
        }
        Ok(())
    }
}

/// Within a connection, a file that cannot be written ends that too.
fn record(record: &Record) -> Result<(), ClientError> {
    write(record).map_err(|error| ClientError::Lost { reason: format!("cannot write: {error}") })
}

fn write(record: &Record) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    std::io::stdout().lock().write_all(&line)
}
