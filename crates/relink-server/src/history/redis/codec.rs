//! The format of values in Redis.

use std::str;

use bytes::Bytes;
use redis::Value;
use relink::protocol::Rejection;
use relink::session::{Member, MemberChange, Problem, Text};
use relink::{Channel, CloseCode, CloseFrame, Message, Position, SessionId};
use relink_node::{Publication, StoreEvent, StoreResponse, Stream};

/// A value that this crate did not write.
#[derive(Debug, thiserror::Error)]
#[error("it answered what no script of relink answers; is the prefix used by another program?")]
pub(super) struct DecodeError;

type Read<T> = Result<T, DecodeError>;

/// `c:CHANNEL` or `s:SESSION`.
pub(super) fn stream(stream: &Stream) -> Vec<u8> {
    let (kind, name) = match stream {
        Stream::Channel(channel) => ("c:", channel.as_str()),
        Stream::Session(session) => ("s:", session.expose()),
        // A kind that this crate does not know.
        _ => ("?:", ""),
    };
    [kind, name].concat().into_bytes()
}

fn read_stream(name: &str) -> Read<Stream> {
    match name.split_at_checked(2) {
        Some(("c:", channel)) => Ok(Stream::Channel(Channel::from(channel))),
        Some(("s:", session)) => Ok(Stream::Session(SessionId::from(session))),
        _ => Err(DecodeError),
    }
}

pub(super) fn kind(message: &Message) -> &'static str {
    match message {
        Message::Text(_) => "t",
        Message::Binary(_) => "b",
    }
}

fn read_message(kind: &[u8], payload: Bytes) -> Read<Message> {
    match kind {
        b"t" => Ok(Message::Text(Text::try_from(payload).map_err(|_| DecodeError)?)),
        b"b" => Ok(Message::Binary(payload)),
        _ => Err(DecodeError),
    }
}

/// `SERIAL LENGTH NAMEDETAIL`, with the length of the name.
pub(super) fn rejection(rejection: &Rejection) -> String {
    let Problem { name, detail } = &rejection.problem;
    format!("{} {} {name}{detail}", rejection.serial, name.len())
}

fn read_rejection(text: &str) -> Read<Rejection> {
    let (serial, rest) = number(text)?;
    let (length, rest) = number(rest)?;
    let (name, detail) = split(rest, length)?;
    Ok(Rejection { serial, problem: Problem::new(name.to_owned(), detail) })
}

/// What follows the join of a member: `LENGTH FLAG USERINFO`, with the length of the user, and a
/// flag for whether there is an info.
pub(super) fn member_rest(user: &str, info: Option<&Text>) -> String {
    let flag = u8::from(info.is_some());
    format!("{} {flag} {user}{}", user.len(), info.map_or("", Text::as_str))
}

/// `LENGTH JOIN`, then `LENGTH FLAG USERINFO`.
fn read_member(text: &str) -> Read<Member> {
    let (length, rest) = number(text)?;
    let (join, rest) = split(rest, length)?;
    let (length, rest) = number(rest)?;
    let (has_info, rest) = number(rest)?;
    let (user, info) = split(rest, length)?;
    let info = (has_info == 1).then(|| Text::from(info));
    Ok(Member { user: user.to_owned(), join: join.to_owned(), info })
}

pub(super) fn members(value: Value) -> Read<Vec<Member>> {
    let mut all = Reader::new(value).list()?.into_iter();
    let mut members = Vec::with_capacity(all.len() / 2);
    while let (Some(session), Some(member)) = (all.next(), all.next()) {
        members.push((session.text()?, read_member(&member.text()?)?));
    }
    members.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(members.into_iter().map(|(_, member)| member).collect())
}

pub(super) fn joined(value: Value) -> Read<StoreResponse> {
    let [join] = Reader::new(value).tuple()?;
    Ok(StoreResponse::Joined { join: join.text()? })
}

pub(super) fn session(value: Value) -> Read<StoreResponse> {
    let [user, received, rejected, generation, found] = Reader::new(value).tuple()?;
    let mut found = found.list()?.into_iter();
    let mut seats = Vec::with_capacity(found.len() / 2);
    while let (Some(channel), Some(lease)) = (found.next(), found.next()) {
        let lease = lease.text()?.parse().map_err(|_| DecodeError)?;
        seats.push((Channel::from(channel.text()?), lease));
    }
    let rejected = rejected.list()?.into_iter().map(|rejection| read_rejection(&rejection.text()?));
    Ok(StoreResponse::Session {
        user: user.text()?,
        received: received.number()?,
        rejected: rejected.collect::<Read<_>>()?,
        generation: generation.number()?,
        seats,
    })
}

