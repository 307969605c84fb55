//! Which connections have been silent for too long.

use core::time::Duration;
use std::collections::BTreeMap;

use proptest::prelude::*;
use relink::Instant;
use relink_node::{Liveness, LivenessConfig};

use crate::support::{at, millis, secs};

#[test]
fn w10_a_connection_silent_for_30_s_is_found_at_the_next_check() {
    let config = LivenessConfig::default();
    assert_eq!((config.silence, config.check_every), (secs(30), secs(10)));
    for watched_at in [0, 1, 4_999, 9_999, 10_000, 12_345] {
        let mut liveness = Liveness::new(config);
        liveness.watch('a', at(watched_at));
        let found = next_death(&mut liveness);
        assert!(found >= at(watched_at + 30_000), "{found:?} is too soon");
        assert!(found <= at(watched_at + 40_000), "{found:?} is too late");
    }
}

#[test]
fn w10_whoever_says_anything_lives_for_30_s_more() {
    let mut liveness = Liveness::new(LivenessConfig::default());
    liveness.watch('a', at(0));
    liveness.heard(&'a', at(29_999));
    let found = next_death(&mut liveness);
    assert!(found >= at(59_999) && found <= at(69_999), "{found:?}");
}

#[test]
fn w10_a_suspended_client_is_given_15_s_without_a_change_for_the_others() {
    let mut liveness = Liveness::new(LivenessConfig::default().with_check_every(secs(1)));
    liveness.watch("other", at(500));
    liveness.watch_for("suspended", secs(15), at(500));
    run_until(&mut liveness, at(15_499));
    assert_eq!(liveness.poll_dead(), None);
    run_until(&mut liveness, at(16_500));
    assert_eq!((liveness.poll_dead(), liveness.poll_dead()), (Some("suspended"), None));
    run_until(&mut liveness, at(31_500));
    assert_eq!(liveness.poll_dead(), Some("other"));
}

#[test]
fn w10_the_work_grows_with_the_connections_and_not_with_what_they_say() {
    const CONNECTIONS: u32 = 100_000;
    let minutes_10 = at(600_000);
    let mut liveness = Liveness::new(LivenessConfig::default());
    let mut now = at(0);
    for key in 0..CONNECTIONS {
        liveness.watch(key, now + millis(u64::from(key % 30_000)));
    }
    // Every second a thirtieth of them is heard; and one of them all the time.
    let mut second = 0;
    while now < minutes_10 {
        now = now + secs(1);
        second += 1;
        for key in (second % 30..CONNECTIONS).step_by(30) {
            liveness.heard(&key, now);
        }
        for _ in 0..1_000 {
            liveness.heard(&7, now);
        }
        if liveness.poll_timeout().is_some_and(|due| due <= now) {
            liveness.handle_timeout(now);
        }
    }
    let periods = 600 / 30;
    let most = 2 * u64::from(CONNECTIONS) * periods;
    assert!(liveness.examined() <= most, "{} looks, more than {most}", liveness.examined());
    assert_eq!((liveness.len(), liveness.poll_dead()), (CONNECTIONS as usize, None));
}

#[test]
fn i10_a_process_that_slept_gives_everybody_one_more_check() {
    let mut liveness = Liveness::new(LivenessConfig::default());
    for key in 0..1_000_u64 {
        liveness.watch(key, at(key * 10));
    }
    run_until(&mut liveness, at(10_000));
    let woke = at(3_600_000 + 9_500);
    liveness.handle_timeout(woke);
    assert_eq!(liveness.poll_dead(), None, "this side slept, not the peers");
    assert!(liveness.poll_timeout().is_some_and(|due| due > woke));

    liveness.heard(&7, woke + secs(9));
    let mut found = Vec::new();
    while found.is_empty() {
        let due = liveness.poll_timeout().unwrap();
        liveness.handle_timeout(due);
        found.extend(core::iter::from_fn(|| liveness.poll_dead()).map(|key| (due, key)));
    }
    assert!(
        found.iter().all(|(due, _)| *due - woke >= secs(10) && *due - woke <= secs(20)),
        "{:?}",
        found[0]
    );
    assert_eq!((found.len(), liveness.len()), (999, 1), "connections that were heard are alive");
}

#[test]
fn i10_those_whose_time_is_over_soon_after_the_sleep_are_excused_too() {
    let mut liveness = Liveness::new(LivenessConfig::default());
    liveness.watch('a', at(2_000)); // dead from 32 s on, found at 40 s
    liveness.handle_timeout(at(39_500)); // the check of 10 s
    liveness.handle_timeout(at(40_000));
    assert_eq!(liveness.poll_dead(), None);
    assert!(next_death(&mut liveness) >= at(49_500));
}

