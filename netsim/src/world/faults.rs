//! What a test does to the network of a world, and takes back.

use super::World;
use crate::clock::Nanos;
use crate::link::{Degrade, Fate, FaultId, Link, Links};
use std::fmt;

impl World {
    /// Gives the direction from one host to another its own link.
    pub fn link(&mut self, from: usize, to: usize, link: Link) {
        self.kernel.with(|state, _| state.links.set(from, to, link));
    }

    /// Lets nothing through from now on but between these pairs of hosts, both ways: the others are out of each other's
    /// reach. It is no fault, and [`World::heal`] does not end it.
    pub fn close(&mut self, pairs: &[(usize, usize)]) {
        self.kernel.with(|state, _| state.links.close(pairs));
    }

    /// Lets nothing through between hosts of different groups. A host in no group is not affected.
    pub fn partition(&mut self, groups: &[&[usize]]) -> FaultId {
        self.fault(|links, now| links.faults.partition(now, groups))
    }

    /// Lets nothing through between two hosts.
    pub fn cut(&mut self, a: usize, b: usize) -> FaultId {
        self.cut_all(&[a], &[b], true)
    }

    /// Lets nothing through from one host to another; the other way stays open.
    pub fn cut_one_way(&mut self, from: usize, to: usize) -> FaultId {
        self.cut_all(&[from], &[to], false)
    }

    /// Lets nothing through from any of one set to any of another, and the other way if `both_ways`.
    pub fn cut_all(&mut self, from: &[usize], to: &[usize], both_ways: bool) -> FaultId {
        self.fault(|links, now| links.faults.cut(now, from, to, both_ways))
    }

    /// Lets nothing through between a host and all others.
    pub fn isolate(&mut self, host: usize) -> FaultId {
        let others: Vec<usize> = (0..self.slots.len()).filter(|other| *other != host).collect();
        self.cut_all(&[host], &others, true)
    }

    /// Worsens all links between any of one set and any of another, both ways.
    pub fn degrade(&mut self, a: &[usize], b: &[usize], by: Degrade) -> FaultId {
        self.degrade_all(a, b, true, by)
    }

    /// Worsens all links from any of one set to any of another; the other way stays as it is.
    pub fn degrade_one_way(&mut self, from: &[usize], to: &[usize], by: Degrade) -> FaultId {
        self.degrade_all(from, to, false, by)
    }

    /// Worsens all links from any of one set to any of another, and the other way if `both_ways`.
    pub fn degrade_all(&mut self, from: &[usize], to: &[usize], both_ways: bool, by: Degrade) -> FaultId {
        self.fault(|links, now| links.faults.degrade(now, from, to, both_ways, by))
    }

    /// Lets `fates` befall the datagrams that they name, and chance nothing else to those. Each that does is a hit; one
    /// whose datagram is never sent, or has been, is none. A cut that is in the way goes before.
    ///
    /// The fates of one run, forced in another of the same seed whose links leave nothing but the jitter to chance, make
    /// the same run again as far as datagrams decide it: losses also cost streams time, and that has no fate.
    /// A second copy that a cut caught under way has none either. [`World::heal`] does not end it.
    pub fn force(&mut self, fates: &[Fate]) -> FaultId {
        self.fault(|links, now| {
            let fault = links.faults.note(now, format!("{} fates", fates.len()));
            links.ledger.force(fault, fates);
            fault
        })
    }

    /// Gives host `i` another address, as a router or an address lease does that changes under running programs. From
    /// now on it sends from the new one, and what is sent to the old one, or under way to it, is unheard. Its datagram
    /// sockets and listeners stay open, those bound to the old address too. Streams between it and other hosts stall
    /// and time out, those within it go on. The name `host-i` leads to the new address.
    ///
    /// Its hits are the datagrams and segments that it stopped. After 255 changes the addresses come again.
    pub fn readdress(&mut self, i: usize) -> FaultId {
        let fault = self.fault(|links, now| links.faults.note(now, format!("another address for {i}")));
        self.kernel.with(|state, now| {
            state.addresses.change(i, fault);
            state.streams.strand(i, fault);
            state.links.faults.lift(now, fault);
        });
        fault
    }

    /// Resets all streams of host `i`, those within it and those being dialled too, as something on the way may that
    /// has had enough of them: both ends fail, now. Its hits are the streams.
    pub fn reset_streams(&mut self, i: usize) -> FaultId {
        let fault = self.fault(|links, now| links.faults.note(now, format!("reset of the streams of {i}")));
        self.kernel.with(|state, now| {
            let (streams, mut wire) = state.streams(now);
            let streams = streams.reset(&mut wire, i);
            state.links.faults.bite(fault, streams);
            state.links.faults.lift(now, fault);
        });
        fault
    }

    pub(super) fn fault(&mut self, strike: impl FnOnce(&mut Links, Nanos) -> FaultId) -> FaultId {
        self.kernel.with(|state, now| {
            let fault = strike(&mut state.links, now);
            state.trace.word(now);
            state.trace.bytes(state.links.faults.what(fault).as_bytes());
            fault
        })
    }

    /// Ends one fault: a link is as it was, a clock runs true or is set right. Hosts that are down or paused stay so.
    pub fn lift(&mut self, fault: FaultId) {
        self.mark(format_args!("lift {}", fault.0));
        self.right_clocks(fault);
        self.kernel.with(|state, now| state.links.lift(now, fault));
    }

    /// Ends all faults upon links. Hosts that are down or paused stay so, clocks that are wrong too.
    pub fn heal(&mut self) {
        self.mark(format_args!("heal"));
        self.kernel.with(|state, now| state.links.faults.heal(now));
    }

    pub(super) fn mark(&mut self, what: fmt::Arguments<'_>) {
        self.kernel.with(|state, now| {
            state.trace.word(now);
            state.trace.bytes(what.to_string().as_bytes());
        });
    }
}
