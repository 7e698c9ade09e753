//! Answers to what a host is asked, and what is to be done for it. No IO but that of the books.
//!
//! Every answer is `{"success", "message", "response"?}`. What takes long is acknowledged here and done by `crew.rs`, which
//! tells of the outcome by an event.

use super::books::{Books, Provider, Workload};
use super::crew::{Change, limits};
use super::request::{
    ComponentAuction, Link, LinkId, Map, Operation, ProviderAuction, ScaleComponent, StartProvider, StopProvider,
    UpdateComponent, parse, prefix,
};
use crate::host::http::{REFERENCE, Serving, Settings, is_http_server};
use crate::host::runner::Running;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a host says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its id: the node's key.
    pub id: String,
    /// Its name: the node's.
    pub name: String,
    /// The lattice that it is a host of.
    pub lattice: String,
    /// Its version.
    pub version: String,
    /// Where NATS clients find it.
    pub nats: String,
    /// Its labels, unless it is told others.
    pub labels: Map,
    /// Bytes of an answer, at most.
    pub payload_max: usize,
}

/// What is said and done for a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// What the asker is told; nothing where silence says it.
    pub reply: Option<Reply>,
    /// What all are told: names and data of events.
    pub events: Vec<(&'static str, Value)>,
    /// What is to be changed: the component, and how.
    pub change: Option<(String, Change)>,
    /// The host is to stop, within that time if one was given.
    pub stop: Option<Option<Duration>>,
}

/// What the asker is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reply {
    /// Whether it was done, or will be.
    pub success: bool,
    /// Why not, or what else there is to say.
    pub message: String,
    /// What was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<Value>,
}

/// What the moment says.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// How long the host has been there.
    pub uptime: Duration,
    /// The components that run.
    pub running: &'a [Running],
    /// How the providers are that do.
    pub serving: &'a BTreeMap<String, Serving>,
}

/// The desk.
#[derive(Debug)]
pub struct Desk {
    facts: Facts,
    books: Books,
}

impl Reply {
    /// It is done.
    #[must_use]
    pub fn done(message: impl Into<String>) -> Self {
        Self { success: true, message: message.into(), response: None }
    }

    /// This was asked for.
    #[must_use]
    pub fn with(response: Value) -> Self {
        Self { success: true, message: String::new(), response: Some(response) }
    }

    /// It is not done.
    #[must_use]
    pub fn failed(error: impl ToString) -> Self {
        Self { success: false, message: error.to_string(), response: None }
    }

    /// The reply as it is sent.
    #[must_use]
    pub fn encode(&self, payload_max: usize) -> Vec<u8> {
        let encode = |reply: &Self| serde_json::to_vec(reply).expect("texts under names always encode");
        let bytes = encode(self);
        if bytes.len() <= payload_max {
            return bytes;
        }
        let len = bytes.len();
        encode(&Self::failed(format!(
            "the answer has {len} bytes: at most {payload_max} can be sent (client.max_payload)"
        )))
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply: Some(reply), ..Self::default() }
    }
}

impl Answer {
    fn event(mut self, name: &'static str, data: Value) -> Self {
        self.events.push((name, data));
        self
    }
}

impl Desk {
    /// The desk of a host.
    #[must_use]
    pub fn new(facts: Facts, books: Books) -> Self {
        Self { facts, books }
    }

    /// What is to be said and done for a message on `subject`.
    #[must_use]
    pub fn answer(&self, moment: Moment<'_>, subject: &str, body: &[u8]) -> Answer {
        let operation = subject.strip_prefix(&prefix(&self.facts.lattice)).unwrap_or(subject);
        match parse(&self.facts.id, operation, body) {
            Ok(operation) => self.carry_out(moment, operation),
            Err(error) => Reply::failed(error).into(),
        }
    }

