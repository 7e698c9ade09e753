//! How long a server takes from its start to its first answer.
use crate::Opts;
use crate::clock::*;
use crate::conn::tcp;
use crate::json::Json;
use crate::process::*;
use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

type R = io::Result<(Json, Vec<String>)>;

pub fn startup(o: &Opts) -> R {
    if o.cmd.is_empty() {
        return Err(io::Error::other("startup needs -- cmd args"));
    }
    let t0 = now_ns();
    let mut ch = std::process::Command::new(&o.cmd[0])
        .args(&o.cmd[1..])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    tight_timer();
    let mut f = vec![];
    let (mut ta, mut ti, mut tp) = (0, 0, 0);
    while now_ns() - t0 < 10_000_000_000 {
        match tcp(&o.addr) {
            Ok(mut s) => {
                ta = now_ns();
                s.set_nodelay(true)?;
                s.set_read_timeout(Some(Duration::from_secs(5)))?;
                let (mut b, mut got) = ([0u8; 4096], Vec::new());
                while !got.contains(&b'\n') {
                    let k = s.read(&mut b)?;
                    if k == 0 {
                        break;
                    }
                    got.extend_from_slice(&b[..k])
                }
                ti = now_ns();
                s.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n")?;
                got.clear();
                while !got.windows(4).any(|w| w == b"PONG") {
                    let k = s.read(&mut b)?;
                    if k == 0 {
                        break;
                    }
                    got.extend_from_slice(&b[..k])
                }
                tp = now_ns();
                break;
            }
            Err(_) => sleep_until_ns(now_ns() + 100_000),
        }
    }
    thread::sleep(Duration::from_millis(1500));
    let ps = proc_stat(&[ch.id()]);
    let _ = ch.kill();
    let _ = ch.wait();
    if ta == 0 {
        f.push("never accepted".into())
    }
    let mut j = Json::default();
    j.s("mode", "startup");
    j.s("cmd", &o.cmd[0]);
    let ms = |t: u64| t.saturating_sub(t0) as f64 / 1e6;
    j.f("accept_ms", ms(ta));
    j.f("info_ms", ms(ti));
    j.f("pong_ms", ms(tp));
    j.u("rss_kb_idle", ps.rss_kb);
    j.f("cpu_s_startup", ps.cpu);
    j.u("threads", ps.threads);
    Ok((j, f))
}
