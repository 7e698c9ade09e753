//! `auth_callout` of `authorization`: a service that is asked who may connect.

use super::read::{is_key, names};
use crate::drop_in::grammar::Entry;
use crate::drop_in::read::Faults;
use lattice_broker::Callout;

/// The service that `entry` names; `None` when it names none that can be asked.
pub(super) fn read(entry: &Entry, faults: &mut Faults) -> Option<Callout> {
    let mut callout = Callout::default();
    let mut issuer = None;
    for entry in &faults.block(entry)?.entries {
        match entry.key.to_lowercase().as_str() {
            "issuer" => {
                issuer = faults.text(entry);
                if let Some(key) = issuer.as_ref().filter(|key| !is_key(key, 'A')) {
                    let what = format!("Expected callout user to be a valid public account nkey, got {key:?}");
                    faults.error(&entry.place, what);
                }
            }
            "account" | "acc" => callout.account = faults.text(entry).unwrap_or_default(),
            "auth_users" | "users" => callout.users = listed(entry, faults),
            "allowed_accounts" => callout.accounts = listed(entry, faults),
            "xkey" | "key" => faults.error(
                &entry.place,
                format!(
                    "{:?} encrypts what the service is told, which is not here: leave it out, and let the service \
                     connect by TLS",
                    entry.key
                ),
            ),
            _ => faults.unknown(entry),
        }
    }
    if issuer.is_none() {
        faults.error(&entry.place, "Authorization callouts require an issuer to be specified");
    }
    if callout.users.is_empty() {
        faults.error(&entry.place, "Authorization callouts require authorized users to be specified");
    }
    Some(Callout { issuer: issuer?, ..callout })
}

/// An array of names; one alone will not do.
fn listed(entry: &Entry, faults: &mut Faults) -> Vec<String> {
    if faults.list(entry).is_some() { names(entry, faults) } else { Vec::new() }
}
