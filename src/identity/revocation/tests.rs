use super::*;
use crate::identity::Grant;
use lattice_broker::env::Rng;
use rand_core::SeedableRng;

/// The root's node, one that it has admitted, and one that that one has admitted.
fn line() -> [Identity; 3] {
    let mut rng = Rng::seed_from_u64(1);
    let a = Identity::generate_root(&mut rng, "a");
    let b = a.admit(&mut rng, "b").unwrap();
    let c = b.admit(&mut rng, "c").unwrap();
    [a, b, c]
}

fn revoked(chain: &Chain, by: &Revocation) -> bool {
    pairs(chain).any(|pair| pair == (by.by(chain.root()), by.node()))
}

#[test]
fn who_stands_above_may_revoke() {
    let [a, b, c] = line();
    let root = a.membership().root();
    let by_root = a.revoke(c.node_id(), &[c.membership()], 7, a.membership().root()).unwrap();
    let by_issuer = b.revoke(c.node_id(), &[c.membership()], 7, a.membership().root()).unwrap();
    for revocation in [&by_root, &by_issuer] {
        assert!(revocation.verify(root, root).is_ok());
        assert!(revoked(c.membership(), revocation) && !revoked(b.membership(), revocation));
    }
    assert!(by_root.signer.is_empty() && by_issuer.signer.len() == 2);
    let of_b = a.revoke(b.node_id(), &[b.membership()], 7, a.membership().root()).unwrap();
    assert!(revoked(b.membership(), &of_b) && revoked(c.membership(), &of_b) && !revoked(a.membership(), &of_b));
    assert!(b.revoke(a.node_id(), &[a.membership()], 7, a.membership().root()).is_none(), "the one above");
    assert!(
        c.revoke(b.node_id(), &[b.membership()], 7, a.membership().root()).is_none(),
        "the one that has admitted it"
    );
    assert!(b.revoke(c.node_id(), &[], 7, a.membership().root()).is_none(), "somebody that nobody knows");
}

/// Goal: an issuer that certifies another's key cannot take away what that has by others.
#[test]
fn a_membership_that_another_gave_cannot_be_taken() {
    let [a, b, _] = line();
    let victim = a.admit(&mut Rng::seed_from_u64(2), "victim").unwrap();
    let issuer = b.issuer.as_ref().unwrap();
    let claims = crate::identity::NodeClaims { name: "x".to_owned(), grant: Grant::all(), voucher: None, at: 0 };
    let usurped = issuer.chain.extend(&issuer.key, victim.key().public(), Claims::Node(claims)).unwrap();
    let revocation = b.revoke(victim.node_id(), &[&usurped], 7, a.membership().root()).unwrap();
    assert!(revocation.verify(a.membership().root(), a.membership().root()).is_ok());
    assert!(revoked(&usurped, &revocation) && !revoked(victim.membership(), &revocation));
}

#[test]
fn a_forgery_is_none() {
    let [a, b, c] = line();
    let root = a.membership().root();
    let genuine = b.revoke(c.node_id(), &[c.membership()], 7, a.membership().root()).unwrap();
    let other = Revocation { node: a.node_id().0, ..genuine.clone() };
    assert_eq!(other.verify(root, root), Err(RevocationError::Signature));
    let as_root = Revocation { signer: Vec::new(), ..genuine.clone() };
    assert_eq!(as_root.verify(root, root), Err(RevocationError::Signature));
    assert_eq!(as_root.verify(root, PublicKey([9; 32])), Err(RevocationError::Root));
    let as_node = Revocation { signer: b.membership().warrants().to_vec(), ..genuine.clone() };
    assert_eq!(as_node.verify(root, root), Err(RevocationError::NoIssuer));
    let stranger = Identity::generate_root(&mut Rng::seed_from_u64(9), "x");
    assert!(matches!(genuine.verify(stranger.membership().root(), root), Err(RevocationError::Signer(_))));
}

#[test]
fn a_file_says_what_is_wrong_with_it() {
    let [a, b, _] = line();
    let root = a.membership().root();
    let text = to_text(root, &[a.revoke(b.node_id(), &[b.membership()], 7, a.membership().root()).unwrap()]);
    assert_eq!(from_text(root, &format!(" {text}\n")).unwrap().len(), 1);
    let error = |text: &str| from_text(root, text).unwrap_err().to_string();
    assert!(error("lat1:abc").contains("latrev1:"));
    assert!(error(&text[..text.len() / 2]).contains("no revocations"));
    assert!(error(&format!("{text}!")).contains("lost or changed"));
    let stranger = Identity::generate_root(&mut Rng::seed_from_u64(9), "x");
    assert!(from_text(stranger.membership().root(), &text).unwrap_err().to_string().contains("they are of lattice"));
}
