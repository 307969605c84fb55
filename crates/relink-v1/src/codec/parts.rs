//! Parts that several frames share, encoded and decoded.

use alloc::borrow::Cow;

use crate::limits;
use relink::internal::cut;
use relink::protocol::Rejection;
use relink::session::{Member, Problem, Text};
use relink::{Channel, Message, Position, Resume, SessionId};

use super::fields::{Fields, need};
use super::malformed::DecodeError;
use super::names::Key;
use super::record::{Record, Value};

impl From<&Position> for Record<'_> {
    fn from(position: &Position) -> Self {
        Self::default()
            .number(Key::Epoch, u64::from(position.epoch))
            .number(Key::Offset, position.offset)
    }
}

impl<'a> From<&'a Resume> for Record<'a> {
    fn from(resume: &'a Resume) -> Self {
        Self::default()
            .text(Key::Session, resume.session.expose())
            .record(Key::Position, &resume.position)
    }
}

impl<'a> From<&'a Problem> for Record<'a> {
    fn from(problem: &'a Problem) -> Self {
        Self::default().problem(problem)
    }
}

impl<'a> From<&'a Rejection> for Record<'a> {
    fn from(rejection: &'a Rejection) -> Self {
        Self::default().rejection(rejection)
    }
}

impl<'a> From<&'a Member> for Record<'a> {
    fn from(member: &'a Member) -> Self {
        Self::default()
            .text(Key::User, &member.user)
            .text(Key::Join, &member.join)
            .maybe(Key::Info, member.info.as_ref().map(|info| Value::Text(info.as_str())))
    }
}

impl<'a> Record<'a> {
    pub(super) fn channel(self, channel: &'a Channel) -> Self {
        self.text(Key::Channel, channel.as_str())
    }

    pub(super) fn maybe_channel(self, channel: Option<&'a Channel>) -> Self {
        self.maybe(Key::Channel, channel.map(|channel| Value::Text(channel.as_str())))
    }

    pub(super) fn problem(self, problem: &'a Problem) -> Self {
        let name = cut(&problem.name, limits::PROBLEM_NAME);
        let detail = cut(&problem.detail, limits::PROBLEM_DETAIL);
        self.text(Key::Name, name).text(Key::Detail, detail)
    }

    pub(super) fn rejection(self, rejection: &'a Rejection) -> Self {
        self.number(Key::Serial, rejection.serial).record(Key::Problem, &rejection.problem)
    }

    pub(super) fn payload(self, payload: &'a Message) -> Self {
        match payload {
            Message::Text(text) => self.text(Key::Text, text.as_str()),
            Message::Binary(bytes) => self.with(Key::Base64, Value::Bytes(bytes)),
        }
    }
}

impl Fields<'_> {
    /// A serial or an offset, counted from 1.
    pub(super) fn counted(&self, key: Key) -> Result<Option<u64>, DecodeError> {
        self.number(key, 1..=limits::NUMBER)
    }

    /// A count, or the last of numbers that start at 1.
    pub(super) fn count(&self, key: Key) -> Result<u64, DecodeError> {
        need(key, self.number(key, 0..=limits::NUMBER)?)
    }

    pub(super) fn maybe_channel(&self) -> Result<Option<Channel>, DecodeError> {
        Ok(self.text(Key::Channel, 1..=limits::CHANNEL)?.map(|name| Channel::from(&*name)))
    }

    pub(super) fn channel(&self) -> Result<Channel, DecodeError> {
        need(Key::Channel, self.maybe_channel()?)
    }

    pub(super) fn session(&self) -> Result<SessionId, DecodeError> {
        let id = need(Key::Session, self.text(Key::Session, 0..=limits::SESSION)?)?;
        Ok(SessionId::from(&*id))
    }

    pub(super) fn maybe_position(&self, key: Key) -> Result<Option<Position>, DecodeError> {
        self.record(key, |fields| {
            let epoch = need(Key::Epoch, fields.small_number(Key::Epoch)?)?;
            Ok(Position::new(epoch, fields.count(Key::Offset)?))
        })
    }

    pub(super) fn position(&self) -> Result<Position, DecodeError> {
        need(Key::Position, self.maybe_position(Key::Position)?)
    }

    pub(super) fn resume(&self) -> Result<Option<Resume>, DecodeError> {
        self.record(Key::Resume, |fields| {
            Ok(Resume { session: fields.session()?, position: fields.position()? })
        })
    }

    pub(super) fn problem(&self) -> Result<Problem, DecodeError> {
        let name = need(Key::Name, self.string(Key::Name, 0..=limits::PROBLEM_NAME)?)?;
        let detail = self.string(Key::Detail, 0..=limits::PROBLEM_DETAIL)?.unwrap_or_default();
        Ok(Problem::new(Cow::Owned(name), detail))
    }

    pub(super) fn maybe_problem(&self, key: Key) -> Result<Option<Problem>, DecodeError> {
        self.record(key, |fields| fields.problem())
    }

    pub(super) fn rejection(&self) -> Result<Rejection, DecodeError> {
        let serial = need(Key::Serial, self.counted(Key::Serial)?)?;
        let problem = need(Key::Problem, self.maybe_problem(Key::Problem)?)?;
        Ok(Rejection { serial, problem })
    }

    pub(super) fn member(&self) -> Result<Member, DecodeError> {
        let user = need(Key::User, self.string(Key::User, 0..=limits::USER)?)?;
        let join = need(Key::Join, self.string(Key::Join, 0..=limits::JOIN)?)?;
        let info = self.words(Key::Info)?;
        Ok(Member { user, join, info })
    }

    /// A presence text.
    pub(super) fn words(&self, key: Key) -> Result<Option<Text>, DecodeError> {
        Ok(self.string(key, 0..=limits::PRESENCE)?.map(Text::from))
    }
}
