//! When the clients of a node that shuts down come back. The clients are real links, with their own
//! jitter.

use core::ops::Range;
use core::time::Duration;

use rand_pcg::Pcg32;
use relink::link::{Action, HandshakeEvent, Input, LinkEvent, RetryAfter};
use relink::rand_core::SeedableRng;
use relink::{CloseCode, Instant, Link, LinkConfig};
use relink_node::{Drain, DrainConfig};

use crate::support::{at, millis, secs};

/// Ten thousand clients and a capacity of 200 a second: 20 in a tenth of a second on average. More
/// is chance, as the jitter of the clients makes their arrivals independent of each other.
#[test]
fn w12_the_fullest_tenth_of_a_second_holds_at_most_twice_what_can_be_taken() {
    for fleet in 0..5 {
        let drain = Drain::new(DrainConfig::default(), 10_000);
        let arrivals = arrivals(drain, fleet * 10_000..(fleet + 1) * 10_000);
        let mut tenths = [0; 700];
        for time in &arrivals {
            tenths[usize::try_from(time.as_millis() / 100).unwrap()] += 1;
        }
        let fullest_tenth = tenths.into_iter().max().unwrap_or(0);
        assert!(fullest_tenth <= 40, "{fullest_tenth} arrive in the fullest 100 ms");
        let fullest_second = fullest(&arrivals, secs(1));
        assert!(
            fullest_second <= 250,
            "{fullest_second} arrive in the fullest second, where 200 can be taken"
        );
        assert!(arrivals[0] >= secs(1) && arrivals[9_999] <= secs(62), "{:?}", arrivals[9_999]);
    }
}

/// A small fleet and a low capacity: ten in a tenth of a second, so that chance weighs more than in
/// a large one.
#[test]
fn w12_a_node_that_lingers_hands_its_clients_over_one_by_one() {
    let config = DrainConfig::default().with_capacity_per_second(100).with_linger(secs(20));
    for fleet in 0..20 {
        let arrivals = arrivals(Drain::new(config, 1_000), fleet * 1_000..(fleet + 1) * 1_000);
        let mut tenths = [0; 120];
        for time in &arrivals {
            tenths[usize::try_from(time.as_millis() / 100).unwrap()] += 1;
        }
        let fullest_tenth = tenths.into_iter().max().unwrap_or(0);
        assert!(fullest_tenth <= 20, "{fullest_tenth} arrive in the fullest 100 ms");
    }
    let mut drain = Drain::new(config, 1_000);
    for number in 0..1_000 {
        let turn = drain.next_turn();
        assert_eq!(
            (turn.after, turn.hint),
            (millis(10 * number), secs(1)),
            "away for a second, and no longer"
        );
    }
    assert_eq!(drain.lasts(), millis(9_990 + 1_200));
}

#[test]
fn w12_who_has_no_turn_while_a_node_lingers_is_told_at_its_end() {
    let config = DrainConfig::default().with_capacity_per_second(1).with_linger(secs(3));
    let mut drain = Drain::new(config, 6);
    let turns: Vec<_> =
        (0..6).map(|_| drain.next_turn()).map(|turn| (turn.after, turn.hint)).collect();
    let after = [0, 1, 2, 3, 3, 3].map(secs);
    let hints = [1, 1, 1, 1, 2, 3].map(secs);
    assert_eq!(turns, after.into_iter().zip(hints).collect::<Vec<_>>());
    assert!(
        Drain::new(config, 250).fits() && !Drain::new(config, 254).fits(),
        "3 s more than without"
    );
}

#[test]
fn w12_a_drain_that_needs_all_the_time_there_is_does_not_pile_up_at_its_end() {
    // 24,900 connections, 100 a second: hints to 250 s, which the clients' spread makes 300 s.
    let config = DrainConfig::default().with_capacity_per_second(100);
    let drain = Drain::new(config, 24_900);
    assert!(drain.fits());
    assert!(drain.lasts() <= secs(300) && drain.lasts() > secs(299), "{:?}", drain.lasts());
    let arrivals = arrivals(drain, 0..24_900);
    assert!(fullest(&arrivals, secs(1)) <= 140, "{}", fullest(&arrivals, secs(1)));
    assert!(arrivals[24_899] <= secs(300));
}

