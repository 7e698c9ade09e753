//! The life of the server: starts, serves, does what signals ask for, and ends with the exit code that nats-server has.

use super::{Loaded, cluster, load, real_route, remotes};
use crate::cli::{EXIT_FAILED, EXIT_OK, memory};
use crate::drop_in::cluster::Cluster;
use crate::drop_in::files::{Ports, PortsFile, write_pid};
use crate::drop_in::flags::Flags;
use crate::drop_in::log::{Forward, Level, Log};
use crate::drop_in::options::Options;
use crate::drop_in::to_broker::Listen;
use crate::drop_in::users::{Proof, Secret};
use crate::drop_in::{VERSION, reload, to_broker};
use crate::gateway::Gateway;
use crate::identity::Identity;
use crate::node::Node;
use crate::web::{self, Certificates};
use arc_swap::ArcSwap;
use lattice_broker::Broker;
use lattice_broker::env::Env;
use lattice_broker::monitor::Surroundings;
use lattice_broker::tls::HandshakeFirst;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The exit code of Go's programs on SIGQUIT, which is what supervisors look for.
const EXIT_QUIT: u8 = 2;

/// Runs the server until a signal ends it; returns the exit code.
pub(super) fn run(flags: Flags, loaded: Loaded) -> u8 {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return super::fail(&format!("cannot start: {error}")),
    };
    let code = runtime.block_on(async {
        let env = Env::tokio();
        let log = match Log::open(&env, &loaded.options.log) {
            Ok(log) => log,
            Err(error) => {
                let file = loaded.options.log.file.unwrap_or_default();
                return super::fail(&format!("error opening file: open {}: {error}", file.display()));
            }
        };
        match Server::start(&env, log.clone(), flags, loaded).await {
            Ok(server) => server.live().await,
            Err(error) => {
                log.write(Level::Fatal, &error);
                EXIT_FAILED
            }
        }
    });
    runtime.shutdown_background();
    code
}

/// A server that runs.
struct Server {
    log: Log,
    flags: Flags,
    options: Options,
    config_file: Option<PathBuf>,
    listen: Listen,
    env: Env,
    broker: Broker,
    /// Its place in a cluster.
    node: Option<Arc<Node>>,
    /// Links to the servers of which it is a leaf node.
    remotes: Vec<Arc<Gateway>>,
    http: Option<SocketAddr>,
    /// What HTTPS goes by.
    certificates: Option<Certificates>,
    signals: Signals,
    _ports_file: Option<PortsFile>,
}

