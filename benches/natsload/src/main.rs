//! natsload: load generator for servers that speak the NATS protocol, on raw sockets. It knows nothing of this
//! project. Threads and the clock are the system's own: nothing here is ever simulated.
//!
//! Build: cargo build --release      Run: natsload MODE [--option value ...]
//!
//! Exit status 0 only if every message arrived (count, order per publisher, payload bytes, checksum).
//!
//! MODES
//!  pub      1:0 - publish only; time ends when the server has answered a PING sent last
//!  pubsub   P publishers -> S subscribers. Fan-out: --subs 4. Fan-in: --pubs 4. Distinct subjects: --subjects K
//!           (pub i -> subject i%K, sub j <- subject j%K). Queue groups: --queue-groups G (sub j in group (j/K)%G;
//!           exactly-once per group is checked with a bitmap)
//!  lat      as pubsub, but open loop: --rate R (all publishers together); latency counts from the INTENDED
//!           send time, so there is no coordinated omission; send_lag_* says how late the generator itself was
//!  req      request/reply: --pubs requesters, --subs responders (queue group "q"), --inflight W each (closed loop)
//!  churn    SUB/UNSUB rate: --conns C, --live L subscriptions kept alive per connection
//!  idle     --conns N connections that only say CONNECT/PING; RSS per connection with --pid
//!  wild     --subs-total N (100000) subscriptions on one connection. --kind wild: 3 families w.i.j.* / w.i.*.k /
//!           w.*.j.k so each publish matches exactly 3; --kind literal: 1 match. --unique U distinct publish subjects
//!  startup  --addr A -- cmd args...: time from exec to first accepted connection / INFO / PONG; kills the child
//! OPTIONS
//!  --addr A       broker (default 127.0.0.1:4222). --pub-addr / --sub-addr override it per side (to measure a link
//!                 between two servers). "NETNS@host:port" connects inside /run/netns/NETNS.
//!  --size B       payload bytes (default 128; <8: only counts are checked; 8..15: order but no check word)
//!  --msgs N       messages per publisher, or --secs T: publish for T seconds (default --secs 3)
//!  --pubs P --subs S --subjects K --queue-groups G --subject NAME
//!  --headers B    put B bytes of headers (>= 24) on each message (HPUB/HMSG)
//!  --batch B      bytes per write(2) aimed at (default 65536)   --rbuf B  read buffer (default 262144)
//!  --window B     bytes a publisher may be ahead of the slowest subscriber (default 32 MiB; 0 = no limit)
//!  --random       payloads that do not compress (default: 16 fixed payloads, cheapest for the generator)
//!  --nagle-batch N  messages per write at most (1 = one write(2) per message)
//!  --pid P[,P]    server pids: CPU seconds per million messages, RSS    --user U --pass P
//!  --timeout T    seconds without progress that mean failure (default 10)
//!  --settle MS    extra wait after interest has been probed (default 50)
//!  --hold T       idle: seconds to hold    --json  one JSON line    --label L  copied to the output
mod churn;
mod clock;
mod conn;
mod histogram;
mod idle;
mod json;
mod payload;
mod process;
mod pubsub;
mod request;
mod startup;
mod wildcard;
use std::process::exit;

#[derive(Clone, Debug)]
pub struct Opts {
    pub mode: String,
    pub addr: String,
    pub pub_addr: String,
    pub sub_addr: String,
    pub subject: String,
    pub size: usize,
    pub msgs: u64,
    pub secs: f64,
    pub pubs: usize,
    pub subs: usize,
    pub subjects: usize,
    pub queue_groups: usize,
    pub headers: usize,
    pub batch: usize,
    pub rbuf: usize,
    pub window: u64,
    pub max_batch_msgs: usize,
    pub pids: Vec<u32>,
    pub user: Option<String>,
    pub pass: Option<String>,
    pub timeout: f64,
    pub settle: u64,
    pub hold: f64,
    pub json: bool,
    pub label: String,
    pub rate: f64,
    pub inflight: usize,
    pub conns: usize,
    pub live: usize,
    pub subs_total: usize,
    pub kind: String,
    pub unique: usize,
    pub random: bool,
    pub cmd: Vec<String>,
}

