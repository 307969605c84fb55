//! Inputs of the application and the environment: connect, log in, close, hints.

use rand_core::Rng;

use crate::link::action::Action;
use crate::link::input::Hint;
use crate::link::reason::Reason;
use crate::link::state::{ClosedReason, Step};
use crate::link::state_data::{Leaving, Stage};
use crate::link::{Link, OnOffline};
use crate::policy::close_code::CloseCode;
use crate::policy::close_policy::Verdict;

impl<R: Rng> Link<R> {
    pub(super) fn connect(&mut self) {
        if matches!(self.stage, Stage::Idle) {
            self.start(Reason::Connect);
        } else {
            self.reopen(Reason::Connect);
        }
    }

    pub(super) fn login(&mut self) {
        self.logged_in = true;
        if let Stage::Handshaking { id, step: Step::Login, .. } = self.stage {
            self.next_step(id, Some(Step::Login), Reason::StepDone(Step::Login));
        }
    }

    pub(super) fn close(&mut self, code: CloseCode) {
        self.comes_back = false;
        match self.stage {
            Stage::Idle
            | Stage::Waiting { .. }
            | Stage::Authorizing { .. }
            | Stage::Dialing { .. }
            | Stage::Handshaking { .. } => self.leave(code, Reason::Close),
            Stage::Connected(_) => self.flush(code, self.now + self.config.flush_timeout),
            Stage::Closing { .. } | Stage::Closed(_) => {}
        }
    }

    pub(super) fn finish(&mut self, code: CloseCode) {
        self.comes_back = false;
        if self.leaving.is_some() {
            return;
        }
        let deadline = self.now + self.config.flush_timeout;
        if self.stage.is_trying() {
            self.leaving = Some(Leaving { code, deadline });
            self.hurry(Reason::Close);
            if matches!(self.stage, Stage::Waiting { until, .. } if until > deadline) {
                self.leave(code, Reason::Close);
            }
        } else {
            self.leaving =
                matches!(self.stage, Stage::Connected(_)).then_some(Leaving { code, deadline });
            self.close(code);
        }
    }

    pub(super) fn flushed(&mut self) {
        if let Stage::Closing { id, code, flushed: false, .. } = self.stage {
            self.leaving = None;
            self.push(Action::SendClose { id, code });
            let deadline = self.now + self.config.close_timeout;
            self.enter(Stage::Closing { id, code, flushed: true, deadline }, Reason::Flushed);
        } else if let Some(Leaving { code, .. }) = self.leaving {
            self.leave(code, Reason::Flushed);
        }
    }

    pub(super) fn driver_gone(&mut self) {
        self.is_driven = false;
        self.comes_back = false;
        if !matches!(self.stage, Stage::Closed(_)) {
            self.leaving = None;
            self.release();
            self.end(ClosedReason::DriverGone, Reason::DriverGone);
        }
    }

    pub(super) fn retry_now(&mut self) {
        if matches!(self.stage, Stage::Waiting { .. }) && !self.is_closing() {
            self.reset_failures();
            self.budget.down(self.now);
            self.attempt_as_asked(Reason::RetryNow);
        } else {
            self.reopen(Reason::RetryNow);
        }
    }

    pub(super) fn hint(&mut self, hint: Hint) {
        if hint != Hint::Offline {
            self.route.doubt();
        }
        if let Stage::Connected(live) = &mut self.stage {
            if hint == Hint::Offline && self.config.when_offline == OnOffline::Disconnect {
                return self.fail(Reason::Hint(hint), Verdict::Retry, None);
            }
            let beat = live.heartbeat.probe(self.now);
            self.handle_heartbeat(beat);
        } else if matches!(hint, Hint::Online | Hint::Wake) {
            self.hurry(Reason::Hint(hint));
        }
    }
}
