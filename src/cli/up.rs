//! `lattice up`: starts a node, says what a user needs next, and ends it in order.

use super::backend::{self, RunningNode};
use super::output::{Output, Tone, count, spoken};
use super::{CliError, EXIT_OK, NodeArgs, memory, overriding};
use crate::config::file::Secret;
use crate::config::{Auth, Config, OverrideKey, interfaces};
use crate::control::server::Server;
use crate::control::{Handler, InviteRequest, Question, Refused, RevokeRequest, RootRequest, Seen};
use crate::status::{Member, Revoked, Roots, Status};
use clap::ArgMatches;
use lattice_broker::env::{BoxFuture, Env};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long a node may take to end in order.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The invite that is shown at the start, for whoever sits at the terminal.
const FIRST_INVITE: InviteRequest = InviteRequest::new(Duration::from_secs(3600), 1);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where NATS clients connect [default: 127.0.0.1:4222].
    #[arg(long, value_name = "ADDRESS", env = "LATTICE_LISTEN")]
    listen: Option<String>,
    /// Where other nodes connect, over UDP [default: [::]:7443].
    #[arg(long, value_name = "ADDRESS", env = "LATTICE_LINK_LISTEN")]
    link_listen: Option<String>,
    #[command(flatten)]
    node: NodeArgs,
    /// What other nodes call this one [default: the host's name].
    #[arg(long, env = "LATTICE_NAME")]
    name: Option<String>,
    /// A node to dial; may be repeated.
    #[arg(long, value_name = "HOST:PORT", env = "LATTICE_PEER", value_delimiter = ',')]
    peer: Option<Vec<String>>,
    /// Send no beacons to the local network, and hear none.
    #[arg(long, env = "LATTICE_NO_BEACON")]
    no_beacon: bool,
    /// A real nats-server to join as a leaf node: nats:// or tls://[user:password@]host[:7422].
    #[arg(long, value_name = "URL", env = "LATTICE_UPSTREAM", hide_env_values = true)]
    upstream: Option<String>,
    /// Where those who watch are answered by HTTP, as 127.0.0.1:8222 [default: nowhere].
    #[arg(long, value_name = "ADDRESS", env = "LATTICE_HTTP_LISTEN")]
    http_listen: Option<String>,
    /// Say this of the host, as site=north: apps can ask for it; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", env = "LATTICE_LABEL", value_delimiter = ',')]
    label: Option<Vec<String>>,
    /// Join the lattice of this invite first, when the data folder is no member yet.
    #[arg(long, value_name = "INVITE", env = "LATTICE_JOIN", hide_env_values = true)]
    join: Option<String>,
    /// What to log to stderr: a level, or directives as info,lattice::mesh=debug [default: info].
    #[arg(long, value_name = "LEVEL", env = "LATTICE_LOG")]
    log: Option<String>,
}

impl Args {
    pub(super) fn config(&self, matches: &ArgMatches) -> Result<Config, CliError> {
        let one = |value: &Option<String>| value.clone().map(|value| vec![value]);
        let more = [
            ("listen", OverrideKey::Listen, one(&self.listen)),
            ("link_listen", OverrideKey::LinkListen, one(&self.link_listen)),
            ("name", OverrideKey::Name, one(&self.name)),
            ("peer", OverrideKey::LinkPeers, self.peer.clone()),
            ("no_beacon", OverrideKey::BeaconEnabled, self.no_beacon.then(|| vec!["false".to_owned()])),
            ("upstream", OverrideKey::UpstreamUrl, one(&self.upstream)),
            ("http_listen", OverrideKey::HttpListen, one(&self.http_listen)),
            ("label", OverrideKey::HostLabels, self.label.clone()),
            ("join", OverrideKey::Join, one(&self.join)),
            ("log", OverrideKey::Log, one(&self.log)),
        ];
        let more = more.into_iter().map(|(id, key, values)| overriding(matches, id, key, values)).collect();
        self.node.config(matches, more)
    }
}

pub(super) async fn run(env: &Env, args: &Args, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
    let began = env.now();
    let config = args.config(matches)?;
    start_log(&config);
    // From here on a signal ends the node in order, also while it starts.
    let mut signals = Signals::new()?;
    let control = tokio::select! {
        biased;
        () = signals.next() => return Ok(EXIT_OK),
        control = Server::claim(env, &config.data) => control?,
    };
    if let Some(Secret(invite)) = &config.join {
        let joined = backend::join(env, &config, invite).await?;
        tracing::info!(lattice = joined.lattice, already = joined.already, "member");
    }
    let node: Arc<dyn RunningNode> = tokio::select! {
        biased;
        () = signals.next() => return Ok(EXIT_OK),
        node = backend::start(env, config.clone()) => node?.into(),
    };
    let show = async |node: &dyn RunningNode| {
        // A node does not end because nobody reads its banner any more.
        let _ = banner(env, &config, node, output, began).await.iter().try_for_each(|line| output.line(line));
    };
    memory::give_back_now_and_then(env);
    live(env, node, control, async || signals.next().await, show).await;
    Ok(EXIT_OK)
}

