//! Strategies for [`mod@proptest`]: what can happen to a link, and how it can be configured.
//!
//! ```
//! use proptest::prelude::*;
//! use relink_sim::strategy;
//! use relink_sim::trial::DifferentialTest;
//!
//! proptest!(ProptestConfig::with_cases(16), |(config in strategy::link_config(), schedule in strategy::schedule(40))| {
//!     let mut trial = DifferentialTest::new(config, 1).expect("the strategy gives valid configurations");
//!     for stimulus in schedule {
//!         trial.apply(stimulus).map_err(|broken| TestCaseError::fail(broken.to_string()))?;
//!     }
//! });
//! ```
//!
//! A promise about every schedule is five lines in a [`Sim`](crate::Sim). Here: two dials are never
//! closer than two seconds, whatever the server does.
//!
//! ```
//! use proptest::prelude::*;
//! use relink::link::ReopenPolicy;
//! use relink::{Backoff, LinkConfig, SessionConfig};
//! use relink_sim::{Sim, secs, strategy};
//!
//! let backoff = Backoff::default().with_floor(secs(2)).with_first(None);
//! let config = LinkConfig::default()
//!     .with_backoff(backoff)
//!     .with_max_redirects(0) // those are dialed at once, within the same attempt
//!     .with_reopen(ReopenPolicy::Never);
//! proptest!(ProptestConfig::with_cases(16), |(schedule in strategy::server_schedule(40), seed: u64)| {
//!     let mut sim = Sim::seeded(SessionConfig::default().with_link(config), seed).manual();
//!     sim.connect();
//!     schedule.into_iter().for_each(|stimulus| sim.apply(stimulus));
//!     prop_assert!(sim.dials().windows(2).all(|pair| pair[1].at - pair[0].at >= secs(2)));
//! });
//! ```

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use relink::link::{
    AddressError, Handshake, HandshakeEvent, Hint, Input, OnDead, OnFirstFailure, OnOffline,
    Refusal, ReopenPolicy, RetryAfter, StatusViewConfig, TokenError, TokenInfo, TransportId,
};
use relink::policy::{
    Breaker, BudgetConfig, CredentialsConfig, Curve, HeartbeatConfig, Jitter, Rate,
};
use relink::{Backoff, CloseCode, ClosePolicy, Failure, LinkConfig, StopReason, Verdict};

use crate::stimulus::{Delay, Kind, Source, Stimulus, known_codes, known_statuses};

/// At most this many stimuli, one after the other.
pub fn schedule(most: usize) -> impl Strategy<Value = Vec<Stimulus>> {
    vec(stimulus(), 1..=most)
}

/// Something that happens, at some time. Half of it helps, so that links get somewhere.
pub fn stimulus() -> impl Strategy<Value = Stimulus> {
    let kind = prop_oneof![
        4 => Just(Kind::Helpful),
        3 => (inputs(), whose()).prop_map(|(input, whose)| Kind::Input(input, whose)),
        2 => Just(Kind::Input(Input::Timeout, Source::Live)),
    ];
    (when(), kind).prop_map(|(delay, kind)| Stimulus { delay, kind })
}

/// Up to this many stimuli that no application and no person causes: what the server, the network
/// and the providers do, in good health or not, at any time that comes.
pub fn server_schedule(most: usize) -> impl Strategy<Value = Vec<Stimulus>> {
    let kind = prop_oneof![
        4 => Just(Kind::Helpful),
        3 => (inputs_of_server(), whose()).prop_map(|(input, whose)| Kind::Input(input, whose)),
        2 => Just(Kind::Input(Input::Timeout, Source::Live)),
    ];
    vec((later(), kind).prop_map(|(delay, kind)| Stimulus { delay, kind }), 1..=most)
}

