//! Answers to those who ask for apps: reads the request, says what would change, writes it down. No IO but that of the books; what
//! comes of it is `keeper.rs`'s, on every host.

use super::app::{App, BadApp, Component, Kept, Spread};
use crate::host::control::request::{Body, Link, LinkId, Map};
use crate::host::control::{Answer, BadRequest, Books, Desk, LinkError, Reply};
use crate::host::state::WriteError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const OPERATIONS: &[&str] = &["app.put.NAME", "app.plan.NAME", "app.get.NAME", "app.del.NAME", "app.list"];

/// What a part of an app would become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// `add`, `change` or `remove`.
    pub action: String,
    /// A component, a provider, a configuration, a link.
    pub what: String,
    /// Its name.
    pub name: String,
    /// How it will be, in words.
    pub detail: String,
}

/// It was not done.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    App(#[from] BadApp),
    #[error(transparent)]
    Request(#[from] BadRequest),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("app {name:?} is written by a later version of the program than that of this host")]
    Later { name: String },
    #[error("{0}")]
    Desk(String),
    #[error("there is no app {name:?}: {}", there_are(.known))]
    Unknown { name: String, known: Vec<String> },
    #[error("unknown operation {operation}: this host answers {}", OPERATIONS.join(", "))]
    Operation { operation: String },
}

/// What the subjects begin with on which hosts of `lattice` are asked for apps.
fn prefix(lattice: &str) -> String {
    format!("lattice.ctl.v1.{lattice}.")
}

/// The filters of these subjects; hosts take turns.
#[must_use]
pub fn filters(lattice: &str) -> Vec<String> {
    OPERATIONS.iter().map(|name| format!("{}{}", prefix(lattice), name.replace("NAME", "*"))).collect()
}

/// What is to be said and told for a message on `subject`; `None` when it is for others to answer.
#[must_use]
pub fn answer(desk: &Desk, books: &Books, subject: &str, body: &[u8]) -> Option<Answer> {
    let operation = subject.strip_prefix(&prefix(desk.lattice()))?;
    Some(carry_out(desk, books, operation, body).unwrap_or_else(|error| Reply::failed(error).into()))
}

fn carry_out(desk: &Desk, books: &Books, operation: &str, bytes: &[u8]) -> Result<Answer, Failed> {
    let unknown = || Failed::Operation { operation: operation.to_owned() };
    let (verb, name) = match operation.strip_prefix("app.").ok_or_else(unknown)?.split_once('.') {
        Some(parts) => parts,
        None if operation == "app.list" => return Ok(Reply::with(json!(list(desk, books))).into()),
        None => return Err(unknown()),
    };
    let body = Body { operation: &operation[..operation.len() - name.len() - 1], host: "", bytes };
    body.id("name", name)?;
    let apps = books.apps(desk.lattice());
    if let Some(None) = apps.get(name) {
        return Err(Failed::Later { name: name.to_owned() });
    }
    let known = || {
        books.app(desk.lattice(), name).ok_or_else(|| {
            let known = apps.keys().cloned().collect();
            Failed::Unknown { name: name.to_owned(), known }
        })
    };
    match verb {
        "get" => Ok(Reply::with(json!(known()?)).into()),
        "del" => delete(desk, books, name, &known()?),
        "put" | "plan" => {
            let app: App = body.json()?;
            app.check(&body)?;
            fits_in(desk, books, name, &app)?;
            let changes = changes(desk, books, name, &app);
            let written = if verb == "put" { put(desk, books, name, &app)? } else { Answer::default() };
            Ok(Answer { reply: Some(Reply::with(json!(changes))), ..written })
        }
        _ => Err(unknown()),
    }
}

fn there_are(known: &[String]) -> String {
    if known.is_empty() { "there are none".to_owned() } else { format!("there are {}", known.join(", ")) }
}

/// All apps that can be read.
fn list(desk: &Desk, books: &Books) -> BTreeMap<String, Kept> {
    books.apps(desk.lattice()).into_iter().filter_map(|(name, app)| Some((name, app?))).collect()
}

/// Whether nothing of it is another's already, and all of it can be kept.
fn fits_in(desk: &Desk, books: &Books, name: &str, app: &App) -> Result<(), Failed> {
    let mine = app.keep().names();
    for (other, theirs) in books.other_apps(desk.lattice(), name) {
        // Configurations and links are those of all lattices.
        let (lattice, app) = other.split_once('/').unwrap_or_default();
        let is_shared = |what: &str| lattice == desk.lattice() || ["configuration", "link"].contains(&what);
        let theirs = theirs.names();
        if let Some((what, id)) = mine.iter().find(|name| is_shared(name.0) && theirs.contains(name)).cloned() {
            return Err(BadApp::Taken { what, id, app: app.to_owned() }.into());
        }
    }
    books.fits(desk.lattice(), name, app)?;
    let before = books.app(desk.lattice(), name).unwrap_or_default();
    let new = app.links.iter().filter(|link| !before.links.contains(&link.id));
    Ok(new.into_iter().try_for_each(|link| books.is_free(link))?)
}

