//! Calls of functions between components, as wasmCloud 1.x has them: wRPC over the lattice's subjects, or, where both run on this node,
//! without a message.
//!
//! `L.COMPONENT.wrpc.0.0.1.INTERFACE.FUNCTION` is asked with the parameters and an inbox `rx`. Who is to answer says at once, on `rx`, to
//! which inbox `tx` what did not fit should go (`tx.params`), and then what is returned (`rx.results`); an empty message ends either.
//! `asking.rs` is the one end and `serving.rs` the other, `inbox.rs` what both hear by. What the bytes mean is `values.rs`'s.
//!
//! Beside that protocol, and in words of headers that others do not read, nodes of ours say every second that an answer is still worked on, and why
//! there is none. From who has said so once and then is silent for four seconds nothing more will come.

mod asking;
mod inbox;
mod serving;

pub(super) use serving::Serving;

use super::component::Component;
use super::invoke::Invocation;
use super::limiter::Share;
use super::lock;
use super::values::Fault;
use crate::ports::{Client, is_literal};
use asking::Asking;
use bytes::Bytes;
use inbox::Inboxes;
use lattice_broker::env::Env;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::oneshot;

/// The protocol, as subjects have it.
const PROTOCOL: &str = "wrpc.0.0.1";
/// How often who works on an answer says so.
const WORKING: Duration = Duration::from_secs(1);
/// How long nothing may be heard of one who does so.
const SILENCE: Duration = Duration::from_secs(4);
/// How long what is announced may take, for each of so many bytes: thin lines are slow.
const SLOW: usize = 8 << 10;
/// Inboxes that are open at a time, for what is returned and for parameters in parts.
const ASKED_MAX: usize = 4_096;
const SERVED_MAX: usize = 256;
/// Bytes of signs of life, and of all else that comes to an inbox besides what it is for.
const SLACK: usize = 256 << 10;
/// Bytes of a subject to answer to: routes to subjects are remembered.
const SUBJECT_BYTES_MAX: usize = 1_024;

/// Asked for: signs of life. Said: they will come.
const ALIVE: &str = "lattice-alive";
/// How many bytes there are in all: of the parameters, in the first message, or of what is returned, in the last.
const BYTES: &str = "lattice-bytes";
/// Why nothing is returned.
const WHY: &str = "lattice-error";

/// A call is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The component that calls has no link that says whom.
    #[error("no link says which component it is of")]
    Unlinked,
    /// Nobody takes such calls.
    #[error("no host runs it")]
    Missing,
    /// It has no such function, or of other types.
    #[error("it has no such function")]
    NoFunction,
    /// There is no room for more calls, or no memory left; or it is being stopped.
    #[error("it has no room for more calls")]
    Busy,
    /// Its time was up.
    #[error("it has not answered in time")]
    Late,
    /// It has trapped or run into a limit.
    #[error("it has failed")]
    Failed,
    /// The host was lost on which it runs: whether it has done what was asked is not known.
    #[error("the host was lost on which it runs")]
    Lost,
    /// What was handed over is not what the function takes or returns.
    #[error("values that are not of its types: {0}")]
    Values(Fault),
    /// More was returned than may be.
    #[error("it has returned more than {max} bytes")]
    TooLong {
        /// Bytes that there may be.
        max: usize,
    },
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Values(fault)
    }
}

impl Refusal {
    /// In a word, for who is on another node.
    fn word(&self) -> &'static str {
        match self {
            Self::Unlinked | Self::Missing => "missing",
            Self::NoFunction => "no-function",
            Self::Busy => "busy",
            Self::Late => "late",
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::Values(_) | Self::TooLong { .. } => "values",
        }
    }

    fn of_word(word: &str) -> Self {
        match word {
            "missing" => Self::Missing,
            "no-function" => Self::NoFunction,
            "busy" => Self::Busy,
            "late" => Self::Late,
            "lost" => Self::Lost,
            "values" => Self::Values(Fault::Malformed("as its host says")),
            _ => Self::Failed,
        }
    }
}

/// One call: who calls what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) source: &'a str,
    pub(super) target: &'a str,
    /// With its version.
    pub(super) interface: &'a str,
    pub(super) function: &'a str,
}

/// How much goes over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Bytes of a message.
    pub(super) payload_max: usize,
    /// Bytes of parameters, and of what is returned.
    pub(super) carried_max: usize,
}

impl Room {
    /// The first part of `bytes`, which goes beside `headers`; the rest stays.
    fn head(self, bytes: &mut Bytes, headers: usize) -> Bytes {
        bytes.split_to(bytes.len().min(self.payload_max.saturating_sub(headers)))
    }

