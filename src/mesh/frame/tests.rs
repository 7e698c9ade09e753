use super::*;
use crate::identity::{Expelled, News, Succession};
use crate::mesh::id::NodeId;
use crate::mesh::interest::{Change, Key};
use crate::mesh::resequence::RANGES_MAX;
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

const DATA_MAX: usize = 2 << 20;

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..max)
}

#[derive(Clone, Debug)]
struct Message {
    numbers: (u8, u32, u64, u16, u16, u8, u32),
    destinations: Vec<(u32, u64, u16)>,
    picks: Vec<(Vec<u8>, usize, Option<u64>)>,
    via: Option<u64>,
    names: (Vec<u8>, Vec<u8>, Option<Vec<u8>>),
    body: Vec<u8>,
}

impl Message {
    fn header(&self) -> DataHeader<'_> {
        let (class, origin, boot, area, part, hops, reply_home) = self.numbers;
        let destinations = self.destinations.iter().map(|&(index, seq, life)| Destination { index, seq, life });
        let count = self.destinations.len();
        let picks = self.picks.iter().filter(|_| count > 0).map(|(group, position, via)| Target {
            group,
            position: (position % count) as u16,
            via: *via,
        });
        DataHeader {
            class,
            origin,
            boot,
            area,
            part,
            hops,
            row: hops % ROWS,
            destinations: destinations.collect(),
            picks: picks.collect(),
            via: self.via,
            reply_home,
            account: &self.names.0,
            subject: &self.names.1,
            reply: self.names.2.as_deref(),
            header_len: (self.body.len() / 2) as u32,
        }
    }
}

fn message() -> impl Strategy<Value = Message> {
    (
        any::<(u8, u32, u64, u16, u16, u8, u32)>(),
        vec((any::<u32>(), 1..=SEQ_MAX, any::<u16>()), 0..20),
        vec((bytes(9), any::<usize>(), any::<Option<u64>>()), 0..9),
        any::<Option<u64>>(),
        (bytes(9), bytes(300), proptest::option::of(bytes(60))),
        bytes(2000),
    )
        .prop_map(|(numbers, destinations, picks, via, names, body)| Message {
            numbers,
            destinations,
            picks,
            via,
            names,
            body,
        })
}

fn key() -> impl Strategy<Value = Arc<Key>> {
    (bytes(5), bytes(40), proptest::option::of(bytes(9)), any::<Option<u64>>()).prop_map(
        |(account, subject, queue, via)| {
            Arc::new(Key { account: account.into(), subject: subject.into(), queue: queue.map(Into::into), via })
        },
    )
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    vec((key(), any::<u32>()).prop_map(|(key, weight)| Change { key, weight }), 0..9)
}

fn node() -> impl Strategy<Value = NodeId> {
    any::<[u8; 32]>().prop_map(NodeId)
}

