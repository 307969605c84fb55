//! Who is online.

use core::time::Duration;
use std::collections::BTreeMap;

use proptest::prelude::*;
use relink::Instant;
use relink_node::{Presence, PresenceChange, PresenceConfig};

use crate::support::{at, millis, secs};

#[test]
fn a09_back_inside_30_s_nobody_is_told() {
    let mut presence = online();
    presence.broken(&"ada", at(5_000));
    presence.handle_timeout(at(34_999));
    assert!(presence.is_online(&"ada"));
    assert_eq!(presence.poll_left(), None);
    assert_eq!(presence.online("ada"), PresenceChange::Unchanged);
    assert_eq!(presence.poll_timeout(), None);
    presence.handle_timeout(at(1_000_000));
    assert_eq!(presence.poll_left(), None);
}

#[test]
fn a09_after_30_s_the_others_are_told_and_told_again_on_return() {
    let mut presence = online();
    presence.broken(&"ada", at(5_000));
    assert_eq!(presence.poll_timeout(), Some(at(35_000)));
    presence.handle_timeout(at(35_000));
    assert_eq!((presence.poll_left(), presence.poll_left()), (Some("ada"), None));
    assert!(!presence.is_online(&"ada"));
    assert_eq!(presence.online("ada"), PresenceChange::Joined);
}

#[test]
fn a09_whoever_returns_before_anybody_was_told_was_never_away() {
    let mut presence = online();
    presence.broken(&"ada", at(0));
    presence.handle_timeout(at(40_000));
    assert_eq!(presence.poll_timeout(), None, "no deadline is handed out twice");
    assert_eq!(presence.online("ada"), PresenceChange::Unchanged);
    assert_eq!(presence.poll_left(), None, "or the others would be told in the wrong order");
    assert!(presence.is_online(&"ada"));
}

#[test]
fn a09_whoever_returns_late_and_drops_again_has_a_grace_of_its_own() {
    let mut presence = online();
    presence.broken(&"ada", at(0));
    presence.handle_timeout(at(40_000));
    assert_eq!(presence.online("ada"), PresenceChange::Unchanged);
    presence.broken(&"ada", at(41_000));
    assert_eq!(presence.poll_left(), None, "the new grace counts, not the old one");
    assert_eq!(presence.poll_timeout(), Some(at(71_000)));
}

#[test]
fn a_deliberate_end_is_told_at_once() {
    let mut presence = online();
    assert!(presence.left(&"ada"));
    assert!(presence.is_empty());
    assert!(!presence.left(&"ada"), "once");

    let mut presence = online();
    presence.broken(&"ada", at(0));
    assert!(presence.left(&"ada"), "also within the grace");
    assert_eq!(presence.poll_timeout(), None);
}

#[test]
fn somebody_with_several_connections_leaves_with_the_last() {
    let mut presence = online();
    assert_eq!(presence.online("ada"), PresenceChange::Unchanged);
    assert!(!presence.left(&"ada"));
    assert!(presence.left(&"ada"));

    let mut presence = online();
    let _ = presence.online("ada");
    presence.broken(&"ada", at(0));
    presence.handle_timeout(at(30_000));
    assert_eq!(presence.poll_left(), None, "the other one is up");
    presence.broken(&"ada", at(40_000));
    presence.handle_timeout(at(69_999));
    assert_eq!(presence.poll_left(), None);
    presence.handle_timeout(at(70_000));
    assert_eq!(presence.poll_left(), Some("ada"));
}

#[test]
fn a_telephone_in_a_tunnel_keeps_its_grace_when_the_laptop_is_closed() {
    let mut presence = online();
    let _ = presence.online("ada");
    presence.broken(&"ada", at(0));
    assert!(!presence.left(&"ada"));
    assert_eq!(presence.poll_timeout(), Some(at(30_000)));
    presence.handle_timeout(at(30_000));
    assert_eq!(presence.poll_left(), Some("ada"));
}

#[test]
fn a_link_that_broke_twice_has_one_grace_from_the_first_time() {
    let mut presence = online();
    presence.broken(&"ada", at(0));
    presence.broken(&"ada", at(20_000));
    presence.broken(&"nobody", at(20_000));
    assert_eq!(presence.poll_timeout(), Some(at(30_000)));
    assert_eq!(presence.len(), 1);
}

