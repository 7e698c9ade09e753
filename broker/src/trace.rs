//! The protocol as it is spoken over one connection, written down for people to read.
//!
//! A [`Traced`] stream is the stream that it is made of, and has each line that went over it told to a [`Tracer`], with what
//! belongs to it. Connections that are not traced pay nothing. What is done with the lines is the tracer's affair.

use crate::env::Stream;
use crate::lock::lock;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

/// Bytes of a line that are told, at most.
const LINE_MAX: usize = 64 << 10;
/// Bytes of a payload that are told, where the tracer sets no other limit.
const PAYLOAD_MAX: usize = 64 << 10;
/// Fields of CONNECT that nobody is told.
const SECRETS: [&str; 4] = ["pass", "auth_token", "jwt", "sig"];

/// Takes the lines.
pub trait Tracer: Send + Sync + fmt::Debug + 'static {
    /// Whether connections that come now are traced.
    fn is_on(&self) -> bool;

    /// Bytes of a payload to tell; 0 is as many as there are, up to 64 KiB.
    fn payload_max(&self) -> usize;

    /// Takes a line, as nats-server writes it after `[TRC]`. Must not block.
    fn line(&self, text: &str);
}

/// A stream whose protocol is told.
#[derive(Debug)]
pub(crate) struct Traced {
    inner: Arc<dyn Stream>,
    tracer: Arc<dyn Tracer>,
    /// Whose lines they are.
    who: String,
    heard: Mutex<Lines>,
    said: Mutex<Lines>,
}

impl Traced {
    /// `inner`, traced if `tracer` wants that: as the connection of that `kind` (`cid`, `lid`) and number.
    pub(crate) fn over(
        inner: Arc<dyn Stream>,
        tracer: Option<&Arc<dyn Tracer>>,
        kind: &str,
        id: u64,
    ) -> Arc<dyn Stream> {
        let Some(tracer) = tracer.filter(|tracer| tracer.is_on()) else { return inner };
        let peer = inner.peer_addr();
        let who = format!("{} - {kind}:{id}", SocketAddr::new(peer.ip().to_canonical(), peer.port()));
        let lines = || Mutex::new(Lines::new(tracer.payload_max()));
        Arc::new(Self { inner, tracer: tracer.clone(), who, heard: lines(), said: lines() })
    }

    fn tell(&self, lines: &Mutex<Lines>, arrow: &str, bytes: &[u8]) {
        lock(lines).take(bytes, &mut |piece| {
            let text = match piece {
                Piece::Line(line) => shown(line),
                Piece::Payload(payload, is_cut) => Some(format!("MSG_PAYLOAD: [{:?}]", cut(payload, is_cut))),
            };
            if let Some(text) = text {
                self.tracer.line(&format!("{} - {arrow} {text}", self.who));
            }
        });
    }
}

impl Stream for Traced {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_read_ready(cx)
    }

    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.try_read(buf)?;
        self.tell(&self.heard, "<<-", &buf[..len]);
        Ok(len)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_write_ready(cx)
    }

    fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let len = self.inner.try_write_vectored(bufs)?;
        let mut left = len;
        for buf in bufs {
            let part = &buf[..left.min(buf.len())];
            self.tell(&self.said, "->>", part);
            left -= part.len();
        }
        Ok(len)
    }

    fn shutdown_write(&self) {
        self.inner.shutdown_write();
    }

    fn set_farewell(&self, code: u16, text: &str) {
        self.inner.set_farewell(code, text);
    }

    fn peer_addr(&self) -> SocketAddr {
        self.inner.peer_addr()
    }

    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }
}

