//! Reads and plays the byte transcripts of `tests/wire/`: what a client sends and what must come back.
//!
//! | line | means |
//! |---|---|
//! | `# …`, empty | nothing |
//! | `@server KEY VALUE…` | a setting of the server, before anything else; see [`Setting`] |
//! | `@connect NAME [JSON]` | a new connection: reads INFO, sends CONNECT, waits for its PING to be answered |
//! | `@open NAME` | a new connection of which nothing has been read |
//! | `@on NAME` | the lines below are about this connection |
//! | `@reload` | the server goes by its other settings, where the test has any |
//! | `@closed` | the server has closed the connection, and sent nothing else before |
//! | `> TEXT` | sends the text and CRLF; such lines in a row are written at once |
//! | `>> TEXT` | sends the text alone, in a write of its own |
//! | `< TEXT` | the next line is exactly this; `{}` stands for any part of a line |
//! | `<~ TEXT ¦ TEXT…` | the next line begins with the first text, and has each of the others somewhere |
//!
//! In what is sent, `\r \n \t \0 \\ \xHH` are bytes and `\(a*5000)` repeats one. A server may ask `PING` at any time:
//! unless the transcript expects it there, it is answered and passed over.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long one line may take to come; the slowest that a transcript asks for is a time-out of two seconds.
const LINE_LIMIT: Duration = Duration::from_secs(20);

/// What `@connect` says when the transcript does not.
const CONNECT: &str = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"protocol":0}"#;

/// What a transcript asks of its server, in words that both servers' configurations can be written from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    MaxPayload(String),
    MaxControlLine(String),
    MaxConnections(String),
    MaxSubscriptions(String),
    PingIntervalSecs(String),
    PingMax(String),
    AuthTimeoutSecs(String),
    Token(String),
    User { name: String, password: String },
}

impl Setting {
    fn parse(text: &str) -> Option<Self> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let one = words.get(1).cloned();
        Some(match words.first()?.as_str() {
            "max_payload" => Self::MaxPayload(one?),
            "max_control_line" => Self::MaxControlLine(one?),
            "max_connections" => Self::MaxConnections(one?),
            "max_subscriptions" => Self::MaxSubscriptions(one?),
            "ping_interval" => Self::PingIntervalSecs(one?),
            "ping_max" => Self::PingMax(one?),
            "auth_timeout" => Self::AuthTimeoutSecs(one?),
            "token" => Self::Token(one?),
            "user" => Self::User { name: one?, password: words.get(2)?.clone() },
            _ => return None,
        })
    }
}

#[derive(Clone, Debug)]
enum Step {
    Connect { name: String, options: String },
    Open(String),
    On(String),
    Reload,
    Closed,
    SendLines(Vec<u8>),
    Send(Vec<u8>),
    Expect(String),
    ExpectParts(Vec<String>),
}

/// A transcript, parsed.
#[derive(Debug)]
pub struct Transcript {
    file: String,
    settings: Vec<Setting>,
    steps: Vec<(usize, Step)>,
}

impl Transcript {
    /// Reads `tests/wire/NAME.txt`.
    pub fn read(name: &str) -> Self {
        let file = format!("tests/wire/{name}.txt");
        let text = std::fs::read_to_string(super::root().join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut transcript = Self { file, settings: Vec::new(), steps: Vec::new() };
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            if let Some(setting) = line.strip_prefix("@server ") {
                let parsed = Setting::parse(setting);
                transcript.settings.push(parsed.unwrap_or_else(|| panic!("{}:{number}: {line}", transcript.file)));
            } else if !line.is_empty() && !line.starts_with('#') {
                let step =
                    parse_step(line).unwrap_or_else(|| panic!("{}:{number}: cannot read {line:?}", transcript.file));
                match (transcript.steps.last_mut(), step) {
                    (Some((_, Step::SendLines(before))), Step::SendLines(more)) => before.extend(more),
                    (_, step) => transcript.steps.push((number, step)),
                }
            }
        }
        transcript
    }

    /// What the server must be started with.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// Plays it against the server at `address`.
    ///
    /// # Panics
    /// At the first line that differs, with the lines that went before it.
    pub fn play(&self, address: SocketAddr) {
        self.play_with(address, &mut || panic!("{}: this server has no other settings", self.file));
    }

    /// As [`Self::play`]; `reload` has the server take its other settings, and returns when it has.
    ///
    /// # Panics
    /// Likewise.
    pub fn play_with(&self, address: SocketAddr, reload: &mut dyn FnMut()) {
        let mut play = Play { address, connections: BTreeMap::new(), current: String::new(), heard: String::new() };
        for (number, step) in &self.steps {
            if matches!(step, Step::Reload) {
                reload();
            } else if let Err(difference) = play.step(step) {
                let before: Vec<&str> = play.heard.lines().collect();
                let before = before[before.len().saturating_sub(20)..].join("\n");
                panic!("{}:{number}: {difference}\nbefore it:\n{before}", self.file);
            }
        }
    }
}

