//! Messages that go over to another account: requests to an imported service, and the answers back.
//!
//! Imported streams need nothing of this: see `imports.rs`.

use crate::account::Account;
use crate::auth::ResponseType;
use crate::batch::Batch;
use crate::delivery::{Dice, Job, Origin, deliver};
use crate::message::{Groups, Message};
use crate::proto::headers;
use std::sync::Weak;

/// Tells who serves a request which account has made it.
const REQUEST_INFO: &[u8] = b"Nats-Request-Info";
/// From one account to the next and so on; past this it is a circle.
const CROSSED_MAX: u8 = 8;

/// A way of a route into another account.
#[derive(Debug)]
pub(crate) enum Crossing {
    /// To a service there, under that subject.
    Request { from: Weak<Account>, to: Weak<Account>, subject: Box<[u8]>, response: ResponseType },
    /// To whoever has asked the service of this account.
    Answer { of: Weak<Account> },
}

/// Takes a message over; returns how many takers it has there.
///
/// Out of line: it delivers in its turn, and must not make delivery within an account any longer.
#[cold]
#[inline(never)]
pub(crate) fn cross(crossing: &Crossing, job: &Job<'_>, dice: &mut Dice, batch: &mut Batch) -> usize {
    if job.crossed >= CROSSED_MAX {
        return 0;
    }
    match (crossing, job.origin) {
        // It was taken over where it was published.
        (Crossing::Request { .. }, Origin::Mesh { .. }) => 0,
        (Crossing::Request { from, to, subject, response }, _) => {
            request(from, to, subject, *response, job, dice, batch).unwrap_or(0)
        }
        (Crossing::Answer { of }, _) => answer(of, job, dice, batch).unwrap_or(0),
    }
}

fn request(
    from: &Weak<Account>,
    to: &Weak<Account>,
    subject: &[u8],
    response: ResponseType,
    job: &Job<'_>,
    dice: &mut Dice,
    batch: &mut Batch,
) -> Option<usize> {
    let to = to.upgrade()?;
    let reply = job.message.reply.map(|reply| {
        let here = to.common().reply_subject();
        to.responses().expect(to.common().env.now(), here.clone(), from.clone(), reply, response);
        here
    });
    let info =
        [b"{\"acc\":".as_slice(), &serde_json::to_vec(&String::from_utf8_lossy(job.account)).ok()?, b"}"].concat();
    let mut body = Vec::with_capacity(job.message.body.len() + info.len() + 64);
    let (block, payload) = job.message.body.split_at(job.message.header_len);
    let header_len = headers::write_with(&mut body, block, REQUEST_INFO, &info);
    body.extend_from_slice(payload);
    let message = Message { subject, reply: reply.as_deref(), header_len, body: &body };
    let takers = hand_over(&to, message, job, dice, batch);
    if takers == 0
        && let Some(reply) = &reply
    {
        to.responses().forget(reply);
    }
    Some(takers)
}

fn answer(of: &Weak<Account>, job: &Job<'_>, dice: &mut Dice, batch: &mut Batch) -> Option<usize> {
    let of = of.upgrade()?;
    let message = &job.message;
    let (to, reply) = of.responses().take(of.common().env.now(), message.subject, message.body.is_empty())?;
    Some(hand_over(&*to.upgrade()?, Message { subject: &reply, ..*message }, job, dice, batch))
}

fn hand_over(to: &Account, message: Message<'_>, job: &Job<'_>, dice: &mut Dice, batch: &mut Batch) -> usize {
    let mapped = to.mappings().and_then(|mappings| mappings.apply(message.subject, dice));
    let message = Message { subject: mapped.as_deref().unwrap_or(message.subject), ..message };
    let crossed = Job {
        account: to.name(),
        origin: Origin::Local,
        flow: job.flow,
        groups: Groups::Any,
        message,
        has_headers: job.has_headers || message.header_len > 0,
        wire: None,
        crossed: job.crossed + 1,
    };
    deliver(&to.route(message.subject), &crossed, dice, batch)
}
