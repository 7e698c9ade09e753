use super::*;

fn resolve(text: &str) -> Result<Config, ConfigError> {
    let (file, source) = File::parse(Path::new("lattice.toml"), text)?;
    Config::resolve(file, Some(source), &[])
}

fn error(text: &str) -> String {
    resolve(text).unwrap_err().to_string()
}

fn flag(key: OverrideKey, value: &str) -> Override {
    Override { key, values: vec![value.to_owned()], origin: Origin::Flag("--flag".to_owned()) }
}

/// Goal: the documented values are the defaults, and each key with a fixed default is documented with it.
#[test]
fn the_documented_file_says_the_defaults() {
    let text = include_str!("../../docs/lattice.toml");
    assert_eq!(resolve(text).unwrap(), Config::default());
    let (file, _) = File::parse(Path::new("docs/lattice.toml"), text).unwrap();
    let said = toml::Value::try_from(&file).unwrap().to_string();
    // What has no fixed default is an example behind a `#`; all other keys must stand in force.
    for (key, has_default) in file::KEYS.iter().map(|key| (*key, !EXAMPLES.contains(key))) {
        let last = key.rsplit('.').next().unwrap();
        assert_eq!(key_is_set(&file, key), has_default, "{key} ({last}) in {said}");
    }
}

const EXAMPLES: &[&str] = &[
    "data",
    "name",
    "join",
    "upstream.url",
    "upstream.credentials",
    "upstream.ca",
    "client.advertise",
    "client.auth.token",
    "client.auth.users",
    "client.auth.users.name",
    "client.auth.users.password",
    "http.listen",
];

fn key_is_set(file: &File, key: &str) -> bool {
    let root = toml::Value::try_from(file).unwrap();
    key.split('.').try_fold(&root, |value, part| value.get(part)).is_some()
}

#[test]
fn no_upstream_unless_a_url_is_given() {
    assert_eq!(resolve("[upstream]\nping_interval = \"1s\"").unwrap().upstream, None);
    let upstream = resolve("[upstream]\nurl = \"nats://ann:pw@hub\"").unwrap().upstream.unwrap();
    assert_eq!((upstream.url.host_port().as_str(), upstream.ping_interval), ("hub:7422", UPSTREAM_PING_INTERVAL));
    for (key, accepted) in [("credentials", "as nsc writes it"), ("ca", "certificates in PEM")] {
        let text = error(&format!("[upstream]\nurl = \"tls://hub\"\n{key} = \"/none/here\""));
        assert!(text.contains("/none/here") && text.contains(accepted) && text.contains("lattice.toml:3:"), "{text}");
    }
}

