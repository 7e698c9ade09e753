//! Publishers and subscribers, closed loop (as fast as the slowest subscriber allows) or open loop (at a rate).
//! Every subscriber checks count, order, content and checksum.
use crate::Opts;
use crate::clock::*;
use crate::conn::{Conn, Ev};
use crate::histogram::Hist;
use crate::json::Json;
use crate::payload::*;
use crate::process::*;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

type R = io::Result<(Json, Vec<String>)>;
const SEQ_MASK: u64 = (1 << 48) - 1;
const PROBE: u64 = 0xFFFF_4F52_5042_4531;

#[repr(align(128))]
struct Pad(AtomicU64);
struct Shared {
    totals: Vec<AtomicU64>,
    sent: Vec<Pad>,
    got: Vec<Pad>,
    ready: Vec<AtomicBool>,
    fails: Mutex<Vec<String>>,
    stop: AtomicBool,
    started: AtomicBool,
    bitmap: Vec<Vec<AtomicU64>>, // per queue group
}
impl Shared {
    fn fail(&self, m: String) {
        self.fails.lock().unwrap().push(m);
        self.stop.store(true, SeqCst)
    }
}

struct Published {
    sent: u64,
    end: u64,
    /// How late each message was handed over.
    lag: Hist,
    /// Time inside of writes, when open loop.
    blocked: u64,
}

struct SubOut {
    cnt: u64,
    sum: u64,
    t_last: u64,
    hist: Hist,
    extra: u64,
}

