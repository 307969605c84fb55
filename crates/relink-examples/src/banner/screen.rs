//! What there is to show.

use std::collections::VecDeque;
use std::time::Duration;

use relink::link::{Indicator, Status, StatusChange};
use relink::{ClosedReason, Event, Instant};

use super::drawn::Drawn;

/// The number of kept lines of the log.
const MAX_LINES: usize = 200;

/// What there is to show of a link.
#[derive(Debug, Clone)]
pub struct Screen {
    pub(super) address: String,
    pub(super) status: Status,
    pub(super) color: Indicator,
    pub(super) banner: bool,
    pub(super) stuck: bool,
    /// When the next attempt starts; `None` while one is under way.
    pub(super) next_attempt: Option<Instant>,
    pub(super) ended: Option<ClosedReason>,
    /// Advice to the user, while the link keeps trying.
    pub(super) advice: Option<String>,
    pub(super) log: VecDeque<String>,
}

impl Screen {
    /// Of a link to this address, of which nothing is known yet.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            status: Status::Idle,
            color: Indicator::Bad,
            banner: false,
            stuck: false,
            next_attempt: None,
            ended: None,
            advice: None,
            log: VecDeque::new(),
        }
    }

    /// Something happened on the link, which has this color now.
    #[expect(clippy::wildcard_enum_match_arm, reason = "what is not shown needs no name")]
    pub fn apply(&mut self, event: &Event, color: Indicator, now: Instant) {
        self.color = color;
        match event {
            Event::StatusChange(StatusChange::Status(status)) => self.status = *status,
            Event::StatusChange(StatusChange::Banner(on)) => self.banner = *on,
            Event::StatusChange(StatusChange::Stuck(on)) => self.stuck = *on,
            Event::Dialing { .. } => self.next_attempt = None,
            Event::Connected { .. } => {
                self.next_attempt = None;
                self.advice = None;
            }
            Event::Disconnected { retry_in, .. } | Event::AttemptFailed { retry_in, .. } => {
                self.next_attempt = retry_in.map(|wait| now + wait);
            }
            Event::TokenError { consecutive_failures, detail } => {
                self.advice = Some(format!(
                    "{consecutive_failures} tokens in a row were of no use ({detail}). You may have to log in again."
                ));
            }
            Event::Message(message) => {
                let words = message.as_text().map_or_else(|| format!("{message:?}"), str::to_owned);
                self.note(format!("← {words}"));
            }
            Event::Dropped { messages, why, .. } => {
                for outgoing in messages {
                    let words = outgoing.message.as_text().unwrap_or("…");
                    self.note(format!("✗ {words} (never sent: {})", why.name()));
                }
            }
            Event::Closed { reason } => {
                self.next_attempt = None;
                self.advice = None;
                self.ended = Some(*reason);
            }
            _ => {}
        }
    }

    /// The user entered a line.
    pub fn said(&mut self, words: &str) {
        let waits = self.status != Status::Connected;
        self.note(format!("→ {words}{}", if waits { " (waits for the connection)" } else { "" }));
    }

    /// Whether the link has come to its end.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether the screen changes by itself, as time passes.
    #[must_use]
    pub const fn has_countdown(&self) -> bool {
        (self.banner || self.stuck) && self.next_attempt.is_some()
    }

    /// How long until the next attempt, in whole seconds, as a person counts: the last one is 1.
    /// `None` while one is under way.
    pub(super) fn countdown(&self, now: Instant) -> Option<u64> {
        let left = self.next_attempt.map(|at| at - now).filter(|left| *left > Duration::ZERO)?;
        Some(left.as_secs() + u64::from(left.subsec_nanos() > 0))
    }

    /// A summary of what is shown.
    #[must_use]
    pub fn drawn(&self) -> Drawn {
        Drawn {
            status: self.status.name(),
            color: self.color,
            banner: self.banner,
            stuck: self.stuck,
            ended: self.ended.map(ClosedReason::name),
        }
    }

    fn note(&mut self, line: String) {
        self.log.truncate(MAX_LINES - 1);
        self.log.push_front(line);
    }
}
