//! What an account has from others: streams, as subscriptions of its clients there, and services.
//!
//! A subscription that matches an imported stream has a *shadow* in the exporting account, which is in its sublist like
//! any other and leads back to the subscription: routes, the mesh and leaf links know nothing of imports, and accounts
//! that have none pay nothing.

use crate::account::Account;
use crate::auth::{Auth, ExportKind, Import, ResponseType};
use crate::mapping::Mapping;
use crate::subject::Filter;
use crate::subscription::Subscription;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// A stream of another account.
#[derive(Clone, Debug)]
struct StreamImport {
    from: Weak<Account>,
    mapping: Arc<Mapping>,
}

/// A service of another account.
#[derive(Clone, Debug)]
pub(crate) struct ServiceImport {
    pub(crate) from: Weak<Account>,
    pub(crate) mapping: Arc<Mapping>,
    pub(crate) response: ResponseType,
}

/// What one account has from others, and the shadows of its subscriptions there, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    configured: Vec<Import>,
    streams: Vec<StreamImport>,
    pub(crate) services: Vec<ServiceImport>,
    shadows: BTreeMap<u64, Vec<Shade>>,
}

/// A shadow, and the account that it is in.
type Shade = (Weak<Account>, Arc<Subscription>);

/// What makes a subscription a shadow.
#[derive(Debug)]
pub(crate) struct Shadow {
    /// Who gets the messages.
    pub(crate) of: Arc<Subscription>,
    /// What their subjects are called there.
    pub(crate) mapping: Arc<Mapping>,
}

impl Imports {
    /// Takes over what is configured for `importer`, without shadows yet; false when it is what was there.
    pub(crate) fn replace(
        &mut self,
        auth: &Auth,
        importer: &str,
        configured: &[Import],
        accounts: &BTreeMap<Box<[u8]>, Arc<Account>>,
    ) -> bool {
        if self.configured == configured {
            return false;
        }
        self.clear();
        self.configured = configured.to_vec();
        (self.streams, self.services) = (Vec::new(), Vec::new());
        for import in configured {
            let (Some(from), Some(mapping), Some(export)) =
                (accounts.get(import.account.as_bytes()), import.mapping(), import.export(auth, importer))
            else {
                continue;
            };
            let (from, mapping) = (Arc::downgrade(from), Arc::new(mapping));
            match export.kind {
                ExportKind::Stream => self.streams.push(StreamImport { from, mapping }),
                ExportKind::Service(response) => self.services.push(ServiceImport { from, mapping, response }),
            }
        }
        true
    }

    /// Makes the shadows of a new subscription.
    pub(crate) fn subscribed(&mut self, subscription: &Arc<Subscription>) {
        if self.shadows.contains_key(&subscription.id) {
            return;
        }
        for import in &self.streams {
            let (Some(account), Some(wanted)) =
                (import.from.upgrade(), import.mapping.wanted_there(&subscription.filter))
            else {
                continue;
            };
            let Ok(filter) = Filter::parse(&wanted) else {
                continue;
            };
            let shadow = Arc::new(Subscription::shadow(account.next_id(), filter, subscription, &import.mapping));
            account.subscribe(&shadow);
            self.shadows.entry(subscription.id).or_default().push((import.from.clone(), shadow));
        }
    }

    /// Takes the shadows of a subscription away.
    pub(crate) fn unsubscribed(&mut self, id: u64) {
        for (account, shadow) in self.shadows.remove(&id).unwrap_or_default() {
            if let Some(account) = account.upgrade() {
                account.unsubscribe(&shadow);
            }
        }
    }

    /// Takes all shadows away.
    pub(crate) fn clear(&mut self) {
        while let Some((&id, _)) = self.shadows.first_key_value() {
            self.unsubscribed(id);
        }
    }
}
