//! What most links change of the configuration, as verbs of the builder.

use std::time::Duration;

use relink::policy::Curve;
use relink::protocol::Conversation;
use relink::{CloseCode, Message, Verdict};

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

    /// Sends this after each open, ahead of all that waited: a subscription, a login. Repeated
    /// calls add to it. It is not counted as a message, and has no receipt.
    ///
    /// For a plain WebSocket only: with `relink_v1`, [`profile`](Self::profile) or
    /// [`protocol`](Self::protocol), the protocol says what it says, and this is a
    /// [`BuildError::Conflict`](super::BuildError::Conflict).
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use relink_driver::{BuildError, Builder, Client, Events, Runtime};
    /// # fn start<Rt: Runtime>(builder: Builder<Rt>) -> Result<(Client, Events), BuildError> {
    /// builder
    ///     .on_open(r#"{"op":"subscribe","channel":"trades"}"#)
    ///     .heartbeat_text(r#"{"op":"ping"}"#)
    ///     .confirm(Duration::from_secs(5), |message| {
    ///         message.as_text().is_some_and(|text| text.contains("subscribed"))
    ///     })
    ///     .spawn()
    /// # }
    /// ```
    #[must_use]
    pub fn on_open(self, message: impl Into<Message>) -> Self {
        let message = message.into();
        self.conversation(|conversation| conversation.on_open(message))
    }

    /// Sends this message in place of WebSocket pings, for servers that expect their own; how often
    /// is for [`heartbeat`](Self::heartbeat) to say. Whatever arrives then is an answer. It
    /// conflicts with what [`on_open`](Self::on_open) conflicts with.
    #[must_use]
    pub fn heartbeat_text(self, message: impl Into<Message>) -> Self {
        let message = message.into();
        self.conversation(|conversation| conversation.heartbeat(message))
    }

    /// The link is connected once the server has sent a message for which this is true, such as the
    /// answer to a subscription; if that takes longer than `timeout` after the open, the attempt
    /// has failed. What waits is sent after it. The application receives the message, too. The
    /// closure runs under the link's lock: it must not call its own client. It conflicts with what
    /// [`on_open`](Self::on_open) conflicts with.
    #[must_use]
    pub fn confirm(
        self,
        timeout: Duration,
        confirms: impl FnMut(&Message) -> bool + Send + 'static,
    ) -> Self {
        self.conversation(|conversation| conversation.confirm(confirms)).setting(move |config| {
            config.link.handshake.welcome = Some(timeout);
            Ok(())
        })
    }

    fn conversation(mut self, change: impl FnOnce(Conversation) -> Conversation) -> Self {
        self.config.conversation =
            Some(change(self.config.conversation.take().unwrap_or_default()));
        self
    }

    /// Reconnects if the server closes with this code, such as 1000, after which a link stays
    /// closed by default. At most 16 codes, edits of `close_policy` included.
    #[must_use]
    pub fn retry_on(self, code: impl Into<CloseCode>) -> Self {
        let CloseCode(code) = code.into();
        self.setting(move |config| config.link.close_policy.set_close(code..=code, Verdict::Retry))
    }
}
