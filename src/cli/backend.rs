//! Where the command line meets the node: the data folder is opened, the node built, and errors get their words.

use super::{CliError, components, http};
use crate::config::Config;
use crate::control::{Answer, InviteRequest, Question, Request, RevokeRequest, RootRequest, Seen};
use crate::identity::{Advice, Folder, Identity, Invite, Notary, Roll};
use crate::mesh::announcement::OwnShelf;
use crate::mesh::{join as joining, quic};
use crate::node::{self, FollowError, InviteError, Node, Parts, RevokeError, SeeError, StartError};
use crate::status::{Member, Revoked, Roots, Status};
use crate::store::{DiskStore, Options, Replaced, Store, StoreError};
use lattice_broker::ListenError;
use lattice_broker::env::{BoxFuture, Env};
use serde::Serialize;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long the last holder of the store may take to let go of it.
const STORE_WAIT: Duration = Duration::from_secs(5);

/// A node whose listeners are up.
pub trait RunningNode: Send + Sync + fmt::Debug + 'static {
    /// How it is.
    fn status(&self) -> Status;
    /// Makes an invite.
    fn invite(&self, request: InviteRequest) -> BoxFuture<Result<String, CliError>>;
    /// Who is a member.
    fn members(&self) -> Vec<Member>;
    /// Throws somebody out.
    fn revoke(&self, request: RevokeRequest) -> BoxFuture<Result<Revoked, CliError>>;
    /// Shows the root keys, or goes by others.
    fn root(&self, request: RootRequest) -> BoxFuture<Result<Roots, CliError>>;
    /// Shows something of the lattice.
    fn see(&self, question: Question) -> BoxFuture<Result<Seen, CliError>>;
    /// Ends it in order: no new clients, deliver what is there, close links. The caller sets the deadline.
    fn drain(&self) -> BoxFuture<()>;
}

/// What became of an invite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Joined {
    /// The lattice: hash of its root key, in hex.
    pub lattice: String,
    /// The node's name.
    pub name: String,
    /// The node's public key, `N…`.
    pub id: String,
    /// True when the data folder was a member already, and nothing was done.
    pub already: bool,
}

/// A node and the data folder that it holds.
#[derive(Debug)]
struct Local {
    node: Arc<Node>,
    http: Option<SocketAddr>,
    _folder: Folder,
}

impl RunningNode for Local {
    fn status(&self) -> Status {
        Status { http: self.http.map(|at| at.to_string()), ..self.node.status() }
    }

    fn invite(&self, request: InviteRequest) -> BoxFuture<Result<String, CliError>> {
        let node = Arc::clone(&self.node);
        Box::pin(async move { Ok(node.invite(request).await?.to_string()) })
    }

    fn members(&self) -> Vec<Member> {
        self.node.members()
    }

    fn revoke(&self, request: RevokeRequest) -> BoxFuture<Result<Revoked, CliError>> {
        let node = Arc::clone(&self.node);
        Box::pin(async move { Ok(node.revoke(request).await?) })
    }

    fn root(&self, request: RootRequest) -> BoxFuture<Result<Roots, CliError>> {
        let node = Arc::clone(&self.node);
        Box::pin(async move { Ok(node.root(request).await?) })
    }

    fn see(&self, question: Question) -> BoxFuture<Result<Seen, CliError>> {
        let node = Arc::clone(&self.node);
        Box::pin(async move { Ok(node.see(question).await?) })
    }

    fn drain(&self) -> BoxFuture<()> {
        let node = Arc::clone(&self.node);
        Box::pin(async move {
            node.drain().await;
            // What was learnt last would be lost otherwise, as with a crash.
            if let Err(error) = node.roll().durable().await {
                tracing::warn!(%error, "what was written last may not be on the disk");
            }
        })
    }
}

/// Starts a node; returns once its listeners are up. Makes identity and lattice on the first start.
///
/// # Errors
/// What its user shall read.
pub async fn start(env: &Env, config: Config) -> Result<Box<dyn RunningNode>, CliError> {
    let folder = open_folder(&config)?;
    let identity = identity(env, &folder, &config)?;
    let identity = folder.count_boot(identity).map_err(|error| advised(&error, error.advice()))?;
    let (store, replaced) = open_store(env, &folder).await?;
    if let Some(replaced) = &replaced {
        tracing::error!(%replaced, "records were lost");
    }
    let broker = Node::broker_of(env, &config, &identity)?;
    let images = components::images(&config, &folder);
    let runner = components::runner(env, &config, &folder, &broker, images.as_ref())?;
    let parts = Parts {
        env: env.clone(),
        config: config.clone(),
        identity: Arc::new(identity),
        store,
        crypto: quic::crypto_provider(),
        shelf: Arc::new(OwnShelf),
        notary: Arc::default(),
        warnings: replaced.iter().map(ToString::to_string).collect(),
        runner,
        images,
    };
    let node = Arc::new(Node::start_with(parts, broker)?);
    match http::listen(env, &config, &node) {
        Ok(http) => Ok(Box::new(Local { node, http, _folder: folder })),
        Err(error) => {
            node.drain().await;
            Err(error)
        }
    }
}

