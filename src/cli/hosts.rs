//! The control interface of hosts as the commands about components have it: over NATS, as any client of it, at the node that
//! `--server` names.

use super::CliError;
use super::nats::ServerArgs;
use super::output::{Output, plain};
use crate::client::{Client, ClientError, Outgoing, Subscription};
use crate::config::units::Period;
use lattice_broker::env::Env;
use rand_core::Rng as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// How long an answer of one host is waited for.
const ANSWER: Duration = Duration::from_secs(5);
/// How often a host is asked what it runs, while an event is waited for.
const LOOK: Duration = Duration::from_millis(250);

/// Which hosts a command is about.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct HostsArgs {
    /// The lattice, as host.lattice of its nodes says.
    #[arg(long, value_name = "NAME", default_value = "default")]
    lattice: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// All hosts that answer in time.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct AllArgs {
    /// How long to wait for hosts to answer.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub(super) timeout: Period,
    #[command(flatten)]
    pub(super) hosts: HostsArgs,
}

/// The hosts that can be reached.
pub(super) struct Hosts {
    env: Env,
    client: Client,
    lattice: String,
}

/// What a host has answered.
#[derive(Deserialize)]
pub(super) struct Reply {
    success: bool,
    /// What it says of what it has done.
    #[serde(default)]
    pub(super) message: String,
    pub(super) response: Option<Value>,
}

/// What a host was asked is not done.
pub(super) enum Failure {
    /// No answer came: it may be done, and may be asked again.
    Unanswered(CliError),
    /// It says why.
    Refused(CliError),
}

/// One that has answered a ping.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) friendly_name: String,
}

/// What runs on a host.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Inventory {
    pub(super) host_id: String,
    pub(super) friendly_name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) components: Vec<Component>,
    #[serde(default)]
    pub(super) providers: Vec<Provider>,
}

/// A component that runs.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Component {
    pub(super) id: String,
    pub(super) image_ref: String,
    pub(super) max_instances: u32,
    #[serde(default)]
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

/// A provider that runs. Hosts that are not ours do not say how it is.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Provider {
    pub(super) id: String,
    pub(super) image_ref: String,
    #[serde(default)]
    pub(super) annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) listening: Vec<SocketAddr>,
    #[serde(default)]
    pub(super) problems: Vec<String>,
}

/// What a component is to be like: as many instances of that image, and none when that is 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) id: &'a str,
    pub(super) image: &'a str,
    pub(super) count: u32,
    pub(super) config: &'a [String],
}

#[derive(Deserialize)]
struct Event {
    data: Told,
}

/// What a host tells of a change.
#[derive(Deserialize)]
struct Told {
    host_id: String,
    component_id: String,
    image_ref: String,
    max_instances: u32,
    error: Option<String>,
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unanswered(error) | Failure::Refused(error) => error,
        }
    }
}

impl Failure {
    /// The error, with what to try where the host has refused; that there was no answer has its own.
    pub(super) fn or_try(self, next: &str) -> CliError {
        match self {
            Self::Unanswered(error) => error,
            Self::Refused(error) => error.next(next),
        }
    }
}

impl Inventory {
    /// Whether that is as it is wanted.
    fn has(&self, wanted: Wanted<'_>) -> bool {
        match self.components.iter().find(|component| component.id == wanted.id) {
            None => wanted.count == 0,
            Some(found) => found.max_instances == wanted.count && found.image_ref == wanted.image,
        }
    }
}

impl HostsArgs {
    pub(super) async fn connect(&self, env: &Env) -> Result<Hosts, CliError> {
        Ok(self.over(env, self.server.connect(env).await?))
    }

    /// Gives `work` the hosts, and again over a new connection whenever one ends, until `work` fails by itself or the person at the
    /// terminal ends it.
    pub(super) async fn stay(
        &self,
        env: &Env,
        output: &Output,
        mut work: impl AsyncFnMut(&Hosts) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let work = async |client: &Client| work(&self.over(env, client.clone())).await.map(|()| false);
        self.server.stay(env, output, work).await
    }

