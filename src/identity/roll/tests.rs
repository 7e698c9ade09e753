use super::*;
use crate::identity::{Applicant, Grant, Invite, Terms};
use crate::store::MemoryStore;
use lattice_broker::env::Rng;
use rand_core::SeedableRng;
use std::time::{Duration, UNIX_EPOCH};

/// A moment at which a clock has been set.
const TODAY: u64 = CLOCK_SET + 1_000_000;

fn at(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(secs)
}

/// A member's roll, and the disk that it is on.
pub(in crate::identity) struct Member {
    pub(in crate::identity) identity: Identity,
    pub(in crate::identity) roll: Roll,
    pub(in crate::identity) store: Arc<dyn Store>,
}

pub(in crate::identity) fn member(identity: Identity) -> Member {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let roll = Roll::open(&identity, Arc::clone(&store), Arc::default()).unwrap();
    Member { identity, roll, store }
}

impl Member {
    fn invite(&self, uses: u32, now: Option<u64>) -> Invite {
        let addresses = vec!["10.0.0.1:7443".parse().unwrap()];
        let terms = Terms { valid_for: Duration::from_secs(3_600), uses, grant: Grant::all(), addresses };
        self.identity.issue(&mut Rng::seed_from_u64(now.unwrap_or(3) + u64::from(uses)), terms, now).unwrap()
    }

    fn admit(&self, invite: &Invite, n: u64, now: u64) -> Result<Arc<Chain>, Refusal> {
        let applicant = Applicant::generate(&mut Rng::seed_from_u64(n), &format!("n{n}"));
        let application = applicant.application();
        let joiner = Joiner { node: NodeId(application.node.0), name: applicant.name().to_owned() };
        let admitted = self.roll.admit(&self.identity, invite.chain(), &application, &joiner, at(now))?;
        let became = applicant.accept(self.roll.root(), admitted.admission).unwrap();
        assert_eq!(became.membership(), &*admitted.chain);
        Ok(admitted.chain)
    }

    pub(in crate::identity) fn hears(&self, chain: &Chain) -> Learnt {
        self.roll.learn(chain.warrants().to_vec()).unwrap()
    }
}

fn two() -> (Member, Member) {
    let mut rng = Rng::seed_from_u64(1);
    let root = Identity::generate_root(&mut rng, "a");
    let other = root.admit(&mut rng, "b").unwrap();
    (member(root), member(other))
}

#[test]
fn uses_are_counted_and_repeats_are_free() {
    let (a, _) = two();
    let invite = a.invite(2, Some(TODAY));
    let first = a.admit(&invite, 1, TODAY).unwrap();
    for n in [1, 2, 1, 2] {
        a.admit(&invite, n, TODAY + 10).unwrap();
    }
    assert_eq!(a.admit(&invite, 1, TODAY + 9_999), Ok(first), "it is a member already, and gets what it had");
    let refused = a.admit(&invite, 3, TODAY + 40).unwrap_err();
    assert_eq!(refused, Refusal::UsedUp { by: "n2".to_owned(), ago_secs: Some(30) });
    assert_eq!(refused.to_string(), "this invite was used by n2 30 s ago");
    assert_eq!(a.roll.uses(invite.key().public()), 2);
}

/// Goal: any member checks an invite without having heard of it, and what others have counted counts.
#[test]
fn a_member_that_never_heard_of_an_invite_admits_by_it() {
    let (a, b) = two();
    let invite: Invite = a.invite(2, Some(TODAY)).to_string().parse().unwrap();
    let first = b.admit(&invite, 1, TODAY).unwrap();
    assert_eq!(first.signer().map(|(_, node)| node), Some(b.identity.node_id()));
    let second = a.admit(&invite, 2, TODAY).unwrap();
    assert_eq!((b.hears(&second), b.hears(&second)), (Learnt::New(second.clone()), Learnt::Known));
    assert!(matches!(b.admit(&invite, 3, TODAY), Err(Refusal::UsedUp { .. })));
    // The answer of the other was lost: here it gets one of its own, for no further use.
    b.admit(&invite, 2, TODAY).unwrap();
    assert_eq!(b.roll.uses(invite.key().public()), 2);
}

