//! The token of an account to the settings that a configured account has.

use super::claims::{self, Account, Activation, NO_LIMIT, Rules};
use super::mappings;
use super::token::{JwtError, Token, decode, public_key};
use crate::auth::{
    AccountConfig, AccountLimits, AllowResponses, Export, ExportKind, Import, LocalSubject, Permissions, ResponseType,
    SubjectRules,
};
use crate::subject::{covers, has_wildcard, is_filter, tokens};
use std::collections::BTreeMap;
use std::time::Duration;

type Accounts = BTreeMap<String, Token<Account>>;

/// Looks for what an account may not say, or cannot here.
pub(super) fn check(account: &Account) -> Result<(), JwtError> {
    let limits = &account.limits;
    let fail = |key, value: String, accepted: String| Err(JwtError::Value { key, value, accepted });
    let exceeds = |max: i64, found: usize| max != NO_LIMIT && i64::try_from(found).is_ok_and(|found| found > max);
    if exceeds(limits.imports, account.imports.len()) {
        return fail("nats.imports", account.imports.len().to_string(), format!("limits.imports: {}", limits.imports));
    }
    if exceeds(limits.exports, account.exports.len()) {
        return fail("nats.exports", account.exports.len().to_string(), format!("limits.exports: {}", limits.exports));
    }
    for export in &account.exports {
        let value = format!("{:?} of type {:?} and {:?}", export.subject, export.kind, export.response_type);
        if !is_filter(export.subject.as_bytes()) || kind_of(export).is_none() {
            let accepted = "a subject, stream or service, and Singleton, Stream or Chunked".to_owned();
            return fail("nats.exports", value, accepted);
        }
        if !limits.wildcards && has_wildcard(export.subject.as_bytes()) {
            return fail(
                "nats.exports",
                value,
                "subjects without wildcards, as its limits.wildcards is false".to_owned(),
            );
        }
    }
    if let Some(key) = account.signing_keys.iter().find(|key| public_key(key.key(), b"A").is_none()) {
        return fail("nats.signing_keys", format!("{:?}", key.key()), "public keys of an account".to_owned());
    }
    if let Some(users) = Some(&account.authorization.auth_users).filter(|users| !users.is_empty()) {
        let accepted = "none: asking a service who may connect is not here".to_owned();
        return fail("nats.authorization.auth_users", format!("{} users", users.len()), accepted);
    }
    if let Err((value, accepted)) = mappings::check(&account.mappings) {
        return fail("nats.mappings", value, accepted.to_owned());
    }
    permissions(&account.default_permissions).map(drop)
}

/// The settings of all accounts. An import that nobody exports to its account is left out.
pub(super) fn settings(accounts: &Accounts) -> Vec<AccountConfig> {
    let made = accounts.iter().map(|(key, token)| AccountConfig {
        limits: limits(&token.nats.limits),
        exports: token.nats.exports.iter().filter_map(|one| export(accounts, key, one)).collect(),
        imports: token.nats.imports.iter().filter_map(|one| import(accounts, key, one)).collect(),
        mappings: mappings::settings(key, &token.nats.mappings),
        ..AccountConfig::new(key)
    });
    made.collect()
}

fn limits(limits: &claims::Limits) -> AccountLimits {
    AccountLimits {
        connections_max: limit(limits.conn),
        subscriptions_max: limit(limits.subs),
        payload_max: limit(limits.payload),
    }
}

/// What a claim limits; `None` is nothing.
pub(super) fn limit(claim: i64) -> Option<usize> {
    usize::try_from(claim).ok()
}

fn kind_of(export: &claims::Export) -> Option<ExportKind> {
    match (export.kind.as_str(), export.response_type.to_ascii_lowercase().as_str()) {
        ("stream", _) => Some(ExportKind::Stream),
        ("service", "" | "singleton") => Some(ExportKind::Service(ResponseType::Singleton)),
        ("service", "stream") => Some(ExportKind::Service(ResponseType::Stream)),
        ("service", "chunked") => Some(ExportKind::Service(ResponseType::Chunked)),
        _ => None,
    }
}

/// An export that needs a token is one for the accounts that have it; `None` while there are none.
fn export(accounts: &Accounts, exporter: &str, export: &claims::Export) -> Option<Export> {
    let mut importers = Vec::new();
    if export.token_req {
        let has = |key: &String, token: &Token<Account>| {
            let mut imports = token.nats.imports.iter();
            imports.any(|import| import.account == exporter && is_granted(accounts, key, import, export))
        };
        importers.extend(accounts.iter().filter(|(key, token)| has(key, token)).map(|(key, _)| key.clone()));
        if importers.is_empty() {
            return None;
        }
    }
    Some(Export { subject: export.subject.clone(), kind: kind_of(export)?, accounts: importers })
}

