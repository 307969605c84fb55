//! Handling of the store's responses and failures.

use alloc::boxed::Box;
use alloc::string::String;

use rand_core::Rng;

use crate::node::store_requests::{Asker, Pending};
use crate::node::{Node, NodeEvent, StoreRequestId};
use crate::{StoreRequest, StoreResponse, Stream};
use relink::SessionId;
use relink::internal::count;

/// Retries for `Leave`, `End` and `Touch`; after that the store's own expiry cleans up. A kick is
/// retried until it is done, since expiry does not end sessions that another node keeps.
const MOST_RETRIES: u32 = 40;

impl<R: Rng> Node<R> {
    pub(super) fn answered(&mut self, id: StoreRequestId, response: Result<StoreResponse, String>) {
        let Some(pending) = self.cx.requests.answered(id) else { return };
        // Retries hold no place: a store that is away does not keep the connection from asking the
        // application.
        if let (StoreRequest::Join { .. }, Asker::Connection(connection), 0) =
            (&pending.request, pending.asker, pending.retries())
        {
            self.cx.connections.give_back(connection);
        }
        match response {
            Ok(response) => self.use_response(id, pending, response),
            Err(detail) => self.store_failed(pending, detail),
        }
    }

    /// What a response means depends on the request, and on what waits for it. `id` is that of the
    /// last try, which orders it among requests and news.
    fn use_response(&mut self, id: StoreRequestId, pending: Box<Pending>, response: StoreResponse) {
        use StoreRequest as Ask;
        use StoreResponse as Reply;
        let key = pending.key;
        match (&pending.request, pending.asker, response) {
            (
                Ask::Create { session, .. },
                Asker::Connection(to),
                Reply::Session { generation, .. },
            ) => self.created(to, session.clone(), generation),
            (Ask::Create { .. }, Asker::Connection(to), Reply::Full(full)) => {
                self.close_full(to, full)
            }
            (
                Ask::Resume { session, .. },
                Asker::Connection(to),
                Reply::Session { user, received, rejected, generation, seats },
            ) => {
                self.members.watch_stays(session, seats, self.cx.now);
                self.resumed(to, session.clone(), &user, received, rejected, generation);
            }
            (Ask::Resume { .. }, Asker::Connection(to), Reply::Unknown) => self.resume_unknown(to),
            (Ask::Read { .. }, Asker::Connection(to), Reply::Read { top, missed }) => {
                self.located(id, to, top, missed)
            }
            (Ask::Read { .. }, Asker::Connection(to), Reply::Unknown) => self.session_vanished(to),
            (Ask::Read { stream, after, .. }, Asker::Readers, Reply::Read { top, missed }) => {
                if self.looked_up((stream, *after), (id, top, missed)) {
                    self.retry_later(pending);
                }
            }
            (Ask::Read { stream, after, .. }, Asker::Readers, Reply::Full(full)) => {
                self.lookup_refused(stream, *after, full);
                self.retry_later(pending);
            }
            (Ask::Read { stream, after, .. }, Asker::Readers, Reply::Unknown) => {
                if let Some(asker) = self.streams.end_lookup(stream, *after) {
                    self.cx.connections.give_back(asker);
                }
                self.stream_is_over(stream);
            }
            (Ask::Read { stream, .. }, Asker::Node, Reply::Read { top, .. }) => {
                self.streams.checked(stream, top, &mut self.cx);
            }
            (Ask::Read { stream, .. }, Asker::Node, Reply::Unknown) => self.stream_is_over(stream),
            (Ask::Commit { .. }, Asker::Session(session), Reply::Committed { received }) => {
                if self.sessions.committed(key, session, received, &mut self.cx) {
                    self.drive_messages(session);
                } else {
                    self.lose_session(session, "the server lost messages");
                }
            }
            (Ask::Commit { .. }, Asker::Session(session), Reply::Full(full)) => {
                self.sessions.commit_has_no_room(key, session, full, &mut self.cx);
            }
            (Ask::Commit { .. } | Ask::Publish { .. }, Asker::Session(session), Reply::Unknown) => {
                // The session is gone, or was resumed elsewhere.
                if self.sessions.is_storing(session, key) {
                    self.lose_session(session, "the session is gone");
                }
            }
            (Ask::Publish { .. }, _, Reply::Full(full)) => {
                self.store_failed(pending, full.problem().detail);
            }
            (Ask::Publish { .. }, Asker::Session(session), _) => {
                self.sessions.published(key, session, &mut self.cx);
                self.drive_messages(session);
            }
            (Ask::Join { channel, .. }, Asker::Connection(to), Reply::Joined { .. }) => {
                self.members.joined(to, channel, key, &mut self.cx)
            }
            (Ask::Join { channel, .. }, Asker::Connection(to), Reply::Full(_)) => {
                count(&mut self.cx.stats.unlisted);
                self.members.joined(to, channel, key, &mut self.cx);
            }
            (Ask::Members { channel }, _, Reply::Members(members)) => {
                self.members.listed(channel, members, &mut self.cx);
            }
            (Ask::Touch { .. }, _, Reply::Touched { lost }) => {
                // Their clients come back and begin new sessions.
                for session in lost {
                    self.lost(&session);
                }
            }
            (Ask::EndUser { user, .. }, _, _) => self.sessions.user_ended(user, key),
            (
                Ask::Publish { .. } | Ask::Leave { .. } | Ask::End { .. } | Ask::Join { .. },
                _,
                _,
            ) => {}
            // A response of the wrong kind counts as a failure.
            (
                Ask::Create { .. }
                | Ask::Resume { .. }
                | Ask::Read { .. }
                | Ask::Commit { .. }
                | Ask::Members { .. }
                | Ask::Touch { .. },
                _,
                _,
            ) => self.store_failed(pending, "the response is to another request".into()),
        }
    }

