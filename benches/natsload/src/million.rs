//! A million subscriptions on one connection, what they cost, and how long until they are gone; and what becomes of those
//! beyond a limit.
use crate::Opts;
use crate::clock::*;
use crate::conn::{Conn, Ev};
use crate::faults::Faults;
use crate::json::Json;
use crate::monitor::*;
use crate::process::proc_stat;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering::*};
use std::time::Duration;

fn subs(range: std::ops::Range<u64>) -> Vec<u8> {
    let mut out = vec![];
    for i in range {
        let _ = write!(out, "SUB many.{}.{i} {}\r\n", i % 1000, i + 1);
    }
    out
}

/// Subscribes, leaves and waits until nothing is left, as often as there is time, but once at least.
pub fn million(o: &Opts, faults: &Faults, stop: &AtomicBool) -> io::Result<Json> {
    let n = o.subs_total as u64;
    let before = varz(o)?.subscriptions;
    let rss = proc_stat(&o.pids).rss_kb;
    let (mut rounds, mut subscribe, mut gone, mut most) = (0, 0.0f64, 0.0f64, 0);
    loop {
        rounds += 1;
        let mut c = Conn::open(&o.addr, o, 32768)?;
        let from = now_ns();
        for at in (0..n).step_by(10_000) {
            c.s.write_all(&subs(at..(at + 10_000).min(n)))?;
        }
        c.flush()?;
        subscribe = subscribe.max((now_ns() - from) as f64 / 1e9);
        let there = varz(o)?.subscriptions;
        if there < n {
            faults.add(format!("{there} subscriptions of {n} that were made"));
        }
        most = most.max(proc_stat(&o.pids).rss_kb);
        sleep_until_ns(now_ns() + 500_000_000);
        drop(c);
        let left = now_ns();
        while varz(o)?.subscriptions > before {
            if now_ns() - left > LEAVE_NS {
                faults.add(format!("{} subscriptions left after 10 s", varz(o)?.subscriptions));
                break;
            }
            sleep_until_ns(now_ns() + 5_000_000);
        }
        gone = gone.max((now_ns() - left) as f64 / 1e9);
        if stop.load(SeqCst) {
            break;
        }
    }
    let mut j = Json::default();
    j.u("rounds", rounds);
    j.u("subscriptions", n);
    j.f("subscribe_secs_max", subscribe);
    j.f("gone_secs_max", gone);
    j.u("rss_kb_with_subs", most);
    j.f("rss_bytes_per_sub", most.saturating_sub(rss) as f64 * 1024.0 / n as f64);
    Ok(j)
}

/// With a limit of `--live` subscriptions: those beyond must be refused, and must not count.
pub fn beyond_limit(o: &Opts, faults: &Faults, stop: &AtomicBool) -> io::Result<Json> {
    let (n, limit) = (o.subs_total as u64, o.live as u64);
    let before = varz(o)?.subscriptions;
    let mut j = Json::default();
    let (mut rounds, mut sent, mut closed) = (0u64, 0u64, 0u64);
    let mut texts: BTreeMap<String, u64> = BTreeMap::new();
    while !stop.load(SeqCst) || rounds == 0 {
        rounds += 1;
        let mut c = Conn::open(&o.addr, o, 65536)?;
        for at in (0..n).step_by(1000) {
            let end = (at + 1000).min(n);
            sent += end - at;
            if !ask(&mut c, &subs(at..end), &mut texts)? {
                closed += 1;
                break;
            }
            if stop.load(SeqCst) {
                break;
            }
        }
        let there = varz(o)?.subscriptions;
        if there > limit + before {
            faults.add(format!("{there} subscriptions with a limit of {limit}"));
        }
        drop(c);
    }
    let refused: u64 = texts.values().sum();
    if !texts.keys().any(|text| text.to_lowercase().contains("maximum subscriptions exceeded")) {
        faults.add(format!("no 'maximum subscriptions exceeded' among {texts:?}"));
    }
    j.u("rounds", rounds);
    j.u("subs_sent", sent);
    j.u("subs_refused", refused);
    j.u("closed", closed);
    let list: Vec<String> = texts.iter().map(|(text, n)| format!("{text:?}:{n}")).collect();
    j.raw("refusals", format!("{{{}}}", list.join(",")));
    Ok(j)
}

/// Sends and waits for a PONG, counting each -ERR. False when the server has closed.
fn ask(c: &mut Conn, bytes: &[u8], texts: &mut BTreeMap<String, u64>) -> io::Result<bool> {
    c.s.set_read_timeout(Some(Duration::from_secs(10)))?;
    if c.s.write_all(&[bytes, b"PING\r\n"].concat()).is_err() {
        return Ok(false);
    }
    let mut done = false;
    while !done {
        let open = matches!(c.fill(), Ok(n) if n > 0);
        c.parse(|ev| match ev {
            Ev::Err(text) => *texts.entry(String::from_utf8_lossy(text).into_owned()).or_default() += 1,
            Ev::Pong => done = true,
            Ev::Msg { .. } => {}
        })?;
        if !open {
            return Ok(false);
        }
    }
    Ok(true)
}
