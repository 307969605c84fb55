//! What a usable link does to stay up: heartbeats, the renewal of its token before it expires, and
//! marking itself stable. Nothing here changes the state.

use core::time::Duration;

use rand_core::Rng;

use super::action::{Action, LinkEvent};
use super::input::{TokenError, TokenInfo, TransportId};
use super::reason::Reason;
use super::state_data::{Live, Refresh, Stage};
use super::{Link, OnDead};
use crate::base::stats::count;
use crate::policy::close_policy::Verdict;
use crate::policy::heartbeat::HeartbeatAction;
use crate::policy::stop_reason::StopReason;

impl<R: Rng> Link<R> {
    /// The answer to a renewal while connected.
    pub(super) fn renewed(&mut self, id: TransportId, result: Result<TokenInfo, TokenError>) {
        let Stage::Connected(Live { refresh: Refresh::Fetching { .. }, .. }) = self.stage else {
            return;
        };
        match result {
            Ok(grant) => {
                self.granted(grant);
                self.set_refresh(self.refresh_at.map_or(Refresh::Off, Refresh::At));
                self.push(Action::RenewToken { id });
            }
            Err(TokenError) => self.refresh_failed(),
        }
    }

    /// The link is good: failures are forgotten.
    pub(super) fn mark_stable(&mut self) {
        if let Stage::Connected(live) = &mut self.stage {
            live.stable_at = None;
            self.credentials.accepted();
            self.reset_failures();
        }
    }

    pub(super) fn reset_failures(&mut self) {
        self.schedule.reset();
        self.budget.reset_failures();
        self.route.reset_failures();
    }

    pub(super) fn pong(&mut self, id: TransportId, nonce: Option<u32>) {
        let Some(live) = self.stage.live(id) else { return };
        if let Some(round_trip) = live.heartbeat.pong(nonce, self.now) {
            self.stats.last_round_trip = Some(round_trip);
            self.stats.round_trips.record(round_trip);
        }
    }

    pub(super) fn granted(&mut self, grant: TokenInfo) {
        count(&mut self.stats.tokens_fetched);
        self.credentials.fetched();
        self.refresh_at =
            self.config.credentials.refresh_at(grant.expires_in, self.now, &mut self.rng);
    }

    /// The link stays up on the old token; the next try is on the curve, by the failures of the
    /// provider alone.
    pub(super) fn refresh_failed(&mut self) {
        count(&mut self.stats.token_failures);
        let reported = self.credentials.failed(&self.config.credentials);
        self.tell_token_error(reported);
        let retry = self.credentials.failures();
        let delay = self.config.backoff.window(retry, Duration::ZERO).draw(&mut self.rng);
        self.set_refresh(Refresh::At(self.now + delay));
    }

    pub(super) fn set_refresh(&mut self, refresh: Refresh) {
        if let Stage::Connected(live) = &mut self.stage {
            live.refresh = refresh;
        }
    }

    pub(super) fn tell_token_error(&mut self, reported: Option<u32>) {
        if let Some(consecutive_failures) = reported {
            self.emit(LinkEvent::TokenError { consecutive_failures });
        }
    }

    pub(super) fn handle_heartbeat(&mut self, beat: Option<HeartbeatAction>) {
        let Some(id) = self.transport() else { return };
        match beat {
            Some(HeartbeatAction::Ping { nonce }) => {
                count(&mut self.stats.pings);
                self.push(Action::SendPing { id, nonce });
            }
            Some(HeartbeatAction::Dead(silence)) => {
                count(&mut self.stats.heartbeats_lost);
                self.push(Action::SendClose { id, code: self.config.heartbeat.close_code });
                let verdict = match self.config.when_dead {
                    OnDead::Retry => Verdict::Retry,
                    OnDead::Stop => Verdict::Stop(StopReason::HEARTBEAT_LOST),
                };
                self.fail(Reason::Dead(silence), verdict, None);
            }
            None => {}
        }
    }

    pub(super) fn refresh(&mut self) {
        let deadline = self.now + self.config.credentials.timeout;
        if let Stage::Connected(live) = &mut self.stage {
            let id = live.id;
            if let Refresh::Fetching { .. } = live.refresh {
                return self.refresh_failed();
            }
            live.refresh = Refresh::Fetching { deadline };
            self.push(Action::FetchToken { id });
        }
    }
}
