use super::*;
use certificate::{CHAIN_MAX, Role, verify};
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
        assert_eq!(verify(lattice, member.chain(), Role::Dialing), Ok(member.node_id()));
        assert_eq!(verify(lattice, member.chain(), Role::Dialed), Ok(member.node_id()));
        assert!(member.chain().len() <= CHAIN_MAX);
        assert_eq!(member.lattice_name(), "n0");
    }
    let error = line.last().unwrap().admit(&mut rng, "one-too-many").unwrap_err();
    assert_eq!(error, AdmissionError::NoIssuer { depth_max: ISSUERS_MAX });
}

#[test]
fn same_seed_same_bytes() {
    let make = || {
        let mut rng = rng(5);
        let root = Identity::generate_root(&mut rng, "a");
        let b = root.admit(&mut rng, "b").unwrap();
        (root.chain, b.chain)
    };
    assert_eq!(make(), make());
}

#[test]
fn an_answer_for_other_keys_is_refused() {
    let mut rng = rng(2);
    let root = Identity::generate_root(&mut rng, "a");
    let (x, y) = (Applicant::generate(&mut rng, "x"), Applicant::generate(&mut rng, "y"));
    let for_x = root.admission(&x.application()).unwrap();
    assert_eq!(y.clone().accept(root.lattice(), for_x.clone()).unwrap_err(), AdmissionError::OtherKeys);
    let other = Identity::generate_root(&mut rng, "other");
    assert!(matches!(
        x.clone().accept(other.lattice(), for_x.clone()),
        Err(AdmissionError::Chain(ChainError::OtherLattice { .. }))
    ));
    let mut crossed = for_x;
    crossed.issuer = root.admission(&y.application()).unwrap().issuer;
    assert_eq!(x.accept(root.lattice(), crossed).unwrap_err(), AdmissionError::OtherKeys);
}
