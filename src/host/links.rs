//! Whom a component calls: for each interface that it imports from others, the component that its links name.
//!
//! Links for what the node itself gives (messages, values, HTTP) are those' business.

use std::collections::BTreeMap;

/// Interfaces (`ns:package/interface`, without a version), and who has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links(BTreeMap<String, String>);

impl Links {
    /// Has calls of `interface` go to `target`; of several links the first one counts.
    pub fn add(&mut self, interface: String, target: &str) {
        self.0.entry(interface).or_insert_with(|| target.to_owned());
    }

    /// Who has an interface, which may be named with its version.
    #[must_use]
    pub fn target(&self, interface: &str) -> Option<&str> {
        let name = interface.split_once('@').map_or(interface, |(name, _)| name);
        self.0.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_link_of_an_interface_counts_whatever_its_version() {
        let mut links = Links::default();
        links.add("shop:stock/counts".to_owned(), "one");
        links.add("shop:stock/counts".to_owned(), "two");
        assert_eq!(links.target("shop:stock/counts@0.1.0"), Some("one"));
        assert_eq!(links.target("shop:stock/counts"), Some("one"));
        assert_eq!(links.target("shop:stock/other@0.1.0"), None);
    }
}
