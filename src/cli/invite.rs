//! `lattice invite`: one line of text that lets another device in, from a running node or from its data folder; on the
//! terminal, in a file, or as a QR code.

use super::new_file::write_new;
use super::obtain::obtain;
use super::output::{Output, count, spoken};
use super::{CliError, EXIT_OK, NodeArgs};
use crate::config::units::Period;
use crate::control::client::AskError;
use crate::control::{Answer, InviteRequest, Request};
use crate::identity::{Grant, Invite, USES_MAX};
use clap::ArgMatches;
use lattice_broker::env::Env;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An invite is meant for the coming hours: what is lost or copied must not stay good.
const EXPIRES_MAX: Duration = Duration::from_secs(365 * 86_400);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
    /// How long it is valid, as 30m, 1h or 7d.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    expires: Period,
    /// How many devices may join with it.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(USES_MAX)))]
    uses: u32,
    /// No messages between other nodes take their way through these devices: for those on batteries, or far outside.
    #[arg(long)]
    no_transit: bool,
    /// These devices cannot invite others.
    #[arg(long)]
    no_invite: bool,
    /// The account that clients of these devices are limited to; may be repeated [default: all].
    #[arg(long, value_name = "NAME")]
    account: Vec<String>,
    /// Write the invite into this new file, for a USB stick: lattice join FILE.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Show the invite as a QR code, too.
    #[arg(long, conflicts_with = "json")]
    qr: bool,
}

impl Args {
    fn request(&self) -> Result<InviteRequest, CliError> {
        let Period(expires) = self.expires;
        if !(Duration::from_secs(1)..=EXPIRES_MAX).contains(&expires) {
            let message = format!("--expires {} cannot be used: expected 1s to 365d", Period(expires));
            return Err(CliError::usage(message));
        }
        let grant = Grant { transit: !self.no_transit, invite: !self.no_invite, accounts: None };
        let grant = grant.limited_to(self.account.clone());
        let grant = grant.map_err(|error| CliError::usage(format!("--account cannot be used: {error}")))?;
        Ok(InviteRequest { expires, uses: self.uses, grant })
    }
}

#[derive(Serialize)]
struct Document<'a> {
    invite: &'a str,
    /// 0 when the node has no clock to date it by.
    expires_secs: u64,
    uses: u32,
    /// What those who join may do: as asked for, and no more than the node that invites may pass on.
    grant: &'a Grant,
    file: Option<&'a Path>,
}

pub(super) async fn run(env: &Env, args: &Args, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
    let request = args.request()?;
    let config = args.node.config(matches, Vec::new())?;
    let answer = obtain(env, &config, Request::Invite(request.clone())).await?;
    let Answer::Invite(text) = answer else { return Err(AskError::Misunderstood.into()) };
    // What it grants is in it; the node that made it may have had less to give than was asked for.
    let invite: Invite = text.parse().map_err(|_| CliError::from(AskError::Misunderstood))?;
    if let Some(file) = &args.file {
        write(file, &text)?;
    }
    let valid = if invite.terms().expires == 0 { Duration::ZERO } else { request.expires };
    if output.json {
        let (expires_secs, grant) = (valid.as_secs(), &invite.terms().grant);
        let file = args.file.as_deref();
        output.document(&Document { invite: &text, expires_secs, uses: args.uses, grant, file })?;
        return Ok(EXIT_OK);
    }
    explain(output, &invite, valid, args.file.as_deref())?;
    if args.qr {
        output.line(qr(&text)?)?;
    }
    if args.file.is_none() {
        output.line(text)?;
    }
    Ok(EXIT_OK)
}

fn explain(output: &Output, invite: &Invite, valid: Duration, file: Option<&Path>) -> Result<(), CliError> {
    let uses = count(invite.terms().uses as usize, "use");
    let valid = match valid {
        Duration::ZERO => "valid without a date, since this device has no clock".to_owned(),
        valid => format!("valid {}", spoken(valid)),
    };
    let limits = match &invite.terms().grant {
        all if *all == Grant::all() => String::new(),
        some => format!(", {some}"),
    };
    let what = file.map_or_else(|| "<invite>".to_owned(), |file| file.display().to_string());
    output.line(format!("{valid}, {uses}{limits}; on the other device:  lattice join {what}, then  lattice up"))?;
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<(), CliError> {
    write_new(file, text).map_err(|error| {
        let new = CliError::new(format!("cannot write the invite to {}: {error}", file.display()));
        new.next("--file with a name that is not taken, in a folder that this user may write to")
    })
}

/// Blocks of a terminal, two dots of the code above each other in a character.
fn qr(text: &str) -> Result<String, CliError> {
    use qrcode::render::unicode::Dense1x2;
    use qrcode::{EcLevel, QrCode};
    let code = QrCode::with_error_correction_level(text, EcLevel::L);
    let code = code.map_err(|error| {
        CliError::new(format!("the invite of {} characters makes no QR code: {error}", text.len()))
            .next("the same without --qr, or --file")
    })?;
    // On the dark ground of most terminals the light dots are the ones to draw.
    Ok(code.render::<Dense1x2>().dark_color(Dense1x2::Dark).light_color(Dense1x2::Light).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_invite_makes_a_code_and_an_impossible_text_an_error() {
        let code = qr(&format!("lat1:{}", "A".repeat(1_200))).unwrap();
        assert!(code.lines().count() > 40 && code.lines().all(|line| !line.is_empty()), "{code}");
        let error = qr(&"x".repeat(5_000)).unwrap_err().to_string();
        assert!(error.contains("5000 characters makes no QR code"), "{error}");
    }
}