    fn over(&self, env: &Env, client: Client) -> Hosts {
        Hosts { env: env.clone(), client, lattice: self.lattice.clone() }
    }
}

impl Hosts {
    /// What an operation brings, where one host answers.
    pub(super) async fn ask(&self, operation: &str, body: &Value) -> Result<Option<Value>, CliError> {
        Ok(self.reply(operation, body).await?.response)
    }

    /// The same, with what the host says of it.
    pub(super) async fn reply(&self, operation: &str, body: &Value) -> Result<Reply, Failure> {
        let subject = format!("wasmbus.ctl.v1.{}.{operation}", self.lattice);
        self.request(&subject, body.to_string().as_bytes()).await
    }

    /// The same of what hosts do that wasmCloud's do not. The body need not be JSON.
    pub(super) async fn ask_own(&self, operation: &str, body: &[u8]) -> Result<Option<Value>, Failure> {
        Ok(self.request(&format!("lattice.ctl.v1.{}.{operation}", self.lattice), body).await?.response)
    }

    /// Whether the connection has ended, or is ending.
    pub(super) fn have_ended(&self) -> bool {
        self.client.has_ended()
    }

    async fn request(&self, subject: &str, body: &[u8]) -> Result<Reply, Failure> {
        let answer = self.client.request(subject, None, body, ANSWER).await;
        let answer = answer.map_err(|error| Failure::Unanswered(self.unanswered(error)))?;
        let reply: Reply = read(&answer.payload).map_err(Failure::Refused)?;
        if reply.success { Ok(reply) } else { Err(Failure::Refused(CliError::new(plain(&reply.message)))) }
    }

    /// What hosts tell under that name.
    pub(super) async fn listen(&self, event: &str) -> Result<Subscription, CliError> {
        Ok(self.client.subscribe(&format!("wasmbus.evt.{}.{event}", self.lattice), None).await?)
    }

    /// Bytes that a message may have.
    pub(super) fn payload_max(&self) -> usize {
        self.client.server().max_payload
    }

    /// All hosts that answer within `time`, by their names.
    pub(super) async fn all(&self, time: Duration) -> Result<Vec<Found>, CliError> {
        let mut unguessable = [0; 16];
        self.env.rng("inbox").fill_bytes(&mut unguessable);
        let inbox = format!("_INBOX.{}", data_encoding::BASE32_NOPAD.encode(&unguessable));
        let mut answers = self.client.subscribe(&inbox, None).await?;
        let subject = format!("wasmbus.ctl.v1.{}.host.ping", self.lattice);
        let ping = Outgoing { subject: &subject, reply: Some(&inbox), headers: None, payload: b"{}" };
        self.client.send(ping).await?;
        let (mut found, until) = (Vec::<Found>::new(), self.env.now() + time);
        loop {
            let left = until.saturating_duration_since(self.env.now());
            let Ok(Some(answer)) = self.env.timeout(left, answers.next()).await else { break };
            // That there are no responders comes as an empty message.
            if answer.payload.is_empty() {
                break;
            }
            found.extend(read::<Reply>(&answer.payload)?.response.map(from_value).transpose()?);
        }
        if found.is_empty() {
            return Err(self.nobody());
        }
        found.sort_by(|a, b| (&a.friendly_name, &a.id).cmp(&(&b.friendly_name, &b.id)));
        Ok(found)
    }

    /// What runs on host `id`.
    pub(super) async fn inventory(&self, id: &str) -> Result<Inventory, CliError> {
        let response = self.ask(&format!("host.get.{id}"), &json!({})).await?;
        from_value(response.unwrap_or_default())
    }

