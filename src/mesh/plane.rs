//! The data plane: messages become frames, and frames find their next hop.
//!
//! [`Plane`] is what the broker sees of the mesh. As an origin it numbers a message for each destination and writes it
//! to the links that lead there; for frames that arrive it hands this node's share to the broker and passes the rest
//! on. It never matches a subject. Which link leads where is the control plane's; what a link does with the bytes,
//! `link.rs`'s.

use super::counters::Counters;
use super::flow::{Guard, Numbering, Verdict};
use super::frame::{
    DATA_MAX, DESTINATIONS_MAX, DataHeader, Destination, FrameError, HEADER_MAX, NAME_MAX, PICKS_MAX, SUBJECT_MAX,
    Target,
};
use super::id::NodeId;
use super::interest_queue::InterestQueue;
use super::learnt::Learnt;
use super::links::Link;
use super::outbuf::Refused;
use super::queue;
use super::spf::Routes;
use crate::planted::{self, Bug};
use crate::ports::{
    BoxFuture, Bus, Candidate, Groups, Inbound, InterestChange, Message, Neighbor, Pick, UpstreamId, Waiting,
};
use arc_swap::ArcSwap;
use lattice_broker::env::Env;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;
use std::time::Duration;

/// Links that a frame may pass: more than any sane lattice is wide, few enough to end a loop soon.
const HOPS_MAX: u8 = 32;
/// Reply prefixes that are remembered, and for how long after the last request: each client that sends requests has one.
const LEARNT_MAX: usize = 65_536;
/// Longer reply subjects are not remembered: the answers to those wait for the interest to arrive.
const LEARNT_LEN_MAX: usize = 256;
const LEARNT_FOR: Duration = Duration::from_secs(300);
/// Class of service of every message so far: in order, at most once.
const CLASS_DEFAULT: u8 = 1;

/// The mesh as the broker, and as a link's reader, sees it.
#[derive(Debug)]
pub struct Plane {
    env: Env,
    body_max: usize,
    table: ArcSwap<Table>,
    /// Held while a message is numbered and written to its links, so that no link sees two numbers in the wrong order.
    departures: Mutex<Departures>,
    learnt: Mutex<Learnt>,
    /// Changes of local interest on their way to the control plane.
    pub(super) interest: InterestQueue,
    /// What was moved and what was not.
    pub counters: Counters,
}

/// Who this node is in frames, and the link that leads to each node that can be reached.
#[derive(Debug)]
pub struct Table {
    routes: Arc<Routes>,
    /// In the order of the routes.
    next: Box<[Option<Arc<Link>>]>,
}

impl Table {
    /// The table for `routes`; `link_to` knows the link to a neighbour, if it is still up.
    #[must_use]
    pub fn new(routes: Arc<Routes>, link_to: impl Fn(NodeId) -> Option<Arc<Link>>) -> Self {
        let mut links: BTreeMap<NodeId, Option<Arc<Link>>> = BTreeMap::new();
        let mut link = |peer| links.entry(peer).or_insert_with(|| link_to(peer)).clone();
        let next = routes.by_index.values().map(|route| link(route.next)).collect();
        Self { routes, next }
    }

    /// The link that leads to the node that frames call `index`.
    fn next(&self, index: u32) -> Option<&Arc<Link>> {
        self.next[self.routes.by_index.position(&index)?].as_ref()
    }

    fn link(&self, id: u64) -> Option<&Arc<Link>> {
        self.next.iter().flatten().find(|link| link.id.0 == id)
    }
}

/// A link and the positions of the destinations that it leads to.
type Hop<'a> = (&'a Arc<Link>, SmallVec<[usize; 8]>);

/// The links that frames were written to since the last flush, each once.
#[derive(Debug, Default)]
pub struct Touched(SmallVec<[Arc<Link>; 4]>);

impl Touched {
    fn add(&mut self, link: &Arc<Link>) {
        if !self.0.iter().any(|known| known.id == link.id) {
            self.0.push(Arc::clone(link));
        }
    }

    /// Lets the links write. Returns the fullest of them and the bytes that wait there.
    pub fn flush(&mut self) -> Option<(usize, Arc<Link>)> {
        self.0.drain(..).map(|link| (link.data.flush(), link)).max_by_key(|(pending, _)| *pending)
    }
}

/// What leaves this node: the numbers of its messages, and the links that have some which they were not told of.
#[derive(Debug, Default)]
struct Departures {
    numbering: Numbering,
    touched: Touched,
}