fn main() {
    let mut o = Opts {
        mode: String::new(),
        addr: "127.0.0.1:4222".into(),
        pub_addr: String::new(),
        sub_addr: String::new(),
        subject: "bench".into(),
        size: 128,
        msgs: 0,
        secs: 3.0,
        pubs: 1,
        subs: 1,
        subjects: 1,
        queue_groups: 0,
        headers: 0,
        batch: 65536,
        rbuf: 262144,
        window: 32 << 20,
        max_batch_msgs: usize::MAX,
        pids: vec![],
        user: None,
        pass: None,
        timeout: 10.0,
        settle: 50,
        hold: 2.0,
        json: false,
        label: String::new(),
        rate: 1000.0,
        inflight: 1,
        conns: 0,
        live: 1000,
        subs_total: 100_000,
        kind: "wild".into(),
        unique: 262_144,
        random: false,
        cmd: vec![],
    };
    let a: Vec<String> = std::env::args().skip(1).collect();
    let mut i = 0;
    let bad = |m: &str| -> ! {
        eprintln!("natsload: {m}; see the top of src/main.rs");
        exit(2)
    };
    while i < a.len() {
        let k = a[i].as_str();
        if k == "--" {
            o.cmd = a[i + 1..].to_vec();
            break;
        }
        if k == "--json" {
            o.json = true;
            i += 1;
            continue;
        }
        if k == "--random" {
            o.random = true;
            i += 1;
            continue;
        }
        if !k.starts_with("--") {
            if o.mode.is_empty() {
                o.mode = k.into();
                i += 1;
                continue;
            }
            bad(&format!("odd argument {k}"))
        }
        let v = a.get(i + 1).cloned().unwrap_or_else(|| bad(&format!("{k} needs a value")));
        macro_rules! n {
            () => {
                v.parse().unwrap_or_else(|_| bad(&format!("{k}: bad value {v}")))
            };
        }
        match k {
            "--addr" => o.addr = v,
            "--pub-addr" => o.pub_addr = v,
            "--sub-addr" => o.sub_addr = v,
            "--subject" => o.subject = v,
            "--size" => o.size = n!(),
            "--msgs" => o.msgs = n!(),
            "--secs" => o.secs = n!(),
            "--pubs" => o.pubs = n!(),
            "--subs" => o.subs = n!(),
            "--subjects" => o.subjects = n!(),
            "--queue-groups" => o.queue_groups = n!(),
            "--headers" => o.headers = n!(),
            "--batch" => o.batch = n!(),
            "--rbuf" => o.rbuf = n!(),
            "--window" => o.window = n!(),
            "--nagle-batch" => o.max_batch_msgs = n!(),
            "--pid" => o.pids = v.split(',').map(|x| x.parse().unwrap_or_else(|_| bad("bad --pid"))).collect(),
            "--user" => o.user = Some(v),
            "--pass" => o.pass = Some(v),
            "--timeout" => o.timeout = n!(),
            "--settle" => o.settle = n!(),
            "--hold" => o.hold = n!(),
            "--label" => o.label = v,
            "--rate" => o.rate = n!(),
            "--inflight" => o.inflight = n!(),
            "--conns" => o.conns = n!(),
            "--live" => o.live = n!(),
            "--subs-total" => o.subs_total = n!(),
            "--kind" => o.kind = v,
            "--unique" => o.unique = n!(),
            _ => bad(&format!("unknown option {k}")),
        }
        i += 2;
    }
    if o.pub_addr.is_empty() {
        o.pub_addr = o.addr.clone()
    }
    if o.sub_addr.is_empty() {
        o.sub_addr = o.addr.clone()
    }
    let r = match o.mode.as_str() {
        "pub" | "pubsub" | "lat" => pubsub::pubsub(&o),
        "req" => request::req(&o),
        "churn" => churn::churn(&o),
        "idle" => idle::idle(&o),
        "wild" => wildcard::wild(&o),
        "startup" => startup::startup(&o),
        m => bad(&format!("unknown mode {m:?}")),
    };
    match r {
        Ok((j, fails)) => {
            let mut j = j;
            j.s("verify", if fails.is_empty() { "ok" } else { "FAIL" });
            if !fails.is_empty() {
                j.s("why", &fails.join("; "))
            }
            j.print(o.json);
            if !fails.is_empty() {
                eprintln!("natsload: FAIL: {}", fails.join("; "));
                exit(1)
            }
        }
        Err(e) => {
            eprintln!("natsload: error: {e}");
            exit(1)
        }
    }
}
