//! Bad input of every kind: each gets an error that names its cause, and whoever serves goes on serving.
//!
//! What the protocol answers to bad clients, byte for byte, is in `tests/wire/`; here the same nodes are watched for
//! what they do afterwards.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]

mod support;

use support::cluster::{Node, command};
use support::process::Finished;
use support::{LIMIT, wait_for};

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// Asserts that a command failed as a command should: an error on stderr that has all of `facts`, and no panic.
fn assert_refused(ended: &Finished, facts: &[&str]) {
    assert!(ended.code.is_some_and(|code| (1..100).contains(&code)), "exit code: {ended:#?}");
    assert!(ended.stderr.contains("error"), "no error: {ended:#?}");
    assert!(!ended.stderr.contains("panicked"), "{ended:#?}");
    for fact in facts {
        assert!(ended.stderr.contains(fact), "{fact:?} is not in: {ended:#?}");
    }
}

/// Asserts that a client can still do what clients do.
fn assert_serves(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(b"CONNECT {\"verbose\":false}\r\nSUB still.there 1\r\nPUB still.there 3\r\nyes\r\n").unwrap();
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("MSG still.there 1 3\r\nyes\r\n") {
        let mut chunk = [0; 4096];
        let len = stream.read(&mut chunk).expect("the node still answers");
        assert!(len > 0, "the node closed a good client: {:?}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&chunk[..len]);
    }
}

/// Bytes that are nothing, the same in each run.
fn noise(len: usize, mut seed: u64) -> Vec<u8> {
    let next = |_| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()[3]
    };
    (0..len).map(next).collect()
}

/// Sends bytes to a client port and reads until the server closes; returns what it said.
fn send_and_read(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    // The server may have closed before all was sent: that is what this is about.
    drop(stream.write_all(bytes));
    let mut heard = Vec::new();
    if let Err(error) = stream.read_to_end(&mut heard) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the server did not close: {error}");
    }
    String::from_utf8_lossy(&heard).into_owned()
}

mod ports_in_use {
    use super::*;

    #[test]
    fn of_clients() {
        let node = Node::new("late", "");
        let _taken = TcpListener::bind(node.address()).unwrap();
        assert_refused(&node.fails_to_start(&[]), &[&node.address().to_string(), "in use"]);
    }

    #[test]
    fn of_links() {
        let node = Node::new("late", "");
        let _taken = UdpSocket::bind(node.link_address()).unwrap();
        assert_refused(&node.fails_to_start(&[]), &[&node.link_address().to_string(), "in use"]);
    }

    #[test]
    fn the_data_folder_of_a_running_node() {
        let first = Node::alone("");
        let data = first.data();
        let ended = command(&["up", "--listen", "127.0.0.1:0", "--link-listen", "127.0.0.1:0"], &data);
        assert_refused(&ended, &[&data.display().to_string()]);
        assert_serves(first.address());
    }
}

mod invites {
    use super::*;

    fn join(node: &Node, invite: &str) -> Finished {
        command(&["join", invite], &node.data())
    }

    #[test]
    fn that_are_none() {
        let node = Node::new("new", "");
        assert_refused(&join(&node, "hello"), &["lat1:"]);
        assert_refused(&join(&node, "lat1:hello"), &["invite"]);
        assert_refused(&join(&node, &format!("lat1:{}", "A".repeat(100_000))), &["invite"]);
    }

    #[test]
    fn with_a_letter_changed() {
        let (member, node) = (Node::alone(""), Node::new("new", ""));
        let invite = member.invite();
        let middle = invite.len() / 2;
        let other = if &invite[middle..=middle] == "A" { "B" } else { "A" };
        let changed = format!("{}{other}{}", &invite[..middle], &invite[middle + 1..]);
        assert_refused(&join(&node, &changed), &["invite"]);
        assert_refused(&join(&node, &invite[..invite.len() - 5]), &["invite"]);
        let joined = join(&node, &invite);
        assert_eq!(joined.code, Some(0), "the whole invite is good: {joined:#?}");
        assert_serves(member.address());
    }