    fn carry_out(&self, moment: Moment<'_>, operation: Operation) -> Answer {
        match operation {
            Operation::HostPing => Reply::with(self.ping(moment)).into(),
            Operation::HostGet => Reply::with(self.inventory(moment)).into(),
            Operation::HostStop(stop) => {
                let reply = Some(Reply::done("the host stops; its node goes on"));
                Answer { reply, stop: Some(stop.timeout.map(Duration::from_millis)), ..Answer::default() }
            }
            Operation::ComponentAuction(auction) => self.auction(moment, &auction),
            Operation::ComponentScale(scale) => self.scale(scale),
            Operation::ComponentUpdate(update) => self.update(update),
            Operation::ProviderAuction(auction) => self.provider_auction(&auction),
            Operation::ProviderStart(start) => self.start_provider(start),
            Operation::ProviderStop(stop) => self.stop_provider(&stop),
            Operation::LinkPut(link) => self.put_link(&link),
            Operation::LinkDel(id) => self.delete_link(&id),
            Operation::LinkGet => Reply::with(json!(self.books.links())).into(),
            Operation::ConfigPut(name, config) => match self.books.put_config(&name, &config) {
                Ok(()) => Answer::from(Reply::done(self.config_done("configuration put", &name)))
                    .event("config_set", json!({ "config_name": name })),
                Err(error) => Reply::failed(error).into(),
            },
            Operation::ConfigGet(name) => match self.books.config(&name) {
                Some(config) => Reply::with(json!(config)).into(),
                None => Reply::done("Configuration not found").into(),
            },
            Operation::ConfigDel(name) => match self.books.delete_config(&name) {
                Ok(()) => Answer::from(Reply::done(self.config_done("configuration deleted", &name)))
                    .event("config_deleted", json!({ "config_name": name })),
                Err(error) => Reply::failed(error).into(),
            },
            Operation::LabelPut(label) => self.label(&label.key, Some(label.value)),
            Operation::LabelDel(label) => self.label(&label.key, None),
            // Components without a signature make none.
            Operation::ClaimsGet => Reply::with(json!([])).into(),
            Operation::RegistryPut(_) => {
                Reply::failed("registries are not asked by this host: images come from files, as file:///path, or from the hosts, as lattice://sha256:…").into()
            }
        }
    }

    /// What was done to a configuration, and whose it is.
    fn config_done(&self, done: &str, name: &str) -> String {
        match self.books.configs_of_apps(&self.facts.lattice).get(name) {
            Some(app) => format!("{done}: it is of app {app}, which has it as its file says when it is deployed again"),
            None => done.to_owned(),
        }
    }

    fn ping(&self, moment: Moment<'_>) -> Value {
        let Facts { id, name, lattice, version, nats, .. } = &self.facts;
        json!({
            "id": id,
            "friendly_name": name,
            "labels": self.books.labels(),
            "lattice": lattice,
            "js_domain": null,
            "rpc_host": nats,
            "ctl_host": nats,
            "uptime_human": human(moment.uptime),
            "uptime_seconds": moment.uptime.as_secs(),
            "version": version,
        })
    }

    /// What `host.get` answers and heartbeats tell.
    #[must_use]
    pub fn inventory(&self, moment: Moment<'_>) -> Value {
        let workloads = self.books.workloads();
        let component = |running: &Running| {
            let Workload { annotations, limits, .. } = workloads.get(&running.id).cloned().unwrap_or_default();
            json!({
                "id": running.id,
                "image_ref": running.image,
                "annotations": annotations,
                "revision": 0,
                "max_instances": running.count,
                "limits": (!limits.is_empty()).then_some(limits),
            })
        };
        json!({
            "host_id": self.facts.id,
            "friendly_name": self.facts.name,
            "labels": self.books.labels(),
            "version": self.facts.version,
            "uptime_human": human(moment.uptime),
            "uptime_seconds": moment.uptime.as_secs(),
            "components": moment.running.iter().map(component).collect::<Vec<_>>(),
            "providers": self.providers(moment),
        })
    }

