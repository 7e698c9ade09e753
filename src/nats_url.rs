//! Where a NATS server is and what to show it: `nats://user:password@host:port`, the one reading of it.
//!
//! Which schemes there are besides, and what to say of those that are not spoken, is left to who asks.

use lattice_broker::Credentials;
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};

/// The longest `host:port` in bytes: a DNS name of the greatest length, and a port.
const HOST_PORT_MAX: usize = 259;

/// True for `name:port`, `1.2.3.4:port` and `[v6]:port`, in which there is nothing that could end a line or a text of the
/// protocol; whether the name exists is seen when it is dialled.
#[must_use]
pub(crate) fn is_host_port(text: &str) -> bool {
    if text.parse::<SocketAddr>().is_ok_and(|addr| addr.port() != 0) {
        return true;
    }
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0);
    text.len() <= HOST_PORT_MAX && is_name(host) && is_port
}

/// A server's address with credentials. Shown without them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// A name or an address, an IPv6 one without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What to show there.
    pub credentials: Credentials,
}

/// A text that is no server's URL. The text is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Another scheme.
    #[error("only nats:// is spoken here, without TLS")]
    Scheme,
    /// Nothing to dial.
    #[error("the host is missing or malformed")]
    Host,
    /// No number from 1 to 65535.
    #[error("the port is no number from 1 to 65535")]
    Port,
    /// A `%` that is not followed by two hexadecimal digits, or bytes that are no UTF-8.
    #[error("a percent sign in the credentials is not followed by two hexadecimal digits of UTF-8")]
    Escape,
}

impl ServerUrl {
    /// Reads `[nats://][user:password@|token@]host[:port]`, in blanks or not.
    ///
    /// # Errors
    /// [`BadUrl`] says which part is wrong.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, BadUrl> {
        match text.trim().split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("nats") => Self::parse_rest(rest, default_port),
            Some(_) => Err(BadUrl::Scheme),
            None => Self::parse_rest(text.trim(), default_port),
        }
    }

    /// Reads what follows the scheme: `[user:password@|token@]host[:port][/]`. Credentials may be percent-encoded.
    ///
    /// # Errors
    /// [`BadUrl`] says which part is wrong.
    pub(crate) fn parse_rest(rest: &str, default_port: u16) -> Result<Self, BadUrl> {
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((credentials, address)) => (parse_credentials(credentials)?, address),
            None => (Credentials::None, rest),
        };
        let (host, port) = split_port(address.strip_suffix('/').unwrap_or(address))?;
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(BadUrl::Port)?,
            None => default_port,
        };
        Ok(Self { host: host.to_owned(), port, credentials })
    }

    /// As a resolver takes it: `host:port`, with brackets around an IPv6 address.
    #[must_use]
    pub fn host_port(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nats://{}", self.host_port())
    }
}

/// Host and port. What stands in brackets is an IPv6 address, perhaps with its zone.
fn split_port(address: &str) -> Result<(&str, Option<&str>), BadUrl> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(BadUrl::Host)?;
        let (ip, zone) = host.split_once('%').unwrap_or((host, "0"));
        let is_address = ip.parse::<Ipv6Addr>().is_ok() && is_name(zone);
        return match after.strip_prefix(':') {
            _ if !is_address => Err(BadUrl::Host),
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(BadUrl::Host),
        };
    }
    let (host, port) = match address.split_once(':') {
        Some((_, port)) if port.contains(':') => return Err(BadUrl::Host),
        Some((host, port)) => (host, Some(port)),
        None => (address, None),
    };
    if is_name(host) { Ok((host, port)) } else { Err(BadUrl::Host) }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn parse_credentials(text: &str) -> Result<Credentials, BadUrl> {
    Ok(match text.split_once(':') {
        Some((user, pass)) => Credentials::Password { user: unescape(user)?, pass: unescape(pass)? },
        None if text.is_empty() => Credentials::None,
        None => Credentials::Token(unescape(text)?),
    })
}

fn unescape(text: &str) -> Result<String, BadUrl> {
    let mut out = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    out.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or(BadUrl::Escape)?;
        out.push(byte);
        out.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(out).map_err(|_| BadUrl::Escape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_leads_somewhere_is_an_address() {
        for good in ["a:1", "10.0.0.1:4222", "[fe80::1]:4222", "edge-1.site_a:65535"] {
            assert!(is_host_port(good), "{good}");
        }
        let long = format!("{}:1", "a".repeat(HOST_PORT_MAX));
        for bad in
            ["", "a", ":1", "a:", "a:0", "a:65536", "a:+1", "fe80::1:1", "[]:1", "a b:1", "a\"b:1", "nats://a:1", &long]
        {
            assert!(!is_host_port(bad), "{bad}");
        }
    }

    #[test]
    fn all_forms_are_read() {
        let url = |text: &str| ServerUrl::parse(text, 4222).unwrap();
        assert_eq!(url("nats://127.0.0.1:4223").host_port(), "127.0.0.1:4223");
        assert_eq!(url("example.com").host_port(), "example.com:4222");
        assert_eq!(url("nats://[::1]:5/").host_port(), "[::1]:5");
        assert_eq!(url(" [fe80::1%eth0] ").host_port(), "[fe80::1%eth0]:4222");
        assert_eq!(url("nats://s3%40t@h").credentials, Credentials::Token("s3@t".into()));
        let user = Credentials::Password { user: "ann".into(), pass: "a:b%".into() };
        assert_eq!(url("nats://ann:a:b%25@h:1").credentials, user);
        assert_eq!(url("nats://ann:pw@h:1").to_string(), "nats://h:1");
    }

    #[test]
    fn slips_are_named() {
        let bad = |text: &str| ServerUrl::parse(text, 4222).unwrap_err();
        assert_eq!(bad("http://h"), BadUrl::Scheme);
        assert_eq!(bad("nats://"), BadUrl::Host);
        assert_eq!(bad("a b"), BadUrl::Host);
        assert_eq!(bad("::1:4222"), BadUrl::Host);
        assert_eq!(bad("[h]:4222"), BadUrl::Host);
        assert_eq!(bad("[::1%]"), BadUrl::Host);
        assert_eq!(bad("h%20"), BadUrl::Host);
        assert_eq!(bad("h:0"), BadUrl::Port);
        assert_eq!(bad("h:99999"), BadUrl::Port);
        assert_eq!(bad("%zz@h"), BadUrl::Escape);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = ServerUrl::parse(&text, 4222);
        }
    }
}
