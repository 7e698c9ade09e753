//! The data plane: messages become frames, and frames find their next hop.
//!
//! [`Plane`] is what the broker sees of the mesh. As an origin it numbers a message for each destination and writes it
//! to the links that lead there; for frames that arrive it hands this node's share to the broker, in order, and passes
//! the rest on. It never matches a subject. Which link leads where is the control plane's; what a link does with the
//! bytes, `link.rs`'s; what becomes of frames that did not get through, `plane/recover.rs`'s;
//! `plane/trace.rs` shows the ways to people.

mod hand_back;
mod recover;
mod trace;

use super::counters::Counters;
use super::flow::{Numbering, row_of};
use super::frame::{
    CUSTODY, DATA_MAX, DESTINATIONS_MAX, DataHeader, Destination, FrameError, HEADER_MAX, Kind, NAME_MAX, PICKS_MAX,
    Raw, SUBJECT_MAX, Target, stream_of,
};
use super::id::{NodeId, life};
use super::interest_queue::InterestQueue;
use super::learnt::Learnt;
use super::links::{Link, LinkId};
use super::outbuf::Refused;
use super::parking::Parking;
use super::queue;
use super::resequence::{self, Resequencer, Verdict};
use super::ring::Ring;
use super::spf::{HOPS_MAX, Route, Routes};
use super::trace::Traces;
use crate::identity::Grant;
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
use tokio::sync::Notify;

pub use recover::Bounds;
pub use trace::WayOut;

/// How many more links a frame may pass after its first one.
const HOPS_AFTER: u8 = HOPS_MAX as u8 - 1;
/// Reply prefixes that are remembered, and for how long after the last request: each client that sends requests has one.
const LEARNT_MAX: usize = 65_536;
/// Longer reply subjects are not remembered: the answers to those wait for the interest to arrive.
const LEARNT_LEN_MAX: usize = 256;
const LEARNT_FOR: Duration = Duration::from_secs(300);

/// The mesh as the broker, and as a link's reader, sees it.
#[derive(Debug)]
pub struct Plane {
    env: Env,
    body_max: usize,
    table: ArcSwap<Table>,
    /// Held while a message is numbered and written to its links, so that no stream sees two numbers in the wrong order.
    departures: Mutex<Departures>,
    /// What leads nowhere at present. Held while a table comes into force, so that nothing is parked that has a way.
    parking: Mutex<Parking>,
    /// What was sent from here lately.
    pub(super) ring: Arc<Ring>,
    bounds: Bounds,
    /// Woken when something is to be done later that was not known of before.
    news: Notify,
    learnt: Mutex<Learnt>,
    /// What this node wants to know of ways…
    traces: Mutex<Traces>,
    /// …and that something was told.
    traced: Notify,
    /// Changes of local interest on their way to the control plane.
    pub(super) interest: InterestQueue,
    /// What was moved and what was not.
    pub counters: Counters,
}

/// Who this node is in frames, and the link that leads to each node that can be reached.
#[derive(Debug)]
pub struct Table {
    routes: Arc<Routes>,
    /// This node's present life, as frames name it.
    life: u16,
    /// In the order of the routes.
    next: Box<[Option<Arc<Link>>]>,
    /// What those nodes may do, by their indices, that may not do all; this one among them.
    limits: BTreeMap<u32, Arc<Grant>>,
}

impl Table {
    /// The table for `routes`, with the `limits` of those that may not do all; `link_to` knows the link to a neighbour, if
    /// it is still up.
    #[must_use]
    pub fn new(
        routes: Arc<Routes>,
        limits: &BTreeMap<NodeId, Arc<Grant>>,
        link_to: impl Fn(NodeId) -> Option<Arc<Link>>,
    ) -> Self {
        Self::by_way(routes, limits, |route| route.next, link_to)
    }

