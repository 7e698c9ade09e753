//! What a host is asked beside what wasmCloud's clients ask: which configurations there are, and what a component has written. Apps
//! are `apps/`'s, and images `images/`'s.
//!
//! Requests are on `lattice.ctl.v1.<lattice>.…`; every answer is that of the control interface, and fits in one message.

use super::books::Books;
use super::desk::{Answer, Desk, Reply};
use super::request::{BadRequest, Body};
use crate::host::runner::Runner;
use crate::host::written::Place;
use serde::{Deserialize, Serialize};
use serde_json::json;

const CONFIG_LIST: &str = "config.list";
const LOG: &str = "component.log";

/// Configurations in one answer, at most: who wants the rest asks from there on.
const PAGE: usize = 500;

/// The body of `config.list`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListConfigs {
    /// Those behind this name alone.
    #[serde(default)]
    pub after: String,
}

/// What it brings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configs {
    /// By name; 500 at most.
    pub configs: Vec<Listed>,
    /// Whether there are others behind them.
    pub more: bool,
}

/// A configuration, without its values: they may be secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// How many keys it has.
    pub keys: usize,
    /// The app that has it, if one does.
    pub app: Option<String>,
}

/// The body of `component.log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadLog {
    /// The component.
    pub component_id: String,
    /// What was seen already: `next` of the answer before.
    #[serde(default)]
    pub after: Place,
}

/// What the subjects begin with.
fn prefix(lattice: &str) -> String {
    format!("lattice.ctl.v1.{lattice}.")
}

/// The filters of these subjects for `host`, and whether it takes turns with the other hosts there.
#[must_use]
pub fn filters(lattice: &str, host: &str) -> [(String, bool); 2] {
    let prefix = prefix(lattice);
    [(format!("{prefix}{CONFIG_LIST}"), true), (format!("{prefix}{LOG}.{host}"), false)]
}

/// What is to be said for a message on `subject`; `None` when it is for others to answer.
#[must_use]
pub fn answer(desk: &Desk, books: &Books, runner: &dyn Runner, subject: &str, bytes: &[u8]) -> Option<Answer> {
    let asked = subject.strip_prefix(&prefix(desk.lattice()))?;
    let body = |operation| Body { operation, host: desk.host(), bytes };
    let reply = if asked == CONFIG_LIST {
        list(desk, books, body(CONFIG_LIST))
    } else if asked.strip_prefix(LOG)?.strip_prefix('.')? == desk.host() {
        read(runner, body(LOG))
    } else {
        return None;
    };
    Some(reply.unwrap_or_else(Reply::failed).into())
}

fn list(desk: &Desk, books: &Books, body: Body<'_>) -> Result<Reply, BadRequest> {
    let ListConfigs { after } = body.json()?;
    let apps = books.configs_of_apps(desk.lattice());
    let mut found = books.configs().into_iter().filter(|(name, _)| *name > after);
    let listed = |(name, config): (String, super::Map)| {
        let app = apps.get(&name).cloned();
        Listed { name, keys: config.len(), app }
    };
    let configs = found.by_ref().take(PAGE).map(listed).collect();
    Ok(Reply::with(json!(Configs { configs, more: found.next().is_some() })))
}

fn read(runner: &dyn Runner, body: Body<'_>) -> Result<Reply, BadRequest> {
    let ReadLog { component_id: id, after } = body.json()?;
    body.id("component_id", &id)?;
    let written = runner.written(&id, after);
    Ok(written.map_or_else(
        || Reply::failed(format!("component {id} does not run on this host")),
        |written| Reply::with(json!(written)),
    ))
}