impl Server {
    async fn start(env: &Env, log: Log, flags: Flags, loaded: Loaded) -> Result<Self, String> {
        let Loaded { options, file, digest, warnings } = loaded;
        // From here on signals are taken, also while it starts.
        let signals = Signals::new().map_err(|error| format!("cannot wait for signals: {error}"))?;
        // Whether debugging output is wanted may change, and the log knows. Fails when a test has set a subscriber already.
        let _ = tracing_subscriber::registry().with(LevelFilter::DEBUG).with(Forward(log.clone())).try_init();
        let listen = look_up(env, &options).await?;
        let cluster = options.cluster.as_ref();
        let identity = cluster.map(|cluster| cluster::identity(env, &options, cluster)).transpose()?;
        let broker = prepare(env, &log, &options, listen, identity.as_deref())?;
        introduce(&log, &broker);
        if let Some(file) = &file {
            log.info(&format!("Using configuration file: {} ({digest})", file.display()));
        }
        warnings.iter().for_each(|warning| log.write(Level::Warning, &warning.to_string()));
        warn(&log, &options);
        if let Some(path) = &options.pid_file {
            let written = write_pid(path, std::process::id());
            written.map_err(|error| format!("Could not write pidfile {}: {error}", path.display()))?;
        }
        let certificates = options.tls.as_ref().filter(|_| options.monitoring.is_secure);
        let certificates = certificates.map(|tls| Arc::new(ArcSwap::new(tls.for_monitoring())));
        let http = monitor(env, &options, &broker, &digest, certificates.clone(), &log).await?;
        let node = match cluster.zip(identity) {
            Some((cluster, identity)) => {
                Some(Arc::new(cluster::start(env, &options, cluster, identity, broker.clone()).await?))
            }
            None => None,
        };
        let websocket = listen_websocket(&log, &options, &broker)?;
        listen_leafs(&log, &options, &broker)?;
        let at = match &node {
            Some(node) => node.nats(),
            None => broker.listen().map_err(|error| cannot_listen(&options, &error))?,
        };
        log.info(&format!("Listening for client connections on {}", host_port(&options.host, at.port())));
        introduce_tls(&log, &broker);
        let cluster_at = node.as_deref().map(Node::link);
        let ports_file = write_ports(env, &options, at, cluster_at, http, websocket)?;
        let remotes = remotes::start(env, &options, &broker)?;
        log.info("Server is ready");
        memory::give_back_now_and_then(env);
        if let Some((cluster, node)) = options.cluster.as_ref().zip(node.as_ref()) {
            introduce_cluster(&log, cluster, node);
            env.spawn(real_route::watch(env.clone(), log.clone(), node.clone()));
        }
        let config_file = file;
        Ok(Self {
            log,
            flags,
            options,
            config_file,
            listen,
            env: env.clone(),
            broker,
            node,
            remotes,
            http,
            certificates,
            signals,
            _ports_file: ports_file,
        })
    }

    /// Serves until a signal ends it; returns the exit code.
    async fn live(mut self) -> u8 {
        let mut reloads = self.broker.monitor().reloads();
        loop {
            let asked = tokio::select! {
                asked = self.next_signal() => asked,
                wish = reloads.next() => {
                    wish.done(self.reload());
                    continue;
                }
            };
            match asked {
                // It is in the log what has come of it.
                Asked::Reload => drop(self.reload()),
                Asked::Reopen => self.reopen(),
                Asked::LameDuck => {
                    self.log.info("Entering lame duck mode, stop accepting new clients");
                    return self.lame_duck().await;
                }
                Asked::Stop => return self.shut_down().await,
                Asked::Quit => return EXIT_QUIT,
            }
        }
    }

    async fn next_signal(&mut self) -> Asked {
        let (asked, name) = self.signals.next().await;
        self.log.info(&format!("Trapped \"{name}\" signal"));
        asked
    }

    async fn shut_down(&self) -> u8 {
        self.log.info("Initiating Shutdown...");
        match &self.node {
            Some(node) => node.drain().await,
            None => self.broker.drain().await,
        }
        remotes::stop(&self.remotes).await;
        self.log.info("Server Exiting..");
        EXIT_OK
    }

    /// Lets the clients go one by one; another signal to stop ends that at once.
    async fn lame_duck(&mut self) -> u8 {
        let (grace, duration) = (self.options.lame_duck_grace_period, self.options.lame_duck_duration);
        let broker = self.broker.clone();
        let leaving = broker.lame_duck(grace, duration);
        tokio::pin!(leaving);
        loop {
            let asked = tokio::select! {
                biased;
                asked = self.next_signal() => asked,
                () = &mut leaving => break,
            };
            match asked {
                Asked::Stop => break,
                Asked::Quit => return EXIT_QUIT,
                Asked::Reopen => self.reopen(),
                Asked::Reload | Asked::LameDuck => {}
            }
        }
        self.shut_down().await
    }

    fn reopen(&self) {
        match self.log.reopen() {
            Ok(true) => self.log.info("File log re-opened"),
            Ok(false) => self.log.info("File log re-open ignored, not a file logger"),
            Err(error) => self.log.write(Level::Error, &format!("Unable to re-open the log file: {error}")),
        }
    }

