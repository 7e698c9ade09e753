//! Leave to answer: the reply subjects of messages that a connection was sent, while they may be used.
//!
//! Who delivers notes them, the connection's own session asks; both say what time it is.

use super::permissions::AllowResponses;
use crate::lock::lock;
use crate::oldest;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Reply subjects of one connection. When more are open the oldest are forgotten.
const OPEN_MAX: usize = 65_536;
/// What is over is looked for when so many have come.
const SWEPT_AFTER: usize = 4096;

/// The open answers of one connection.
#[derive(Debug)]
pub(crate) struct Replies {
    allowed: AllowResponses,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    replies: HashMap<Box<[u8]>, Leave>,
    since_sweep: usize,
}

#[derive(Debug)]
struct Leave {
    since: Instant,
    used: u32,
}

impl Replies {
    pub(crate) fn new(allowed: AllowResponses) -> Self {
        Self { allowed, open: Mutex::default() }
    }

    pub(crate) fn allowed(&self) -> AllowResponses {
        self.allowed
    }

    /// A message that wants an answer at `reply` is delivered.
    pub(crate) fn note(&self, now: Instant, reply: &[u8]) {
        let mut open = lock(&self.open);
        open.since_sweep += 1;
        if open.since_sweep >= SWEPT_AFTER {
            self.sweep(&mut open, now);
        }
        let leave = Leave { since: now, used: 0 };
        match open.replies.get_mut(reply) {
            Some(known) => *known = leave,
            None => {
                open.replies.insert(reply.into(), leave);
            }
        }
    }

    /// True when `subject` may be answered to; that counts as an answer.
    pub(crate) fn may_answer(&self, now: Instant, subject: &[u8]) -> bool {
        let mut open = lock(&self.open);
        let Some(leave) = open.replies.get_mut(subject) else {
            return false;
        };
        leave.used = leave.used.saturating_add(1);
        let allowed = &self.allowed;
        let is_over = (allowed.max > 0 && leave.used > allowed.max) || is_late(leave, allowed.ttl, now);
        if is_over {
            open.replies.remove(subject);
        }
        !is_over
    }

    fn sweep(&self, open: &mut Open, now: Instant) {
        open.since_sweep = 0;
        let allowed = &self.allowed;
        let is_used_up = |leave: &Leave| allowed.max > 0 && leave.used >= allowed.max;
        open.replies.retain(|_, leave| !is_used_up(leave) && !is_late(leave, allowed.ttl, now));
        oldest::make_room(&mut open.replies, OPEN_MAX, |leave| leave.since);
    }
}

fn is_late(leave: &Leave, ttl: Duration, now: Instant) -> bool {
    !ttl.is_zero() && now.saturating_duration_since(leave.since) > ttl
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "only an origin for virtual time")]
    fn answers_are_counted_and_timed() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let replies = Replies::new(AllowResponses { max: 2, ttl: second });
        assert!(!replies.may_answer(start, b"r"));
        replies.note(start, b"r");
        assert!(replies.may_answer(start, b"r") && replies.may_answer(start + second, b"r"));
        assert!(!replies.may_answer(start, b"r") && !replies.may_answer(start, b"r"));
        replies.note(start, b"r");
        assert!(!replies.may_answer(start + second * 2, b"r"));
        for n in 0..20_000 {
            replies.note(start + second * n, format!("r.{n}").as_bytes());
        }
        assert!(lock(&replies.open).replies.len() <= SWEPT_AFTER + 1);
        let for_ever = Replies::new(AllowResponses { max: 0, ttl: Duration::ZERO });
        for n in 0..OPEN_MAX + SWEPT_AFTER {
            for_ever.note(start + second * n as u32, format!("r.{n}").as_bytes());
        }
        assert!(lock(&for_ever.open).replies.len() <= OPEN_MAX);
        assert!((0..9).all(|_| for_ever.may_answer(start, b"r.69630")));
    }
}
