//! What all handles of a world share: its clock, its agenda and its network.

use crate::agenda::{Agenda, Event};
use crate::clock::{Clock, HostClock, Nanos};
use crate::exec::{HostId, Inbox};
use crate::guarded::Guarded;
use crate::lan::Segments;
use crate::link::Links;
use crate::net::Datagrams;
use crate::ports::Addresses;
use crate::rng::TraceHash;
use crate::stream::{StreamConfig, Streams};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Waker;

/// A world without its tasks.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) seed: u64,
    pub(crate) hosts: usize,
    pub(crate) clock: Clock,
    /// One for each host.
    pub(crate) clocks: Vec<HostClock>,
    pub(crate) inbox: Arc<Inbox>,
    state: Guarded<State>,
}

/// What changes as time goes on.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) agenda: Agenda,
    pub(crate) links: Links,
    pub(crate) addresses: Addresses,
    pub(crate) trace: TraceHash,
    pub(crate) datagrams: Datagrams,
    pub(crate) streams: Streams,
    pub(crate) segments: Segments,
    wakes: Vec<Waker>,
}

/// What a packet touches on its way, whichever protocol it belongs to.
pub(crate) struct Wire<'a> {
    pub(crate) now: Nanos,
    pub(crate) agenda: &'a mut Agenda,
    pub(crate) links: &'a mut Links,
    pub(crate) addresses: &'a Addresses,
    pub(crate) trace: &'a mut TraceHash,
    pub(crate) wakes: &'a mut Vec<Waker>,
}

impl State {
    pub(crate) fn new(seed: u64, hosts: usize, links: Links, streams: StreamConfig) -> Self {
        Self {
            agenda: Agenda::default(),
            links,
            addresses: Addresses::new(hosts),
            trace: TraceHash::new(seed),
            datagrams: Datagrams::new(hosts),
            streams: Streams::new(hosts, streams),
            segments: Segments::new(hosts),
            wakes: Vec::new(),
        }
    }

    pub(crate) fn datagrams(&mut self, now: Nanos) -> (&mut Datagrams, Wire<'_>) {
        let Self { agenda, links, addresses, trace, datagrams, wakes, streams: _, segments: _ } = self;
        (datagrams, Wire { now, agenda, links, addresses, trace, wakes })
    }

    pub(crate) fn streams(&mut self, now: Nanos) -> (&mut Streams, Wire<'_>) {
        let Self { agenda, links, addresses, trace, streams, wakes, datagrams: _, segments: _ } = self;
        (streams, Wire { now, agenda, links, addresses, trace, wakes })
    }

    /// Lets everything happen that is due at `now`.
    fn fire(&mut self, now: Nanos) {
        while let Some(event) = self.agenda.pop_due(now) {
            match event {
                Event::Timer(timer) => self.wakes.extend(self.agenda.fire(timer)),
                Event::Datagram(slot) => {
                    let (datagrams, mut wire) = self.datagrams(now);
                    datagrams.arrive(&mut wire, slot);
                }
                Event::Stream(event) => {
                    let (streams, mut wire) = self.streams(now);
                    streams.handle(&mut wire, event);
                }
            }
        }
    }
}

impl Kernel {
    pub(crate) fn new(seed: u64, hosts: usize, inbox: Arc<Inbox>, state: State) -> Self {
        let clocks = (0..hosts).map(|_| HostClock::default()).collect();
        Self { seed, hosts, clock: Clock::new(), clocks, inbox, state: Guarded::new(state) }
    }

    /// Changes the state, then wakes whom that concerns. Wakers run code of others, so the lock is let go first.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut State, Nanos) -> R) -> R {
        let (result, wakes) = {
            let mut state = self.state.lock();
            let result = change(&mut state, self.clock.now());
            (result, std::mem::take(&mut state.wakes))
        };
        wakes.into_iter().for_each(Waker::wake);
        result
    }

    /// The present address of `host`, with `port`.
    pub(crate) fn addr(&self, host: HostId, port: u16) -> SocketAddr {
        (self.state.lock().addresses.of(host), port).into()
    }

    /// When something happens next.
    pub(crate) fn next_due(&self) -> Option<Nanos> {
        self.state.lock().agenda.next_due()
    }

    /// Moves on to `at` and lets everything happen that is due then.
    pub(crate) fn advance(&self, at: Nanos) {
        self.clock.advance(at);
        self.with(State::fire);
    }
}