pub fn pubsub(o: &Opts) -> R {
    let o = Arc::new(o.clone());
    let lat = o.mode == "lat";
    let nsub = if o.mode == "pub" { 0 } else { o.subs };
    let (np, k, g) = (o.pubs, o.subjects.max(1), o.queue_groups);
    if lat && o.size < 16 {
        return Err(io::Error::other("lat needs --size >= 16"));
    }
    if np < k || (nsub > 0 && nsub < k) {
        return Err(io::Error::other("--subjects must be <= --pubs and --subs"));
    }
    if g > 0 && (nsub / k) < g {
        return Err(io::Error::other("too few subs for the queue groups"));
    }
    let subj = |i: usize| if k == 1 { o.subject.clone() } else { format!("{}.{}", o.subject, i % k) };
    let pat = Arc::new(pattern(pat_len(&o)));
    let hb = Arc::new(header_block(o.headers));
    // receiver groups: (subject, members). Without queues each sub is its own group.
    let grp_of = |j: usize| -> usize { if g == 0 { j } else { (j % k) * g + (j / k) % g } };
    let ngrp = if nsub == 0 {
        0
    } else if g == 0 {
        nsub
    } else {
        k * g
    };
    let bm_words = if g > 0 { 1usize << 21 } else { 0 }; // 128M bits per (group): seq space hashed by pub
    let sh = Arc::new(Shared {
        totals: (0..np).map(|_| AtomicU64::new(u64::MAX)).collect(),
        sent: (0..np).map(|_| Pad(AtomicU64::new(0))).collect(),
        got: (0..ngrp).map(|_| Pad(AtomicU64::new(0))).collect(),
        ready: (0..nsub).map(|_| AtomicBool::new(false)).collect(),
        fails: Mutex::new(vec![]),
        stop: AtomicBool::new(false),
        started: AtomicBool::new(false),
        bitmap: (0..if g > 0 { ngrp } else { 0 }).map(|_| (0..bm_words).map(|_| AtomicU64::new(0)).collect()).collect(),
    });
    let mut subs = vec![];
    for j in 0..nsub {
        let (o, sh, pat, hb) = (o.clone(), sh.clone(), pat.clone(), hb.clone());
        let (s, gi) = (subj(j), grp_of(j));
        let feeds: Vec<bool> = (0..np).map(|p| p % k == j % k).collect();
        let mut c = Conn::open(&o.sub_addr, &o, o.rbuf.max(2 * (o.size + o.headers) + 8192))?;
        let q = if g > 0 { format!(" g{}", gi) } else { String::new() };
        c.s.write_all(format!("SUB {s}{q} 1\r\n").as_bytes())?;
        c.flush()?;
        subs.push(thread::spawn(move || sub_loop(j, gi, c, &o, &sh, &pat, &hb, &feeds)));
    }
    // Probe until interest has travelled to where we publish.
    if nsub > 0 {
        let mut c = Conn::open(&o.pub_addr, &o, 65536)?;
        let t0 = now_ns();
        let mut m = vec![];
        for i in 0..k {
            m.extend_from_slice(format!("PUB {} 12\r\n", subj(i)).as_bytes());
            m.extend_from_slice(&PROBE.to_le_bytes());
            m.extend_from_slice(b"prob\r\n");
        }
        while !sh.ready.iter().all(|r| r.load(SeqCst)) {
            if sh.stop.load(SeqCst) || now_ns() - t0 > (o.timeout * 1e9) as u64 {
                let n = sh.ready.iter().filter(|r| r.load(SeqCst)).count();
                sh.fail(format!("only {n} of {nsub} subscribers got a probe"));
                break;
            }
            c.s.write_all(&m)?;
            c.flush()?;
            thread::sleep(Duration::from_millis(10));
        }
    }
    thread::sleep(Duration::from_millis(o.settle));
    let bar = Arc::new(Barrier::new(np + 1));
    let t_start = Arc::new(AtomicU64::new(0));
    let mut pubs = vec![];
    for p in 0..np {
        let (o, sh, pat, hb, bar, ts) = (o.clone(), sh.clone(), pat.clone(), hb.clone(), bar.clone(), t_start.clone());
        let s = subj(p);
        let grps: Vec<usize> = {
            let mut v: Vec<usize> = (0..nsub).filter(|j| j % k == p % k).map(grp_of).collect();
            v.sort();
            v.dedup();
            v
        };
        let peers: Vec<usize> = (0..np).filter(|q| q % k == p % k).collect();
        let c = Conn::open(&o.pub_addr, &o, 65536)?;
        pubs.push(thread::spawn(move || {
            let r = pub_loop(p, c, &o, &sh, &pat, &hb, &s, &grps, &peers, &bar, &ts);
            if let Err(e) = &r {
                sh.fail(format!("publisher {p}: {e}"))
            }
            r.ok()
        }));
    }
    let (ps0, me0) = (proc_stat(&o.pids), self_cpu());
    let ts = now_ns();
    t_start.store(ts + 1_000_000, SeqCst);
    sh.started.store(true, SeqCst);
    bar.wait();
    let mut lag = Hist::new();
    let (mut t_end, mut blocked) = (0, 0u64);
    let mut sent = 0;
    for h in pubs {
        if let Some(one) = h.join().unwrap() {
            sent += one.sent;
            t_end = t_end.max(one.end);
            blocked = blocked.max(one.blocked);
            lag.merge(&one.lag)
        }
    }
    let t_pub = t_end;
    let mut hist = Hist::new();
    let (mut got, mut t_sub) = (0u64, 0u64);
    let mut grp_sum = vec![0u64; ngrp];
    let mut grp_cnt = vec![0u64; ngrp];
    let mut extra = 0;
    for (j, h) in subs.into_iter().enumerate() {
        let r = h.join().unwrap();
        got += r.cnt;
        t_sub = t_sub.max(r.t_last);
        hist.merge(&r.hist);
        extra += r.extra;
        grp_sum[grp_of(j)] = grp_sum[grp_of(j)].wrapping_add(r.sum);
        grp_cnt[grp_of(j)] += r.cnt;
    }
    let (ps1, me1) = (proc_stat(&o.pids), self_cpu());
    // verify (a publisher that failed has published an unknown number: count it as 0, the run has failed anyway)
    for t in &sh.totals {
        let _ = t.compare_exchange(u64::MAX, 0, SeqCst, SeqCst);
    }
    let mut chk = 0u64;
    if nsub > 0 {
        let psum: Vec<u64> = (0..np)
            .map(|p| {
                if o.size < 8 {
                    0
                } else {
                    (0..sh.totals[p].load(SeqCst)).fold(0u64, |a, s| a.wrapping_add(mix64((p as u64) << 48 | s)))
                }
            })
            .collect();
        for gi in 0..ngrp {
            let sj = gi.checked_div(g).unwrap_or(gi % k);
            let (mut es, mut ec) = (0u64, 0u64);
            for p in (0..np).filter(|p| p % k == sj) {
                es = es.wrapping_add(psum[p]);
                ec += sh.totals[p].load(SeqCst)
            }
            if grp_cnt[gi] != ec {
                sh.fail(format!("receiver group {gi}: {} of {ec} messages", grp_cnt[gi]))
            } else if grp_sum[gi] != es {
                sh.fail(format!("receiver group {gi}: checksum mismatch"))
            }
            chk ^= grp_sum[gi].rotate_left(gi as u32);
        }
        if extra > 0 {
            sh.fail(format!("{extra} messages beyond the expected"))
        }
    }
    let t1 = if nsub > 0 { t_sub } else { t_end };
    let secs = (t1.saturating_sub(ts)) as f64 / 1e9;
    let mut j = Json::default();
    head(&mut j, &o);
    j.u("pubs", np as u64);
    j.u("subs", nsub as u64);
    j.u("subjects", k as u64);
    j.u("queue_groups", g as u64);
    j.u("size", o.size as u64);
    j.u("headers", hb.len() as u64);
    j.u("sent", sent);
    j.u("delivered", got);
    j.f("secs", secs);
    j.f("pub_secs", (t_pub.saturating_sub(ts)) as f64 / 1e9);
    j.f("sent_per_s", sent as f64 / secs);
    j.f("delivered_per_s", got as f64 / secs);
    j.f("payload_mb_per_s", (if nsub > 0 { got } else { sent }) as f64 * o.size as f64 / secs / 1e6);
    if lat {
        j.f("rate", o.rate);
        hist.json(&mut j, "");
        lag.json(&mut j, "send_lag_");
        j.f("write_secs_max", blocked as f64 / 1e9);
    }
    cpu(&mut j, &o, ps0, ps1, me1 - me0, sent, got);
    j.s("checksum", &format!("{chk:016x}"));
    let f = sh.fails.lock().unwrap().clone();
    Ok((j, f))
}

