//! [`Link`]: the lasting, logical connection, as a state machine.

mod action;
mod config;
mod endpoints;
mod failure;
mod input;
mod keepalive;
mod reason;
mod retry;
mod state;
mod state_data;
mod status_view;
mod transitions;

use rand_core::Rng;

use crate::base::bounded::Bounded;
use crate::base::config::ConfigError;
#[cfg(feature = "alloc")]
use crate::base::config::share;
use crate::base::setting::within;
use crate::base::time::{Instant, next_due};
use crate::policy::Schedule;
use crate::policy::budget::Budget;
use crate::policy::close_code::CloseCode;
use crate::policy::credentials::{Credentials, Need};
use crate::stats::Stats;

pub use action::{Action, Endpoint, LinkEvent};
pub use config::{
    Handshake, LinkConfig, OnDead, OnFirstFailure, OnOffline, ReopenPolicy, RetryAfter,
};
pub use failure::Failure;
pub use input::{
    AddressError, HandshakeEvent, Hint, Input, Refusal, TokenError, TokenInfo, TransportId,
};
pub use reason::{Reason, Timer};
pub use state::{ClosedReason, Phase, State, Status, Step};
pub use status_view::{Indicator, StatusChange, StatusView, StatusViewConfig};

use endpoints::Route;
use state_data::{Leaving, Live, Refresh, Stage};

/// With an allocator, links can share a configuration.
#[cfg(feature = "alloc")]
type Kept<T> = alloc::sync::Arc<T>;
#[cfg(not(feature = "alloc"))]
type Kept<T> = T;

/// One input leaves at most this many actions.
const MOST_ACTIONS: usize = 12;
/// Room for the actions of one input while those of another wait; and for all deadlines that a late
/// [`Input::Timeout`] finds due at once.
const ACTIONS: usize = 24;

/// The lasting, logical connection: decides when to dial, when to wait, when to give up, and what
/// to report.
///
/// It opens no socket and reads no clock. A *driver* passes it what happened and carries out its
/// actions:
///
/// 1. Pass it what happened: [`handle`](Self::handle)`(input, now)`.
/// 2. Carry out its actions: [`poll_action`](Self::poll_action) until `None`.
/// 3. Sleep until [`poll_timeout`](Self::poll_timeout), or until something happens; then pass what
///    arrived first, and [`Input::Timeout`] after it.
///
/// ```
/// use core::time::Duration;
/// use relink::{Instant, Link, LinkConfig, State};
/// use relink::link::{Action, Input};
/// # use relink::rand_core::SeedableRng;
/// # let rng = rand_pcg::Pcg32::seed_from_u64(0);
/// let mut link = Link::new(LinkConfig::default(), 1, rng)?;
/// let now = Instant::ORIGIN;
/// link.handle(Input::Connect, now)?;
/// while let Some(action) = link.poll_action() {
///     if let Action::Dial { id, .. } = action {
///         // … the driver opens a socket; here it is open at once.
///         link.handle(Input::Opened { id }, now)?;
///     }
/// }
/// assert_eq!(link.state(), State::Connected);
/// // The next thing it wants is to count the link as stable.
/// assert_eq!(link.poll_timeout(), Some(now + Duration::from_secs(5)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # The contract
///
/// * Everything that can change the link is an [`Input`]; all its output is an [`Action`], in one
///   order; [`poll_timeout`](Self::poll_timeout) returns when to wake it, and changes nothing. The
///   same inputs at the same times with the same generator give the same actions on every target.
/// * Any order of calls is legal. Actions that were not polled are kept, in order. There is room
///   for the actions of one input and a few more; [`handle`](Self::handle) returns an input rather
///   than lose an action.
/// * `now` may stand still; if it goes backwards, it counts as standing still.
/// * An input from a transport carries its id; one of an earlier transport changes nothing.
/// * Deadlines live inside the state they belong to: to leave the state is to cancel them.
/// * Handling a deadline at or after its time makes progress: the next one is later, or gone.
/// * A closed link stays closed, and its event comes exactly once, as the last, unless the link is
///   connected again.
/// * No input panics, blocks or loops. Without the feature `alloc`, none allocates; with it, the
///   queue of actions and a few rare records do.
#[derive(Debug, Clone)]
pub struct Link<R> {
    config: Kept<LinkConfig>,
    rng: R,
    now: Instant,
    last_id: TransportId,
    stage: Stage,
    leaving: Option<Leaving>,
    /// Whether the link is to be connected again after the close that is under way.
    comes_back: bool,
    /// False once the driver is gone: without one, a closed link cannot be reopened.
    is_driven: bool,
    was_connected: bool,
    logged_in: bool,
    lost_at: Option<Instant>,
    /// The number of the attempt since the link was last usable.
    attempt: u32,
    /// When the server asked the client to come back.
    told_to_wait: Option<Instant>,
    /// Whether the server announced on this transport that it goes away.
    told_going_away: bool,
    refresh_at: Option<Instant>,
    route: Route,
    schedule: Schedule,
    budget: Budget,
    credentials: Credentials,
    surface: StatusView,
    stats: Stats,
    actions: Bounded<Action, ACTIONS>,
}

