use super::*;
use crate::drop_in::grammar::{Sources, parse};
use crate::drop_in::users::{Kind, Proof};

struct Nothing;

impl Sources for Nothing {
    fn include(&mut self, _path: &str, _from: &str) -> Result<(String, String), String> {
        Err("no files".to_owned())
    }

    fn variable(&self, _name: &str) -> Option<String> {
        None
    }
}

/// What a file that says `text` comes down to, without other files and without an environment.
pub(in crate::drop_in) fn read(text: &str) -> (Options, Faults) {
    let (mut options, mut faults) = (Options::default(), Faults::default());
    apply(&parse(text, "t.conf", &mut Nothing).unwrap(), &mut options, &mut faults);
    (options, faults)
}

fn good(text: &str) -> Options {
    let (options, faults) = read(text);
    assert_eq!(faults.errors, [], "{text}");
    options
}

#[test]
fn keys_set_options() {
    assert_eq!(good("port: -1").port, 0);
    assert_eq!(good("PORT: 0").port, 4222);
    assert_eq!(good("listen: 4333").port, 4333);
    let options = good("listen: \"[::1]:-1\"");
    assert_eq!((options.host.as_str(), options.port), ("::1", 0));
    let options = good("net: a\nserver_name: b\npid_file: c\nports_file_dir: d\nlogfile: e\nlogtime: no\ndebug: yes");
    assert_eq!((options.host.as_str(), options.server_name.as_str()), ("a", "b"));
    assert_eq!(options.pid_file, Some("c".into()));
    assert_eq!(options.ports_file_dir, Some("d".into()));
    assert_eq!(options.log.file, Some("e".into()));
    assert!(options.log.debug && !options.log.time);
    let limits = good("max_payload: 8mb\nmax_connections: -1\nmax_subs: 0\nping_interval: 20ms\nping_max: 5").limits;
    assert_eq!(
        (limits.max_payload, limits.max_connections, limits.max_subscriptions),
        (8 << 20, usize::MAX, usize::MAX)
    );
    assert_eq!((limits.ping_interval, limits.ping_max), (Duration::from_millis(20), 5));
    assert_eq!(good("P: 5\nport: $P\njetstream: disabled").port, 5);
}

#[test]
fn wrong_keys_and_values_are_named() {
    let cases = [
        ("foo: 1", "t.conf:1:0: unknown field \"foo\""),
        ("\nauthorization { user: a, pasword: b }", "t.conf:2:26: unknown field \"pasword\""),
        ("port: x", "port is \"x\", which is not a whole number from -1 to 65535"),
        ("port: 70000", "port is 70000"),
        ("host: 3", "host is 3, which is not a string"),
        ("debug: 1", "debug is 1, which is not a boolean"),
        ("ping_interval: 2x", "ping_interval is \"2x\", which is not a duration"),
        ("listen: \"127.0.0.1\"", "listen is \"127.0.0.1\", which is not host:port"),
        ("server_name: \"a b\"", "cannot contain spaces"),
        ("lame_duck_duration: 1s", "minimum is 30 seconds"),
        ("authorization: 5", "authorization is 5, which is not a block"),
        ("authorization { user: a, password: b, token: c }", "Cannot have a user/pass and token"),
        ("authorization { user: a, users: [{user: b, password: c}] }", "single user/pass and a users array"),
        ("authorization { users: [{user: a, password: b}, {user: a, password: c}] }", "Duplicate user \"a\""),
        ("authorization { users: [{nkey: UABC}] }", "Not a valid public nkey"),
        ("authorization { timeout: x }", "timeout is \"x\""),
        ("authorization { users: [{user: a, permissions: {publish: \"b..c\"}}] }", "\"b..c\" is not a valid subject"),
        ("authorization { auth_callout: 5 }", "auth_callout is 5, which is not a block"),
        ("authorization { auth_callout { issuer: UABC, auth_users: [a] } }", "valid public account nkey, got \"UABC\""),
        ("authorization { auth_callout { auth_users: [a] } }", "require an issuer"),
        ("authorization { auth_callout { issuer: UABC } }", "require authorized users"),
        ("authorization { auth_callout { auth_users: a } }", "auth_users is \"a\", which is not an array"),
        ("authorization { auth_callout { xkey: X } }", "\"xkey\" encrypts what the service is told, which is not here"),
        ("authorization { auth_callout { color: red } }", "unknown field \"color\""),
        (
            "authorization { auth_hook { issuer: ABWEG7E4NPGALLXWQNSP7HHAS7CDD2DIMDFRSCK5HHQA4TYZNWAFCYES, \
             auth_users: [a], allowed_accounts: [B] } }",
            "allowed account \"B\" not found",
        ),
        (
            "accounts: { A: {}, B: {imports: [{stream: {account: Z, subject: s}}]} }",
            "\"Z\" account not defined for stream",
        ),
        ("jetstream: on", "\"jetstream\" asks for JetStream, which is not here"),
        ("gateway { port: 5 }", "lattice up, lattice join"),
        ("max_payload: \"1\"", "max_payload is \"1\""),
    ];
    for (text, expected) in cases {
        let (_, faults) = read(text);
        let said: Vec<String> = faults.errors.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|error| error.contains(expected)), "{text:?}: {said:?} does not say {expected:?}");
    }
}

