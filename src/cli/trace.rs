//! `lattice trace`: the way of a message, hop by hop, without sending one.

use super::output::{Output, Table, count, spoken};
use super::see::{misunderstood, see};
use super::{CliError, EXIT_FAILED, EXIT_OK, NodeArgs};
use crate::config::units::Period;
use crate::control::{Question, Seen, TRACE_MAX, TraceRequest};
use crate::status::trace::{End, Hop, Trace, Way};
use clap::ArgMatches;
use lattice_broker::env::Env;
use std::time::Duration;

/// Shown behind the flags.
const EXAMPLES: &str = "\
Nothing is delivered to any client: probes go where a message on the subject \
would go, through the same buffers, and each node that they pass answers. Times \
are measured by this node's clock, there and back. Of a queue group one member is \
chosen, as for a message; the next time it may be another one.

Ends with exit code 0 when all probes have arrived, else 1.

Examples:
  lattice trace sensors.temp
  lattice trace orders.new --timeout 5s --json";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The subject of the message.
    subject: String,
    /// How long to wait for answers; at most 8s.
    #[arg(long, value_name = "TIME", default_value = "2s")]
    timeout: Period,
    #[command(flatten)]
    node: NodeArgs,
}

pub(super) async fn run(env: &Env, args: &Args, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
    let Period(patience) = args.timeout;
    if patience > TRACE_MAX {
        let message = format!("--timeout {} is too long: at most {}", spoken(patience), spoken(TRACE_MAX));
        return Err(CliError::usage(message));
    }
    let request = TraceRequest { subject: args.subject.clone(), patience };
    let Seen::Trace(trace) = see(env, &args.node, matches, Question::Trace(request)).await? else {
        return Err(misunderstood());
    };
    if output.json {
        output.document(&trace)?;
    } else {
        show(&trace, patience).iter().try_for_each(|line| output.line(line))?;
    }
    let arrived = trace.ways.iter().all(|way| way.end == End::Arrived) && !is_nowhere(&trace);
    Ok(if arrived { EXIT_OK } else { EXIT_FAILED })
}

/// Nobody would get the message.
fn is_nowhere(trace: &Trace) -> bool {
    trace.ways.is_empty() && trace.plain_here == 0 && trace.groups_here.is_empty() && !trace.upstream_here
}

fn show(trace: &Trace, patience: Duration) -> Vec<String> {
    if is_nowhere(trace) {
        return vec![format!("nobody within reach takes messages on {}", trace.subject)];
    }
    let mut lines: Vec<String> = here(trace).into_iter().collect();
    for way in &trace.ways {
        lines.push(title(way));
        lines.extend(table(way).lines().map(|line| format!("  {line}")));
        lines.extend(ending(way, patience).map(|line| format!("  {line}")));
    }
    if trace.left_out > 0 {
        lines.push(format!("… and {} more, which were not asked", count(trace.left_out, "node")));
    }
    lines
}

fn here(trace: &Trace) -> Option<String> {
    let plain = (trace.plain_here > 0).then(|| count(trace.plain_here, "subscription"));
    let groups = trace.groups_here.iter().map(|group| format!("a member of group {group:?}"));
    let upstream = trace.upstream_here.then(|| "the upstream".to_owned());
    let takers: Vec<String> = plain.into_iter().chain(groups).chain(upstream).collect();
    (!takers.is_empty()).then(|| format!("here: {}", takers.join(", ")))
}

/// `to shed, for group "work": 2 hops, there and back in 2.4 ms`.
fn title(way: &Way) -> String {
    let groups: Vec<String> = way.groups.iter().map(|group| format!("{group:?}")).collect();
    let groups = if groups.is_empty() { String::new() } else { format!(", for group {}", groups.join(", ")) };
    match (way.end, way.hops.last().and_then(|hop| hop.round_trip_ms)) {
        (End::Arrived, Some(time)) => {
            let hops = count(way.hops.len().saturating_sub(1), "hop");
            format!("to {}{groups}: {hops}, there and back in {}", way.name, millis(time))
        }
        (End::Arrived, None) => format!("to {}{groups}: arrived", way.name),
        (_, _) => format!("to {}{groups}: did not arrive", way.name),
    }
}

