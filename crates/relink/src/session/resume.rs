//! The session that outlives transports: its id, what the server has received, and what to do if
//! the two sides disagree.

use alloc::vec;
use alloc::vec::Vec;

use rand_core::Rng;

use super::outbox::InFlight;
use super::positions::Arrival;
use super::{
    Channel, CloseFrame, Event, Given, Message, Problem, Protocol, Rejection, Resume, Session,
    Welcome,
};
use crate::base::stats::count;
use crate::base::time::Instant;
use crate::link::{Failure, Phase, State, TransportId};
use crate::policy::close_code::CloseCode;

/// The hellos that this client sent to resume its session. A slow server may handle an abandoned
/// hello after the next one: then the client takes its session over from itself.
#[derive(Debug, Default)]
pub(crate) struct Hellos {
    /// One was sent and is not answered.
    waits: bool,
    /// One was abandoned.
    astray: bool,
}

impl Hellos {
    /// Another one is sent.
    pub(super) const fn said(&mut self, to_resume: bool) {
        self.astray |= self.waits;
        self.waits = to_resume;
    }

    /// The session was taken over. Returns true if an abandoned hello of this client may have done
    /// it, which can happen once.
    pub(super) const fn explain(&mut self) -> bool {
        core::mem::replace(&mut self.astray, false)
    }
}

impl<P: Protocol, R: Rng> Session<P, R> {
    /// What the next transport will resume: the session, and the position that the application has
    /// taken in its own stream. Stored safely, it lets another process resume the session
    /// ([`resume_from`](Self::resume_from)).
    #[must_use]
    pub fn resume(&self) -> Option<Resume> {
        let session = self.id.clone()?;
        Some(Resume { session, position: self.inbox.position(&None)? })
    }

    /// Resumes the session of an earlier process. Call it before the first connect; later, or with
    /// a session that the peer could not read, it does nothing and returns false.
    pub fn resume_from(&mut self, resume: Resume) -> bool {
        let readable = self.protocol.check(Given::Resume(&resume)).is_ok();
        let fresh = readable
            && self.id.is_none()
            && self.link.transport().is_none()
            && self.link.stats().dials == 0;
        if fresh {
            self.inbox.start(None, resume.position, false);
            self.id = Some(resume.session);
            // A hello of the earlier process may still be in flight.
            self.hellos.astray = true;
        }
        fresh
    }

    /// The server has assigned or resumed the session.
    pub(super) fn welcomed(&mut self, welcome: Welcome, id: TransportId, now: Instant) {
        let Welcome { session, resumed, refused, received, mut rejected, position, max_message } =
            welcome;
        self.oversize.set_limit(max_message);
        self.hellos.waits = false;
        if !matches!(
            self.link.state(),
            State::Connecting(Phase::Handshaking(_)) | State::Reconnecting(Phase::Handshaking(_))
        ) {
            let frame = CloseFrame::new(CloseCode::PROTOCOL_ERROR, "unexpected second welcome");
            return self.give_up(Failure::Protocol(frame.code), frame, id, now);
        }
        if !resumed {
            if self.id.is_some() {
                self.refuse_resume(refused.unwrap_or_else(|| {
                    Problem::new(
                        "session_unknown",
                        "the server began a new session without a reason",
                    )
                }));
            }
            self.inbox.go_on(None, position, true);
            self.id = Some(session);
            self.id_of = self.place.stranger().cloned();
            return;
        }
        let known = self.id.as_ref() == Some(&session);
        if !known || !self.outbox.resume_from(received) {
            self.refuse_resume(Problem::new(
                "session_inconsistent",
                "the server goes on with another session than this one",
            ));
            return self.disagree("the sessions differ", id, now);
        }
        rejected.retain(|rejection| rejection.serial <= received);
        rejected.sort_by_key(|rejection| rejection.serial);
        rejected.into_iter().for_each(|rejection| self.landed_rejected(rejection));
        self.landed(received);
        self.give_up_in_flight();
        self.report_queue();
        let complete = self.inbox.go_on(None, position, true);
        count(&mut self.link.stats_mut().sessions_resumed);
        self.emit(Event::Resumed { complete });
    }

    fn refuse_resume(&mut self, problem: Problem) {
        count(&mut self.link.stats_mut().sessions_lost);
        self.emit(Event::ResumeRefused { problem });
        self.forget_session();
    }

