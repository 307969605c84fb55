//! How long until the next attempt.

use core::time::Duration;

use relink::link::{HandshakeEvent, RetryAfter};
use relink::policy::{Curve, DelayTable, Jitter, Schedule, Window};
use relink::{Backoff, LinkConfig};

use crate::support::{dice, fail, link, millis, open, peer_closes, secs, stable};

const YEAR: Duration = secs(365 * 24 * 3600);
const RETRIES: [u32; 8] = [1, 2, 3, 10, 40, 1021, 3000, u32::MAX];

#[test]
fn d05_linear_from_zero() {
    let every = |increment, cap| {
        Backoff::default()
            .with_first(Some(Duration::ZERO))
            .with_curve(Curve::Linear { initial: increment, step: increment })
            .with_jitter(Jitter::None)
            .with_cap(cap)
    };
    let waits = |backoff| stable(LinkConfig::default().with_backoff(backoff)).fail(6);
    assert_eq!(waits(every(secs(10), secs(30))), [0, 10, 20, 30, 30, 30].map(secs));
    assert_eq!(waits(every(secs(2), secs(180))), [0, 2, 4, 6, 8, 10].map(secs));
}

#[test]
fn s01_a_table_of_delays() {
    let table = DelayTable::new(&[1, 2, 4, 8, 16].map(secs)).unwrap();
    let backoff = Backoff::default()
        .with_curve(Curve::Table(table))
        .with_jitter(Jitter::None)
        .with_first(None);
    let mut sim = stable(LinkConfig::default().with_backoff(backoff));
    assert_eq!(sim.fail(7), [1, 2, 4, 8, 16, 16, 16].map(secs), "the last one repeats");
}

#[test]
fn m01_doubled_from_half_a_second_to_thirty_seconds_give_or_take_a_fifth() {
    let backoff = Backoff::default()
        .with_curve(Curve::Exponential { initial: millis(500), factor_pct: 200 })
        .with_jitter(Jitter::Spread { pct: 20 })
        .with_cap(secs(30));
    let windows = (1..=8).map(|retry| ends(backoff.window(retry, Duration::ZERO)));
    assert!(windows.eq([
        (400, 600),
        (800, 1_200),
        (1_600, 2_400),
        (3_200, 4_800),
        (6_400, 9_600),
        (12_800, 19_200),
        (18_000, 30_000), // 32 s, capped at 30 s: the cap holds for the jitter too, and the width stays
        (18_000, 30_000),
    ]));
}

#[test]
fn w02_additive_jitter_reaches_beyond_the_cap_of_the_curve() {
    let backoff = Backoff::default()
        .with_curve(Curve::Exponential { initial: secs(1), factor_pct: 200 })
        .with_jitter(Jitter::Additive { pct: 30 })
        .with_curve_cap(Some(secs(30)))
        .with_cap(secs(39));
    let windows = (1..=7).map(|retry| ends(backoff.window(retry, Duration::ZERO)));
    assert!(windows.eq([
        (1_000, 1_300),
        (2_000, 2_600),
        (4_000, 5_200),
        (8_000, 10_400),
        (16_000, 20_800),
        (30_000, 39_000),
        (30_000, 39_000),
    ]));
}

#[test]
fn each_jitter_lies_where_its_name_says() {
    let window = |jitter| ends(fixed(secs(10)).with_jitter(jitter).window(1, Duration::ZERO));
    assert_eq!(window(Jitter::None), (10_000, 10_000));
    assert_eq!(window(Jitter::Full), (250, 10_000), "from the floor, in effect");
    assert_eq!(window(Jitter::Equal), (5_000, 10_000));
    assert_eq!(window(Jitter::Spread { pct: 50 }), (5_000, 15_000));
    assert_eq!(window(Jitter::Additive { pct: 50 }), (10_000, 15_000));
}

#[test]
fn a_linear_curve_starts_where_it_is_told_and_at_the_floor_where_that_is_zero() {
    let linear = |initial| {
        Backoff::default()
            .with_jitter(Jitter::None)
            .with_curve(Curve::Linear { initial, step: secs(3) })
    };
    let delays =
        |backoff: Backoff| [1, 2, 3, 99].map(|retry| backoff.window(retry, Duration::ZERO).from);
    assert_eq!(delays(linear(secs(1))), [1, 4, 7, 20].map(secs));
    assert_eq!(delays(linear(Duration::ZERO)), [millis(250), secs(3), secs(6), secs(20)]);
}