enum Piece<'a> {
    /// Without its end.
    Line(&'a [u8]),
    /// What follows a line, or its start.
    Payload(&'a [u8], bool),
}

/// Bytes to lines and payloads, however they are split.
#[derive(Debug)]
struct Lines {
    payload_max: usize,
    kept: Vec<u8>,
    /// Bytes of a payload and its end that are still to come; 0 within a line.
    body_left: usize,
    body_len: usize,
}

impl Lines {
    fn new(payload_max: usize) -> Self {
        let payload_max = if payload_max == 0 { PAYLOAD_MAX } else { payload_max.min(PAYLOAD_MAX) };
        Self { payload_max, kept: Vec::new(), body_left: 0, body_len: 0 }
    }

    fn take(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(Piece<'_>)) {
        while !bytes.is_empty() {
            let used = if self.body_left > 0 { self.body(bytes, each) } else { self.line(bytes, each) };
            bytes = &bytes[used..];
        }
    }

    fn line(&mut self, bytes: &[u8], each: &mut dyn FnMut(Piece<'_>)) -> usize {
        let end = memchr::memchr(b'\n', bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        self.kept.extend_from_slice(&part[..part.len().min(LINE_MAX - self.kept.len().min(LINE_MAX))]);
        let Some(end) = end else { return bytes.len() };
        let line = self.kept.strip_suffix(b"\r").unwrap_or(&self.kept);
        each(Piece::Line(line));
        self.body_len = payload_len(line).unwrap_or_default();
        // An empty payload has its end all the same.
        self.body_left = payload_len(line).map_or(0, |len| len.saturating_add(2));
        self.kept.clear();
        end + 1
    }

    fn body(&mut self, bytes: &[u8], each: &mut dyn FnMut(Piece<'_>)) -> usize {
        let used = self.body_left.min(bytes.len());
        let room = self.payload_max.min(self.body_len) - self.kept.len();
        self.kept.extend_from_slice(&bytes[..used.min(room)]);
        self.body_left -= used;
        if self.body_left == 0 {
            if self.body_len > 0 {
                each(Piece::Payload(&self.kept, self.kept.len() < self.body_len));
            }
            self.kept.clear();
        }
        used
    }
}

/// How long the payload is that follows a line, if one does.
fn payload_len(line: &[u8]) -> Option<usize> {
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let verb = words.next()?;
    let has_payload = [&b"PUB"[..], b"HPUB", b"MSG", b"HMSG", b"LMSG"].iter().any(|one| verb.eq_ignore_ascii_case(one));
    std::str::from_utf8(words.next_back().filter(|_| has_payload)?).ok()?.parse().ok()
}

/// A line as it is told; `None` for those that are not.
fn shown(line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(line);
    let (verb, rest) = text.split_once([' ', '\t']).map_or((&*text, ""), |(verb, rest)| (verb, rest.trim()));
    let rest = match verb.to_ascii_uppercase().as_str() {
        // Everybody is told the same.
        "INFO" | "" => return None,
        "+OK" => return Some("[OK]".to_owned()),
        "-ERR" => rest.trim_matches('\'').to_owned(),
        "CONNECT" => without_secrets(rest),
        _ => rest.to_owned(),
    };
    let blank = if rest.is_empty() { "" } else { " " };
    // A line is one line, and moves no cursor.
    let plain =
        |letter: char| if letter.is_control() { letter.escape_default().to_string() } else { letter.to_string() };
    Some(format!("[{}{blank}{}]", verb.to_ascii_uppercase(), rest.chars().map(plain).collect::<String>()))
}

fn cut(payload: &[u8], is_cut: bool) -> String {
    format!("{}{}", String::from_utf8_lossy(payload), if is_cut { "..." } else { "" })
}

/// The options of a CONNECT, with `[REDACTED]` where a secret is.
fn without_secrets(options: &str) -> String {
    let mut told = String::new();
    let mut rest = options;
    while let Some(at) = rest.find('"') {
        let (value, after) = string(&rest[at..]);
        told.push_str(&rest[..at]);
        told.push_str(value);
        rest = after;
        let is_secret = SECRETS.contains(&value.trim_matches('"'));
        let Some(colon) = rest.trim_start().strip_prefix(':').filter(|_| is_secret) else { continue };
        let value = colon.trim_start();
        told.push(':');
        rest = match value.starts_with('"') {
            true => string(value).1,
            // No string is no secret that anybody would take; it is not told either way.
            false => value.find([',', '}']).map_or("", |end| &value[end..]),
        };
        told.push_str("\"[REDACTED]\"");
    }
    told + rest
}

/// A string of JSON at the start of `text`, with its quotes, and what comes after it.
fn string(text: &str) -> (&str, &str) {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return text.split_at(at + 1),
            _ => {}
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8], payload_max: usize, chunk: usize) -> Vec<String> {
        let (mut lines, mut all) = (Lines::new(payload_max), Vec::new());
        for part in bytes.chunks(chunk) {
            lines.take(part, &mut |piece| {
                all.extend(match piece {
                    Piece::Line(line) => shown(line),
                    Piece::Payload(payload, is_cut) => Some(cut(payload, is_cut)),
                });
            });
        }
        all
    }

    #[test]
    fn lines_and_payloads_are_told_however_they_come() {
        let bytes = b"sub a  1\r\nPUB a 5\r\nhello\r\nPUB a 0\r\n\r\nHPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPING\r\n-ERR 'No \"x\"'\r\n+OK\r\n";
        let expected = [
            "[SUB a  1]",
            "[PUB a 5]",
            "hello",
            "[PUB a 0]",
            "[HPUB a r 12 14]",
            "NATS/1.0\r\n\r\nhi",
            "[PING]",
            "[-ERR No \"x\"]",
            "[OK]",
        ];
        for chunk in [1, 2, 7, 1000] {
            assert_eq!(told(bytes, 0, chunk), expected, "{chunk}");
        }
        assert_eq!(told(b"PUB a 5\r\nhello\r\n", 2, 3), ["[PUB a 5]", "he..."]);
        assert_eq!(told(b"INFO {}\r\n\r\nLMSG a | q 1\r\nx\r\n", 0, 4), ["[LMSG a | q 1]", "x"]);
    }

    #[test]
    fn memory_is_bounded_whatever_is_said() {
        let mut lines = Lines::new(0);
        for _ in 0..64 {
            lines.take(&[b'a'; 64 << 10], &mut |_| {});
        }
        assert_eq!(lines.kept.len(), LINE_MAX);
        let mut lines = Lines::new(0);
        lines.take(b"PUB a 999999999\r\n", &mut |_| {});
        for _ in 0..64 {
            lines.take(&[b'a'; 64 << 10], &mut |_| {});
        }
        assert_eq!(lines.kept.len(), PAYLOAD_MAX);
        Lines::new(0).take(b"PUB a 99999999999999999999999\r\nPUB a 18446744073709551615\r\nx", &mut |_| {});
    }

    #[test]
    fn secrets_are_not_told() {
        let connect = r#"CONNECT {"user":"u","pass" : "p\"w","auth_token":"t", "jwt":"j","sig":7,"name":"pass"}"#;
        let expected = r#"[CONNECT {"user":"u","pass":"[REDACTED]","auth_token":"[REDACTED]", "jwt":"[REDACTED]","sig":"[REDACTED]","name":"pass"}]"#;
        assert_eq!(shown(connect.as_bytes()).as_deref(), Some(expected));
        for broken in [r#"CONNECT {"pass":"open"#, r#"CONNECT {"pass":"#, r#"CONNECT {"pass""#] {
            assert!(!shown(broken.as_bytes()).unwrap().contains("open"), "{broken}");
        }
    }
}
