//! A link brought into every state it can be in.

use core::time::Duration;

use relink::link::{
    Handshake, HandshakeEvent, Hint, Input, OnFirstFailure, ReopenPolicy, StatusViewConfig, Step,
    Timer, TokenInfo,
};
use relink::policy::{Breaker, BudgetConfig, CredentialsConfig, HeartbeatConfig};
use relink::{CloseCode, ClosePolicy, Failure, LinkConfig, Phase, State, Verdict};

use crate::bench::Bench;
use crate::inputs::{RETRY_NOW, SWITCH};

/// Some states of links that are configured alike.
pub(crate) struct Chapter {
    pub(crate) title: &'static str,
    pub(crate) spots: Vec<Spot>,
    /// Whether only the deadlines matter here: everything else is in another chapter.
    pub(crate) deadlines_only: bool,
}

/// A link in a state, and what the table must add to the state's name.
pub(crate) struct Spot {
    pub(crate) detail: &'static str,
    pub(crate) bench: Bench,
}

pub(crate) fn chapters() -> [Chapter; 5] {
    [
        Chapter { title: "A plain link", spots: walk(plain()), deadlines_only: false },
        Chapter {
            title: "A link with tokens and a handshake",
            spots: walk(full()),
            deadlines_only: false,
        },
        Chapter {
            title: "An attempt that needs a token and an address",
            spots: needy(),
            deadlines_only: false,
        },
        Chapter { title: "The ends", spots: ends(), deadlines_only: false },
        Chapter {
            title: "Deadlines that are off by default",
            spots: other_deadlines(),
            deadlines_only: true,
        },
    ]
}

fn plain() -> LinkConfig {
    let mut policy = ClosePolicy::default();
    policy.set_close(RETRY_NOW..=RETRY_NOW, Verdict::RetryNow).expect("a valid edit");
    policy.set_close(SWITCH..=SWITCH, Verdict::SwitchEndpoint).expect("a valid edit");
    let surface = StatusViewConfig::default().with_banner_after(None).with_stuck_after(None);
    LinkConfig::default().with_close_policy(policy).with_surface(surface)
}

fn full() -> LinkConfig {
    let step = Some(Duration::from_secs(3));
    let handshake = Handshake::default()
        .with_welcome(step)
        .with_challenge(step)
        .with_login(true)
        .with_login_timeout(Some(Duration::from_secs(60)))
        .with_authentication(step);
    plain()
        .with_handshake(handshake)
        .with_credentials(CredentialsConfig::default().with_fetch(true))
}

/// Through a whole life: the first attempts, a usable link, its loss, the way back, the close.
fn walk(config: LinkConfig) -> Vec<Spot> {
    let mut bench = Bench::new(config);
    let mut spots = vec![spot("", &bench)];
    bench.give(Input::Connect);
    let mut waiting = bench.clone();
    waiting.give(Input::Failed { id: bench.id(), failure: Failure::Refused });
    spots.push(spot("", &waiting));
    waiting.wait(Duration::from_secs(1));
    spots.push(spot("past the floor", &waiting));
    let mut leaving = bench.clone();
    leaving.give(FINISH);
    spots.push(spot(WITH_MESSAGES, &leaving));
    leaving.give(Input::Failed { id: leaving.id(), failure: Failure::Refused });
    spots.push(spot(WITH_MESSAGES, &leaving));
    spots.extend(attempt(&mut bench));
    spots.extend(usable(&mut bench));

    let mut closing = bench.clone();
    bench.give(Input::Failed { id: bench.id(), failure: Failure::Reset });
    spots.push(spot("", &bench));
    bench.due(Timer::Backoff);
    spots.extend(attempt(&mut bench));

    let mut leaving = closing.clone();
    leaving.give(FINISH);
    spots.push(spot(WITH_MESSAGES, &leaving));
    closing.give(Input::close());
    spots.push(spot("", &closing));
    closing.give(Input::Flushed);
    spots.push(spot("", &closing));

    let mut redirected = Bench::new(config.with_max_redirects(0));
    redirected.give(Input::Connect);
    while let Some(before) = phase(&redirected).filter(|phase| *phase != Phase::Dialing) {
        lead_on(&mut redirected, before);
    }
    spots.push(spot("max_redirects = 0", &redirected));
    spots
}

