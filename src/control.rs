//! How the command line talks to the node that runs on a data folder: requests and answers over a local socket.
//!
//! One line of JSON each way, any number of times on one connection:
//!
//! ```text
//! > {"v":1,"request":{"invite":{"expires":{"secs":3600,"nanos":0},"uses":1,"grant":{"transit":true,…}}}}
//! < {"v":1,"answer":{"invite":"lat1:…"}}
//! < {"v":1,"refused":{"message":"…","likely":null,"try":"…"}}
//! ```
//!
//! Here is what is said; [`server`] answers, [`client`] asks, `socket` keeps the file `control.sock` in the data
//! folder. What the answers are is left to the [`Handler`].

pub mod client;
pub mod server;
mod socket;

pub use socket::{Hold, SocketError, hold};

use crate::identity::Grant;
use crate::status::events::{Events, Place};
use crate::status::routes::{Routes, Takers};
use crate::status::trace::Trace;
use crate::status::{Member, Revoked, Roots, Status};
use lattice_broker::env::BoxFuture;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// The version of what is said. Another one is refused, with the fix.
pub const VERSION: u32 = 1;
/// The longest request: an import of all revocations that there can be.
const REQUEST_BYTES_MAX: usize = 5 << 20;
/// The longest answer: the status of thousands of nodes.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// How long either side waits for the other.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a node may wait for the answers to a trace: less than a client waits for the node.
pub const TRACE_MAX: Duration = Duration::from_secs(8);
/// How long a command that holds a data folder, or a node that starts or ends there, is waited for.
pub const HELD_MAX: Duration = Duration::from_secs(5);
/// How soon to look again.
pub const HELD_POLL: Duration = Duration::from_millis(20);

/// What a node can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// How it is.
    Status,
    /// For an invite.
    Invite(InviteRequest),
    /// Who is a member.
    Members,
    /// To throw somebody out.
    Revoke(RevokeRequest),
    /// About the root keys.
    Root(RootRequest),
    /// To show something of the lattice.
    See(Question),
    /// To end, as with SIGTERM.
    Stop,
}

/// What to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// The ways to all nodes.
    Routes,
    /// Who takes messages on this subject.
    Takers(String),
    /// What has happened after this place; from [`Place::default`] on for all that is remembered.
    Events(Place),
    /// The way of a message.
    Trace(TraceRequest),
}

/// Which message's way to follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceRequest {
    /// One on this subject.
    pub subject: String,
    /// How long to wait for answers; no longer than [`TRACE_MAX`].
    pub patience: Duration,
}

/// What was asked to be shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// To [`Question::Routes`].
    Routes(Routes),
    /// To [`Question::Takers`].
    Takers(Takers),
    /// To [`Question::Events`].
    Events(Events),
    /// To [`Question::Trace`].
    Trace(Trace),
}

/// Whom to throw out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokeRequest {
    /// The member of this name, short id or key.
    Node(String),
    /// Whoever this text tells of, as `lattice revoke --file` has written it.
    Import(String),
}

/// What about the root keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootRequest {
    /// To show them.
    Show,
    /// To go by what a file tells.
    Follow {
        /// The file's text.
        text: String,
        /// In the place of what is known, also where that contradicts it, if it ends with a key that begins so.
        instead: Option<String>,
    },
}

/// What an invite shall grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteRequest {
    /// How long it is valid.
    pub expires: Duration,
    /// How many devices may join with it.
    pub uses: u32,
    /// What they may do, at most.
    pub grant: Grant,
}

impl InviteRequest {
    /// For an invite without limits but these two.
    #[must_use]
    pub const fn new(expires: Duration, uses: u32) -> Self {
        Self { expires, uses, grant: Grant::all() }
    }
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Invite`]: the invite's text.
    Invite(String),
    /// To [`Request::Members`].
    Members(Vec<Member>),
    /// To [`Request::Revoke`].
    Revoked(Revoked),
    /// To [`Request::Root`].
    Roots(Roots),
    /// To [`Request::See`].
    Seen(Seen),
    /// To [`Request::Stop`]: it has begun to end.
    Stopping,
}

/// Why a node did not do what was asked, as its user shall read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// What happened.
    pub message: String,
    /// The likely cause.
    pub likely: Option<String>,
    /// The next command.
    pub r#try: Option<String>,
}

/// The node, as the control socket sees it.
pub trait Handler: Send + Sync + fmt::Debug + 'static {
    /// How the node is.
    fn status(&self) -> Status;
    /// Makes an invite.
    ///
    /// # Errors
    /// What its user shall read.
    fn invite(&self, request: InviteRequest) -> BoxFuture<Result<String, Refused>>;
    /// Who is a member.
    fn members(&self) -> Vec<Member>;
    /// Throws somebody out.
    ///
    /// # Errors
    /// What its user shall read.
    fn revoke(&self, request: RevokeRequest) -> BoxFuture<Result<Revoked, Refused>>;
    /// Shows the root keys, or goes by others.
    ///
    /// # Errors
    /// What its user shall read.
    fn root(&self, request: RootRequest) -> BoxFuture<Result<Roots, Refused>>;
    /// Shows something of the lattice.
    ///
    /// # Errors
    /// What its user shall read.
    fn see(&self, question: Question) -> BoxFuture<Result<Seen, Refused>>;
    /// Begins to end; does not wait for it.
    fn stop(&self);
}

#[derive(Serialize, Deserialize)]
struct RequestLine {
    v: u32,
    request: Request,
}

#[derive(Serialize, Deserialize)]
struct AnswerLine {
    v: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Answer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Refused>,
}

impl From<Result<Answer, Refused>> for AnswerLine {
    fn from(result: Result<Answer, Refused>) -> Self {
        let (answer, refused) = match result {
            Ok(answer) => (Some(answer), None),
            Err(refused) => (None, Some(refused)),
        };
        Self { v: VERSION, answer, refused }
    }
}

/// Reads one line of at most `max` bytes, without its end; `None` when the stream ends first.
async fn read_line(
    stream: &mut (impl tokio::io::AsyncBufRead + Unpin),
    max: usize,
) -> std::io::Result<Option<Vec<u8>>> {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt};
    let mut line = Vec::new();
    let mut limited = stream.take(max as u64 + 1);
    limited.read_until(b'\n', &mut line).await?;
    if line.pop_if(|last| *last == b'\n').is_some() {
        return Ok(Some(line));
    }
    if line.len() > max {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, format!("a line of more than {max} bytes")));
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
