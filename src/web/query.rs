//! What is asked for behind the `?`, and what cannot be read of it in the words of nats-server, which are those of Go.

use crate::drop_in::flags::boolean;
use lattice_broker::monitor::{AccountzOptions, AccstatzOptions, ConnState, ConnzOptions, SubszOptions};
use std::collections::BTreeMap;

/// Why a question is not understood.
pub(super) type Misread = String;

/// The values by their names; of several with one name the first.
#[derive(Debug, Default)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn new(text: &str) -> Self {
        let mut values = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            values.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
        Self(values)
    }

    fn text(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_default()
    }

    /// False when it is not there.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Misread> {
        match self.0.get(name).filter(|value| !value.is_empty()) {
            None => Ok(false),
            Some(value) => boolean(value).ok_or_else(|| {
                format!("Error decoding boolean for '{name}': strconv.ParseBool: parsing {value:?}: invalid syntax")
            }),
        }
    }

    /// Each of these, if it is there, is a flag.
    pub(super) fn flags(&self, names: &[&str]) -> Result<(), Misread> {
        names.iter().try_for_each(|name| self.flag(name).map(drop))
    }

    /// 0 when it is not there.
    fn number<N: std::str::FromStr + Default>(&self, name: &str, kind: &str, how: &str) -> Result<N, Misread> {
        match self.0.get(name).filter(|value| !value.is_empty()) {
            None => Ok(N::default()),
            Some(value) => value.parse().map_err(|_| {
                format!("Error decoding {kind} for '{name}': strconv.{how}: parsing {value:?}: invalid syntax")
            }),
        }
    }

    fn integer(&self, name: &str) -> Result<i64, Misread> {
        self.number(name, "int", "Atoi")
    }

    /// Whether subscriptions are wanted, and whether in detail.
    pub(super) fn subs(&self) -> Result<(bool, bool), Misread> {
        if self.text("subs").eq_ignore_ascii_case("detail") {
            Ok((false, true))
        } else {
            Ok((self.flag("subs")?, false))
        }
    }

    pub(super) fn connz(&self) -> Result<ConnzOptions, Misread> {
        let state = match self.text("state").to_lowercase().as_str() {
            "" | "open" => ConnState::Open,
            "closed" => ConnState::Closed,
            "all" | "any" => ConnState::All,
            other => return Err(format!("Error decoding state for {other}")),
        };
        let (subscriptions, subscriptions_detail) = self.subs()?;
        Ok(ConnzOptions {
            sort: self.text("sort"),
            username: self.flag("auth")?,
            subscriptions,
            subscriptions_detail,
            offset: self.integer("offset")?,
            limit: self.integer("limit")?,
            cid: self.number("cid", "uint64", "ParseUint")?,
            mqtt_client: self.text("mqtt_client"),
            state,
            user: self.text("user"),
            acc: self.text("acc"),
            filter_subject: self.text("filter_subject"),
        })
    }

    pub(super) fn subsz(&self) -> Result<SubszOptions, Misread> {
        Ok(SubszOptions {
            offset: self.integer("offset")?,
            limit: self.integer("limit")?,
            subscriptions: self.flag("subs")?,
            account: self.text("acc"),
            test: self.text("test"),
        })
    }

    pub(super) fn accountz(&self) -> AccountzOptions {
        AccountzOptions { account: self.text("acc") }
    }

    pub(super) fn accstatz(&self) -> Result<AccstatzOptions, Misread> {
        Ok(AccstatzOptions { accounts: Vec::new(), include_unused: self.flag("unused")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_and_what_is_not_understood_is_named() {
        let options = Query::new("subs=Detail&limit=5&auth=1&state=any&acc=%24SYS&cid=7&limit=6").connz().unwrap();
        assert!(options.subscriptions_detail && !options.subscriptions && options.username);
        assert_eq!((options.limit, options.cid, options.state, &*options.acc), (5, 7, ConnState::All, "$SYS"));
        let misread = |text: &str| Query::new(text).connz().unwrap_err();
        assert_eq!(misread("limit=x"), "Error decoding int for 'limit': strconv.Atoi: parsing \"x\": invalid syntax");
        assert_eq!(misread("state=bogus"), "Error decoding state for bogus");
        let boolean = "Error decoding boolean for 'auth': strconv.ParseBool: parsing \"x\": invalid syntax";
        assert_eq!(misread("auth=x"), boolean);
        assert_eq!(Query::new("").connz(), Ok(ConnzOptions::default()));
    }
}
