//! A node's part in keeping all copies of the records alike: packets and time in, packets and what to keep out. No IO.
//!
//! What is written is told to all at once. That may be lost, and parts of the lattice live apart: so digests are told as
//! `pace.rs` says, and whoever hears another than its own begins a repair with the one who said it, after a moment of
//! chance that spreads many who hear it, one repair at a time. A repair that changed nothing (one of the two has no
//! room, or has forgotten what the other still has) is not begun again until either of the digests is another.
//!
//! Contract: after each call, take [`Exchange::poll_output`] until it is `None`, then call [`Exchange::tick`] when
//! [`Exchange::due`] says so.

use super::pace::Pace;
use super::record::{Entry, Key, RecordError};
use super::repair::{self, Repair, Step};
use super::replica::{Limits, Merged, Replica};
use super::wire::{Message, Packet};
use crate::identity::NodeId;
use lattice_broker::env::Rng;
use rand_core::Rng as _;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Chance within which those who hear a digest begin to repair.
const SPREAD: Duration = Duration::from_millis(250);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pairs of digests that are kept in mind since nothing came of repairing them…
const FRUITLESS_MAX: usize = 32;
/// …so many times, which is enough: a node that has yet to take something says another digest once it has.
const ATTEMPTS_MAX: u8 = 3;
/// How often tombstones are looked through.
const EXPIRY: Duration = Duration::from_secs(3600);

/// What is to be done.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Keep on disk what stands at that key, or nothing when nothing does: as it is when it is written, since it may be later than this by then.
    Keep(Key),
    /// Say that to all.
    ToAll(Packet),
    /// Say that to one.
    To(NodeId, Packet),
}

/// The moment: both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The monotonic one.
    pub at: Instant,
    /// The wall clock: milliseconds since 1970.
    pub wall_ms: u64,
}

/// What has happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records taken from others.
    pub taken: u64,
    /// Records given in repairs.
    pub given: u64,
    /// Repairs begun, and those that came to their end.
    pub repairs: u64,
    /// As above.
    pub repaired: u64,
    /// Digests told.
    pub digests: u64,
}

/// A node's part.
#[derive(Debug)]
pub struct Exchange {
    replica: Replica,
    rng: Rng,
    pace: Pace,
    /// Whom to ask, whose digest it was, and from when on.
    next: Option<(NodeId, u64, Instant)>,
    running: Option<Running>,
    fruitless: VecDeque<((u64, u64), u8)>,
    round: u32,
    expire_at: Instant,
    outputs: VecDeque<Output>,
    /// What has happened.
    pub counters: Counters,
}

#[derive(Debug)]
struct Running {
    repair: Repair,
    until: Instant,
    /// Its digests at the start, and whether anything has changed hands since.
    roots: (u64, u64),
    moved: bool,
}

