//! What happens and how things are configured, drawn from arbitrary bytes.

use std::time::Duration;

use arbitrary::{Result, Unstructured};
use relink::link::{
    AddressError, Handshake, HandshakeEvent, Hint, Input, OnDead, OnFirstFailure, OnOffline,
    Refusal, ReopenPolicy, RetryAfter, StatusViewConfig, TokenError, TokenInfo, TransportId,
};
use relink::policy::{
    Breaker, BudgetConfig, CredentialsConfig, Curve, DelayTable, HeartbeatConfig, Jitter, Rate,
};
use relink::session::{OfflineSend, OutboxConfig, Overflow};
use relink::{
    Backoff, CloseCode, ClosePolicy, Failure, LinkConfig, SessionConfig, StopReason, Verdict,
};

use crate::stimulus::{Delay, Kind, Source, Stimulus, known_codes};

type Bytes<'a, 'b> = &'a mut Unstructured<'b>;

/// Durations of every size, most of them of a size that people use.
pub(super) fn duration(bytes: Bytes<'_, '_>) -> Result<Duration> {
    let number: u16 = bytes.arbitrary()?;
    Ok(match bytes.int_in_range(0..=15)? {
        0 => Duration::ZERO,
        1 => Duration::from_nanos(u64::from(number)),
        2 => Duration::from_micros(u64::from(number)),
        3..=8 => Duration::from_millis(u64::from(number)),
        9..=12 => Duration::from_secs(u64::from(number)),
        13 => Duration::from_secs(u64::from(number) * 86_400),
        14 => Duration::from_nanos(bytes.arbitrary()?),
        _ => Duration::MAX,
    })
}

fn maybe(bytes: Bytes<'_, '_>) -> Result<Option<Duration>> {
    if bytes.arbitrary()? { duration(bytes).map(Some) } else { Ok(None) }
}

/// Numbers of every size, most of them small.
fn number(bytes: Bytes<'_, '_>) -> Result<u32> {
    if bytes.ratio(1, 16)? { bytes.arbitrary() } else { bytes.int_in_range(0..=300) }
}

pub(super) fn code(bytes: Bytes<'_, '_>) -> Result<CloseCode> {
    Ok(CloseCode(if bytes.arbitrary()? {
        *bytes.choose(&known_codes())?
    } else {
        bytes.arbitrary()?
    }))
}

pub(super) fn failure(bytes: Bytes<'_, '_>) -> Result<Failure> {
    Ok(match bytes.int_in_range(0..=13)? {
        0 => Failure::Lookup,
        1 => Failure::Refused,
        2 => Failure::Unreachable,
        3 => Failure::Tls,
        4 => Failure::Http { status: bytes.arbitrary()?, retry_after: maybe(bytes)? },
        5 => Failure::HttpRedirect,
        6 => Failure::NotWebSocket,
        7 => Failure::InvalidRequest,
        8 => Failure::Reset,
        9 => Failure::Eof,
        10 => Failure::Protocol(code(bytes)?),
        11 => Failure::Gap,
        12 => Failure::Abandoned,
        _ => Failure::Io,
    })
}

pub(super) fn hint(bytes: Bytes<'_, '_>) -> Result<Hint> {
    bytes.choose(&[Hint::Online, Hint::Offline, Hint::Wake]).copied()
}

pub(super) fn stimulus(bytes: Bytes<'_, '_>) -> Result<Stimulus> {
    let delay = when(bytes)?;
    let kind = match bytes.int_in_range(0..=7)? {
        0..=3 => Kind::Helpful,
        4 => Kind::Input(Input::Timeout, Source::Live),
        5 => Kind::Input(input(bytes)?, Source::Past(bytes.arbitrary()?)),
        _ => Kind::Input(input(bytes)?, Source::Live),
    };
    Ok(Stimulus { delay, kind })
}

pub(super) fn when(bytes: Bytes<'_, '_>) -> Result<Delay> {
    Ok(match bytes.int_in_range(0..=7)? {
        0..=2 => Delay::After(Duration::from_millis(bytes.int_in_range(0..=3_000)?)),
        3 | 4 => Delay::PastDeadline(Duration::ZERO),
        5 => Delay::PastDeadline(duration(bytes)?),
        6 => Delay::Before(duration(bytes)?),
        _ => Delay::After(duration(bytes)?),
    })
}

