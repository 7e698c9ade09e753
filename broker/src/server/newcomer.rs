//! A client that has come in and is no connection yet: its number, its session, and the INFO that it is owed.
//!
//! It has a place from the start, and becomes a connection in any case: [`Conn::new`](super::conn::Conn::new) takes it.

use super::figures::Figures;
use super::place::Place;
use super::welcome::Secured;
use crate::auth::ConnectionType;
use crate::hub::Hub;
use crate::session::{News, Peer, Session, Terms};
use crate::stats::add;
use crate::subscription::Subscription;
use crate::tls::TlsOffer;
use crate::websocket::Cookies;
use std::net::SocketAddr;
use std::sync::Arc;

/// Where connections come in.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    pub(super) over: ConnectionType,
}

/// Who comes in.
pub(super) struct Caller {
    pub(super) address: SocketAddr,
    pub(super) cookies: Cookies,
    /// What it is told of TLS.
    pub(super) tls: TlsOffer,
}

pub(super) struct Newcomer {
    pub(super) id: u64,
    pub(super) session: Session<Arc<Subscription>>,
    pub(super) figures: Figures,
    /// INFO, from when it is owed until it is written.
    pub(super) greeting: Vec<u8>,
    pub(super) place: Place,
    /// What the session was made of.
    pub(super) terms: Arc<Terms>,
    pub(super) news: Arc<News>,
}

impl Newcomer {
    pub(super) fn new(hub: &Hub, door: &Door, caller: Caller, place: Place) -> Self {
        let now = hub.env.now();
        let Caller { address, cookies, tls } = caller;
        let (terms, news, id) = (hub.terms(), hub.news(), hub.next_id());
        let peer = Peer {
            host: door.host.clone(),
            port: door.port,
            client_id: id,
            client_ip: address.ip().to_string().into(),
            cookies,
            over: door.over,
            tls,
            certificate: None,
            nonce: terms.wants_nonce().then(|| hub.nonce()),
        };
        let session = Session::new(terms.clone(), news.clone(), peer, now);
        let figures = Figures::new(address, door.over, hub.clock.stamp(now), session.identity().clone());
        add(&hub.counters.total_connections, 1);
        Self { id, session, figures, greeting: Vec::new(), place, terms, news }
    }

    /// Owes it INFO.
    pub(super) fn greet(&mut self) {
        self.session.greet(&mut self.greeting);
    }

    /// It has been shaken hands with, or left in the clear: its time for CONNECT begins.
    pub(super) fn begin(&mut self, hub: &Hub, secured: Option<Secured>) {
        let (facts, names) = secured.map(|secured| (secured.facts, secured.names)).unzip();
        self.session.begin(hub.env.now(), names.flatten().map(Arc::new));
        if let Some(facts) = facts {
            self.figures.set_tls(facts);
        }
    }
}
