//! `Roll`: who has been admitted to the lattice and who was revoked, as far as this node knows: two sets that only grow.
//!
//! Each member's chain is there by which it was admitted, and with it by which voucher. So the same set tells who is a
//! member and what it may do, and how often a voucher was used, wherever that was. It spreads by `mesh/control/members.rs`;
//! here is what it holds, and the decision whether a voucher is good for one device more. Two parts of a lattice that are
//! apart may both admit by the last use of a voucher: the set then holds more than the voucher allows, and says so.
//!
//! On the disk is what counts a use, whom the root itself has certified, who was revoked, and which root keys there were
//! (`line.rs`); the rest is had from any neighbour.

mod line;

use super::applicant::{Admission, AdmissionError, Application};
use super::chain::{Chain, ChainError};
use super::key::PublicKey;
use super::line::Line;
use super::notary::Notary;
use super::refusal::{ASK_MAX, Refusal};
use super::revocation::{self, REVOCATIONS_MAX, Revocation, RevocationError};
use super::warrant::{NodeClaims, VoucherClaims, VoucherUse, Warrant};
use super::{Grant, Identity, NodeId, unix};
use crate::codec;
use crate::store::{Store, StoreError};
use lattice_broker::env::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

/// Members that are remembered, at most; further ones are refused and counted.
const MEMBERS_MAX: usize = 8_192;
/// Chains of one node that are remembered, at most: it has several when several members have answered it.
const CHAINS_MAX: usize = 4;
/// A clock that says less has not been set: 2025-01-01.
const CLOCK_SET: u64 = 1_735_689_600;

/// Parts that the chains are sorted into, for two nodes to find out in which they differ.
pub const BUCKETS: usize = 64;

const PREFIX: &[u8] = b"member/";
const REVOKED_PREFIX: &[u8] = b"revoked/";
/// Records that are read back at a time.
const SCAN: usize = 256;

/// A device that was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joiner {
    /// Its key.
    pub node: NodeId,
    /// Its name.
    pub name: String,
}

/// What became of a chain that somebody told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Learnt {
    /// It is in the roll now.
    New(Arc<Chain>),
    /// It was known.
    Known,
    /// There is no room for it.
    Full,
    /// It leads to a certificate of a root key that has been replaced, and that does not go on.
    Void,
}

/// A device that becomes a member.
pub struct Admitted {
    /// What it is to be told.
    pub admission: Admission,
    /// Its chain: for the others to know.
    pub chain: Arc<Chain>,
    /// Ready when that survives a loss of power. The device must not be told before.
    pub durable: BoxFuture<Result<(), StoreError>>,
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// Who has been admitted.
#[derive(Debug)]
pub struct Roll {
    root: PublicKey,
    store: Arc<dyn Store>,
    notary: Arc<Notary>,
    /// This node's own chain.
    own: Arc<Chain>,
    state: Mutex<State>,
    /// Held by whoever changes what is on the disk and in the state, so that both stay the same; taken before `state`.
    writing: Mutex<()>,
}

#[derive(Debug)]
struct State {
    /// By [`Chain::id`].
    chains: BTreeMap<u64, Arc<Chain>>,
    /// Sums of the ids in each bucket.
    digests: [u64; BUCKETS],
    /// Whose chains there are: the beginning of each one's key, by which they are found, and the chain's id.
    members: BTreeSet<(u64, u64)>,
    /// How many nodes have one.
    nodes: usize,
    /// Who came by each voucher.
    uses: BTreeMap<[u8; 32], BTreeSet<NodeId>>,
    /// By who has signed and whom.
    revoked: BTreeMap<(PublicKey, NodeId), Revocation>,
    /// The latest moment that a certificate tells, in seconds since 1970.
    latest: u64,
    /// The root keys.
    line: Arc<Line>,
}

/// Why a chain does not count.
enum Refused {
    /// This node was revoked.
    Revoked(NodeId),
    /// Its root's signature does not go on, in words.
    Root(String),
}

/// A member, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub node: NodeId,
    /// What it called itself when it was admitted.
    pub name: String,
    /// Who has admitted it; nobody when it was the root.
    pub by: Option<NodeId>,
    /// When, in seconds since 1970, as far as that member knew; 0 when it had no idea.
    pub at: u64,
    /// What it may do.
    pub grant: Grant,
    /// True when it came by an invite that others had used up by then, elsewhere.
    pub excess: bool,
    /// True when it is a member no more.
    pub revoked: bool,
}

