//! The commands as a person types them: two devices, one invite, and enough of a client to see that it works.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]

mod support;

use lattice::status::MemberState;
use support::cluster::{Cluster, Node, command, lattice};
use support::process::{Process, run};
use support::{LIMIT, wait_for};

use std::process::Command;

/// A command of the small client, on a node.
fn client(node: &Node, args: &[&str]) -> Command {
    let mut command = lattice();
    command.args(args).args(["--server", &node.url()]);
    command
}

#[test]
fn two_devices_join_by_an_invite() {
    let (mut first, mut second) = (Node::new("first", ""), Node::new("second", ""));
    first.start(&[]);
    first.process().wait_line("how to invite", |line| line.contains("lattice invite").then_some(()));
    first.process().wait_line("where to connect", |line| line.contains("ready in").then_some(()));
    let invite = first.invite();
    assert!(invite.starts_with("lat1:") && !invite.contains(' '), "{invite:?}");
    let joined = command(&["join", &invite], &second.data());
    assert_eq!(joined.code, Some(0), "{joined:#?}");
    second.start(&[]);
    wait_for("the two have found each other", LIMIT, || (first.reaches() + second.reaches() == 2).then_some(()));
    assert_eq!(first.status().lattice, second.status().lattice);
    assert_ne!(first.status().id, second.status().id);
}

#[test]
fn an_invite_made_while_the_node_is_down_is_good() {
    let (mut first, mut second) = (Node::new("first", ""), Node::new("second", ""));
    // Nobody answers who could tell where the node listens: its configuration file must.
    let config = format!("[link]\nlisten = \"{}\"\n", first.link_address());
    std::fs::write(first.config(), config).unwrap();
    first.start(&[]);
    first.stop();
    let invite = first.invite_of(&["--config", &first.config().display().to_string()]);
    first.start(&[]);
    second.start(&["--join", &invite]);
    wait_for("the two have found each other", LIMIT, || (second.reaches() == 1).then_some(()));
}

#[test]
fn an_invite_and_a_start_at_once_do_not_hinder_each_other() {
    for _ in 0..4 {
        let node = Node::new("first", "");
        let mut starting = Process::start("up", &mut node.up(&[]));
        let flags = ["--config", &node.config().display().to_string()];
        assert!(node.invite_of(&flags).starts_with("lat1:"));
        starting.wait_line("where to connect", |line| line.contains("ready in").then_some(()));
        assert!(starting.signal("TERM").success(), "{:#?}", starting.log());
    }
}

#[test]
fn a_message_and_a_request_from_node_to_node() {
    let cluster = Cluster::line(2);
    let [a, b] = &cluster.nodes[..] else { panic!("two nodes") };
    let mut listening = Process::start("sub", &mut client(b, &["sub", "greet.*", "--count", "1"]));
    wait_for("the subscription is known and takes a message", LIMIT, || {
        let published = run(&mut client(a, &["pub", "greet.world", "good morning"]), LIMIT);
        assert_eq!(published.code, Some(0), "{published:#?}");
        listening.exited()
    });
    assert!(listening.said("good morning") && listening.said("greet.world"), "{:#?}", listening.log());

    let _answering = Process::start("reply", &mut client(b, &["reply", "sum", "forty-two"]));
    let answer = wait_for("an answer", LIMIT, || {
        let asked = run(&mut client(a, &["request", "sum", "?"]), LIMIT);
        (asked.code == Some(0)).then_some(asked)
    });
    assert!(answer.stdout.contains("forty-two"), "{answer:#?}");

    let nobody = run(&mut client(a, &["request", "no.such.service", "?"]), LIMIT);
    assert!(nobody.code.is_some_and(|code| code != 0) && nobody.stderr.contains("no.such.service"), "{nobody:#?}");
}

#[test]
fn peers_are_listed_with_their_paths() {
    let cluster = Cluster::line(3);
    let listed = command(&["peers", "--json"], &cluster.nodes[0].data());
    assert_eq!(listed.code, Some(0), "{listed:#?}");
    let peers: Vec<lattice::status::Peer> = serde_json::from_str(&listed.stdout).unwrap();
    let mut paths: Vec<_> = peers.iter().map(|peer| (peer.name.as_str(), peer.hops, peer.via.as_deref())).collect();
    paths.sort_unstable();
    assert_eq!(paths, [("b", 1, None), ("c", 2, Some("b"))]);
    let table = command(&["peers"], &cluster.nodes[0].data());
    assert!(["b", "c"].iter().all(|name| table.stdout.contains(name)), "{table:#?}");
}

#[test]
fn a_lost_node_is_told_in_status() {
    let mut cluster = Cluster::line(2);
    let healthy = command(&["status"], &cluster.nodes[0].data());
    assert_eq!(healthy.code, Some(0), "{healthy:#?}");
    cluster.nodes[1].kill();
    let degraded = wait_for("the loss is noticed", LIMIT, || {
        let told = command(&["status"], &cluster.nodes[0].data());
        (told.code == Some(1)).then_some(told)
    });
    assert!(degraded.stdout.contains("lost"), "{degraded:#?}");
    let stopped = command(&["status"], &cluster.nodes[1].data());
    assert!(stopped.code.is_some_and(|code| code != 0) && stopped.stderr.contains("no node runs"), "{stopped:#?}");
}

