//! Sessions and members.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::{Full, StoreEvent, StoreResponse, Stream};
use relink::protocol::Rejection;
use relink::session::{Member, MemberChange};
use relink::{Channel, CloseFrame, Instant, Message, SessionId};

use super::{MemoryStore, ledger};

/// The maximum number of rejections that a returning client gets.
const MOST_REJECTIONS: usize = 1024;

#[derive(Debug, Clone)]
pub(super) struct Kept {
    user: Arc<str>,
    received: u64,
    rejected: VecDeque<Rejection>,
    pub(super) generation: u64,
    began: Instant,
    expires: Instant,
    /// When it is checked next: its entry in the order of time.
    due: Instant,
    /// The channels of which it is a member.
    channels: BTreeSet<Channel>,
}

impl Kept {
    /// Whom its messages count for: its user, or the session itself if the user is `anonymous`.
    fn payer(&self, session: &SessionId) -> Arc<str> {
        if *self.user == *Member::ANONYMOUS {
            session.expose().into()
        } else {
            Arc::clone(&self.user)
        }
    }

    fn answer(&self) -> StoreResponse {
        StoreResponse::Session {
            user: (&*self.user).into(),
            received: self.received,
            rejected: self.rejected.iter().cloned().collect(),
            generation: self.generation,
            seats: Vec::new(),
        }
    }
}

impl MemoryStore {
    pub(super) fn create(&mut self, session: SessionId, user: String) -> StoreResponse {
        let expires = self.now + self.config.session_ttl;
        if let Some(kept) = self.sessions.get(&session) {
            return if *kept.user == *user { kept.answer() } else { StoreResponse::Unknown };
        }
        if self.sessions.len() >= self.config.max_sessions {
            return StoreResponse::Full(Full::Store);
        }
        if self.ledger.sessions_of(&user).map_or(0, BTreeSet::len) >= self.config.user_sessions {
            return StoreResponse::Full(Full::User);
        }
        let user: Arc<str> = user.into();
        self.ledger.begin_session(&user, session.clone());
        let kept = Kept {
            user,
            received: 0,
            rejected: VecDeque::new(),
            generation: 0,
            began: self.now,
            expires,
            due: expires,
            channels: BTreeSet::new(),
        };
        let answer = kept.answer();
        self.sessions_due.insert((expires, session.clone()));
        self.sessions.insert(session, kept);
        answer
    }

    pub(super) fn resume(&mut self, session: SessionId, user: &str) -> StoreResponse {
        let Some(kept) = self.sessions.get_mut(&session) else { return StoreResponse::Unknown };
        if *kept.user != *user {
            return kept.answer();
        }
        kept.generation = kept.generation.saturating_add(1);
        kept.expires = self.now + self.config.session_ttl;
        let (mut answer, generation) = (kept.answer(), kept.generation);
        if let StoreResponse::Session { seats, .. } = &mut answer {
            let seat = |channel: &Channel| {
                Some((channel.clone(), self.channels.get(channel)?.lease(&session)?))
            };
            seats.extend(kept.channels.iter().filter_map(seat));
        }
        self.tell(StoreEvent::Resumed { session, generation });
        answer
    }

    pub(super) fn payer_of(&self, session: &SessionId) -> Option<Arc<str>> {
        self.sessions.get(session).map(|kept| kept.payer(session))
    }

    pub(super) fn end_user(
        &mut self,
        user: &str,
        ago: Duration,
        frame: &CloseFrame,
    ) -> StoreResponse {
        let theirs = self.ledger.sessions_of(user).cloned().unwrap_or_default();
        for session in theirs {
            let is_newer = |kept: &Kept| kept.began + ago > self.now;
            if self.sessions.get(&session).is_some_and(is_newer) {
                continue;
            }
            self.forget_session(&session);
            self.tell(StoreEvent::Ended { session, frame: frame.clone() });
        }
        StoreResponse::Done
    }

    /// Returns true if there is such a session.
    pub(super) fn keep(&mut self, session: &SessionId) -> bool {
        let Some(kept) = self.sessions.get_mut(session) else { return false };
        kept.expires = self.now + self.config.session_ttl;
        true
    }

    pub(super) fn commit(
        &mut self,
        session: &SessionId,
        generation: u64,
        serial: u64,
        publications: Vec<(Stream, Message)>,
        rejection: Option<Rejection>,
    ) -> StoreResponse {
        let Some(kept) =
            self.sessions.get_mut(session).filter(|kept| kept.generation == generation)
        else {
            return StoreResponse::Unknown;
        };
        if kept.received.checked_add(1) != Some(serial) {
            return StoreResponse::Committed { received: kept.received };
        }
        if publications.is_empty() && rejection.is_none() {
            // Nothing to keep, and nobody to keep it for.
            kept.received = serial;
            return StoreResponse::Committed { received: serial };
        }
        let payer = kept.payer(session);
        if let Err(full) = self.make_room(Some(&payer), &publications) {
            return StoreResponse::Full(full);
        }
        let Some(kept) = self.sessions.get_mut(session) else { return StoreResponse::Unknown };
        kept.received = serial;
        if let Some(rejection) = rejection {
            self.note(session, &payer, rejection);
        }
        self.publish(publications, Some(&payer));
        StoreResponse::Committed { received: serial }
    }

