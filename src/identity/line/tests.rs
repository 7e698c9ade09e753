use super::*;
use crate::identity::nkey::Kind;
use crate::identity::succession::EXPELLED_MAX;
use crate::identity::{Identity, Key};
use lattice_broker::env::Rng;
use rand_core::{Rng as _, SeedableRng};

fn key(n: u8) -> Key {
    Key::from_seed(Kind::Root, [n; 32])
}

fn out(nodes: impl IntoIterator<Item = u8>) -> Vec<Expelled> {
    nodes.into_iter().map(|n| Expelled { node: [n; 32], at: n.into() }).collect()
}

fn sign(from: u8, to: u8, kept: Vec<[u8; 32]>, expelled: &[Expelled]) -> Succession {
    Succession::sign(key(0).public(), (&key(from), &key(to)), kept, expelled, from.into())
}

/// Key 0 hands over to key 1, that to key 2, and so on; each has revoked one node more.
fn line(steps: u8) -> Line {
    let all = (0..steps).map(|n| sign(n, n + 1, vec![[n; 32]], &out(0..n))).collect();
    Line::of(key(0).public(), all, Some(out(0..steps.saturating_sub(1)))).unwrap()
}

/// What a node has after it was told by another one.
fn merged(line: &Line, told: &Line) -> Line {
    line.grown(told).unwrap().unwrap_or_else(|| line.clone())
}

/// Goal: whoever hears of whom in what order and how often, all end with the longest line that one of them has, and with the
/// list of that one.
#[test]
fn lines_grow_alike_in_any_order() {
    let all: Vec<Line> = (0..7).map(line).collect();
    for seed in 0..60 {
        let mut rng = Rng::seed_from_u64(seed);
        let mut below = |n: usize| usize::try_from(rng.next_u64() % n as u64).unwrap();
        let mut nodes: Vec<Line> = (0..5).map(|_| all[below(7)].clone()).collect();
        // One has joined, and knows the keys alone.
        nodes[0] = nodes[0].keys_alone();
        let longest = nodes.iter().map(|line| line.steps().len()).max().unwrap();
        for _ in 0..30 {
            let (from, to) = (below(5), below(5));
            let before = nodes[to].clone();
            nodes[to] = merged(&before, &nodes[from]);
            assert!(nodes[to].steps().starts_with(before.steps()), "seed {seed}: a line only grows");
            let forgets = nodes[to].expelled().is_none() && before.expelled().is_some() && !before.steps().is_empty();
            assert!(!forgets, "seed {seed}: nobody is forgotten");
            assert_eq!(merged(&nodes[to], &nodes[from]), nodes[to], "seed {seed}: twice is once");
        }
        for _ in 0..5 {
            for at in 0..5 {
                // What goes over links.
                let Some(news) = nodes[at].news() else { continue };
                let told = Line::of(key(0).public(), news.steps, Some(news.expelled)).unwrap();
                nodes.iter_mut().for_each(|node| *node = merged(node, &told));
            }
        }
        let is_told = nodes.iter().any(|node| node.steps().len() == longest && node.expelled().is_some());
        assert!(!is_told || nodes.iter().all(|node| *node == all[longest]), "seed {seed}");
    }
}

/// Goal: who holds the old key cannot take away, by naming another heir, what a node has heard of before.
#[test]
fn the_heir_that_was_heard_of_first_stays() {
    let [genuine, later] = [line(1), line(2)];
    let of = |step: &Succession, list| Line::of(key(0).public(), vec![step.clone()], Some(list)).unwrap();
    let step = sign(0, 66, vec![[9; 32]], &[]);
    let stolen = of(&step, out([]));
    let rival = SuccessionError::Rival { old: step.old, ours: key(1).public().0, theirs: step.new };
    assert_eq!(genuine.grown(&stolen), Err(rival.clone()));
    assert_eq!(later.grown(&stolen), Err(rival), "nor later");
    assert_eq!(
        genuine.clone().with_rival(Some(key(66).public())).grown(&later).unwrap().unwrap().steps(),
        later.steps()
    );
    let other_list = of(&sign(0, 1, vec![[0; 32]], &out([7])), out([7]));
    assert!(matches!(genuine.grown(&other_list), Err(SuccessionError::Rival { .. })), "nor who is out");
    let other_kept = of(&sign(0, 1, vec![], &[]), out([]));
    assert!(matches!(genuine.grown(&other_kept), Err(SuccessionError::Rival { .. })), "nor what goes on");
    assert!(matches!(stolen.grown(&later), Err(SuccessionError::Rival { .. })));
}

