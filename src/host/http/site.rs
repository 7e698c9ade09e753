//! Which component a request at one address is for. Sans-IO.

use std::collections::BTreeMap;

/// What is served at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The provider that listens there.
    pub provider: String,
    /// For whom.
    pub routes: Routes,
}

/// How requests are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routes {
    /// All are for one component.
    One(String),
    /// Components by their paths: the longest that the request's begins with, in whole parts.
    Paths(BTreeMap<String, String>),
    /// Components by what a header says, without its port.
    Hosts {
        /// The header's name, in small letters.
        header: String,
        /// In small letters.
        hosts: BTreeMap<String, String>,
    },
}

/// A request that is for no component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing is at that path.
    #[error("nothing is served at this path")]
    Path,
    /// Nothing is under that name.
    #[error("nothing is served under this name")]
    Host,
}

impl Routes {
    /// The component that a request is for; `header` looks up one of its headers.
    ///
    /// # Errors
    /// [`Refusal`]: nobody is to answer it.
    pub fn find<'a>(&self, path: &str, header: impl Fn(&str) -> Option<&'a str>) -> Result<&str, Refusal> {
        match self {
            Self::One(component) => Ok(component),
            Self::Paths(paths) => {
                let mut rest = path;
                loop {
                    if let Some(component) = paths.get(if rest.is_empty() { "/" } else { rest }) {
                        return Ok(component);
                    }
                    if rest.is_empty() {
                        return Err(Refusal::Path);
                    }
                    rest = &rest[..rest.rfind('/').unwrap_or(0)];
                }
            }
            Self::Hosts { header: name, hosts } => {
                let said = header(name).ok_or(Refusal::Host)?.to_ascii_lowercase();
                let bare = said.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
                let found = hosts.get(&said).or_else(|| hosts.get(bare?.0));
                found.map(String::as_str).ok_or(Refusal::Host)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(names: &[&str]) -> BTreeMap<String, String> {
        names.iter().map(|name| ((*name).to_owned(), format!("at {name}"))).collect()
    }

    #[test]
    fn the_longest_path_answers() {
        let routes = Routes::Paths(by(&["/api", "/api/v1", "/exact/"]));
        let find = |path: &str| routes.find(path, |_| None).map(str::to_owned);
        for (path, found) in [("/api", "/api"), ("/api/", "/api"), ("/api/v1/x/y", "/api/v1"), ("/exact/", "/exact/")] {
            assert_eq!(find(path), Ok(format!("at {found}")), "{path}");
        }
        for path in ["/", "", "/apis", "/exact", "*", "x"] {
            assert_eq!(find(path), Err(Refusal::Path), "{path}");
        }
        let all = Routes::Paths(by(&["/", "/api"]));
        assert_eq!(all.find("/else/where", |_| None), Ok("at /"));
        assert_eq!(all.find("/api/x", |_| None), Ok("at /api"));
    }

    #[test]
    fn a_name_answers_with_any_port() {
        let routes = Routes::Hosts { header: "host".to_owned(), hosts: by(&["a.example", "b.example:81", "[::1]"]) };
        let find = |host: &'static str| routes.find("/", |name| (name == "host").then_some(host)).map(str::to_owned);
        assert_eq!(find("A.example"), Ok("at a.example".to_owned()));
        assert_eq!(find("a.example:8000"), Ok("at a.example".to_owned()));
        assert_eq!(find("b.example:81"), Ok("at b.example:81".to_owned()));
        assert_eq!(find("[::1]:80"), Ok("at [::1]".to_owned()));
        assert_eq!(
            (find("b.example"), find(""), find(":")),
            (Err(Refusal::Host), Err(Refusal::Host), Err(Refusal::Host))
        );
        assert_eq!(routes.find("/", |_| None), Err(Refusal::Host));
    }
}