#[test]
fn w12_more_than_there_is_time_for_come_faster_but_evenly() {
    let config = DrainConfig::default().with_capacity_per_second(10);
    let drain = Drain::new(config, 10_000);
    assert!(!drain.fits(), "1,000 s are wanted");
    let arrivals = arrivals(drain, 0..10_000);
    let mean = 10_000 / 249;
    assert!(fullest(&arrivals, secs(1)) <= 2 * mean);
    assert!(arrivals[9_999] <= secs(300));
}

#[test]
fn w12_a_few_connections_are_back_almost_at_once() {
    let mut drain = Drain::new(DrainConfig::default(), 4);
    let hints: Vec<_> = (0..5).map(|_| drain.next_turn().hint).collect();
    assert_eq!(
        hints,
        [1_000, 1_005, 1_010, 1_015, 1_000].map(millis),
        "an unannounced connection starts over"
    );
    assert_eq!(Drain::new(DrainConfig::default(), 0).next_turn().hint, secs(1));
}

#[test]
fn m12_no_hint_is_longer_than_a_client_honors() {
    let client = RetryAfter::default();
    let config = DrainConfig::default();
    assert_eq!((config.max, config.spread_pct), (client.max, client.spread_pct));
    for connections in [1, 100, 60_000, 10_000_000, usize::MAX] {
        let mut drain = Drain::new(config, connections);
        assert!(drain.lasts() <= client.max, "{connections}: {:?}", drain.lasts());
        assert_eq!(drain.next_turn().hint, config.base);
    }
}

#[test]
fn i32_senseless_configurations_are_refused_and_survived() {
    let default = DrainConfig::default();
    assert_eq!(default.validate(), Ok(()));
    for wrong in [
        default.with_capacity_per_second(0),
        default.with_base(Duration::ZERO),
        default.with_base(secs(300)),
        default.with_max(secs(1)),
        default.with_max(Duration::MAX),
        default.with_linger(Duration::MAX),
        default.with_spread_pct(u32::MAX),
        default.with_base(Duration::MAX).with_max(Duration::MAX),
    ] {
        assert!(wrong.validate().is_err(), "{wrong:?}");
        let mut drain = Drain::new(wrong, 1_000);
        for _ in 0..1_001 {
            let _ = drain.next_turn();
        }
        let _ = (drain.lasts(), drain.fits());
    }
}

/// When each client is back, in order: each is notified in its turn, and closed with 1001.
fn arrivals(mut drain: Drain, clients: Range<u64>) -> Vec<Duration> {
    let mut arrivals: Vec<_> = clients
        .map(|seed| {
            let turn = drain.next_turn();
            turn.after + returns_after(turn.hint, seed)
        })
        .collect();
    arrivals.sort_unstable();
    arrivals
}

/// How long a link stays away after this hint.
fn returns_after(hint: Duration, seed: u64) -> Duration {
    let mut link = Link::new(LinkConfig::default(), 1, Pcg32::seed_from_u64(seed))
        .expect("a valid configuration");
    let now = at(60_000);
    give(&mut link, Input::Connect, at(0));
    let id = link.transport().expect("an attempt");
    give(&mut link, Input::Opened { id }, at(0));
    give(&mut link, Input::MarkStable, at(0));
    give(
        &mut link,
        Input::Handshake { id, event: HandshakeEvent::GoingAway { retry_after: hint } },
        now,
    );
    give(&mut link, Input::PeerClosed { id, code: CloseCode::GOING_AWAY }, now)
        .expect("it comes back")
}

/// Handles an input; returns the delay of the next attempt.
fn give(link: &mut Link<Pcg32>, input: Input, now: Instant) -> Option<Duration> {
    let mut wait = None;
    link.handle(input, now).expect("all actions were taken");
    while let Some(action) = link.poll_action() {
        if let Action::Event(LinkEvent::Disconnected { retry_in, .. }) = action {
            wait = retry_in;
        }
    }
    wait
}

/// The highest number of the sorted times within any window of this width.
fn fullest(times: &[Duration], width: Duration) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (last, time) in times.iter().enumerate() {
        while *time - times[first] >= width {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}
