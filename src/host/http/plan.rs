//! Where is to be listened, and for whom: read from providers, links and configurations. Sans-IO; what is wrong with one link is
//! a problem of its provider, and keeps no other from being served.

use super::site::{Routes, Site};
use crate::host::control::{Link, Map, Provider};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// What the built-in server is called when a provider is started; a slash and a version may follow.
pub const REFERENCE: &str = "wasmcloud+builtin://http-server";

/// Addresses that a host listens at, at most.
const SITES_MAX: usize = 64;

/// What other servers can be told and this one cannot: to do without it in silence would be worse than not to serve.
const NOT_HAD: &[&str] = &["readonly_mode", "cors_", "tls_"];

/// Whether `reference` names the built-in server.
#[must_use]
pub fn is_http_server(reference: &str) -> bool {
    reference.strip_prefix(REFERENCE).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// How a provider tells requests apart, and where it listens unless its links say otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    mode: Mode,
    default_address: Option<SocketAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Mode {
    Address,
    Path,
    Host(String),
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSetting {
    /// A value that means nothing.
    #[error("{key} is {value:?}: {expected}")]
    Value {
        /// The setting.
        key: &'static str,
        /// What it says.
        value: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// A value that is needed.
    #[error("{key} is not set: {expected}")]
    Missing {
        /// The setting.
        key: &'static str,
        /// What would be accepted, and where.
        expected: &'static str,
    },
    /// A setting of other servers.
    #[error("{key} is set: this server does not have that")]
    NotHad {
        /// The setting.
        key: String,
    },
}

/// What is to be served, and what cannot be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// By the address to listen at.
    pub sites: BTreeMap<SocketAddr, Site>,
    /// By provider, with an entry for each.
    pub problems: BTreeMap<String, Vec<String>>,
}

impl Settings {
    /// Reads the configuration of a provider.
    ///
    /// # Errors
    /// [`BadSetting`] names the setting, and what is accepted.
    pub fn parse(config: &Map) -> Result<Self, BadSetting> {
        check(config)?;
        let mode = match value(config, "routing_mode") {
            None | Some("address") => Mode::Address,
            Some("path") => Mode::Path,
            Some("host") => Mode::Host(value(config, "header").unwrap_or("host").to_ascii_lowercase()),
            Some(other) => {
                let expected = "address, path or host is accepted";
                return Err(BadSetting::Value { key: "routing_mode", value: other.to_owned(), expected });
            }
        };
        Ok(Self { mode, default_address: address(config, "default_address")? })
    }

    /// Where a link with that configuration is served, and under which name.
    fn place(&self, config: &Map) -> Result<(SocketAddr, String), BadSetting> {
        check(config)?;
        let of_link = match self.mode {
            Mode::Address => address(config, "address")?,
            Mode::Path | Mode::Host(_) => None,
        };
        let expected =
            "an IP address and a port, in the link's source configuration or as the provider's default_address";
        let at = of_link.or(self.default_address).ok_or(BadSetting::Missing { key: "address", expected })?;
        let name = match self.mode {
            Mode::Address => String::new(),
            Mode::Path => name(config, "path", "a path such as /api", |path| path.starts_with('/'))?.to_owned(),
            Mode::Host(_) => name(config, "host", "a name such as www.example.org", |_| true)?.to_ascii_lowercase(),
        };
        Ok((at, name))
    }

    /// No routes yet.
    fn routes(&self, component: &str) -> Routes {
        match &self.mode {
            Mode::Address => Routes::One(component.to_owned()),
            Mode::Path => Routes::Paths(BTreeMap::new()),
            Mode::Host(header) => Routes::Hosts { header: header.clone(), hosts: BTreeMap::new() },
        }
    }
}

/// A link that is to be served.
struct Wish<'a> {
    provider: &'a str,
    settings: Settings,
    at: SocketAddr,
    name: String,
    link: &'a Link,
}

/// What `providers` are to serve by `links`; `config` looks up a configuration by its name. Of two that want the same, the one that
/// has it in `now` keeps it.
#[must_use]
pub fn plan(
    providers: &BTreeMap<String, Provider>,
    links: &[Link],
    config: impl Fn(&str) -> Option<Map>,
    now: &BTreeMap<SocketAddr, Arc<Site>>,
) -> Plan {
    let mut plan = Plan::default();
    let mut wishes = Vec::new();
    for (id, provider) in providers {
        plan.problems.insert(id.clone(), Vec::new());
        match merge(&provider.config, &config).and_then(|config| Ok(Settings::parse(&config)?)) {
            Ok(settings) => {
                for link in links.iter().filter(|link| is_for_http(link) && link.id.source_id == *id) {
                    let place = merge(&link.source_config, &config).and_then(|config| Ok(settings.place(&config)?));
                    match place {
                        Ok((at, name)) => {
                            wishes.push(Wish { provider: id, settings: settings.clone(), at, name, link });
                        }
                        Err(problem) => plan.note(id, Some(link), problem),
                    }
                }
            }
            Err(problem) => plan.note(id, None, problem),
        }
    }
    wishes.sort_by_key(|wish| !now.get(&wish.at).is_some_and(|site| wish.is_served(site)));
    for wish in wishes {
        if let Err(problem) = plan.serve(&wish) {
            plan.note(wish.provider, Some(wish.link), problem);
        }
    }
    plan
}

impl Wish<'_> {
    fn is_served(&self, site: &Site) -> bool {
        let component = match &site.routes {
            Routes::One(component) => Some(component),
            Routes::Paths(names) | Routes::Hosts { hosts: names, .. } => names.get(&self.name),
        };
        site.provider == self.provider && component == Some(&self.link.target)
    }
}

