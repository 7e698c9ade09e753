//! Header blocks: reading single values, and writing a block.
//!
//! The server passes a client's block on as it is; only what it must know is looked up, exactly as written.

/// What every block starts with.
pub const VERSION: &[u8] = b"NATS/1.0";

/// The status of an inline message (`503`), when the block has one.
#[must_use]
pub fn status(block: &[u8]) -> Option<u16> {
    let line = block.strip_prefix(VERSION)?.split(|byte| *byte == b'\r').next()?;
    let digits = line.strip_prefix(b" ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The first value of `key`, compared as written, without blanks around it.
#[must_use]
pub fn value<'a>(block: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    iter(block).find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// All keys and values, in their order. Lines without a colon are passed over.
pub fn iter(block: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut lines = block.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next();
    debug_assert!(first.is_some(), "split yields at least one piece");
    lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}

/// Appends a block with `entries`; returns its length. Line ends inside a key or value become blanks.
pub fn write<'a>(out: &mut Vec<u8>, entries: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> usize {
    let start = out.len();
    let clean = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
    out.extend_from_slice(VERSION);
    out.extend_from_slice(b"\r\n");
    for (key, value) in entries {
        out.extend(key.iter().map(clean));
        out.extend_from_slice(b": ");
        out.extend(value.iter().map(clean));
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.len() - start
}

/// Appends `block` with one more line; returns its length. Lines of that key that it has are left out, and a block that
/// is none is replaced.
pub(crate) fn write_with(out: &mut Vec<u8>, block: &[u8], key: &[u8], value: &[u8]) -> usize {
    let start = out.len();
    match block.strip_suffix(b"\r\n\r\n").filter(|block| block.starts_with(VERSION)) {
        None => out.extend_from_slice(VERSION),
        Some(block) => {
            let is_other = |line: &&[u8]| !line.strip_prefix(key).is_some_and(|rest| rest.starts_with(b":"));
            let lines: Vec<&[u8]> = block.split(|byte| *byte == b'\n').filter(is_other).collect();
            out.extend_from_slice(&lines.join(&b'\n'));
            if out.ends_with(b"\r") {
                out.pop();
            }
        }
    }
    for part in [b"\r\n", key, b": ", value, b"\r\n\r\n"] {
        out.extend_from_slice(part);
    }
    out.len() - start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let mut block = Vec::new();
        let len = write(&mut block, [(&b"A"[..], &b"1"[..]), (b"B", b"x\r\ny"), (b"A", b"2")]);
        assert_eq!(len, block.len());
        assert_eq!(value(&block, b"A"), Some(&b"1"[..]));
        assert_eq!(value(&block, b"B"), Some(&b"x  y"[..]));
        assert_eq!(value(&block, b"a"), None);
        assert_eq!(iter(&block).count(), 3);
        assert_eq!(status(&block), None);
    }

    #[test]
    fn status_lines() {
        assert_eq!(status(b"NATS/1.0 503\r\n\r\n"), Some(503));
        assert_eq!(status(b"NATS/1.0 100 Idle Heartbeat\r\n\r\n"), Some(100));
        assert_eq!(status(b"junk"), None);
        assert_eq!(status(b"NATS/1.0 5"), None);
    }

    #[test]
    fn a_line_is_added_in_the_place_of_its_like() {
        let with = |block: &[u8]| {
            let mut out = b"before".to_vec();
            let len = write_with(&mut out, block, b"K", b"v");
            assert_eq!(len, out.len() - 6);
            String::from_utf8(out.split_off(6)).unwrap()
        };
        assert_eq!(with(b""), "NATS/1.0\r\nK: v\r\n\r\n");
        assert_eq!(with(b"junk"), "NATS/1.0\r\nK: v\r\n\r\n");
        assert_eq!(with(b"NATS/1.0\r\nA: b\r\n\r\n"), "NATS/1.0\r\nA: b\r\nK: v\r\n\r\n");
        assert_eq!(with(b"NATS/1.0\r\nK: x\r\nKK: b\r\nK:y\r\n\r\n"), "NATS/1.0\r\nKK: b\r\nK: v\r\n\r\n");
    }
}
