//! Requests that have gone to another account's service, and where their answers belong.
//!
//! In the serving account a request has a reply subject of the server's making, `_R_.<server>.<number>`, so that its
//! clients learn nothing of the asking account's subjects and cannot answer when nothing was asked.

use crate::account::Account;
use crate::auth::ResponseType;
use crate::lock::lock;
use crate::oldest;
use std::collections::HashMap;
use std::sync::{Mutex, Weak};
use std::time::{Duration, Instant};

/// What the reply subjects begin with.
pub(crate) const PREFIX: &[u8] = b"_R_.";
/// How long an answer, or the next one of several, may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Requests of an account's services that may be open. When more are, the older half is forgotten.
const OPEN_MAX: usize = 65_536;
/// What is over is looked for when so many have come.
const SWEPT_AFTER: usize = 1024;

/// Open requests to the services of one account.
#[derive(Debug, Default)]
pub(crate) struct Responses {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    by_subject: HashMap<Box<[u8]>, Asked>,
    since_sweep: usize,
}

/// Who has asked.
#[derive(Clone, Debug)]
struct Asked {
    account: Weak<Account>,
    reply: Box<[u8]>,
    kind: ResponseType,
    since: Instant,
}

impl Responses {
    /// Notes that answers to `subject` belong to `reply` in `account`.
    pub(crate) fn expect(
        &self,
        now: Instant,
        subject: Vec<u8>,
        account: Weak<Account>,
        reply: &[u8],
        kind: ResponseType,
    ) {
        let mut open = lock(&self.open);
        open.since_sweep += 1;
        if open.since_sweep >= SWEPT_AFTER {
            open.sweep(now);
        }
        open.by_subject.insert(subject.into(), Asked { account, reply: reply.into(), kind, since: now });
    }

    /// Nobody has got the request.
    pub(crate) fn forget(&self, subject: &[u8]) {
        lock(&self.open).by_subject.remove(subject);
    }

    /// Where an answer to `subject` belongs, which an empty one of several is the last of.
    pub(crate) fn take(&self, now: Instant, subject: &[u8], is_empty: bool) -> Option<(Weak<Account>, Box<[u8]>)> {
        let mut open = lock(&self.open);
        let asked = open.by_subject.get_mut(subject)?;
        let is_late = now.saturating_duration_since(asked.since) > PATIENCE;
        asked.since = now;
        let answer = (asked.account.clone(), asked.reply.clone());
        let is_last = match asked.kind {
            ResponseType::Singleton => true,
            ResponseType::Stream | ResponseType::Chunked => is_empty,
        };
        if is_last || is_late {
            open.by_subject.remove(subject);
        }
        (!is_late).then_some(answer)
    }
}

impl Open {
    fn sweep(&mut self, now: Instant) {
        self.since_sweep = 0;
        self.by_subject.retain(|_, asked| now.saturating_duration_since(asked.since) <= PATIENCE);
        oldest::make_room(&mut self.by_subject, OPEN_MAX, |asked| asked.since);
    }
}