    /// Reads the config again; the log says what has come of it, as does the error.
    fn reload(&mut self) -> Result<(), String> {
        let reloaded = self.try_reload();
        match &reloaded {
            Ok((changes, digest)) => {
                changes.iter().for_each(|change| self.log.info(&format!("Reloaded: {change}")));
                self.log.info(&format!("Reloaded server configuration ({digest})"));
            }
            Err(error) => {
                for line in error.lines().filter(|line| !line.is_empty()) {
                    self.log.write(Level::Error, &format!("Failed to reload server configuration: {line}"));
                }
            }
        }
        reloaded.map(drop)
    }

    /// What has changed, and the new digest. After an error all is as before.
    fn try_reload(&mut self) -> Result<(Vec<String>, String), String> {
        if self.config_file.is_none() {
            return Err("can only reload config when a file is provided using -c or --config".to_owned());
        }
        let loaded = load(&self.flags)?;
        let changes = reload::changes(&self.options, &loaded.options).map_err(|fixed| fixed.join("\n"))?;
        let config = to_broker::config(&loaded.options, self.listen).map_err(|error| error.to_string())?;
        let pid_file = loaded.options.pid_file.as_ref().filter(|path| Some(*path) != self.options.pid_file.as_ref());
        if let Some(path) = pid_file {
            let written = write_pid(path, std::process::id());
            written.map_err(|error| format!("cannot write pid_file {}: {error}", path.display()))?;
        }
        self.log.change(&loaded.options.log).map_err(|error| format!("cannot open log_file: {error}"))?;
        self.broker.reload(&config).map_err(|error| error.to_string())?;
        if let (Some(certificates), Some(tls)) = (&self.certificates, &loaded.options.tls) {
            certificates.store(tls.for_monitoring());
        }
        let http_port = self.http.map(|at| at.port());
        self.broker.monitor().set_surroundings(surroundings(&self.env, &loaded.options, &loaded.digest, http_port));
        loaded.warnings.iter().for_each(|warning| self.log.write(Level::Warning, &warning.to_string()));
        self.options = loaded.options;
        Ok((changes, loaded.digest))
    }
}

/// The broker that the options ask for, which does not listen yet.
fn prepare(
    env: &Env,
    log: &Log,
    options: &Options,
    listen: Listen,
    identity: Option<&Identity>,
) -> Result<Broker, String> {
    let mut config = to_broker::config(options, listen).map_err(|error| error.to_string())?;
    config.tracer = Some(Arc::new(log.clone()));
    if let Some(identity) = identity {
        config.server_id = identity.node_id().to_string();
    }
    Broker::new(env.clone(), config).map_err(|error| error.to_string())
}

pub(super) fn cannot_listen(options: &Options, error: &dyn std::fmt::Display) -> String {
    format!("Error listening on port: {}, \"{error}\"", host_port(&options.host, options.port))
}

async fn look_up(env: &Env, options: &Options) -> Result<Listen, String> {
    let clients = resolve(env, &options.host, options.port).await;
    let clients = clients.map_err(|error| cannot_listen(options, &error))?;
    let websocket = match &options.websocket {
        None => None,
        Some(one) => Some(resolve(env, &one.host, one.port).await.map_err(|error| {
            format!("Unable to listen for websocket connections: {}: {error}", host_port(&one.host, one.port))
        })?),
    };
    let leafnodes = match &options.leafnodes {
        None => None,
        Some(one) => Some(resolve(env, &one.host, one.port).await.map_err(|error| {
            format!("Unable to listen for leafnode connections: {}: {error}", host_port(&one.host, one.port))
        })?),
    };
    Ok(Listen { clients, websocket, leafnodes })
}

