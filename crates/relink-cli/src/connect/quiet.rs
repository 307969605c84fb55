//! The end of a conversation: no message arrived for a while after the last input.

use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A conversation without a pause ends after this many times the wanted quiet.
const LONGEST: u32 = 10;

/// Waits for quiet, once started.
#[derive(Debug)]
pub(crate) struct Quiet {
    wanted: Duration,
    wait: Wait,
}

#[derive(Debug, Clone, Copy)]
enum Wait {
    NotYet,
    Until {
        /// When the quiet is long enough.
        end: Instant,
        /// When it ends in any case.
        latest: Instant,
    },
    Over,
}

impl Quiet {
    /// Creates a wait for this much quiet.
    pub(crate) const fn new(wanted: Duration) -> Self {
        Self { wanted, wait: Wait::NotYet }
    }

    /// Starts to count quiet, after the last input. Only the first call has an effect.
    pub(crate) fn begin(&mut self) {
        if matches!(self.wait, Wait::NotYet) {
            let now = Instant::now();
            self.wait = Wait::Until { end: now + self.wanted, latest: now + self.wanted * LONGEST };
        }
    }

    /// A message arrived.
    pub(crate) fn broken(&mut self) {
        if let Wait::Until { end, latest } = &mut self.wait {
            *end = (Instant::now() + self.wanted).min(*latest);
        }
    }

    /// Returns once it was quiet for long enough; never again after that, nor before the start.
    /// Cancel-safe.
    pub(crate) async fn over(&mut self) {
        let Wait::Until { end, .. } = self.wait else { return pending().await };
        sleep_until(end).await;
        self.wait = Wait::Over;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_is_over_once_when_nothing_was_heard_for_long_enough() {
        let mut quiet = Quiet::new(SECOND);
        assert!(timeout(SECOND * 100, quiet.over()).await.is_err(), "it has not begun");
        quiet.begin();
        advance(SECOND / 2).await;
        quiet.broken();
        quiet.begin();
        let started = Instant::now();
        quiet.over().await;
        assert_eq!(started.elapsed(), SECOND);
        assert!(timeout(SECOND * 100, quiet.over()).await.is_err(), "it is told once");
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_pauses_is_over_too() {
        let mut quiet = Quiet::new(SECOND);
        quiet.begin();
        let started = Instant::now();
        while timeout(SECOND / 4, quiet.over()).await.is_err() {
            quiet.broken();
        }
        assert_eq!(started.elapsed(), SECOND * LONGEST);
    }
}
