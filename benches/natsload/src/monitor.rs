//! What the server says of itself on its monitoring port, beside what the system says of its process, as a curve.
use crate::Opts;
use crate::clock::*;
use crate::faults::Faults;
use crate::json::Json;
use crate::process::proc_stat;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::*};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long the server may have connections or subscriptions of those who have left.
pub const LEAVE_NS: u64 = 10_000_000_000;

#[derive(Clone, Copy, Debug, Default)]
pub struct Varz {
    pub connections: u64,
    pub subscriptions: u64,
    pub slow_consumers: u64,
}

/// Asks `--monitor` for /varz.
pub fn varz(o: &Opts) -> io::Result<Varz> {
    let mut s = crate::conn::tcp(&o.monitor)?;
    s.set_read_timeout(Some(Duration::from_secs(10)))?;
    s.write_all(format!("GET /varz HTTP/1.0\r\nHost: {}\r\n\r\n", o.monitor).as_bytes())?;
    let mut text = String::new();
    s.read_to_string(&mut text)?;
    let number = |key: &str| {
        let (_, rest) = text.split_once(&format!("\"{key}\":"))?;
        rest.trim_start().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let missing = |key: &str| io::Error::other(format!("/varz has no {key}"));
    Ok(Varz {
        connections: number("connections").ok_or_else(|| missing("connections"))?,
        subscriptions: number("subscriptions").ok_or_else(|| missing("subscriptions"))?,
        slow_consumers: number("slow_consumers").ok_or_else(|| missing("slow_consumers"))?,
    })
}

/// Waits until the server has no more than it had at the start: how many seconds that took.
pub fn until_gone(o: &Opts, start: &Varz, faults: &Faults) -> io::Result<f64> {
    let from = now_ns();
    loop {
        let now = varz(o)?;
        let secs = (now_ns() - from) as f64 / 1e9;
        if now.connections <= start.connections && now.subscriptions <= start.subscriptions {
            return Ok(secs);
        }
        if now_ns() - from > LEAVE_NS {
            faults.add(format!(
                "{secs:.0} s after all have left, {} connections and {} subscriptions remain of {} and {} at the start",
                now.connections, now.subscriptions, start.connections, start.subscriptions
            ));
            return Ok(secs);
        }
        sleep_until_ns(now_ns() + 100_000_000);
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    pub at: u64,
    pub rss_kb: u64,
    pub threads: u64,
    /// Files that the process has open, which leftover connections are part of.
    pub files: u64,
    pub varz: Varz,
}

pub fn sample(o: &Opts) -> io::Result<Sample> {
    let at = now_ns();
    let p = proc_stat(&o.pids);
    let varz = if o.monitor.is_empty() { Varz::default() } else { varz(o)? };
    Ok(Sample { at, rss_kb: p.rss_kb, threads: p.threads, files: 0, varz })
}

/// As `sample`, with the open files: too dear to count each second when there are ten thousand.
pub fn full_sample(o: &Opts) -> io::Result<Sample> {
    let count = |p: &u32| std::fs::read_dir(format!("/proc/{p}/fd")).map_or(0, |files| files.count() as u64);
    Ok(Sample { files: o.pids.iter().map(count).sum(), ..sample(o)? })
}

/// Samples taken at regular times by a thread of their own.
pub struct Curve {
    end: Arc<AtomicBool>,
    thread: JoinHandle<(Vec<Sample>, u64)>,
}

impl Curve {
    pub fn start(o: &Opts, every_ms: u64) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let (o, over) = (o.clone(), end.clone());
        let thread = thread::spawn(move || {
            let (mut samples, mut missing, mut due) = (vec![], 0, now_ns());
            while !over.load(SeqCst) {
                match sample(&o) {
                    Ok(one) => samples.push(one),
                    Err(_) => missing += 1,
                }
                due = (due + every_ms * 1_000_000).max(now_ns());
                while now_ns() < due && !over.load(SeqCst) {
                    sleep_until_ns(due.min(now_ns() + 100_000_000));
                }
            }
            (samples, missing)
        });
        Self { end, thread }
    }

    /// The samples, and how often the server did not answer.
    pub fn stop(self) -> (Vec<Sample>, u64) {
        self.end.store(true, SeqCst);
        self.thread.join().unwrap_or_default()
    }
}

pub fn highest(samples: &[Sample]) -> u64 {
    samples.iter().map(|s| s.rss_kb).max().unwrap_or(0)
}

/// One list of figures for each value, by the same seconds since `from`.
pub fn put(j: &mut Json, samples: &[Sample], from: u64) {
    let mut list = |name: &str, value: &dyn Fn(&Sample) -> String| {
        let values: Vec<String> = samples.iter().map(value).collect();
        j.raw(&format!("curve_{name}"), format!("[{}]", values.join(",")));
    };
    list("secs", &|s| format!("{:.1}", (s.at as f64 - from as f64) / 1e9));
    list("rss_kb", &|s| s.rss_kb.to_string());
    list("threads", &|s| s.threads.to_string());
    list("connections", &|s| s.varz.connections.to_string());
    list("subscriptions", &|s| s.varz.subscriptions.to_string());
    list("slow_consumers", &|s| s.varz.slow_consumers.to_string());
}