    /// A client that waits for its welcome is closed, and a publication is sent once, since it may
    /// have been stored. Everything else is asked again, since it changes nothing if it was
    /// done already.
    fn store_failed(&mut self, pending: Box<Pending>, detail: String) {
        count(&mut self.cx.stats.store_errors);
        if let StoreRequest::Publish { .. } = &pending.request {
            self.cx.tell(NodeEvent::NotPublished { detail });
            if let Asker::Session(session) = pending.asker {
                self.sessions.published(pending.key, session, &mut self.cx);
                self.drive_messages(session);
            }
            return;
        }
        self.cx.tell(NodeEvent::StoreFailed { detail });
        let expires = matches!(
            pending.request,
            StoreRequest::Leave { .. } | StoreRequest::End { .. } | StoreRequest::Touch { .. }
        );
        match (&pending.request, pending.asker) {
            (
                StoreRequest::Create { .. }
                | StoreRequest::Resume { .. }
                | StoreRequest::Read { .. },
                Asker::Connection(id),
            ) => self.close_unavailable(id),
            _ if expires && pending.retries() >= MOST_RETRIES => {}
            _ => self.retry_later(pending),
        }
    }

    fn stream_is_over(&mut self, stream: &Stream) {
        if let Stream::Session(session) = stream {
            self.lost(session);
        }
    }

    fn lost(&mut self, session: &SessionId) {
        if let Some(session) = self.sessions.find(session) {
            self.lose_session(session, "the session is gone");
        }
    }

    fn retry_later(&mut self, pending: Box<Pending>) {
        self.cx.requests.retry_later(pending, self.cx.now, &mut self.rng);
    }

    /// Sends again what is due and still wanted.
    pub(super) fn retry_due(&mut self) {
        while let Some(mut pending) = self.cx.requests.poll_due(self.cx.now) {
            if self.is_still_wanted(&mut pending) {
                let action = self.cx.requests.send(pending);
                self.cx.act(action);
            }
        }
    }

    /// Whether anything still waits for the response. Fields that depend on the present are brought
    /// up to date: the age of a kick, the reader that pays, the sessions that are here.
    fn is_still_wanted(&mut self, pending: &mut Pending) -> bool {
        let Pending { request, asker, key, .. } = pending;
        match (request, *asker) {
            (StoreRequest::Read { stream, after, by, .. }, Asker::Readers) => {
                let payer = self.streams.next_payer(stream, *after, &mut self.cx);
                *by = payer.and_then(|payer| self.cx.connections.get(payer)?.session.clone());
                payer.is_some()
            }
            (StoreRequest::Read { stream, .. }, _) => self.streams.is_watched(stream),
            (StoreRequest::Commit { .. }, Asker::Session(session)) => {
                self.sessions.is_storing(session, *key)
            }
            (StoreRequest::Join { channel, .. }, Asker::Connection(id)) => {
                self.members.is_joining(id, channel, *key)
            }
            (StoreRequest::EndUser { user, ago, .. }, _) => {
                let kicked_ago = self.sessions.kicked_ago(user, *key, self.cx.now);
                *ago = kicked_ago.unwrap_or(*ago);
                kicked_ago.is_some()
            }
            (StoreRequest::Touch { sessions }, _) => {
                let is_here = |session: &SessionId| {
                    self.sessions.get_by_id(session).is_some_and(|here| here.connection.is_some())
                };
                sessions.retain(is_here);
                !sessions.is_empty()
            }
            (StoreRequest::Members { channel }, _) => self.members.is_list_wanted(channel),
            (
                StoreRequest::Leave { .. }
                | StoreRequest::End { .. }
                | StoreRequest::Join { .. }
                | StoreRequest::Create { .. }
                | StoreRequest::Resume { .. }
                | StoreRequest::Publish { .. }
                | StoreRequest::Commit { .. },
                _,
            ) => true,
        }
    }
}
