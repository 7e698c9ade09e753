//! Requests and replies: closed loop, a fixed number in flight, each reply checked against its request.
use crate::Opts;
use crate::clock::*;
use crate::conn::{Conn, Ev};
use crate::histogram::Hist;
use crate::json::Json;
use crate::payload::*;
use crate::process::*;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

type R = io::Result<(Json, Vec<String>)>;

pub fn req(o: &Opts) -> R {
    in_phases(o, &Arc::new(AtomicUsize::new(0)), &mut [Hist::new()])
}

/// As `req`, with each answer counted in the histogram that `phase` names at that time; past the last all end.
pub fn in_phases(o: &Opts, phase: &Arc<AtomicUsize>, hists: &mut [Hist]) -> R {
    if o.size < 16 {
        return Err(io::Error::other("req needs --size >= 16"));
    }
    let o = Arc::new(o.clone());
    let pat = Arc::new(pattern(o.size));
    let stop = Arc::new(AtomicBool::new(false));
    let fails = Arc::new(Mutex::new(Vec::<String>::new()));
    // All before the first thread, which would otherwise outlive a failure.
    let open = |addr: &str, n: usize| (0..n).map(|_| Conn::open(addr, &o, o.rbuf)).collect::<io::Result<Vec<_>>>();
    let (responders, requesters) = (open(&o.sub_addr, o.subs)?, open(&o.pub_addr, o.pubs)?);
    let mut resp = vec![];
    for (r, mut c) in responders.into_iter().enumerate() {
        c.s.write_all(format!("SUB {}.req q 1\r\n", o.subject).as_bytes())?;
        c.flush()?;
        let (stop, fails) = (stop.clone(), fails.clone());
        resp.push(thread::spawn(move || -> u64 {
            let (mut n, mut w) = (0u64, Vec::with_capacity(1 << 17));
            let mut go = || -> io::Result<()> {
                loop {
                    w.clear();
                    let mut err = None;
                    c.parse(|ev| match ev {
                        Ev::Msg { line, body, .. } => {
                            let mut it = line.split(|b| *b == b' ').skip(3); // MSG subj sid reply len
                            let reply = it.next().unwrap_or(b"");
                            if it.next().is_none() {
                                return;
                            }
                            w.extend_from_slice(b"PUB ");
                            w.extend_from_slice(reply);
                            let _ = write!(w, " {}\r\n", body.len());
                            w.extend_from_slice(body);
                            w.extend_from_slice(b"\r\n");
                            n += 1;
                        }
                        Ev::Err(e) => err = Some(String::from_utf8_lossy(e).into_owned()),
                        _ => {}
                    })?;
                    if let Some(e) = err {
                        return Err(io::Error::other(e));
                    }
                    if !w.is_empty() {
                        c.s.write_all(&w)?;
                    }
                    match c.fill() {
                        Ok(0) => return Err(io::Error::other("closed")),
                        Ok(_) => {}
                        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                            if stop.load(SeqCst) {
                                return Ok(());
                            }
                        }
                        Err(e) => return Err(e),
                    }
                }
            };
            if let Err(e) = go() {
                fails.lock().unwrap().push(format!("responder {r}: {e}"));
            }
            n
        }));
    }
    let bar = Arc::new(Barrier::new(o.pubs + 1));
    let mut reqs = vec![];
    for (p, c) in requesters.into_iter().enumerate() {
        let (o, pat, bar, fails, phase) = (o.clone(), pat.clone(), bar.clone(), fails.clone(), phase.clone());
        let mut h: Vec<Hist> = hists.iter().map(|_| Hist::new()).collect();
        reqs.push(thread::spawn(move || {
            let mut one = Requester { c, inbox: format!("_INBOX.nl{}x{p}", std::process::id()) };
            let ready = one.prepare(&o);
            bar.wait();
            match ready.and_then(|()| one.run(&o, &pat, &phase, &mut h)) {
                Ok(r) => (r.0, r.1, r.2, h),
                Err(e) => {
                    fails.lock().unwrap().push(format!("requester {p}: {e}"));
                    (0, 0, 0, h)
                }
            }
        }));
    }
    let (ps0, me0) = (proc_stat(&o.pids), self_cpu());
    bar.wait();
    let (mut n, mut t0, mut t1) = (0, u64::MAX, 0);
    for r in reqs {
        let (c, a, b, hh) = r.join().unwrap();
        n += c;
        if a > 0 {
            t0 = t0.min(a)
        }
        t1 = t1.max(b);
        hists.iter_mut().zip(&hh).for_each(|(all, one)| all.merge(one));
    }
    let (ps1, me1) = (proc_stat(&o.pids), self_cpu());
    stop.store(true, SeqCst);
    let mut answered = 0;
    for r in resp {
        answered += r.join().unwrap()
    }
    let mut j = Json::default();
    head(&mut j, &o);
    j.u("requesters", o.pubs as u64);
    j.u("responders", o.subs as u64);
    j.u("inflight", o.inflight as u64);
    j.u("size", o.size as u64);
    j.u("requests", n);
    j.u("answered", answered);
    let secs = t1.saturating_sub(t0) as f64 / 1e9;
    j.f("secs", secs);
    j.f("req_per_s", n as f64 / secs);
    if let [only] = hists {
        only.json(&mut j, "");
    }
    cpu(&mut j, &o, ps0, ps1, me1 - me0, n, 0);
    let f = fails.lock().unwrap().clone();
    Ok((j, f))
}
struct Requester {
    c: Conn,
    inbox: String,
}