#[test]
fn i07_no_delay_leaves_its_bounds() {
    let mut checked = 0;
    let mut rng = dice(1);
    for backoff in every_curve_and_jitter() {
        for (retry, previous) in
            RETRIES.into_iter().flat_map(|retry| [(retry, Duration::ZERO), (retry, YEAR)])
        {
            let window = backoff.window(retry, previous);
            for _ in 0..8 {
                let delay = window.draw(&mut rng);
                assert!(
                    delay >= backoff.floor && delay <= backoff.cap,
                    "{delay:?} at {retry} of {backoff:?}"
                );
                assert!(delay >= window.from && delay <= window.to);
                checked += 1;
            }
        }
    }
    assert!(checked > 10_000, "only {checked} delays were drawn");
}

#[test]
fn i07_the_window_keeps_its_width_at_the_cap() {
    let at_cap = |jitter| {
        let backoff = Backoff::default().with_jitter(jitter).with_cap(secs(20));
        ends(backoff.window(3000, Duration::ZERO))
    };
    assert_eq!(at_cap(Jitter::Full), (250, 20_000));
    assert_eq!(at_cap(Jitter::Equal), (10_000, 20_000));
    assert_eq!(at_cap(Jitter::Spread { pct: 20 }), (12_000, 20_000));
    assert_eq!(at_cap(Jitter::Additive { pct: 30 }), (14_000, 20_000));
    assert_eq!(ends(decorrelated().window(3000, secs(20))), (1_000, 20_000));
}

#[test]
fn i07_draws_are_even_over_the_window() {
    for jitter in
        [Jitter::Full, Jitter::Equal, Jitter::Spread { pct: 20 }, Jitter::Additive { pct: 30 }]
    {
        let window = fixed(secs(10)).with_jitter(jitter).window(1, Duration::ZERO);
        let (from, to) = (window.from.as_nanos(), window.to.as_nanos());
        let mut tenths = [0_u32; 10];
        let mut sum = 0;
        let mut rng = dice(2);
        for _ in 0..20_000 {
            let delay = window.draw(&mut rng).as_nanos();
            sum += delay;
            tenths[usize::try_from((delay - from) * 10 / (to - from + 1)).unwrap()] += 1;
        }
        let (mean, middle) = (sum / 20_000, from.midpoint(to));
        assert!(
            mean.abs_diff(middle) < (to - from) / 100,
            "{jitter:?}: the mean is {mean}, not {middle}"
        );
        assert!(
            tenths.iter().all(|count| (1_800..=2_200).contains(count)),
            "{jitter:?}: {tenths:?}"
        );
    }
}

#[test]
fn i07_each_attempt_and_each_link_draws_anew() {
    let draws = |seed| {
        let mut rng = dice(seed);
        [0; 100].map(|_| Backoff::default().window(50, Duration::ZERO).draw(&mut rng))
    };
    let (one, other) = (draws(1), draws(2));
    assert!(one.windows(2).all(|pair| pair[0] != pair[1]), "the same delay twice in a row");
    assert!(one.iter().zip(&other).all(|(one, other)| one != other), "two links in step");
    assert_eq!(one, draws(1), "the same seed must replay");
}

#[test]
fn w23_a_fleet_at_the_cap_is_spread_over_time() {
    let window = Backoff::default().window(100, Duration::ZERO);
    let mut buckets = vec![0; 100];
    for seed in 0..4_000 {
        let delay = window.draw(&mut dice(seed)) - window.from;
        buckets[usize::try_from(delay.as_millis() / 100).unwrap().min(99)] += 1;
    }
    let fullest = buckets.iter().max().unwrap();
    assert!(*fullest <= 80, "{fullest} of 4000 come back within the same 100 ms; the mean is 40");
}

#[test]
fn i08_extremes_neither_overflow_nor_vanish() {
    let extremes = [
        Curve::Exponential { initial: YEAR, factor_pct: 10_000 },
        Curve::Exponential { initial: millis(1), factor_pct: 100 },
        Curve::Exponential { initial: millis(1), factor_pct: 101 },
        Curve::Linear { initial: YEAR, step: YEAR },
        Curve::Linear { initial: Duration::MAX, step: Duration::MAX },
        Curve::Fixed { delay: Duration::MAX },
        Curve::Decorrelated { initial: YEAR, factor_pct: 10_000 },
    ];
    for curve in extremes {
        for jitter in [Jitter::None, Jitter::Full, Jitter::Additive { pct: 1_000 }] {
            let backoff = Backoff::default().with_curve(curve).with_jitter(jitter).with_cap(YEAR);
            let window = backoff.window(u32::MAX, Duration::MAX);
            assert!(
                window.from >= backoff.floor && window.to <= YEAR,
                "{curve:?} {jitter:?}: {window:?}"
            );
        }
    }
    let slow = Backoff::default().with_curve(extremes[2]).with_jitter(Jitter::None).with_cap(YEAR);
    assert_eq!(
        slow.window(u32::MAX, Duration::ZERO).to,
        YEAR,
        "one percent of growth gets there too"
    );
}