    /// The session is over: its id and position are forgotten, and what is in flight stays in
    /// doubt.
    pub(super) fn forget_session(&mut self) {
        self.id = None;
        self.hellos = Hellos::default();
        self.inbox.forget(&None);
        let mut landed: Vec<_> = core::iter::from_fn(|| self.outbox.pop_in_flight()).collect();
        landed.sort_unstable_by_key(|landed| landed.receipt);
        for landed in landed {
            if self.is_condemned(landed.receipt) {
                self.give_up_message(landed, None);
                continue;
            }
            let InFlight { receipt, outgoing, .. } = landed;
            count(&mut self.link.stats_mut().messages_in_doubt);
            self.tell_fate(Event::InDoubt {
                first: receipt,
                last: receipt,
                messages: vec![outgoing],
            });
        }
        self.outbox.reset();
        self.report_queue();
    }

    /// Everything up to this serial was received.
    pub(super) fn acknowledged(&mut self, serial: u64, id: TransportId, now: Instant) {
        if self.outbox.was_sent(serial) {
            self.landed(serial);
        } else {
            self.disagree("what was never sent is acknowledged", id, now);
        }
    }

    /// This message was rejected; everything before it was received.
    pub(super) fn rejected(&mut self, rejection: Rejection, id: TransportId, now: Instant) {
        if self.outbox.was_sent(rejection.serial) {
            self.landed_rejected(rejection);
        } else {
            self.disagree("what was never sent is rejected", id, now);
        }
    }

    fn landed(&mut self, serial: u64) {
        let landed = core::iter::from_fn(|| self.outbox.acknowledge(serial));
        let mut receipts: Vec<_> = landed.map(|landed| landed.receipt).collect();
        receipts.sort_unstable();
        for receipt in receipts {
            count(&mut self.link.stats_mut().messages_acknowledged);
            self.tell_fate(Event::Acknowledged { first: receipt, last: receipt });
        }
        self.report_queue();
    }

    fn landed_rejected(&mut self, Rejection { serial, problem }: Rejection) {
        self.landed(serial.saturating_sub(1));
        if let Some(InFlight { receipt, outgoing, .. }) = self.outbox.acknowledge(serial) {
            self.tell_fate(Event::Rejected { receipt, problem, message: outgoing.message });
        }
        self.report_queue();
    }

    /// A message of a stream arrived.
    pub(super) fn published(
        &mut self,
        channel: Option<Channel>,
        offset: u64,
        message: Message,
        id: TransportId,
        now: Instant,
    ) {
        match self.inbox.arrived(&channel, offset) {
            Arrival::New(position) => {
                self.inbox.tell_of(&channel, position);
                self.emit(match channel {
                    Some(channel) => Event::Publication { channel, position, message },
                    None => Event::Message(message),
                });
            }
            Arrival::Duplicate => count(&mut self.link.stats_mut().duplicates),
            Arrival::Unknown => {}
            Arrival::Gap => self.disagree("a message is missing", id, now),
        }
    }

    /// A message of a stream was withheld, as it is too large.
    pub(super) fn withheld(
        &mut self,
        channel: Option<Channel>,
        offset: u64,
        problem: Problem,
        id: TransportId,
        now: Instant,
    ) {
        match self.inbox.arrived(&channel, offset) {
            Arrival::New(position) => {
                self.inbox.skip(&channel, position);
                self.emit(Event::Withheld { channel, position, problem });
            }
            Arrival::Duplicate => count(&mut self.link.stats_mut().duplicates),
            Arrival::Unknown => {}
            Arrival::Gap => self.disagree("a message is missing", id, now),
        }
    }

    /// The server has sent `sent` publications over this transport. Only this shows that the last
    /// ones are missing.
    pub(super) fn count_published(&mut self, sent: u64, id: TransportId, now: Instant) {
        if sent > self.inbox.on_transport {
            self.disagree("the last messages are missing", id, now);
        }
    }

    /// Messages are missing, or the two sides disagree. Closes the transport; the next one resumes
    /// from what both have.
    fn disagree(&mut self, what: &str, id: TransportId, now: Instant) {
        count(&mut self.link.stats_mut().gaps);
        self.give_up(Failure::Gap, CloseFrame::new(CloseCode::GAP, what), id, now);
    }
}