/// [`Arrivals`] that are locked when the first frame for this node comes, and until the batch ends: what two links bring
/// from the same origin must reach the subscribers in the order in which it was judged.
#[derive(Debug)]
pub struct Batch<'a> {
    arrivals: &'a Mutex<Arrivals>,
    held: Option<MutexGuard<'a, Arrivals>>,
}

impl<'a> Batch<'a> {
    /// A batch that goes to `arrivals`.
    #[must_use]
    pub fn new(arrivals: &'a Mutex<Arrivals>) -> Self {
        Self { arrivals, held: None }
    }

    fn get(&mut self) -> &mut Arrivals {
        self.held.get_or_insert_with(|| self.arrivals.lock().expect("no holder of this lock panics"))
    }

    /// Writes out what was handed over. When a subscriber is congested, the future ends with that.
    #[must_use]
    pub fn flush(self) -> Option<BoxFuture<()>> {
        let mut arrivals = self.held?;
        arrivals.inbound.flush().then(|| arrivals.inbound.ready())
    }
}

/// What arrives for this node: the way into the broker, and what has been seen of each origin.
pub struct Arrivals {
    bus: Arc<dyn Bus>,
    inbound: Box<dyn Inbound>,
    guard: Guard,
}

impl std::fmt::Debug for Arrivals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arrivals").field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl Arrivals {
    /// Arrivals that go to `bus`.
    #[must_use]
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        let inbound = bus.inbound();
        Self { bus, inbound, guard: Guard::default() }
    }

    /// Forgets what has been seen of each origin: only a planted bug does.
    pub(super) fn forget(&mut self) {
        self.guard.forget();
    }
}

impl Plane {
    /// The plane of the node `me`, without routes. Messages with more than `body_max` bytes of headers and payload stay
    /// on their node, and are counted.
    #[must_use]
    pub fn new(env: Env, me: NodeId, body_max: usize) -> Self {
        let alone = Table::new(Arc::new(Routes::alone(me, 0, 0)), |_| None);
        // Planted: forgotten as soon as learnt.
        let learnt_for = if planted::is(Bug::InboxExpiredEarly) { Duration::ZERO } else { LEARNT_FOR };
        Self {
            env,
            table: ArcSwap::from_pointee(alone),
            body_max: body_max.min(DATA_MAX - HEADER_MAX),
            departures: Mutex::default(),
            learnt: Mutex::new(Learnt::new(LEARNT_MAX, learnt_for)),
            interest: InterestQueue::default(),
            counters: Counters::default(),
        }
    }

    /// How many other nodes there are routes to.
    #[must_use]
    pub fn reachable(&self) -> usize {
        self.table.load().routes.by_index.len()
    }

    /// Puts new routes in force.
    pub fn set_table(&self, table: Table) {
        let mut departures = self.departures.lock().expect("no holder of this lock panics");
        let before = self.table.load();
        let renamed = (before.routes.index, before.routes.boot) != (table.routes.index, table.routes.boot);
        // Planted: any other table counts as a new name.
        if renamed || planted::is(Bug::NumbersRestarted) {
            departures.numbering = Numbering::default();
        }
        departures.numbering.prune(|index| table.routes.by_index.contains_key(&index));
        self.table.store(Arc::new(table));
    }

    /// Handles a data frame that arrived on a link: hands this node's share to `batch`, passes the rest on.
    ///
    /// # Errors
    /// [`FrameError`]: the peer broke the protocol.
    pub fn receive(&self, payload: &[u8], batch: &mut Batch<'_>, touched: &mut Touched) -> Result<(), FrameError> {
        let (header, body) = DataHeader::decode(payload)?;
        let table = self.table.load();
        let here = header.destinations.iter().position(|destination| destination.index == table.routes.index);
        if let Some(position) = here {
            self.arrive(&header, position, body, batch.get());
            if header.destinations.len() == 1 {
                return Ok(());
            }
        }
        let Some(hops) = header.hops.min(HOPS_MAX).checked_sub(1) else {
            self.counters.dropped_hops.add(1);
            return Ok(());
        };
        let rest: SmallVec<[usize; 8]> = (0..header.destinations.len()).filter(|p| Some(*p) != here).collect();
        let mut onward = header.subset(&rest);
        onward.hops = hops;
        self.counters.forwarded.add(1);
        self.forward(&table, &onward, body, touched);
        Ok(())
    }