#[allow(clippy::too_many_arguments)]
fn pub_loop(
    p: usize,
    mut c: Conn,
    o: &Opts,
    sh: &Shared,
    pat: &[u8],
    hb: &[u8],
    subj: &str,
    grps: &[usize],
    peers: &[usize],
    bar: &Barrier,
    ts: &AtomicU64,
) -> io::Result<Published> {
    let lat = o.mode == "lat";
    let one = subj.len() + 24 + o.size + hb.len();
    let mut nb = (o.batch / one).max(1).min(o.max_batch_msgs);
    let maxw = nb; // messages per write
    nb = nb.div_ceil(16) * 16;
    let id = p as u64;
    let mut b = Batch::new(|_| subj.to_string(), nb, o, pat, id, hb);
    let window = if o.window == 0 || grps.is_empty() { u64::MAX } else { (o.window / one as u64).max(64) };
    let mut lag = Hist::new();
    let mut blocked = 0;
    c.s.set_write_timeout(Some(Duration::from_secs_f64(o.timeout.max(1.0))))?;
    bar.wait();
    let t0 = ts.load(SeqCst);
    let mut seq = 0u64;
    let mut next_poll = now_ns() + 50_000_000;
    if lat {
        tight_timer();
        let iv = 1e9 * o.pubs as f64 / o.rate;
        let tick = o.tick as f64 * 1e3;
        let first = t0 as f64 + iv.max(tick) * p as f64 / o.pubs as f64 + 1e6;
        // With ticks, what falls into one is due together at its beginning.
        let due_of = |seq: u64| {
            let at = iv * seq as f64;
            (first + if tick > 0.0 { (at / tick).floor() * tick } else { at }) as u64
        };
        let n = if o.msgs > 0 { o.msgs } else { (o.secs * 1e9 / iv) as u64 };
        while seq < n && !sh.stop.load(Relaxed) {
            let due = due_of(seq);
            let mut now = now_ns();
            if now < due {
                sleep_until_ns(due);
                now = now_ns()
            }
            // everything due by now goes out in one write, up to the batch
            let i0 = (seq % nb as u64) as usize;
            let mut i = i0;
            while i < nb && i - i0 < maxw && seq < n {
                let d = due_of(seq);
                if d > now {
                    break;
                }
                b.patch(i, id << 48 | seq, d, o.size, pat, o.random);
                lag.rec(now - d);
                i += 1;
                seq += 1;
            }
            let st = if i0 == 0 { 0 } else { b.ends[i0 - 1] };
            if i > i0 {
                let (e, s) = (b.ends[i - 1], st);
                c.s.write_all(&b.buf[s..e])?;
                blocked += now_ns() - now;
            }
            sh.sent[p].0.store(seq, Release);
            if now > next_poll {
                c.poll_nb()?;
                next_poll = now + 50_000_000
            }
        }
    } else {
        let t_stop = if o.msgs > 0 { u64::MAX } else { now_ns() + (o.secs * 1e9) as u64 };
        let n = if o.msgs > 0 { o.msgs } else { u64::MAX };
        'out: while seq < n {
            let m = nb.min((n - seq) as usize);
            for i in 0..m {
                let h = id << 48 | (seq + i as u64);
                b.patch(i, h, mix64(h), o.size, pat, o.random);
            }
            let mut i = 0;
            while i < m {
                if window != u64::MAX {
                    let mut spins = 0u32;
                    loop {
                        let s: u64 = peers.iter().map(|q| sh.sent[*q].0.load(Relaxed)).sum();
                        if grps.iter().all(|g| s.saturating_sub(sh.got[*g].0.load(Acquire)) <= window) {
                            break;
                        }
                        if sh.stop.load(Relaxed) {
                            break 'out;
                        }
                        spins += 1;
                        thread::sleep(Duration::from_micros(if spins < 10 { 50 } else { 200 }));
                        if spins.is_multiple_of(512) {
                            c.poll_nb()?
                        }
                    }
                }
                let e = (i + maxw).min(m);
                let st = if i == 0 { 0 } else { b.ends[i - 1] };
                c.s.write_all(&b.buf[st..b.ends[e - 1]])?;
                seq += (e - i) as u64;
                sh.sent[p].0.store(seq, Release);
                i = e;
                if maxw == 1 && i % 64 != 0 && i != m {
                    continue;
                }
                let now = now_ns();
                if now > next_poll {
                    c.poll_nb()?;
                    next_poll = now + 50_000_000
                }
                if (now >= t_stop && i == m) || sh.stop.load(Relaxed) {
                    break 'out;
                }
            }
        }
    }
    sh.totals[p].store(seq, SeqCst);
    c.flush()?;
    Ok(Published { sent: seq, end: now_ns(), lag, blocked })
}

