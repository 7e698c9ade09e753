//! Whom a component may ask by HTTP: its links for `wasi:http` with the interface `outgoing-handler` say it. Without one it may ask
//! nobody.
//!
//! A link's target configurations alone open the way; what its target is called does not matter, and need not run. `allow` lists
//! authorities with commas, and `ca` has certificates of authorities, as PEM text, by which servers are known instead of those that the
//! system trusts. What several links allow is taken together. It is read when the component starts, by those who run it.

use std::collections::BTreeMap;

/// Authorities with commas between them.
const ALLOW: &str = "allow";
/// Certificates, as PEM text.
const CA: &str = "ca";

/// What links say, in the order of their names. Nothing, unless there are some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    ways: Vec<Way>,
}

/// What one link says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The link, in words.
    pub link: String,
    /// Authorities with commas between them.
    pub allow: String,
    /// Certificates of those who are trusted, instead of those that the system trusts.
    pub ca: Option<String>,
}

impl Outgoing {
    /// Opens what the link `name` to `target`, with the target configuration `config`, says.
    pub fn open(&mut self, name: &str, target: &str, config: &BTreeMap<String, String>) {
        let Some(allow) = config.get(ALLOW) else { return };
        let link = format!("link {name} to {target}");
        self.ways.push(Way { link, allow: allow.clone(), ca: config.get(CA).cloned() });
    }

    /// What each link says.
    #[must_use]
    pub fn ways(&self) -> &[Way] {
        &self.ways
    }
}
