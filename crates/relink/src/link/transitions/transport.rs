//! Inputs about an attempt and its transport: token, address, handshake, loss.

use rand_core::Rng;

use crate::base::stats::count;
use crate::link::Link;
use crate::link::action::{Action, LinkEvent};
use crate::link::failure::Failure;
use crate::link::input::{AddressError, HandshakeEvent, TokenError, TokenInfo, TransportId};
use crate::link::reason::Reason;
use crate::link::state::{ClosedReason, Step};
use crate::link::state_data::Stage;
use crate::policy::close_code::CloseCode;
use crate::policy::close_policy::Verdict;
use crate::policy::credentials::Need;

impl<R: Rng> Link<R> {
    pub(super) fn token(&mut self, id: TransportId, result: Result<TokenInfo, TokenError>) {
        if self.stage.transport() != Some(id) {
            return;
        }
        if let Stage::Authorizing { need: Need::Token, .. } = self.stage {
            match result {
                Ok(grant) => {
                    self.granted(grant);
                    self.prepare(id, Some(Need::Token), Reason::TokenReady);
                }
                Err(TokenError) => self.token_failed(Reason::TokenFailed),
            }
        } else {
            self.renewed(id, result);
        }
    }

    pub(super) fn token_failed(&mut self, reason: Reason) {
        count(&mut self.stats.token_failures);
        let reported = self.credentials.failed(&self.config.credentials);
        self.tell_token_error(reported);
        self.fail(reason, Verdict::Retry, None);
    }

    pub(super) fn address(&mut self, id: TransportId, result: Result<(), AddressError>) {
        if self.stage.transport() != Some(id) || !self.is_locating() {
            return;
        }
        match result {
            Ok(()) => {
                count(&mut self.stats.addresses_fetched);
                self.prepare(id, Some(Need::Address), Reason::AddressReady);
            }
            Err(AddressError) => self.address_failed(Reason::AddressFailed),
        }
    }

    pub(super) fn address_failed(&mut self, reason: Reason) {
        count(&mut self.stats.address_failures);
        self.fail(reason, Verdict::Retry, None);
    }

    pub(super) fn opened(&mut self, id: TransportId) {
        let Stage::Dialing { id: dialed, .. } = self.stage else { return };
        if dialed == id {
            self.next_step(id, None, Reason::Opened);
        }
    }

    pub(super) fn signal(&mut self, id: TransportId, signal: HandshakeEvent) {
        if self.stage.transport() != Some(id) {
            return;
        }
        let step = if let Stage::Handshaking { step, .. } = self.stage { Some(step) } else { None };
        match (signal, step) {
            (HandshakeEvent::GoingAway { retry_after }, _) => {
                self.told_to_wait = Some(self.now + retry_after);
                // A message and the reason of the following close frame may both say it: the later
                // one counts.
                if !core::mem::replace(&mut self.told_going_away, true) {
                    self.emit(LinkEvent::GoingAway { retry_after });
                }
            }
            (HandshakeEvent::Welcome, Some(Step::Welcome))
            | (HandshakeEvent::ChallengeMet, Some(Step::Challenge))
            | (HandshakeEvent::Authenticated, Some(Step::Authenticating)) => {
                self.next_step(id, step, Reason::StepDone(step.unwrap_or(Step::Welcome)));
            }
            (HandshakeEvent::Redirect, Some(_)) => {
                self.push(Action::SendClose { id, code: CloseCode::NORMAL });
                self.redirect();
            }
            (HandshakeEvent::Refused(refusal), Some(_)) => {
                let (verdict, code) = self.judge_refusal(refusal);
                self.push(Action::SendClose { id, code: self.config.heartbeat.close_code });
                self.fail(Reason::LoginRefused, verdict, code);
            }
            (
                HandshakeEvent::Welcome
                | HandshakeEvent::ChallengeMet
                | HandshakeEvent::Authenticated
                | HandshakeEvent::Redirect
                | HandshakeEvent::Refused(_),
                _,
            ) => {}
        }
    }

    pub(super) fn peer_closed(&mut self, id: TransportId, code: CloseCode) {
        if self.stage.transport() != Some(id) {
            return;
        }
        if matches!(self.stage, Stage::Closing { .. }) && self.leaving.is_none() {
            self.release();
            return self.end(ClosedReason::Requested, Reason::ClosedByPeer(code));
        }
        let verdict = self.config.close_policy.on_close(code);
        self.fail(Reason::ClosedByPeer(code), verdict, Some(code));
    }

    pub(super) fn transport_failed(&mut self, id: TransportId, failure: Failure) {
        if self.stage.transport() != Some(id) {
            return;
        }
        if matches!(self.stage, Stage::Closing { .. }) && self.leaving.is_none() {
            self.release();
            return self.end(ClosedReason::Requested, Reason::Failed(failure));
        }
        if failure == Failure::HttpRedirect && matches!(self.stage, Stage::Dialing { .. }) {
            return self.redirect();
        }
        if let Failure::Http { retry_after: Some(wait), .. } = failure {
            self.told_to_wait = Some(self.now + wait);
        }
        self.fail(Reason::Failed(failure), self.verdict(failure), None);
    }
}
