//! `lattice status`: the node, the others, and at the end what is wrong. Exit code 0 when nothing is, else 1.

use super::output::{Output, Table, Tone, ago, count};
use super::{CliError, EXIT_FAILED, EXIT_OK, NodeArgs};
use crate::control::client::{AskError, ask};
use crate::control::{Answer, Request};
use crate::status::{Peer, Status};
use clap::ArgMatches;
use lattice_broker::env::Env;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
}

pub(super) async fn run(env: &Env, args: &Args, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
    let status = fetch(env, &args.node, matches).await?;
    if output.json {
        output.document(&status)?;
    } else {
        show(&status, output).iter().try_for_each(|line| output.line(line))?;
    }
    Ok(if status.problems.is_empty() { EXIT_OK } else { EXIT_FAILED })
}

/// Asks the node that runs on the data folder.
pub(super) async fn fetch(env: &Env, node: &NodeArgs, matches: &ArgMatches) -> Result<Status, CliError> {
    let config = node.config(matches, Vec::new())?;
    match ask(env, &config.data, Request::Status).await? {
        Answer::Status(status) => Ok(*status),
        Answer::Invite(_)
        | Answer::Members(_)
        | Answer::Revoked(_)
        | Answer::Roots(_)
        | Answer::Seen(_)
        | Answer::Stopping => Err(AskError::Misunderstood.into()),
    }
}

fn show(status: &Status, output: &Output) -> Vec<String> {
    let reachable = status.peers.iter().filter(|peer| peer.reachable).count() + 1;
    let health = match status.problems.is_empty() {
        true => output.paint(Tone::Good, "HEALTHY"),
        false => output.paint(Tone::Bad, "DEGRADED"),
    };
    let mut lines = vec![
        format!(
            "{}  up {}  {health}  {reachable} of {} reachable",
            output.paint(Tone::Title, &status.name),
            ago(status.uptime_secs),
            count(status.peers.len() + 1, "node"),
        ),
        format!(
            "SELF    {}, {} | nats {} | link {}",
            count(status.clients, "client"),
            count(status.subscriptions, "subscription"),
            status.nats,
            status.link
        ),
    ];
    lines.extend(upstream_line(status));
    lines.extend(lost_line(status));
    if !status.peers.is_empty() {
        let table = table(&status.peers);
        lines.extend(table.lines().enumerate().map(|(at, line)| match at {
            0 => format!("PEERS   {line}"),
            _ => format!("        {line}"),
        }));
    }
    if !status.problems.is_empty() {
        lines.push("Health:".to_owned());
        lines.extend(status.problems.iter().map(|problem| format!("  {} {problem}", output.paint(Tone::Bad, "!"))));
    }
    lines
}

fn upstream_line(status: &Status) -> Option<String> {
    let upstream = status.upstream.as_ref()?;
    let state = match (upstream.connected, &upstream.server, &upstream.error) {
        (false, ..) if upstream.standby => "standby: another node connects".to_owned(),
        (true, Some(server), _) => format!("connected to \"{server}\""),
        (true, None, _) => "connected".to_owned(),
        (false, _, Some(error)) => format!("not connected: {error}"),
        (false, _, None) => "connecting".to_owned(),
    };
    Some(format!("HUB     {}  {state}", upstream.url))
}

/// What of the messages between nodes was lost since the start; nothing when nothing was.
fn lost_line(status: &Status) -> Option<String> {
    let count = |name: &str| status.counters.get(name).copied().unwrap_or_default();
    let lost = [
        ("never arrived here", count("mesh_missing")),
        ("found a link's buffer full", count("mesh_dropped_link_full")),
        ("waited for a way in vain", count("mesh_dropped_parked_late") + count("mesh_dropped_parked_full")),
    ];
    let lost: Vec<String> =
        lost.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")).collect();
    (!lost.is_empty()).then(|| format!("LOST    {}", lost.join(", ")))
}

fn table(peers: &[Peer]) -> Table {
    let mut table = Table::new(&["NAME", "PATH", "RTT", "LOSS", "STATE"]);
    for peer in peers {
        let (rtt, loss) = measures(peer);
        table.row(vec![peer.name.clone(), path(peer), rtt, loss, state(peer)]);
    }
    table
}

/// `up 1m15s`, `suspected, up 1m15s` when traffic goes round the link, `up` without a link, or `lost`.
pub(super) fn state(peer: &Peer) -> String {
    match (peer.reachable, &peer.link) {
        (true, Some(link)) if link.suspected => format!("suspected, up {}", ago(link.up_secs)),
        (true, Some(link)) => format!("up {}", ago(link.up_secs)),
        (true, None) => "up".to_owned(),
        (false, _) => "lost".to_owned(),
    }
}

