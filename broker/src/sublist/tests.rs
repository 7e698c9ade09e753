use super::*;
use crate::subject::matches;
use proptest::prelude::*;

fn ids(list: &Sublist<u64>, subject: &[u8]) -> Vec<u64> {
    let mut found = Vec::new();
    list.matching(subject, &mut |entries| {
        found.extend(entries.plain().iter().map(|(id, _)| *id));
        found.extend(entries.groups().flat_map(|(_, group)| group).map(|(id, _)| *id));
    });
    found.sort_unstable();
    found
}

#[test]
fn counts_are_per_filter_and_group() {
    let mut list = Sublist::default();
    assert_eq!(list.insert(b"a.*", None, 1, 1), 1);
    assert_eq!(list.insert(b"a.*", None, 2, 2), 2);
    assert_eq!(list.insert(b"a.*", Some(b"q"), 3, 3), 1);
    assert_eq!(list.remove(b"a.*", None, 9), None);
    assert_eq!(list.remove(b"b", None, 1), None);
    assert_eq!(list.remove(b"a.*", None, 1), Some(1));
    assert_eq!(list.remove(b"a.*", Some(b"q"), 3), Some(0));
    assert_eq!(list.remove(b"a.*", None, 2), Some(0));
    assert!(list.root.is_empty(), "nothing is left behind");
}

#[test]
fn members_have_absolute_weights() {
    let mut list = Sublist::<u64>::default();
    let key = MemberKey { neighbor: NeighborId(0), member: 4, detail: Detail::new(None, Some(b"q")) };
    assert_eq!(list.set_member(b"a", &key, 3).0, 0);
    assert_eq!(list.set_member(b"a", &key, 5).0, 3);
    assert_eq!(list.remove_member(b"a", &key).map(|removed| (removed.weight, removed.is_last)), Some((5, true)));
    assert_eq!(list.remove_member(b"a", &key), None);
    assert!(list.root.is_empty());
}

#[test]
fn the_walk_names_every_filter() {
    let mut list = Sublist::default();
    let filters: [&[u8]; 6] = [b">", b"*", b"*.x.>", b"a", b"a.b", b"a.>"];
    for (id, filter) in filters.iter().enumerate() {
        list.insert(filter, None, id as u64, ());
    }
    let mut seen = Vec::new();
    list.walk(&mut |filter, _| seen.push(filter.to_vec()));
    seen.sort();
    let mut expected: Vec<_> = filters.iter().map(|filter| filter.to_vec()).collect();
    expected.sort();
    assert_eq!(seen, expected);
}

fn filter() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("*"), Just("cc")], 1..4)
        .prop_flat_map(|tokens| (Just(tokens.join(".")), any::<bool>()))
        .prop_map(|(filter, tail)| if tail { format!("{filter}.>") } else { filter })
}

fn subject() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![4 => Just("a"), 4 => Just("b"), 2 => Just("cc"), 1 => Just("*"), 1 => Just("")],
        1..5,
    )
    .prop_map(|tokens| tokens.join("."))
}

proptest! {
    /// Goal: the trie finds what comparing with every filter finds, whatever was added and removed before.
    #[test]
    fn agrees_with_a_naive_matcher(
        adds in proptest::collection::vec((filter(), any::<bool>()), 0..40),
        removes in proptest::collection::vec(any::<proptest::sample::Index>(), 0..20),
        subjects in proptest::collection::vec(subject(), 1..20),
    ) {
        let mut list = Sublist::default();
        let mut naive: Vec<(u64, String, bool)> = Vec::new();
        for (id, (filter, queued)) in adds.into_iter().enumerate() {
            list.insert(filter.as_bytes(), queued.then_some(&b"q"[..]), id as u64, id as u64);
            naive.push((id as u64, filter, queued));
        }
        for index in removes {
            if !naive.is_empty() {
                let (id, filter, queued) = naive.remove(index.index(naive.len()));
                prop_assert!(list.remove(filter.as_bytes(), queued.then_some(&b"q"[..]), id).is_some());
            }
        }
        for subject in subjects {
            let expected: Vec<u64> = naive.iter()
                .filter(|(_, filter, _)| matches(filter.as_bytes(), subject.as_bytes()))
                .map(|(id, ..)| *id).collect();
            prop_assert_eq!(ids(&list, subject.as_bytes()), expected, "{}", subject);
        }
    }
}
