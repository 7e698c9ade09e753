//! `lattice start component`: has a host run a component, and waits until it does.

use super::hosts::{Hosts, HostsArgs, Wanted};
use super::output::{Output, count};
use super::{CliError, EXIT_OK, serving};
use crate::config::units::Period;
use crate::host::control::{Link, LinkId, Map};
use crate::host::images::Digest;
use clap::Subcommand;
use lattice_broker::env::Env;
use serde::Serialize;
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Run a component (WebAssembly), or change the one of that name.
    Component(ComponentArgs),
}

#[derive(Debug, clap::Args)]
struct ComponentArgs {
    /// Its file, file:///path as the host has it, or lattice://sha256:… as `lattice push` prints it.
    image: String,
    /// Its name in the lattice [default: the file's, without .wasm]; lattice://… has none.
    #[arg(long, value_name = "ID")]
    name: Option<String>,
    /// How many calls of it may run at a time.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    scale: u32,
    /// Call it for messages on this subject; may be repeated. Takes the place of what was said before.
    #[arg(long, value_name = "SUBJECT")]
    subscribe: Vec<String>,
    /// Have it answer HTTP on this address of its host, such as 0.0.0.0:8000.
    #[arg(long, value_name = "ADDRESS")]
    http: Option<SocketAddr>,
    /// Give it this configuration, which was put by its name before; may be repeated.
    #[arg(long, value_name = "NAME")]
    config: Vec<String>,
    /// Where, by name or id [default: on the node that --server names].
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// How long to wait until it runs.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    timeout: Period,
    #[command(flatten)]
    hosts: HostsArgs,
}

#[derive(Serialize)]
struct Document<'a> {
    host: &'a str,
    host_name: &'a str,
    component: &'a str,
    image: &'a str,
    instances: u32,
    subscriptions: &'a [String],
    http: Option<SocketAddr>,
}

/// What `start` notes and `stop` takes back: the name of the configuration that lists a component's subjects.
pub(super) fn subjects_config(id: &str) -> String {
    format!("subscriptions-of-{id}")
}

pub(super) async fn run(env: &Env, args: &Args, output: &Output) -> Result<u8, CliError> {
    let What::Component(args) = &args.what;
    let (image, id) = image_and_id(args)?;
    let hosts = args.hosts.connect(env).await?;
    let Period(patience) = args.timeout;
    let host = hosts.find(args.host.as_deref(), patience.min(super::ps::WAIT)).await?;
    if !args.subscribe.is_empty() {
        subscribe(&hosts, &id, &args.subscribe).await?;
    }
    let wanted = Wanted { id: &id, image: &image, count: args.scale, config: &args.config };
    hosts.change(&host, wanted, patience).await?;
    if let Some(address) = args.http {
        serving::serve(env, &hosts, &host, &id, address, patience).await?;
    }
    if output.json {
        output.document(&Document {
            host: &host.id,
            host_name: &host.friendly_name,
            component: &id,
            image: &image,
            instances: args.scale,
            subscriptions: &args.subscribe,
            http: args.http,
        })?;
    } else {
        let calls = count(args.scale as usize, "call");
        let served = args.http.map(|address| format!(", and answers HTTP on {address}")).unwrap_or_default();
        output.line(format!("{id} runs on {}, {calls} at a time{served}", host.friendly_name))?;
    }
    Ok(EXIT_OK)
}

fn image_and_id(args: &ComponentArgs) -> Result<(String, String), CliError> {
    if let Some(digest) = Digest::in_reference(&args.image) {
        let digest = digest.map_err(|error| CliError::usage(error.to_string()).next("lattice images --json"))?;
        let id = args.name.clone().ok_or_else(|| {
            CliError::usage(format!("{digest} says no name for the component"))
                .next(format!("lattice start component {} --name NAME", args.image))
        })?;
        return Ok((digest.to_reference(), id));
    }
    let path = args.image.strip_prefix("file://").unwrap_or(&args.image);
    let stem = Path::new(path).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let id = args.name.clone().or(stem).unwrap_or_default();
    if args.image.contains("://") {
        return Ok((args.image.clone(), id));
    }
    // The host has another working folder than this command.
    let path = std::fs::canonicalize(path).map_err(|error| {
        CliError::usage(format!("{}: {error}", args.image)).next("a file here, or file:///path where the host is")
    })?;
    Ok((format!("file://{}", path.display()), id))
}

/// Links messages on `subjects` to component `id`.
async fn subscribe(hosts: &Hosts, id: &str, subjects: &[String]) -> Result<(), CliError> {
    let (listed, link) = subjects_link(id, subjects).map_err(|why| CliError::usage(format!("--subscribe {why}")))?;
    hosts.ask(&format!("config.put.{}", subjects_config(id)), &json!(listed)).await?;
    hosts.ask("link.put", &json!(link)).await.map(drop)
}

/// The configuration that lists `subjects`, and the link by which messages on them go to component `id`.
///
/// # Errors
/// Names one that is none.
pub(super) fn subjects_link(id: &str, subjects: &[String]) -> Result<(Map, Link), String> {
    if let Some(bad) = subjects.iter().find(|subject| subject.contains([',', ' '])) {
        return Err(format!("{bad:?}: expected one subject, such as orders.*, and each for itself"));
    }
    let of = |text: &str| text.to_owned();
    let link = LinkId {
        source_id: of("lattice"),
        name: id.to_owned(),
        wit_namespace: of("wasmcloud"),
        wit_package: of("messaging"),
    };
    let link = Link {
        id: link,
        target: id.to_owned(),
        interfaces: vec![of("handler")],
        source_config: vec![subjects_config(id)],
        target_config: Vec::new(),
    };
    Ok(([(of("subscriptions"), subjects.join(","))].into(), link))
}
