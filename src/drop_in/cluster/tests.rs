use super::*;
use crate::drop_in::read::tests::read;

fn cluster(text: &str) -> Result<Cluster, Vec<String>> {
    let (options, faults) = read(&format!("cluster {{ {text} }}"));
    if faults.errors.is_empty() {
        return Ok(options.cluster.unwrap());
    }
    Err(faults.errors.iter().map(ToString::to_string).collect())
}

#[test]
fn what_a_file_says_is_taken() {
    let text = "name: X, listen: \"h:-1\", no_advertise: true, advertise: \"e:1\", pool_size: 3, routes: \
                [\"nats-route://u:p@a:1\", \"nats://b\"], authorization { user: u, password: p, timeout: 1 }";
    let read = cluster(text).unwrap();
    assert_eq!((read.name.as_str(), read.host.as_str(), read.port), ("X", "h", 0));
    assert_eq!((read.advertise.as_deref(), read.no_advertise), (Some("e:1"), true));
    assert_eq!(read.idle_keys, ["pool_size"]);
    assert_eq!(read.secret(), Ok(("u".to_owned(), Secret("p".to_owned()))));
}

#[test]
fn a_port_alone_and_nothing_at_all() {
    let read = cluster("").unwrap();
    assert_eq!((read.host.as_str(), read.port, read.routes.len()), ("0.0.0.0", 6222, 0));
    assert_eq!(cluster("listen: 5").unwrap().port, 5);
    assert_eq!(cluster("host: h, port: -1").unwrap().port, 0);
}

#[test]
fn what_cannot_be_used_is_named() {
    let cases = [
        ("name: \"a b\"", "cluster name cannot contain spaces"),
        ("foo: 1", "unknown field \"foo\""),
        ("listen: x", "listen is neither host:port nor a port"),
        ("routes: [5]", "a route is 5, which is not a string"),
        ("routes: [\"nats://a:x\"]", "the port is no number from 1 to 65535"),
        ("tls { }", "\"tls\" of a cluster is not here: links between servers are always encrypted"),
        ("advertise: x", "advertise is \"x\", which is not host:port"),
        ("authorization { token: t }", "user and password are accepted"),
        (
            "authorization { user: a, password: b }, routes: [\"nats://a:c@h:1\"]",
            "other credentials than the cluster's",
        ),
    ];
    for (text, expected) in cases {
        let errors = cluster(text).expect_err(text);
        assert!(errors.iter().any(|error| error.contains(expected)), "{text}: {errors:?} lack {expected:?}");
        assert!(!errors.iter().any(|error| error.contains('@')), "{text}: {errors:?} tell a secret");
    }
}
