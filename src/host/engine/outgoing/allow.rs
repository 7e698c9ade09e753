//! Whom one component may ask: read from what its links say, and held against what it asks for and against the addresses that
//! names come to.

use super::host::{BadHost, Host, is_inward, read};
use super::trust::{BadTrust, Trust};
use crate::host::engine::log::cut;
use crate::host::outgoing::{Outgoing, Way};
use hyper::Uri;
use std::net::IpAddr;
use wasmtime_wasi_http::Error;

/// Authorities that one component may have listed, over all its links.
const RULES_MAX: usize = 256;

/// What is accepted in a list.
const EXPECTED: &str = "authorities with commas between them, such as api.example.org, *.example.org, 10.0.0.7:8080 or \
                        https://api.example.org:8443";

/// By which rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Whom a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) scheme: Scheme,
    pub(super) host: Host,
    pub(super) port: u16,
}

/// All that is allowed.
#[derive(Debug, Default)]
pub(in crate::host::engine) struct Allow {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    /// Either, when it does not say.
    scheme: Option<Scheme>,
    pattern: Pattern,
    /// The scheme's own, when it does not say.
    port: Option<u16>,
    trust: Trust,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Exactly(Host),
    /// All that has the name at its end, but not the name.
    Below(String),
}

/// A link that cannot be gone by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::host::engine) enum BadWay {
    #[error("{link}: allow has {entry:?}: {why}: expected {EXPECTED}")]
    Entry { link: String, entry: String, why: BadEntry },
    #[error("{link}: allow has more entries than the {RULES_MAX} that one component may have")]
    TooMany { link: String },
    #[error("{link}: ca: {why}: expected certificates as PEM text")]
    Trust { link: String, why: BadTrust },
}

/// An entry of a list that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::host::engine) enum BadEntry {
    #[error("its scheme is neither http nor https")]
    Scheme,
    #[error("*. wants a name behind it")]
    Below,
    #[error(transparent)]
    Host(#[from] BadHost),
}

impl Allow {
    /// Reads what links say.
    ///
    /// # Errors
    /// [`BadWay`] names link and entry, and what is accepted.
    pub(in crate::host::engine) fn parse(outgoing: &Outgoing) -> Result<Self, BadWay> {
        let mut rules = Vec::new();
        for Way { link, allow, ca } in outgoing.ways() {
            let trust = Trust::parse(ca.as_deref()).map_err(|why| BadWay::Trust { link: link.clone(), why })?;
            for entry in allow.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
                if rules.len() == RULES_MAX {
                    return Err(BadWay::TooMany { link: link.clone() });
                }
                // What stands before an @ may be a password.
                let shown = entry.rsplit('@').next().unwrap_or_default();
                let bad = |why| BadWay::Entry { link: link.clone(), entry: cut(shown).to_owned(), why };
                rules.push(Rule::parse(entry, trust.clone()).map_err(bad)?);
            }
        }
        Ok(Self { rules })
    }

    /// By which certificates whom is asked is to be known; `None` when he may not be asked. Of several rules the first counts, by
    /// the links' names.
    pub(super) fn find(&self, asked: &Asked) -> Option<&Trust> {
        self.rules.iter().find(|rule| rule.is_for(asked)).map(|rule| &rule.trust)
    }

    /// Whether what is allowed may be asked at `address`: what a name leads to is for those to say who have it, and so no name
    /// leads to this machine (`own` are its addresses) or its link unless the list has that address itself, or `localhost`.
    pub(super) fn may_reach(&self, asked: &Asked, address: IpAddr, own: &[IpAddr]) -> bool {
        let address = address.to_canonical();
        let is_inward = is_inward(address) || own.iter().any(|own| own.to_canonical() == address);
        !is_inward || self.rules.iter().any(|rule| rule.fits(asked) && rule.names(address))
    }
}

impl Rule {
    fn parse(entry: &str, trust: Trust) -> Result<Self, BadEntry> {
        let (scheme, rest) = match entry.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Some(Scheme::Http), rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Some(Scheme::Https), rest),
            Some(_) => return Err(BadEntry::Scheme),
            None => (None, entry),
        };
        let (pattern, port) = match rest.strip_prefix("*.") {
            Some(below) => match read(below)? {
                (Host::Name(name), port) => (Pattern::Below(name), port),
                (Host::Address(_), _) => return Err(BadEntry::Below),
            },
            None => {
                let (host, port) = read(rest)?;
                (Pattern::Exactly(host), port)
            }
        };
        Ok(Self { scheme, pattern, port, trust })
    }

    fn is_for(&self, asked: &Asked) -> bool {
        self.fits(asked)
            && match (&self.pattern, &asked.host) {
                (Pattern::Exactly(host), asked) => host == asked,
                (Pattern::Below(name), Host::Name(asked)) => {
                    asked.strip_suffix(name.as_str()).is_some_and(|before| before.ends_with('.'))
                }
                (Pattern::Below(_), Host::Address(_)) => false,
            }
    }

    /// Whether scheme and port are its own.
    fn fits(&self, asked: &Asked) -> bool {
        self.scheme.is_none_or(|scheme| scheme == asked.scheme)
            && self.port.unwrap_or(asked.scheme.port()) == asked.port
    }

    /// Whether it has that address as itself, and not by a name that anybody might have.
    fn names(&self, address: IpAddr) -> bool {
        match &self.pattern {
            Pattern::Exactly(Host::Address(own)) => *own == address,
            Pattern::Exactly(Host::Name(name)) => name == "localhost" && address.is_loopback(),
            Pattern::Below(_) => false,
        }
    }
}

