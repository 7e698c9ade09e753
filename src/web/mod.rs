//! HTTP for those who watch over a broker: nats-server's monitoring endpoints and metrics for Prometheus.
//!
//! [`listen`] takes connections in, `hyper_io.rs` carries HTTP over the streams of an [`Env`], `endpoints.rs` says what is
//! at which path, `query.rs` reads what is asked for, `metrics.rs` and `index.rs` write two of the answers, `lattice.rs` adds
//! what a node hands in of its lattice. What the others say is the broker's affair ([`lattice_broker::monitor`]).
//!
//! Nothing is changed by a request, and no body of one is read. Bounds: [`CONNECTIONS_MAX`] connections, of which each has
//! [`HEAD_TIMEOUT`] for the head of a request, 16 KiB for it, and ends after [`LIFE_MAX`].

mod endpoints;
mod index;
mod lattice;
mod metrics;
mod query;

pub use lattice::{Figures, Lattice, Link, Times, Watched};

use crate::hyper_io::{Clock, Transport};
use arc_swap::ArcSwap;
use endpoints::Endpoints;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use lattice_broker::env::{Env, Listener, Stream};
use lattice_broker::tls::TlsStream;
use rustls::ServerConfig;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Connections at a time; further ones are closed at once.
pub const CONNECTIONS_MAX: usize = 256;
/// Time for the head of a request, and between two of them.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection lasts. Whoever asks again makes another one.
pub const LIFE_MAX: Duration = Duration::from_secs(600);
/// Bytes of a request's head.
const HEAD_MAX: usize = 16 << 10;
/// What a connection gets to finish its last answer.
const FAREWELL: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// By what HTTPS is answered; connections that come later go by what is stored later.
pub type Certificates = Arc<ArcSwap<ServerConfig>>;

/// Answers HTTP at `addr` until the process ends, HTTPS if there are certificates; port 0 picks a free one. Every path
/// begins with `base`. Returns the address with its port.
///
/// # Errors
/// What the operating system says, [`io::ErrorKind::AddrInUse`] among them.
pub fn listen(
    env: &Env,
    addr: SocketAddr,
    watched: impl Into<Watched>,
    base: &str,
    tls: Option<Certificates>,
) -> io::Result<SocketAddr> {
    let listener = env.tcp_listen(addr)?;
    let local = listener.local_addr();
    let endpoints = Arc::new(Endpoints::new(watched.into(), base));
    env.spawn(accept(env.clone(), listener, endpoints, tls));
    Ok(local)
}

async fn accept(env: Env, mut listener: Box<dyn Listener>, endpoints: Arc<Endpoints>, tls: Option<Certificates>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        match poll_fn(|cx| listener.poll_accept(cx)).await {
            Ok(stream) => {
                let Ok(place) = places.clone().try_acquire_owned() else { continue };
                let (serving, endpoints) = (env.clone(), endpoints.clone());
                let tls = tls.as_ref().map(|tls| tls.load_full());
                env.spawn(async move {
                    match open(&serving, stream, tls).await {
                        Ok(stream) => serve(&serving, stream, endpoints).await,
                        Err(error) => tracing::debug!(%error, "no TLS with a client that watches"),
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection for monitoring");
                // Often a lack of descriptors, against which only waiting helps.
                env.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The stream to speak HTTP over.
async fn open(env: &Env, stream: Arc<dyn Stream>, tls: Option<Arc<ServerConfig>>) -> io::Result<Arc<dyn Stream>> {
    let Some(tls) = tls else { return Ok(stream) };
    let secured = env.timeout(HEAD_TIMEOUT, TlsStream::accept(stream, tls)).await;
    Ok(Arc::new(secured.map_err(io::Error::other)??))
}

async fn serve(env: &Env, stream: Arc<dyn Stream>, endpoints: Arc<Endpoints>) {
    let service = service_fn(move |request| {
        let answer = endpoints.answer(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(Clock(env.clone()))
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX)
        .serve_connection(Transport(stream), service);
    let mut connection = std::pin::pin!(connection);
    // A peer that goes away in the middle is no failure of ours.
    if env.timeout(LIFE_MAX, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        drop(env.timeout(FAREWELL, connection).await);
    }
}
