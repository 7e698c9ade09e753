//! Questions of those who watch over the server, and the few that any client may ask, on subjects below `$SYS.REQ.`.
//!
//! | subject | from the system account | from another |
//! |---|---|---|
//! | `USER.INFO` | who asks | who asks |
//! | `SERVER.PING` | as `PING.STATSZ` | – |
//! | `SERVER.PING.X`, `SERVER.<id>.X` | X | `PING.CONNZ`: of its own account |
//! | `ACCOUNT.PING.X` | `STATZ` of all accounts | `CONNZ`, `STATZ`: of its own |
//! | `ACCOUNT.<name>.X` | X of that account | – |

use super::events::account_connections;
use super::user::UserInfo;
use super::{QUESTION, Server, encoded};
use crate::auth::Identity;
use crate::hub::Hub;
use crate::lock::read;
use crate::monitor::{
    AccountzOptions, AccstatzOptions, BadQuestion, ConnzOptions, Healthz, Monitor, Outcome, Statsz, SubszOptions,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) hub: &'a Arc<Hub>,
    pub(crate) identity: &'a Identity,
}

/// What is said to a question that is the server's to answer.
#[derive(Debug)]
pub(crate) enum Said {
    /// This.
    Answer(Vec<u8>),
    /// What [`outcome`] makes of this, once it is known.
    Later(Outcome),
    /// Nothing, as it is meant for another server.
    Nothing,
}

/// Which servers a question is for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    server_name: String,
    cluster: String,
    host: String,
    domain: String,
    tags: Vec<String>,
    exact_match: bool,
}

/// Which connection is meant.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Which {
    cid: u64,
}

#[derive(Serialize)]
struct Answer<T> {
    server: Server,
    #[serde(flatten)]
    told: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

#[derive(Serialize)]
struct Data<T> {
    data: T,
}

#[derive(Serialize)]
struct Figures {
    statsz: Statsz,
}

/// A question without options.
#[derive(Default, Deserialize)]
struct Plain {}

#[derive(Serialize)]
struct Failure {
    code: u16,
    description: String,
}

impl Failure {
    fn new(description: impl Into<String>) -> Self {
        Self { code: 500, description: description.into() }
    }
}

/// The name and the address alone.
#[derive(Serialize)]
struct ServerId {
    name: String,
    host: String,
    id: String,
}

/// Whether all is well, with the code of HTTP.
#[derive(Serialize)]
struct Health {
    status: &'static str,
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

/// What is said when a wish has come to its end.
pub(crate) fn outcome(hub: &Hub, result: Result<(), String>) -> Vec<u8> {
    let error = result.err().map(Failure::new);
    encoded(&Answer { server: Server::new(hub), told: None::<Data<()>>, error })
}

/// What the server says to a message on `subject`; `None` when that is no question to it.
pub(crate) fn answer(asker: Asker<'_>, subject: &[u8], body: &[u8]) -> Option<Said> {
    let question = std::str::from_utf8(subject.strip_prefix(QUESTION)?).ok()?;
    let is_system = *asker.identity.account == *asker.hub.live().auth.system_account();
    let parts: Vec<&str> = question.split('.').collect();
    match (parts.as_slice(), is_system) {
        (["USER", "INFO"], _) => Some(asker.say(UserInfo::of(asker.identity, asker.hub.env.wall()))),
        (["SERVER", "PING"], true) => asker.about_server("STATSZ", body),
        (["SERVER", "PING", what], true) => asker.about_server(what, body),
        (["SERVER", id, what], true) if *id == asker.hub.info.server_id => {
            asker.about_server(what, body).or_else(|| asker.order(what, body))
        }
        (["ACCOUNT", "PING", "STATZ"], true) => asker.account_stats(None, body),
        (["ACCOUNT", account, what], true) => asker.about_account(account, what, body),
        (["SERVER" | "ACCOUNT", "PING", "CONNZ"], false) => Some(asker.connections(&asker.identity.account, body)),
        (["ACCOUNT", "PING", "STATZ"], false) => asker.account_stats(Some(&asker.identity.account), body),
        _ => None,
    }
}

impl Asker<'_> {
    fn monitor(&self) -> Monitor {
        Monitor::new(self.hub.clone())
    }

    fn answer<T: Serialize>(&self, told: Option<T>, error: Option<Failure>) -> Said {
        Said::Answer(encoded(&Answer { server: Server::new(self.hub), told, error }))
    }

    fn say<T: Serialize>(&self, data: T) -> Said {
        self.answer(Some(Data { data }), None)
    }

    fn fail(&self, error: Failure) -> Said {
        self.answer(None::<Data<()>>, Some(error))
    }

    /// The options in `body`, when the question is for this server; else what is said to it.
    fn options<O: DeserializeOwned + Default>(&self, body: &[u8]) -> Result<O, Said> {
        if body.trim_ascii().is_empty() {
            return Ok(O::default());
        }
        // An array would do for serde, but is no set of options.
        let map = serde_json::from_slice::<serde_json::Map<String, Value>>(body).map(Value::Object);
        let read = map.and_then(|value| Ok((Wanted::deserialize(&value)?, serde_json::from_value::<O>(value)?)));
        match read {
            Err(error) => Err(self.fail(Failure { code: 400, description: error.to_string() })),
            Ok((wanted, options)) => {
                if self.is_wanted(&wanted) {
                    Ok(options)
                } else {
                    Err(Said::Nothing)
                }
            }
        }
    }

