//! The operators that a server trusts, and the accounts that they vouch for.

use super::account;
use super::claims::{Account, Operator as OperatorClaims};
use super::token::{JwtError, Token, decode, public_key};
use crate::auth::AccountConfig;
use std::collections::BTreeMap;
use std::fmt;

/// Whom a server trusts to say who may connect.
#[derive(Clone, PartialEq, Eq)]
pub struct Operator {
    /// The public keys that sign accounts.
    keys: Vec<String>,
    system_accounts: Vec<String>,
    accounts: BTreeMap<String, Token<Account>>,
}

impl Operator {
    /// Trusts the operators of `tokens`, who vouch for no account yet.
    ///
    /// # Errors
    /// [`JwtError`]: one of them is no operator's JWT.
    pub fn new<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Result<Self, JwtError> {
        let mut operator = Self { keys: Vec::new(), system_accounts: Vec::new(), accounts: BTreeMap::new() };
        for text in tokens {
            let token = decode::<OperatorClaims>(text)?;
            let own = Some(token.subject).filter(|_| !token.nats.strict_signing_key_usage);
            for key in own.into_iter().chain(token.nats.signing_keys) {
                if public_key(&key, b"O").is_none() {
                    return Err(JwtError::Subject { subject: key, accepted: "an operator" });
                }
                operator.keys.push(key);
            }
            operator.system_accounts.extend(Some(token.nats.system_account).filter(|key| !key.is_empty()));
        }
        Ok(operator)
    }

    /// Takes in the account of `token`, in the place of what was known of it; returns its public key.
    ///
    /// # Errors
    /// [`JwtError`]: it is no account's JWT, no trusted operator has signed it, or it says what there is no equivalent of.
    pub fn add_account(&mut self, token: &str) -> Result<String, JwtError> {
        let token = decode::<Account>(token)?;
        if !self.keys.contains(&token.issuer) {
            return Err(JwtError::Untrusted { issuer: token.issuer, accepted: self.keys.join(", ") });
        }
        account::check(&token.nats)?;
        let key = token.subject.clone();
        self.accounts.insert(key.clone(), token);
        Ok(key)
    }

    /// The accounts that the operators name for those who watch over the server.
    #[must_use]
    pub fn system_accounts(&self) -> &[String] {
        &self.system_accounts
    }

    /// True when the account with this public key is known.
    #[must_use]
    pub fn knows(&self, account: &str) -> bool {
        self.accounts.contains_key(account)
    }

    /// The settings of the accounts.
    pub(in crate::auth) fn settings(&self) -> Vec<AccountConfig> {
        account::settings(&self.accounts)
    }

    pub(super) fn account(&self, key: &str) -> Option<&Token<Account>> {
        self.accounts.get(key)
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accounts: Vec<&String> = self.accounts.keys().collect();
        f.debug_struct("Operator").field("keys", &self.keys).field("accounts", &accounts).finish_non_exhaustive()
    }
}
