//! What an attempt needs before it dials: a token, an address. One fetch per attempt, at most one
//! under way, failures counted; while connected, tokens are renewed before they expire.

use core::time::Duration;

use rand_core::Rng;

use crate::base::config::{MILLISECOND, YEAR, config};
use crate::base::time::{Instant, mins, secs};
use crate::policy::backoff::{Window, percent};

config! {
    /// How tokens and addresses are fetched. Off unless `fetch` or `address` is set. With both, the
    /// token is fetched first.
    pub struct CredentialsConfig at "credentials." {
        /// Whether a token is fetched before every attempt, and none is used twice.
        pub fetch / with_fetch: bool = false;
        /// Whether an address is fetched before every attempt, in place of the configured endpoint:
        /// a signed URL, a ticket for one use, the answer of a negotiating request.
        pub address / with_address: bool = false;
        /// How long one fetch may take before it counts as failed.
        pub timeout / with_timeout: Duration = secs(10), in MILLISECOND..=YEAR;
        /// While connected, a fresh token is fetched this long before the present one expires.
        /// `off` waits for the server to refuse it, as does a session whose protocol cannot send a
        /// fresh one ([`Protocol::renews`](crate::Protocol::renews)).
        pub refresh_ahead / with_refresh_ahead: Option<Duration> =
            Some(mins(1)), in MILLISECOND..=YEAR;
        /// Refreshes up to this percentage sooner, so that a fleet does not refresh together.
        pub refresh_spread_pct / with_refresh_spread_pct: u32 = 20, in 0..=100;
        /// Failures in a row are reported as events from this number on.
        pub report_after / with_report_after: u32 = 3, in 1..;
        /// The link gives up after the server refused this many tokens in a row. `off`: never.
        pub max_refusals / with_max_refusals: Option<u32> = Some(10), in 1..;
    }
}

/// What an attempt needs before it can dial, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) enum Need {
    Token,
    Address,
}

/// The minimum time between fetches: a provider that returns expired tokens is asked this often.
const SOONEST_REFRESH: Duration = Duration::from_secs(5);

impl CredentialsConfig {
    /// What an attempt needs next.
    pub(crate) fn need_after(&self, had: Option<Need>) -> Option<Need> {
        let needs = [(Need::Token, self.fetch), (Need::Address, self.address)];
        needs.into_iter().find(|(need, wanted)| *wanted && Some(*need) > had).map(|(need, _)| need)
    }

    /// When to fetch the next token if this one, received at `now`, expires after `expires_in`.
    pub(crate) fn refresh_at<R: Rng>(
        &self,
        expires_in: Option<Duration>,
        now: Instant,
        rng: &mut R,
    ) -> Option<Instant> {
        let ahead = self.refresh_ahead?;
        let earliest = ahead.saturating_add(percent(ahead, self.refresh_spread_pct));
        let ahead = Window::new(ahead, earliest).draw(rng);
        // A token with a shorter life is refreshed at half of it; one that was expired on arrival,
        // not in a hot loop.
        let expires_in = expires_in?;
        Some(now + expires_in.saturating_sub(ahead).max(expires_in / 2).max(SOONEST_REFRESH))
    }
}

/// The results of the fetches so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Credentials {
    failures: u32,
    refusals: u32,
}

impl Credentials {
    /// A fetch failed; returns the number of failures in a row if that is to be reported.
    pub(crate) fn failed(&mut self, config: &CredentialsConfig) -> Option<u32> {
        self.failures = self.failures.saturating_add(1);
        (self.failures >= config.report_after).then_some(self.failures)
    }

    /// The number of fetches that failed in a row.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// A fetch succeeded.
    pub(crate) fn fetched(&mut self) {
        self.failures = 0;
    }

    /// The server refused a token; returns the number of refusals in a row if that is to be
    /// reported.
    pub(crate) fn refused(&mut self, config: &CredentialsConfig) -> Option<u32> {
        self.refusals = self.refusals.saturating_add(1);
        (self.refusals >= config.report_after).then_some(self.refusals)
    }

    /// Whether the limit of refused tokens is reached.
    pub(crate) fn is_hopeless(&self, config: &CredentialsConfig) -> bool {
        config.max_refusals.is_some_and(|most| self.refusals >= most)
    }

    /// The link is stable, so the token is good.
    pub(crate) fn accepted(&mut self) {
        *self = Self::default();
    }
}

/// How a token is sent to the server. It is sent to the configured origins only.
#[cfg(feature = "alloc")]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "a driver has to obey each of them")]
pub enum TokenPlacement {
    /// As `Authorization: Bearer …` in the handshake.
    #[default]
    Bearer,
    /// As this parameter of the query, for servers that browsers must reach too. Servers and
    /// proxies tend to log it.
    Query(alloc::borrow::Cow<'static, str>),
    /// As one more subprotocol, which is this prefix and the token:
    /// `base64url.bearer.authorization.k8s.io.` for one. The server chooses one of the
    /// application's own subprotocols.
    Subprotocol(alloc::borrow::Cow<'static, str>),
    /// Not in the handshake: the protocol sends it, as a message.
    Protocol,
}
