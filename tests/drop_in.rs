//! The broker in the place of nats-server, as a process: flags, config file, log lines, files, signals, exit codes.
//!
//! What the real server can answer as well is asked of both, so that the expectation is not ours alone.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]

#[path = "drop_in/cluster.rs"]
mod cluster;
#[path = "../broker/tests/support/jwt.rs"]
mod jwt;
#[path = "drop_in/operators.rs"]
mod operators;
mod support;
#[path = "drop_in/tls.rs"]
mod tls;
#[path = "drop_in/websocket.rs"]
mod websocket;

use support::process::{Process, run};
use support::whose::{BOTH, Client, OPEN, Whose, folder, path, write};
use support::{LIMIT, wait_for};

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

/// Config files that can be used.
const GOOD: &[&str] = &[
    "port: 4222",
    "port = 4222, host=a",
    "{ \"port\": 4222, \"host\": \"x\" }",
    "port: 4222 # c\n// d\nhost: b // e\n",
    "authorization {\n user = a,\n password = \"b\";\n}\nport: 4222",
    "authorization\n{ user: a, password: b }",
    "authorization { users: [ {user: a, password: b}\n {user: c, password: d} ]}",
    "authorization { timeout: 0.5, token: abc }",
    "log_file: (\nabc\n)\n",
    "max_payload: 1kb\nmax_pending: 10mb\nmax_connections: -1\nmax_subscriptions: 0",
    "ping_interval: 10s\nwrite_deadline: \"3s\"\nping_max: 5",
    "listen: 4222",
    "listen: \"127.0.0.1:-1\"",
    "listen: 127.0.0.1:4222",
    "P=5\nport: $P",
    "port: $A_PORT",
    "include other.conf\nport: 4222",
    "debug: yes\ntrace: off\nlogtime: no\nlogtime_utc: true",
    "PORT: 4222",
    "jetstream: disabled\nstore_dir: /tmp/x",
    "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"4s\"",
    "pid_file: /tmp/x\nlogfile_size_limit: 5\nlogfile: y",
    "leafnodes {}",
    "leaf { port: 0 }",
    "leafnodes { listen: \"127.0.0.1:-1\", advertise: \"x:1\", no_advertise: true, write_deadline: \"2s\", compression: off, isolate: true }",
    "leafnodes { listen: 7422, min_version: 2.11.0, reconnect: \"2s\", authorization { user: a, password: b, account: A, timeout: 3 } }\naccounts { A {} }",
    "leafnodes { host: 127.0.0.1, port: -1, authorization { users: [{user: c, password: d, account: A}, {user: e, pass: f}] } }\naccounts { A {} }",
    "mappings { a: b, \"c.*.*\": \"d.$2.{{wildcard(1)}}\" }\naccounts { A { maps { \"a.>\": \"b.>\" } } }",
    "mappings { a: { dest: b, weight: 5% }, c: [ { destination: d, weight: \"5\" }, { dest: e, weight: 95 } ], f: [] }",
    "mappings { a: [ { dest: b, weight: 100%, cluster: c }, { dest: d, weight: 100%, cluster: e } ] }",
    "mappings { \"a.*\": \"b.{{ Partition( 10, 1 ) }}.{{partition(3)}}.{{random(5)}}\" }",
    "mappings { \"a.*\": \"{{splitFromLeft(1,2)}}.{{SplitfromRight(1,2)}}.{{sliceFromLeft(1,2)}}.{{SliceFromRight(1,2)}}\" }",
    "mappings { \"a.*\": \"b.{{left(1,2)}}.{{Right(1,2)}}.{{split(1,-)}}.{{Split(1,)}}\" }",
    "mappings { \"a.*\": \"b.x{{wildcard(5)}}.{{}}.$x.$\" }",
    "authorization { users: [ {user: a, password: b} ], auth_callout { issuer: ABWEG7E4NPGALLXWQNSP7HHAS7CDD2DIMDFRSCK5HHQA4TYZNWAFCYES, auth_users: [a] } }",
    "authorization { user: a, password: b, auth_hook { issuer: ABWEG7E4NPGALLXWQNSP7HHAS7CDD2DIMDFRSCK5HHQA4TYZNWAFCYES, users: [a], acc: B, allowed_accounts: [B] } }\naccounts { B {} }",
];

