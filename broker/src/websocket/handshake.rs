//! The opening of a WebSocket, as bytes: what a client asks by HTTP, whether it may, and the answer.
//!
//! Answers have the status, the head and the text that nats-server's have, but for two fields: no `Date`, and
//! `Connection: close` where it would wait for another request.

use super::origin::{self, OriginRefusal};
use super::{Rules, Terms};
use crate::proto::Connect;
use data_encoding::BASE64;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use std::fmt;
use std::net::IpAddr;

/// The longest head of a request.
pub(super) const HEAD_MAX: usize = 16 << 10;
const FIELDS_MAX: usize = 64;
/// The payload of a frame to a browser.
const BROWSER_FRAME_MAX: usize = 4096;
/// RFC 6455 section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const DEFLATE: &str = "permessage-deflate";
const DEFLATE_ANSWER: &str =
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";

/// Why a WebSocket did not open.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The request was answered so, and the stream is at its end.
    #[error("websocket handshake error: {0}")]
    Refused(#[from] Refusal),
    /// The client left before it had asked.
    #[error("the client left before the handshake was over")]
    Left,
    /// What the stream below says.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no HTTP, or none that is whole.
    #[error("malformed HTTP request")]
    Malformed,
    /// The head is longer than 16 KiB, or has more than 64 fields.
    #[error("the head has more than {HEAD_MAX} bytes or {FIELDS_MAX} fields")]
    TooLong,
    /// It is not HTTP 1.0 or 1.1.
    #[error("unsupported protocol version")]
    Version,
    /// HTTP 1.1 has to name a host.
    #[error("missing required Host header")]
    NoHost,
    /// Leaf nodes and MQTT are not served here.
    #[error("{0} websocket endpoint not enabled")]
    NotServed(&'static str),
    /// Another method than GET.
    #[error("request method must be GET, not {0}")]
    Method(String),
    /// The host is empty.
    #[error("'Host' missing in request")]
    EmptyHost,
    /// There is no `Upgrade: websocket`.
    #[error("invalid value for header 'Upgrade'")]
    Upgrade,
    /// There is no `Connection: Upgrade`.
    #[error("invalid value for header 'Connection'")]
    Connection,
    /// There is no key.
    #[error("key missing")]
    NoKey,
    /// The key is not 16 bytes in base64.
    #[error("invalid websocket key")]
    Key,
    /// Another version than 13.
    #[error("invalid version")]
    WebSocketVersion,
    /// Pages from there may not connect.
    #[error("origin not allowed: {0}")]
    Origin(#[from] OriginRefusal),
}

impl Refusal {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::TooLong => 431,
            Self::Version => 505,
            Self::NotServed(_) => 404,
            Self::Method(_) => 405,
            Self::Origin(_) => 403,
            Self::Malformed | Self::NoHost | Self::EmptyHost | Self::Upgrade | Self::Connection => 400,
            Self::NoKey | Self::Key | Self::WebSocketVersion => 400,
        }
    }

    /// What the client gets.
    pub(super) fn response(&self) -> Vec<u8> {
        let text = match self {
            Self::TooLong => "Request Header Fields Too Large",
            Self::Version => "HTTP Version Not Supported",
            Self::NotServed(_) => "Not Found",
            Self::Method(_) => "Method Not Allowed",
            Self::Origin(_) => "Forbidden",
            Self::Malformed | Self::NoHost | Self::EmptyHost | Self::Upgrade | Self::Connection => "Bad Request",
            Self::NoKey | Self::Key | Self::WebSocketVersion => "Bad Request",
        };
        match self {
            Self::Malformed | Self::TooLong => self.bare(text),
            Self::NoHost | Self::Version => self.bare(&format!("{text}: {self}")),
            Self::Method(method) if method == "HEAD" => self.full(text, ""),
            _ => self.full(text, &format!("{text}\n")),
        }
    }

    /// Of what is no HTTP that could be understood, as Go answers it.
    fn bare(&self, text: &str) -> Vec<u8> {
        let line = format!("{} {text}", self.status());
        format!("HTTP/1.1 {line}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n{line}").into()
    }

    fn full(&self, text: &str, body: &str) -> Vec<u8> {
        let (status, len) = (self.status(), text.len() + 1);
        let content = "Content-Type: text/plain; charset=utf-8\r\nSec-Websocket-Version: 13\r\n\
                       X-Content-Type-Options: nosniff";
        format!("HTTP/1.1 {status} {text}\r\n{content}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}")
            .into()
    }
}

