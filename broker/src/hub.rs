//! What all parts of a broker share: settings, accounts, counters, and who is connected.

use crate::account::{Account, Common};
use crate::auth::{Access, Auth, GLOBAL_ACCOUNT, SYSTEM_ACCOUNT};
use crate::batch::Batch;
use crate::clock::Clock;
use crate::config::Config;
use crate::delivery::Dice;
use crate::env::Env;
use crate::flows::Flows;
use crate::lock::{lock, read, write};
use crate::monitor::{Record, ReloadDesk, Surroundings};
use crate::neighbor::NeighborKind;
use crate::proto::{Info, Limits};
use crate::route::Attached;
use crate::server::{CALLOUTS_MAX, Client, Leafs};
use crate::session::{News, Terms};
use crate::stats::{Counters, sub};
use crate::sublist::NeighborId;
use crate::subscription::Taker;
use nkeys::{KeyPair, KeyPairType};
use rand_core::Rng as _;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::SystemTime;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

/// What clients gate their features on: the release of nats-server whose behaviour this is.
const COMPATIBLE_VERSION: &str = "2.15.1";
/// Its JetStream API level, and the toolchain that it names.
const API_LEVEL: u32 = 5;
const COMPATIBLE_GO: &str = "go1.27.2";
/// Random bytes of a nonce, before they are made text.
const NONCE_LEN: usize = 11;

#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) env: Env,
    pub(crate) clock: Clock,
    /// As it was at the start.
    pub(crate) config: Config,
    /// As it is now.
    live: RwLock<Arc<Config>>,
    news: RwLock<Arc<News>>,
    /// Cancelled when no more clients are taken in.
    pub(crate) listening: CancellationToken,
    pub(crate) info: Info,
    /// What the server's id is the public part of; `None` when the secret is kept elsewhere.
    pub(crate) server_key: Option<KeyPair>,
    /// Where clients connect, once they can.
    listened: OnceLock<(String, u16)>,
    websocket_listened: OnceLock<(String, u16)>,
    /// What sessions go by from now on.
    terms: RwLock<Arc<Terms>>,
    /// Leave to compare a password with a hash: so many at a time, and the other cores are left to the clients that
    /// are in already.
    slow_checks: Arc<Semaphore>,
    /// Leave to ask a service about a client.
    pub(crate) callouts: Semaphore,
    pub(crate) counters: Counters,
    pub(crate) stopping: CancellationToken,
    /// Told whenever a connection has ended.
    pub(crate) closed: Notify,
    global: Arc<Account>,
    accounts: RwLock<BTreeMap<Box<[u8]>, Arc<Account>>>,
    /// Held while a neighbour is made known to the accounts, or an account to the neighbours.
    attached: Mutex<Vec<Arc<Attached>>>,
    clients: Mutex<BTreeMap<u64, Arc<Client>>>,
    pub(crate) leafs: Leafs,
    /// Those who were connected, the last ones at the end.
    gone: Mutex<VecDeque<Arc<Record>>>,
    /// What the program around it has to say.
    pub(crate) surroundings: RwLock<Surroundings>,
    pub(crate) reload_desk: ReloadDesk,
    /// Questions by HTTP so far, by path.
    http_requests: Mutex<BTreeMap<&'static str, u64>>,
    common: Arc<Common>,
    next_neighbor: AtomicU32,
    next_answer: AtomicU64,
    pub(crate) flows: Flows,
    seeds: Mutex<Dice>,
    nonces: Mutex<crate::env::Rng>,
}

