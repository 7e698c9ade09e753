//! A user: how it proves who it is, and what it may do then.

use super::permissions::Permissions;
use super::secret::Secret;

/// Someone who may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name; for [`Login::NKey`] the public key, `U…`.
    pub name: String,
    /// How the user proves it.
    pub login: Login,
    /// The account; empty for that of clients without one.
    pub account: String,
    /// What the user may do; `None` is everything.
    pub permissions: Option<Permissions>,
    /// Over what the user may connect; empty is everything.
    pub connection_types: Vec<ConnectionType>,
}

/// How a user proves who it is. Shown without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// By a password.
    Password(Secret),
    /// By signing the nonce of INFO with the key that the name is the public part of.
    NKey,
}

/// What kind of connection a client comes over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionType {
    /// The NATS protocol over TCP.
    #[default]
    Standard,
    /// The NATS protocol in a WebSocket.
    WebSocket,
    /// A leaf node.
    LeafNode,
    /// A leaf node in a WebSocket.
    LeafNodeWebSocket,
    /// MQTT.
    Mqtt,
    /// MQTT in a WebSocket.
    MqttWebSocket,
    /// A client in the server's own process.
    InProcess,
}

impl User {
    /// A user with a password, in the account of clients without one, who may do everything.
    #[must_use]
    pub fn with_password(name: impl Into<String>, password: impl Into<String>) -> Self {
        Self::new(name.into(), Login::Password(Secret::new(password)))
    }

    /// A user with a key, in the account of clients without one, who may do everything.
    #[must_use]
    pub fn with_nkey(public: impl Into<String>) -> Self {
        Self::new(public.into(), Login::NKey)
    }

    /// The same user in `account`.
    #[must_use]
    pub fn in_account(self, account: impl Into<String>) -> Self {
        Self { account: account.into(), ..self }
    }

    /// The same user with these permissions.
    #[must_use]
    pub fn with_permissions(self, permissions: Permissions) -> Self {
        Self { permissions: Some(permissions), ..self }
    }

    fn new(name: String, login: Login) -> Self {
        Self { name, login, account: String::new(), permissions: None, connection_types: Vec::new() }
    }

    pub(super) fn may_use(&self, connection: ConnectionType) -> bool {
        self.connection_types.is_empty() || self.connection_types.contains(&connection)
    }
}

impl ConnectionType {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Standard,
        Self::WebSocket,
        Self::LeafNode,
        Self::LeafNodeWebSocket,
        Self::Mqtt,
        Self::MqttWebSocket,
        Self::InProcess,
    ];

    /// The word for it in configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::WebSocket => "WEBSOCKET",
            Self::LeafNode => "LEAFNODE",
            Self::LeafNodeWebSocket => "LEAFNODE_WS",
            Self::Mqtt => "MQTT",
            Self::MqttWebSocket => "MQTT_WS",
            Self::InProcess => "IN_PROCESS",
        }
    }

    /// The type that `name` says, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}