fn import(accounts: &Accounts, importer: &str, import: &claims::Import) -> Option<Import> {
    let exporter = accounts.get(&import.account).filter(|_| import.account != importer);
    let mut exports = exporter.iter().flat_map(|token| &token.nats.exports);
    let made = made(import);
    if made.mapping().is_some() && exports.any(|export| is_granted(accounts, importer, import, export)) {
        return Some(made);
    }
    let (subject, exporter) = (&import.subject, &import.account);
    tracing::warn!(account = importer, subject, exporter, "left out an import of what is not exported to the account");
    None
}

/// The subject is that of the exporter's account for a stream. For a service it is what the importer's account calls it
/// when the former `to` says what it is there.
fn made(import: &claims::Import) -> Import {
    let local = |text: &str| LocalSubject::To(text.to_owned());
    let (subject, local) = match (import.kind == "service", import.local_subject.as_str(), import.to.as_str()) {
        (_, "", "") => (&import.subject, LocalSubject::Same),
        (true, "", to) => (&import.to, if to == import.subject { LocalSubject::Same } else { local(&import.subject) }),
        (false, "", to) => (&import.subject, LocalSubject::Prefix(to.to_owned())),
        (_, here, _) => (&import.subject, local(here)),
    };
    Import { is_service: import.kind == "service", account: import.account.clone(), subject: subject.clone(), local }
}

/// True when `export`, of the account that `import` names, is for `importer`.
fn is_granted(accounts: &Accounts, importer: &str, import: &claims::Import, export: &claims::Export) -> bool {
    let subject = made(import).subject;
    let fits = import.kind == export.kind && covers(export.subject.as_bytes(), subject.as_bytes());
    let is_own = match export.account_token_position.checked_sub(1) {
        None => true,
        Some(at) => tokens(subject.as_bytes()).nth(at) == Some(importer.as_bytes()),
    };
    fits && is_own && (!export.token_req || is_activated(accounts, importer, import, export))
}

fn is_activated(accounts: &Accounts, importer: &str, import: &claims::Import, export: &claims::Export) -> bool {
    let (Some(exporter), Ok(token)) = (accounts.get(&import.account), decode::<Activation>(&import.token)) else {
        return false;
    };
    let claims = &token.nats;
    let is_signed = exporter.subject == token.issuer
        || (claims.issuer_account == exporter.subject && has_signer(exporter, &token.issuer));
    let subject = made(import).subject;
    let fits = claims.kind == import.kind && covers(claims.subject.as_bytes(), subject.as_bytes());
    // Nothing here would take it back when its time is over.
    let is_lasting = token.expires == 0 && token.not_before == 0;
    let is_revoked = revokes(&export.revocations, &token.subject, token.issued);
    is_signed && fits && is_lasting && token.subject == importer && !is_revoked
}

pub(super) fn has_signer(account: &Token<Account>, key: &str) -> bool {
    account.nats.signing_keys.iter().any(|signer| signer.key() == key)
}

/// True when a token about `subject` that was issued then is void.
pub(super) fn revokes(revocations: &BTreeMap<String, i64>, subject: &str, issued: i64) -> bool {
    let covers = |key: &str| revocations.get(key).is_some_and(|until| issued <= *until);
    // Without a time of issue nobody can say that it is a newer one.
    issued == 0 && !revocations.is_empty() || covers("*") || covers(subject)
}

/// Permissions; `None` when nothing is said, which is everything.
pub(super) fn permissions(claims: &claims::Permissions) -> Result<Option<Permissions>, JwtError> {
    let rules = |rules: &Rules| SubjectRules { allow: rules.allow.clone(), deny: rules.deny.clone() };
    let allow_responses = claims.resp.as_ref().map(|claim| {
        let default = AllowResponses::default();
        AllowResponses {
            // Any number is less than none there, and 0 here.
            max: if claim.max == 0 { default.max } else { u32::try_from(claim.max).unwrap_or_default() },
            ttl: if claim.ttl == 0 { default.ttl } else { Duration::from_nanos(u64::try_from(claim.ttl).unwrap_or(0)) },
        }
    });
    let made = Permissions { publish: rules(&claims.publish), subscribe: rules(&claims.subscribe), allow_responses };
    let check = made.validate();
    check.map_err(|error| JwtError::Value { key: error.key, value: error.value, accepted: error.range.to_owned() })?;
    Ok((made != Permissions::default()).then_some(made))
}
