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
mod frame;
mod histogram;
mod idle;
mod json;
mod options;
mod payload;
mod process;
mod pubsub;
mod request;
mod startup;
mod wildcard;
use options::{Opts, bad};
use std::process::exit;

fn main() {
    let o = options::parse();
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
