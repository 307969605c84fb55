//! The table: for each state, what each input does.

use core::time::Duration;

use relink::link::{Action, Endpoint, Input, LinkEvent, StatusChange};
use relink::time::HumanDuration;
use relink::{ClosedReason, Failure, LinkConfig, Phase, Reason, State, Verdict};

use crate::inputs::{self, Named, timer_name};
use crate::link_probe::{LinkProbe, events};
use crate::states::Spot;

/// A state, with a row for each effect of inputs in it.
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) heading: String,
    pub(crate) title: String,
    pub(crate) rows: Vec<Row>,
    /// Inputs without an effect.
    pub(crate) idle: Vec<Named>,
    /// The number of inputs from other transports, which must have no effect.
    pub(crate) stale: usize,
}

/// Inputs of one group with the same effect.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) inputs: Vec<Named>,
    pub(crate) effect: Effect,
    /// The transitions in the events, for the diagram.
    pub(crate) steps: Vec<Transition>,
}

/// An effect, as the table shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) next: String,
    pub(crate) wakes: String,
    pub(crate) does: String,
}

pub(crate) fn section(spot: &Spot, deadlines_only: bool) -> Section {
    let mut probe = spot.probe.clone();
    let due = probe.link.next_timer();
    let nonce = u32::try_from(probe.link.stats().pings).expect("a few pings");
    let detail = if spot.detail.is_empty() { String::new() } else { format!(", {}", spot.detail) };
    let title = state_name(&probe) + &detail;
    let heading = format!("{title} (deadline: {})", wakes(&probe));
    if !deadlines_only {
        // An input at a later time than the one before, so that nothing hides behind equal times.
        probe.wait(Duration::from_micros(1));
    }
    let inputs = inputs::all(probe.id(), nonce, due);
    let stale = stale_do_nothing(&probe, &inputs);
    let mut section = Section {
        name: state_name(&probe),
        heading,
        title,
        rows: Vec::new(),
        idle: Vec::new(),
        stale,
    };
    for named in inputs {
        if deadlines_only && named.input != Input::Timeout {
            continue;
        }
        match effect(&probe, &named) {
            Some((effect, steps)) => section.add(named, effect, steps),
            None => section.idle.push(named),
        }
    }
    section
}

impl Section {
    fn add(&mut self, named: Named, effect: Effect, steps: Vec<Transition>) {
        let same = |row: &&mut Row| row.effect == effect && row.inputs[0].group == named.group;
        match self.rows.iter_mut().find(same) {
            Some(row) => row.inputs.push(named),
            None => self.rows.push(Row { inputs: vec![named], effect, steps }),
        }
    }
}

/// From, to, and why.
type Transition = (State, State, Reason);

/// The effect of an input, or `None` if it leads to no action and changes no state.
fn effect(before: &LinkProbe, named: &Named) -> Option<(Effect, Vec<Transition>)> {
    let before = &before.in_time_for(named.input);
    let mut after = before.clone();
    let actions = after.give(named.input);
    if before.memory() == after.memory() {
        assert_eq!(actions, [], "{named:?} acts and remembers nothing of it");
        return None;
    }
    let steps = events(&actions)
        .filter_map(|event| match event {
            LinkEvent::State { from, to, reason } => Some((from, to, reason)),
            _ => None,
        })
        .collect();
    let same_deadline = before.link.poll_timeout() == after.link.poll_timeout();
    let effect = Effect {
        next: next(before, &after),
        wakes: if same_deadline { "same".into() } else { wakes(&after) },
        does: match does(&actions, named.input, after.link.config()) {
            nothing if nothing.is_empty() && same_deadline => "(remembered)".into(),
            does => does,
        },
    };
    Some((effect, steps))
}

/// The next state, without what it has in common with the one before: so the first connection and a
/// reconnect read alike, and share a section.
fn next(before: &LinkProbe, after: &LinkProbe) -> String {
    let (from, to) = (before.link.state(), after.link.state());
    match to {
        _ if state_name(before) == state_name(after) => "same".into(),
        State::Connecting(phase) | State::Reconnecting(phase) if from.status() == to.status() => {
            format!("… {}", phase_name(phase))
        }
        _ => state_name(after),
    }
}

