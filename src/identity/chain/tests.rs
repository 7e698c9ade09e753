use super::*;
use crate::identity::warrant::IssuerClaims;
use crate::identity::{Identity, VoucherUse};
use lattice_broker::env::Rng;
use proptest::prelude::*;
use rand_core::SeedableRng;

fn lattice(seed: u64) -> (Identity, Identity) {
    let mut rng = Rng::seed_from_u64(seed);
    let root = Identity::generate_root(&mut rng, "a");
    let member = root.admit(&mut rng, "b").unwrap();
    (root, member)
}

fn node(name: &str) -> Claims {
    Claims::Node(NodeClaims { name: name.to_owned(), grant: Grant::all(), voucher: None, at: 7 })
}

fn is_broken(result: &Result<Chain, ChainError>) -> bool {
    matches!(result, Err(ChainError::Broken { .. }))
}

#[test]
fn certificates_and_warrants_are_the_same() {
    let (a, b) = lattice(1);
    for member in [&a, &b] {
        let chain = Chain::read(a.lattice(), member.chain()).unwrap();
        assert_eq!(chain.to_der(), member.chain());
        assert_eq!(Chain::verify(chain.root(), chain.warrants().to_vec()).as_ref(), Ok(&chain));
        assert_eq!(chain.node().map(|(node, _)| node), Some(member.node_id()));
    }
    assert_eq!(a.membership().signer(), None);
    assert_eq!(b.membership().signer(), Some((a.issuer_key().unwrap(), a.node_id())));
}

/// What goes round for each node is small.
#[test]
fn a_membership_takes_little() {
    let (a, _) = lattice(1);
    let applicant = crate::identity::Applicant::generate(&mut Rng::seed_from_u64(5), "kitchen-pi");
    let voucher = Some(VoucherUse { key: [9; 32], uses: 20 });
    let claims = NodeClaims { name: "kitchen-pi".to_owned(), grant: Grant::all(), voucher, at: 1_800_000_000 };
    let (chain, _) = a.admission(&applicant.application(), claims).unwrap();
    let len = crate::codec::encode(chain.warrants()).len();
    assert!(len < 310, "{len} bytes");
}

/// A self-made certificate does not pass, not even in front of the true root.
#[test]
fn forged_chains_are_broken() {
    let (a, b) = lattice(1);
    let stranger = Key::from_seed(Kind::Issuer, [7; 32]);
    let forged = certificate::sign(stranger.public(), node("x"), (Kind::Issuer, &stranger));
    let under_ours = vec![b.membership().warrants()[0].clone(), forged.clone()];
    for warrants in [vec![forged], under_ours] {
        assert!(is_broken(&Chain::verify(a.membership().root(), warrants)));
    }
}

/// Goal: nothing that a certificate says can be changed without its signer.
#[test]
fn each_claim_is_signed() {
    let (a, b) = lattice(1);
    let root = a.membership().root();
    let genuine = b.membership().warrants().to_vec();
    let changed = |at: usize, change: fn(&mut Warrant)| {
        let mut warrants = genuine.clone();
        change(&mut warrants[at]);
        Chain::verify(root, warrants)
    };
    let name: fn(&mut Warrant) = |warrant| warrant.claims = node("c");
    let owner: fn(&mut Warrant) = |warrant| {
        warrant.claims = Claims::Issuer(IssuerClaims { node: [1; 32], depth: 1, grant: Grant::all() });
    };
    let key: fn(&mut Warrant) = |warrant| warrant.subject[0] ^= 1;
    let signature: fn(&mut Warrant) = |warrant| warrant.signature[5] ^= 1;
    for result in [changed(1, name), changed(0, owner), changed(1, key), changed(0, key), changed(1, signature)] {
        assert!(is_broken(&result), "{result:?}");
    }
}

#[test]
fn other_lattices_are_named() {
    let ((a, _), (x, _)) = (lattice(1), lattice(2));
    let error = Chain::read(a.lattice(), x.chain()).unwrap_err();
    assert_eq!(error, ChainError::OtherLattice { ours: a.lattice(), theirs: x.lattice() });
}

/// An issuer is no node, and a node is no issuer.
#[test]
fn roles_do_not_mix() {
    let (a, b) = lattice(1);
    let issuer = b.issuer.as_ref().unwrap();
    assert!(Chain::read_member(a.lattice(), &issuer.chain.to_der()).is_err());
    let other = Key::from_seed(Kind::Node, [7; 32]);
    let by_node = certificate::sign(other.public(), node("x"), (Kind::Issuer, b.key()));
    assert!(is_broken(&Chain::verify(a.membership().root(), [b.membership().warrants(), &[by_node]].concat())));
}

/// Limits are in the certificates, not only in the good manners of the nodes: a member that signs more than it may has
/// signed nothing.
#[test]
fn a_rogue_issuer_oversteps_no_limit() {
    let mut rng = Rng::seed_from_u64(3);
    let mut last = Identity::generate_root(&mut rng, "a");
    for _ in 1..ISSUERS_MAX {
        last = last.admit(&mut rng, "b").unwrap();
    }
    let (rogue, root) = (Key::from_seed(Kind::Issuer, [8; 32]), last.membership().root());
    let by = |identity: &Identity, claims| {
        let issuer = identity.issuer.as_ref().unwrap();
        let warrant = certificate::sign(rogue.public(), claims, (Kind::Issuer, &issuer.key));
        [issuer.chain.warrants(), &[warrant]].concat()
    };
    for depth in [4, 5] {
        let claims = Claims::Issuer(IssuerClaims { node: [1; 32], depth, grant: Grant::all() });
        assert!(is_broken(&Chain::verify(root, by(&last, claims))));
    }
    let first = Identity::generate_root(&mut rng, "a");
    let leaf = first.admit_with(&mut rng, "leaf", &Grant { transit: false, ..Grant::all() }).unwrap();
    let more = Chain::verify(first.membership().root(), by(&leaf, node("x"))).unwrap_err();
    assert!(more.to_string().contains("it grants all, and the one above has no more than no-transit"), "{more}");
}

#[test]
fn garbage_is_no_chain() {
    let (a, _) = lattice(1);
    for chain in [vec![], vec![vec![0; 40].into()], vec![vec![1; 3].into(), vec![2; 500].into()]] {
        let chain: Vec<CertificateDer<'static>> = chain;
        assert!(matches!(Chain::read(a.lattice(), &chain), Err(ChainError::Foreign { .. })));
    }
    let short: Vec<_> = a.chain().iter().map(|der| CertificateDer::from(der[..der.len() / 2].to_vec())).collect();
    assert!(Chain::read(a.lattice(), &[short[0].clone(), a.chain()[1].clone()]).is_err());
    assert!(Chain::verify(a.membership().root(), Vec::new()).is_err());
}

proptest! {
    #[test]
    fn no_bytes_panic(mut der in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..600, to: u8) {
        let (a, _) = lattice(1);
        let root = a.chain()[1].clone();
        let _ = Chain::read(a.lattice(), &[CertificateDer::from(der.clone()), root.clone()]);
        der = a.chain()[0].to_vec();
        let at = at % der.len();
        prop_assume!(der[at] != to);
        der[at] = to;
        prop_assert!(Chain::read(a.lattice(), &[CertificateDer::from(der), root]).is_err());
    }
}
