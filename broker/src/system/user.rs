//! `$SYS.REQ.USER.INFO`: who a client is, and what it may do.

use crate::auth::{Identity, Rules};
use serde::Serialize;
use std::time::{Duration, SystemTime};

/// Who a client is.
#[derive(Debug, Serialize)]
pub(super) struct UserInfo<'a> {
    user: &'a str,
    account: &'a str,
    account_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    user_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Permissions>,
    /// Nanoseconds until its token ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u128>,
}

#[derive(Debug, Serialize)]
struct Permissions {
    publish: Lists,
    subscribe: Lists,
    #[serde(skip_serializing_if = "Option::is_none")]
    responses: Option<Responses>,
}

#[derive(Debug, Serialize)]
struct Lists {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deny: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Responses {
    max: i64,
    /// Nanoseconds.
    ttl: u128,
}

impl<'a> UserInfo<'a> {
    pub(super) fn of(identity: &'a Identity, now: SystemTime) -> Self {
        Self {
            user: identity.label(),
            account: &identity.account,
            account_name: &identity.account_name,
            user_name: &identity.user_name,
            permissions: identity.rules.as_deref().map(Permissions::of),
            expires: identity.user_until.map(|at| at.duration_since(now).unwrap_or_default().as_nanos()),
        }
    }
}

impl Permissions {
    fn of(rules: &Rules) -> Self {
        let [publish, subscribe] = rules.describe().map(|[allow, deny]| Lists { allow, deny });
        let responses = rules.responses().map(|allowed| Responses {
            // The protocol's word for any number, and for ever.
            max: if allowed.max == 0 { -1 } else { i64::from(allowed.max) },
            ttl: Duration::as_nanos(&allowed.ttl),
        });
        Self { publish, subscribe, responses }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Access, AllowResponses, Auth, SubjectRules, User};

    fn told(auth: &Auth) -> String {
        let access = Access::new(auth);
        serde_json::to_string(&UserInfo::of(
            access.anonymous(crate::ConnectionType::Standard).unwrap(),
            SystemTime::UNIX_EPOCH,
        ))
        .unwrap()
    }

    #[test]
    fn a_client_is_told_who_it_is() {
        assert_eq!(told(&Auth::default()), r#"{"user":"","account":"$G","account_name":"$G"}"#);
        let permissions = crate::Permissions {
            publish: SubjectRules::new(&["a"], &["b.*"]),
            subscribe: SubjectRules::new(&["r", "w q"], &[]),
            allow_responses: Some(AllowResponses { max: 3, ttl: Duration::from_secs(60) }),
        };
        let user = User::with_password("ann", "s3cret").with_permissions(permissions);
        let auth = Auth { no_auth_user: Some("ann".to_owned()), ..Auth::users(vec![user]) };
        let data = concat!(
            r#"{"user":"ann","account":"$G","account_name":"$G","permissions":{"publish":{"allow":["a"],"deny":["b.*"]},"#,
            r#""subscribe":{"allow":["r","w q"]},"responses":{"max":3,"ttl":60000000000}}}"#
        );
        assert_eq!(told(&auth), data);
    }
}