/// Config files that cannot.
const BAD: &[&str] = &[
    "leafnodes: 7422",
    "leafnodes { listen: \"127.0.0.1:-1\", foo: 1 }",
    "leafnodes { port: x }",
    "leafnodes { port: 1, min_version: \"1.0\" }",
    "leafnodes { port: 1, min_version: \"2.7.9\" }",
    "leafnodes { port: 1, reconnect: 2 }",
    "leafnodes { port: 1, authorization { token: x } }",
    "leafnodes { port: 1, authorization { user: a, password: b, users: [{user: c, password: d}] } }",
    "leafnodes { port: 1, authorization { users: [{nkey: UCNGL4W5QX66CFX6A6DCBVDH5VOHMI7B2UZZU7TXAUQQSI2JPHULCKBR}] } }",
    "foo: 1",
    "port: x",
    "host: 3",
    "port: [1",
    "port = \n",
    "= 5",
    "port 4222 host a",
    "authorization { user: a password: b }",
    "authorization { user: a, pasword: b }",
    "authorization { user: a, password: b, token: c }",
    "authorization { user: a, users: [{user: b, password: c}] }",
    "authorization { users: [{user: a, password: b}, {user: a, password: c}] }",
    "authorization { users: [{nkey: UABC}] }",
    "authorization: 5",
    "server_name: \"a b\"",
    "server_name: 'a",
    "server_name: a\\ b",
    "host: -a",
    "port: $NOT_SET",
    "include nofile.conf",
    "ping_interval: 2",
    "ping_interval: 2x",
    "debug: 1",
    "listen: \"127.0.0.1\"",
    "lame_duck_duration: 1s",
    "max_payload: 99999999999999999999",
    "x [1 2]",
    "mappings: a",
    "mappings [ a ]",
    "mappings { a: 5 }",
    "mappings { a..b: c }",
    "mappings { \"a b\": c }",
    "mappings { a: b..c }",
    "mappings { a: \"b c\" }",
    "mappings { a: \"b.>\" }",
    "mappings { \"a.>\": b }",
    "mappings { \"a.>\": \"b.>.c\" }",
    "mappings { \"a.*\": \"b.*\" }",
    "mappings { \"a.*\": \"b.$2\" }",
    "mappings { a: \"b.{{wildcard(1)}}\" }",
    "mappings { \"a.*\": \"b.{{wildcard()}}\" }",
    "mappings { \"a.*\": \"b.{{WILDCARD(1)}}\" }",
    "mappings { \"a.*\": \"b.{{partition(x,1)}}\" }",
    "mappings { \"a.*\": \"b.{{partition(2147483648,1)}}\" }",
    "mappings { \"a.*\": \"b.{{partition(3,2)}}\" }",
    "mappings { \"a.*\": \"b.{{random(1,2)}}\" }",
    "mappings { \"a.*\": \"b.{{split(1)}}\" }",
    "mappings { \"a.*\": \"b.{{split(1,a b)}}\" }",
    "mappings { \"a.*\": \"b.{{left(1,x)}}\" }",
    "mappings { \"a.*\": \"b.{{nothing(1)}}\" }",
    "mappings { a: { to: b, weight: 5 } }",
    "mappings { a: { dest: b } }",
    "mappings { a: { dest: b, weight: 101 } }",
    "mappings { a: { dest: b, weight: -1 } }",
    "mappings { a: { dest: b, weight: 5.5 } }",
    "mappings { a: { dest: b, weight: x } }",
    "mappings { a: [ { dest: b, weight: 60 }, { dest: c, weight: 60 } ] }",
    "mappings { a: [ { dest: b, weight: 6, cluster: c }, { dest: b, weight: 6 } ] }",
    "accounts { A { mappings { a: \"b.$1\" } } }",
    "accounts { A { maps: 5 } }",
    "authorization { auth_callout: 5 }",
    "authorization { auth_callout {} }",
    "authorization { user: a, password: b, auth_callout { issuer: ABWEG7E4NPGALLXWQNSP7HHAS7CDD2DIMDFRSCK5HHQA4TYZNWAFCYES } }",
    "authorization { user: a, password: b, auth_callout { issuer: ABWEG7E4NPGALLXWQNSP7HHAS7CDD2DIMDFRSCK5HHQA4TYZNWAFCYES, auth_users: a } }",
    "authorization { user: a, password: b, auth_callout { issuer: x, auth_users: [a] } }",
    "authorization { user: a, password: b, auth_callout { auth_users: [a] } }",
    "authorization { user: a, password: b, auth_callout { issuer: ABWEG7E4NPGALLXWQNSP7HHAS7CDD2DIMDFRSCK5HHQA4TYZNWAFCYES, auth_users: [a], xkey: x } }",
    "authorization { user: a, password: b, auth_callout { issuer: ABWEG7E4NPGALLXWQNSP7HHAS7CDD2DIMDFRSCK5HHQA4TYZNWAFCYES, auth_users: [a], color: red } }",
    "authorization { user: a, password: b, auth_callout { issuer: ABWEG7E4NPGALLXWQNSP7HHAS7CDD2DIMDFRSCK5HHQA4TYZNWAFCYES, auth_users: [a], allowed_accounts: [B] } }",
];

