//! What the control interface keeps, as records: configuration and links, which are the lattice's, and the host's own labels
//! and components. How records are kept and merged is left to `state/`.
//!
//! A link is one record for each of its interfaces, so that of two parts of a lattice that have sent the same calls to
//! different targets the later one stands, for those interfaces and no others.

use super::request::{Link, LinkId, Map};
use crate::codec::{self, Decode, Encode};
use crate::host::apps::{App, Kept, Seen};
use crate::host::state::{Key, State, WriteError, fits};
use crate::identity::NodeId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

const CONFIG: &str = "config/";
const LINK: &str = "link/";
const LABELS: &str = "labels";
const RUN: &str = "run/";
const PROVIDER: &str = "provider/";
const APP: &str = "app/";
const HOST: &str = "host";
const IDLE: &str = "idle/";

/// Where records are: [`State`], or what a test puts in its place.
pub trait Table: Send + Sync + fmt::Debug + 'static {
    /// Whose copy it is.
    fn me(&self) -> NodeId;
    /// The value at `key`.
    fn get(&self, key: &Key) -> Option<Vec<u8>>;
    /// Names and values of `owner`, or the shared ones, whose names begin with `prefix`; by name.
    fn list(&self, owner: Option<NodeId>, prefix: &str) -> Vec<(String, Vec<u8>)>;
    /// Owners, names and values of what nodes have as their own under names that begin with `prefix`; by owner, then by name.
    fn owned(&self, prefix: &str) -> Vec<(NodeId, String, Vec<u8>)>;
    /// Writes, or deletes.
    ///
    /// # Errors
    /// [`WriteError`]; nothing has changed then.
    fn write(&self, key: Key, value: Option<Vec<u8>>) -> Result<(), WriteError>;
}

impl Table for State {
    fn me(&self) -> NodeId {
        Self::me(self)
    }

    fn get(&self, key: &Key) -> Option<Vec<u8>> {
        Self::get(self, key)
    }

    fn list(&self, owner: Option<NodeId>, prefix: &str) -> Vec<(String, Vec<u8>)> {
        Self::list(self, owner, prefix)
    }

    fn owned(&self, prefix: &str) -> Vec<(NodeId, String, Vec<u8>)> {
        Self::owned(self, prefix)
    }

    fn write(&self, key: Key, value: Option<Vec<u8>>) -> Result<(), WriteError> {
        Self::write(self, key, value)
    }
}

/// The records of the control interface. Clones are handles of the same ones.
#[derive(Clone, Debug)]
pub struct Books {
    table: Arc<dyn Table>,
    /// What the host says of itself, unless it is told otherwise.
    given: Arc<Map>,
}

/// A component that this host runs, or will after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Workload {
    /// Its image.
    pub image: String,
    /// Instances at most.
    pub count: u32,
    /// Names of its configurations.
    pub config: Vec<String>,
    /// What is noted beside it.
    pub annotations: Map,
    /// What it may take, as it was asked for.
    pub limits: Map,
}

/// A provider that this host runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Provider {
    /// What it was called when it was started.
    pub image: String,
    /// Names of its configurations.
    pub config: Vec<String>,
    /// What is noted beside it.
    pub annotations: Map,
}

/// A link was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Those calls go elsewhere already.
    #[error(
        "link {name} of {source_id} sends {interface} to {target} already: delete that link first, or give this one another name"
    )]
    Taken {
        /// The link's name.
        name: String,
        /// Whose calls.
        source_id: String,
        /// The interface.
        interface: String,
        /// Where they go.
        target: String,
    },
    /// It cannot be kept.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What the interfaces of one link have in common: its id, its target, and both configurations.
type Same = (LinkId, String, Vec<String>, Vec<String>);

/// The record of one interface of a link.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Way {
    target: String,
    /// Which of the link's interfaces it is.
    position: u16,
    source_config: Vec<String>,
    target_config: Vec<String>,
}

/// That a node is a host, and what its machine is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Card {
    lattice: String,
    machine: Map,
    given: Map,
}

impl Books {
    /// The books in `table`, of a host that says nothing of itself.
    #[must_use]
    pub fn new(table: Arc<dyn Table>) -> Self {
        Self::labelled(table, Map::new())
    }

    /// The same of one that says `labels` of itself.
    #[must_use]
    pub fn labelled(table: Arc<dyn Table>, labels: Map) -> Self {
        Self { table, given: Arc::new(labels) }
    }

