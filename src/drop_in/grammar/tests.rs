use super::*;
use std::collections::BTreeMap;

/// Files and variables from a table.
#[derive(Default)]
struct Given {
    files: BTreeMap<&'static str, &'static str>,
    variables: BTreeMap<&'static str, &'static str>,
}

impl Sources for Given {
    fn include(&mut self, path: &str, _from: &str) -> Result<(String, String), String> {
        let text = self.files.get(path).ok_or_else(|| format!("open {path}: no such file or directory"))?;
        Ok(((*text).to_owned(), path.to_owned()))
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|&value| value.to_owned())
    }
}

fn given() -> Given {
    Given {
        files: BTreeMap::from([
            ("other.conf", "host: h # of another file\nP = 7"),
            ("loop.conf", "include loop.conf"),
            ("bad.conf", "\n\nport: [1"),
        ]),
        variables: BTreeMap::from([
            ("PORT", "4333"),
            ("QUOTED", "'a b'"),
            ("TWO", "a b"),
            ("SELF", "$SELF"),
            ("MORE", "1\nb=2"),
            ("LIST", "[1, 2]"),
        ]),
    }
}

fn read(text: &str) -> Result<Block, String> {
    parse(text, "t.conf", &mut given()).map_err(|error| error.to_string())
}

/// The tree in one line, to compare.
fn shown(value: &Value) -> String {
    match value {
        Value::Integer(number) => format!("{number}"),
        Value::Float(number) => format!("{number}f"),
        Value::Boolean(flag) => format!("{flag}"),
        Value::Text(text) => format!("{text:?}"),
        Value::Date(text) => format!("date {text}"),
        Value::List(items) => {
            format!("[{}]", items.iter().map(|item| shown(&item.value)).collect::<Vec<_>>().join(" "))
        }
        Value::Block(block) => {
            let entries = block.entries.iter().map(|entry| format!("{}:{}", entry.key, shown(&entry.item.value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
        }
    }
}

#[test]
fn what_is_written_is_what_is_read() {
    let cases = [
        ("port:4222", "port:4222"),
        ("port = 4222, host=a", "port:4222 host:\"a\""),
        ("port 4222\nhost a", "port:4222 host:\"a\""),
        ("port: 1;host: b", "port:1 host:\"b\""),
        ("port\n 4222", "port:4222"),
        ("port: 4222 # c\n// d\nhost: b // e\n", "port:4222 host:\"b\""),
        ("{ \"port\": 4222, \"host\": \"x\" }\n", "port:4222 host:\"x\""),
        ("a {\n b = 1,\n c = \"d\";\n}\ne: 5", "a:{b:1 c:\"d\"} e:5"),
        ("a\n{ b: 1 }", "a:{b:1}"),
        ("'a b' 1", "a b:1"),
        ("a: 'x \"y\" \\n'", "a:\"x \\\"y\\\" \\\\n\""),
        ("a: \"b\\nc\\x41\\t\\\\\"", "a:\"b\\ncA\\t\\\\\""),
        ("a: (\nb\n c\n)\nd: 1", "a:\"\\nb\\n c\\n\" d:1"),
        ("a: [1, 2\n3,]", "a:[1 2 3]"),
        ("a [\n{b: 1}\n{b: 2} # c\n]", "a:[{b:1} {b:2}]"),
        (
            "a: 1k\nb: 1kb\nc: 1KiB\nd: 2m\ne: 1gb\nf: 10s\ng: -1",
            "a:1000 b:1024 c:1024 d:2000000 e:1073741824 f:\"10s\" g:-1",
        ),
        ("a: 1.5\nb: 10.0.0.1\nc: 127.0.0.1:4222\nd: 1h30m", "a:1.5f b:\"10.0.0.1\" c:\"127.0.0.1:4222\" d:\"1h30m\""),
        ("a: yes\nb: Off\nc: \"yes\"\nd: yesterday", "a:true b:false c:\"yes\" d:\"yesterday\""),
        ("a: 2020-01-02T15:04:05Z", "a:date 2020-01-02T15:04:05Z"),
        ("a: a#b\nc: a=b", "a:\"a#b\" c:\"a=b\""),
        ("a: nats://u:p@h:1/x", "a:\"nats://u:p@h:1/x\""),
        ("a: 1\na: 2", "a:2"),
        ("a:\tb\r\nc: 5\r\n", "a:\"b\" c:5"),
        ("P: 5\na: $P", "P:5 a:5"),
        ("P: 5\nb { Q: 6, c: $P, d: $Q }", "P:5 b:{Q:6 c:5 d:6}"),
        ("a: $PORT\nb: $QUOTED\nc: $LIST", "a:4333 b:\"a b\" c:[1 2]"),
        ("a: \"$PORT\"\nb: '$PORT'", "a:\"$PORT\" b:\"$PORT\""),
        ("a: $2a$11$abc", "a:\"$2a$11$abc\""),
        ("include other.conf\na: $P", "host:\"h\" P:7 a:7"),
        ("b { include 'other.conf' }", "b:{host:\"h\" P:7}"),
        ("include: other.conf", "include:\"other.conf\""),
        ("", ""),
    ];
    for (text, expected) in cases {
        let block = read(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(shown(&Value::Block(block)), format!("{{{expected}}}"), "{text:?}");
    }
}

#[test]
fn what_cannot_be_read_is_named_with_its_place() {
    let cases = [
        ("port: [1\n", "t.conf:2:1: Parse error: found the end of the file"),
        ("port = \n", "t.conf:1:7: Parse error: found the end of the line where the value of \"port\""),
        ("port: = 5", "t.conf:1:8: Parse error: found '5' behind a value"),
        ("= 5", "t.conf:1:0: Parse error: found '=' where a key"),
        ("port 4222 host a", "t.conf:1:10: Parse error: found 'h' behind a value"),
        ("a { b: c d: e }", "t.conf:1:9: Parse error: found 'd' behind a value"),
        ("a { b: c", "t.conf:1:8: Parse error: the file ends before the '}'"),
        ("port: 1 }", "t.conf:1:8: Parse error: found '}'"),
        ("port: 1;;", "t.conf:1:8: Parse error: found ';'"),
        ("x [1 2]", "t.conf:1:5: Parse error: found '2' in an array"),
        ("x [1; 2]", "found ';' in an array"),
        ("a \"x", "no closing \""),
        ("a 'x", "no closing '"),
        ("'a 1", "no closing '"),
        ("a: \"\\q\"", "found 'q' behind a backslash"),
        ("a: b\\ c", "behind a backslash"),
        ("a: \"\\xZZ\"", "two hexadecimal digits"),
        ("a: (\nb", "no ')'"),
        ("a: -b", "begins with -"),
        ("a: -5s", "-5s is no number"),
        ("a: 99999999999999999999", "out of range"),
        ("a: 99999999999e", "out of range"),
        ("a: $NOPE", "t.conf:1:3: Parse error: variable reference for 'NOPE' on line 1 can not be found"),
        ("b { P: 5 }\na: $P", "variable reference for 'P' on line 2"),
        ("a: $TWO", "environment's $TWO cannot be read"),
        ("a: $MORE", "environment's $MORE is not one value"),
        ("a: $SELF", "deep"),
        ("include loop.conf", "10 are accepted"),
        (
            "include nofile.conf",
            "t.conf:1:8: Parse error: error parsing include file 'nofile.conf', open nofile.conf: no such file",
        ),
        ("include bad.conf", "bad.conf:3:9: Parse error: found the end of the file in an array"),
        ("include \n", "include has no file"),
    ];
    for (text, expected) in cases {
        let error = read(text).expect_err(text);
        assert!(error.contains(expected), "{text:?}: {error:?} does not say {expected:?}");
    }
}

#[test]
fn nesting_is_bounded() {
    assert!(read(&format!("a: {}{}", "[".repeat(NESTING_MAX), "]".repeat(NESTING_MAX))).is_ok());
    assert!(read(&format!("a: {}", "[".repeat(NESTING_MAX + 1))).unwrap_err().contains("inside each other"));
    assert!(read(&"a {".repeat(100_000)).unwrap_err().contains("inside each other"));
}

#[test]
fn variables_are_known_as_such() {
    let block = read("P: 5\na: $P").unwrap();
    assert!(block.find("p").unwrap().is_variable && !block.find("a").unwrap().is_variable);
}

#[test]
fn durations_are_gos() {
    use scalar::{duration, spoken};
    use std::time::Duration;
    let cases = [("10s", 10_000), ("1h30m", 5_400_000), ("1.5s", 1500), ("250ms", 250), ("2m", 120_000), ("0", 0)];
    for (text, millis) in cases {
        assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
    }
    for bad in ["", "2", "2x", "s", "-4s", "1s2", "abc", "."] {
        assert_eq!(duration(bad), None, "{bad}");
    }
    let said = [(5400, "1h30m0s"), (90, "1m30s"), (2, "2s"), (0, "0s")];
    for (seconds, text) in said {
        assert_eq!(spoken(Duration::from_secs(seconds)), text);
    }
    assert_eq!(spoken(Duration::from_millis(250)), "250ms");
}

proptest::proptest! {
    /// Goal: whatever the text is, it is read or refused, and nothing panics.
    #[test]
    fn any_text_is_read_or_refused(text in "[ab1k\\-.$:={}\\[\\]()'\"\\\\#/,; \n\tPé]{0,60}") {
        let _ = read(&text);
    }
}
