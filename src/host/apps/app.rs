//! An app as it is asked for, and as it is kept. No IO.

use crate::codec::{Decode, Encode};
use crate::host::control::request::{BadRequest, Body, Link, LinkId, Map};
use crate::host::control::{BadLimit, limits};
use crate::host::http::{REFERENCE, is_http_server};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Instances of a component that can be asked for.
pub const INSTANCES_MAX: u32 = 10_000;
/// Components, servers, configurations and links of one app, of each.
pub const PARTS_MAX: usize = 100;

/// An app as it is asked for: all that it consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Its components, by their ids, which are the lattice's.
    #[serde(default)]
    pub components: BTreeMap<String, Component>,
    /// The servers before them, by their ids.
    #[serde(default)]
    pub providers: BTreeMap<String, Server>,
    /// Configurations, by their names, which are the lattice's.
    #[serde(default)]
    pub configs: BTreeMap<String, Map>,
    /// Its links.
    #[serde(default)]
    pub links: Vec<Link>,
}

/// A component of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Its image, which every host that is to run it has to find under this name.
    pub image: String,
    /// How many there shall be.
    pub spread: Spread,
    /// Labels of the hosts that it may run on.
    #[serde(default)]
    pub on: Map,
    /// Names of its configurations; a later one wins over an earlier.
    #[serde(default)]
    pub config: Vec<String>,
    /// What it may take.
    #[serde(default)]
    pub limits: Map,
}

/// How many instances of a component there shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// So many, over all hosts that fit.
    Instances(u32),
    /// So many on each host that fits.
    PerHost(u32),
}

/// A provider of an app: it runs on each host that fits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// What it is called.
    pub image: String,
    /// Names of its configurations; a later one wins over an earlier.
    #[serde(default)]
    pub config: Vec<String>,
    /// Labels of the hosts that it runs on.
    #[serde(default)]
    pub on: Map,
}

/// An app as it is kept: of configurations and links, which have records of their own, what tells them from others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Encode, Decode)]
pub struct Kept {
    /// As in [`App::components`].
    pub components: BTreeMap<String, Component>,
    /// As in [`App::providers`].
    pub providers: BTreeMap<String, Server>,
    /// The names of its configurations.
    pub configs: Vec<String>,
    /// Its links.
    pub links: Vec<LinkId>,
}

/// An app that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadApp {
    /// A name, or a link, that cannot be used.
    #[error(transparent)]
    Request(#[from] BadRequest),
    /// A number that means nothing.
    #[error("component {id}: {count} instances: expected 1 to {INSTANCES_MAX}")]
    Count {
        /// The component.
        id: String,
        /// What is asked for.
        count: u32,
    },
    /// What a component may take.
    #[error("component {id}: {error}")]
    Limits {
        /// The component.
        id: String,
        /// What is wrong with it.
        error: BadLimit,
    },
    /// A provider that hosts do not have.
    #[error("provider {id} is {image:?}: expected {REFERENCE}, since hosts run no other")]
    Provider {
        /// The provider.
        id: String,
        /// What it is called.
        image: String,
    },
    /// Too much of something.
    #[error("{count} {what}: at most {PARTS_MAX} are accepted in one app")]
    Parts {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
    },
    /// Nothing to run.
    #[error("the app has neither components nor providers")]
    Empty,
    /// Two links that cannot be told from each other.
    #[error("two links are {link}: another name for one of them, or one link with the interfaces of both")]
    Twice {
        /// What tells links apart.
        link: String,
    },
    /// An id that belongs to another app.
    #[error("{what} {id} is of app {app} already: another name, or `lattice undeploy {app}` first")]
    Taken {
        /// What has it: a component, a provider, a configuration, a link.
        what: &'static str,
        /// The name.
        id: String,
        /// Whose it is.
        app: String,
    },
}

impl Component {
    fn check(&self, id: &str, body: &Body<'_>) -> Result<(), BadApp> {
        body.id("components", id)?;
        body.some("image", &self.image)?;
        let (Spread::Instances(count) | Spread::PerHost(count)) = self.spread;
        if !(1..=INSTANCES_MAX).contains(&count) {
            return Err(BadApp::Count { id: id.to_owned(), count });
        }
        limits(&self.limits).map(drop).map_err(|error| BadApp::Limits { id: id.to_owned(), error })
    }
}

impl App {
    /// Whether it can be.
    ///
    /// # Errors
    /// [`BadApp`] names what is wrong, and what would be accepted.
    pub fn check(&self, body: &Body<'_>) -> Result<(), BadApp> {
        let counts = [
            ("components", self.components.len()),
            ("providers", self.providers.len()),
            ("configurations", self.configs.len()),
            ("links", self.links.len()),
        ];
        if let Some((what, count)) = counts.into_iter().find(|(_, count)| *count > PARTS_MAX) {
            return Err(BadApp::Parts { what, count });
        }
        if self.components.is_empty() && self.providers.is_empty() {
            return Err(BadApp::Empty);
        }
        self.components.iter().try_for_each(|(id, component)| component.check(id, body))?;
        for (id, Server { image, .. }) in &self.providers {
            body.id("providers", id)?;
            if !is_http_server(image) {
                return Err(BadApp::Provider { id: id.clone(), image: image.clone() });
            }
        }
        self.configs.keys().try_for_each(|name| body.some("configs", name))?;
        let mut ids = BTreeSet::new();
        for link in &self.links {
            link.check(body)?;
            if !ids.insert(&link.id) {
                return Err(BadApp::Twice { link: link.id.to_string() });
            }
        }
        Ok(())
    }

    /// As it is kept.
    #[must_use]
    pub fn keep(&self) -> Kept {
        Kept {
            components: self.components.clone(),
            providers: self.providers.clone(),
            configs: self.configs.keys().cloned().collect(),
            links: self.links.iter().map(|link| link.id.clone()).collect(),
        }
    }
}

impl Kept {
    /// All that it has, by what it is and by its name.
    #[must_use]
    pub fn names(&self) -> Vec<(&'static str, String)> {
        let components = self.components.keys().map(|id| ("component", id.clone()));
        let providers = self.providers.keys().map(|id| ("provider", id.clone()));
        let configs = self.configs.iter().map(|name| ("configuration", name.clone()));
        let links = self.links.iter().map(|id| ("link", id.to_string()));
        components.chain(providers).chain(configs).chain(links).collect()
    }
}
