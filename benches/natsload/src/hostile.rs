//! One attack, and a victim that has nothing to do with it: requests one by one, measured alone, during it and after it.
//! What becomes of the attackers is each attack's own to check.
use crate::Opts;
use crate::clock::*;
use crate::conn::Conn;
use crate::faults::Faults;
use crate::histogram::Hist;
use crate::json::Json;
use crate::monitor::*;
use crate::process::{head, proc_stat, self_cpu};
use crate::request::in_phases;
use crate::{attacks, deep, million};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::thread;

type R = io::Result<(Json, Vec<String>)>;
const NAMES: [&str; 8] =
    ["loris", "half-tls", "huge-prefix", "deep-wildcards", "million-subs", "subs-limit", "auth-guess", "none"];

/// The victim's histograms: what is not counted, and the three phases.
const ASIDE: usize = 0;
const PHASES: [(usize, &str); 3] = [(1, "alone"), (2, "during"), (3, "after")];
const OVER: usize = 4;

pub fn hostile(o: &Opts) -> R {
    if o.monitor.is_empty() || o.pids.is_empty() {
        return Err(io::Error::other("hostile needs --monitor and --pid"));
    }
    if !NAMES.contains(&o.attack.as_str()) {
        return Err(io::Error::other(format!("--attack {:?} is none of {}", o.attack, NAMES.join(", "))));
    }
    let faults = Faults::default();
    let mut j = Json::default();
    head(&mut j, o);
    j.s("attack", &o.attack);
    let phase = Arc::new(AtomicUsize::new(ASIDE));
    let mut hists: Vec<Hist> = (0..OVER).map(|_| Hist::new()).collect();
    let outcome = thread::scope(|scope| {
        let victim = Opts { subject: "victim".into(), inflight: 1, pubs: 1, subs: 1, secs: 1e6, ..o.clone() };
        let (at, counts) = (&phase, &mut hists);
        let victim = scope.spawn(move || in_phases(&victim, at, counts));
        let outcome = phases(o, &phase, &faults);
        phase.store(OVER, SeqCst);
        match victim.join() {
            Ok(Ok((_, failures))) => failures.into_iter().for_each(|text| faults.add(format!("victim: {text}"))),
            Ok(Err(e)) => faults.add(format!("victim: {e}")),
            Err(_) => faults.add("the victim panicked"),
        }
        outcome
    })?;
    for (number, name) in PHASES {
        j.u(&format!("{name}_requests"), hists[number].n);
        hists[number].json(&mut j, &format!("{name}_"));
    }
    j.append(outcome);
    Ok((j, faults.list()))
}

/// Alone, then with the attack until it has left, then alone again.
fn phases(o: &Opts, phase: &AtomicUsize, faults: &Faults) -> io::Result<Json> {
    let secs = |secs: f64| sleep_until_ns(now_ns() + (secs * 1e9) as u64);
    let mut j = Json::default();
    secs(1.0);
    let start = full_sample(o)?;
    phase.store(PHASES[0].0, SeqCst);
    secs(o.secs);

    let (stop, gone) = (AtomicBool::new(false), AtomicBool::new(false));
    let curve = Curve::start(o, 250);
    let (used, mine) = (proc_stat(&o.pids).cpu, self_cpu());
    phase.store(PHASES[1].0, SeqCst);
    let (outcome, newcomers) = thread::scope(|scope| {
        let attack = scope.spawn(|| attack(o, faults, &stop));
        let newcomers = scope.spawn(|| newcomers(o, faults, &gone));
        secs(o.secs);
        stop.store(true, SeqCst);
        // Its leaving may be the worst of it.
        let outcome = attack.join();
        phase.store(ASIDE, SeqCst);
        gone.store(true, SeqCst);
        (outcome, newcomers.join())
    });
    j.f("during_server_cpu_s", proc_stat(&o.pids).cpu - used);
    j.f("during_gen_cpu_s", self_cpu() - mine);
    let (samples, missing) = curve.stop();
    match outcome {
        Ok(Ok(outcome)) => j.append(outcome),
        Ok(Err(e)) => faults.add(format!("attack: {e}")),
        Err(_) => faults.add("the attack panicked"),
    }
    j.append(newcomers.unwrap_or_default());
    j.f("leave_secs", until_gone(o, &start.varz, faults)?);

    phase.store(PHASES[2].0, SeqCst);
    secs(o.secs);
    let end = full_sample(o)?;
    j.u("monitor_missing", missing);
    j.u("rss_kb_start", start.rss_kb);
    j.u("rss_kb_max", highest(&samples));
    j.u("rss_kb_end", end.rss_kb);
    j.u("files_start", start.files);
    j.u("files_end", end.files);
    Ok(j)
}

/// Clients with the right login that come during the attack, four a second: how long until each is greeted.
fn newcomers(o: &Opts, faults: &Faults, stop: &AtomicBool) -> Json {
    let (mut greeted, mut refused) = (Hist::new(), 0);
    while !stop.load(SeqCst) {
        let began = now_ns();
        match Conn::open(&o.addr, o, 0) {
            Ok(_) => greeted.rec(now_ns() - began),
            Err(e) => {
                refused += 1;
                faults.add(format!("newcomer: {e}"));
            }
        }
        sleep_until_ns(began + 250_000_000);
    }
    let mut j = Json::default();
    j.u("newcomers", greeted.n);
    j.u("newcomers_refused", refused);
    greeted.json(&mut j, "newcomers_");
    j
}

fn attack(o: &Opts, faults: &Faults, stop: &AtomicBool) -> io::Result<Json> {
    match o.attack.as_str() {
        "loris" => attacks::loris(o.attackers).run(o, faults, stop),
        "half-tls" => attacks::half_tls(o.attackers).run(o, faults, stop),
        "huge-prefix" => attacks::huge_prefix(o.attackers).run(o, faults, stop),
        "auth-guess" => attacks::auth_guess(o.attackers).run(o, faults, stop),
        "deep-wildcards" => deep::deep(o, stop),
        "million-subs" => million::million(o, faults, stop),
        "subs-limit" => million::beyond_limit(o, faults, stop),
        _ => Ok(Json::default()),
    }
}
