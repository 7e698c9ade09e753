//! The command line as nats-server takes it: one dash or two, `-flag value` or `-flag=value`, as Go's programs do.

use super::options::Options;
use super::read::{port, port_or_none};
use super::refused;
use super::tls::{Encryption, Wanted};
use super::users::Secret;
use crate::nats_url::is_host_port;
use std::path::PathBuf;

/// What was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `-c`
    pub config: Option<PathBuf>,
    /// `-t`
    pub is_test: bool,
    /// `-h`
    pub help: bool,
    /// `-v`
    pub version: bool,
    /// `-sl`: a signal, and perhaps to whom.
    pub signal: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    server_name: Option<String>,
    pid_file: Option<PathBuf>,
    ports_file_dir: Option<PathBuf>,
    http_port: Option<Option<u16>>,
    https_port: Option<Option<u16>>,
    tls: Option<bool>,
    tls_verify: Option<bool>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    tls_ca: Option<PathBuf>,
    log_file: Option<PathBuf>,
    log_size_limit: Option<u64>,
    log_time: Option<bool>,
    log_utc: Option<bool>,
    debug: Option<bool>,
    trace: Option<bool>,
    traced_max: Option<usize>,
    routes: Option<String>,
    cluster_listen: Option<String>,
    cluster_name: Option<String>,
    cluster_advertise: Option<String>,
    no_advertise: Option<bool>,
    user: Option<String>,
    password: Option<Secret>,
    token: Option<Secret>,
}

/// The command line cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// Go's answer to these is the usage, and no failure.
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    /// The last flag has no value.
    #[error("flag needs an argument: -{0}")]
    NoValue(String),
    /// A value that the flag does not take.
    #[error("invalid value {value:?} for flag -{flag}: {accepted} is accepted")]
    BadValue {
        /// The flag.
        flag: String,
        /// As typed.
        value: String,
        /// What it takes.
        accepted: &'static str,
    },
    /// A word that belongs to no flag.
    #[error("unrecognized command: {0:?}")]
    Command(String),
    /// A flag of nats-server that there is no equivalent of.
    #[error("-{flag} asks for {what}, which is not here: {instead}")]
    Refused {
        /// The flag.
        flag: String,
        /// What it asks for.
        what: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// Flags that do not go together.
    #[error("{0}")]
    Together(&'static str),
}

impl FlagError {
    /// True where the usage is shown, as Go's programs do, which end with 0 then.
    #[must_use]
    pub fn shows_usage(&self) -> bool {
        match self {
            Self::Unknown(_) | Self::NoValue(_) | Self::BadValue { .. } => true,
            Self::Command(_) | Self::Refused { .. } | Self::Together(_) => false,
        }
    }
}

/// Whether a flag stands for itself.
fn is_switch(flag: &str) -> bool {
    matches!(
        flag,
        "t" | "T"
            | "logtime"
            | "logtime_utc"
            | "D"
            | "debug"
            | "V"
            | "trace"
            | "VV"
            | "DV"
            | "DVV"
            | "h"
            | "help"
            | "v"
            | "version"
            | "no_advertise"
            | "tls"
            | "tlsverify"
    )
}

fn is_known(flag: &str) -> bool {
    const WITH_VALUE: &[&str] = &[
        "a",
        "addr",
        "net",
        "p",
        "port",
        "m",
        "http_port",
        "ms",
        "https_port",
        "tlscert",
        "tlskey",
        "tlscacert",
        "n",
        "name",
        "server_name",
        "P",
        "pid",
        "c",
        "config",
        "sl",
        "signal",
        "ports_file_dir",
        "l",
        "log",
        "log_size_limit",
        "max_traced_msg_len",
        "user",
        "pass",
        "auth",
        "sd",
        "store_dir",
        "routes",
        "cluster",
        "cluster_listen",
        "cluster_name",
        "cluster_advertise",
        "connect_retries",
    ];
    is_switch(flag) || WITH_VALUE.contains(&flag)
}

/// Reads the arguments behind the program's name.
///
/// # Errors
/// [`FlagError`] for the first that cannot be used.
pub fn parse(args: &[String]) -> Result<Flags, FlagError> {
    let mut flags = Flags::default();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let name = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).filter(|name| !name.is_empty());
        let Some(name) = name else {
            command(arg, &mut flags)?;
            break;
        };
        let (flag, value) = match name.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_owned())),
            None => (name, None),
        };
        if let Some(refused) = refused::flag(flag) {
            let (what, instead) = (refused.what, refused.instead);
            return Err(FlagError::Refused { flag: flag.to_owned(), what, instead });
        }
        if !is_known(flag) {
            return Err(FlagError::Unknown(flag.to_owned()));
        }
        match value {
            None if is_switch(flag) => flags.switch(flag, true),
            Some(value) if is_switch(flag) => {
                let on = boolean(&value).ok_or_else(|| bad(flag, &value, "true or false"))?;
                flags.switch(flag, on);
            }
            Some(value) => flags.set(flag, value)?,
            None => {
                let value = rest.next().ok_or_else(|| FlagError::NoValue(flag.to_owned()))?;
                flags.set(flag, value.clone())?;
            }
        }
    }
    if flags.password.is_some() && flags.user.is_none() {
        return Err(FlagError::Together("--pass is the password of a user: add --user"));
    }
    Ok(flags)
}

