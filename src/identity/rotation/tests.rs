use super::*;
use crate::identity::roll::tests::{Member, member};
use crate::identity::{Grant, Learnt, Revocation, SuccessionError, Terms};
use crate::store::MemoryStore;
use rand_core::SeedableRng;
use std::sync::Arc;
use std::time::Duration;

impl Member {
    fn id(&self) -> NodeId {
        self.identity.node_id()
    }

    fn rotate(&self, pardon: &[NodeId]) -> Result<Rotation, RotationError> {
        self.identity.rotate(&mut Rng::seed_from_u64(7), &self.roll, pardon, 5)
    }

    /// As a link brings it.
    fn hears_of(&self, rotation: &Rotation) {
        assert!(self.roll.hear(rotation.line.news().unwrap()).unwrap());
    }

    fn again(&self) -> Roll {
        Roll::open(&self.identity, Arc::clone(&self.store), Arc::default()).unwrap()
    }
}

/// The one that made the lattice, one that it has admitted, and one that that one has.
fn line() -> [Member; 3] {
    let mut rng = Rng::seed_from_u64(1);
    let a = Identity::generate_root(&mut rng, "a");
    let b = a.admit(&mut rng, "b").unwrap();
    let c = b.admit(&mut rng, "c").unwrap();
    let all = [a, b, c].map(member);
    for one in &all {
        all.iter().for_each(|other| drop(one.hears(other.identity.membership())));
    }
    all
}

/// Who is a member by the old key alone, as a thief would make one.
fn by_thief(a: &Member, name: &str) -> Identity {
    a.identity.certify(&mut Rng::seed_from_u64(66), name)
}

/// What a thief of the root key certifies for the founder's key.
fn usurped(a: &Member, n: u8, grant: &Grant) -> Vec<Warrant> {
    let claims = crate::identity::NodeClaims { name: format!("x{n}"), grant: grant.clone(), voucher: None, at: 0 };
    let root = a.identity.root_key().unwrap();
    Chain::found(root, a.identity.key().public(), Claims::Node(claims)).unwrap().warrants().to_vec()
}

/// Goal: all stay members with the certificates that they have, whoever they are below, before and after a restart; what the
/// old key signs from then on counts for nothing.
#[test]
fn all_members_stay_and_the_old_key_counts_for_nothing() {
    let [a, b, c] = line();
    let rotation = a.rotate(&[]).unwrap();
    assert_eq!((rotation.line.steps().len(), rotation.left.len()), (1, 0));
    let late = by_thief(&a, "late");
    for member in [&a, &b, &c] {
        member.hears_of(&rotation);
        for roll in [&member.roll, &member.again()] {
            assert_eq!(roll.line().current(), rotation.root.public());
            for one in [&a, &b, &c] {
                assert!(roll.learn(one.identity.membership().warrants().to_vec()).is_ok());
                assert!(roll.is_member(one.id()) && roll.refuses(one.identity.membership()).is_none());
            }
            assert!(roll.refuses(late.membership()).unwrap().contains("a root key has signed that was replaced"));
            assert_eq!(roll.learn(late.membership().warrants().to_vec()), Ok(Learnt::Void));
            assert!(!roll.is_member(late.node_id()));
        }
        let by_old = Revocation::sign(a.roll.root(), a.identity.root_key().unwrap(), &[], c.id(), 7);
        assert_eq!(member.roll.revoke(&by_old), Err(crate::identity::RevocationError::Root));
        let by_new = Revocation::sign(a.roll.root(), &rotation.root, &[], late.node_id(), 7);
        assert_eq!(member.roll.revoke(&by_new), Ok(true));
    }
    // An issuer is what it was: it admits and revokes.
    let by_issuer = b.identity.revoke(c.id(), &[c.identity.membership()], 7, a.roll.line().current());
    assert_eq!(a.roll.revoke(&by_issuer.unwrap()), Ok(true));
    assert!(a.roll.is_revoked(c.id()) && a.roll.is_member(b.id()));
    assert!(matches!(a.rotate(&[]), Err(RotationError::Replaced { .. })));
    assert_eq!(b.rotate(&[]).unwrap_err(), RotationError::NoRoot);
}

