//! What the compiler does not check: who may name whom, that no file is dead, and that files and functions stay small.
//!
//! Reads the sources as text, with comments, strings and tests taken out; it understands no more of Rust than that.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Past this a function hides something that wants a name.
const FUNCTION_LINES_MAX: usize = 70;

/// Past this a file has more than one noun in it. Tests do not count.
const FILE_LINES_MAX: usize = 700;

/// Within `place`, none of `names` stands for itself or begins a path, unless one of `except` does.
struct Ban {
    place: &'static str,
    names: &'static [&'static str],
    except: &'static [&'static str],
    why: &'static str,
}

/// The arrows of docs/ARCHITECTURE.md, as what must not be found. A place that does not exist yet bans nothing.
const BANS: &[Ban] = &[
    Ban {
        place: "broker/src",
        names: &["lattice", "lattice_netsim", "quinn", "sled", "bincode"],
        except: &[],
        why: "the broker is a library that knows no mesh and no disk",
    },
    Ban {
        place: "netsim/src",
        names: &["lattice", "lattice_broker"],
        except: &["lattice_broker::env"],
        why: "the simulator knows the Env, not the node",
    },
    Ban {
        place: "src/ports.rs",
        names: &["crate::mesh", "crate::gateway", "crate::host", "crate::node", "crate::wiring", "crate::cli", "quinn"],
        except: &[],
        why: "the ports know none of the layers between which they stand",
    },
    Ban {
        place: "src/mesh",
        names: &["lattice_broker", "lattice_netsim"],
        except: &["lattice_broker::env"],
        why: "the mesh reaches the broker through the ports",
    },
    Ban {
        place: "src/mesh",
        names: &[
            "crate::gateway",
            "crate::host",
            "crate::node",
            "crate::wiring",
            "crate::cli",
            "crate::web",
            "crate::sim",
        ],
        except: &[],
        why: "dependencies point down",
    },
    Ban {
        place: "src/gateway",
        names: &[
            "crate::mesh",
            "crate::host",
            "crate::node",
            "crate::wiring",
            "crate::cli",
            "crate::web",
            "crate::sim",
        ],
        except: &[],
        why: "the gateway is the mesh's sibling, below the node",
    },
    Ban {
        place: "src/host",
        names: &[
            "lattice_broker",
            "crate::mesh",
            "crate::gateway",
            "crate::node",
            "crate::wiring",
            "crate::cli",
            "crate::web",
        ],
        except: &["lattice_broker::env", "lattice_broker::tls"],
        why: "the host sees the ports alone, and streams of its own",
    },
    Ban {
        place: "src/identity",
        names: &["crate::mesh", "crate::gateway", "crate::node", "crate::wiring", "crate::cli", "crate::web", "quinn"],
        except: &[],
        why: "identity is below the mesh",
    },
    Ban {
        place: "src/node.rs",
        names: &["crate::cli", "crate::web"],
        except: &[],
        why: "the node is below its command line",
    },
    Ban {
        place: "src/drop_in",
        names: &[
            "crate::mesh",
            "crate::host",
            "crate::node",
            "crate::wiring",
            "crate::cli",
            "crate::web",
            "crate::sim",
            "crate::identity",
            "crate::config",
            "tokio",
        ],
        except: &[],
        why: "what stands in for a nats-server knows the broker, and the gateway by which it is a leaf node of others",
    },
    Ban {
        place: "src/web",
        names: &[
            "crate::mesh",
            "crate::gateway",
            "crate::host",
            "crate::node",
            "crate::wiring",
            "crate::cli",
            "crate::sim",
            "crate::identity",
            "crate::config",
        ],
        except: &[],
        why: "what is told by HTTP is the broker's, or handed in by the node",
    },
    Ban {
        place: "src/drop_in/grammar.rs",
        names: &["std::fs", "std::env", "lattice_broker"],
        except: &[],
        why: "the grammar does no IO",
    },
    Ban {
        place: "src/drop_in/grammar",
        names: &["std::fs", "std::env", "lattice_broker"],
        except: &[],
        why: "the grammar does no IO",
    },
    Ban { place: "src/mesh", names: &["sled"], except: &[], why: "the disk is behind store.rs" },
    Ban {
        place: "src/node.rs",
        names: &["sled", "quinn", "bincode", "wasmtime"],
        except: &[],
        why: "each behind one module",
    },
    Ban {
        place: "src/cli",
        names: &["sled", "quinn", "bincode", "wasmtime"],
        except: &[],
        why: "each behind one module",
    },
    Ban { place: "src/identity", names: &["sled"], except: &[], why: "the disk is behind store.rs" },
];

