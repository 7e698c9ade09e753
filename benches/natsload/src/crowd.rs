//! The idle crowd: thousands of connections with a subscription each that do nothing but answer PINGs, until a roll call
//! in which each must get one message and answer.
use crate::Opts;
use crate::clock::*;
use crate::conn::Conn;
use crate::faults::Faults;
use crate::frame::Ev;
use crate::json::Json;
use crate::light::*;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering::*};

/// How long the whole crowd may take to be there, and to answer at the end.
const PATIENCE_NS: u64 = 60_000_000_000;

#[derive(Default)]
struct Member {
    c: Option<Light>,
    pongs: u32,
    got: u32,
}

struct Crowd<'a> {
    o: &'a Opts,
    faults: &'a Faults,
    members: Vec<Member>,
    readable: Readable,
    scratch: Vec<u8>,
}

/// Says through `here` that all have come, stays until `end`, calls the roll and leaves.
pub fn crowd(o: &Opts, faults: &Faults, here: &AtomicBool, end: &AtomicBool) -> io::Result<Json> {
    let mut j = Json::default();
    let mut crowd = Crowd { o, faults, members: vec![], readable: Readable::new()?, scratch: vec![0; 65536] };
    let began = now_ns();
    for i in 0..o.conns {
        crowd.enter(i).map_err(|e| io::Error::other(format!("idle connection {i}: {e}")))?;
        if i % 64 == 63 {
            crowd.listen(0)?;
        }
    }
    crowd.until(|member| member.pongs > 0)?;
    j.u("idle_conns", o.conns as u64);
    j.f("idle_connect_secs", (now_ns() - began) as f64 / 1e9);
    here.store(true, SeqCst);
    while !end.load(SeqCst) {
        crowd.listen(200)?;
    }
    let asked = now_ns();
    crowd.call()?;
    crowd.until(|member| member.pongs > 1 && member.got > 0)?;
    let alive = crowd.members.iter().filter(|m| m.c.is_some() && m.pongs > 1).count();
    let heard = crowd.members.iter().filter(|m| m.got == 1).count();
    j.u("idle_alive", alive as u64);
    j.u("idle_heard", heard as u64);
    j.f("idle_roll_call_secs", (now_ns() - asked) as f64 / 1e9);
    if alive != o.conns || heard != o.conns {
        faults.add(format!("of {} idle connections {alive} answer PING, {heard} got their message once", o.conns));
    }
    Ok(j)
}

impl Crowd<'_> {
    fn enter(&mut self, i: usize) -> io::Result<()> {
        let c = Light::greet(self.o, &format!("idle{i}"), &format!("SUB soak.idle.{i} 1\r\nPING\r\n"))?;
        self.readable.add(&c, i)?;
        self.members.push(Member { c: Some(c), ..Member::default() });
        Ok(())
    }

    /// Hears whoever has something, waiting for at most so many milliseconds.
    fn listen(&mut self, ms: u16) -> io::Result<()> {
        for i in self.readable.wait(ms)? {
            let Member { c: Some(c), pongs, got } = &mut self.members[i] else { continue };
            let mut why = None;
            let open = c.read(&mut self.scratch, |ev| match ev {
                Ev::Pong => *pongs += 1,
                Ev::Msg { .. } => *got += 1,
                Ev::Err(text) => why = Some(String::from_utf8_lossy(text).into_owned()),
            });
            if !matches!(open, Ok(true)) || why.is_some() {
                let why = why.or(open.err().map(|e| e.to_string()));
                self.faults.add(format!("idle connection lost: {}", why.unwrap_or("closed".into())));
                self.members[i].c = None;
            }
        }
        Ok(())
    }

    /// Until `done` of all that are still connected, or patience ends.
    fn until(&mut self, done: impl Fn(&Member) -> bool) -> io::Result<()> {
        let from = now_ns();
        while self.members.iter().any(|m| m.c.is_some() && !done(m)) && now_ns() - from < PATIENCE_NS {
            self.listen(20)?;
            for c in self.members.iter_mut().filter_map(|m| m.c.as_mut()).filter(|c| !c.is_flushed()) {
                let _ = c.flush();
            }
        }
        Ok(())
    }

    fn call(&mut self) -> io::Result<()> {
        let mut caller = Conn::open(&self.o.addr, self.o, 32768)?;
        let mut out = vec![];
        for i in 0..self.members.len() {
            write!(out, "PUB soak.idle.{i} 2\r\nhi\r\n")?;
        }
        caller.s.write_all(&out)?;
        for c in self.members.iter_mut().filter_map(|m| m.c.as_mut()) {
            let _ = c.send(b"PING\r\n");
        }
        caller.flush()?;
        Ok(())
    }
}
