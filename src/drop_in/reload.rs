//! What may change while the server runs: two sets of options to what is new, or to what would need a restart.

use super::grammar::scalar::spoken;
use super::options::Options;
use std::fmt::Debug;

/// What is new, each as it is told in the log.
///
/// # Errors
/// What cannot change without a restart, each with the old and the new value.
pub fn changes(old: &Options, new: &Options) -> Result<Vec<String>, Vec<String>> {
    let fixed = [
        fixed("Host", &old.host, &new.host),
        fixed("Port", &old.port, &new.port),
        fixed("ServerName", &old.server_name, &new.server_name),
        fixed("Websocket", &websocket_at(old), &websocket_at(new)),
        fixed("LeafNode", &leafnodes_at(old), &leafnodes_at(new)),
        // Without values, which would tell passwords.
        (old.remotes != new.remotes).then(|| "config reload not supported for remotes of LeafNode".to_owned()),
        (old.cluster != new.cluster).then(|| "config reload not supported for Cluster".to_owned()),
        fixed("HTTPHost", &old.monitoring.host, &new.monitoring.host),
        fixed("HTTPPort", &old.monitoring.port, &new.monitoring.port),
        fixed("HTTPSPort", &old.monitoring.is_secure, &new.monitoring.is_secure),
        fixed("HTTPBasePath", &old.monitoring.base_path, &new.monitoring.base_path),
        fixed("PortsFileDir", &old.ports_file_dir, &new.ports_file_dir),
    ];
    let fixed: Vec<String> = fixed.into_iter().flatten().collect();
    if !fixed.is_empty() {
        return Err(fixed);
    }
    let (a, b) = (&old.limits, &new.limits);
    let changed = [
        changed("max_payload", a.max_payload != b.max_payload, b.max_payload),
        changed("max_control_line", a.max_control_line != b.max_control_line, b.max_control_line),
        changed("max_pending", a.max_pending != b.max_pending, b.max_pending),
        changed("max_connections", a.max_connections != b.max_connections, b.max_connections),
        changed("max_subscriptions", a.max_subscriptions != b.max_subscriptions, b.max_subscriptions),
        changed("ping_interval", a.ping_interval != b.ping_interval, spoken(b.ping_interval)),
        changed("ping_max", a.ping_max != b.ping_max, b.ping_max),
        changed("write_deadline", a.write_deadline != b.write_deadline, spoken(b.write_deadline)),
        changed("debug", old.log.debug != new.log.debug, new.log.debug),
        changed("trace", old.log.trace != new.log.trace, new.log.trace),
        changed("logtime", old.log.time != new.log.time, new.log.time),
        changed("logtime_utc", old.log.utc != new.log.utc, new.log.utc),
        changed("log_file", old.log.file != new.log.file, format!("{:?}", new.log.file)),
        changed("log_size_limit", old.log.size_limit != new.log.size_limit, new.log.size_limit),
        changed("pid_file", old.pid_file != new.pid_file, format!("{:?}", new.pid_file)),
        changed("server_tags", old.monitoring.tags != new.monitoring.tags, new.monitoring.tags.join(", ")),
        changed("server_metadata", old.monitoring.metadata != new.monitoring.metadata, "others"),
        changed(
            "max_closed_clients",
            old.monitoring.closed_max != new.monitoring.closed_max,
            new.monitoring.closed_max,
        ),
        changed("lame_duck_duration", old.lame_duck_duration != new.lame_duck_duration, spoken(new.lame_duck_duration)),
        changed(
            "lame_duck_grace_period",
            old.lame_duck_grace_period != new.lame_duck_grace_period,
            spoken(new.lame_duck_grace_period),
        ),
        changed("websocket", old.websocket != new.websocket, "others"),
        changed("leafnodes", old.leafnodes != new.leafnodes, "others"),
        changed("tls", old.tls != new.tls, if new.tls.is_some() { "enabled" } else { "disabled" }),
        changed("allow_non_tls", old.allow_non_tls != new.allow_non_tls, new.allow_non_tls),
        // Without values, which would tell passwords.
        (old.auth != new.auth).then(|| "authorization".to_owned()),
    ];
    Ok(changed.into_iter().flatten().collect())
}

/// Where browsers connect.
fn websocket_at(options: &Options) -> Option<(&str, u16, bool)> {
    options.websocket.as_ref().map(|websocket| (websocket.host.as_str(), websocket.port, websocket.tls.is_some()))
}

/// Where leaf nodes connect.
fn leafnodes_at(options: &Options) -> Option<(&str, u16)> {
    options.leafnodes.as_ref().map(|leafnodes| (leafnodes.host.as_str(), leafnodes.port))
}

fn fixed<T: PartialEq + Debug>(name: &str, old: &T, new: &T) -> Option<String> {
    (old != new).then(|| format!("config reload not supported for {name}: old={old:?}, new={new:?}"))
}

fn changed(name: &str, is_new: bool, value: impl std::fmt::Display) -> Option<String> {
    is_new.then(|| format!("{name} = {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drop_in::users::Secret;

    #[test]
    fn limits_change_and_addresses_do_not() {
        let old = Options::default();
        let mut new = old.clone();
        assert_eq!(changes(&old, &new), Ok(Vec::new()));
        new.limits.max_payload = 5;
        new.auth.token = Some(Secret("hush".to_owned()));
        assert_eq!(changes(&old, &new), Ok(vec!["max_payload = 5".to_owned(), "authorization".to_owned()]));
        new.port = 1;
        let refused = changes(&old, &new).unwrap_err();
        assert_eq!(refused, ["config reload not supported for Port: old=4222, new=1"]);
    }
}