impl Hub {
    pub(crate) fn new(env: Env, config: Config) -> Self {
        let mut rng = env.rng("broker");
        let mut key = [0; 32];
        rng.fill_bytes(&mut key);
        let server_key = config.server_id.is_empty().then(|| server_key(key));
        let id = server_key.as_ref().map_or_else(|| config.server_id.clone(), KeyPair::public_key);
        let info = Info {
            server_name: if config.server_name.is_empty() { id.clone() } else { config.server_name.clone() },
            server_id: id,
            version: COMPATIBLE_VERSION.to_owned(),
            proto: 1,
            git_commit: "lattice".to_owned(),
            go: COMPATIBLE_GO.to_owned(),
            headers: true,
            cluster: config.cluster_name.clone(),
            api_lvl: API_LEVEL,
            ..Info::default()
        };
        let common = Arc::new(Common::new(env.clone()));
        let stopping = CancellationToken::new();
        let hub = Self {
            clock: Clock::new(env.now(), env.wall()),
            live: RwLock::new(Arc::new(config.clone())),
            news: RwLock::default(),
            listening: stopping.child_token(),
            terms: RwLock::new(Arc::new(terms(&config, &info))),
            info,
            server_key,
            listened: OnceLock::new(),
            websocket_listened: OnceLock::new(),
            slow_checks: Arc::new(Semaphore::new(slow_checks_max())),
            callouts: Semaphore::new(CALLOUTS_MAX),
            counters: Counters::default(),
            stopping,
            closed: Notify::new(),
            global: Account::new(GLOBAL_ACCOUNT.as_bytes(), &common),
            common,
            accounts: RwLock::default(),
            attached: Mutex::default(),
            clients: Mutex::default(),
            leafs: Leafs::new(&env, &config),
            gone: Mutex::default(),
            surroundings: RwLock::default(),
            reload_desk: ReloadDesk::default(),
            http_requests: Mutex::default(),
            next_neighbor: AtomicU32::new(1),
            next_answer: AtomicU64::new(1),
            flows: Flows::default(),
            seeds: Mutex::new(Dice::new(rng.next_u64())),
            nonces: Mutex::new(env.rng("nonce")),
            env,
            config,
        };
        hub.settle_accounts(&hub.config.auth);
        hub
    }

    /// Other terms hold from now on: those of `config`, which has been validated. Clients are told to look.
    pub(crate) fn reload(&self, config: &Config) {
        self.settle_accounts(&config.auth);
        *write(&self.live) = Arc::new(config.clone());
        *write(&self.terms) = Arc::new(terms(config, &self.info));
        lock(&self.clients).values().for_each(|client| client.revise());
        self.leafs.reload(self, config);
    }

    /// The settings that hold now.
    pub(crate) fn live(&self) -> Arc<Config> {
        read(&self.live).clone()
    }

    /// Takes in no more clients; those that are there are told to look.
    pub(crate) fn set_lame(&self) {
        self.listening.cancel();
        self.change_news(|news| news.is_lame = true);
    }

    /// Other addresses of the service from now on; clients are told if they are others than before.
    pub(crate) fn set_connect_urls(&self, urls: &[String]) {
        self.change_news(|news| urls.clone_into(&mut news.connect_urls));
    }

    fn change_news(&self, change: impl FnOnce(&mut News)) {
        let mut known = write(&self.news);
        let mut news = News::clone(&known);
        change(&mut news);
        if news != **known {
            *known = Arc::new(news);
            drop(known);
            lock(&self.clients).values().for_each(|client| client.tell_news());
        }
    }

    /// What clients are told of the service as a whole.
    pub(crate) fn news(&self) -> Arc<News> {
        read(&self.news).clone()
    }

    /// Clients can connect from now on, first of all there.
    pub(crate) fn set_address(&self, host: &str, port: u16) {
        // What was there first stays.
        let _ = self.listened.set((host.to_owned(), port));
    }

    /// Clients by WebSocket can connect from now on.
    pub(crate) fn set_websocket_address(&self, host: &str, port: u16) {
        // What was there first stays.
        let _ = self.websocket_listened.set((host.to_owned(), port));
    }