/// Goal: whom a thief has made a member with the old key goes, on all nodes.
#[test]
fn whom_the_old_key_alone_has_certified_goes() {
    let [a, b, _] = line();
    let thief = by_thief(&a, "thief");
    for member in [&a, &b] {
        assert!(matches!(member.hears(thief.membership()), Learnt::New(_)));
        assert!(member.roll.is_member(thief.node_id()) && member.again().is_member(thief.node_id()));
    }
    let rotation = a.rotate(&[]).unwrap();
    assert_eq!(rotation.left.iter().map(|member| &*member.name).collect::<Vec<_>>(), ["thief"]);
    let digests = |roll: &Roll| (roll.digests(), roll.list().len());
    for member in [&a, &b] {
        member.hears_of(&rotation);
        assert!(!member.roll.is_member(thief.node_id()) && !member.roll.knows(thief.node_id()));
        assert_eq!(digests(&member.roll), digests(&a.roll), "all keep the same");
    }
}

/// Goal: a thief's certificate for the founder's key does not take the place of the genuine one, neither on the disk nor by the
/// rotation, on whichever node that is.
#[test]
fn a_thief_cannot_displace_the_founder() {
    let [a, b, _] = line();
    let little = Grant { transit: false, ..Grant::all() };
    let theirs = usurped(&a, 1, &little);
    // The owner has put the key on b.
    let b = Member { identity: Identity { root: a.identity.root.clone(), ..b.identity.clone() }, ..b };
    for member in [&a, &b] {
        assert!(matches!(member.roll.learn(theirs.clone()), Ok(Learnt::New(_))));
        let again =
            Member { roll: member.again(), store: Arc::clone(&member.store), identity: member.identity.clone() };
        assert_eq!(again.roll.chains(a.id()).len(), 2, "both are read back");
        let rotation = again.rotate(&[]).unwrap();
        assert!(rotation.line.keeps(a.identity.membership().last()) && !rotation.line.keeps(&theirs[0]));
        assert!(rotation.left.is_empty());
        let c = line().into_iter().nth(2).unwrap();
        c.hears_of(&rotation);
        assert!(c.roll.is_member(a.id()) && c.roll.is_member(b.id()) && c.again().is_member(a.id()));
        assert_eq!(c.roll.learn(theirs.clone()), Ok(Learnt::Void));
    }
    // Where the genuine one was never heard of nothing is replaced.
    let unaware = Member {
        roll: Roll::open(&b.identity, Arc::new(MemoryStore::default()), Arc::default()).unwrap(),
        store: Arc::new(MemoryStore::default()),
        identity: b.identity.clone(),
    };
    unaware.roll.learn(theirs).unwrap();
    assert_eq!(unaware.rotate(&[]).unwrap_err(), RotationError::Founder { node: a.id() });
}

/// Goal: who was revoked by the old key stays so with the first word of the new one, unless the owner wants otherwise;
/// wherever it was known, and after a restart.
#[test]
fn who_was_revoked_by_the_old_key_stays_out() {
    let [a, b, c] = line();
    let by_old = a.identity.revoke(c.id(), &[], 7, a.roll.root()).unwrap();
    assert_eq!(a.roll.revoke(&by_old), Ok(true));
    let rotation = a.rotate(&[]).unwrap();
    assert_eq!(rotation.line.expelled(), Some(&[Expelled { node: c.id().0, at: 7 }][..]));
    assert!(rotation.left.is_empty(), "it was out before");
    // One node has heard of the revocation before, one has not.
    for member in [&a, &b] {
        member.hears_of(&rotation);
        for roll in [&member.roll, &member.again()] {
            assert_eq!(roll.revocations(), [], "the list is enough");
            assert!(roll.learn(c.identity.membership().warrants().to_vec()).is_ok());
            assert!(roll.is_revoked(c.id()) && !roll.is_member(c.id()));
            assert!(roll.refuses(c.identity.membership()).unwrap().starts_with("c ("));
            assert!(roll.list().iter().any(|member| member.name == "c" && member.revoked));
            assert_eq!(roll.revoke(&by_old), Ok(false), "it is known");
        }
        // An issuer that is out revokes nobody.
        let by_issuer = c.identity.revoke(b.id(), &[c.identity.membership()], 7, rotation.root.public());
        assert!(by_issuer.is_none());
    }
    // The next one takes it over, with what the new key has revoked.
    let next = Identity { root: Some(rotation.root.clone()), ..a.identity.clone() };
    let more = Revocation::sign(a.roll.root(), &rotation.root, &[], NodeId([9; 32]), 8);
    a.roll.revoke(&more).unwrap();
    let rng = &mut Rng::seed_from_u64(8);
    let nodes = |rotation: &Rotation| rotation.line.expelled().unwrap().iter().map(Expelled::node).collect::<Vec<_>>();
    let mut both = [c.id(), NodeId([9; 32])];
    both.sort();
    assert_eq!(nodes(&next.rotate(rng, &a.roll, &[], 6).unwrap()), both);
    assert_eq!(nodes(&next.rotate(rng, &a.roll, &[c.id()], 6).unwrap()), [NodeId([9; 32])]);
}