    /// Says what `made` makes of the options in `body`.
    fn reply<O, T>(&self, body: &[u8], made: impl FnOnce(O) -> Result<T, BadQuestion>) -> Said
    where
        O: DeserializeOwned + Default,
        T: Serialize,
    {
        match self.options(body).map(made) {
            Err(said) => said,
            Ok(Ok(data)) => self.say(data),
            Ok(Err(question)) => self.fail(Failure::new(question.to_string())),
        }
    }

    fn is_wanted(&self, wanted: &Wanted) -> bool {
        let fits = |asked: &str, is: &str| {
            asked.is_empty() || if wanted.exact_match { asked == is } else { is.contains(asked) }
        };
        let tags = &read(&self.hub.surroundings).tags;
        fits(&wanted.server_name, &self.hub.info.server_name)
            && fits(&wanted.host, &self.hub.address().0)
            && fits(&wanted.cluster, "")
            && fits(&wanted.domain, "")
            && wanted.tags.iter().all(|tag| tags.contains(tag))
    }

    fn about_server(&self, what: &str, body: &[u8]) -> Option<Said> {
        let monitor = self.monitor();
        Some(match what {
            "STATSZ" => match self.options::<Plain>(body) {
                Ok(_) => self.answer(Some(Figures { statsz: monitor.statsz() }), None),
                Err(said) => said,
            },
            "IDZ" => {
                let info = &self.hub.info;
                let (name, id) = (info.server_name.clone(), info.server_id.clone());
                Said::Answer(encoded(&ServerId { name, host: self.hub.address().0, id }))
            }
            "VARZ" => self.reply(body, |_: Plain| Ok(monitor.varz())),
            "CONNZ" => self.reply(body, |options: ConnzOptions| monitor.connz(&options)),
            "SUBSZ" => self.reply(body, |options: SubszOptions| monitor.subsz(&options)),
            "ACCOUNTZ" => self.reply(body, |options: AccountzOptions| monitor.accountz(&options)),
            "LEAFZ" => self.reply(body, |_: Plain| Ok(monitor.leafz())),
            "ROUTEZ" => self.reply(body, |_: Plain| Ok(monitor.routez())),
            "GATEWAYZ" => self.reply(body, |_: Plain| Ok(monitor.gatewayz())),
            "JSZ" => self.reply(body, |_: Plain| Ok(monitor.jsz())),
            "HEALTHZ" => self.reply(body, |_: Plain| {
                let Healthz { status, status_code, error } = monitor.healthz();
                Ok(Health { status, status_code, error })
            }),
            _ => return None,
        })
    }

    /// What changes something: which connections there are, or the settings.
    fn order(&self, what: &str, body: &[u8]) -> Option<Said> {
        let missing = match what {
            "RELOAD" => return self.hub.reload_desk.wish().map(Said::Later),
            "KICK" => "no such client or leafnode id",
            "LDM" => "no such client id",
            _ => return None,
        };
        if body.is_empty() {
            return Some(Said::Nothing);
        }
        let client = match self.options::<Which>(body) {
            Ok(which) => self.hub.client(which.cid),
            Err(said) => return Some(said),
        };
        Some(match client {
            None => self.fail(Failure::new(missing)),
            Some(client) => {
                if what == "KICK" {
                    client.kick()
                } else {
                    client.tell_lame()
                }
                self.answer(None::<Data<()>>, None)
            }
        })
    }

    fn about_account(&self, account: &str, what: &str, body: &[u8]) -> Option<Said> {
        let monitor = self.monitor();
        let name = || account.to_owned();
        Some(match what {
            "CONNZ" => self.connections(account, body),
            "STATZ" => return self.account_stats(Some(account), body),
            "SUBSZ" => self.reply(body, |options: SubszOptions| {
                monitor.subsz(&SubszOptions { account: name(), subscriptions: true, ..options })
            }),
            "INFO" => self.reply(body, |_: Plain| monitor.account(account)),
            "LEAFZ" => self.reply(body, |_: Plain| Ok(monitor.leafz())),
            "CONNS" => match self.hub.account(account.as_bytes()).filter(|account| account.connections() > 0) {
                Some(account) => Said::Answer(account_connections(self.hub, &account)),
                None => Said::Nothing,
            },
            "JSZ" => self.fail(Failure::new("jetstream not enabled")),
            _ => return None,
        })
    }

    fn connections(&self, account: &str, body: &[u8]) -> Said {
        let monitor = self.monitor();
        self.reply(body, |options: ConnzOptions| monitor.connz(&ConnzOptions { acc: account.to_owned(), ..options }))
    }

    /// Of one account, or of those that the options name. Silent about those that are not in use.
    fn account_stats(&self, account: Option<&str>, body: &[u8]) -> Option<Said> {
        let mut options = match self.options::<AccstatzOptions>(body) {
            Ok(options) => options,
            Err(said) => return Some(said),
        };
        if let Some(account) = account {
            options.accounts = vec![account.to_owned()];
        }
        let stats = self.monitor().accstatz(&options);
        let is_silent = stats.account_statz.is_empty() && !options.include_unused;
        Some(if is_silent { Said::Nothing } else { self.say(stats) })
    }
}
