//! Options to the broker's settings; what the broker cannot do yet is refused by name.

use super::options::Options;
use super::users::{Account, Auth, Export, Import, Kind, Permissions, Proof, Rules, User};
use lattice_broker as broker;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long clients get at the end for what still waits for them. A nats-server does not wait at all.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// How often those who watch are told how the server is.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Something that the broker cannot do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// About users.
    #[error("{what}, which is not here: {instead}")]
    Auth {
        /// What is asked for.
        what: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// About a server of which this one is to be a leaf node.
    #[error("remotes of leafnodes: {0}")]
    Remote(String),
    /// A value that the broker does not take.
    #[error(transparent)]
    Value(#[from] broker::ConfigError),
}

fn unsupported(what: impl Into<String>, instead: &'static str) -> Unsupported {
    Unsupported::Auth { what: what.into(), instead }
}

/// Where a server listens, looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// For clients.
    pub clients: SocketAddr,
    /// For those by WebSocket.
    pub websocket: Option<SocketAddr>,
    /// For leaf nodes.
    pub leafnodes: Option<SocketAddr>,
}

/// The broker's settings, for a server that listens at `listen`.
///
/// # Errors
/// [`Unsupported`] names the first that the broker cannot do.
pub fn config(options: &Options, listen: Listen) -> Result<broker::Config, Unsupported> {
    let limits = &options.limits;
    let default = broker::Config::default();
    let tls = options.tls.as_ref();
    // A client has as long to say who it is after its handshake as it had for that, and a second.
    let auth_timeout = tls.map_or(default.auth_timeout, |tls| tls.timeout() + Duration::from_secs(1));
    let auth = auth(options)?;
    let config = broker::Config {
        listen: listen.clients,
        host: options.host.clone(),
        server_name: options.server_name.clone(),
        cluster_name: options.cluster.as_ref().map(|cluster| cluster.name.clone()).unwrap_or_default(),
        max_payload: limits.max_payload,
        max_control_line: limits.max_control_line,
        max_pending: limits.max_pending,
        max_connections: limits.max_connections,
        max_subscriptions: limits.max_subscriptions,
        ping_interval: limits.ping_interval,
        ping_max: limits.ping_max,
        auth_timeout: options.auth.timeout.unwrap_or(auth_timeout),
        write_deadline: limits.write_deadline,
        drain_timeout: DRAIN_TIMEOUT,
        closed_max: options.monitoring.closed_max,
        report_interval: Some(REPORT_INTERVAL),
        tls: tls.map(|tls| tls.to_broker(options.allow_non_tls)),
        websocket: websocket(options, listen.websocket),
        leaf: leaf_port(options, listen.leafnodes, &auth)?,
        auth,
        ..default
    };
    config.validate()?;
    check_remotes(options, &config.auth)?;
    Ok(config)
}

/// Each of them has its account, and its own place.
fn check_remotes(options: &Options, auth: &broker::Auth) -> Result<(), Unsupported> {
    let what = "remotes of leafnodes";
    if !options.remotes.is_empty() && options.cluster.is_some() {
        return Err(unsupported(what, "leave cluster out, or let a server outside of the cluster be the leaf node"));
    }
    if !options.remotes.is_empty() && auth.operator.is_some() {
        return Err(unsupported(what, "leave operator out, or let the other server be the leaf node"));
    }
    let mut seen = BTreeSet::new();
    for remote in &options.remotes {
        let account = &remote.account;
        if !auth.has_account(account) {
            return Err(Unsupported::Remote(format!("account {account:?} is none of those in accounts {{ … }}")));
        }
        for url in &remote.urls {
            if !seen.insert((url.host_port(), account)) {
                return Err(Unsupported::Remote(format!("{url} is there twice for the same account")));
            }
        }
    }
    Ok(())
}