/// Goal: a config file that one server takes is taken by the other, and one that is refused is refused by both.
#[test]
fn config_files_are_judged_alike() {
    let folder = folder();
    write(&folder, "other.conf", "host: 127.0.0.1\n");
    for (text, code) in GOOD.iter().map(|&text| (text, 0)).chain(BAD.iter().map(|&text| (text, 1))) {
        let file = write(&folder, "t.conf", text);
        for whose in BOTH {
            let ended = run(whose.command(&["-t", "-c", &file]).env("A_PORT", "4333"), LIMIT);
            assert_eq!(ended.code, Some(code), "{whose:?} {text:?}: {ended:?}");
            assert_eq!(ended.stdout, "", "{whose:?} {text:?}");
            assert!(ended.stderr.starts_with("nats-server: "), "{whose:?} {text:?}: {ended:?}");
            let said = format!("configuration file {file} is valid (sha256:");
            assert_eq!(ended.stderr.contains(&said), code == 0, "{whose:?} {text:?}: {ended:?}");
        }
    }
}

/// Goal: an unknown key is told with its place in the words and numbers of the real server.
#[test]
fn an_unknown_key_is_told_alike() {
    let folder = folder();
    for text in ["foo: 1", "port: 4222\n  foo: 1", "\n\nauthorization {\n user: a\n foo: b\n}"] {
        let file = write(&folder, "t.conf", text);
        let [ours, real] = BOTH.map(|whose| whose.run(&["-c", &file]));
        assert_eq!((ours.code, real.code), (Some(1), Some(1)));
        assert_eq!(ours.stderr.trim_end(), real.stderr.trim_end(), "{text:?}");
    }
}

/// Goal: the command line ends with the same code, whatever is wrong with it.
#[test]
fn command_lines_end_alike() {
    let cases: [(&[&str], i32); 13] = [
        (&["-v"], 0),
        (&["--version"], 0),
        (&["version"], 0),
        (&["-h"], 0),
        (&["-foo"], 0),
        (&["-p", "abc"], 0),
        (&["-p"], 0),
        (&["extra"], 1),
        (&["-t"], 1),
        (&["-c", "nofile.conf"], 1),
        (&["-sl", "stop=foo"], 1),
        (&["-sl", "foo=1"], 1),
        (&["--signal=ldm=/nofile"], 1),
    ];
    for (args, code) in cases {
        for whose in BOTH {
            let ended = whose.run(args);
            assert_eq!(ended.code, Some(code), "{whose:?} {args:?}: {ended:?}");
        }
    }
    let [ours, real] = BOTH.map(|whose| whose.run(&["-v"]).stdout);
    assert_eq!(ours, real);
}

