//! Permissions as they are asked: may this subject be published to, may that be subscribed to.
//!
//! Immutable once made, and shared by the connections of a user; what a connection has asked of late it keeps in a
//! [`Verdicts`] of its own. Which answers a message has given leave to is left to `replies.rs`.

use super::permissions::{AllowResponses, Permissions, SubjectRules, joined, split};
use crate::generation::hash;
use crate::subject::{covers, is_filter, matches};

/// Verdicts that one connection keeps.
const SLOTS: usize = 128;

/// The permissions of a user.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    publish: Option<Lists>,
    subscribe: Option<Lists>,
    responses: Option<AllowResponses>,
}

/// `allow` is `None` when everything is allowed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lists {
    allow: Option<Vec<Rule>>,
    deny: Vec<Rule>,
}

#[derive(Debug, PartialEq, Eq)]
struct Rule {
    subject: Box<[u8]>,
    /// Wildcards stand for tokens of the group's name.
    queue: Option<Box<[u8]>>,
}

impl Rules {
    /// The rules of permissions that have been validated.
    pub(super) fn new(permissions: &Permissions) -> Self {
        let mut publish = Lists::new(&permissions.publish);
        if permissions.allow_responses.is_some() && permissions.publish.allow.is_empty() {
            publish.allow = Some(Vec::new());
        }
        Self {
            publish: publish.restricts(),
            subscribe: Lists::new(&permissions.subscribe).restricts(),
            responses: permissions.allow_responses,
        }
    }

    /// True when some subject may not be published to.
    pub(crate) fn restrict_publish(&self) -> bool {
        self.publish.is_some()
    }

    /// True when nothing at all may be published to, but for answers.
    pub(crate) fn publish_nothing(&self) -> bool {
        self.publish.as_ref().is_some_and(|lists| lists.allow.as_ref().is_some_and(Vec::is_empty))
    }

    /// True when messages may have to be kept from wildcard subscriptions.
    pub(crate) fn hide_messages(&self) -> bool {
        self.subscribe.as_ref().is_some_and(|lists| !lists.deny.is_empty())
    }

    /// The answers that may be given whatever else the rules say.
    pub(crate) fn responses(&self) -> Option<AllowResponses> {
        self.responses.filter(|_| self.restrict_publish())
    }

    /// True when `subject` may be published to.
    pub(crate) fn may_publish(&self, subject: &[u8]) -> bool {
        let Some(lists) = &self.publish else {
            return true;
        };
        let any = |rules: &[Rule]| rules.iter().any(|rule| matches(&rule.subject, subject));
        lists.allow.as_deref().is_none_or(any) && !any(&lists.deny)
    }

    /// True when `filter` may be subscribed to. A rule for the group, where there is one, decides for its members.
    pub(crate) fn may_subscribe(&self, filter: &[u8], queue: Option<&[u8]>) -> bool {
        let Some(lists) = &self.subscribe else {
            return true;
        };
        let is_valid = is_filter(filter);
        let fits = |rule: &[u8]| is_valid && covers(rule, filter);
        let allowed = lists.allow.as_ref().is_none_or(|rules| {
            let found = Found::new(rules, queue, fits);
            found.group.unwrap_or(found.plain)
        });
        allowed && !Self::denies(lists, queue, fits)
    }

    /// True when messages of `subject` are kept from a subscription that is allowed, as it is wider than it may be.
    pub(crate) fn hides(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        self.subscribe.as_ref().is_some_and(|lists| Self::denies(lists, queue, |rule| matches(rule, subject)))
    }

    fn denies(lists: &Lists, queue: Option<&[u8]>, fits: impl Fn(&[u8]) -> bool) -> bool {
        let found = Found::new(&lists.deny, queue, fits);
        found.plain || found.group == Some(true)
    }

    /// As configured, for the user to look at: allowed and denied subjects to publish to and to subscribe to.
    pub(crate) fn describe(&self) -> [[Vec<String>; 2]; 2] {
        let texts = |rules: &[Rule]| rules.iter().map(|rule| joined(&rule.subject, rule.queue.as_deref())).collect();
        [&self.publish, &self.subscribe].map(|lists| match lists {
            None => [Vec::new(), Vec::new()],
            Some(lists) => [texts(lists.allow.as_deref().unwrap_or_default()), texts(&lists.deny)],
        })
    }
}

/// What a list says: whether a rule without a group fits, and, when rules with groups do, whether one is this group's.
struct Found {
    plain: bool,
    group: Option<bool>,
}

impl Found {
    fn new(rules: &[Rule], queue: Option<&[u8]>, fits: impl Fn(&[u8]) -> bool) -> Self {
        let mut found = Self { plain: false, group: None };
        for rule in rules.iter().filter(|rule| fits(&rule.subject)) {
            match (&rule.queue, queue) {
                (None, _) => found.plain = true,
                (Some(wanted), Some(queue)) => found.group = Some(found.group == Some(true) || matches(wanted, queue)),
                (Some(_), None) => {}
            }
        }
        found
    }
}

impl Lists {
    fn new(rules: &SubjectRules) -> Self {
        let list = |texts: &[String]| -> Vec<Rule> {
            texts.iter().filter_map(|text| split(text)).map(|(subject, queue)| Rule { subject, queue }).collect()
        };
        Self { allow: (!rules.allow.is_empty()).then(|| list(&rules.allow)), deny: list(&rules.deny) }
    }

