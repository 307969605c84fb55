//! A server's frames, encoded and decoded.

use core::time::Duration;

use crate::limits;
use relink::Message;
use relink::protocol::{ServerFrame, Welcome};
use relink::session::{Member, MemberChange};

use super::fields::{Fields, need};
use super::malformed::DecodeError;
use super::names::{Key, ServerKind};
use super::record::{Record, Value};
use super::{Codec, Encoding};

impl Codec for ServerFrame {
    fn encode(&self, encoding: Encoding) -> Message {
        Record::from(self).encode(encoding)
    }

    fn encoded_len(&self, encoding: Encoding) -> usize {
        Record::from(self).encoded_len(encoding)
    }

    fn decode(message: &Message) -> Result<(Self, Encoding), DecodeError> {
        let mut fields = Fields::default();
        let encoding = fields.fill(message)?;
        let kind =
            fields.kind(ServerKind::NAMES, ServerKind::from_name, ServerKind::from_number)?;
        Ok((read(kind, &fields, message)?, encoding))
    }
}

fn read(
    kind: ServerKind,
    fields: &Fields<'_>,
    message: &Message,
) -> Result<ServerFrame, DecodeError> {
    Ok(match kind {
        ServerKind::Welcome => ServerFrame::Welcome(welcome(fields)?),
        ServerKind::Ack => ServerFrame::Ack { serial: fields.count(Key::Serial)? },
        ServerKind::Rejected => ServerFrame::Rejected(fields.rejection()?),
        ServerKind::Publication => {
            let channel = fields.maybe_channel()?;
            let offset = need(Key::Offset, fields.counted(Key::Offset)?)?;
            let problem =
                if fields.has_payload() { None } else { fields.maybe_problem(Key::Problem)? };
            match problem {
                Some(problem) => ServerFrame::Withheld { channel, offset, problem },
                None => {
                    ServerFrame::Publication { channel, offset, payload: fields.payload(message)? }
                }
            }
        }
        ServerKind::Subscribed => ServerFrame::Subscribed {
            channel: fields.channel()?,
            position: fields.position()?,
            recovered: need(Key::Recovered, fields.flag(Key::Recovered)?)?,
        },
        ServerKind::Unsubscribed => ServerFrame::Unsubscribed {
            channel: fields.channel()?,
            problem: fields.maybe_problem(Key::Problem)?,
        },
        ServerKind::Members => {
            let members =
                fields.records(Key::Members, limits::MEMBERS, |fields| fields.member())?;
            ServerFrame::Members {
                channel: fields.channel()?,
                members: need(Key::Members, members)?,
                more: fields.flag(Key::More)?.unwrap_or(false),
            }
        }
        ServerKind::Joined => member_changed(MemberChange::Joined, fields)?,
        ServerKind::Left => member_changed(MemberChange::Left, fields)?,
        ServerKind::HeartbeatAck => ServerFrame::HeartbeatAck {
            nonce: need(Key::Nonce, fields.small_number(Key::Nonce)?)?,
            sent: fields.count(Key::Sent)?,
        },
        ServerKind::GoingAway => ServerFrame::GoingAway {
            retry_after: Duration::from_millis(fields.count(Key::RetryAfter)?),
        },
        ServerKind::Error => ServerFrame::Error(fields.problem()?),
    })
}

fn welcome(fields: &Fields<'_>) -> Result<Welcome, DecodeError> {
    let rejected =
        fields.records(Key::Rejected, limits::REJECTIONS, |fields| fields.rejection())?;
    Ok(Welcome {
        session: fields.session()?,
        resumed: need(Key::Resumed, fields.flag(Key::Resumed)?)?,
        refused: fields.maybe_problem(Key::Refused)?,
        received: fields.count(Key::Received)?,
        rejected: rejected.unwrap_or_default(),
        position: fields.position()?,
        max_message: fields.counted(Key::MaxMessage)?,
    })
}