/// A list of users goes before a token, a token before the one user.
fn auth(options: &Options) -> Result<broker::Auth, Unsupported> {
    let auth = &options.auth;
    let system_account = auth.system_account.clone().unwrap_or_default();
    if let Some(operator) = &auth.operator {
        return Ok(broker::Auth { system_account, ..broker::Auth::operator(operator.clone()) });
    }
    if auth.callout.is_some() && options.cluster.is_some() {
        // Requests are signed with the server's key, which is that of its links then.
        let what = "auth_callout beside a cluster";
        return Err(unsupported(what, "leave cluster out, or name users in users: [ … ] instead of auth_callout"));
    }
    let mut users = Vec::new();
    for one in &auth.users {
        users.push(user(one, auth.default_permissions.as_ref(), "")?);
    }
    for account in &auth.accounts {
        for one in &account.users {
            users.push(user(one, account.default_permissions.as_ref(), &account.name)?);
        }
    }
    let listed = !users.is_empty();
    if let (false, None, Some((name, password))) = (listed, &auth.token, &auth.single) {
        users.push(broker::User::with_password(name, &password.0));
    }
    Ok(broker::Auth {
        users,
        token: auth.token.as_ref().filter(|_| !listed).map(|token| broker::Secret::new(&token.0)),
        // They name those of a list.
        by_certificate: if listed { by_certificate(options) } else { Vec::new() },
        websocket_no_auth_user: options.websocket.as_ref().and_then(|websocket| websocket.no_auth_user.clone()),
        no_auth_user: auth.no_auth_user.clone(),
        accounts: auth.accounts.iter().map(account).chain(global(auth).map(Ok)).collect::<Result<_, _>>()?,
        system_account,
        operator: None,
        callout: auth.callout.clone(),
    })
}

fn leaf_port(
    options: &Options,
    listen: Option<SocketAddr>,
    of_clients: &broker::Auth,
) -> Result<Option<Arc<broker::leaf::LeafPort>>, Unsupported> {
    let Some((wanted, listen)) = options.leafnodes.as_ref().zip(listen) else { return Ok(None) };
    let users = wanted.auth.users.iter().map(|(one, account)| user(one, None, account));
    let users = users.collect::<Result<Vec<_>, _>>()?;
    let maps = wanted.tls.as_ref().is_some_and(|tls| tls.maps);
    let auth = (!users.is_empty()).then(|| broker::Auth {
        users,
        by_certificate: if maps { vec![broker::ConnectionType::LeafNode] } else { Vec::new() },
        accounts: of_clients.accounts.clone(),
        system_account: of_clients.system_account.clone(),
        ..broker::Auth::default()
    });
    let port = broker::leaf::LeafPort::new(listen);
    // As for clients: after a handshake there is as much time as that had, and a second.
    let timeout = wanted.tls.as_ref().map_or(port.auth_timeout, |tls| tls.timeout() + Duration::from_secs(1));
    Ok(Some(Arc::new(broker::leaf::LeafPort {
        host: wanted.host.clone(),
        advertise: wanted.advertise.clone(),
        is_advertised: wanted.is_advertised,
        account: wanted.auth.account.clone().unwrap_or_default(),
        tls: wanted.tls.as_ref().map(|tls| tls.to_broker(false)),
        auth_timeout: wanted.auth.timeout.unwrap_or(timeout),
        version_min: wanted.version_min,
        is_isolated: wanted.is_isolated,
        auth,
        ..port
    })))
}

fn websocket(options: &Options, listen: Option<SocketAddr>) -> Option<Arc<broker::websocket::WebSocket>> {
    let (wanted, listen) = options.websocket.as_ref().zip(listen)?;
    // A message of the protocol has to fit, with its line.
    let message_max = options.limits.max_payload.saturating_add(options.limits.max_control_line);
    Some(Arc::new(broker::websocket::WebSocket {
        listen,
        host: wanted.host.clone(),
        tls: wanted.tls.as_ref().map(|tls| tls.to_broker(false)),
        rules: Arc::new(broker::websocket::Rules { message_max, ..wanted.rules.clone() }),
        timeout: wanted.timeout,
        ping_interval: wanted.ping_interval,
    }))
}

/// Over what connections certificates name users.
fn by_certificate(options: &Options) -> Vec<broker::ConnectionType> {
    let websocket = options.websocket.as_ref().and_then(|websocket| websocket.tls.as_ref());
    let leafnodes = options.leafnodes.as_ref().and_then(|leafnodes| leafnodes.tls.as_ref());
    let all = [
        (options.tls.as_ref(), broker::ConnectionType::Standard),
        (websocket, broker::ConnectionType::WebSocket),
        (leafnodes, broker::ConnectionType::LeafNode),
    ];
    all.into_iter().filter(|(tls, _)| tls.is_some_and(|tls| tls.maps)).map(|(_, over)| over).collect()
}

/// The account of those who are in no other, when there is anything to say of it.
fn global(auth: &Auth) -> Option<broker::AccountConfig> {
    let mappings = Some(auth.mappings.clone()).filter(|mappings| !mappings.is_empty())?;
    Some(broker::AccountConfig { mappings, ..broker::AccountConfig::new(broker::GLOBAL_ACCOUNT) })
}