/// A word that is no flag: two of them are known.
fn command(word: &str, flags: &mut Flags) -> Result<(), FlagError> {
    match word {
        "version" => flags.version = true,
        "help" => flags.help = true,
        _ => return Err(FlagError::Command(word.to_owned())),
    }
    Ok(())
}

fn bad(flag: &str, value: &str, accepted: &'static str) -> FlagError {
    FlagError::BadValue { flag: flag.to_owned(), value: value.to_owned(), accepted }
}

/// As Go reads booleans.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

impl Flags {
    fn switch(&mut self, flag: &str, on: bool) {
        match flag {
            "t" => self.is_test = on,
            "h" | "help" => self.help = on,
            "v" | "version" => self.version = on,
            "T" | "logtime" => self.log_time = Some(on),
            "logtime_utc" => self.log_utc = Some(on),
            "D" | "debug" => self.debug = Some(on),
            "tls" => self.tls = Some(on),
            "tlsverify" => self.tls_verify = Some(on),
            "no_advertise" => self.no_advertise = Some(on),
            "V" | "VV" | "trace" => self.trace = Some(on),
            _ => {
                self.debug = Some(on);
                self.trace = Some(on);
            }
        }
    }

    fn set(&mut self, flag: &str, value: String) -> Result<(), FlagError> {
        match flag {
            "a" | "addr" | "net" => self.host = Some(value),
            "p" | "port" => {
                let number = value.parse().ok().and_then(port);
                self.port = Some(number.ok_or_else(|| bad(flag, &value, "a port from -1 to 65535"))?);
            }
            "m" | "http_port" => {
                let number = value.parse().ok().and_then(port_or_none);
                self.http_port = Some(number.ok_or_else(|| bad(flag, &value, "a port from -1 to 65535"))?);
            }
            "ms" | "https_port" => {
                let number = value.parse().ok().and_then(port_or_none);
                self.https_port = Some(number.ok_or_else(|| bad(flag, &value, "a port from -1 to 65535"))?);
            }
            "tlscert" => self.tls_certificate = Some(value.into()),
            "tlskey" => self.tls_key = Some(value.into()),
            "tlscacert" => self.tls_ca = Some(value.into()),
            "n" | "name" | "server_name" => self.server_name = Some(value),
            "P" | "pid" => self.pid_file = Some(value.into()),
            "c" | "config" => self.config = Some(value.into()),
            "sl" | "signal" => self.signal = Some(value),
            "ports_file_dir" => self.ports_file_dir = Some(value.into()),
            "l" | "log" => self.log_file = Some(value.into()),
            "log_size_limit" => {
                self.log_size_limit = Some(value.parse().map_err(|_| bad(flag, &value, "a number of bytes"))?);
            }
            "user" => self.user = Some(value),
            "pass" => self.password = Some(Secret(value)),
            "auth" => self.token = Some(Secret(value)),
            "routes" => self.routes = Some(value),
            "cluster" | "cluster_listen" => self.cluster_listen = Some(value),
            "cluster_name" => self.cluster_name = Some(value),
            "cluster_advertise" => self.cluster_advertise = Some(value),
            // Links are dialled for as long as the server runs.
            "connect_retries" => {}
            // Where JetStream keeps what it has: of no effect without it, as with the real server.
            "sd" | "store_dir" => {}
            _ => {
                let length: u32 = value.parse().map_err(|_| bad(flag, &value, "a number of bytes"))?;
                self.traced_max = usize::try_from(length).ok();
            }
        }
        Ok(())
    }