#[test]
fn a_number_of_seconds_is_taken_with_a_warning() {
    let (options, faults) = read("ping_interval: 3");
    assert_eq!(options.limits.ping_interval, Duration::from_secs(3));
    assert_eq!((faults.errors.len(), faults.warnings.len()), (0, 1));
}

#[test]
fn users_and_accounts_are_modelled() {
    let auth = good(
        "authorization {\n timeout: 0.5\n users: [ {user: a, password: \"$2a$11$x\", permissions: {\n   publish: foo\n \
         subscribe: {allow: [b, \"c q\"], deny: d}\n allow_responses: {max: 5, expires: 1m} } }\n \
         {nkey: UB57IEMPG4KOTPFV5A66QKE2HZ3XBXFHVRCCVMJEWKECMVN2HSH3VTSJ} ]\n}\nno_auth_user: a",
    )
    .auth;
    assert_eq!(auth.timeout, Some(Duration::from_millis(500)));
    assert_eq!(auth.no_auth_user.as_deref(), Some("a"));
    let Proof::Password { name, password } = &auth.users[0].proof else { panic!("{auth:?}") };
    assert!(name == "a" && password.0.starts_with("$2"));
    let rights = auth.users[0].permissions.clone().unwrap();
    assert_eq!(rights.publish.allow, Some(vec!["foo".to_owned()]));
    assert_eq!(rights.subscribe.deny, ["d"]);
    assert_eq!(rights.responses.unwrap().max, 5);
    assert!(matches!(&auth.users[1].proof, Proof::Nkey(key) if key.starts_with("UB57")));

    let auth = good(
        "accounts {\n A: { users: [{user: a, password: b}], exports: [{stream: \"s.>\"}, {service: q, accounts: [B]}] }\n \
         B: { imports: [{stream: {account: A, subject: s.x}, prefix: p}, {service: {account: A, subject: q}, to: r}] }\n}\n\
         system_account: A",
    )
    .auth;
    assert_eq!(auth.accounts[0].exports[1].accounts, Some(vec!["B".to_owned()]));
    let import = &auth.accounts[1].imports[1];
    assert_eq!((import.kind, import.account.as_str(), import.to.as_deref()), (Kind::Service, "A", Some("r")));
    assert_eq!(auth.system_account.as_deref(), Some("A"));
}

#[test]
fn a_service_to_ask_is_modelled() {
    let issuer = "ABWEG7E4NPGALLXWQNSP7HHAS7CDD2DIMDFRSCK5HHQA4TYZNWAFCYES";
    let rest = "account: AUTH, auth_users: [a], allowed_accounts: [AUTH]";
    let text = format!(
        "authorization {{ auth_callout {{ issuer: {issuer}, {rest} }} }}\n\
         accounts {{ AUTH {{ users: [{{user: a, password: b}}] }} }}"
    );
    let callout = good(&text).auth.callout.unwrap();
    assert_eq!((&*callout.issuer, &*callout.account), (issuer, "AUTH"));
    assert_eq!((&callout.users[..], &callout.accounts[..]), (&["a".to_owned()][..], &["AUTH".to_owned()][..]));
}

#[test]
fn no_password_is_told() {
    let auth = good("authorization { user: a, password: hunter2 }").auth;
    assert!(!format!("{auth:?}").contains("hunter2"));
}