    /// Beside what others tell of theirs, how they are.
    fn providers(&self, moment: Moment<'_>) -> Vec<Value> {
        let provider = |(id, provider): (String, Provider)| {
            let Serving { listening, problems } = moment.serving.get(&id).cloned().unwrap_or_default();
            json!({
                "id": id,
                "image_ref": provider.image,
                "annotations": provider.annotations,
                "revision": 0,
                "listening": listening,
                "problems": problems,
            })
        };
        self.books.providers().into_iter().map(provider).collect()
    }

    /// What is told when the host is there.
    #[must_use]
    pub fn started(&self) -> Value {
        let Facts { name, version, .. } = &self.facts;
        json!({ "friendly_name": name, "labels": self.books.labels(), "uptime_seconds": 0, "version": version })
    }

    /// What is told of each provider that is there from the beginning.
    #[must_use]
    pub fn running_providers(&self) -> Vec<Value> {
        let told = |(id, Provider { image, annotations, .. }): (String, Provider)| json!({ "host_id": self.facts.id, "provider_id": id, "image_ref": image, "annotations": annotations });
        self.books.providers().into_iter().map(told).collect()
    }

    /// What is told when it goes.
    #[must_use]
    pub fn stopped(&self) -> Value {
        json!({ "labels": self.books.labels() })
    }

    fn meets(&self, constraints: &Map) -> bool {
        let labels = self.books.labels();
        constraints.iter().all(|(key, value)| labels.get(key) == Some(value))
    }

    /// Nobody who cannot run it bids.
    fn provider_auction(&self, auction: &ProviderAuction) -> Answer {
        let runs = self.books.provider(&auction.provider_id).is_some();
        if runs || !is_http_server(&auction.provider_ref) || !self.meets(&auction.constraints) {
            return Answer::default();
        }
        let mut bid = json!(auction);
        bid["host_id"] = json!(self.facts.id);
        Reply::with(bid).into()
    }

    /// Has a provider run.
    #[must_use]
    pub fn start_provider(&self, start: StartProvider) -> Answer {
        let StartProvider { provider_id: id, provider_ref: image, config, annotations, .. } = start;
        let provider = Provider { image, config, annotations: annotations.unwrap_or_default() };
        let mut data = json!({ "host_id": self.facts.id, "provider_id": id });
        match self.run_provider(&id, &provider) {
            Ok(message) => {
                data["image_ref"] = json!(provider.image);
                data["annotations"] = json!(provider.annotations);
                Answer::from(Reply::done(message)).event("provider_started", data)
            }
            Err(error) => {
                data["provider_ref"] = json!(provider.image);
                data["error"] = json!(error);
                Answer::from(Reply::failed(error)).event("provider_start_failed", data)
            }
        }
    }

    fn run_provider(&self, id: &str, provider: &Provider) -> Result<String, String> {
        let Provider { image, config: names, .. } = provider;
        if !is_http_server(image) {
            return Err(format!("provider {id} ({image}): this host runs {REFERENCE}, and no other provider"));
        }
        let mut config = Map::new();
        for name in names {
            let found = self.books.config(name);
            config.extend(found.ok_or_else(|| format!("configuration {name} is not there: config.put.{name} first"))?);
        }
        Settings::parse(&config).map_err(|error| format!("provider {id}: {error}"))?;
        let runs = self.books.provider(id).is_some();
        self.books.set_provider(id, Some(provider)).map_err(|error| error.to_string())?;
        Ok(if runs { format!("provider {id} runs already, and goes on by this") } else { String::new() })
    }

    /// Has a provider run no more.
    #[must_use]
    pub fn stop_provider(&self, stop: &StopProvider) -> Answer {
        let id = &stop.provider_id;
        let Some(provider) = self.books.provider(id) else {
            return Reply::failed(format!("provider {id} does not run on this host")).into();
        };
        if let Err(error) = self.books.set_provider(id, None) {
            return Reply::failed(error).into();
        }
        let told = json!({
            "host_id": self.facts.id, "provider_id": id, "annotations": provider.annotations, "reason": "stopped",
        });
        Answer::from(Reply::done("provider stopped")).event("provider_stopped", told)
    }

