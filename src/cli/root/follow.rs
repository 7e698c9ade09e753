//! `lattice root show` and `lattice root follow`: the root keys that a node goes by, and going by others.

use super::super::obtain::obtain;
use super::super::output::{Output, Table, ago};
use super::super::read_text::read_text;
use super::super::{CliError, EXIT_FAILED, EXIT_OK, NodeArgs};
use crate::control::client::AskError;
use crate::control::{Answer, Request, RootRequest};
use crate::identity::{LINE_TEXT_MAX, unix};
use crate::status::Roots;
use clap::ArgMatches;
use lattice_broker::env::Env;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Show {
    /// Write the news into this file, to be carried to where no link leads.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// What lattice root rotate or lattice root show has written with --file.
    file: PathBuf,
    /// Believe the file, also where this node goes by other keys. KEY is the root key that you expect to speak for the lattice, or
    /// its first 8 characters or more, as its holder has told you.
    #[arg(long, value_name = "KEY")]
    instead: Option<String>,
    #[command(flatten)]
    node: NodeArgs,
}

/// Exit code 1 when a key was named that this node does not go by.
pub(super) async fn show(env: &Env, args: &Show, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
    let config = args.node.config(matches, Vec::new())?;
    let roots = ask(env, &config, RootRequest::Show).await?;
    if let Some(file) = &args.file {
        write(file, roots.file.as_deref().ok_or_else(unheard)?)?;
    }
    tell(env, &roots, output)?;
    Ok(if roots.rival.is_none() { EXIT_OK } else { EXIT_FAILED })
}

pub(super) async fn run(env: &Env, args: &Args, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
    let config = args.node.config(matches, Vec::new())?;
    let request = RootRequest::Follow { text: read(&args.file)?, instead: args.instead.clone() };
    tell(env, &ask(env, &config, request).await?, output)?;
    Ok(EXIT_OK)
}

async fn ask(env: &Env, config: &crate::config::Config, request: RootRequest) -> Result<Roots, CliError> {
    match obtain(env, config, Request::Root(request)).await? {
        Answer::Roots(roots) => Ok(roots),
        _ => Err(AskError::Misunderstood.into()),
    }
}

fn tell(env: &Env, roots: &Roots, output: &Output) -> Result<(), CliError> {
    if output.json {
        output.document(roots)?;
        return Ok(());
    }
    table(roots, unix(env.wall())).lines().try_for_each(|line| output.line(line))?;
    notes(roots).into_iter().try_for_each(|line| output.line(line))?;
    Ok(())
}

fn table(roots: &Roots, now: u64) -> Table {
    let mut table = Table::new(&["ROOT KEY", "FOR", "STATE"]);
    for (at, key) in (1..).zip(&roots.keys) {
        let since = key.since_secs.map_or_else(|| "–".to_owned(), |since| ago(now.saturating_sub(since)));
        let state = match at == roots.keys.len() {
            true if roots.here => "speaks for the lattice, and is here",
            true => "speaks for the lattice",
            false => "replaced",
        };
        table.row(vec![key.key.clone(), since, state.to_owned()]);
    }
    table
}

fn notes(roots: &Roots) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(rival) = &roots.rival {
        lines.push(format!("refused: {rival}, which an old key has named as well: somebody else may hold that key"));
    }
    if roots.keys.len() > 1 && !roots.away.is_empty() {
        lines.push(format!("not within reach, and may not have heard of it yet: {}", roots.away.join(", ")));
    }
    if roots.keys.len() > 1 {
        lines.push(UNAWARE.to_owned());
    }
    lines
}

/// What the table cannot tell.
const UNAWARE: &str = "nobody tells nodes of releases that know of no successions, nor those behind them alone: they go on with the \
                       old key";

fn unheard() -> CliError {
    CliError::new("this node does not know yet who stays revoked, as it had no link since it has joined")
        .next("lattice up   and once it has one, the same again")
}

/// Writes the news where they can be carried away.
fn write(file: &Path, text: &str) -> Result<(), CliError> {
    std::fs::write(file, format!("{text}\n"))
        .map_err(|error| CliError::new(format!("cannot write {}: {error}", file.display())).next("another file"))
}

fn read(file: &Path) -> Result<String, CliError> {
    read_text(file, LINE_TEXT_MAX).map_err(|error| {
        let new = CliError::new(format!("cannot read root keys from {}: {error}", file.display()));
        new.next("lattice root rotate --file FILE   or lattice root show --file FILE, and copy that")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::RootKey;

    #[test]
    fn root_keys_are_a_table() {
        let key = |name: &str, since_secs| RootKey { key: name.to_owned(), since_secs, kept: None };
        let keys = vec![key("OAAA", None), key("OBBB", Some(1_000))];
        let away = vec!["boat".to_owned()];
        let roots = Roots { keys, here: true, rival: Some("OXXX".to_owned()), away, file: None };
        let lines: Vec<_> = table(&roots, 12_520).lines().chain(notes(&roots)).collect();
        let expected = [
            "ROOT KEY  FOR    STATE",
            "OAAA      –      replaced",
            "OBBB      3h12m  speaks for the lattice, and is here",
            "refused: OXXX, which an old key has named as well: somebody else may hold that key",
            "not within reach, and may not have heard of it yet: boat",
            "nobody tells nodes of releases that know of no successions, nor those behind them alone: they go on with the old key",
        ];
        assert_eq!(lines, expected);
        let never = Roots { keys: vec![key("OAAA", None)], here: false, rival: None, ..roots };
        assert_eq!(notes(&never), Vec::<String>::new());
    }
}