/// Goal: the excess of two parts that were apart shows once they know of each other.
#[test]
fn parts_that_are_apart_may_overdo_it_and_it_shows() {
    let (a, b) = two();
    let invite = a.invite(1, Some(TODAY));
    let (one, other) = (a.admit(&invite, 1, TODAY).unwrap(), b.admit(&invite, 2, TODAY).unwrap());
    a.hears(&other);
    b.hears(&one);
    for member in [&a, &b] {
        assert_eq!(member.roll.uses(invite.key().public()), 2);
        assert!(matches!(member.admit(&invite, 3, TODAY), Err(Refusal::UsedUp { .. })));
        let excess: Vec<bool> = member.roll.list().iter().map(|member| member.excess).collect();
        assert_eq!(excess.iter().filter(|excess| **excess).count(), 1, "{excess:?}");
    }
}

#[test]
fn uses_survive_a_restart() {
    let (a, b) = two();
    let invite = a.invite(2, Some(TODAY));
    a.admit(&invite, 1, TODAY).unwrap();
    a.hears(&b.admit(&invite, 2, TODAY).unwrap());
    let again = Roll::open(&a.identity, Arc::clone(&a.store), Arc::default()).unwrap();
    assert_eq!(again.uses(invite.key().public()), 2);
    let damaged = a.store.scan(PREFIX, None, 10).unwrap();
    a.store.put(&damaged[0].0, b"garbage").unwrap();
    let again = Roll::open(&a.identity, Arc::clone(&a.store), Arc::default()).unwrap();
    assert_eq!(again.uses(invite.key().public()), 1);
    assert_eq!(a.store.scan(PREFIX, None, 10).unwrap().len(), 1);
}

#[test]
fn an_invite_expires_by_the_clock_of_who_is_asked() {
    let (a, _) = two();
    let invite = a.invite(1, Some(TODAY));
    assert_eq!(a.admit(&invite, 1, TODAY + 3_600 + 7_300), Err(Refusal::Expired { ago_secs: 7_300 }));
    a.admit(&invite, 1, TODAY + 3_600).unwrap();
}

/// Goal: without a clock, or with one that jumps, invites are made and used; what certificates tell is better than nothing.
#[test]
fn no_clock_locks_anybody_out() {
    let (a, b) = two();
    assert_eq!(a.roll.now(at(5)), None);
    let undated = a.invite(3, a.roll.now(at(5)));
    for (n, now) in [(1, 5), (2, TODAY * 10), (3, 0)] {
        a.admit(&undated, n, now).unwrap();
    }
    // By now somebody has been admitted in the far future, by a clock that had jumped.
    assert_eq!(a.roll.now(at(5)), Some(TODAY * 10));
    assert_eq!(a.roll.now(at(TODAY)), Some(TODAY), "a clock that has been set is believed");
    let dated = b.invite(1, Some(TODAY));
    a.admit(&dated, 4, TODAY).unwrap();
    let by_jumped = a.invite(1, a.roll.now(at(5)));
    a.admit(&by_jumped, 5, 5).unwrap();
}

#[test]
fn who_may_not_says_so_and_spends_nothing() {
    let (a, _) = two();
    let mut rng = Rng::seed_from_u64(4);
    let guest = member(a.identity.admit_with(&mut rng, "g", &Grant { invite: false, ..Grant::all() }).unwrap());
    let leaf = member(a.identity.admit_with(&mut rng, "l", &Grant { transit: false, ..Grant::all() }).unwrap());
    let invite = a.invite(1, Some(TODAY));
    let refused = guest.admit(&invite, 1, TODAY).unwrap_err().to_string();
    assert_eq!(refused, "g may not admit this device: it was admitted with no-invite");
    guest.hears(a.identity.membership());
    let refused = guest.admit(&invite, 1, TODAY).unwrap_err().to_string();
    assert!(refused.ends_with("with no-invite; a may"), "{refused}");
    let refused = leaf.admit(&invite, 1, TODAY).unwrap_err().to_string();
    assert_eq!(refused, "l may not admit this device: the invite grants all, and it may pass on no-transit");
    assert_eq!(guest.roll.uses(invite.key().public()) + leaf.roll.uses(invite.key().public()), 0);
}

#[test]
fn what_is_no_member_is_not_learnt() {
    let (a, b) = two();
    let stranger = Identity::generate_root(&mut Rng::seed_from_u64(7), "x");
    assert!(a.roll.learn(stranger.membership().warrants().to_vec()).is_err());
    assert!(a.roll.learn(a.invite(1, None).chain().warrants().to_vec()).is_err());
    assert!(a.roll.learn(Vec::new()).is_err());
    assert!(matches!(a.hears(b.identity.membership()), Learnt::New(_)));
}

