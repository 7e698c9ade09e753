//! What this node says about itself: its announcement and its interest.

use super::{Action, Control, Identity};
use crate::mesh::announcement::Announcement;
use crate::mesh::client_urls::OWN_MAX;
use crate::mesh::frame::{ControlFrame, Delta};
use crate::mesh::id::NodeId;
use crate::mesh::interest::{Key, Limits, Local, frames};
use crate::mesh::lsdb::{ADDRESSES_MAX, ADJACENCY_MAX, Address, Entry, Lsa, UPSTREAMS_MAX};
use crate::nats_url::is_host_port;
use crate::ports::{InterestChange, InterestSource, UpstreamId};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest wait before this node contradicts another that speaks in its name once more.
const OUTBID_MAX: Duration = Duration::from_secs(60);

/// This node's part of the state.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) interest: Local,
    name: String,
    addresses: Vec<Address>,
    client_urls: Vec<String>,
    pub(super) upstreams: Vec<u64>,
    index: Option<u32>,
    seq: u64,
    announce_due: Option<Instant>,
    announced: Option<Instant>,
    refresh_due: Option<Instant>,
    flush_due: Option<Instant>,
    flushed: Option<Instant>,
    /// When the announcement is to tell the digest of the interest.
    anchor_due: Option<Instant>,
    outbid_wait: Duration,
    /// What others have heard in this node's name, and what the next announcement has to outdo.
    heard_boot: u64,
    heard_seq: u64,
}

impl Own {
    pub(super) fn new(me: &Identity, limits: Limits, remove_delay: Duration) -> Self {
        Self {
            interest: Local::new(me.boot, limits, remove_delay),
            name: me.name.clone(),
            addresses: Vec::new(),
            client_urls: Vec::new(),
            upstreams: Vec::new(),
            index: None,
            seq: 0,
            announce_due: None,
            announced: None,
            refresh_due: None,
            flush_due: None,
            flushed: None,
            anchor_due: None,
            outbid_wait: Duration::ZERO,
            heard_boot: 0,
            heard_seq: 0,
        }
    }

    /// What is announced has changed: say so soon.
    pub(super) fn changed(&mut self, now: Instant, interval: Duration) {
        self.announce_at(self.announced.map_or(now, |last| now.max(last + interval)));
    }

    pub(super) fn announce_at(&mut self, at: Instant) {
        self.announce_due = Some(self.announce_due.map_or(at, |due| due.min(at)));
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let timers = [self.announce_due, self.refresh_due, self.flush_due, self.anchor_due, self.interest.due()];
        timers.into_iter().flatten().min()
    }
}

impl Control {
    pub(super) fn local_interest(&mut self, now: Instant, change: &InterestChange<'_>) {
        let via = match change.source {
            InterestSource::Clients => None,
            InterestSource::Leaf(upstream) => Some(upstream.0),
            InterestSource::Mesh { .. } | InterestSource::Spoke { .. } => return,
        };
        // Its clients may not hear there, and the others would not send it anything.
        if !self.membership.allows_account(self.me.node, change.account) {
            return;
        }
        let key = Key {
            account: change.account.into(),
            subject: change.subject.into(),
            queue: change.queue.map(Into::into),
            via,
        };
        self.own.interest.set(now, key, change.weight);
        if self.own.interest.full() {
            self.tell_interest(now);
        }
    }

    pub(super) fn set_addresses(&mut self, now: Instant, addresses: &[SocketAddr]) {
        let addresses: Vec<Address> = addresses.iter().take(ADDRESSES_MAX).copied().map(Address).collect();
        if addresses != self.own.addresses {
            self.own.addresses = addresses;
            self.own.changed(now, self.config.announce_interval);
        }
    }

    pub(super) fn set_client_urls(&mut self, now: Instant, urls: &[String]) {
        let urls: Vec<String> = urls.iter().filter(|url| is_host_port(url)).take(OWN_MAX).cloned().collect();
        if urls != self.own.client_urls {
            self.own.client_urls = urls;
            self.own.changed(now, self.config.announce_interval);
        }
    }

    pub(super) fn set_upstreams(&mut self, now: Instant, upstreams: &[UpstreamId]) {
        let mut upstreams: Vec<u64> = upstreams.iter().map(|id| id.0).collect();
        upstreams.sort_unstable();
        upstreams.dedup();
        upstreams.truncate(UPSTREAMS_MAX);
        if upstreams != self.own.upstreams {
            self.own.upstreams = upstreams;
            self.own.changed(now, self.config.announce_interval);
        }
    }

