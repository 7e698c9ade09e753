//! What is asked for: a subject of the control interface and a body become an [`Operation`], or an error that names what is
//! wrong. No IO.

use crate::codec::{Decode, Encode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Texts under names: labels, constraints, annotations, configuration.
pub type Map = BTreeMap<String, String>;

/// Letters in an id, at most.
const ID_MAX: usize = 100;

/// What can be an id, in words.
pub const ID: &str = "1 to 100 letters without blanks, '.', '*', '>' and '/' are accepted";

/// Whether `text` can be an id: a word of subjects, and a part of a record's name.
#[must_use]
pub fn is_id(text: &str) -> bool {
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && !".*>/".contains(c);
    (1..=ID_MAX).contains(&text.len()) && text.chars().all(fits)
}

/// What a host can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Who is there?
    HostPing,
    /// What runs on this host?
    HostGet,
    /// Ends it.
    HostStop(StopHost),
    /// Who can run a component?
    ComponentAuction(ComponentAuction),
    /// Starts a component, changes its number, or stops it.
    ComponentScale(ScaleComponent),
    /// Runs another image of a component.
    ComponentUpdate(UpdateComponent),
    /// Who can run a provider?
    ProviderAuction(ProviderAuction),
    /// Starts a provider.
    ProviderStart(StartProvider),
    /// Stops a provider.
    ProviderStop(StopProvider),
    /// Makes a link.
    LinkPut(Link),
    /// Removes a link.
    LinkDel(LinkId),
    /// Which links are there?
    LinkGet,
    /// Sets a configuration, by its name.
    ConfigPut(String, Map),
    /// What does it say?
    ConfigGet(String),
    /// Removes it.
    ConfigDel(String),
    /// Sets a label of this host.
    LabelPut(Label),
    /// Removes one.
    LabelDel(LabelKey),
    /// Whose claims are known?
    ClaimsGet,
    /// Credentials for registries, by their address.
    RegistryPut(Vec<String>),
}

/// A request that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// No operation of that name.
    #[error("unknown operation {operation}: this host answers {}", OPERATIONS.join(", "))]
    Unknown {
        /// What was asked for.
        operation: String,
    },
    /// The body is not JSON, or lacks what the operation needs.
    #[error("{operation}: {why}")]
    Body {
        /// The operation.
        operation: String,
        /// What is wrong with it.
        why: String,
    },
    /// A value that cannot be used.
    #[error("{operation}: {field} is {value:?}: {expected}")]
    Field {
        /// The operation.
        operation: String,
        /// The field.
        field: &'static str,
        /// What it says.
        value: String,
        /// What would be accepted.
        expected: &'static str,
    },
}

const OPERATIONS: &[&str] = &[
    "host.ping",
    "host.get.HOST",
    "host.stop.HOST",
    "component.auction",
    "component.scale.HOST",
    "component.update.HOST",
    "provider.auction",
    "provider.start.HOST",
    "provider.stop.HOST",
    "link.put",
    "link.del",
    "link.get",
    "config.put.NAME",
    "config.get.NAME",
    "config.del.NAME",
    "label.put.HOST",
    "label.del.HOST",
    "claims.get",
    "registry.put",
];

/// What a subject of the interface begins with.
#[must_use]
pub fn prefix(lattice: &str) -> String {
    format!("wasmbus.ctl.v1.{lattice}.")
}

/// The filters by which host `host` of `lattice` is asked, and whether it takes turns with the other hosts there. They
/// name the operations one by one, so that what nobody serves is refused to the asker at once.
#[must_use]
pub fn filters(lattice: &str, host: &str) -> Vec<(String, bool)> {
    let prefix = prefix(lattice);
    let turns = ["link.*", "config.>", "claims.get"].map(|filter| (format!("{prefix}{filter}"), true));
    let served =
        OPERATIONS.iter().filter(|name| !["link", "config", "claims"].iter().any(|kind| name.starts_with(kind)));
    served.map(|name| (format!("{prefix}{}", name.replace("HOST", host)), false)).chain(turns).collect()
}

/// Reads a request; `subject` is without [`prefix`].
///
/// # Errors
/// [`BadRequest`] says what is wrong and what would be accepted.
pub fn parse(host: &str, subject: &str, body: &[u8]) -> Result<Operation, BadRequest> {
    let unknown = || BadRequest::Unknown { operation: subject.to_owned() };
    let mut parts = subject.splitn(3, '.');
    let (kind, verb, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next());
    let name = format!("{kind}.{verb}");
    let read = Body { operation: &name, host, bytes: body };
    let operation = match (kind, verb, rest) {
        ("host", "ping", None) => Operation::HostPing,
        ("component", "auction", None) => Operation::ComponentAuction(read.json()?),
        ("provider", "auction", None) => Operation::ProviderAuction(read.json()?),
        ("link", "put", None) => Operation::LinkPut(read.json()?),
        ("link", "del", None) => Operation::LinkDel(read.json()?),
        ("link", "get", None) => Operation::LinkGet,
        ("claims", "get", None) => Operation::ClaimsGet,
        ("registry", "put", None) => Operation::RegistryPut(read.registries()?),
        ("config", "put", Some(name)) => Operation::ConfigPut(name.to_owned(), read.json()?),
        ("config", "get", Some(name)) => Operation::ConfigGet(name.to_owned()),
        ("config", "del", Some(name)) => Operation::ConfigDel(name.to_owned()),
        (_, _, Some(of)) if of == host => read.of_host(kind, verb).ok_or_else(unknown)??,
        (_, _, _) => return Err(unknown()),
    };
    operation.check(&read)?;
    Ok(operation)
}

