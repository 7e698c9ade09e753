//! `lattice ps`: what runs where, from all hosts that can be reached.

use super::hosts::{AllArgs, Component, Found, Hosts, Inventory, Provider};
use super::output::{Output, Table, count};
use super::{CliError, EXIT_OK};
use crate::config::units::Period;
use futures_util::future::join_all;
use lattice_broker::env::Env;
use serde::Serialize;
use std::net::SocketAddr;
use std::time::Duration;

/// How long hosts are waited for, unless something else is said.
pub(super) const WAIT: Duration = Duration::from_secs(1);

/// A component, or a provider, in JSON.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Document<'a> {
    host: &'a str,
    host_name: &'a str,
    component: &'a str,
    image: &'a str,
    instances: u32,
    state: &'static str,
    kind: &'static str,
    /// Where a provider listens.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    listening: &'a [SocketAddr],
}

pub(super) async fn run(env: &Env, args: &AllArgs, output: &Output) -> Result<u8, CliError> {
    let Period(time) = args.timeout;
    let hosts = args.hosts.connect(env).await?;
    let inventories = inventories(&hosts, time).await?;
    let running = running(&inventories);
    if output.json {
        output.document(&running)?;
    } else if running.is_empty() {
        output.line(format!("no components run on {}", count(inventories.len(), "host")))?;
    } else {
        table(&running).lines().try_for_each(|line| output.line(line))?;
    }
    Ok(EXIT_OK)
}

/// What runs on each host that answers within `time`; one that is gone before it has said that is left out.
pub(super) async fn inventories(hosts: &Hosts, time: Duration) -> Result<Vec<Inventory>, CliError> {
    let found = hosts.all(time).await?;
    let asked = join_all(found.iter().map(|host| hosts.inventory(&host.id))).await;
    Ok(asked.into_iter().filter_map(Result::ok).collect())
}

/// The hosts that answer within `time` and run component `id`, by their names.
pub(super) async fn hosts_of(hosts: &Hosts, id: &str, time: Duration) -> Result<Vec<Found>, CliError> {
    let inventories = inventories(hosts, time).await?.into_iter();
    let running = inventories.filter(|host| host.components.iter().any(|component| component.id == id));
    Ok(running.map(|host| Found { id: host.host_id, friendly_name: host.friendly_name }).collect())
}

fn running(inventories: &[Inventory]) -> Vec<Document<'_>> {
    let components = inventories.iter().flat_map(|host| host.components.iter().map(move |component| (host, component)));
    let providers = inventories.iter().flat_map(|host| host.providers.iter().map(move |provider| (host, provider)));
    let components = components.map(|(host, component)| document(host, component));
    components.chain(providers.map(|(host, provider)| provider_document(host, provider))).collect()
}

fn document<'a>(host: &'a Inventory, component: &'a Component) -> Document<'a> {
    Document {
        host: &host.host_id,
        host_name: &host.friendly_name,
        component: &component.id,
        image: &component.image_ref,
        instances: component.max_instances,
        // A host tells of those that run, and of no others.
        state: "running",
        kind: "component",
        listening: &[],
    }
}

fn provider_document<'a>(host: &'a Inventory, provider: &'a Provider) -> Document<'a> {
    Document {
        host: &host.host_id,
        host_name: &host.friendly_name,
        component: &provider.id,
        image: &provider.image_ref,
        instances: 1,
        state: if provider.problems.is_empty() { "running" } else { "failing" },
        kind: "provider",
        listening: &provider.listening,
    }
}

fn table(running: &[Document<'_>]) -> Table {
    let mut table = Table::new(&["HOST", "COMPONENT", "INSTANCES", "STATE", "IMAGE"]);
    for one in running {
        // What others name must not touch the terminal.
        let text = |text: &str| text.escape_debug().to_string();
        let instances = one.instances.to_string();
        let at = one.listening.iter().map(|at| format!(" on {at}")).collect::<String>();
        let image = text(one.image) + &at;
        table.row(vec![text(one.host_name), text(one.component), instances, one.state.to_owned(), image]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_a_table() {
        let inventory = r#"{"host_id": "NHOST", "friendly_name": "kitchen", "labels": {}, "components": [
            {"id": "echo", "image_ref": "file:///echo.wasm", "max_instances": 4, "revision": 0}],
            "providers": [{"id": "http-of-echo", "image_ref": "wasmcloud+builtin://http-server", "revision": 0,
            "listening": ["127.0.0.1:8000"], "problems": []}]}"#;
        let inventories = [serde_json::from_str(inventory).unwrap()];
        let lines: Vec<_> = table(&running(&inventories)).lines().collect();
        let expected = [
            "HOST     COMPONENT     INSTANCES  STATE    IMAGE",
            "kitchen  echo          4          running  file:///echo.wasm",
            "kitchen  http-of-echo  1          running  wasmcloud+builtin://http-server on 127.0.0.1:8000",
        ];
        assert_eq!(lines, expected);
    }
}
