//! What the store's responses lead to, and what happens if it fails.

use alloc::string::String;

use rand_core::Rng;

use crate::node::members::View;
use crate::node::store_requests::{Asker, Pending};
use crate::node::{Node, NodeEvent, StoreRequestId};
use crate::{StoreRequest, StoreResponse};
use relink::internal::count;

/// Retries for `Leave`, `End` and `Touch`; after that the store's own expiry cleans up. A kick is
/// retried until it is done, since expiry does not end sessions that another node keeps.
const MOST_RETRIES: u32 = 40;

impl<R: Rng> Node<R> {
    /// Asks the store. The id names the request for as long as it is asked, however often.
    pub(super) fn request(&mut self, asker: Asker, request: StoreRequest) -> StoreRequestId {
        let id = StoreRequestId(self.next_number());
        let action = self.requests.ask(id, request, asker);
        self.actions.push_back(action);
        id
    }

    pub(super) fn answered(&mut self, id: StoreRequestId, response: Result<StoreResponse, String>) {
        let Some(pending) = self.requests.answered(id) else { return };
        if let (StoreRequest::Join { .. }, Asker::Connection(connection), 0) =
            (&pending.request, pending.asker, pending.retries())
        {
            self.give_back(connection);
        }
        match response {
            Ok(response) => self.use_response(id, pending, response),
            Err(detail) => self.store_failed(pending, detail),
        }
    }

