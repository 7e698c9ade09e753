//! What components ask others by HTTP (`wasi:http/outgoing-handler`): whether they may, and how much of that at a time.
//!
//! `allow.rs` reads whom a component may ask, `host.rs` how hosts are written, `trust.rs` by which certificates they are known;
//! `connect.rs` goes from a name to a stream, `exchange.rs` has one request answered over it, `body.rs` bounds what comes and goes, and
//! `fault.rs` has the words for what goes wrong.
//!
//! # Where it runs
//!
//! All of it is done on the threads of components, a connection for each request, by tasks that wasmtime spawns there. They have less
//! weight than the node's, so that a component that has itself sent a gigabyte by TLS makes components wait, and no message that passes
//! through. Names alone are looked up where the node looks up its own: that is a thread which waits, of which there are few at a time.
//!
//! Each task belongs to what the component holds of its request: it ends, and the connection with it, when the component lets go
//! of that, and in any case with the call. [Decision 23](../../../../docs/decisions/0023-what-components-ask-by-http.md) says why.

mod allow;
mod body;
mod connect;
mod exchange;
mod fault;
mod host;
mod trust;

pub(super) use allow::Allow;
pub(super) use fault::code;

use super::live::Live;
use exchange::{Exchange, Sent};
use hyper::Request;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Bytes of a body that a component hands over at a time. An instance may have hundreds of bodies begun, and none of that is counted.
const CHUNK_BYTES: usize = 4 << 10;

/// Names that are looked up at a time: for one component, and for all. A lookup cannot be broken off, and takes as long as whoever has
/// the name likes.
const LOOKUPS_OF_ONE: usize = 2;
const LOOKUPS_OF_ALL: usize = 8;

/// Room for so much at a time.
#[derive(Debug)]
pub(super) struct Room {
    /// Requests.
    places: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
}

/// What one component asks by.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) allow: Allow,
    /// The component's own. It outlives changes of the component, as what is in hand does.
    pub(super) own: Arc<Room>,
    /// That of all components together.
    pub(super) all: Arc<Room>,
}

/// One of each, for as long as it is kept.
type Places = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Room {
    /// For one component, with so many requests at a time.
    pub(super) fn of_one(requests: usize) -> Arc<Self> {
        Self::new(requests, LOOKUPS_OF_ONE)
    }

    /// For all components.
    pub(super) fn of_all(requests: usize) -> Arc<Self> {
        Self::new(requests, LOOKUPS_OF_ALL)
    }

    fn new(requests: usize, lookups: usize) -> Arc<Self> {
        Arc::new(Self { places: Arc::new(Semaphore::new(requests)), lookups: Arc::new(Semaphore::new(lookups)) })
    }
}

impl Asking {
    /// A place for one more request; `None` when there is none.
    fn place(&self) -> Option<Places> {
        let own = self.own.places.clone().try_acquire_owned().ok()?;
        Some((own, self.all.places.clone().try_acquire_owned().ok()?))
    }

    /// Waits for a place for one more lookup.
    async fn lookup(&self) -> Option<Places> {
        let own = self.own.lookups.clone().acquire_owned().await.ok()?;
        Some((own, self.all.lookups.clone().acquire_owned().await.ok()?))
    }
}

/// What wasmtime asks when a component sends a request. How many it sends is counted before that, in `interfaces/http.rs`.
pub(super) struct Hooks(pub(super) Arc<Live>);

impl WasiHttpHooks for Hooks {
    /// It is set to what has been compared, and not to what was written.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        match Exchange::begin(&self.0, request, options.unwrap_or_default()) {
            Ok(exchange) => Box::new(exchange.run()),
            Err(error) => Box::new(std::future::ready(Err(error))),
        }
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }
}
