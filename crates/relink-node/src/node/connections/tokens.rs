//! The expiry of a connection's token.

use core::time::Duration;

use super::{Connections, Timer};
use crate::node::ConnectionId;
use relink::{CloseCode, CloseFrame, Instant};

/// A later deadline is checked this often, so that timers that outlive their connections do not
/// pile up.
pub(super) const LOOK: Duration = Duration::from_secs(60);

/// The end of a token, if the application knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenEnd {
    at: Option<Instant>,
    /// When it is checked next: a renewed token expires later, and needs no other timer.
    looked_at: Option<Instant>,
}

impl TokenEnd {
    /// A token without an end.
    pub(super) const fn new() -> Self {
        Self { at: None, looked_at: None }
    }
}

impl Connections {
    /// Sets how long the present token is valid.
    pub(crate) fn token_ends(&mut self, id: ConnectionId, after: Option<Duration>) {
        let (grace, now) = (self.config.token_grace, self.now);
        let Some(connection) = self.get_mut(id) else { return };
        connection.token.at = after.map(|after| now + after.saturating_add(grace));
        self.watch_token(id);
    }

    fn watch_token(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.get_mut(id) else { return };
        let TokenEnd { at: Some(at), looked_at } = connection.token else { return };
        let at = at.min(now + LOOK);
        if looked_at.is_none_or(|looked_at| at < looked_at) {
            connection.token.looked_at = Some(at);
            self.set_timer(id, Timer::Token, at);
        }
    }

    /// Checks a token. Returns the close frame if it has expired.
    pub(crate) fn look_at_token(&mut self, id: ConnectionId) -> Option<CloseFrame> {
        let now = self.now;
        let connection = self.get_mut(id)?;
        connection.token.looked_at.take_if(|at| *at <= now);
        let is_renewed = connection.token.at.is_some_and(|at| at > now);
        if is_renewed {
            self.watch_token(id);
            return None;
        }
        self.ended_token(id)
    }

    /// The close frame if the token has expired. If a fresh one is being checked, the answer
    /// decides.
    pub(crate) fn ended_token(&self, id: ConnectionId) -> Option<CloseFrame> {
        let connection = self.get(id)?;
        let is_over = connection.token.at.is_some_and(|at| at <= self.now);
        let reason = "the token is over, and no fresh one came";
        (is_over && !connection.identifying)
            .then(|| CloseFrame::new(CloseCode::TOKEN_EXPIRED, reason))
    }
}
