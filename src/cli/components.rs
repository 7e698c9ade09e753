//! What a node runs components with: the engine, with the node's bounds, and compiled code in the data folder. A build without
//! `components` has nothing.

use super::CliError;
#[cfg(feature = "components")]
use super::backend::advised;
use crate::config::Config;
#[cfg(feature = "components")]
use crate::host::engine::{self, CodeCache, Engine, Settings};
use crate::host::images::{Bounds, Shelf};
use crate::host::runner::Runner;
use crate::identity::Folder;
#[cfg(feature = "components")]
use crate::wiring;
use lattice_broker::Broker;
use lattice_broker::env::Env;
use std::sync::Arc;

/// Where the node keeps images; `None` when it is to run nothing. What was not whole when it ended is removed.
pub(super) fn images(config: &Config, folder: &Folder) -> Option<Shelf> {
    let is_host = config.host.enabled && cfg!(feature = "components");
    is_host.then(|| Shelf::open(folder.images_path(), Bounds::default()))
}

/// What runs components as clients of `broker`, in the account of clients that say nothing else; `None` when the node shall not.
///
/// # Errors
/// The data folder has no room for the key of the compiled code.
#[cfg(feature = "components")]
pub(super) fn runner(
    env: &Env,
    config: &Config,
    folder: &Folder,
    broker: &Broker,
    images: Option<&Shelf>,
) -> Result<Option<Arc<dyn Runner>>, CliError> {
    if !config.host.enabled {
        return Ok(None);
    }
    let settings = Settings {
        bounds: engine::Bounds::of(&config.host),
        cache: cache(env, config, folder)?,
        payload_max: config.client.max_payload,
        images: images.cloned(),
        lattice: config.host.lattice.clone(),
        ..Settings::default()
    };
    Ok(Some(Arc::new(Engine::new(env.clone(), wiring::clients(broker), settings))))
}

#[cfg(feature = "components")]
fn cache(env: &Env, config: &Config, folder: &Folder) -> Result<Option<CodeCache>, CliError> {
    if config.host.cache_max == 0 {
        return Ok(None);
    }
    let key = folder.code_key(&mut env.rng("compiled code")).map_err(|error| advised(&error, error.advice()))?;
    Ok(Some(CodeCache::new(folder.code_path(), &key, config.host.cache_max)))
}

/// Nothing: this build has no engine.
///
/// # Errors
/// None.
#[cfg(not(feature = "components"))]
pub(super) fn runner(
    _: &Env,
    _: &Config,
    _: &Folder,
    _: &Broker,
    _: Option<&Shelf>,
) -> Result<Option<Arc<dyn Runner>>, CliError> {
    Ok(None)
}
