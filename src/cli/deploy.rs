//! `lattice deploy`: has an app be as its file says, on all hosts together; shows what will change, and waits until it is so.

mod file;

use super::apps::{Standing, Wanted, check_name, standing};
use super::hosts::{Hosts, HostsArgs};
use super::output::{self, Output, Tone, count};
use super::pushing::{Image, push};
use super::{CliError, EXIT_OK, ps};
use crate::config::units::Period;
use crate::host::apps::{App, Change};
use file::File;
use lattice_broker::env::Env;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often it is looked how far it is.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The app's file; see docs/guides/apps.md.
    file: PathBuf,
    /// Show what would change, and change nothing.
    #[arg(long)]
    plan: bool,
    /// How long to wait until all of it runs; 0s does not wait.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    timeout: Period,
    #[command(flatten)]
    hosts: HostsArgs,
}

#[derive(Serialize)]
struct Document<'a> {
    app: &'a str,
    changes: &'a [Change],
    /// Whether they were made.
    deployed: bool,
    components: Vec<Standing>,
}

/// What a host tells that cannot run a component.
#[derive(Deserialize)]
struct Failure {
    data: Failed,
}

#[derive(Deserialize)]
struct Failed {
    host_id: String,
    component_id: String,
    error: String,
}

pub(super) async fn run(env: &Env, args: &Args, output: &Output) -> Result<u8, CliError> {
    let Read { file, app, images } = read(&args.file)?;
    let hosts = args.hosts.connect(env).await?;
    let body = json!(app).to_string();
    let planned = hosts.ask_own(&format!("app.plan.{}", file.name), body.as_bytes()).await?;
    let changes: Vec<Change> = super::hosts::from_value(planned.unwrap_or_default())?;
    if !output.json {
        show(output, &file.name, &changes)?;
    }
    let mut components = Vec::new();
    if !args.plan {
        keep(&hosts, &images, output).await?;
        let mut failures = hosts.listen("component_scale_failed").await?;
        hosts.ask_own(&format!("app.put.{}", file.name), body.as_bytes()).await?;
        let Period(patience) = args.timeout;
        let wanted = Wanted { components: app.components.clone(), providers: app.providers.clone() };
        let mut wait = Wait { env, hosts: &hosts, wanted, name: &file.name, output, told: BTreeMap::new() };
        components = wait.settled(&mut failures, patience).await?;
    }
    if output.json {
        let (app, changes) = (&*file.name, &*changes);
        output.document(&Document { app, changes, deployed: !args.plan, components })?;
    } else if !args.plan {
        done(output, &file.name, &components)?;
    }
    Ok(EXIT_OK)
}

/// An app's file, and what it comes to.
struct Read {
    file: File,
    app: App,
    /// The files of images, each with what hosts will know it by.
    images: BTreeMap<PathBuf, String>,
}

