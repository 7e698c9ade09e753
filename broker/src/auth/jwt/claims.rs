//! What the tokens of operators, accounts and users hold under `nats`, as their issuers write it.
//!
//! What is left out is nothing: a limit that is not there is 0, and -1 is no limit. Unknown claims are ignored, so that
//! tokens of later versions can be read.

use super::token::Claims;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// No limit.
pub(super) const NO_LIMIT: i64 = -1;

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Operator {
    pub(super) signing_keys: Vec<String>,
    pub(super) system_account: String,
    /// Accounts are signed with signing keys alone.
    pub(super) strict_signing_key_usage: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Account {
    pub(super) imports: Vec<Import>,
    pub(super) exports: Vec<Export>,
    pub(super) limits: Limits,
    pub(super) signing_keys: Vec<SigningKey>,
    /// Until when tokens of a user, or of all (`*`), are void: seconds since 1970, by the time of issue.
    pub(super) revocations: BTreeMap<String, i64>,
    pub(super) default_permissions: Permissions,
    pub(super) authorization: Authorization,
    pub(super) mappings: BTreeMap<String, Vec<Weighted>>,
    pub(super) tags: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Limits {
    pub(super) subs: i64,
    pub(super) payload: i64,
    pub(super) imports: i64,
    pub(super) exports: i64,
    pub(super) wildcards: bool,
    pub(super) disallow_bearer: bool,
    pub(super) conn: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Authorization {
    pub(super) auth_users: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Export {
    pub(super) subject: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Importers need an activation.
    pub(super) token_req: bool,
    pub(super) revocations: BTreeMap<String, i64>,
    pub(super) response_type: String,
    /// The token of the subject, from 1, that is the importer's key; 0 is none.
    pub(super) account_token_position: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Import {
    pub(super) subject: String,
    pub(super) account: String,
    /// An activation.
    pub(super) token: String,
    /// The former way to say what it is called here.
    pub(super) to: String,
    pub(super) local_subject: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

/// What becomes of a part of the messages to a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Weighted {
    pub(super) subject: String,
    /// 0 is all.
    pub(super) weight: u8,
    pub(super) cluster: String,
}

/// A key that signs users for an account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum SigningKey {
    Plain(String),
    Scoped(Box<Scope>),
}

/// What all users that a key signs are allowed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Scope {
    pub(super) kind: String,
    pub(super) key: String,
    #[serde(default)]
    pub(super) template: Rights,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct User {
    #[serde(flatten)]
    pub(super) rights: Rights,
    pub(super) issuer_account: String,
    pub(super) tags: Vec<String>,
}

/// What a user is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Rights {
    #[serde(flatten)]
    pub(super) permissions: Permissions,
    pub(super) subs: i64,
    pub(super) data: i64,
    pub(super) payload: i64,
    /// Networks that it may come from.
    #[serde(deserialize_with = "list_or_commas")]
    pub(super) src: Vec<String>,
    /// When it may be here.
    pub(super) times: Vec<Span>,
    pub(super) times_location: String,
    pub(super) bearer_token: bool,
    pub(super) proxy_required: bool,
    pub(super) allowed_connection_types: Vec<String>,
}

/// A part of every day, `HH:MM:SS` each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Span {
    pub(super) start: String,
    pub(super) end: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Permissions {
    #[serde(rename = "pub")]
    pub(super) publish: Rules,
    #[serde(rename = "sub")]
    pub(super) subscribe: Rules,
    pub(super) resp: Option<Responses>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Rules {
    pub(super) allow: Vec<String>,
    pub(super) deny: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Responses {
    pub(super) max: i64,
    /// Nanoseconds.
    pub(super) ttl: i64,
}

/// Leave to import something, given by the account that exports it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Activation {
    pub(super) subject: String,
    pub(super) kind: String,
    pub(super) issuer_account: String,
}

/// What a service says of a client: who it is, or why it is not let in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct AuthorizationResponse {
    /// The token of a user.
    pub(super) jwt: String,
    pub(super) error: String,
}

impl SigningKey {
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Plain(key) => key,
            Self::Scoped(scope) => &scope.key,
        }
    }
}

impl Claims for Operator {
    const KIND: &'static str = "operator";
    const ISSUERS: &'static [u8] = b"O";
    const SUBJECT: u8 = b'O';
}

impl Claims for Account {
    const KIND: &'static str = "account";
    const ISSUERS: &'static [u8] = b"AO";
    const SUBJECT: u8 = b'A';
}

impl Claims for User {
    const KIND: &'static str = "user";
    const ISSUERS: &'static [u8] = b"A";
    const SUBJECT: u8 = b'U';

    /// There were fewer limits, and none where nothing is said.
    fn migrated(mut self, _kind: String) -> Self {
        for limit in [&mut self.rights.subs, &mut self.rights.data, &mut self.rights.payload] {
            *limit = if *limit == 0 { NO_LIMIT } else { *limit };
        }
        self
    }
}

impl Claims for Activation {
    const KIND: &'static str = "activation";
    const ISSUERS: &'static [u8] = b"AO";
    const SUBJECT: u8 = b'A';

    fn migrated(self, kind: String) -> Self {
        Self { kind, ..self }
    }
}

impl Claims for AuthorizationResponse {
    const KIND: &'static str = "authorization_response";
    const ISSUERS: &'static [u8] = b"A";
    const SUBJECT: u8 = b'U';
}

/// Networks are written as a list, or in one text with commas.
fn list_or_commas<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        List(Vec<String>),
        Text(String),
    }
    Ok(match Either::deserialize(from)? {
        Either::List(list) => list,
        Either::Text(text) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect()
        }
    })
}
