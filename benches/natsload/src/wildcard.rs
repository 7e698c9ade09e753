//! One publisher against very many subscriptions, most of them wildcards.
use crate::Opts;
use crate::clock::*;
use crate::conn::{Conn, Ev};
use crate::json::Json;
use crate::payload::*;
use crate::process::*;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::thread;
use std::time::Duration;

type R = io::Result<(Json, Vec<String>)>;

pub fn wild(o: &Opts) -> R {
    if o.size < 16 {
        return Err(io::Error::other("wild needs --size >= 16"));
    }
    let p0 = proc_stat(&o.pids);
    let mut c = Conn::open(&o.sub_addr, o, o.rbuf)?;
    let lit = o.kind == "literal";
    let n = if lit { o.subs_total as u64 } else { ((o.subs_total as f64 / 3.0).sqrt().round() as u64).max(1) };
    let s = &o.subject;
    let mut w = Vec::new();
    let mut sid = 0u64;
    if lit {
        for i in 0..n {
            sid += 1;
            let _ = write!(w, "SUB {s}.{}.{}.x{i} {sid}\r\n", i % 317, i % 31);
        }
    } else {
        for i in 0..n {
            for j in 0..n {
                let _ = write!(
                    w,
                    "SUB {s}.{i}.{j}.* {}\r\nSUB {s}.{i}.*.{j} {}\r\nSUB {s}.*.{i}.{j} {}\r\n",
                    sid + 1,
                    sid + 2,
                    sid + 3
                );
                sid += 3;
            }
        }
    }
    let t0 = now_ns();
    for ch in w.chunks(1 << 18) {
        c.s.write_all(ch)?;
    }
    c.flush()?;
    let sub_secs = (now_ns() - t0) as f64 / 1e9;
    drop(w);
    thread::sleep(Duration::from_millis(500));
    let p1 = proc_stat(&o.pids);
    let per = if lit { 1u64 } else { 3 };
    // pre-encode a ring of --unique publishes over pseudo-random subjects
    let u = (o.unique.max(16) / 16 * 16) as u64;
    let pat = pattern(pat_len(o));
    let name = |i: usize| {
        let r = mix64(i as u64 + 1);
        if lit {
            let k = r % n;
            format!("{s}.{}.{}.x{k}", k % 317, k % 31)
        } else {
            format!("{s}.{}.{}.{}", r % n, (r >> 20) % n, (r >> 40) % n)
        }
    };
    let mut b = Batch::new(name, u as usize, o, &pat, 0, &[]);
    let mut pc = Conn::open(&o.pub_addr, o, 65536)?;
    pc.s.set_write_timeout(Some(Duration::from_secs_f64(o.timeout.max(1.0))))?;
    let total = AtomicU64::new(u64::MAX);
    let got = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    thread::sleep(Duration::from_millis(o.settle));
    let (ps0, me0) = (proc_stat(&o.pids), self_cpu());
    let t0 = now_ns();
    let mut f = vec![];
    let mut t_last = 0;
    let mut sent = 0u64;
    thread::scope(|sc| {
        let (total, got, stop, pat) = (&total, &got, &stop, &pat);
        let rx = sc.spawn(move || -> io::Result<u64> {
            let (mut n, mut last) = (0u64, now_ns());
            loop {
                let mut bad = None;
                c.parse(|ev| match ev {
                    Ev::Msg { body, .. } => {
                        let h = u64::from_le_bytes(body[..8].try_into().unwrap_or_default());
                        if bad.is_some() {
                            return;
                        }
                        if body.len() != o.size || h != n / per {
                            bad = Some(format!("delivery {n}: seq {h}, expected {}", n / per));
                            return;
                        }
                        let k = poff(h, o.random);
                        if body[16..] != pat[k + 16..k + o.size] {
                            bad = Some("payload damaged".into());
                            return;
                        }
                        n += 1;
                    }
                    Ev::Err(e) => bad = Some(String::from_utf8_lossy(e).into_owned()),
                    _ => {}
                })
                .inspect_err(|_| stop.store(true, SeqCst))?;
                if let Some(b) = bad {
                    stop.store(true, SeqCst);
                    return Err(io::Error::other(b));
                }
                got.store(n, Release);
                let t = total.load(SeqCst);
                if t != u64::MAX && n >= t * per {
                    let x = c.flush()?;
                    if x > 0 {
                        return Err(io::Error::other(format!("{x} extra")));
                    }
                    return Ok(last);
                }
                match c.fill() {
                    Ok(0) => {
                        stop.store(true, SeqCst);
                        return Err(io::Error::other("closed by server"));
                    }
                    Ok(_) => last = now_ns(),
                    Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                        if now_ns() - last > (o.timeout * 1e9) as u64 {
                            stop.store(true, SeqCst);
                            return Err(io::Error::other(format!("stalled after {n} deliveries")));
                        }
                    }
                    Err(e) => {
                        stop.store(true, SeqCst);
                        return Err(e);
                    }
                }
            }
        });
        let window = if o.window == 0 { u64::MAX } else { o.window / (o.size as u64 + 40) / per };
        let t_stop = if o.msgs > 0 { u64::MAX } else { t0 + (o.secs * 1e9) as u64 };
        let lim = if o.msgs > 0 { o.msgs } else { u64::MAX };
        let step = ((o.batch / (o.size + 40)).max(16) / 16 * 16) as u64;
        let mut run = || -> io::Result<()> {
            while sent < lim && now_ns() < t_stop && !stop.load(Relaxed) {
                let i0 = (sent % u) as usize;
                let i1 = ((i0 as u64 + step).min(u).min(i0 as u64 + (lim - sent))) as usize;
                for i in i0..i1 {
                    let h = sent + (i - i0) as u64;
                    b.patch(i, h, mix64(h), o.size, pat, o.random)
                }
                while sent.saturating_sub(got.load(Acquire) / per) > window && !stop.load(Relaxed) {
                    thread::sleep(Duration::from_micros(100))
                }
                let st = if i0 == 0 { 0 } else { b.ends[i0 - 1] };
                pc.s.write_all(&b.buf[st..b.ends[i1 - 1]])?;
                sent += (i1 - i0) as u64;
            }
            Ok(())
        };
        if let Err(e) = run() {
            f.push(format!("publisher: {e}"))
        }
        total.store(sent, SeqCst);
        if let Err(e) = pc.flush() {
            f.push(format!("publisher: {e}"))
        }
        match rx.join().unwrap() {
            Ok(t) => t_last = t,
            Err(e) => f.push(e.to_string()),
        }
    });
    let (ps1, me1) = (proc_stat(&o.pids), self_cpu());
    let secs = t_last.saturating_sub(t0) as f64 / 1e9;
    let mut j = Json::default();
    head(&mut j, o);
    j.s("kind", &o.kind);
    j.u("subscriptions", sid);
    j.u("unique_subjects", u);
    j.u("matches_per_msg", per);
    j.u("size", o.size as u64);
    j.f("subscribe_secs", sub_secs);
    j.f("subscribes_per_s", sid as f64 / sub_secs);
    if !o.pids.is_empty() {
        j.u("rss_kb_before", p0.rss_kb);
        j.u("rss_kb_with_subs", p1.rss_kb);
        j.f("rss_bytes_per_sub", (p1.rss_kb as f64 - p0.rss_kb as f64) * 1024.0 / sid as f64);
        j.f("server_cpu_s_subscribe", p1.cpu - p0.cpu);
    }
    j.u("sent", sent);
    j.u("delivered", got.load(SeqCst));
    j.f("secs", secs);
    j.f("sent_per_s", sent as f64 / secs);
    j.f("delivered_per_s", (sent * per) as f64 / secs);
    cpu(&mut j, o, ps0, ps1, me1 - me0, sent, sent * per);
    Ok((j, f))
}
