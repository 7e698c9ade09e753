//! One connection to the upstream: what comes over it goes to the broker, and what it says of itself to those who look.

use super::Gateway;
use super::driver::Dialled;
use crate::identity::printable;
use crate::ports::{Bus, Groups, Inbound, RemoteInterest};
use lattice_broker::env::BoxFuture;
use lattice_broker::leaf::{self, Close, Desk, Direction, Event, Handler, LeafMessage, Link, ParserLimits, Session};
use std::sync::{Arc, Mutex};
use tracing::{debug, info};

/// How a link ended.
#[derive(Debug)]
pub(super) enum End {
    /// By an error; dial again.
    Closed(Close),
    /// From this side: the gateway stops, or another node takes over.
    Unwanted,
}

/// Runs a link over what was dialled to its end, after which nothing of it is left in the broker.
pub(super) async fn run(
    gateway: &Gateway,
    bus: &dyn Bus,
    dialled: Dialled,
    discovered: &mut Vec<String>,
    said: &mut Option<String>,
) -> End {
    let upstream = Upstream { gateway, bus, discovered, said, inbound: bus.inbound(), import: None };
    let limits = ParserLimits { payload_bytes_max: gateway.config.payload_bytes_max, ..ParserLimits::default() };
    let Dialled { opened, credentials } = dialled;
    let config = leaf::Config { credentials, ..gateway.session.clone() };
    let session = Session::new(Arc::new(config), gateway.env.now());
    let session = if opened.is_encrypted { session.encrypted() } else { session };
    let link = Link::new(&gateway.env, opened.stream, session, limits, upstream);
    let mut link = link.with_read(&opened.read);
    let close = link.run().await;
    {
        let mut state = gateway.shared.lock();
        (state.server, state.error) = (None, close.as_ref().map(Close::to_string));
    }
    bus.remove_member(0);
    link.handler().inbound.flush();
    let (_, lost) = link.farewell().await;
    gateway.counters.out_lost.add(lost);
    close.map_or(End::Unwanted, End::Closed)
}

struct Upstream<'g> {
    gateway: &'g Gateway,
    bus: &'g dyn Bus,
    discovered: &'g mut Vec<String>,
    said: &'g mut Option<String>,
    inbound: Box<dyn Inbound>,
    /// What may come in; `None` until the link is open.
    import: Option<Arc<Direction>>,
}

impl Upstream<'_> {
    fn learn(&mut self, urls: Vec<String>) {
        if !self.gateway.config.ignores_discovered {
            *self.discovered = urls;
        }
    }
}

impl Handler for Upstream<'_> {
    fn desk(&self) -> &Mutex<Desk> {
        self.gateway.shared.desk()
    }

    fn is_wanted(&self) -> bool {
        self.gateway.shared.is_wanted()
    }

    fn message(&mut self, leaf: &LeafMessage<'_>) -> Result<(), Close> {
        let counters = &self.gateway.counters;
        let admitted = self.import.as_ref().is_some_and(|import| import.message(leaf.message.subject).is_ok());
        if !admitted {
            counters.in_denied.add(1);
            return Ok(());
        }
        let picks = leaf.groups.picks();
        let account = self.gateway.config.account.as_bytes();
        let via = Some(self.gateway.upstream);
        counters.messages_in.add(1);
        if self.inbound.publish(account, &leaf.message, Groups::Only(&picks), via) == 0 {
            counters.in_unwanted.add(1);
        }
        Ok(())
    }

    fn oversize(&mut self, size: usize) -> Result<(), Close> {
        debug!(size, "message from the upstream is over the limit");
        self.gateway.counters.in_oversize.add(1);
        Ok(())
    }

    fn event(&mut self, event: Event<'_>) -> Result<(), Close> {
        let counters = &self.gateway.counters;
        match event {
            Event::Opened(peer) => {
                let server = printable(&peer.server);
                info!(upstream = %self.gateway.config.url, %server, "linked to the upstream");
                counters.connects.add(1);
                self.import = Some(peer.import);
                self.learn(peer.discovered);
                *self.said = None;
                let mut state = self.gateway.shared.lock();
                (state.server, state.error) = (Some(server), None);
            }
            Event::Permissions(import) => self.import = Some(import),
            Event::Interest { subject, queue, weight } => {
                let account = self.gateway.config.account.as_bytes();
                let entry = RemoteInterest { account, member: 0, via: None, subject, queue, weight };
                if let Err(error) = self.bus.set_interest(&entry) {
                    debug!(%error, "interest of the upstream is refused");
                    counters.interest_refused.add(1);
                }
            }
            Event::InterestRefused => counters.interest_refused.add(1),
            Event::Discovered(urls) => self.learn(urls),
            Event::Complaint(text) => {
                info!(upstream = %self.gateway.config.url, text = printable(&text), "the upstream complains");
            }
            Event::Connect(_) => return Err(Close::UnexpectedConnect),
        }
        Ok(())
    }

    fn flush(&mut self) -> Option<BoxFuture<()>> {
        self.inbound.flush().then(|| self.inbound.ready())
    }

    fn wrote(&mut self, messages: u64) {
        self.gateway.counters.messages_out.add(messages);
    }
}