/// Goal: whoever lacks chains is told which by two rounds of digests and ids.
#[test]
fn what_differs_is_found_by_buckets() {
    let (a, b) = two();
    let invite = a.invite(100, Some(TODAY));
    for n in 1..=100 {
        a.admit(&invite, n, TODAY).unwrap();
    }
    b.hears(a.identity.membership());
    a.hears(b.identity.membership());
    let (ours, theirs) = (a.roll.digests(), b.roll.digests());
    let mut told = 0;
    for bucket in (0..BUCKETS).filter(|bucket| ours[*bucket] != theirs[*bucket]) {
        assert!(b.roll.missing(bucket, &a.roll.ids(bucket)).is_empty());
        for chain in a.roll.missing(bucket, &b.roll.ids(bucket)) {
            assert!(!b.roll.has(chain.id()));
            b.hears(&chain);
            told += 1;
        }
    }
    assert_eq!(told, 100);
    assert_eq!(a.roll.digests(), b.roll.digests());
    assert!(b.roll.ids(BUCKETS).is_empty() && b.roll.missing(usize::MAX, &[]).is_empty());
}

/// Goal: who is revoked is a member no more, nor is whoever it has admitted; after a restart too.
#[test]
fn a_revoked_member_takes_along_whom_it_has_admitted() {
    let (a, b) = two();
    let invite = b.invite(2, Some(TODAY));
    let below = b.admit(&invite, 1, TODAY).unwrap();
    a.hears(&below);
    a.hears(b.identity.membership());
    let (bad, victim) = (b.identity.node_id(), below.node().unwrap().0);
    assert!(a.roll.is_member(bad) && a.roll.is_member(victim));
    let revocation = a.identity.revoke(bad, &[b.identity.membership()], TODAY, a.roll.root()).unwrap();
    assert_eq!((a.roll.revoke(&revocation), a.roll.revoke(&revocation)), (Ok(true), Ok(false)));
    let again = Roll::open(&a.identity, Arc::clone(&a.store), Arc::default()).unwrap();
    again.learn(b.identity.membership().warrants().to_vec()).unwrap();
    for roll in [&a.roll, &again] {
        assert!(!roll.is_member(bad) && !roll.is_member(victim) && roll.knows(bad));
        assert!(roll.is_revoked(bad) && !roll.is_revoked(a.identity.node_id()));
        assert!(roll.is_member(a.identity.node_id()));
        assert!(roll.list().iter().all(|member| member.revoked == (member.node != a.identity.node_id())));
    }
    let refused = a.admit(&invite, 3, TODAY).unwrap_err();
    assert!(refused.to_string().starts_with("this invite has been revoked: b ("), "{refused}");
    let text = revocation::to_text(a.roll.root(), &a.roll.revocations());
    assert_eq!(revocation::from_text(a.roll.root(), &text), Ok(vec![revocation]));
}

/// Goal: a member that revokes whomever it can think of keeps the root from nothing, and makes room when it is revoked.
#[test]
fn no_member_uses_up_the_room_for_revocations() {
    let (a, b) = two();
    let liar = b.identity.issuer_chain_and_key();
    let by_liar = |n: usize| {
        let mut node = [0; 32];
        node[..8].copy_from_slice(&n.to_le_bytes());
        Revocation::sign(a.roll.root(), liar.1, liar.0.warrants(), NodeId(node), 7)
    };
    for n in 0..REVOCATIONS_MAX / 2 {
        assert_eq!(a.roll.revoke(&by_liar(n)), Ok(true));
    }
    assert_eq!(a.roll.revoke(&by_liar(REVOCATIONS_MAX)), Err(RevocationError::Full));
    let of_liar = a.identity.revoke(b.identity.node_id(), &[], 7, a.roll.root()).unwrap();
    assert_eq!(a.roll.revoke(&of_liar), Ok(true));
    assert_eq!(a.roll.revocations(), [of_liar], "what the liar has signed is moot");
    assert_eq!(a.roll.revoke(&by_liar(1)), Ok(false));
    assert_eq!(a.store.scan(REVOKED_PREFIX, None, 10).unwrap().len(), 1);
}
