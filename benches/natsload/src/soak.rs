//! Everything at once, for minutes: an idle crowd, clients that come and go, slow consumers, and the well-behaved load
//! whose every message is checked; what the server used meanwhile, and that nothing of it is left at the end.
use crate::Opts;
use crate::churners::churners;
use crate::clock::*;
use crate::crowd::crowd;
use crate::faults::Faults;
use crate::json::Json;
use crate::monitor::*;
use crate::pubsub::pubsub;
use crate::slow::slow;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::*};
use std::thread;

type R = io::Result<(Json, Vec<String>)>;

/// A generator that is later than this for one message in a hundred did not keep its rate.
const LATE_US: f64 = 20_000.0;

pub fn soak(o: &Opts) -> R {
    if o.monitor.is_empty() || o.pids.is_empty() {
        return Err(io::Error::other("soak needs --monitor and --pid"));
    }
    let faults = Faults::default();
    let start = full_sample(o)?;
    let curve = Curve::start(o, 1000);
    let began = now_ns();
    let mut parts = run(o, &faults);
    let ended = now_ns();
    let left = until_gone(o, &start.varz, &faults)?;
    sleep_until_ns(ended + LEAVE_NS);
    let end = full_sample(o)?;
    let (samples, missing) = curve.stop();

    let mut j = Json::default();
    // The load's own first value is its mode.
    j.s("mode", &o.mode);
    parts.load.kv.retain(|(k, _)| k != "mode");
    j.append(parts.load);
    parts.others.into_iter().for_each(|part| j.append(part));
    j.u("rss_kb_start", start.rss_kb);
    j.u("rss_kb_max", highest(&samples));
    j.u("rss_kb_end", end.rss_kb);
    let middle = |from: f64, to: f64| median(&samples, began, ended, from, to);
    j.u("rss_kb_second_quarter", middle(0.25, 0.5));
    j.u("rss_kb_last_quarter", middle(0.75, 1.0));
    for (name, of) in [("start", &start), ("end", &end)] {
        j.u(&format!("threads_{name}"), of.threads);
        j.u(&format!("files_{name}"), of.files);
        j.u(&format!("connections_{name}"), of.varz.connections);
        j.u(&format!("subscriptions_{name}"), of.varz.subscriptions);
    }
    if end.files > start.files + 8 {
        faults.add(format!("{} files open at the end, {} at the start", end.files, start.files));
    }
    j.u("connections_max", samples.iter().map(|s| s.varz.connections).max().unwrap_or(0));
    j.u("slow_consumers", end.varz.slow_consumers - start.varz.slow_consumers);
    j.f("leave_secs", left);
    j.u("monitor_missing", missing);
    let (late, behind) = (j.number("send_lag_p99_us"), j.number("pub_secs") - o.secs);
    let kept_up = late < LATE_US && behind < 0.01 * o.secs + 0.5;
    j.s("generator_kept_up", if kept_up { "yes" } else { "no" });
    if !kept_up {
        eprintln!("natsload: the rate was not kept: messages went out {late} µs late (p99), the last {behind:.2} s");
    }
    put(&mut j, &samples, began);
    Ok((j, faults.list()))
}

#[derive(Default)]
struct Parts {
    load: Json,
    others: Vec<Json>,
}

/// The crowd first; then all at once until the load has ended; then the churners and the slow leave, and the crowd last.
fn run(o: &Opts, faults: &Faults) -> Parts {
    let (here, end, end_of_crowd) = (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
    let mut parts = Parts::default();
    let mut take = |what: &str, result: thread::Result<io::Result<Json>>| match result {
        Ok(Ok(j)) => parts.others.push(j),
        Ok(Err(e)) => faults.add(format!("{what}: {e}")),
        Err(_) => faults.add(format!("{what} panicked")),
    };
    let mut load = None;
    thread::scope(|scope| {
        let crowd = scope.spawn(|| crowd(o, faults, &here, &end_of_crowd));
        while !here.load(SeqCst) && !crowd.is_finished() {
            sleep_until_ns(now_ns() + 10_000_000);
        }
        if here.load(SeqCst) {
            let churners = scope.spawn(|| churners(o, faults, &end));
            let slow = scope.spawn(|| slow(o, faults, &end));
            load = Some(pubsub(&Opts { mode: "lat".into(), ..o.clone() }));
            end.store(true, SeqCst);
            take("churners", churners.join());
            take("slow consumers", slow.join());
        }
        end_of_crowd.store(true, SeqCst);
        take("idle crowd", crowd.join());
    });
    match load {
        Some(Ok((j, failures))) => {
            parts.load = j;
            failures.into_iter().for_each(|failure| faults.add(failure));
        }
        Some(Err(e)) => faults.add(format!("load: {e}")),
        None => {}
    }
    parts
}

/// Of the resident memory between two shares of the time from `began` to `ended`.
fn median(samples: &[Sample], began: u64, ended: u64, from: f64, to: f64) -> u64 {
    let share = |s: &Sample| s.at.saturating_sub(began) as f64 / (ended - began) as f64;
    let mut values: Vec<u64> = samples.iter().filter(|s| (from..to).contains(&share(s))).map(|s| s.rss_kb).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}
