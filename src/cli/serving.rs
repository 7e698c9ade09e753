//! The HTTP server of one component, as `start --http` makes it and `stop` takes it back: a provider of its own, by which that
//! component alone is asked, at one address.

use super::CliError;
use super::hosts::{Found, Hosts};
use crate::host::http::REFERENCE;
use lattice_broker::env::Env;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// Characters of a host's name, the same letter for all before them, that tell it from the others.
const HOST_CHARS: usize = 12;
/// How often a host is asked whether it listens.
const LOOK: Duration = Duration::from_millis(50);
/// How long an address that cannot be had is waited for: whoever had it may be about to let it go.
const IN_USE: Duration = Duration::from_secs(5);

/// The name of the provider of component `id` on that host, and of its configuration: links and configurations are all
/// hosts', and the address of one is not that of another.
fn provider_of(id: &str, host: &str) -> String {
    let host = host.get(..HOST_CHARS).unwrap_or(host).to_lowercase();
    format!("http-of-{id}-{host}")
}

/// Has `host` answer HTTP at `address` with component `id`, which runs there. Ready when it listens.
///
/// # Errors
/// What keeps it from that; the component runs on, and is not served.
pub(super) async fn serve(
    env: &Env,
    hosts: &Hosts,
    host: &Found,
    id: &str,
    address: SocketAddr,
    patience: Duration,
) -> Result<(), CliError> {
    let provider = provider_of(id, &host.id);
    hosts.ask(&format!("config.put.{provider}"), &json!({ "address": address })).await?;
    let mut link = link_of(&provider);
    link["target"] = json!(id);
    link["interfaces"] = json!(["incoming-handler"]);
    link["source_config"] = json!([provider]);
    hosts.ask("link.put", &link).await?;
    let start = json!({
        "provider_id": provider, "provider_ref": format!("{REFERENCE}/0.1.0"), "host_id": host.id, "config": [],
    });
    hosts.ask(&format!("provider.start.{}", host.id), &start).await?;
    let served = listening(env, hosts, host, id, address, patience).await;
    if served.is_err() {
        // It would begin to listen at some time to come, when nobody expects it any more.
        unserve(hosts, std::slice::from_ref(host), id).await?;
    }
    served
}

/// Waits until `host` listens.
async fn listening(
    env: &Env,
    hosts: &Hosts,
    host: &Found,
    id: &str,
    address: SocketAddr,
    patience: Duration,
) -> Result<(), CliError> {
    let (provider, begun) = (provider_of(id, &host.id), env.now());
    loop {
        let serving = hosts.inventory(&host.id).await?.providers.into_iter().find(|found| found.id == provider);
        let (listening, problems) = serving.map(|found| (found.listening, found.problems)).unwrap_or_default();
        if listening.iter().any(|at| is_at(at, address)) {
            return Ok(());
        }
        let waited = env.now().saturating_duration_since(begun);
        let runs_on = format!("{id} runs on {}, but is not served by HTTP", host.friendly_name);
        if !problems.is_empty() && waited >= patience.min(IN_USE) {
            let why = problems.join("; ");
            return Err(CliError::new(format!("{runs_on}: {why}")).next("the same with another address for --http"));
        }
        if waited >= patience {
            return Err(CliError::new(format!("{runs_on}: nobody listens on {address} after {patience:?}"))
                .next("the same with a longer --timeout"));
        }
        env.sleep(LOOK).await;
    }
}

/// Takes back on `stopping` what [`serve`] has made; nothing, when it has not.
pub(super) async fn unserve(hosts: &Hosts, stopping: &[Found], id: &str) -> Result<(), CliError> {
    for host in stopping {
        let provider = provider_of(id, &host.id);
        if hosts.inventory(&host.id).await?.providers.iter().any(|found| found.id == provider) {
            let stop = json!({ "provider_id": provider, "host_id": host.id });
            hosts.ask(&format!("provider.stop.{}", host.id), &stop).await?;
        }
        hosts.ask("link.del", &link_of(&provider)).await?;
        hosts.ask(&format!("config.del.{provider}"), &json!({})).await?;
    }
    Ok(())
}

fn link_of(provider: &str) -> Value {
    json!({ "source_id": provider, "name": "default", "wit_namespace": "wasi", "wit_package": "http" })
}

/// Port 0 stands for any.
fn is_at(listening: &SocketAddr, wanted: SocketAddr) -> bool {
    listening.ip() == wanted.ip() && (wanted.port() == 0 || listening.port() == wanted.port())
}
