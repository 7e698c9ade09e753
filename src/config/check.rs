//! From the file as written to a [`Config`]: each value parsed and held against its range.

use super::file::{self, File, Secret};
use super::place::{Origin, Source};
use super::units::{self, Period, Size};
use super::{
    Auth, Client, Config, ConfigError, HTTP_PORT, Link, Mesh, Override, UPSTREAM_PING_INTERVAL, Upstream, User,
};
use crate::gateway::{self, UpstreamUrl};
use crate::host;
use crate::mesh::beacon;
use crate::mesh::client_urls;
use crate::mesh::forming;
use crate::mesh::frame::DESTINATIONS_MAX;
use crate::mesh::heartbeat::Pace;
use crate::mesh::lsdb::ADJACENCY_MAX;
use crate::nats_url::is_host_port;
use lattice_broker::Credentials;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

const MS: u64 = 1;
const SECOND: u64 = 1000 * MS;
const HOUR: u64 = 3600 * SECOND;
const HEARTBEAT: RangeInclusive<Duration> = Duration::from_millis(25)..=Duration::from_secs(60);
/// A message may be for all nodes at once, and a frame names each.
const NODES_MAX: u64 = DESTINATIONS_MAX as u64;
/// Labels of a host, and bytes of each name and text.
const LABELS_MAX: usize = 48;
const LABEL_BYTES_MAX: usize = 100;
/// What a frame holds besides the message: kind, sequence numbers, destinations.
const FRAME_OVERHEAD: usize = 64 << 10;

/// Letters, digits, `-`, `_` and `.`, 1 to 64 of them: fits a server's name, a file's and a table's column.
pub(super) fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=64).contains(&text.len()) && text.chars().all(fits)
}

type Checked<T> = Result<T, ConfigError>;

pub(super) struct Check {
    source: Option<Source>,
    origins: BTreeMap<&'static str, Origin>,
}

impl Check {
    pub(super) fn new(source: Option<Source>, overrides: &[Override]) -> Self {
        let origins = overrides.iter().map(|one| (one.key.path(), one.origin.clone())).collect();
        Self { source, origins }
    }

    pub(super) fn config(&self, file: File) -> Checked<Config> {
        let default = Config::default();
        let client = self.client(file.client, default.client)?;
        Ok(Config {
            data: self.data(file.data, default.data)?,
            name: self.name(file.name, default.name)?,
            listen: self.address("listen", file.listen, default.listen)?,
            join: self.join(file.join)?,
            log: self.log(file.log, default.log)?,
            link: self.link(file.link, default.link)?,
            forming: self.forming(&file.forming, default.forming)?,
            beacon: self.beacon(file.beacon, default.beacon)?,
            upstream: self.upstream(&file.upstream)?,
            http: self.http(file.http)?,
            host: self.host(file.host, default.host)?,
            mesh: self.mesh(&file.mesh, &default.mesh, &client)?,
            client,
        })
    }

    fn invalid(&self, key: &'static str, value: impl ToString, expected: impl ToString) -> ConfigError {
        let place = match (self.origins.get(key), &self.source) {
            (Some(origin), _) => format!(" (from {origin})"),
            (None, Some(source)) => source.point_at(key).map(|place| format!("\n{place}")).unwrap_or_default(),
            (None, None) => String::new(),
        };
        ConfigError::Invalid { key, value: value.to_string(), expected: expected.to_string(), place }
    }

    fn data(&self, given: Option<std::path::PathBuf>, default: std::path::PathBuf) -> Checked<std::path::PathBuf> {
        match given {
            Some(path) if path.as_os_str().is_empty() => Err(self.invalid("data", "\"\"", "the path of a folder")),
            Some(path) => Ok(path),
            None if super::data_folder().is_none() => {
                Err(self.invalid("data", "nothing", "the path of a folder, since this user has no home"))
            }
            None => Ok(default),
        }
    }

    fn name(&self, given: Option<String>, default: String) -> Checked<String> {
        match given {
            Some(name) if !is_name(&name) => {
                Err(self.invalid("name", format!("{name:?}"), "1 to 64 letters, digits, '-', '_' or '.'"))
            }
            Some(name) => Ok(name),
            None => Ok(default),
        }
    }

