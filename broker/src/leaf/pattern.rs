//! Relations between subjects and filters, token by token. Indexing many filters is left to the sublist.

/// The tokens of a subject.
fn tokens(subject: &[u8]) -> impl Iterator<Item = &[u8]> {
    subject.split(|&byte| byte == b'.')
}

/// Whether `filter` contains `*` or `>` as a whole token.
pub(super) fn is_wildcard(filter: &[u8]) -> bool {
    tokens(filter).any(|token| token == b"*" || token == b">")
}

/// Whether each subject that matches `inner` matches `outer` too. For a literal `inner`: whether it matches.
pub(super) fn covers(outer: &[u8], inner: &[u8]) -> bool {
    let mut inner = tokens(inner);
    for wanted in tokens(outer) {
        let Some(token) = inner.next() else { return false };
        match wanted {
            b">" => return true,
            b"*" if token != b">" => {}
            _ if wanted == token => {}
            _ => return false,
        }
    }
    inner.next().is_none()
}

/// Whether some subject matches both filters.
pub(super) fn overlaps(a: &[u8], b: &[u8]) -> bool {
    let (mut a, mut b) = (tokens(a), tokens(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(b">"), Some(_)) | (Some(_), Some(b">")) => return true,
            (Some(x), Some(y)) if x == y || x == b"*" || y == b"*" => {}
            (Some(_) | None, Some(_) | None) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn relations() {
        for (outer, inner, want) in [
            (">", "a.b", true),
            ("a.>", "a", false),
            ("a.>", "a.*", true),
            ("a.*", "a.>", false),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            ("a.>", "a.b.>", true),
            ("$JS.API.>", "$JS.>", false),
            ("a", "a", true),
            ("a", "A", false),
        ] {
            assert_eq!(covers(outer.as_bytes(), inner.as_bytes()), want, "{outer} covers {inner}");
        }
        for (a, b, want) in [
            ("a.*", "*.b", true),
            ("a.>", "a", false),
            ("a.>", "*.*.c", true),
            ("a.b", "a.c", false),
            ("a.b.c", "a.b", false),
            (">", "x", true),
        ] {
            assert_eq!(overlaps(a.as_bytes(), b.as_bytes()), want, "{a} overlaps {b}");
            assert_eq!(overlaps(b.as_bytes(), a.as_bytes()), want, "{b} overlaps {a}");
        }
        assert!(is_wildcard(b"a.*.b") && is_wildcard(b">") && !is_wildcard(b"a.b*"));
    }

    proptest! {
        /// Two filters overlap when one literal matches both, and covering passes matches on.
        #[test]
        fn a_common_match_is_an_overlap(
            a in "(([ab*]\\.){0,2})[ab*>]", b in "(([ab*]\\.){0,2})[ab*>]", literal in "([ab]\\.){0,3}[ab]",
        ) {
            let (a, b, literal) = (a.as_bytes(), b.as_bytes(), literal.as_bytes());
            if covers(a, literal) && covers(b, literal) {
                prop_assert!(overlaps(a, b));
            }
            if covers(a, b) && covers(b, literal) {
                prop_assert!(covers(a, literal));
            }
        }
    }
}