#[test]
fn i07_a_decorrelated_delay_follows_the_one_before() {
    let backoff = decorrelated();
    assert_eq!(ends(backoff.window(1, Duration::ZERO)), (1_000, 3_000));
    assert_eq!(ends(backoff.window(2, secs(2))), (1_000, 6_000));
    assert_eq!(ends(backoff.window(3, secs(5))), (1_000, 15_000));
    let mut schedule = Schedule::default();
    let mut rng = dice(3);
    let delays: Vec<_> = (0..2_000)
        .map(|_| {
            let delay = schedule.next_window(&backoff).draw(&mut rng);
            schedule.record(delay);
            delay
        })
        .collect();
    for pair in delays.windows(2) {
        assert!(pair[1] >= secs(1) && pair[1] <= (pair[0] * 3).min(secs(20)), "{pair:?}");
    }
    let long = delays.iter().filter(|delay| **delay > secs(10)).count();
    assert!((200..1_000).contains(&long), "{long} of 2000 are in the upper half");
}

#[test]
fn i07_a_link_remembers_the_delay_that_a_decorrelated_one_follows() {
    let mut sim = stable(LinkConfig::default().with_backoff(decorrelated()));
    let waits = sim.fail(100);
    let beyond_the_second = waits.iter().filter(|wait| **wait > secs(9)).count();
    assert!(beyond_the_second > 10, "{waits:?}");
}

#[test]
fn i06_only_the_first_attempt_after_a_stable_link_goes_below_the_floor() {
    let at_once = Backoff::default().with_first(Some(Duration::ZERO)).with_floor(secs(1));
    let config = LinkConfig::default().with_backoff(at_once);
    let mut sim = stable(config);
    assert_eq!(fail(&mut sim), Some(Duration::ZERO));
    assert!(fail(&mut sim).unwrap() >= secs(1), "the second attempt in a row");

    let mut unstable = link(config);
    unstable.connect();
    open(&mut unstable);
    assert!(fail(&mut unstable).unwrap() >= secs(1), "a link that was open, and not yet stable");
}

#[test]
fn i07_the_first_delay_stays_below_the_cap() {
    let wide = Backoff::default().with_first(Some(secs(60))).with_cap(secs(5));
    assert_eq!(ends(wide.first_window()), (0, 5_000));
    assert_eq!(ends(Backoff::default().first_window()), (0, 1_000));
    let off = Backoff::default().with_first(None);
    assert_eq!(off.first_window(), off.window(1, Duration::ZERO));
}

#[test]
fn i07_a_quick_return_stays_between_floor_and_cap() {
    let mut policy = relink::ClosePolicy::default();
    policy.set_close(4900..=4900, relink::Verdict::RetryNow).unwrap();
    let tight = Backoff::default().with_floor(secs(2)).with_cap(secs(3));
    let mut sim = stable(LinkConfig::default().with_backoff(tight).with_close_policy(policy));
    for _ in 0..50 {
        let wait = peer_closes(&mut sim, 4900).unwrap();
        assert!(wait >= secs(2) && wait <= secs(3), "{wait:?}");
        sim.next_attempt();
    }
}

#[test]
fn i08_three_thousand_failures_in_a_row_stay_within_bounds() {
    let mut sim = stable(LinkConfig::default());
    let waits = sim.fail(3_000);
    let backoff = Backoff::default();
    assert!(waits[1..].iter().all(|wait| *wait >= backoff.floor && *wait <= backoff.cap));
    assert!(
        waits[100..].iter().all(|wait| *wait >= secs(10)),
        "at the cap the upper half is drawn"
    );
}

#[test]
fn i05_the_shortest_default_delays_keep_a_flapping_server_to_five_dials_in_twenty_seconds() {
    let backoff = Backoff::default();
    let shortest: Duration = (1..=5).map(|retry| backoff.window(retry, Duration::ZERO).from).sum();
    assert_eq!(shortest, millis(750 + 1_500 + 3_000 + 6_000 + 10_000));
    assert!(shortest > secs(20), "the sixth dial comes within 20 s");
}

