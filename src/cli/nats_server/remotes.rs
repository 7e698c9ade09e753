//! The servers of which this one is a leaf node: a gateway for each, from what the config says of it.

use crate::drop_in::options::Options;
use crate::drop_in::remotes::Remote;
use crate::gateway::{Config, Gateway, UpstreamUrl};
use crate::wiring;
use futures_util::future::join_all;
use lattice_broker::Broker;
use lattice_broker::env::{Env, Rng};
use rand_core::Rng as _;
use std::sync::Arc;

/// Links to all of them, which are made, and made again, until [`stop`].
pub(super) fn start(env: &Env, options: &Options, broker: &Broker) -> Result<Vec<Arc<Gateway>>, String> {
    let mut rng = env.rng("remotes.order");
    let configs = options.remotes.iter().map(|remote| config(options, remote, broker, &mut rng));
    let configs: Vec<Config> = configs.collect::<Result<_, _>>()?;
    let gateways = configs.into_iter().map(|config| {
        let gateway = Gateway::new(env.clone(), config);
        let bus = wiring::attach(broker, gateway.kind(), Arc::clone(&gateway) as _);
        gateway.run(bus);
        gateway
    });
    Ok(gateways.collect())
}

/// Ends them all, once what waits for them is written.
pub(super) async fn stop(gateways: &[Arc<Gateway>]) {
    join_all(gateways.iter().map(|gateway| gateway.stop())).await;
}

fn config(options: &Options, remote: &Remote, broker: &Broker, rng: &mut Rng) -> Result<Config, String> {
    let info = broker.info();
    // A name with blanks is none on the wire.
    let is_word = |name: &str| !name.is_empty() && name != "_" && !name.contains(char::is_whitespace);
    let name = if is_word(&info.server_name) { &info.server_name } else { &info.server_id };
    let mut urls = remote.urls.clone();
    if !remote.is_ordered {
        shuffle(&mut urls, rng);
    }
    let mut urls = urls.into_iter();
    let first = urls.next().ok_or("a remote of leafnodes has no url")?;
    // Of what cluster a lone server is, nobody but itself says.
    let made = Config::new(first, name, name).map_err(|error| error.to_string())?;
    let limits = &options.limits;
    Ok(Config {
        others: urls.collect(),
        tls: remote.tls.as_ref().map(|tls| tls.encryption.clone()).unwrap_or_default(),
        credentials_file: remote.credentials_file.clone(),
        ignores_discovered: remote.ignores_discovered,
        mark: Some(broker.leaf_mark(&remote.account)),
        account: remote.account.clone(),
        denied_in: remote.denied_in.clone(),
        denied_out: remote.denied_out.clone(),
        ping_interval: limits.ping_interval,
        pings_max: limits.ping_max,
        write_deadline: limits.write_deadline,
        dial_timeout: remote.dial_timeout.unwrap_or(made.dial_timeout),
        pending_bytes_max: limits.max_pending,
        payload_bytes_max: limits.max_payload,
        ..made
    })
}

fn shuffle(urls: &mut [UpstreamUrl], rng: &mut Rng) {
    for last in (1..urls.len()).rev() {
        urls.swap(last, (rng.next_u64() % (last as u64 + 1)) as usize);
    }
}