/// Goal: the owner pardons whom a thief has revoked, one by one, and cannot shut out himself.
#[test]
fn whom_the_thief_has_revoked_is_pardoned_by_name() {
    let [a, b, c] = line();
    let root = a.identity.root_key().unwrap();
    for node in [b.id(), c.id()] {
        a.roll.revoke(&Revocation::sign(a.roll.root(), root, &[], node, 7)).unwrap();
    }
    let rotation = a.rotate(&[c.id()]).unwrap();
    assert_eq!(rotation.line.expelled().unwrap().len(), 1);
    assert!(matches!(a.rotate(&[a.id()]), Err(RotationError::Pardon { name }) if name.starts_with("a (")));
    // C is out all the same, as b has admitted it.
    a.hears_of(&rotation);
    assert!(a.roll.is_revoked(b.id()) && a.roll.is_revoked(c.id()));
    let [a, ..] = line();
    for node in [b.id(), c.id()] {
        a.roll.revoke(&Revocation::sign(a.roll.root(), root, &[], node, 7)).unwrap();
    }
    let rotation = a.rotate(&[c.id(), b.id(), b.id()]).unwrap();
    a.hears_of(&rotation);
    assert!([&b, &c].iter().all(|one| a.roll.is_member(one.id()) && a.again().is_member(a.id())));

    let [a, b, _] = line();
    let b = Member { identity: Identity { root: a.identity.root.clone(), ..b.identity.clone() }, ..b };
    b.roll.revoke(&Revocation::sign(a.roll.root(), root, &[], a.id(), 7)).unwrap();
    assert!(matches!(b.rotate(&[]), Err(RotationError::Above { name }) if name.starts_with("a (")));
    b.roll.revoke(&Revocation::sign(a.roll.root(), root, &[], b.id(), 7)).unwrap();
    assert!(matches!(b.rotate(&[a.id()]), Err(RotationError::Above { name }) if name.starts_with("b (")));
    let rotation = b.rotate(&[a.id(), b.id()]).unwrap();
    b.hears_of(&rotation);
    assert!(b.roll.is_member(a.id()) && b.roll.is_member(b.id()));
}

/// Goal: more than a frame holds is refused in words, and nothing is done.
#[test]
fn too_many_revoked_are_refused() {
    let [a, ..] = line();
    let root = a.identity.root_key().unwrap();
    let node = |n: usize| NodeId([&n.to_be_bytes()[..], &[1; 24]].concat().try_into().unwrap());
    for n in 0..=EXPELLED_MAX {
        a.roll.revoke(&Revocation::sign(a.roll.root(), root, &[], node(n), 7)).unwrap();
    }
    assert_eq!(a.rotate(&[]).unwrap_err(), RotationError::TooMany { count: EXPELLED_MAX + 1 });
    let rotation = a.rotate(&[node(3)]).unwrap();
    a.hears_of(&rotation);
    let again = a.again();
    assert_eq!(again.line().expelled().unwrap().len(), EXPELLED_MAX, "it is longer than one record");
    assert_eq!(again.line(), a.roll.line());
}

/// Goal: the new key can be replaced in its turn, also where it was put later.
#[test]
fn a_key_is_replaced_again() {
    let [mut a, b, c] = line();
    let first = a.rotate(&[]).unwrap();
    a.hears_of(&first);
    a.identity.root = Some(first.root.clone());
    let second = a.identity.rotate(&mut Rng::seed_from_u64(8), &a.roll, &[], 6).unwrap();
    assert_eq!(second.line.steps().len(), 2);
    a.hears_of(&second);
    // One hears of both at once, one of the first before.
    b.hears_of(&first);
    b.hears_of(&second);
    assert_eq!(b.roll.hear(first.line.news().unwrap()), Ok(false));
    c.hears_of(&second);
    for member in [&a, &b, &c] {
        assert_eq!(member.again().line(), a.roll.line());
        assert!([&a, &b, &c].iter().all(|one| member.roll.is_member(one.id())));
    }
    // What a copy of the first one says is refused by those that know of the second.
    let thief = Key::from_seed(Kind::Root, [66; 32]);
    let stolen = Succession::sign(a.roll.root(), (&first.root, &thief), vec![], &[], 9);
    let stolen = first.line.and(stolen, vec![]).unwrap();
    assert!(matches!(c.roll.succeed(&stolen), Err(SuccessionError::Rival { .. })));
    assert!(c.roll.line().rival().is_some());
}

