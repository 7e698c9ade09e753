//! What the command line says, and what holds where it says nothing.
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
    pub tick: u64,
    pub monitor: String,
    pub churners: usize,
    pub life: f64,
    pub slow: usize,
    pub slow_life: f64,
    pub attack: String,
    pub attackers: usize,
}

/// Ends the program: the command line cannot be used.
pub fn bad(m: &str) -> ! {
    eprintln!("natsload: {m}; see the top of src/main.rs");
    exit(2)
}

fn defaults() -> Opts {
    Opts {
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
        tick: 0,
        monitor: String::new(),
        churners: 1000,
        life: 4.0,
        slow: 5,
        slow_life: 20.0,
        attack: String::new(),
        attackers: 0,
    }
}

/// `soak` is a load of its own kind, and stands for itself without options.
fn of_soak(o: Opts) -> Opts {
    Opts {
        secs: 300.0,
        rate: 200_000.0,
        pubs: 4,
        subs: 4,
        subjects: 4,
        conns: 9000,
        tick: 1000,
        timeout: 30.0,
        subject: "soak.load".into(),
        ..o
    }
}

pub fn parse() -> Opts {
    let mut o = defaults();
    let a: Vec<String> = std::env::args().skip(1).collect();
    match a.first().map(String::as_str) {
        Some("soak") => o = of_soak(o),
        Some("hostile") => o = Opts { secs: 10.0, subs_total: 1_000_000, ..o },
        _ => {}
    }
    let mut i = 0;
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
            "--tick" => o.tick = n!(),
            "--monitor" => o.monitor = v,
            "--churners" => o.churners = n!(),
            "--life" => o.life = n!(),
            "--slow" => o.slow = n!(),
            "--slow-life" => o.slow_life = n!(),
            "--attack" => o.attack = v,
            "--attackers" => o.attackers = n!(),
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
    o
}
