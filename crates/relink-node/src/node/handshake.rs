//! From the accept to the welcome, and what a client may say after it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use rand_core::Rng;

use crate::node::connection::{Connection, Greeting, Stage};
use crate::node::shared_frame::Page;
use crate::node::sizes::keep_what_fits;
use crate::node::store_requests::Asker;
use crate::node::streams::{Follow, Greet};
use crate::node::work::Intake;
use crate::node::{ConnectionId, Node, NodeAction, NodeEvent, StoreRequestId, Timer};
use crate::{Publication, StoreRequest, Stream};
use relink::internal::count;
use relink::protocol::Rejection;
use relink::session::{Problem, Secret};
use relink::{CloseCode, CloseFrame, Message, Position, Resume, SessionId};
use relink_v1::{ClientFrame, Encoding, ServerFrame, limits};

/// How long a client waits at least that was turned away for want of room: until those that are
/// gone are noticed.
pub(super) const CAP_RETRY: Duration = Duration::from_secs(30);

impl<R: Rng> Node<R> {
    pub(super) fn opened(&mut self, id: ConnectionId, user: Option<String>) {
        if self.connections.contains_key(&id) || self.leaving.contains_key(&id) {
            return;
        }
        count(&mut self.stats.opened);
        self.connections.insert(id, Box::new(Connection::new(user.map(Arc::from))));
        if self.draining.is_some() {
            return self.refuse_while_draining(id);
        }
        self.set_timer(self.now + self.config.hello_timeout, Timer::Hello(id));
    }

    pub(super) fn arrived(&mut self, id: ConnectionId, message: &Message) {
        self.liveness.heard(&id, self.now);
        self.is_whole(id);
        if self.is_excessive(id) {
            let reason = "client is not reading responses";
            return self.close(id, CloseFrame::new(CloseCode::POLICY_VIOLATION, reason));
        }
        let Some(connection) = self.connections.get(&id) else { return };
        let (frame, encoding) = match ClientFrame::decode(message) {
            Ok(decoded) => decoded,
            Err(malformed) => {
                count(&mut self.stats.malformed);
                return self.close(id, CloseFrame::from(malformed));
            }
        };
        match (&connection.stage, frame) {
            (Stage::Silent, ClientFrame::Hello { token, resume, max_message }) => {
                self.hello(id, encoding, token, resume, max_message);
            }
            (Stage::Live(_), ClientFrame::Message { serial, channel, payload }) => {
                self.message(id, serial, channel, payload);
            }
            (Stage::Live(_), ClientFrame::Subscribe { channel, since, token, presence }) => {
                self.subscribe(id, channel, since, token, presence);
            }
            (Stage::Live(_), ClientFrame::Unsubscribe { channel }) => {
                self.unsubscribe(id, &channel, None)
            }
            (Stage::Live(_), ClientFrame::Heartbeat { nonce, sent }) => {
                self.heartbeat(id, nonce, sent)
            }
            (Stage::Live(_), ClientFrame::Renew { token }) => self.identify(id, Some(token)),
            (
                Stage::Silent | Stage::Greeting(_),
                ClientFrame::Message { .. }
                | ClientFrame::Subscribe { .. }
                | ClientFrame::Unsubscribe { .. }
                | ClientFrame::Heartbeat { .. }
                | ClientFrame::Renew { .. },
            ) => self.out_of_turn(id, "expected hello"),
            (Stage::Greeting(_) | Stage::Live(_), ClientFrame::Hello { .. }) => {
                self.out_of_turn(id, "hello came twice");
            }
        }
        self.review_reading(id);
    }

    fn out_of_turn(&mut self, id: ConnectionId, reason: &str) {
        count(&mut self.stats.malformed);
        self.close(id, CloseFrame::new(CloseCode::PROTOCOL_ERROR, reason));
    }

    fn heartbeat(&mut self, id: ConnectionId, nonce: u32, sent: u64) {
        count(&mut self.stats.heartbeats);
        let Some(connection) = self.connections.get(&id) else { return };
        let publications = connection.out.publications;
        self.push(id, &ServerFrame::HeartbeatAck { nonce, sent: publications });
        self.heartbeat_sent(id, sent);
    }

    fn hello(
        &mut self,
        id: ConnectionId,
        encoding: Encoding,
        token: Option<Secret>,
        resume: Option<Resume>,
        max_message: Option<u64>,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.out.encoding = encoding;
        connection.out.most =
            max_message.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        connection.stage = Stage::Greeting(Box::new(Greeting { resume, ..Greeting::default() }));
        if connection.user.is_some() && token.is_none() {
            self.enter(id);
        } else {
            self.identify(id, token);
        }
    }

