//! What most links change of the configuration, as verbs of the builder.

use std::time::Duration;

use relink::policy::Curve;
use relink::{CloseCode, Verdict};

use super::Builder;
use crate::runtime::Runtime;

/// Settings on top of [`config`](Builder::config) and presets, whatever the order of the calls.
impl<Rt: Runtime> Builder<Rt> {
    /// Sends a ping after each `interval`; `None` sends none. 30 s by default, below the idle
    /// timeout of common proxies (60 s). An answer may take `heartbeat.timeout`, 10 s by default.
    #[must_use]
    pub fn heartbeat(self, interval: impl Into<Option<Duration>>) -> Self {
        let interval = interval.into();
        self.setting(move |config| {
            config.link.heartbeat.interval = interval;
            Ok(())
        })
    }

    /// Waits about `initial` before the second attempt, twice as long before each further one, and
    /// at most `max`, with jitter. 1.5 s and 20 s by default. The first attempt after a stable link
    /// comes within `backoff.first` (1 s).
    #[must_use]
    pub fn backoff(self, initial: Duration, max: Duration) -> Self {
        self.setting(move |config| {
            let backoff = &mut config.link.backoff;
            backoff.curve = Curve::Exponential { initial, factor_pct: 200 };
            backoff.floor = backoff.floor.min(initial);
            backoff.cap = max;
            Ok(())
        })
    }

    /// Gives up after this many failures since the link was last stable. Never by default.
    #[must_use]
    pub fn max_attempts(self, failures: u32) -> Self {
        self.setting(move |config| {
            config.link.budget.max_attempts = Some(failures);
            Ok(())
        })
    }

    /// Reconnects if the server closes with this code, such as 1000, after which a link stays
    /// closed by default. At most 16 codes, edits of `close_policy` included.
    #[must_use]
    pub fn retry_on(self, code: impl Into<CloseCode>) -> Self {
        let CloseCode(code) = code.into();
        self.setting(move |config| config.link.close_policy.set_close(code..=code, Verdict::Retry))
    }
}
