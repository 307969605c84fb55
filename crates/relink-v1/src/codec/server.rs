//! What a server says, both ways.

use core::time::Duration;

use crate::{ServerFrame, limits};
use relink::Message;

use super::Encoding;
use super::fields::{Fields, need};
use super::malformed::DecodeError;
use super::names::{Key, ServerKind};
use super::record::{Record, Value};

impl ServerFrame {
    /// The frame as a message. Checks no [`limits`], as the peer does, but cuts the detail of a
    /// problem to what is allowed. A duration is rounded up to the millisecond.
    ///
    /// ```
    /// use relink_v1::{Encoding, ServerFrame};
    ///
    /// let frame = ServerFrame::Ack { serial: 7 };
    /// let message = frame.encode(Encoding::Cbor);
    /// assert_eq!(message.as_bytes(), [0xa2, 0, 8, 1, 7]);
    /// assert_eq!(ServerFrame::decode(&message), Ok((frame, Encoding::Cbor)));
    /// ```
    #[must_use]
    pub fn encode(&self, encoding: Encoding) -> Message {
        Record::from(self).encode(encoding)
    }

    /// The length of [`encode`](Self::encode)d, without the work.
    #[must_use]
    pub fn encoded_len(&self, encoding: Encoding) -> usize {
        Record::from(self).encoded_len(encoding)
    }

    /// The frame in a message, and its encoding. Fields that this version does not know are passed
    /// over.
    ///
    /// Needs memory in proportion to the message, whatever it says. A payload shares the message's
    /// memory.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] with 1007 for what is not well-formed JSON or CBOR, and with 1003 for what
    /// is and is no frame of a server: another type, a field that is missing, of another kind or
    /// there twice, and a limit that is exceeded.
    pub fn decode(message: &Message) -> Result<(Self, Encoding), DecodeError> {
        let (fields, encoding) = Fields::of(message)?;
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
        ServerKind::Welcome => {
            let rejected =
                fields.records(Key::Rejected, limits::REJECTIONS, |fields| fields.rejection())?;
            ServerFrame::Welcome {
                session: fields.session()?,
                resumed: need(Key::Resumed, fields.flag(Key::Resumed)?)?,
                refused: fields.maybe_problem(Key::Refused)?,
                received: fields.count(Key::Received)?,
                rejected: rejected.unwrap_or_default(),
                position: fields.position()?,
                max_message: fields.counted(Key::MaxMessage)?,
            }
        }
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
        ServerKind::Joined => {
            let member = fields.record(Key::Member, |fields| fields.member())?;
            ServerFrame::Joined { channel: fields.channel()?, member: need(Key::Member, member)? }
        }
        ServerKind::Left => {
            let member = fields.record(Key::Member, |fields| fields.member())?;
            ServerFrame::Left { channel: fields.channel()?, member: need(Key::Member, member)? }
        }
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

impl<'a> From<&'a ServerFrame> for Record<'a> {
    fn from(frame: &'a ServerFrame) -> Self {
        match frame {
            ServerFrame::Welcome {
                session,
                resumed,
                refused,
                received,
                rejected,
                position,
                max_message,
            } => {
                let rejections = || Value::List(rejected.iter().map(Record::from).collect());
                of(ServerKind::Welcome)
                    .text(Key::Session, session.expose())
                    .flag(Key::Resumed, *resumed)
                    .maybe(
                        Key::Refused,
                        refused.as_ref().map(|problem| Value::Record(problem.into())),
                    )
                    .number(Key::Received, *received)
                    .maybe(Key::Rejected, (!rejected.is_empty()).then(rejections))
                    .record(Key::Position, position)
                    .maybe(Key::MaxMessage, max_message.map(Value::Number))
            }
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
            ServerFrame::Joined { channel, member } => {
                of(ServerKind::Joined).channel(channel).record(Key::Member, member)
            }
            ServerFrame::Left { channel, member } => {
                of(ServerKind::Left).channel(channel).record(Key::Member, member)
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

/// Rounded up, and no more than fits on the wire.
fn milliseconds(duration: Duration) -> u64 {
    let milliseconds = duration.as_nanos().div_ceil(1_000_000);
    u64::try_from(milliseconds).unwrap_or(u64::MAX).min(limits::NUMBER)
}
