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
}

impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Credentials stay out of logs.
        f.debug_struct("Connect").field("name", &self.name).field("cluster", &self.cluster).finish_non_exhaustive()
    }
}