    /// The same with a choice of the neighbour that frames to a node go to.
    #[must_use]
    pub fn by_way(
        routes: Arc<Routes>,
        limits: &BTreeMap<NodeId, Arc<Grant>>,
        way: impl Fn(&Route) -> NodeId,
        link_to: impl Fn(NodeId) -> Option<Arc<Link>>,
    ) -> Self {
        let mut links: BTreeMap<NodeId, Option<Arc<Link>>> = BTreeMap::new();
        let mut link = |peer| links.entry(peer).or_insert_with(|| link_to(peer)).clone();
        let next = routes.by_index.values().map(|route| link(way(route))).collect();
        let index = |node: &NodeId| routes.reachable.get(node).copied();
        let limits = limits.iter().filter_map(|(node, grant)| Some((index(node)?, Arc::clone(grant)))).collect();
        Self { life: life(routes.me, routes.boot), routes, next, limits }
    }

    /// Whether clients of the node that frames call `index` may speak in `account`.
    fn allows(&self, index: u32, account: &[u8]) -> bool {
        self.limits.get(&index).is_none_or(|grant| grant.allows_account(account))
    }

    /// The link that leads to the node that frames call `index`.
    fn next(&self, index: u32) -> Option<&Arc<Link>> {
        self.next[self.routes.by_index.position(&index)?].as_ref()
    }

    /// The present life of the node that frames call `index`.
    fn life_of(&self, index: u32) -> Option<u16> {
        self.routes.by_index.get(&index).map(|route| route.life)
    }

    /// The links that lead anywhere, each once.
    fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.next.iter().flatten().map(|link| (link.id, link)).collect::<BTreeMap<_, _>>().into_values()
    }

    fn link(&self, id: LinkId) -> Option<&Arc<Link>> {
        self.next.iter().flatten().find(|link| link.id == id)
    }

    /// The link and the stream of it that the broker knows by that number.
    fn buffer(&self, number: u64) -> Option<(&Arc<Link>, u8)> {
        Some((self.link(LinkId(number >> 8))?, (number & 0xff) as u8))
    }
}

/// A link and the positions of the destinations that it leads to.
type Hop<'a> = (&'a Arc<Link>, SmallVec<[usize; 8]>);

/// The streams that frames were written to since the last flush, each once.
#[derive(Debug, Default)]
pub struct Touched(SmallVec<[(Arc<Link>, u8); 4]>);

impl Touched {
    fn add(&mut self, link: &Arc<Link>, stream: u8) {
        if !self.0.iter().any(|(known, other)| known.id == link.id && *other == stream) {
            self.0.push((Arc::clone(link), stream));
        }
    }

    /// Lets the streams be written. Returns the fullest of them and the bytes that wait there.
    pub fn flush(&mut self) -> Option<(usize, Arc<Link>, u8)> {
        let flushed = self.0.drain(..).map(|(link, stream)| (link.data.flush(stream), link, stream));
        flushed.max_by_key(|(pending, _, _)| *pending)
    }
}

/// The number by which the broker knows what waits for a stream of a link.
fn buffer_number(link: &Link, stream: u8) -> u64 {
    link.id.0 << 8 | u64::from(stream)
}

/// What leaves this node: the numbers of its messages, and the links that have some which they were not told of.
#[derive(Debug, Default)]
struct Departures {
    numbering: Numbering,
    touched: Touched,
    recovery: recover::Departures,
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
    rows: Resequencer,
    /// The name that the rows are for: this node's index and boot epoch.
    name: (u32, u64),
}

impl std::fmt::Debug for Arrivals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arrivals").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Arrivals {
    /// Arrivals that go to `bus`; frames that come too early are held within `bounds`.
    #[must_use]
    pub fn new(bus: Arc<dyn Bus>, bounds: resequence::Bounds) -> Self {
        let inbound = bus.inbound();
        Self { bus, inbound, rows: Resequencer::new(bounds), name: (0, 0) }
    }

    /// Forgets what has been seen of each origin: only a planted bug does.
    pub(super) fn forget(&mut self) {
        self.rows.forget(false);
    }

    /// Begins all rows anew when they were for another name.
    fn rename(&mut self, name: (u32, u64)) {
        if self.name != name {
            self.rows.forget(self.name.0 != 0);
            self.name = name;
        }
    }
}

