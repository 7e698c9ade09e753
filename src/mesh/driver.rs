//! The task that owns the control plane: feeds it what the links and the broker tell, and does what it says.

use super::control::{Action, Control, Event};
use super::link;
use super::links::{Link, LinkId};
use super::outbuf::Refused;
use super::plane::{Table, is_one_word};
use super::shared::{Input, Shared};
use super::spf::Routes;
use super::view::{Outlook, Sight};
use crate::planted::{self, Bug};
use crate::ports::{Bus, RemoteInterest, UpstreamId};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// The cost of a link whose round trip takes no time; each millisecond adds one.
const COST_BASE: u32 = 10;
/// The greatest cost that a slow round trip leads to.
const COST_MAX: u32 = 10_000;

/// Inputs that are taken in before the control plane's actions are carried out.
const INPUTS_AT_ONCE_MAX: usize = 64;

/// The control plane and what it acts on.
pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) control: Control,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) sight: Arc<Sight>,
    pub(super) serving: watch::Sender<BTreeMap<UpstreamId, bool>>,
    pub(super) links: BTreeMap<LinkId, Arc<Link>>,
}

impl Driver {
    /// Runs until the mesh is stopped.
    pub(super) async fn run(mut self) {
        let mut timer = self.shared.env.timer(self.shared.env.now());
        self.act();
        loop {
            let at = self.control.poll_timeout();
            if let Some(at) = at {
                timer.as_mut().reset(at);
            }
            let due = std::future::poll_fn(|cx| match at {
                Some(_) => timer.as_mut().poll(cx),
                None => std::task::Poll::Pending,
            });
            tokio::select! {
                biased;
                () = self.shared.stop.cancelled() => return,
                input = self.inputs.recv() => match input {
                    Some(input) => self.inputs(input),
                    None => return,
                },
                () = self.shared.plane.interest.ready() => self.interest(),
                () = due => self.control.handle(self.shared.env.now(), Event::Timeout),
            }
            self.act();
        }
    }

    /// Takes in what waits, a bounded part of it: what follows from many frames goes out together.
    fn inputs(&mut self, first: Input) {
        self.input(first);
        for _ in 1..INPUTS_AT_ONCE_MAX {
            let Ok(input) = self.inputs.try_recv() else { break };
            self.input(input);
        }
        self.control.settle(self.shared.env.now());
    }

    fn input(&mut self, input: Input) {
        let now = self.shared.env.now();
        match input {
            Input::Up(link, hello) => {
                let cost = cost(&link);
                self.links.insert(link.id, Arc::clone(&link));
                self.control.take(now, Event::LinkUp { link: link.id, peer: link.peer, cost, hello: &hello });
            }
            Input::Down(link) => {
                self.links.remove(&link);
                self.control.take(now, Event::LinkDown { link });
                self.install(&Arc::clone(self.control.routes()));
            }
            Input::Frame(link, frame) => self.control.take(now, Event::Frame { link, frame }),
            // Who asked may have gone.
            Input::ShowInterest(asked) => drop(asked.send(self.control.interest())),
        }
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
                Action::Send { link, frame } => self.send(link, &frame),
                Action::Routes(routes) => self.install(&routes),
                Action::SetInterest { member, key, weight } => self.set_interest(member, &key, weight),
                Action::MemberGone { member } => self.bus.remove_member(member),
                Action::Upstream { id, active } => {
                    self.serving.send_modify(|serving| {
                        serving.insert(id, active);
                    });
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
        *self.sight.counters() = self.control.counters();
    }

    fn send(&self, link: LinkId, frame: &[u8]) {
        let Some(link) = self.links.get(&link) else { return };
        if link.control.push(|out| out.extend_from_slice(frame)) == Err(Refused::Full) {
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

    /// Puts routes in force: those whose first link is up.
    fn install(&self, routes: &Arc<Routes>) {
        let link_to = |peer| self.control.link_to(peer).and_then(|link| self.links.get(&link)).cloned();
        self.shared.plane.set_table(Table::new(Arc::clone(routes), link_to));
        // Planted: what was seen is put to the links and routes that it came by.
        if planted::is(Bug::FlowWindowForgotten) {
            self.shared.arrivals.lock().expect("no holder of this lock panics").forget();
        }
        self.sight.show(Outlook::new(&self.control, routes));
    }
}

/// What a link costs: its round-trip time as measured while greeting. It does not change while the link lasts.
fn cost(link: &Link) -> u32 {
    let rtt = u32::try_from(link.connection.rtt().as_millis()).unwrap_or(COST_MAX);
    (COST_BASE + rtt).min(COST_MAX)
}
