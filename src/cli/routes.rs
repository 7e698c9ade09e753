//! `lattice routes`: which way messages go, and who takes those on a subject.

use super::output::{Output, Table, count};
use super::see::{misunderstood, see};
use super::up::short_id;
use super::{CliError, EXIT_OK, NodeArgs};
use crate::control::{Question, Seen};
use crate::status::routes::{Members, Route, Routes, Taker, Takers};
use clap::ArgMatches;
use lattice_broker::env::Env;

/// Shown behind the flags.
const EXAMPLES: &str = "\
Examples:
  lattice routes                  each node within reach, and the way there
  lattice routes sensors.temp     who takes a message on this subject, and over which way
  lattice routes --json | jq -r '.nodes[] | select(.detour) | .name'
                                  nodes whose best way is in doubt at present";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Show who takes messages on this subject.
    subject: Option<String>,
    #[command(flatten)]
    node: NodeArgs,
}

pub(super) async fn run(env: &Env, args: &Args, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
    let question = args.subject.clone().map_or(Question::Routes, Question::Takers);
    let lines = match see(env, &args.node, matches, question).await? {
        Seen::Routes(routes) if output.json => return output.document(&routes).map(|()| EXIT_OK).map_err(Into::into),
        Seen::Takers(takers) if output.json => return output.document(&takers).map(|()| EXIT_OK).map_err(Into::into),
        Seen::Routes(routes) => show_routes(&routes),
        Seen::Takers(takers) => show_takers(&takers),
        Seen::Events(_) | Seen::Trace(_) => return Err(misunderstood()),
    };
    lines.iter().try_for_each(|line| output.line(line))?;
    Ok(EXIT_OK)
}

fn show_routes(routes: &Routes) -> Vec<String> {
    if routes.nodes.is_empty() {
        return vec!["no other node is within reach; lattice peers shows those that are known".to_owned()];
    }
    let mut table = Table::new(&["NAME", "ID", "NEXT", "HOPS", "COST", "ALTERNATE"]);
    for route in &routes.nodes {
        let Route { name, id, hops, cost, .. } = route;
        let next = next(route);
        table.row(vec![name.clone(), short_id(id), next, hops.to_string(), cost.to_string(), alternate(route)]);
    }
    table.lines().chain(cut_off(routes.left_out)).collect()
}

fn show_takers(takers: &Takers) -> Vec<String> {
    if takers.nodes.is_empty() {
        return vec![format!("nobody within reach takes messages on {}", takers.subject)];
    }
    let mut table = Table::new(&["NODE", "INTEREST", "PATH", "COST", "ALTERNATE"]);
    for taker in &takers.nodes {
        let (path, cost, other) = match &taker.route {
            _ if taker.here => ("here".to_owned(), "–".to_owned(), "–".to_owned()),
            Some(route) => (path(route), route.cost.to_string(), alternate(route)),
            None => ("no way".to_owned(), "–".to_owned(), "–".to_owned()),
        };
        table.row(vec![taker.name.clone(), interest(taker), path, cost, other]);
    }
    table.lines().chain(cut_off(takers.left_out)).collect()
}

fn cut_off(left_out: usize) -> Option<String> {
    (left_out > 0).then(|| format!("… and {} more", count(left_out, "node")))
}

/// `hall-pi`, `direct`, or `shed (detour)`.
fn next(route: &Route) -> String {
    match (&route.next, route.next_id.as_ref() == Some(&route.id)) {
        (None, _) => "–".to_owned(),
        (Some(_), true) if !route.detour => "direct".to_owned(),
        (Some(next), _) if route.detour => format!("{next} (detour)"),
        (Some(next), _) => next.clone(),
    }
}

fn alternate(route: &Route) -> String {
    route.alternate.clone().unwrap_or_else(|| "–".to_owned())
}

/// `1 hop`, `2 hops via hall-pi`.
fn path(route: &Route) -> String {
    let hops = count(route.hops as usize, "hop");
    match &route.next {
        Some(next) if route.next_id.as_ref() != Some(&route.id) => format!("{hops} via {next}"),
        Some(_) | None => hops,
    }
}

/// `2 plain, 3 in group "work", upstream`.
fn interest(taker: &Taker) -> String {
    let plain = match (taker.plain, taker.here) {
        (0, _) => None,
        (plain, true) => Some(format!("{plain} plain")),
        (_, false) => Some("plain".to_owned()),
    };
    let group = |Members { group, weight, upstream }: &Members| {
        format!("{weight} in group {group:?}{}", if *upstream { " upstream" } else { "" })
    };
    let upstream = taker.upstream.then(|| "upstream".to_owned());
    plain.into_iter().chain(taker.groups.iter().map(group)).chain(upstream).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str, next: &str, hops: u32) -> Route {
        Route {
            name: name.to_owned(),
            id: format!("N{name}KEYS"),
            hops,
            cost: 10 * hops,
            next: Some(next.to_owned()),
            next_id: Some(format!("N{next}KEYS")),
            detour: false,
            alternate: (hops > 1).then(|| "attic".to_owned()),
        }
    }

    #[test]
    fn routes_are_a_table() {
        let detour = Route { detour: true, ..route("boat", "attic", 2) };
        let routes = Routes { nodes: vec![route("hall", "hall", 1), route("shed", "hall", 2), detour], left_out: 3 };
        let expected = [
            "NAME  ID         NEXT            HOPS  COST  ALTERNATE",
            "hall  Nhal-lKEY  direct          1     10    –",
            "shed  Nshe-dKEY  hall            2     20    attic",
            "boat  Nboa-tKEY  attic (detour)  2     20    attic",
            "… and 3 nodes more",
        ];
        assert_eq!(show_routes(&routes), expected);
    }

    #[test]
    fn takers_tell_what_they_take_and_where() {
        let members = |group: &str, weight, upstream| Members { group: group.to_owned(), weight, upstream };
        let taker = |name: &str, here, plain, groups, route| Taker {
            name: name.to_owned(),
            id: "N".to_owned(),
            here,
            plain,
            upstream: !here,
            groups,
            route,
        };
        let here = taker("kitchen", true, 2, vec![members("work", 1, false)], None);
        let there = taker("shed", false, 1, vec![members("work", 4, true)], Some(route("shed", "hall", 2)));
        let takers = Takers { subject: "a.b".into(), account: "$G".into(), nodes: vec![here, there], left_out: 0 };
        let expected = [
            "NODE     INTEREST                                     PATH             COST  ALTERNATE",
            "kitchen  2 plain, 1 in group \"work\"                   here             –     –",
            "shed     plain, 4 in group \"work\" upstream, upstream  2 hops via hall  20    attic",
        ];
        assert_eq!(show_takers(&takers), expected);
        let nobody = show_takers(&Takers { subject: "a.b".into(), ..Takers::default() });
        assert_eq!(nobody, ["nobody within reach takes messages on a.b"]);
    }
}