    /// Where clients connect by WebSocket, if they can.
    pub(crate) fn websocket_address(&self) -> Option<&(String, u16)> {
        self.websocket_listened.get()
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> (String, u16) {
        let configured = || (self.config.host.clone(), self.config.listen.port());
        self.listened.get().cloned().unwrap_or_else(configured)
    }

    /// True while clients can connect.
    pub(crate) fn is_listening(&self) -> bool {
        self.listened.get().is_some() && !self.listening.is_cancelled()
    }

    /// Counts a question by HTTP.
    pub(crate) fn count_request(&self, path: &'static str) {
        *lock(&self.http_requests).entry(path).or_default() += 1;
    }

    /// Questions by HTTP so far, by path.
    pub(crate) fn http_requests(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.http_requests).clone()
    }

    /// Leaf links of this server, in the order in which they came.
    pub(crate) fn leaf_links(&self) -> Vec<NeighborId> {
        let attached = lock(&self.attached);
        attached.iter().filter(|one| matches!(one.kind, NeighborKind::Leaf(_))).map(|one| one.id).collect()
    }

    /// Makes the accounts that `auth` names and have not been there, and forgets those that it does not name.
    fn settle_accounts(&self, auth: &Auth) {
        let attached = lock(&self.attached);
        let before = read(&self.accounts).clone();
        let mut accounts: BTreeMap<Box<[u8]>, Arc<Account>> =
            BTreeMap::from([(GLOBAL_ACCOUNT.as_bytes().into(), self.global.clone())]);
        for name in account_names(auth).chain(self.config.own_accounts.iter().copied()) {
            let account = before.get(name.as_bytes()).or_else(|| accounts.get(name.as_bytes())).cloned();
            let account = account.unwrap_or_else(|| {
                let account = Account::new(name.as_bytes(), &self.common);
                attached.iter().for_each(|neighbor| account.attach(neighbor));
                account
            });
            account.limit(auth.account(name).map(|account| account.limits).unwrap_or_default());
            accounts.insert(name.as_bytes().into(), account);
        }
        for (name, account) in &accounts {
            let name = String::from_utf8_lossy(name);
            let imports = auth.account(&name).map(|account| &account.imports[..]).unwrap_or_default();
            account.set_imports(auth, imports, &accounts);
            let mappings = auth.account(&name).map(|account| &account.mappings[..]).unwrap_or_default();
            account.set_mappings(mappings, &self.config.cluster_name);
        }
        *write(&self.accounts) = accounts;
    }

    /// Makes a neighbour known to all accounts.
    pub(crate) fn attach(&self, neighbor: &Arc<Attached>) {
        let mut attached = lock(&self.attached);
        attached.push(neighbor.clone());
        self.accounts().iter().for_each(|account| account.attach(neighbor));
    }

    /// Makes all accounts forget a neighbour.
    pub(crate) fn detach(&self, neighbor: &Attached) {
        let mut attached = lock(&self.attached);
        attached.retain(|other| other.id != neighbor.id);
        self.accounts().iter().for_each(|account| account.detach(neighbor.id));
    }

    /// What sessions go by from now on.
    pub(crate) fn terms(&self) -> Arc<Terms> {
        read(&self.terms).clone()
    }

