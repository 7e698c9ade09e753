//! Names of nodes and lattices: what may be one. Peers choose them, so nothing but this decides what is shown.

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
}
