//! The jitter of each profile as a distribution: where it lies, its mean, its spread. One value
//! proves nothing.

use std::time::Duration;

use rand_pcg::Pcg32;
use relink::policy::Window;
use relink::rand_core::SeedableRng;
use relink_profiles::ALL;

const DRAWS: usize = 20_000;
const BUCKETS: usize = 20;
/// Chi-square for 19 degrees of freedom: an even distribution is beyond it once in a thousand
/// times.
const BEYOND: f64 = 43.82;

fn draws(window: Window, seed: u64) -> Vec<Duration> {
    let mut rng = Pcg32::seed_from_u64(seed);
    (0..DRAWS).map(|_| window.draw(&mut rng)).collect()
}

/// Chi-square of the draws against an even distribution over the window.
fn chi_square(window: Window, draws: &[Duration]) -> f64 {
    let width = (window.to - window.from).as_secs_f64();
    let mut buckets = [0_u32; BUCKETS];
    for draw in draws {
        let part = (*draw - window.from).as_secs_f64() / width;
        buckets[((part * BUCKETS as f64) as usize).min(BUCKETS - 1)] += 1;
    }
    let expected = draws.len() as f64 / BUCKETS as f64;
    buckets.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
}

/// Every window that a profile draws from: the first one, and those of ten retries.
fn windows() -> impl Iterator<Item = (&'static str, u32, Window)> {
    ALL.into_iter().flat_map(|profile| {
        let backoff = (profile.config)().link.backoff;
        let window = move |retry| {
            if retry == 0 { backoff.first_window() } else { backoff.window(retry, Duration::ZERO) }
        };
        (0..=10).map(move |retry| (profile.name, retry, window(retry)))
    })
}

#[test]
fn every_delay_is_drawn_evenly_over_its_window() {
    let mut spread = 0;
    for (name, retry, window) in windows() {
        let draws = draws(window, u64::from(retry) + 7);
        let what = format!("{name}, retry {retry}, {window:?}");
        assert!(
            draws.iter().all(|draw| *draw >= window.from && *draw <= window.to),
            "bounds of {what}"
        );
        let width = (window.to - window.from).as_secs_f64();
        if width == 0.0 {
            assert!(draws.iter().all(|draw| *draw == window.from), "{what}");
            continue;
        }
        spread += 1;
        let seconds: Vec<f64> = draws.iter().map(Duration::as_secs_f64).collect();
        let mean = seconds.iter().sum::<f64>() / DRAWS as f64;
        let middle = window.from.as_secs_f64() + width / 2.0;
        // The standard error of the mean of this many even draws is a third of a percent of the
        // width; five times that is not seen by chance.
        assert!((mean - middle).abs() < width * 0.012, "the mean of {what} is {mean}");
        let variance =
            seconds.iter().map(|second| (second - mean).powi(2)).sum::<f64>() / DRAWS as f64;
        let even = width / 12.0_f64.sqrt();
        assert!(
            (variance.sqrt() / even - 1.0).abs() < 0.02,
            "the spread of {what} is {}",
            variance.sqrt()
        );
        let chi_square = chi_square(window, &draws);
        assert!(chi_square < BEYOND, "{what} is uneven: {chi_square}");
        let (least, most) = (draws.iter().min().unwrap(), draws.iter().max().unwrap());
        let edge = (window.to - window.from) / 1_000;
        assert!(
            *least - window.from < edge && window.to - *most < edge,
            "{what} reaches both of its ends"
        );
    }
    assert!(spread >= 50, "only {spread} windows have width");
}

#[test]
fn the_windows_are_those_of_the_documents() {
    let window = |wanted: &str, retry: u32| {
        let (_, _, window) =
            windows().find(|(name, number, _)| *name == wanted && *number == retry).unwrap();
        (window.from.as_millis(), window.to.as_millis())
    };
    assert_eq!((window("deepstream", 0), window("deepstream", 3)), ((0, 0), (6_000, 6_000)));
    assert_eq!(
        (window("serverpod", 0), window("serverpod", 5)),
        ((1_000, 1_000), (16_000, 16_000))
    );
    assert_eq!((window("metered", 1), window("metered", 10)), ((400, 600), (18_000, 30_000)));
    assert_eq!(
        (window("managed_websocket", 1), window("managed_websocket", 10)),
        ((1_000, 1_300), (30_000, 39_000))
    );
    assert_eq!((window("agora_rtm", 0), window("agora_rtm", 2)), ((0, 0), (1_500, 3_000)));
}

#[test]
fn a_test_for_evenness_finds_what_is_uneven() {
    let window = relink::Backoff::default().first_window();
    let even = draws(window, 1);
    let squeezed: Vec<_> = even.iter().map(|draw| *draw * 95 / 100).collect();
    assert!(chi_square(window, &squeezed) > BEYOND);
    assert!(chi_square(window, &even) < BEYOND);
}