    #[test]
    fn that_were_used_already() {
        let (member, first, second) = (Node::alone(""), Node::new("first", ""), Node::new("second", ""));
        let invite = member.invite();
        assert_eq!(join(&first, &invite).code, Some(0));
        assert_refused(&join(&second, &invite), &["used"]);
        assert_serves(member.address());
    }

    #[test]
    fn in_files() {
        let (member, node) = (Node::alone(""), Node::new("new", ""));
        let file = node.data().with_extension("invite");
        let path = file.display().to_string();
        member.invite_file(&path);
        let whole = fs::read_to_string(&file).unwrap();
        for (content, fact) in [("", "no invite"), (&whole[..whole.len() / 2], "damaged"), ("hello", "lat1:")] {
            fs::write(&file, content).unwrap();
            assert_refused(&join(&node, &path), &[fact]);
        }
        fs::write(&file, noise(60_000, 3)).unwrap();
        assert_refused(&join(&node, &path), &[&path, "no invite is as long"]);
        assert_refused(&command(&["invite", "--file", &path], &member.data()), &[&path, "exists"]);
        fs::write(&file, whole).unwrap();
        assert_eq!(join(&node, &path).code, Some(0));
        assert_serves(member.address());
    }

    #[test]
    fn with_impossible_terms() {
        let member = Node::alone("");
        let refused = |args: &[&str], facts: &[&str]| assert_refused(&command(args, &member.data()), facts);
        refused(&["invite", "--expires", "400d"], &["--expires", "1s to 365d"]);
        refused(&["invite", "--account", "two words"], &["two words", "1 to 64 bytes"]);
    }

    #[test]
    fn for_a_member_of_another_lattice() {
        let (member, other) = (Node::alone(""), Node::alone(""));
        let mut stopped = other;
        stopped.stop();
        assert_refused(&join(&stopped, &member.invite()), &["member of lattice", "already"]);
        stopped.start(&[]);
        assert_serves(stopped.address());
    }

    #[test]
    fn whose_address_answers_for_another_lattice() {
        let mut inviter = Node::alone("");
        let invite = inviter.invite();
        inviter.stop();
        let address = inviter.link_address().to_string();
        let usurper = Node::new("usurper", "");
        let mut up = support::cluster::lattice();
        up.arg("up").arg("--data").arg(usurper.data());
        up.args(["--listen", &usurper.address().to_string(), "--link-listen", &address]);
        let mut process = support::process::Process::start("usurper", &mut up);
        wait_for("the usurper listens", LIMIT, || {
            assert!(process.exited().is_none(), "{:#?}", process.log());
            TcpStream::connect(usurper.address()).ok()
        });
        assert_refused(&join(&Node::new("new", ""), &invite), &[&address, "another lattice"]);
        assert_serves(usurper.address());
    }

    #[test]
    fn of_which_nobody_answers() {
        let mut inviter = Node::alone("");
        let invite = inviter.invite();
        inviter.stop();
        assert_refused(&join(&Node::new("new", ""), &invite), &[&inviter.link_address().to_string()]);
    }
}

mod revocations {
    use super::*;

    #[test]
    fn of_nobody_and_from_files_that_are_none() {
        let (member, other) = (Node::alone(""), Node::alone(""));
        let refused = |args: &[&str], facts: &[&str]| {
            assert_refused(&command(&[&["revoke"], args].concat(), &member.data()), facts);
        };
        refused(&["nobody"], &["nobody", "lattice members"]);
        refused(&["alone"], &["this node itself"]);
        let file = member.data().with_extension("news");
        let path = file.display().to_string();
        refused(&["--import", &path], &[&path]);
        for (content, fact) in [("", "latrev1:"), ("latrev1:!", "lost or changed"), ("latrev1:AAAA", "no revocations")]
        {
            fs::write(&file, content).unwrap();
            refused(&["--import", &path], &[fact]);
        }
        let of_other = command(&["revoke", &member.status().id, "--file", &path], &other.data());
        assert_eq!(of_other.code, Some(0), "{of_other:#?}");
        refused(&["--import", &path], &["they are of lattice"]);
        assert_serves(member.address());
        assert_serves(other.address());
    }
}

mod roots {
    use super::*;

