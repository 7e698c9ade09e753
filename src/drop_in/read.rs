//! A config file's tree to options: each key held against what it may be.

use super::grammar::{Block, Entry, Item, Place, Value, scalar};
use super::options::Options;
use super::{cluster, leafnodes, mappings, operator, refused, tls, users, websocket};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// One thing that is wrong with a config file, or that the file should say otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What it is, with the key, the value, and what is accepted.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// What has been found so far: everything that is wrong is told at once.
#[derive(Debug, Default)]
pub struct Faults {
    /// What keeps the file from being used.
    pub errors: Vec<Fault>,
    /// What is understood, but written in a way that is no longer wanted. A test of the file takes it as an error.
    pub warnings: Vec<Fault>,
}

impl Faults {
    pub(super) fn error(&mut self, place: &Place, what: impl Into<String>) {
        self.errors.push(Fault { place: place.clone(), what: what.into() });
    }

    pub(super) fn wrong(&mut self, entry: &Entry, accepted: &str) {
        self.error(&entry.place, format!("{} is {}, which is not {accepted}", entry.key, entry.item.value.spoken()));
    }

    pub(super) fn unknown(&mut self, entry: &Entry) {
        if !entry.is_variable {
            self.error(&entry.place, format!("unknown field {:?}", entry.key));
        }
    }

    pub(super) fn text(&mut self, entry: &Entry) -> Option<String> {
        match &entry.item.value {
            Value::Text(text) => Some(text.clone()),
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Date(_)
            | Value::List(_)
            | Value::Block(_) => {
                self.wrong(entry, "a string");
                None
            }
        }
    }

    pub(super) fn flag(&mut self, entry: &Entry) -> Option<bool> {
        if let Value::Boolean(flag) = entry.item.value {
            return Some(flag);
        }
        self.wrong(entry, "a boolean: true, yes, on, false, no or off");
        None
    }

    pub(super) fn integer(&mut self, entry: &Entry, min: i64, max: i64) -> Option<i64> {
        match entry.item.value {
            Value::Integer(number) if (min..=max).contains(&number) => Some(number),
            _ => {
                self.wrong(entry, &format!("a whole number from {min} to {max}"));
                None
            }
        }
    }

    pub(super) fn block<'b>(&mut self, entry: &'b Entry) -> Option<&'b Block> {
        if let Value::Block(block) = &entry.item.value {
            return Some(block);
        }
        self.wrong(entry, "a block: { … }");
        None
    }

    pub(super) fn list<'b>(&mut self, entry: &'b Entry) -> Option<&'b [Item]> {
        if let Value::List(items) = &entry.item.value {
            return Some(items);
        }
        self.wrong(entry, "an array: [ … ]");
        None
    }

    /// A string, or an array of them.
    pub(super) fn texts(&mut self, entry: &Entry) -> Option<Vec<String>> {
        let texts = match &entry.item.value {
            Value::Text(text) => Some(vec![text.clone()]),
            Value::List(items) => items
                .iter()
                .map(|item| if let Value::Text(text) = &item.value { Some(text.clone()) } else { None })
                .collect(),
            _ => None,
        };
        if texts.is_none() {
            self.wrong(entry, "a string, or an array of strings");
        }
        texts
    }

    /// A duration; a whole number is taken as seconds, with a warning.
    pub(super) fn duration(&mut self, entry: &Entry) -> Option<Duration> {
        match &entry.item.value {
            Value::Text(text) if scalar::duration(text).is_some() => scalar::duration(text),
            Value::Integer(seconds) if u64::try_from(*seconds).is_ok() => {
                let key = &entry.key;
                let what = format!("invalid use of field {key:?}: {key} should be converted to a duration");
                self.warnings.push(Fault { place: entry.place.clone(), what });
                u64::try_from(*seconds).ok().map(Duration::from_secs)
            }
            _ => {
                self.wrong(entry, "a duration as \"2s\", \"1m30s\" or \"250ms\"");
                None
            }
        }
    }

    /// Seconds as a number, whole or not, or a duration.
    pub(super) fn seconds(&mut self, entry: &Entry) -> Option<Duration> {
        let seconds = match entry.item.value {
            #[expect(clippy::cast_precision_loss, reason = "a timeout is a small number")]
            Value::Integer(seconds) => seconds as f64,
            Value::Float(seconds) => seconds,
            _ => return self.duration(entry),
        };
        let duration = Duration::try_from_secs_f64(seconds).ok();
        if duration.is_none() {
            self.error(&entry.place, format!("{} is {seconds}, which is no number of seconds", entry.key));
        }
        duration
    }

    /// A key of a block of this name that there is no equivalent of.
    pub(super) fn refuse(&mut self, entry: &Entry, block: &str, instead: &str) {
        if !matches!(entry.item.value, Value::Boolean(false)) {
            self.error(&entry.place, format!("{:?} of {block} is not here: {instead}", entry.key));
        }
    }

    /// A limit: 0 is the default, and a negative number no limit.
    fn limit(&mut self, entry: &Entry, default: usize) -> Option<usize> {
        let number = self.integer(entry, i64::MIN, i64::from(i32::MAX))?;
        Some(match number {
            0 => default,
            number => usize::try_from(number).unwrap_or(usize::MAX),
        })
    }
}