/// What the cookies that the rules name hold.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Cookies {
    /// Of [`Rules::jwt_cookie`].
    pub jwt: Option<String>,
    /// Of [`Rules::user_cookie`].
    pub user: Option<String>,
    /// Of [`Rules::pass_cookie`].
    pub pass: Option<String>,
    /// Of [`Rules::token_cookie`].
    pub token: Option<String>,
}

/// Shown without what they hold.
impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookies").finish_non_exhaustive()
    }
}

impl Cookies {
    /// Says in `connect` what that does not say itself.
    pub(crate) fn fill(&self, connect: &mut Connect) {
        let fields = [
            (&mut connect.jwt, &self.jwt),
            (&mut connect.user, &self.user),
            (&mut connect.pass, &self.pass),
            (&mut connect.auth_token, &self.token),
        ];
        for (said, cookie) in fields {
            if said.as_ref().is_none_or(String::is_empty) && cookie.is_some() {
                said.clone_from(cookie);
            }
        }
    }
}

/// The head of a request.
#[derive(Debug)]
pub(super) struct Request<'h> {
    method: &'h str,
    target: &'h str,
    minor: u8,
    fields: Vec<(&'h str, &'h str)>,
}

/// Finds the head of a request at the start of `bytes`, and its length; `None` while it is not whole.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Request<'_>, usize)>, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let len = match request.parse(&bytes[..bytes.len().min(HEAD_MAX)]) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => return Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLong),
        Err(httparse::Error::Version) => return Err(Refusal::Version),
        Err(_) => return Err(Refusal::Malformed),
    };
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    // What is no text means nothing to any rule.
    let text = |value| std::str::from_utf8(value).unwrap_or_default();
    let fields = request.headers.iter().map(|field| (field.name, text(field.value))).collect();
    Ok(Some((Request { method, target, minor: request.version.unwrap_or_default(), fields }, len)))
}