    /// Hands a frame to the broker, if it is new.
    fn arrive(&self, header: &DataHeader<'_>, position: usize, body: &[u8], arrivals: &mut Arrivals) {
        // What goes into the lines of the NATS protocol must not be able to end one.
        if !is_one_word(header.subject) || !header.reply.is_none_or(is_one_word) {
            return self.counters.dropped_malformed.add(1);
        }
        let seq = header.destinations[position].seq;
        let known = |origin| self.table.load().routes.by_index.contains_key(&origin);
        let missing = match arrivals.guard.admit(header.origin, header.boot, seq, known) {
            Verdict::New { missing } => missing,
            Verdict::Late => return self.counters.dropped_late.add(1),
            Verdict::StaleBoot => return self.counters.dropped_stale_boot.add(1),
            Verdict::Stranger => return self.counters.dropped_stranger.add(1),
        };
        self.counters.missing.add(missing);
        if let Some(reply) = header.reply
            && header.reply_home != 0
            && self.learn(header.account, reply, header.reply_home)
        {
            arrivals.bus.invalidate();
        }
        let message =
            Message { subject: header.subject, reply: header.reply, header_len: header.header_len as usize, body };
        let picks: SmallVec<[Pick<'_>; 4]> = header
            .picks_of(position)
            .map(|pick| Pick { group: pick.group, member: 0, via: pick.via.map(UpstreamId) })
            .collect();
        let takers =
            arrivals.inbound.publish(header.account, &message, Groups::Only(&picks), header.via.map(UpstreamId));
        // Planted: what came after a gap is released once more when the gap is given up.
        if missing > 0 && planted::is(Bug::GapDeliveredTwice) {
            arrivals.inbound.publish(header.account, &message, Groups::Only(&picks), header.via.map(UpstreamId));
        }
        self.counters.delivered.add(1);
        if takers == 0 {
            self.counters.unwanted.add(1);
        }
    }

    /// Writes a frame to the links that lead to its destinations, one copy for each link. Returns the fullest of them.
    fn forward(&self, table: &Table, header: &DataHeader<'_>, body: &[u8], touched: &mut Touched) -> Waiting {
        let mut hops: SmallVec<[Hop<'_>; 4]> = SmallVec::new();
        for (position, destination) in header.destinations.iter().enumerate() {
            let Some(link) = table.next(destination.index) else {
                self.counters.dropped_no_route.add(1);
                continue;
            };
            match hops.iter_mut().find(|(known, _)| known.id == link.id) {
                Some((_, positions)) => positions.push(position),
                None => hops.push((link, SmallVec::from_slice(&[position]))),
            }
        }
        let mut fullest = Waiting::default();
        for (link, positions) in hops {
            // Planted: what is written to a link while something waits there is lost.
            if planted::is(Bug::LinkBufferDropped) && link.data.pending() > 0 {
                continue;
            }
            let written = if positions.len() == header.destinations.len() {
                link.data.push(|out| header.encode(body, out))
            } else {
                let part = header.subset(&positions);
                link.data.push(|out| part.encode(body, out))
            };
            match written {
                Ok(bytes) => fullest = fullest.max(Waiting { buffer: link.id.0, bytes }),
                Err(Refused::Full) => self.counters.dropped_link_full.add(positions.len() as u64),
                Err(Refused::Closed) => self.counters.dropped_link_down.add(positions.len() as u64),
            }
            touched.add(link);
        }
        fullest
    }

    /// Whether every peer takes a frame of this message: one that does not would close the link.
    fn fits(&self, account: &[u8], message: &Message<'_>, picks: &[Pick<'_>]) -> bool {
        let subjects = [message.subject, message.reply.unwrap_or_default()];
        let names = || picks.iter().map(|pick| pick.group).chain([account]);
        // What a destination, a pick and the rest of a header take at most, beside their text.
        let fixed = DESTINATIONS_MAX * 16 + picks.len() * 32 + 256;
        let text = subjects.iter().map(|subject| subject.len()).chain(names().map(<[u8]>::len)).sum::<usize>();
        message.body.len() <= self.body_max
            && subjects.iter().all(|subject| subject.len() <= SUBJECT_MAX)
            && names().all(|name| name.len() <= NAME_MAX)
            && fixed + text <= HEADER_MAX
    }

    fn learn(&self, account: &[u8], reply: &[u8], home: u32) -> bool {
        if home == self.table.load().routes.index || reply.len() > LEARNT_LEN_MAX {
            return false;
        }
        let now = self.env.now();
        self.learnt.lock().expect("no holder of this lock panics").learn(now, account, reply, home)
    }

    fn home(&self, account: &[u8], subject: &[u8]) -> Option<u32> {
        let now = self.env.now();
        self.learnt.lock().expect("no holder of this lock panics").member(now, account, subject)
    }
}

impl Neighbor for Plane {
    fn deliver(
        &self,
        account: &[u8],
        message: &Message<'_>,
        via: Option<UpstreamId>,
        members: &[u32],
        picks: &[Pick<'_>],
    ) -> Waiting {
        let (picks, over) = picks.split_at(picks.len().min(PICKS_MAX));
        self.counters.dropped_groups.add(over.len() as u64);
        if !self.fits(account, message, picks) {
            self.counters.dropped_too_large.add(1);
            return Waiting::default();
        }
        let mut departures = self.departures.lock().expect("no holder of this lock panics");
        let Departures { numbering, touched } = &mut *departures;
        // Looked at under the lock: the numbers belong to this table's index and boot.
        let table = self.table.load();
        let twice: SmallVec<[Pick<'_>; 8]>;
        let picks = if planted::is(Bug::QueuePickedTwice) {
            twice = picked_twice(picks, &table);
            &twice
        } else {
            picks
        };
        let reply_home = message.reply.map_or(0, |reply| self.home(account, reply).unwrap_or(table.routes.index));
        let mut header = DataHeader {
            class: CLASS_DEFAULT,
            origin: table.routes.index,
            boot: table.routes.boot,
            area: 0,
            part: 0,
            hops: HOPS_MAX,
            destinations: SmallVec::new(),
            picks: SmallVec::new(),
            via: via.map(|via| via.0),
            reply_home,
            account,
            subject: message.subject,
            reply: message.reply,
            header_len: message.header_len as u32,
        };
        self.counters.originated.add(1);
        address(&mut header, members, picks, numbering);
        self.forward(&table, &header, message.body, touched)
    }

    fn flush(&self) {
        let mut departures = self.departures.lock().expect("no holder of this lock panics");
        departures.touched.flush();
    }

    fn backlog(&self, buffer: u64) -> usize {
        self.table.load().link(buffer).map_or(0, |link| link.data.pending())
    }

    fn wake_when_drained(&self, buffer: u64, waker: &Waker) {
        match self.table.load().link(buffer) {
            Some(link) => link.data.wake_when_drained(waker),
            None => waker.wake_by_ref(),
        }
    }

    fn interest(&self, change: &InterestChange<'_>) {
        self.interest.push(change);
    }

    fn learnt(&self, account: &[u8], subject: &[u8]) -> Option<u32> {
        let home = self.home(account, subject)?;
        self.table.load().next(home).map(|_| home)
    }

    fn choose(&self, candidates: &[Candidate], random: u64) -> usize {
        queue::choose(candidates, &self.table.load().routes, random)
    }
}

/// Whether `text` can stand in a line of the NATS protocol: not empty, without blanks and ends of lines.
pub(super) fn is_one_word(text: &[u8]) -> bool {
    !text.is_empty() && !text.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

/// Planted: for each pick, a second one of another node within reach; it has an effect where that has members too.
fn picked_twice<'a>(picks: &[Pick<'a>], table: &Table) -> SmallVec<[Pick<'a>; 8]> {
    let others = |pick: &Pick<'a>| table.routes.by_index.keys().copied().find(|index| *index != pick.member);
    let again = picks.iter().filter_map(|pick| Some(Pick { member: others(pick)?, ..*pick }));
    picks.iter().copied().chain(again).collect()
}

/// Addresses `header` to `members` and to the members of `picks`, with the next number for each. There are never more
/// of them than a frame may have: the database keeps fewer nodes.
fn address<'a>(header: &mut DataHeader<'a>, members: &[u32], picks: &[Pick<'a>], numbering: &mut Numbering) {
    for &index in members {
        header.destinations.push(Destination { index, seq: numbering.next(index) });
    }
    for pick in picks {
        let known = header.destinations.iter().position(|destination| destination.index == pick.member);
        let position = known.unwrap_or_else(|| {
            header.destinations.push(Destination { index: pick.member, seq: numbering.next(pick.member) });
            header.destinations.len() - 1
        });
        let position = u16::try_from(position).expect("the database keeps at most 4096 nodes");
        header.picks.push(Target { group: pick.group, position, via: pick.via.map(|via| via.0) });
    }
}