impl Plane {
    /// The plane of the node `me`, without routes. Messages with more than `body_max` bytes of headers and payload stay
    /// on their node, and are counted.
    #[must_use]
    pub fn new(env: Env, me: NodeId, body_max: usize, bounds: Bounds) -> Self {
        let alone = Table::new(Arc::new(Routes::alone(me, 0, 0)), &BTreeMap::new(), |_| None);
        // Planted: forgotten as soon as learnt.
        let learnt_for = if planted::is(Bug::InboxExpiredEarly) { Duration::ZERO } else { LEARNT_FOR };
        Self {
            env,
            table: ArcSwap::from_pointee(alone),
            body_max: body_max.min(DATA_MAX - HEADER_MAX),
            departures: Mutex::default(),
            parking: Mutex::new(Parking::new(bounds.parked_max, bounds.parked_for)),
            ring: Arc::new(Ring::new(bounds.ring_max)),
            bounds,
            news: Notify::new(),
            learnt: Mutex::new(Learnt::new(LEARNT_MAX, learnt_for)),
            traces: Mutex::default(),
            traced: Notify::new(),
            interest: InterestQueue::default(),
            counters: Counters::default(),
        }
    }

    /// How much may be held of what comes before its time.
    #[must_use]
    pub fn hold_bounds(&self) -> resequence::Bounds {
        self.bounds.hold
    }

    /// How many other nodes there are routes to.
    #[must_use]
    pub fn reachable(&self) -> usize {
        self.table.load().routes.by_index.len()
    }

    /// Whether there is a path to `node`.
    #[must_use]
    pub fn reaches(&self, node: &NodeId) -> bool {
        self.table.load().routes.reachable.contains_key(node)
    }

    /// How many other nodes are so far away that frames do not reach them.
    #[must_use]
    pub fn too_far(&self) -> usize {
        self.table.load().routes.too_far
    }

    /// Puts new routes in force. What was parked and has a way now goes first.
    pub fn set_table(&self, table: Table) {
        let mut departures = self.departures();
        let before = self.table.load_full();
        let renamed = (before.routes.index, before.routes.boot) != (table.routes.index, table.routes.boot);
        // Planted: any other table counts as a new name.
        if renamed || planted::is(Bug::NumbersRestarted) {
            departures.numbering = Numbering::default();
        }
        departures.numbering.renew(|index| table.life_of(index));
        departures.numbering.prune(|index| table.routes.by_index.contains_key(&index));
        let table = Arc::new(table);
        self.unpark(&table);
        self.mark_later(&mut departures, &before, &table);
    }