#[test]
fn i29_a_server_s_word_is_clamped_at_both_ends_and_spread() {
    let told = |seconds: u64, retry_after: RetryAfter| {
        let mut sim = stable(LinkConfig::default().with_retry_after(retry_after));
        let signal = HandshakeEvent::GoingAway { retry_after: secs(seconds) };
        sim.peer().handshake(signal);
        peer_closes(&mut sim, 1001).unwrap()
    };
    let honored = RetryAfter::default();
    assert!((secs(60)..=secs(72)).contains(&told(60, honored)));
    assert!(
        (secs(240)..=secs(300)).contains(&told(86_400, honored)),
        "no server sends a client away for a day"
    );
    assert!(told(0, honored) >= Backoff::default().floor);
    assert_eq!(
        told(1, honored.with_spread_pct(0)),
        secs(1),
        "after a stable link, the curve has no say in it"
    );
    assert!(
        told(60, honored.with_honor(false)) <= secs(1),
        "not honored, it is like any other loss"
    );
    let spread: std::collections::BTreeSet<_> =
        (60..80).map(|seconds| told(seconds, honored) - secs(seconds)).collect();
    assert!(spread.len() > 10, "{spread:?}");
}

#[test]
fn i29_a_server_s_word_is_about_the_next_attempt_and_no_later_one() {
    let config = LinkConfig::default();
    let config = config.with_handshake(config.handshake.with_authentication(Some(secs(5))));
    let mut sim = link(config);
    sim.connect();
    sim.peer().accept();
    let going_away = HandshakeEvent::GoingAway { retry_after: secs(60) };
    sim.peer().handshake(going_away);
    sim.peer().handshake(HandshakeEvent::Authenticated);
    sim.mark_stable();
    assert!(fail(&mut sim).unwrap() <= secs(1), "the link was usable in the meantime");

    let after = |waited: u64| {
        let mut sim = stable(LinkConfig::default());
        sim.peer().handshake(going_away);
        sim.sleep(secs(waited));
        peer_closes(&mut sim, 1001).unwrap()
    };
    assert!((secs(40)..=secs(48)).contains(&after(20)), "what is left of the minute");
    assert!(after(61) <= secs(1), "its time is over");
}

#[test]
fn s01_a_table_refuses_what_it_cannot_hold() {
    let message = |delays: &[Duration]| DelayTable::new(delays).unwrap_err().to_string();
    assert_eq!(
        message(&[]),
        "backoff.curve.table (number of delays) is 0, but it must be at least 1"
    );
    assert_eq!(
        message(&[secs(1); 17]),
        "backoff.curve.table (number of delays) is 17, but it must be at most 16"
    );
    assert_eq!(
        message(&[secs(1), YEAR]),
        "backoff.curve.table (a delay) is 365d, but it must be at most 49d17h2m47s295ms"
    );
    let table = DelayTable::new(&[Duration::from_micros(1_999), secs(2)]).unwrap();
    assert!(table.iter().eq([millis(1), secs(2)]), "rounded down to whole milliseconds");
}

fn ends(window: Window) -> (u128, u128) {
    (window.from.as_millis(), window.to.as_millis())
}

fn fixed(delay: Duration) -> Backoff {
    Backoff::default().with_curve(Curve::Fixed { delay })
}

fn decorrelated() -> Backoff {
    let curve = Curve::Decorrelated { initial: secs(1), factor_pct: 300 };
    Backoff::default().with_curve(curve).with_jitter(Jitter::None)
}

/// Every curve with every jitter, at several floors and caps.
fn every_curve_and_jitter() -> Vec<Backoff> {
    let table = DelayTable::new(&[Duration::ZERO, secs(1), secs(4_000_000)]).expect("a table");
    let curves = [
        Curve::Fixed { delay: Duration::ZERO },
        Curve::Fixed { delay: secs(3) },
        Curve::Linear { initial: Duration::ZERO, step: millis(700) },
        Curve::Exponential { initial: millis(100), factor_pct: 150 },
        Curve::Table(table),
        Curve::Decorrelated { initial: millis(300), factor_pct: 300 },
    ];
    let jitters = [
        Jitter::None,
        Jitter::Full,
        Jitter::Equal,
        Jitter::Spread { pct: 100 },
        Jitter::Additive { pct: 1_000 },
    ];
    let bounds =
        [(millis(1), millis(1)), (millis(250), secs(20)), (secs(5), secs(6)), (millis(1), YEAR)];
    let mut all = Vec::new();
    for (curve, jitter, (floor, cap)) in curves.iter().flat_map(|curve| {
        jitters.iter().flat_map(move |jitter| bounds.map(|bound| (*curve, *jitter, bound)))
    }) {
        let backoff = Backoff::default()
            .with_curve(curve)
            .with_jitter(jitter)
            .with_floor(floor)
            .with_cap(cap)
            .with_first(None);
        if backoff.validate().is_ok() {
            all.push(backoff);
        }
    }
    all
}