fn user(user: &User, default: Option<&Permissions>, account: &str) -> Result<broker::User, Unsupported> {
    let made = match &user.proof {
        Proof::Password { name, password } => broker::User::with_password(name, &password.0),
        Proof::Nkey(key) => broker::User::with_nkey(key),
    };
    let kind = |name: &String| {
        let what = || format!("user {:?} has connections of type {name}", made.name);
        broker::ConnectionType::parse(name)
            .ok_or_else(|| unsupported(what(), "name STANDARD, or leave allowed_connection_types out"))
    };
    let connection_types = user.connection_types.iter().map(kind).collect::<Result<_, _>>()?;
    let permissions = user.permissions.as_ref().or(default).map(permissions);
    Ok(broker::User { account: account.to_owned(), permissions, connection_types, ..made })
}

fn permissions(permissions: &Permissions) -> broker::Permissions {
    let rules = |rules: &Rules| broker::SubjectRules {
        allow: rules.allow.clone().unwrap_or_default(),
        deny: rules.deny.clone(),
    };
    // Any number is less than none there, and 0 here.
    let max = |max: i64| u32::try_from(max.max(0)).unwrap_or(u32::MAX);
    broker::Permissions {
        publish: rules(&permissions.publish),
        subscribe: rules(&permissions.subscribe),
        allow_responses: permissions
            .responses
            .as_ref()
            .map(|responses| broker::AllowResponses { max: max(responses.max), ttl: responses.expires }),
    }
}

fn account(account: &Account) -> Result<broker::AccountConfig, Unsupported> {
    if account.nkey.is_some() {
        let what = format!("account {:?} has an nkey of its own", account.name);
        return Err(unsupported(what, "leave it out: the account goes by its name"));
    }
    Ok(broker::AccountConfig {
        exports: account.exports.iter().map(|one| export(&account.name, one)).collect::<Result<_, _>>()?,
        imports: account.imports.iter().map(|one| import(&account.name, one)).collect::<Result<_, _>>()?,
        mappings: account.mappings.clone(),
        ..broker::AccountConfig::new(&account.name)
    })
}

fn export(account: &str, export: &Export) -> Result<broker::Export, Unsupported> {
    let what = |what: &str| format!("account {account:?} exports {:?} with {what}", export.subject);
    if export.response_threshold.is_some() {
        return Err(unsupported(what("a response_threshold"), "leave it out: answers have two minutes"));
    }
    let response = match export.response_type.as_deref() {
        None | Some("singleton") => broker::ResponseType::Singleton,
        Some("stream") => broker::ResponseType::Stream,
        Some("chunked") => broker::ResponseType::Chunked,
        Some(other) => {
            let what = what(&format!("the response_type {other:?}"));
            return Err(unsupported(what, "use singleton, stream or chunked"));
        }
    };
    let kind = match export.kind {
        Kind::Stream => broker::ExportKind::Stream,
        Kind::Service => broker::ExportKind::Service(response),
    };
    let accounts = export.accounts.clone().unwrap_or_default();
    Ok(broker::Export { subject: export.subject.clone(), kind, accounts })
}