/// What keeps something from being served, in words.
struct Problem(String);

impl From<BadSetting> for Problem {
    fn from(error: BadSetting) -> Self {
        Self(error.to_string())
    }
}

impl Plan {
    fn note(&mut self, provider: &str, link: Option<&Link>, Problem(why): Problem) {
        let why = match link {
            Some(link) => format!("link {} to {}: {why}", link.id.name, link.target),
            None => why,
        };
        self.problems.entry(provider.to_owned()).or_default().push(why);
    }

    fn serve(&mut self, wish: &Wish<'_>) -> Result<(), Problem> {
        let Wish { provider, settings, at, name, link } = wish;
        let (at, provider, component) = (*at, *provider, link.target.as_str());
        let is_new = !self.sites.contains_key(&at);
        if is_new && self.sites.len() >= SITES_MAX {
            return Err(Problem(format!("{SITES_MAX} addresses are listened at already, as many as may")));
        }
        let new = || Site { provider: provider.to_owned(), routes: settings.routes(component) };
        let site = self.sites.entry(at).or_insert_with(new);
        if site.provider != provider {
            return Err(Problem(format!("{at} is provider {}'s already", site.provider)));
        }
        let names = match &mut site.routes {
            Routes::One(_) if is_new => return Ok(()),
            Routes::One(other) if other == component => return Ok(()),
            Routes::One(other) => return Err(Problem(format!("{at} is component {other}'s already"))),
            Routes::Paths(names) | Routes::Hosts { hosts: names, .. } => names,
        };
        match names.get(name) {
            Some(other) if other != component => Err(Problem(format!("{name} at {at} is component {other}'s already"))),
            Some(_) => Ok(()),
            None => {
                names.insert(name.clone(), component.to_owned());
                Ok(())
            }
        }
    }
}

/// Whether a link is for requests by HTTP.
pub(super) fn is_for_http(link: &Link) -> bool {
    let is_http = (&*link.id.wit_namespace, &*link.id.wit_package) == ("wasi", "http");
    is_http && link.interfaces.iter().any(|interface| interface == "incoming-handler")
}

/// All of these configurations as one; a later wins over an earlier.
fn merge(names: &[String], config: impl Fn(&str) -> Option<Map>) -> Result<Map, Problem> {
    let mut merged = Map::new();
    for name in names {
        let missing = || Problem(format!("configuration {name} is not there: config.put.{name} first"));
        merged.extend(config(name).ok_or_else(missing)?);
    }
    Ok(merged)
}

fn check(config: &Map) -> Result<(), BadSetting> {
    let not_had = |key: &&String| NOT_HAD.iter().any(|name| key.to_ascii_lowercase().starts_with(name));
    match config.keys().find(not_had) {
        Some(key) => Err(BadSetting::NotHad { key: key.clone() }),
        None => Ok(()),
    }
}

/// Keys are the same in capital letters.
fn value<'a>(config: &'a Map, key: &str) -> Option<&'a str> {
    config.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.as_str())
}

fn address(config: &Map, key: &'static str) -> Result<Option<SocketAddr>, BadSetting> {
    let Some(value) = value(config, key) else { return Ok(None) };
    let expected = "an IP address and a port are accepted, such as 0.0.0.0:8000";
    value.parse().map(Some).map_err(|_| BadSetting::Value { key, value: value.to_owned(), expected })
}