    /// Withdraws what has ended, and tells the others what is new once that is due.
    pub(super) fn flush_interest(&mut self, now: Instant) {
        while self.own.interest.expire(now) {
            self.digest = None;
            if self.own.interest.full() {
                self.tell_interest(now);
            }
        }
        if !self.own.interest.untold() {
            self.own.flush_due = None;
            return;
        }
        let due = self.own.flushed.map_or(now, |last| last + self.config.flush_interval);
        if due <= now {
            self.tell_interest(now);
        } else {
            self.own.flush_due = Some(due);
        }
    }

    fn tell_interest(&mut self, now: Instant) {
        let (node, boot) = (self.me.node, self.me.boot);
        let (mut from, changes) = self.own.interest.tell();
        for changes in frames(changes.into_iter()) {
            let to = from + changes.len() as u64;
            self.tell_all(None, &ControlFrame::delta(&Delta { node, boot, from, changes }).encode());
            from = to;
        }
        self.own.flushed = Some(now);
        self.own.flush_due = None;
        self.own.anchor_due.get_or_insert(now + self.config.anchor_delay);
    }

    /// Announces this node when that is due.
    pub(super) fn announce(&mut self, now: Instant) {
        let own = &mut self.own;
        let due = [own.announce_due, own.refresh_due, own.anchor_due].into_iter().flatten().min();
        if due.is_none_or(|due| due > now) {
            return;
        }
        self.digest = None;
        if own.heard_boot > self.me.boot {
            self.me.boot = own.heard_boot;
            own.seq = 0;
            own.interest.reboot(self.me.boot);
        } else {
            own.seq = own.seq.max(own.heard_seq);
        }
        own.heard_seq = 0;
        own.seq = own.seq.saturating_add(1);
        let index = self.lsdb.pick_index(own.index);
        own.index = Some(index);
        (own.announce_due, own.anchor_due) = (None, None);
        own.announced = Some(now);
        own.refresh_due = Some(now + self.config.refresh);
        let lsa = self.own_lsa(index);
        let signed = lsa.sign(&*self.signer);
        let before = self.lsdb.get(self.me.node).map(Entry::lsa);
        let rebooted = before.is_some_and(|before| before.boot < lsa.boot);
        if before.map_or(&[][..], |before| &before.clients) != lsa.clients {
            self.actions.push_back(Action::ClientUrls);
        }
        let announcement = Announcement::own(lsa, &signed);
        self.tell_all(None, &announcement.frame());
        self.lsdb.install(Arc::new(announcement));
        if rebooted {
            // What the others have of this node's interest is void now: offer it to them anew.
            self.offer_to_all(now, None, self.me.node);
        }
        self.introduce();
        self.routes_changed(now);
    }

    fn own_lsa(&self, index: u32) -> Lsa {
        let mut adjacency: Vec<(NodeId, u32)> = self.adjacency().into_iter().collect();
        adjacency.truncate(ADJACENCY_MAX);
        Lsa {
            node: self.me.node,
            area: 0,
            part: 0,
            index,
            boot: self.me.boot,
            seq: self.own.seq,
            name: self.own.name.clone(),
            adjacency,
            addresses: self.own.addresses.clone(),
            upstreams: self.own.upstreams.clone(),
            interest_version: self.own.interest.held().version(),
            interest_digest: self.own.interest.held().digest(),
            clients: self.own.client_urls.clone(),
        }
    }

    /// Somebody has heard this node announce what it has not announced in this life: announce something newer.
    pub(super) fn outbid(&mut self, now: Instant, boot: u64, seq: u64) {
        if boot > self.me.boot {
            self.own.heard_boot = self.own.heard_boot.max(boot.saturating_add(1));
        } else {
            self.own.heard_seq = self.own.heard_seq.max(seq);
        }
        self.contradict(now);
    }

    /// Somebody has interest of this node that is newer than its own: begin a boot epoch of which nobody has any.
    pub(super) fn outbid_interest(&mut self, now: Instant, boot: u64, version: u64) {
        if boot == self.me.boot && version > self.own.interest.held().version() {
            self.own.heard_boot = self.own.heard_boot.max(boot.saturating_add(1));
            self.contradict(now);
        }
    }

    /// Announces soon what others must believe: at once the first time, when the boot epoch went back; ever more
    /// rarely when it goes on, since then another process has the same key and would answer in kind.
    fn contradict(&mut self, now: Instant) {
        self.counters.outbid += 1;
        if self.own.announce_due.is_none() {
            self.own.announce_at(now + self.own.outbid_wait);
            self.own.outbid_wait = (self.own.outbid_wait * 2).clamp(Duration::from_secs(1), OUTBID_MAX);
        }
    }

    pub(super) fn own_index(&self) -> Option<u32> {
        self.own.index
    }

    /// Another node has claimed this node's index: look for another one if that is the better claim.
    pub(super) fn index_claimed(&mut self, now: Instant) {
        if self.lsdb.pick_index(self.own.index) != self.own.index.unwrap_or_default() {
            self.own.changed(now, self.config.announce_interval);
        }
    }
}
