//! Copies of the records on a network that loses, doubles and delays, in virtual time: one seed, one course.

use super::super::exchange::{Exchange, Now, Output};
use super::super::wire::{Message, PACKET_MAX, Packet};
use super::super::{Entry, Key, Limits, Record};
use super::{NOW, node};
use lattice_broker::env::Rng;
use rand_core::{Rng as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A packet on its way: when it arrives, what number it has, to whom it goes.
type Flight = (Duration, u64, usize);

pub(super) struct Network {
    rng: Rng,
    start: Instant,
    now: Duration,
    nodes: Vec<Node>,
    flying: BTreeMap<Flight, (usize, Packet)>,
    number: u64,
    /// Of a hundred packets, how many are lost, and how many come twice.
    faults: u64,
    /// Which part each node is in.
    parts: Vec<u64>,
    /// What each owner has last said at its own keys.
    said: BTreeMap<Key, Option<Vec<u8>>>,
    pub(super) sent: u64,
    pub(super) sent_bytes: u64,
}

struct Node {
    exchange: Exchange,
    disk: BTreeMap<Key, Record>,
    /// What its wall clock says when the network's begins.
    wall_ms: u64,
    moved: u64,
}

#[expect(clippy::disallowed_methods, reason = "any instant will do, and there is no other way to one")]
fn some_instant() -> Instant {
    Instant::now()
}

impl Network {
    /// Nodes with clocks of all kinds, on a bad network.
    pub(super) fn new(seed: u64, nodes: usize) -> Self {
        let mut network = Self::perfect(seed, nodes);
        network.faults = 15;
        for n in 0..nodes {
            network.nodes[n].wall_ms = match network.dice(5) {
                0 => 1000,
                1 => NOW + 3_600_000,
                2 if n == 0 => NOW + 50 * 365 * 24 * 3_600_000,
                3 => NOW - 40_000,
                _ => NOW,
            };
        }
        network
    }

    /// Nodes with the right time, on a network that only takes its time.
    pub(super) fn perfect(seed: u64, nodes: usize) -> Self {
        let (mut rng, start) = (Rng::seed_from_u64(seed), some_instant());
        let now = Now { at: start, wall_ms: NOW };
        let exchange =
            |n, rng: &mut Rng| Exchange::new(now, node(n), Limits::default(), Rng::seed_from_u64(rng.next_u64()));
        let new = |n| Node { exchange: exchange(n, &mut rng), disk: BTreeMap::new(), wall_ms: NOW, moved: 0 };
        let list: Vec<Node> = (1..=u8::try_from(nodes).unwrap()).map(new).collect();
        Self {
            rng,
            start,
            now: Duration::ZERO,
            parts: vec![0; nodes],
            nodes: list,
            flying: BTreeMap::new(),
            number: 0,
            faults: 0,
            said: BTreeMap::new(),
            sent: 0,
            sent_bytes: 0,
        }
    }

    /// Writes, cuts, heals and restarts for so many seconds.
    pub(super) fn live(&mut self, secs: u64) {
        let until = self.now + Duration::from_secs(secs);
        while self.now < until {
            let n = self.pick();
            match self.dice(20) {
                0 => self.parts = (0..self.nodes.len()).map(|_| self.dice(2)).collect(),
                1 => self.restart(n),
                2 => self.nodes[n].wall_ms = [NOW, NOW + 1_000_000, 500][self.pick() % 3],
                _ => self.write_something(n),
            }
            let pause = Duration::from_millis(self.dice(3000));
            self.run(pause);
        }
    }

    pub(super) fn heal(&mut self) {
        self.parts.fill(0);
        for n in 0..self.nodes.len() {
            let now = self.moment(n);
            self.nodes[n].exchange.reunited(now);
        }
    }

    /// Goes on until all are alike, at most for so many seconds.
    pub(super) fn settle(&mut self, secs: u64) -> bool {
        let until = self.now + Duration::from_secs(secs);
        while self.now < until {
            self.run(Duration::from_millis(100));
            if self.roots().windows(2).all(|two| two[0] == two[1]) {
                return true;
            }
        }
        false
    }

    pub(super) fn run_for(&mut self, secs: u64) {
        self.run(Duration::from_secs(secs));
    }

    pub(super) fn roots(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.exchange.replica().root()).collect()
    }

    /// Records that have been taken.
    pub(super) fn moved(&self) -> u64 {
        self.nodes.iter().map(|node| node.exchange.counters.taken).sum()
    }

    /// What each has last said of itself stands everywhere, and what stands is on every disk.
    pub(super) fn check(&self) {
        for node in &self.nodes {
            for (key, value) in &self.said {
                assert_eq!(node.exchange.replica().get(key), value.as_deref(), "{key}");
            }
            let entries: BTreeMap<Key, Record> =
                node.exchange.replica().entries().cloned().map(|entry| (entry.key, entry.record)).collect();
            assert_eq!(node.disk, entries);
        }
    }

    pub(super) fn write(&mut self, n: usize, key: Key, value: Option<Vec<u8>>) {
        let now = self.moment(n);
        let node = &mut self.nodes[n];
        if let Some(entry) = node.exchange.stage(now, key.clone(), value.clone()).unwrap() {
            node.disk.insert(entry.key.clone(), entry.record.clone());
            node.exchange.write(now, entry);
        }
        if key.owner.is_some() {
            self.said.insert(key, value);
        }
        self.act(n);
    }

    /// Has a record on a node from the start.
    pub(super) fn seed(&mut self, n: usize, entry: &Entry) {
        let now = self.moment(n);
        self.nodes[n].exchange.restore(now, entry.clone()).unwrap();
    }

    pub(super) fn seed_all(&mut self, entry: &Entry) {
        (0..self.nodes.len()).for_each(|n| self.seed(n, entry));
    }

    /// Loses all that is on its way.
    pub(super) fn forget_packets(&mut self) {
        self.flying.clear();
        (self.sent, self.sent_bytes) = (0, 0);
    }

    /// Gives a node another bound; it has no records yet.
    pub(super) fn limit(&mut self, n: usize, limits: Limits) {
        let (now, id) = (self.moment(n), self.nodes[n].exchange.replica().me());
        self.nodes[n].exchange = Exchange::new(now, id, limits, Rng::seed_from_u64(1));
    }

    pub(super) fn inject(&mut self, packet: Packet) {
        let now = self.moment(0);
        self.nodes[0].exchange.packet(now, packet);
        self.act(0);
    }

    fn write_something(&mut self, n: usize) {
        let name = format!("key/{}", self.dice(5));
        let id = self.nodes[n].exchange.replica().me();
        let key = if self.dice(2) == 0 { Key::shared(name) } else { Key::owned(id, name) };
        let value = (self.dice(4) > 0).then(|| self.number.to_be_bytes().to_vec());
        self.number += 1;
        self.write(n, key, value);
    }

    /// The node begins another life, with what is on its disk.
    fn restart(&mut self, n: usize) {
        let (now, id) = (self.moment(n), self.nodes[n].exchange.replica().me());
        let mut exchange = Exchange::new(now, id, Limits::default(), Rng::seed_from_u64(self.rng.next_u64()));
        for (key, record) in &self.nodes[n].disk {
            exchange.restore(now, Entry { key: key.clone(), record: record.clone() }).unwrap();
        }
        self.nodes[n].exchange = exchange;
    }

    fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            let due = |node: &Node| node.exchange.due().saturating_duration_since(self.start);
            let (timer, n) = self.nodes.iter().enumerate().map(|(n, node)| (due(node), n)).min().unwrap();
            let arrival = self.flying.first_key_value().map(|(flight, _)| *flight);
            match arrival.filter(|(at, ..)| *at <= timer) {
                Some(flight) if flight.0 <= until => self.arrive(flight),
                None if timer <= until => {
                    self.now = self.now.max(timer);
                    let now = self.moment(n);
                    self.nodes[n].exchange.tick(now);
                    self.act(n);
                }
                Some(_) | None => {
                    self.now = until;
                    return;
                }
            }
        }
    }

    fn arrive(&mut self, flight: Flight) {
        let (at, _, to) = flight;
        self.now = self.now.max(at);
        let Some((from, packet)) = self.flying.remove(&flight) else { return };
        if self.parts[from] != self.parts[to] {
            return;
        }
        if let Message::Records(entries) | Message::News(entries) | Message::Trade { give: entries, .. } =
            &packet.message
        {
            self.nodes[to].moved += entries.len() as u64;
        }
        let now = self.moment(to);
        self.nodes[to].exchange.packet(now, packet);
        self.act(to);
    }

    fn act(&mut self, n: usize) {
        while let Some(output) = self.nodes[n].exchange.poll_output() {
            match output {
                Output::Keep(key) => {
                    let Node { exchange, disk, .. } = &mut self.nodes[n];
                    match exchange.replica().record(&key).cloned() {
                        Some(record) => drop(disk.insert(key, record)),
                        None => drop(disk.remove(&key)),
                    }
                }
                Output::ToAll(packet) => {
                    self.count(&packet);
                    (0..self.nodes.len()).for_each(|to| self.send(n, to, &packet));
                }
                Output::To(id, packet) => {
                    self.count(&packet);
                    let to = self.nodes.iter().position(|node| node.exchange.replica().me() == id);
                    to.into_iter().for_each(|to| self.send(n, to, &packet));
                }
            }
        }
    }

    fn count(&mut self, packet: &Packet) {
        let bytes = packet.encode();
        assert!(bytes.len() <= PACKET_MAX, "{} bytes", bytes.len());
        assert_eq!(Packet::decode(&bytes).unwrap(), *packet);
        self.sent += 1;
        self.sent_bytes += bytes.len() as u64;
    }

    fn send(&mut self, from: usize, to: usize, packet: &Packet) {
        let copies = match self.dice(100) {
            lost if lost < self.faults => 0,
            double if double < 2 * self.faults => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let delay = Duration::from_millis(1 + self.dice(if self.faults > 0 { 400 } else { 20 }));
            self.number += 1;
            self.flying.insert((self.now + delay, self.number, to), (from, packet.clone()));
        }
    }

    fn moment(&self, n: usize) -> Now {
        let passed = u64::try_from(self.now.as_millis()).unwrap();
        Now { at: self.start + self.now, wall_ms: self.nodes[n].wall_ms + passed }
    }

    fn dice(&mut self, sides: u64) -> u64 {
        self.rng.next_u64() % sides
    }

    fn pick(&mut self) -> usize {
        usize::try_from(self.dice(self.nodes.len() as u64)).unwrap()
    }
}
