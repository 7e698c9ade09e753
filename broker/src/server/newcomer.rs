//! A client that has come in and is no connection yet: its number, its session, and the INFO that it is owed.
//!
//! It counts as a connection from the start, and becomes one in any case: [`Conn::new`](super::conn::Conn::new) takes it.

use super::figures::Figures;
use crate::auth::ConnectionType;
use crate::env::Stream;
use crate::hub::Hub;
use crate::session::{News, Peer, Session, Terms};
use crate::stats::add;
use crate::subscription::Subscription;
use crate::tls::{CertificateNames, TlsFacts, TlsOffer};
use std::sync::Arc;

/// Where connections come in.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    pub(super) over: ConnectionType,
}

pub(super) struct Newcomer {
    pub(super) id: u64,
    pub(super) session: Session<Arc<Subscription>>,
    pub(super) figures: Figures,
    /// INFO, until it is written.
    pub(super) greeting: Vec<u8>,
    /// What the session was made of.
    terms: Arc<Terms>,
    news: Arc<News>,
}

impl Newcomer {
    pub(super) fn new(hub: &Hub, door: &Door, stream: &dyn Stream, tls: TlsOffer) -> Self {
        let now = hub.env.now();
        let (terms, news, id) = (hub.terms(), hub.news(), hub.next_id());
        let peer = Peer {
            host: door.host.clone(),
            port: door.port,
            client_id: id,
            client_ip: stream.peer_addr().ip().to_string().into(),
            over: door.over,
            tls,
            certificate: None,
            nonce: terms.wants_nonce().then(|| hub.nonce()),
        };
        let mut greeting = Vec::new();
        let session = Session::new(terms.clone(), news.clone(), peer, now, &mut greeting);
        let figures = Figures::new(stream.peer_addr(), door.over, hub.clock.stamp(now), session.identity().clone());
        add(&hub.counters.connections, 1);
        add(&hub.counters.total_connections, 1);
        Self { id, session, figures, greeting, terms, news }
    }

    /// Has been shaken hands with.
    pub(super) fn secured(&mut self, hub: &Hub, facts: TlsFacts) {
        let names = CertificateNames::of(&facts).map(Arc::new);
        self.session.secured(hub.env.now(), names);
        self.figures.set_tls(facts);
    }

    /// Whether it has yet to learn what has changed since its session was made: the terms, the news.
    pub(super) fn is_behind(&self, hub: &Hub) -> (bool, bool) {
        (!Arc::ptr_eq(&self.terms, &hub.terms()), !Arc::ptr_eq(&self.news, &hub.news()))
    }
}