/// Any input. Those from a transport carry no transport's id yet: give them one with
/// [`Input::with_transport`].
pub fn inputs() -> impl Strategy<Value = Input> {
    prop_oneof![
        2 => Just(Input::Connect),
        2 => Just(Input::Login),
        1 => close_code().prop_map(|code| Input::Close { code }),
        1 => close_code().prop_map(|code| Input::Finish { code }),
        // The driver's end is rare, as nothing follows it.
        1 => prop_oneof![7 => Just(Input::Flushed), 1 => Just(Input::DriverGone)],
        2 => Just(Input::RetryNow),
        1 => Just(Input::MarkStable),
        3 => hint().prop_map(Input::Hint),
        28 => inputs_of_server(),
    ]
}

fn inputs_of_server() -> impl Strategy<Value = Input> {
    let id = TransportId::default();
    prop_oneof![
        2 => option::of(duration(7_200_000)).prop_map(move |life| {
            Input::Token { id, result: Ok(TokenInfo::new(life)) }
        }),
        2 => Just(Input::Token { id, result: Err(TokenError::default()) }),
        2 => Just(Input::Address { id, result: Ok(()) }),
        1 => Just(Input::Address { id, result: Err(AddressError::default()) }),
        2 => Just(Input::Opened { id }),
        1 => Just(Input::Received { id }),
        2 => option::of(0..5_u32).prop_map(move |nonce| Input::Pong { id, nonce }),
        4 => signal().prop_map(move |signal| Input::Handshake { id, event: signal }),
        4 => close_code().prop_map(move |code| Input::PeerClosed { id, code }),
        4 => failure().prop_map(move |failure| Input::Failed { id, failure }),
        4 => Just(Input::Timeout),
    ]
}

/// Close codes: those that mean something, and any other number.
pub fn close_code() -> impl Strategy<Value = CloseCode> {
    prop_oneof![
        2 => prop::sample::select(vec![1001, 1006, 1011, 4000, 4900]),
        2 => prop::sample::select(known_codes()),
        1 => any::<u16>(),
    ]
    .prop_map(CloseCode)
}

/// Ways in which a transport ends, or is never opened.
pub fn failure() -> impl Strategy<Value = Failure> {
    let plain = [
        Failure::Lookup,
        Failure::Refused,
        Failure::Unreachable,
        Failure::Tls,
        Failure::HttpRedirect,
        Failure::NotWebSocket,
        Failure::Reset,
        Failure::Eof,
        Failure::Gap,
        Failure::Abandoned,
        Failure::Io,
    ];
    let status = prop_oneof![prop::sample::select(known_statuses()), any::<u16>()];
    prop_oneof![
        6 => prop::sample::select(plain.to_vec()),
        2 => (status, option::of(duration(1_000_000)))
            .prop_map(|(status, retry_after)| Failure::Http { status, retry_after }),
        1 => close_code().prop_map(Failure::Protocol),
        1 => Just(Failure::InvalidRequest),
    ]
}

fn signal() -> impl Strategy<Value = HandshakeEvent> {
    prop_oneof![
        Just(HandshakeEvent::Welcome),
        Just(HandshakeEvent::ChallengeMet),
        Just(HandshakeEvent::Redirect),
        Just(HandshakeEvent::Authenticated),
        Just(HandshakeEvent::Refused(Refusal::Token)),
        Just(HandshakeEvent::Refused(Refusal::Stop(StopReason::FORBIDDEN))),
        close_code().prop_map(|code| HandshakeEvent::Refused(Refusal::As(code))),
        duration(1_000_000).prop_map(|retry_after| HandshakeEvent::GoingAway { retry_after }),
    ]
}

fn hint() -> impl Strategy<Value = Hint> {
    prop::sample::select(vec![Hint::Online, Hint::Offline, Hint::Wake])
}

fn whose() -> impl Strategy<Value = Source> {
    prop_oneof![8 => Just(Source::Live), 2 => (0..4_u8).prop_map(Source::Past), 1 => Just(Source::Unknown)]
}

fn when() -> impl Strategy<Value = Delay> {
    prop_oneof![9 => later(), 1 => duration(1_000_000).prop_map(Delay::Before)]
}

fn later() -> impl Strategy<Value = Delay> {
    prop_oneof![
        4 => duration(5_000).prop_map(Delay::After),
        3 => Just(Delay::PastDeadline(Duration::ZERO)),
        1 => duration(100).prop_map(Delay::PastDeadline),
        1 => duration(10_000_000).prop_map(Delay::After),
    ]
}

