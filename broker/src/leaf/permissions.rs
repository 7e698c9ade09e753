//! What may cross a leaf link: the peer's permission lists, and denials of our own. Immutable once made; a change of
//! permissions makes a new value.

use super::info::SubjectLists;
use crate::subject::{covers, has_wildcard, overlaps};

/// Whether subjects may cross the link in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Direction {
    denied_here: Vec<Box<[u8]>>,
    allow: Vec<Box<[u8]>>,
    deny: Vec<Box<[u8]>>,
}

/// Why a subject may not cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This side keeps it to itself.
    DeniedHere,
    /// The peer does not permit it.
    NotPermitted,
}

/// Both directions of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// What we may receive, and thus express interest in.
    pub import: Direction,
    /// What we may send.
    pub export: Direction,
}

impl Permissions {
    /// No restrictions but `both`, which holds both ways, and what holds one way alone.
    #[must_use]
    pub fn new(both: &[String], import: &[String], export: &[String]) -> Self {
        let direction = |one: &[String]| {
            let denied_here = both.iter().chain(one).map(|subject| subject.as_bytes().into()).collect();
            Direction { denied_here, ..Direction::default() }
        };
        Self { import: direction(import), export: direction(export) }
    }
}

impl Direction {
    /// Replaces what the peer permits.
    pub fn permit(&mut self, lists: &SubjectLists) {
        (self.allow, self.deny) = (owned(&lists.allow), owned(&lists.deny));
    }

    /// Whether a message for `subject` may cross.
    ///
    /// # Errors
    /// The [`Refusal`], by which to count.
    pub fn message(&self, subject: &[u8]) -> Result<(), Refusal> {
        if matches_any(&self.denied_here, subject) {
            return Err(Refusal::DeniedHere);
        }
        if self.allow.is_empty() && self.deny.is_empty() {
            return Ok(());
        }
        // Answers across service imports and acknowledgements are never checked (§6.7).
        if subject.starts_with(b"_R_.") || subject.starts_with(b"$JS.ACK.") {
            return Ok(());
        }
        let subject = embedded(subject);
        let allowed = self.allow.is_empty() || subject.starts_with(b"$MQTT.") || matches_any(&self.allow, subject);
        if allowed && !matches_any(&self.deny, subject) { Ok(()) } else { Err(Refusal::NotPermitted) }
    }

    /// Whether interest in `filter` may be expressed. What it matches is then checked message by message.
    ///
    /// # Errors
    /// The [`Refusal`], by which to count.
    pub fn interest(&self, filter: &[u8]) -> Result<(), Refusal> {
        if matches_any(&self.denied_here, filter) {
            return Err(Refusal::DeniedHere);
        }
        if [&b"_GR_."[..], b"$GR.", b"$LDS."].iter().any(|prefix| filter.starts_with(prefix)) {
            return Ok(());
        }
        // A wildcard is good for that part of it which is allowed.
        let allowed = self.allow.is_empty()
            || if has_wildcard(filter) {
                self.allow.iter().any(|allow| overlaps(allow, filter))
            } else {
                matches_any(&self.allow, filter)
            };
        if allowed && !matches_any(&self.deny, filter) { Ok(()) } else { Err(Refusal::NotPermitted) }
    }
}

fn owned(list: &[String]) -> Vec<Box<[u8]>> {
    list.iter().map(|subject| subject.as_bytes().into()).collect()
}

fn matches_any(list: &[Box<[u8]>], subject: &[u8]) -> bool {
    list.iter().any(|filter| covers(filter, subject))
}

/// The subject inside a reply that a gateway between clusters has mapped, or `subject` itself.
fn embedded(subject: &[u8]) -> &[u8] {
    let prefix_tokens = match subject {
        [b'_', b'G', b'R', b'_', b'.', ..] => 3,
        [b'$', b'G', b'R', b'.', ..] => 2,
        _ => return subject,
    };
    subject.splitn(prefix_tokens + 1, |&byte| byte == b'.').nth(prefix_tokens).unwrap_or(subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direction(allow: &[&str], deny: &[&str]) -> Direction {
        let list = |subjects: &[&str]| subjects.iter().map(|&subject| subject.to_owned()).collect();
        let mut direction = Permissions::new(&["$KV.>".to_owned()], &[], &[]).import;
        direction.permit(&SubjectLists { allow: list(allow), deny: list(deny) });
        direction
    }

    #[test]
    fn messages() {
        let up = direction(&["up.>", "_INBOX.>"], &["up.secret"]);
        for subject in ["up.a", "_INBOX.x.1", "_R_.abc.def", "$JS.ACK.S.C.1", "$MQTT.sub.x", "_GR_.abcdef.ghijkl.up.a"]
        {
            assert_eq!(up.message(subject.as_bytes()), Ok(()), "{subject}");
        }
        for subject in ["down.a", "up.secret", "up", "_GR_.abcdef.ghijkl.up.secret", "$GR.abcd.down.a"] {
            assert_eq!(up.message(subject.as_bytes()), Err(Refusal::NotPermitted), "{subject}");
        }
        assert_eq!(up.message(b"$KV.bucket.key"), Err(Refusal::DeniedHere));
        assert_eq!(direction(&[], &[]).message(b"anything"), Ok(()));
        assert_eq!(direction(&[], &["a.>"]).message(b"a.b"), Err(Refusal::NotPermitted));
    }

    #[test]
    fn interest() {
        let down = direction(&["down.>"], &["down.secret.>"]);
        for filter in ["down.a", ">", "*.a", "down.secret", "$LDS.abc", "_GR_.>"] {
            assert_eq!(down.interest(filter.as_bytes()), Ok(()), "{filter}");
        }
        for filter in ["up.a", "up.*", "down.secret.*", "down.secret.a", "down"] {
            assert_eq!(down.interest(filter.as_bytes()), Err(Refusal::NotPermitted), "{filter}");
        }
        assert_eq!(down.interest(b"$KV.b.>"), Err(Refusal::DeniedHere));
        assert_eq!(direction(&[], &[]).interest(b"$KV.>"), Err(Refusal::DeniedHere));
    }
}
