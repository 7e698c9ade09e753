//! A broker that only records, and waiting for what it has recorded.

use crate::gateway::{Config, Gateway};
use crate::ports::{
    BadInterest, BoxFuture, Bus, Groups, Inbound, InterestChange, InterestSource, Message, Neighbor, Pick,
    RemoteInterest, UpstreamId,
};
use lattice_broker::env::Env;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) subject: String,
    pub(super) reply: Option<String>,
    pub(super) header: String,
    pub(super) payload: Vec<u8>,
    pub(super) groups: Vec<String>,
    pub(super) via: Option<UpstreamId>,
}

#[derive(Debug, Default)]
pub(super) struct FakeBus {
    interest: Mutex<BTreeMap<(String, Option<String>), u32>>,
    received: Mutex<Vec<Received>>,
    flushed: Mutex<usize>,
    pub(super) congested: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

impl FakeBus {
    pub(super) fn wants(&self, subject: &str, queue: Option<&str>) -> u32 {
        let key = (subject.to_owned(), queue.map(str::to_owned));
        self.interest.lock().unwrap().get(&key).copied().unwrap_or(0)
    }

    pub(super) fn interest_is_empty(&self) -> bool {
        self.interest.lock().unwrap().is_empty()
    }

    /// What has been published and flushed.
    pub(super) fn received(&self) -> Vec<Received> {
        let flushed = *self.flushed.lock().unwrap();
        self.received.lock().unwrap()[..flushed].to_vec()
    }

    pub(super) fn relieve(&self) {
        self.congested.store(false, Ordering::SeqCst);
        if let Some(waker) = self.waiting.lock().unwrap().take() {
            waker.wake();
        }
    }
}

/// The handle that a neighbour is given.
#[derive(Debug)]
struct Handle(Arc<FakeBus>);

impl Bus for Handle {
    fn set_interest(&self, entry: &RemoteInterest<'_>) -> Result<(), BadInterest> {
        assert_eq!((entry.account, entry.member, entry.via), (&b"$G"[..], 0, None));
        let key = (text(entry.subject), entry.queue.map(text));
        let mut interest = self.0.interest.lock().unwrap();
        match entry.weight {
            0 => interest.remove(&key),
            weight => interest.insert(key, weight),
        };
        Ok(())
    }

    fn remove_member(&self, member: u32) {
        assert_eq!(member, 0);
        self.0.interest.lock().unwrap().clear();
    }

    fn invalidate(&self) {}

    fn inbound(&self) -> Box<dyn Inbound> {
        Box::new(FakeInbound(Arc::clone(&self.0)))
    }
}

struct FakeInbound(Arc<FakeBus>);

impl Inbound for FakeInbound {
    fn publish(&mut self, account: &[u8], message: &Message<'_>, groups: Groups<'_>, via: Option<UpstreamId>) -> usize {
        assert_eq!(account, b"$G");
        let Groups::Only(picks) = groups else { panic!("a leaf link names the groups") };
        let (header, payload) = message.body.split_at(message.header_len);
        self.0.received.lock().unwrap().push(Received {
            subject: text(message.subject),
            reply: message.reply.map(text),
            header: text(header),
            payload: payload.to_vec(),
            groups: picks.iter().map(|pick| text(pick.group)).collect(),
            via,
        });
        1
    }

    fn untaken(&self) -> &[usize] {
        &[]
    }

    fn flush(&mut self) -> bool {
        *self.0.flushed.lock().unwrap() = self.0.received.lock().unwrap().len();
        self.0.congested.load(Ordering::SeqCst)
    }

    fn ready(&mut self) -> BoxFuture<()> {
        let bus = Arc::clone(&self.0);
        Box::pin(poll_fn(move |cx| {
            *bus.waiting.lock().unwrap() = Some(cx.waker().clone());
            if bus.congested.load(Ordering::SeqCst) { Poll::Pending } else { Poll::Ready(()) }
        }))
    }
}

/// A gateway that is attached to a recording broker.
pub(super) struct Node {
    pub(super) gateway: Arc<Gateway>,
    pub(super) bus: Arc<FakeBus>,
}

impl Node {
    pub(super) fn start(config: Config) -> Self {
        let node = Self { gateway: Gateway::new(Env::tokio(), config), bus: Arc::default() };
        node.gateway.run(Arc::new(Handle(Arc::clone(&node.bus))));
        node
    }

    pub(super) async fn linked(url: &str, name: &str) -> Self {
        let node = Self::start(config(url, name));
        node.until_linked().await;
        node
    }

    pub(super) async fn until_linked(&self) {
        until(&format!("a link; {:?}", self.gateway.status()), || self.gateway.status().connected).await;
    }

    /// Local clients want more or less.
    pub(super) fn subscribe(&self, subject: &str, queue: Option<&str>, weight: u32) {
        self.gateway.interest(&InterestChange {
            source: InterestSource::Clients,
            account: b"$G",
            subject: subject.as_bytes(),
            queue: queue.map(str::as_bytes),
            weight,
        });
    }

    /// The broker hands a message over, to plain interest or to `groups`.
    pub(super) fn deliver(&self, subject: &str, reply: Option<&str>, header: &str, payload: &[u8], groups: &[&str]) {
        let body = [header.as_bytes(), payload].concat();
        let (subject, reply) = (subject.as_bytes(), reply.map(str::as_bytes));
        let message = Message { subject, reply, header_len: header.len(), body: &body };
        let picks: Vec<_> =
            groups.iter().map(|group| Pick { group: group.as_bytes(), member: 0, via: None, again: false }).collect();
        let members: &[u32] = if groups.is_empty() { &[0] } else { &[] };
        self.gateway.deliver(b"$G", &message, 0, None, members, &picks);
        self.gateway.flush();
    }

    pub(super) fn count(&self, name: &str) -> u64 {
        self.gateway.counters()[name]
    }
}

pub(super) fn config(url: &str, name: &str) -> Config {
    Config::new(url.parse().unwrap(), "lattice-test", name).unwrap()
}

/// Waits until `condition` holds; names `what` if it never does.
pub(super) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let env = Env::tokio();
    let limit = env.now() + Duration::from_secs(20);
    while !condition() {
        assert!(env.now() < limit, "waited in vain for {what}");
        env.sleep(Duration::from_millis(2)).await;
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
