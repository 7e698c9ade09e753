//! An account as it is configured: its limits, and what it gives to and has from others.
//!
//! What it does at run time is in `crate::account`.

use super::{Auth, SubjectMapping};
use crate::config::ConfigError;
use crate::mapping::Mapping;
use crate::subject::{covers, is_filter};

/// An account: a space of subjects of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountConfig {
    /// Its name.
    pub name: String,
    /// What its clients may use.
    pub limits: AccountLimits,
    /// What others may have of it.
    pub exports: Vec<Export>,
    /// What it has from others, each of which is exported there.
    pub imports: Vec<Import>,
    /// What messages of its clients are sent to instead; each source once, in any order.
    pub mappings: Vec<SubjectMapping>,
}

/// What the clients of an account may use; `None` is what the server allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountLimits {
    /// Client connections at a time, of all clients together.
    pub connections_max: Option<usize>,
    /// Subscriptions of one client.
    pub subscriptions_max: Option<usize>,
    /// Bytes of a message's body, headers included.
    pub payload_max: Option<usize>,
}

/// Subjects that other accounts may import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The subjects, perhaps with wildcards.
    pub subject: String,
    /// What is done with them.
    pub kind: ExportKind,
    /// The accounts that may import them; empty is all.
    pub accounts: Vec<String>,
}

/// What an export is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportKind {
    /// Messages of this account, for others to subscribe to.
    Stream,
    /// Requests of others, for this account to answer.
    Service(ResponseType),
}

/// How a service answers one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseType {
    /// By one message.
    #[default]
    Singleton,
    /// By messages until an empty one.
    Stream,
    /// By parts of one answer, until an empty one.
    Chunked,
}

/// Subjects of another account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// True for a service, false for a stream.
    pub is_service: bool,
    /// Whose they are.
    pub account: String,
    /// What they are there, perhaps with wildcards.
    pub subject: String,
    /// What they are called here.
    pub local: LocalSubject,
}

/// What imported subjects are called in the account that imports them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LocalSubject {
    /// As they are there.
    #[default]
    Same,
    /// The same behind this prefix and a dot.
    Prefix(String),
    /// This: its wildcards stand for those there in their order, or `$1`, `$2` … by their number.
    To(String),
}

impl AccountConfig {
    /// An account without limits, exports, imports and mappings.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Subjects, with wildcards, that messages are taken for although nobody here subscribes to them: those of services
    /// of other accounts, and those of which other subjects are made.
    pub(crate) fn taken_for_others(&self) -> impl Iterator<Item = String> {
        let services = self.imports.iter().filter(|import| import.is_service).map(Import::here);
        services.chain(self.mappings.iter().map(|mapping| mapping.source.clone()))
    }

    pub(super) fn validate(&self, auth: &Auth) -> Result<(), ConfigError> {
        let refuse = |key, value: String, range| Err(ConfigError { key, value, range });
        if let Some(bad) = self.exports.iter().find(|export| !is_filter(export.subject.as_bytes())) {
            return refuse("auth.accounts.exports", format!("{:?}", bad.subject), "subjects without empty tokens");
        }
        for import in &self.imports {
            let value = format!("{:?} of {:?} in {:?}", import.subject, import.account, self.name);
            if import.export(auth, &self.name).is_none() || import.account == self.name {
                return refuse("auth.accounts.imports", value, "what another account exports to this one");
            }
            if import.mapping().is_none() {
                return refuse("auth.accounts.imports", value, "subjects with the same wildcards here and there");
            }
        }
        for (at, mapping) in self.mappings.iter().enumerate() {
            let value = |what: String| format!("{:?} of {:?}: {what}", mapping.source, self.name);
            if let Err(error) = mapping.validate() {
                return refuse("auth.accounts.mappings", value(error.to_string()), "mappings that can be");
            }
            if self.mappings[..at].iter().any(|other| other.source == mapping.source) {
                return refuse("auth.accounts.mappings", value("twice".to_owned()), "each source once");
            }
        }
        Ok(())
    }
}

impl Export {
    /// A stream for all.
    #[must_use]
    pub fn stream(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), kind: ExportKind::Stream, accounts: Vec::new() }
    }

    /// A service for all that answers by one message.
    #[must_use]
    pub fn service(subject: impl Into<String>) -> Self {
        let kind = ExportKind::Service(ResponseType::Singleton);
        Self { subject: subject.into(), kind, accounts: Vec::new() }
    }
}

impl Import {
    /// A stream, called as it is there.
    #[must_use]
    pub fn stream(account: impl Into<String>, subject: impl Into<String>) -> Self {
        let (account, subject) = (account.into(), subject.into());
        Self { is_service: false, account, subject, local: LocalSubject::Same }
    }

    /// A service, called as it is there.
    #[must_use]
    pub fn service(account: impl Into<String>, subject: impl Into<String>) -> Self {
        Self { is_service: true, ..Self::stream(account, subject) }
    }

    /// The export by which `importer` has it.
    pub(crate) fn export<'a>(&self, auth: &'a Auth, importer: &str) -> Option<&'a Export> {
        auth.account(&self.account)?.exports.iter().find(|export| {
            matches!(export.kind, ExportKind::Service(_)) == self.is_service
                && covers(export.subject.as_bytes(), self.subject.as_bytes())
                && (export.accounts.is_empty() || export.accounts.iter().any(|name| name == importer))
        })
    }

    /// What it is called here, with plain wildcards.
    fn here(&self) -> String {
        match &self.local {
            LocalSubject::Same => self.subject.clone(),
            LocalSubject::Prefix(prefix) => format!("{prefix}.{}", self.subject),
            LocalSubject::To(here) => {
                let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                let plain = |token| if str::strip_prefix(token, '$').is_some_and(is_number) { "*" } else { token };
                here.split('.').map(plain).collect::<Vec<_>>().join(".")
            }
        }
    }

    pub(crate) fn mapping(&self) -> Option<Mapping> {
        let there = self.subject.as_bytes();
        match &self.local {
            LocalSubject::Same => Mapping::new(None, there),
            LocalSubject::Prefix(prefix) => Mapping::with_prefix(prefix.as_bytes(), there),
            LocalSubject::To(here) => Mapping::new(Some(here.as_bytes()), there),
        }
    }
}