    fn auction(&self, moment: Moment<'_>, auction: &ComponentAuction) -> Answer {
        let runs = moment.running.iter().any(|running| running.id == auction.component_id)
            || self.books.workload(&auction.component_id).is_some();
        if !self.meets(&auction.constraints) || runs {
            return Answer::default();
        }
        let ComponentAuction { component_ref, component_id, constraints } = auction;
        let host_id = &self.facts.id;
        Reply::with(json!({
            "component_ref": component_ref,
            "component_id": component_id,
            "constraints": constraints,
            "host_id": host_id,
        }))
        .into()
    }

    fn scale(&self, scale: ScaleComponent) -> Answer {
        if let Err(error) = limits(scale.component_limits.as_ref().unwrap_or(&Map::new())) {
            return Reply::failed(format!("component.scale: {error}")).into();
        }
        let before = self.books.workload(&scale.component_id).map(|workload| workload.image);
        let message = match before.filter(|image| *image != scale.component_ref && scale.count > 0) {
            Some(image) if !scale.allow_update => {
                format!("{} runs {image} and goes on with that: component.update changes an image", scale.component_id)
            }
            Some(_) | None => String::new(),
        };
        let id = scale.component_id.clone();
        Answer { change: Some((id, Change::Scale(scale))), ..Reply::done(message).into() }
    }

    fn update(&self, update: UpdateComponent) -> Answer {
        let (id, image) = (&update.component_id, &update.new_component_ref);
        let Some(before) = self.books.workload(id) else {
            return Reply::failed(format!("component {id} does not run on this host")).into();
        };
        if before.image == *image {
            return Reply::done(format!("component {id} runs {image} already")).into();
        }
        let reply = Reply::done(format!("component {id} changes from {} to {image}", before.image));
        Answer { change: Some((id.clone(), Change::Update(update))), ..reply.into() }
    }

    /// The host's id.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.facts.id
    }

    /// The lattice that it is for.
    #[must_use]
    pub fn lattice(&self) -> &str {
        &self.facts.lattice
    }

    /// Makes a link.
    #[must_use]
    pub fn put_link(&self, link: &Link) -> Answer {
        let mut data = json!(link);
        match self.books.put_link(link) {
            Ok(()) => Answer::from(Reply::done("link put")).event("linkdef_set", data),
            Err(error) => {
                data["error"] = json!(error.to_string());
                Answer::from(Reply::failed(error)).event("linkdef_set_failed", data)
            }
        }
    }

    /// Removes a link.
    #[must_use]
    pub fn delete_link(&self, id: &LinkId) -> Answer {
        let links = match self.books.delete_link(id) {
            Ok(links) => links,
            Err(error) => return Reply::failed(error).into(),
        };
        let answer =
            Answer::from(Reply::done(if links.is_empty() { "there was no such link" } else { "link deleted" }));
        if links.is_empty() {
            return answer.event("linkdef_deleted", json!(id));
        }
        links.into_iter().fold(answer, |answer, link| {
            let mut data = json!(link.id);
            data["target"] = json!(link.target);
            data["interfaces"] = json!(link.interfaces);
            answer.event("linkdef_deleted", data)
        })
    }

    fn label(&self, key: &str, value: Option<String>) -> Answer {
        let removes = value.is_none();
        match self.books.label(key, value) {
            Ok(false) if removes => Reply::done(format!("there was no label {key}")).into(),
            Ok(_) => Answer::from(Reply::done(if removes { "label deleted" } else { "label put" }))
                .event("labels_changed", json!({ "host_id": self.facts.id, "labels": self.books.labels() })),
            Err(error) => Reply::failed(error).into(),
        }
    }
}

/// `2d 3h 0m 7s`, from the largest unit that there is any of.
fn human(time: Duration) -> String {
    let secs = time.as_secs();
    let units = [(secs / 86_400, "d"), (secs / 3600 % 24, "h"), (secs / 60 % 60, "m"), (secs % 60, "s")];
    let first = units.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    units[first..].iter().map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}
