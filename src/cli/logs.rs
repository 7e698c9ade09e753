//! `lattice logs`: what a component has written of late on all hosts that run it, and how its calls fail. Hosts keep the lines; here
//! they are put in order. With `--follow` the hosts are asked again and again from where they ended.

use super::hosts::{AllArgs, Found, Hosts, from_value};
use super::output::{Output, count, moment, plain};
use super::{CliError, EXIT_OK, ps};
use crate::config::units::Period;
use crate::host::control::own::ReadLog;
use crate::host::control::{ID, is_id};
use crate::host::written::{Failure, Line, Place, Written};
use futures_util::future::join_all;
use lattice_broker::env::Env;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// How soon hosts are asked again with `--follow`.
const POLL: Duration = Duration::from_secs(1);
/// How often of these it is looked which hosts run the component: that takes as long as `--timeout` says.
const LOOK_EVERY: u32 = 5;

/// Shown behind the flags.
const EXAMPLES: &str = "\
Examples:
  lattice logs greeter                  the latest 64 lines of each host, the oldest first
  lattice logs greeter --follow         and what comes, until Ctrl-C
  lattice logs greeter --host shed      of that host alone
  lattice logs greeter --json | jq -r 'select(.kind == \"line\" and .level == \"error\") | .text'
                                        each line, and what is told of failures, is one line of JSON";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The component.
    component: String,
    /// On this host alone, by name or id.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Go on with what it writes from now on.
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    all: AllArgs,
}

/// What was seen of a host.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    place: Place,
    dropped: u64,
    failed: u64,
}

/// Something that is told, in JSON: of which host, and what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Told<'a> {
    host: &'a str,
    host_name: &'a str,
    #[serde(flatten)]
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum What {
    /// Lines that came before those that follow, and are not there any more.
    Forgotten { count: u64 },
    /// A line.
    Line(Line),
    /// Lines that were dropped because it wrote too many.
    Dropped { count: u64 },
    /// Calls that have failed, and the latest of them.
    Failed {
        count: u64,
        #[serde(flatten)]
        latest: Option<Failure>,
    },
}

/// What is followed.
struct Watch<'a> {
    env: &'a Env,
    args: &'a Args,
    output: &'a Output,
    /// By the ids of hosts.
    seen: BTreeMap<String, Seen>,
    /// Whether anything was asked already.
    began: bool,
}

pub(super) async fn run(env: &Env, args: &Args, output: &Output) -> Result<u8, CliError> {
    if !is_id(&args.component) {
        return Err(CliError::usage(format!("the component is {:?}: {ID}", args.component)).next("lattice ps"));
    }
    let mut watch = Watch { env, args, output, seen: BTreeMap::new(), began: false };
    if args.follow {
        args.all.hosts.stay(env, output, async |hosts| watch.follow(hosts).await).await?;
    } else {
        let hosts = args.all.hosts.connect(env).await?;
        let running = watch.running(&hosts).await?;
        watch.show_once(&hosts, &running).await?;
    }
    Ok(EXIT_OK)
}