    fn join(&self, given: Option<Secret>) -> Checked<Option<Secret>> {
        match given.as_ref().map(|invite| invite.0.trim()) {
            Some("") => Err(self.invalid("join", "\"\"", "an invite, as `lattice invite` prints it")),
            Some(invite) => Ok(Some(Secret(invite.to_owned()))),
            None => Ok(None),
        }
    }

    /// A bare word that is no level would be taken as the name of a module: that is a slip, not a wish.
    fn log(&self, given: Option<String>, default: String) -> Checked<String> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        let is_level = |text: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text));
        let fits = |part: &str| match part.rsplit_once('=') {
            Some((target, level)) => !target.trim().is_empty() && is_level(level.trim()),
            None => is_level(part.trim()),
        };
        match given {
            Some(log) if !log.split(',').all(fits) => {
                let expected = format!("{}, or directives as info,lattice::mesh=debug", LEVELS.join(", "));
                Err(self.invalid("log", format!("{log:?}"), expected))
            }
            Some(log) => Ok(log),
            None => Ok(default),
        }
    }

    fn link(&self, file: file::Link, default: Link) -> Checked<Link> {
        let link = Link {
            listen: self.address("link.listen", file.listen, default.listen)?,
            peers: self.host_ports("link.peers", file.peers, default.peers)?,
            advertise: self.host_ports("link.advertise", file.advertise, default.advertise)?,
            heartbeat: self.pace(file.heartbeat, default.heartbeat)?,
            dead_after: self.period("link.dead_after", file.dead_after, default.dead_after, 50 * MS..=HOUR)?,
            redial_min: self.period("link.redial_min", file.redial_min, default.redial_min, 10 * MS..=HOUR)?,
            redial_max: self.period("link.redial_max", file.redial_max, default.redial_max, 10 * MS..=HOUR)?,
        };
        if link.redial_max < link.redial_min {
            let expected = format!("at least link.redial_min ({})", Period(link.redial_min));
            return Err(self.invalid("link.redial_max", quoted(link.redial_max), expected));
        }
        Ok(link)
    }

    fn forming(&self, file: &file::Forming, default: forming::Config) -> Checked<forming::Config> {
        let links = 0..=ADJACENCY_MAX as u64;
        let forming = forming::Config {
            auto: file.auto.unwrap_or(default.auto),
            links_min: self.count("forming.links_min", file.links_min, default.links_min, links.clone())?,
            links_max: self.count("forming.links_max", file.links_max, default.links_max, links.clone())?,
            accept_max: self.count("forming.accept_max", file.accept_max, default.accept_max, links)?,
            redial_max: self.period("forming.redial_max", file.redial_max, default.redial_max, SECOND..=HOUR)?,
            ..default
        };
        let fits = [
            ("forming.links_max", forming.links_max, "forming.links_min", forming.links_min),
            ("forming.accept_max", forming.accept_max, "forming.links_max", forming.links_max),
        ];
        match fits.into_iter().find(|(_, value, _, least)| value < least) {
            Some((key, value, other, least)) => Err(self.invalid(key, value, format!("at least {other} ({least})"))),
            None => Ok(forming),
        }
    }

    fn beacon(&self, file: file::Beacon, default: beacon::Config) -> Checked<beacon::Config> {
        let port = self.count("beacon.port", file.port, default.port.into(), 1..=u16::MAX.into())?;
        let interfaces = file.interfaces.unwrap_or(default.interfaces);
        if interfaces.iter().any(String::is_empty) {
            return Err(self.invalid("beacon.interfaces", "\"\"", "names of interfaces, as eth0"));
        }
        let enabled = file.enabled.unwrap_or(default.enabled);
        Ok(beacon::Config { enabled, port: u16::try_from(port).expect("the range ends at it"), interfaces })
    }

    fn pace(&self, given: Option<units::Pace>, default: Pace) -> Checked<Pace> {
        match given.map(|units::Pace(pace)| pace) {
            Some(Pace::Every(interval)) if !HEARTBEAT.contains(&interval) => {
                Err(self.invalid("link.heartbeat", quoted(interval), "automatic, metered, or 25ms to 1m"))
            }
            Some(pace) => Ok(pace),
            None => Ok(default),
        }
    }

    fn upstream(&self, file: &file::Upstream) -> Checked<Option<Upstream>> {
        let range = 100 * MS..=HOUR;
        let ping_interval = self.period("upstream.ping_interval", file.ping_interval, UPSTREAM_PING_INTERVAL, range)?;
        let Some(Secret(url)) = &file.url else { return Ok(None) };
        // The text may hold a password: the error repeats the value without credentials.
        let url: UpstreamUrl = url.parse().map_err(|error: gateway::ConfigError| {
            self.invalid("upstream.url", &error.value, error.accepted.to_owned())
        })?;
        if let Some(path) = &file.credentials {
            self.credentials(path, &url)?;
        }
        let tls = match &file.ca {
            None => gateway::Encryption::default(),
            Some(path) => gateway::Encryption::trusting(path).map_err(|why| {
                self.invalid("upstream.ca", path.display(), format!("a file of certificates in PEM ({why})"))
            })?,
        };
        Ok(Some(Upstream { url, credentials_file: file.credentials.clone(), tls, ping_interval }))
    }

    /// A file of credentials that can be used now; it may be another one when the link is made.
    fn credentials(&self, path: &Path, url: &UpstreamUrl) -> Checked<()> {
        const KEY: &str = "upstream.credentials";
        if *url.credentials() != Credentials::None {
            return Err(self.invalid(KEY, path.display(), "left out where the url has credentials of its own"));
        }
        let read = gateway::credentials_in(path);
        let expected = |why| format!("a file of credentials as nsc writes it ({why})");
        read.map(drop).map_err(|why| self.invalid(KEY, path.display(), expected(why)))
    }

    fn client(&self, file: file::Client, default: Client) -> Checked<Client> {
        let client = Client {
            max_payload: self.size("client.max_payload", file.max_payload, default.max_payload, 1 << 10..=64 << 20)?,
            max_control_line: self.size(
                "client.max_control_line",
                file.max_control_line,
                default.max_control_line,
                512..=1 << 20,
            )?,
            max_pending: self.size("client.max_pending", file.max_pending, default.max_pending, 64 << 10..=4 << 30)?,
            max_connections: self.count(
                "client.max_connections",
                file.max_connections,
                default.max_connections,
                1..=1_000_000,
            )?,
            max_subscriptions: self.count(
                "client.max_subscriptions",
                file.max_subscriptions,
                default.max_subscriptions,
                1..=100_000_000,
            )?,
            ping_interval: self.period(
                "client.ping_interval",
                file.ping_interval,
                default.ping_interval,
                100 * MS..=24 * HOUR,
            )?,
            ping_max: self.ping_max(file.ping_max, default.ping_max)?,
            auth_timeout: self.period(
                "client.auth_timeout",
                file.auth_timeout,
                default.auth_timeout,
                10 * MS..=HOUR,
            )?,
            write_deadline: self.period(
                "client.write_deadline",
                file.write_deadline,
                default.write_deadline,
                10 * MS..=HOUR,
            )?,
            advertise: self.client_urls(file.advertise)?,
            auth: self.auth(file.auth)?,
        };
        if client.max_pending < client.max_payload {
            let expected = format!("at least client.max_payload ({})", Size(client.max_payload as u64));
            return Err(self.invalid("client.max_pending", Size(client.max_pending as u64), expected));
        }
        Ok(client)
    }

    fn client_urls(&self, given: Option<Vec<String>>) -> Checked<Option<Vec<String>>> {
        let Some(urls) = given else { return Ok(None) };
        if let Some(bad) = urls.iter().find(|url| !is_host_port(url)) {
            let expected = "host:port of letters, digits, '.', '-' and '_', as edge1.site:4222, or [fe80::1]:4222";
            return Err(self.invalid("client.advertise", format!("{bad:?}"), expected));
        }
        if urls.len() > client_urls::OWN_MAX {
            let expected = format!("at most {} of them", client_urls::OWN_MAX);
            return Err(self.invalid("client.advertise", urls.len().to_string(), expected));
        }
        Ok(Some(urls))
    }

    fn ping_max(&self, given: Option<u64>, default: u32) -> Checked<u32> {
        let count = self.count("client.ping_max", given, default as usize, 1..=100)?;
        Ok(u32::try_from(count).expect("the range ends at 100"))
    }

    fn auth(&self, file: file::Auth) -> Checked<Auth> {
        match (file.token, file.users) {
            (None, None) => Ok(Auth::Open),
            (Some(_), Some(_)) => Err(self.invalid("client.auth.token", "…", "either a token or users, not both")),
            (Some(Secret(token)), None) if token.is_empty() => {
                Err(self.invalid("client.auth.token", "\"\"", "a token of at least one character"))
            }
            (Some(Secret(token)), None) => Ok(Auth::Token(token)),
            (None, Some(users)) => self.users(users),
        }
    }

    fn users(&self, users: Vec<file::User>) -> Checked<Auth> {
        let mut seen = std::collections::BTreeSet::new();
        if users.is_empty() {
            return Err(self.invalid("client.auth.users", "[]", "at least one user; leave the key out to let all in"));
        }
        for user in &users {
            if user.name.is_empty() || user.password.0.is_empty() {
                let expected = "a name and a password that are not empty for each user";
                return Err(self.invalid("client.auth.users", format!("{:?}", user.name), expected));
            }
            if !seen.insert(user.name.clone()) {
                return Err(self.invalid("client.auth.users", format!("{:?} twice", user.name), "each name once"));
            }
        }
        let users = users.into_iter().map(|user| User { name: user.name, password: user.password.0 });
        Ok(Auth::Users(users.collect()))
    }

    fn mesh(&self, file: &file::Mesh, default: &Mesh, client: &Client) -> Checked<Mesh> {
        let mesh = Mesh {
            nodes_max: self.count("mesh.nodes_max", file.nodes_max, default.nodes_max, 2..=NODES_MAX)?,
            frame_max: self.size("mesh.frame_max", file.frame_max, default.frame_max, 128 << 10..=128 << 20)?,
            link_buffer_max: self.size(
                "mesh.link_buffer_max",
                file.link_buffer_max,
                default.link_buffer_max,
                256 << 10..=4 << 30,
            )?,
            hold_max: self.size("mesh.hold_max", file.hold_max, default.hold_max, 0..=4 << 30)?,
            hold_origin_max: self.size(
                "mesh.hold_origin_max",
                file.hold_origin_max,
                default.hold_origin_max,
                0..=4 << 30,
            )?,
            hold_time: self.period("mesh.hold_time", file.hold_time, default.hold_time, 10 * MS..=60 * SECOND)?,
            parked_max: self.size("mesh.parked_max", file.parked_max, default.parked_max, 0..=4 << 30)?,
            parked_time: self.period("mesh.parked_time", file.parked_time, default.parked_time, 10 * MS..=HOUR)?,
            ring_max: self.size("mesh.ring_max", file.ring_max, default.ring_max, 0..=4 << 30)?,
        };
        let needed = client.max_payload + client.max_control_line + FRAME_OVERHEAD;
        if mesh.frame_max < needed {
            let expected = format!("at least {needed}: a message of client.max_payload, its subject and destinations");
            return Err(self.invalid("mesh.frame_max", Size(mesh.frame_max as u64), expected));
        }
        if mesh.link_buffer_max < mesh.frame_max {
            let expected = format!("at least mesh.frame_max ({})", Size(mesh.frame_max as u64));
            return Err(self.invalid("mesh.link_buffer_max", Size(mesh.link_buffer_max as u64), expected));
        }
        Ok(mesh)
    }

    fn host(&self, file: file::Host, default: host::Config) -> Checked<host::Config> {
        let lattice = file.lattice.unwrap_or(default.lattice);
        // It is a word of subjects.
        if !is_name(&lattice) || lattice.contains('.') {
            let expected = "1 to 64 letters, digits, '-' or '_'";
            return Err(self.invalid("host.lattice", format!("{lattice:?}"), expected));
        }
        let memory_max = self.bytes("host.memory_max", file.memory_max, default.memory_max, 1 << 20..=1 << 40)?;
        let usual = default.instance_memory.min(memory_max);
        let instance = self.bytes("host.instance_memory", file.instance_memory, usual, 64 << 10..=4 << 30)?;
        if instance > memory_max {
            let expected = format!("at most host.memory_max ({})", Size(memory_max));
            return Err(self.invalid("host.instance_memory", Size(instance), expected));
        }
        let calls_max = self.count("host.calls_max", file.calls_max, default.calls_max as usize, 1..=10_000)?;
        Ok(host::Config {
            enabled: file.enabled.unwrap_or(default.enabled),
            lattice,
            memory_max,
            instance_memory: instance,
            calls_max: u32::try_from(calls_max).expect("the range ends at 10,000"),
            cache_max: self.bytes("host.cache_max", file.cache_max, default.cache_max, 0..=1 << 40)?,
            labels: self.labels(file.labels.unwrap_or(default.labels))?,
        })
    }

    fn labels(&self, labels: BTreeMap<String, String>) -> Checked<BTreeMap<String, String>> {
        let fits = |text: &str| text.len() <= LABEL_BYTES_MAX && !text.chars().any(char::is_control);
        let is_own = |key: &str| !key.is_empty() && !key.to_ascii_lowercase().starts_with("hostcore.");
        if let Some((key, value)) = labels.iter().find(|(key, value)| !is_own(key) || !fits(key) || !fits(value)) {
            let expected = "a name (not hostcore.…, which is the machine's) and a text, of at most 100 bytes each";
            return Err(self.invalid("host.labels", format!("{key:?} = {value:?}"), expected));
        }
        if labels.len() > LABELS_MAX {
            return Err(self.invalid("host.labels", labels.len(), format!("at most {LABELS_MAX} labels")));
        }
        Ok(labels)
    }

    fn http(&self, file: file::Http) -> Checked<Option<SocketAddr>> {
        let usual = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), HTTP_PORT);
        file.listen.map(|listen| self.address("http.listen", Some(listen), usual)).transpose()
    }

    fn address(&self, key: &'static str, given: Option<String>, default: SocketAddr) -> Checked<SocketAddr> {
        let Some(text) = given else { return Ok(default) };
        let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        let parsed = local.map(|port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)).or_else(|| text.parse().ok());
        parsed.ok_or_else(|| {
            let expected = format!("an address and a port, as {default}, 0.0.0.0:{0} or [::]:{0}", default.port());
            self.invalid(key, format!("{text:?}"), expected)
        })
    }

    fn host_ports(&self, key: &'static str, given: Option<Vec<String>>, default: Vec<String>) -> Checked<Vec<String>> {
        let Some(given) = given else { return Ok(default) };
        match given.iter().find(|text| !is_host_port(text)) {
            Some(bad) => Err(self.invalid(key, format!("{bad:?}"), "host:port, as 192.168.1.20:7443, [fe80::1]:7443")),
            None => Ok(given),
        }
    }

    fn size(
        &self,
        key: &'static str,
        given: Option<Size>,
        default: usize,
        range: RangeInclusive<u64>,
    ) -> Checked<usize> {
        let Some(Size(bytes)) = given else { return Ok(default) };
        let size = usize::try_from(bytes).ok().filter(|_| range.contains(&bytes));
        size.ok_or_else(|| {
            self.invalid(key, Size(bytes), format!("{} to {}", Size(*range.start()), Size(*range.end())))
        })
    }

    /// As [`Check::size`], of what is not bounded by what this machine can address.
    fn bytes(&self, key: &'static str, given: Option<Size>, default: u64, range: RangeInclusive<u64>) -> Checked<u64> {
        let Size(bytes) = given.unwrap_or(Size(default));
        if range.contains(&bytes) {
            return Ok(bytes);
        }
        Err(self.invalid(key, Size(bytes), format!("{} to {}", Size(*range.start()), Size(*range.end()))))
    }

    fn count(
        &self,
        key: &'static str,
        given: Option<u64>,
        default: usize,
        range: RangeInclusive<u64>,
    ) -> Checked<usize> {
        let Some(count) = given else { return Ok(default) };
        let fits = usize::try_from(count).ok().filter(|_| range.contains(&count));
        fits.ok_or_else(|| self.invalid(key, count, format!("{} to {}", range.start(), range.end())))
    }

    /// `range` is in milliseconds.
    fn period(
        &self,
        key: &'static str,
        given: Option<Period>,
        default: Duration,
        range: RangeInclusive<u64>,
    ) -> Checked<Duration> {
        let Some(Period(period)) = given else { return Ok(default) };
        let (min, max) = (Duration::from_millis(*range.start()), Duration::from_millis(*range.end()));
        if (min..=max).contains(&period) {
            return Ok(period);
        }
        Err(self.invalid(key, quoted(period), format!("{} to {}", Period(min), Period(max))))
    }
}

fn quoted(period: Duration) -> String {
    format!("\"{}\"", Period(period))
}