/// Lets browsers connect where that is wanted; returns where, and how.
fn listen_websocket(
    log: &Log,
    options: &Options,
    broker: &Broker,
) -> Result<Option<(&'static str, SocketAddr)>, String> {
    let listening = broker.listen_websocket();
    let at = listening.map_err(|error| format!("Unable to listen for websocket connections: {error}"))?;
    let Some((at, wanted)) = at.zip(options.websocket.as_ref()) else { return Ok(None) };
    let scheme = if wanted.tls.is_some() { "wss" } else { "ws" };
    log.info(&format!("Listening for websocket clients on {scheme}://{}", host_port(&wanted.host, at.port())));
    if wanted.tls.is_none() {
        log.write(Level::Warning, "Websocket not configured with TLS. DO NOT USE IN PRODUCTION!");
    }
    Ok(Some((scheme, at)))
}

/// Lets leaf nodes connect where that is wanted.
fn listen_leafs(log: &Log, options: &Options, broker: &Broker) -> Result<(), String> {
    let listening = broker.listen_leafs();
    let at = listening.map_err(|error| format!("Unable to listen for leafnode connections: {error}"))?;
    if let Some((at, wanted)) = at.zip(options.leafnodes.as_ref()) {
        log.info(&format!("Listening for leafnode connections on {}", host_port(&wanted.host, at.port())));
    }
    Ok(())
}

/// Says in a file where the server is reached, where that is wanted.
fn write_ports(
    env: &Env,
    options: &Options,
    clients: SocketAddr,
    cluster: Option<SocketAddr>,
    http: Option<SocketAddr>,
    websocket: Option<(&'static str, SocketAddr)>,
) -> Result<Option<PortsFile>, String> {
    let Some(folder) = &options.ports_file_dir else { return Ok(None) };
    let scheme = if options.monitoring.is_secure { "https" } else { "http" };
    let ports = Ports { clients, cluster, monitoring: http.map(|at| (scheme, at)), websocket };
    let written = PortsFile::write(folder, std::process::id(), env, &ports);
    written.map(Some).map_err(|error| format!("Error writing ports file in {}: {error}", folder.display()))
}

/// Answers HTTP where that is wanted, and returns where.
async fn monitor(
    env: &Env,
    options: &Options,
    broker: &Broker,
    digest: &str,
    certificates: Option<Certificates>,
    log: &Log,
) -> Result<Option<SocketAddr>, String> {
    let wanted = &options.monitoring;
    let host = wanted.host.as_ref().filter(|host| !host.is_empty()).unwrap_or(&options.host);
    let at = match wanted.port {
        None => None,
        Some(port) => {
            let failed = |error| format!("Can't listen to the monitor port: {}, \"{error}\"", host_port(host, port));
            let addr = resolve(env, host, port).await.map_err(failed)?;
            Some(web::listen(env, addr, broker.monitor(), &wanted.base_path, certificates).map_err(failed)?)
        }
    };
    broker.monitor().set_surroundings(surroundings(env, options, digest, at.map(|at| at.port())));
    if let Some(at) = at {
        let scheme = if wanted.is_secure { "https" } else { "http" };
        log.info(&format!("Starting {scheme} monitor on {}", host_port(host, at.port())));
    }
    Ok(at)
}

/// What the broker does not know of itself.
fn surroundings(env: &Env, options: &Options, digest: &str, http_port: Option<u16>) -> Surroundings {
    let wanted = &options.monitoring;
    Surroundings {
        http_host: wanted.host.clone().unwrap_or_else(|| options.host.clone()),
        http_port: http_port.filter(|_| !wanted.is_secure).unwrap_or_default(),
        https_port: http_port.filter(|_| wanted.is_secure).unwrap_or_default(),
        http_base_path: wanted.base_path.clone(),
        config_load_time: Some(env.wall()),
        config_digest: digest.to_owned(),
        tags: wanted.tags.clone(),
        metadata: wanted.metadata.clone(),
    }
}

/// `0.0.0.0` is all addresses of both families, where the system has both.
pub(super) async fn resolve(env: &Env, host: &str, port: u16) -> io::Result<SocketAddr> {
    let has_v6 = || env.interfaces().iter().any(|interface| interface.ip.is_ipv6());
    match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() && has_v6() => Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))),
        Ok(ip) => Ok(SocketAddr::new(ip, port)),
        Err(_) => {
            let all = env.resolve(&format!("{host}:{port}")).await?;
            let first = all.iter().find(|addr| addr.is_ipv4()).or_else(|| all.first()).copied();
            first.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        }
    }
}