/// Passes every input as if from every transport but the live one; returns the number of inputs.
fn stale_do_nothing(probe: &LinkProbe, inputs: &[Named]) -> usize {
    let (live, memory) = (probe.link.transport(), probe.memory());
    let others: Vec<_> =
        probe.ids.iter().copied().chain(next_id(probe)).filter(|id| Some(*id) != live).collect();
    let from_transport = inputs.iter().filter(|named| named.input.transport().is_some());
    let from_others =
        |named: &Named| others.iter().map(|id| named.input.with_transport(*id)).collect();
    let stale: Vec<Vec<Input>> = from_transport.map(from_others).collect();
    for input in stale.iter().flatten() {
        let mut after = probe.clone();
        let actions = after.give(*input);
        assert_eq!(actions, [], "{input:?} of another transport acted in {:?}", probe.link.state());
        assert_eq!(after.memory(), memory, "{input:?} of another transport left a trace");
    }
    stale.iter().filter(|inputs| !inputs.is_empty()).count()
}

/// The id that the next attempt will use: one from the future.
fn next_id(probe: &LinkProbe) -> Option<relink::link::TransportId> {
    let mut later = probe.clone();
    for _ in 0..4 {
        later.give(Input::PeerClosed { id: later.id(), code: relink::CloseCode::ABNORMAL });
        later.give(Input::RetryNow);
        later.give(Input::Connect);
    }
    later.ids.last().copied().filter(|id| !probe.ids.contains(id))
}

pub(crate) fn state_name(probe: &LinkProbe) -> String {
    let state = probe.link.state();
    let status = state.status();
    match state {
        State::Connecting(phase) | State::Reconnecting(phase) => {
            format!("{status} · {}", phase_name(phase))
        }
        State::Closing if probe.link.is_flushing() => format!("{status} · flushing"),
        State::Closing => format!("{status} · waiting for the peer"),
        State::Closed(reason) => format!("{status} · {}", end_name(reason)),
        State::Idle | State::Connected => status.to_string(),
    }
}

pub(crate) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting => "waiting",
        Phase::Authorizing => "authorizing",
        Phase::Dialing => "dialing",
        Phase::Handshaking(step) => step.name(),
    }
}

fn end_name(reason: ClosedReason) -> &'static str {
    match reason {
        ClosedReason::Stopped { .. } => "stopped",
        ClosedReason::Requested | ClosedReason::GaveUp(_) | ClosedReason::DriverGone => {
            reason.name()
        }
    }
}

/// The next deadline, and how far away it is.
fn wakes(probe: &LinkProbe) -> String {
    let Some((timer, at)) = probe.link.next_timer().zip(probe.link.poll_timeout()) else {
        return "never".into();
    };
    let left = (at - probe.now + Duration::from_micros(500)).as_millis();
    let left = Duration::from_millis(u64::try_from(left).expect("a deadline of this world"));
    format!("{} {}", timer_name(timer), HumanDuration(left))
}

/// Actions and events, in their order.
fn does(actions: &[Action], input: Input, config: &LinkConfig) -> String {
    let mut words = Vec::new();
    let mut status = None;
    for action in actions {
        match *action {
            Action::FetchToken { .. } => words.push("fetch token".into()),
            Action::FetchAddress { .. } => words.push("fetch address".into()),
            Action::Dial { endpoint: Endpoint::Redirected, .. } => {
                words.push("dial where redirected".into())
            }
            Action::Dial { .. } => words.push("dial".into()),
            Action::StartStep { step, .. } => words.push(format!("start {}", step.name())),
            Action::SendPing { .. } => words.push("ping".into()),
            Action::RenewToken { .. } => words.push("renew token".into()),
            Action::SendClose { code, .. } => words.push(format!("close frame {code}")),
            Action::Drop { .. } => words.push("drop".into()),
            Action::Event(LinkEvent::State { to, reason, .. }) => {
                status = Some(to.status());
                words.push(format!("→ {} ({})", short(to), reason_name(reason)));
            }
            // The status view follows the state; it is mentioned only if it hides something.
            Action::Event(LinkEvent::StatusChange(StatusChange::Status(shown)))
                if Some(shown) == status => {}
            Action::Event(event) => words.push(tells(event, input, config)),
            _ => words.push(format!("{action:?}")),
        }
    }
    words.join("; ")
}

