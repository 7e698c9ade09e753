//! What a real server sends on a leaf link.
#![no_main]

use lattice_broker::leaf::{Op, Parser, ParserLimits, Step};
use lattice_fuzz::{Story, ends, split_input};
use libfuzzer_sys::fuzz_target;

/// Small, so that the fuzzer reaches them.
const LIMITS: ParserLimits = ParserLimits { control_line_bytes_max: 200, payload_bytes_max: 600 };

fuzz_target!(|data: &[u8]| {
    let Some((seed, stream)) = split_input(data) else { return };
    let mut whole = Story::default();
    read(&mut Parser::new(LIMITS), stream, &mut whole);
    let mut pieces = Story::default();
    let mut parser = Parser::new(LIMITS);
    let mut start = 0;
    for end in ends(stream.len(), seed) {
        start += read(&mut parser, &stream[start..end], &mut pieces);
        if pieces.error.is_some() {
            break;
        }
    }
    assert_eq!(whole, pieces);
});

/// Reads all operations that are whole, and returns how many bytes were used up.
fn read(parser: &mut Parser, bytes: &[u8], story: &mut Story) -> usize {
    let mut used = 0;
    loop {
        match parser.step(&bytes[used..]) {
            Ok(Step::Op { op, used: len }) => {
                assert!(len > 0 && used + len <= bytes.len(), "an operation of {len} bytes");
                if let Op::Message(message) = op {
                    assert!(message.message.header_len <= message.message.body.len());
                    assert!(message.message.body.len() <= LIMITS.payload_bytes_max);
                }
                story.ops.push(format!("{op:?}"));
                used += len;
            }
            Ok(Step::Skip { used: len }) => {
                assert!(len > 0 && used + len <= bytes.len(), "skips {len} bytes");
                used += len;
            }
            Ok(Step::More { need }) => {
                assert!(need > bytes.len() - used, "needs {need}, has {}", bytes.len() - used);
                assert!(need <= 4 * (LIMITS.control_line_bytes_max + LIMITS.payload_bytes_max), "waits for {need}");
                return used;
            }
            Err(error) => {
                story.fail(&error);
                return used;
            }
        }
    }
}
