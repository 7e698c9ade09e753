//! What a session wants done: the words between it and its connection.

use crate::auth::{CalloutCheck, Identity, SlowCheck};
use crate::message::Message;
use crate::stats::CloseReason;
use std::sync::Arc;

/// What the caller has to do. `S` is its handle of a subscription.
#[derive(Debug)]
pub enum Action<'a, S> {
    /// Nothing but to write what was put out.
    None,
    /// It takes long to find out whether the client is who it says: handle nothing more before
    /// [`Session::verified`](super::Session::verified).
    Verify(SlowCheck),
    /// A service knows who the client is: as above.
    Consult(Box<CalloutCheck>),
    /// The client is (again) who it says: apply the options, remove the subscriptions of its former life, and tell
    /// [`Session::admitted`](super::Session::admitted), or [`Session::refuse_account`](super::Session::refuse_account).
    Connected {
        /// Who it is.
        identity: Arc<Identity>,
        /// Whether it understands headers.
        headers: bool,
        /// Subscriptions to remove.
        stale: Vec<S>,
    },
    /// Deliver a message.
    Publish {
        /// The message.
        message: Message<'a>,
        /// It came as `HPUB`.
        has_headers: bool,
        /// As in [`Op::Publish`](crate::proto::Op::Publish).
        wire: Option<&'a [u8]>,
    },
    /// Deliver a message that may be a question to the server itself, and answer it then.
    Ask {
        /// The message.
        message: Message<'a>,
        /// It came as `HPUB`.
        has_headers: bool,
        /// As in [`Op::Publish`](crate::proto::Op::Publish).
        wire: Option<&'a [u8]>,
    },
    /// The round-trip time has been measured: see [`Session::rtt`](super::Session::rtt).
    Measured,
    /// A message that was refused, and answered.
    Refused,
    /// Make a subscription and tell [`Session::subscribed`](super::Session::subscribed).
    Subscribe {
        /// A valid filter.
        subject: &'a [u8],
        /// The queue group.
        queue: Option<&'a [u8]>,
        /// Its name.
        sid: &'a [u8],
    },
    /// Limit a subscription to `max` messages from its start; when it has had them already, remove it and tell
    /// [`Session::expired`](super::Session::expired).
    Limit {
        /// The subscription.
        subscription: S,
        /// Messages in all.
        max: u64,
    },
    /// Remove a subscription.
    Remove(S),
    /// Remove subscriptions that are not allowed any more, and apply who the client is now.
    Revised(Vec<S>),
    /// Write what was put out, then close.
    Close(CloseReason),
}