/// One source file.
struct Source {
    /// Relative to the repository's root, with slashes.
    path: String,
    text: String,
    /// `text` with comments, strings and characters blanked out: as long, with the same lines.
    code: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("src/") && self.path.contains("/tests/")
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut paths);
    }
    let sources = paths.into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
        Source { path, code: blank(&text), text }
    });
    sources.collect()
}

fn product() -> Vec<Source> {
    sources(&["src", "broker/src", "netsim/src"])
}

/// Replaces comments, strings and characters by blanks.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => comment_end(bytes, at),
            b'"' => string_end(bytes, at + 1),
            b'r' if !word_before(bytes, at) => raw_string_end(bytes, at).unwrap_or(at),
            b'\'' => char_end(bytes, at).unwrap_or(at),
            _ => at,
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// `br"…"` is a raw string as well; an identifier that ends in r is none.
fn word_before(bytes: &[u8], at: usize) -> bool {
    match bytes[..at] {
        [.., before, b'b' | b'c'] => word(before),
        [.., before] => word(before),
        [] => false,
    }
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |n| at + n)
}

fn comment_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|&&b| b == b'#').count();
    let open = at + 1 + hashes;
    (bytes.get(open) == Some(&b'"')).then_some(())?;
    let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let length = bytes[open + 1..].windows(close.len()).position(|window| window == close)?;
    Some(open + 1 + length + close.len())
}

/// A character; `None` for a lifetime.
fn char_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at + 1) == Some(&b'\\') {
        let close = bytes[at + 3..].iter().position(|&b| b == b'\'')?;
        return Some(at + 3 + close + 1);
    }
    let text = std::str::from_utf8(bytes.get(at + 1..(at + 5).min(bytes.len()))?).ok().map(str::to_owned);
    let width = text.and_then(|text| text.chars().next()).map_or_else(|| utf8_width(bytes[at + 1]), char::len_utf8);
    (bytes.get(at + 1 + width) == Some(&b'\'')).then_some(at + 2 + width)
}

fn utf8_width(first: u8) -> usize {
    match first {
        0..0x80 => 1,
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    }
}

/// Every place of `name` in `code` where it is a whole path or the beginning of one.
fn uses<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(name).map(|(at, _)| at).filter(move |&at| {
        let before = code[..at].trim_end();
        let joined = code[..at].bytes().next_back().is_some_and(word) || before.ends_with("::") && at == before.len();
        let inside = code[at + name.len()..].bytes().next().is_some_and(word);
        !joined && !inside
    })
}

/// `crate::{a::b, c}` written out as `crate::a crate::c`, in place, so that groups hide nothing.
fn ungroup(code: &str) -> String {
    const GROUP: &str = "crate::{";
    let mut out = code.to_owned();
    while let Some(at) = out.find(GROUP) {
        let end = block_end(&out, at + GROUP.len() - 1);
        let inner = &out[at + GROUP.len()..end.max(at + GROUP.len() + 1) - 1];
        let mut depth = 0;
        let parts = inner.split(|c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        });
        let listed: Vec<String> = parts.map(|part| format!(" crate::{}", part.trim())).collect();
        // All on the group's first line: the lines after it must keep their numbers.
        let lines = "\n".repeat(inner.matches('\n').count());
        let text = format!("{}{lines}", listed.concat().replace('\n', " "));
        out.replace_range(at..end, &text);
    }
    out
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// From the byte of a `{` to the byte behind its `}`.
fn block_end(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// `code` without its `#[cfg(test)] mod … { … }`.
fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(at) = out.find("#[cfg(test)]") {
        let rest = &out[at..];
        let semicolon = rest.find(';').unwrap_or(rest.len());
        let open = rest.find('{').unwrap_or(rest.len());
        let end = if open < semicolon { block_end(&out, at + open) } else { (at + semicolon + 1).min(out.len()) };
        let kept: String = out[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(at..end, &kept);
    }
    out
}

/// Name, line and length in lines of each function that has a body.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for at in uses(code, "fn") {
        let rest = &code[at..];
        let name: String = rest[2..].trim_start().bytes().take_while(|&b| word(b)).map(char::from).collect();
        let (open, semicolon) = (rest.find('{'), rest.find(';').unwrap_or(rest.len()));
        // An array's length in a signature has a semicolon too, inside brackets.
        let bodiless = semicolon < open.unwrap_or(rest.len())
            && rest[..semicolon].matches('[').count() == rest[..semicolon].matches(']').count();
        if name.is_empty() || bodiless {
            continue;
        }
        let Some(open) = open else { continue };
        let end = block_end(code, at + open);
        found.push((name, line_of(code, at), code[at..end].matches('\n').count() + 1));
    }
    found
}

