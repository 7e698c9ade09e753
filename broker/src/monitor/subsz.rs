//! `/subsz`: subscriptions, and how they are searched.

use super::text::serialize_time;
use super::{BadQuestion, LIMIT};
use crate::account::Account;
use crate::hub::Hub;
use crate::subject::{is_literal, matches};
use crate::subscription::{Subscription, Taker};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::SystemTime;

/// What is wanted of the subscriptions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SubszOptions {
    /// Rows to leave out at the beginning.
    pub offset: i64,
    /// Rows at most; [`LIMIT`] when it is not above 0.
    pub limit: i64,
    /// List them.
    pub subscriptions: bool,
    /// Only those of this account.
    pub account: String,
    /// Only those that a message with this subject goes to.
    pub test: String,
}

/// How subscriptions are searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SublistStats {
    /// Subscriptions that there are.
    pub num_subscriptions: u64,
    /// Subjects whose takers are kept.
    pub num_cache: usize,
    /// Subscriptions made so far.
    pub num_inserts: u64,
    /// And removed.
    pub num_removes: u64,
    /// Subjects looked up, apart from those that their publisher has kept.
    pub num_matches: u64,
    /// Of these, the share whose takers were kept.
    pub cache_hit_rate: f64,
    /// Takers of the subject that has most.
    pub max_fanout: usize,
    /// Takers of a subject.
    pub avg_fanout: f64,
}

/// Subscriptions.
#[derive(Clone, Debug, Serialize)]
pub struct Subsz {
    /// Who answers.
    pub server_id: String,
    /// When.
    #[serde(serialize_with = "serialize_time")]
    pub now: SystemTime,
    /// How they are searched.
    #[serde(flatten)]
    pub stats: SublistStats,
    /// Subscriptions that there are in the list, before it is cut.
    pub total: usize,
    /// Rows left out at the beginning.
    pub offset: usize,
    /// Rows at most.
    pub limit: usize,
    /// The list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscriptions_list: Vec<SubDetail>,
}

/// One subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are those of the protocol, and documented there")]
pub struct SubDetail {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account_tag: String,
    pub subject: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub qgroup: String,
    pub sid: String,
    pub msgs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
    pub cid: u64,
}

impl SubDetail {
    pub(crate) fn of(subscription: &Subscription, account: Option<&[u8]>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (msgs, max) = subscription.figures();
        let cid = match &subscription.taker {
            Taker::Client(client) => client.id,
            Taker::Local(_) => 0,
        };
        Self {
            account: account.map(text).unwrap_or_default(),
            account_tag: account.map(text).unwrap_or_default(),
            subject: text(&subscription.filter),
            qgroup: subscription.queue.as_deref().map(text).unwrap_or_default(),
            sid: text(&subscription.sid),
            msgs,
            max,
            cid,
        }
    }
}

pub(super) fn subsz(hub: &Hub, options: &SubszOptions) -> Result<Subsz, BadQuestion> {
    if !options.test.is_empty() && !is_literal(options.test.as_bytes()) {
        return Err(BadQuestion::Subject(options.test.clone()));
    }
    let mut accounts = hub.accounts();
    accounts.retain(|account| options.account.is_empty() || account.name() == options.account.as_bytes());
    let limit = usize::try_from(options.limit).ok().filter(|limit| *limit > 0).unwrap_or(LIMIT);
    let offset = usize::try_from(options.offset).unwrap_or(0);
    let mut answer = Subsz {
        server_id: hub.info.server_id.clone(),
        now: hub.env.wall(),
        stats: SublistStats::of(&accounts),
        total: 0,
        offset,
        limit,
        subscriptions_list: Vec::new(),
    };
    if options.subscriptions {
        for account in &accounts {
            let mut all = account.subscriptions();
            all.retain(|entry| options.test.is_empty() || matches(&entry.filter, options.test.as_bytes()));
            let start = answer.total;
            answer.total += all.len();
            // Only those of this page are written out.
            let wanted = all.iter().enumerate().filter(|(at, _)| (offset..offset + limit).contains(&(start + at)));
            answer.subscriptions_list.extend(wanted.map(|(_, entry)| SubDetail::of(entry, Some(account.name()))));
        }
    }
    Ok(answer)
}

impl SublistStats {
    /// Those of several accounts together.
    pub(super) fn of(accounts: &[Arc<Account>]) -> Self {
        let mut stats = Self::default();
        let (mut hits, mut fanouts) = (0, 0);
        for searched in accounts.iter().map(|account| account.searched()) {
            stats.num_subscriptions += searched.inserts - searched.removes;
            stats.num_inserts += searched.inserts;
            stats.num_removes += searched.removes;
            stats.num_cache += searched.kept;
            stats.num_matches += searched.lookups;
            hits += searched.hits;
            fanouts += searched.fanout;
            stats.max_fanout = stats.max_fanout.max(searched.fanout_max);
        }
        stats.cache_hit_rate = ratio(hits as f64, stats.num_matches as f64);
        stats.avg_fanout = ratio(fanouts as f64, stats.num_cache as f64);
        stats
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}
