//! Files that name an operator, and files that cannot.

use crate::drop_in::options::Options;
use crate::drop_in::read::tests::read;
use lattice_broker::Auth as BrokerAuth;
use nkeys::KeyPair;
use serde_json::json;

#[path = "../../../broker/tests/support/jwt.rs"]
mod jwt;

/// The one thing that is wrong.
fn wrong(text: &str) -> String {
    let errors = read(text).1.errors;
    let [error] = &errors[..] else { panic!("{errors:?}") };
    error.to_string()
}

struct World {
    operator: KeyPair,
    account: KeyPair,
}

impl World {
    fn new() -> Self {
        Self { operator: KeyPair::new_operator(), account: KeyPair::new_account() }
    }

    fn key(&self) -> String {
        self.account.public_key()
    }

    fn operator(&self) -> String {
        jwt::operator(&self.operator, &json!({}))
    }

    fn account(&self) -> String {
        jwt::account(&self.operator, &self.account, &json!({}), &json!({}))
    }

    fn preload(&self) -> String {
        format!("resolver_preload: {{\n {}: {}\n}}\n", self.key(), self.account())
    }

    fn text(&self) -> String {
        format!("operator: {}\nresolver: MEMORY\n{}", self.operator(), self.preload())
    }
}

fn accounts(options: &Options) -> Vec<String> {
    let auth = BrokerAuth::operator(options.auth.operator.clone().unwrap());
    auth.accounts.into_iter().map(|account| account.name).collect()
}

#[test]
fn accounts_are_found_in_the_file_and_in_a_folder() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (options, faults) = read(&format!("{}system_account: {}\n", world.text(), world.key()));
    assert_eq!((faults.errors, faults.warnings), (vec![], vec![]));
    assert_eq!((accounts(&options), options.auth.system_account), (vec![world.key()], Some(world.key())));
    // Where there are JWTs, a page may have one in a cookie.
    let (_, faults) = read(&format!("websocket {{ port: 80, no_tls: true, jwt_cookie: j }}\n{}", world.text()));
    assert_eq!(faults.errors, []);
    let nats = json!({ "system_account": world.key() });
    let decorated = format!(
        "-----BEGIN NATS OPERATOR JWT-----\n{}\n------END NATS OPERATOR JWT------\n",
        jwt::operator(&world.operator, &nats)
    );
    std::fs::write(at("op.jwt"), decorated).unwrap();
    std::fs::create_dir(at("accounts")).unwrap();
    std::fs::write(at(&format!("accounts/{}.jwt", world.key())), world.account()).unwrap();
    std::fs::write(at("accounts/other.jwt"), "other").unwrap();
    let text = format!("operator: [{:?}]\nresolver: {{ type: full, dir: {:?} }}\n", at("op.jwt"), at("accounts"));
    let (options, faults) = read(&text);
    assert_eq!((accounts(&options), options.auth.system_account), (vec![world.key()], Some(world.key())));
    assert_eq!(faults.errors, []);
    assert!(faults.warnings.len() == 1 && faults.warnings[0].what.contains("other.jwt: it is no JWT"));
}

#[test]
fn what_cannot_work_is_named() {
    let (world, other) = (World::new(), World::new());
    let operator = world.operator();
    for (text, part) in [
        (format!("operator: {operator}"), "t.conf:1:10: operators require an account resolver"),
        ("operator: /no/such/file\nresolver: MEM".to_owned(), "cannot read \"/no/such/file\""),
        ("operator: 7\nresolver: MEM".to_owned(), "operator is 7, which is not the JWT"),
        ("operator: eyJ0\nresolver: MEM".to_owned(), "operator: it is no JWT: three parts"),
        (format!("operator: {}\nresolver: MEM", world.account()), "operator: it is of type \"account\""),
        (format!("operator: {operator}\nresolver: URL(\"http://a/\")"), "resolver is "),
        ("resolver: { type: cache, dir: \"a\" }".to_owned(), "has type \"cache\" and a dir"),
        ("resolver: { type: full }".to_owned(), "has type \"full\" and no dir"),
        ("resolver: { type: full, dir: a, colour: red }".to_owned(), "unknown field \"colour\""),
        (format!("{}accounts {{ A {{}} }}", world.text()), "do not allow Accounts"),
        (format!("{}authorization {{ token: a }}", world.text()), "do not allow users"),
        (format!("{}mappings {{ a: b }}", world.text()), "do not allow mappings"),
        (format!("{}system_account: AB", world.text()), "t.conf:6:1: system_account \"AB\" is not known"),
        (format!("operator: {operator}\nresolver: MEM\n{}", other.preload()), "is no key of the operator"),
        (
            format!("operator: {operator}\nresolver: MEM\nresolver_preload {{ {}: {} }}", other.key(), world.account()),
            "is that of",
        ),
    ] {
        let said = wrong(&text);
        assert!(said.contains(part), "{said}");
    }
}
