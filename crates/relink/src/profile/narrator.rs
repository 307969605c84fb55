//! A link's life in a system's own words.

use core::fmt;

use crate::link::{Reason, State, Status};
use crate::profile::Profile;
use crate::session::Event;
use crate::surface::Shown;

/// What a system's own words are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct View {
    /// The exact state before the last change.
    pub from: State,
    /// The exact state.
    pub state: State,
    /// Why it changed.
    pub reason: Reason,
    /// The status that is shown: a grace may hide a loss (A5).
    pub shown: Status,
}

/// A system's own name for where a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Word {
    /// Its name for the state.
    pub state: &'static str,
    /// Its name for the reason, where it has one.
    pub reason: Option<&'static str>,
}

impl Word {
    /// A state, and why.
    #[must_use]
    pub const fn new(state: &'static str, reason: Option<&'static str>) -> Self {
        Self { state, reason }
    }
}

/// A change of state, in a system's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// From this state.
    pub from: &'static str,
    /// To this one.
    pub to: &'static str,
    /// Why, where the system has a name for it.
    pub reason: Option<&'static str>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", self.from, self.to)?;
        self.reason.map_or(Ok(()), |reason| write!(f, " ({reason})"))
    }
}

/// Follows a link by its events, and tells of it in a system's own words.
///
/// Hand it every event, from the start: what it says is made from the last change of the exact state and of what is shown.
#[derive(Debug, Clone)]
pub struct Narrator {
    profile: &'static Profile,
    view: View,
    word: Word,
}

impl Narrator {
    /// For a link that was not started yet.
    #[must_use]
    pub fn new(profile: &'static Profile) -> Self {
        let view =
            View { from: State::Idle, state: State::Idle, reason: Reason::Connect, shown: Status::Idle };
        Self { profile, view, word: (profile.word)(&view) }
    }

    /// The system's own name for where the link stands.
    #[must_use]
    pub const fn word(&self) -> Word {
        self.word
    }

    /// An event of the link; what it changes in the system's own words, if anything.
    pub fn observe(&mut self, event: &Event) -> Option<Change> {
        if let Event::State { from, to, reason } = *event {
            (self.view.from, self.view.state, self.view.reason) = (from, to, reason);
        } else if let Event::Shown(Shown::Status(status)) = *event {
            self.view.shown = status;
        } else {
            return None;
        }
        let word = (self.profile.word)(&self.view);
        let from = core::mem::replace(&mut self.word, word).state;
        let Word { state: to, reason } = word;
        (from != to).then_some(Change { from, to, reason })
    }
}
