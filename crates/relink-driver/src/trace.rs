//! `tracing`: one span for a link, one event for each transition. Without the feature, nothing.

use relink::{Address, Event};

/// The span of one link.
#[derive(Clone)]
pub(crate) struct Trace {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

#[cfg(not(feature = "tracing"))]
impl Trace {
    pub(crate) fn link(_: &Address) -> Self {
        Self {}
    }

    #[expect(clippy::unused_self, reason = "the same face as with the feature")]
    pub(crate) fn event(&self, _: &Event) {}
}

#[cfg(feature = "tracing")]
impl Trace {
    pub(crate) fn link(address: &Address) -> Self {
        Self { span: tracing::info_span!("link", %address) }
    }

    /// Logs losses and failures at `warn`, transitions at `info`, the rest at `debug`, and messages
    /// not at all: in a steady state `info` is quiet. No field has a secret: an address prints its
    /// public part.
    pub(crate) fn event(&self, event: &Event) {
        let _entered = self.span.enter();
        match event {
            Event::State { from, to, reason } => {
                let (from, to) = (from.status(), to.status());
                if from == to {
                    tracing::debug!(state = %to, %reason, "still {to}");
                } else {
                    tracing::info!(%from, %to, %reason, "now {to}");
                }
            }
            Event::Dialing { attempt, address } => tracing::debug!(attempt, %address, "dialing"),
            Event::Connected { is_reconnect } => tracing::debug!(is_reconnect, "usable"),
            Event::Disconnected { code, detail, reason, retry_in } => {
                tracing::warn!(%code, detail, %reason, ?retry_in, "lost");
            }
            Event::AttemptFailed { attempt, reason, detail, retry_in } => {
                tracing::warn!(attempt, %reason, detail, ?retry_in, "attempt failed");
            }
            Event::TokenError { consecutive_failures, detail } => {
                tracing::warn!(consecutive_failures, detail, "no good token");
            }
            Event::GoingAway { retry_after } => {
                tracing::info!(?retry_after, "the server goes away")
            }
            Event::StatusChange(shown) => tracing::debug!(?shown, "shown"),
            Event::EndpointsFailed { answers } => {
                answers.iter().for_each(|answer| tracing::warn!(%answer, "every endpoint refuses"));
            }
            Event::Closed { reason } => tracing::info!(%reason, "closed; no further attempt"),
            Event::Dropped { first, last, why, .. } => {
                tracing::warn!(%first, %last, why = why.name(), "messages dropped");
            }
            Event::TooLarge { receipt, size } => {
                tracing::warn!(%receipt, size, "message too large for the peer")
            }
            Event::Withheld { channel, position, problem } => {
                tracing::warn!(?channel, offset = position.offset, %problem, "message withheld");
            }
            Event::Resumed { complete } => tracing::info!(complete, "session resumed"),
            Event::ResumeRefused { problem } => tracing::warn!(%problem, "session lost"),
            Event::InDoubt { first, last, .. } => {
                tracing::warn!(%first, %last, "messages in doubt")
            }
            Event::Rejected { receipt, problem, .. } => {
                tracing::warn!(%receipt, %problem, "message rejected")
            }
            Event::Subscribed { channel, complete } => {
                tracing::debug!(%channel, complete, "subscribed")
            }
            Event::Unsubscribed { channel, problem, retry_in } => {
                tracing::warn!(%channel, %problem, ?retry_in, "not subscribed");
            }
            Event::Message(_)
            | Event::Publication { .. }
            | Event::Sent { .. }
            | Event::Acknowledged { .. }
            | Event::Missed { .. } => {}
            Event::Presence { channel, .. } => tracing::debug!(%channel, "presence changed"),
            other => tracing::debug!(?other, "event"),
        }
    }
}