fn control() -> impl Strategy<Value = ControlFrame> {
    let hello = (any::<u16>(), node(), ".{0,99}", any::<u64>(), any::<[u8; 32]>(), any::<(u64, bool)>()).prop_map(
        |(protocol, node, name, boot, lattice, (features, has_link))| Hello {
            protocol,
            node,
            name,
            boot,
            lattice,
            features,
            has_link,
        },
    );
    let snapshot = (node(), any::<u64>(), any::<u64>(), any::<bool>(), changes()).prop_map(
        |(node, boot, version, first, entries)| Snapshot { node, boot, version, first, entries, more: More::Ask },
    );
    let want =
        (node(), any::<bool>(), any::<u64>(), proptest::option::of(key())).prop_map(|(node, lsa, have, after)| Want {
            node,
            lsa,
            interest: Some(WantInterest { boot: 1, have: Some(have), after }),
        });
    prop_oneof![
        hello.prop_map(ControlFrame::Hello),
        ".{0,99}".prop_map(|reason| ControlFrame::Goodbye(Goodbye { reason })),
        bytes(999).prop_map(ControlFrame::Lsa),
        (node(), any::<u64>(), any::<u64>(), changes())
            .prop_map(|(node, boot, from, changes)| ControlFrame::delta(&Delta { node, boot, from, changes })),
        snapshot.prop_map(ControlFrame::Snapshot),
        vec(
            (node(), any::<[u64; 3]>()).prop_map(|(node, [boot, seq, interest])| Known { node, boot, seq, interest }),
            0..9
        )
        .prop_map(ControlFrame::Summary),
        vec(want, 0..9).prop_map(ControlFrame::Pull),
        any::<u64>().prop_map(ControlFrame::Digest),
        Just(ControlFrame::Welcome),
        (any::<[[u8; 32]; 3]>(), vec(any::<[u8; 32]>(), 0..9), any::<u64>()).prop_map(
            |([old, new, expelled], list, at)| {
                let kept = list.clone();
                let steps = vec![Succession { old, new, kept, expelled, at, by_old: [1; 64], by_new: [2; 64] }];
                let expelled = list.into_iter().map(|node| Expelled { node, at }).collect();
                ControlFrame::Succession(News { steps, expelled })
            }
        ),
    ]
}

/// All frames of `stream`, read in pieces that end at `cuts`.
fn read(stream: &[u8], cuts: &[usize]) -> Result<Vec<(Kind, Vec<u8>)>, FrameError> {
    let mut reader = Reader::new(DATA_MAX);
    let mut frames = Vec::new();
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).chain([stream.len()]).collect();
    ends.sort_unstable();
    let mut start = 0;
    for end in ends {
        let mut piece = &stream[start..end];
        while let Some(raw) = reader.next(&mut piece)? {
            frames.push((raw.kind, raw.payload.to_vec()));
        }
        assert!(piece.is_empty(), "a reader that wants more has taken all");
        start = end;
    }
    Ok(frames)
}

proptest! {
    #[test]
    fn data_frames_round_trip(message in message()) {
        let mut out = Vec::new();
        message.header().encode(&message.body, &mut out);
        let mut input = out.as_slice();
        let mut reader = Reader::new(DATA_MAX);
        let raw = reader.next(&mut input).unwrap().unwrap();
        let (header, body) = DataHeader::decode(raw.payload).unwrap();
        prop_assert_eq!(header, message.header());
        prop_assert_eq!(body, &message.body);
    }

    #[test]
    fn control_frames_round_trip(frame in control()) {
        let encoded = frame.encode();
        let mut input = encoded.as_ref();
        let mut reader = Reader::new(DATA_MAX);
        prop_assert_eq!(ControlFrame::decode(reader.next(&mut input).unwrap().unwrap()).unwrap(), frame);
    }

    #[test]
    fn any_split_yields_the_same_frames(
        messages in vec(message(), 0..4), frames in vec(control(), 0..6), cuts in vec(any::<usize>(), 0..40),
    ) {
        let mut stream = Vec::new();
        for frame in &frames {
            stream.extend_from_slice(&frame.encode());
        }
        for message in &messages {
            message.header().encode(&message.body, &mut stream);
        }
        let whole = read(&stream, &[]).unwrap();
        prop_assert_eq!(whole.len(), messages.len() + frames.len());
        prop_assert_eq!(&read(&stream, &cuts).unwrap(), &whole);
        prop_assert_eq!(read(&stream, &(0..stream.len()).collect::<Vec<_>>()).unwrap(), whole);
    }

    #[test]
    fn garbage_is_an_error_or_a_frame(
        mut payload in bytes(300), kind in prop_oneof![1u8..10, Just(16u8)], stream in bytes(300), broken: (usize, u8),
        message in message(),
    ) {
        let _ = read(&stream, &[100]);
        payload.insert(0, codec::VERSION);
        let kind = Kind::from_byte(kind).unwrap();
        let _ = ControlFrame::decode(Raw { kind, payload: &payload });
        let _ = DataHeader::decode(&payload);
        let mut out = Vec::new();
        message.header().encode(&message.body, &mut out);
        let at = broken.0 % out.len();
        out[at] = broken.1;
        for (kind, payload) in read(&out, &[]).unwrap_or_default() {
            let _ = DataHeader::decode(&payload);
            let _ = ControlFrame::decode(Raw { kind, payload: &payload });
        }
    }

    #[test]
    fn a_subset_keeps_what_concerns_it(message in message(), keep: u32) {
        let whole = message.header();
        let positions: Vec<usize> = (0..whole.destinations.len()).filter(|p| keep >> p & 1 == 1).collect();
        let part = whole.subset(&positions);
        prop_assert_eq!(part.destinations.len(), positions.len());
        for (at, &position) in positions.iter().enumerate() {
            prop_assert_eq!(part.destinations[at], whole.destinations[position]);
            let groups = |header: &DataHeader<'_>, at| {
                header.picks_of(at).map(|pick| (pick.group.to_vec(), pick.via)).collect::<Vec<_>>()
            };
            prop_assert_eq!(groups(&part, at), groups(&whole, position));
        }
    }
}