/// Sets what `block`, a whole file, says.
pub fn apply(block: &Block, options: &mut Options, faults: &mut Faults) {
    let mut trust = operator::Trust::default();
    for entry in &block.entries {
        let key = entry.key.to_lowercase();
        if let Some(refused) = refused::key(&key, &entry.item.value) {
            let what = format!("{:?} asks for {}, which is not here: {}", entry.key, refused.what, refused.instead);
            faults.error(&entry.place, what);
        } else if !(refused::knows(&key)
            || place(&key, entry, options, faults)
            || monitoring(&key, entry, options, faults)
            || limit(&key, entry, options, faults)
            || log(&key, entry, options, faults)
            || encryption(&key, entry, options, faults)
            || auth(&key, entry, options, faults)
            || trust.read(&key, entry, faults))
        {
            faults.unknown(entry);
        }
    }
    check_monitoring(block, faults);
    users::check(block, options, faults);
    trust.apply(block, &mut options.auth, faults);
    websocket::check(block, options, faults);
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// The port that a number means: -1 is any free one, 0 the default.
#[must_use]
pub fn port(number: i64) -> Option<u16> {
    match number {
        -1 => Some(0),
        0 => Some(Options::default().port),
        number => u16::try_from(number).ok(),
    }
}

/// The port that a number means where there may be none: -1 is any free one, 0 none. The outer `None` is no port at all.
#[must_use]
pub fn port_or_none(number: i64) -> Option<Option<u16>> {
    match number {
        -1 => Some(Some(0)),
        0 => Some(None),
        number => u16::try_from(number).ok().map(Some),
    }
}

/// Keys about where the server is and what it is called. False for another key, as in the functions that follow.
fn place(key: &str, entry: &Entry, options: &mut Options, faults: &mut Faults) -> bool {
    match key {
        "listen" => listen(entry, options, faults),
        "port" => {
            let number = faults.integer(entry, -1, 65_535);
            set(&mut options.port, number.and_then(port));
        }
        "host" | "net" => set(&mut options.host, faults.text(entry)),
        "server_name" => match faults.text(entry) {
            Some(name) if name.contains(char::is_whitespace) => {
                faults.error(&entry.place, format!("server_name is {name:?}: server name cannot contain spaces"));
            }
            name => set(&mut options.server_name, name),
        },
        "lame_duck_duration" => match faults.duration(entry) {
            Some(duration) if duration < Duration::from_secs(30) => {
                let said = scalar::spoken(duration);
                faults.error(&entry.place, format!("invalid lame_duck_duration of {said}, minimum is 30 seconds"));
            }
            duration => set(&mut options.lame_duck_duration, duration),
        },
        "lame_duck_grace_period" => set(&mut options.lame_duck_grace_period, faults.duration(entry)),
        "pid_file" | "pidfile" => options.pid_file = faults.text(entry).map(PathBuf::from),
        // Of no effect without JetStream, as with the real server.
        "store_dir" | "storedir" => drop(faults.text(entry)),
        "ports_file_dir" => options.ports_file_dir = faults.text(entry).map(PathBuf::from),
        _ => return false,
    }
    true
}

fn listen(entry: &Entry, options: &mut Options, faults: &mut Faults) {
    if let Some((host, number)) = address(entry, faults, port) {
        set(&mut options.host, host);
        options.port = number;
    }
}

/// `listen`, or `host` and `port`, of a listener of its own, which is none without a port. False for another key.
pub(super) fn listener(
    key: &str,
    entry: &Entry,
    host: &mut Option<String>,
    port: &mut Option<u16>,
    faults: &mut Faults,
) -> bool {
    match key {
        "listen" => {
            if let Some((named, number)) = address(entry, faults, port_or_none) {
                (*host, *port) = (named.or(host.take()), number);
            }
        }
        "port" => *port = faults.integer(entry, -1, 65_535).and_then(port_or_none).flatten(),
        "host" | "net" => *host = faults.text(entry),
        _ => return false,
    }
    true
}

/// `4222`, `"host:4222"` or `"[::1]:4222"`; `port` is what a number means.
pub(super) fn address<P>(
    entry: &Entry,
    faults: &mut Faults,
    port: impl Fn(i64) -> Option<P>,
) -> Option<(Option<String>, P)> {
    let found = match &entry.item.value {
        Value::Integer(number) => port(*number).map(|port| (None, port)),
        Value::Text(text) => text.rsplit_once(':').and_then(|(host, number)| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Some((Some(host.to_owned()), port(number.parse().ok()?)?))
        }),
        _ => None,
    };
    if found.is_none() {
        faults.wrong(entry, "host:port, or a port from -1 to 65535");
    }
    found
}

