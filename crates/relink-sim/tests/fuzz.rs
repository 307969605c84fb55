//! The bodies of the fuzz targets, on random bytes: a short run with every `cargo test`.

use rand_pcg::Pcg32;
use relink::rand_core::{Rng, SeedableRng};
use relink_sim::fuzz;

#[test]
fn i32_nothing_breaks_a_link() {
    inputs(300, 600).for_each(|data| fuzz::link(&data));
}

/// Found by libFuzzer: a connection that is made and lost at the last instant of the clock.
#[test]
fn i32_a_loss_at_the_end_of_time_is_a_loss() {
    fuzz::link(&[
        0, 10, 61, 19, 255, 255, 255, 91, 31, 255, 171, 36, 0, 0, 0, 11, 228, 195, 195, 195, 195,
        195, 196, 91, 75, 91, 116, 91, 91, 91, 175, 175, 175, 175, 175, 175, 175, 175, 91, 31, 255,
        171, 36, 116, 0, 195, 195, 195, 195, 196, 91, 75, 91, 116, 91, 91, 91, 175, 175, 175, 175,
        175, 175, 175, 175, 91, 31, 255, 171, 36, 116, 116, 116,
    ]);
}

#[test]
fn i21_nothing_breaks_a_session() {
    inputs(300, 600).for_each(|data| fuzz::session(&data));
}

#[test]
fn any_numbers_make_a_configuration_or_a_mistake() {
    inputs(1_500, 200).for_each(|data| fuzz::config(&data));
}

#[test]
fn w11_any_message_is_a_frame_or_refused() {
    inputs(1_500, 100).for_each(|data| fuzz::frames(&data));
}

#[test]
fn any_bytes_of_a_peer_are_read_as_tungstenite_reads_them() {
    inputs(20_000, 1_500).for_each(|data| fuzz::wire(&data));
}

#[test]
fn whatever_is_compressed_comes_as_it_was_and_nonsense_is_an_error() {
    inputs(1_000, 400).for_each(|data| fuzz::deflate(&data));
}

/// An empty buffer, two of 64 equal bytes, and this many random ones, each shorter than `longest`.
fn inputs(buffers: u64, longest: u32) -> impl Iterator<Item = Vec<u8>> {
    let edges = [vec![], vec![0; 64], vec![u8::MAX; 64]];
    edges.into_iter().chain((0..buffers).map(move |seed| {
        let mut dice = Pcg32::seed_from_u64(seed);
        let mut data = vec![0; (dice.next_u32() % longest) as usize];
        dice.fill_bytes(&mut data);
        data
    }))
}
