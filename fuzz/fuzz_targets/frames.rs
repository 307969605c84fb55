//! A peer sends any message.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| relink_sim::fuzz::frames(data));
