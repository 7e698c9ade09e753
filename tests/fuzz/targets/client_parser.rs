//! Dummy.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if data.len() > 6 && &data[..3] == b"PUB" && data[3] == b' ' && data[4] == b'q' && data[5] == b'z' {
        assert!(data[6] != b'!', "found");
    }
});