/// Goal: what there is no equivalent of is refused by name, and never left aside in silence.
#[test]
fn what_is_not_here_is_refused_by_name() {
    let folder = folder();
    for flag in ["-js", "--profile=1", "-s"] {
        let ended = Whose::Ours.run(&["-p", "-1", flag]);
        let name = flag.trim_start_matches('-').split('=').next().unwrap();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(&format!("-{name} asks for ")), "{ended:?}");
    }
    for text in ["jetstream {}", "gateway { port: 1 }", "mqtt {}"] {
        let file = write(&folder, "t.conf", text);
        let ended = Whose::Ours.run(&["-c", &file]);
        let name = text.split(' ').next().unwrap();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(&format!("t.conf:1:0: {name:?} asks for ")), "{ended:?}");
    }
}

/// Goal: files, log lines and exit code of a server that starts, serves and is asked to stop.
#[test]
fn a_server_is_found_by_its_files_and_lines() {
    for (whose, signal) in BOTH.into_iter().flat_map(|whose| [(whose, "TERM"), (whose, "INT")]) {
        let folder = folder();
        let (pid, dir) = (path(&folder, "pid"), folder.path().to_str().unwrap());
        let (mut server, address) = whose.start(&["-p", "-1", "-n", "one", "-P", &pid, "--ports_file_dir", dir]);
        assert_eq!(fs::read_to_string(&pid).unwrap(), server.id().to_string(), "{whose:?}");
        let ports = format!("{dir}/nats-server_{}.ports", server.id());
        let text = wait_for("the ports file", LIMIT, || fs::read_to_string(&ports).ok());
        let urls: serde_json::Value = serde_json::from_str(&text).unwrap();
        let url = format!("nats://{address}");
        assert!(urls["nats"].as_array().unwrap().iter().any(|one| *one == url), "{whose:?}: {text}");
        let info = Client::new(address, OPEN).hear("PONG");
        assert!(info.contains("\"server_name\":\"one\"") && info.contains("\"host\":\"0.0.0.0\""), "{info}");
        for line in ["[INF] Starting nats-server", "Version:  2.15.1", "Name:     one"] {
            assert!(server.said(line), "{whose:?}: {line:?} is not in {:#?}", server.log());
        }
        let ended = server.signal(signal);
        assert_eq!(ended.code(), Some(0), "{whose:?} on SIG{signal}");
        let trapped = if signal == "TERM" { "terminated" } else { "interrupt" };
        for line in [&format!("Trapped \"{trapped}\" signal"), "Initiating Shutdown...", "Server Exiting.."] {
            wait_for(line, LIMIT, || server.said(line).then_some(()));
        }
        assert!(!Path::new(&ports).exists() && Path::new(&pid).exists(), "{whose:?}");
    }
}

/// Goal: 0.0.0.0 is both families, as with the real server, and clients are seen by their IPv4 address.
#[test]
fn all_addresses_are_those_of_both_families() {
    // A system without IPv6 has the other half of this alone.
    let refused = TcpStream::connect("[::1]:1").unwrap_err().kind();
    let has_v6 = refused == std::io::ErrorKind::ConnectionRefused;
    for whose in BOTH {
        let (_server, address) = whose.start(&["-p", "-1"]);
        let six = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, address.port()));
        if has_v6 {
            assert!(Client::new(six, OPEN).hear("PONG").contains("\"client_ip\":\"::1\""), "{whose:?}");
        }
        assert!(Client::new(address, OPEN).hear("PONG").contains("\"client_ip\":\"127.0.0.1\""), "{whose:?}");
    }
}

