//! Which subjects a component may publish to: two lists in its configuration, and what holds without them.
//!
//! `messaging.publish.allow` and `messaging.publish.deny` are filters with commas between them (`orders.*, log.>`). With an allow
//! list a component may publish there and nowhere else; without one, everywhere but where the lattice itself is steered
//! (`$…`, `wasmbus.>` and `lattice.ctl.>`). What is denied is denied in any case. An answer to the message in hand needs no leave by the allow
//! list, and is held against the rest: where answers go is what the asker says, and an asker may be the component itself.

use crate::host::runner::RunError;
use std::collections::BTreeMap;

const ALLOW: &str = "messaging.publish.allow";
const DENY: &str = "messaging.publish.deny";

/// Bytes of a subject: routes to subjects are remembered, and their number alone is bounded.
pub(super) const SUBJECT_BYTES_MAX: usize = 1_024;

/// Filters in one list, at most: each is looked at for each message.
const FILTERS_MAX: usize = 64;

/// Where a component may publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subjects {
    allow: Option<Vec<Box<str>>>,
    deny: Vec<Box<str>>,
}

impl Subjects {
    /// What `config` says.
    ///
    /// # Errors
    /// [`RunError::Refused`] names key and filter.
    pub(super) fn parse(id: &str, config: &BTreeMap<String, String>) -> Result<Self, RunError> {
        let list = |key: &str| config.get(key).map(|text| filters(id, key, text)).transpose();
        Ok(Self { allow: list(ALLOW)?, deny: list(DENY)?.unwrap_or_default() })
    }

    /// Whether a component may publish to `subject`.
    ///
    /// # Errors
    /// What to tell it.
    pub(super) fn check(&self, subject: &str) -> Result<(), String> {
        self.look(subject, false)
    }

    /// Whether a component may publish to `subject`, from which it was asked.
    ///
    /// # Errors
    /// What to tell it.
    pub(super) fn check_answer(&self, subject: &str) -> Result<(), String> {
        self.look(subject, true)
    }

    fn look(&self, subject: &str, is_answer: bool) -> Result<(), String> {
        if subject.len() > SUBJECT_BYTES_MAX {
            let len = subject.len();
            return Err(format!("a subject of {len} bytes: expected at most {SUBJECT_BYTES_MAX}"));
        }
        let within = |list: &[Box<str>]| list.iter().any(|filter| matches(filter, subject));
        if within(&self.deny) {
            return Err(format!("may not publish to {subject:?}: denied by {DENY}"));
        }
        match &self.allow {
            Some(allow) if within(allow) => Ok(()),
            Some(_) if is_answer && !steers(subject) => Ok(()),
            Some(_) => Err(format!("may not publish to {subject:?}: not in {ALLOW}")),
            None if steers(subject) => {
                Err(format!("may not publish to {subject:?}: the lattice is steered there; name it in {ALLOW}"))
            }
            None => Ok(()),
        }
    }
}

/// Whether the lattice itself, or a server, takes orders there.
fn steers(subject: &str) -> bool {
    let below = |root: &str| subject.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    subject.starts_with('$') || below("wasmbus") || below("lattice.ctl")
}

fn filters(id: &str, key: &str, text: &str) -> Result<Vec<Box<str>>, RunError> {
    let refused = |why: String| RunError::Refused { id: id.to_owned(), why };
    let filters: Vec<&str> = text.split(',').map(str::trim).filter(|filter| !filter.is_empty()).collect();
    if filters.len() > FILTERS_MAX {
        return Err(refused(format!("{key} has {} filters: expected at most {FILTERS_MAX}", filters.len())));
    }
    if let Some(bad) = filters.iter().find(|filter| !is_filter(filter)) {
        return Err(refused(format!("{key}: {bad:?} is no filter: expected such as orders.*, or log.>")));
    }
    Ok(filters.into_iter().map(Into::into).collect())
}

fn is_filter(filter: &str) -> bool {
    let mut words = filter.split('.').peekable();
    while let Some(word) = words.next() {
        let good = match word {
            "" => false,
            ">" => words.peek().is_none(),
            "*" => true,
            word => !word.contains(|c: char| c.is_whitespace() || c.is_control()),
        };
        if !good {
            return false;
        }
    }
    true
}

fn matches(filter: &str, subject: &str) -> bool {
    let mut words = subject.split('.');
    for wanted in filter.split('.') {
        match (wanted, words.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(word)) if wanted == word => {}
            _ => return false,
        }
    }
    words.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects(pairs: &[(&str, &str)]) -> Subjects {
        let config = pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        Subjects::parse("c", &config).unwrap()
    }

    #[test]
    fn without_lists_all_but_what_steers_the_lattice() {
        let subjects = subjects(&[]);
        for good in ["orders.new", "_INBOX.a.b", "wasmbusses.x", "lattice.ctlx", "lattice.a"] {
            assert_eq!(subjects.check(good), Ok(()), "{good}");
        }
        for bad in [
            "$SYS.REQ.SERVER.PING",
            "$JS.API.INFO",
            "wasmbus.ctl.v1.default.host.stop.N",
            "wasmbus",
            "lattice.ctl.v1.default.app.del.a",
        ] {
            assert!(subjects.check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_say_where() {
        let subjects = subjects(&[(ALLOW, "orders.*, log.>"), (DENY, "log.secret.>")]);
        for good in ["orders.new", "log.a", "log.a.b"] {
            assert_eq!(subjects.check(good), Ok(()), "{good}");
        }
        for bad in ["orders", "orders.new.now", "log", "log.secret.a", "other"] {
            assert!(subjects.check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_answer_needs_no_leave_but_is_no_way_round_the_rest() {
        let subjects = subjects(&[(ALLOW, "orders.*"), (DENY, "secret.>")]);
        assert_eq!(subjects.check_answer("_INBOX.a"), Ok(()));
        for bad in ["wasmbus.ctl.v1.default.host.stop.N", "$JS.API.INFO", "secret.a"] {
            assert!(subjects.check_answer(bad).is_err(), "{bad}");
        }
        assert!(Subjects::default().check_answer("$SYS.REQ.SERVER.PING").is_err());
    }

    #[test]
    fn a_long_subject_is_refused_without_being_repeated() {
        let long = "a".repeat(SUBJECT_BYTES_MAX + 1);
        let why = Subjects::default().check(&long).unwrap_err();
        assert_eq!(why, "a subject of 1025 bytes: expected at most 1024");
    }

    #[test]
    fn a_bad_filter_is_named_with_its_key() {
        let config = [(ALLOW.to_owned(), "orders.>.new".to_owned())].into();
        let error = Subjects::parse("c", &config).unwrap_err().to_string();
        assert!(error.contains(ALLOW) && error.contains("orders.>.new"), "{error}");
    }
}
