use super::*;
use rand_core::SeedableRng;

fn rng() -> Rng {
    Rng::seed_from_u64(1)
}

fn member() -> (tempfile::TempDir, Folder, Identity) {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(&dir.path().join("data")).unwrap();
    let identity = Identity::generate_root(&mut rng(), "kitchen-pi");
    folder.create(&identity).unwrap();
    (dir, folder, identity)
}

#[test]
fn an_identity_comes_back() {
    let (_dir, folder, made) = member();
    let read = folder.identity().unwrap().unwrap();
    assert_eq!((read.node_id(), read.lattice(), read.chain()), (made.node_id(), made.lattice(), made.chain()));
    assert_eq!((read.name(), read.lattice_name()), ("kitchen-pi", "kitchen-pi"));
    assert!(read.can_invite() && read.has_root());
    let joined = read.admit(&mut rng(), "shed").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let other = Folder::open(dir.path()).unwrap();
    assert!(other.identity().unwrap().is_none());
    other.create(&joined).unwrap();
    let read = other.identity().unwrap().unwrap();
    assert!(read.can_invite() && !read.has_root());
    assert!(matches!(other.create(&joined), Err(FolderError::Member { .. })));
    assert!(matches!(other.applicant(&mut rng(), "x"), Err(FolderError::Member { .. })));
}

#[test]
fn each_start_has_a_higher_number() {
    let (_dir, folder, _) = member();
    let mut boots = Vec::new();
    for _ in 0..3 {
        let identity = folder.identity().unwrap().unwrap();
        boots.push(folder.count_boot(identity).unwrap().boot());
    }
    assert_eq!(boots, [1, 2, 3]);
}

#[cfg(unix)]
#[test]
fn nobody_else_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, folder, _) = member();
    let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("identity")), (0o700, 0o700));
    for file in ["node.key", "issuer.key", "root.key"] {
        assert_eq!(mode(&format!("identity/{file}")), 0o600);
    }
}

#[test]
fn two_never_share_it() {
    let (_dir, folder, _) = member();
    let error = Folder::open(folder.path()).unwrap_err();
    let text = error.advice().explain(&error);
    assert!(text.contains(&format!("(pid {})", std::process::id())), "{text}");
    assert!(text.contains(&folder.path().display().to_string()), "{text}");
    let path = folder.path().to_owned();
    drop(folder);
    Folder::open(&path).unwrap();
}

#[test]
fn damage_names_the_file() {
    let cut = |text: &[u8]| text[..text.len() / 2].to_vec();
    let swap = |text: &[u8]| text.iter().map(|b| if *b == b'A' { b'B' } else { *b }).collect();
    type Change = fn(&[u8]) -> Vec<u8>;
    let changes: [Change; 3] = [cut, swap, |_| Vec::new()];
    for file in ["node.key", "issuer.key", "root.key", "chain.pem", "issuer.pem"] {
        for change in changes {
            let (_dir, folder, _) = member();
            let path = folder.path().join("identity").join(file);
            let changed = change(&fs::read(&path).unwrap());
            fs::write(&path, changed).unwrap();
            assert_damaged(&folder, file);
        }
    }
    for file in ["node.key", "issuer.key", "chain.pem", "issuer.pem", "name", "lattice", "boot"] {
        let (_dir, folder, _) = member();
        fs::remove_file(folder.path().join("identity").join(file)).unwrap();
        assert_damaged(&folder, file);
    }
    for (file, content) in [("boot", "many\n"), ("boot", "12"), ("name", "two words\n"), ("name", "\n")] {
        let (_dir, folder, _) = member();
        fs::write(folder.path().join("identity").join(file), content).unwrap();
        assert_damaged(&folder, file);
    }
}

fn assert_damaged(folder: &Folder, name: &str) {
    match folder.identity() {
        Err(FolderError::Damaged { file, .. }) => assert!(file.ends_with(name), "{} instead of {name}", file.display()),
        other => panic!("{name}: {other:?}"),
    }
}

/// A crash between the files of a new identity leaves a new folder, not half a node.
#[test]
fn a_half_written_identity_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    make_dir(&dir.path().join("identity.new")).unwrap();
    fs::write(dir.path().join("identity.new/node.key"), "S").unwrap();
    assert!(folder.identity().unwrap().is_none());
    folder.create(&Identity::generate_root(&mut rng(), "a")).unwrap();
    assert!(folder.identity().unwrap().is_some());
}

#[test]
fn a_foreign_key_is_noticed() {
    let (_dir, folder, _) = member();
    let stranger = Key::from_seed(Kind::Node, [9; 32]);
    write_text(&folder.path().join("identity"), "node.key", &stranger.to_text()).unwrap();
    assert_damaged(&folder, "chain.pem");
}

#[test]
fn an_unanswered_applicant_keeps_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    let mut rng = rng();
    let first = folder.applicant(&mut rng, "a").unwrap();
    let again = folder.applicant(&mut rng, "b").unwrap();
    assert_eq!(first.application(), again.application());
    assert_eq!(again.name(), "b");
    fs::write(dir.path().join("joining/issuer.key"), "").unwrap();
    assert_ne!(folder.applicant(&mut rng, "c").unwrap().application(), first.application());
}

/// Goal: a rotation that is cut short anywhere leaves a root key to which the line leads, and deletes no key that may be the
/// only copy.
#[test]
fn a_rotation_is_there_whole_or_not_at_all() {
    use crate::identity::Roll;
    use crate::store::MemoryStore;
    use std::sync::Arc;
    let (_dir, folder, made) = member();
    let roll = Roll::open(&made, Arc::new(MemoryStore::default()), Arc::default()).unwrap();
    let rotation = made.rotate(&mut Rng::seed_from_u64(2), &roll, &[], 7).unwrap();
    let (old, new) = (made.root_key().unwrap().public(), rotation.root.public());
    let inner = folder.path().join("identity");
    let held = || {
        let read = folder.identity().unwrap().unwrap();
        (read.root_key().unwrap().public(), read.line().steps().len())
    };
    write_text(&inner, "root.next", &rotation.root.to_text()).unwrap();
    assert_eq!((held(), inner.join("root.next").exists()), ((old, 0), false), "nobody has heard of the new one");
    write_text(&inner, "root.next", &rotation.root.to_text()[..20]).unwrap();
    write_text(&inner, "roots", &rotation.line.to_text()).unwrap();
    assert_damaged(&folder, "root.next");
    assert!(inner.join("root.next").exists(), "what cannot be read is for a person to look at");
    write_text(&inner, "root.next", &rotation.root.to_text()).unwrap();
    assert_eq!((held(), inner.join("root.next").exists()), ((new, 1), false));
    folder.rotate(&rotation).unwrap();
    assert_eq!(held(), (new, 1));

    let line = rotation.line;
    folder.take_root().unwrap();
    let error = folder.put_root(&line, made.root_key().unwrap()).unwrap_err();
    assert!(matches!(error, FolderError::OldRoot { new: by } if by == new), "{error}");
    let stranger = Key::from_seed(Kind::Root, [9; 32]);
    assert!(matches!(folder.put_root(&line, &stranger), Err(FolderError::OtherRoot { .. })));
    folder.put_root(&line, &rotation.root).unwrap();
    assert_eq!(held(), (new, 1));
    write_text(&inner, "roots", "latroot2:AAAA").unwrap();
    assert_damaged(&folder, "roots");
}