/// Goal: joining needs no particular node: the one that made the invite is off, and another member admits by it.
#[test]
fn any_member_admits_while_the_inviter_is_off() {
    let a = Node::new("a", "");
    let b = Node::new("b", "");
    // Invites of a lead to both; what leads to itself leads nowhere while it is off.
    let both = format!("[link]\nadvertise = [\"{}\", \"{}\"]\n", a.link_address(), b.link_address());
    std::fs::write(a.config(), both).unwrap();
    let mut cluster = Cluster::chain(vec![a, b]);
    let invite = cluster.nodes[0].invite_of(&["--no-invite"]);
    cluster.nodes[0].stop();
    let (mut first, second) = (Node::new("first", ""), Node::new("second", ""));
    let joined = command(&["join", &invite], &first.data());
    assert_eq!(joined.code, Some(0), "{joined:#?}");
    let again = command(&["join", &invite], &second.data());
    assert!(again.code == Some(1) && again.stderr.contains("was used by"), "{again:#?}");
    first.start(&[]);
    wait_for("it reaches b", LIMIT, || (first.reaches() >= 1).then_some(()));
    let refused = command(&["invite"], &first.data());
    assert!(refused.code == Some(1) && refused.stderr.contains("no-invite"), "{refused:#?}");
}

/// Goal: nothing goes through a node that was invited without transit, which reaches both sides itself.
#[test]
fn nothing_goes_through_a_node_without_transit() {
    let (mut a, mut b, mut c) = (Node::new("a", ""), Node::new("b", ""), Node::new("c", ""));
    a.start(&[]);
    b.start(&["--join", &a.invite_of(&["--no-transit"])]);
    c.start(&["--join", &b.invite()]);
    wait_for("b reaches both", LIMIT, || (b.reaches() == 2).then_some(()));
    wait_for("both have heard of each other", LIMIT, || {
        (a.members().len() == 3 && c.members().len() == 3).then_some(())
    });
    assert_eq!((a.reaches(), c.reaches()), (1, 1));
    let listed = command(&["members"], &a.data());
    assert!(listed.stdout.lines().filter(|line| line.contains("no-transit")).count() == 2, "{listed:#?}");
}

/// Goal: who is revoked is cut off everywhere, at once where links lead, and elsewhere by a file; and is told why.
#[test]
fn a_revoked_member_is_out() {
    let cluster = Cluster::line(3);
    let file = cluster.nodes[0].data().with_extension("news");
    let path = file.display().to_string();
    let revoked = command(&["revoke", "c", "--file", &path], &cluster.nodes[0].data());
    assert_eq!(revoked.code, Some(0), "{revoked:#?}");
    assert!(revoked.stdout.contains("members no more: c ("), "{revoked:#?}");
    for at in [0, 1] {
        let node = &cluster.nodes[at];
        wait_for("c is out", LIMIT, || {
            let out = node.members().iter().any(|(name, state)| name == "c" && *state == MemberState::Revoked);
            (out && node.reaches() == 1).then_some(())
        });
    }
    wait_for("c knows why", LIMIT, || {
        cluster.nodes[2].status().problems.iter().any(|problem| problem.contains("has been revoked")).then_some(())
    });
    let imported = command(&["revoke", "--import", &path], &cluster.nodes[1].data());
    assert_eq!(imported.code, Some(0), "{imported:#?}");
    assert!(imported.stdout.contains("nobody who was a member until now"), "{imported:#?}");
}

/// Goal: the root's key leaves the node, which runs on without, and comes back.
#[test]
fn the_root_goes_offline_and_comes_back() {
    let mut node = Node::alone("");
    let (data, file) = (node.data(), node.data().with_extension("root"));
    let path = file.display().to_string();
    node.stop();
    let with_passphrase = |args: &[&str]| {
        let mut command = lattice();
        command.args(args).arg("--data").arg(&data).env("LATTICE_PASSPHRASE", "correct horse battery");
        run(&mut command, LIMIT)
    };
    let exported = with_passphrase(&["root", "export", &path]);
    assert_eq!(exported.code, Some(0), "{exported:#?}");
    assert!(!data.join("identity/root.key").exists());
    node.start(&[]);
    assert!(node.invite().starts_with("lat1:"), "its issuer does not need the root");
    node.stop();
    let again = with_passphrase(&["root", "export", &path]);
    assert!(again.code == Some(1) && again.stderr.contains("does not hold the root key"), "{again:#?}");
    let without = command(&["root", "import", &path], &data);
    assert!(without.code == Some(1) && without.stderr.contains("passphrase"), "{without:#?}");
    let imported = with_passphrase(&["root", "import", &path]);
    assert_eq!(imported.code, Some(0), "{imported:#?}");
    assert!(data.join("identity/root.key").exists());
    node.start(&[]);
}