impl Watch<'_> {
    /// The hosts that are meant, at least one.
    async fn running(&self, hosts: &Hosts) -> Result<Vec<Found>, CliError> {
        let (Period(time), id) = (self.args.all.timeout, &self.args.component);
        if let Some(named) = &self.args.host {
            return Ok(vec![hosts.find(Some(named), time).await?]);
        }
        let running = ps::hosts_of(hosts, id, time).await?;
        if running.is_empty() {
            let error = CliError::new(format!("no host that can be reached runs a component {id:?}"));
            return Err(error
                .likely("it has ended, could not be started, or another name is meant")
                .next("lattice ps, or the log of the host that was to run it"));
        }
        Ok(running)
    }

    /// Shows what each host has. One that does not say is named; when none does, that is the answer.
    async fn show_once(&mut self, hosts: &Hosts, running: &[Found]) -> Result<(), CliError> {
        let (mut all, mut silent) = (Vec::new(), Vec::new());
        for (host, written) in running.iter().zip(self.ask(hosts, running).await) {
            match written {
                Ok(written) => all.push((host, written)),
                Err(error) => silent.push((host, error)),
            }
        }
        if all.is_empty()
            && let Some((host, error)) = silent.first()
        {
            return Err(CliError::new(format!("{error}   (host {})", plain(&host.friendly_name))).next("lattice ps"));
        }
        for (host, error) in silent {
            self.output.notice(format!("{} does not say: {error}", plain(&host.friendly_name)));
        }
        let hosts: Vec<&str> = all.iter().map(|(host, _)| &*host.friendly_name).collect();
        let hosts = super::output::names(hosts);
        if !self.show(all)? && !self.output.json {
            self.output.line(format!("{} has written nothing on {hosts}", self.args.component))?;
        }
        Ok(())
    }

    /// Asks all of them, over and over, until the connection ends. Who comes to run it is asked as well.
    async fn follow(&mut self, hosts: &Hosts) -> Result<(), CliError> {
        let mut running = match self.running(hosts).await {
            // It may come to run again.
            Err(_) if self.began && !hosts.have_ended() => Vec::new(),
            running => running?,
        };
        for round in 1.. {
            let written = self.ask(hosts, &running).await;
            // Who does not answer is asked again the next time.
            let all = running.iter().zip(written).filter_map(|(host, written)| Some((host, written.ok()?))).collect();
            self.show(all)?;
            self.began = true;
            if u32::is_multiple_of(round, LOOK_EVERY) {
                self.look_again(hosts, &mut running).await?;
            }
            self.env.sleep(POLL).await;
            if hosts.have_ended() {
                break;
            }
        }
        Ok(())
    }

    /// Has `running` be the hosts that are meant now. That there are none any more is told once: there may be some again.
    async fn look_again(&self, hosts: &Hosts, running: &mut Vec<Found>) -> Result<(), CliError> {
        match self.running(hosts).await {
            Ok(found) => *running = found,
            Err(error) if hosts.have_ended() => return Err(error),
            Err(error) if !running.is_empty() => {
                self.output.notice(format!("{error}; what it writes when one does is shown"));
                running.clear();
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// Asks each of `running` for what is new.
    async fn ask(&self, hosts: &Hosts, running: &[Found]) -> Vec<Result<Written, CliError>> {
        let ask = async |host: &Found| {
            let after = self.seen.get(&host.id).map(|seen| seen.place).unwrap_or_default();
            let body = json!(ReadLog { component_id: self.args.component.clone(), after }).to_string();
            let response = hosts.ask_own(&format!("component.log.{}", host.id), body.as_bytes()).await?;
            from_value(response.unwrap_or_default())
        };
        join_all(running.iter().map(ask)).await
    }

    /// Shows what is new; whether there was something.
    fn show(&mut self, all: Vec<(&Found, Written)>) -> Result<bool, CliError> {
        let width = all.iter().map(|(host, _)| plain(&host.friendly_name).chars().count()).max().unwrap_or_default();
        let (mut lines, mut notes) = (Vec::new(), Vec::new());
        for (host, written) in all {
            let seen = self.seen.entry(host.id.clone()).or_default();
            let told = |what| Told { host: &host.id, host_name: &host.friendly_name, what };
            let (forgotten, of_lines, others) = news(seen, written);
            if let Some(forgotten) = forgotten {
                self.print(&told(forgotten), width)?;
            }
            lines.extend(of_lines.into_iter().map(|line| (line.at_ms, told(What::Line(line)))));
            notes.extend(others.into_iter().map(told));
        }
        // In its order where the clock stands still.
        lines.sort_by_key(|(at_ms, _)| *at_ms);
        let told: Vec<Told<'_>> = lines.into_iter().map(|(_, line)| line).chain(notes).collect();
        told.iter().try_for_each(|told| self.print(told, width))?;
        Ok(!told.is_empty())
    }

    fn print(&self, told: &Told<'_>, width: usize) -> Result<(), CliError> {
        let printed = if self.output.json { self.output.record(told) } else { self.output.line(text(told, width)) };
        Ok(printed?)
    }
}

/// What is new of what a host has said: that lines are forgotten, the lines, and what is to be told behind them.
fn news(seen: &mut Seen, written: Written) -> (Option<What>, Vec<Line>, Vec<What>) {
    let Written { lines, next, forgotten, dropped, failed, last_failure } = written;
    // It was started anew.
    if seen.place.life != next.life {
        *seen = Seen::default();
    }
    let more_dropped = dropped.saturating_sub(seen.dropped);
    let more_failed = failed.saturating_sub(seen.failed);
    *seen = Seen { place: next, dropped, failed };
    let dropped = (more_dropped > 0).then_some(What::Dropped { count: more_dropped });
    let failed = (more_failed > 0).then_some(What::Failed { count: more_failed, latest: last_failure });
    let forgotten = (forgotten > 0).then_some(What::Forgotten { count: forgotten });
    (forgotten, lines, dropped.into_iter().chain(failed).collect())
}

/// `2026-05-01 14:02:07.250Z  kitchen  warn   stdout: the kettle boils`.
fn text(told: &Told<'_>, width: usize) -> String {
    let host = plain(told.host_name);
    let many = |number: u64, noun: &str| count(usize::try_from(number).unwrap_or(usize::MAX), noun);
    match &told.what {
        What::Forgotten { count } => format!("… {} before these are forgotten on {host}", many(*count, "line")),
        What::Line(Line { at_ms, level, source, text, .. }) => {
            let source = if source.is_empty() { String::new() } else { format!("{}: ", plain(source)) };
            format!("{}  {host:width$}  {level:<5}  {source}{}", moment(*at_ms), plain(text))
        }
        What::Dropped { count } => format!("! {} dropped on {host}: it writes too many", many(*count, "line")),
        What::Failed { count, latest } => {
            let latest = latest.as_ref();
            let latest =
                latest.map(|Failure { at_ms, why }| format!(", the latest at {}: {}", moment(*at_ms), plain(why)));
            format!("! {} failed on {host}{}", many(*count, "call"), latest.unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::written::Level;

    fn line(number: u64, text: &str) -> Line {
        let at_ms = 1_777_644_127_250 + number;
        Line { number, at_ms, level: Level::Warn, source: "stdout".to_owned(), text: text.to_owned() }
    }

    fn written(life: u64, number: u64, dropped: u64, failed: u64) -> Written {
        let failure = Failure { at_ms: 1_777_644_127_250, why: "trapped".to_owned() };
        let next = Place { life, number };
        Written { lines: vec![line(number, "x")], next, forgotten: 0, dropped, failed, last_failure: Some(failure) }
    }

    #[test]
    fn what_is_told_is_a_line() {
        let told = |what| Told { host: "NSHED", host_name: "shed", what };
        let expected = "2026-05-01 14:02:07.257Z  shed     warn   stdout: the \"kettle\"\\u{1b}[2J boils";
        assert_eq!(text(&told(What::Line(line(7, "the \"kettle\"\u{1b}[2J boils"))), 7), expected);
        assert_eq!(text(&told(What::Forgotten { count: 2 }), 0), "… 2 lines before these are forgotten on shed");
        assert_eq!(text(&told(What::Dropped { count: 1 }), 0), "! 1 line dropped on shed: it writes too many");
        let latest = written(1, 1, 0, 1).last_failure;
        let failed = told(What::Failed { count: 3, latest });
        assert_eq!(text(&failed, 0), "! 3 calls failed on shed, the latest at 2026-05-01 14:02:07.250Z: trapped");
        let document = json!({
            "host": "NSHED", "host_name": "shed", "kind": "failed", "count": 3, "at_ms": 1_777_644_127_250_u64,
            "why": "trapped",
        });
        assert_eq!(json!(failed), document);
    }

    /// Goal: who follows is told of each drop and failure once, and of all anew when the component was started anew.
    #[test]
    fn what_is_new_is_told_once() {
        let mut seen = Seen::default();
        let counts = |others: Vec<What>| -> Vec<u64> {
            let count = |what| match what {
                What::Forgotten { count } | What::Dropped { count } | What::Failed { count, .. } => count,
                What::Line(line) => line.number,
            };
            others.into_iter().map(count).collect()
        };
        assert_eq!(counts(news(&mut seen, written(1, 5, 2, 1)).2), [2, 1]);
        assert!(news(&mut seen, written(1, 6, 2, 1)).2.is_empty());
        assert_eq!(counts(news(&mut seen, written(1, 7, 5, 3)).2), [3, 2]);
        assert_eq!((seen.place.number, seen.dropped, seen.failed), (7, 5, 3));
        assert_eq!(counts(news(&mut seen, written(2, 1, 1, 1)).2), [1, 1]);
    }
}