    /// Stores that a message was rejected, in place of earlier rejections of the session if needed;
    /// without room it is not stored.
    fn note(&mut self, session: &SessionId, payer: &Arc<str>, rejection: Rejection) {
        let size = ledger::size_of_refusal(&rejection);
        loop {
            let has_room = self.ledger.refusals_of(payer).saturating_add(size)
                <= self.config.user_bytes
                && self.squeeze(size);
            let Some(kept) = self.sessions.get_mut(session) else { return };
            if has_room && kept.rejected.len() < MOST_REJECTIONS {
                self.ledger.keep_refusal(size, payer);
                return kept.rejected.push_back(rejection);
            }
            let Some(oldest) = kept.rejected.pop_front() else { return };
            self.ledger.forget_refusal(ledger::size_of_refusal(&oldest), payer);
        }
    }

    pub(super) fn join(
        &mut self,
        channel: Channel,
        session: SessionId,
        mut member: Member,
        lease: u64,
    ) -> StoreResponse {
        let Some(payer) = self.payer_of(&session) else { return StoreResponse::Unknown };
        let before = self.channels.get(&channel).and_then(|stays| stays.size(&session));
        // A new text takes the room of the previous one.
        self.ledger.forget(before.unwrap_or(0), Some(&payer));
        if member.info.is_some() && self.has_room_for(&member, &payer).is_err() {
            member.info = None;
        }
        let stays = self.channels.get(&channel);
        let is_full =
            before.is_none() && stays.is_some_and(|stays| stays.len() >= self.config.max_members);
        let room = if is_full { Err(Full::Store) } else { self.has_room_for(&member, &payer) };
        // A present member stays.
        if let Err(full) = room.or_else(|full| before.map(|_| ()).ok_or(full)) {
            return StoreResponse::Full(full);
        }
        let stays = self.channels.entry(channel.clone()).or_default();
        let (join, told) = stays.join(session.clone(), member, lease, self.config.max_words);
        self.ledger.keep(stays.size(&session).unwrap_or(0), Some(&payer));
        if let Some(kept) = self.sessions.get_mut(&session) {
            kept.channels.insert(channel.clone());
        }
        if let Some(member) = told {
            self.tell(StoreEvent::MemberChanged { channel, change: MemberChange::Joined(member) });
        }
        StoreResponse::Joined { join }
    }

    fn has_room_for(&mut self, member: &Member, payer: &str) -> Result<(), Full> {
        let size = ledger::size_of_member(member);
        if !self.may_keep(payer, size) {
            return Err(Full::User);
        }
        if self.squeeze(size) { Ok(()) } else { Err(Full::Store) }
    }

    /// Removes a session from a channel; if a lease is given, only if it is the current one.
    pub(super) fn leave(&mut self, channel: &Channel, session: &SessionId, lease: Option<u64>) {
        let Some(stays) = self.channels.get_mut(channel) else { return };
        let Some((size, member)) = stays.leave(session, lease) else { return };
        if stays.len() == 0 {
            self.channels.remove(channel);
        }
        self.ledger.forget(size, self.payer_of(session).as_ref());
        if let Some(kept) = self.sessions.get_mut(session) {
            kept.channels.remove(channel);
        }
        self.tell(StoreEvent::MemberChanged {
            channel: channel.clone(),
            change: MemberChange::Left(member),
        });
    }

    pub(super) fn expire_session(&mut self, session: SessionId) {
        let Some(kept) = self.sessions.get_mut(&session) else { return };
        if kept.expires <= self.now {
            return self.forget_session(&session);
        }
        kept.due = kept.expires;
        self.sessions_due.insert((kept.due, session));
    }

    pub(super) fn forget_session(&mut self, session: &SessionId) {
        let channels =
            self.sessions.get(session).map(|kept| kept.channels.clone()).unwrap_or_default();
        for channel in &channels {
            self.leave(channel, session, None);
        }
        if let Some(kept) = self.sessions.remove(session) {
            let payer = kept.payer(session);
            let refusals = kept.rejected.iter().map(ledger::size_of_refusal).sum();
            self.ledger.forget_refusal(refusals, &payer);
            self.ledger.end_session(&kept.user, session);
            self.sessions_due.remove(&(kept.due, session.clone()));
        }
        self.forget_stream(&Stream::Session(session.clone()));
    }
}