    /// The next part of what is left, in a message of its own.
    fn part(self, bytes: &mut Bytes) -> Bytes {
        bytes.split_to(bytes.len().min(self.payload_max.max(1)))
    }
}

/// Where calls of components go.
#[derive(Debug)]
pub(super) struct Calls {
    /// Those of this node. They hold this in turn.
    components: Weak<Mutex<BTreeMap<String, Arc<Component>>>>,
    asking: Asking,
    /// By which others are answered.
    client: Arc<dyn Client>,
    inboxes: Inboxes,
    lattice: String,
    room: Room,
}

impl Calls {
    /// Over two clients: one to ask, and one to answer.
    pub(super) fn new(
        env: &Env,
        [asking, client]: [Arc<dyn Client>; 2],
        lattice: String,
        room: Room,
        components: Weak<Mutex<BTreeMap<String, Arc<Component>>>>,
    ) -> Self {
        let inboxes = |client, most| Inboxes::new(env, client, most, room.carried_max + SLACK);
        let answers = inboxes(Arc::clone(&asking), ASKED_MAX);
        let asking = Asking { client: asking, inboxes: answers, room };
        Self { components, asking, inboxes: inboxes(Arc::clone(&client), SERVED_MAX), client, lattice, room }
    }

    /// Calls a function, on this node if it is there; what it returns, encoded. Its time is the caller's to bound. On the threads
    /// of components alone. Dropping the future gives up what is returned; a call that has been taken goes on.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) async fn call(&self, call: &Call<'_>, params: Bytes, share: &mut Share) -> Result<Bytes, Refusal> {
        let here = self.components.upgrade().and_then(|components| lock(&components).get(call.target).cloned());
        match here.filter(|component| component.live().code.exports.get(call.interface, call.function).is_some()) {
            Some(component) => {
                let (answer, answered) = oneshot::channel();
                let (interface, function) = (call.interface.into(), call.function.into());
                component.invoke(Invocation { interface, function, params, share: None, answer });
                drop(component);
                // It found no room, or its turn had not come when the component was stopped.
                let answer = answered.await.unwrap_or(Err(Refusal::Busy))?;
                share.take(answer.len() as u64).map_err(|_| Refusal::Busy)?;
                Ok(answer)
            }
            None => {
                let base = base(&self.lattice, call.target, call.interface);
                self.asking.call(call, &base, params, share).await
            }
        }
    }

    /// What others call the functions of `interface` of `component` by: the subject to listen to, and the group to be a member of.
    pub(super) fn place(&self, component: &str, interface: &str) -> (String, String) {
        (format!("{}.*", base(&self.lattice, component, interface)), format!("{}.{component}", self.lattice))
    }
}

/// The subject of an interface's functions, without the last word.
fn base(lattice: &str, component: &str, interface: &str) -> String {
    format!("{lattice}.{component}.{PROTOCOL}.{interface}")
}

/// How long nothing may be heard while so many bytes are on their way.
fn silence(bytes: usize) -> Duration {
    SILENCE + Duration::from_secs((bytes / SLOW) as u64)
}

/// Whether an answer may go to `subject`.
fn is_place(subject: &str) -> bool {
    subject.len() <= SUBJECT_BYTES_MAX && is_literal(subject.as_bytes())
}

/// A block of headers.
fn headers(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut text = "NATS/1.0\r\n".to_owned();
    for (name, value) in pairs {
        // Writing to a text does not fail.
        let _: std::fmt::Result = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// The value of a header.
fn header<'a>(block: &'a [u8], name: &str) -> Option<&'a str> {
    let lines = str::from_utf8(block).ok()?.split("\r\n").skip(1);
    let mut pairs = lines.filter_map(|line| line.split_once(':'));
    pairs.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_are_written() {
        let block = headers(&[("source-id", "a"), (WHY, "busy")]);
        assert_eq!((header(&block, "Source-Id"), header(&block, WHY)), (Some("a"), Some("busy")));
        assert_eq!(header(&block, ALIVE), None);
        assert_eq!(header(b"NATS/1.0 503\r\n\r\n", WHY), None);
        assert_eq!(header(b"\xff", WHY), None);
    }

    #[test]
    fn what_is_refused_is_told_in_a_word() {
        use Refusal::{Busy, Failed, Late, Lost, Missing, NoFunction};
        for refusal in [Missing, NoFunction, Busy, Late, Failed, Lost] {
            assert_eq!(Refusal::of_word(refusal.word()), refusal);
        }
        assert_eq!(Refusal::of_word("a word of tomorrow"), Failed);
    }
}
