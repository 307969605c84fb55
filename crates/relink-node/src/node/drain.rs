//! Shutdown: each client gets a time to come back, and is closed when what it has sent is stored.

use alloc::vec::Vec;
use core::time::Duration;

use rand_core::Rng;

use crate::node::connections::Timer;
use crate::node::members::Parting;
use crate::node::{ConnectionId, Node, NodeEvent};
use crate::{Drain, Turn};
use relink::{CloseCode, CloseFrame, Instant};
use relink_v1::ServerFrame;

/// The state of a shutdown.
#[derive(Debug)]
pub(super) struct Draining {
    plan: Drain,
    /// When the remaining connections are closed.
    ends: Option<Instant>,
    /// [`NodeEvent::Drained`] was emitted.
    is_told: bool,
}

impl<R: Rng> Node<R> {
    pub(super) fn begin_drain(&mut self) {
        if self.drain.is_some() {
            return;
        }
        let now = self.cx.now;
        let mut plan = Drain::new(self.cx.config.drain, self.cx.connections.len());
        let turns: Vec<(ConnectionId, Turn)> =
            self.cx.connections.ids().into_iter().map(|id| (id, plan.next_turn())).collect();
        let last = turns.last().map_or(Duration::ZERO, |(_, turn)| turn.after);
        let ends = now + last.saturating_add(self.cx.config.drain_timeout);
        self.cx.is_draining = true;
        self.drain = Some(Draining { plan, ends: Some(ends), is_told: false });
        for session in self.sessions.numbers() {
            self.sessions.end_if_over(session, &mut self.cx);
        }
        for (id, Turn { after, hint }) in turns {
            if after.is_zero() {
                self.drain_connection(id, hint);
            } else {
                self.cx.connections.set_timer(id, Timer::Leave { hint }, now + after);
            }
        }
    }

    /// Rejects a connection that arrives while the node is draining.
    pub(super) fn refuse_while_draining(&mut self, id: ConnectionId) {
        let Some(drain) = &mut self.drain else { return };
        let Turn { after, hint } = drain.plan.next_turn();
        self.drain_connection(id, after.saturating_add(hint));
    }

    /// Sends a client its delay, and closes as soon as its messages are stored.
    pub(super) fn drain_connection(&mut self, id: ConnectionId, hint: Duration) {
        let Some(connection) = self.cx.connections.get_mut(id) else { return };
        connection.retry_after = Some(hint);
        if connection.is_live() {
            let frame = ServerFrame::GoingAway { retry_after: hint };
            self.cx.connections.push(id, &frame);
        }
        self.cx.connections.review_reading(id);
        self.close_if_done(id);
    }

    /// Closes a connection that has its time to come back, if all of its messages are stored.
    pub(super) fn close_if_done(&mut self, id: ConnectionId) {
        let Some(connection) = self.cx.connections.get(id) else { return };
        let Some(hint) = connection.retry_after else { return };
        let intake = connection.number.and_then(|session| self.sessions.get(session));
        if intake.is_none_or(|intake| intake.unhandled() == 0) {
            self.close_going_away(id, hint);
        }
    }

    /// Closes the remaining connections when the time is over.
    pub(super) fn end_drain(&mut self) {
        let now = self.cx.now;
        let Some(drain) = &mut self.drain else { return };
        if drain.ends.take_if(|at| *at <= now).is_none() {
            return;
        }
        for id in self.cx.connections.ids() {
            let hint = self.cx.connections.get(id).and_then(|connection| connection.retry_after);
            self.close_going_away(id, hint.unwrap_or_default());
        }
        for session in self.sessions.numbers() {
            self.sessions.forget(session, &mut self.cx);
        }
    }

    fn close_going_away(&mut self, id: ConnectionId, hint: Duration) {
        let is_live = self.cx.connections.get(id).is_some_and(|connection| connection.is_live());
        let frame = CloseFrame::from(CloseCode::GOING_AWAY).with_retry_after(hint);
        // A live client has had a frame; for the others the time is in the reason.
        self.close_as(id, frame, Parting::Broken, is_live);
    }

    pub(super) fn drain_ends(&self) -> Option<Instant> {
        self.drain.as_ref()?.ends
    }

    pub(super) fn tell_if_drained(&mut self) {
        let Some(drain) = self.drain.as_mut().filter(|drain| !drain.is_told) else { return };
        if self.cx.connections.len() > 0 || !self.sessions.is_empty() {
            return;
        }
        drain.is_told = true;
        self.cx.tell(NodeEvent::Drained);
    }
}
