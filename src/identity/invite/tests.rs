use super::*;
use crate::identity::{Grant, Identity, Terms};
use lattice_broker::env::Rng;
use proptest::prelude::*;
use rand_core::SeedableRng;
use std::sync::LazyLock;
use std::time::Duration;

fn issued(by: &Identity) -> Invite {
    let addresses = vec!["192.168.1.20:7443".parse().unwrap(), "[fe80::1]:7443".parse().unwrap()];
    let terms = Terms { valid_for: Duration::from_secs(3_600), uses: 3, grant: Grant::all(), addresses };
    by.issue(&mut Rng::seed_from_u64(4), terms, Some(1_800_000_000)).unwrap()
}

static TEXT: LazyLock<String> =
    LazyLock::new(|| issued(&Identity::generate_root(&mut Rng::seed_from_u64(1), "a")).to_string());

#[test]
fn text_and_back() {
    assert!(TEXT.starts_with("lat1:") && TEXT.len() < 480, "{} characters", TEXT.len());
    let back: Invite = format!("  {}\n", *TEXT).parse().unwrap();
    assert_eq!(back.to_string(), *TEXT);
    assert_eq!(back.addresses.len(), 2);
    assert_eq!((back.terms().uses, back.terms().expires), (3, 1_800_003_600));
}

/// The longest row of issuers still makes an invite that a person can paste and a QR code can hold.
#[test]
fn the_longest_is_a_line() {
    let mut rng = Rng::seed_from_u64(1);
    let mut member = Identity::generate_root(&mut rng, "a");
    while let Ok(next) = member.admit(&mut rng, "b") {
        if !next.can_invite() {
            break;
        }
        member = next;
    }
    let text = issued(&member).to_string();
    assert!(text.len() < 1_200, "{} characters", text.len());
    assert_eq!(text.parse::<Invite>().unwrap().chain().warrants().len(), 5);
}

#[test]
fn what_is_wrong_is_said() {
    let parse = |text: &str| text.parse::<Invite>().unwrap_err();
    assert!(matches!(parse("nats://x"), InviteError::NotAnInvite { .. }));
    assert!(matches!(parse(""), InviteError::NotAnInvite { .. }));
    assert!(matches!(parse("lat1:"), InviteError::Damaged { .. }));
    assert_eq!(parse("lat2:xyz"), InviteError::Version { got: 2 });
    for version in [1, 9] {
        let mut raw = vec![version, 1, 2, 3];
        raw.extend(checksum(&raw));
        let text = format!("lat1:{}", BASE64URL_NOPAD.encode(&raw));
        assert_eq!(parse(&text), InviteError::Version { got: version.into() });
    }
    for error in [parse("x"), parse("lat1:AAAA"), parse("lat7:")] {
        assert!(error.advice().explain(&error).contains("(E01"), "{error}");
    }
}

/// Goal: who changes what an invite grants, and mends the checksum, has no invite.
#[test]
fn a_forgery_is_noticed() {
    let genuine: Invite = TEXT.parse().unwrap();
    let text_of = |change: fn(&mut Body)| {
        let mut body = Body {
            root: genuine.chain.root().0,
            key: genuine.key.secret(),
            warrants: genuine.chain.warrants().to_vec(),
            addresses: vec![Address::from(genuine.addresses[0])],
        };
        change(&mut body);
        let mut raw = vec![VERSION];
        raw.extend(codec::encode(&body));
        raw.extend(checksum(&raw));
        format!("{SCHEME}{}", BASE64URL_NOPAD.encode(&raw)).parse::<Invite>()
    };
    text_of(|_| {}).unwrap();
    let changes: [fn(&mut Body); 5] = [
        |body| {
            let crate::identity::warrant::Claims::Voucher(terms) = &mut body.warrants[1].claims else { panic!() };
            terms.uses = 100;
        },
        |body| body.key = [1; 32],
        |body| body.root = [1; 32],
        |body| drop(body.warrants.remove(0)),
        |body| body.warrants.clear(),
    ];
    for change in changes {
        assert!(matches!(text_of(change), Err(InviteError::Forged { .. })));
    }
}

proptest! {
    #[test]
    fn any_change_of_a_character_is_noticed(at in 5usize..300, to in "[A-Za-z0-9_-]") {
        let changed = format!("{}{to}{}", &TEXT[..at], &TEXT[at + 1..]);
        prop_assume!(changed != *TEXT);
        prop_assert!(changed.parse::<Invite>().is_err());
    }

    #[test]
    fn no_text_panics(text in "(lat1:)?.{0,200}") {
        let _ = text.parse::<Invite>();
    }
}
