//! Clients that come and go: each subscribes, publishes a little to itself, and leaves after some seconds, in peace once
//! all that it published has come back, or by a TCP reset in the middle of a message.
use crate::Opts;
use crate::clock::*;
use crate::faults::Faults;
use crate::frame::Ev;
use crate::json::Json;
use crate::light::*;
use crate::payload::mix64;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::*};

/// Messages at the beginning of a life, and again at its end. Each comes back twice.
const PUBLISHED: u32 = 4;

#[derive(Default)]
struct Seat {
    c: Option<Light>,
    life: u64,
    /// When it leaves, or, while nobody is here, when the next comes.
    due: u64,
    pongs: u32,
    got: u32,
    leaving: bool,
}

#[derive(Default)]
struct Count {
    lives: u64,
    in_peace: u64,
    resets: u64,
    open_max_ns: u64,
}

struct Churn<'a> {
    o: &'a Opts,
    faults: &'a Faults,
    seats: Vec<Seat>,
    readable: Readable,
    scratch: Vec<u8>,
    count: Count,
}

pub fn churners(o: &Opts, faults: &Faults, end: &AtomicBool) -> io::Result<Json> {
    let mut all = Churn {
        o,
        faults,
        seats: vec![],
        readable: Readable::new()?,
        scratch: vec![0; 65536],
        count: Count::default(),
    };
    let now = now_ns();
    // The first come one by one, so that the leaving is spread from the beginning.
    let each = o.life * 1e9 / o.churners.max(1) as f64;
    all.seats = (0..o.churners).map(|i| Seat { due: now + (i as f64 * each) as u64, ..Seat::default() }).collect();
    while !end.load(SeqCst) {
        all.listen()?;
        all.sweep();
    }
    let left = all.seats.iter_mut().filter_map(|seat| seat.c.take());
    left.enumerate().filter(|(i, _)| i % 2 == 0).for_each(|(_, c)| c.reset());
    let mut j = Json::default();
    j.u("churners", o.churners as u64);
    j.u("churn_lives", all.count.lives);
    j.u("churn_left_in_peace", all.count.in_peace);
    j.u("churn_left_by_reset", all.count.resets);
    j.f("churn_connect_max_ms", all.count.open_max_ns as f64 / 1e6);
    Ok(j)
}

impl Churn<'_> {
    fn listen(&mut self) -> io::Result<()> {
        for i in self.readable.wait(20)? {
            let Seat { c: Some(c), life, pongs, got, .. } = &mut self.seats[i] else { continue };
            let mine = format!("{life:016}");
            let mut why = None;
            let open = c.read(&mut self.scratch, |ev| match ev {
                Ev::Pong => *pongs += 1,
                // What the one before published at last may only come now.
                Ev::Msg { body, .. } => *got += u32::from(body == mine.as_bytes()),
                Ev::Err(text) => why = Some(String::from_utf8_lossy(text).into_owned()),
            });
            if !matches!(open, Ok(true)) || why.is_some() {
                let why = why.or(open.err().map(|e| e.to_string()));
                self.faults.add(format!("churner lost: {}", why.unwrap_or("closed".into())));
                self.leave(i, false);
            }
        }
        Ok(())
    }

    fn sweep(&mut self) {
        for i in 0..self.seats.len() {
            let now = now_ns();
            let seat = &mut self.seats[i];
            let due = now >= seat.due;
            match &mut seat.c {
                None if due => {
                    if let Err(e) = self.enter(i) {
                        self.faults.add(format!("churner cannot connect: {e}"));
                        self.seats[i].due = now + 1_000_000_000;
                    }
                }
                None => {}
                Some(_) if seat.leaving && seat.pongs >= 2 => {
                    if seat.got != 4 * PUBLISHED {
                        let got = seat.got;
                        self.faults.add(format!("churner got {got} of {} messages to itself", 4 * PUBLISHED));
                    }
                    self.count.in_peace += 1;
                    self.leave(i, false);
                }
                Some(_) if now > seat.due + (self.o.timeout * 1e9) as u64 => {
                    self.faults.add(format!("churner without PONG for {} s", self.o.timeout));
                    self.leave(i, true);
                }
                Some(c) if due && !seat.leaving && seat.pongs > 0 => {
                    let peace = mix64(seat.life) & 1 == 0;
                    let end = if peace { "PING\r\n" } else { "PUB soak.churn.cut 100\r\nhalf a mess" };
                    let sent = c.send(format!("{}{end}", publishes(i, seat.life)).as_bytes());
                    seat.leaving = true;
                    if !peace || sent.is_err() {
                        self.count.resets += 1;
                        self.leave(i, true);
                    }
                }
                Some(c) => {
                    let _ = c.flush();
                }
            }
        }
    }

    fn enter(&mut self, i: usize) -> io::Result<()> {
        self.count.lives += 1;
        // Never the same life twice, in whichever seat.
        let life = self.count.lives;
        let greeting = format!(
            "SUB soak.churn.{i}.{life} 1\r\nSUB soak.churn.{i}.* 2\r\nSUB soak.churners.> q 3\r\n{}PING\r\n",
            publishes(i, life)
        );
        let began = now_ns();
        let c = Light::greet(self.o, &format!("churner{i}"), &greeting)?;
        self.readable.add(&c, i)?;
        let now = now_ns();
        self.count.open_max_ns = self.count.open_max_ns.max(now - began);
        let share = 0.5 + (mix64(life ^ 0xC4) >> 11) as f64 / (1u64 << 53) as f64;
        let due = now + (self.o.life * share * 1e9) as u64;
        self.seats[i] = Seat { c: Some(c), life, due, ..Seat::default() };
        Ok(())
    }

    fn leave(&mut self, i: usize, reset: bool) {
        match self.seats[i].c.take() {
            Some(c) if reset => c.reset(),
            _ => {}
        }
        self.seats[i].due = now_ns();
    }
}

fn publishes(i: usize, life: u64) -> String {
    format!("PUB soak.churn.{i}.{life} 16\r\n{life:016}\r\n").repeat(PUBLISHED as usize)
}
