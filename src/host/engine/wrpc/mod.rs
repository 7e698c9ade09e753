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
use crate::ports::Client;
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
/// Bytes that subjects and headers take of a message.
const MARGIN: usize = 1 << 10;

/// Asked for: signs of life. Said: they will come.
const ALIVE: &str = "lattice-alive";
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
            Self::Failed | Self::TooLong { .. } => "failed",
            Self::Lost => "lost",
            Self::Values(_) => "values",
        }
    }

    fn of_word(word: &str) -> Self {
        match word {
            "missing" => Self::Missing,
            "no-function" => Self::NoFunction,
            "busy" => Self::Busy,
            "late" => Self::Late,
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

/// Where calls of components go.
#[derive(Debug)]
pub(super) struct Calls {
    /// Those of this node. They hold this in turn.
    components: Weak<Mutex<BTreeMap<String, Arc<Component>>>>,
    asking: Asking,
    inboxes: Arc<Inboxes>,
    lattice: String,
    payload_max: usize,
}

impl Calls {
    /// Over `client`, which takes `payload_max` bytes in a message; `carried_max` are those of parameters or results.
    pub(super) fn new(
        env: &Env,
        client: Arc<dyn Client>,
        lattice: String,
        payload_max: usize,
        carried_max: usize,
        components: Weak<Mutex<BTreeMap<String, Arc<Component>>>>,
    ) -> Self {
        let inboxes = Arc::new(Inboxes::new(env, Arc::clone(&client), carried_max));
        let asking = Asking { client, inboxes: Arc::clone(&inboxes), payload_max, carried_max };
        Self { components, asking, inboxes, lattice, payload_max }
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
                component.invoke(Invocation { interface, function, params, answer });
                drop(component);
                // It found no room, or its turn had not come when the component was stopped.
                answered.await.unwrap_or(Err(Refusal::Busy))
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
        for refusal in [Refusal::Missing, Refusal::NoFunction, Refusal::Busy, Refusal::Late, Refusal::Failed] {
            assert_eq!(Refusal::of_word(refusal.word()), refusal);
        }
        assert_eq!(Refusal::of_word("a word of tomorrow"), Refusal::Failed);
    }
}
