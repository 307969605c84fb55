//! Arbitrary messages through the decoders of `relink.v1`.

use std::fmt::Debug;

use relink::protocol::Rejection;
use relink::session::{Member, MemberChange, Problem, Text};
use relink::{Channel, CloseCode, CloseFrame, Message, Position, Resume};
use relink_v1::{ClientFrame, Codec, Encoding, ServerFrame, Welcome};

use super::judge::well_formed;

/// Whatever a peer sends, as text and as bytes: both decoders do what [`client_frame`] and
/// [`server_frame`] ask.
///
/// # Panics
///
/// If they do not.
pub fn frames(data: &[u8]) {
    let bytes = Message::from(data.to_vec());
    let text = std::str::from_utf8(data).map(Message::from);
    for message in [Ok(bytes), text].into_iter().flatten() {
        client_frame(&message);
        server_frame(&message);
    }
}

/// Whatever a client sends: nothing panics; what is refused is refused with the right code, and a
/// reason that fits into a close frame; what is taken needs memory in proportion, and means the
/// same after a way over the wire in each encoding.
///
/// Returns the code with which it is refused.
///
/// # Panics
///
/// If that does not hold.
pub fn client_frame(message: &Message) -> Option<CloseCode> {
    check::<ClientFrame>(message)
}

/// Whatever a server sends: as [`client_frame`].
///
/// # Panics
///
/// As there.
pub fn server_frame(message: &Message) -> Option<CloseCode> {
    check::<ServerFrame>(message)
}

fn check<F: Frame>(message: &Message) -> Option<CloseCode> {
    let well_formed = well_formed(message);
    match F::decode(message) {
        Ok((frame, encoding)) => {
            assert_ne!(well_formed, Some(false), "taken, and not well-formed: {}", shown(message));
            let is_text = matches!(message, Message::Text(_));
            assert_eq!(encoding, if is_text { Encoding::Json } else { Encoding::Cbor });
            let most = 8 * message.len() + 256;
            assert!(
                frame.retained() <= most,
                "{} bytes out of {}",
                frame.retained(),
                shown(message)
            );
            for encoding in [Encoding::Json, Encoding::Cbor] {
                let again = F::decode(&frame.encode(encoding));
                assert_eq!(again.as_ref(), Ok(&(frame.clone(), encoding)), "{}", shown(message));
            }
            None
        }
        Err(error) => {
            let (code, detail) = (error.close, error.detail.clone());
            // What is nested too deeply need not be checked: both answers are right.
            let right = match well_formed {
                Some(true) => code == CloseCode::UNSUPPORTED_DATA,
                Some(false) => code == CloseCode::INVALID_DATA,
                None => code == CloseCode::UNSUPPORTED_DATA || code == CloseCode::INVALID_DATA,
            };
            assert!(right, "{code}, {detail}: {}", shown(message));
            let close = CloseFrame::from(error);
            assert!(
                close.code == code && close.reason.len() <= 123 && !close.reason.is_empty(),
                "{close:?}"
            );
            Some(code)
        }
    }
}

fn shown(message: &Message) -> String {
    format!("{message:?} {:?}", String::from_utf8_lossy(message.as_bytes()))
}

/// How much memory the frames of both sides keep.
trait Frame: Codec + Clone + Debug + PartialEq {
    fn retained(&self) -> usize;
}

impl Frame for ClientFrame {
    fn retained(&self) -> usize {
        match self {
            Self::Hello { token, resume, .. } => {
                let token = token.as_ref().map_or(0, |token| token.expose().len());
                let session =
                    |resume: &Resume| resume.session.expose().len() + size_of::<Position>();
                token + resume.as_ref().map_or(0, session)
            }
            Self::Message { channel, payload, .. } => name(channel.as_ref()) + payload.len(),
            Self::Subscribe { channel, token, presence, .. } => {
                let token = token.as_ref().map_or(0, |token| token.expose().len());
                name(Some(channel)) + token + words(presence.as_ref())
            }
            Self::Unsubscribe { channel } => name(Some(channel)),
            Self::Renew { token } => token.expose().len(),
            Self::Heartbeat { .. } => 0,
        }
    }
}

impl Frame for ServerFrame {
    fn retained(&self) -> usize {
        match self {
            Self::Welcome(Welcome { session, refused, rejected, .. }) => {
                let rejections: usize =
                    rejected.iter().map(|rejection| problem(&rejection.problem)).sum();
                let room = rejected.capacity() * size_of::<Rejection>();
                session.expose().len() + refused.as_ref().map_or(0, problem) + rejections + room
            }
            Self::Rejected(rejection) => problem(&rejection.problem),
            Self::Publication { channel, payload, .. } => name(channel.as_ref()) + payload.len(),
            Self::Withheld { channel, problem: why, .. } => name(channel.as_ref()) + problem(why),
            Self::Subscribed { channel, .. } => name(Some(channel)),
            Self::Unsubscribed { channel, problem: why } => {
                name(Some(channel)) + why.as_ref().map_or(0, problem)
            }
            Self::Members { channel, members, .. } => {
                let room = members.capacity() * size_of::<Member>();
                name(Some(channel)) + members.iter().map(member).sum::<usize>() + room
            }
            Self::MemberChanged { channel, change } => {
                let (MemberChange::Joined(who) | MemberChange::Left(who)) = change;
                name(Some(channel)) + member(who)
            }
            Self::Error(why) => problem(why),
            Self::Ack { .. } | Self::HeartbeatAck { .. } | Self::GoingAway { .. } => 0,
        }
    }
}

fn name(channel: Option<&Channel>) -> usize {
    channel.map_or(0, |channel| channel.as_str().len())
}

fn words(words: Option<&Text>) -> usize {
    words.map_or(0, |words| words.as_str().len())
}

fn problem(problem: &Problem) -> usize {
    problem.name.len() + problem.detail.capacity()
}

fn member(member: &Member) -> usize {
    member.user.capacity() + member.join.capacity() + words(member.info.as_ref())
}
