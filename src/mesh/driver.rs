//! The task that owns the control plane: feeds it what the links and the broker tell, and does what it says.

use super::chronicle::{self, Chronicle};
use super::control::{self, Action, Control, Event};
use super::detour::Detours;
use super::dialer;
use super::forming::{Forming, Record};
use super::link;
use super::links::{Link, LinkId};
use super::lsdb::Address;
use super::outbuf::Refused;
use super::plane::is_one_word;
use super::remembered;
use super::shared::{Input, Shared};
use super::spf::{HOPS_MAX, Routes};
use super::view::{Outlook, Sight};
use crate::identity::NodeId;
use crate::planted::{self, Bug};
use crate::ports::{Bus, RemoteInterest, UpstreamId};
use crate::store::Store;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Inputs that are taken in before the control plane's actions are carried out.
const INPUTS_AT_ONCE_MAX: usize = 64;

/// The control plane and what it acts on.
pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) control: Control,
    pub(super) forming: Forming,
    /// Where it is written down who was found where.
    pub(super) store: Arc<dyn Store>,
    /// Told of each such record.
    pub(super) written: Arc<Notify>,
    /// Nobody is dialled any more once this has ended.
    pub(super) accepting: CancellationToken,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) sight: Arc<Sight>,
    pub(super) serving: watch::Sender<BTreeMap<UpstreamId, bool>>,
    pub(super) links: BTreeMap<LinkId, Arc<Link>>,
    /// As many revocations as have been written down…
    pub(super) revocations: u64,
    /// …and changes of the root keys.
    pub(super) successions: u64,
    pub(super) detours: Detours,
    pub(super) chronicle: Chronicle,
}

impl Driver {
    /// Runs until the mesh is stopped.
    pub(super) async fn run(mut self) {
        let mut timer = self.shared.env.timer(self.shared.env.now());
        self.act();
        loop {
            let at = [self.control.poll_timeout(), self.forming.due()].into_iter().flatten().min();
            if let Some(at) = at {
                timer.as_mut().reset(at);
            }
            let due = std::future::poll_fn(|cx| match at {
                Some(_) => timer.as_mut().poll(cx),
                None => std::task::Poll::Pending,
            });
            tokio::select! {
                biased;
                () = self.shared.stop.cancelled() => break,
                input = self.inputs.recv() => match input {
                    Some(input) => self.inputs(input),
                    None => break,
                },
                () = self.shared.plane.interest.ready() => self.interest(),
                () = due => self.control.handle(self.shared.env.now(), Event::Timeout),
            }
            self.act();
        }
        while let Some(record) = self.forming.last_record() {
            self.save(record);
        }
    }

    /// Takes in what waits, a bounded part of it: what follows from many frames goes out together.
    fn inputs(&mut self, first: Input) {
        self.input(first);
        for _ in 1..INPUTS_AT_ONCE_MAX {
            let Ok(input) = self.inputs.try_recv() else { break };
            self.input(input);
        }
        if self.detours.is_news() {
            self.install(&Arc::clone(self.control.routes()));
        }
        self.control.settle(self.shared.env.now());
    }

    fn input(&mut self, input: Input) {
        let now = self.shared.env.now();
        match input {
            Input::Up(link, hello) => {
                self.chronicle.changed(now);
                let cost = link.health().cost();
                self.links.insert(link.id, Arc::clone(&link));
                self.forming.linked(now, link.peer, link.dialed.then(|| link.address()));
                self.control.take(
                    now,
                    Event::LinkUp { link: link.id, peer: link.peer, member: &link.member, cost, hello: &hello },
                );
                // What waits for the link to that peer need not wait for other routes.
                self.install(&Arc::clone(self.control.routes()));
            }
            Input::Down(link) => {
                self.chronicle.changed(now);
                self.detours.forget(link);
                if let Some(gone) = self.links.remove(&link)
                    && !self.links.values().any(|link| link.peer == gone.peer)
                {
                    self.forming.unlinked(now, gone.peer);
                }
                self.control.take(now, Event::LinkDown { link });
                self.install(&Arc::clone(self.control.routes()));
            }
            Input::Health(link) => self.health(now, link),
            Input::Frame(link, frame) => self.control.take(now, Event::Frame { link, frame }),
            Input::Admitted(chain) => self.control.take(now, Event::Admitted(chain)),
            Input::Revoke(revocations) => self.control.take(now, Event::Revoke(revocations)),
            Input::Succeed => self.control.take(now, Event::Succeed),
            Input::Addresses(addresses) => {
                self.forming.set_own(&addresses);
                self.control.take(now, Event::Addresses(&addresses));
            }
            Input::ClientUrls(urls) => self.control.take(now, Event::ClientUrls(&urls)),
            Input::Beacon(node, at) => {
                let others = self.control.routes().by_index.len();
                if !self.shared.roll.is_revoked(node) {
                    self.forming.heard(now, node, at, others);
                }
            }
            Input::Dialled(node, outcome) => self.forming.ended(now, node, outcome),
            // Who asked may have gone.
            Input::ShowInterest(asked) => drop(asked.send(self.control.interest())),
            Input::ShowAlternates(asked) => drop(asked.send(self.control.alternates())),
        }
    }

    fn health(&mut self, now: Instant, id: LinkId) {
        let Some(link) = self.links.get(&id) else { return };
        let health = link.health();
        self.detours.note(id, health.doubt);
        self.chronicle.changed(now);
        self.control.take(now, Event::Cost { link: id, cost: health.cost() });
    }

