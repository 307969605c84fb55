//! Both halves of `relink.v1` under faults: what is sent arrives once and in order, what is
//! reported is true, and nothing is left behind. Each test has its kind of faults, and all rules
//! are checked in each world. Time is virtual.
//!
//! `RELINK_WORLDS` is the number of worlds of each kind, 40 by default; `just worlds` runs 10,000
//! in all, optimized.

use std::env;

use relink_sim::world::{self, Profile, Report};

/// Seeds that found a mistake: each fails again without its fix.
const FOUND: [(Profile, u64); 17] = [
    // A process that resumed a session gave its messages serials that other messages, still in
    // flight, had: they were acknowledged, and lost.
    (Profile::Mixed, 22),
    (Profile::Nodes, 44),
    (Profile::Short, 197),
    (Profile::Cuts, 304),
    // A client with a heartbeat every 30 s was taken for dead after 30 s of silence.
    (Profile::Mixed, 727),
    // A slow store carried out an abandoned hello after the next one: the client was closed as
    // replaced, which is final.
    (Profile::Short, 374),
    (Profile::Frames, 912),
    (Profile::Nodes, 1085),
    // A client that subscribed twice, as the answer was late, began at the top the second time, and
    // missed what lay between.
    (Profile::Nodes, 166),
    (Profile::Frames, 175),
    (Profile::Mixed, 524),
    // A client that unsubscribed while it had no link, and whose node was dead, remained a member
    // for ever.
    (Profile::Nodes, 1),
    (Profile::Mixed, 2),
    // The late answer to an abandoned subscription was taken for the answer to the next one.
    (Profile::Frames, 781),
    (Profile::Frames, 939),
    // The store failed three times to keep a session, and was not asked again: the session of a
    // connected client expired.
    (Profile::Nodes, 967),
    (Profile::Members, 1077),
];

#[test]
fn i24_i25_i26_what_was_found_stays_mended() {
    for (profile, seed) in FOUND {
        run(profile, seed);
    }
}

#[test]
fn i21_i24_i25_i26_whatever_goes_wrong_each_message_has_its_effect_once_and_is_seen_by_all() {
    let total = worlds(Profile::Mixed);
    assert!(total.refused > 0 && total.gaps > 0 && total.duplicates > 0, "{total:?}");
}

#[test]
fn i25_whatever_is_cut_sessions_go_on_and_nothing_is_lost() {
    let total = worlds(Profile::Cuts);
    assert!(total.resumed > total.worlds, "{total:?}");
}

#[test]
fn i26_whatever_frames_are_lost_doubled_or_late_gaps_and_duplicates_are_found() {
    let total = worlds(Profile::Frames);
    assert!(total.gaps > total.worlds / 2 && total.duplicates > total.worlds, "{total:?}");
}

#[test]
fn i21_i25_whichever_nodes_and_stores_fail_each_message_has_its_effect_once() {
    let total = worlds(Profile::Nodes);
    assert!(total.resumed > total.worlds, "{total:?}");
}

#[test]
fn i24_i26_what_is_lost_for_want_of_room_or_time_is_told() {
    let total = worlds(Profile::Short);
    assert!(total.refused > total.worlds / 4, "{total:?}");
}

#[test]
fn a09_i27_whoever_is_back_in_time_is_missed_by_nobody_and_nobody_stays_as_a_ghost() {
    let total = worlds(Profile::Members);
    assert!(total.resumed > total.worlds, "{total:?}");
}

#[test]
fn i21_i26_however_long_handlers_take_and_however_large_messages_are_each_has_its_effect_once() {
    let total = worlds(Profile::Burdens);
    assert!(total.resumed > total.worlds && total.too_large > total.worlds / 2, "{total:?}");
}

#[test]
fn the_same_seed_gives_the_same_world() {
    for seed in 0..20 {
        assert_eq!(run(Profile::Mixed, seed), run(Profile::Mixed, seed));
    }
}

fn worlds(profile: Profile) -> Report {
    let mut total = Report::default();
    for seed in 0..how_many() {
        total.add(run(profile, seed));
    }
    assert!(
        total.acknowledged > 50 * total.worlds && total.taken > 100 * total.worlds,
        "too little happened: {total:?}"
    );
    total
}

fn run(profile: Profile, seed: u64) -> Report {
    world::run(profile, seed).unwrap_or_else(|failure| panic!("{failure}"))
}

/// Worlds of each kind. The kinds run side by side.
fn how_many() -> u64 {
    let Some(told) = env::var_os("RELINK_WORLDS") else { return 40 };
    let number = told.to_str().and_then(|told| told.parse().ok()).filter(|number| *number > 0);
    number.unwrap_or_else(|| panic!("RELINK_WORLDS is not a count: {told:?}"))
}