/// Through one attempt, from its start until the link is usable.
fn attempt(bench: &mut Bench) -> Vec<Spot> {
    let mut spots = Vec::new();
    while let Some(phase) = phase(bench) {
        spots.push(spot(if bench.link.is_locating() { "for the address" } else { "" }, bench));
        lead_on(bench, phase);
    }
    spots
}

fn phase(bench: &Bench) -> Option<Phase> {
    match bench.link.state() {
        State::Connecting(phase) | State::Reconnecting(phase) => Some(phase),
        State::Idle | State::Connected | State::Closing | State::Closed(_) => None,
    }
}

/// Hands in what a phase of an attempt waits for.
fn lead_on(bench: &mut Bench, phase: Phase) {
    let id = bench.id();
    bench.give(match phase {
        Phase::Authorizing if bench.link.is_locating() => Input::Address { id, result: Ok(()) },
        Phase::Authorizing => Input::Token { id, result: Ok(TokenInfo::new(Some(TOKEN_LIFE))) },
        Phase::Dialing => Input::Opened { id },
        Phase::Handshaking(Step::Welcome) => {
            Input::Handshake { id, event: HandshakeEvent::Welcome }
        }
        Phase::Handshaking(Step::Challenge) => {
            Input::Handshake { id, event: HandshakeEvent::ChallengeMet }
        }
        Phase::Handshaking(Step::Login) => Input::Login,
        Phase::Handshaking(Step::Authenticating) => {
            Input::Handshake { id, event: HandshakeEvent::Authenticated }
        }
        other => panic!("nothing is known to lead on from {other:?}"),
    });
}

/// What an attempt needs, before it dials.
fn needy() -> Vec<Spot> {
    let both = CredentialsConfig::default().with_fetch(true).with_address(true);
    let mut bench = Bench::new(plain().with_credentials(both));
    bench.give(Input::Connect);
    let mut spots = attempt(&mut bench);
    spots.truncate(2);
    spots
}

/// Through what happens to a usable link while it stays usable; leaves it stable and at peace.
fn usable(bench: &mut Bench) -> Vec<Spot> {
    let mut spots = vec![spot("", bench)];
    bench.due(Timer::Stable);
    spots.push(spot("stable", bench));
    let mut probed = bench.clone();
    probed.give(Input::Hint(Hint::Wake));
    spots.push(spot("probed after a hint", &probed));
    let mut pinged = bench.clone();
    if bench.link.config().credentials.fetch {
        pinged.due(Timer::Refresh);
        spots.push(spot("renewing its token", &pinged));
    } else {
        pinged.due(Timer::Ping);
        spots.push(spot("pinged", &pinged));
    }
    spots
}

/// Every way to end, and what the configuration makes of coming back.
fn ends() -> Vec<Spot> {
    let budget = BudgetConfig::default();
    let breaker = Breaker { failures: 1, window: Duration::from_secs(1), cooldown: None };
    let tokens = CredentialsConfig::default().with_fetch(true).with_max_refusals(Some(1));
    let elapsed = budget.with_max_elapsed(Some(Duration::from_secs(5)));
    let attempts = plain().with_budget(budget.with_max_attempts(Some(1)));
    let refused = |bench: &mut Bench| failed(bench, Failure::Refused);
    let stopped = |bench: &mut Bench| closed(bench, CloseCode::ADMIN_DISCONNECT);
    [
        end("", plain(), |bench| drop(bench.give(Input::close()))),
        end("", plain(), stopped),
        end("", plain(), |bench| drop(bench.give(Input::DriverGone))),
        end("", attempts, refused),
        end("", plain().with_budget(elapsed), |bench| drop(bench.due(Timer::Elapsed))),
        end("", plain().with_budget(budget.with_breaker(Some(breaker))), refused),
        end("", plain().with_credentials(tokens), |bench| {
            bench.give(Input::Token { id: bench.id(), result: Ok(TokenInfo::default()) });
            closed(bench, CloseCode::TOKEN_EXPIRED);
        }),
        end("", plain().with_first_failure(OnFirstFailure::Stop), refused),
        end("reopen = never", attempts.with_reopen(ReopenPolicy::Never), refused),
        end("reopen = always", plain().with_reopen(ReopenPolicy::Always), stopped),
    ]
    .into()
}