#[test]
fn a_timer_that_is_a_little_late_excuses_nobody() {
    let mut liveness = Liveness::new(LivenessConfig::default());
    liveness.watch('a', at(0));
    for check in [10_000, 20_000, 30_000] {
        liveness.handle_timeout(at(check + 4_999));
    }
    assert_eq!(liveness.poll_dead(), Some('a'));
}

#[test]
fn nobody_to_watch_is_no_sleep() {
    let mut liveness = Liveness::new(LivenessConfig::default());
    assert_eq!(liveness.poll_timeout(), None);
    liveness.watch('a', at(3_600_000));
    assert_eq!(liveness.poll_timeout(), Some(at(3_610_000)));
    assert_eq!(next_death(&mut liveness), at(3_630_000));
    assert_eq!(liveness.poll_timeout(), None);
}

#[test]
fn the_dead_come_in_the_order_of_their_keys_and_a_key_used_again_is_alive() {
    let mut liveness = Liveness::new(LivenessConfig::default());
    for key in [5, 3, 4, 1, 2] {
        liveness.watch(key, at(0));
    }
    run_until(&mut liveness, at(30_000));
    liveness.forget(&3);
    liveness.watch(4, at(30_000));
    let dead: Vec<_> = core::iter::from_fn(|| liveness.poll_dead()).collect();
    assert_eq!((dead, liveness.len()), (vec![1, 2, 5], 1));
}

#[test]
fn i32_the_ends_of_time_and_senseless_numbers_are_survived() {
    let end = at(0) + Duration::MAX;
    for config in [
        LivenessConfig::default().with_silence(Duration::ZERO).with_check_every(Duration::ZERO),
        LivenessConfig::default().with_silence(Duration::MAX).with_check_every(Duration::MAX),
        LivenessConfig::default(),
    ] {
        let mut liveness = Liveness::new(config);
        for now in [at(5_000), end, at(0), end] {
            liveness.watch(1, now);
            liveness.heard(&1, now);
            liveness.handle_timeout(now);
            assert!(liveness.poll_timeout().is_none_or(|due| due > now), "{config:?} at {now:?}");
        }
    }
    assert!(LivenessConfig::default().with_silence(Duration::ZERO).validate().is_err());
    assert!(LivenessConfig::default().with_check_every(Duration::MAX).validate().is_err());
    assert_eq!(LivenessConfig::default().validate(), Ok(()));
}

proptest! {
    /// Compared with a model that only knows when each connection was last heard.
    #[test]
    fn w10_nobody_is_found_too_soon_or_too_late(
        steps in prop::collection::vec((0_u64..4_000, 0_u8..8, 0_u8..4), 1..400),
    ) {
        let mut liveness = Liveness::new(LivenessConfig::default());
        let mut model: BTreeMap<u8, Instant> = BTreeMap::new();
        let mut now = at(0);
        for (pause, key, what) in steps {
            let next = now + millis(pause);
            while let Some(due) = liveness.poll_timeout().filter(|due| *due <= next) {
                now = now.max(due);
                liveness.handle_timeout(now);
                while let Some(key) = liveness.poll_dead() {
                    let heard = model.remove(&key).expect("only who is watched is found");
                    prop_assert!(now - heard >= secs(30), "{key} too soon");
                }
                prop_assert!(model.values().all(|heard| now - *heard < secs(40)), "a dead connection was not found");
            }
            now = next;
            match what {
                0 => { liveness.watch(key, now); model.insert(key, now); }
                1 => { liveness.forget(&key); model.remove(&key); }
                _ => {
                    liveness.heard(&key, now);
                    if let Some(heard) = model.get_mut(&key) { *heard = now; }
                }
            }
            prop_assert_eq!(liveness.len(), model.len());
        }
    }
}

/// Makes every check up to `end` when it is due.
fn run_until<K: Ord + Clone>(liveness: &mut Liveness<K>, end: Instant) {
    while let Some(due) = liveness.poll_timeout().filter(|due| *due <= end) {
        liveness.handle_timeout(due);
    }
}

/// When the next connection is found dead if none is heard.
fn next_death<K: Ord + Clone>(liveness: &mut Liveness<K>) -> Instant {
    loop {
        let due = liveness.poll_timeout().expect("a connection is watched");
        liveness.handle_timeout(due);
        if liveness.poll_dead().is_some() {
            return due;
        }
    }
}