/// From zero to this many milliseconds, with nanoseconds.
fn duration(most_millis: u64) -> impl Strategy<Value = Duration> {
    prop_oneof![Just(0), 0..=most_millis * 1_000_000].prop_map(Duration::from_nanos)
}

/// From 1 ms to this many.
fn positive(most_millis: u64) -> impl Strategy<Value = Duration> {
    (1..=most_millis).prop_map(Duration::from_millis)
}

/// Valid configurations of a link, with everything that can be on or off in both ways.
pub fn link_config() -> impl Strategy<Value = LinkConfig> {
    let pieces =
        (backoff(), close_policy(), heartbeat(), credentials(), budget(), surface(), handshake());
    let limits = (positive(60_000), duration(20_000), positive(10_000), positive(10_000), 0..4_u8);
    let choices = (
        retry_after(),
        prop::sample::select(vec![
            OnFirstFailure::Retry,
            OnFirstFailure::Retry,
            OnFirstFailure::Stop,
        ]),
        reopen(),
        prop::sample::select(vec![OnDead::Retry, OnDead::Retry, OnDead::Stop]),
        prop::sample::select(vec![OnOffline::Check, OnOffline::Disconnect]),
        option::of(positive(60_000)),
    );
    (pieces, limits, choices).prop_map(|(pieces, limits, choices)| {
        let (retry_after, first_failure, reopen, dead, offline, attempt) = choices;
        let (backoff, close_policy, heartbeat, credentials, budget, surface, handshake) = pieces;
        let (connect, stable, flush, close, redirects) = limits;
        LinkConfig::default()
            .with_backoff(backoff)
            .with_close_policy(close_policy)
            .with_heartbeat(heartbeat)
            .with_credentials(credentials)
            .with_budget(budget)
            .with_surface(surface)
            .with_handshake(handshake)
            .with_connect_timeout(connect)
            .with_stable_after(stable)
            .with_flush_timeout(flush)
            .with_close_timeout(close)
            .with_max_redirects(redirects)
            .with_retry_after(retry_after.with_max(retry_after.max.max(backoff.floor)))
            .with_first_failure(first_failure)
            .with_reopen(reopen)
            .with_when_dead(dead)
            .with_when_offline(offline)
            .with_attempt_timeout(attempt)
    })
}

/// Valid backoffs: every curve and jitter, floors and caps that fit.
pub fn backoff() -> impl Strategy<Value = Backoff> {
    let curve = prop_oneof![
        duration(30_000).prop_map(|delay| Curve::Fixed { delay }),
        (duration(10_000), duration(10_000))
            .prop_map(|(initial, step)| Curve::Linear { initial, step }),
        (positive(5_000), 100..1_000_u32)
            .prop_map(|(initial, factor_pct)| Curve::Exponential { initial, factor_pct }),
        (positive(5_000), 100..1_000_u32)
            .prop_map(|(initial, factor_pct)| Curve::Decorrelated { initial, factor_pct }),
    ];
    let jitter = prop_oneof![
        Just(Jitter::None),
        Just(Jitter::Full),
        Just(Jitter::Equal),
        (0..=100_u32).prop_map(|pct| Jitter::Spread { pct }),
        (0..=1_000_u32).prop_map(|pct| Jitter::Additive { pct }),
    ];
    let above_floor = (duration(60_000), option::of(0..=100_u32));
    (curve, jitter, positive(3_000), above_floor, option::of(duration(5_000))).prop_map(
        |(curve, jitter, floor, (above, curve_cap), first)| {
            let jitter =
                if matches!(curve, Curve::Decorrelated { .. }) { Jitter::None } else { jitter };
            let curve_cap = curve_cap.map(|percent| floor + above * percent / 100);
            Backoff::default()
                .with_curve(curve)
                .with_jitter(jitter)
                .with_floor(floor)
                .with_cap(floor + above)
                .with_curve_cap(curve_cap)
                .with_first(first)
        },
    )
}

