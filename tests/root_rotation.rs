//! A root key that is replaced: three processes in a line, as a person does it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]

mod support;

use lattice::status::{MemberState, Roots};
use support::cluster::{Cluster, Node, command};
use support::{LIMIT, wait_for};

/// What `lattice root show` tells.
fn roots(node: &Node) -> Roots {
    let told = command(&["root", "show", "--json"], &node.data());
    serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:#?}"))
}

fn ok(args: &[&str], node: &Node) -> String {
    let done = command(args, &node.data());
    assert_eq!(done.code, Some(0), "{args:?}: {done:#?}");
    done.stdout
}

fn hears(node: &Node, keys: usize) -> Roots {
    wait_for("it hears of the new root key", LIMIT, || Some(roots(node)).filter(|roots| roots.keys.len() == keys))
}

fn path(folder: &tempfile::TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

/// Goal: A – B – C with C away while the key is replaced: all stay members, C hears of it when it comes back, and what is
/// made with a copy of the old key afterwards is refused by each of them.
#[test]
fn all_stay_members_and_the_old_key_is_worth_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (copy, news) = (path(&folder, "copy"), path(&folder, "news"));
    let mut cluster = Cluster::line(3);
    cluster.nodes[2].stop();
    cluster.nodes[0].stop();
    let [a, b, c] = &mut cluster.nodes[..] else { panic!("three nodes") };
    ok(&["root", "export", &copy, "--keep", "--plain"], a);
    let told = ok(&["root", "rotate", "--file", &news], a);
    assert!(told.contains("3 members stay") && told.contains("the root key is now O"), "{told}");
    assert!(std::fs::read_to_string(&news).unwrap().starts_with("latroot2:"));
    a.start(&[]);
    assert!(hears(a, 2).here);
    let shown = ok(&["root", "show"], a);
    assert!(shown.contains("nobody tells nodes of releases that know of no successions"), "{shown}");
    let at_b = wait_for("b tells who is away", LIMIT, || Some(hears(b, 2)).filter(|roots| roots.away == ["c"]));
    assert!(!at_b.here, "{at_b:#?}");
    assert_eq!(at_b.keys, roots(a).keys);
    c.start(&[]);
    assert_eq!(hears(c, 2).keys, at_b.keys);
    cluster.wait_formed();
    let [a, b, c] = &mut cluster.nodes[..] else { panic!("three nodes") };
    for node in [&*a, b, c] {
        assert!(node.members().iter().all(|(_, state)| *state != MemberState::Revoked));
        wait_for("nothing is wrong", LIMIT, || node.status().problems.is_empty().then_some(()));
    }
    // C, which is four steps from any root key, admits as before.
    let mut d = Node::new("d", "");
    d.start(&["--join", &c.invite()]);
    wait_for("d is one of them", LIMIT, || (d.reaches() == 3).then_some(()));
    assert_eq!(roots(&d).keys, at_b.keys);

    // The new key revokes; a copy of the old one is refused wherever it is brought.
    b.stop();
    let old = command(&["root", "import", &copy], &b.data());
    assert!(old.stderr.contains("it has been replaced by O") && old.stderr.contains("E0129"), "{old:#?}");
    let again = command(&["root", "rotate"], &b.data());
    assert!(again.stderr.contains("this node does not hold the root key"), "{again:#?}");
    b.start(&[]);
    ok(&["revoke", "d"], a);
    for node in [&*a, b, c] {
        wait_for("d is out", LIMIT, || node.members().contains(&("d".to_owned(), MemberState::Revoked)).then_some(()));
    }
    let events = ok(&["events", "--json"], c);
    assert!(events.contains("root_replaced"), "{events}");
}

/// Goal: a thief with a copy of the data folder's old root key makes members, and names an heir of his own: whoever has
/// heard of the owner's heir before is not impressed, and the one that the thief reached first comes back by its user's word.
#[test]
fn a_thief_with_the_old_key_gets_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let [copy, ours, theirs, before] = ["copy", "ours", "theirs", "before"].map(|name| path(&folder, name));
    let mut cluster = Cluster::line(2);
    for node in &mut cluster.nodes {
        node.stop();
    }
    let [a, b] = &mut cluster.nodes[..] else { panic!("two nodes") };
    ok(&["root", "export", &copy, "--keep", "--plain"], a);
    // The thief works on a member's folder.
    ok(&["root", "import", &copy], b);
    ok(&["root", "rotate", "--file", &theirs], b);
    let taken = command(&["root", "rotate", "--file", &theirs], &a.data());
    assert!(taken.code == Some(1) && taken.stderr.contains("nothing has changed"), "{taken:#?}");
    assert_eq!(roots(a).keys.len(), 1);
    ok(&["root", "show", "--file", &before], a);
    ok(&["root", "rotate", "--file", &ours], a);
    let (key_of_a, first) = (roots(a).keys[1].key.clone(), roots(a).keys[0].key.clone());
    let refused = command(&["root", "follow", &theirs], &a.data());
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(refused.stderr.contains("has another successor here") && refused.stderr.contains("E0125"), "{refused:#?}");

    a.start(&[]);
    b.start(&[]);
    let problem = |node: &Node| {
        wait_for("it says that there are two", LIMIT, || {
            node.status().problems.into_iter().find(|problem| problem.contains("two successors"))
        })
    };
    problem(a);
    problem(b);
    let told = command(&["root", "show"], &b.data());
    assert!(told.code == Some(1) && told.stdout.contains("refused: O"), "{told:#?}");
    let refused = |args: &[&str], why: &str| {
        let refused = command(&[&["root", "follow"], args].concat(), &b.data());
        assert!(refused.code == Some(1) && refused.stderr.contains(why), "{refused:#?}");
    };
    refused(&[&theirs, "--instead", &key_of_a], "E0142");
    refused(&[&ours, "--instead", "OAB"], "E0142");
    refused(&[&before, "--instead", &first], "E0143");
    ok(&["root", "follow", &ours, "--instead", &key_of_a[..8]], b);
    assert_eq!(roots(b).keys, roots(a).keys);
    wait_for("they are one", LIMIT, || (a.reaches() == 1 && b.reaches() == 1).then_some(()));
    b.stop();
    b.start(&[]);
    assert_eq!(
        (roots(b).keys, roots(b).here),
        (roots(a).keys, false),
        "its own copy of the thief's key speaks for nobody"
    );
    b.stop();
    let warned = command(&["root", "export", &path(&folder, "worthless"), "--plain"], &b.data());
    assert!(warned.code == Some(0) && warned.stderr.contains("speaks for the lattice no more"), "{warned:#?}");
}

