//! What the client of a session may do: who it is, and what its rules have said of late.

use crate::auth::{Identity, Replies, Rules, Verdicts};
use crate::proto::Limits;
use crate::session::Terms;
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug)]
pub(super) struct Grant {
    pub(super) identity: Arc<Identity>,
    /// `None` when it may publish everything.
    publish: Option<Box<Restricted>>,
    pub(super) limits: Limits,
    pub(super) subscriptions_max: usize,
}

#[derive(Debug)]
struct Restricted {
    rules: Arc<Rules>,
    verdicts: Verdicts,
    replies: Option<Arc<Replies>>,
}

impl Grant {
    /// What `identity` may do under `terms`. Leave to answer that `before` has stays, while the rules give it at all.
    pub(super) fn new(terms: &Terms, identity: Arc<Identity>, before: Option<&Self>) -> Self {
        let rules = identity.rules.as_ref().filter(|rules| rules.restrict_publish());
        let replies = |rules: &Rules| {
            let allowed = rules.responses()?;
            let kept = before.and_then(Self::replies).filter(|replies| replies.allowed() == allowed);
            Some(kept.cloned().unwrap_or_else(|| Arc::new(Replies::new(allowed))))
        };
        let publish = rules.map(|rules| {
            Box::new(Restricted { rules: rules.clone(), verdicts: Verdicts::default(), replies: replies(rules) })
        });
        let limits = Limits { payload_max: terms.limits.payload_max.min(identity.payload_max), ..terms.limits };
        let subscriptions_max = terms.subscriptions_max.min(identity.subscriptions_max);
        Self { identity, publish, limits, subscriptions_max }
    }

    /// Leave to answer, to be noted when messages are delivered.
    pub(super) fn replies(&self) -> Option<&Arc<Replies>> {
        self.publish.as_ref()?.replies.as_ref()
    }

    /// True when a message may go to `subject`; what leave to answer there is, is used by asking.
    #[inline]
    pub(super) fn may_publish(&mut self, now: Instant, subject: &[u8]) -> bool {
        match &mut self.publish {
            None => true,
            Some(restricted) => restricted.may_publish(now, subject),
        }
    }

    pub(super) fn may_subscribe(&self, filter: &[u8], queue: Option<&[u8]>) -> bool {
        self.identity.rules.as_ref().is_none_or(|rules| rules.may_subscribe(filter, queue))
    }
}

impl Restricted {
    fn may_publish(&mut self, now: Instant, subject: &[u8]) -> bool {
        self.verdicts.may_publish(&self.rules, subject)
            || self.replies.as_ref().is_some_and(|replies| replies.may_answer(now, subject))
    }
}
