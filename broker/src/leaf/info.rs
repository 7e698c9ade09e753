//! The JSON documents of a leaf link: the acceptor's INFO and the dialer's CONNECT, as far as they concern us.

use serde::{Deserialize, Deserializer, Serialize};

/// What the acceptor says of itself, before CONNECT, in answer to it, and whenever something changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// Identity of the server.
    pub server_id: String,
    /// Its name.
    pub server_name: String,
    /// Its version.
    pub version: String,
    /// Protocol level.
    pub proto: u8,
    /// Of what source it was made, and by which compiler, as real servers say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub git_commit: String,
    /// As above.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub go: String,
    /// Where it listens.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// As above.
    #[serde(skip_serializing_if = "is_zero")]
    pub port: u16,
    /// The same in one word.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ip: String,
    /// Always true on a leaf port, whatever is asked for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub auth_required: bool,
    /// Number of the connection; never 0 on a leaf port.
    pub client_id: u64,
    /// Text to sign for authentication by key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// The cluster that it belongs to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// Absent in an INFO that tells of changes only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<bool>,
    /// What it takes at most, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_payload: Option<u64>,
    /// TLS starts right after this line.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls_required: bool,
    /// With a certificate of the dialer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls_verify: bool,
    /// Level of the JetStream interface, without which some clients' tools stumble.
    #[serde(skip_serializing_if = "is_zero")]
    pub api_lvl: u16,
    /// It will answer CONNECT with another INFO.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub info_on_connect: bool,
    /// This is that answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub connect_info: bool,
    /// The acceptor's account of this link.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remote_account: String,
    /// The acceptor's account is its system account.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub acc_is_sys: bool,
    /// Leaf ports of the acceptor's cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leafnode_urls: Option<Vec<String>>,
    /// What the dialer may receive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<SubjectLists>,
    /// What the dialer may send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<SubjectLists>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u16) -> bool {
    *number == 0
}

/// What is allowed and what is denied of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubjectLists {
    /// Empty when everything is allowed.
    #[serde(deserialize_with = "null_is_empty")]
    pub allow: Vec<String>,
    /// Goes before `allow`.
    #[serde(deserialize_with = "null_is_empty")]
    pub deny: Vec<String>,
}

fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What the dialer says of itself.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Connect {
    /// Version of the server that it behaves as, `x.y.z`.
    pub version: String,
    /// Identity of the server.
    pub server_id: String,
    /// Its name, by which duplicates are found.
    pub name: String,
    /// Its cluster, to whose other members nothing is reflected.
    pub cluster: String,
    /// It takes HMSG.
    pub headers: bool,
    /// Protocol level; below 3, or the peer forwards messages that are only traces.
    pub protocol: u8,
    /// `off`: no compression.
    pub compress_mode: String,
    /// The dialer's account of this link.
    pub remote_account: String,
    /// The dialer wants to be the hub of the two.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_hub: bool,
    /// The dialer does not want to hear what other leaf nodes are interested in.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub isolate: bool,
    /// Only clients say that, and they are at the wrong port.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lang: String,
    /// Likewise gateways.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// Subjects that must not be sent to the dialer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny_pub: Vec<String>,
    /// User name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass: Option<String>,
    /// Token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<String>,
    /// Public key of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nkey: Option<String>,
    /// JWT of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<String>,
    /// The nonce, signed with that key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Credentials stay out of logs.
        f.debug_struct("Connect").field("name", &self.name).field("cluster", &self.cluster).finish_non_exhaustive()
    }
}
