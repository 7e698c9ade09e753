//! The orders in which connections can be listed.

use super::super::{BadQuestion, Record};
use super::ConnState;
use crate::clock::Stamp;
use std::cmp::Reverse;
use std::sync::Arc;

/// By what connections are ordered: by number, start, stop and reason from the least on, by all else from the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum SortBy {
    #[default]
    Cid,
    Start,
    Subs,
    Pending,
    MsgsTo,
    MsgsFrom,
    BytesTo,
    BytesFrom,
    Last,
    Idle,
    Uptime,
    Stop,
    Reason,
    Rtt,
}

impl SortBy {
    /// The order of that name, if connections in `state` can be put in it.
    ///
    /// # Errors
    /// [`BadQuestion`] says which it is.
    pub fn parse(name: &str, state: ConnState) -> Result<Self, BadQuestion> {
        Ok(match name {
            "" | "cid" => Self::Cid,
            "start" => Self::Start,
            "subs" => Self::Subs,
            "pending" => Self::Pending,
            "msgs_to" => Self::MsgsTo,
            "msgs_from" => Self::MsgsFrom,
            "bytes_to" => Self::BytesTo,
            "bytes_from" => Self::BytesFrom,
            "last" => Self::Last,
            "idle" => Self::Idle,
            "uptime" => Self::Uptime,
            "stop" if state == ConnState::Open => return Err(BadQuestion::SortOpen("stop")),
            "stop" => Self::Stop,
            "reason" if state == ConnState::Open => return Err(BadQuestion::SortOpen("reason")),
            "reason" => Self::Reason,
            "rtt" => Self::Rtt,
            other => return Err(BadQuestion::Sort(other.to_owned())),
        })
    }

    /// Equal ones are in the order of their numbers.
    pub(super) fn apply(self, records: &mut [Arc<Record>], now: Stamp) {
        records.sort_by_key(|record| record.id);
        match self {
            Self::Cid => {}
            Self::Start => records.sort_by_key(|record| record.began),
            Self::Subs => records.sort_by_key(|record| Reverse(record.subscriptions)),
            Self::Pending => records.sort_by_key(|record| Reverse(record.pending)),
            Self::MsgsTo => records.sort_by_key(|record| Reverse(record.sent.msgs)),
            Self::MsgsFrom => records.sort_by_key(|record| Reverse(record.received.msgs)),
            Self::BytesTo => records.sort_by_key(|record| Reverse(record.sent.bytes)),
            Self::BytesFrom => records.sort_by_key(|record| Reverse(record.received.bytes)),
            Self::Last => records.sort_by_key(|record| Reverse(record.last)),
            Self::Idle => records.sort_by_key(|record| Reverse(record.idle(now))),
            Self::Uptime => records.sort_by_key(|record| Reverse(record.uptime(now))),
            Self::Stop => records.sort_by_key(|record| record.until(now)),
            Self::Reason => records.sort_by_key(|record| record.end.map(|(_, reason)| reason.text())),
            Self::Rtt => records.sort_by_key(|record| Reverse(record.who.rtt)),
        }
    }
}