pub(super) fn since(value: Value) -> Read<StoreResponse> {
    let mut all = Reader::new(value).list()?.into_iter();
    let mut next = || all.next().ok_or(DecodeError);
    let epoch = next()?.text()?.parse().map_err(|_| DecodeError)?;
    let top = Position::new(epoch, next()?.number()?);
    if next()?.number()? == 0 {
        return Ok(StoreResponse::Read { top, missed: None });
    }
    let mut missed = Vec::with_capacity(all.len() / 3);
    while let (Some(offset), Some(kind), Some(payload)) = (all.next(), all.next(), all.next()) {
        let message = read_message(&kind.bytes()?, payload.bytes()?)?;
        missed.push(Publication { offset: offset.number()?, message });
    }
    Ok(StoreResponse::Read { top, missed: Some(missed) })
}

/// An event from Pub/Sub, by the channel's name without prefix and `news:`.
pub(super) fn news(name: &str, payload: Vec<u8>) -> Read<StoreEvent> {
    let (kind, rest) = payload.split_first().ok_or(DecodeError)?;
    match (*kind, read_stream(name)?) {
        (b'p', stream) => published(stream, payload.into()),
        (b'j', Stream::Channel(channel)) => Ok(StoreEvent::MemberChanged {
            channel,
            change: MemberChange::Joined(read_member(text(rest)?)?),
        }),
        (b'l', Stream::Channel(channel)) => Ok(StoreEvent::MemberChanged {
            channel,
            change: MemberChange::Left(Member { info: None, ..read_member(text(rest)?)? }),
        }),
        (b'r', Stream::Session(session)) => Ok(StoreEvent::Resumed {
            session,
            generation: text(rest)?.parse().map_err(|_| DecodeError)?,
        }),
        (b'e', Stream::Session(session)) => {
            let (code, reason) = number(text(rest)?)?;
            let code = CloseCode(code.try_into().map_err(|_| DecodeError)?);
            Ok(StoreEvent::Ended { session, frame: CloseFrame::new(code, reason) })
        }
        _ => Err(DecodeError),
    }
}

/// `pEPOCH OFFSET K` and the message.
fn published(stream: Stream, payload: Bytes) -> Read<StoreEvent> {
    let mut spaces =
        payload.iter().enumerate().filter(|(_, byte)| **byte == b' ').map(|(index, _)| index);
    let (first, second) = spaces.next().zip(spaces.next()).ok_or(DecodeError)?;
    let epoch = text(&payload[1..first])?.parse().map_err(|_| DecodeError)?;
    let offset = text(&payload[first + 1..second])?.parse().map_err(|_| DecodeError)?;
    let kind = payload.get(second + 1..second + 2).ok_or(DecodeError)?;
    let message = read_message(kind, payload.slice(second + 2..))?;
    Ok(StoreEvent::Published { stream, epoch, publication: Publication { offset, message } })
}

fn text(bytes: &[u8]) -> Read<&str> {
    str::from_utf8(bytes).map_err(|_| DecodeError)
}

/// A number and what follows the space after it.
fn number(text: &str) -> Read<(u64, &str)> {
    let (number, rest) = text.split_once(' ').ok_or(DecodeError)?;
    Ok((number.parse().map_err(|_| DecodeError)?, rest))
}

fn split(text: &str, at: u64) -> Read<(&str, &str)> {
    usize::try_from(at).ok().and_then(|at| text.split_at_checked(at)).ok_or(DecodeError)
}

/// A value from Redis, read as the expected type.
pub(super) struct Reader(Value);

impl Reader {
    pub(super) fn new(value: Value) -> Self {
        Self(value)
    }

    pub(super) fn number(self) -> Read<u64> {
        redis::from_redis_value(self.0).map_err(|_| DecodeError)
    }

    pub(super) fn text(self) -> Read<String> {
        redis::from_redis_value(self.0).map_err(|_| DecodeError)
    }

    fn bytes(self) -> Read<Bytes> {
        redis::from_redis_value::<Vec<u8>>(self.0).map(Bytes::from).map_err(|_| DecodeError)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "Redis' kinds of values may grow")]
    pub(super) fn list(self) -> Read<Vec<Self>> {
        match self.0 {
            Value::Array(values) => Ok(values.into_iter().map(Self).collect()),
            _ => Err(DecodeError),
        }
    }

    fn tuple<const N: usize>(self) -> Read<[Self; N]> {
        self.list()?.try_into().map_err(|_| DecodeError)
    }
}