/// `direct`, `via hall-pi, 3 hops` or `–`.
pub(super) fn path(peer: &Peer) -> String {
    match (peer.reachable, &peer.via) {
        (false, _) => "–".to_owned(),
        (true, Some(via)) => format!("via {via}, {}", count(peer.hops as usize, "hop")),
        (true, None) => "direct".to_owned(),
    }
}

/// Round-trip time and loss of the direct link, as text.
pub(super) fn measures(peer: &Peer) -> (String, String) {
    match &peer.link {
        Some(link) if link.rtt_ms < 10.0 => (format!("{:.1} ms", link.rtt_ms), format!("{:.0} %", link.loss * 100.0)),
        Some(link) => (format!("{:.0} ms", link.rtt_ms), format!("{:.0} %", link.loss * 100.0)),
        None => ("–".to_owned(), "–".to_owned()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::status::{Link, Upstream};

    pub(crate) fn example() -> Status {
        let peer = |name: &str, via: Option<&str>, link: Option<Link>| Peer {
            name: name.to_owned(),
            id: format!("N{}", name.to_uppercase()),
            reachable: true,
            hops: if via.is_some() { 2 } else { 1 },
            cost: 10,
            via: via.map(str::to_owned),
            link,
        };
        let link = Link {
            address: "192.168.1.21:7443".into(),
            dialed: true,
            rtt_ms: 1.23,
            loss: 0.0,
            suspected: false,
            cost: 11,
            up_secs: 75,
            packets_sent: 1_000,
            packets_lost: 0,
        };
        let doubtful = Link { suspected: true, cost: 100_011, ..link.clone() };
        let boat = Peer { reachable: false, hops: 0, cost: 0, ..peer("boat", None, None) };
        Status {
            version: "0.1.0".into(),
            name: "kitchen-pi".into(),
            id: "NDJUQXYZ".into(),
            lattice: "9c1f".into(),
            uptime_secs: 11_520,
            data: "/data".into(),
            nats: "127.0.0.1:4222".into(),
            link: "[::]:7443".into(),
            http: None,
            clients: 4,
            subscriptions: 1,
            upstream: None,
            peers: vec![
                peer("hall-pi", None, Some(link)),
                peer("shed", Some("hall-pi"), None),
                peer("attic", Some("hall-pi"), Some(doubtful)),
                boat,
            ],
            counters: std::collections::BTreeMap::new(),
            problems: vec!["split: boat cannot be reached".into()],
        }
    }

    #[test]
    fn status_tells_what_is_wrong_last() {
        let shown = show(&example(), &Output::new(false, true)).join("\n");
        let expected = "\
kitchen-pi  up 3h12m  DEGRADED  4 of 5 nodes reachable
SELF    4 clients, 1 subscription | nats 127.0.0.1:4222 | link [::]:7443
PEERS   NAME     PATH                 RTT     LOSS  STATE
        hall-pi  direct               1.2 ms  0 %   up 1m15s
        shed     via hall-pi, 2 hops  –       –     up
        attic    via hall-pi, 2 hops  1.2 ms  0 %   suspected, up 1m15s
        boat     –                    –       –     lost
Health:
  ! split: boat cannot be reached";
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_lone_healthy_node_is_two_lines() {
        let upstream = Upstream {
            url: "nats://hub:7422".into(),
            server: None,
            connected: false,
            standby: false,
            error: Some("refused".into()),
        };
        let mut status = Status { peers: Vec::new(), problems: Vec::new(), ..example() };
        let shown = show(&status, &Output::new(false, true));
        assert_eq!(shown.len(), 2);
        assert_eq!(shown[0], "kitchen-pi  up 3h12m  HEALTHY  1 of 1 node reachable");
        status.counters = [("mesh_missing".to_owned(), 3), ("mesh_dropped_link_full".to_owned(), 0)].into();
        assert_eq!(show(&status, &Output::new(false, true))[2], "LOST    3 never arrived here");
        status.counters.clear();
        status.upstream = Some(upstream.clone());
        assert_eq!(show(&status, &Output::new(false, true))[2], "HUB     nats://hub:7422  not connected: refused");
        status.upstream = Some(Upstream { standby: true, error: None, ..upstream });
        let shown = show(&status, &Output::new(false, true));
        assert_eq!(shown[2], "HUB     nats://hub:7422  standby: another node connects");
    }
}
