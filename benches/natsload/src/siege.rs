//! Attackers by the dozen, each following a script: connect, say the opening, let the rest drip, and begin again once the
//! server has thrown it out. What is kept is how each ended: by which -ERR, and after how long.
use crate::Opts;
use crate::clock::*;
use crate::conn::tcp;
use crate::faults::Faults;
use crate::histogram::Hist;
use crate::json::Json;
use crate::light::Readable;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::*};

const DRIP_NS: u64 = 200_000_000;

pub struct Script {
    pub name: &'static str,
    pub opening: Vec<u8>,
    /// What follows, one byte after the other.
    pub drip: &'static [u8],
    /// Must be part of how it ends.
    pub expect: &'static str,
}

pub struct Siege {
    pub scripts: Vec<Script>,
    pub attackers: usize,
    /// Longer than this no attacker may stay.
    pub limit_secs: f64,
}

struct Seat {
    s: TcpStream,
    script: usize,
    began: u64,
    dripped: usize,
    err: Option<String>,
    /// The server has answered in TLS.
    tls: bool,
}

struct Field<'a> {
    o: &'a Opts,
    siege: &'a Siege,
    faults: &'a Faults,
    seats: Vec<Option<Seat>>,
    readable: Readable,
    /// How it ended, by script.
    fates: BTreeMap<(usize, String), Hist>,
}

impl Siege {
    pub fn run(&self, o: &Opts, faults: &Faults, stop: &AtomicBool) -> io::Result<Json> {
        let began = now_ns();
        let seats = (0..self.attackers).map(|_| None).collect();
        let mut field = Field { o, siege: self, faults, seats, readable: Readable::new()?, fates: BTreeMap::default() };
        let mut swept = 0;
        while !stop.load(SeqCst) {
            field.listen()?;
            if now_ns() - swept > DRIP_NS {
                swept = now_ns();
                field.sweep();
            }
        }
        Ok(field.result(now_ns() - began))
    }
}

impl Field<'_> {
    fn listen(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16384];
        for i in self.readable.wait(20)? {
            let Some(seat) = &mut self.seats[i] else { continue };
            let end = match seat.s.read(&mut buffer) {
                Ok(0) => "closed",
                Ok(n) => {
                    seat.hear(&buffer[..n]);
                    continue;
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => continue,
                Err(_) => "reset",
            };
            self.ended(i, end);
            self.enter(i);
        }
        Ok(())
    }

    /// Who is not there comes, who drips lets the next byte go, and who stays too long is noted.
    fn sweep(&mut self) {
        for i in 0..self.seats.len() {
            let Some(seat) = &mut self.seats[i] else {
                self.enter(i);
                continue;
            };
            let script = &self.siege.scripts[seat.script];
            if !script.drip.is_empty() {
                let byte = script.drip[seat.dripped % script.drip.len()];
                seat.dripped += usize::from(seat.s.write(&[byte]).is_ok());
            }
            if (now_ns() - seat.began) as f64 / 1e9 > self.siege.limit_secs {
                self.faults.add(format!("{}: still connected after {} s", script.name, self.siege.limit_secs));
                self.ended(i, "still connected");
            }
        }
    }

    fn enter(&mut self, i: usize) {
        let script = i % self.siege.scripts.len();
        let open = || -> io::Result<TcpStream> {
            let mut s = tcp(&self.o.addr)?;
            s.set_nodelay(true)?;
            s.set_nonblocking(true)?;
            s.write_all(&self.siege.scripts[script].opening)?;
            self.readable.add_stream(&s, i)?;
            Ok(s)
        };
        let began = now_ns();
        match open() {
            Ok(s) => self.seats[i] = Some(Seat { s, script, began, dripped: 0, err: None, tls: false }),
            // It comes again with the next sweep.
            Err(e) => self.fates.entry((script, format!("cannot connect: {e}"))).or_insert_with(Hist::new).rec(0),
        }
    }

    fn ended(&mut self, i: usize, end: &str) {
        let Some(seat) = self.seats[i].take() else { return };
        let script = &self.siege.scripts[seat.script];
        let how = match seat.err {
            Some(text) => format!("{text}, {end}"),
            None if seat.tls => format!("{end} after its part of the handshake"),
            None => end.to_string(),
        };
        if !how.to_lowercase().contains(&script.expect.to_lowercase()) {
            self.faults.add(format!("{}: {how}, expected {}", script.name, script.expect));
        }
        self.fates.entry((seat.script, how)).or_insert_with(Hist::new).rec(now_ns() - seat.began);
    }

    fn result(self, ns: u64) -> Json {
        let mut j = Json::default();
        j.u("attackers", self.seats.len() as u64);
        let ended: u64 = self.fates.values().map(|fate| fate.n).sum();
        j.u("attackers_ended", ended);
        j.f("attackers_ended_per_s", ended as f64 / (ns as f64 / 1e9));
        let fate = |((script, how), fate): (&(usize, String), &Hist)| {
            let secs = |ns: u64| ns as f64 / 1e9;
            format!(
                "{{\"script\":{:?},\"end\":{how:?},\"times\":{},\"p50_s\":{:.4},\"max_s\":{:.4}}}",
                self.siege.scripts[*script].name,
                fate.n,
                secs(fate.q(0.5)),
                secs(fate.max)
            )
        };
        let fates: Vec<String> = self.fates.iter().map(fate).collect();
        j.raw("fates", format!("[{}]", fates.join(",")));
        for (i, script) in self.siege.scripts.iter().enumerate() {
            let none = !self.fates.keys().any(|(of, _)| *of == i);
            if none && (ns as f64 / 1e9) > self.siege.limit_secs {
                self.faults.add(format!("{}: nobody was thrown out", script.name));
            }
        }
        j
    }
}

impl Seat {
    fn hear(&mut self, bytes: &[u8]) {
        // The header of a handshake's record: it may follow INFO in the same read.
        self.tls |= memchr::memmem::find(bytes, b"\x16\x03\x03").is_some();
        if let Some(at) = memchr::memmem::find(bytes, b"-ERR") {
            let line = bytes[at..].split(|b| *b == b'\r').next().unwrap_or_default();
            self.err = Some(String::from_utf8_lossy(line).into_owned());
        }
    }
}
