//! What chance and cuts did to datagrams, one by one: to be read after a run, and to be made to happen again in another.
//!
//! A fate names its datagram by its number on the way from one host to the other, so that a run with "5 % loss" can be
//! told again as the list of packets that were lost, and the list made shorter. What follows from a link's limits (its
//! rate, its queue, its MTU) is no fate: it happens again by itself. Streams have none.

use super::faults::FaultId;
use crate::clock::Nanos;
use crate::exec::HostId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Fates that are kept; later ones are counted only.
const FATES_MAX: usize = 100_000;

/// Something that befell one datagram. One that was duplicated and corrupted has two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fate {
    /// The host that sent it.
    pub from: HostId,
    /// The host that it was for.
    pub to: HostId,
    /// How many datagrams `from` had sent to `to` before.
    pub nth: u64,
    /// What befell it.
    pub what: FateKind,
    /// Of a datagram that was overtaken, or of the second copy: how much longer than the link's delay it took.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub late_ns: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What can befall a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FateKind {
    /// It was lost, by itself.
    Lost,
    /// It was lost in a burst.
    LostInBurst,
    /// A second copy arrived.
    Duplicated,
    /// Later ones overtook it.
    Reordered,
    /// Bits of it were flipped; which, the world's seed and its number decide.
    Corrupted,
    /// A partition or a cut was in its way.
    Cut,
    /// A partition or a cut fell while it was under way.
    CutUnderWay,
}

/// What chance decides about one datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Luck {
    /// How it ends, if it does not arrive.
    pub(super) ends: Option<FateKind>,
    /// How much longer than the delay it takes, when it is overtaken.
    pub(super) reordered: Option<Nanos>,
    /// How much longer than the delay its second copy takes.
    pub(super) duplicated: Option<Nanos>,
    pub(super) corrupted: bool,
}

impl Luck {
    fn add(&mut self, fate: &Fate) {
        match fate.what {
            FateKind::Lost | FateKind::LostInBurst | FateKind::Cut | FateKind::CutUnderWay => {
                self.ends = Some(fate.what);
            }
            FateKind::Duplicated => self.duplicated = Some(fate.late_ns),
            FateKind::Reordered => self.reordered = Some(fate.late_ns),
            FateKind::Corrupted => self.corrupted = true,
        }
    }
}

/// The fates that were, and those that shall be.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    recorded: Vec<Fate>,
    total: u64,
    forced: BTreeMap<(HostId, HostId, u64), (Luck, FaultId)>,
}

impl Ledger {
    pub(super) fn record(&mut self, from: HostId, to: HostId, nth: u64, what: FateKind, late_ns: Nanos) {
        self.total += 1;
        if self.recorded.len() < FATES_MAX {
            self.recorded.push(Fate { from, to, nth, what, late_ns });
        }
    }

    /// Fates in the order in which they befell, the first 100,000.
    pub(crate) fn recorded(&self) -> &[Fate] {
        &self.recorded
    }

    /// How many there were.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Lets `fates` happen, in the name of `fault`.
    pub(crate) fn force(&mut self, fault: FaultId, fates: &[Fate]) {
        for fate in fates {
            let entry = self.forced.entry((fate.from, fate.to, fate.nth));
            let (luck, by) = entry.or_insert((Luck::default(), fault));
            luck.add(fate);
            *by = fault;
        }
    }

    /// Leaves to chance what `fault` has not decided yet.
    pub(crate) fn release(&mut self, fault: FaultId) {
        self.forced.retain(|_, (_, by)| *by != fault);
    }

    /// What shall befall this datagram, if that has been said.
    pub(super) fn forced(&mut self, from: HostId, to: HostId, nth: u64) -> Option<(Luck, FaultId)> {
        if self.forced.is_empty() { None } else { self.forced.remove(&(from, to, nth)) }
    }
}
