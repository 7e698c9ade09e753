//! `lattice peers`: every other node that this one knows, with the path to it.

use super::output::{Output, Table};
use super::status::{fetch, measures, path, state};
use super::up::short_id;
use super::{CliError, EXIT_OK, NodeArgs};
use crate::status::Peer;
use clap::ArgMatches;
use lattice_broker::env::Env;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
}

pub(super) async fn run(env: &Env, args: &Args, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
    let peers = fetch(env, &args.node, matches).await?.peers;
    if output.json {
        output.document(&peers)?;
    } else if peers.is_empty() {
        output.line(
            "no other node is known; on another device:  lattice join <invite>, as lattice invite prints it here",
        )?;
    } else {
        table(&peers).lines().try_for_each(|line| output.line(line))?;
    }
    Ok(EXIT_OK)
}

fn table(peers: &[Peer]) -> Table {
    let mut table = Table::new(&["NAME", "ID", "PATH", "HOPS", "COST", "RTT", "LOSS", "STATE", "ADDRESS"]);
    for peer in peers {
        let (rtt, loss) = measures(peer);
        let number = |number: u32| if peer.reachable { number.to_string() } else { "–".to_owned() };
        let address = peer.link.as_ref().map_or_else(|| "–".to_owned(), |link| link.address.clone());
        let (hops, cost) = (number(peer.hops), number(peer.cost));
        table.row(vec![peer.name.clone(), short_id(&peer.id), path(peer), hops, cost, rtt, loss, state(peer), address]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_a_table() {
        let lines: Vec<_> = table(&super::super::status::tests::example().peers).lines().collect();
        let expected = [
            "NAME     ID         PATH                 HOPS  COST  RTT     LOSS  STATE                ADDRESS",
            "hall-pi  NHAL-L-PI  direct               1     10    1.2 ms  0 %   up 1m15s             192.168.1.21:7443",
            "shed     NSHED      via hall-pi, 2 hops  2     10    –       –     up                   –",
            "attic    NATTIC     via hall-pi, 2 hops  2     10    1.2 ms  0 %   suspected, up 1m15s  192.168.1.21:7443",
            "boat     NBOAT      –                    –     –     –       –     lost                 –",
        ];
        assert_eq!(lines, expected);
    }
}
