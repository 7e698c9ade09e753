use super::window::Window;
use crate::mesh::start_of_time;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

/// The size of every packet here.
const PACKET: u64 = 1_400;
const SECOND: u64 = 1_000_000_000;
/// The transport paces five quarters of a window a round trip, in bursts of so many packets or of 2 ms.
const BURST: f64 = 10.0;

/// A line with a queue in front of it, and the way back without one.
#[derive(Clone, Copy)]
struct Line {
    /// Bytes a second.
    rate: f64,
    queue: f64,
    /// Nanoseconds each way.
    delay: u64,
    loss: f64,
}

/// 50 Mbit/s, 40 ms, 256 KiB.
const THIN: Line = Line { rate: 6.25e6, queue: 262_144.0, delay: 20_000_000, loss: 0.0 };

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// Of a sender: it may send.
    Wake(usize),
    /// Of a sender: the packets of this number and the one before have arrived, and it hears of it.
    Acked(usize, u64),
}

/// One end, which always has something to send.
struct Sender {
    window: Window,
    next: u64,
    in_flight: BTreeMap<u64, u64>,
    /// What arrived, and was not acknowledged yet.
    arrived: VecDeque<u64>,
    round_trip: f64,
    tokens: f64,
    paced_at: u64,
    sent: u64,
    lost: u64,
    /// Bytes that were delivered, by second.
    delivered: Vec<u64>,
}

impl Sender {
    fn in_flight(&self) -> u64 {
        self.in_flight.len() as u64 * PACKET
    }

    /// Whether a packet may go; else when to look again, if that is not when something is acknowledged.
    fn may_send(&mut self, now: u64) -> Result<(), Option<u64>> {
        let window = self.window.bytes();
        if self.in_flight() + PACKET >= window {
            return Err(None);
        }
        let rate = window as f64 * 1.25 / self.round_trip;
        let most = (window as f64 / self.round_trip * 0.002).max(BURST * PACKET as f64);
        self.tokens = (self.tokens + rate * (now - self.paced_at) as f64 / 1e9).min(most);
        self.paced_at = now;
        if self.tokens < PACKET as f64 {
            return Err(Some(now + ((most - self.tokens) / rate * 1e9) as u64));
        }
        Ok(())
    }
}

struct World {
    origin: Instant,
    now: u64,
    line: Line,
    busy_until: u64,
    senders: Vec<Sender>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    chance: u64,
    /// The longest queue of each second, in seconds.
    queue: Vec<f64>,
}

impl World {
    fn new(line: Line) -> Self {
        Self {
            origin: start_of_time(),
            now: 0,
            line,
            busy_until: 0,
            senders: Vec::new(),
            events: BinaryHeap::new(),
            order: 0,
            chance: 0x9E37_79B9_7F4A_7C15,
            queue: Vec::new(),
        }
    }

    fn at(&self, nanos: u64) -> Instant {
        self.origin + Duration::from_nanos(nanos)
    }