fn read(path: &Path) -> Result<Read, CliError> {
    let wrong = |why: String| {
        CliError::usage(format!("{}: {why}", path.display())).next("docs/guides/apps.md for what a file may say")
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let file = File::parse(&text).map_err(wrong)?;
    check_name(&file.name).map_err(wrong)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut images = BTreeMap::new();
    // What has a scheme is for hosts to find.
    for component in file.components.values().filter(|component| !component.image.contains("://")) {
        if let Entry::Vacant(entry) = images.entry(folder.join(&component.image)) {
            let reference = Image::read(entry.key())?.reference();
            entry.insert(reference);
        }
    }
    let reference = |image: &str| images.get(&folder.join(image)).map_or(image, String::as_str).to_owned();
    let app = file.app(reference).map_err(wrong)?;
    Ok(Read { file, app, images })
}

/// Has the host that is asked keep the images; the others fetch them of each other. One at a time is in memory.
async fn keep(hosts: &Hosts, images: &BTreeMap<PathBuf, String>, output: &Output) -> Result<(), CliError> {
    if images.is_empty() {
        return Ok(());
    }
    let host = hosts.find(None, ps::WAIT).await?;
    for (path, reference) in images {
        let image = Image::read(path)?;
        if image.reference() != *reference {
            return Err(CliError::new(format!("{} has changed meanwhile", path.display())).next("the same once more"));
        }
        push(hosts, &host, &image, output).await?;
    }
    Ok(())
}

fn show(output: &Output, name: &str, changes: &[Change]) -> Result<(), CliError> {
    if changes.is_empty() {
        output.line(format!("{name}: nothing to change"))?;
        return Ok(());
    }
    output.line(format!("{name}: {}", count(changes.len(), "change")))?;
    for Change { action, what, name, detail } in changes {
        let (sign, tone) = match action.as_str() {
            "add" => ("+", Tone::Good),
            "remove" => ("-", Tone::Bad),
            _ => ("~", Tone::Title),
        };
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        // What others name must not touch the terminal.
        let text = format!("{what} {name}{detail}").escape_debug().to_string();
        output.line(format!("  {} {text}", output.paint(tone, sign)))?;
    }
    Ok(())
}

fn done(output: &Output, name: &str, components: &[Standing]) -> Result<(), CliError> {
    let missing = components.iter().filter(|component| !component.settled).count();
    if missing > 0 {
        output.line(format!("{name} is wanted so from now on; `lattice apps` shows how far it is"))?;
        return Ok(());
    }
    for Standing { component, runs, hosts, .. } in components {
        let hosts = output::names(hosts.iter().map(String::as_str));
        output.line(format!("{component} runs: {} on {hosts}", count(*runs as usize, "instance")))?;
    }
    Ok(())
}

/// What waits until an app is as it is wanted.
struct Wait<'a> {
    env: &'a Env,
    hosts: &'a Hosts,
    wanted: Wanted,
    name: &'a str,
    output: &'a Output,
    /// What was told of failures, once.
    told: BTreeMap<(String, String), String>,
}

impl Wait<'_> {
    /// How its components are once all are as they are wanted; or at once, when there is no patience.
    async fn settled(
        &mut self,
        failures: &mut crate::client::Subscription,
        patience: Duration,
    ) -> Result<Vec<Standing>, CliError> {
        let env = self.env;
        let until = env.now() + patience;
        loop {
            let inventories = ps::inventories(self.hosts, ps::WAIT).await?;
            let now = standing(self.name, &self.wanted, &inventories);
            if let Some(nowhere) = now.iter().find(|one| one.fitting == 0).filter(|_| !patience.is_zero()) {
                let error = CliError::new(format!("{} is wanted so from now on, but {nowhere}", self.name));
                return Err(error.next("lattice up --label, or another `on` in the file"));
            }
            if patience.is_zero() || now.iter().all(|component| component.settled) {
                return Ok(now);
            }
            if env.now() >= until {
                return Err(self.late(&now, patience));
            }
            let names = inventories.iter().map(|host| (host.host_id.clone(), host.friendly_name.clone())).collect();
            let hear = async {
                while let Some(message) = failures.next().await {
                    self.hear(&message.payload, &names);
                }
            };
            // That the time is up is what ends it.
            let _ = env.timeout(LOOK, hear).await;
        }
    }

    /// Tells why a host cannot run a component of the app, once.
    fn hear(&mut self, payload: &[u8], names: &BTreeMap<String, String>) {
        // What others publish there is theirs to say.
        let Ok(Failure { data: Failed { host_id, component_id, error } }) = serde_json::from_slice(payload) else {
            return;
        };
        if !self.wanted.components.contains_key(&component_id) {
            return;
        }
        let host = names.get(&host_id).unwrap_or(&host_id).clone();
        let [host, error] = [host, error].map(|text| text.escape_debug().to_string());
        let before = self.told.insert((component_id.clone(), host.clone()), error.clone());
        if before.is_none_or(|before| before != error) {
            self.output.notice(format!("{component_id} on {host}: {error}"));
        }
    }

    fn late(&self, now: &[Standing], patience: Duration) -> CliError {
        let missing: BTreeSet<String> =
            now.iter().filter(|component| !component.settled).map(Standing::to_string).collect();
        let missing = missing.into_iter().collect::<Vec<_>>().join("; ").escape_debug().to_string();
        let error = CliError::new(format!("after {patience:?} {} is not as it is wanted: {missing}", self.name));
        let why = self.told.iter().map(|((component, host), error)| format!("{component} on {host}: {error}"));
        let why: Vec<String> = why.collect();
        let error = if why.is_empty() { error } else { error.likely(why.join("; ")) };
        error.next("the hosts go on trying: `lattice apps` in a moment, or `lattice undeploy` to give it up")
    }
}
