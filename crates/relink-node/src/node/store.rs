//! What the store is asked, and what happens when it fails.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use rand_core::Rng;

use crate::node::members::View;
use crate::node::{ConnectionId, Node, NodeAction, NodeEvent, StoreRequestId, Timer};
use crate::{StoreRequest, StoreResponse, Stream};
use relink::internal::{SHORTEST, count, nanos};
use relink::session::Member;
use relink::{Channel, CloseFrame, Instant, Position, SessionId};

/// Why something was asked: what the answer belongs to.
#[derive(Debug, Clone)]
pub(super) enum Why {
    Create {
        id: ConnectionId,
        session: SessionId,
    },
    Resume {
        id: ConnectionId,
        session: SessionId,
    },
    /// Where the session's own stream stands, for the welcome.
    Locate {
        id: ConnectionId,
    },
    /// What followed a position, for all who wait for it.
    Page {
        stream: Stream,
        after: Option<Position>,
    },
    /// Whether news of a stream were lost.
    Check {
        stream: Stream,
    },
    Commit {
        session: SessionId,
    },
    /// A client's message without a serial.
    Publish {
        session: SessionId,
    },
    /// A message from the application.
    Send,
    Join {
        id: ConnectionId,
        channel: Channel,
        member: Box<Member>,
    },
    Leave {
        channel: Channel,
        session: SessionId,
        lease: u64,
    },
    Members {
        channel: Channel,
    },
    End {
        session: SessionId,
        turn: u64,
    },
    /// A user was kicked.
    EndUser {
        user: String,
        frame: CloseFrame,
        at: Instant,
    },
    Keep {
        sessions: Vec<SessionId>,
    },
}

#[derive(Debug)]
pub(super) struct Asked {
    why: Why,
    tries: u8,
}

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// Retries for `Leave`, `End` and `Touch`; after that the store's own expiry cleans up. A kick is
/// retried until it is done, since expiry does not end sessions that another node keeps.
const MOST_TRIES: u8 = 40;

impl<R: Rng> Node<R> {
    pub(super) fn request(&mut self, why: Why, what: StoreRequest) -> StoreRequestId {
        self.request_again(why, what, 0)
    }

    pub(super) fn request_again(
        &mut self,
        why: Why,
        what: StoreRequest,
        tries: u8,
    ) -> StoreRequestId {
        let question = StoreRequestId(self.next_number());
        self.questions.insert(question, Asked { why, tries });
        self.actions.push_back(NodeAction::Ask { question, what });
        question
    }

    pub(super) fn answered(
        &mut self,
        question: StoreRequestId,
        answer: Result<StoreResponse, String>,
    ) {
        let Some(Asked { why, tries }) = self.questions.remove(&question) else { return };
        if let (Why::Join { id, .. }, 0) = (&why, tries) {
            self.give_back(*id);
        }
        match answer {
            Ok(answer) => self.use_answer(question, why, answer, tries),
            Err(detail) => self.store_failed(question, why, tries, detail),
        }
    }

