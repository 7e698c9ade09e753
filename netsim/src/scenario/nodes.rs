//! A list of nodes as people write it: `[0, 3, "8..12"]`, where a range leaves its end out.

use serde::de::{Error, Unexpected};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ops::Deref;

/// Most nodes that one list may name: a range costs a few bytes to write.
const NODES_MAX: usize = 65_536;
/// The shortest run of numbers that is written as a range.
const RANGE_MIN: usize = 3;

/// Nodes by number, in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSet(Vec<usize>);

impl NodeSet {
    /// The same list without those that `keep` refuses.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(usize) -> bool) -> Self {
        Self(self.0.iter().copied().filter(|node| keep(*node)).collect())
    }

    /// The same list with other numbers; those that `number` knows none for are left out.
    #[must_use]
    pub fn renumbered(&self, number: impl Fn(usize) -> Option<usize>) -> Self {
        Self(self.0.iter().filter_map(|node| number(*node)).collect())
    }
}

impl Deref for NodeSet {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl From<Vec<usize>> for NodeSet {
    fn from(nodes: Vec<usize>) -> Self {
        Self(nodes)
    }
}

impl FromIterator<usize> for NodeSet {
    fn from_iter<I: IntoIterator<Item = usize>>(nodes: I) -> Self {
        Self(nodes.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a NodeSet {
    type Item = &'a usize;
    type IntoIter = std::slice::Iter<'a, usize>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    One(usize),
    Range(String),
    Other(toml::Value),
}

impl<'de> Deserialize<'de> for NodeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "a node's number, or a range such as \"8..12\"";
        let mut nodes = Vec::new();
        for item in Vec::<Item>::deserialize(deserializer)? {
            match item {
                Item::One(node) => nodes.push(node),
                Item::Range(text) => {
                    let range =
                        range(&text).ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &EXPECTED))?;
                    nodes.extend(range);
                }
                Item::Other(value) => {
                    return Err(D::Error::invalid_value(Unexpected::Other(&value.to_string()), &EXPECTED));
                }
            }
            if nodes.len() > NODES_MAX {
                return Err(D::Error::custom(format_args!("a list names at most {NODES_MAX} nodes")));
            }
        }
        Ok(Self(nodes))
    }
}

fn range(text: &str) -> Option<std::ops::Range<usize>> {
    let (from, to) = text.split_once("..")?;
    let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    (from < to && to <= NODES_MAX).then_some(from..to)
}

impl Serialize for NodeSet {
    /// Runs of numbers are written as ranges.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for run in self.0.chunk_by(|a, b| a + 1 == *b) {
            if run.len() >= RANGE_MIN {
                list.serialize_element(&format!("{}..{}", run[0], run[run.len() - 1] + 1))?;
            } else {
                run.iter().try_for_each(|node| list.serialize_element(node))?;
            }
        }
        list.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holder {
        nodes: NodeSet,
    }

    fn read(text: &str) -> Result<Vec<usize>, String> {
        let holder: Result<Holder, _> = toml::from_str(&format!("nodes = {text}"));
        holder.map(|holder| holder.nodes.0).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_and_ranges_are_read_in_order() {
        assert_eq!(read("[7, \"1..4\", 0]"), Ok(vec![7, 1, 2, 3, 0]));
        assert_eq!(read("[]"), Ok(vec![]));
    }

    /// Goal: what is no node is named, and so is what would be one.
    #[test]
    fn others_are_refused_by_name() {
        for wrong in ["\"4..1\"", "\"a..3\"", "\"3\"", "-1", "1.5", "\"0..99999999999\"", "\"0..65537\""] {
            let error = read(&format!("[{wrong}]")).unwrap_err();
            assert!(error.contains(wrong.trim_matches('"')) && error.contains("\"8..12\""), "{wrong}: {error}");
        }
        assert!(read("[\"0..60000\", \"0..60000\"]").unwrap_err().contains("at most 65536"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(nodes in proptest::collection::vec(0usize..40, 0..40)) {
            let holder = Holder { nodes: nodes.into() };
            prop_assert_eq!(toml::from_str::<Holder>(&toml::to_string(&holder).unwrap()).unwrap(), holder);
        }
    }
}
