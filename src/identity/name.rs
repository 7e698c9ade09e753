//! Names of nodes and lattices, and other text that peers choose: what of it may be shown.

/// Bytes in a name, at most.
pub const NAME_MAX: usize = 64;

/// A name that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} cannot be a name: 1 to {NAME_MAX} bytes, no spaces or control characters")]
pub struct BadName {
    /// Its start.
    pub name: String,
}

/// Accepts 1 to [`NAME_MAX`] bytes of visible text.
///
/// # Errors
/// [`BadName`]: choose another.
pub fn check_name(name: &str) -> Result<(), BadName> {
    let visible = name.chars().all(|c| !c.is_control() && !c.is_whitespace());
    if name.is_empty() || name.len() > NAME_MAX || !visible {
        return Err(BadName { name: name.chars().take(NAME_MAX).collect() });
    }
    Ok(())
}

/// Text that a peer chose, fit to be shown: no control characters (a terminal would obey them), at most 200 characters.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(check_name("kitchen-pi").is_ok() && check_name("Küche").is_ok());
        for bad in ["", "two words", "bell\u{7}", &"x".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_peers_say_moves_no_cursor() {
        assert_eq!(printable("\u{1b}[2Jgone\n"), "[2Jgone");
        assert_eq!(printable(&"x".repeat(10_000)).len(), 200);
    }
}
