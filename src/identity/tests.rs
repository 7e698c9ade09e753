use super::*;
use certificate::CHAIN_MAX;
use rand_core::SeedableRng;

fn rng(seed: u64) -> Rng {
    Rng::seed_from_u64(seed)
}

/// Every member invites, down to the limit; there a node is a member without the right to invite.
#[test]
fn members_admit_members_down_to_the_limit() {
    let mut rng = rng(1);
    let mut line = vec![Identity::generate_root(&mut rng, "n0")];
    while line.last().unwrap().can_invite() {
        let next = line.last().unwrap().admit(&mut rng, &format!("n{}", line.len())).unwrap();
        line.push(next);
    }
    assert_eq!(line.len(), ISSUERS_MAX + 1);
    let lattice = line[0].lattice();
    for member in &line {
        let (chain, node) = Chain::read_member(lattice, member.chain()).unwrap();
        assert_eq!((&chain, node), (member.membership(), member.node_id()));
        assert!(member.chain().len() <= CHAIN_MAX);
        assert_eq!(member.lattice_name(), "n0");
    }
    let error = line.last().unwrap().admit(&mut rng, "one-too-many").unwrap_err();
    assert_eq!(error, AdmissionError::NoIssuer { why: NoIssuer::NotGranted });
}

#[test]
fn same_seed_same_bytes() {
    let make = || {
        let mut rng = rng(5);
        let root = Identity::generate_root(&mut rng, "a");
        let b = root.admit(&mut rng, "b").unwrap();
        (root.chain().to_vec(), b.chain().to_vec())
    };
    assert_eq!(make(), make());
}

#[test]
fn an_answer_for_other_keys_is_refused() {
    let mut rng = rng(2);
    let root = Identity::generate_root(&mut rng, "a");
    let (x, y) = (Applicant::generate(&mut rng, "x"), Applicant::generate(&mut rng, "y"));
    let claims = || NodeClaims { name: "x".to_owned(), grant: Grant::all(), voucher: None, at: 0 };
    let (_, for_x) = root.admission(&x.application(), claims()).unwrap();
    let key = root.membership().root();
    assert_eq!(y.clone().accept(key, for_x.clone()).unwrap_err(), AdmissionError::OtherKeys);
    let other = Identity::generate_root(&mut rng, "other");
    let elsewhere = x.clone().accept(other.membership().root(), for_x.clone());
    assert!(matches!(elsewhere, Err(AdmissionError::Chain(ChainError::Broken { .. }))));
    let mut crossed = for_x;
    crossed.issuer = root.admission(&y.application(), claims()).unwrap().1.issuer;
    assert_eq!(x.accept(key, crossed).unwrap_err(), AdmissionError::OtherKeys);
}

/// A member with limits hands on no more than it has, and without the right to invite nothing at all.
#[test]
fn limits_are_handed_on() {
    let mut rng = rng(3);
    let root = Identity::generate_root(&mut rng, "a");
    let leaf = Grant { transit: false, ..Grant::all() };
    let b = root.admit_with(&mut rng, "b", &leaf).unwrap();
    assert_eq!(b.admit(&mut rng, "c").unwrap().grant(), &leaf);
    let more = b.admit_with(&mut rng, "c", &Grant::all()).unwrap_err();
    assert_eq!(more.to_string(), "this node cannot grant all: it may pass on no-transit");
    let guest = root.admit_with(&mut rng, "g", &Grant { invite: false, ..Grant::all() }).unwrap();
    assert!(!guest.can_invite());
    let refused = guest.admit(&mut rng, "c").unwrap_err();
    assert_eq!(refused.to_string(), "this node may not admit others: it was admitted with no-invite");
}