/// An input handed back because earlier actions must be taken first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "actions of earlier inputs were not taken; call poll_action until it returns None, then hand {input:?} in again"
)]
#[non_exhaustive]
pub struct ActionsPending {
    /// The input that was not handled.
    pub input: Input,
}

impl<R: Rng> Link<R> {
    /// Creates a link with this number of endpoints. It is idle until it is connected.
    ///
    /// The generator is used for jitter only; seed it differently in every process.
    ///
    /// # Errors
    ///
    /// The first field of the configuration that cannot work.
    pub fn new(config: LinkConfig, endpoints: u8, rng: R) -> Result<Self, ConfigError> {
        config.validate()?;
        within("endpoints", endpoints, 1..)?;
        let (budget, surface) = (Budget::new(config.budget), StatusView::new(config.surface));
        #[cfg_attr(
            not(feature = "alloc"),
            expect(clippy::useless_conversion, reason = "it is one with an allocator")
        )]
        let config = config.into();
        Ok(Self {
            config,
            rng,
            now: Instant::ORIGIN,
            last_id: TransportId::default(),
            stage: Stage::Idle,
            leaving: None,
            comes_back: false,
            is_driven: true,
            was_connected: false,
            logged_in: false,
            lost_at: None,
            attempt: 0,
            told_to_wait: None,
            told_going_away: false,
            refresh_at: None,
            route: Route::new(endpoints),
            schedule: Schedule::default(),
            budget,
            credentials: Credentials::default(),
            surface,
            stats: Stats::default(),
            actions: Bounded::new(),
        })
    }

    /// Shares the configuration with other links that have the same: each passes the same `known`,
    /// which becomes this link's configuration unless it is equal. That saves 2 KB a link.
    #[cfg(feature = "alloc")]
    pub fn share_config(&mut self, known: &mut Option<alloc::sync::Arc<LinkConfig>>) {
        share(&mut self.config, known);
    }

    // Input.

    /// Handles an input.
    ///
    /// # Errors
    ///
    /// Returns the input if its actions might not fit behind those that wait.
    pub fn handle(&mut self, input: Input, now: Instant) -> Result<(), ActionsPending> {
        if self.actions.free() < MOST_ACTIONS {
            return Err(ActionsPending { input });
        }
        self.now = self.now.max(now);
        self.apply(input);
        Ok(())
    }

    /// Records that a data frame arrived: [`Input::Received`], for the path that every message
    /// takes. One compare, one store.
    #[inline]
    pub fn received(&mut self, id: TransportId, now: Instant) {
        self.now = self.now.max(now);
        if let Some(live) = self.stage.live(id) {
            live.heartbeat.seen(self.now);
        }
    }

    /// Records that bytes arrived, of whatever frame; `since` is when the incomplete message began.
    pub fn arriving(&mut self, id: TransportId, since: Option<Instant>, now: Instant) {
        self.now = self.now.max(now);
        if let Some(live) = self.stage.live(id) {
            live.heartbeat.arriving(since, self.now);
        }
    }

    /// Records that the data frame is complete: it no longer counts against
    /// `heartbeat.message_timeout`.
    #[inline]
    pub fn arrived(&mut self, id: TransportId) {
        if let Some(live) = self.stage.live(id) {
            live.heartbeat.arrived();
        }
    }

    /// Records that a whole message arrived on a usable link: [`received`](Self::received) and
    /// [`arrived`](Self::arrived). Returns false, and does nothing, if this transport carries none.
    #[cfg(feature = "alloc")]
    #[inline]
    pub(crate) fn receives(&mut self, id: TransportId, now: Instant) -> bool {
        let Some(live) = self.stage.live(id) else { return false };
        self.now = self.now.max(now);
        live.heartbeat.seen(self.now);
        live.heartbeat.arrived();
        true
    }

    /// Treats the peer as alive until now: this side did not read, or there is other evidence.
    pub fn excused(&mut self, id: TransportId, now: Instant) {
        self.now = self.now.max(now);
        if let Some(live) = self.stage.live(id) {
            live.heartbeat.excused(self.now);
        }
    }

    // Output.

    /// Returns the next action.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop()
    }

    /// When to pass [`Input::Timeout`]: not before, and soon after. Earlier does nothing, later
    /// makes everything late. `None`: only another input will change the link.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_deadline().map(|(at, _)| at)
    }

    /// The deadline that [`poll_timeout`](Self::poll_timeout) returns, by its name.
    #[must_use]
    pub fn next_timer(&self) -> Option<Timer> {
        self.next_deadline().map(|(_, timer)| timer)
    }

    /// The earliest deadline.
    fn next_deadline(&self) -> Option<(Instant, Timer)> {
        let elapsed = self.budget.deadline().map(|at| (at, Timer::Elapsed));
        let leaving = self.leaving.map(|leaving| (leaving.deadline, Timer::Flush));
        next_due([
            self.stage.next_deadline(),
            next_due([elapsed, leaving]).filter(|_| self.stage.is_trying()),
            self.surface.next_deadline().map(|(at, timer)| (at, timer.into())),
        ])
    }

    // Queries.

    /// The exact state.
    #[must_use]
    pub fn state(&self) -> State {
        self.stage.state(self.was_connected)
    }

    /// Whether the link is closed and cannot be connected again: nothing is left to drive.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.stage, Stage::Closed(_)) && self.may_connect().is_err()
    }

    /// Whether [`Input::Connect`] can lead to a usable link, as far as this side decides it.
    ///
    /// # Errors
    ///
    /// Why the link is closed, or is closing, if [`LinkConfig::reopen`] makes that final, or if its
    /// driver is gone.
    pub fn may_connect(&self) -> Result<(), ClosedReason> {
        let end = if let Stage::Closed(reason) = self.stage { Some(reason) } else { None };
        let end = end.or_else(|| self.is_closing().then_some(ClosedReason::Requested));
        end.filter(|end| !self.reopens_after(*end)).map_or(Ok(()), Err)
    }

    /// The transport that is open or being opened.
    #[must_use]
    pub fn transport(&self) -> Option<TransportId> {
        self.stage.transport()
    }

    /// What a person should see.
    #[must_use]
    pub const fn surface(&self) -> &StatusView {
        &self.surface
    }

    /// Failures since the link was last stable: failed attempts, and links that were lost early.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.budget.attempts()
    }

    /// The statistics so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The configuration it was made with.
    #[must_use]
    pub fn config(&self) -> &LinkConfig {
        &self.config
    }

    /// The time of the last input.
    #[cfg(feature = "alloc")]
    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    /// Whether the application's close waits for what is queued to go out.
    #[must_use]
    pub const fn is_flushing(&self) -> bool {
        matches!(self.stage, Stage::Closing { flushed: false, .. })
    }

    /// Whether the application has closed the link while messages wait: it goes on trying, or
    /// flushes, until they are out or `flush_timeout` is over.
    #[must_use]
    pub const fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// Whether the application has closed the link, and it is not closed yet.
    pub(crate) const fn is_closing(&self) -> bool {
        self.leaving.is_some() || matches!(self.stage, Stage::Closing { .. })
    }

    /// Whether a token fetch is under way.
    #[must_use]
    pub const fn is_fetching(&self) -> bool {
        matches!(
            self.stage,
            Stage::Authorizing { need: Need::Token, .. }
                | Stage::Connected(Live { refresh: Refresh::Fetching { .. }, .. })
        )
    }

    /// Whether an address fetch is under way.
    #[must_use]
    pub const fn is_locating(&self) -> bool {
        matches!(self.stage, Stage::Authorizing { need: Need::Address, .. })
    }

    // Used by all parts.

    fn emit(&mut self, event: LinkEvent) {
        self.push(Action::Event(event));
    }

    fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// For the session, which also draws delays.
    #[cfg(feature = "alloc")]
    pub(crate) const fn rng_mut(&mut self) -> &mut R {
        &mut self.rng
    }

    /// For the session, which counts messages into the same statistics.
    #[cfg(feature = "alloc")]
    pub(crate) const fn stats_mut(&mut self) -> &mut Stats {
        &mut self.stats
    }
}

impl Input {
    /// The usual close: [`Input::Close`] with 1000.
    #[must_use]
    pub const fn close() -> Self {
        Self::Close { code: CloseCode::NORMAL }
    }
}