fn member_changed(
    change: fn(Member) -> MemberChange,
    fields: &Fields<'_>,
) -> Result<ServerFrame, DecodeError> {
    let member = fields.record(Key::Member, |fields| fields.member())?;
    let channel = fields.channel()?;
    Ok(ServerFrame::MemberChanged { channel, change: change(need(Key::Member, member)?) })
}

impl<'a> From<&'a Welcome> for Record<'a> {
    fn from(welcome: &'a Welcome) -> Self {
        let Welcome { session, resumed, refused, received, rejected, position, max_message } =
            welcome;
        let rejections = || Value::List(rejected.iter().map(Record::from).collect());
        of(ServerKind::Welcome)
            .text(Key::Session, session.expose())
            .flag(Key::Resumed, *resumed)
            .maybe(Key::Refused, refused.as_ref().map(|problem| Value::Record(problem.into())))
            .number(Key::Received, *received)
            .maybe(Key::Rejected, (!rejected.is_empty()).then(rejections))
            .record(Key::Position, position)
            .maybe(Key::MaxMessage, max_message.map(Value::Number))
    }
}

impl<'a> From<&'a ServerFrame> for Record<'a> {
    fn from(frame: &'a ServerFrame) -> Self {
        match frame {
            ServerFrame::Welcome(welcome) => welcome.into(),
            ServerFrame::Ack { serial } => of(ServerKind::Ack).number(Key::Serial, *serial),
            ServerFrame::Rejected(rejection) => of(ServerKind::Rejected).rejection(rejection),
            ServerFrame::Publication { channel, offset, payload } => of(ServerKind::Publication)
                .maybe_channel(channel.as_ref())
                .number(Key::Offset, *offset)
                .payload(payload),
            ServerFrame::Withheld { channel, offset, problem } => of(ServerKind::Publication)
                .maybe_channel(channel.as_ref())
                .number(Key::Offset, *offset)
                .record(Key::Problem, problem),
            ServerFrame::Subscribed { channel, position, recovered } => of(ServerKind::Subscribed)
                .channel(channel)
                .record(Key::Position, position)
                .flag(Key::Recovered, *recovered),
            ServerFrame::Unsubscribed { channel, problem } => of(ServerKind::Unsubscribed)
                .channel(channel)
                .maybe(Key::Problem, problem.as_ref().map(|problem| Value::Record(problem.into()))),
            ServerFrame::Members { channel, members, more } => {
                let members = Value::List(members.iter().map(Record::from).collect());
                of(ServerKind::Members)
                    .channel(channel)
                    .with(Key::Members, members)
                    .maybe(Key::More, more.then_some(Value::Flag(true)))
            }
            ServerFrame::MemberChanged { channel, change } => {
                let (kind, member) = match change {
                    MemberChange::Joined(member) => (ServerKind::Joined, member),
                    MemberChange::Left(member) => (ServerKind::Left, member),
                };
                of(kind).channel(channel).record(Key::Member, member)
            }
            ServerFrame::HeartbeatAck { nonce, sent } => of(ServerKind::HeartbeatAck)
                .number(Key::Nonce, u64::from(*nonce))
                .number(Key::Sent, *sent),
            ServerFrame::GoingAway { retry_after } => {
                of(ServerKind::GoingAway).number(Key::RetryAfter, milliseconds(*retry_after))
            }
            ServerFrame::Error(problem) => of(ServerKind::Error).problem(problem),
        }
    }
}

fn of<'a>(kind: ServerKind) -> Record<'a> {
    Record::default().with(Key::Type, Value::Kind(kind.name(), kind.number()))
}

/// Rounded up, and at most what fits on the wire.
fn milliseconds(duration: Duration) -> u64 {
    let milliseconds = duration.as_nanos().div_ceil(1_000_000);
    u64::try_from(milliseconds).unwrap_or(u64::MAX).min(limits::NUMBER)
}