fn input(bytes: Bytes<'_, '_>) -> Result<Input> {
    let id = TransportId::default();
    Ok(match bytes.int_in_range(0..=17)? {
        0 => Input::Connect,
        1 => Input::Login,
        2 => Input::Close { code: code(bytes)? },
        3 if bytes.ratio(1, 8)? => Input::DriverGone,
        3 => Input::Flushed,
        4 => Input::RetryNow,
        5 => Input::MarkStable,
        6 => Input::Hint(hint(bytes)?),
        7 => Input::Token { id, result: Ok(TokenInfo::new(maybe(bytes)?)) },
        8 => Input::Token { id, result: Err(TokenError::default()) },
        9 => Input::Opened { id },
        10 => Input::Received { id },
        11 => Input::Pong { id, nonce: bytes.arbitrary::<Option<u8>>()?.map(u32::from) },
        12 => Input::Handshake { id, event: signal(bytes)? },
        13 => Input::PeerClosed { id, code: code(bytes)? },
        14 => Input::Address { id, result: Ok(()) },
        15 => Input::Address { id, result: Err(AddressError::default()) },
        16 => Input::Finish { code: code(bytes)? },
        _ => Input::Failed { id, failure: failure(bytes)? },
    })
}

fn signal(bytes: Bytes<'_, '_>) -> Result<HandshakeEvent> {
    Ok(match bytes.int_in_range(0..=7)? {
        0 => HandshakeEvent::Welcome,
        1 => HandshakeEvent::ChallengeMet,
        2 => HandshakeEvent::Redirect,
        3 => HandshakeEvent::Authenticated,
        4 => HandshakeEvent::Refused(Refusal::Token),
        5 => HandshakeEvent::Refused(Refusal::As(code(bytes)?)),
        6 => HandshakeEvent::Refused(Refusal::Stop(StopReason::FORBIDDEN)),
        _ => HandshakeEvent::GoingAway { retry_after: duration(bytes)? },
    })
}

// Configurations: any number anywhere, so that some of them are mistakes.

pub(super) fn session_config(bytes: Bytes<'_, '_>) -> Result<SessionConfig> {
    let overflow =
        *bytes.choose(&[Overflow::Refuse, Overflow::DropOldest, Overflow::DropNewest])?;
    let outbox = OutboxConfig::default()
        .with_max_messages(bytes.int_in_range(0..=40)?)
        .with_max_bytes(bytes.int_in_range(0..=300)?)
        .with_overflow(overflow)
        .with_ttl(maybe(bytes)?)
        .with_while_down(*bytes.choose(&[
            OfflineSend::Queue,
            OfflineSend::Refuse,
            OfflineSend::QueueAfterLoss,
        ])?);
    Ok(SessionConfig::default().with_link(link_config(bytes)?).with_outbox(outbox))
}

/// Each piece is its default or drawn, so that a mistake in one does not hide the others.
pub(super) fn link_config(bytes: Bytes<'_, '_>) -> Result<LinkConfig> {
    let mut config = LinkConfig::default();
    let drawn: u16 = bytes.arbitrary()?;
    let is_drawn = |piece: u32| drawn >> piece & 1 == 1;
    if is_drawn(0) {
        config.backoff = backoff(bytes)?;
    }
    if is_drawn(1) {
        config.close_policy = close_policy(bytes)?;
    }
    if is_drawn(2) {
        config.heartbeat = HeartbeatConfig::default()
            .with_interval(maybe(bytes)?)
            .with_timeout(duration(bytes)?)
            .with_missed(number(bytes)?)
            .with_watchdog(maybe(bytes)?)
            .with_probe(duration(bytes)?)
            .with_close_code(code(bytes)?);
    }
    if is_drawn(3) {
        config.credentials = CredentialsConfig::default()
            .with_fetch(bytes.arbitrary()?)
            .with_address(bytes.arbitrary()?)
            .with_timeout(duration(bytes)?)
            .with_refresh_ahead(maybe(bytes)?)
            .with_refresh_spread_pct(number(bytes)?)
            .with_report_after(number(bytes)?)
            .with_max_refusals(bytes.arbitrary::<Option<u8>>()?.map(u32::from));
    }
    if is_drawn(4) {
        config.budget = budget(bytes)?;
    }
    if is_drawn(5) {
        config.surface = StatusViewConfig::default()
            .with_grace(maybe(bytes)?)
            .with_banner_after(maybe(bytes)?)
            .with_stuck_after(maybe(bytes)?);
    }
    if is_drawn(6) {
        config.handshake = Handshake::default()
            .with_welcome(maybe(bytes)?)
            .with_challenge(maybe(bytes)?)
            .with_login(bytes.arbitrary()?)
            .with_login_timeout(maybe(bytes)?)
            .with_authentication(maybe(bytes)?);
    }
    if is_drawn(15) {
        config.attempt_timeout = maybe(bytes)?;
        config.when_dead = *bytes.choose(&[OnDead::Retry, OnDead::Stop])?;
        config.when_offline = *bytes.choose(&[OnOffline::Check, OnOffline::Disconnect])?;
    }
    if is_drawn(7) {
        config.retry_after = RetryAfter::default()
            .with_honor(bytes.arbitrary()?)
            .with_max(duration(bytes)?)
            .with_spread_pct(number(bytes)?);
    }
    if is_drawn(8) {
        config = config
            .with_connect_timeout(duration(bytes)?)
            .with_stable_after(duration(bytes)?)
            .with_flush_timeout(duration(bytes)?)
            .with_close_timeout(duration(bytes)?);
    }
    Ok(config
        .with_first_failure(*bytes.choose(&[OnFirstFailure::Retry, OnFirstFailure::Stop])?)
        .with_reopen(*bytes.choose(&[
            ReopenPolicy::Never,
            ReopenPolicy::AfterGivingUp,
            ReopenPolicy::Always,
        ])?)
        .with_max_redirects(bytes.arbitrary()?))
}