    #[test]
    fn that_cannot_be_exported_or_imported() {
        let mut node = Node::alone("");
        let file = node.data().with_extension("root");
        let path = file.display().to_string();
        let data = node.data();
        let refused =
            |args: &[&str], facts: &[&str]| assert_refused(&command(&[&["root"], args].concat(), &data), facts);
        refused(&["export", &path, "--plain"], &["a node runs on"]);
        node.stop();
        refused(&["export", &path], &["passphrase", "--plain"]);
        refused(&["import", &path], &[&path]);
        fs::write(&file, "hello").unwrap();
        refused(&["import", &path], &["no root key"]);
        refused(&["export", &path, "--plain"], &[&path, "exists"]);
        let mut other = Node::alone("");
        other.stop();
        fs::remove_file(&file).unwrap();
        let exported = command(&["root", "export", &path, "--plain"], &other.data());
        assert_eq!(exported.code, Some(0), "{exported:#?}");
        refused(&["import", &path], &["root key of lattice"]);
    }
}

/// Goal: whoever shows a certificate of another root gets no link, the log says why, and both nodes go on.
#[test]
fn a_certificate_that_does_not_chain() {
    let mut member = Node::alone("");
    let mut stranger = Node::new("stranger", "").with(&["--peer", &member.link_address().to_string()]);
    stranger.start(&[]);
    wait_for("the stranger's log names the cause", LIMIT, || {
        let process = stranger.process();
        (process.said("another lattice") || process.said("does not chain")).then_some(())
    });
    let problems = stranger.status().problems;
    assert_eq!((stranger.reaches(), member.reaches()), (0, 0), "{problems:?}");
    assert!(member.process().exited().is_none() && stranger.process().exited().is_none());
    assert_serves(member.address());
    assert_serves(stranger.address());
}

mod data_folders {
    use super::*;

    /// A node's folder after a life, with `damage` done to it.
    fn damaged(damage: impl FnOnce(&std::path::Path)) -> Node {
        let mut node = Node::alone("");
        let status = node.stop();
        assert_eq!(status.code(), Some(0), "a clean end");
        damage(&node.data());
        node
    }

    #[test]
    fn with_a_damaged_identity() {
        for file in ["node.key", "chain.pem"] {
            let node = damaged(|data| fs::write(data.join("identity").join(file), noise(200, 5)).unwrap());
            assert_refused(&node.fails_to_start(&[]), &[&node.data().display().to_string(), file, "damaged"]);
            assert_refused(&command(&["invite"], &node.data()), &[file, "damaged"]);
        }
    }

    #[test]
    fn with_an_identity_cut_short() {
        let node = damaged(|data| {
            let path = data.join("identity/chain.pem");
            let text = fs::read(&path).unwrap();
            fs::write(path, &text[..text.len() / 2]).unwrap();
        });
        assert_refused(&node.fails_to_start(&[]), &["chain.pem", "damaged"]);
    }

    /// Records can be had again: the node starts without them, and says so.
    #[test]
    fn with_damaged_records() {
        let mut node = damaged(|data| {
            let mut files: Vec<_> =
                fs::read_dir(data.join("store")).unwrap().map(|entry| entry.unwrap().path()).collect();
            files.retain(|path| path.is_file());
            assert!(!files.is_empty(), "the store has files");
            for file in files {
                fs::write(file, noise(5_000, 7)).unwrap();
            }
        });
        node.start(&[]);
        assert_serves(node.address());
        assert!(node.process().said("store"), "the loss is told: {:#?}", node.process().log());
    }

    #[test]
    fn that_is_a_file() {
        let node = Node::new("odd", "");
        fs::write(node.data(), "a file").unwrap();
        assert_refused(&node.fails_to_start(&[]), &[&node.data().display().to_string()]);
    }
}

mod configs {
    use super::*;

    fn refused(text: &str, facts: &[&str]) {
        let node = Node::new("typo", text);
        let config = node.config().display().to_string();
        assert_refused(&node.fails_to_start(&[]), &[&[config.as_str()], facts].concat());
    }

