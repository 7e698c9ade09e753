//! Subscribing and unsubscribing at full speed; checked at the end by publishing to what must and must not be there.
use crate::Opts;
use crate::clock::*;
use crate::conn::Conn;
use crate::json::Json;
use crate::process::*;
use std::io::{self, Write};
use std::sync::{Arc, Barrier};
use std::thread;

type R = io::Result<(Json, Vec<String>)>;

pub fn churn(o: &Opts) -> R {
    let o = Arc::new(o.clone());
    let nc = o.conns.max(1);
    let bar = Arc::new(Barrier::new(nc + 1));
    let mut hs = vec![];
    for ci in 0..nc {
        let (o, bar) = (o.clone(), bar.clone());
        let mut c = Conn::open(&o.sub_addr, &o, 262144)?;
        hs.push(thread::spawn(move || -> io::Result<(u64, u64, u64)> {
            let live = o.live.max(1) as u64;
            let subj = |i: u64| format!("churn.c{ci}.{}.s{i}", i % 97);
            let mut w = Vec::new();
            for i in 0..live {
                let _ = write!(w, "SUB {} {}\r\n", subj(i), i + 1);
            }
            c.s.write_all(&w)?;
            c.flush()?;
            bar.wait();
            let t0 = now_ns();
            let t_stop = t0 + (o.secs * 1e9) as u64;
            let mut i = live;
            let n = if o.msgs > 0 { live + o.msgs } else { u64::MAX };
            while now_ns() < t_stop && i < n {
                w.clear();
                for _ in 0..500.min(n - i) {
                    let _ = write!(w, "SUB {} {}\r\nUNSUB {}\r\n", subj(i), i + 1, i - live + 1);
                    i += 1;
                }
                c.s.write_all(&w)?;
                c.flush()?;
            }
            let t1 = now_ns();
            // verify: the live ones deliver exactly once, the last ones unsubscribed do not
            w.clear();
            let m = live.min(1000);
            for k in (i - m)..i {
                let _ = write!(w, "PUB {} 1\r\ny\r\n", subj(k));
            }
            for k in (i - live - m.min(i - live))..(i - live) {
                let _ = write!(w, "PUB {} 1\r\nn\r\n", subj(k));
            }
            c.s.write_all(&w)?;
            let got = c.flush()?;
            if got != m {
                return Err(io::Error::other(format!("conn {ci}: {got} deliveries, expected {m}")));
            }
            Ok((i - live, t0, t1))
        }));
    }
    let (ps0, me0) = (proc_stat(&o.pids), self_cpu());
    bar.wait();
    let (mut n, mut t0, mut t1, mut f) = (0, u64::MAX, 0, vec![]);
    for h in hs {
        match h.join().unwrap() {
            Ok((a, b, c)) => {
                n += a;
                t0 = t0.min(b);
                t1 = t1.max(c)
            }
            Err(e) => f.push(e.to_string()),
        }
    }
    let (ps1, me1) = (proc_stat(&o.pids), self_cpu());
    let secs = t1.saturating_sub(t0) as f64 / 1e9;
    let mut j = Json::default();
    head(&mut j, &o);
    j.u("conns", nc as u64);
    j.u("live_per_conn", o.live as u64);
    j.u("sub_unsub_pairs", n);
    j.f("secs", secs);
    j.f("pairs_per_s", n as f64 / secs);
    j.f("ops_per_s", 2.0 * n as f64 / secs);
    cpu(&mut j, &o, ps0, ps1, me1 - me0, n, 0);
    Ok((j, f))
}
