//! One side of a conversation that a transcript cannot hold, as what is said depends on what was heard.
#![allow(dead_code, reason = "not every test says all of it")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub struct Line(BufReader<TcpStream>);

impl Line {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(BufReader::new(stream))
    }

    pub fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// The next line that is not the server's own PING; empty at the end.
    pub fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            if line != "PING\r\n" {
                return line.trim_end().to_owned();
            }
        }
    }

    /// The reply subject of the next message, which is passed over up to `last`.
    pub fn hear_request(&mut self, last: &str) -> String {
        let head = self.hear();
        while self.hear() != last {}
        head.split(' ').nth(3).unwrap().to_owned()
    }

    pub fn fence(&mut self) {
        self.say("PING\r\n");
        assert_eq!(self.hear(), "PONG");
    }
}

/// What INFO asks a client to sign.
pub fn nonce(info: &str) -> &str {
    info.split("\"nonce\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap()
}
