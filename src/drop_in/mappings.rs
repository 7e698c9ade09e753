//! `mappings` of a config file: what messages to a subject are sent to instead.
//!
//! What a subject may be made of is the broker's to know.

use super::grammar::{Block, Entry, Place, Value};
use super::read::Faults;
use lattice_broker::{MappedTo, SubjectMapping};

/// Adds those of `entry`, each in the place of one with the same source.
pub(super) fn read(entry: &Entry, mappings: &mut Vec<SubjectMapping>, faults: &mut Faults) {
    for entry in faults.block(entry).map(|block| block.entries.as_slice()).unwrap_or_default() {
        let mapping = SubjectMapping { source: entry.key.clone(), destinations: destinations(entry, faults) };
        if let Err(error) = mapping.validate() {
            faults.error(&entry.place, format!("mapping of {:?}: {error}", entry.key));
        }
        mappings.retain(|other| other.source != mapping.source);
        mappings.push(mapping);
    }
}

/// A subject, a block with a part of the messages, or an array of those.
fn destinations(entry: &Entry, faults: &mut Faults) -> Vec<MappedTo> {
    const ACCEPTED: &str = "a subject, { destination: subject, weight: 50% }, or an array of such blocks";
    let (mut made, mut is_other) = (Vec::new(), false);
    let mut part = |value: &Value, place: &Place, faults: &mut Faults| match value {
        Value::Block(block) => made.extend(destination(block, place, faults)),
        _ => is_other = true,
    };
    match &entry.item.value {
        Value::Text(subject) => return vec![MappedTo::new(subject, 100)],
        Value::List(items) => items.iter().for_each(|item| part(&item.value, &item.place, faults)),
        value => part(value, &entry.item.place, faults),
    }
    if is_other {
        faults.wrong(entry, ACCEPTED);
    }
    made
}

fn destination(block: &Block, place: &Place, faults: &mut Faults) -> Option<MappedTo> {
    let (mut subject, mut part, mut cluster) = (None, None, String::new());
    for entry in &block.entries {
        match entry.key.to_lowercase().as_str() {
            "dest" | "destination" => subject = Some(faults.text(entry)),
            "weight" => part = Some(weight(entry, faults)),
            "cluster" => cluster = faults.text(entry).unwrap_or_default(),
            _ => faults.unknown(entry),
        }
    }
    for (key, is_there) in [("destination", subject.is_some()), ("weight", part.is_some())] {
        if !is_there {
            faults.error(place, format!("a part of a mapping has no {key}: {{ destination: subject, weight: 50% }}"));
        }
    }
    Some(MappedTo { cluster, ..MappedTo::new(subject??, part??) })
}

fn weight(entry: &Entry, faults: &mut Faults) -> Option<u8> {
    let number = match &entry.item.value {
        Value::Integer(number) => u8::try_from(*number).ok(),
        Value::Text(text) => text.strip_suffix('%').unwrap_or(text).parse().ok(),
        _ => None,
    };
    let weight = number.filter(|weight| *weight <= 100);
    if weight.is_none() {
        faults.wrong(entry, "a share from 0 to 100, as 50 or 50%");
    }
    weight
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drop_in::read::tests::read as read_file;

    fn part(subject: &str, weight: u8, cluster: &str) -> MappedTo {
        MappedTo { cluster: cluster.to_owned(), ..MappedTo::new(subject, weight) }
    }

    #[test]
    fn subjects_and_parts_are_read() {
        let text = "mappings {\n foo: bar\n \"a.*\": \"b.{{wildcard(1)}}.$1\"\n one: { destination: uno, weight: 5% }\n \
                    MANY: [ { dest: x, weight: \"10%\" }\n { Destination: y, weight: 90, cluster: c } ]\n none: []\n}\n\
                    maps { foo: baz }\n\
                    accounts { A { maps { foo: f } }, B { mappings { \"g.>\": \"h.>\" }, maps { i: j } } }";
        let (options, faults) = read_file(text);
        assert_eq!(faults.errors, []);
        let parts = |source: &str, destinations| SubjectMapping { source: source.to_owned(), destinations };
        let expected = [
            SubjectMapping::all("a.*", "b.{{wildcard(1)}}.$1"),
            parts("one", vec![part("uno", 5, "")]),
            parts("MANY", vec![part("x", 10, ""), part("y", 90, "c")]),
            parts("none", Vec::new()),
            SubjectMapping::all("foo", "baz"),
        ];
        assert_eq!(options.auth.mappings, expected);
        assert_eq!(options.auth.accounts[0].mappings, [SubjectMapping::all("foo", "f")]);
        let of_b = [SubjectMapping::all("g.>", "h.>"), SubjectMapping::all("i", "j")];
        assert_eq!(options.auth.accounts[1].mappings, of_b);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, expected) in [
            ("mappings: foo", "t.conf:1:0: mappings is \"foo\", which is not a block"),
            ("maps { a: 5 }", "t.conf:1:7: a is 5, which is not a subject, { destination: subject, weight: 50% }"),
            ("maps { a: [ b ] }", "a is an array, which is not a subject"),
            ("maps {\n a..b: c }", "t.conf:2:2: mapping of \"a..b\": \"a..b\" is no subject"),
            ("maps { a: b..c }", "mapping of \"a\": \"b..c\" has an empty token"),
            ("maps { a: \"\" }", "mapping of \"a\": \"\" has an empty token"),
            ("maps { \"a.*\": \"b.$2\" }", "mapping of \"a.*\": \"$2\" speaks of wildcard 2"),
            ("maps { \"a.*\": \"b.{{no(1)}}\" }", "\"{{no(1)}}\" is no function: there are wildcard"),
            ("maps { a: { to: b, weight: 5 } }", "unknown field \"to\""),
            ("maps { a: { dest: b } }", "t.conf:1:10: a part of a mapping has no weight: { destination"),
            ("maps { a: { weight: 5 } }", "a part of a mapping has no destination: { destination"),
            ("maps { a: { dest: 5, weight: 5 } }", "dest is 5, which is not a string"),
            ("maps { a: { dest: b, weight: 101 } }", "t.conf:1:21: weight is 101, which is not a share from 0 to 100"),
            ("maps { a: { dest: b, weight: -1 } }", "weight is -1, which is not a share"),
            ("maps { a: { dest: b, weight: x% } }", "weight is \"x%\", which is not a share"),
            ("maps { a: { dest: b, weight: 5.5 } }", "weight is 5.5, which is not a share"),
            (
                "maps { a: [ { dest: b, weight: 60 }, { dest: c, weight: 60 } ] }",
                "mapping of \"a\": the weights are 120 together, which is more than 100",
            ),
            (
                "maps { a: [ { dest: b, weight: 6, cluster: c }, { dest: b, weight: 6 } ] }",
                "mapping of \"a\": \"b\" is among the destinations twice",
            ),
            ("accounts { A { mappings { a: \"b.>\" } } }", "not both with a last >"),
        ] {
            let (_, faults) = read_file(text);
            let said: Vec<String> = faults.errors.iter().map(ToString::to_string).collect();
            assert!(said.iter().any(|error| error.contains(expected)), "{text:?}: {said:?} does not say {expected:?}");
        }
    }
}
