//! What all parts of a broker share: settings, accounts, counters, and who is connected.

use crate::account::Account;
use crate::auth::GLOBAL_ACCOUNT;
use crate::batch::Batch;
use crate::config::Config;
use crate::delivery::Dice;
use crate::env::Env;
use crate::lock::lock;
use crate::proto::{Info, Limits};
use crate::server::Client;
use crate::session::Terms;
use crate::stats::{Counters, sub};
use crate::sublist::NeighborId;
use crate::subscription::Taker;
use rand_core::Rng as _;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What clients gate their features on: the release of nats-server whose behaviour this is.
const COMPATIBLE_VERSION: &str = "2.15.1";
/// Its JetStream API level, and the toolchain that it names.
const API_LEVEL: u32 = 5;
const COMPATIBLE_GO: &str = "go1.27.2";

#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) env: Env,
    pub(crate) config: Config,
    pub(crate) info: Info,
    pub(crate) counters: Counters,
    pub(crate) stopping: CancellationToken,
    /// Told whenever a connection has ended.
    pub(crate) closed: Notify,
    accounts: BTreeMap<Box<[u8]>, Arc<Account>>,
    clients: Mutex<BTreeMap<u64, Arc<Client>>>,
    next_id: AtomicU64,
    next_neighbor: AtomicU32,
    seeds: Mutex<Dice>,
}

impl Hub {
    pub(crate) fn new(env: Env, config: Config) -> Self {
        let mut rng = env.rng("broker");
        let mut key = [0; 32];
        rng.fill_bytes(&mut key);
        let id = if config.server_id.is_empty() { server_id(key) } else { config.server_id.clone() };
        let info = Info {
            server_name: if config.server_name.is_empty() { id.clone() } else { config.server_name.clone() },
            server_id: id,
            version: COMPATIBLE_VERSION.to_owned(),
            proto: 1,
            git_commit: "lattice".to_owned(),
            go: COMPATIBLE_GO.to_owned(),
            headers: true,
            auth_required: config.auth.is_required(),
            max_payload: config.max_payload,
            api_lvl: API_LEVEL,
            ..Info::default()
        };
        let global = GLOBAL_ACCOUNT.as_bytes();
        Self {
            info,
            counters: Counters::default(),
            stopping: CancellationToken::new(),
            closed: Notify::new(),
            accounts: BTreeMap::from([(global.into(), Arc::new(Account::new(global)))]),
            clients: Mutex::default(),
            next_id: AtomicU64::new(1),
            next_neighbor: AtomicU32::new(1),
            seeds: Mutex::new(Dice::new(rng.next_u64())),
            env,
            config,
        }
    }

    /// What sessions of clients that come in at `host`:`port` have in common.
    pub(crate) fn terms(&self, host: String, port: u16) -> Terms {
        let config = &self.config;
        Terms {
            info: Info { host, port, ..self.info.clone() },
            limits: Limits { line_max: config.max_control_line, payload_max: config.max_payload },
            auth: config.auth.clone(),
            subscriptions_max: config.max_subscriptions,
            ping_interval: config.ping_interval,
            ping_max: config.ping_max,
            auth_timeout: config.auth_timeout,
        }
    }

    pub(crate) fn account(&self, name: &[u8]) -> Option<&Arc<Account>> {
        self.accounts.get(name)
    }

    pub(crate) fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values()
    }

    pub(crate) fn global_account(&self) -> &Arc<Account> {
        self.account(GLOBAL_ACCOUNT.as_bytes()).expect("made with the hub and never removed")
    }

    /// Numbers clients and subscriptions.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }

    pub(crate) fn next_neighbor(&self) -> NeighborId {
        NeighborId(self.next_neighbor.fetch_add(1, Relaxed))
    }

    pub(crate) fn dice(&self) -> Dice {
        Dice::new(lock(&self.seeds).roll())
    }

    pub(crate) fn enter(&self, client: &Arc<Client>) {
        lock(&self.clients).insert(client.id, client.clone());
    }

    pub(crate) fn leave(&self, id: u64) {
        lock(&self.clients).remove(&id);
        self.closed.notify_waiters();
    }

    /// Asks every client to end.
    pub(crate) fn drain_clients(&self) {
        lock(&self.clients).values().for_each(|client| client.drain());
    }

    pub(crate) fn has_clients(&self) -> bool {
        !lock(&self.clients).is_empty()
    }

    /// Removes the subscriptions that had their last message in this batch.
    pub(crate) fn expire(&self, account: &Account, batch: &mut Batch) {
        for subscription in batch.take_expired() {
            if account.unsubscribe(&subscription) {
                sub(&self.counters.subscriptions, 1);
            }
            if let Taker::Client(client) = &subscription.taker {
                client.expire(&subscription);
            }
        }
    }
}

/// A public server key, `N…`, of a secret that nobody keeps: it only has to be unlike others.
fn server_id(secret: [u8; 32]) -> String {
    nkeys::KeyPair::new_from_raw(nkeys::KeyPairType::Server, secret)
        .expect("any 32 bytes are a secret key")
        .public_key()
}