#[test]
fn each_kind_has_its_limit() {
    let head = |kind: u8, len: u32| [&(len + 1).to_le_bytes()[..], &[kind]].concat();
    for (kind, len) in [(1, 4 << 10), (3, 16 << 10), (4, 64 << 10), (8, 64), (16, DATA_MAX as u32)] {
        assert!(read(&head(kind, len), &[]).unwrap().is_empty());
        assert!(matches!(read(&head(kind, len + 1), &[]), Err(FrameError::TooLong { .. })));
    }
    assert!(matches!(read(&[0; 4], &[]), Err(FrameError::NoKind)));
    assert!(matches!(read(&head(200, 1), &[]), Err(FrameError::UnknownKind(200))));
}

#[test]
fn a_header_that_contradicts_itself_is_refused() {
    let message = Message {
        numbers: (0, 1, 1, 0, 0, 9, 0),
        destinations: vec![(1, 1, 1)],
        picks: vec![],
        via: None,
        names: (b"a".to_vec(), b"s".to_vec(), None),
        body: b"body".to_vec(),
    };
    let refusal = |change: &dyn Fn(&mut DataHeader<'_>)| {
        let (mut header, mut out) = (message.header(), Vec::new());
        change(&mut header);
        header.encode(&message.body, &mut out);
        DataHeader::decode(&out[5..]).map(drop).unwrap_err().to_string()
    };
    assert_eq!(refusal(&|h| h.header_len = 5), "header block of 5 bytes in a body of 4");
    let stray = Target { group: b"q", position: 1, via: None };
    assert!(refusal(&|h| h.picks.push(stray)).contains("a queue group picked for no destination"));
    assert!(refusal(&|h| h.row = ROWS).contains("a row that no origin has"));
    assert!(refusal(&|h| h.destinations[0].seq = 0).contains("a number that no origin gives"));
    assert!(refusal(&|h| h.destinations[0].seq = SEQ_MAX + 1).contains("a number that no origin gives"));
    let many = Destination { index: 1, seq: 1, life: 1 };
    assert!(refusal(&|h| h.destinations.resize(DESTINATIONS_MAX + 1, many)).contains("a list longer than allowed"));
}

#[test]
fn a_small_message_costs_few_bytes_beside_itself() {
    let message = Message {
        numbers: (0, u32::MAX, 1 << 40, 0, 0, 32, 0),
        destinations: vec![(u32::MAX, 70_000, 1)],
        picks: vec![],
        via: None,
        names: (b"$G".to_vec(), b"subject.of.twenty.by".to_vec(), None),
        body: vec![0; 128],
    };
    let mut out = Vec::new();
    message.header().encode(&message.body, &mut out);
    assert!(out.len() - 128 - 20 <= 50, "{} bytes", out.len() - 128 - 20);
}

