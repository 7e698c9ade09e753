//! The two JSON objects of the handshake: INFO and CONNECT.

use serde::{Deserialize, Serialize};

/// What a server says of itself. Fields appear in the order, and under the conditions, that clients know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// The server's public key, `N…`.
    pub server_id: String,
    /// Its name; the id when none is configured.
    pub server_name: String,
    /// The version of the protocol family that clients gate their features on.
    pub version: String,
    /// 1: it may send INFO again later.
    pub proto: i32,
    /// What it was built from.
    pub git_commit: String,
    /// The toolchain; of no meaning, but present in every server's INFO.
    pub go: String,
    /// Where it listens.
    pub host: String,
    /// Where it listens.
    pub port: u16,
    /// Message headers are understood.
    pub headers: bool,
    /// Credentials are wanted.
    #[serde(skip_serializing_if = "is_false")]
    pub auth_required: bool,
    /// TLS starts right after this line.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_required: bool,
    /// A certificate of the client is asked for.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_verify: bool,
    /// TLS may start right after this line.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_available: bool,
    /// Longest message body in bytes.
    pub max_payload: usize,
    /// The server's number for this connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<u64>,
    /// The client's address as the server sees it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_ip: String,
    /// To be signed by clients that prove a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// What the servers together are called.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// Other addresses of the same service.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect_urls: Vec<String>,
    /// The server is about to stop.
    #[serde(skip_serializing_if = "is_false")]
    pub ldm: bool,
    /// Sent after CONNECT, about this connection.
    #[serde(skip_serializing_if = "is_false")]
    pub connect_info: bool,
    /// The account that the client is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_account: Option<String>,
    /// That is the account of those who watch over the server.
    #[serde(skip_serializing_if = "is_false")]
    pub acc_is_sys: bool,
    /// The level of the JetStream API that the version stands for.
    pub api_lvl: u32,
}

/// What a client says of itself, with the protocol's defaults for what it leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Connect {
    /// Wants `+OK` for each operation.
    pub verbose: bool,
    /// Wants subjects checked.
    pub pedantic: bool,
    /// Gets its own messages back.
    pub echo: bool,
    /// User name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass: Option<String>,
    /// Token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<String>,
    /// A JWT of the user, which says what key signs the nonce.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<String>,
    /// A public key, `U…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nkey: Option<String>,
    /// The nonce of INFO, signed with that key; base64, for URLs or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
    /// The client's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The language of its library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
    /// The version of its library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// 1: understands an INFO that comes later.
    pub protocol: i32,
    /// Understands message headers.
    pub headers: bool,
    /// Wants a 503 for a request that nobody serves.
    pub no_responders: bool,
    /// An account to enter; always refused, as accounts come with the credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// An account to make; refused likewise.
    #[serde(skip_serializing_if = "is_false")]
    pub new_account: bool,
}

impl Default for Connect {
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            user: None,
            pass: None,
            auth_token: None,
            jwt: None,
            nkey: None,
            sig: None,
            name: None,
            lang: None,
            version: None,
            protocol: 0,
            headers: false,
            no_responders: false,
            account: None,
            new_account: false,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_connect_has_the_protocols_defaults() {
        let connect: Connect = serde_json::from_str("{}").unwrap();
        assert!(connect.verbose && connect.pedantic && connect.echo);
        assert!(!connect.headers && !connect.no_responders && connect.protocol == 0);
        let connect: Connect = serde_json::from_str(r#"{"verbose":false,"tls_required":false,"user":null}"#).unwrap();
        assert!(!connect.verbose && connect.user.is_none());
    }

    #[test]
    fn optional_fields_are_left_out() {
        let text = serde_json::to_string(&Info::default()).unwrap();
        for absent in [
            "auth_required",
            "tls_required",
            "tls_verify",
            "tls_available",
            "nonce",
            "cluster",
            "connect_urls",
            "ldm",
            "connect_info",
            "remote_account",
            "acc_is_sys",
        ] {
            assert!(!text.contains(absent), "{text}");
        }
    }
}
