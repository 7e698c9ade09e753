//! `lattice root rotate`: a new root key in the place of the old one.

use super::super::new_file::Reserved;
use super::super::output::{Output, count};
use super::super::{CliError, EXIT_OK, NodeArgs, backend};
use super::running;
use crate::control;
use crate::identity::{Folder, Identity, Roll, Rotation, RotationError, unix};
use crate::node;
use crate::status::{MemberState, Roots};
use clap::ArgMatches;
use lattice_broker::env::Env;
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Write the news into this new file, to be carried to where no link leads.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Let go of all members that the old key itself has certified, but the node that made the lattice, and of whom they have
    /// admitted: nobody but a holder of that key can have made them.
    #[arg(long)]
    leave: bool,
    /// Somebody whom the old key has revoked, and who shall not stay revoked: a name, an id or a key; may be repeated.
    #[arg(long, value_name = "NAME")]
    pardon: Vec<String>,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    roots: Roots,
    /// Members that stay.
    stay: usize,
    /// Names of those that are members no more by it.
    left: Vec<String>,
    /// Those that the old keys have revoked, and that stay so.
    revoked: Vec<String>,
    /// Those that they had revoked as well.
    pardoned: Vec<String>,
}

pub(super) async fn run(env: &Env, args: &Args, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
    let config = args.node.config(matches, Vec::new())?;
    let _held = control::hold(&config.data).map_err(running)?;
    let (folder, identity) = backend::member_folder(&config)?;
    let roll = backend::member_roll(env, &folder, &identity).await?;
    let members = roll.list();
    let pardon = args.pardon.iter().map(|name| node::find_member(&members, name)).collect::<Result<Vec<_>, _>>()?;
    let rotation = identity.rotate(&mut env.rng("root"), &roll, &pardon, unix(env.wall()))?;
    let left: Vec<String> = rotation.left.iter().map(|member| member.name.clone()).collect();
    if !left.is_empty() && !args.leave {
        return Err(strangers(&left));
    }
    // All that can be refused has been; from here on something changes.
    let file = args.file.as_deref().map(reserve).transpose()?;
    put_in_force(&folder, &roll, &rotation).await?;
    let pardoned = pardon.iter().map(|node| roll.named(*node)).collect();
    let document = Document { left, pardoned, ..document(&identity, &roll, &rotation) };
    let text = document.roots.file.clone().unwrap_or_default();
    let written = file.map(|file| file.write(&text)).transpose().map(|_| ());
    if output.json {
        output.document(&document)?;
    } else {
        let file = args.file.as_deref().filter(|_| written.is_ok());
        told(&document, file).into_iter().try_for_each(|line| output.line(line))?;
    }
    written.map_err(|error| replaced(&rotation, &format!("its news cannot be written into the file: {error}")))?;
    Ok(EXIT_OK)
}

fn reserve(file: &Path) -> Result<Reserved, CliError> {
    Reserved::new(file).map_err(|error| {
        CliError::new(format!("cannot write {}: {error}; nothing has changed", file.display()))
            .next("a file that is not there yet, in a folder that this user may write to")
    })
}

/// First what must not be lost; the records can be had from there.
async fn put_in_force(folder: &Folder, roll: &Roll, rotation: &Rotation) -> Result<(), CliError> {
    folder.rotate(rotation).map_err(|error| {
        let failed = backend::advised(&error, error.advice());
        failed.next("lattice root show   which tells whether the root key was replaced")
    })?;
    let failed = |error: &dyn std::fmt::Display| replaced(rotation, &error.to_string());
    roll.succeed(&rotation.line).map_err(|error| failed(&error))?;
    roll.durable().await.map_err(|error| failed(&error))
}

/// What has gone wrong when the key was replaced already.
fn replaced(rotation: &Rotation, why: &str) -> CliError {
    let new = rotation.root.public().to_root_text();
    CliError::new(format!("the root key WAS replaced, by {new}, but {why}"))
        .likely("the disk is full, failing or read-only")
        .next("lattice root show --file FILE   which writes the news at any time")
}

fn document(identity: &Identity, roll: &Roll, rotation: &Rotation) -> Document {
    let members = node::list_members(identity, roll, None, |_| None);
    let stay = members.iter().filter(|member| member.state != MemberState::Revoked).count();
    let roots = Roots { here: true, ..node::list_roots(identity, roll, &members) };
    let revoked = rotation.line.expelled().unwrap_or_default().iter().map(|one| roll.named(one.node()));
    Document { roots, stay, left: Vec::new(), revoked: revoked.collect(), pardoned: Vec::new() }
}

fn told(document: &Document, file: Option<&Path>) -> Vec<String> {
    let new = document.roots.keys.last().map_or("", |key| &key.key);
    let mut lines = vec![
        format!("the root key is now {new}; the old one counts for nothing where that is known"),
        format!("{} stay, with the certificates that they have", count(document.stay, "member")),
    ];
    for (what, names) in [
        ("members no more", &document.left),
        ("revoked by the old key, and still", &document.revoked),
        ("pardoned", &document.pardoned),
    ] {
        if !names.is_empty() {
            lines.push(format!("{what}: {}", names.join(", ")));
        }
    }
    lines.push("the others hear of it over their links:  lattice up   and then  lattice root show".to_owned());
    if let Some(file) = file {
        lines.push(format!("where no link leads:  lattice root follow {}", file.display()));
    }
    lines.push("keep the new key:  lattice root export FILE".to_owned());
    lines.push("keep the old copy as well until  lattice root show  names nobody as away".to_owned());
    lines
}

fn strangers(left: &[String]) -> CliError {
    CliError::new(format!(
        "{} would be members no more, as the old root key itself has certified them or who admitted them: {}",
        left.len(),
        left.join(", ")
    ))
    .likely("whoever else has the old key has made them members")
    .next("lattice root rotate --leave   to let them go")
}

impl From<RotationError> for CliError {
    fn from(error: RotationError) -> Self {
        backend::advised(&error, error.advice())
    }
}
