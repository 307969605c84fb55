//! Any messages are compressed, and any bytes decompressed.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| relink_sim::fuzz::deflate(data));