fn none(what: &str, found: &str) {
    assert!(found.is_empty(), "{what}:\n{found}");
}

#[test]
fn imports_point_one_way() {
    let mut found = String::new();
    for source in product() {
        if source.is_test() {
            continue;
        }
        let code = ungroup(&without_tests(&source.code));
        for ban in BANS {
            if source.path != ban.place && !source.path.starts_with(&format!("{}/", ban.place)) {
                continue;
            }
            for (name, at) in ban.names.iter().flat_map(|name| uses(&code, name).map(move |at| (name, at))) {
                if !ban.except.iter().any(|allowed| code[at..].starts_with(allowed)) {
                    let _ = writeln!(found, "  {}:{}: {name} ({})", source.path, line_of(&code, at), ban.why);
                }
            }
        }
    }
    none("names that must not be known there", &found);
}

#[test]
fn every_file_opens_with_its_story() {
    let mut found = String::new();
    // The story of a file of unit tests is its module's.
    for source in product().iter().chain(&sources(&["tests"])).filter(|source| !source.is_test()) {
        if !source.text.starts_with("//! ") {
            let _ = writeln!(found, "  {}", source.path);
        }
    }
    none("files that do not begin with //! and what they own", &found);
}

#[test]
fn functions_are_short() {
    let mut found = String::new();
    for source in product().iter().chain(&sources(&["tests"])) {
        for (name, line, length) in functions(&source.code) {
            if length > FUNCTION_LINES_MAX {
                let _ = writeln!(found, "  {}:{line}: {name} has {length} lines", source.path);
            }
        }
    }
    none(&format!("functions of more than {FUNCTION_LINES_MAX} lines"), &found);
}

#[test]
fn files_are_short() {
    let mut found = String::new();
    for source in product().iter().filter(|source| !source.is_test()) {
        let lines = without_tests(&source.code).trim_end().lines().count();
        if lines > FILE_LINES_MAX {
            let _ = writeln!(found, "  {} has {lines} lines", source.path);
        }
    }
    none(&format!("files of more than {FILE_LINES_MAX} lines"), &found);
}

#[test]
fn no_file_is_dead() {
    let mut found = String::new();
    let all = product();
    for source in &all {
        let (folder, file) = source.path.rsplit_once('/').unwrap();
        let name = file.strip_suffix(".rs").unwrap();
        if ["lib", "main"].contains(&name) && folder.ends_with("src") || folder.ends_with("src/bin") {
            continue;
        }
        let (parent, name) = match name {
            "mod" => folder.rsplit_once('/').unwrap(),
            _ => (folder, name),
        };
        let homes = ["lib.rs", "main.rs", "mod.rs"].map(|home| format!("{parent}/{home}"));
        let beside = format!("{parent}.rs");
        let declared = all.iter().filter(|other| homes.contains(&other.path) || other.path == beside);
        if !declared.into_iter().any(|other| uses(&other.code, "mod").any(|at| names(&other.code[at + 3..], name))) {
            let _ = writeln!(found, "  {}", source.path);
        }
    }
    none("files that no `mod` names", &found);
}

/// True when `code` goes on with `name` and then the end of an item.
fn names(code: &str, name: &str) -> bool {
    code.trim_start().strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with([';', '{']))
}

#[test]
fn text_is_told_from_code() {
    let text = "fn a() { let x = \"}\"; let c = '{'; /* } */ let l: &'static str = r#\"}\"}\"#; } // }\nfn b();\n";
    let code = blank(text);
    assert_eq!(code.len(), text.len());
    assert_eq!(functions(&code), [("a".to_owned(), 1, 1)]);
    assert_eq!(uses("use lattice_broker::env; lattice::x; my_lattice", "lattice").count(), 1);
    let grouped = ungroup("use crate::{mesh::{a, b}, node};\n");
    assert_eq!(["crate::mesh", "crate::node", "crate::a"].map(|name| uses(&grouped, name).count()), [1, 1, 0]);
    let tested = blank("fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {\n}\n");
    let names: Vec<_> = functions(&without_tests(&tested)).into_iter().map(|(name, line, _)| (name, line)).collect();
    assert_eq!(names, [("a".to_owned(), 1), ("c".to_owned(), 6)]);
}