fn import(account: &str, import: &Import) -> Result<broker::Import, Unsupported> {
    if import.share {
        let what = format!("account {account:?} imports {:?} and shares who asks", import.subject);
        return Err(unsupported(what, "leave share out: the account's name is told in any case"));
    }
    let local = match (&import.to, &import.prefix) {
        (Some(to), _) => broker::LocalSubject::To(to.clone()),
        (None, Some(prefix)) => broker::LocalSubject::Prefix(prefix.clone()),
        (None, None) => broker::LocalSubject::Same,
    };
    let is_service = import.kind == Kind::Service;
    Ok(broker::Import { is_service, account: import.account.clone(), subject: import.subject.clone(), local })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drop_in::cluster::Cluster;
    use crate::drop_in::users::{Responses, Secret};

    fn listen() -> Listen {
        Listen { clients: SocketAddr::from(([127, 0, 0, 1], 0)), websocket: None, leafnodes: None }
    }

    fn password(name: &str, password: &str) -> User {
        let proof = Proof::Password { name: name.to_owned(), password: Secret(password.to_owned()) };
        User { proof, permissions: None, connection_types: Vec::new() }
    }

    #[test]
    fn the_default_is_an_open_server_on_all_addresses() {
        let config = config(&Options::default(), listen()).unwrap();
        assert_eq!((config.host.as_str(), config.auth), ("0.0.0.0", broker::Auth::default()));
        assert_eq!(config.max_subscriptions, usize::MAX);
    }

    #[test]
    fn users_come_before_the_token_and_the_token_before_the_one_user() {
        let mut options = Options::default();
        options.auth.single = Some(("u".to_owned(), Secret("p".to_owned())));
        let auth = |options: &Options| config(options, listen()).unwrap().auth;
        assert_eq!(auth(&options), broker::Auth::users(vec![broker::User::with_password("u", "p")]));
        options.auth.token = Some(Secret("t".to_owned()));
        assert_eq!(auth(&options), broker::Auth::token("t"));
        options.auth.users = vec![password("a", "b")];
        assert_eq!(auth(&options), broker::Auth::users(vec![broker::User::with_password("a", "b")]));
    }

    #[test]
    fn accounts_users_and_what_they_may_do_are_handed_on() {
        let rules = |allow: &[&str]| Rules {
            allow: Some(allow.iter().map(|&subject| subject.to_owned()).collect()),
            deny: vec!["b".to_owned()],
        };
        let responses = Some(Responses { max: -1, expires: Duration::from_secs(3) });
        let default = Permissions { publish: rules(&["a"]), subscribe: Rules::default(), responses };
        let export = Export {
            kind: Kind::Service,
            subject: "help".to_owned(),
            accounts: Some(vec!["B".to_owned()]),
            response_type: Some("chunked".to_owned()),
            response_threshold: None,
        };
        let import = Import {
            kind: Kind::Service,
            account: "A".to_owned(),
            subject: "help".to_owned(),
            to: Some("ask".to_owned()),
            prefix: None,
            share: false,
        };
        let one = |name: &str, user: &str| Account {
            name: name.to_owned(),
            users: vec![User { connection_types: vec!["STANDARD".to_owned()], ..password(user, "p") }],
            default_permissions: Some(default.clone()),
            ..Account::default()
        };
        let mut options = Options::default();
        options.auth.accounts = vec![
            Account { exports: vec![export], ..one("A", "ann") },
            Account { imports: vec![import], mappings: vec![broker::SubjectMapping::all("a", "b")], ..one("B", "bob") },
        ];
        options.auth.mappings = vec![broker::SubjectMapping::all("c", "d")];
        let made = config(&options, listen()).unwrap().auth;
        let user = |at: usize| (&*made.users[at].name, &*made.users[at].account, &made.users[at].connection_types[..]);
        let standard = &[broker::ConnectionType::Standard][..];
        assert_eq!((user(0), user(1)), (("ann", "A", standard), ("bob", "B", standard)));
        let rights = made.users[0].permissions.as_ref().unwrap();
        assert_eq!(rights.publish, broker::SubjectRules::new(&["a"], &["b"]));
        assert_eq!(rights.allow_responses, Some(broker::AllowResponses { max: 0, ttl: Duration::from_secs(3) }));
        let kind = broker::ExportKind::Service(broker::ResponseType::Chunked);
        let given = broker::Export { subject: "help".to_owned(), kind, accounts: vec!["B".to_owned()] };
        assert_eq!(made.accounts[0].exports, [given]);
        assert_eq!(made.accounts[1].imports[0].local, broker::LocalSubject::To("ask".to_owned()));
        assert_eq!(made.accounts[1].mappings, [broker::SubjectMapping::all("a", "b")]);
        let global = &made.accounts[2];
        assert_eq!((&*global.name, &global.mappings[..]), ("$G", &[broker::SubjectMapping::all("c", "d")][..]));
    }

    #[test]
    fn what_the_broker_cannot_do_is_named() {
        let refused = |options: &Options| config(options, listen()).unwrap_err().to_string();
        let mut options = Options::default();
        options.auth.users = vec![password("a", "")];
        assert!(refused(&options).contains("user \"a\""));
        options.auth.users = vec![User { connection_types: vec!["PIGEON".to_owned()], ..password("a", "b") }];
        assert!(refused(&options).contains("connections of type PIGEON"));
        options.auth = Auth { no_auth_user: Some("x".to_owned()), ..Auth::default() };
        assert!(refused(&options).contains("auth.no_auth_user is \"x\""));
        let account = Account { name: "A".to_owned(), nkey: Some("AB".to_owned()), ..Account::default() };
        options.auth = Auth { accounts: vec![account], ..Auth::default() };
        assert!(refused(&options).contains("account \"A\" has an nkey of its own"));
        let mut options = Options::default();
        options.auth.callout = Some(broker::Callout::default());
        assert!(refused(&options).contains("auth.callout.issuer is \"\""));
        options.cluster = Some(Cluster::default());
        assert!(refused(&options).contains("auth_callout beside a cluster"));
        let mut options = Options::default();
        options.limits.max_control_line = 5;
        assert!(refused(&options).starts_with("max_control_line is 5"));
    }
}
