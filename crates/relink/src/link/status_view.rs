//! What a user should see: the link's state, without the flicker.
//!
//! The link's own state is exact; this one is derived from it. A short loss can stay hidden for a
//! grace, a "reconnecting" banner appears after a moment, and after a long time the user learns
//! that the link is stuck and is offered a retry.

use core::time::Duration;

use crate::base::config::{MILLISECOND, YEAR, config};
use crate::base::time::{Instant, next_due, secs};
use crate::link::Status;

config! {
    /// What is shown, and when.
    pub struct StatusViewConfig at "surface." {
        /// A lost link still shows as connected for this long while it recovers. Off by default:
        /// most users can be shown a loss at once.
        pub grace / with_grace: Option<Duration> = None, in MILLISECOND..=YEAR;
        /// The "reconnecting" banner appears after this long, so that a short drop does not
        /// flicker, and not before the grace is over.
        pub banner_after / with_banner_after: Option<Duration> =
            Some(secs(1)), in MILLISECOND..=YEAR;
        /// After this long without a link, offer *retry now*.
        pub stuck_after / with_stuck_after: Option<Duration> =
            Some(secs(30)), in MILLISECOND..=YEAR;
    }
}

/// A three-color indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[expect(clippy::exhaustive_enums, reason = "three colors")]
pub enum Indicator {
    /// Connected.
    Good,
    /// On the way.
    Neutral,
    /// Not connected, and not trying.
    Bad,
}

/// A change of what a person should see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum StatusChange {
    /// The status to show is this one now.
    Status(Status),
    /// Show or hide the "reconnecting" banner.
    Banner(bool),
    /// Show or hide a notice that it takes long, with an offer to *retry now*.
    Stuck(bool),
}

/// The timers of the surface, named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatusTimer {
    Grace,
    Banner,
    Stuck,
}

/// Derives what is shown from the status and the time.
#[derive(Debug, Clone)]
pub struct StatusView {
    config: StatusViewConfig,
    actual: Status,
    shown: Status,
    grace_until: Option<Instant>,
    banner: Notice,
    stuck: Notice,
}

/// A notice that appears after a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notice {
    Off,
    At(Instant),
    On,
}

impl Notice {
    fn start(after: Option<Duration>, now: Instant) -> Self {
        after.map_or(Self::Off, |after| Self::At(now + after))
    }

    const fn deadline(self) -> Option<Instant> {
        match self {
            Self::At(at) => Some(at),
            Self::Off | Self::On => None,
        }
    }

    fn show_if_due(&mut self, now: Instant) -> bool {
        let due = self.deadline().is_some_and(|at| at <= now);
        if due {
            *self = Self::On;
        }
        due
    }

    fn take_away(&mut self) -> bool {
        core::mem::replace(self, Self::Off) == Self::On
    }
}

impl StatusView {
    /// Creates a view that shows [`Status::Idle`].
    #[must_use]
    pub const fn new(config: StatusViewConfig) -> Self {
        Self {
            config,
            actual: Status::Idle,
            shown: Status::Idle,
            grace_until: None,
            banner: Notice::Off,
            stuck: Notice::Off,
        }
    }

    /// The status to show.
    #[must_use]
    pub const fn shown(&self) -> Status {
        self.shown
    }

    /// The color of the indicator.
    #[must_use]
    pub const fn indicator(&self) -> Indicator {
        match self.shown {
            Status::Connected => Indicator::Good,
            Status::Connecting | Status::Reconnecting | Status::Closing => Indicator::Neutral,
            Status::Idle | Status::Closed => Indicator::Bad,
        }
    }

    /// Updates the view for a changed status of the link, and passes each change of what is shown
    /// to `tell`.
    pub fn observe(&mut self, status: Status, now: Instant, mut tell: impl FnMut(StatusChange)) {
        if status == self.actual {
            return;
        }
        let hide = status == Status::Reconnecting && self.shown == Status::Connected;
        self.grace_until = self.config.grace.filter(|_| hide).map(|grace| now + grace);
        self.actual = status;

        let trying = matches!(status, Status::Connecting | Status::Reconnecting);
        if !trying {
            if self.banner.take_away() {
                tell(StatusChange::Banner(false));
            }
            if self.stuck.take_away() {
                tell(StatusChange::Stuck(false));
            }
        } else if self.stuck == Notice::Off {
            self.stuck = Notice::start(self.config.stuck_after, now);
        }
        if status == Status::Reconnecting {
            // What is hidden by the grace is not announced by the banner.
            let after = self
                .config
                .banner_after
                .map(|after| after.max(self.config.grace.unwrap_or_default()));
            self.banner = Notice::start(after, now);
        }
        if self.grace_until.is_none() {
            self.show(status, &mut tell);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<(Instant, StatusTimer)> {
        next_due([
            self.grace_until.map(|at| (at, StatusTimer::Grace)),
            self.banner.deadline().map(|at| (at, StatusTimer::Banner)),
            self.stuck.deadline().map(|at| (at, StatusTimer::Stuck)),
        ])
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_deadline().map(|(at, _)| at)
    }

    /// Shows what is due.
    pub fn handle_timeout(&mut self, now: Instant, mut tell: impl FnMut(StatusChange)) {
        if self.grace_until.take_if(|at| *at <= now).is_some() {
            self.show(self.actual, &mut tell);
        }
        if self.banner.show_if_due(now) {
            tell(StatusChange::Banner(true));
        }
        if self.stuck.show_if_due(now) {
            tell(StatusChange::Stuck(true));
        }
    }

    fn show(&mut self, status: Status, tell: &mut impl FnMut(StatusChange)) {
        if self.shown != status {
            self.shown = status;
            tell(StatusChange::Status(status));
        }
    }
}
