//! Sessions and members, and how they end.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use crate::server::{Answer, News, Stream};
use crate::session::{Channel, Member, Message, Rejection, SessionId};
use crate::time::Instant;

use super::{Due, MemoryHistory};

/// So many rejections are told to a client that returns.
const MOST_REJECTIONS: usize = 1024;

#[derive(Debug, Clone)]
pub(super) struct Kept {
    user: String,
    received: u64,
    rejected: VecDeque<Rejection>,
    pub(super) turn: u64,
    expires: Instant,
    /// When it is looked at next: its entry in the order of time.
    due: Instant,
    /// Where it is a member.
    channels: BTreeSet<Channel>,
}

#[derive(Debug, Clone)]
pub(super) struct Stay {
    member: Member,
    lease: u64,
}

impl Stay {
    pub(super) fn member(&self) -> Member {
        self.member.clone()
    }
}

impl Kept {
    fn answer(&self) -> Answer {
        Answer::Session {
            user: self.user.clone(),
            received: self.received,
            rejected: self.rejected.iter().cloned().collect(),
            turn: self.turn,
        }
    }
}

impl MemoryHistory {
    pub(super) fn create(&mut self, session: SessionId, user: String) -> Answer {
        let expires = self.now + self.config.session_ttl;
        if let Some(kept) = self.sessions.get(&session) {
            return if kept.user == user { kept.answer() } else { Answer::Unknown };
        }
        let kept = Kept {
            user,
            received: 0,
            rejected: VecDeque::new(),
            turn: 0,
            expires,
            due: expires,
            channels: BTreeSet::new(),
        };
        let answer = kept.answer();
        self.due.insert((expires, Due::Session(session.clone())));
        self.sessions.insert(session, kept);
        answer
    }

    pub(super) fn resume(&mut self, session: SessionId, user: &str) -> Answer {
        let Some(kept) = self.sessions.get_mut(&session) else { return Answer::Unknown };
        if kept.user != user {
            return kept.answer();
        }
        kept.turn = kept.turn.saturating_add(1);
        kept.expires = self.now + self.config.session_ttl;
        let (answer, turn) = (kept.answer(), kept.turn);
        self.tell(News::Resumed { session, turn });
        answer
    }

    pub(super) fn keep(&mut self, session: &SessionId) {
        if let Some(kept) = self.sessions.get_mut(session) {
            kept.expires = self.now + self.config.session_ttl;
        }
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
        kept.received = serial;
        if let Some(rejection) = rejection {
            if kept.rejected.len() >= MOST_REJECTIONS {
                kept.rejected.pop_front();
            }
            kept.rejected.push_back(rejection);
        }
        self.publish(publications);
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
        kept.channels.insert(channel.clone());
        let stays = self.channels.entry(channel.clone()).or_default();
        let (told, join) = match stays.get_mut(&session) {
            Some(stay) => {
                let changed = stay.member.info != member.info;
                stay.lease = lease;
                stay.member.info = member.info;
                (changed.then(|| stay.member.clone()), stay.member.join.clone())
            }
            None => {
                stays.insert(session, Stay { member: member.clone(), lease });
                (Some(member.clone()), member.join)
            }
        };
        if let Some(member) = told {
            self.tell(News::Joined { channel, member });
        }
        Answer::Joined { join }
    }

    /// Takes a session out of a channel; only with the present lease, where one is named.
    pub(super) fn leave(&mut self, channel: &Channel, session: &SessionId, lease: Option<u64>) {
        let Some(stays) = self.channels.get_mut(channel) else { return };
        let present = stays.get(session).is_some_and(|stay| lease.is_none_or(|lease| lease == stay.lease));
        let Some(stay) = present.then(|| stays.remove(session)).flatten() else { return };
        if stays.is_empty() {
            self.channels.remove(channel);
        }
        if let Some(kept) = self.sessions.get_mut(session) {
            kept.channels.remove(channel);
        }
        let member = Member { info: None, ..stay.member };
        self.tell(News::Left { channel: channel.clone(), member });
    }

    pub(super) fn expire_session(&mut self, session: SessionId) {
        let Some(kept) = self.sessions.get_mut(&session) else { return };
        if kept.expires <= self.now {
            return self.forget_session(&session);
        }
        kept.due = kept.expires;
        self.due.insert((kept.due, Due::Session(session)));
    }

    pub(super) fn forget_session(&mut self, session: &SessionId) {
        let channels = self.sessions.get(session).map(|kept| kept.channels.clone()).unwrap_or_default();
        for channel in &channels {
            self.leave(channel, session, None);
        }
        if let Some(kept) = self.sessions.remove(session) {
            self.due.remove(&(kept.due, Due::Session(session.clone())));
        }
        let stream = Stream::Session(session.clone());
        if let Some(log) = self.streams.remove(&stream) {
            self.due.remove(&(log.due, Due::Stream(stream)));
        }
    }
}
