//! Sessions and members, and how they end.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::{Answer, Full, News, Stream};
use relink::{Channel, CloseFrame, Instant, Member, Message, Rejection, SessionId};

use super::MemoryHistory;

/// So many rejections are told to a client that returns.
const MOST_REJECTIONS: usize = 1024;

#[derive(Debug, Clone)]
pub(super) struct Kept {
    user: Arc<str>,
    received: u64,
    rejected: VecDeque<Rejection>,
    pub(super) turn: u64,
    began: Instant,
    expires: Instant,
    /// When it is looked at next: its entry in the order of time.
    due: Instant,
    /// Where it is a member.
    channels: BTreeSet<Channel>,
}

impl Kept {
    /// Who its messages count for: its user. `anonymous` is nobody in particular, so there the session counts by itself.
    fn payer(&self, session: &SessionId) -> Arc<str> {
        if *self.user == *Member::ANONYMOUS { session.expose().into() } else { Arc::clone(&self.user) }
    }

    fn answer(&self) -> Answer {
        Answer::Session {
            user: (&*self.user).into(),
            received: self.received,
            rejected: self.rejected.iter().cloned().collect(),
            turn: self.turn,
            seats: Vec::new(),
        }
    }
}

impl MemoryHistory {
    pub(super) fn create(&mut self, session: SessionId, user: String) -> Answer {
        let expires = self.now + self.config.session_ttl;
        if let Some(kept) = self.sessions.get(&session) {
            return if *kept.user == *user { kept.answer() } else { Answer::Unknown };
        }
        if self.sessions.len() >= self.config.max_sessions {
            return Answer::Full(Full::Store);
        }
        if self.ledger.sessions_of(&user).map_or(0, BTreeSet::len) >= self.config.user_sessions {
            return Answer::Full(Full::User);
        }
        let user: Arc<str> = user.into();
        self.ledger.begin_session(&user, session.clone());
        let kept = Kept {
            user,
            received: 0,
            rejected: VecDeque::new(),
            turn: 0,
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

    pub(super) fn resume(&mut self, session: SessionId, user: &str) -> Answer {
        let Some(kept) = self.sessions.get_mut(&session) else { return Answer::Unknown };
        if *kept.user != *user {
            return kept.answer();
        }
        kept.turn = kept.turn.saturating_add(1);
        kept.expires = self.now + self.config.session_ttl;
        let (mut answer, turn) = (kept.answer(), kept.turn);
        if let Answer::Session { seats, .. } = &mut answer {
            let seat =
                |channel: &Channel| Some((channel.clone(), self.channels.get(channel)?.lease(&session)?));
            seats.extend(kept.channels.iter().filter_map(seat));
        }
        self.tell(News::Resumed { session, turn });
        answer
    }

    pub(super) fn payer_of(&self, session: &SessionId) -> Option<Arc<str>> {
        self.sessions.get(session).map(|kept| kept.payer(session))
    }

    pub(super) fn end_user(&mut self, user: &str, ago: Duration, frame: &CloseFrame) -> Answer {
        let theirs = self.ledger.sessions_of(user).cloned().unwrap_or_default();
        for session in theirs {
            let is_newer = |kept: &Kept| kept.began + ago > self.now;
            if self.sessions.get(&session).is_some_and(is_newer) {
                continue;
            }
            self.forget_session(&session);
            self.tell(News::Ended { session, frame: frame.clone() });
        }
        Answer::Done
    }

    /// Tells whether there is such a session.
    pub(super) fn keep(&mut self, session: &SessionId) -> bool {
        let Some(kept) = self.sessions.get_mut(session) else { return false };
        kept.expires = self.now + self.config.session_ttl;
        true
    }

    pub(super) fn commit(
        &mut self,
        session: &SessionId,
        turn: u64,
        serial: u64,
        publications: Vec<(Stream, Message)>,
        rejection: Option<Rejection>,
    ) -> Answer {
        let Some(kept) = self.sessions.get_mut(session).filter(|kept| kept.turn == turn) else {
            return Answer::Unknown;
        };
        if kept.received.checked_add(1) != Some(serial) {
            return Answer::Committed { received: kept.received };
        }
        let payer = kept.payer(session);
        if !self.has_room(Some(&payer), &publications) {
            return Answer::Full(Full::User);
        }
        let Some(kept) = self.sessions.get_mut(session) else { return Answer::Unknown };
        kept.received = serial;
        if let Some(rejection) = rejection {
            if kept.rejected.len() >= MOST_REJECTIONS {
                kept.rejected.pop_front();
            }
            kept.rejected.push_back(rejection);
        }
        self.publish(publications, Some(&payer));
        Answer::Committed { received: serial }
    }

    pub(super) fn join(
        &mut self,
        channel: Channel,
        session: SessionId,
        member: Member,
        lease: u64,
    ) -> Answer {
        let Some(kept) = self.sessions.get_mut(&session) else { return Answer::Unknown };
        let stays = self.channels.entry(channel.clone()).or_default();
        let Some((join, told)) = stays.join(session, member, lease, &self.config) else {
            return Answer::Full(Full::Store);
        };
        kept.channels.insert(channel.clone());
        if let Some(member) = told {
            self.tell(News::Joined { channel, member });
        }
        Answer::Joined { join }
    }

    /// Takes a session out of a channel; only with the present lease, where one is named.
    pub(super) fn leave(&mut self, channel: &Channel, session: &SessionId, lease: Option<u64>) {
        let Some(stays) = self.channels.get_mut(channel) else { return };
        let Some(member) = stays.leave(session, lease) else { return };
        if stays.is_empty() {
            self.channels.remove(channel);
        }
        if let Some(kept) = self.sessions.get_mut(session) {
            kept.channels.remove(channel);
        }
        self.tell(News::Left { channel: channel.clone(), member });
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
        let channels = self.sessions.get(session).map(|kept| kept.channels.clone()).unwrap_or_default();
        for channel in &channels {
            self.leave(channel, session, None);
        }
        if let Some(kept) = self.sessions.remove(session) {
            self.ledger.end_session(&kept.user, session);
            self.sessions_due.remove(&(kept.due, session.clone()));
        }
        self.forget_stream(&Stream::Session(session.clone()));
    }
}
