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
//!           send time, so there is no coordinated omission; send_lag_* says how late the generator itself was.
//!           --tick US: what falls into a tick is due together at its beginning, which saves the generator wakeups
//!  req      request/reply: --pubs requesters, --subs responders (queue group "q"), --inflight W each (closed loop)
//!  churn    SUB/UNSUB rate: --conns C, --live L subscriptions kept alive per connection
//!  idle     --conns N connections that only say CONNECT/PING; RSS per connection with --pid
//!  wild     --subs-total N (100000) subscriptions on one connection. --kind wild: 3 families w.i.j.* / w.i.*.k /
//!           w.*.j.k so each publish matches exactly 3; --kind literal: 1 match. --unique U distinct publish subjects
//!  soak     everything at once for minutes: --conns N (9000) idle connections with a subscription each; --churners C
//!           (1000) clients that come and go, each living --life T (4) seconds or so, half of them leaving by TCP reset;
//!           --slow S (5) consumers of a fat subject (8 MB/s) that never read and look after --slow-life T (20) seconds
//!           whether they were thrown out; and `lat` at --rate R (200000) for --secs T (300) from 4 publishers to 4
//!           subscribers. Needs --pid and --monitor. Fails if a message is lost, an idle connection does not answer,
//!           or connections, subscriptions or open files are left 10 s after the end. generator_kept_up says whether
//!           the rate was kept; write_secs_max how long a publisher was inside of write(2), which is not its own doing
//!  hostile  `req` with one in flight, as the victim, for --secs T (10) alone, during --attack NAME, and after it; what
//!           becomes of the attackers is checked. Needs --pid and --monitor. --attackers N where there are many.
//!           loris: CONNECTs that never end; the server must ask for a login. half-tls: handshakes that stop; it must have
//!           TLS, with allow_non_tls for the victim, and a login. huge-prefix: messages of 1 GiB, and lines without end.
//!           auth-guess: wrong passwords as fast as they are let. deep-wildcards: 2^14 filters of `*` and a word, and
//!           filters of 1,980 tokens. million-subs: --subs-total N (1000000) on one connection, and its leaving.
//!           subs-limit: the same against a limit of --live L (1000). none: to see what the victim's own noise is
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
//!  --monitor A    the server's monitoring port (HTTP), for /varz
//!  --timeout T    seconds without progress that mean failure (default 10)
//!  --settle MS    extra wait after interest has been probed (default 50)
//!  --hold T       idle: seconds to hold    --json  one JSON line    --label L  copied to the output
mod attacks;
mod churn;
mod churners;
mod clock;
mod conn;
mod crowd;
mod deep;
mod faults;
mod frame;
mod histogram;
mod hostile;
mod idle;
mod json;
mod light;
mod million;
mod monitor;
mod options;
mod payload;
mod process;
mod pubsub;
mod request;
mod siege;
mod slow;
mod soak;
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
        "soak" => soak::soak(&o),
        "hostile" => hostile::hostile(&o),
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