    /// Another sender starts now.
    fn join(&mut self) {
        let window = Window::new(self.at(self.now), PACKET as u16);
        let sender = Sender {
            window,
            next: 0,
            in_flight: BTreeMap::new(),
            arrived: VecDeque::new(),
            round_trip: 0.1,
            tokens: BURST * PACKET as f64,
            paced_at: self.now,
            sent: 0,
            lost: 0,
            delivered: Vec::new(),
        };
        self.senders.push(sender);
        self.schedule(self.now, Event::Wake(self.senders.len() - 1));
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at, self.order, event)));
    }

    fn is_lost(&mut self) -> bool {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        ((self.chance >> 11) as f64 / (1u64 << 53) as f64) < self.line.loss
    }

    fn run(&mut self, seconds: u64) -> &mut Self {
        self.run_until(self.now + seconds * SECOND)
    }

    fn run_until(&mut self, until: u64) -> &mut Self {
        while let Some(&Reverse((at, _, event))) = self.events.peek()
            && at <= until
        {
            self.events.pop();
            self.now = at;
            match event {
                Event::Wake(i) => self.send(i),
                Event::Acked(i, number) => self.acked(i, number),
            }
        }
        self.now = until;
        self
    }

    fn send(&mut self, i: usize) {
        loop {
            match self.senders[i].may_send(self.now) {
                Ok(()) => self.send_one(i),
                Err(Some(again)) => return self.schedule(again, Event::Wake(i)),
                Err(None) => return,
            }
        }
    }

    fn send_one(&mut self, i: usize) {
        let sender = &mut self.senders[i];
        let number = sender.next;
        sender.next += 1;
        sender.sent += 1;
        sender.tokens -= PACKET as f64;
        sender.in_flight.insert(number, self.now);
        let waiting = self.busy_until.saturating_sub(self.now) as f64 / 1e9;
        let second = (self.now / SECOND) as usize;
        self.queue.resize(self.queue.len().max(second + 1), 0.0);
        self.queue[second] = self.queue[second].max(waiting);
        if waiting * self.line.rate > self.line.queue {
            return;
        }
        self.busy_until = self.busy_until.max(self.now) + (PACKET as f64 / self.line.rate * 1e9) as u64;
        if !self.is_lost() {
            let heard = self.busy_until + 2 * self.line.delay;
            self.schedule(heard, Event::Acked(i, number));
        }
    }

    /// Every second packet is acknowledged, with all that has arrived before it.
    fn acked(&mut self, i: usize, number: u64) {
        let (now, second) = (self.at(self.now), (self.now / SECOND) as usize);
        let origin = self.origin;
        let sender = &mut self.senders[i];
        sender.delivered.resize(sender.delivered.len().max(second + 1), 0);
        sender.delivered[second] += PACKET;
        sender.arrived.push_back(number);
        if sender.arrived.len() < 2 && sender.in_flight.len() > 1 {
            return;
        }
        for number in std::mem::take(&mut sender.arrived) {
            let Some(sent) = sender.in_flight.remove(&number) else { continue };
            let took = (self.now - sent) as f64 / 1e9;
            sender.round_trip = if sender.round_trip == 0.1 { took } else { sender.round_trip * 0.875 + took * 0.125 };
            sender.window.acked(origin + Duration::from_nanos(sent), PACKET, false);
        }
        sender.window.acked_all(now);
        let lost: Vec<(u64, u64)> = sender.in_flight.range(..number.saturating_sub(2)).map(|(n, s)| (*n, *s)).collect();
        if let Some((_, last)) = lost.last() {
            sender.lost += lost.len() as u64;
            sender.window.lost(now, origin + Duration::from_nanos(*last), lost.len() as u64 * PACKET);
        }
        for (number, _) in lost {
            sender.in_flight.remove(&number);
        }
        self.send(i);
    }

    /// What sender `i` got of the line in those seconds.
    fn share(&self, i: usize, seconds: std::ops::Range<usize>) -> f64 {
        let time = seconds.len() as f64;
        let delivered = self.senders[i].delivered.get(seconds).map_or(0, |bytes| bytes.iter().sum());
        delivered as f64 / (self.line.rate * time)
    }

    /// What was lost beyond chance, of what was sent.
    fn waste(&self, i: usize) -> f64 {
        self.senders[i].lost as f64 / self.senders[i].sent as f64 - self.line.loss
    }
}

fn alone(line: Line) -> World {
    let mut world = World::new(line);
    world.join();
    world
}

/// Goal: chance losses change next to nothing, up to what a bad line loses; and the queue stays short.
#[test]
fn losses_by_chance_are_no_reason_to_send_less() {
    for loss in [0.0, 0.01, 0.03, 0.05, 0.1] {
        let mut world = alone(Line { loss, ..THIN });
        world.run(20);
        assert!(world.share(0, 0..20) > 0.96 - loss, "{loss}: {}", world.share(0, 0..20));
        assert!(world.waste(0) < 0.01, "{loss}: {}", world.waste(0));
        let longest = world.queue[2..].iter().fold(0.0, |most: f64, queue| most.max(*queue));
        assert!(longest < 0.02, "{loss}: {longest}");
    }
}

/// Goal: ten times less, and ten times more, are found out within two seconds.
#[test]
fn follows_a_line_that_changes() {
    for loss in [0.0, 0.03] {
        let mut world = alone(Line { loss, ..THIN });
        world.run(10);
        world.line.rate /= 10.0;
        world.run(10);
        assert!(world.queue[12..].iter().all(|queue| *queue < 0.07), "{loss}: {:?}", world.queue);
        assert!(world.share(0, 12..20) > 0.93 - loss, "{loss}: {}", world.share(0, 12..20));
        world.line.rate *= 10.0;
        world.run(10);
        assert!(world.share(0, 22..30) > 0.93 - loss, "{loss}: {}", world.share(0, 22..30));
        assert!(world.waste(0) < 0.02, "{loss}: {}", world.waste(0));
    }
}

