//! From the accept to the welcome, and what a client may say after it.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use rand_core::Rng;

use crate::node::connections::{Connection, Greeting, Stage, Timer};
use crate::node::sessions::SessionNumber;
use crate::node::sizes::keep_what_fits;
use crate::node::store_requests::Asker;
use crate::node::{ConnectionId, Node, NodeEvent, StoreRequestId};
use crate::{Full, Publication, StoreRequest, Stream};
use relink::internal::count;
use relink::protocol::Rejection;
use relink::session::{Problem, Secret};
use relink::{CloseCode, CloseFrame, Message, Position, Resume, SessionId};
use relink_v1::{ClientFrame, Codec, Encoding, ServerFrame, Welcome, limits};

impl<R: Rng> Node<R> {
    pub(super) fn opened(&mut self, id: ConnectionId, user: Option<String>) {
        if !self.cx.connections.open(id, user.map(Arc::from)) {
            return;
        }
        count(&mut self.cx.stats.opened);
        if self.drain.is_some() {
            return self.refuse_while_draining(id);
        }
        let overdue = self.cx.now + self.cx.config.hello_timeout;
        self.cx.connections.set_timer(id, Timer::Hello, overdue);
    }

    pub(super) fn arrived(&mut self, id: ConnectionId, message: &Message) {
        if self.cx.connections.is_excessive(id) {
            let reason = "client is not reading responses";
            return self.close(id, CloseFrame::new(CloseCode::POLICY_VIOLATION, reason));
        }
        let Some(connection) = self.cx.connections.get(id) else { return };
        let (frame, encoding) = match ClientFrame::decode(message) {
            Ok(decoded) => decoded,
            Err(malformed) => {
                count(&mut self.cx.stats.malformed);
                return self.close(id, CloseFrame::from(malformed));
            }
        };
        match (&connection.stage, frame) {
            (Stage::Silent, ClientFrame::Hello { token, resume, max_message }) => {
                self.hello(id, encoding, token, resume, max_message);
            }
            (Stage::Live(_), ClientFrame::Message { serial, channel, payload }) => {
                // Its answer comes later, and is counted then.
                return self.message(id, serial, channel, payload);
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
            (Stage::Live(_), ClientFrame::Renew { token }) => {
                self.cx.connections.identify(id, Some(token))
            }
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
        self.cx.connections.review_reading(id);
    }

    fn out_of_turn(&mut self, id: ConnectionId, reason: &str) {
        count(&mut self.cx.stats.malformed);
        self.close(id, CloseFrame::new(CloseCode::PROTOCOL_ERROR, reason));
    }

    fn heartbeat(&mut self, id: ConnectionId, nonce: u32, sent: u64) {
        count(&mut self.cx.stats.heartbeats);
        let Some(connection) = self.cx.connections.get(id) else { return };
        let publications = connection.out.publications;
        let answer = ServerFrame::HeartbeatAck { nonce, sent: publications };
        self.cx.connections.push(id, &answer);
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
        let Some(connection) = self.cx.connections.get_mut(id) else { return };
        connection.out.encoding = encoding;
        connection.out.most =
            max_message.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        connection.stage = Stage::Greeting(Box::new(Greeting { resume, ..Greeting::default() }));
        if connection.user.is_some() && token.is_none() {
            self.enter(id);
        } else {
            self.cx.connections.identify(id, token);
        }
    }

    pub(super) fn identified(&mut self, id: ConnectionId, result: Result<String, CloseFrame>) {
        if !self.cx.connections.identified(id) {
            return;
        }
        let user = match result {
            Ok(user) => user,
            Err(frame) => return self.close(id, frame),
        };
        let Some(connection) = self.cx.connections.get_mut(id) else { return };
        if connection.user.as_ref().is_some_and(|known| **known != *user) {
            let reason = "the token is another user's";
            return self.close(id, CloseFrame::new(CloseCode::INVALID_TOKEN, reason));
        }
        if connection.is_live() {
            let over = self.cx.connections.renewed(id);
            return self.close_if(id, over);
        }
        self.cx.connections.set_user(id, user.into());
        self.enter(id);
    }

    /// The user is known: checks the limit, and begins or resumes the session.
    fn enter(&mut self, id: ConnectionId) {
        let Some(connection) = self.cx.connections.get(id) else { return };
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
        let session = resume.map(|resume| resume.session);
        // A client that comes back is not one more: its old connection is replaced if it is
        // allowed.
        let known = session.as_ref().and_then(|session| self.sessions.get_by_id(session));
        let replaces =
            known.is_some_and(|intake| intake.connection.is_some() && intake.user == user);
        let is_ending = known.is_some_and(|intake| intake.ending);
        let present = self.cx.connections.counted(&user).saturating_sub(u32::from(replaces));
        if self.cx.config.per_user.is_some_and(|most| present >= most) {
            return self.close_full(id, Full::User);
        }
        // Before the store answers: of several that come at once, none gets in beyond the limit.
        self.cx.connections.count(id);
        let Some(session) = session else { return self.create(id) };
        // The store is being asked to end it, and would let it go on if it heard of this first.
        if is_ending || self.sessions.is_kicked(&user) {
            return self.resume_unknown(id);
        }
        let request = StoreRequest::Resume { session, user: (&*user).into() };
        self.cx.ask(Asker::Connection(id), request);
    }

    fn create(&mut self, id: ConnectionId) {
        // A session id is a secret: 128 bits from the generator.
        let session = format!("{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64()).into();
        let Some(connection) = self.cx.connections.get(id) else { return };
        let request = StoreRequest::Create { session, user: connection.user_name() };
        self.cx.ask(Asker::Connection(id), request);
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
        count(&mut self.cx.stats.resume_refused);
        self.create(id);
    }

    fn greeting(&mut self, id: ConnectionId) -> Option<&mut Greeting> {
        match &mut self.cx.connections.get_mut(id)?.stage {
            Stage::Greeting(greeting) => Some(greeting),
            Stage::Silent | Stage::Live(_) => None,
        }
    }

    fn greeted_user(&mut self, id: ConnectionId) -> Option<Arc<str>> {
        self.greeting(id)?;
        self.cx.connections.get(id)?.user.clone()
    }

    pub(super) fn created(&mut self, id: ConnectionId, session: SessionId, generation: u64) {
        let Some(user) = self.greeted_user(id) else {
            // The client went before its session was there, and does not know of it.
            self.cx.ask(Asker::Node, StoreRequest::End { session, generation });
            return;
        };
        count(&mut self.cx.stats.created);
        let number = self.sessions.begin(session.clone(), user, (generation, 0), &self.cx);
        self.attach(id, number, session);
    }

    pub(super) fn resumed(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        user: &str,
        received: u64,
        rejected: Vec<Rejection>,
        generation: u64,
    ) {
        let Some(asking) = self.greeted_user(id) else { return };
        if *asking != *user {
            return self
                .refuse_resume(id, Problem::new("wrong_user", "session belongs to another user"));
        }
        let here = self.sessions.get_by_id(&session);
        if here.is_some_and(|intake| generation <= intake.generation) {
            // The store allowed another resume after this one, and its response came before this
            // one's: this is the older of two connections.
            return self.replace(id);
        }
        if let Some(old) = here.and_then(|intake| intake.connection) {
            self.replace(old);
        }
        let since = (generation, received);
        let number = self.sessions.begin_generation(&session, asking, since, &mut self.cx);
        count(&mut self.cx.stats.resumed);
        if let Some(greeting) = self.greeting(id) {
            greeting.resumed = true;
            greeting.rejected = rejected;
        }
        self.attach(id, number, session);
    }

    /// Gives the session to this connection, and reads its place in the session's own stream.
    fn attach(&mut self, id: ConnectionId, number: SessionNumber, session: SessionId) {
        self.sessions.attach(id, number, &self.cx);
        let Some(connection) = self.cx.connections.get_mut(id) else { return };
        connection.session = Some(session.clone());
        connection.number = Some(number);
        let stream = Stream::Session(session);
        // Watched before it is read: what is published in between is heard of.
        self.streams.watch(id, &stream, &mut self.cx);
        let after = self
            .greeting(id)
            .and_then(|greeting| greeting.resume.as_ref())
            .map(|resume| resume.position);
        let request = StoreRequest::Read { stream, after, limit: self.cx.config.page, by: None };
        self.cx.ask(Asker::Connection(id), request);
        self.drive_messages(number);
    }

    /// The session was ended, but its event has not reached this node yet: the client starts a new
    /// one.
    pub(super) fn session_vanished(&mut self, id: ConnectionId) {
        let Some(greeting) = self.greeting(id) else { return };
        let was_resumed = core::mem::take(&mut greeting.resumed);
        greeting.rejected.clear();
        let number = self.session_of(id);
        if let (Some(session), Some(number)) = (self.cx.connections.take_session(id), number) {
            self.streams.unwatch(id, &Stream::Session(session), &mut self.cx);
            self.sessions.forget(number, &mut self.cx);
        }
        if was_resumed { self.resume_unknown(id) } else { self.create(id) }
    }

    pub(super) fn located(
        &mut self,
        request: StoreRequestId,
        id: ConnectionId,
        top: Position,
        missed: Option<Vec<Publication>>,
    ) {
        let Some(connection) = self.cx.connections.get_mut(id) else { return };
        let Some((number, session)) = connection.number.zip(connection.session.clone()) else {
            return;
        };
        let Stage::Greeting(greeting) = &mut connection.stage else { return };
        let Greeting { resume, resumed, refused, mut rejected } = core::mem::take(&mut **greeting);
        connection.stage = Stage::Live(self.cx.now);
        let committed = self.sessions.get(number).map_or(0, |intake| intake.committed);
        // What was committed since the store answered is in the welcome, too. The client takes
        // everything up to `received` for accepted, but for what is refused here.
        rejected.append(&mut connection.out.rejections);
        rejected.sort_by_key(|rejection| rejection.serial);
        rejected.dedup_by_key(|rejection| rejection.serial);
        let surplus = rejected.len().saturating_sub(limits::REJECTIONS);
        rejected.drain(..surplus);
        connection.out.ack = None;
        let (encoding, most) = (connection.out.encoding, connection.out.most);
        // Without it, what the client missed is lost: it goes on at the top, and knows by
        // the position that it missed something.
        let place = resume.map(|resume| resume.position).filter(|_| missed.is_some());
        let position = place.unwrap_or(top);
        if resumed && place.is_none() {
            count(&mut self.cx.stats.lost);
        }
        let max_message =
            u64::try_from(self.cx.config.max_message).unwrap_or(u64::MAX).min(limits::NUMBER);
        let welcome = |rejected| {
            ServerFrame::Welcome(Welcome {
                session: session.clone(),
                resumed,
                refused: refused.clone(),
                received: committed,
                rejected,
                position,
                max_message: Some(max_message),
            })
        };
        let room = most.saturating_sub(welcome(Vec::new()).encoded_len(encoding) + REJECTED_FIELD);
        keep_what_fits(&mut rejected, encoding, room);
        self.cx.connections.watch(id);
        self.cx.connections.push(id, &welcome(rejected));
        let user = self.cx.connections.get(id).map(Connection::user_name).unwrap_or_default();
        self.cx.tell(NodeEvent::Connected { id, user, session: session.clone(), resumed });
        let stream = Stream::Session(session);
        let missed = missed.filter(|_| place.is_some()).unwrap_or_default();
        let response = (request, top, missed);
        self.streams.begin_welcome(id, &stream, position, response, &mut self.cx);
    }
}

/// The name of a list of rejections, and its brackets, take less in either encoding.
const REJECTED_FIELD: usize = 16;