fn parse_step(line: &str) -> Option<Step> {
    let (head, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.to_owned();
    Some(match head {
        "@connect" => {
            let (name, options) = rest.split_once(' ').unwrap_or((&rest, CONNECT));
            Step::Connect { name: name.to_owned(), options: options.to_owned() }
        }
        "@open" => Step::Open(rest),
        "@on" => Step::On(rest),
        "@reload" => Step::Reload,
        "@closed" => Step::Closed,
        ">" => Step::SendLines([unescape(&rest)?, b"\r\n".to_vec()].concat()),
        ">>" => Step::Send(unescape(&rest)?),
        "<" => Step::Expect(rest),
        "<~" => Step::ExpectParts(rest.split(" ¦ ").map(str::to_owned).collect()),
        _ => return None,
    })
}

/// The bytes that an escaped text stands for.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&kind, tail) = rest.split_first()?;
        rest = tail;
        match kind {
            b'r' => out.push(b'\r'),
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'0' => out.push(0),
            b'\\' => out.push(b'\\'),
            b'x' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                out.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &rest[2..];
            }
            b'(' => {
                let end = rest.iter().position(|&b| b == b')')?;
                let (byte, count) = std::str::from_utf8(&rest[..end]).ok()?.split_once('*')?;
                out.extend(byte.repeat(count.parse().ok()?).bytes());
                rest = &rest[end + 1..];
            }
            _ => return None,
        }
    }
    Some(out)
}

struct Play {
    address: SocketAddr,
    connections: BTreeMap<String, Connection>,
    current: String,
    heard: String,
}

impl Play {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Connect { name, options } => {
                self.open(name)?;
                let options = unescape(options).ok_or("bad escape")?;
                self.send(&[b"CONNECT ".as_slice(), &options, b"\r\nPING\r\n"].concat())?;
                self.expect(&|line| line.starts_with("INFO "), "INFO")?;
                self.expect(&|line| line == "PONG", "PONG")
            }
            Step::Open(name) => self.open(name),
            Step::On(name) if self.connections.contains_key(name) => {
                self.current.clone_from(name);
                Ok(())
            }
            Step::On(name) => Err(format!("no connection {name}")),
            Step::Reload => Ok(()),
            Step::Closed => self.closed(),
            Step::SendLines(bytes) | Step::Send(bytes) => self.send(bytes),
            Step::Expect(pattern) => self.expect(&|line| glob(pattern, line), pattern),
            Step::ExpectParts(parts) => {
                let fits =
                    |line: &str| line.starts_with(&parts[0]) && parts.iter().all(|part| line.contains(part.as_str()));
                self.expect(&fits, &parts.join(" ¦ "))
            }
        }
    }

    fn open(&mut self, name: &str) -> Result<(), String> {
        let stream = TcpStream::connect(self.address).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(LINE_LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        self.connections.insert(name.to_owned(), Connection { stream, buffer: Vec::new() });
        name.clone_into(&mut self.current);
        Ok(())
    }

    fn connection(&mut self) -> Result<&mut Connection, String> {
        self.connections.get_mut(&self.current).ok_or_else(|| "no connection yet: @connect or @open".to_owned())
    }

    fn note(&mut self, mark: &str, line: &str) {
        let shown: String = line.chars().take(160).collect();
        let _ = writeln!(self.heard, "  {} {mark} {}", self.current, shown.escape_debug());
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.note(">", &String::from_utf8_lossy(bytes));
        // A server that has closed already is found out by what is expected next.
        match self.connection()?.stream.write_all(bytes) {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn expect(&mut self, fits: &dyn Fn(&str) -> bool, wanted: &str) -> Result<(), String> {
        loop {
            match self.connection()?.line()? {
                None => return Err(format!("expected {wanted:?}, but the server closed the connection")),
                Some(line) => {
                    self.note("<", &line);
                    if fits(&line) {
                        return Ok(());
                    }
                    if line != "PING" {
                        return Err(format!("expected {wanted:?}, got {line:?}"));
                    }
                    self.send(b"PONG\r\n")?;
                }
            }
        }
    }

    fn closed(&mut self) -> Result<(), String> {
        match self.connection()?.line()? {
            None => Ok(()),
            Some(line) if line == "PING" => self.closed(),
            Some(line) => Err(format!("expected the end, got {line:?}")),
        }
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// The next line without its CRLF; `None` at the end of the stream.
    fn line(&mut self) -> Result<Option<String>, String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.drain(..end + 2).collect::<Vec<u8>>();
                return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
            }
            let mut chunk = [0; 65_536];
            match self.stream.read(&mut chunk) {
                Ok(0) if self.buffer.is_empty() => return Ok(None),
                Ok(0) => return Err(format!("the last line has no end: {:?}", String::from_utf8_lossy(&self.buffer))),
                Ok(len) => self.buffer.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(format!("no line within {LINE_LIMIT:?}: {error}")),
            }
        }
    }
}

/// True when `line` is `pattern`, in which `{}` stands for anything.
fn glob(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("{}");
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn patterns() {
    assert!(glob("MSG a {} 5", "MSG a 12 5"));
    assert!(glob("plain", "plain") && !glob("plain", "plain ") && !glob("a{}b", "ac"));
    assert_eq!(unescape(r"a\r\n\x41\(z*3)\\"), Some(b"a\r\nAzzz\\".to_vec()));
}
