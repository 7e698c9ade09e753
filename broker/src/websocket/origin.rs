//! Where a page comes from, and whether that may connect.
//!
//! Scheme, host and port are compared as nats-server does: hosts without case, ports with the default of the scheme.

use super::Rules;
use std::fmt;
use std::str::FromStr;

/// The origin of a page: `http` or `https`, a host, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    is_https: bool,
    host: String,
    port: u16,
}

/// The text is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no origin: http://HOST, https://HOST, or either with :PORT is")]
pub struct OriginError {
    text: String,
}

impl FromStr for Origin {
    type Err = OriginError;

    /// A path, a query or a user in `text` means nothing.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        Self::parse(text).ok_or_else(|| OriginError { text: text.to_owned() })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.is_https { ("https", 443) } else { ("http", 80) };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == usual { write!(f, "{scheme}://{host}") } else { write!(f, "{scheme}://{host}:{}", self.port) }
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let authority = rest.split(['/', '?', '#']).next()?;
        let host_port = authority.rsplit('@').next()?;
        Self::new(is_https, host_port)
    }

    /// What a request for `host_port` goes to.
    fn new(is_https: bool, host_port: &str) -> Option<Self> {
        let (host, port) = match host_port.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => host_port.split_at(host_port.find(':').unwrap_or(host_port.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.bytes().all(|digit| digit.is_ascii_digit()).then(|| port.parse().ok())??,
            None if port.is_empty() && is_https => 443,
            None if port.is_empty() => 80,
            None => return None,
        };
        (!host.is_empty()).then(|| Self { is_https, host: host.to_ascii_lowercase(), port })
    }
}

/// Why a page may not connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginRefusal {
    /// It names no origin that could be compared.
    #[error("no http or https origin")]
    Unknown,
    /// It comes from another host or port.
    #[error("not same origin")]
    NotSame,
    /// It comes from none that is allowed.
    #[error("not in the allowed list")]
    NotAllowed,
}

/// Judges a page that says it is from `origin`, in a request to `host`.
pub(super) fn check(origin: &str, host: &str, is_tls: bool, rules: &Rules) -> Result<(), OriginRefusal> {
    if !rules.same_origin && rules.allowed_origins.is_empty() {
        return Ok(());
    }
    let origin = Origin::parse(origin).ok_or(OriginRefusal::Unknown)?;
    if rules.same_origin && Origin::new(is_tls, host).as_ref() != Some(&origin) {
        return Err(OriginRefusal::NotSame);
    }
    if !rules.allowed_origins.is_empty() && !rules.allowed_origins.contains(&origin) {
        return Err(OriginRefusal::NotAllowed);
    }
    Ok(())
}
