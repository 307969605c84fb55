//! Something that happens to a link, said without knowing the link: what property tests and fuzzers
//! are made of.

use std::time::Duration;

use relink::link::{HandshakeEvent, Input, Step, TokenInfo, TransportId};
use relink::policy::CLOSE_CODES;
use relink::{CloseCode, Instant, Link, Phase, State, rand_core::Rng};

/// Something that happens, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a pair")]
pub struct Stimulus {
    /// When it happens.
    pub delay: Delay,
    /// What happens.
    pub kind: Kind,
}

/// When something happens, as seen from what happened before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever adds one must decide what it means everywhere"
)]
pub enum Delay {
    /// This much later; zero is the same moment.
    After(Duration),
    /// This long after the next deadline of the link; zero is just in time.
    PastDeadline(Duration),
    /// This much earlier: a clock that was set back.
    Before(Duration),
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever adds one must decide what it means everywhere"
)]
pub enum Kind {
    /// Whatever brings the link one step further to usable, or keeps it so: a server in good
    /// health.
    Helpful,
    /// This input, from this transport if it comes from one.
    Input(Input, Source),
}

/// Which transport an input claims to come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever adds one must decide what it means everywhere"
)]
pub enum Source {
    /// The live one, or the most recent one if there is none.
    Live,
    /// One that was live once: the n-th from the end.
    Past(u8),
    /// One that never was.
    Unknown,
}

impl Delay {
    /// The moment that is meant.
    #[must_use]
    pub fn moment(self, now: Instant, deadline: Option<Instant>) -> Instant {
        match self {
            Self::After(time) => now + time,
            Self::PastDeadline(time) => deadline.map_or(now, |at| at.max(now) + time),
            Self::Before(time) => Instant::from_origin(now.since_origin().saturating_sub(time)),
        }
    }
}

impl Stimulus {
    /// The input that is meant, and its time, for this link at this time; `ids` are those it has
    /// used, in order.
    #[must_use]
    pub fn resolve<R: Rng>(
        self,
        link: &Link<R>,
        now: Instant,
        ids: &[TransportId],
    ) -> (Input, Instant) {
        let moment = self.delay.moment(now, link.poll_timeout());
        let live = link.transport().or(ids.last().copied()).unwrap_or_default();
        match self.kind {
            Kind::Helpful => helpful(link, live, moment),
            Kind::Input(input, Source::Live) => (input.with_transport(live), moment),
            Kind::Input(input, Source::Unknown) => {
                (input.with_transport(TransportId::default()), moment)
            }
            Kind::Input(input, Source::Past(n)) => {
                let past = ids.iter().rev().copied().filter(|id| *id != live).nth(usize::from(n));
                (input.with_transport(past.unwrap_or_default()), moment)
            }
        }
    }
}

/// The ends of every row of the default table, what lies between them, and the codes that
/// configurations edit.
pub(crate) fn known_codes() -> Vec<u16> {
    let rows = CLOSE_CODES.iter().flat_map(|rule| [rule.from, rule.to]);
    rows.chain([999, 1004, 1016, 2999, 4000, CloseCode::GAP.0, 4900, 4901]).collect()
}

/// The same for HTTP statuses.
#[cfg(feature = "proptest")]
pub(crate) fn known_statuses() -> Vec<u16> {
    let rows = relink::policy::HTTP_STATUSES.iter().flat_map(|rule| [rule.from, rule.to]);
    rows.chain([0, 99, 600]).collect()
}

fn helpful<R: Rng>(link: &Link<R>, id: TransportId, moment: Instant) -> (Input, Instant) {
    let signal = |signal| Input::Handshake { id, event: signal };
    let input = match link.state() {
        State::Connecting(phase) | State::Reconnecting(phase) => match phase {
            Phase::Waiting => {
                return (Input::Timeout, link.poll_timeout().map_or(moment, |at| at.max(moment)));
            }
            Phase::Authorizing if link.is_locating() => Input::Address { id, result: Ok(()) },
            Phase::Authorizing => {
                Input::Token { id, result: Ok(TokenInfo::new(Some(Duration::from_secs(90)))) }
            }
            Phase::Dialing => Input::Opened { id },
            Phase::Handshaking(Step::Welcome) => signal(HandshakeEvent::Welcome),
            Phase::Handshaking(Step::Challenge) => signal(HandshakeEvent::ChallengeMet),
            Phase::Handshaking(Step::Login) => Input::Login,
            Phase::Handshaking(Step::Authenticating) => signal(HandshakeEvent::Authenticated),
        },
        State::Connected => Input::Pong { id, nonce: None },
        State::Closing if link.is_flushing() => Input::Flushed,
        State::Closing => Input::PeerClosed { id, code: CloseCode::NORMAL },
        State::Idle | State::Closed(_) => Input::Connect,
    };
    (input, moment)
}
