//! Many connections that say nothing: what each costs the server in memory.
use crate::Opts;
use crate::clock::*;
use crate::conn::tcp;
use crate::json::Json;
use crate::process::*;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

type R = io::Result<(Json, Vec<String>)>;

pub fn idle(o: &Opts) -> R {
    let n = if o.conns == 0 { 10_000 } else { o.conns };
    let p0 = proc_stat(&o.pids);
    let t0 = now_ns();
    let mut v = Vec::with_capacity(n);
    let mut f = vec![];
    for i in 0..n {
        // no Conn here: 10k read buffers would only make the generator large
        match idle_open(o, i) {
            Ok(c) => v.push(c),
            Err(e) => {
                f.push(format!("connection {i}: {e}"));
                break;
            }
        }
    }
    let secs = (now_ns() - t0) as f64 / 1e9;
    thread::sleep(Duration::from_millis(500));
    let p1 = proc_stat(&o.pids);
    thread::sleep(Duration::from_secs_f64(o.hold));
    let p2 = proc_stat(&o.pids);
    let mut alive = 0;
    for c in &mut v {
        alive += u32::from(answers(c).is_ok());
    }
    if alive as usize != n {
        f.push(format!("{alive} of {n} answer PING"))
    }
    let mut j = Json::default();
    head(&mut j, o);
    j.u("conns", n as u64);
    j.u("alive", alive.into());
    j.f("connect_secs", secs);
    j.f("connects_per_s", v.len() as f64 / secs);
    if !o.pids.is_empty() {
        j.u("rss_kb_before", p0.rss_kb);
        j.u("rss_kb_after", p2.rss_kb);
        j.f("rss_kb_per_conn", (p2.rss_kb as f64 - p0.rss_kb as f64) / n as f64);
        j.f("server_cpu_s_connect", p1.cpu - p0.cpu);
        j.f("server_cpu_ms_per_idle_s", (p2.cpu - p1.cpu) / o.hold * 1000.0);
        j.u("threads", p2.threads);
    }
    Ok((j, f))
}

fn idle_open(o: &Opts, i: usize) -> io::Result<TcpStream> {
    let mut s = tcp(&o.addr)?;
    s.set_read_timeout(Some(Duration::from_secs(10)))?;
    let auth = match (&o.user, &o.pass) {
        (Some(u), Some(p)) => format!(",\"user\":\"{u}\",\"pass\":\"{p}\""),
        _ => String::new(),
    };
    s.write_all(
        format!("CONNECT {{\"verbose\":false,\"name\":\"idle{i}\",\"protocol\":1,\"headers\":true{auth}}}\r\nPING\r\n")
            .as_bytes(),
    )?;
    pong(&mut s)?;
    Ok(s)
}

fn answers(s: &mut TcpStream) -> io::Result<()> {
    s.write_all(b"PING\r\n")?;
    pong(s)
}

/// Reads up to a PONG. A PING of the server on the way is not answered: the test is shorter than its patience.
fn pong(s: &mut TcpStream) -> io::Result<()> {
    let (mut b, mut got) = ([0u8; 4096], Vec::new());
    loop {
        let k = s.read(&mut b)?;
        if k == 0 {
            return Err(io::Error::other("closed"));
        }
        got.extend_from_slice(&b[..k]);
        if got.windows(6).any(|w| w == b"PONG\r\n") {
            return Ok(());
        }
    }
}
