//! The clock of the programs. The only file of this crate that reads one.

use relink::Instant;

/// Counts from its creation.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the clock file")]
    pub fn start() -> Self {
        Self { origin: std::time::Instant::now() }
    }

    /// The time of the standard library at [`Instant::ORIGIN`].
    #[must_use]
    pub const fn origin(&self) -> std::time::Instant {
        self.origin
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_origin(self.origin.elapsed())
    }
}
