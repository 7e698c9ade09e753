//! What a component is called with: a message, a request by HTTP, or the values of a function of its own.

use super::http::Exchange;
use super::invoke::Invocation;
use super::messages::Message;

/// One call that is to be made.
#[derive(Debug)]
pub(super) enum Work {
    /// A message.
    Message(Message),
    /// A request by HTTP.
    Request(Exchange),
    /// A call of one of its functions.
    Call(Invocation),
}

impl Work {
    /// Bytes that it takes while it waits.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Message(message) => message.size(),
            Self::Request(exchange) => exchange.size(),
            Self::Call(invocation) => invocation.size(),
        }
    }
}
