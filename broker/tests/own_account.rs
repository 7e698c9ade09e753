//! An account that is the program's own: it has subjects of its own, and no client gets in.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use lattice_broker::env::Env;
use lattice_broker::{AccountConfig, Auth, Broker, Config, Message, User};

fn config() -> Config {
    Config { own_accounts: vec!["$OWN"], max_payload: 1024, ..Config::default() }
}

fn message(body: &[u8]) -> Message<'_> {
    Message { subject: b"a", reply: None, header_len: 0, body }
}

/// Goal: what is said there is heard there alone, also when it is longer than clients may speak.
#[tokio::test]
async fn it_is_apart_from_all_others() {
    let broker = Broker::new(Env::tokio(), config()).unwrap();
    let (mut own, mut global) = (broker.local_in("$OWN").unwrap(), broker.local());
    let mut here = own.subscribe(b">", None, 9).unwrap();
    let mut there = global.subscribe(b">", None, 9).unwrap();
    assert_eq!((own.publish(&message(&[7; 40_000])), global.publish(&message(&[7; 2_000]))), (1, 0));
    assert_eq!((here.next().await.payload.len(), there.try_next()), (40_000, None));
    assert_eq!((own.publish(&message(&[7; 70_000])), global.publish(&message(b"x"))), (0, 1));
    assert_eq!((there.next().await.payload, here.try_next()), ("x".into(), None));
    assert!(broker.local_in("$G").is_none() && broker.local_in("$SYS").is_none() && broker.local_in("other").is_none());
}

/// Goal: no setting lets a client in, at the start or later.
#[tokio::test]
async fn no_client_can_be_in_it() {
    let account = Auth { accounts: vec![AccountConfig::new("$OWN")], ..Auth::default() };
    let user = User { account: "$OWN".to_owned(), ..User::with_password("ann", "pw") };
    let system = Auth { system_account: "$OWN".to_owned(), ..Auth::default() };
    let broker = Broker::new(Env::tokio(), config()).unwrap();
    for auth in [account, Auth::users(vec![user]), system] {
        let config = Config { auth, ..config() };
        assert!(Broker::new(Env::tokio(), config.clone()).is_err());
        // Whether that names the account again or not.
        assert!(broker.reload(&Config { own_accounts: Vec::new(), ..config }).is_err());
    }
    assert!(broker.reload(&Config { own_accounts: Vec::new(), ..config() }).is_ok());
    assert!(broker.local_in("$OWN").is_some(), "it stays");
}