    /// Handles a frame that arrived on a data stream: hands this node's share to `batch`, passes the rest on.
    ///
    /// # Errors
    /// [`FrameError`]: the peer broke the protocol.
    pub fn receive(&self, raw: Raw<'_>, batch: &mut Batch<'_>, touched: &mut Touched) -> Result<(), FrameError> {
        match raw.kind {
            Kind::Data => {}
            Kind::Probe | Kind::Report => return self.receive_trace(raw, touched),
            _ => return self.receive_repair(raw, batch, touched),
        }
        let (header, body) = DataHeader::decode(raw.payload)?;
        let table = self.table.load();
        let here = header.destinations.iter().position(|destination| destination.index == table.routes.index);
        if let Some(position) = here {
            self.arrive(&table, &header, position, (raw.payload, body), batch.get(), touched);
            if header.destinations.len() == 1 {
                return Ok(());
            }
        }
        let Some(hops) = header.hops.min(HOPS_AFTER).checked_sub(1) else {
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

    /// Hands a frame to the broker if it is next in its row, and what it has held up.
    fn arrive(
        &self,
        table: &Table,
        header: &DataHeader<'_>,
        position: usize,
        (payload, body): (&[u8], &[u8]),
        arrivals: &mut Arrivals,
        touched: &mut Touched,
    ) {
        let Destination { seq, life, .. } = header.destinations[position];
        if life != table.life {
            return self.counters.dropped_other_life.add(1);
        }
        arrivals.rename((table.routes.index, table.routes.boot));
        let known = |origin| table.routes.by_index.contains_key(&origin);
        match arrivals.rows.admit(|| self.env.now(), ((header.origin, header.row), header.boot, seq), payload, known) {
            Verdict::Next => return self.hand_over(header, position, body, arrivals, touched),
            Verdict::Closes => self.hand_over(header, position, body, arrivals, touched),
            Verdict::Held => self.counters.held.add(1),
            Verdict::Duplicate => return self.counters.dropped_duplicate.add(1),
            Verdict::StaleBoot => return self.counters.dropped_stale_boot.add(1),
            Verdict::Stranger => return self.counters.dropped_stranger.add(1),
        }
        self.release(arrivals, touched);
        self.news.notify_one();
    }

    /// Hands a frame to the broker, or back to its origin.
    fn hand_over(
        &self,
        header: &DataHeader<'_>,
        position: usize,
        body: &[u8],
        arrivals: &mut Arrivals,
        touched: &mut Touched,
    ) {
        // What goes into the lines of the NATS protocol must not be able to end one.
        if !is_one_word(header.subject) || !header.reply.is_none_or(is_one_word) {
            return self.counters.dropped_malformed.add(1);
        }
        let table = self.table.load();
        if !table.allows(header.origin, header.account) || !table.allows(table.routes.index, header.account) {
            return self.counters.dropped_account.add(1);
        }
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
            .map(|pick| Pick { group: pick.group, member: header.origin, via: pick.via.map(UpstreamId), again: false })
            .collect();
        if header.is_returned() {
            return self.choose_again(header, &picks, &message, arrivals);
        }
        let via = header.via.map(UpstreamId);
        let takers = arrivals.inbound.publish(header.account, &message, Groups::Only(&picks), via);
        self.counters.delivered.add(1);
        let untaken: SmallVec<[Pick<'_>; 2]> =
            arrivals.inbound.untaken().iter().filter_map(|&nth| picks.get(nth).copied()).collect();
        if !untaken.is_empty() && header.may_return() {
            self.hand_back(header, &untaken, body, touched);
        } else if takers == 0 {
            self.counters.unwanted.add(1);
        }
    }

    /// Passes a frame on, one copy for each link that leads to its destinations; what has no way is parked. Returns the
    /// fullest of the links.
    fn forward(&self, table: &Table, header: &DataHeader<'_>, body: &[u8], touched: &mut Touched) -> Waiting {
        let (fullest, stuck) = self.write(table, header, body, touched);
        if !header.has_custody() {
            self.counters.copies_dropped.add(stuck.len() as u64);
        } else if !stuck.is_empty() {
            self.park(table, header.subset(&stuck), body, touched);
        }
        fullest
    }

    /// Writes a frame to the links that lead to its destinations, one copy for each link. Returns the fullest of them,
    /// and the positions of the destinations that no link leads to.
    fn write(
        &self,
        table: &Table,
        header: &DataHeader<'_>,
        body: &[u8],
        touched: &mut Touched,
    ) -> (Waiting, SmallVec<[usize; 4]>) {
        let (own, custody) = (header.origin == table.routes.index, header.has_custody());
        let (mut hops, mut stuck): (SmallVec<[Hop<'_>; 4]>, SmallVec<_>) = Default::default();
        for (position, destination) in header.destinations.iter().enumerate() {
            let Some(link) = table.next(destination.index) else {
                stuck.push(position);
                continue;
            };
            match hops.iter_mut().find(|(known, _)| known.id == link.id) {
                Some((_, positions)) => positions.push(position),
                None => hops.push((link, SmallVec::from_slice(&[position]))),
            }
        }
        let (mut fullest, stream) = (Waiting::default(), stream_of(header.origin, header.row));
        for (link, positions) in hops {
            let part;
            let header = if positions.len() == header.destinations.len() {
                header
            } else {
                part = header.subset(&positions);
                &part
            };
            let mut waits = |excess| fullest = fullest.max(Waiting { buffer: buffer_number(link, stream), excess });
            match link.data.push(stream, own && custody, |out| header.encode(body, out)) {
                Ok(bytes) => waits(link.data.excess(bytes)),
                Err(Refused::Full) if !custody => self.counters.copies_dropped.add(positions.len() as u64),
                Err(Refused::Full) => {
                    self.counters.dropped_link_full.add(positions.len() as u64);
                    // Whoever sends on regardless has all that follows refused.
                    waits(usize::MAX);
                }
                Err(Refused::Closed) => stuck.extend(positions),
            }
            touched.add(link, stream);
        }
        stuck.sort_unstable();
        (fullest, stuck)
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
        flow: u64,
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
        let mut departures = self.departures();
        let Departures { numbering, touched, .. } = &mut *departures;
        // Looked at under the lock: the numbers belong to this table's index and boot.
        let table = self.table.load();
        if !table.allows(table.routes.index, account) {
            self.counters.dropped_account.add(1);
            return Waiting::default();
        }
        let twice: SmallVec<[Pick<'_>; 8]>;
        let picks = if planted::is(Bug::QueuePickedTwice) {
            twice = picked_twice(picks, &table);
            &twice
        } else {
            picks
        };
        let reply_home = message.reply.map_or(0, |reply| self.home(account, reply).unwrap_or(table.routes.index));
        let mut header = DataHeader {
            class: if picks.iter().any(|pick| pick.again) { DataHeader::chosen_again() } else { CUSTODY },
            origin: table.routes.index,
            boot: table.routes.boot,
            area: 0,
            part: 0,
            hops: HOPS_AFTER,
            row: row_of(flow),
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
        let unknown = address(&mut header, members, picks, numbering, &table);
        self.counters.dropped_no_route.add(unknown);
        self.forward(&table, &header, message.body, touched)
    }

    fn flush(&self) {
        let mut departures = self.departures();
        departures.touched.flush();
    }

    fn excess(&self, buffer: u64) -> usize {
        let table = self.table.load();
        table.buffer(buffer).map_or(0, |(link, stream)| link.data.excess(link.data.pending_for(stream)))
    }

    fn wake_when_drained(&self, buffer: u64, waker: &Waker) {
        match self.table.load().buffer(buffer) {
            Some((link, stream)) => link.data.wake_when_drained(stream, waker),
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
/// of them than a frame may have: the database keeps fewer nodes. Returns how many are not known, and left out.
fn address<'a>(
    header: &mut DataHeader<'a>,
    members: &[u32],
    picks: &[Pick<'a>],
    numbering: &mut Numbering,
    table: &Table,
) -> u64 {
    let (mut unknown, row) = (0, header.row);
    let mut add = |destinations: &mut SmallVec<[Destination; 4]>, index| match numbering
        .next((index, row), || table.life_of(index))
    {
        Some((seq, life)) => destinations.push(Destination { index, seq, life }),
        None => unknown += 1,
    };
    for &index in members {
        add(&mut header.destinations, index);
    }
    for pick in picks {
        let position = |header: &DataHeader<'_>| header.destinations.iter().position(|to| to.index == pick.member);
        if position(header).is_none() {
            add(&mut header.destinations, pick.member);
        }
        let Some(position) = position(header) else { continue };
        let position = u16::try_from(position).expect("the database keeps at most 4096 nodes");
        header.picks.push(Target { group: pick.group, position, via: pick.via.map(|via| via.0) });
    }
    unknown
}