/// Answers in place of a node that does not run, from its data folder; the caller keeps it from starting meanwhile.
///
/// # Errors
/// What its user shall read.
pub async fn answer_offline(env: &Env, config: &Config, request: Request) -> Result<Answer, CliError> {
    let folder = open_folder(config)?;
    let identity = identity(env, &folder, config)?;
    let (store, _) = open_store(env, &folder).await?;
    let link = node::last_link(store.as_ref())?.unwrap_or(config.link.listen);
    let roll = Roll::open(&identity, store, Arc::<Notary>::default())?;
    match request {
        Request::Invite(request) => {
            Ok(Answer::Invite(node::issue(env, config, &identity, &roll, link, request).await?.to_string()))
        }
        Request::Members => Ok(Answer::Members(node::list_members(&identity, &roll, roll.now(env.wall()), |_| None))),
        Request::Revoke(request) => {
            let before = roll.list();
            let revocations = node::revocations(env, &identity, &roll, request)?;
            for revocation in &revocations {
                roll.revoke(revocation).map_err(RevokeError::from)?;
            }
            roll.durable().await?;
            Ok(Answer::Revoked(node::told_revoked(&roll, &revocations, &before)))
        }
        Request::Root(request) => {
            if let RootRequest::Follow { text, instead } = request {
                node::follow_roots(&roll, &text, instead.as_deref())?;
                roll.durable().await?;
            }
            let members = node::list_members(&identity, &roll, None, |_| None);
            Ok(Answer::Roots(node::list_roots(&identity, &roll, &members)))
        }
        Request::Status | Request::See(_) | Request::Stop => {
            Err(crate::control::SocketError::NotRunning { data: config.data.clone() }.into())
        }
    }
}

/// Makes the data folder a member of the lattice that `invite` is from. No node runs on it meanwhile.
///
/// A folder that is a member of that lattice already stays as it is, whether the invite is still valid or not: a node
/// is started with the same invite again and again. A member of another lattice is an error.
///
/// # Errors
/// What its user shall read; the folder is unchanged then.
pub async fn join(env: &Env, config: &Config, invite: &str) -> Result<Joined, CliError> {
    let invite: Invite = invite.parse().map_err(|error: crate::identity::InviteError| {
        let advice = error.advice();
        advised(&error, advice)
    })?;
    let folder = open_folder(config)?;
    let present = folder.identity().map_err(|error| advised(&error, error.advice()))?;
    if let Some(present) = present.filter(|present| present.lattice() == invite.lattice()) {
        return Ok(joined(&present, true));
    }
    let applicant =
        folder.applicant(&mut env.rng("identity"), &config.name).map_err(|error| advised(&error, error.advice()))?;
    let member = joining::join(env, &invite, &applicant, &quic::crypto_provider(), None).await;
    let member = member.map_err(|error| advised(&error, error.advice()))?;
    let (store, _) = open_store(env, &folder).await?;
    // Who let it in could be reached, whatever else the member says of itself. One link is enough to be reached by all;
    // while every remembered peer is dialled, remembering more would only make every join link the same few.
    node::remember_peers(store.as_ref(), &[member.via])?;
    store.flush_durable().await?;
    folder.create(&member.identity).map_err(|error| advised(&error, error.advice()))?;
    Ok(joined(&member.identity, false))
}

/// What is known of the members in the data folder of one, on which no node runs.
///
/// # Errors
/// What its user shall read.
pub(super) async fn member_roll(env: &Env, folder: &Folder, identity: &Identity) -> Result<Roll, CliError> {
    let (store, _) = open_store(env, folder).await?;
    Ok(Roll::open(identity, store, Arc::<Notary>::default())?)
}

/// The data folder of a member, and who that is.
///
/// # Errors
/// What its user shall read.
pub(super) fn member_folder(config: &Config) -> Result<(Folder, Identity), CliError> {
    let folder = open_folder(config)?;
    let identity = folder.identity().map_err(|error| advised(&error, error.advice()))?;
    let none = || CliError::new(format!("{} is no member of a lattice", config.data.display())).next("lattice up");
    Ok((folder, identity.ok_or_else(none)?))
}