/// There is one port for those who watch, in the clear or not.
fn check_monitoring(block: &Block, faults: &mut Faults) {
    let find = |names: &[&str]| {
        let is_on = |entry: &&Entry| entry.item.value != Value::Integer(0);
        block.entries.iter().filter(is_on).find(|entry| names.contains(&entry.key.to_lowercase().as_str()))
    };
    if let (Some(_), Some(entry)) = (find(&["http", "http_port", "monitor_port"]), find(&["https", "https_port"])) {
        faults.error(&entry.place, "can't specify both HTTP and HTTPs ports: leave one of them out");
    }
}

/// Keys about what those who watch are told.
fn monitoring(key: &str, entry: &Entry, options: &mut Options, faults: &mut Faults) -> bool {
    let monitoring = &mut options.monitoring;
    match key {
        "http" | "https" => {
            if let Some((host, port)) = address(entry, faults, port_or_none) {
                (monitoring.host, monitoring.port) = (host, port);
                monitoring.is_secure = port.is_some() && key == "https";
            }
        }
        "http_port" | "monitor_port" | "https_port" => {
            let number = faults.integer(entry, -1, 65_535);
            set(&mut monitoring.port, number.and_then(port_or_none));
            monitoring.is_secure = monitoring.port.is_some() && key == "https_port";
        }
        "http_base_path" => set(&mut monitoring.base_path, faults.text(entry)),
        "max_closed_clients" => {
            let number = faults.integer(entry, 0, 1_000_000).and_then(|number| usize::try_from(number).ok());
            set(&mut monitoring.closed_max, number);
        }
        "server_tags" => set(&mut monitoring.tags, faults.texts(entry)),
        "server_metadata" => {
            if let Some(block) = faults.block(entry) {
                let pairs = block.entries.iter().filter_map(|one| Some((one.key.clone(), faults.text(one)?)));
                monitoring.metadata = pairs.collect();
            }
        }
        _ => return false,
    }
    true
}

