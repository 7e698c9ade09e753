//! `/accountz`: the accounts, and what one of them gives to and has from others.

use super::BadQuestion;
use super::SublistStats;
use super::text::serialize_time;
use crate::auth::{AccountConfig, ExportKind, Import, LocalSubject, MappedTo, ResponseType, SubjectMapping};
use crate::clock::Stamp;
use crate::hub::Hub;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::SystemTime;

/// Which account is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AccountzOptions {
    /// This one in detail; empty for the names of all.
    pub account: String,
}

/// The accounts.
#[derive(Clone, Debug, Serialize)]
pub struct Accountz {
    /// Who answers.
    pub server_id: String,
    /// When.
    #[serde(serialize_with = "serialize_time")]
    pub now: SystemTime,
    /// The account of those who watch over the server.
    pub system_account: String,
    /// All of them, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<String>,
    /// The one that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_detail: Option<AccountDetail>,
}

/// One account.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are those of the protocol, and documented there")]
pub struct AccountDetail {
    pub account_name: String,
    #[serde(serialize_with = "serialize_time")]
    pub update_time: SystemTime,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_system: bool,
    pub expired: bool,
    pub complete: bool,
    pub jetstream_enabled: bool,
    pub leafnode_connections: usize,
    pub client_connections: usize,
    pub subscriptions: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mappings: BTreeMap<String, Vec<MappingInfo>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<ExportInfo>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<ImportInfo>,
    pub name_tag: String,
    pub sublist_stats: SublistStats,
}

/// What a part of the messages to a subject becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are those of the protocol, and documented there")]
pub struct MappingInfo {
    pub subject: String,
    /// Its own and that of all before it in the same cluster.
    pub weight: u8,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
}

/// What others may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are those of the protocol, and documented there")]
pub struct ExportInfo {
    pub subject: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approved_accounts: Vec<String>,
}

/// What it has from others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are those of the protocol, and documented there")]
pub struct ImportInfo {
    pub subject: String,
    pub account: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    pub local_subject: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub invalid: bool,
    pub share: bool,
    pub tracking: bool,
}

pub(super) fn accountz(hub: &Hub, options: &AccountzOptions) -> Result<Accountz, BadQuestion> {
    let name = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let accounts = hub.accounts();
    let detail = if options.account.is_empty() { None } else { Some(detail(hub, &options.account)?) };
    Ok(Accountz {
        server_id: hub.info.server_id.clone(),
        now: hub.env.wall(),
        system_account: hub.live().auth.system_account().to_owned(),
        accounts: if detail.is_some() { Vec::new() } else { accounts.iter().map(|one| name(one.name())).collect() },
        account_detail: detail,
    })
}

/// One account in detail.
pub(super) fn detail(hub: &Hub, name: &str) -> Result<AccountDetail, BadQuestion> {
    let account = hub.account(name.as_bytes()).ok_or_else(|| BadQuestion::NoAccount(name.to_owned()))?;
    let config = hub.live();
    let configured = config.auth.account(name).cloned().unwrap_or_else(|| AccountConfig::new(name));
    let stats = SublistStats::of(std::slice::from_ref(&account));
    let leafs = hub.leafs.count(Some(name.as_bytes()));
    Ok(AccountDetail {
        account_name: name.to_owned(),
        update_time: crate::lock::read(&hub.surroundings)
            .config_load_time
            .unwrap_or_else(|| hub.clock.wall(Stamp::default())),
        is_system: config.auth.system_account() == name,
        expired: false,
        complete: true,
        jetstream_enabled: false,
        leafnode_connections: leafs,
        client_connections: account.connections().saturating_sub(leafs),
        subscriptions: stats.num_subscriptions,
        mappings: configured.mappings.iter().map(|one| (one.source.clone(), mapping(one))).collect(),
        exports: exports(&configured),
        imports: configured.imports.iter().map(import).collect(),
        name_tag: name.to_owned(),
        sublist_stats: stats,
    })
}

fn mapping(mapping: &SubjectMapping) -> Vec<MappingInfo> {
    let mut stars = 0;
    // Itself, as a destination would be written.
    let same = mapping.source.split('.').map(|token| match token {
        "*" => {
            stars += 1;
            format!("${stars}")
        }
        token => token.to_owned(),
    });
    let same = same.collect::<Vec<String>>().join(".");
    let of = |cluster: &str| {
        let info = |(to, weight): (Option<&MappedTo>, u8)| MappingInfo {
            subject: to.map_or_else(|| same.clone(), |to| to.subject.clone()),
            weight,
            cluster: cluster.to_owned(),
        };
        mapping.bounds(cluster).into_iter().map(info).collect::<Vec<MappingInfo>>()
    };
    std::iter::once("").chain(mapping.clusters()).flat_map(of).collect()
}

fn exports(account: &AccountConfig) -> Vec<ExportInfo> {
    let info = |export: &crate::auth::Export| {
        let (kind, response_type) = match export.kind {
            ExportKind::Stream => ("stream", None),
            ExportKind::Service(ResponseType::Singleton) => ("service", Some("Singleton")),
            ExportKind::Service(ResponseType::Stream) => ("service", Some("Streamed")),
            ExportKind::Service(ResponseType::Chunked) => ("service", Some("Chunked")),
        };
        ExportInfo { subject: export.subject.clone(), kind, response_type, approved_accounts: export.accounts.clone() }
    };
    account.exports.iter().map(info).collect()
}

fn import(import: &Import) -> ImportInfo {
    let local_subject = match &import.local {
        LocalSubject::Same => import.subject.clone(),
        LocalSubject::Prefix(prefix) => format!("{prefix}.{}", import.subject),
        LocalSubject::To(local) => local.clone(),
    };
    ImportInfo {
        subject: import.subject.clone(),
        account: import.account.clone(),
        to: import.is_service.then(|| local_subject.clone()),
        local_subject,
        kind: if import.is_service { "service" } else { "stream" },
        invalid: false,
        share: false,
        tracking: false,
    }
}