    fn use_answer(&mut self, question: StoreRequestId, why: Why, answer: StoreResponse, tries: u8) {
        match (why, answer) {
            (Why::Create { id, session }, StoreResponse::Session { turn, .. }) => {
                self.created(id, session, turn)
            }
            (Why::Create { id, .. }, StoreResponse::Full(full)) => self.close_full(id, full),
            (
                Why::Resume { id, session },
                StoreResponse::Session { user, received, rejected, turn, seats },
            ) => {
                self.watch_seats(&session, seats);
                self.resumed(id, session, &user, received, rejected, turn);
            }
            (Why::Resume { id, .. }, StoreResponse::Unknown) => self.resume_unknown(id),
            (Why::Locate { id }, StoreResponse::Read { top, missed }) => {
                self.located(question, id, top, missed)
            }
            (Why::EndUser { user, at, .. }, _) => self.user_ended(&user, at),
            (Why::Locate { id }, StoreResponse::Unknown) => self.session_vanished(id),
            (Why::Page { stream, after }, StoreResponse::Unknown) => {
                self.page_is_over(&stream, after)
            }
            (Why::Check { stream }, StoreResponse::Unknown) => self.stream_is_over(&stream),
            (Why::Page { stream, after }, StoreResponse::Read { top, missed }) => {
                self.looked_up(question, &stream, after, top, missed, tries);
            }
            (Why::Page { stream, after }, StoreResponse::Full(full)) => {
                self.page_refused(question, &stream, after, full, tries);
            }
            (Why::Check { stream }, StoreResponse::Read { top, .. }) => self.checked(&stream, top),
            (Why::Commit { session }, StoreResponse::Committed { received }) => {
                self.committed(question, &session, received);
            }
            (Why::Commit { session }, StoreResponse::Full(full)) => {
                self.commit_has_no_room(question, &session, full);
            }
            (Why::Commit { session } | Why::Publish { session }, StoreResponse::Unknown) => {
                self.commit_refused(question, &session);
            }
            (why @ (Why::Publish { .. } | Why::Send), StoreResponse::Full(full)) => {
                self.store_failed(question, why, tries, full.problem().detail);
            }
            (Why::Publish { session }, _) => self.published_unacknowledged(question, &session),
            (Why::Join { id, channel, .. }, StoreResponse::Joined { .. }) => {
                self.joined(id, &channel, question)
            }
            (Why::Join { id, channel, .. }, StoreResponse::Full(_)) => {
                count(&mut self.stats.unlisted);
                self.joined(id, &channel, question);
            }
            (Why::Members { channel }, StoreResponse::Members(members)) => {
                self.members(&channel, members)
            }
            (Why::Keep { .. }, StoreResponse::Touched { lost }) => self.sessions_touched(lost),
            (Why::Send | Why::Leave { .. } | Why::End { .. } | Why::Join { .. }, _) => {}
            // An answer to another question is no answer.
            (
                why @ (Why::Create { .. }
                | Why::Resume { .. }
                | Why::Locate { .. }
                | Why::Page { .. }
                | Why::Check { .. }
                | Why::Commit { .. }
                | Why::Members { .. }
                | Why::Keep { .. }),
                _,
            ) => self.store_failed(question, why, tries, "an answer to another question".into()),
        }
    }

    fn store_failed(&mut self, question: StoreRequestId, why: Why, tries: u8, detail: String) {
        count(&mut self.stats.store_errors);
        match &why {
            Why::Create { id, .. } | Why::Resume { id, .. } | Why::Locate { id } => {
                let id = *id;
                self.tell(NodeEvent::StoreFailed { detail });
                self.close_unavailable(id);
            }
            Why::Publish { session } => {
                let session = session.clone();
                self.tell(NodeEvent::NotPublished { detail });
                self.published_unacknowledged(question, &session);
            }
            Why::Send => self.tell(NodeEvent::NotPublished { detail }),
            Why::Leave { .. } | Why::End { .. } | Why::Keep { .. } if tries >= MOST_TRIES => {
                self.tell(NodeEvent::StoreFailed { detail });
            }
            Why::Page { .. }
            | Why::Check { .. }
            | Why::Commit { .. }
            | Why::Join { .. }
            | Why::Leave { .. }
            | Why::Members { .. }
            | Why::Keep { .. }
            | Why::EndUser { .. }
            | Why::End { .. } => {
                self.tell(NodeEvent::StoreFailed { detail });
                self.request_later(question, why, tries);
            }
        }
    }

    /// Asks again after a while, if the answer is still wanted then.
    pub(super) fn request_later(&mut self, question: StoreRequestId, why: Why, tries: u8) {
        let delay = FIRST_RETRY.saturating_mul(1 << tries.min(6)).min(LAST_RETRY);
        let half = nanos(delay) / 2;
        let drawn = half.saturating_add(self.rng.next_u64() % half.saturating_add(1));
        let at = self.now + Duration::from_nanos(drawn);
        self.set_timer(at, Timer::Ask { question, why, tries: tries.saturating_add(1) });
    }

