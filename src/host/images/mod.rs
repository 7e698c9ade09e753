//! Images of components that hosts keep and hand to each other: no registry is needed, and none is asked.
//!
//! An image is named by what is in it (`reference.rs`). A client puts it on the shelf of one host (`service.rs`, `shelf.rs`); a host
//! that is to run it and does not have it fetches it of whoever has (`pull.rs`), and from then on gives it to others as well
//! (`offer.rs`, `wire.rs`). Who is to run what is left to `control/`, and what is made of an image to `engine/`.

mod file;
mod offer;
mod pull;
mod reference;
mod service;
mod shelf;
#[cfg(test)]
mod tests;
mod wire;

pub use file::{check_component, read_component};
pub use pull::PullError;
pub use reference::{BadReference, Digest, SCHEME};
pub use shelf::{
    BYTES_MAX, Bounds, Chunk, IMAGE_BYTES_MAX, IMAGES_MAX, Kept, Progress, Shelf, ShelfError, UPLOADS_MAX,
};

use crate::ports::{BadInterest, Client};
use lattice_broker::env::Env;
use offer::Offer;
use pull::Pulls;
use service::Service;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Bytes of a chunk from host to host, at most: one at a time is in memory for each image that is fetched.
const CHUNK_MAX: usize = 256 << 10;

/// What is needed to keep images.
#[derive(Debug)]
pub struct Parts {
    /// Time, tasks, randomness.
    pub env: Env,
    /// The host's id.
    pub host: String,
    /// The lattice that it is a host of.
    pub lattice: String,
    /// Bytes of a message, at most.
    pub payload_max: usize,
    /// A client in the account of the nodes: images go from host to host there.
    pub nodes: Arc<dyn Client>,
    /// A client in the account of clients, who put, list and remove them.
    pub clients: Arc<dyn Client>,
    /// Where they are kept.
    pub shelf: Shelf,
}

/// The images of a host. Clones are handles of the same; dropping them leaves its tasks running: call [`Images::stop`].
#[derive(Clone, Debug)]
pub struct Images {
    pulls: Arc<Pulls>,
    stop: CancellationToken,
}

impl Images {
    /// Listens to clients, and offers what there is to other hosts. Spawns a task for either.
    ///
    /// # Errors
    /// [`BadInterest`]: the name of the lattice cannot be a part of a subject.
    pub fn start(parts: Parts) -> Result<Self, BadInterest> {
        let Parts { env, host, lattice, payload_max, nodes, clients, shelf } = parts;
        let stop = CancellationToken::new();
        let chunk_max = payload_max.saturating_sub(wire::MARGIN).clamp(1, CHUNK_MAX);
        let service = Service { env: env.clone(), shelf: shelf.clone(), client: clients, host, lattice, payload_max };
        let listening = service.listen(stop.clone())?;
        let offer = Offer { env: env.clone(), shelf: shelf.clone(), client: Arc::clone(&nodes), chunk_max };
        env.spawn(listening);
        env.spawn(offer.run(stop.clone()));
        let pulls = Arc::new(Pulls::new(env, shelf, nodes, chunk_max, stop.clone()));
        Ok(Self { pulls, stop })
    }

    /// Ready when image `digest` is on the shelf: it was, or has come from another host. Two who want the same wait for the same. At
    /// most four are fetched at a time, in at most 30 minutes each; more wait. Dropping the future leaves an image on its way.
    ///
    /// # Errors
    /// [`PullError`] says what can be done.
    pub async fn obtain(&self, digest: Digest) -> Result<(), PullError> {
        self.pulls.obtain(digest).await
    }

    /// Listens and offers no more, and gives up what is on its way.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}
