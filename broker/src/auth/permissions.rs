//! What a user may publish and subscribe to, as it is configured.

use crate::config::ConfigError;
use crate::subject::{is_filter, text};
use std::time::Duration;

/// What a user may publish and subscribe to. The default is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Subjects, perhaps with wildcards. With `allow_responses` an empty `allow` is nothing instead of everything.
    pub publish: SubjectRules,
    /// Subjects, perhaps with wildcards, each alone or with the queue group that it is about: `"work"`, `"work eu.*"`.
    pub subscribe: SubjectRules,
    /// Lets the user publish to the reply subjects of messages that it was sent.
    pub allow_responses: Option<AllowResponses>,
}

/// What is allowed, and what of that is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectRules {
    /// Empty is everything.
    pub allow: Vec<String>,
    /// Wins over `allow`.
    pub deny: Vec<String>,
}

/// How often, and for how long, a reply subject may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowResponses {
    /// Messages for each reply subject; 0 is any number.
    pub max: u32,
    /// Counts from the message that brought the reply subject; zero is for ever.
    pub ttl: Duration,
}

impl Default for AllowResponses {
    /// One answer within two minutes.
    fn default() -> Self {
        Self { max: 1, ttl: Duration::from_secs(120) }
    }
}

impl SubjectRules {
    /// Rules of texts.
    #[must_use]
    pub fn new(allow: &[&str], deny: &[&str]) -> Self {
        let owned = |list: &[&str]| list.iter().map(|&subject| subject.to_owned()).collect();
        Self { allow: owned(allow), deny: owned(deny) }
    }

    fn all(&self) -> impl Iterator<Item = &String> {
        self.allow.iter().chain(&self.deny)
    }
}

impl Permissions {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        for subject in self.publish.all() {
            if !is_filter(subject.as_bytes()) {
                let range = "subjects without blanks and empty tokens";
                return Err(ConfigError { key: "auth.permissions.publish", value: format!("{subject:?}"), range });
            }
        }
        for subject in self.subscribe.all() {
            if split(subject).is_none() {
                let range = "subjects without empty tokens, alone or with a queue group";
                return Err(ConfigError { key: "auth.permissions.subscribe", value: format!("{subject:?}"), range });
            }
        }
        Ok(())
    }
}

/// A subject, and perhaps a queue group.
pub(super) type Parts = (Box<[u8]>, Option<Box<[u8]>>);

/// The subject and the queue group of a subscribe rule.
pub(super) fn split(rule: &str) -> Option<Parts> {
    let mut words = rule.split_ascii_whitespace().map(str::as_bytes);
    let (subject, queue) = (words.next()?, words.next());
    let fits = words.next().is_none() && is_filter(subject) && queue.is_none_or(is_filter);
    fits.then(|| (subject.into(), queue.map(Into::into)))
}

/// A rule as it is configured.
pub(super) fn joined(subject: &[u8], queue: Option<&[u8]>) -> String {
    match queue {
        Some(queue) => format!("{} {}", text(subject), text(queue)),
        None => text(subject),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_subjects_are_named() {
        let bad = |publish: &[&str], subscribe: &[&str]| {
            let permissions = Permissions {
                publish: SubjectRules::new(publish, &[]),
                subscribe: SubjectRules::new(&[], subscribe),
                allow_responses: None,
            };
            permissions.validate().map_err(|error| error.value)
        };
        assert_eq!(bad(&["a.>"], &["a", "a q", "a.* q.*"]), Ok(()));
        assert_eq!(bad(&["a q"], &[]), Err("\"a q\"".to_owned()));
        assert_eq!(bad(&[], &["a q r"]), Err("\"a q r\"".to_owned()));
        assert_eq!(bad(&[], &["a..b"]), Err("\"a..b\"".to_owned()));
        assert_eq!(split("a  q"), Some((b"a"[..].into(), Some(b"q"[..].into()))));
        assert_eq!(joined(b"a", Some(b"q")), "a q");
    }
}
