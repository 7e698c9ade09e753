//! Subjects as they stand in error texts: between quotes, with what would be mistaken or cannot be seen escaped.

use std::fmt::Write as _;

/// `bytes` between quotes, escaped as a Go program would write it.
#[must_use]
pub fn quoted(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut out, c));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

fn push(out: &mut String, c: char) {
    const NAMED: [(char, char); 9] = [
        ('"', '"'),
        ('\\', '\\'),
        ('\x07', 'a'),
        ('\x08', 'b'),
        ('\x0c', 'f'),
        ('\n', 'n'),
        ('\r', 'r'),
        ('\t', 't'),
        ('\x0b', 'v'),
    ];
    if let Some((_, name)) = NAMED.iter().find(|(named, _)| *named == c) {
        out.extend(['\\', *name]);
        return;
    }
    let code = u32::from(c);
    // What is written as it is, is what has a shape of its own; blanks other than the usual one have none.
    let has_shape = !c.is_control() && (c == ' ' || !c.is_whitespace());
    let _ = match code {
        _ if has_shape => out.write_char(c),
        0..0x80 => write!(out, "\\x{code:02x}"),
        0x80..0x1_0000 => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_escaped() {
        assert_eq!(quoted(b"a.*.>"), "\"a.*.>\"");
        assert_eq!(quoted(b"bad\"q\\\x01"), r#""bad\"q\\\x01""#);
        assert_eq!(quoted("é\u{85}\u{2028}".as_bytes()), "\"é\\u0085\\u2028\"");
        assert_eq!(quoted(b"\xff\x0b\x7f"), r#""\xff\v\x7f""#);
    }
}