/// Goal: a node that a thief was the first to reach comes back by the word of its user.
#[test]
fn a_misled_node_can_be_told_otherwise() {
    let [a, b, _] = line();
    let rotation = a.rotate(&[]).unwrap();
    let stolen = Key::from_seed(Kind::Root, [66; 32]);
    let misled = Succession::sign(a.roll.root(), (a.identity.root_key().unwrap(), &stolen), vec![], &[], 9);
    let misled = Line::new(a.roll.root()).and(misled, vec![]).unwrap();
    assert_eq!(b.roll.succeed(&misled), Ok(true));
    assert!(!b.roll.is_member(a.id()) && !b.roll.is_member(b.id()));
    assert!(matches!(b.roll.succeed(&rotation.line), Err(SuccessionError::Rival { .. })));
    b.roll.follow_instead(&rotation.line).unwrap();
    b.hears(a.identity.membership());
    // What is kept with the keys gives way, too: it may have been written before.
    let misled_before = b.identity.clone().with_line(misled);
    let reopened = Roll::open(&misled_before, Arc::clone(&b.store), Arc::default()).unwrap();
    assert!(reopened.line().rival().is_none());
    for roll in [&b.roll, &b.again(), &reopened] {
        assert_eq!(roll.line().current(), rotation.root.public());
        assert!(roll.is_member(b.id()), "its own certificate is back");
    }
    assert!(b.roll.is_member(a.id()));
    let first = Line::new(a.roll.root());
    assert!(matches!(b.roll.follow_instead(&first), Err(SuccessionError::Older { .. })), "never back to an older key");
}

/// Goal: a joiner believes nobody by a key that was replaced, as far as its invite knows, and hears from its first link who is
/// out; before that it cannot replace the key in its turn.
#[test]
fn an_invite_tells_of_the_root_keys() {
    let [a, b, c] = line();
    a.roll.revoke(&a.identity.revoke(c.id(), &[], 7, a.roll.root()).unwrap()).unwrap();
    let rotation = a.rotate(&[]).unwrap();
    let terms = || Terms {
        valid_for: Duration::from_secs(60),
        uses: 1,
        grant: Grant::all(),
        addresses: vec!["10.0.0.1:7443".parse().unwrap()],
    };
    let before = b.identity.issue(&mut Rng::seed_from_u64(1), terms(), None).unwrap();
    b.hears_of(&rotation);
    let after = before.clone().with_line(&b.roll.line());
    for (invite, rotations) in [(&before, 0), (&after, 1)] {
        let read: crate::identity::Invite = invite.to_string().parse().unwrap();
        assert_eq!((read.line(), read.line().steps().len()), (invite.line(), rotations));
        assert_eq!(read.line().refuses(by_thief(&a, "thief").membership()).is_some(), rotations > 0);
        assert_eq!(read.line().refuses(a.identity.membership()), None);
        // Members take either.
        assert!(b.roll.refuses(read.chain()).is_none());
    }
    let d = b.identity.admit(&mut Rng::seed_from_u64(3), "d").unwrap().with_line(after.line().clone());
    let mut d = member(d);
    d.hears(c.identity.membership());
    d.hears(a.identity.membership());
    assert!(d.roll.is_member(c.id()) && d.roll.line().news().is_none(), "it has heard of the keys alone");
    d.identity.root = Some(rotation.root.clone());
    assert_eq!(d.rotate(&[]).unwrap_err(), RotationError::Unheard);
    d.hears_of(&rotation);
    for roll in [&d.roll, &d.again()] {
        assert_eq!(*roll.line(), rotation.line);
        roll.learn(c.identity.membership().warrants().to_vec()).unwrap();
        assert!(roll.is_revoked(c.id()));
    }
    assert!(d.identity.rotate(&mut Rng::seed_from_u64(9), &d.roll, &[], 6).is_ok());
}