#[test]
fn a_hundred_thousand_who_come_and_go_stay_in_order() {
    let mut presence = Presence::new(PresenceConfig::default());
    for key in (0..100_000_u32).rev() {
        let _ = presence.online(key);
    }
    assert!(presence.iter().copied().eq(0..100_000));
    for key in 0..100_000 {
        presence.broken(&key, at(u64::from(100_000 - key)));
    }
    for key in (0..100_000).step_by(2) {
        let _ = presence.online(key);
    }
    presence.handle_timeout(at(500_000));
    let left: Vec<_> = core::iter::from_fn(|| presence.poll_left()).collect();
    assert!(
        left.iter().copied().eq((0..100_000).rev().filter(|key| key % 2 == 1)),
        "first broken, first told"
    );
    assert_eq!(presence.len(), 50_000);
}

#[test]
fn i32_senseless_numbers_and_times_are_survived() {
    let end = at(0) + Duration::MAX;
    for grace in [Duration::ZERO, secs(30), Duration::MAX] {
        let mut presence = Presence::new(PresenceConfig::default().with_grace(grace));
        for now in [at(10_000), end, at(0), end] {
            let _ = presence.online(1);
            presence.broken(&1, now);
            presence.handle_timeout(now);
            assert!(presence.poll_timeout().is_none_or(|due| due > now));
            let _ = presence.poll_left();
        }
    }
    assert_eq!(PresenceConfig::default().with_grace(Duration::ZERO).validate(), Ok(()));
    assert!(PresenceConfig::default().with_grace(Duration::MAX).validate().is_err());
}

/// How the model counts one member.
#[derive(Clone, Copy, Default)]
struct Counted {
    live: u32,
    broken: u32,
    last_break: Option<Instant>,
}

proptest! {
    /// What the others are told is what is so: joined and left alternate, and agree with plain
    /// counting.
    #[test]
    fn a09_what_the_others_are_told_agrees_with_plain_counting(
        steps in prop::collection::vec((0_u64..12_000, 0_u8..3, 0_u8..4), 1..300),
    ) {
        let mut presence = Presence::new(PresenceConfig::default());
        let mut model: BTreeMap<u8, Counted> = BTreeMap::new();
        let mut now = at(0);
        for (pause, key, what) in steps {
            let next = now + millis(pause);
            while let Some(due) = presence.poll_timeout().filter(|due| *due <= next) {
                presence.handle_timeout(due);
                let told: Vec<_> = core::iter::from_fn(|| presence.poll_left()).collect();
                let mut gone = Vec::new();
                for (key, counted) in &mut model {
                    if counted.last_break.is_some_and(|broke| broke + secs(30) <= due) {
                        counted.broken = 0;
                        counted.last_break = None;
                        if counted.live == 0 { gone.push(*key); }
                    }
                }
                model.retain(|key, _| !gone.contains(key));
                let mut told_in_order = told.clone();
                told_in_order.sort_unstable();
                prop_assert_eq!(told_in_order, gone);
            }
            now = next;
            let known = model.contains_key(&key);
            match what {
                0 => {
                    let joined = presence.online(key) == PresenceChange::Joined;
                    prop_assert_eq!(joined, !known);
                    let counted = model.entry(key).or_default();
                    counted.live += 1;
                    counted.broken = counted.broken.saturating_sub(1);
                    if counted.broken == 0 { counted.last_break = None; }
                }
                1 | 2 => {
                    presence.broken(&key, now);
                    if let Some(counted) = model.get_mut(&key).filter(|counted| counted.live > 0) {
                        counted.live -= 1;
                        counted.broken += 1;
                        counted.last_break = Some(now);
                    }
                }
                _ => {
                    let told = presence.left(&key);
                    let mut gone = false;
                    if let Some(counted) = model.get_mut(&key) {
                        if counted.live > 0 { counted.live -= 1 } else { counted.broken -= 1 }
                        if counted.broken == 0 { counted.last_break = None; }
                        gone = counted.live == 0 && counted.broken == 0;
                    }
                    if gone { model.remove(&key); }
                    prop_assert_eq!(told, gone);
                }
            }
            prop_assert!(presence.iter().eq(model.keys()));
        }
    }
}

fn online() -> Presence<&'static str> {
    let mut presence = Presence::new(PresenceConfig::default());
    assert_eq!(presence.online("ada"), PresenceChange::Joined);
    presence
}
