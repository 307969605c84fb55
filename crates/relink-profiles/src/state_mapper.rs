//! The states of a link under a system's own names.

use core::fmt;

use relink::link::{Status, StatusChange};
use relink::profile::{Profile, StateLabel, StateView};
use relink::{Event, Reason, State};

/// A change of state, under a system's own names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateChange {
    /// From this state.
    pub from: &'static str,
    /// To this one.
    pub to: &'static str,
    /// Why, if the system has a name for it.
    pub reason: Option<&'static str>,
}

impl fmt::Display for StateChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", self.from, self.to)?;
        self.reason.map_or(Ok(()), |reason| write!(f, " ({reason})"))
    }
}

/// Follows a link by its events, and reports its states under a system's own names.
///
/// Pass it every event, from the start: it combines the last change of the exact state and of the
/// shown status.
#[derive(Debug, Clone)]
pub struct StateMapper {
    profile: &'static Profile,
    view: StateView,
    label: StateLabel,
}

impl StateMapper {
    /// Creates a mapper for a link that was not started yet.
    #[must_use]
    pub fn new(profile: &'static Profile) -> Self {
        let view = StateView {
            from: State::Idle,
            state: State::Idle,
            reason: Reason::Connect,
            shown: Status::Idle,
        };
        Self { profile, view, label: (profile.label)(&view) }
    }

    /// The system's own name for the link's state.
    #[must_use]
    pub const fn label(&self) -> StateLabel {
        self.label
    }

    /// Handles an event of the link; returns the change under the system's own names, if there is
    /// one.
    pub fn observe(&mut self, event: &Event) -> Option<StateChange> {
        if let Event::State { from, to, reason } = *event {
            (self.view.from, self.view.state, self.view.reason) = (from, to, reason);
        } else if let Event::StatusChange(StatusChange::Status(status)) = *event {
            self.view.shown = status;
        } else {
            return None;
        }
        let label = (self.profile.label)(&self.view);
        let from = core::mem::replace(&mut self.label, label).state;
        let StateLabel { state: to, reason } = label;
        (from != to).then_some(StateChange { from, to, reason })
    }
}