fn table(way: &Way) -> Table {
    let mut table = Table::new(&["HOP", "NODE", "THERE AND BACK", "TOOK", "WAITING", "NEXT LINK"]);
    let time = |time: Option<f64>| time.map_or_else(|| "–".to_owned(), millis);
    for (at, hop) in way.hops.iter().enumerate() {
        let Hop { name, round_trip_ms, took_us, waiting_bytes, link_rtt_ms, .. } = hop;
        let (took, waiting) = match link_rtt_ms {
            Some(_) => (format!("{took_us} µs"), format!("{waiting_bytes} B")),
            None => ("–".to_owned(), "–".to_owned()),
        };
        table.row(vec![at.to_string(), name.clone(), time(*round_trip_ms), took, waiting, time(*link_rtt_ms)]);
    }
    table
}

fn ending(way: &Way, patience: Duration) -> Option<String> {
    let last = way.hops.last().map_or("this node", |hop| &hop.name);
    match way.end {
        End::Arrived => None,
        End::Silent => Some(format!("no answer after {last} within {}", spoken(patience))),
        End::NoWay => Some(format!("{last} knows no way on")),
        End::Full => Some(format!("the buffer of {last} for the next link is full: messages are dropped there")),
        End::Unknown => Some(format!("the node after {last} is of a release that does not answer traces")),
        End::TooFar => Some(format!("{last} is as many links away as a message may pass")),
    }
}

fn millis(time: f64) -> String {
    if time < 10.0 { format!("{time:.2} ms") } else { format!("{time:.0} ms") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(name: &str, there: Option<f64>, rtt: Option<f64>) -> Hop {
        Hop { name: name.to_owned(), id: None, round_trip_ms: there, took_us: 12, waiting_bytes: 340, link_rtt_ms: rtt }
    }

    fn example() -> Trace {
        let hops =
            vec![hop("kitchen", None, Some(1.2)), hop("hall", Some(1.31), Some(40.0)), hop("shed", Some(41.7), None)];
        let way = |name: &str, hops, end, groups| Way { name: name.to_owned(), id: "N".to_owned(), groups, hops, end };
        let silent = way("boat", hops[..2].to_vec(), End::Silent, Vec::new());
        Trace {
            subject: "a.b".into(),
            plain_here: 2,
            ways: vec![way("shed", hops, End::Arrived, vec!["work".into()]), silent],
            left_out: 7,
            ..Trace::default()
        }
    }

    #[test]
    fn a_trace_is_a_table_for_each_way() {
        let expected = [
            "here: 2 subscriptions",
            "to shed, for group \"work\": 2 hops, there and back in 42 ms",
            "  HOP  NODE     THERE AND BACK  TOOK   WAITING  NEXT LINK",
            "  0    kitchen  –               12 µs  340 B    1.20 ms",
            "  1    hall     1.31 ms         12 µs  340 B    40 ms",
            "  2    shed     42 ms           –      –        –",
            "to boat: did not arrive",
            "  HOP  NODE     THERE AND BACK  TOOK   WAITING  NEXT LINK",
            "  0    kitchen  –               12 µs  340 B    1.20 ms",
            "  1    hall     1.31 ms         12 µs  340 B    40 ms",
            "  no answer after hall within 2 s",
            "… and 7 nodes more, which were not asked",
        ];
        assert_eq!(show(&example(), Duration::from_secs(2)), expected);
    }

    #[test]
    fn where_a_way_ends_is_said() {
        let trace = example();
        let mut way = trace.ways[1].clone();
        let mut said = |end| {
            way.end = end;
            ending(&way, Duration::from_secs(1)).unwrap_or_default()
        };
        assert_eq!(said(End::NoWay), "hall knows no way on");
        assert!(said(End::Unknown).contains("release") && said(End::Full).contains("full"));
        assert_eq!(said(End::Arrived), "");
        let nobody = show(&Trace { subject: "x".into(), ..Trace::default() }, Duration::ZERO);
        assert_eq!(nobody, ["nobody within reach takes messages on x"]);
    }
}
