use super::*;
use crate::identity::USES_MAX;
use crate::store::MemoryStore;
use rand_core::SeedableRng;
use std::time::{Duration, UNIX_EPOCH};

fn joiner(n: u8) -> Joiner {
    Joiner { node: NodeId([n; 32]), name: format!("n{n}") }
}

fn at(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(secs)
}

fn terms(uses: u32) -> Terms {
    Terms { valid_for: Duration::from_secs(3_600), uses, addresses: vec!["10.0.0.1:7443".parse().unwrap()] }
}

struct Scene {
    vouchers: StoreVouchers,
    identity: Identity,
    rng: Rng,
}

fn scene() -> Scene {
    let mut rng = Rng::seed_from_u64(1);
    let identity = Identity::generate_root(&mut rng, "a");
    Scene { vouchers: StoreVouchers::new(Arc::new(MemoryStore::default())), identity, rng }
}

#[tokio::test]
async fn uses_are_counted_and_repeats_are_free() {
    let Scene { vouchers, identity, mut rng } = scene();
    let invite = vouchers.issue(&identity, &mut rng, &terms(2), at(1_000)).await.unwrap();
    let key = invite.voucher.public();
    assert!(vouchers.knows(key));
    for n in [1, 1, 2, 1, 2] {
        assert_eq!(vouchers.redeem(key, &joiner(n), at(1_010)).await, Ok(()));
    }
    let refused = vouchers.redeem(key, &joiner(3), at(1_040)).await.unwrap_err();
    assert_eq!(refused, Refusal::UsedUp { by: "n2".to_owned(), ago_secs: 30 });
    assert_eq!(refused.to_string(), "this invite was used by n2 30 s ago");
    assert_eq!(vouchers.redeem(key, &joiner(1), at(9_999)).await, Ok(()), "it is a member already");
    assert_eq!(vouchers.find(key).unwrap().unwrap().used_by.len(), 2);
}

#[tokio::test]
async fn spent_vouchers_are_remembered_for_a_week() {
    let Scene { vouchers, identity, mut rng } = scene();
    let key = vouchers.issue(&identity, &mut rng, &terms(1), at(0)).await.unwrap().voucher.public();
    let late = vouchers.redeem(key, &joiner(1), at(3_600 + 7_300)).await;
    assert_eq!(late, Err(Refusal::Expired { ago_secs: 7_300 }));
    vouchers.issue(&identity, &mut rng, &terms(1), at(3_600 + REMEMBERED_SECS)).await.unwrap();
    assert!(vouchers.knows(key));
    vouchers.issue(&identity, &mut rng, &terms(1), at(3_601 + REMEMBERED_SECS)).await.unwrap();
    assert!(!vouchers.knows(key));
    assert_eq!(vouchers.redeem(key, &joiner(1), at(1)).await, Err(Refusal::Unknown));
}

#[tokio::test]
async fn impossible_terms_are_refused() {
    let Scene { vouchers, identity, mut rng } = scene();
    for uses in [0, USES_MAX + 1] {
        let error = vouchers.issue(&identity, &mut rng, &terms(uses), at(0)).await.unwrap_err();
        assert_eq!(error, IssueError::Uses { uses });
    }
    let nowhere = Terms { addresses: Vec::new(), ..terms(1) };
    let error = vouchers.issue(&identity, &mut rng, &nowhere, at(0)).await.unwrap_err();
    assert_eq!(error, IssueError::Addresses { count: 0 });
}

/// The record of a voucher with all uses spent by the longest names fits the store.
#[test]
fn the_largest_record_fits() {
    let name = "x".repeat(crate::identity::NAME_MAX);
    let used_by = (0..USES_MAX).map(|n| Use { node: [n as u8; 32], name: name.clone(), at: u64::MAX }).collect();
    let voucher = Voucher { created: u64::MAX, expires: u64::MAX, uses_left: 0, used_by };
    assert!(codec::encode(&voucher).len() <= crate::store::VALUE_MAX);
}