    /// The host of that name or id; when none is given, the node that this command is connected to.
    pub(super) async fn find(&self, named: Option<&str>, time: Duration) -> Result<Found, CliError> {
        let Some(named) = named else {
            let Inventory { host_id: id, friendly_name, .. } = self.inventory(&self.client.server().server_id).await?;
            return Ok(Found { id, friendly_name });
        };
        let all = self.all(time).await?;
        let mut fitting = all.iter().filter(|host| host.id == named || host.friendly_name == named);
        match (fitting.next(), fitting.next()) {
            (Some(host), None) => Ok(host.clone()),
            (Some(_), Some(_)) => {
                let ids: Vec<&str> =
                    all.iter().filter(|host| host.friendly_name == named).map(|host| host.id.as_str()).collect();
                Err(CliError::new(format!("several hosts are called {named:?}: {}", ids.join(", ")))
                    .next("--host with one of these ids"))
            }
            (None, _) => {
                let names: Vec<&str> = all.iter().map(|host| host.friendly_name.as_str()).collect();
                Err(CliError::new(format!("no host is called {named:?}"))
                    .next(format!("--host with one of: {}", names.join(", "))))
            }
        }
    }

    /// Has a component be as it is wanted on `host`; ready when it is so, or when that has failed.
    pub(super) async fn change(&self, host: &Found, wanted: Wanted<'_>, patience: Duration) -> Result<(), CliError> {
        // Before it is asked for; on another node the host may be done before it knows that somebody listens, and then
        // what it runs tells.
        let mut scaled = self.listen("component_scaled").await?;
        let mut failed = self.listen("component_scale_failed").await?;
        let Wanted { id, image, count, config } = wanted;
        let body = json!({
            "component_id": id, "component_ref": image, "count": count, "host_id": host.id, "config": config,
            "allow_update": true,
        });
        // The way there and back gives the news of the subscriptions time to arrive.
        let was_so = self.inventory(&host.id).await?.has(wanted);
        self.ask(&format!("component.scale.{}", host.id), &body).await?;
        let told = self.env.timeout(patience, async {
            tokio::select! {
                told = outcome(&mut scaled, &mut failed, host, wanted) => told.map(|told| told.error),
                // Of what looks the same before and after the event alone tells.
                () = self.seen(host, wanted), if !was_so => Some(None),
            }
        });
        let told = told.await;
        let late = || {
            CliError::new(format!("{id} is not ready on {} after {patience:?}", host.friendly_name))
                .likely("it is being compiled, or calls of it go on")
                .next("lattice ps   in a moment, or a longer --timeout")
        };
        match told.map_err(|_| late())? {
            None => Err(CliError::new("the connection has ended")),
            Some(Some(error)) => Err(CliError::new(format!("{error}   (host {})", host.friendly_name))),
            Some(None) => Ok(()),
        }
    }

    /// Waits until what `host` runs is what is wanted.
    async fn seen(&self, host: &Found, wanted: Wanted<'_>) {
        loop {
            self.env.sleep(LOOK).await;
            // A host that does not answer now may do so the next time.
            if self.inventory(&host.id).await.is_ok_and(|inventory| inventory.has(wanted)) {
                return;
            }
        }
    }

    fn unanswered(&self, error: ClientError) -> CliError {
        match error {
            ClientError::NoResponders { .. } => self.nobody(),
            error => error.into(),
        }
    }

    fn nobody(&self) -> CliError {
        CliError::new(format!("no host of lattice {:?} answers at this node", self.lattice))
            .likely("its host.enabled is false, or host.lattice is another name")
            .next("--lattice with that name, or --server with a node that is a host")
    }
}

/// The event that tells what has become of `wanted`; `None` when the connection has ended.
async fn outcome(
    scaled: &mut Subscription,
    failed: &mut Subscription,
    host: &Found,
    wanted: Wanted<'_>,
) -> Option<Told> {
    loop {
        let message = tokio::select! {
            message = scaled.next() => message?,
            message = failed.next() => message?,
        };
        // What others publish there is theirs to say.
        let Ok(Event { data }) = serde_json::from_slice(&message.payload) else { continue };
        let is_ours = data.host_id == host.id
            && data.component_id == wanted.id
            && data.max_instances == wanted.count
            && (data.image_ref == wanted.image || wanted.count == 0);
        if is_ours {
            return Some(data);
        }
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CliError> {
    serde_json::from_slice(bytes).map_err(|error| misunderstood(&error))
}

pub(super) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, CliError> {
    serde_json::from_value(value).map_err(|error| misunderstood(&error))
}

fn misunderstood(error: &serde_json::Error) -> CliError {
    CliError::new(format!("a host answers what cannot be understood: {error}"))
}
