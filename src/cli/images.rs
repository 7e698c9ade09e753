//! `lattice images`: which images of components are kept where, from all hosts that can be reached; and their removal.

use super::hosts::{AllArgs, Found, Hosts, from_value};
use super::output::{self, Output, Table, count, size};
use super::{CliError, EXIT_OK};
use crate::config::units::Period;
use crate::host::images::{Digest, SCHEME};
use clap::Subcommand;
use futures_util::future::join_all;
use lattice_broker::env::Env;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// Digits of a digest that name an image well enough, when there is one alone that begins so.
const DIGITS_MIN: usize = 8;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    of: AllArgs,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Remove an image from all hosts. What runs of it goes on, until its host starts again.
    Rm(Removal),
}

#[derive(Debug, clap::Args)]
struct Removal {
    /// lattice://sha256:…, or the first digits as `lattice images` shows them.
    image: String,
    #[command(flatten)]
    of: AllArgs,
}

/// As a host lists it.
#[derive(Debug, Deserialize)]
struct Listed {
    digest: String,
    size: u64,
}

/// An image on a host.
#[derive(Debug)]
struct Kept {
    host: Found,
    digest: Digest,
    size: u64,
}

/// The same in JSON.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Document<'a> {
    host: &'a str,
    host_name: &'a str,
    image: String,
    digest: String,
    size: u64,
}

pub(super) async fn run(env: &Env, args: &Args, output: &Output) -> Result<u8, CliError> {
    match &args.what {
        Some(What::Rm(removal)) => remove(env, removal, output).await,
        None => list(env, &args.of, output).await,
    }
}

async fn list(env: &Env, of: &AllArgs, output: &Output) -> Result<u8, CliError> {
    let hosts = of.hosts.connect(env).await?;
    let (asked, kept) = kept(&hosts, of).await?;
    if output.json {
        output.document(&kept.iter().map(document).collect::<Vec<_>>())?;
    } else if kept.is_empty() {
        output.line(format!("no images are kept on {}", count(asked, "host")))?;
    } else {
        table(&kept).lines().try_for_each(|line| output.line(line))?;
    }
    Ok(EXIT_OK)
}

/// How many hosts there are, and what they keep: by image, and by the names of the hosts. One that does not say is left out.
async fn kept(hosts: &Hosts, of: &AllArgs) -> Result<(usize, Vec<Kept>), CliError> {
    let Period(time) = of.timeout;
    let found = hosts.all(time).await?;
    let listed = join_all(found.iter().map(|host| listed(hosts, host))).await;
    let mut kept: Vec<Kept> = listed.into_iter().filter_map(Result::ok).flatten().collect();
    // Hosts are sorted already.
    kept.sort_by_key(|kept| kept.digest);
    Ok((found.len(), kept))
}

async fn listed(hosts: &Hosts, host: &Found) -> Result<Vec<Kept>, CliError> {
    let response = hosts.ask_own(&format!("image.list.{}", host.id), b"").await?;
    let listed: Vec<Listed> = from_value(response.unwrap_or_default())?;
    let kept =
        |listed: Listed| Some(Kept { host: host.clone(), digest: listed.digest.parse().ok()?, size: listed.size });
    Ok(listed.into_iter().filter_map(kept).collect())
}

async fn remove(env: &Env, removal: &Removal, output: &Output) -> Result<u8, CliError> {
    let digits = digits(&removal.image)?;
    let hosts = removal.of.hosts.connect(env).await?;
    let (_, mut kept) = kept(&hosts, &removal.of).await?;
    kept.retain(|kept| kept.digest.to_hex().starts_with(&digits));
    let Some(digest) = kept.first().map(|kept| kept.digest) else {
        return Err(CliError::new(format!("no host that answers keeps {}", removal.image)).next("lattice images"));
    };
    if kept.iter().any(|kept| kept.digest != digest) {
        return Err(CliError::usage(format!("several images begin with {digits}")).next("more digits of the one"));
    }
    let body = json!({ "digest": digest.to_string() }).to_string();
    for Kept { host, .. } in &kept {
        hosts.ask_own(&format!("image.del.{}", host.id), body.as_bytes()).await?;
    }
    if output.json {
        output.document(&kept.iter().map(document).collect::<Vec<_>>())?;
    } else {
        output.line(format!("{digest} is removed from {}", names(&kept)))?;
    }
    Ok(EXIT_OK)
}

/// The digits that name an image: all of them, or the first.
fn digits(image: &str) -> Result<String, CliError> {
    let digits = image.strip_prefix(SCHEME).unwrap_or(image);
    let digits = digits.strip_prefix("sha256:").unwrap_or(digits).to_lowercase();
    if digits.len() >= DIGITS_MIN && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(digits);
    }
    Err(CliError::usage(format!(
        "{image:?} is no image: expected lattice://sha256:…, or at least {DIGITS_MIN} hexadecimal digits of it"
    ))
    .next("lattice images"))
}

fn document(kept: &Kept) -> Document<'_> {
    let Kept { host, digest, size } = kept;
    let (image, digest) = (digest.to_reference(), digest.to_string());
    Document { host: &host.id, host_name: &host.friendly_name, image, digest, size: *size }
}

fn table(kept: &[Kept]) -> Table {
    let mut by_digest = BTreeMap::<Digest, Vec<&Kept>>::new();
    for one in kept {
        by_digest.entry(one.digest).or_default().push(one);
    }
    let mut table = Table::new(&["IMAGE", "SIZE", "HOSTS"]);
    for (digest, kept) in by_digest {
        let bytes = kept.first().map_or(0, |kept| kept.size);
        table.row(vec![digest.to_short(), size(bytes), names(kept)]);
    }
    table
}

fn names<'a>(kept: impl IntoIterator<Item = &'a Kept>) -> String {
    output::names(kept.into_iter().map(|kept| &*kept.host.friendly_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(name: &str, image: &[u8]) -> Kept {
        let host = Found { id: format!("N{name}"), friendly_name: name.to_owned() };
        Kept { host, digest: Digest::of(image), size: 123_456 }
    }

    #[test]
    fn images_are_a_table() {
        let kept = [kept("hall", b"abc"), kept("kitchen", b"abc"), kept("shed", b"")];
        let lines: Vec<_> = table(&kept).lines().collect();
        let expected =
            ["IMAGE         SIZE    HOSTS", "ba7816bf8f01  123 kB  hall, kitchen", "e3b0c44298fc  123 kB  shed"];
        assert_eq!(lines, expected);
    }

    #[test]
    fn images_are_named_by_digits() {
        for text in ["lattice://sha256:BA7816bf", "sha256:ba7816bf", "ba7816bf"] {
            assert_eq!(digits(text).unwrap(), "ba7816bf");
        }
        for text in ["", "ba7816b", "hello.wasm", "lattice://sha256:"] {
            assert!(digits(text).is_err(), "{text}");
        }
    }
}
