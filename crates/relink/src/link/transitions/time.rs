//! Deadlines.

use rand_core::Rng;

use crate::link::action::{Action, LinkEvent};
use crate::link::reason::{Reason, Timer};
use crate::link::state::ClosedReason;
use crate::link::state_data::Stage;
use crate::link::{Link, MOST_ACTIONS};
use crate::policy::budget::GiveUpReason;
use crate::policy::close_policy::Verdict;

impl<R: Rng> Link<R> {
    /// Handles all deadlines that are due, one after the other, while there is room for their
    /// actions.
    pub(super) fn timeout(&mut self) {
        while let Some((at, timer)) = self.next_deadline() {
            if at > self.now || self.actions.free() < MOST_ACTIONS {
                return;
            }
            self.expire(timer);
        }
    }

    pub(super) fn expire(&mut self, timer: Timer) {
        match timer {
            Timer::Backoff => self.attempt(Reason::DelayOver),
            Timer::Token => self.token_failed(Reason::TimedOut(timer)),
            Timer::Address => self.address_failed(Reason::TimedOut(timer)),
            Timer::Dial => self.fail(Reason::TimedOut(timer), Verdict::Retry, None),
            Timer::Step(_) => {
                if let Some(id) = self.transport() {
                    self.push(Action::SendClose { id, code: self.config.heartbeat.close_code });
                }
                self.fail(Reason::TimedOut(timer), Verdict::Retry, None);
            }
            Timer::Ping | Timer::Pong | Timer::Watchdog | Timer::Message => {
                if let Stage::Connected(live) = &mut self.stage {
                    let beat = live.heartbeat.handle_timeout(self.now);
                    self.handle_heartbeat(beat);
                }
            }
            Timer::Stable => self.mark_stable(),
            Timer::Refresh => self.refresh(),
            Timer::Flush => self.flushed(),
            Timer::Close => {
                self.release();
                self.end(ClosedReason::Requested, Reason::TimedOut(timer));
            }
            Timer::Elapsed => {
                self.release();
                self.end(ClosedReason::GaveUp(GiveUpReason::Elapsed), Reason::TimedOut(timer));
            }
            Timer::Grace | Timer::Banner | Timer::Stuck => {
                let actions = &mut self.actions;
                self.surface.handle_timeout(self.now, |shown| {
                    actions.push(Action::Event(LinkEvent::StatusChange(shown)))
                });
            }
        }
    }
}