    /// The delay is over. `before` is the question that failed.
    pub(super) fn ask_after_delay(&mut self, before: StoreRequestId, why: Why, tries: u8) {
        let what = match &why {
            Why::Page { stream, after } => {
                return self.look_up_again(before, stream, *after, tries);
            }
            Why::Commit { session } => return self.commit_again(before, session, tries),
            Why::Check { stream } if self.streams.contains_key(stream) => {
                StoreRequest::Read { stream: stream.clone(), after: None, limit: 1, by: None }
            }
            Why::Join { id, channel, member } => {
                let Some((session, lease)) = self.joining(*id, channel, before) else { return };
                let what = StoreRequest::Join {
                    channel: channel.clone(),
                    session,
                    member: Member::clone(member),
                    lease,
                };
                let (id, channel) = (*id, channel.clone());
                let question = self.request_again(why, what, tries);
                return self.set_view(id, &channel, View::Joining(question));
            }
            Why::Leave { channel, session, lease } => StoreRequest::Leave {
                channel: channel.clone(),
                session: session.clone(),
                lease: *lease,
            },
            Why::Members { channel } => StoreRequest::Members { channel: channel.clone() },
            Why::End { session, turn } => {
                StoreRequest::End { session: session.clone(), turn: *turn }
            }
            // A later kick says the same.
            Why::EndUser { user, at, .. } if self.kicks.get(user) != Some(at) => return,
            Why::EndUser { user, frame, at } => self.end_user(user, frame, *at),
            Why::Keep { sessions } => {
                let here = |session: &&SessionId| {
                    self.sessions.get(session).is_some_and(|intake| intake.connection.is_some())
                };
                StoreRequest::Touch { sessions: sessions.iter().filter(here).cloned().collect() }
            }
            Why::Create { .. }
            | Why::Resume { .. }
            | Why::Locate { .. }
            | Why::Check { .. }
            | Why::Publish { .. }
            | Why::Send => return,
        };
        self.request_again(why, what, tries);
    }

    pub(super) fn publish_request(&mut self, stream: Stream, message: relink::Message) {
        if let Err(problem) = self.config.may_publish(&stream, &message) {
            return self.tell(NodeEvent::NotPublished { detail: problem.detail });
        }
        self.request(
            Why::Send,
            StoreRequest::Publish { session: None, publications: vec![(stream, message)] },
        );
    }

    /// Those sessions live on that have a connection here. The others are given up when they would
    /// be over anyway.
    pub(super) fn touch_sessions(&mut self) {
        let mut kept: Vec<SessionId> = Vec::new();
        let mut over: Vec<SessionId> = Vec::new();
        for (session, intake) in &self.sessions {
            match intake.connection {
                Some(_) => kept.push(session.clone()),
                None if self.now - intake.left_at >= self.config.history.session_ttl => {
                    over.push(session.clone());
                }
                None => {}
            }
        }
        for session in over {
            self.forget_intake(&session);
        }
        for sessions in kept.chunks(KEPT_AT_ONCE) {
            self.request(
                Why::Keep { sessions: sessions.to_vec() },
                StoreRequest::Touch { sessions: sessions.to_vec() },
            );
        }
        self.keeping = false;
        self.arm_keep();
    }

    /// There are sessions no more whose clients are here: they begin anew, and are told so when
    /// they come back.
    fn sessions_touched(&mut self, lost: Vec<SessionId>) {
        for session in lost {
            self.lose_intake(&session, "the session is gone");
        }
    }

    pub(super) fn arm_keep(&mut self) {
        if !self.keeping && !self.sessions.is_empty() {
            self.keeping = true;
            let third = (self.config.history.session_ttl / 3).max(SHORTEST);
            self.set_timer(self.now + third, Timer::Keep);
        }
    }
}

/// At most this many sessions are named in one request.
const KEPT_AT_ONCE: usize = 1000;