impl Asked {
    /// Whom a request is for.
    ///
    /// # Errors
    /// It does not say so in a form that a list could have.
    pub(super) fn of(uri: &Uri) -> Result<Self, Error> {
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some(_) | None => return Err(Error::HttpProtocolError),
        };
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        let (host, port) = read(authority.as_str()).map_err(|_| Error::HttpRequestUriInvalid)?;
        Ok(Self { scheme, host, port: port.unwrap_or(scheme.port()) })
    }

    /// What the header `host` says.
    pub(super) fn header(&self) -> String {
        if self.port == self.scheme.port() { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn allow(list: &str) -> Result<Allow, BadWay> {
        let mut outgoing = Outgoing::default();
        outgoing.open("default", "web", &[("allow".to_owned(), list.to_owned())].into());
        Allow::parse(&outgoing)
    }

    fn asked(url: &str) -> Result<Asked, String> {
        let uri = url.parse::<Uri>().map_err(|error| error.to_string())?;
        Asked::of(&uri).map_err(|error| error.to_string())
    }

    fn may(list: &str, url: &str) -> bool {
        asked(url).is_ok_and(|asked| allow(list).unwrap().find(&asked).is_some())
    }

    #[test]
    fn what_the_list_has_may_be_asked() {
        for (list, url) in [
            ("api.example.org", "https://api.example.org/"),
            ("api.example.org", "http://api.example.org/a?b"),
            ("api.example.org", "https://API.EXAMPLE.ORG.:443/"),
            ("API.example.ORG.", "https://api.example.org/"),
            ("api.example.org:8443", "https://api.example.org:8443/"),
            ("api.example.org:8443", "http://api.example.org:8443/"),
            ("*.example.org", "https://a.b.example.org/"),
            ("*.example.org:81", "http://a.example.org:81/"),
            ("10.0.0.7:8080", "http://10.0.0.7:8080/"),
            ("[::1]:80", "http://[0::1]/"),
            ("127.0.0.1:80", "http://[::ffff:127.0.0.1]/"),
            ("http://a.example", "http://a.example:80/"),
            ("HTTPS://a.example:1", "https://a.example:1/"),
            (" , b.example ,,a.example", "http://a.example/"),
        ] {
            assert!(may(list, url), "{list} {url}");
        }
    }

    #[test]
    fn nothing_else_may() {
        for (list, url) in [
            ("", "https://api.example.org/"),
            ("api.example.org", "https://example.org/"),
            ("api.example.org", "https://api.example.org.evil.example/"),
            ("api.example.org", "https://evil-api.example.org/"),
            ("api.example.org", "https://api.example.org:8443/"),
            ("api.example.org", "http://api.example.org:443/"),
            ("api.example.org", "https://api.example.org:80/"),
            ("api.example.org", "https://api.example.org@evil.example/"),
            ("api.example.org", "https://evil.example@api.example.org/"),
            ("api.example.org", "https://evil.example/api.example.org"),
            ("api.example.org", "https://api.example.org%2eevil.example/"),
            ("api.example.org", "https://api%2eexample.org/"),
            ("api.example.org", "https://api.example.org../"),
            ("*.example.org", "https://example.org/"),
            ("*.example.org", "https://.example.org/"),
            ("*.example.org", "https://evilexample.org/"),
            ("*.example.org", "https://a.example.org.evil.example/"),
            ("*.example.org", "https://a.example.org:81/"),
            ("http://a.example", "https://a.example/"),
            ("https://a.example", "http://a.example/"),
            ("https://a.example", "http://a.example:443/"),
            ("127.0.0.1:80", "http://127.1/"),
            ("127.0.0.1:80", "http://2130706433/"),
            ("127.0.0.1:80", "http://0x7f.0.0.1/"),
            ("127.0.0.1:80", "http://localhost/"),
            ("localhost:80", "http://127.0.0.1/"),
            ("xn--bcher-kva.example", "https://bücher.example/"),
        ] {
            assert!(!may(list, url), "{list} {url}");
        }
        assert!(asked("ftp://a.example/").is_err());
        assert!(asked("/path").is_err());
    }

    #[test]
    fn names_lead_inward_only_where_the_list_has_the_address() {
        let reach = |list: &str, url: &str, address: &str| {
            allow(list).unwrap().may_reach(
                &asked(url).unwrap(),
                address.parse().unwrap(),
                &["192.168.7.1".parse().unwrap()],
            )
        };
        let url = "http://a.example:81/";
        assert!(reach("a.example:81", url, "192.168.1.1"));
        let inward = ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "0.0.0.0", "64:ff9b::7f00:1"];
        let clouds = ["100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254"];
        for address in inward.iter().chain(&clouds).chain(&["192.168.7.1", "::ffff:192.168.7.1"]) {
            assert!(!reach("a.example:81,*.localhost:81", url, address), "{address}");
        }
        assert!(reach("a.example:81,127.0.0.1:81", url, "127.0.0.1"));
        assert!(!reach("a.example:81,127.0.0.1:81", url, "127.0.0.2"));
        assert!(!reach("a.example:81,127.0.0.1", url, "127.0.0.1"), "another port");
        assert!(!reach("a.example:81,https://127.0.0.1:81", url, "127.0.0.1"), "another scheme");
        assert!(reach("a.example:81,localhost:81", url, "::1"));
        assert!(!reach("a.example:81,localhost:81", url, "169.254.169.254"));
        assert!(reach("169.254.169.254", "http://169.254.169.254/", "169.254.169.254"));
        assert!(reach("localhost:81", "http://localhost:81/", "127.0.0.1"));
    }

    #[test]
    fn what_is_no_list_is_named() {
        let why = |list: &str| allow(list).unwrap_err().to_string();
        let expected = "expected authorities with commas between them, such as api.example.org, *.example.org, \
                        10.0.0.7:8080 or https://api.example.org:8443";
        let why_scheme = "its scheme is neither http nor https";
        for (list, entry, cause) in [
            ("a.example, ftp://b.example", "ftp://b.example", why_scheme),
            ("https://", "https://", "its host is no name of letters, digits, - and _"),
            ("https://a.example/path", "https://a.example/path", "its host is no name"),
            ("*", "*", "its host is no name"),
            ("*.10.0.0.7", "*.10.0.0.7", "*. wants a name behind it"),
            ("*.", "*.", "its host is no name"),
            ("a.example:99999", "a.example:99999", "its port is no number from 1 to 65535"),
            ("me:secret@a.example", "a.example", "it names a user"),
        ] {
            let why = why(list);
            assert!(why.starts_with(&format!("link default to web: allow has {entry:?}: {cause}")), "{why}");
            assert!(why.ends_with(expected), "{why}");
        }
        assert!(allow(&"a.example,".repeat(RULES_MAX)).is_ok());
        let why = why(&"a.example,".repeat(RULES_MAX + 1));
        assert_eq!(why, "link default to web: allow has more entries than the 256 that one component may have");
    }

    #[test]
    fn several_links_add_up_and_the_first_says_who_is_trusted() {
        let mut outgoing = Outgoing::default();
        let config = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        outgoing.open("a", "web", &config(&[("allow", "a.example")]));
        outgoing.open("b", "web", &config(&[("ca", "no certificate, and nothing allowed")]));
        outgoing.open("c", "web", &config(&[("allow", "b.example, a.example:1")]));
        let allow = Allow::parse(&outgoing).unwrap();
        for url in ["https://a.example/", "https://b.example/", "https://a.example:1/"] {
            assert!(matches!(allow.find(&asked(url).unwrap()), Some(Trust::System)), "{url}");
        }
        outgoing.open("d", "web", &config(&[("allow", "d.example"), ("ca", "no certificate")]));
        let why = Allow::parse(&outgoing).unwrap_err().to_string();
        assert_eq!(why, "link d to web: ca: it has no certificate: expected certificates as PEM text");
    }

    #[test]
    fn the_header_has_the_port_unless_it_is_the_schemes_own() {
        for (url, header) in [
            ("https://User.example.:443/", "user.example"),
            ("http://a.example:443/", "a.example:443"),
            ("http://[::1]:81/", "[::1]:81"),
        ] {
            assert_eq!(asked(url).unwrap().header(), header);
        }
    }

    proptest! {
        /// Whatever is asked for, a list of one name lets nothing through that is not that name.
        #[test]
        fn only_the_name_gets_through(authority in "[a-zA-Z0-9.%:@\\[\\]_-]{0,8}(api\\.example\\.org)?[a-zA-Z0-9.%:@\\[\\]_-]{0,8}") {
            let allow = allow("https://api.example.org").unwrap();
            if let Ok(uri) = format!("https://{authority}/").parse::<Uri>()
                && let Ok(asked) = Asked::of(&uri)
                && allow.find(&asked).is_some()
            {
                prop_assert_eq!(&asked.host, &Host::Name("api.example.org".to_owned()));
                prop_assert_eq!(asked.port, 443);
                let plain = authority.to_ascii_lowercase();
                let plain = plain.split(':').next().unwrap_or_default();
                prop_assert_eq!(plain.strip_suffix('.').unwrap_or(plain), "api.example.org");
            }
        }
    }
}
