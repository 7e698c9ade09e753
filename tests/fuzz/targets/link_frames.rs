//! What another node sends on a link: it is a member, and may be broken or hostile all the same.
#![no_main]

use lattice::mesh::frame::{ControlFrame, DataHeader, Kind, Raw, Reader, RepairFrame, TraceFrame};
use lattice::mesh::lsdb::Lsa;
use lattice_fuzz::{Story, ends, split_input};
use libfuzzer_sys::fuzz_target;

/// Small, so that the fuzzer reaches it.
const DATA_MAX: usize = 2_000;

fuzz_target!(|data: &[u8]| {
    let Some((seed, stream)) = split_input(data) else { return };
    let mut whole = Story::default();
    read(&mut Reader::new(DATA_MAX), stream, &mut whole);
    let mut pieces = Story::default();
    let mut reader = Reader::new(DATA_MAX);
    let mut start = 0;
    for end in ends(stream.len(), seed) {
        read(&mut reader, &stream[start..end], &mut pieces);
        start = end;
        if pieces.error.is_some() {
            break;
        }
    }
    assert_eq!(whole, pieces);
});

fn read(reader: &mut Reader, mut input: &[u8], story: &mut Story) {
    loop {
        match reader.next(&mut input) {
            Ok(Some(raw)) => {
                assert!(raw.payload.len() <= raw.kind.payload_max(DATA_MAX));
                story.ops.push(format!("{raw:?}"));
                decode(raw);
            }
            Ok(None) => {
                assert!(input.is_empty(), "all is used up or kept");
                return;
            }
            Err(error) => return story.fail(&error),
        }
    }
}

/// What can be decoded, encodes to what decodes to the same.
fn decode(raw: Raw<'_>) {
    if matches!(raw.kind, Kind::Ask | Kind::Mark) {
        if let Ok(frame) = RepairFrame::decode(raw) {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            let again = first(&bytes, |raw| RepairFrame::decode(raw).expect("what we write we can read"));
            assert_eq!(frame, again);
        }
        return;
    }
    if matches!(raw.kind, Kind::Probe | Kind::Report) {
        if let Ok(frame) = TraceFrame::decode(raw) {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            let again = first(&bytes, |raw| TraceFrame::decode(raw).expect("what we write we can read"));
            assert_eq!(frame, again);
        }
        return;
    }
    if raw.kind != Kind::Data {
        if let Ok(frame) = ControlFrame::decode(raw) {
            let bytes = frame.encode();
            let again = first(&bytes, |raw| ControlFrame::decode(raw).expect("what we write we can read"));
            assert_eq!(frame, again);
            if let ControlFrame::Lsa(signed) = &frame {
                announcement(signed);
            }
        }
        return;
    }
    if let Ok((header, body)) = DataHeader::decode(raw.payload) {
        assert!(header.header_len as usize <= body.len());
        let mut bytes = Vec::new();
        header.encode(body, &mut bytes);
        let again = first(&bytes, |raw| {
            let again = DataHeader::decode(raw.payload).expect("what we write we can read");
            format!("{again:?}")
        });
        assert_eq!(again, format!("{:?}", (&header, body)));
        // What a hop does with it: every second destination goes another way.
        let count = header.destinations.len();
        let split: Vec<usize> = (0..count).step_by(2).collect();
        let part = header.subset(&split);
        assert_eq!(part.destinations.len(), split.len());
        assert!(part.picks.iter().all(|pick| usize::from(pick.position) < split.len()));
        let picks: usize = (0..count).map(|position| header.picks_of(position).count()).sum();
        assert!(picks <= header.picks.len());
    }
}

/// An announcement that decodes can be written again; whether its signature is good is found out without harm.
fn announcement(signed: &[u8]) {
    let Ok(lsa) = Lsa::decode(signed) else { return };
    let written = lsa.sign(&|_: &[u8]| [0; 64]);
    assert_eq!(Lsa::decode(&written).expect("what we write we can read"), lsa);
    drop(lsa.verify(signed));
}

/// The one frame in `bytes`. A header that was padded may come out shorter, never longer than the link allows.
fn first<T>(mut bytes: &[u8], use_it: impl FnOnce(Raw<'_>) -> T) -> T {
    let mut reader = Reader::new(2 * DATA_MAX);
    let raw = reader.next(&mut bytes).expect("what we write is a frame").expect("and a whole one");
    use_it(raw)
}