impl Requester {
    /// Waits for the responder's interest: sends a request until an answer comes.
    fn prepare(&mut self, o: &Opts) -> io::Result<()> {
        let Self { c, inbox } = self;
        c.s.write_all(format!("SUB {inbox}.* 1\r\n").as_bytes())?;
        c.flush()?;
        let tp = now_ns();
        let mut up = false;
        c.s.set_read_timeout(Some(Duration::from_millis(50)))?;
        while !up {
            if now_ns() - tp > (o.timeout * 1e9) as u64 {
                return Err(io::Error::other("no responder"));
            }
            c.s.write_all(format!("PUB {}.req {inbox}.probe 1\r\nx\r\n", o.subject).as_bytes())?;
            match c.fill() {
                Ok(_) | Err(_) => {}
            }
            c.parse(|ev| {
                if let Ev::Msg { .. } = ev {
                    up = true
                }
            })?;
        }
        thread::sleep(Duration::from_millis(o.settle + 50));
        let _ = c.fill();
        c.parse(|_| {})?;
        c.s.set_read_timeout(Some(Duration::from_millis(100)))
    }

    fn run(&mut self, o: &Opts, pat: &[u8], phase: &AtomicUsize, h: &mut [Hist]) -> io::Result<(u64, u64, u64)> {
        let Self { c, inbox } = self;
        let w = o.inflight.max(1);
        let mut slots: Vec<Vec<u8>> = vec![];
        let mut at = vec![];
        for i in 0..w {
            let mut m = format!("PUB {}.req {inbox}.{i} {}\r\n", o.subject, o.size).into_bytes();
            at.push(m.len());
            m.extend_from_slice(&pat[..o.size]);
            m.extend_from_slice(b"\r\n");
            slots.push(m);
        }
        let t0 = now_ns();
        let t_stop = if o.msgs > 0 { u64::MAX } else { t0 + (o.secs * 1e9) as u64 };
        let n = if o.msgs > 0 { o.msgs } else { u64::MAX };
        let (mut issued, mut done) = (0u64, 0u64);
        let mut sent_at = vec![0u64; w];
        let mut seq_of = vec![0u64; w];
        let mut out: Vec<u8> = Vec::with_capacity(w * (o.size + 64));
        for i in 0..w.min(n as usize) {
            seq_of[i] = issued;
            let a = at[i];
            slots[i][a..a + 8].copy_from_slice(&issued.to_le_bytes());
            out.extend_from_slice(&slots[i]);
            issued += 1;
        }
        let t = now_ns();
        sent_at.fill(t);
        c.s.write_all(&out)?;
        let mut last = t;
        let mut free: Vec<usize> = vec![];
        loop {
            match c.fill() {
                Ok(0) => return Err(io::Error::other("closed")),
                Ok(_) => {}
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    if now_ns() - last > (o.timeout * 1e9) as u64 {
                        return Err(io::Error::other(format!("reply missing after {done}")));
                    }
                    continue;
                }
                Err(e) => return Err(e),
            }
            let t = now_ns();
            let now = phase.load(Relaxed).min(h.len());
            let mut bad = None;
            free.clear();
            c.parse(|ev| match ev {
                Ev::Msg { line, body, .. } => {
                    let subj = line[4..].split(|b| *b == b' ').next().unwrap();
                    let i = subj[inbox.len() + 1..]
                        .iter()
                        .fold(0usize, |a, d| a.wrapping_mul(10).wrapping_add((*d).wrapping_sub(b'0') as usize));
                    if i >= w {
                        bad = Some("reply to an unknown slot".to_string());
                        return;
                    }
                    if body.len() != o.size || body[..8] != seq_of[i].to_le_bytes() || body[8..] != pat[8..o.size] {
                        bad = Some(format!("reply to slot {i} damaged or doubled"));
                        return;
                    }
                    // What comes once all is over is in no histogram.
                    if let Some(h) = h.get_mut(now) {
                        h.rec(t - sent_at[i]);
                    }
                    seq_of[i] = u64::MAX;
                    free.push(i);
                }
                Ev::Err(e) => bad = Some(String::from_utf8_lossy(e).into_owned()),
                _ => {}
            })?;
            if let Some(b) = bad {
                return Err(io::Error::other(b));
            }
            if free.is_empty() {
                continue;
            }
            done += free.len() as u64;
            last = t;
            out.clear();
            let more = t < t_stop && now < h.len();
            for i in &free {
                if !more || issued >= n {
                    break;
                }
                let a = at[*i];
                seq_of[*i] = issued;
                slots[*i][a..a + 8].copy_from_slice(&issued.to_le_bytes());
                out.extend_from_slice(&slots[*i]);
                issued += 1;
            }
            if !out.is_empty() {
                let t = now_ns();
                for i in &free {
                    sent_at[*i] = t
                }
                c.s.write_all(&out)?;
            }
            if done == issued && (!more || issued >= n) {
                break;
            }
        }
        Ok((done, t0, last))
    }
}
