//! Filters made to be dear to match: all combinations of `*` and a word over many tokens, and filters of two thousand
//! tokens, published to with ever new subjects so that no cache helps. Each publish must reach exactly whom it should.
use crate::Opts;
use crate::clock::*;
use crate::conn::Conn;
use crate::histogram::Hist;
use crate::json::Json;
use crate::payload::mix64;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering::*};

/// Tokens of which each is `*` or `a`: 16,384 filters.
const WIDTH: u32 = 14;
/// Filters of as many tokens as a line of 4,096 bytes has room for.
const LONG: u64 = 200;
const LONG_TOKENS: u64 = 1980;

pub fn deep(o: &Opts, stop: &AtomicBool) -> io::Result<Json> {
    let mut c = Conn::open(&o.addr, o, 1 << 20)?;
    let began = now_ns();
    let (mut sid, mut out) = (0, vec![]);
    for bits in 0..1u64 << WIDTH {
        sid += 1;
        write!(out, "SUB deep{}.> {sid}\r\n", tokens(WIDTH.into(), |at| bits >> at & 1 == 1, "*"))?;
    }
    for i in 0..LONG {
        sid += 1;
        let word = |at| mix64(i << 32 | at) & 1 == 0;
        write!(out, "SUB long{}.> {sid}\r\n", tokens(LONG_TOKENS, word, "*"))?;
    }
    c.s.write_all(&out)?;
    c.flush()?;
    let mut j = Json::default();
    j.u("filters", sid);
    j.f("subscribe_secs", (now_ns() - began) as f64 / 1e9);
    let (mut wide, mut long, mut delivered) = (Hist::new(), Hist::new(), 0);
    let mut n = 0u64;
    while !stop.load(SeqCst) {
        n += 1;
        // Mostly words, so that most filters match.
        let (some, more) = (mix64(n), mix64(n ^ 0xD33));
        let bits = (some | more) & ((1 << WIDTH) - 1);
        let subject = format!("deep{}.{n}", tokens(WIDTH.into(), |at| bits >> at & 1 == 1, "x"));
        delivered += publish(&mut c, &subject, 1 << bits.count_ones(), &mut wide)?;
        let subject = format!("long{}.{n}", tokens(LONG_TOKENS, |_| true, ""));
        delivered += publish(&mut c, &subject, LONG, &mut long)?;
    }
    j.u("publishes", 2 * n);
    j.u("deliveries", delivered);
    wide.json(&mut j, "wide_");
    long.json(&mut j, "long_");
    Ok(j)
}

fn tokens(count: u64, is_word: impl Fn(u64) -> bool, other: &str) -> String {
    (0..count).flat_map(|at| [".", if is_word(at) { "a" } else { other }]).collect()
}

fn publish(c: &mut Conn, subject: &str, expected: u64, h: &mut Hist) -> io::Result<u64> {
    let began = now_ns();
    c.s.write_all(format!("PUB {subject} 2\r\nhi\r\n").as_bytes())?;
    let got = c.flush()?;
    h.rec(now_ns() - began);
    if got != expected {
        let name = &subject[..subject.len().min(60)];
        return Err(io::Error::other(format!("{got} deliveries of {expected} for {name}")));
    }
    Ok(got)
}
