//! The mappings of an account at work: what a message that is published becomes one to.
//!
//! They are for messages of clients, before anything else is made of the subject, and for requests and answers that come
//! in from another account. What comes from the mesh has been mapped where it was published.

use crate::auth::{SubjectMapping, WEIGHTS};
use crate::delivery::Dice;
use crate::mapping::{Pattern, destination, source};
use crate::proto::Op;
use crate::subject::tokens;

/// Mappings of an account, the one that says most first.
#[derive(Debug)]
pub(crate) struct Mappings(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    source: Pattern,
    /// A message has the first whose bound is above what was rolled, of 100; past the last one it is lost.
    choices: Vec<Choice>,
}

#[derive(Debug)]
struct Choice {
    below: u8,
    /// `None` leaves the subject as it is.
    to: Option<Pattern>,
}

impl Mappings {
    /// Those that are configured, which have been validated, in a server of `cluster`; `None` when there are none.
    pub(crate) fn new(configured: &[SubjectMapping], cluster: &str) -> Option<Self> {
        // Where several fit, nats-server leaves it to chance which one is taken.
        let mut ordered: Vec<&SubjectMapping> = configured.iter().collect();
        ordered.sort_by_cached_key(|mapping| tokens(mapping.source.as_bytes()).map(breadth).collect::<Vec<u8>>());
        let rules: Vec<Rule> = ordered.into_iter().filter_map(|mapping| Rule::new(mapping, cluster)).collect();
        (!rules.is_empty()).then_some(Self(rules))
    }

    /// As [`Self::apply`] to the message of `op`, if it is one and there are mappings.
    #[inline]
    pub(crate) fn of_op(mappings: Option<&Self>, op: &Op<'_>, dice: &mut Dice) -> Option<Vec<u8>> {
        let (Some(mappings), Op::Publish { message, .. }) = (mappings, op) else { return None };
        mappings.apply(message.subject, dice)
    }

    /// What a message to `subject` is sent to instead: `None` when it stays what it is, nothing when it is lost.
    pub(crate) fn apply(&self, subject: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
        let (rule, captured) = self.0.iter().find_map(|rule| Some((rule, rule.source.capture(subject)?)))?;
        let rolled = if rule.is_sure() { 0 } else { dice.below(usize::from(WEIGHTS)) };
        match rule.choices.iter().find(|choice| rolled < usize::from(choice.below)) {
            None => Some(Vec::new()),
            Some(Choice { to: None, .. }) => None,
            Some(Choice { to: Some(to), .. }) => Some(to.fill(&captured, &mut || dice.roll()).unwrap_or_default()),
        }
    }
}

impl Rule {
    fn new(mapping: &SubjectMapping, cluster: &str) -> Option<Self> {
        let source = source(mapping.source.as_bytes())?;
        let own = if mapping.clusters().contains(cluster) { cluster } else { "" };
        let choices = mapping.bounds(own).into_iter().map(|(to, below)| {
            let to = to.map(|to| destination(&to.subject, &source)).transpose().ok()?;
            Some(Choice { below, to })
        });
        Some(Self { choices: choices.collect::<Option<_>>()?, source })
    }

    /// True when all messages have the first choice.
    fn is_sure(&self) -> bool {
        self.choices.first().is_some_and(|choice| choice.below == WEIGHTS)
    }
}

/// How much a token stands for.
fn breadth(token: &[u8]) -> u8 {
    match token {
        b">" => 2,
        b"*" => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::MappedTo;
    use crate::subject::text;
    use std::collections::BTreeMap;

    fn mapping(source: &str, to: &[(&str, u8, &str)]) -> SubjectMapping {
        let destinations = to.iter().map(|&(subject, weight, cluster)| MappedTo {
            cluster: cluster.to_owned(),
            ..MappedTo::new(subject, weight)
        });
        SubjectMapping { source: source.to_owned(), destinations: destinations.collect() }
    }

    /// How often of a thousand times a message to `subject` becomes what.
    fn shares(mappings: &Mappings, subject: &str) -> BTreeMap<String, u32> {
        let mut dice = Dice::new(7);
        let mut shares = BTreeMap::new();
        for _ in 0..1000 {
            let became = mappings.apply(subject.as_bytes(), &mut dice);
            *shares.entry(became.map_or_else(|| "=".to_owned(), |subject| text(&subject))).or_default() += 1;
        }
        shares
    }

    fn near(shares: &BTreeMap<String, u32>, expected: &[(&str, u32)]) {
        assert_eq!(shares.len(), expected.len(), "{shares:?}");
        for (subject, share) in expected {
            let found = shares.get(*subject).copied().unwrap_or_default();
            assert!(found.abs_diff(*share) < 70, "{shares:?}");
        }
    }

    #[test]
    fn weights_are_shares_and_the_rest_stays_or_is_lost() {
        let mappings = Mappings::new(
            &[
                mapping("half.*", &[("a.$1", 50, "")]),
                mapping("three", &[("a", 20, ""), ("b", 30, ""), ("c", 50, "")]),
                mapping("lossy", &[("lossy", 30, ""), ("b", 20, "")]),
                mapping("none", &[("a", 0, "")]),
                mapping("all", &[]),
            ],
            "",
        )
        .unwrap();
        near(&shares(&mappings, "half.x"), &[("a.x", 500), ("=", 500)]);
        near(&shares(&mappings, "three"), &[("a", 200), ("b", 300), ("c", 500)]);
        near(&shares(&mappings, "lossy"), &[("lossy", 300), ("b", 200), ("", 500)]);
        near(&shares(&mappings, "none"), &[("=", 1000)]);
        near(&shares(&mappings, "all"), &[("=", 1000)]);
        near(&shares(&mappings, "other"), &[("=", 1000)]);
    }

    #[test]
    fn a_cluster_has_its_own_or_what_others_have() {
        let of = |cluster| {
            let to = [("a", 100, "A"), ("b", 50, "B"), ("c", 100, "")];
            Mappings::new(&[mapping("x", &to), mapping("y", &[("y", 100, "A")])], cluster).unwrap()
        };
        near(&shares(&of("A"), "x"), &[("a", 1000)]);
        near(&shares(&of("B"), "x"), &[("b", 500), ("=", 500)]);
        near(&shares(&of("C"), "x"), &[("c", 1000)]);
        near(&shares(&of(""), "x"), &[("c", 1000)]);
        near(&shares(&of("A"), "y"), &[("y", 1000)]);
        near(&shares(&of(""), "y"), &[("", 1000)]);
    }

    #[test]
    fn what_says_more_goes_before() {
        let all = [(">", "1.>"), ("a.>", "2.>"), ("*.b", "3"), ("a.*", "4"), ("a.b.>", "5.>"), ("a.b", "6")];
        let all = all.map(|(from, to)| mapping(from, &[(to, 100, "")]));
        let mappings = Mappings::new(&all, "").unwrap();
        for (subject, expected) in [
            ("x", "1.x"),
            ("a.c.d", "2.c.d"),
            ("c.b", "3"),
            ("a.c", "4"),
            ("a.b.c", "5.c"),
            ("a.b", "6"),
            ("a..b", "="),
        ] {
            near(&shares(&mappings, subject), &[(expected, 1000)]);
        }
        assert!(Mappings::new(&[], "").is_none());
    }
}
