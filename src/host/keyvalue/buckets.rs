//! Which buckets a component may open, and under which names: its links for `wasi:keyvalue` say it. Without one it has none.
//!
//! In a link's target configurations, `bucket` names what it opens, whatever the component calls it. Without that, `default` and the
//! empty name open the bucket that is called as the component is. `buckets` lists, with commas, what it may open besides, each by its
//! own name. Of several links that say `bucket` the first one counts, by the links' names; their lists are taken together.

use std::collections::{BTreeMap, BTreeSet};

/// The bucket of a link's configuration.
const BUCKET: &str = "bucket";
/// Buckets with commas between them.
const BUCKETS: &str = "buckets";
/// What components open that know no name.
const DEFAULT: &str = "default";

/// What a component may open. Nothing, unless it is told so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    /// What is opened by all names but those below.
    any: Option<String>,
    /// What is opened by no name in particular.
    default: Option<String>,
    /// What is opened by its own name.
    named: BTreeSet<String>,
}

impl Buckets {
    /// Opens to component `id` what a link with the target configuration `config` says. Names that cannot be buckets are told
    /// to the component when it opens them.
    pub fn open(&mut self, id: &str, config: &BTreeMap<String, String>) {
        match config.get(BUCKET) {
            Some(bucket) if self.any.is_none() => self.any = Some(bucket.clone()),
            Some(_) => {}
            None => self.default = Some(id.to_owned()),
        }
        let listed = config.get(BUCKETS).map(String::as_str).unwrap_or_default().split(',').map(str::trim);
        self.named.extend(listed.filter(|name| !name.is_empty()).map(str::to_owned));
    }

    /// What `identifier` opens; `None` when that is not allowed.
    #[must_use]
    pub fn of(&self, identifier: &str) -> Option<&str> {
        let own = || self.default.as_deref().filter(|_| ["", DEFAULT].contains(&identifier));
        self.named.get(identifier).map(String::as_str).or(self.any.as_deref()).or_else(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn nothing_is_open_but_what_links_say() {
        let mut buckets = Buckets::default();
        let seen = |buckets: &Buckets| ["", "default", "shop", "a"].map(|name| buckets.of(name).map(str::to_owned));
        assert_eq!(seen(&buckets), [None, None, None, None]);
        buckets.open("shop", &config(&[("buckets", " a , ,b")]));
        let (shop, a) = (Some("shop".to_owned()), Some("a".to_owned()));
        assert_eq!(seen(&buckets), [shop.clone(), shop, None, a.clone()]);
        buckets.open("shop", &config(&[("bucket", "common")]));
        buckets.open("shop", &config(&[("bucket", "late")]));
        let common = Some("common".to_owned());
        assert_eq!(seen(&buckets), [common.clone(), common.clone(), common, a]);
    }
}