/// What is asked for, with what it is read by.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    /// The operation, for errors.
    pub operation: &'a str,
    /// The host that is asked.
    pub host: &'a str,
    /// The body.
    pub bytes: &'a [u8],
}

impl Body<'_> {
    /// Reads it; what is empty is as good as `{}`.
    ///
    /// # Errors
    /// [`BadRequest::Body`].
    pub fn json<T: for<'de> Deserialize<'de>>(&self) -> Result<T, BadRequest> {
        let bytes = if self.bytes.is_empty() { b"{}" } else { self.bytes };
        serde_json::from_slice(bytes)
            .map_err(|error| BadRequest::Body { operation: self.operation.to_owned(), why: error.to_string() })
    }

    /// An operation that one host is asked for.
    fn of_host(&self, kind: &str, verb: &str) -> Option<Result<Operation, BadRequest>> {
        Some(match (kind, verb) {
            ("host", "get") => Ok(Operation::HostGet),
            ("host", "stop") => self.json().map(Operation::HostStop),
            ("component", "scale") => self.json().map(Operation::ComponentScale),
            ("component", "update") => self.json().map(Operation::ComponentUpdate),
            ("provider", "start") => self.json().map(Operation::ProviderStart),
            ("provider", "stop") => self.json().map(Operation::ProviderStop),
            ("label", "put") => self.json().map(Operation::LabelPut),
            ("label", "del") => self.json().map(Operation::LabelDel),
            (_, _) => return None,
        })
    }

    fn registries(&self) -> Result<Vec<String>, BadRequest> {
        #[derive(Deserialize)]
        struct Credentials {}
        let registries: BTreeMap<String, Credentials> = self.json()?;
        Ok(registries.into_keys().collect())
    }

    fn refuse(&self, field: &'static str, value: &str, expected: &'static str) -> Result<(), BadRequest> {
        let value = value.chars().take(ID_MAX).collect();
        Err(BadRequest::Field { operation: self.operation.to_owned(), field, value, expected })
    }

    /// It has to be an id ([`is_id`]).
    ///
    /// # Errors
    /// [`BadRequest::Field`].
    pub fn id(&self, field: &'static str, id: &str) -> Result<(), BadRequest> {
        if is_id(id) { Ok(()) } else { self.refuse(field, id, ID) }
    }

    /// Something has to be said there.
    ///
    /// # Errors
    /// [`BadRequest::Field`].
    pub fn some(&self, field: &'static str, text: &str) -> Result<(), BadRequest> {
        if text.is_empty() { self.refuse(field, text, "it must not be empty") } else { Ok(()) }
    }

    fn this_host(&self, id: Option<&String>) -> Result<(), BadRequest> {
        match id {
            Some(id) if id != self.host => self.refuse("host_id", id, "another host than the one that was asked"),
            Some(_) | None => Ok(()),
        }
    }
}

impl Operation {
    fn check(&self, body: &Body<'_>) -> Result<(), BadRequest> {
        match self {
            Self::HostStop(StopHost { host_id, .. }) => body.this_host(host_id.as_ref()),
            Self::ComponentAuction(auction) => {
                body.some("component_ref", &auction.component_ref)?;
                body.id("component_id", &auction.component_id)
            }
            Self::ComponentScale(scale) => {
                body.this_host(scale.host_id.as_ref())?;
                body.id("component_id", &scale.component_id)?;
                body.some("component_ref", &scale.component_ref)
            }
            Self::ComponentUpdate(update) => {
                body.this_host(update.host_id.as_ref())?;
                body.id("component_id", &update.component_id)?;
                body.some("new_component_ref", &update.new_component_ref)
            }
            Self::ProviderAuction(auction) => body.id("provider_id", &auction.provider_id),
            Self::ProviderStart(start) => {
                body.this_host(start.host_id.as_ref())?;
                body.id("provider_id", &start.provider_id)
            }
            Self::ProviderStop(stop) => {
                body.this_host(stop.host_id.as_ref())?;
                body.id("provider_id", &stop.provider_id)
            }
            Self::LinkPut(link) => link.check(body),
            Self::LinkDel(id) => id.check(body),
            Self::ConfigPut(name, _) | Self::ConfigGet(name) | Self::ConfigDel(name) => body.some("name", name),
            Self::LabelPut(Label { key, .. }) | Self::LabelDel(LabelKey { key }) => {
                body.some("key", key)?;
                if key.to_ascii_lowercase().starts_with("hostcore.") {
                    return body.refuse("key", key, "hostcore.* say what the machine is, and cannot be changed");
                }
                Ok(())
            }
            Self::HostPing | Self::HostGet | Self::LinkGet | Self::ClaimsGet | Self::RegistryPut(_) => Ok(()),
        }
    }
}