fn joined(identity: &Identity, already: bool) -> Joined {
    Joined {
        lattice: identity.lattice().to_hex(),
        name: identity.name().to_owned(),
        id: identity.node_id().to_string(),
        already,
    }
}

fn open_folder(config: &Config) -> Result<Folder, CliError> {
    Folder::open(&config.data).map_err(|error| advised(&error, error.advice()))
}

/// The folder's identity, under its present name; a new lattice in a new folder.
fn identity(env: &Env, folder: &Folder, config: &Config) -> Result<Identity, CliError> {
    let failed = |error: crate::identity::FolderError| advised(&error, error.advice());
    match folder.identity().map_err(failed)? {
        Some(identity) if identity.name() == config.name => Ok(identity),
        Some(identity) => folder.rename(identity, &config.name).map_err(failed),
        None => {
            let identity = Identity::generate_root(&mut env.rng("identity"), &config.name);
            folder.create(&identity).map_err(failed)?;
            Ok(identity)
        }
    }
}

/// Opens the store; one that was just closed may need a moment.
async fn open_store(env: &Env, folder: &Folder) -> Result<(Arc<dyn Store>, Option<Replaced>), CliError> {
    let until = env.now() + STORE_WAIT;
    loop {
        match DiskStore::open(&folder.store_path(), &Options::default()) {
            Ok((store, replaced)) => return Ok((Arc::new(store), replaced)),
            Err(StoreError::InUse) if env.now() < until => env.sleep(Duration::from_millis(20)).await,
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) fn advised(error: &dyn fmt::Display, advice: Advice) -> CliError {
    CliError::new(error.to_string()).likely(advice.likely).next(format!("{}   ({})", advice.next, advice.code))
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::new(error.to_string()).likely("the disk is full, failing or read-only")
    }
}

impl From<RevokeError> for CliError {
    fn from(error: RevokeError) -> Self {
        let new = Self::new(error.to_string());
        match error {
            RevokeError::Unknown { .. } => new.next("lattice members"),
            RevokeError::Ambiguous { .. } => new.next("lattice revoke   with one of these keys"),
            RevokeError::Myself { .. } => new.next("lattice revoke   on another member"),
            RevokeError::NotAbove { .. } => new
                .likely("who has not admitted a node cannot throw it out")
                .next("lattice revoke   on one of those, or with the root key put back: lattice root import"),
            RevokeError::Revocation(_) => new
                .likely("the file is of another lattice, or was cut off or changed")
                .next("lattice revoke NODE --file FILE   where the node was revoked, and copy that"),
            RevokeError::Store(error) => error.into(),
        }
    }
}

impl From<FollowError> for CliError {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Succession(error) => advised(&error, error.advice()),
            FollowError::Store(error) => error.into(),
        }
    }
}

impl From<SeeError> for CliError {
    fn from(error: SeeError) -> Self {
        let new = Self::new(error.to_string());
        match error {
            SeeError::Subject { .. } => new.next("a subject as a message has it, without * and >"),
            SeeError::Trace(_) => new.next("the same command again in a moment"),
        }
    }
}

impl From<InviteError> for CliError {
    fn from(error: InviteError) -> Self {
        match &error {
            InviteError::Advertise { .. } => Self::new(error.to_string()).next("link.advertise with an address"),
            InviteError::Issue(issue) => advised(issue, issue.advice()),
        }
    }
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Listen(ListenError::InUse { addr }) => {
                Self::cannot_listen("NATS clients", addr, "--listen", &std::io::ErrorKind::AddrInUse.into())
            }
            StartError::Listen(ListenError::Refused { addr, source }) => {
                Self::cannot_listen("NATS clients", addr, "--listen", &source)
            }
            StartError::Bind(quic::BindError::InUse { addr }) => {
                Self::cannot_listen("links", addr, "--link-listen", &std::io::ErrorKind::AddrInUse.into())
            }
            StartError::Bind(quic::BindError::Io { addr, error }) => {
                Self::cannot_listen("links", addr, "--link-listen", &error)
            }
            StartError::Bind(error @ quic::BindError::Tls(_)) => Self::new(error.to_string()),
            StartError::Broker(error) => Self::usage(error.to_string()),
            StartError::Upstream(error) => Self::usage(error.to_string()),
            StartError::Store(error) => error.into(),
        }
    }
}
