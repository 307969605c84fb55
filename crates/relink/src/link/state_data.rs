//! The state of a link with its data, deadlines above all.

use crate::base::time::{Instant, next_due};
use crate::link::input::TransportId;
use crate::link::reason::Timer;
use crate::link::state::{ClosedReason, Phase, State, Step};
use crate::link::status_view::StatusTimer;
use crate::policy::close_code::CloseCode;
use crate::policy::credentials::Need;
use crate::policy::heartbeat::{BeatTimer, Heartbeat};

/// The state, and the data that ends with it.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    Idle,
    /// `not_before` is the floor below which no hint can shorten the wait.
    Waiting {
        until: Instant,
        not_before: Instant,
    },
    Authorizing {
        id: TransportId,
        need: Need,
        deadline: Instant,
    },
    /// `until` is when the whole attempt times out, never before the deadline.
    Dialing {
        id: TransportId,
        deadline: Instant,
        until: Option<Instant>,
    },
    Handshaking {
        id: TransportId,
        step: Step,
        deadline: Option<Instant>,
        until: Option<Instant>,
    },
    Connected(Live),
    Closing {
        id: TransportId,
        code: CloseCode,
        flushed: bool,
        deadline: Instant,
    },
    Closed(ClosedReason),
}

/// The application has closed the link while messages wait: the link keeps trying until they are
/// out or this deadline passes. Kept beside the state, since it outlasts several; it ends with the
/// flush.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaving {
    pub(crate) code: CloseCode,
    pub(crate) deadline: Instant,
}

/// The data of a usable link.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) id: TransportId,
    pub(crate) since: Instant,
    pub(crate) heartbeat: Heartbeat,
    /// When it will count as stable; `None` once it does.
    pub(crate) stable_at: Option<Instant>,
    pub(crate) refresh: Refresh,
}

/// The renewal of the token while connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refresh {
    Off,
    At(Instant),
    Fetching { deadline: Instant },
}

impl Stage {
    pub(crate) const fn state(&self, was_connected: bool) -> State {
        let phase = match self {
            Self::Idle => return State::Idle,
            Self::Connected(_) => return State::Connected,
            Self::Closing { .. } => return State::Closing,
            Self::Closed(reason) => return State::Closed(*reason),
            Self::Waiting { .. } => Phase::Waiting,
            Self::Authorizing { .. } => Phase::Authorizing,
            Self::Dialing { .. } => Phase::Dialing,
            Self::Handshaking { step, .. } => Phase::Handshaking(*step),
        };
        if was_connected { State::Reconnecting(phase) } else { State::Connecting(phase) }
    }

    /// The attempt or transport that this state holds.
    pub(crate) const fn transport(&self) -> Option<TransportId> {
        match self {
            Self::Idle | Self::Waiting { .. } | Self::Closed(_) => None,
            Self::Authorizing { id, .. }
            | Self::Dialing { id, .. }
            | Self::Handshaking { id, .. }
            | Self::Closing { id, .. } => Some(*id),
            Self::Connected(live) => Some(live.id),
        }
    }

    /// The usable link, if this transport carries it.
    #[inline]
    pub(crate) fn live(&mut self, id: TransportId) -> Option<&mut Live> {
        match self {
            Self::Connected(live) if live.id == id => Some(live),
            Self::Idle
            | Self::Waiting { .. }
            | Self::Authorizing { .. }
            | Self::Dialing { .. }
            | Self::Handshaking { .. }
            | Self::Connected(_)
            | Self::Closing { .. }
            | Self::Closed(_) => None,
        }
    }

    /// When the attempt under way times out as a whole.
    pub(crate) const fn until(&self) -> Option<Instant> {
        match self {
            Self::Dialing { until, .. } | Self::Handshaking { until, .. } => *until,
            Self::Idle
            | Self::Waiting { .. }
            | Self::Authorizing { .. }
            | Self::Connected(_)
            | Self::Closing { .. }
            | Self::Closed(_) => None,
        }
    }

    /// Whether the link is down and being brought up, which counts against `max_elapsed`.
    pub(crate) const fn is_trying(&self) -> bool {
        matches!(
            self,
            Self::Waiting { .. }
                | Self::Authorizing { .. }
                | Self::Dialing { .. }
                | Self::Handshaking { .. }
        )
    }

    /// The state's own next deadline.
    pub(crate) fn next_deadline(&self) -> Option<(Instant, Timer)> {
        match self {
            Self::Idle | Self::Closed(_) => None,
            Self::Waiting { until, .. } => Some((*until, Timer::Backoff)),
            Self::Authorizing { need, deadline, .. } => Some((*deadline, (*need).into())),
            Self::Dialing { deadline, .. } => Some((*deadline, Timer::Dial)),
            Self::Handshaking { step, deadline, .. } => deadline.map(|at| (at, Timer::Step(*step))),
            Self::Connected(live) => live.next_deadline(),
            Self::Closing { flushed: false, deadline, .. } => Some((*deadline, Timer::Flush)),
            Self::Closing { flushed: true, deadline, .. } => Some((*deadline, Timer::Close)),
        }
    }
}

impl Live {
    fn next_deadline(&self) -> Option<(Instant, Timer)> {
        next_due([
            self.stable_at.map(|at| (at, Timer::Stable)),
            self.refresh.deadline().map(|at| (at, Timer::Refresh)),
            self.heartbeat.next_deadline().map(|(at, timer)| (at, timer.into())),
        ])
    }
}

impl Refresh {
    pub(crate) const fn deadline(self) -> Option<Instant> {
        match self {
            Self::Off => None,
            Self::At(at) | Self::Fetching { deadline: at } => Some(at),
        }
    }
}

impl From<BeatTimer> for Timer {
    fn from(timer: BeatTimer) -> Self {
        match timer {
            BeatTimer::Ping => Self::Ping,
            BeatTimer::Pong => Self::Pong,
            BeatTimer::Watchdog => Self::Watchdog,
            BeatTimer::Message => Self::Message,
        }
    }
}

impl From<StatusTimer> for Timer {
    fn from(timer: StatusTimer) -> Self {
        match timer {
            StatusTimer::Grace => Self::Grace,
            StatusTimer::Banner => Self::Banner,
            StatusTimer::Stuck => Self::Stuck,
        }
    }
}

impl From<Need> for Timer {
    fn from(need: Need) -> Self {
        match need {
            Need::Token => Self::Token,
            Need::Address => Self::Address,
        }
    }
}