/// Goal: the log goes to the file, without times when they are not wanted, and on to a new file when it is reopened.
#[test]
fn the_log_can_be_moved_away() {
    for whose in BOTH {
        let folder = folder();
        let (log, moved) = (path(&folder, "log"), path(&folder, "moved"));
        let mut server = Process::start("server", &mut whose.command(&["-p", "-1", "-T=false", "-l", &log]));
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        wait_for("it is ready", LIMIT, || read(&log).contains("Server is ready").then_some(()));
        let first = format!("[{}] [INF] Starting nats-server\n", server.id());
        assert!(read(&log).starts_with(&first), "{whose:?}: {}", read(&log));
        fs::rename(&log, &moved).unwrap();
        let ended = whose.run(&["--signal", &format!("reopen={}", server.id())]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        wait_for("a new file", LIMIT, || read(&log).contains("File log re-opened").then_some(()));
        assert!(read(&moved).contains("Trapped \"user defined signal 1\" signal"), "{whose:?}");
        assert_eq!(server.signal("TERM").code(), Some(0), "{whose:?}");
    }
}

/// Goal: each command of --signal does what it says, to the process of a pid file as well.
#[test]
fn signals_end_a_server() {
    for whose in BOTH {
        let folder = folder();
        let pid = path(&folder, "pid");
        for (command, code) in [("quit", Some(0)), ("term", Some(0)), ("stop", None), ("ldm", Some(0))] {
            let (mut server, _) = whose.start(&["-p", "-1", "-P", &pid]);
            let ended = whose.run(&["-sl", &format!("{command}={pid}")]);
            assert_eq!(ended.code, Some(0), "{whose:?} {command}: {ended:?}");
            let status = wait_for(&format!("it ends on {command}"), LIMIT, || server.exited());
            assert_eq!(status.code(), code, "{whose:?} {command}");
        }
        let (mut server, _) = whose.start(&["-p", "-1"]);
        assert_eq!(server.signal("QUIT").code(), Some(2), "{whose:?}");
    }
}

/// Goal: a reload changes limits and users for those who are connected; without a file there is none.
#[test]
fn a_reload_changes_limits_and_users() {
    let config = |users: &str, payload: u32| {
        format!("port: -1\nmax_payload: {payload}\nauthorization {{ users: [ {users} ] }}\n")
    };
    let login = |user: &str| format!("{{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"p\"}}");
    for whose in BOTH {
        let folder = folder();
        let file = write(&folder, "t.conf", &config("{user: a, password: p}, {user: b, password: p}", 1000));
        let (mut server, address) = whose.start(&["-c", &file]);
        let [mut a, mut b] = ["a", "b"].map(|user| Client::new(address, &login(user)));
        assert!(a.hear("PONG").contains("\"max_payload\":1000") && b.hear("PONG").contains("PONG"), "{whose:?}");
        write(&folder, "t.conf", &config("{user: a, password: p}, {user: c, password: p}", 500));
        assert_eq!(whose.run(&["--signal", &format!("reload={}", server.id())]).code, Some(0));
        server
            .wait_line("it has reloaded", |line| line.contains("Reloaded server configuration (sha256:").then_some(()));
        assert!(server.said("Reloaded: max_payload = 500"), "{whose:?}: {:#?}", server.log());
        assert_eq!(b.hear("nothing but the end"), "", "{whose:?}");
        a.send("PING\r\n");
        assert!(a.hear("PONG").contains("PONG"), "{whose:?}");
        assert!(Client::new(address, &login("c")).hear("PONG").contains("\"max_payload\":500"), "{whose:?}");
        assert!(Client::new(address, &login("b")).hear("-ERR").contains("'Authorization Violation'"), "{whose:?}");
    }
}

/// Goal: a reload changes what messages are sent to, of clients of an account and of those in none.
#[test]
fn a_reload_changes_mappings() {
    let config = |to: &str| {
        let accounts = format!("accounts {{ A {{ users [ {{user: a, password: p}} ], maps {{ a: \"a.{to}\" }} }} }}");
        let users = "authorization { users [ {user: g, password: p} ] }";
        format!("port: -1\n{accounts}\n{users}\nmappings {{ \"x.*\": \"{to}.$1\" }}\n")
    };
    for whose in BOTH {
        let folder = folder();
        let file = write(&folder, "t.conf", &config("one"));
        let (mut server, address) = whose.start(&["-c", &file]);
        let login = |user| format!("{{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"p\"}}");
        let mut clients = ["a", "g"].map(|user| Client::new(address, &login(user)));
        clients.iter_mut().for_each(|client| drop(client.hear("PONG")));
        let mut arrive = |expected: [&str; 2]| {
            for (client, expected) in clients.iter_mut().zip(expected) {
                client.send("SUB > 1\r\nPUB a 0\r\n\r\nPUB x.y 0\r\n\r\nPING\r\n");
                let heard = client.hear("PONG");
                assert!(heard.contains(expected), "{whose:?}: {heard}");
            }
        };
        arrive(["MSG a.one 1 0\r\n\r\nMSG x.y 1 0\r\n", "MSG a 1 0\r\n\r\nMSG one.y 1 0\r\n"]);
        write(&folder, "t.conf", &config("two"));
        assert_eq!(whose.run(&["--signal", &format!("reload={}", server.id())]).code, Some(0));
        server
            .wait_line("it has reloaded", |line| line.contains("Reloaded server configuration (sha256:").then_some(()));
        arrive(["MSG a.two 1 0\r\n\r\nMSG x.y 1 0\r\n", "MSG a 1 0\r\n\r\nMSG two.y 1 0\r\n"]);
    }
}

/// Goal: a reload that cannot be leaves everything as it was, and says why.
#[test]
fn a_reload_that_cannot_be_changes_nothing() {
    for whose in BOTH {
        let folder = folder();
        let file = write(&folder, "t.conf", "listen: \"127.0.0.1:-1\"\nmax_payload: 1000\n");
        let (mut server, address) = whose.start(&["-c", &file]);
        let cases = [
            ("listen: \"127.0.0.2:-1\"\nmax_payload: 500\n", "config reload not supported for Host"),
            ("listen: \"127.0.0.1:-1\"\nmax_payload: 500\nfoo: 1\n", "unknown field \"foo\""),
        ];
        for (text, expected) in cases {
            write(&folder, "t.conf", text);
            assert_eq!(whose.run(&["--signal", &format!("reload={}", server.id())]).code, Some(0));
            server.wait_line(expected, |line| {
                (line.contains("[ERR] Failed to reload") && line.contains(expected)).then_some(())
            });
        }
        assert!(Client::new(address, OPEN).hear("PONG").contains("\"max_payload\":1000"), "{whose:?}");
        let (mut bare, _) = whose.start(&["-p", "-1"]);
        assert_eq!(whose.run(&["--signal", &format!("reload={}", bare.id())]).code, Some(0));
        let why = "can only reload config when a file is provided using -c or --config";
        bare.wait_line(why, |line| line.contains(why).then_some(()));
    }
}

/// Goal: a lame duck tells its clients, takes in no new ones, lets the others go, and ends.
#[test]
fn a_lame_duck_lets_its_clients_go() {
    for whose in BOTH {
        let folder = folder();
        let text = "listen: \"127.0.0.1:-1\"\nlame_duck_duration: 30s\nlame_duck_grace_period: 500ms\n";
        let (mut server, address) = whose.start(&["-c", &write(&folder, "t.conf", text)]);
        let mut client = Client::new(address, OPEN);
        client.hear("connect_info");
        assert_eq!(whose.run(&["--signal", &format!("ldm={}", server.id())]).code, Some(0));
        assert!(client.hear("\"ldm\":true").contains("\"ldm\":true"), "{whose:?}");
        wait_for("new clients are refused", LIMIT, || TcpStream::connect(address).is_err().then_some(()));
        assert!(!client.hear("never").contains("-ERR"), "{whose:?}: closed without a word");
        let ended = wait_for("it ends", LIMIT, || server.exited());
        assert_eq!(ended.code(), Some(0), "{whose:?}");
        assert!(server.said("Entering lame duck mode"), "{whose:?}");
    }
}

/// Goal: a port that is taken ends the start with the line that tools look for.
#[test]
fn a_taken_port_is_fatal() {
    for whose in BOTH {
        let (_server, address) = whose.start(&["-p", "-1"]);
        let ended = whose.run(&["-p", &address.port().to_string()]);
        assert_eq!(ended.code, Some(1), "{whose:?}: {ended:?}");
        let line = format!("[FTL] Error listening on port: 0.0.0.0:{}, \"", address.port());
        assert!(ended.stderr.contains(&line), "{whose:?}: {ended:?}");
    }
}

/// Goal: flags go before the file, and the credentials of flags are asked for.
#[test]
fn flags_go_before_the_file() {
    for whose in BOTH {
        let folder = folder();
        let file = write(&folder, "t.conf", "port: 1\nserver_name: file\nmax_payload: 1000\n");
        let args = ["-c", &file, "--port=-1", "-n", "flag", "--user", "u", "--pass", "p"];
        let (_server, address) = whose.start(&args);
        let good = Client::new(address, "{\"verbose\":false,\"user\":\"u\",\"pass\":\"p\"}").hear("PONG");
        assert!(good.contains("\"server_name\":\"flag\"") && good.contains("\"auth_required\":true"), "{good}");
        assert!(good.contains("\"max_payload\":1000") && good.contains("PONG"), "{good}");
        assert!(Client::new(address, OPEN).hear("-ERR").contains("Authorization Violation"), "{whose:?}");
    }
}

/// Goal: a link named nats-server to the program is all that a script needs which starts one.
#[test]
fn a_link_of_that_name_is_enough() {
    let folder = folder();
    let link = folder.path().join("nats-server");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_lattice"), &link).unwrap();
    let ended = run(Command::new(&link).arg("-v"), LIMIT);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "nats-server: v2.15.1\n"));
}