fn backoff(bytes: Bytes<'_, '_>) -> Result<Backoff> {
    let curve = match bytes.int_in_range(0..=4)? {
        0 => Curve::Fixed { delay: duration(bytes)? },
        1 => Curve::Linear { initial: duration(bytes)?, step: duration(bytes)? },
        2 => Curve::Exponential { initial: duration(bytes)?, factor_pct: number(bytes)? },
        3 => Curve::Decorrelated { initial: duration(bytes)?, factor_pct: number(bytes)? },
        _ => {
            let delays = (0..bytes.int_in_range(0..=17)?)
                .map(|_| duration(bytes))
                .collect::<Result<Vec<_>>>()?;
            match DelayTable::new(&delays) {
                Ok(table) => Curve::Table(table),
                Err(_) => Curve::Fixed { delay: duration(bytes)? },
            }
        }
    };
    let jitter = match bytes.int_in_range(0..=4)? {
        0 => Jitter::None,
        1 => Jitter::Full,
        2 => Jitter::Equal,
        3 => Jitter::Spread { pct: number(bytes)? },
        _ => Jitter::Additive { pct: number(bytes)? },
    };
    Ok(Backoff::default()
        .with_curve(curve)
        .with_jitter(jitter)
        .with_floor(duration(bytes)?)
        .with_cap(duration(bytes)?)
        .with_curve_cap(maybe(bytes)?)
        .with_first(maybe(bytes)?))
}

fn budget(bytes: Bytes<'_, '_>) -> Result<BudgetConfig> {
    let rate = Rate { burst: number(bytes)?, refill: duration(bytes)? };
    let breaker = if bytes.arbitrary()? {
        let failures = bytes.int_in_range(0..=17)?;
        Some(Breaker { failures, window: duration(bytes)?, cooldown: maybe(bytes)? })
    } else {
        None
    };
    Ok(BudgetConfig::default()
        .with_max_attempts(bytes.arbitrary::<Option<u8>>()?.map(u32::from))
        .with_max_elapsed(maybe(bytes)?)
        .with_rate(rate)
        .with_breaker(breaker))
}

/// Some edits; those that cannot work are refused on the spot and leave nothing behind.
fn close_policy(bytes: Bytes<'_, '_>) -> Result<ClosePolicy> {
    let mut policy = ClosePolicy::default();
    for _ in 0..bytes.int_in_range(0..=17)? {
        let verdict = match bytes.int_in_range(0..=5)? {
            0 => Verdict::Retry,
            1 => Verdict::RetryNow,
            2 => Verdict::RetrySlow { floor: duration(bytes)? },
            3 => Verdict::RefreshToken,
            4 => Verdict::SwitchEndpoint,
            _ => Verdict::Stop(StopReason::FORBIDDEN),
        };
        let codes = code(bytes)?.0..=code(bytes)?.0;
        let _ = if bytes.arbitrary()? {
            policy.set_close(codes, verdict)
        } else {
            policy.set_status(codes, verdict)
        };
    }
    Ok(policy)
}