#[test]
fn what_is_not_signed_by_both_is_none() {
    let genuine = line(1).steps()[0].clone();
    let of = |steps: &[Succession], list: Vec<Expelled>| Line::of(key(0).public(), steps.to_vec(), Some(list));
    let forged = [
        Succession { by_old: genuine.by_new, ..genuine.clone() },
        Succession { by_new: genuine.by_old, ..genuine.clone() },
        Succession { kept: vec![[7; 32]], ..genuine.clone() },
        Succession { kept: vec![[0; 32], [0; 32]], ..genuine.clone() },
        Succession { at: 5, ..genuine.clone() },
        Succession { new: key(0).public().0, ..genuine.clone() },
        sign(1, 2, vec![], &[]),
        Succession::sign(key(3).public(), (&key(0), &key(1)), vec![], &[], 0),
    ];
    for step in &forged {
        assert!(matches!(of(std::slice::from_ref(step), vec![]), Err(SuccessionError::Broken { .. })), "{step:?}");
    }
    let back = sign(1, 0, vec![], &[]);
    assert!(matches!(of(&[genuine.clone(), back], vec![]), Err(SuccessionError::Broken { .. })), "no key comes back");
    assert!(of(&[genuine], vec![]).is_ok());
}

/// Goal: who stays out is as much a part of it as the keys are: nobody can leave somebody out, or put somebody in.
#[test]
fn the_list_is_the_one_that_was_signed() {
    let listed = out([3, 5, 8]);
    let step = sign(0, 1, vec![], &listed);
    let of = |list: &[Expelled]| Line::of(key(0).public(), vec![step.clone()], Some(list.to_vec()));
    let line = of(&listed).unwrap();
    assert!([3, 5, 8].iter().all(|n| line.expels(NodeId([*n; 32]))) && !line.expels(NodeId([4; 32])));
    let later = Expelled { at: 9, ..listed[2] };
    for other in [&listed[1..], &out([3, 5, 7, 8]), &[], &[listed[0], listed[1], later], &out([5, 3, 8])] {
        assert!(matches!(of(other), Err(SuccessionError::Broken { .. })), "{other:?}");
    }
    let unordered = out([5, 3]);
    let step = sign(0, 1, vec![], &unordered);
    assert!(Line::of(key(0).public(), vec![step], Some(unordered)).is_err(), "also if it was signed so");
    let many: Vec<Expelled> = (0..=EXPELLED_MAX)
        .map(|n| Expelled { node: [&n.to_be_bytes()[..], &[0; 24]].concat().try_into().unwrap(), at: 0 })
        .collect();
    let of = |list: &[Expelled]| Line::of(key(0).public(), vec![sign(0, 1, vec![], list)], Some(list.to_vec()));
    assert!(of(&many).is_err() && of(&many[1..]).is_ok());
    assert!(Line::of(key(0).public(), vec![], Some(out([1]))).is_err(), "nobody is out before the first one");
}

#[test]
fn a_line_has_an_end() {
    let longest = line(u8::try_from(SUCCESSIONS_MAX).unwrap());
    let at = u8::try_from(SUCCESSIONS_MAX).unwrap();
    assert_eq!(longest.and(sign(at, at + 1, vec![], &[]), vec![]), Err(SuccessionError::Full));
}

/// Goal: of what the old key has signed only what was named goes on, and each later step has to name it again.
#[test]
fn what_goes_on_is_named_by_each_step() {
    let mut rng = Rng::seed_from_u64(1);
    let (a, x) = (Identity::generate_root(&mut rng, "a"), Identity::generate_root(&mut rng, "x"));
    let [ours, other] = [&a, &x].map(|who| who.membership().warrants()[0].clone());
    let line = Line::new(key(0).public());
    assert!(line.keeps(&ours) && line.keeps(&other));
    let line = line.and(sign(0, 1, vec![digest_of(&ours)], &[]), vec![]).unwrap();
    assert!(line.keeps(&ours) && !line.keeps(&other));
    let line = line.and(sign(1, 2, vec![digest_of(&other)], &[]), vec![]).unwrap();
    assert!(!line.keeps(&ours) && !line.keeps(&other));
}

#[test]
fn a_file_holds_the_line() {
    let line = line(3);
    let text = line.to_text();
    assert_eq!(Line::from_text(key(0).public(), &format!(" {text}\n")), Ok(line.clone()));
    assert_eq!(Line::from_text(key(0).public(), &line.keys_alone().to_text()), Ok(line.keys_alone()));
    let error = |text: &str| Line::from_text(key(0).public(), text).unwrap_err().to_string();
    assert!(error("latrev1:AAAA").contains("starts with \"latrev1:A\""));
    assert!(error(&text[..text.len() - 9]).contains("no succession"));
    assert!(Line::from_text(key(1).public(), &text).unwrap_err().to_string().contains("it is of lattice"));
}
