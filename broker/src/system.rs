//! What the server itself answers, on subjects that begin with `$SYS.`.
//!
//! Whether a client may ask is left to the session; how the answer gets to it, to the connection.

use crate::auth::{Identity, Rules};
use crate::proto::Info;
use serde::Serialize;
use std::time::{Duration, SystemTime};

/// Any client may ask who it is, and what it may do.
pub(crate) const USER_INFO: &[u8] = b"$SYS.REQ.USER.INFO";

#[derive(Serialize)]
struct Answer<'a, T> {
    server: Server<'a>,
    data: T,
}

#[derive(Serialize)]
struct Server<'a> {
    name: &'a str,
    host: &'a str,
    id: &'a str,
    ver: &'a str,
    jetstream: bool,
    flags: u32,
    seq: u64,
    time: String,
}

#[derive(Serialize)]
struct UserInfo<'a> {
    user: &'a str,
    account: &'a str,
    account_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Permissions>,
}

#[derive(Serialize)]
struct Permissions {
    publish: Lists,
    subscribe: Lists,
    #[serde(skip_serializing_if = "Option::is_none")]
    responses: Option<Responses>,
}

#[derive(Serialize)]
struct Lists {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deny: Vec<String>,
}

#[derive(Serialize)]
struct Responses {
    max: i64,
    /// Nanoseconds.
    ttl: u128,
}

/// Tells a client who it is. `seq` numbers the answers of the server, `info` is what it says of itself.
pub(crate) fn user_info(info: &Info, host: &str, seq: u64, time: SystemTime, identity: &Identity) -> Vec<u8> {
    let data = UserInfo {
        user: identity.label(),
        account: &identity.account,
        account_name: &identity.account,
        permissions: identity.rules.as_deref().map(Permissions::of),
    };
    let server = Server {
        name: &info.server_name,
        host,
        id: &info.server_id,
        ver: &info.version,
        jetstream: false,
        flags: 0,
        seq,
        time: crate::monitor::time(time),
    };
    serde_json::to_vec(&Answer { server, data }).expect("strings and numbers always encode")
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
        let identity = access.anonymous().unwrap();
        let info =
            Info { server_name: "s".into(), server_id: "N1".into(), version: "2.15.1".into(), ..Info::default() };
        String::from_utf8(user_info(&info, "::1", 7, SystemTime::UNIX_EPOCH, identity)).unwrap()
    }

    #[test]
    fn a_client_is_told_who_it_is() {
        let server = r#"{"server":{"name":"s","host":"::1","id":"N1","ver":"2.15.1","jetstream":false,"flags":0,"seq":7,"time":"1970-01-01T00:00:00Z"},"data":"#;
        assert_eq!(told(&Auth::default()), format!(r#"{server}{{"user":"","account":"$G","account_name":"$G"}}}}"#));
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
        assert_eq!(told(&auth), format!("{server}{data}}}"));
    }
}