    /// Sets what was typed, over what a config file has said.
    ///
    /// # Errors
    /// What was typed of a cluster cannot be used, and why.
    pub fn apply(&self, options: &mut Options) -> Result<(), String> {
        fn over<T: Clone>(field: &mut T, typed: Option<&T>) {
            if let Some(typed) = typed {
                typed.clone_into(field);
            }
        }
        over(&mut options.host, self.host.as_ref().filter(|host| !host.is_empty()));
        over(&mut options.port, self.port.as_ref());
        over(&mut options.monitoring.port, self.http_port.as_ref());
        over(&mut options.server_name, self.server_name.as_ref());
        over(&mut options.log.size_limit, self.log_size_limit.as_ref());
        over(&mut options.log.time, self.log_time.as_ref());
        over(&mut options.log.utc, self.log_utc.as_ref());
        over(&mut options.log.debug, self.debug.as_ref());
        over(&mut options.log.trace, self.trace.as_ref());
        over(&mut options.log.traced_max, self.traced_max.as_ref());
        let paths = [
            (&mut options.pid_file, &self.pid_file),
            (&mut options.ports_file_dir, &self.ports_file_dir),
            (&mut options.log.file, &self.log_file),
        ];
        for (field, typed) in paths {
            if typed.is_some() {
                field.clone_from(typed);
            }
        }
        if let Some(user) = &self.user {
            options.auth.single = Some((user.clone(), self.password.clone().unwrap_or(Secret(String::new()))));
        }
        if self.token.is_some() {
            options.auth.token.clone_from(&self.token);
        }
        if let Some(port) = self.https_port {
            options.monitoring.is_secure = port.is_some();
            options.monitoring.port = port.or(options.monitoring.port);
        }
        self.apply_tls(options)?;
        self.apply_cluster(options)
    }

    /// What was typed of TLS stands alone: nothing of it is taken from a config file.
    fn apply_tls(&self, options: &mut Options) -> Result<(), String> {
        let files = [&self.tls_certificate, &self.tls_key, &self.tls_ca];
        let verify = self.tls_verify.unwrap_or_default();
        if self.tls == Some(true) || verify || files.iter().any(|file| file.is_some()) {
            let certificate =
                self.tls_certificate.clone().ok_or("TLS Server certificate must be present: --tlscert")?;
            let key = self.tls_key.clone().ok_or("TLS Server private key must be present: --tlskey")?;
            let (pairs, ca_file) = (vec![(certificate, key)], self.tls_ca.clone());
            options.tls = Some(Encryption::load(&Wanted { pairs, ca_file, verify, ..Wanted::default() })?);
        } else if self.tls == Some(false) {
            options.tls = None;
        }
        if options.monitoring.is_secure && options.tls.is_none() {
            return Err("TLS cert and key required for HTTPS: give tls { cert_file, key_file }".to_owned());
        }
        Ok(())
    }

    fn apply_cluster(&self, options: &mut Options) -> Result<(), String> {
        if let Some(url) = &self.cluster_listen {
            let cluster = options.cluster.get_or_insert_default();
            cluster.listen_at(url).map_err(|error| format!("--cluster: {error}"))?;
        }
        let Some(cluster) = &mut options.cluster else {
            return match self.routes {
                Some(_) => Err("solicited routes require cluster capabilities, e.g. --cluster".to_owned()),
                None => Ok(()),
            };
        };
        if let Some(routes) = &self.routes {
            cluster.set_routes(routes).map_err(|error| format!("--routes: {error}"))?;
        }
        if let Some(url) = &self.cluster_advertise {
            if !is_host_port(url) {
                return Err(format!("--cluster_advertise is {url:?}, which is not host:port"));
            }
            cluster.advertise = Some(url.clone());
        }
        cluster.name = self.cluster_name.clone().unwrap_or(std::mem::take(&mut cluster.name));
        cluster.no_advertise = self.no_advertise.unwrap_or(cluster.no_advertise);
        cluster.secret().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, String> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let flags = parse(&args).map_err(|error| error.to_string())?;
        let mut options = Options::default();
        flags.apply(&mut options)?;
        Ok(options)
    }

