//! What a neighbour holds of the broker: its interest, and a way in for its messages.

use crate::account::Account;
use crate::batch::Batch;
use crate::clock::Stamp;
use crate::delivery::{Dice, Job, Origin, Spoke, deliver};
use crate::env::BoxFuture;
use crate::hub::Hub;
use crate::message::{Groups, Message, UpstreamId};
use crate::neighbor::{Neighbor, NeighborKind};
use crate::route::{Attached, RouteCache};
use crate::server::Stall;
use crate::stats::add;
use crate::subject::{BadFilter, Filter};
use crate::sublist::{Detail, MemberKey};
use std::future::{Future, poll_fn, ready};
use std::sync::Arc;

/// A neighbour's place in the broker. Dropping the last clone detaches the neighbour and withdraws its interest.
///
/// Publishers made by [`Attachment::publisher`] count as clones.
#[derive(Clone, Debug)]
pub struct Attachment {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    hub: Arc<Hub>,
    attached: Arc<Attached>,
    /// The only account that it is known to, if there is one.
    account: Option<Arc<Account>>,
    /// All that arrives from the neighbour is one publisher's to the others.
    flow: u64,
}

impl Attachment {
    pub(crate) fn new(hub: Arc<Hub>, kind: NeighborKind, neighbor: Arc<dyn Neighbor>) -> Self {
        Self::made(hub, None, kind, neighbor)
    }

    /// The same of a neighbour that is part of one account, and has nothing to do with others.
    pub(crate) fn to_account(
        hub: Arc<Hub>,
        account: Arc<Account>,
        kind: NeighborKind,
        neighbor: Arc<dyn Neighbor>,
    ) -> Self {
        Self::made(hub, Some(account), kind, neighbor)
    }

    fn made(hub: Arc<Hub>, account: Option<Arc<Account>>, kind: NeighborKind, neighbor: Arc<dyn Neighbor>) -> Self {
        let attached = Arc::new(Attached { id: hub.next_neighbor(), kind, neighbor });
        match &account {
            Some(account) => account.attach(&attached),
            None => hub.attach(&attached),
        }
        let flow = hub.flows.next();
        Self { shared: Arc::new(Shared { hub, attached, account, flow }) }
    }

    /// Sets the weight of a member's interest: 1 for plain interest, the members of a queue group, 0 to withdraw.
    ///
    /// Other neighbours are told before this returns. Interest in an account that does not exist here is counted
    /// and forgotten.
    ///
    /// # Errors
    /// [`BadFilter`]; nothing has changed then.
    pub fn set_interest(
        &self,
        account: &[u8],
        member: u32,
        via: Option<UpstreamId>,
        subject: &[u8],
        queue: Option<&[u8]>,
        weight: u32,
    ) -> Result<(), BadFilter> {
        let filter = Filter::parse(subject)?;
        let Some(account) = self.shared.hub.account(account) else {
            add(&self.shared.hub.counters.drop_account, 1);
            return Ok(());
        };
        let key = MemberKey { neighbor: self.shared.attached.id, member, detail: Detail::new(via, queue) };
        account.set_interest(&filter, &key, weight);
        Ok(())
    }

    /// Withdraws all interest of `member`, in every account.
    pub fn remove_member(&self, member: u32) {
        for account in self.shared.hub.accounts() {
            account.remove_member(self.shared.attached.id, member);
        }
    }

    /// What [`Neighbor::learnt`] answers has changed: cached routes are stale.
    pub fn invalidate(&self) {
        for account in self.shared.hub.accounts() {
            account.invalidate();
        }
    }

    /// A way in for messages that arrive from the neighbour; one for each task that publishes.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        let mut batch = Batch::default();
        batch.begin(None, Stamp::default());
        let dice = self.shared.hub.dice();
        Publisher { shared: self.shared.clone(), routes: RouteCache::default(), last: None, dice, batch, stall: None }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        match &self.account {
            Some(account) => account.detach(self.attached.id),
            None => self.hub.detach(&self.attached),
        }
    }
}

/// Publishes what arrives from a neighbour, in order.
#[derive(Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
    routes: RouteCache,
    last: Option<Arc<Account>>,
    dice: Dice,
    batch: Batch,
    stall: Option<Stall>,
}

impl Publisher {
    /// Hands a message to those who want it, as the routing table allows; returns how many takers it had.
    ///
    /// It is written at the latest by the next [`Publisher::flush`]. `via` is the upstream that the message came
    /// from; from a leaf link it is always that link's.
    pub fn publish(
        &mut self,
        account: &[u8],
        message: &Message<'_>,
        groups: Groups<'_>,
        via: Option<UpstreamId>,
    ) -> usize {
        self.batch.untaken.clear();
        if self.last.as_ref().is_none_or(|last| last.name() != account) {
            self.routes.clear();
            self.last = self.shared.hub.account(account);
        }
        let Some(account) = &self.last else {
            add(&self.shared.hub.counters.drop_account, 1);
            return 0;
        };
        let origin = match self.shared.attached.kind {
            // The choice is made here, as when the message was published.
            NeighborKind::Mesh if matches!(groups, Groups::Again(_)) => via.map_or(Origin::Local, Origin::Leaf),
            NeighborKind::Mesh => Origin::Mesh { via },
            NeighborKind::Leaf(upstream) => Origin::Leaf(upstream),
            NeighborKind::Spoke(cluster) => Origin::Spoke(Spoke { id: self.shared.attached.id, cluster }),
        };
        let job = Job {
            account: account.name(),
            origin,
            flow: self.shared.flow,
            groups,
            message: *message,
            has_headers: message.header_len > 0,
            wire: None,
            crossed: 0,
        };
        let route = self.routes.find(account, message.subject);
        let takers = deliver(route, &job, &mut self.dice, &mut self.batch);
        add(&self.shared.hub.counters.neighbor_in_msgs, 1);
        if self.batch.is_full() {
            self.batch.write(&[], self.shared.hub.config.stall_pending, &self.shared.hub.counters);
        }
        takers
    }

    /// Which picks of the last message, by their position in [`Groups::Only`], nobody took.
    #[must_use]
    pub fn untaken(&self) -> &[usize] {
        &self.batch.untaken
    }

    /// Writes out what `publish` has staged; to be called whenever no more input is at hand.
    /// True when a taker is congested: await [`Publisher::ready`] before publishing more.
    pub fn flush(&mut self) -> bool {
        let hub = &self.shared.hub;
        let now = hub.clock.stamp(hub.env.now());
        self.batch.set_time(now);
        self.batch.write(&[], hub.config.stall_pending, &hub.counters);
        hub.expire(&mut self.batch);
        let congested = self.batch.end();
        self.batch.begin(None, now);
        self.stall = Stall::new(hub, congested);
        self.stall.is_some()
    }

    /// Waits until congested takers have room again, or the broker's limit on stalls has passed. Cancel safe.
    pub fn ready(&mut self) -> BoxFuture<()> {
        let Some(mut stall) = self.stall.take() else {
            return Box::pin(ready(()));
        };
        let env = self.shared.hub.env.clone();
        let mut timer = env.timer(stall.until());
        Box::pin(poll_fn(move |cx| {
            // The timer is polled each time: it must know whom to wake.
            let time_up = std::pin::pin!(poll_fn(|cx| timer.as_mut().poll(cx))).poll(cx).is_ready();
            stall.poll(env.now(), time_up, cx.waker())
        }))
    }
}
