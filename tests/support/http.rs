//! One request by HTTP, to look at the answer as it is.

use super::LIMIT;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// An answer by HTTP.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub kind: String,
    pub is_shared: bool,
    pub body: String,
}

impl Answer {
    /// Its body, which has to be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// What is at `path`.
pub fn get(at: SocketAddr, path: &str) -> Answer {
    ask(at, &format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n"))
}

/// The same, where there may be nobody.
pub fn try_get(at: SocketAddr, path: &str) -> io::Result<Answer> {
    try_ask(at, &format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n"))
}

/// The answer to a whole request.
pub fn ask(at: SocketAddr, request: &str) -> Answer {
    try_ask(at, request).unwrap_or_else(|error| panic!("{request:?}: {error}"))
}

fn try_ask(at: SocketAddr, request: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| io::Error::other(format!("no answer: {text:?}")))?;
    let header = |name: &str| {
        let found = head.lines().filter_map(|line| line.split_once(": "));
        found.filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    };
    Ok(Answer {
        code: head.split(' ').nth(1).unwrap().parse().unwrap(),
        kind: header("content-type").unwrap_or_default(),
        is_shared: header("access-control-allow-origin").is_some_and(|value| value == "*"),
        body: body.to_owned(),
    })
}