/// The body of `host.stop`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StopHost {
    /// The host that is meant.
    pub host_id: Option<String>,
    /// How long components may take to end, in milliseconds.
    pub timeout: Option<u64>,
}

/// The body of `component.auction`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentAuction {
    /// Its image.
    pub component_ref: String,
    /// Its id.
    pub component_id: String,
    /// Labels that the host must have.
    #[serde(default)]
    pub constraints: Map,
}

/// The body of `component.scale`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ScaleComponent {
    /// Its image.
    pub component_ref: String,
    /// Its id.
    pub component_id: String,
    /// Instances at most; 0 stops it.
    #[serde(alias = "max_instances")]
    pub count: u32,
    /// The host that is meant.
    pub host_id: Option<String>,
    /// Names of configurations; a later one wins over an earlier.
    #[serde(default)]
    pub config: Vec<String>,
    /// What is noted beside it.
    pub annotations: Option<Map>,
    /// What it may take.
    pub component_limits: Option<Map>,
    /// Whether another image takes the place of the one that runs.
    #[serde(default)]
    pub allow_update: bool,
}

/// The body of `component.update`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct UpdateComponent {
    /// Its id.
    pub component_id: String,
    /// The image that it is to have.
    pub new_component_ref: String,
    /// The host that is meant.
    pub host_id: Option<String>,
    /// What is noted beside it.
    pub annotations: Option<Map>,
}

/// The body of `provider.auction`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAuction {
    /// Its image.
    pub provider_ref: String,
    /// Its id.
    pub provider_id: String,
    /// Labels that the host must have.
    #[serde(default)]
    pub constraints: Map,
}

/// The body of `provider.start`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StartProvider {
    /// Its id.
    pub provider_id: String,
    /// What it is called: the built-in one, or an image.
    pub provider_ref: String,
    /// The host that is meant.
    pub host_id: Option<String>,
    /// Names of configurations; a later one wins over an earlier.
    #[serde(default)]
    pub config: Vec<String>,
    /// What is noted beside it.
    pub annotations: Option<Map>,
}

/// The body of `provider.stop`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StopProvider {
    /// Its id.
    pub provider_id: String,
    /// The host that is meant.
    pub host_id: Option<String>,
}

/// A link: calls of a source to interfaces go to a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What tells it from others.
    #[serde(flatten)]
    pub id: LinkId,
    /// Where calls go.
    pub target: String,
    /// The interfaces of the package.
    pub interfaces: Vec<String>,
    /// Names of configurations for the source.
    #[serde(default)]
    pub source_config: Vec<String>,
    /// Names of configurations for the target.
    #[serde(default)]
    pub target_config: Vec<String>,
}

/// What tells links apart, and the body of `link.del`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Encode, Decode)]
pub struct LinkId {
    /// Who calls.
    pub source_id: String,
    /// The link's name; `default` where nothing else is said.
    #[serde(default = "default_name", alias = "link_name")]
    pub name: String,
    /// The namespace of the package.
    pub wit_namespace: String,
    /// The package.
    pub wit_package: String,
}

impl Link {
    /// Whether it can be.
    ///
    /// # Errors
    /// [`BadRequest::Field`] names what is wrong.
    pub fn check(&self, body: &Body<'_>) -> Result<(), BadRequest> {
        body.id("target", &self.target)?;
        if self.interfaces.is_empty() {
            return body.refuse("interfaces", "", "at least one interface is needed");
        }
        self.interfaces.iter().try_for_each(|interface| body.id("interfaces", interface))?;
        self.id.check(body)
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} for {}:{}", self.name, self.source_id, self.wit_namespace, self.wit_package)
    }
}

impl LinkId {
    fn check(&self, body: &Body<'_>) -> Result<(), BadRequest> {
        body.id("source_id", &self.source_id)?;
        body.id("name", &self.name)?;
        body.id("wit_namespace", &self.wit_namespace)?;
        body.id("wit_package", &self.wit_package)
    }
}

fn default_name() -> String {
    "default".to_owned()
}

/// The body of `label.put`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Label {
    /// Its key.
    pub key: String,
    /// What it says.
    pub value: String,
}

/// The body of `label.del`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LabelKey {
    /// The label.
    pub key: String,
}