fn name<'a>(
    config: &'a Map,
    key: &'static str,
    expected: &'static str,
    fits: impl Fn(&str) -> bool,
) -> Result<&'a str, BadSetting> {
    let value = value(config, key).ok_or(BadSetting::Missing { key, expected })?;
    if !value.is_empty() && fits(value) {
        return Ok(value);
    }
    Err(BadSetting::Value { key, value: value.to_owned(), expected })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::control::LinkId;

    fn map(entries: &[(&str, &str)]) -> Map {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn link(name: &str, target: &str, config: &str) -> Link {
        let [source_id, name, wit_namespace, wit_package] = ["p", name, "wasi", "http"].map(str::to_owned);
        Link {
            id: LinkId { source_id, name, wit_namespace, wit_package },
            target: target.to_owned(),
            interfaces: vec!["incoming-handler".to_owned()],
            source_config: vec![config.to_owned()],
            target_config: Vec::new(),
        }
    }

    fn provider(config: &[&str]) -> Provider {
        let config = config.iter().map(|name| (*name).to_owned()).collect();
        Provider { image: REFERENCE.to_owned(), config, ..Provider::default() }
    }

    /// What a provider with those settings is to serve, of links with those configurations.
    fn planned(settings: &[(&str, &str)], links: &[(&str, &[(&str, &str)])]) -> (Plan, Vec<String>) {
        let named = links.iter().enumerate().map(|(n, (to, _))| link(&format!("l{n}"), to, &n.to_string()));
        let config = |name: &str| match name.parse::<usize>() {
            Ok(n) => Some(map(links[n].1)),
            Err(_) => Some(map(settings)),
        };
        let providers = [("p".to_owned(), provider(&["p"]))].into();
        let mut plan = plan(&providers, &named.collect::<Vec<_>>(), config, &BTreeMap::new());
        let problems = plan.problems.remove("p").unwrap();
        (plan, problems)
    }

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    #[test]
    fn each_link_has_an_address_of_its_own() {
        let links: &[(&str, &[(&str, &str)])] = &[
            ("a", &[("ADDRESS", "127.0.0.1:1")]),
            ("b", &[]),
            ("c", &[("address", "127.0.0.1:1")]),
            ("d", &[("address", "x")]),
        ];
        let (plan, problems) = planned(&[("default_address", "[::]:2")], links);
        let site = |component: &str| Site { provider: "p".to_owned(), routes: Routes::One(component.to_owned()) };
        assert_eq!(plan.sites, [(at("127.0.0.1:1"), site("a")), (at("[::]:2"), site("b"))].into());
        let expected = [
            "link l3 to d: address is \"x\": an IP address and a port are accepted, such as 0.0.0.0:8000",
            "link l2 to c: 127.0.0.1:1 is component a's already",
        ];
        assert_eq!(problems, expected);
        let (plan, problems) = planned(&[], &[("a", &[])]);
        assert!(plan.sites.is_empty() && problems[0].starts_with("link l0 to a: address is not set: "), "{problems:?}");
    }

    #[test]
    fn who_has_an_address_keeps_it() {
        let providers: BTreeMap<String, Provider> = ["o", "p"].map(|id| (id.to_owned(), provider(&[]))).into();
        let mut other = link("l", "b", "same");
        "o".clone_into(&mut other.id.source_id);
        let links = [other, link("l", "a", "same")];
        let config = |_: &str| Some(map(&[("address", "127.0.0.1:1")]));
        let first = plan(&providers, &links, config, &BTreeMap::new());
        assert_eq!(first.problems["p"], ["link l to a: 127.0.0.1:1 is provider o's already"]);
        let site = Site { provider: "p".to_owned(), routes: Routes::One("a".to_owned()) };
        let now = [(at("127.0.0.1:1"), Arc::new(site.clone()))].into();
        let then = plan(&providers, &links, config, &now);
        assert_eq!(then.sites, [(at("127.0.0.1:1"), site)].into());
        assert_eq!(then.problems["o"], ["link l to b: 127.0.0.1:1 is provider p's already"]);
    }

    #[test]
    fn paths_and_names_share_an_address() {
        let settings = [("routing_mode", "path"), ("default_address", "127.0.0.1:1")];
        let (plan, problems) = planned(
            &settings,
            &[("a", &[("path", "/a")]), ("b", &[("path", "/b")]), ("c", &[("path", "/a")]), ("d", &[("path", "d")])],
        );
        let paths = map(&[("/a", "a"), ("/b", "b")]);
        assert_eq!(plan.sites[&at("127.0.0.1:1")].routes, Routes::Paths(paths));
        assert_eq!(problems[1], "link l2 to c: /a at 127.0.0.1:1 is component a's already");
        assert_eq!(problems[0], "link l3 to d: path is \"d\": a path such as /api");
        let settings = [("routing_mode", "host"), ("default_address", "127.0.0.1:1"), ("header", "X-Host")];
        let (plan, problems) = planned(&settings, &[("a", &[("host", "A.example")]), ("b", &[])]);
        let hosts = map(&[("a.example", "a")]);
        assert_eq!(plan.sites[&at("127.0.0.1:1")].routes, Routes::Hosts { header: "x-host".to_owned(), hosts });
        assert_eq!(problems, ["link l1 to b: host is not set: a name such as www.example.org"]);
    }

    #[test]
    fn what_is_not_had_is_not_served() {
        let (plan, problems) = planned(&[("readonly_mode", "true")], &[("a", &[("address", "127.0.0.1:1")])]);
        assert_eq!((plan.sites.len(), &*problems[0]), (0, "readonly_mode is set: this server does not have that"));
        let (_, problems) = planned(&[("routing_mode", "magic")], &[]);
        assert_eq!(problems, ["routing_mode is \"magic\": address, path or host is accepted"]);
        for (reference, is_ours) in [
            (REFERENCE, true),
            ("wasmcloud+builtin://http-server/0.1.0", true),
            ("wasmcloud+builtin://http-servers", false),
        ] {
            assert_eq!(is_http_server(reference), is_ours, "{reference}");
        }
    }
}
