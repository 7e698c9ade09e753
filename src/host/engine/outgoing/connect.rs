//! From whom a component asks to a stream: the addresses of a name, those of them that may be reached, the connection, and TLS.
//!
//! What is connected to is an address that was looked at, and never a name: what a name leads to may be another thing each time.

use super::allow::{Asked, Scheme};
use super::fault::{handshake, unreachable};
use super::host::Host;
use super::trust::Trust;
use crate::host::engine::clocks::{TimeIsUp, within};
use crate::host::engine::live::Live;
use crate::host::engine::log::cut;
use lattice_broker::env::Stream;
use lattice_broker::tls::TlsStream;
use rustls::pki_types::ServerName;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use wasmtime_wasi_http::Error;

/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

/// Connects to whom is asked, at most for `time`. On the threads of components alone.
///
/// # Errors
/// What the component is to be told.
pub(super) async fn connect(
    live: &Live,
    asked: &Asked,
    trust: &Trust,
    time: Duration,
) -> Result<Arc<dyn Stream>, Error> {
    let deadline = live.env.now() + time;
    let addresses = match &asked.host {
        Host::Address(address) => vec![SocketAddr::new(*address, asked.port)],
        Host::Name(name) => {
            within(time, resolve(live, name, asked.port)).await.map_err(|TimeIsUp| Error::DnsTimeout)??
        }
    };
    let stream = dial(live, reachable(live, asked, addresses)?, deadline).await?;
    match asked.scheme {
        Scheme::Http => Ok(stream),
        Scheme::Https => {
            let secured = within(left(live, deadline), secure(stream, asked, trust)).await;
            secured.map_err(|TimeIsUp| Error::ConnectionTimeout)?
        }
    }
}

fn left(live: &Live, deadline: Instant) -> Duration {
    deadline.saturating_duration_since(live.env.now())
}

async fn resolve(live: &Live, name: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let ended = || Error::InternalError(Some("the host stops".to_owned()));
    let places = live.asking.lookup().await.ok_or_else(ended)?;
    let (done, found) = oneshot::channel();
    let (env, target) = (live.env.clone(), format!("{name}:{port}"));
    live.env.spawn(async move {
        drop(done.send(env.resolve(&target).await));
        // Whether somebody waits or not: the thread is busy until then.
        drop(places);
    });
    let found = found.await.map_err(|_| ended())?;
    found.map_err(|error| Error::DnsError { rcode: Some(cut(&error.to_string()).to_owned()), info_code: None })
}

/// Those that may be reached, each once.
fn reachable(live: &Live, asked: &Asked, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Error> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    let own: Vec<IpAddr> = live.env.interfaces().into_iter().map(|interface| interface.ip).collect();
    for address in found {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        if addresses.len() < ADDRESSES_MAX
            && !addresses.contains(&address)
            && live.asking.allow.may_reach(asked, address.ip(), &own)
        {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        tracing::debug!(component = %live.id, host = %asked.header(), "leads to this machine or its link: the list has not that address");
        return Err(Error::DestinationIpProhibited);
    }
    Ok(addresses)
}

/// One after the other, each with its part of the time: the first may be of a family that leads nowhere from here.
async fn dial(live: &Live, addresses: Vec<SocketAddr>, deadline: Instant) -> Result<Arc<dyn Stream>, Error> {
    let mut failed = Error::DestinationNotFound;
    for (address, rest) in addresses.iter().zip((1..=addresses.len() as u32).rev()) {
        let connected = within(left(live, deadline) / rest, live.env.tcp_connect(*address)).await;
        match connected {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = unreachable(&error),
            Err(TimeIsUp) => failed = Error::ConnectionTimeout,
        }
    }
    Err(failed)
}

async fn secure(stream: Arc<dyn Stream>, asked: &Asked, trust: &Trust) -> Result<Arc<dyn Stream>, Error> {
    let name = match &asked.host {
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| Error::TlsCertificateError)?,
        Host::Address(address) => ServerName::from(*address),
    };
    // Nobody is trusted on this system.
    let client = trust.client().ok_or(Error::ConfigurationError)?;
    let secured = TlsStream::connect(stream, client, name).await.map_err(|error| handshake(&error))?;
    Ok(Arc::new(secured.to_its_end()))
}
