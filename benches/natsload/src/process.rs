//! What the servers' processes and this one have used, as /proc has it, and its place in the result.
use crate::Opts;
use crate::json::Json;
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{SysconfVar, sysconf};

#[derive(Clone, Copy, Default, Debug)]
pub struct ProcStat {
    pub cpu: f64,
    pub utime: f64,
    pub stime: f64,
    pub rss_kb: u64,
    pub threads: u64,
}
pub fn proc_stat(pids: &[u32]) -> ProcStat {
    let mut r = ProcStat::default();
    let hz = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100) as f64;
    for p in pids {
        if let Ok(s) = std::fs::read_to_string(format!("/proc/{p}/stat"))
            && let Some(k) = s.rfind(')')
        {
            let f: Vec<&str> = s[k + 2..].split(' ').collect();
            r.utime += f[11].parse::<f64>().unwrap_or(0.0) / hz;
            r.stime += f[12].parse::<f64>().unwrap_or(0.0) / hz;
        }
        if let Ok(s) = std::fs::read_to_string(format!("/proc/{p}/status")) {
            for l in s.lines() {
                if let Some(v) = l.strip_prefix("VmRSS:") {
                    r.rss_kb += v.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0)
                }
                if let Some(v) = l.strip_prefix("Threads:") {
                    r.threads += v.trim().parse::<u64>().unwrap_or(0)
                }
            }
        }
    }
    r.cpu = r.utime + r.stime;
    r
}
/// CPU seconds of this program, to show when the generator itself is what limits.
pub fn self_cpu() -> f64 {
    let Ok(used) = getrusage(UsageWho::RUSAGE_SELF) else { return f64::NAN };
    let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6;
    seconds(used.user_time()) + seconds(used.system_time())
}

pub fn head(j: &mut Json, o: &Opts) {
    j.s("mode", &o.mode);
    if !o.label.is_empty() {
        j.s("label", &o.label)
    }
    if o.pub_addr != o.sub_addr {
        j.s("pub_addr", &o.pub_addr);
        j.s("sub_addr", &o.sub_addr)
    } else {
        j.s("addr", &o.pub_addr)
    }
}
pub fn cpu(j: &mut Json, o: &Opts, a: ProcStat, b: ProcStat, me: f64, sent: u64, got: u64) {
    if !o.pids.is_empty() {
        j.f("server_cpu_s", b.cpu - a.cpu);
        j.f("server_utime_s", b.utime - a.utime);
        j.f("server_stime_s", b.stime - a.stime);
        j.f("server_cpu_s_per_m_sent", (b.cpu - a.cpu) / (sent as f64) * 1e6);
        if got > 0 {
            j.f("server_cpu_s_per_m_delivered", (b.cpu - a.cpu) / (got as f64) * 1e6);
        }
        j.u("server_rss_kb", b.rss_kb);
    }
    j.f("gen_cpu_s", me);
}
