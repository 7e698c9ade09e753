use super::*;
use std::collections::BTreeSet;

const DOCS: &str = include_str!("../../../docs/lattice.toml");

fn error(text: &str) -> String {
    File::parse(Path::new("lattice.toml"), text).unwrap_err().to_string()
}

/// The documented file with the examples that stand behind `#` put in force.
pub(crate) fn docs_with_examples() -> String {
    let example = |line: &str| {
        let rest = line.strip_prefix('#')?;
        rest.starts_with(|c: char| c.is_ascii_lowercase()).then(|| rest.to_owned())
    };
    DOCS.lines().map(|line| example(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

fn paths(prefix: &str, value: &toml::Value, out: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                out.insert(path.clone());
                paths(&path, value, out);
            }
        }
        toml::Value::Array(items) => items.iter().for_each(|item| paths(prefix, item, out)),
        toml::Value::String(_)
        | toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => {}
    }
}

/// Goal: KEYS, the struct and the documentation name the same keys.
#[test]
fn each_key_is_documented_and_each_documented_key_exists() {
    let text = docs_with_examples();
    let (file, _) = File::parse(Path::new("docs/lattice.toml"), &text).unwrap();
    let (mut documented, mut fields) = (BTreeSet::new(), BTreeSet::new());
    paths("", &toml::from_str(&text).unwrap(), &mut documented);
    paths("", &toml::Value::try_from(&file).unwrap(), &mut fields);
    let keys: BTreeSet<String> = KEYS.iter().map(|key| (*key).to_owned()).collect();
    assert_eq!(documented, keys);
    assert_eq!(fields, keys);
}

#[test]
fn an_unknown_key_is_refused_with_its_place() {
    let expected = "\
unknown key `lisen`; did you mean `listen`?
  --> lattice.toml:2:1
   |
 2 | lisen = \"127.0.0.1:4222\"
   | ^^^^^";
    assert_eq!(error("name = \"a\"\nlisen = \"127.0.0.1:4222\"\n"), expected);
}

#[test]
fn the_place_of_a_key_in_a_table_is_its_own() {
    let text = error("[link]\nheartbeat = \"1s\"\n  dead_afer = \"5s\"\n");
    assert!(text.starts_with("unknown key `link.dead_afer`; did you mean `link.dead_after`?"), "{text}");
    assert!(text.contains("lattice.toml:3:3"), "{text}");
    assert!(error("[client]\nusers = []").contains("did you mean `client.auth.users`"));
    assert!(error("max_payload = 1").contains("did you mean `client.max_payload`"));
    assert!(error("[client.auth]\nusers = [{ name = \"a\", pasword = \"b\" }]").contains("client.auth.users.password"));
    assert!(!error("zebra = 1").contains("did you mean"));
}

#[test]
fn wrong_types_and_broken_toml_have_a_place() {
    let text = error("listen = 4222\n");
    assert!(text.contains("expected a string") && text.contains("lattice.toml:1:10"), "{text}");
    assert!(error("[client]\nmax_payload = \"1 MB!\"").contains("is no size"));
    assert!(error("[client]\nping_max = \"x\"").contains("expected a whole number"));
    assert!(error("[link]\nheartbeat = 250").contains("or a length of time"));
    assert!(error("name = \"a\n\"").contains("lattice.toml:"));
    assert!(error("name = \"a\"\nname = \"b\"").contains("lattice.toml:2:"));
}

#[test]
fn edits_count_swaps_as_one() {
    assert_eq!([edits("listen", "lisetn"), edits("", "ab"), edits("abc", "abc")], [1, 2, 0]);
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text: String) {
        let _ = File::parse(Path::new("x"), &text);
    }
}