    pub(super) fn link_to(&self, peer: NodeId) -> Option<Arc<Link>> {
        self.control.link_to(peer).and_then(|link| self.links.get(&link)).cloned()
    }

    fn interest(&mut self) {
        let now = self.shared.env.now();
        let shared = Arc::clone(&self.shared);
        shared.plane.interest.take(|change| self.control.take(now, Event::LocalInterest(*change)));
        self.control.settle(now);
    }

    fn act(&mut self) {
        while let Some(action) = self.control.poll_action() {
            match action {
                Action::Send { link, frame } => self.send(link, frame),
                Action::Routes(routes) => {
                    self.count_suspicions();
                    self.install(&routes);
                    self.chronicle.routes(&self.shared, &self.control, &routes);
                    self.forming.routes_changed(self.shared.env.now());
                }
                Action::Announced { node } => self.announced(node),
                Action::ClientUrls => self.show(),
                Action::SetInterest { member, key, weight } => self.set_interest(member, &key, weight),
                Action::MemberGone { member } => self.bus.remove_member(member),
                Action::Upstream { id, active } => {
                    chronicle::upstream(&self.shared, id, active);
                    self.serving.send_modify(|serving| {
                        serving.insert(id, active);
                    });
                }
                Action::Expel { link } => {
                    if let Some(link) = self.links.get(&link) {
                        link::expel(link);
                    }
                }
                Action::Reject { link, reason } => {
                    if let Some(link) = self.links.get(&link) {
                        link::reject(&self.shared, link, &reason);
                    }
                }
            }
        }
        for link in self.links.values() {
            link.control.flush();
        }
        let counters = self.control.counters();
        *self.sight.counters() = counters;
        self.chronicle.in_force(self.shared.env.now(), counters.routes_computed, &self.shared.plane.counters);
        self.keep_revocations();
        self.form();
    }

    fn announced(&mut self, node: NodeId) {
        let Some(lsa) = self.control.lsa(node) else { return };
        let addresses: Vec<SocketAddr> = lsa.addresses.iter().map(|Address(addr)| *addr).collect();
        self.forming.announced(self.shared.env.now(), node, &addresses);
    }

    /// Dials whom it is time to dial, and writes down what is new of where others are.
    fn form(&mut self) {
        let now = self.shared.env.now();
        while let Some(dial) = self.forming.poll(now, |node| self.control.standing(*node)) {
            let (shared, accepting) = (Arc::clone(&self.shared), self.accepting.clone());
            self.shared.env.spawn(async move {
                let _ = accepting.run_until_cancelled(dialer::attempt(shared, dial)).await;
            });
        }
        while let Some(record) = self.forming.poll_record(now) {
            self.written.notify_one();
            self.save(record);
        }
        *self.sight.forming() = self.forming.counters();
    }

    fn save(&self, record: Record) {
        if let Err(error) = remembered::save(self.store.as_ref(), record) {
            tracing::debug!(%error, "where a member was found is not written down");
        }
    }

    /// Has new revocations, and root keys, written down for good: after a loss of power nobody may be in reach to hear them
    /// from again.
    fn keep_revocations(&mut self) {
        let control::Counters { revocations, successions, .. } = self.control.counters();
        if revocations > self.revocations || successions > self.successions {
            if successions > self.successions {
                chronicle::root_replaced(&self.shared);
            }
            (self.revocations, self.successions) = (revocations, successions);
            self.chronicle.revoked(&self.shared);
            let roll = &self.shared.roll;
            self.forming.forget(|node| roll.is_revoked(*node));
            let durable = self.shared.roll.durable();
            self.shared.env.spawn(async move {
                if let Err(error) = durable.await {
                    tracing::warn!(%error, "a revocation or a new root key may not survive a loss of power");
                }
            });
        }
    }

    fn send(&self, link: LinkId, frame: Bytes) {
        let Some(link) = self.links.get(&link) else { return };
        if link.control.push(frame) == Err(Refused::Full) {
            link.overrun();
        }
    }

    fn set_interest(&self, member: u32, key: &super::interest::Key, weight: u32) {
        let entry = RemoteInterest {
            account: &key.account,
            member,
            via: key.via.map(UpstreamId),
            subject: &key.subject,
            queue: key.queue.as_deref(),
            weight,
        };
        // A group's name is written into lines of the NATS protocol, which it must not be able to end.
        if !entry.queue.is_none_or(is_one_word) {
            self.shared.plane.counters.interest_unserved.add(1);
            return;
        }
        if let Err(error) = self.bus.set_interest(&entry) {
            self.shared.plane.counters.interest_unserved.add(1);
            tracing::debug!(member, %error, "interest of another node that cannot be served");
        }
    }

    /// Puts routes in force: those whose first link is up, with ways round what is suspected.
    fn install(&mut self, routes: &Arc<Routes>) {
        self.shared.plane.set_table(self.table(Arc::clone(routes)));
        // Planted: what was seen is put to the links and routes that it came by.
        if planted::is(Bug::FlowWindowForgotten) {
            self.shared.arrivals.lock().expect("no holder of this lock panics").forget();
        }
        if routes.too_far > 0 {
            tracing::warn!(nodes = routes.too_far, links_max = HOPS_MAX, "nodes too far away for messages");
        }
        self.show();
        self.look_for_ways_round();
        self.copy_what_suspects_hold();
    }

    fn show(&self) {
        self.sight.show(Outlook::new(&self.control, self.control.routes()));
    }
}