/// A fuzzer that begins with what is refused at once finds its way to the rest by luck alone.
#[test]
fn what_fuzzing_begins_with_is_understood() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/link_frames");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // The first two bytes choose how the rest is cut into pieces.
        let frames = read(&std::fs::read(&path).unwrap()[2..], &[]).unwrap();
        assert!(!frames.is_empty(), "{}", path.display());
        for (kind, payload) in frames {
            let decoded = if kind == Kind::Data {
                DataHeader::decode(&payload).map(drop)
            } else if matches!(kind, Kind::Ask | Kind::Mark) {
                RepairFrame::decode(Raw { kind, payload: &payload }).map(drop)
            } else if matches!(kind, Kind::Probe | Kind::Report) {
                TraceFrame::decode(Raw { kind, payload: &payload }).map(drop)
            } else {
                ControlFrame::decode(Raw { kind, payload: &payload }).map(drop)
            };
            assert!(decoded.is_ok(), "{kind:?} in {}: {decoded:?}", path.display());
        }
    }
}

fn repair() -> impl Strategy<Value = RepairFrame> {
    let ranges = || vec((1..=SEQ_MAX, 1..=SEQ_MAX), 0..=RANGES_MAX);
    prop_oneof![
        (any::<(u32, u8, u32, u16, u64)>(), 0..ROWS, ranges())
            .prop_map(|((to, hops, from, life, boot), row, ranges)| Ask { to, hops, from, life, boot, row, ranges })
            .prop_map(RepairFrame::Ask),
        (any::<(u32, u8, u32, u64, u16)>(), 0..ROWS, 0..=SEQ_MAX, ranges())
            .prop_map(|((to, hops, origin, boot, life), row, last, gone)| {
                Mark { to, hops, origin, boot, life, row, last, gone }
            })
            .prop_map(RepairFrame::Mark),
    ]
}

proptest! {
    #[test]
    fn questions_and_answers_are_read_as_written(frames in vec(repair(), 1..5)) {
        let mut out = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut out));
        let piece = Bytes::from(out);
        let read = split(&piece).map(|(kind, frame)| RepairFrame::decode(Raw { kind, payload: payload(&frame) }).unwrap());
        prop_assert_eq!(read.collect::<Vec<_>>(), frames);
        prop_assert_eq!(split(&piece).map(|(_, frame)| frame.len()).sum::<usize>(), piece.len());
        prop_assert_eq!(split(&piece.slice(..piece.len() - 1)).count() + 1, split(&piece).count());
    }
}

#[test]
fn questions_that_nobody_asks_are_refused() {
    let refusal = |ranges| {
        let (ask, mut out) = (Ask { to: 1, hops: 1, from: 2, life: 3, boot: 4, row: 5, ranges }, Vec::new());
        RepairFrame::Ask(ask).encode(&mut out);
        RepairFrame::decode(Raw { kind: Kind::Ask, payload: payload(&out) }).unwrap_err().to_string()
    };
    assert!(refusal(vec![(1, 1); RANGES_MAX + 1]).contains("more ranges of numbers than allowed"));
    assert!(refusal(vec![(1, u64::MAX)]).contains("a number that no origin gives"));
}

/// Goal: the longest line that there can be fits its frame.
#[test]
fn a_full_line_fits_its_frame() {
    use crate::identity::succession::{EXPELLED_MAX, KEPT_MAX, SUCCESSIONS_MAX};
    let far = Expelled { node: [9; 32], at: u64::MAX };
    let step = Succession {
        old: [1; 32],
        new: [2; 32],
        kept: vec![[3; 32]; KEPT_MAX],
        expelled: [4; 32],
        at: u64::MAX,
        by_old: [5; 64],
        by_new: [6; 64],
    };
    let news = News { steps: vec![step; SUCCESSIONS_MAX], expelled: vec![far; EXPELLED_MAX] };
    assert!(ControlFrame::Succession(news).encode().len() < LIST_MAX);
}
