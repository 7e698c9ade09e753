//! What a nats-server can do and this one cannot: each flag and key by name, with what to do instead.
//!
//! One table. When something is built, its line goes.

use super::grammar::Value;

/// Something that there is no equivalent of.
#[derive(Debug)]
pub struct Refused {
    /// What it is, for the message.
    pub what: &'static str,
    /// Its flags, without dashes.
    pub flags: &'static [&'static str],
    /// Its keys at the top of the config file, in lower case.
    pub keys: &'static [&'static str],
    /// What to do instead.
    pub instead: &'static str,
}

const MESH: &str = "let nodes form a mesh by themselves: lattice up, lattice join";
const LATER: &str = "leave it out, or keep nats-server where it is needed";

/// The table.
pub const REFUSED: &[Refused] = &[
    Refused {
        what: "stapling of OCSP answers",
        flags: &["help_tls"],
        keys: &["ocsp", "ocsp_cache"],
        instead: "give certificates a short life",
    },
    Refused {
        what: "JetStream",
        flags: &["js", "jetstream"],
        keys: &[
            "jetstream",
            "default_js_domain",
            "jetstream_request_queue_limit",
            "jetstream_max_catchup",
            "jetstream_info_queue_limit",
            "jetstream_meta_compact",
            "jetstream_meta_compact_size",
            "jetstream_meta_compact_sync",
        ],
        instead: LATER,
    },
    Refused { what: "gateways between clusters", flags: &[], keys: &["gateway"], instead: MESH },
    Refused { what: "MQTT", flags: &[], keys: &["mqtt"], instead: LATER },
    Refused {
        what: "an operator without a JWT, a resolver by URL, pinned accounts, or a default user",
        flags: &[],
        keys: &[
            "trusted",
            "trusted_keys",
            "account_resolvers",
            "resolver_tls",
            "resolver_pinned_accounts",
            "default_sentinel",
        ],
        instead: "name the operator's JWT in operator, and its accounts in resolver_preload",
    },
    Refused {
        what: "the address that other servers and clients are told",
        flags: &["client_advertise"],
        keys: &["client_advertise"],
        instead: "leave it out: one server tells clients of no other",
    },
    Refused {
        what: "syslog",
        flags: &["s", "syslog", "r", "remote_syslog"],
        keys: &["syslog", "remote_syslog"],
        instead: "log to a file with -l, or let the system's journal take what is written to stderr",
    },
    Refused {
        what: "profiling over HTTP",
        flags: &["profile"],
        keys: &["prof_port", "prof_block_rate"],
        instead: "measure the process with perf",
    },
    Refused {
        what: "a setting of nats-server's inside",
        flags: &[],
        keys: &[
            "connect_error_reports",
            "reconnect_error_reports",
            "disable_sublist_cache",
            "no_fast_producer_stall",
            "no_header_support",
            "max_sub_tokens",
            "connect_backoff",
            "no_system_account",
            "no_system",
            "no_sys_acc",
            "allow_trusted_proxies",
            "proxies",
            "feature_flags",
            "logfile_max_num",
            "log_max_num",
        ],
        instead: "leave it out",
    },
];

/// The line of the table for a flag.
#[must_use]
pub fn flag(name: &str) -> Option<&'static Refused> {
    REFUSED.iter().find(|refused| refused.flags.contains(&name))
}

/// The line of the table for a key with this value. What switches something off that is not there is not refused.
#[must_use]
pub fn key(name: &str, value: &Value) -> Option<&'static Refused> {
    let is_off = match value {
        Value::Boolean(flag) => !flag,
        Value::Text(text) => matches!(text.to_lowercase().as_str(), "disabled" | "disable" | "false"),
        Value::Integer(_) | Value::Float(_) | Value::Date(_) | Value::List(_) | Value::Block(_) => false,
    };
    REFUSED.iter().filter(|_| !is_off).find(|refused| refused.keys.contains(&name))
}

/// True for each key of the table, whatever its value.
#[must_use]
pub fn knows(name: &str) -> bool {
    REFUSED.iter().any(|refused| refused.keys.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_in_the_table_twice_and_off_is_no_wish() {
        let mut names: Vec<&str> = REFUSED.iter().flat_map(|refused| refused.keys).copied().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(key("jetstream", &Value::Boolean(true)).is_some());
        assert!(key("jetstream", &Value::Boolean(false)).is_none() && knows("jetstream"));
        assert!(key("jetstream", &Value::Text("Disabled".to_owned())).is_none());
        assert!(flag("js").is_some() && flag("p").is_none());
    }
}
