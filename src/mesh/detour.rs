//! The ways round suspected links: which there are, and what has gone them.
//!
//! A link that is suspected may be dead, and is not given up yet. Others hear of it only later, by routes that count the
//! suspicion as a cost; until such routes are in force here what would go over it goes another way at once, where one is
//! known that does not lead back. No longer: that it does not lead back holds for the costs of before, and of two nodes
//! that each go round a link of their own the messages would go to and fro. What the link holds goes that way as well, as copies: once, however often the link's health is told anew. How
//! copies are made is left to `plane/recover.rs`.

use super::cost;
use super::driver::Driver;
use super::links::{Link, LinkId};
use super::plane::Table;
use super::spf::{Route, Routes};
use crate::identity::NodeId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The links that are suspected.
#[derive(Debug, Default)]
pub(super) struct Detours(BTreeMap<LinkId, Suspect>);

#[derive(Clone, Copy, Debug)]
struct Suspect {
    held: Held,
    /// How much it is doubted.
    doubt: u32,
    /// Routes that count this are in force.
    is_counted: bool,
}

/// Where what a suspected link holds has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// Nowhere yet.
    New,
    /// Where there was another way; a way to some node leads over the link still.
    Partly,
    /// Other ways, all of it.
    Wholly,
}

impl Detours {
    /// Notes how much a link is doubted, 0 for not at all. More than before is as a new suspicion: it has been used since.
    pub(super) fn note(&mut self, link: LinkId, doubt: u32) {
        if doubt == 0 {
            self.0.remove(&link);
        } else if self.doubt(link) < doubt {
            self.0.insert(link, Suspect { held: Held::New, doubt, is_counted: false });
        }
    }

    fn doubt(&self, link: LinkId) -> u32 {
        self.0.get(&link).map_or(0, |suspect| suspect.doubt)
    }

    /// The link has ended.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.0.remove(&link);
    }

    /// There are links for which routes have not been looked at since they became suspect.
    pub(super) fn is_news(&self) -> bool {
        self.0.values().any(|suspect| suspect.held == Held::New)
    }

    /// Whether to go round a link.
    fn is_avoided(&self, link: LinkId) -> bool {
        self.0.get(&link).is_some_and(|suspect| !suspect.is_counted)
    }

    /// Notes whether the table in force leads anywhere over a link that is suspected. Returns whether what it holds is to
    /// be copied.
    fn copies(&mut self, link: LinkId, is_used: bool) -> bool {
        let Some(Suspect { held, .. }) = self.0.get_mut(&link) else { return false };
        let before = std::mem::replace(held, if is_used { Held::Partly } else { Held::Wholly });
        before == Held::New || (before, *held) == (Held::Partly, Held::Wholly)
    }
}

impl Driver {
    /// The table for `routes`, with ways round the links that are suspected.
    pub(super) fn table(&self, routes: Arc<Routes>) -> Table {
        let limits = self.control.limits();
        if self.detours.0.values().all(|suspect| suspect.is_counted) {
            return Table::new(routes, limits, |peer| self.link_to(peer));
        }
        let alternates = self.control.alternates();
        let doubt = |peer: NodeId| self.link_to(peer).map(|link| self.detours.doubt(link.id));
        let way = |route: &Route| {
            let is_avoided = self.link_to(route.next).is_some_and(|link| self.detours.is_avoided(link.id));
            let alternate = alternates.get(&route.node).filter(|_| is_avoided);
            let is_better = |peer: &NodeId| doubt(*peer).is_some_and(|there| Some(there) < doubt(route.next));
            alternate.copied().filter(is_better).unwrap_or(route.next)
        };
        Table::by_way(routes, limits, way, |peer| self.link_to(peer))
    }

    /// New routes are about to be put in force: ends the detours round links that those count as suspected.
    pub(super) fn count_suspicions(&mut self) {
        let Some(own) = self.control.lsa(self.shared.facts.id) else { return };
        for (link, suspect) in &mut self.detours.0 {
            let peer = self.links.get(link).map(|link| link.peer);
            let cost = own.adjacency.iter().find(|(node, _)| Some(*node) == peer).map(|(_, cost)| *cost);
            suspect.is_counted |= cost.is_none_or(|cost| cost >= suspect.doubt * cost::DOUBT);
        }
    }

    /// Notes of each suspected link whether routes lead over it though there is a way round it: its watcher may doubt it
    /// more then, if it is silent. Where there is none nobody would be helped, and all would hear of it.
    pub(super) fn look_for_ways_round(&self) {
        for link in self.detours.0.keys().filter_map(|id| self.links.get(id)) {
            let in_vain = self.shared.plane.uses(link) && self.control.has_way_round(link.peer);
            link.in_vain.store(in_vain, Relaxed);
        }
    }

    /// Sends copies of what suspected links hold by the table in force: as far as it leads another way when the suspicion
    /// begins, and once more when no way leads over the link any more.
    pub(super) fn copy_what_suspects_hold(&mut self) {
        let suspected: Vec<Arc<Link>> = self.detours.0.keys().filter_map(|id| self.links.get(id)).cloned().collect();
        for link in suspected {
            if self.detours.copies(link.id, self.shared.plane.uses(&link)) {
                self.shared.plane.resend(&link);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkId = LinkId(1);

    #[test]
    fn what_a_suspected_link_holds_is_copied_once_however_often_its_health_is_told() {
        let mut detours = Detours::default();
        detours.note(LINK, 1);
        assert!(detours.is_news());
        assert!(detours.copies(LINK, false));
        detours.note(LINK, 1);
        assert_eq!((detours.is_news(), detours.copies(LINK, false)), (false, false));
        detours.note(LINK, 0);
        assert!(!detours.copies(LINK, false));
        detours.note(LINK, 1);
        assert!(detours.copies(LINK, false), "it is another suspicion");
    }

    #[test]
    fn what_had_no_other_way_is_copied_once_there_is_one() {
        let mut detours = Detours::default();
        detours.note(LINK, 1);
        assert!(detours.copies(LINK, true));
        assert!(!detours.copies(LINK, true));
        assert!(detours.copies(LINK, false));
        assert!(!detours.copies(LINK, false));
        // What was sent meanwhile had no other way again.
        assert!(!detours.copies(LINK, true));
        assert!(detours.copies(LINK, false));
        detours.note(LINK, 2);
        assert!(detours.is_news(), "it was used again, and is silent again");
        assert!(detours.copies(LINK, false));
        detours.forget(LINK);
        assert!(!detours.copies(LINK, false));
    }
}