fn short(state: State) -> &'static str {
    match state {
        State::Connecting(phase) | State::Reconnecting(phase) => phase_name(phase),
        State::Idle | State::Connected | State::Closing | State::Closed(_) => state.status().name(),
    }
}

fn tells(event: LinkEvent, input: Input, config: &LinkConfig) -> String {
    let again = |retry_in: Option<Duration>| match retry_in {
        Some(retry_in) => format!("again in {}", HumanDuration(retry_in)),
        None => "not again".into(),
    };
    match event {
        LinkEvent::Dialing { attempt, .. } => format!("tell dialing {attempt}"),
        LinkEvent::Connected { is_reconnect: false } => "tell connected".into(),
        LinkEvent::Connected { is_reconnect: true } => "tell connected again".into(),
        LinkEvent::Disconnected { code, retry_in, .. } => {
            let its_own = matches!(input, Input::PeerClosed { code: closed, .. } if closed == code);
            let code = if its_own { "that code".into() } else { code.to_string() };
            format!("tell disconnected ({code}, {})", again(retry_in))
        }
        LinkEvent::AttemptFailed { attempt, retry_in, .. } => {
            format!("tell attempt {attempt} failed ({})", again(retry_in))
        }
        LinkEvent::TokenError { consecutive_failures } => {
            format!("tell token error {consecutive_failures}")
        }
        LinkEvent::GoingAway { .. } => "tell going away".into(),
        LinkEvent::StatusChange(shown) => format!("show {shown:?}"),
        LinkEvent::Closed { reason } if Some(reason) == verdict_on(input, config) => {
            "tell closed: its verdict".into()
        }
        LinkEvent::Closed { reason } => format!("tell closed: {}", reason.name()),
        LinkEvent::State { .. } | _ => format!("tell {event:?}"),
    }
}

/// The reason to stop that the policy has for an input, if it has one.
fn verdict_on(input: Input, config: &LinkConfig) -> Option<ClosedReason> {
    let policy = &config.close_policy;
    let (verdict, code) = match input {
        Input::PeerClosed { code, .. } => (policy.on_close(code), Some(code)),
        Input::Failed { failure: Failure::Http { status, .. }, .. } => {
            (policy.on_status(status), None)
        }
        _ => return None,
    };
    if let Verdict::Stop(reason) = verdict {
        Some(ClosedReason::Stopped { reason, code })
    } else {
        None
    }
}

/// The reason, without what the name of the input already says.
pub(crate) fn reason_name(reason: Reason) -> String {
    match reason {
        Reason::Hint(_) => "hint".into(),
        Reason::StepDone(step) => format!("{} done", step.name()),
        Reason::ClosedByPeer(_) => "closed by peer".into(),
        Reason::Failed(_) => "failed".into(),
        Reason::TimedOut(timer) => format!("timeout: {}", timer_name(timer)),
        Reason::Dead(silence) => format!("dead: {silence:?}").to_lowercase(),
        Reason::Connect
        | Reason::DelayOver
        | Reason::RetryNow
        | Reason::TokenReady
        | Reason::Opened
        | Reason::Redirected
        | Reason::TooManyRedirects
        | Reason::TokenFailed
        | Reason::LoginRefused
        | Reason::Close
        | Reason::Flushed
        | _ => spaced(&format!("{reason:?}")),
    }
}

/// `DelayOver` as `delay over`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for (index, letter) in name.char_indices() {
        if index > 0 && letter.is_uppercase() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}
