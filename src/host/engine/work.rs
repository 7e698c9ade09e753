//! What a component is called with: a message, or a request by HTTP.

use super::http::Exchange;
use super::messages::Message;

/// One call that is to be made.
#[derive(Debug)]
pub(super) enum Work {
    /// A message.
    Message(Message),
    /// A request by HTTP.
    Request(Exchange),
}

impl Work {
    /// Bytes that it takes while it waits.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Message(message) => message.size(),
            Self::Request(exchange) => exchange.size(),
        }
    }
}
