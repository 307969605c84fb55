//! A client's frames, encoded and decoded.

use crate::limits;
use relink::Message;
use relink::protocol::ClientFrame;
use relink::session::Secret;

use super::fields::{Fields, need};
use super::malformed::DecodeError;
use super::names::{ClientKind, Key};
use super::record::{Record, Value};
use super::{Codec, Encoding};

impl Codec for ClientFrame {
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
            fields.kind(ClientKind::NAMES, ClientKind::from_name, ClientKind::from_number)?;
        Ok((read(kind, &fields, message)?, encoding))
    }
}

fn read(
    kind: ClientKind,
    fields: &Fields<'_>,
    message: &Message,
) -> Result<ClientFrame, DecodeError> {
    Ok(match kind {
        ClientKind::Hello => ClientFrame::Hello {
            token: token(fields)?,
            resume: fields.resume()?,
            max_message: fields.number(Key::MaxMessage, limits::LEAST_MESSAGE..=limits::NUMBER)?,
        },
        ClientKind::Message => ClientFrame::Message {
            serial: fields.counted(Key::Serial)?,
            channel: fields.maybe_channel()?,
            payload: fields.payload(message)?,
        },
        ClientKind::Subscribe => ClientFrame::Subscribe {
            channel: fields.channel()?,
            since: fields.maybe_position(Key::Since)?,
            token: token(fields)?,
            presence: fields.words(Key::Presence)?,
        },
        ClientKind::Unsubscribe => ClientFrame::Unsubscribe { channel: fields.channel()? },
        ClientKind::Heartbeat => ClientFrame::Heartbeat {
            nonce: need(Key::Nonce, fields.small_number(Key::Nonce)?)?,
            sent: fields.count(Key::Sent)?,
        },
        ClientKind::Renew => ClientFrame::Renew { token: need(Key::Token, token(fields)?)? },
    })
}

fn token(fields: &Fields<'_>) -> Result<Option<Secret>, DecodeError> {
    Ok(fields.string(Key::Token, 0..=limits::TOKEN)?.map(Secret::from))
}

impl<'a> From<&'a ClientFrame> for Record<'a> {
    fn from(frame: &'a ClientFrame) -> Self {
        match frame {
            ClientFrame::Hello { token, resume, max_message } => of(ClientKind::Hello)
                .maybe_token(token.as_ref())
                .maybe(Key::Resume, resume.as_ref().map(|resume| Value::Record(resume.into())))
                .maybe(Key::MaxMessage, max_message.map(Value::Number)),
            ClientFrame::Message { serial, channel, payload } => of(ClientKind::Message)
                .maybe(Key::Serial, serial.map(Value::Number))
                .maybe_channel(channel.as_ref())
                .payload(payload),
            ClientFrame::Subscribe { channel, since, token, presence } => of(ClientKind::Subscribe)
                .channel(channel)
                .maybe(Key::Since, since.as_ref().map(|since| Value::Record(since.into())))
                .maybe_token(token.as_ref())
                .maybe(Key::Presence, presence.as_ref().map(|words| Value::Text(words.as_str()))),
            ClientFrame::Unsubscribe { channel } => of(ClientKind::Unsubscribe).channel(channel),
            ClientFrame::Heartbeat { nonce, sent } => of(ClientKind::Heartbeat)
                .number(Key::Nonce, u64::from(*nonce))
                .number(Key::Sent, *sent),
            ClientFrame::Renew { token } => of(ClientKind::Renew).maybe_token(Some(token)),
        }
    }
}

impl<'a> Record<'a> {
    fn maybe_token(self, token: Option<&'a Secret>) -> Self {
        self.maybe(Key::Token, token.map(|token| Value::Text(token.expose())))
    }
}

fn of<'a>(kind: ClientKind) -> Record<'a> {
    Record::default().with(Key::Type, Value::Kind(kind.name(), kind.number()))
}
