//! Links in every state.

use core::time::Duration;

use relink::link::{
    Handshake, HandshakeEvent, Hint, Input, OnFirstFailure, ReopenPolicy, StatusViewConfig, Step,
    Timer, TokenInfo,
};
use relink::policy::{Breaker, BudgetConfig, CredentialsConfig, HeartbeatConfig};
use relink::{CloseCode, ClosePolicy, Failure, LinkConfig, Phase, State, Verdict};

use crate::inputs::{RETRY_NOW, SWITCH};
use crate::link_probe::LinkProbe;

/// States of links with the same configuration.
pub(crate) struct Chapter {
    pub(crate) title: &'static str,
    pub(crate) spots: Vec<Spot>,
    /// Whether only deadlines are shown: everything else is in another chapter.
    pub(crate) deadlines_only: bool,
}

/// A link in a state, and what the table adds to the name of the state.
pub(crate) struct Spot {
    pub(crate) detail: &'static str,
    pub(crate) probe: LinkProbe,
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

/// A whole life: the first attempts, a usable link, its loss, the reconnect, the close.
fn walk(config: LinkConfig) -> Vec<Spot> {
    let mut probe = LinkProbe::new(config);
    let mut spots = vec![spot("", &probe)];
    probe.give(Input::Connect);
    let mut waiting = probe.clone();
    waiting.give(Input::Failed { id: probe.id(), failure: Failure::Refused });
    spots.push(spot("", &waiting));
    waiting.wait(Duration::from_secs(1));
    spots.push(spot("past the floor", &waiting));
    let mut leaving = probe.clone();
    leaving.give(FINISH);
    spots.push(spot(WITH_MESSAGES, &leaving));
    leaving.give(Input::Failed { id: leaving.id(), failure: Failure::Refused });
    spots.push(spot(WITH_MESSAGES, &leaving));
    spots.extend(attempt(&mut probe));
    spots.extend(usable(&mut probe));

    let mut closing = probe.clone();
    probe.give(Input::Failed { id: probe.id(), failure: Failure::Reset });
    spots.push(spot("", &probe));
    probe.due(Timer::Backoff);
    spots.extend(attempt(&mut probe));

    let mut leaving = closing.clone();
    leaving.give(FINISH);
    spots.push(spot(WITH_MESSAGES, &leaving));
    closing.give(Input::close());
    spots.push(spot("", &closing));
    closing.give(Input::Flushed);
    spots.push(spot("", &closing));

    let mut redirected = LinkProbe::new(config.with_max_redirects(0));
    redirected.give(Input::Connect);
    while let Some(before) = phase(&redirected).filter(|phase| *phase != Phase::Dialing) {
        lead_on(&mut redirected, before);
    }
    spots.push(spot("max_redirects = 0", &redirected));
    spots
}

/// One attempt, from its start until the link is usable.
fn attempt(probe: &mut LinkProbe) -> Vec<Spot> {
    let mut spots = Vec::new();
    while let Some(phase) = phase(probe) {
        spots.push(spot(if probe.link.is_locating() { "for the address" } else { "" }, probe));
        lead_on(probe, phase);
    }
    spots
}

fn phase(probe: &LinkProbe) -> Option<Phase> {
    match probe.link.state() {
        State::Connecting(phase) | State::Reconnecting(phase) => Some(phase),
        State::Idle | State::Connected | State::Closing | State::Closed(_) => None,
    }
}

/// Passes the input that a phase of an attempt waits for.
fn lead_on(probe: &mut LinkProbe, phase: Phase) {
    let id = probe.id();
    probe.give(match phase {
        Phase::Authorizing if probe.link.is_locating() => Input::Address { id, result: Ok(()) },
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

/// The fetches of an attempt before it dials.
fn needy() -> Vec<Spot> {
    let both = CredentialsConfig::default().with_fetch(true).with_address(true);
    let mut probe = LinkProbe::new(plain().with_credentials(both));
    probe.give(Input::Connect);
    let mut spots = attempt(&mut probe);
    spots.truncate(2);
    spots
}

/// Everything that happens to a usable link while it stays usable; leaves it stable.
fn usable(probe: &mut LinkProbe) -> Vec<Spot> {
    let mut spots = vec![spot("", probe)];
    probe.due(Timer::Stable);
    spots.push(spot("stable", probe));
    let mut probed = probe.clone();
    probed.give(Input::Hint(Hint::Wake));
    spots.push(spot("probed after a hint", &probed));
    let mut pinged = probe.clone();
    if probe.link.config().credentials.fetch {
        pinged.due(Timer::Refresh);
        spots.push(spot("renewing its token", &pinged));
    } else {
        pinged.due(Timer::Ping);
        spots.push(spot("pinged", &pinged));
    }
    spots
}

/// Every way to end, and whether the link may come back.
fn ends() -> Vec<Spot> {
    let budget = BudgetConfig::default();
    let breaker = Breaker { failures: 1, window: Duration::from_secs(1), cooldown: None };
    let tokens = CredentialsConfig::default().with_fetch(true).with_max_refusals(Some(1));
    let elapsed = budget.with_max_elapsed(Some(Duration::from_secs(5)));
    let attempts = plain().with_budget(budget.with_max_attempts(Some(1)));
    let refused = |probe: &mut LinkProbe| failed(probe, Failure::Refused);
    let stopped = |probe: &mut LinkProbe| closed(probe, CloseCode::ADMIN_DISCONNECT);
    [
        end("", plain(), |probe| drop(probe.give(Input::close()))),
        end("", plain(), stopped),
        end("", plain(), |probe| drop(probe.give(Input::DriverGone))),
        end("", attempts, refused),
        end("", plain().with_budget(elapsed), |probe| drop(probe.due(Timer::Elapsed))),
        end("", plain().with_budget(budget.with_breaker(Some(breaker))), refused),
        end("", plain().with_credentials(tokens), |probe| {
            probe.give(Input::Token { id: probe.id(), result: Ok(TokenInfo::default()) });
            closed(probe, CloseCode::TOKEN_EXPIRED);
        }),
        end("", plain().with_first_failure(OnFirstFailure::Stop), refused),
        end("reopen = never", attempts.with_reopen(ReopenPolicy::Never), refused),
        end("reopen = always", plain().with_reopen(ReopenPolicy::Always), stopped),
    ]
    .into()
}

fn end(detail: &'static str, config: LinkConfig, bring_about: impl FnOnce(&mut LinkProbe)) -> Spot {
    let mut probe = LinkProbe::new(config);
    probe.give(Input::Connect);
    bring_about(&mut probe);
    assert!(probe.link.state().is_closed(), "not an end: {:?}", probe.link.state());
    spot(detail, &probe)
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
    let mut probe = LinkProbe::new(plain().with_heartbeat(heartbeat.with_missed(2)));
    probe.give(Input::Connect);
    attempt(&mut probe);
    probe.due(Timer::Stable);
    probe.due(Timer::Ping);
    spots.push(spot("one ping out of two is unanswered", &probe));
    probe.due(Timer::Pong);
    probe.due(Timer::Ping);
    spots.push(spot("two pings are unanswered", &probe));

    let mut probe = LinkProbe::new(plain().with_heartbeat(watchdog));
    probe.give(Input::Connect);
    attempt(&mut probe);
    probe.due(Timer::Stable);
    spots.push(spot("nothing was heard for long", &probe));
    probe.wait(Duration::from_secs(600));
    spots.push(spot("the machine was asleep", &probe));

    let slow = heartbeat.with_message_timeout(Some(20 * second));
    let mut probe = LinkProbe::new(plain().with_heartbeat(slow));
    probe.give(Input::Connect);
    attempt(&mut probe);
    probe.due(Timer::Stable);
    probe.link.arriving(probe.id(), Some(probe.now), probe.now);
    spots.push(spot("a message is arriving", &probe));

    let mut probe = LinkProbe::new(plain().with_budget(elapsed));
    probe.give(Input::Connect);
    spots.push(spot("tried for long enough", &probe));

    let mut probe = LinkProbe::new(plain().with_surface(surface).with_connect_timeout(60 * second));
    probe.give(Input::Connect);
    attempt(&mut probe);
    probe.due(Timer::Stable);
    failed(&mut probe, Failure::Reset);
    probe.due(Timer::Backoff);
    spots.push(spot("the silent grace ends", &probe));
    probe.due(Timer::Grace);
    spots.push(spot("time for the banner", &probe));
    probe.due(Timer::Banner);
    spots.push(spot("time to say that it is stuck", &probe));
    spots
}

/// A close while messages wait.
const FINISH: Input = Input::Finish { code: CloseCode::NORMAL };
const WITH_MESSAGES: &str = "closed with messages that wait";

/// A token that expires so soon that it is renewed before the first ping.
const TOKEN_LIFE: Duration = Duration::from_secs(30);

fn failed(probe: &mut LinkProbe, failure: Failure) {
    probe.give(Input::Failed { id: probe.id(), failure });
}

fn closed(probe: &mut LinkProbe, code: CloseCode) {
    probe.give(Input::PeerClosed { id: probe.id(), code });
}

fn spot(detail: &'static str, probe: &LinkProbe) -> Spot {
    Spot { detail, probe: probe.clone() }
}