    /// Whose books they are, here.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.table.me()
    }

    /// The configuration of that name.
    #[must_use]
    pub fn config(&self, name: &str) -> Option<Map> {
        self.read(&Key::shared(format!("{CONFIG}{name}")))
    }

    /// All configurations, by name.
    #[must_use]
    pub fn configs(&self) -> BTreeMap<String, Map> {
        let found = self.table.list(None, CONFIG).into_iter();
        found.filter_map(|(name, value)| Some((name[CONFIG.len()..].to_owned(), codec::decode(&value).ok()?))).collect()
    }

    /// The configurations that apps have, each with the name of the first app that has it: one of another lattice than `lattice` is
    /// named behind that.
    #[must_use]
    pub fn configs_of_apps(&self, lattice: &str) -> BTreeMap<String, String> {
        let mut owners = BTreeMap::new();
        for (name, app) in self.other_apps(lattice, "") {
            let here = name.strip_prefix(lattice).and_then(|name| name.strip_prefix('/'));
            let app_name = here.unwrap_or(&name);
            for config in app.configs {
                owners.entry(config).or_insert_with(|| app_name.to_owned());
            }
        }
        owners
    }

    /// Sets a configuration.
    ///
    /// # Errors
    /// [`WriteError`]: it is too large, or there is no room.
    pub fn put_config(&self, name: &str, config: &Map) -> Result<(), WriteError> {
        self.write(Key::shared(format!("{CONFIG}{name}")), config)
    }

    /// Removes a configuration, if there is one of that name.
    ///
    /// # Errors
    /// [`WriteError`]: the disk fails.
    pub fn delete_config(&self, name: &str) -> Result<(), WriteError> {
        self.table.write(Key::shared(format!("{CONFIG}{name}")), None)
    }

    /// All links: by what tells them apart, then by their targets.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        let mut links: BTreeMap<Same, Vec<(u16, String)>> = BTreeMap::new();
        for (id, interface, way) in self.ways() {
            let Way { target, position, source_config, target_config } = way;
            links.entry((id, target, source_config, target_config)).or_default().push((position, interface));
        }
        let link = |((id, target, source_config, target_config), mut interfaces): (_, Vec<(u16, String)>)| {
            interfaces.sort();
            let interfaces = interfaces.into_iter().map(|(_, interface)| interface).collect();
            Link { id, target, interfaces, source_config, target_config }
        };
        links.into_iter().map(link).collect()
    }

    /// Makes a link; one with the same target takes the place of the one before.
    ///
    /// # Errors
    /// [`LinkError::Taken`]: an interface has another target already. After [`LinkError::Write`] a part of it may be there.
    pub fn put_link(&self, link: &Link) -> Result<(), LinkError> {
        self.is_free(link)?;
        let before = self.ways_of(&link.id);
        for (position, interface) in link.interfaces.iter().enumerate() {
            let way = Way {
                target: link.target.clone(),
                position: u16::try_from(position).unwrap_or(u16::MAX),
                source_config: link.source_config.clone(),
                target_config: link.target_config.clone(),
            };
            self.write(link_key(&link.id, interface), &way)?;
        }
        let gone =
            |(interface, way): &&(String, Way)| way.target == link.target && !link.interfaces.contains(interface);
        for (interface, _) in before.iter().filter(gone) {
            self.table.write(link_key(&link.id, interface), None)?;
        }
        Ok(())
    }

    /// Whether a link can be made, as links are now.
    ///
    /// # Errors
    /// [`LinkError::Taken`]: an interface has another target already.
    pub fn is_free(&self, link: &Link) -> Result<(), LinkError> {
        let before = self.ways_of(&link.id);
        let elsewhere = |(interface, way): &&(String, Way)| {
            way.target != link.target && link.interfaces.iter().any(|wanted| wanted == interface)
        };
        if let Some((interface, way)) = before.iter().find(elsewhere) {
            return Err(LinkError::Taken {
                name: link.id.name.clone(),
                source_id: link.id.source_id.clone(),
                interface: interface.clone(),
                target: way.target.clone(),
            });
        }
        Ok(())
    }

    /// Removes what has that id, and returns it.
    ///
    /// # Errors
    /// [`WriteError`]: the disk fails; a part may be gone then.
    pub fn delete_link(&self, id: &LinkId) -> Result<Vec<Link>, WriteError> {
        let links: Vec<Link> = self.links().into_iter().filter(|link| link.id == *id).collect();
        for interface in links.iter().flat_map(|link| &link.interfaces) {
            self.table.write(link_key(id, interface), None)?;
        }
        Ok(links)
    }

    /// What this host says of itself: what the machine is, what it was told, and what it says without.
    #[must_use]
    pub fn labels(&self) -> Map {
        let mut labels = Map::clone(&self.given);
        labels.extend(self.told_labels());
        labels.extend(machine());
        labels
    }

    /// Sets a label, or removes it; false when it was so already.
    ///
    /// # Errors
    /// [`WriteError`]: the labels are too large together.
    pub fn label(&self, key: &str, value: Option<String>) -> Result<bool, WriteError> {
        let before = self.told_labels();
        let mut labels = before.clone();
        match value {
            Some(value) => drop(labels.insert(key.to_owned(), value)),
            None => drop(labels.remove(key)),
        }
        if labels == before {
            return Ok(false);
        }
        self.write(self.own(LABELS), &labels)?;
        Ok(true)
    }

    /// What this host runs, by id.
    #[must_use]
    pub fn workloads(&self) -> BTreeMap<String, Workload> {
        let found = self.table.list(Some(self.table.me()), RUN).into_iter();
        found.filter_map(|(name, value)| Some((name[RUN.len()..].to_owned(), codec::decode(&value).ok()?))).collect()
    }

    /// What is to run under that id.
    #[must_use]
    pub fn workload(&self, id: &str) -> Option<Workload> {
        self.read(&self.own(&format!("{RUN}{id}")))
    }

    /// Remembers what runs under that id; nothing when its count is 0.
    ///
    /// # Errors
    /// [`WriteError`]: it is too large, or there is no room.
    pub fn remember(&self, id: &str, workload: &Workload) -> Result<(), WriteError> {
        let key = self.own(&format!("{RUN}{id}"));
        if workload.count == 0 {
            self.table.write(key, None)?
        } else {
            self.write(key, workload)?
        }
        self.table.write(self.own(&format!("{IDLE}{id}")), None)
    }

    /// Tells the others that nothing runs yet of what is remembered, after a start: they go on with what is theirs until it does.
    ///
    /// # Errors
    /// [`WriteError`]: there is no room.
    pub fn all_idle(&self) -> Result<(), WriteError> {
        let mut ids = self.workloads().into_keys();
        ids.try_for_each(|id| self.write(self.own(&format!("{IDLE}{id}")), &()))
    }

    /// The providers that this host runs, by id.
    #[must_use]
    pub fn providers(&self) -> BTreeMap<String, Provider> {
        let found = self.table.list(Some(self.table.me()), PROVIDER).into_iter();
        let read =
            |(name, value): (String, Vec<u8>)| Some((name[PROVIDER.len()..].to_owned(), codec::decode(&value).ok()?));
        found.filter_map(read).collect()
    }

    /// The provider of that id.
    #[must_use]
    pub fn provider(&self, id: &str) -> Option<Provider> {
        self.read(&self.own(&format!("{PROVIDER}{id}")))
    }

    /// Has a provider run from now on, or no more.
    ///
    /// # Errors
    /// [`WriteError`]: it is too large, or there is no room.
    pub fn set_provider(&self, id: &str, provider: Option<&Provider>) -> Result<(), WriteError> {
        self.table.write(self.own(&format!("{PROVIDER}{id}")), provider.map(codec::encode))
    }

    /// The apps of a lattice, by name; `None` for one that cannot be read.
    #[must_use]
    pub fn apps(&self, lattice: &str) -> BTreeMap<String, Option<Kept>> {
        let prefix = app_name(lattice, "");
        let found = self.table.list(None, &prefix).into_iter();
        let named = found.map(|(name, value)| (name[prefix.len()..].to_owned(), codec::decode(&value).ok()));
        // The name of another lattice may begin like that of this one, and a slash.
        named.filter(|(name, _)| !name.contains('/')).collect()
    }

    /// What the apps of all lattices have, but for one of them: by their names.
    #[must_use]
    pub fn other_apps(&self, lattice: &str, name: &str) -> Vec<(String, Kept)> {
        let own = app_name(lattice, name);
        let others = self.table.list(None, APP).into_iter().filter(|(name, _)| *name != own);
        others.filter_map(|(name, value)| Some((name[APP.len()..].to_owned(), codec::decode(&value).ok()?))).collect()
    }

    /// Whether an app, its configurations and its links can be records.
    ///
    /// # Errors
    /// [`WriteError`] names the first that is too large, or has too long a name.
    pub fn fits(&self, lattice: &str, name: &str, app: &App) -> Result<(), WriteError> {
        fits(&Key::shared(app_name(lattice, name)), &codec::encode(&app.keep()))?;
        for (config, values) in &app.configs {
            fits(&Key::shared(format!("{CONFIG}{config}")), &codec::encode(values))?;
        }
        let names = app.links.iter().flat_map(|link| link.interfaces.iter().map(|of| link_key(&link.id, of)));
        Ok(names.into_iter().try_for_each(|key| fits(&key, &[]))?)
    }

    /// The app of that name.
    #[must_use]
    pub fn app(&self, lattice: &str, name: &str) -> Option<Kept> {
        self.read(&Key::shared(app_name(lattice, name)))
    }

    /// Has an app be as it says from now on; when nothing is said there is none of that name any more.
    ///
    /// # Errors
    /// [`WriteError`]: it is too large, or there is no room.
    pub fn set_app(&self, lattice: &str, name: &str, app: Option<&Kept>) -> Result<(), WriteError> {
        self.table.write(Key::shared(app_name(lattice, name)), app.map(codec::encode))
    }

    /// Says that this node is a host of that lattice, or that it is none.
    ///
    /// # Errors
    /// [`WriteError`]: there is no room.
    pub fn enter(&self, lattice: Option<&str>) -> Result<(), WriteError> {
        let card = lattice.map(|lattice| Card {
            lattice: lattice.to_owned(),
            machine: machine(),
            given: Map::clone(&self.given),
        });
        self.table.write(self.own(HOST), card.as_ref().map(codec::encode))
    }

    /// The hosts of that lattice, in reach or not, with what they run.
    #[must_use]
    pub fn hosts(&self, lattice: &str) -> BTreeMap<NodeId, Seen> {
        let cards = self.table.owned(HOST).into_iter().filter(|(_, name, _)| name == HOST);
        let cards = cards.filter_map(|(host, _, value)| Some((host, codec::decode::<Card>(&value).ok()?)));
        let cards = cards.filter(|(_, card)| card.lattice == lattice);
        let mut hosts: BTreeMap<NodeId, (Seen, Map)> = cards
            .map(|(host, Card { machine, given, .. })| (host, (Seen { labels: given, ..Seen::default() }, machine)))
            .collect();
        let said = [LABELS, RUN, IDLE].into_iter().flat_map(|prefix| self.table.owned(prefix));
        for (host, name, value) in said {
            let Some((seen, _)) = hosts.get_mut(&host) else { continue };
            if let Some(id) = name.strip_prefix(IDLE) {
                seen.idle.insert(id.to_owned());
            } else if let Some(id) = name.strip_prefix(RUN) {
                seen.runs.extend(codec::decode(&value).ok().map(|workload| (id.to_owned(), workload)));
            } else if name == LABELS {
                seen.labels.extend(codec::decode::<Map>(&value).unwrap_or_default());
            }
        }
        // What the machine is cannot be told otherwise.
        let whole = |(host, (mut seen, machine)): (NodeId, (Seen, Map))| {
            seen.labels.extend(machine);
            (host, seen)
        };
        hosts.into_iter().map(whole).collect()
    }

    fn told_labels(&self) -> Map {
        self.read(&self.own(LABELS)).unwrap_or_default()
    }

    fn ways(&self) -> impl Iterator<Item = (LinkId, String, Way)> {
        let found = self.table.list(None, LINK).into_iter();
        found.filter_map(|(name, value)| {
            let (id, interface) = link_of(&name)?;
            Some((id, interface, codec::decode(&value).ok()?))
        })
    }

    fn ways_of(&self, id: &LinkId) -> Vec<(String, Way)> {
        self.ways().filter(|(of, ..)| of == id).map(|(_, interface, way)| (interface, way)).collect()
    }

    fn own(&self, name: &str) -> Key {
        Key::owned(self.table.me(), name)
    }

    fn read<T: Decode<()>>(&self, key: &Key) -> Option<T> {
        // What a later version has written is as if it were not there.
        codec::decode(&self.table.get(key)?).ok()
    }

    fn write<T: Encode>(&self, key: Key, value: &T) -> Result<(), WriteError> {
        self.table.write(key, Some(codec::encode(value)))
    }
}

/// What the machine is, as labels.
fn machine() -> Map {
    use std::env::consts::{ARCH, FAMILY, OS};
    let labels = [("hostcore.arch", ARCH), ("hostcore.os", OS), ("hostcore.osfamily", FAMILY)];
    labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn app_name(lattice: &str, name: &str) -> String {
    format!("{APP}{lattice}/{name}")
}

fn link_key(id: &LinkId, interface: &str) -> Key {
    let LinkId { source_id, name, wit_namespace, wit_package } = id;
    Key::shared(format!("{LINK}{source_id}/{name}/{wit_namespace}/{wit_package}/{interface}"))
}

fn link_of(name: &str) -> Option<(LinkId, String)> {
    let mut parts = name.strip_prefix(LINK)?.split('/').map(str::to_owned);
    let mut next = || parts.next();
    let id = LinkId { source_id: next()?, name: next()?, wit_namespace: next()?, wit_package: next()? };
    let interface = next()?;
    Some((id, interface))
}