impl Exchange {
    /// The part of node `me`, which has no records yet.
    #[must_use]
    pub fn new(now: Now, me: NodeId, limits: Limits, mut rng: Rng) -> Self {
        let pace = Pace::new(now.at, &mut rng);
        Self {
            replica: Replica::new(me, limits),
            // A node that starts anew takes no answer for its own that was meant for the one before.
            round: rng.next_u32(),
            rng,
            pace,
            next: None,
            running: None,
            fruitless: VecDeque::new(),
            expire_at: now.at,
            outputs: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// The records.
    #[must_use]
    pub const fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Takes in what was read from disk, best what stands before what was deleted. Returns the keys of which nothing is to be on the disk any more:
    /// of tombstones for which there is no room.
    ///
    /// # Errors
    /// As [`Replica::restore`]: what stands there is not taken in.
    pub fn restore(&mut self, now: Now, entry: Entry) -> Result<Vec<Key>, RecordError> {
        let deleted = entry.record.is_tombstone().then(|| entry.key.clone());
        match (self.replica.restore(now.wall_ms, entry), deleted) {
            (Ok(()), _) => Ok(self.replica.forgotten()),
            (Err(RecordError::Full { .. }), Some(key)) => Ok(vec![key]),
            (Err(error), _) => Err(error),
        }
    }

    /// Stamps what is to stand at `key`; `None` when it does already. Nothing has changed until [`Exchange::write`].
    ///
    /// # Errors
    /// [`RecordError`] says why it cannot stand there.
    pub fn stage(&mut self, now: Now, key: Key, value: Option<Vec<u8>>) -> Result<Option<Entry>, RecordError> {
        self.replica.stage(now.wall_ms, key, value)
    }

    /// Puts in its place what was staged, and kept on disk since, and tells the others.
    pub fn write(&mut self, now: Now, entry: Entry) {
        self.replica.commit(entry.clone());
        self.keep_forgotten();
        self.tell(entry);
        self.pace.hurry(now.at, &mut self.rng);
    }

    /// Something shows that a part of the lattice has come within reach.
    pub fn reunited(&mut self, now: Now) {
        self.pace.hurry(now.at, &mut self.rng);
    }

    /// Takes in what another says.
    pub fn packet(&mut self, now: Now, packet: Packet) {
        let Packet { from, round, message } = packet;
        if from == self.replica.me() {
            return;
        }
        match message {
            Message::News(entries) => {
                self.take(now, entries);
            }
            Message::Digest(root) => self.digest(now, from, root),
            Message::Compare { buckets, from: first } => {
                if let Some(summary) = repair::summary(&self.replica, &buckets, first) {
                    self.say(from, round, Message::Summary(summary));
                }
            }
            Message::Trade { give, want } => {
                let records = repair::wanted(&self.replica, &want);
                self.counters.given += records.len() as u64;
                self.take(now, give);
                self.say(from, round, Message::Records(records));
            }
            Message::Summary(summary) => {
                if let Some(running) = answered(&mut self.running, from, round) {
                    let step = running.repair.summary(&self.replica, &summary);
                    self.step(now, step);
                }
            }
            Message::Records(entries) => {
                let hashes: Vec<u64> = entries.iter().map(|entry| entry.key.hash()).collect();
                let moved = self.take(now, entries);
                if let Some(running) = answered(&mut self.running, from, round) {
                    running.moved |= moved;
                    let step = running.repair.records(&self.replica, &hashes);
                    self.step(now, step);
                }
            }
        }
    }

    /// When to call [`Exchange::tick`].
    #[must_use]
    pub fn due(&self) -> Instant {
        let repair = match (&self.running, &self.next) {
            (Some(running), _) => Some(running.until),
            (None, Some((_, _, at))) => Some(*at),
            (None, None) => None,
        };
        let soonest = self.pace.due().min(self.expire_at);
        repair.map_or(soonest, |at| at.min(soonest))
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Now) {
        if self.expire_at <= now.at {
            self.expire_at = now.at + EXPIRY;
            let gone = self.replica.expire();
            self.outputs.extend(gone.into_iter().map(Output::Keep));
        }
        if self.running.as_ref().is_some_and(|running| running.until <= now.at) {
            self.running = None;
            self.pace.hurry(now.at, &mut self.rng);
        }
        if self.running.is_none()
            && let Some((peer, root, _)) = self.next.take_if(|(_, _, at)| *at <= now.at)
            && root != self.replica.root()
        {
            self.begin(now, peer, root);
        }
        if self.pace.poll(now.at, &mut self.rng) {
            self.counters.digests += 1;
            let digest = Message::Digest(self.replica.root());
            self.outputs.push_back(Output::ToAll(self.packet_of(0, digest)));
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn digest(&mut self, now: Now, from: NodeId, root: u64) {
        let mine = self.replica.root();
        if root == mine || self.is_futile((mine, root)) {
            return self.pace.agree();
        }
        self.pace.hurry(now.at, &mut self.rng);
        if self.next.is_none() {
            let nanos = SPREAD.as_nanos().try_into().unwrap_or(u64::MAX);
            self.next = Some((from, root, now.at + Duration::from_nanos(self.rng.next_u64() % nanos)));
        }
    }

    fn begin(&mut self, now: Now, peer: NodeId, root: u64) {
        self.counters.repairs += 1;
        self.round = self.round.wrapping_add(1);
        let roots = (self.replica.root(), root);
        let (repair, first) = Repair::begin(peer, self.round, &self.replica);
        self.say(peer, self.round, first);
        self.running = Some(Running { repair, until: now.at + PATIENCE, roots, moved: false });
    }

    fn step(&mut self, now: Now, step: Step) {
        let Some(running) = &mut self.running else { return };
        match step {
            Step::Wait => {}
            Step::Ask(message) => {
                running.until = now.at + PATIENCE;
                if let Message::Trade { give, .. } = &message {
                    self.counters.given += give.len() as u64;
                }
                let (peer, round) = (running.repair.peer, running.repair.round);
                self.say(peer, round, message);
            }
            Step::Done => {
                let (roots, moved) = (running.roots, running.moved);
                self.running = None;
                self.counters.repaired += 1;
                if moved {
                    self.pace.hurry(now.at, &mut self.rng);
                } else {
                    self.came_to_nothing(roots);
                }
            }
        }
    }

    /// Nothing was to be had from repairing those two.
    fn came_to_nothing(&mut self, roots: (u64, u64)) {
        if let Some((_, attempts)) = self.fruitless.iter_mut().find(|(known, _)| *known == roots) {
            *attempts = attempts.saturating_add(1);
            return;
        }
        if self.fruitless.len() == FRUITLESS_MAX {
            self.fruitless.pop_front();
        }
        self.fruitless.push_back((roots, 1));
    }

    fn is_futile(&self, roots: (u64, u64)) -> bool {
        self.fruitless.iter().any(|(known, attempts)| *known == roots && *attempts >= ATTEMPTS_MAX)
    }

    /// Merges what has come; true when anything has changed.
    fn take(&mut self, now: Now, entries: Vec<Entry>) -> bool {
        let mut changed = false;
        for entry in entries {
            let key = entry.key.clone();
            match self.replica.merge(now.wall_ms, entry) {
                Merged::Known => {}
                Merged::Taken => {
                    changed = true;
                    self.counters.taken += 1;
                    self.outputs.push_back(Output::Keep(key));
                }
                Merged::Reasserted(entry) => {
                    changed = true;
                    self.outputs.push_back(Output::Keep(key));
                    self.tell(entry);
                }
                Merged::Refused(error) => tracing::debug!(%error, "a record was not taken"),
            }
            self.keep_forgotten();
        }
        if changed {
            self.pace.hurry(now.at, &mut self.rng);
        }
        changed
    }

    /// What was forgotten for want of room goes from the disk as well, which would be full of it in time.
    fn keep_forgotten(&mut self) {
        let gone = self.replica.forgotten();
        self.outputs.extend(gone.into_iter().map(Output::Keep));
    }

    fn tell(&mut self, entry: Entry) {
        let news = self.packet_of(0, Message::News(vec![entry]));
        self.outputs.push_back(Output::ToAll(news));
    }

    fn say(&mut self, to: NodeId, round: u32, message: Message) {
        let packet = self.packet_of(round, message);
        self.outputs.push_back(Output::To(to, packet));
    }

    fn packet_of(&self, round: u32, message: Message) -> Packet {
        Packet { from: self.replica.me(), round, message }
    }
}

/// The repair that this is an answer to.
fn answered(running: &mut Option<Running>, from: NodeId, round: u32) -> Option<&mut Running> {
    running.as_mut().filter(|running| running.repair.peer == from && running.repair.round == round)
}