impl Roll {
    /// The roll of the lattice of `identity`, with what `store` remembers.
    ///
    /// # Errors
    /// [`StoreError`]: the disk fails.
    pub fn open(identity: &Identity, store: Arc<dyn Store>, notary: Arc<Notary>) -> Result<Self, StoreError> {
        let root = identity.membership().root();
        let own = notary.keep(identity.membership().clone());
        let state = Mutex::new(State::new(root));
        let roll = Self { root, store, notary, own, state, writing: Mutex::new(()) };
        roll.read_line(identity)?;
        roll.lock().insert(&roll.own);
        roll.read_back(PREFIX, |value| {
            let chain = codec::decode(value).ok().and_then(|warrants| roll.notary.verify(roll.root, warrants).ok());
            chain.map(|chain| drop(roll.lock().insert(&chain)))
        })?;
        roll.read_back(REVOKED_PREFIX, |value| {
            let revocation: Revocation = codec::decode(value).ok()?;
            let signer = revocation.verify(roll.root, roll.lock().line.current()).ok()?;
            signer.is_none_or(|signer| roll.lock().goes_on(&signer)).then_some(())?;
            roll.lock().revoked.insert((revocation.by(roll.root), revocation.node()), revocation);
            Some(())
        })?;
        Ok(roll)
    }

