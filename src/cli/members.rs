//! `lattice members`: who has been admitted, by whom and with what rights, and who is a member no more.

use super::obtain::obtain;
use super::output::{Output, Table, ago};
use super::up::short_id;
use super::{CliError, EXIT_OK, NodeArgs};
use crate::control::client::AskError;
use crate::control::{Answer, Request};
use crate::status::{Member, MemberState};
use clap::ArgMatches;
use lattice_broker::env::Env;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
}

pub(super) async fn run(env: &Env, args: &Args, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
    let config = args.node.config(matches, Vec::new())?;
    let Answer::Members(members) = obtain(env, &config, Request::Members).await? else {
        return Err(AskError::Misunderstood.into());
    };
    if output.json {
        output.document(&members)?;
    } else {
        table(&members).lines().try_for_each(|line| output.line(line))?;
    }
    Ok(EXIT_OK)
}

fn table(members: &[Member]) -> Table {
    let mut table = Table::new(&["NAME", "ID", "ADMITTED BY", "AGO", "MAY", "STATE"]);
    for member in members {
        let by = member.admitted_by.clone().unwrap_or_else(|| "the root".to_owned());
        let when = member.ago_secs.map_or_else(|| "–".to_owned(), ago);
        let state = match member.state {
            MemberState::Here => "this node",
            MemberState::Reachable => "reachable",
            MemberState::Lost => "lost",
            MemberState::Unseen => "not seen",
            MemberState::Revoked => "revoked",
        };
        let excess = if member.excess { ", beyond the uses of its invite" } else { "" };
        let may = member.grant.to_string();
        table.row(vec![member.name.clone(), short_id(&member.id), by, when, may, format!("{state}{excess}")]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Grant;

    #[test]
    fn members_are_a_table() {
        let member = |name: &str, by: Option<&str>, state| Member {
            name: name.to_owned(),
            id: "NDJUQXYZ".to_owned(),
            admitted_by: by.map(str::to_owned),
            admitted_secs: by.map(|_| 7),
            ago_secs: by.map(|_| 11_520),
            grant: Grant { transit: by.is_none(), ..Grant::all() },
            excess: by.is_some(),
            state,
        };
        let members =
            [member("kitchen-pi", None, MemberState::Here), member("shed", Some("kitchen-pi"), MemberState::Revoked)];
        let lines: Vec<_> = table(&members).lines().collect();
        let expected = [
            "NAME        ID         ADMITTED BY  AGO    MAY         STATE",
            "kitchen-pi  NDJU-QXYZ  the root     –      all         this node",
            "shed        NDJU-QXYZ  kitchen-pi   3h12m  no-transit  revoked, beyond the uses of its invite",
        ];
        assert_eq!(lines, expected);
    }
}
