//! Text as a page needs it: escaped, and figures as people read them.

use std::fmt;

/// Text as the content of an element or of a quoted attribute.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in self.0.split_inclusive(['&', '<', '>', '"', '\'']) {
            let special = piece.chars().next_back().and_then(entity);
            match special {
                Some(entity) => {
                    f.write_str(&piece[..piece.len() - 1])?;
                    f.write_str(entity)?;
                }
                None => f.write_str(piece)?,
            }
        }
        Ok(())
    }
}

fn entity(special: char) -> Option<&'static str> {
    Some(match special {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => "&quot;",
        '\'' => "&#39;",
        _ => return None,
    })
}

/// JSON as the content of a script element, which nothing in it can end: in JSON, `<` stands in strings only.
pub(super) fn in_script(json: &str) -> String {
    json.replace('<', "\\u003c")
}

/// `text`, or its first `max` characters.
pub(super) fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What a fault of `kind` is, without its kind where it begins with that.
pub(super) fn told<'a>(kind: &str, what: &'a str) -> &'a str {
    what.strip_prefix(kind).and_then(|rest| rest.strip_prefix(" = ")).unwrap_or(what)
}

/// `1234567` as `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A moment or a length of time in seconds.
pub(super) fn seconds(ms: f64) -> String {
    format!("{:.3}", ms / 1e3)
}

/// Milliseconds without a fraction.
pub(super) fn whole_ms(ms: f64) -> String {
    format!("{} ms", count(ms.max(0.0).round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_taken_for_markup() {
        assert_eq!(Escaped("a<b> & \"c\" 'd'é").to_string(), "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;é");
        let json = in_script(r#"{"a":"</script><!--"}"#);
        assert!(!json.contains('<'), "{json}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["a"], "</script><!--");
    }

    #[test]
    fn a_kind_is_said_once() {
        let cases = [("crash", "crash = 2", "2"), ("churn", "crash = 2", "crash = 2"), ("cut", "cuts", "cuts")];
        for (kind, what, expected) in cases {
            assert_eq!(told(kind, what), expected);
        }
    }

    #[test]
    fn figures_are_grouped() {
        let read = [0, 12, 999, 1_000, 1_234_567].map(count);
        assert_eq!(read, ["0", "12", "999", "1,000", "1,234,567"]);
        assert_eq!((cut("äöü", 2), cut("äöü", 3)), ("äö…".to_owned(), "äöü".to_owned()));
    }
}