    /// Runs `work`, which gets the time, beside the tasks when its turn comes; dropping the future before that gives it
    /// up. `None` when it has panicked.
    pub(crate) async fn work_slowly<T: Send + 'static>(
        &self,
        work: impl FnOnce(SystemTime) -> T + Send + 'static,
    ) -> Option<T> {
        let leave = self.slow_checks.clone().acquire_owned().await.ok()?;
        let wall = self.env.wall();
        let work = move || {
            // For as long as it runs, whoever still waits for it.
            let _leave = leave;
            work(wall)
        };
        self.env.work(work).await
    }

    /// Something that nobody can foresee, for a client to sign.
    pub(crate) fn nonce(&self) -> Box<str> {
        let mut bytes = [0; NONCE_LEN];
        lock(&self.nonces).fill_bytes(&mut bytes);
        data_encoding::BASE64URL_NOPAD.encode(&bytes).into()
    }

    pub(crate) fn account(&self, name: &[u8]) -> Option<Arc<Account>> {
        read(&self.accounts).get(name).cloned()
    }

    pub(crate) fn accounts(&self) -> Vec<Arc<Account>> {
        read(&self.accounts).values().cloned().collect()
    }

    pub(crate) fn global_account(&self) -> &Arc<Account> {
        &self.global
    }

    /// Numbers clients and subscriptions.
    pub(crate) fn next_id(&self) -> u64 {
        self.common.next_id()
    }

    /// What one event is told apart by from all others.
    pub(crate) fn event_id(&self) -> String {
        self.common.event_id()
    }

    /// Numbers what the server itself says.
    pub(crate) fn next_answer(&self) -> u64 {
        self.next_answer.fetch_add(1, Relaxed)
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

    /// Remembers a connection that has ended, in the place of the oldest one when there are enough.
    pub(crate) fn remember(&self, record: Record) {
        let max = self.live().closed_max;
        let mut gone = lock(&self.gone);
        while gone.len() >= max.max(1) {
            gone.pop_front();
        }
        if max > 0 {
            gone.push_back(Arc::new(record));
        }
    }

    /// Connections that have ended of late, the oldest first.
    pub(crate) fn gone(&self) -> Vec<Arc<Record>> {
        lock(&self.gone).iter().cloned().collect()
    }

    /// Those who are connected, in the order of their numbers.
    pub(crate) fn clients(&self) -> Vec<Arc<Client>> {
        lock(&self.clients).values().cloned().collect()
    }

    pub(crate) fn client(&self, id: u64) -> Option<Arc<Client>> {
        lock(&self.clients).get(&id).cloned()
    }

    /// Asks one client to end that has not been asked yet. False when there is none.
    pub(crate) fn drain_one(&self) -> bool {
        let next = lock(&self.clients).values().find(|client| !client.is_draining()).cloned();
        next.inspect(|client| client.drain()).is_some()
    }

    /// Asks every client to end.
    pub(crate) fn drain_clients(&self) {
        lock(&self.clients).values().for_each(|client| client.drain());
    }

    pub(crate) fn has_clients(&self) -> bool {
        !lock(&self.clients).is_empty()
    }

    /// Removes the subscriptions that had their last message in this batch.
    pub(crate) fn expire(&self, batch: &mut Batch) {
        for subscription in batch.take_expired() {
            if subscription.home.upgrade().is_some_and(|account| account.unsubscribe(&subscription)) {
                sub(&self.counters.subscriptions, 1);
            }
            if let Taker::Client(client) = &subscription.taker {
                client.expire(&subscription);
            }
        }
    }
}

/// The accounts that `auth` names or needs.
fn account_names(auth: &Auth) -> impl Iterator<Item = &str> {
    let named = auth.accounts.iter().map(|account| account.name.as_str());
    named.chain([GLOBAL_ACCOUNT, SYSTEM_ACCOUNT, auth.system_account()])
}

fn terms(config: &Config, info: &Info) -> Terms {
    Terms {
        info: info.clone(),
        limits: Limits { line_max: config.max_control_line, payload_max: config.max_payload },
        access: Access::new(&config.auth),
        system_account: config.auth.system_account().into(),
        subscriptions_max: config.max_subscriptions,
        ping_interval: config.ping_interval,
        websocket_ping_interval: config
            .websocket
            .as_ref()
            .and_then(|one| one.ping_interval)
            .unwrap_or(config.ping_interval),
        ping_max: config.ping_max,
        auth_timeout: config.auth_timeout,
    }
}

/// Half of the cores.
fn slow_checks_max() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

/// The key pair that a server is, of a secret that nothing else has.
fn server_key(secret: [u8; 32]) -> KeyPair {
    KeyPair::new_from_raw(KeyPairType::Server, secret).expect("any 32 bytes are a secret key")
}