    /// Asks whose a token is: one question at a time, the latest token last.
    fn identify(&mut self, id: ConnectionId, token: Option<Secret>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.identifying {
            connection.renewal = token;
            return;
        }
        connection.identifying = true;
        self.actions.push_back(NodeAction::Identify { id, token });
    }

    pub(super) fn identified(&mut self, id: ConnectionId, result: Result<String, CloseFrame>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !core::mem::take(&mut connection.identifying) {
            return;
        }
        let user = match result {
            Ok(user) => user,
            Err(frame) => return self.close(id, frame),
        };
        if connection.user.as_ref().is_some_and(|known| **known != *user) {
            let reason = "the token is another user's";
            return self.close(id, CloseFrame::new(CloseCode::INVALID_TOKEN, reason));
        }
        if connection.is_live() {
            let renewal = connection.renewal.take();
            if renewal.is_some() {
                self.identify(id, renewal);
            }
            self.end_token(id);
            return self.ask_all_again(id);
        }
        connection.user = Some(user.into());
        self.enter(id);
    }

    /// It is known who this is. May they come in, and with which session?
    fn enter(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        let (Some(user), Stage::Greeting(greeting)) = (connection.user.clone(), &connection.stage)
        else {
            return;
        };
        let resume = greeting.resume.clone();
        if user.len() > limits::USER {
            let (len, most) = (user.len(), limits::USER);
            let reason = alloc::format!("the user's name has {len} bytes, and may have {most}");
            return self.close(id, CloseFrame::new(CloseCode::FORBIDDEN, reason));
        }
        let known = resume.as_ref().and_then(|resume| self.sessions.get(&resume.session));
        let replaces =
            known.is_some_and(|intake| intake.connection.is_some() && intake.user == user);
        let present =
            self.users.get(&user).copied().unwrap_or(0).saturating_sub(u32::from(replaces));
        if self.config.per_user.is_some_and(|most| present >= most) {
            return self.close(id, retry_after(CloseCode::CONCURRENT_CAP, CAP_RETRY));
        }
        let over = known.is_some_and(|intake| intake.ending) || self.kicks.contains_key(&*user);
        let users = self.users.entry(user.clone()).or_default();
        *users = users.saturating_add(1);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.counted = true;
        }
        match resume {
            None => self.create(id),
            Some(_) if over => self.resume_unknown(id),
            Some(Resume { session, .. }) => {
                let request = StoreRequest::Resume { session, user: (&*user).into() };
                self.request(Asker::Connection(id), request);
            }
        }
    }

    fn create(&mut self, id: ConnectionId) {
        let session = self.new_session_id();
        let Some(connection) = self.connections.get(&id) else { return };
        let request = StoreRequest::Create { session, user: connection.user_name() };
        self.request(Asker::Connection(id), request);
    }

    pub(super) fn resume_unknown(&mut self, id: ConnectionId) {
        self.refuse_resume(
            id,
            Problem::new("session_unknown", "it has ended, or was silent for too long"),
        );
    }

    fn refuse_resume(&mut self, id: ConnectionId, problem: Problem) {
        let Some(greeting) = self.greeting(id) else { return };
        greeting.refused = Some(problem);
        greeting.resume = None;
        count(&mut self.stats.resume_refused);
        self.create(id);
    }

    fn greeting(&mut self, id: ConnectionId) -> Option<&mut Greeting> {
        match &mut self.connections.get_mut(&id)?.stage {
            Stage::Greeting(greeting) => Some(greeting),
            Stage::Silent | Stage::Live(_) => None,
        }
    }

    pub(super) fn created(&mut self, id: ConnectionId, session: SessionId, turn: u64) {
        let Some(user) = self.greeting(id).is_some().then(|| self.user_of(id)).flatten() else {
            // The client went before its session was there.
            self.request(Asker::Node, StoreRequest::End { session, turn });
            return;
        };
        count(&mut self.stats.created);
        self.sessions.insert(session.clone(), Box::new(Intake::new(user, turn, 0, self.now)));
        self.attach(id, session);
    }

    pub(super) fn resumed(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        user: &str,
        received: u64,
        rejected: Vec<Rejection>,
        turn: u64,
    ) {
        let Some(asking) = self.greeting(id).is_some().then(|| self.user_of(id)).flatten() else {
            return;
        };
        if *asking != *user {
            return self
                .refuse_resume(id, Problem::new("wrong_user", "session belongs to another user"));
        }
        let known = self.sessions.get(&session).map(|intake| (intake.turn, intake.connection));
        if known.is_some_and(|(present, _)| turn <= present) {
            // A later resume has overtaken this one.
            return self.replace(id);
        }
        if let Some((_, Some(old))) = known {
            self.replace(old);
        }
        self.begin_turn(&session, asking, turn, received);
        count(&mut self.stats.resumed);
        if let Some(greeting) = self.greeting(id) {
            greeting.resumed = true;
            greeting.rejected = rejected;
        }
        self.attach(id, session);
    }

    /// What the application has of the session's messages is finished, for the client that sends
    /// them again.
    fn begin_turn(&mut self, session: &SessionId, user: Arc<str>, turn: u64, received: u64) {
        let new = || Box::new(Intake::new(user, turn, received, self.now));
        let intake = self.sessions.entry(session.clone()).or_insert_with(new);
        let before = intake.unhandled();
        intake.begin_turn(turn, received);
        let (after, left) = (intake.unhandled(), intake.left.take());
        self.count_unhandled(before, after);
        self.release(left);
    }

    /// The session is this connection's. Where its own stream stands is all that is missing.
    fn attach(&mut self, id: ConnectionId, session: SessionId) {
        if let Some(intake) = self.sessions.get_mut(&session) {
            intake.connection = Some(id);
        }
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.session = Some(session.clone());
        let stream = Stream::Session(session.clone());
        self.watch(id, &stream);
        let after = self
            .greeting(id)
            .and_then(|greeting| greeting.resume.as_ref())
            .map(|resume| resume.position);
        let request = StoreRequest::Read { stream, after, limit: self.config.page, by: None };
        self.request(Asker::Connection(id), request);
        self.arm_keep();
        self.drive_messages(&session);
    }

    /// The session was ended before its news reached this node: the client begins a new one.
    pub(super) fn session_vanished(&mut self, id: ConnectionId) {
        let Some(greeting) = self.greeting(id) else { return };
        let was_resumed = core::mem::take(&mut greeting.resumed);
        greeting.rejected.clear();
        let session =
            self.connections.get_mut(&id).and_then(|connection| connection.session.take());
        if let Some(session) = session {
            self.unwatch(id, &Stream::Session(session.clone()));
            self.forget_intake(&session);
        }
        if was_resumed { self.resume_unknown(id) } else { self.create(id) }
    }

    pub(super) fn located(
        &mut self,
        question: StoreRequestId,
        id: ConnectionId,
        top: Position,
        missed: Option<Vec<Publication>>,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(session) = connection.session.clone() else { return };
        let Stage::Greeting(greeting) = &mut connection.stage else { return };
        let Greeting { resume, resumed, refused, mut rejected } = core::mem::take(&mut **greeting);
        connection.stage = Stage::Live(self.now);
        let committed = self.sessions.get(&session).map_or(0, |intake| intake.committed);
        // What was committed since the store answered is told in the welcome, too.
        rejected.append(&mut connection.out.rejections);
        rejected.sort_by_key(|rejection| rejection.serial);
        rejected.dedup_by_key(|rejection| rejection.serial);
        let surplus = rejected.len().saturating_sub(limits::REJECTIONS);
        rejected.drain(..surplus);
        connection.out.ack = None;
        let place = resume.map(|resume| resume.position).filter(|_| missed.is_some());
        let position = place.unwrap_or(top);
        if resumed && place.is_none() {
            count(&mut self.stats.lost);
        }
        connection.own = Some(Follow::Live(position));
        self.liveness.watch(id, self.now);
        let max_message =
            u64::try_from(self.config.max_message).unwrap_or(u64::MAX).min(limits::NUMBER);
        let welcome = |rejected| ServerFrame::Welcome {
            session: session.clone(),
            resumed,
            refused: refused.clone(),
            received: committed,
            rejected,
            position,
            max_message: Some(max_message),
        };
        let (encoding, most) = (connection.out.encoding, connection.out.most);
        let room = most.saturating_sub(welcome(Vec::new()).encoded_len(encoding) + REJECTED_FIELD);
        keep_what_fits(&mut rejected, encoding, room);
        self.push(id, &welcome(rejected));
        let user = self.user_of(id).as_deref().unwrap_or_default().into();
        self.tell(NodeEvent::Connected { id, user, session: session.clone(), resumed });
        let stream = Stream::Session(session);
        let behind = self.is_behind_news(&stream, question, top);
        let mut page = Page::new(&stream, missed.filter(|_| place.is_some()).unwrap_or_default());
        let end = self.send_page(id, &stream, position, &mut page);
        if let Some(end) = end.filter(|end| behind || end.offset < top.offset) {
            self.look_up(id, &stream, Some(end), Greet::Silent);
        }
    }
}

/// The name of a list of rejections, and its brackets, take less in either encoding.
const REJECTED_FIELD: usize = 16;

/// A close frame that says when to come back.
pub(super) fn retry_after(code: CloseCode, delay: Duration) -> CloseFrame {
    CloseFrame::new(code, alloc::format!("retry-after={}", relink::time::HumanDuration(delay)))
}