/// Goal: a way that becomes longer is not taken for a queue for long.
#[test]
fn follows_a_way_that_becomes_longer() {
    let mut world = alone(THIN);
    world.run(10);
    world.line.delay *= 5;
    world.run(10);
    assert!(world.share(0, 13..20) > 0.9, "{}", world.share(0, 13..20));
}

/// Goal: a queue that is shorter than what packets may wait elsewhere is not overfilled for ever.
#[test]
fn finds_out_how_short_a_queue_is() {
    let mut world = alone(Line { queue: 16_384.0, ..THIN });
    world.run(20);
    assert!(world.share(0, 5..20) > 0.9, "{}", world.share(0, 5..20));
    assert!(world.waste(0) < 0.05, "{}", world.waste(0));
}

/// Goal: a line on which one packet takes a tenth of a second is full, and its queue is a few packets.
#[test]
fn fills_a_very_thin_line_with_a_few_packets() {
    let mut world = alone(Line { rate: 12_500.0, ..THIN });
    world.run(60);
    assert!(world.share(0, 10..60) > 0.95, "{}", world.share(0, 10..60));
    assert!(world.queue[30..].iter().all(|queue| *queue < 0.6), "{:?}", world.queue);
}

/// Goal: a fast and short line is full.
#[test]
fn fills_a_fast_line() {
    let mut world = alone(Line { rate: 125e6, queue: 1e6, delay: 150_000, loss: 0.0 });
    world.run(3);
    assert!(world.share(0, 1..3) > 0.97, "{}", world.share(0, 1..3));
}

/// Goal: who comes later gets a part, who was first keeps one, and the queue does not fill up.
#[test]
fn links_share_a_line() {
    for loss in [0.0, 0.03] {
        let mut world = alone(Line { loss, ..THIN });
        world.run(5);
        world.join();
        world.run(5);
        world.join();
        world.run(50);
        let shares: Vec<f64> = (0..3).map(|i| world.share(i, 30..60)).collect();
        assert!(shares.iter().sum::<f64>() > 0.93 - loss, "{loss}: {shares:?}");
        assert!(shares.iter().all(|share| *share > 0.12), "{loss}: {shares:?}");
        assert!((0..3).all(|i| world.waste(i) < 0.01), "{loss}");
    }
}

/// Goal: little to send says nothing of the line; when it was little for long, half of what was known counts.
#[test]
fn little_to_send_is_no_sign_of_a_thin_line() {
    let mut world = alone(THIN);
    world.run(5);
    let (mut window, before) = (world.senders[0].window.clone(), world.senders[0].window.bytes());
    let mut now = world.now;
    let mut trickle = |window: &mut Window, seconds: u64| {
        let until = now + seconds * SECOND;
        while now < until {
            let sent = world.at(now);
            now += 40_000_000;
            window.acked(sent, 100, true);
            window.acked_all(world.at(now));
        }
    };
    trickle(&mut window, 8);
    assert!(window.bytes() >= before, "{} of {before}", window.bytes());
    trickle(&mut window, 5);
    assert!(window.bytes() < before, "{} of {before}", window.bytes());
    trickle(&mut window, 120);
    assert_eq!(window.bytes(), window.initial());
}

/// Goal: a time without a queue ends though there is less to send, so that what comes then finds the whole window.
#[test]
fn little_to_send_ends_a_time_without_a_queue() {
    let mut world = alone(THIN);
    let full = 5..10;
    world.run(full.end as u64);
    let mut least = world.senders[0].window.clone();
    // Some moment or other is in such a time: its window is the smallest.
    for _ in 0..1_000 {
        let until = world.now + 2_000_000;
        world.run_until(until);
        if world.senders[0].window.bytes() < least.bytes() {
            least = world.senders[0].window.clone();
        }
    }
    let before = world.senders[0].window.bytes().max(least.bytes() + 1);
    let mut now = world.now;
    for _ in 0..20 {
        let sent = world.at(now);
        now += 40_000_000;
        least.acked(sent, 100, true);
        least.acked_all(world.at(now));
    }
    assert!(least.bytes() * 20 >= before * 19, "{} of {before}", least.bytes());
}

/// Goal: after a cut it begins anew.
#[test]
fn a_cut_makes_it_begin_anew() {
    let mut world = alone(THIN);
    world.run(5);
    let now = world.at(world.now);
    let window = &mut world.senders[0].window;
    assert!(window.bytes() > window.initial());
    window.cut(now);
    assert_eq!(window.bytes(), window.initial());
}