fn close_policy() -> impl Strategy<Value = ClosePolicy> {
    let verdict = prop_oneof![
        Just(Verdict::Retry),
        Just(Verdict::RetryNow),
        duration(60_000).prop_map(|floor| Verdict::RetrySlow { floor }),
        Just(Verdict::RefreshToken),
        Just(Verdict::SwitchEndpoint),
    ];
    (verdict, any::<bool>()).prop_map(|(verdict, everywhere)| {
        let mut policy = ClosePolicy::default();
        let from = if everywhere { 0 } else { 4900 };
        policy.set_close(from..=4901, verdict).expect("an edit that fits");
        policy
    })
}

fn heartbeat() -> impl Strategy<Value = HeartbeatConfig> {
    let times = (
        option::of(positive(60_000)),
        positive(60_000),
        option::of(positive(100_000)),
        100..=10_000_u64,
    );
    (times, 1..4_u32).prop_map(|((interval, timeout, watchdog, probe), missed)| {
        HeartbeatConfig::default()
            .with_interval(interval)
            .with_timeout(timeout)
            .with_watchdog(watchdog)
            .with_probe(Duration::from_millis(probe))
            .with_missed(missed)
    })
}

fn credentials() -> impl Strategy<Value = CredentialsConfig> {
    let needs = (any::<bool>(), any::<bool>());
    (needs, positive(20_000), option::of(positive(100_000)), 1..5_u32, option::of(1..5_u32))
        .prop_map(|((fetch, address), timeout, refresh_ahead, report_after, max_refusals)| {
            CredentialsConfig::default()
                .with_fetch(fetch)
                .with_address(address)
                .with_timeout(timeout)
                .with_refresh_ahead(refresh_ahead)
                .with_report_after(report_after)
                .with_max_refusals(max_refusals)
        })
}

fn budget() -> impl Strategy<Value = BudgetConfig> {
    let rate = (1..12_u32, positive(10_000)).prop_map(|(burst, refill)| Rate { burst, refill });
    let breaker = (1..6_u32, positive(100_000), option::of(100..60_000_u64)).prop_map(
        |(failures, window, cooldown)| Breaker {
            failures,
            window,
            cooldown: cooldown.map(Duration::from_millis),
        },
    );
    let most = (option::weighted(0.3, 1..8_u32), option::weighted(0.3, positive(200_000)));
    (rate, option::weighted(0.3, breaker), most).prop_map(|(rate, breaker, (attempts, elapsed))| {
        BudgetConfig::default()
            .with_rate(rate)
            .with_breaker(breaker)
            .with_max_attempts(attempts)
            .with_max_elapsed(elapsed)
    })
}

fn surface() -> impl Strategy<Value = StatusViewConfig> {
    let time = || option::of(positive(60_000));
    (time(), time(), time()).prop_map(|(grace, banner, stuck)| {
        StatusViewConfig::default()
            .with_grace(grace)
            .with_banner_after(banner)
            .with_stuck_after(stuck)
    })
}

fn handshake() -> impl Strategy<Value = Handshake> {
    let step = || option::weighted(0.3, positive(10_000));
    (step(), step(), any::<bool>(), step(), step()).prop_map(
        |(welcome, challenge, login, login_timeout, authentication)| {
            Handshake::default()
                .with_welcome(welcome)
                .with_challenge(challenge)
                .with_login(login)
                .with_login_timeout(login_timeout)
                .with_authentication(authentication)
        },
    )
}

fn retry_after() -> impl Strategy<Value = RetryAfter> {
    (any::<bool>(), positive(600_000), 0..=1_000_u32).prop_map(|(honor, max, spread_pct)| {
        RetryAfter::default().with_honor(honor).with_max(max).with_spread_pct(spread_pct)
    })
}

fn reopen() -> impl Strategy<Value = ReopenPolicy> {
    prop::sample::select(vec![
        ReopenPolicy::Never,
        ReopenPolicy::AfterGivingUp,
        ReopenPolicy::Always,
    ])
}