    #[test]
    fn one_dash_or_two_with_a_blank_or_an_equals_sign() {
        for line in ["-p 5", "--p 5", "-p=5", "--port=5", "-port 5", "-p 4 -p 5"] {
            assert_eq!(read(line).unwrap().port, 5, "{line}");
        }
        assert_eq!(read("-p -1").unwrap().port, 0);
        assert_eq!(read("-p 0").unwrap().port, 4222);
        let options =
            read("-m 8222 -a h -n s -P pid --ports_file_dir d -l log -T=false -DV --user u --pass p --auth t").unwrap();
        assert_eq!((options.host.as_str(), options.server_name.as_str()), ("h", "s"));
        assert_eq!((options.pid_file, options.ports_file_dir), (Some("pid".into()), Some("d".into())));
        assert_eq!((options.monitoring.port, read("-m -1").unwrap().monitoring.port), (Some(8222), Some(0)));
        assert!(options.log.debug && options.log.trace && !options.log.time);
        assert_eq!(options.auth.single, Some(("u".to_owned(), Secret("p".to_owned()))));
        assert_eq!(options.auth.token, Some(Secret("t".to_owned())));
    }

    #[test]
    fn a_cluster_is_its_address_and_its_routes() {
        let line = "--cluster nats://u:p@h:-1 --routes nats-route://u:p@a:1,b --cluster_name X --no_advertise";
        let cluster = read(line).unwrap().cluster.unwrap();
        assert_eq!((cluster.host.as_str(), cluster.port, cluster.name.as_str()), ("h", 0, "X"));
        assert_eq!(cluster.secret(), Ok(("u".to_owned(), Secret("p".to_owned()))));
        let routes: Vec<String> = cluster.routes.iter().map(|route| route.host_port()).collect();
        assert_eq!((routes, cluster.no_advertise), (vec!["a:1".to_owned(), "b:6222".to_owned()], true));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let cases = [
            ("-foo", "flag provided but not defined: -foo"),
            ("-p", "flag needs an argument: -p"),
            ("-p abc", "invalid value \"abc\" for flag -p: a port from -1 to 65535"),
            ("-D=x", "invalid value \"x\" for flag -D"),
            ("extra args", "unrecognized command: \"extra\""),
            ("-js", "-js asks for JetStream, which is not here"),
            ("--routes a,b", "solicited routes require cluster capabilities"),
            ("--cluster nats://a:x", "--cluster: a route cannot be read: the port is no number"),
            ("--cluster nats://u:p@a:1 --routes nats://u:q@b:1", "the route to b:1 shows other credentials"),
            ("--cluster nats://a:1 --cluster_advertise x", "--cluster_advertise is \"x\""),
            ("--tls", "TLS Server certificate must be present"),
            ("--tlscert a", "TLS Server private key must be present"),
            ("--tls --tlscert /none --tlskey /none", "open /none"),
            ("-ms 8222", "TLS cert and key required for HTTPS"),
            ("--pass p", "add --user"),
        ];
        for (line, expected) in cases {
            let error = read(line).expect_err(line);
            assert!(error.contains(expected), "{line:?}: {error:?} does not say {expected:?}");
        }
    }

    #[test]
    fn flags_that_are_known_are_not_refused() {
        let all = ["p", "c", "sl", "sd", "T", "DVV", "auth", "max_traced_msg_len"];
        assert!(all.iter().all(|flag| is_known(flag) && refused::flag(flag).is_none()));
        assert!(parse(&["version".to_owned()]).unwrap().version && parse(&["-v".to_owned()]).unwrap().version);
    }
}
