//! What a client may ask of a server, borrowed from the bytes that it arrived in.

use crate::message::Message;

/// One operation of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// `CONNECT`, with its JSON.
    Connect(&'a [u8]),
    /// `PUB` or `HPUB`.
    Publish {
        /// The message.
        message: Message<'a>,
        /// True for `HPUB`, even with an empty header block.
        has_headers: bool,
        /// The bytes from the reply (or the first length) to the end of the operation, when they are exactly what a
        /// `MSG` to a subscriber ends in. Lets a server pass them on as they are.
        wire: Option<&'a [u8]>,
    },
    /// `SUB`.
    Subscribe {
        /// The filter, not checked yet.
        subject: &'a [u8],
        /// The queue group.
        queue: Option<&'a [u8]>,
        /// The client's name for the subscription.
        sid: &'a [u8],
    },
    /// `UNSUB`.
    Unsubscribe {
        /// The subscription.
        sid: &'a [u8],
        /// After how many messages, counted from its start; 0 is now.
        max: u64,
    },
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong,
    /// `+OK` and `INFO`: of no meaning in this direction, but allowed.
    Ignored,
    /// `-ERR`: the client gives up.
    Error,
}