    /// What a response means depends on the request, and on what waits for it. `id` is that of the
    /// last try: it tells what the store had been asked when.
    fn use_response(&mut self, id: StoreRequestId, pending: Pending, response: StoreResponse) {
        use StoreRequest as Ask;
        use StoreResponse as Reply;
        let key = pending.key;
        match (&pending.request, pending.asker, response) {
            (Ask::Create { session, .. }, Asker::Connection(to), Reply::Session { turn, .. }) => {
                self.created(to, session.clone(), turn)
            }
            (Ask::Create { .. }, Asker::Connection(to), Reply::Full(full)) => {
                self.close_full(to, full)
            }
            (
                Ask::Resume { session, .. },
                Asker::Connection(to),
                Reply::Session { user, received, rejected, turn, seats },
            ) => {
                self.watch_seats(session, seats);
                self.resumed(to, session.clone(), &user, received, rejected, turn);
            }
            (Ask::Resume { .. }, Asker::Connection(to), Reply::Unknown) => self.resume_unknown(to),
            (Ask::Read { .. }, Asker::Connection(to), Reply::Read { top, missed }) => {
                self.located(id, to, top, missed)
            }
            (Ask::Read { .. }, Asker::Connection(to), Reply::Unknown) => self.session_vanished(to),
            (Ask::Read { stream, after, .. }, Asker::Readers, Reply::Read { top, missed }) => {
                if self.looked_up(id, stream, *after, top, missed) {
                    self.retry_later(pending);
                }
            }
            (Ask::Read { stream, after, .. }, Asker::Readers, Reply::Full(full)) => {
                self.page_refused(stream, *after, full);
                self.retry_later(pending);
            }
            (Ask::Read { stream, after, .. }, Asker::Readers, Reply::Unknown) => {
                self.page_is_over(stream, *after)
            }
            (Ask::Read { stream, .. }, Asker::Node, Reply::Read { top, .. }) => {
                self.checked(stream, top)
            }
            (Ask::Read { stream, .. }, Asker::Node, Reply::Unknown) => self.stream_is_over(stream),
            (Ask::Commit { session, .. }, _, Reply::Committed { received }) => {
                self.committed(key, session, received);
            }
            (Ask::Commit { session, .. }, _, Reply::Full(full)) => {
                self.commit_has_no_room(key, session, full);
            }
            (Ask::Commit { session, .. }, _, Reply::Unknown)
            | (Ask::Publish { session: Some(session), .. }, _, Reply::Unknown) => {
                self.commit_refused(key, session);
            }
            (Ask::Publish { .. }, _, Reply::Full(full)) => {
                self.store_failed(pending, full.problem().detail);
            }
            (Ask::Publish { session: Some(session), .. }, _, _) => {
                self.published_unacknowledged(key, session);
            }
            (Ask::Join { channel, .. }, Asker::Connection(to), Reply::Joined { .. }) => {
                self.joined(to, channel, key)
            }
            (Ask::Join { channel, .. }, Asker::Connection(to), Reply::Full(_)) => {
                count(&mut self.stats.unlisted);
                self.joined(to, channel, key);
            }
            (Ask::Members { channel }, _, Reply::Members(members)) => {
                self.members(channel, members)
            }
            (Ask::Touch { .. }, _, Reply::Touched { lost }) => self.sessions_touched(lost),
            (Ask::EndUser { user, .. }, _, _) => self.user_ended(user, key),
            (
                Ask::Publish { .. } | Ask::Leave { .. } | Ask::End { .. } | Ask::Join { .. },
                _,
                _,
            ) => {}
            // A response of the wrong kind is no response.
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

    /// A client that waits for its welcome goes elsewhere, and what nobody waits for is asked once:
    /// it may have been done. Everything else is asked again, since it changes nothing if it was
    /// done already.
    fn store_failed(&mut self, pending: Pending, detail: String) {
        count(&mut self.stats.store_errors);
        if let StoreRequest::Publish { session, .. } = &pending.request {
            self.tell(NodeEvent::NotPublished { detail });
            if let Some(session) = session {
                self.published_unacknowledged(pending.key, session);
            }
            return;
        }
        self.tell(NodeEvent::StoreFailed { detail });
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

    fn retry_later(&mut self, pending: Pending) {
        self.requests.retry_later(pending, self.now, &mut self.rng);
    }

    /// Sends again what is due and still wanted.
    pub(super) fn retry_due(&mut self) {
        while let Some(mut pending) = self.requests.poll_due(self.now) {
            if self.is_still_wanted(&mut pending) {
                let id = StoreRequestId(self.next_number());
                let action = self.requests.send(id, pending);
                self.actions.push_back(action);
            }
        }
    }

    /// Whether anything still waits for the response. What a request says of the present is brought
    /// up to date: how long ago a kick was, who asks, which sessions are here.
    fn is_still_wanted(&mut self, pending: &mut Pending) -> bool {
        let Pending { request, asker, key, .. } = pending;
        match (request, *asker) {
            (StoreRequest::Read { stream, after, by, .. }, Asker::Readers) => {
                let payer = self.next_payer(stream, *after);
                *by = payer.and_then(|payer| self.session_of(payer));
                payer.is_some()
            }
            (StoreRequest::Read { stream, .. }, _) => self.streams.contains_key(stream),
            (StoreRequest::Commit { session, .. }, _) => {
                self.sessions.get(session).is_some_and(|intake| intake.storing == Some(*key))
            }
            (StoreRequest::Join { channel, .. }, Asker::Connection(id)) => {
                self.view(id, channel) == Some(&View::Joining(*key))
            }
            (StoreRequest::EndUser { user, ago, .. }, _) => {
                let kick = self.kicks.get(user).filter(|kick| kick.request == *key);
                *ago = kick.map_or(*ago, |kick| self.now - kick.at);
                kick.is_some()
            }
            (StoreRequest::Touch { sessions }, _) => {
                sessions.retain(|session| {
                    self.sessions.get(session).is_some_and(|intake| intake.connection.is_some())
                });
                !sessions.is_empty()
            }
            (StoreRequest::Members { channel }, _) => self.rooms.contains_key(channel),
            (
                StoreRequest::Leave { .. }
                | StoreRequest::End { .. }
                | StoreRequest::Join { .. }
                | StoreRequest::Create { .. }
                | StoreRequest::Resume { .. }
                | StoreRequest::Publish { .. },
                _,
            ) => true,
        }
    }
}