fn end(detail: &'static str, config: LinkConfig, bring_about: impl FnOnce(&mut Bench)) -> Spot {
    let mut bench = Bench::new(config);
    bench.give(Input::Connect);
    bring_about(&mut bench);
    assert!(bench.link.state().is_closed(), "not an end: {:?}", bench.link.state());
    spot(detail, &bench)
}

fn other_deadlines() -> Vec<Spot> {
    let second = Duration::from_secs(1);
    let heartbeat = HeartbeatConfig::default();
    let surface =
        StatusViewConfig::default().with_grace(Some(4 * second)).with_stuck_after(Some(8 * second));
    let surface = surface.with_banner_after(Some(6 * second));
    let watchdog = heartbeat.with_interval(None).with_watchdog(Some(60 * second));
    let elapsed = BudgetConfig::default().with_max_elapsed(Some(5 * second));

    let mut spots = Vec::new();
    let mut bench = Bench::new(plain().with_heartbeat(heartbeat.with_missed(2)));
    bench.give(Input::Connect);
    attempt(&mut bench);
    bench.due(Timer::Stable);
    bench.due(Timer::Ping);
    spots.push(spot("one ping out of two is unanswered", &bench));
    bench.due(Timer::Pong);
    bench.due(Timer::Ping);
    spots.push(spot("two pings are unanswered", &bench));

    let mut bench = Bench::new(plain().with_heartbeat(watchdog));
    bench.give(Input::Connect);
    attempt(&mut bench);
    bench.due(Timer::Stable);
    spots.push(spot("nothing was heard for long", &bench));
    bench.wait(Duration::from_secs(600));
    spots.push(spot("the machine was asleep", &bench));

    let slow = heartbeat.with_message_timeout(Some(20 * second));
    let mut bench = Bench::new(plain().with_heartbeat(slow));
    bench.give(Input::Connect);
    attempt(&mut bench);
    bench.due(Timer::Stable);
    bench.link.arriving(bench.id(), Some(bench.now), bench.now);
    spots.push(spot("a message is arriving", &bench));

    let mut bench = Bench::new(plain().with_budget(elapsed));
    bench.give(Input::Connect);
    spots.push(spot("tried for long enough", &bench));

    let mut bench = Bench::new(plain().with_surface(surface).with_connect_timeout(60 * second));
    bench.give(Input::Connect);
    attempt(&mut bench);
    bench.due(Timer::Stable);
    failed(&mut bench, Failure::Reset);
    bench.due(Timer::Backoff);
    spots.push(spot("the silent grace ends", &bench));
    bench.due(Timer::Grace);
    spots.push(spot("time for the banner", &bench));
    bench.due(Timer::Banner);
    spots.push(spot("time to say that it is stuck", &bench));
    spots
}

/// A close while messages wait.
const FINISH: Input = Input::Finish { code: CloseCode::NORMAL };
const WITH_MESSAGES: &str = "closed with messages that wait";

/// So short that it wants to be renewed before the first ping.
const TOKEN_LIFE: Duration = Duration::from_secs(30);

fn failed(bench: &mut Bench, failure: Failure) {
    bench.give(Input::Failed { id: bench.id(), failure });
}

fn closed(bench: &mut Bench, code: CloseCode) {
    bench.give(Input::PeerClosed { id: bench.id(), code });
}

fn spot(detail: &'static str, bench: &Bench) -> Spot {
    Spot { detail, bench: bench.clone() }
}
