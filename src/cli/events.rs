//! `lattice events`: what has happened to links, nodes, members and upstreams of late.

use super::output::{Output, count, moment};
use super::see::{misunderstood, see};
use super::up::short_id;
use super::{CliError, EXIT_OK, NodeArgs};
use crate::control::{Question, Seen};
use crate::status::events::{Event, Events, Place};
use clap::ArgMatches;
use lattice_broker::env::Env;
use std::time::Duration;

/// How soon to ask again with `--follow`.
const POLL: Duration = Duration::from_millis(250);

/// Shown behind the flags.
const EXAMPLES: &str = "\
Examples:
  lattice events                  the last 1,024 at most, the oldest first
  lattice events --follow         and what comes, until Ctrl-C
  lattice events --json | jq -r 'select(.event == \"link_down\") | .why'
                                  why links went down; each event is one line of JSON";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Go on with what happens from now on.
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    node: NodeArgs,
}

pub(super) async fn run(env: &Env, args: &Args, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
    let mut after = Place::default();
    loop {
        let Seen::Events(events) = see(env, &args.node, matches, Question::Events(after)).await? else {
            return Err(misunderstood());
        };
        print(&events, output)?;
        after = events.next;
        if !args.follow {
            return Ok(EXIT_OK);
        }
        env.sleep(POLL).await;
    }
}

fn print(events: &Events, output: &Output) -> Result<(), CliError> {
    if events.lost > 0 {
        if output.json {
            output.record(&serde_json::json!({ "event": "forgotten", "count": events.lost }))?;
        } else {
            output.line(format!("… {} before these are forgotten", count_of(events.lost)))?;
        }
    }
    for event in &events.events {
        if output.json { output.record(event)? } else { output.line(line(event))? }
    }
    Ok(())
}

fn count_of(events: u64) -> String {
    count(usize::try_from(events).unwrap_or(usize::MAX), "event")
}

/// `2026-05-01 14:02:07.250Z  link down        hall-pi NDJU-QXYZ  no sign of life for 2.5 s`.
fn line(event: &Event) -> String {
    let what = event.event.replace('_', " ");
    let who = match (&event.node, &event.id, event.count) {
        (Some(name), Some(id), _) => format!("{name} {}", short_id(id)),
        (_, _, Some(many)) => count(many, "node"),
        (_, _, None) => String::new(),
    };
    let why = event.why.as_deref().unwrap_or_default();
    let said = format!("{}  {what:<16}  {who:<20}  {why}", moment(event.at_ms));
    // What peers say of themselves must not be able to steer a terminal.
    said.trim_end().chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            number: 1,
            at_ms: 1_777_644_127_250,
            event: "link_down".to_owned(),
            node: Some("hall-pi".to_owned()),
            id: Some("NDJUQXYZ".to_owned()),
            count: None,
            why: Some("no sign of life for 2.5 s\u{1b}[2J".to_owned()),
        }
    }

    #[test]
    fn an_event_is_a_line() {
        let expected =
            "2026-05-01 14:02:07.250Z  link down         hall-pi NDJU-QXYZ     no sign of life for 2.5 s?[2J";
        assert_eq!(line(&event()), expected);
        let many = Event { node: None, id: None, count: Some(12), why: None, event: "more_lost".into(), ..event() };
        assert_eq!(line(&many), "2026-05-01 14:02:07.250Z  more lost         12 nodes");
    }
}