fn limit(key: &str, entry: &Entry, options: &mut Options, faults: &mut Faults) -> bool {
    let limits = &mut options.limits;
    let default = super::options::Limits::default();
    match key {
        "max_payload" => set(&mut limits.max_payload, faults.limit(entry, default.max_payload)),
        "max_control_line" => set(&mut limits.max_control_line, faults.limit(entry, default.max_control_line)),
        "max_pending" => {
            let number = faults.integer(entry, 0, i64::MAX);
            set(&mut limits.max_pending, number.and_then(|number| usize::try_from(number).ok()));
        }
        "max_connections" | "max_conn" => {
            set(&mut limits.max_connections, faults.limit(entry, default.max_connections));
        }
        "max_subscriptions" | "max_subs" => {
            set(&mut limits.max_subscriptions, faults.limit(entry, default.max_subscriptions));
        }
        "ping_interval" => set(&mut limits.ping_interval, faults.duration(entry)),
        "ping_max" => {
            let number = faults.integer(entry, 0, i64::from(u32::MAX)).and_then(|number| u32::try_from(number).ok());
            set(&mut limits.ping_max, number.map(|number| if number == 0 { default.ping_max } else { number }));
        }
        "write_deadline" => set(&mut limits.write_deadline, faults.duration(entry)),
        _ => return false,
    }
    true
}

fn log(key: &str, entry: &Entry, options: &mut Options, faults: &mut Faults) -> bool {
    let log = &mut options.log;
    match key {
        "debug" => set(&mut log.debug, faults.flag(entry)),
        "trace" | "trace_verbose" | "trace_headers" => set(&mut log.trace, faults.flag(entry)),
        "logtime" => set(&mut log.time, faults.flag(entry)),
        "logtime_utc" => set(&mut log.utc, faults.flag(entry)),
        "log_file" | "logfile" => log.file = faults.text(entry).filter(|path| !path.is_empty()).map(PathBuf::from),
        "logfile_size_limit" | "log_size_limit" => {
            let number = faults.integer(entry, 0, i64::MAX);
            set(&mut log.size_limit, number.and_then(|number| u64::try_from(number).ok()));
        }
        "max_traced_msg_len" => {
            let number = faults.integer(entry, 0, i64::from(i32::MAX));
            set(&mut log.traced_max, number.and_then(|number| usize::try_from(number).ok()));
        }
        _ => return false,
    }
    true
}

fn encryption(key: &str, entry: &Entry, options: &mut Options, faults: &mut Faults) -> bool {
    match key {
        "tls" => options.tls = tls::read(entry, faults),
        "websocket" | "ws" => options.websocket = websocket::read(entry, faults),
        "leafnodes" | "leaf" => (options.leafnodes, options.remotes) = leafnodes::read(entry, faults),
        "allow_non_tls" => set(&mut options.allow_non_tls, faults.flag(entry)),
        _ => return false,
    }
    true
}

fn auth(key: &str, entry: &Entry, options: &mut Options, faults: &mut Faults) -> bool {
    match key {
        "authorization" => {
            if let Some(block) = faults.block(entry) {
                users::authorization(entry, block, &mut options.auth, faults);
            }
        }
        "cluster" => options.cluster = cluster::read(entry, faults),
        "accounts" => options.auth.accounts = users::accounts(entry, faults),
        "mappings" | "maps" => mappings::read(entry, &mut options.auth.mappings, faults),
        "no_auth_user" => options.auth.no_auth_user = faults.text(entry),
        "system_account" | "system" => options.auth.system_account = faults.text(entry),
        _ => return false,
    }
    true
}

#[cfg(test)]
pub(super) mod tests;
