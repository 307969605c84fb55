//! Which endpoint the next attempt dials: several in turn, and where redirects lead.

use crate::link::action::Endpoint;

/// The position among the configured endpoints, and in a chain of redirects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    count: u8,
    current: u8,
    redirects: u8,
}

impl Route {
    /// The first of `count` endpoints.
    pub(crate) const fn new(count: u8) -> Self {
        Self { count, current: 0, redirects: 0 }
    }

    /// Where to dial.
    pub(crate) const fn endpoint(&self) -> Endpoint {
        if self.redirects > 0 { Endpoint::Redirected } else { Endpoint::Configured(self.current) }
    }

    /// Follows a redirect, if the chain is not too long already.
    pub(crate) const fn redirect(&mut self, most: u8) -> bool {
        let allowed = self.redirects < most;
        if allowed {
            self.redirects += 1;
        }
        allowed
    }

    /// Back from wherever redirects led: the next attempt asks the origin again.
    pub(crate) const fn back_to_origin(&mut self) {
        self.redirects = 0;
    }

    /// The next endpoint in turn.
    pub(crate) const fn switch(&mut self) {
        self.redirects = 0;
        self.current = if self.current + 1 < self.count { self.current + 1 } else { 0 };
    }
}