/// From the moment in which a node is up until it has ended: by a signal or by request, at once by a second signal.
async fn live(
    env: &Env,
    node: Arc<dyn RunningNode>,
    control: Server,
    mut signal: impl AsyncFnMut(),
    show: impl AsyncFnOnce(&dyn RunningNode),
) {
    let (stop, asked) = (CancellationToken::new(), Arc::new(Notify::new()));
    let handler = Arc::new(Controlled { node: node.clone(), stop: asked.clone() });
    let serving = control.serve(env.clone(), handler, stop.clone());
    let living = async {
        show(node.as_ref()).await;
        tokio::select! {
            biased;
            () = signal() => {}
            () = asked.notified() => {}
        }
        tracing::info!("ending");
        tokio::select! {
            biased;
            () = signal() => tracing::warn!("ending at once, on the second signal"),
            drained = env.timeout(DRAIN_TIMEOUT, node.drain()) => if drained.is_err() {
                tracing::warn!(timeout_secs = DRAIN_TIMEOUT.as_secs(), "not all could be ended in time");
            },
        }
    };
    // The socket answers until the end, and is gone when this returns.
    tokio::select! {
        biased;
        () = living => {}
        () = serving => {}
    }
    stop.cancel();
}

/// The node, as its control socket reaches it.
#[derive(Debug)]
struct Controlled {
    node: Arc<dyn RunningNode>,
    stop: Arc<Notify>,
}

impl Handler for Controlled {
    fn status(&self) -> Status {
        self.node.status()
    }

    fn invite(&self, request: InviteRequest) -> BoxFuture<Result<String, Refused>> {
        let invite = self.node.invite(request);
        Box::pin(async move { invite.await.map_err(Refused::from) })
    }

    fn members(&self) -> Vec<Member> {
        self.node.members()
    }

    fn revoke(&self, request: RevokeRequest) -> BoxFuture<Result<Revoked, Refused>> {
        let revoked = self.node.revoke(request);
        Box::pin(async move { revoked.await.map_err(Refused::from) })
    }

    fn root(&self, request: RootRequest) -> BoxFuture<Result<Roots, Refused>> {
        let roots = self.node.root(request);
        Box::pin(async move { roots.await.map_err(Refused::from) })
    }

    fn see(&self, question: Question) -> BoxFuture<Result<Seen, Refused>> {
        let seen = self.node.see(question);
        Box::pin(async move { seen.await.map_err(Refused::from) })
    }

    fn stop(&self) {
        self.stop.notify_one();
    }
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(|error| CliError::new(format!("cannot wait for signals: {error}")));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn start_log(config: &Config) {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    // Fails when a test has set a subscriber already, which then shall stay.
    let _ = subscriber.try_init();
    if config.client.auth == Auth::Open && !config.listen.ip().is_loopback() {
        tracing::warn!(listen = %config.listen, "other machines can connect as clients without a password: set client.auth");
    }
}

async fn banner(
    env: &Env,
    config: &Config,
    node: &dyn RunningNode,
    output: &Output,
    began: std::time::Instant,
) -> Vec<String> {
    let status = node.status();
    if output.json {
        return vec![serde_json::to_string(&status).unwrap_or_default()];
    }
    // An invite lets a device in: it is shown to a person, never written into a log.
    let invite = if output.is_terminal() { node.invite(FIRST_INVITE).await.ok() } else { None };
    let next = match invite {
        Some(invite) => {
            let valid =
                format!("(valid {}, {})", spoken(FIRST_INVITE.expires), count(FIRST_INVITE.uses as usize, "use"));
            format!("add a node:  lattice join {invite}   {valid}")
        }
        None => format!("add a node:  lattice invite --data {}", config.data.display()),
    };
    let mut lines = introduction(env, &status, config, output);
    lines.push(next);
    lines.push(format!("ready in {} ms", (env.now() - began).as_millis()));
    lines
}

fn introduction(env: &Env, status: &Status, config: &Config, output: &Output) -> Vec<String> {
    let title = format!("lattice {}", status.version);
    let mut lines = vec![
        format!(
            "{}  node \"{}\"  id {}   data {}",
            output.paint(Tone::Title, title),
            status.name,
            short_id(&status.id),
            tilde(&config.data)
        ),
        format!("  nats  nats://{:<24} any NATS client", status.nats),
        format!("  link  {}", link_line(env, &status.link, config)),
    ];
    if let Some(http) = &status.http {
        lines.push(format!("  web   http://{http:<24} /varz, /leafz, /metrics"));
    }
    if let Some(upstream) = &status.upstream {
        lines.push(format!("  up    {:<31} a real server, as its leaf node", upstream.url));
    }
    if !status.peers.is_empty() {
        lines.push(format!("  knows {}", count(status.peers.len(), "other node")));
    }
    lines
}

/// `quic://192.168.1.20:7443   (eth0; docker0 skipped)`
fn link_line(env: &Env, link: &str, config: &Config) -> String {
    if let Some(first) = config.link.advertise.first() {
        return format!("quic://{first}");
    }
    let Ok(listen) = link.parse::<SocketAddr>() else { return format!("quic://{link}") };
    let found = interfaces::advertise(env, listen);
    let Some((addr, name)) = found.addresses.first() else { return format!("quic://{link}") };
    let more = found.addresses.iter().skip(1).map(|(addr, name)| format!("{} {name}", addr.ip()));
    let skipped = found.skipped.iter().map(|name| format!("{name} skipped"));
    let notes: Vec<String> =
        std::iter::once(name.clone()).chain(more).chain(skipped).filter(|note| !note.is_empty()).collect();
    let url = format!("quic://{addr}");
    if notes.is_empty() { url } else { format!("{url:<31} ({})", notes.join("; ")) }
}

/// The first letters of a node's key, enough to tell nodes apart when reading aloud: `NDJU-2FMM`.
pub(super) fn short_id(id: &str) -> String {
    match (id.get(..4), id.get(4..8)) {
        (Some(first), Some(second)) => format!("{first}-{second}"),
        (_, _) => id.to_owned(),
    }
}

/// A path with the home folder as `~`.
fn tilde(path: &Path) -> String {
    let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned());
    match home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned)) {
        Some(rest) => Path::new("~").join(rest).display().to_string(),
        None => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests;