#[allow(clippy::too_many_arguments)]
fn sub_loop(j: usize, gi: usize, mut c: Conn, o: &Opts, sh: &Shared, pat: &[u8], hb: &[u8], feeds: &[bool]) -> SubOut {
    let lat = o.mode == "lat";
    let queue = o.queue_groups > 0;
    let np = feeds.len();
    let mut next = vec![0u64; np];
    let mut out = SubOut { cnt: 0, sum: 0, t_last: 0, hist: Hist::new(), extra: 0 };
    let mut exp = u64::MAX;
    let mut bad: Option<String> = None;
    let mut idle_since = now_ns();
    let size = o.size;
    let mut t = now_ns();
    let mut first_read = false;
    loop {
        let before = out.cnt;
        let (cnt, sum, hist) = (&mut out.cnt, &mut out.sum, &mut out.hist);
        let r = c.parse(|ev| match ev {
            Ev::Msg { hdr, body, .. } => {
                if body.len() == 12 && body[..8] == PROBE.to_le_bytes() {
                    if !sh.ready[j].load(Relaxed) {
                        sh.ready[j].store(true, SeqCst)
                    }
                    return;
                }
                if bad.is_some() {
                    return;
                }
                if body.len() != size {
                    bad = Some(format!("length {} not {size}", body.len()));
                    return;
                }
                if size >= 8 {
                    let h = u64::from_le_bytes(body[..8].try_into().unwrap());
                    let (p, seq) = ((h >> 48) as usize, h & SEQ_MASK);
                    if p >= np || !feeds[p] {
                        bad = Some(format!("message of publisher {p}"));
                        return;
                    }
                    if queue {
                        if seq < next[p] {
                            bad = Some(format!("publisher {p}: seq {seq} after {}", next[p]));
                            return;
                        }
                        let bit = (seq as usize * np + p) & (sh.bitmap[gi].len() * 64 - 1);
                        // one bit per message; the window is far smaller than the map, each wrap flips the meaning
                        let wrap = ((seq as usize * np + p) / (sh.bitmap[gi].len() * 64)) & 1;
                        let m = 1u64 << (bit & 63);
                        let old = if wrap == 0 {
                            sh.bitmap[gi][bit >> 6].fetch_or(m, Relaxed) & m != 0
                        } else {
                            sh.bitmap[gi][bit >> 6].fetch_and(!m, Relaxed) & m == 0
                        };
                        if old {
                            bad = Some(format!("publisher {p}: seq {seq} delivered twice in group {gi}"));
                            return;
                        }
                    } else if seq != next[p] {
                        bad = Some(format!("publisher {p}: seq {seq}, expected {}", next[p]));
                        return;
                    }
                    next[p] = seq + 1;
                    let mx = mix64(h);
                    *sum = sum.wrapping_add(mx);
                    if size >= 16 {
                        let w = u64::from_le_bytes(body[8..16].try_into().unwrap());
                        if lat {
                            hist.rec(t.saturating_sub(w))
                        } else if w != mx {
                            bad = Some(format!("publisher {p}: seq {seq}: bad check word"));
                            return;
                        }
                        let f = poff(h, o.random);
                        if body[16..] != pat[f + 16..f + size] {
                            bad = Some(format!("publisher {p}: seq {seq}: payload damaged"));
                            return;
                        }
                    }
                }
                if hdr != hb {
                    bad = Some("headers damaged".into());
                    return;
                }
                *cnt += 1;
            }
            Ev::Err(e) => bad = Some(String::from_utf8_lossy(e).into_owned()),
            Ev::Pong => {}
        });
        if let Err(e) = r {
            bad = Some(e.to_string())
        }
        if let Some(b) = &bad {
            sh.fail(format!("subscriber {j}: {b}"));
            return out;
        }
        if out.cnt != before {
            out.t_last = t;
            idle_since = t;
            if queue {
                sh.got[gi].0.fetch_add(out.cnt - before, Release);
            } else {
                sh.got[gi].0.store(out.cnt, Release)
            }
        }
        if exp == u64::MAX && (0..np).filter(|p| feeds[*p]).all(|p| sh.totals[p].load(SeqCst) != u64::MAX) {
            exp = (0..np).filter(|p| feeds[*p]).map(|p| sh.totals[p].load(SeqCst)).sum();
        }
        if sh.got[gi].0.load(Acquire) >= exp {
            break;
        }
        if !first_read {
            first_read = true
        }
        match c.fill() {
            Ok(0) => {
                if !sh.stop.load(SeqCst) {
                    sh.fail(format!("subscriber {j}: closed by server after {} messages", out.cnt))
                }
                return out;
            }
            Ok(_) => t = now_ns(),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                t = now_ns();
                if sh.stop.load(SeqCst) {
                    return out;
                }
                if sh.started.load(SeqCst) && t - idle_since > (o.timeout * 1e9) as u64 {
                    sh.fail(format!("subscriber {j}: nothing for {} s after {} messages", o.timeout, out.cnt));
                    return out;
                }
                if !sh.started.load(SeqCst) {
                    idle_since = t
                }
            }
            Err(e) => {
                sh.fail(format!("subscriber {j}: {e}"));
                return out;
            }
        }
    }
    match c.flush() {
        Ok(n) => out.extra = n,
        Err(e) => sh.fail(format!("subscriber {j}: {e}")),
    }
    out
}
