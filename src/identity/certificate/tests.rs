use super::*;
use crate::identity::Identity;
use lattice_broker::env::Rng;
use rand_core::SeedableRng;

fn lattice(seed: u64) -> (Identity, Identity) {
    let mut rng = Rng::seed_from_u64(seed);
    let root = Identity::generate_root(&mut rng, "a");
    let member = root.admit(&mut rng, "b").unwrap();
    (root, member)
}

/// A self-made certificate for the right name does not pass, not even in front of the true root.
#[test]
fn forged_chains_are_broken() {
    let (a, b) = lattice(1);
    let stranger = Key::from_seed(Kind::Node, [7; 32]);
    let forged = node(stranger.public(), (Kind::Root, &stranger));
    let root = a.chain().last().unwrap().clone();
    for chain in [vec![forged.clone(), root.clone()], vec![forged, b.chain()[1].clone(), root]] {
        assert!(matches!(verify(a.lattice(), &chain, Role::Dialing), Err(ChainError::Broken { .. })));
    }
}

#[test]
fn other_lattices_are_named() {
    let ((a, _), (x, _)) = (lattice(1), lattice(2));
    let error = verify(a.lattice(), x.chain(), Role::Dialed).unwrap_err();
    assert_eq!(error, ChainError::OtherLattice { ours: a.lattice(), theirs: x.lattice() });
}

/// An issuer is no node, and a node is no issuer.
#[test]
fn roles_do_not_mix() {
    let (a, b) = lattice(1);
    let issuer = b.issuer.as_ref().unwrap();
    let mut chain = b.chain().to_vec();
    chain[0] = issuer.certificate.clone();
    assert!(matches!(verify(a.lattice(), &chain, Role::Dialing), Err(ChainError::Broken { .. })));

    let other = Key::from_seed(Kind::Node, [7; 32]);
    let mut chain = b.chain().to_vec();
    chain.insert(0, node(other.public(), (Kind::Node, b.key())));
    assert!(matches!(verify(a.lattice(), &chain, Role::Dialing), Err(ChainError::Broken { .. })));
}

/// The limit of depth is in the certificates, not only in the good manners of the nodes.
#[test]
fn an_issuer_at_the_limit_makes_no_issuers() {
    let mut rng = Rng::seed_from_u64(3);
    let mut last = Identity::generate_root(&mut rng, "a");
    for _ in 1..ISSUERS_MAX {
        last = last.admit(&mut rng, "b").unwrap();
    }
    let (at_limit, rogue) = (last.issuer.as_ref().unwrap(), Key::from_seed(Kind::Issuer, [8; 32]));
    let below = issuer(rogue.public(), ISSUERS_MAX, (Kind::Issuer, &at_limit.key));
    let mut chain = vec![node(rogue.public(), (Kind::Issuer, &rogue)), below, at_limit.certificate.clone()];
    chain.extend_from_slice(&last.chain()[1..]);
    assert!(verify(last.lattice(), &chain, Role::Dialing).is_err());
    chain.remove(2);
    assert!(verify(last.lattice(), &chain, Role::Dialing).is_err());
}

#[test]
fn garbage_is_no_chain() {
    let (a, _) = lattice(1);
    for chain in [vec![], vec![vec![0; 40].into()], vec![vec![1; 3].into(), vec![2; 500].into()]] {
        let chain: Vec<CertificateDer<'static>> = chain;
        assert!(matches!(verify(a.lattice(), &chain, Role::Dialing), Err(ChainError::Foreign { .. })));
    }
}