/// Writes it down, what others need before those; what it had before and has no more goes last.
fn put(desk: &Desk, books: &Books, name: &str, app: &App) -> Result<Answer, Failed> {
    let (before, after) = (books.app(desk.lattice(), name).unwrap_or_default(), app.keep());
    let mut told = Answer::default();
    for (config, values) in app.configs.iter().filter(|(config, values)| books.config(config).as_ref() != Some(values))
    {
        books.put_config(config, values)?;
        told.events.push(("config_set", json!({ "config_name": config })));
    }
    let links = books.links();
    for link in app.links.iter().filter(|link| !links.contains(link)) {
        // Its calls may go elsewhere now.
        if before.links.contains(&link.id) {
            told.events.extend(done(desk.delete_link(&link.id))?);
        }
        told.events.extend(done(desk.put_link(link))?);
    }
    books.set_app(desk.lattice(), name, Some(&after))?;
    forget(desk, books, name, (&before, &after), &mut told)?;
    Ok(told)
}

fn delete(desk: &Desk, books: &Books, name: &str, app: &Kept) -> Result<Answer, Failed> {
    books.set_app(desk.lattice(), name, None)?;
    let mut told = Answer::from(Reply::done(format!("app {name} is no more wanted")));
    forget(desk, books, name, (app, &Kept::default()), &mut told)?;
    Ok(told)
}

/// Removes the links and configurations of `before` that `after` has not, but for those that another app has as well: two that were
/// deployed apart from each other may have the same.
fn forget(
    desk: &Desk,
    books: &Books,
    name: &str,
    (before, after): (&Kept, &Kept),
    told: &mut Answer,
) -> Result<(), Failed> {
    let others = books.other_apps(desk.lattice(), name);
    let is_free = |has: &dyn Fn(&Kept) -> bool| !has(after) && !others.iter().any(|(_, other)| has(other));
    for id in before.links.iter().filter(|id| is_free(&|app| app.links.contains(id))) {
        told.events.extend(done(desk.delete_link(id))?);
    }
    for config in before.configs.iter().filter(|config| is_free(&|app| app.configs.contains(config))) {
        books.delete_config(config)?;
        told.events.push(("config_deleted", json!({ "config_name": config })));
    }
    Ok(())
}

/// What is told of something that was done.
fn done(answer: Answer) -> Result<Vec<(&'static str, Value)>, Failed> {
    match answer.reply {
        Some(reply) if !reply.success => Err(Failed::Desk(reply.message)),
        Some(_) | None => Ok(answer.events),
    }
}

/// What differs between what is there and `app`.
fn changes(desk: &Desk, books: &Books, name: &str, app: &App) -> Vec<Change> {
    let before = books.app(desk.lattice(), name).unwrap_or_default();
    let mut changes = compare("component", &before.components, &app.components, component_text);
    changes.extend(compare("provider", &before.providers, &app.providers, |server| server.image.clone()));
    let configs = before.configs.iter().filter_map(|config| Some((config.clone(), books.config(config)?)));
    changes.extend(compare("configuration", &configs.collect(), &app.configs, config_text));
    let links = books.links().into_iter().filter(|link| before.links.contains(&link.id));
    let by_id = |link: Link| (link.id.clone(), link);
    changes.extend(compare(
        "link",
        &links.map(by_id).collect(),
        &app.links.iter().cloned().map(by_id).collect(),
        link_text,
    ));
    changes
}

fn compare<K: Ord + ToString, T: PartialEq>(
    what: &'static str,
    before: &BTreeMap<K, T>,
    after: &BTreeMap<K, T>,
    text: impl Fn(&T) -> String,
) -> Vec<Change> {
    let change = |action: &str, name: &K, detail| Change {
        action: action.to_owned(),
        what: what.to_owned(),
        name: name.to_string(),
        detail,
    };
    let there = after.iter().filter_map(|(name, new)| match before.get(name) {
        None => Some(change("add", name, text(new))),
        Some(old) if old != new => Some(change("change", name, text(new))),
        Some(_) => None,
    });
    let gone = before.keys().filter(|name| !after.contains_key(name)).map(|name| change("remove", name, String::new()));
    there.chain(gone).collect()
}

fn component_text(component: &Component) -> String {
    let count = match component.spread {
        Spread::Instances(count) => format!("{count} in all"),
        Spread::PerHost(count) => format!("{count} on each host"),
    };
    let on: Vec<String> = component.on.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let on = if on.is_empty() { String::new() } else { format!(" with {}", on.join(", ")) };
    format!("{}, {count}{on}", component.image)
}

/// Names alone: values may be secrets.
fn config_text(config: &Map) -> String {
    config.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn link_text(link: &Link) -> String {
    let Link { id: LinkId { source_id, wit_namespace, wit_package, .. }, target, interfaces, .. } = link;
    format!("{source_id} calls {wit_namespace}:{wit_package}/{} of {target}", interfaces.join(","))
}
