//! Counters and histograms.

use core::time::Duration;

use relink::LinkConfig;
use relink::policy::Rate;
use relink::stats::Histogram;

use crate::support::{dice, fail, link, millis, open, secs, stable};

#[test]
fn w16_a_quantile_is_never_too_low_and_at_most_half_too_high() {
    let mut value = Duration::from_micros(1);
    while value < secs(365 * 24 * 3600) {
        let mut histogram = Histogram::default();
        histogram.record(value);
        let quantile = histogram.quantile(50).unwrap();
        let most = value + value / 2 + Duration::from_micros(64);
        assert!(quantile >= value && quantile <= most, "{value:?} counts as {quantile:?}");
        value = value + value / 7 + Duration::from_nanos(1);
    }
}

#[test]
fn w16_quantiles_of_an_even_distribution_lie_where_they_should() {
    let mut histogram = Histogram::default();
    let window = relink::Backoff::default().window(100, Duration::ZERO);
    let mut rng = dice(5);
    let mut values: Vec<_> = (0..10_000).map(|_| window.draw(&mut rng) - window.from).collect();
    values.iter().for_each(|value| histogram.record(*value));
    values.sort_unstable();
    for percent in [1, 10, 25, 50, 75, 90, 99, 100] {
        let exact = values[(values.len() * percent / 100).saturating_sub(1)];
        let quantile = histogram.quantile(u32::try_from(percent).unwrap()).unwrap();
        assert!(
            quantile >= exact && quantile <= exact * 3 / 2,
            "p{percent}: {quantile:?} for {exact:?}"
        );
    }
    assert_eq!(histogram.count(), 10_000);
}

#[test]
fn an_empty_histogram_has_no_quantile_and_a_full_one_no_surprise() {
    let mut histogram = Histogram::default();
    assert_eq!((histogram.count(), histogram.quantile(50)), (0, None));
    histogram.record(Duration::ZERO);
    assert_eq!(histogram.quantile(0), Some(Duration::from_micros(64)));
    histogram.record(Duration::MAX);
    let year = secs(365 * 24 * 3600);
    assert!(histogram.quantile(100).unwrap() >= year, "what is beyond counts in the last bucket");
    assert_eq!(histogram.quantile(u32::MAX), histogram.quantile(100));
    assert_eq!(histogram.quantile(50), Some(Duration::from_micros(64)));
}

#[test]
fn buckets_hold_every_duration_once_below_their_upper_end() {
    let mut histogram = Histogram::default();
    assert_eq!(histogram.buckets().count(), 0);
    let values = [millis(1), millis(1), secs(3), secs(3600)];
    values.into_iter().for_each(|value| histogram.record(value));
    let buckets: Vec<_> = histogram.buckets().collect();
    assert_eq!(buckets.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [2, 1, 1]);
    let ends = buckets.iter().map(|(end, _)| *end);
    assert!(ends.zip([millis(1), secs(3), secs(3600)]).all(|(end, value)| end >= value));
    assert_eq!((histogram.count(), histogram.sum()), (4, secs(3603) + millis(2)));
}

#[test]
fn a_link_takes_at_most_a_kibibyte_and_a_session_two() {
    assert!(size_of::<relink::Link<rand_pcg::Pcg32>>() <= 1_024);
    assert!(size_of::<relink::Session<relink::Plain, rand_pcg::Pcg32>>() <= 2_048);
    assert_eq!(size_of::<Option<relink::Instant>>(), 8);
}

#[test]
fn quantiles_rise_with_their_percentage() {
    let mut histogram = Histogram::default();
    for power in 0..40 {
        histogram.record(Duration::from_micros(1 << power));
    }
    let quantiles: Vec<_> = (0..=100).map(|percent| histogram.quantile(percent).unwrap()).collect();
    assert!(quantiles.windows(2).all(|pair| pair[0] <= pair[1]), "{quantiles:?}");
    assert!(quantiles[100] > quantiles[0] * 1_000);
}

#[test]
fn w16_a_link_counts_what_happens_to_it() {
    let config = LinkConfig::default();
    let generous = config.budget.with_rate(Rate { burst: 1_000, refill: millis(1) });
    let mut sim = link(config.with_budget(generous));
    sim.connect();
    sim.fail(3);
    open(&mut sim);
    sim.advance(secs(30));
    sim.sleep(millis(40));
    sim.peer().pong();
    while sim.machine().link().stats().heartbeats_lost == 0 {
        sim.due();
    }
    let lost_at = sim.now();
    sim.next_attempt();
    sim.fail(1);
    open(&mut sim);
    let recovered_in = sim.now() - lost_at;

    let stats = sim.machine().link().stats();
    assert_eq!(
        (stats.dials, stats.failed_attempts),
        (6, 4),
        "three before the first link, one on the way back"
    );
    assert_eq!((stats.connects, stats.disconnects), (2, 1));
    assert_eq!((stats.pings, stats.heartbeats_lost), (2, 1));
    assert_eq!(stats.last_round_trip, Some(millis(40)));
    assert_eq!(
        (stats.round_trips.count(), stats.connected_for.count(), stats.recovered_in.count()),
        (1, 1, 1)
    );
    let up = stats.connected_for.quantile(50).unwrap();
    assert!(up >= secs(70) && up <= secs(106), "{up:?}");
    let down = stats.recovered_in.quantile(50).unwrap();
    assert!(
        down >= recovered_in && down <= recovered_in * 3 / 2 + millis(1),
        "{down:?} for {recovered_in:?}"
    );
}

#[cfg(feature = "serde")]
#[test]
fn w16_a_snapshot_is_readable_as_text() {
    let mut sim = stable(LinkConfig::default());
    fail(&mut sim);
    let json = serde_json::to_value(sim.machine().link().stats()).unwrap();
    assert_eq!((&json["dials"], &json["disconnects"]), (&1.into(), &1.into()));
    assert_eq!(json["connected_for"]["count"], 1);
    assert!(json["connected_for"]["p50_ms"].is_number() && json["round_trips"]["p50_ms"].is_null());
}
