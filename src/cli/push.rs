//! `lattice push`: gives components to a host, which keeps them and hands them to others.

use super::hosts::HostsArgs;
use super::output::{Output, size};
use super::pushing::{Image, push};
use super::{CliError, EXIT_OK, ps};
use lattice_broker::env::Env;
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Components (WebAssembly), at most 32 MiB each.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Who is to keep them, by name or id [default: the node that --server names].
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    #[command(flatten)]
    hosts: HostsArgs,
}

#[derive(Serialize)]
struct Document<'a> {
    file: &'a str,
    host: &'a str,
    host_name: &'a str,
    image: String,
    size: u64,
}

pub(super) async fn run(env: &Env, args: &Args, output: &Output) -> Result<u8, CliError> {
    // All are looked at before any is sent; one at a time is in memory.
    for file in &args.files {
        Image::read(file)?;
    }
    let hosts = args.hosts.connect(env).await?;
    let host = hosts.find(args.host.as_deref(), ps::WAIT).await?;
    let name = &*host.friendly_name;
    for file in &args.files {
        let image = Image::read(file)?;
        push(&hosts, &host, &image, output).await?;
        let (file, bytes, image) = (image.name(), image.size(), image.reference());
        if output.json {
            output.record(&Document { file, host: &host.id, host_name: name, image, size: bytes })?;
        } else {
            output.line(format!("{file} is kept on {name} ({}) as {image}", size(bytes)))?;
        }
    }
    Ok(EXIT_OK)
}