#[test]
fn bounds_of_a_host_have_ranges() {
    let host = resolve("[host]\nmemory_max = \"64MiB\"\ninstance_memory = \"1MiB\"\ncalls_max = 7\ncache_max = 0")
        .unwrap()
        .host;
    assert_eq!((host.memory_max, host.instance_memory, host.calls_max, host.cache_max), (64 << 20, 1 << 20, 7, 0));
    let small = resolve("[host]\nmemory_max = \"32MiB\"").unwrap().host;
    assert_eq!(small.instance_memory, 32 << 20);
    let refused = [
        ("memory_max = \"4KiB\"", "host.memory_max = 4KiB cannot be used: expected 1MiB to 1024GiB"),
        (
            "memory_max = \"32MiB\"\ninstance_memory = \"64MiB\"",
            "host.instance_memory = 64MiB cannot be used: expected at most host.memory_max (32MiB)",
        ),
        ("instance_memory = 0", "host.instance_memory = 0"),
        ("calls_max = 0", "host.calls_max = 0 cannot be used: expected 1 to 10000"),
        ("cache_max = \"2000GiB\"", "host.cache_max = 2000GiB"),
        (
            "labels = { \"hostcore.os\" = \"a\" }",
            "host.labels = \"hostcore.os\" = \"a\" cannot be used: expected a name",
        ),
    ];
    for (text, expected) in refused {
        let message = error(&format!("[host]\n{text}"));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn the_name_of_a_host_s_lattice_is_a_word_of_subjects() {
    assert_eq!(resolve("[host]\nlattice = \"site-1\"").unwrap().host.lattice, "site-1");
    let message = error("[host]\nlattice = \"a.b\"");
    assert!(message.contains("host.lattice = \"a.b\" cannot be used: expected 1 to 64 letters"), "{message}");
}

#[test]
fn http_is_off_unless_an_address_is_given() {
    assert_eq!(resolve("").unwrap().http, None);
    assert_eq!(resolve("[http]\nlisten = \"localhost:0\"").unwrap().http, Some("127.0.0.1:0".parse().unwrap()));
    assert!(error("[http]\nlisten = \"8222\"").contains("http.listen = \"8222\" cannot be used: expected"));
    assert!(error("[http]\nlisten = \"8222\"").contains("127.0.0.1:8222"));
}

#[test]
fn a_value_out_of_range_is_named_with_key_range_and_place() {
    let expected = "\
client.max_payload = 512 cannot be used: expected 1KiB to 64MiB
  --> lattice.toml:2:15
   |
 2 | max_payload = 512
   |               ^^^";
    assert_eq!(error("[client]\nmax_payload = 512"), expected);
    assert!(
        error("[link]\nheartbeat = \"1ms\"")
            .contains("\"1ms\" cannot be used: expected automatic, metered, or 25ms to 1m")
    );
    assert!(error("listen = \"4222\"").contains("127.0.0.1:4222"));
    assert!(error("name = \"a b\"").contains("name = \"a b\" cannot be used: expected 1 to 64 letters"));
    assert!(error("log = \"inf\"").contains("off, error, warn, info, debug, trace"));
    assert!(error("[link]\npeers = [\"a:1\", \"b\"]").contains("link.peers = \"b\""));
    assert!(error("[client]\nping_max = 0").contains("1 to 100"));
    assert!(error("[mesh]\nnodes_max = 4097").contains("2 to 4096"));
}

#[test]
fn values_must_fit_each_other() {
    assert!(error("[link]\nredial_min = \"5s\"").contains("at least link.redial_min (5s)"));
    assert!(error("[client]\nmax_payload = \"8MiB\"").contains("mesh.frame_max = 2MiB cannot be used"));
    assert!(error("[client]\nmax_pending = \"64KiB\"").contains("at least client.max_payload (1MiB)"));
    assert!(error("[mesh]\nlink_buffer_max = \"1MiB\"").contains("at least mesh.frame_max (2MiB)"));
    let large = "[client]\nmax_payload = \"8MiB\"\n[mesh]\nframe_max = \"9MiB\"";
    assert_eq!(resolve(large).unwrap().client.max_payload, 8 << 20);
}

#[test]
fn secrets_stay_out_of_errors() {
    let both = "[client.auth]\ntoken = \"hunter2\"\nusers = [{ name = \"a\", password = \"hunter2\" }]";
    for text in [
        both,
        "[upstream]\nurl = \"ws://a:hunter2@h\"",
        "[client.auth]\nusers = [{ name = \"\", password = \"hunter2\" }]",
    ] {
        let text = error(text);
        assert!(!text.contains("hunter2") && text.contains("lattice.toml:2:"), "{text}");
    }
    let config = resolve("[client.auth]\ntoken = \"hunter2\"").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn users_are_checked() {
    let twice = "[client.auth]\nusers = [{ name = \"a\", password = \"b\" }, { name = \"a\", password = \"c\" }]";
    assert!(error(twice).contains("each name once"));
    assert!(error("[client.auth]\nusers = []").contains("at least one user"));
    let one = resolve("[client.auth]\nusers = [{ name = \"a\", password = \"b\" }]").unwrap();
    assert_eq!(one.client.auth, Auth::Users(vec![User { name: "a".into(), password: "b".into() }]));
}

#[test]
fn an_override_wins_and_is_named_in_errors() {
    let file = || File::parse(Path::new("x"), "listen = \"127.0.0.1:1\"\nname = \"file\"").unwrap();
    let (inner, source) = file();
    let config = Config::resolve(inner, Some(source), &[flag(OverrideKey::Listen, "localhost:2")]).unwrap();
    assert_eq!((config.listen.to_string().as_str(), config.name.as_str()), ("127.0.0.1:2", "file"));
    let (inner, source) = file();
    let error = Config::resolve(inner, Some(source), &[flag(OverrideKey::Listen, "here")]).unwrap_err();
    assert!(error.to_string().ends_with("(from the flag --flag)"), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Some(Path::new("/nowhere/lattice.toml")), &[]).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the config file /nowhere/lattice.toml"), "{error}");
}

#[test]
fn without_ipv6_links_listen_on_all_of_ipv4() {
    let mut link = Config::default().link;
    assert_eq!(link.listen_without_ipv6(), Some("0.0.0.0:7443".parse().unwrap()));
    link.listen = "[::1]:7443".parse().unwrap();
    assert_eq!(link.listen_without_ipv6(), None);
}
