//! Who wants what.
use crate::codec::{Decode, Encode};
use std::sync::Arc;

/// What an entry of a node's interest is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Key {
    /// The account.
    pub account: Box<[u8]>,
    /// The subject, with wildcards.
    pub subject: Box<[u8]>,
    /// The queue group, or plain interest.
    pub queue: Option<Box<[u8]>>,
    /// Set when it is the interest of that node's upstream server.
    pub via: Option<u64>,
}

/// What an entry changes to.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Change {
    /// The entry.
    pub key: Arc<Key>,
    /// Members of the queue group, 1 for plain interest, 0 when there is none any more.
    pub weight: u32,
}
