//! What a NATS client sends to a node, and what a server sends to our own small client.
#![no_main]

use lattice_broker::proto::client::{self, ServerOp};
use lattice_broker::proto::{Limits, Op, ParseError, Step, parse};
use lattice_fuzz::{Story, ends, split_input};
use libfuzzer_sys::fuzz_target;

/// Small, so that the fuzzer reaches them.
const LIMITS: Limits = Limits { line_max: 200, payload_max: 600 };

fuzz_target!(|data: &[u8]| {
    let Some((seed, stream)) = split_input(data) else { return };
    let server = |bytes: &[u8], story: &mut Story| read(bytes, story, |b| parse(b, &LIMITS), describe);
    let other = |bytes: &[u8], story: &mut Story| read(bytes, story, |b| client::parse(b, &LIMITS), describe_server);
    for reader in [&server as &dyn Fn(&[u8], &mut Story) -> usize, &other] {
        let mut whole = Story::default();
        reader(stream, &mut whole);
        let mut pieces = Story::default();
        let mut start = 0;
        for end in ends(stream.len(), seed) {
            start += reader(&stream[start..end], &mut pieces);
            if pieces.error.is_some() {
                break;
            }
        }
        assert_eq!(whole, pieces);
    }
});

/// Reads all operations that are whole, and returns how many bytes they had.
fn read<'a, T>(
    bytes: &'a [u8],
    story: &mut Story,
    parse: impl Fn(&'a [u8]) -> Result<Step<T>, ParseError>,
    describe: impl Fn(T) -> String,
) -> usize {
    let mut used = 0;
    loop {
        match parse(&bytes[used..]) {
            Ok(Step::Op { op, len }) => {
                assert!(len > 0 && used + len <= bytes.len(), "an operation of {len} bytes");
                story.ops.push(describe(op));
                used += len;
            }
            Ok(Step::Incomplete { need }) => {
                assert!(need > bytes.len() - used, "needs {need}, has {}", bytes.len() - used);
                assert!(need <= LIMITS.line_max + LIMITS.payload_max + 1_048_576, "would wait for {need} bytes");
                return used;
            }
            Err(error) => {
                story.fail(&error);
                return used;
            }
        }
    }
}

fn describe(op: Op<'_>) -> String {
    if let Op::Publish { message, .. } = op {
        assert!(message.header_len <= message.body.len() && message.body.len() <= LIMITS.payload_max);
    }
    format!("{op:?}")
}

fn describe_server(op: ServerOp<'_>) -> String {
    if let ServerOp::Message { message, .. } = op {
        assert!(message.header_len <= message.body.len());
    }
    format!("{op:?}")
}