    #[test]
    fn with_an_unknown_key() {
        refused(
            "name = \"kitchen\"\nlisen = \"127.0.0.1:4222\"\n",
            &["lattice.toml:2:1", "lisen", "did you mean `listen`"],
        );
        refused("[client]\nmax_payloat = \"1MiB\"\n", &["lattice.toml:2:1", "max_payloat", "max_payload"]);
    }

    #[test]
    fn with_a_value_of_the_wrong_kind() {
        refused("[client]\nmax_connections = \"many\"\n", &["lattice.toml:2:19"]);
        refused("[link]\nheartbeat = \"fast\"\n", &["lattice.toml:2:13", "fast"]);
    }

    #[test]
    fn with_a_value_out_of_range() {
        refused("[client]\nmax_connections = 0\n", &["client.max_connections", "lattice.toml:2:19"]);
    }

    #[test]
    fn that_is_no_toml() {
        refused("name = \n", &["lattice.toml:1:"]);
    }

    #[test]
    fn that_is_not_there() {
        let node = Node::new("none", "");
        fs::remove_file(node.config()).unwrap();
        assert_refused(&node.fails_to_start(&[]), &[&node.config().display().to_string()]);
    }
}

mod clients {
    use super::*;

    #[test]
    fn that_break_the_limits() {
        let node = Node::alone("");
        let long_line = [b"CONNECT {\"verbose\":false}\r\nSUB ".as_slice(), &[b'a'; 10_000], b" 1\r\n"].concat();
        assert!(send_and_read(node.address(), &long_line).contains("-ERR 'maximum control line exceeded'"));
        let large = b"CONNECT {\"verbose\":false}\r\nPUB big 1048577\r\n";
        assert!(send_and_read(node.address(), large).contains("-ERR 'Maximum Payload Violation'"));
        assert_serves(node.address());
    }

    #[test]
    fn that_send_noise() {
        let node = Node::alone("");
        for seed in 1..40 {
            // A noise that begins like a verb is waited for; the newline ends it.
            let bytes = [noise(2_000, seed * 7_919), b"\r\n\r\n".to_vec()].concat();
            let heard = send_and_read(node.address(), &bytes);
            assert!(heard.contains("-ERR 'Unknown Protocol Operation'") || heard.starts_with("INFO "), "{heard:?}");
        }
        assert_serves(node.address());
    }

    #[test]
    fn that_vanish() {
        let node = Node::alone("");
        for _ in 0..50 {
            let mut stream = TcpStream::connect(node.address()).unwrap();
            stream.write_all(b"CONNECT {}\r\nSUB foo 1\r\nPUB foo 1000\r\nhalf a pay").unwrap();
        }
        wait_for("the clients are gone", LIMIT, || (node.status().clients == 0).then_some(()));
        assert_serves(node.address());
    }
}

/// Goal: noise on the link port, even such as looks like QUIC, keeps no member away.
#[test]
fn noise_on_the_link_port() {
    let mut member = Node::alone("");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    for seed in 1..400 {
        let mut bytes = noise(1 + usize::try_from(seed).unwrap() * 3, seed * 104_729);
        match seed % 4 {
            // A long header of QUIC version 1, of an unknown version, and a short header.
            0 => bytes.splice(..0, [0xc3, 0, 0, 0, 1, 8]).count(),
            1 => bytes.splice(..0, [0xc0, 0xba, 0xba, 0xba, 0xba, 20]).count(),
            2 => bytes.splice(..0, [0x40]).count(),
            _ => 0,
        };
        socket.send_to(&bytes, member.link_address()).unwrap();
    }
    let mut node = Node::new("new", "");
    node.start(&["--join", &member.invite()]);
    wait_for("the new node reaches the member", LIMIT, || (node.reaches() == 1).then_some(()));
    assert!(member.process().exited().is_none());
    assert_serves(member.address());
    assert_serves(node.address());
}

/// Goal: a clean end on both signals, and again after a kill.
#[test]
fn signals() {
    let mut node = Node::alone("");
    assert_eq!(node.stop().code(), Some(0));
    node.start(&[]);
    assert_eq!(node.process().signal("INT").code(), Some(0));
    node.start(&[]);
    node.kill();
    node.start(&[]);
    assert_serves(node.address());
}
