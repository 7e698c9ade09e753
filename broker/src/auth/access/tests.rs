use super::*;
use crate::auth::{AccountConfig, Permissions, SubjectRules};

fn login(user: &str, pass: &str, token: &str) -> Connect {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Connect { user: some(user), pass: some(pass), auth_token: some(token), ..Connect::default() }
}

fn showing(connect: &Connect, over: ConnectionType) -> Showing<'_> {
    Showing { connect, nonce: Some("n0nce"), over, from: None, certificate: None }
}

/// Who is let in, as `user@account`; `None` for nobody.
fn judge(access: &Access, connect: &Connect) -> Option<String> {
    let identity = match access.judge(&showing(connect, ConnectionType::Standard)) {
        Verdict::Admitted(identity) => Some(identity),
        Verdict::Denied => None,
        Verdict::Slow(check) => check.run(SystemTime::UNIX_EPOCH),
        Verdict::Asked(check) => panic!("{check:?}"),
    };
    identity.map(|identity| format!("{}@{}", identity.user.as_deref().unwrap_or_default(), identity.account))
}

fn auth() -> Auth {
    let bcrypted = bcrypt::hash("3", 4).unwrap();
    let users = vec![
        User::with_password("a", "1"),
        User::with_password("b", "2").in_account("B"),
        User::with_password("c", bcrypted),
        User { connection_types: vec![ConnectionType::WebSocket], ..User::with_password("w", "4") },
    ];
    Auth { accounts: vec![AccountConfig::new("B")], ..Auth::users(users) }
}

#[test]
fn users() {
    let access = Access::new(&auth());
    for (name, pass, expected) in
        [("a", "1", Some("a@$G")), ("b", "2", Some("b@B")), ("c", "3", Some("c@$G")), ("w", "4", None)]
    {
        assert_eq!(judge(&access, &login(name, pass, "")).as_deref(), expected);
    }
    for (name, pass, token) in
        [("a", "2", ""), ("", "", ""), ("a", "", ""), ("a", "11", ""), ("", "", "1"), ("c", "4", ""), ("d", "3", "")]
    {
        assert_eq!(judge(&access, &login(name, pass, token)), None, "{name} {pass} {token}");
    }
    let nobody = access.judge(&showing(&login("nobody", "3", ""), ConnectionType::Standard));
    assert!(matches!(nobody, Verdict::Slow(_)), "a name that is not there takes as long as one that is");
    let socket = access.judge(&showing(&login("w", "4", ""), ConnectionType::WebSocket));
    assert!(matches!(socket, Verdict::Admitted(_)));
}

#[test]
fn tokens() {
    let access = Access::new(&Auth::token("t0k"));
    assert_eq!(judge(&access, &login("", "", "t0k")).as_deref(), Some("@$G"));
    for (name, pass, token) in [("", "", "t0"), ("t0k", "t0k", ""), ("", "", "")] {
        assert_eq!(judge(&access, &login(name, pass, token)), None);
    }
    let access = Access::new(&Auth::token(bcrypt::hash("t0k", 4).unwrap()));
    assert_eq!(judge(&access, &login("", "", "t0k")).as_deref(), Some("@$G"));
    assert_eq!(judge(&access, &login("", "", "t0")), None);
    assert_eq!(judge(&Access::new(&Auth::default()), &login("any", "thing", "")).as_deref(), Some("@$G"));
}

#[test]
fn keys() {
    let (key, other) = (nkeys::KeyPair::new_user(), nkeys::KeyPair::new_user());
    let user = User::with_nkey(key.public_key()).in_account("B");
    let access = Access::new(&Auth { accounts: vec![AccountConfig::new("B")], ..Auth::users(vec![user]) });
    assert!(access.wants_nonce() && !Access::new(&auth()).wants_nonce());
    let signed = |public: String, sig: String| Connect { nkey: Some(public), sig: Some(sig), ..Connect::default() };
    let url = |bytes: Vec<u8>| data_encoding::BASE64URL_NOPAD.encode(&bytes);
    let good = key.sign(b"n0nce").unwrap();
    let expected = Some(format!("{}@B", key.public_key()));
    assert_eq!(judge(&access, &signed(key.public_key(), url(good.clone()))), expected);
    assert_eq!(judge(&access, &signed(key.public_key(), data_encoding::BASE64.encode(&good))), expected);
    for bad in [
        signed(key.public_key(), url(key.sign(b"another").unwrap())),
        signed(key.public_key(), url(other.sign(b"n0nce").unwrap())),
        signed(other.public_key(), url(other.sign(b"n0nce").unwrap())),
        signed(key.public_key(), String::new()),
        signed("junk".to_owned(), "junk".to_owned()),
        login("a", "1", ""),
        Connect::default(),
    ] {
        assert_eq!(judge(&access, &bad), None, "{bad:?}");
    }
}

#[test]
fn who_shows_nothing() {
    let access = Access::new(&Auth { no_auth_user: Some("b".to_owned()), ..auth() });
    assert!(!access.is_asked_for(ConnectionType::Standard));
    assert_eq!(judge(&access, &Connect::default()).as_deref(), Some("b@B"));
    for (name, pass, token) in [("nope", "", ""), ("", "nope", ""), ("", "", "nope"), ("a", "2", "")] {
        assert_eq!(judge(&access, &login(name, pass, token)), None);
    }
    assert_eq!(judge(&access, &login("a", "1", "")).as_deref(), Some("a@$G"));
}

#[test]
fn reviews() {
    let restricted = Permissions { publish: SubjectRules::new(&["x"], &[]), ..Permissions::default() };
    let change = |name: &str, with: &dyn Fn(&User) -> Option<User>| {
        let mut auth = auth();
        auth.users = auth
            .users
            .iter()
            .filter_map(|user| if user.name == name { with(user) } else { Some(user.clone()) })
            .collect();
        Access::new(&auth)
    };
    let Verdict::Admitted(b) = Access::new(&auth()).judge(&showing(&login("b", "2", ""), ConnectionType::Standard))
    else {
        panic!("not let in");
    };
    let review = |access: &Access| match access.review(&b, ConnectionType::Standard, None, SystemTime::UNIX_EPOCH) {
        Review::Stays(identity) => {
            if identity.rules.is_some() {
                "restricted"
            } else {
                "stays"
            }
        }
        Review::Gone => "gone",
        Review::Denied => "denied",
        Review::Revoked => "revoked",
    };
    assert_eq!(review(&change("a", &|_| None)), "stays");
    assert_eq!(review(&change("b", &|user| Some(user.clone().with_permissions(restricted.clone())))), "restricted");
    assert_eq!(review(&change("b", &|_| None)), "gone");
    assert_eq!(review(&change("b", &|user| Some(user.clone().in_account("")))), "gone");
    assert_eq!(review(&change("b", &|_| Some(User::with_password("b", "3").in_account("B")))), "denied");
    let socket = vec![ConnectionType::WebSocket];
    assert_eq!(review(&change("b", &|user| Some(User { connection_types: socket.clone(), ..user.clone() }))), "denied");
    let open = Access::new(&Auth::default());
    let anyone = open.anonymous(ConnectionType::Standard).unwrap();
    assert!(matches!(
        Access::new(&auth()).review(anyone, ConnectionType::Standard, None, SystemTime::UNIX_EPOCH),
        Review::Denied
    ));
    assert!(matches!(open.review(anyone, ConnectionType::Standard, None, SystemTime::UNIX_EPOCH), Review::Stays(_)));
}