impl<'h> Request<'h> {
    fn values(&self, name: &str) -> impl Iterator<Item = &'h str> {
        self.fields.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// The first value, if it is not empty.
    fn value(&self, name: &str) -> Option<&'h str> {
        self.values(name).next().filter(|value| !value.is_empty())
    }

    fn contains(&self, name: &str, token: &str) -> bool {
        self.values(name).flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
    }

    /// The path, without what a proxy would put before it and without a query.
    fn path(&self) -> &'h str {
        let target = match self.target.split_once("://") {
            Some((_, rest)) if !self.target.starts_with('/') => rest.find('/').map_or("/", |at| &rest[at..]),
            Some(_) | None => self.target,
        };
        target.split('?').next().unwrap_or_default()
    }

    /// Judges it; the first thing that is wrong counts, in nats-server's order.
    pub(super) fn upgrade(&self, rules: &Rules, is_tls: bool) -> Result<Upgrade, Refusal> {
        let mut hosts = self.values("Host");
        let host = match (hosts.next(), hosts.next()) {
            (Some(_), Some(_)) => return Err(Refusal::Malformed),
            (None, _) if self.minor > 0 => return Err(Refusal::NoHost),
            (host, _) => host.unwrap_or_default(),
        };
        if !self.target.starts_with('/') && !self.target.contains("://") && self.target != "*" {
            return Err(Refusal::Malformed);
        }
        for (end, name) in [("/mqtt", "mqtt"), ("/leafnode", "leafnode")] {
            if self.path().ends_with(end) {
                return Err(Refusal::NotServed(name));
            }
        }
        if self.method != "GET" {
            return Err(Refusal::Method(self.method.to_owned()));
        }
        if host.is_empty() {
            return Err(Refusal::EmptyHost);
        }
        let key = self.check_websocket()?;
        if let Some(origin) = self.value("Origin").or_else(|| self.value("Sec-Websocket-Origin")) {
            origin::check(origin, host, is_tls, rules)?;
        }
        Ok(self.agree(key, rules))
    }

    /// That it asks for a WebSocket as RFC 6455 section 4.2.1 says; the key.
    fn check_websocket(&self) -> Result<&'h str, Refusal> {
        if !self.contains("Upgrade", "websocket") {
            return Err(Refusal::Upgrade);
        }
        if !self.contains("Connection", "Upgrade") {
            return Err(Refusal::Connection);
        }
        let key = self.value("Sec-Websocket-Key").ok_or(Refusal::NoKey)?;
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
        if !key.strip_suffix("==").is_some_and(|digits| digits.len() == 22 && digits.bytes().all(is_base64)) {
            return Err(Refusal::Key);
        }
        if !self.contains("Sec-Websocket-Version", "13") {
            return Err(Refusal::WebSocketVersion);
        }
        Ok(key)
    }

    fn agree(&self, key: &str, rules: &Rules) -> Upgrade {
        let offers_deflate = self
            .values("Sec-Websocket-Extensions")
            .flat_map(|value| value.split([',', ';']))
            .any(|item| item.trim().eq_ignore_ascii_case(DEFLATE));
        let is_deflating = rules.compression && offers_deflate;
        let agent = self.value("User-Agent").unwrap_or_default();
        let is_browser = agent.starts_with("Mozilla/");
        // Chrome names Safari too, but no version so. Safari cannot read a compressed message in fragments.
        let is_safari = is_browser && agent.contains("Version/") && agent.contains("Safari/");
        let terms = Terms {
            needs_mask: self.value("Nats-No-Masking") != Some("true"),
            is_deflating,
            message_max: rules.message_max,
            frame_max: if is_browser { BROWSER_FRAME_MAX } else { usize::MAX },
            splits_deflated: !is_safari,
        };
        let client_ip = self.value("X-Forwarded-For").and_then(|value| value.parse().ok());
        let accept = BASE64.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes()).as_ref());
        Upgrade { accept, terms, cookies: self.cookies(rules), client_ip }
    }

    fn cookies(&self, rules: &Rules) -> Cookies {
        let mut cookies = Cookies::default();
        for pair in self.values("Cookie").flat_map(|value| value.split(';')) {
            let (name, value) = pair.trim().split_once('=').unwrap_or((pair.trim(), ""));
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            if !value.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
                continue;
            }
            let is = |cookie: &Option<String>| cookie.as_ref().is_some_and(|cookie| cookie == name.trim());
            let place = if is(&rules.jwt_cookie) {
                &mut cookies.jwt
            } else if is(&rules.user_cookie) {
                &mut cookies.user
            } else if is(&rules.pass_cookie) {
                &mut cookies.pass
            } else if is(&rules.token_cookie) {
                &mut cookies.token
            } else {
                continue;
            };
            *place = Some(value.to_owned());
        }
        cookies
    }
}

/// What a request that is granted comes to.
#[derive(Debug)]
pub(super) struct Upgrade {
    accept: String,
    pub(super) terms: Terms,
    pub(super) cookies: Cookies,
    pub(super) client_ip: Option<IpAddr>,
}

impl Upgrade {
    /// What the client gets; frames follow.
    pub(super) fn response(&self, rules: &Rules) -> Vec<u8> {
        let mut response =
            String::from("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
        response.extend(["Sec-WebSocket-Accept: ", &self.accept, "\r\n"]);
        if self.terms.is_deflating {
            response.push_str(DEFLATE_ANSWER);
        }
        if !self.terms.needs_mask {
            response.push_str("Nats-No-Masking: true\r\n");
        }
        for (name, value) in &rules.headers {
            response.extend([name, ": ", value, "\r\n"]);
        }
        response.push_str("\r\n");
        response.into()
    }
}