    /// Hands all records under `prefix` to `take`. What it cannot take has been damaged, and is deleted: it may be had
    /// again from a neighbour.
    fn read_back(&self, prefix: &[u8], take: impl Fn(&[u8]) -> Option<()>) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let records = self.store.scan(prefix, after.as_deref(), SCAN)?;
            for (key, value) in &records {
                if take(value).is_none() {
                    tracing::warn!(key = %String::from_utf8_lossy(prefix), "a damaged record of members was deleted");
                    self.store.delete(key)?;
                }
            }
            match records.into_iter().last() {
                Some((key, _)) => after = Some(key),
                None => return Ok(()),
            }
        }
    }

    /// The key of the root that has made the lattice, and names it. [`Line::current`] of [`Roll::line`] speaks for it.
    #[must_use]
    pub const fn root(&self) -> PublicKey {
        self.root
    }

    /// The time in seconds since 1970: by the clock when it has been set, else the latest that a certificate tells, else
    /// nothing. It decides about the expiry of invites and about nothing else.
    #[must_use]
    pub fn now(&self, wall: SystemTime) -> Option<u64> {
        let latest = self.lock().latest;
        Some(unix(wall)).filter(|now| *now >= CLOCK_SET).or(Some(latest).filter(|latest| *latest > 0))
    }

    /// Takes in the chain by which somebody is a member.
    ///
    /// # Errors
    /// [`ChainError`]: it is none, or a chain of something else.
    pub fn learn(&self, warrants: Vec<Warrant>) -> Result<Learnt, ChainError> {
        let chain = self.notary.verify(self.root, warrants)?;
        if chain.node().is_none() {
            return Err(ChainError::Broken { why: "it is about no node".to_owned() });
        }
        let _writing = self.writing();
        let learnt = self.lock().insert(&chain);
        if matches!(learnt, Learnt::New(_)) {
            self.write_down(&chain);
        }
        Ok(learnt)
    }

    /// Keeps what counts a use, and whom the root itself has certified: who replaces its key has to name those.
    fn write_down(&self, chain: &Chain) {
        let used = uses_voucher(chain);
        if let Some(used) = used.filter(|used| self.uses(PublicKey(used.key)) > used.uses as usize) {
            let node = chain.node().map(|(node, _)| node.short());
            let uses = used.uses;
            tracing::warn!(node, uses, "more devices came by an invite than it is for, in parts that were apart");
        }
        if used.is_none() && chain.signer().is_some() {
            return;
        }
        // At worst it is not known here after the next start, and is heard of again.
        if let Err(error) = self.put(chain) {
            tracing::warn!(%error, "a member cannot be written down");
        }
    }

    /// Admits a device that has proved to hold the key of `voucher`, and counts the use. A device that asks again (its
    /// answer was lost) is admitted again for nothing.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub fn admit(
        &self,
        identity: &Identity,
        voucher: &Chain,
        application: &Application,
        joiner: &Joiner,
        wall: SystemTime,
    ) -> Result<Admitted, Refusal> {
        let Some((key, terms)) = voucher.voucher() else {
            return Err(Refusal::BadRequest { why: "it holds no voucher".to_owned() });
        };
        let now = self.now(wall);
        let _writing = self.writing();
        let mut state = self.lock();
        if let Some(why) = state.refuses(voucher) {
            return Err(Refusal::Revoked { what: state.told(&why) });
        }
        let before = state.admitted(joiner.node, key);
        if before.is_none() {
            state.check(key, terms, now)?;
        }
        let same = before.filter(|chain| chain.signer().map(|(key, _)| key) == identity.issuer_key());
        let claims = same.and_then(|chain| chain.node().map(|(_, claims)| claims.clone()));
        let claims = claims.unwrap_or_else(|| NodeClaims {
            name: joiner.name.clone(),
            grant: terms.grant.clone(),
            voucher: Some(VoucherUse { key: key.0, uses: terms.uses }),
            at: now.unwrap_or_default(),
        });
        let (chain, admission) =
            identity.admission(application, claims).map_err(|error| state.may_not(identity, &error))?;
        let chain = self.notary.keep(chain);
        match state.insert(&chain) {
            Learnt::New(_) | Learnt::Known => {}
            Learnt::Full => return Err(Refusal::Unable { why: format!("{MEMBERS_MAX} members are known already") }),
            Learnt::Void => return Err(Refusal::Unable { why: "this member is one no more".to_owned() }),
        }
        drop(state);
        self.put(&chain).map_err(|error| Refusal::Unable { why: error.to_string() })?;
        Ok(Admitted { admission, chain, durable: self.store.flush_durable() })
    }

    /// How many devices are known to have come by the voucher.
    #[must_use]
    pub fn uses(&self, voucher: PublicKey) -> usize {
        self.lock().uses.get(&voucher.0).map_or(0, BTreeSet::len)
    }

    /// Takes in that a node is a member no more, for good. True when that was not known.
    ///
    /// What a revoked issuer has signed tells nothing new, since all below it is out already, and is not kept: so whoever
    /// filled the room for it makes room again when it is revoked. Half of the room is the root's alone.
    ///
    /// # Errors
    /// [`RevocationError`]: nobody has signed it who may, or there is no room.
    pub fn revoke(&self, revocation: &Revocation) -> Result<bool, RevocationError> {
        let (by, node) = (revocation.by(self.root), revocation.node());
        if self.lock().has_revoked((by, node)) {
            return Ok(false);
        }
        let current = self.line().current();
        let signer = revocation.verify(self.root, current)?;
        self.take_in(revocation, signer.as_ref(), current)
    }

    /// Takes in what has been verified, by an issuer's chain or by the root key that spoke for the lattice meanwhile.
    fn take_in(
        &self,
        revocation: &Revocation,
        signer: Option<&Chain>,
        verified_by: PublicKey,
    ) -> Result<bool, RevocationError> {
        let (by, node) = (revocation.by(self.root), revocation.node());
        let _writing = self.writing();
        let mut state = self.lock();
        if signer.is_none() && state.line.current() != verified_by {
            return Err(RevocationError::Root);
        }
        if signer.is_some_and(|signer| state.refuses(signer).is_some()) {
            return Ok(false);
        }
        if !state.has_room(signer.is_some()) {
            return Err(RevocationError::Full);
        }
        state.revoked.insert((by, node), revocation.clone());
        let moot = state.take_moot(self.root, (by, node));
        drop(state);
        for pair in moot {
            // One that stays on the disk does no harm: what it says is so.
            let _ = self.store.delete(&revoked_key(pair));
        }
        if let Err(error) = self.store.put(&revoked_key((by, node)), &codec::encode(revocation)) {
            tracing::warn!(%error, "a revocation cannot be written down; it holds until the next start");
        }
        Ok(true)
    }

    /// All revocations, in a fixed order.
    #[must_use]
    pub fn revocations(&self) -> Vec<Revocation> {
        self.lock().revoked.values().cloned().collect()
    }

    /// Ready when all that is in the roll survives a loss of power.
    pub fn durable(&self) -> BoxFuture<Result<(), StoreError>> {
        self.store.flush_durable()
    }

    /// Who, in words, was revoked so that `chain` counts no more; nothing while it counts.
    #[must_use]
    pub fn refuses(&self, chain: &Chain) -> Option<String> {
        let state = self.lock();
        state.refuses(chain).map(|why| state.told(&why))
    }

    /// `node` in words.
    #[must_use]
    pub fn named(&self, node: NodeId) -> String {
        self.lock().named(node)
    }

    /// Whether there is a chain by which `node` is a member.
    #[must_use]
    pub fn is_member(&self, node: NodeId) -> bool {
        self.lock().good(node).next().is_some()
    }

    /// Whether there is a chain of `node`, if only one that counts no more.
    #[must_use]
    pub fn knows(&self, node: NodeId) -> bool {
        self.lock().knows(node)
    }

    /// Whether `node` was a member, and no chain of it counts any more.
    #[must_use]
    pub fn is_revoked(&self, node: NodeId) -> bool {
        let state = self.lock();
        state.knows(node) && state.good(node).next().is_none()
    }

    /// What `node` may do: what all its chains allow.
    #[must_use]
    pub fn grant(&self, node: NodeId) -> Option<Grant> {
        let state = self.lock();
        let grants = state.good(node).filter_map(|chain| chain.node()).map(|(_, claims)| claims.grant.clone());
        grants.reduce(|one, other| one.meet(&other))
    }

    /// The chains of `node`, those that count no more included.
    #[must_use]
    pub fn chains(&self, node: NodeId) -> Vec<Arc<Chain>> {
        self.lock().of(node).cloned().collect()
    }

    /// Every member that is known, revoked ones included, in the order of their keys.
    #[must_use]
    pub fn list(&self) -> Vec<Member> {
        let state = self.lock();
        let excess = state.excess();
        let member = |node: NodeId| {
            let good = state.good(node).next();
            let chain = good.or_else(|| state.of(node).next())?;
            let (_, claims) = chain.node()?;
            Some(Member {
                node,
                name: claims.name.clone(),
                by: chain.signer().map(|(_, node)| node),
                at: claims.at,
                grant: claims.grant.clone(),
                excess: excess.contains(&node),
                revoked: good.is_none(),
            })
        };
        state.nodes().into_iter().filter_map(member).collect()
    }

    /// For each bucket the sum of its chains' ids.
    #[must_use]
    pub fn digests(&self) -> Vec<u64> {
        self.lock().digests.to_vec()
    }

    /// Whether a chain of this id is known.
    #[must_use]
    pub fn has(&self, id: u64) -> bool {
        self.lock().chains.contains_key(&id)
    }

    /// The ids of the chains in a bucket.
    #[must_use]
    pub fn ids(&self, bucket: usize) -> Vec<u64> {
        self.lock().bucket(bucket).map(|(id, _)| *id).collect()
    }

    /// The chains in a bucket that are not among `ids`.
    #[must_use]
    pub fn missing(&self, bucket: usize, ids: &[u64]) -> Vec<Arc<Chain>> {
        let ids: BTreeSet<&u64> = ids.iter().collect();
        self.lock().bucket(bucket).filter(|(id, _)| !ids.contains(id)).map(|(_, chain)| Arc::clone(chain)).collect()
    }

    fn put(&self, chain: &Chain) -> Result<(), StoreError> {
        self.store.put(&self.key_of(chain), &codec::encode(chain.warrants()))
    }

    /// Whoever writes waits for whoever does so already, and for the disk.
    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().expect("no holder of this lock panics")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl State {
    fn new(root: PublicKey) -> Self {
        Self {
            line: Arc::new(Line::new(root)),
            chains: BTreeMap::new(),
            digests: [0; BUCKETS],
            members: BTreeSet::new(),
            nodes: 0,
            uses: BTreeMap::new(),
            revoked: BTreeMap::new(),
            latest: 0,
        }
    }

    fn insert(&mut self, chain: &Arc<Chain>) -> Learnt {
        let Some((node, claims)) = chain.node() else { return Learnt::Known };
        let id = chain.id();
        if self.chains.contains_key(&id) {
            return Learnt::Known;
        }
        if !self.goes_on(chain) {
            return Learnt::Void;
        }
        let known = self.of(node).count();
        if known >= CHAINS_MAX || known == 0 && self.nodes >= MEMBERS_MAX {
            return Learnt::Full;
        }
        self.chains.insert(id, Arc::clone(chain));
        self.digests[bucket_of(id)] = self.digests[bucket_of(id)].wrapping_add(id);
        self.members.insert((beginning(node), id));
        self.nodes += usize::from(known == 0);
        self.latest = self.latest.max(claims.at);
        if let Some(used) = &claims.voucher {
            self.uses.entry(used.key).or_default().insert(node);
        }
        Learnt::New(Arc::clone(chain))
    }

    fn bucket(&self, bucket: usize) -> impl Iterator<Item = (&u64, &Arc<Chain>)> {
        let first = (bucket as u64) << BUCKET_SHIFT;
        let range = (bucket < BUCKETS).then(|| self.chains.range(first..=first | u64::MAX >> (64 - BUCKET_SHIFT)));
        range.into_iter().flatten()
    }

    /// The chains of `node`.
    fn of(&self, node: NodeId) -> impl Iterator<Item = &Arc<Chain>> {
        let begins = beginning(node);
        let alike = self.members.range((begins, 0)..=(begins, u64::MAX)).filter_map(|(_, id)| self.chains.get(id));
        alike.filter(move |chain| chain.node().is_some_and(|(of, _)| of == node))
    }

    /// Whether there is a chain of `node`.
    fn knows(&self, node: NodeId) -> bool {
        self.of(node).next().is_some()
    }

    /// All that have one, in the order of their keys.
    fn nodes(&self) -> BTreeSet<NodeId> {
        self.chains.values().filter_map(|chain| chain.node()).map(|(node, _)| node).collect()
    }

    /// Those that count.
    fn good(&self, node: NodeId) -> impl Iterator<Item = &Arc<Chain>> {
        self.of(node).filter(|chain| self.refuses(chain).is_none())
    }

    /// Why `chain` counts no more.
    fn refuses(&self, chain: &Chain) -> Option<Refused> {
        if let Some(what) = self.line.refuses(chain) {
            return Some(Refused::Root(what));
        }
        if self.revoked.is_empty() && self.line.steps().is_empty() {
            return None;
        }
        let node = revocation::pairs(chain).find(|pair| self.has_revoked(*pair)).map(|(_, node)| node);
        node.map(Refused::Revoked)
    }

    /// The same in words.
    fn told(&self, why: &Refused) -> String {
        match why {
            Refused::Revoked(node) => self.named(*node),
            Refused::Root(what) => what.clone(),
        }
    }

    /// Whether one more revocation fits: of an issuer, or of the root.
    fn has_room(&self, of_issuer: bool) -> bool {
        let of_issuers = self.revoked.values().filter(|revocation| !revocation.signer.is_empty()).count();
        let alike = if of_issuer { of_issuers } else { self.revoked.len() - of_issuers };
        alike < REVOCATIONS_MAX / 2
    }

    /// Takes out the revocations whose signers are revoked by `new`.
    fn take_moot(&mut self, root: PublicKey, new: (PublicKey, NodeId)) -> Vec<(PublicKey, NodeId)> {
        let moot = |known: &Revocation| revocation::pairs_of(root, &known.signer).any(|pair| pair == new);
        let moot: Vec<_> = self.revoked.iter().filter(|(_, known)| moot(known)).map(|(pair, _)| *pair).collect();
        for pair in &moot {
            self.revoked.remove(pair);
        }
        moot
    }

    fn named(&self, node: NodeId) -> String {
        let name = self.of(node).find_map(|chain| chain.node()).map(|(_, claims)| claims.name.as_str());
        name.map_or_else(|| node.short(), |name| format!("{name} ({})", node.short()))
    }

    /// Who came by an invite after as many others as it was for.
    fn excess(&self) -> BTreeSet<NodeId> {
        let came = |voucher: PublicKey, node: NodeId| {
            let (_, claims) = self.admitted(node, voucher)?.node()?;
            Some((claims.at, node, claims.voucher.as_ref()?.uses))
        };
        let mut excess = BTreeSet::new();
        for (voucher, nodes) in &self.uses {
            let mut all: Vec<_> = nodes.iter().filter_map(|node| came(PublicKey(*voucher), *node)).collect();
            all.sort_unstable();
            let uses = all.iter().map(|(.., uses)| *uses as usize).min().unwrap_or_default();
            excess.extend(all.into_iter().skip(uses).map(|(_, node, _)| node));
        }
        excess
    }

    /// Why a member does not admit, and who would.
    fn may_not(&self, identity: &Identity, error: &AdmissionError) -> Refusal {
        let why = match error {
            AdmissionError::NoIssuer { why } => why.to_string(),
            AdmissionError::Grant { wanted, own } => {
                format!("the invite grants {wanted}, and it may pass on {own}")
            }
            AdmissionError::Chain(_) | AdmissionError::OtherKeys | AdmissionError::Name(_) => {
                return Refusal::Unable { why: error.to_string() };
            }
        };
        let may = |node: NodeId| {
            let (_, claims) = self.good(node).next()?.node()?;
            (claims.grant == Grant::all() && node != identity.node_id()).then(|| claims.name.clone())
        };
        let ask = self.nodes().into_iter().filter_map(may).take(ASK_MAX).collect();
        Refusal::MayNot { member: identity.name().to_owned(), why, ask }
    }

    /// The chain by which `node` was let in with this voucher.
    fn admitted(&self, node: NodeId, voucher: PublicKey) -> Option<&Arc<Chain>> {
        self.of(node).find(|chain| uses_voucher(chain).is_some_and(|used| used.key == voucher.0))
    }

    /// Whether the voucher lets in one device more.
    fn check(&self, key: PublicKey, terms: &VoucherClaims, now: Option<u64>) -> Result<(), Refusal> {
        let used = self.uses.get(&key.0);
        if used.map_or(0, BTreeSet::len) >= terms.uses as usize {
            let chains = used.into_iter().flatten().filter_map(|node| self.admitted(*node, key));
            let last = chains.filter_map(|chain| chain.node()).map(|(_, claims)| claims).max_by_key(|claims| claims.at);
            let at = last.map_or(0, |claims| claims.at);
            let ago_secs = now.filter(|_| at > 0).map(|now| now.saturating_sub(at));
            return Err(Refusal::UsedUp { by: last.map_or_else(String::new, |last| last.name.clone()), ago_secs });
        }
        match now.and_then(|now| now.checked_sub(terms.expires)) {
            Some(ago_secs) if terms.expires > 0 && ago_secs > 0 => Err(Refusal::Expired { ago_secs }),
            Some(_) | None => Ok(()),
        }
    }
}

/// What the chains of a node are found by. Keys are random: hardly ever do two begin alike.
fn beginning(node: NodeId) -> u64 {
    u64::from_be_bytes(*node.0.first_chunk().expect("a key has 32 bytes"))
}

fn revoked_key((by, node): (PublicKey, NodeId)) -> Vec<u8> {
    [REVOKED_PREFIX, &by.0, &node.0].concat()
}

fn uses_voucher(chain: &Chain) -> Option<&VoucherUse> {
    chain.node()?.1.voucher.as_ref()
}

/// As many bits of an id as say which bucket it is in are above this one.
const BUCKET_SHIFT: u32 = 64 - BUCKETS.ilog2();

fn bucket_of(id: u64) -> usize {
    usize::try_from(id >> BUCKET_SHIFT).expect("there are few buckets")
}

#[cfg(test)]
pub(super) mod tests;