/// What is left of a traced line: not when and in whose name, and nothing of what a server does by itself.
fn traced(line: &str) -> Option<String> {
    let (_, said) = line.split_once("[TRC] ")?;
    let arrow = said.find("<<- ").or_else(|| said.find("->> "))?;
    assert!(said.starts_with("127.0.0.1:") && said.contains(" - cid:"), "{said}");
    Some(said[arrow..].trim_end().to_owned())
}

/// Goal: who reads the trace of one server can read that of the other, and no secret is in it.
#[test]
fn the_protocol_is_traced_alike() {
    let traces = BOTH.map(|whose| {
        let (mut process, address) = whose.start(&["-a", "127.0.0.1", "-p", "-1", "-V"]);
        let connect = "{\"verbose\":false,\"headers\":true,\"user\":\"u\",\"pass\":\"s3cret\",\"auth_token\":\"t0k\"}";
        let mut client = Client::new(address, connect);
        client.hear("PONG");
        client.send(
            "SUB foo 1\r\nsub bar q 2\r\nPUB foo 5\r\nhello\r\nHPUB foo rep 12 17\r\nNATS/1.0\r\n\r\nworld\r\nUNSUB 1 4\r\nPUB req rep 0\r\n\r\nPING\r\nFOO\r\n",
        );
        while !client.hear("Unknown Protocol Operation").is_empty() {}
        let mut lines = Vec::new();
        process.wait_line("the last line", |line| {
            lines.extend(traced(line));
            line.contains("->> [-ERR Unknown Protocol Operation]").then_some(())
        });
        assert!(!lines.iter().any(|line| line.contains("s3cret") || line.contains("t0k")), "{whose:?}: {lines:#?}");
        let (heard, said): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.starts_with("<<-"));
        [heard, said]
    });
    // The line that nobody understands is one of ours alone.
    let [[heard, said], [real_heard, real_said]] = traces;
    assert_eq!(
        heard.iter().filter(|line| !line.contains("[FOO]")).collect::<Vec<_>>(),
        real_heard.iter().collect::<Vec<_>>()
    );
    assert_eq!(said, real_said);
}