/// Goal: whom the old key has revoked is named, and stays out by the new one, but who is pardoned.
#[test]
fn the_revoked_stay_out_but_who_is_pardoned() {
    let folder = tempfile::tempdir().unwrap();
    let [copy, key] = ["copy", "key"].map(|name| path(&folder, name));
    let mut cluster = Cluster::line(3);
    let is_revoked = |node: &Node, name: &str| node.members().contains(&(name.to_owned(), MemberState::Revoked));
    ok(&["revoke", "c"], &cluster.nodes[0]);
    let mut d = Node::new("d", "");
    d.start(&["--join", &cluster.nodes[0].invite()]);
    wait_for("d is one of them", LIMIT, || (d.reaches() == 2).then_some(()));
    ok(&["revoke", "d"], &cluster.nodes[0]);
    wait_for("b knows", LIMIT, || ["c", "d"].iter().all(|name| is_revoked(&cluster.nodes[1], name)).then_some(()));
    let [a, b, _] = &mut cluster.nodes[..] else { panic!("three nodes") };
    a.stop();
    b.stop();
    ok(&["root", "export", &copy, "--keep", "--plain"], a);
    let told = ok(&["root", "rotate", "--pardon", "d"], a);
    assert!(told.contains("revoked by the old key, and still: c (") && told.contains("pardoned: d ("), "{told}");
    // With the key goes the line that leads to it, so that it can be put where nobody has heard of that.
    ok(&["root", "export", &key, "--plain"], a);
    assert!(!roots(b).here && roots(b).keys.len() == 1);
    ok(&["root", "import", &copy], b);
    ok(&["root", "import", &key], b);
    assert!(roots(b).here && roots(b).keys == roots(a).keys);
    assert!(is_revoked(b, "c") && !is_revoked(b, "d"));
    d.stop();
    a.start(&[]);
    b.start(&[]);
    d.start(&[]);
    wait_for("d is back", LIMIT, || (d.reaches() == 2).then_some(()));
    for node in [&*a, b, &d] {
        assert!(is_revoked(node, "c") && !is_revoked(node, "d"), "{:?}", node.members());
    }
    // Who has joined by an invite from after it takes no copy of the old one.
    let mut e = Node::new("e", "");
    e.start(&["--join", &b.invite()]);
    e.stop();
    let refused = command(&["root", "import", &copy], &e.data());
    assert!(refused.code == Some(1) && refused.stderr.contains("E0129"), "{refused:#?}");
}

#[test]
fn what_is_no_root_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(&folder, "file");
    let mut node = Node::alone("");
    let running = command(&["root", "rotate"], &node.data());
    assert!(running.code == Some(1) && running.stderr.contains("a node runs on"), "{running:#?}");
    std::fs::write(&file, "hello\n").unwrap();
    let misread = command(&["root", "follow", &file], &node.data());
    assert!(misread.code == Some(1) && misread.stderr.contains("E0127"), "{misread:#?}");
    let missing = command(&["root", "follow", &path(&folder, "none")], &node.data());
    assert!(missing.code == Some(1) && missing.stderr.contains("cannot read root keys from"), "{missing:#?}");
    let id = node.status().id;
    node.stop();
    let news = path(&folder, "news");
    let unknown = command(&["root", "rotate", "--pardon", "nobody", "--file", &news], &node.data());
    assert!(unknown.code == Some(1) && unknown.stderr.contains("no member \"nobody\" is known"), "{unknown:#?}");
    let innocent = command(&["root", "rotate", "--pardon", &id, "--file", &news], &node.data());
    assert!(innocent.code == Some(1) && innocent.stderr.contains("E0145"), "{innocent:#?}");
    assert!(roots(&node).keys.len() == 1 && !std::path::Path::new(&news).exists(), "nothing has changed");
}