    fn restricts(self) -> Option<Self> {
        (self.allow.is_some() || !self.deny.is_empty()).then_some(self)
    }
}

/// What was asked of late. Bounded: a new verdict takes the place of an old one.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    slots: Vec<Option<(Box<[u8]>, bool)>>,
}

impl Verdicts {
    /// As [`Rules::may_publish`], for the rules that it was always asked with.
    #[inline]
    pub(crate) fn may_publish(&mut self, rules: &Rules, subject: &[u8]) -> bool {
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, None);
        }
        let slot = &mut self.slots[(hash(subject) >> 32) as usize % SLOTS];
        match slot {
            Some((known, verdict)) if **known == *subject => *verdict,
            _ => {
                let verdict = rules.may_publish(subject);
                *slot = Some((subject.into(), verdict));
                verdict
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::time::Duration;

    fn rules(publish: [&[&str]; 2], subscribe: [&[&str]; 2]) -> Rules {
        Rules::new(&Permissions {
            publish: SubjectRules::new(publish[0], publish[1]),
            subscribe: SubjectRules::new(subscribe[0], subscribe[1]),
            allow_responses: None,
        })
    }

    #[test]
    fn publishing() {
        let rules = rules([&["ok.>", "req"], &["ok.no"]], [&[], &[]]);
        for (subject, expected) in [("ok.a", true), ("ok.*", true), ("req", true), ("ok.no", false), ("a..b", false)] {
            assert_eq!(rules.may_publish(subject.as_bytes()), expected, "{subject}");
        }
        assert!(rules.may_subscribe(b"anything", None) && !rules.hide_messages());
        assert!(!Rules::new(&Permissions::default()).restrict_publish());
        let answers = AllowResponses { max: 1, ttl: Duration::ZERO };
        let rules = Rules::new(&Permissions { allow_responses: Some(answers), ..Permissions::default() });
        assert!(!rules.may_publish(b"a") && rules.responses() == Some(answers));
    }

    #[test]
    fn subscribing() {
        let rules = rules([&[], &[]], [&["in.>", "q", "q g", "qq g.*", "x.*"], &["in.no.>", "in.d g"]]);
        for (filter, queue, expected) in [
            ("in.a", None, true),
            ("in.>", None, true),
            (">", None, false),
            ("in.no.x", None, false),
            ("in.no.x", Some("other"), false),
            ("q", None, true),
            ("q", Some("h"), false),
            ("q", Some("g"), true),
            ("qq", None, false),
            ("qq", Some("g.1"), true),
            ("qq", Some("x"), false),
            ("in.d", Some("g"), false),
            ("in.d", Some("h"), true),
            ("in..x", None, false),
            ("x.a", None, true),
            // It would be more than what is allowed.
            ("x.>", None, false),
        ] {
            assert_eq!(
                rules.may_subscribe(filter.as_bytes(), queue.map(str::as_bytes)),
                expected,
                "{filter} {queue:?}"
            );
        }
        assert!(rules.hides(b"in.no.x", None) && !rules.hides(b"in.no", None));
        assert!(rules.hides(b"in.d", Some(b"g")) && !rules.hides(b"in.d", Some(b"h")) && !rules.hides(b"in.d", None));
    }

    /// A filter by a plain model: recursion over the tokens.
    fn model(filter: &[&str], subject: &[&str]) -> bool {
        match (filter.split_first(), subject.split_first()) {
            (None, None) => true,
            (Some((&">", _)), Some(_)) => true,
            (Some((first, filter)), Some((token, subject))) => {
                (*first == "*" || first == token) && model(filter, subject)
            }
            _ => false,
        }
    }

    fn any(rules: &[String], subject: &str) -> bool {
        let tokens = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<String>>();
        let given = tokens(subject);
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        rules.iter().any(|rule| model(&rule.split('.').collect::<Vec<&str>>(), &given))
    }

    proptest! {
        /// Publishing goes by the model, remembered or not; and nothing that is denied, or that no rule allows,
        /// comes through a subscription.
        #[test]
        fn rules_are_what_they_say(
            allow in vec("(([abc*]\\.){0,2})[abc*>]", 0..4),
            deny in vec("(([abc*]\\.){0,2})[abc*>]", 0..4),
            subjects in vec("(([abc]\\.){0,2})[abc]", 1..20),
            filter in "(([abc*]\\.){0,2})[abc*>]",
        ) {
            let lists = SubjectRules { allow: allow.clone(), deny: deny.clone() };
            let rules =
                Rules::new(&Permissions { publish: lists.clone(), subscribe: lists, allow_responses: None });
            let mut verdicts = Verdicts::default();
            for subject in subjects.iter().chain(&subjects) {
                let expected = (allow.is_empty() || any(&allow, subject)) && !any(&deny, subject);
                prop_assert_eq!(rules.may_publish(subject.as_bytes()), expected);
                prop_assert_eq!(verdicts.may_publish(&rules, subject.as_bytes()), expected);
                prop_assert_eq!(rules.may_subscribe(subject.as_bytes(), None), expected);
                let delivered = rules.may_subscribe(filter.as_bytes(), None)
                    && matches(filter.as_bytes(), subject.as_bytes())
                    && !rules.hides(subject.as_bytes(), None);
                prop_assert!(!delivered || expected, "{} got {}", filter, subject);
            }
        }
    }
}