pub(super) fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn introduce(log: &Log, broker: &Broker) {
    let info = broker.info();
    log.info("Starting nats-server");
    log.info(&format!("  Version:  {VERSION}"));
    log.info(&format!("  Git:      [lattice {}]", env!("CARGO_PKG_VERSION")));
    if !info.cluster.is_empty() {
        log.info(&format!("  Cluster:  {}", info.cluster));
    }
    log.info(&format!("  Name:     {}", info.server_name));
    log.info(&format!("  ID:       {}", info.server_id));
}

fn introduce_tls(log: &Log, broker: &Broker) {
    let Some(tls) = broker.tls() else { return };
    let word = if tls.is_optional() { "available" } else { "required" };
    log.info(&format!("TLS {word} for client connections"));
    if tls.first == HandshakeFirst::Always {
        let what = "Clients that are not using \"TLS Handshake First\" option will fail to connect";
        log.write(Level::Warning, what);
    }
}

fn introduce_cluster(log: &Log, cluster: &Cluster, node: &Node) {
    if !cluster.name.is_empty() {
        log.info(&format!("Cluster name is {}", cluster.name));
    }
    log.info(&format!("Listening for route connections on {}", host_port(&cluster.host, node.link().port())));
    if !cluster.idle_keys.is_empty() {
        let keys = cluster.idle_keys.join(", ");
        log.write(Level::Warning, &format!("Servers are linked by a lattice, not by routes: {keys} has no effect"));
    }
    if cluster.login.is_none() && cluster.secret().is_ok_and(|(user, _)| user.is_empty()) {
        log.write(Level::Warning, "Whoever reaches the cluster port may join: give the cluster an authorization");
    }
}

fn warn(log: &Log, options: &Options) {
    let auth = &options.auth;
    let in_users = auth.all_users().filter_map(|user| match &user.proof {
        Proof::Password { password, .. } => Some(password),
        Proof::Nkey(_) => None,
    });
    let single = auth.single.as_ref().map(|(_, password)| password);
    let mut secrets = in_users.chain(single).chain(&auth.token);
    if secrets.any(|secret: &Secret| !lattice_broker::Secret::new(&secret.0).is_hashed()) {
        log.write(Level::Warning, "Plaintext passwords detected, use nkeys or bcrypt");
    }
}

/// What a signal asks for.
#[derive(Clone, Copy)]
enum Asked {
    Reload,
    Reopen,
    LameDuck,
    Stop,
    Quit,
}

/// The signals that are taken, with the names by which Go's programs tell of them.
struct Signals([Taken; 6]);

struct Taken {
    signal: Signal,
    asked: Asked,
    name: &'static str,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let take = |kind, asked, name| Ok::<_, io::Error>(Taken { signal: signal(kind)?, asked, name });
        Ok(Self([
            take(SignalKind::interrupt(), Asked::Stop, "interrupt")?,
            take(SignalKind::terminate(), Asked::Stop, "terminated")?,
            take(SignalKind::quit(), Asked::Quit, "quit")?,
            take(SignalKind::hangup(), Asked::Reload, "hangup")?,
            take(SignalKind::user_defined1(), Asked::Reopen, "user defined signal 1")?,
            take(SignalKind::user_defined2(), Asked::LameDuck, "user defined signal 2")?,
        ]))
    }

    /// The next one. Cancel safe.
    fn next(&mut self) -> impl Future<Output = (Asked, &'static str)> {
        poll_fn(|cx| {
            for taken in &mut self.0 {
                if taken.signal.poll_recv(cx).is_ready() {
                    return Poll::Ready((taken.asked, taken.name));
                }
            }
            Poll::Pending
        })
    }
}
