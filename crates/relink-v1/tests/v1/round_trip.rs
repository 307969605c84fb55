//! Any frame is encoded and decoded again.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use relink::protocol::Rejection;
use relink::session::{Member, MemberChange, Problem, Secret, Text};
use relink::{Channel, Message, Position, Resume, SessionId};
use relink_v1::{ClientFrame, Codec, Encoding, ServerFrame, Welcome, limits};

proptest! {
    #[test]
    fn any_frame_of_a_client_comes_through(frame in client_frame()) {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let message = frame.encode(encoding);
            prop_assert_eq!(ClientFrame::decode(&message), Ok((frame.clone(), encoding)));
            prop_assert_eq!(frame.encoded_len(encoding), message.len());
        }
    }

    #[test]
    fn any_frame_of_a_server_comes_through(frame in server_frame()) {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let message = frame.encode(encoding);
            prop_assert_eq!(ServerFrame::decode(&message), Ok((frame.clone(), encoding)));
            prop_assert_eq!(frame.encoded_len(encoding), message.len());
        }
    }
}

fn client_frame() -> impl Strategy<Value = ClientFrame> {
    prop_oneof![
        (
            option::of(token()),
            option::of(resume()),
            option::of(limits::LEAST_MESSAGE..=limits::NUMBER)
        )
            .prop_map(|(token, resume, max_message)| ClientFrame::Hello {
                token,
                resume,
                max_message
            }),
        (option::of(counted()), option::of(channel()), payload()).prop_map(
            |(serial, channel, payload)| ClientFrame::Message { serial, channel, payload }
        ),
        (channel(), option::of(position()), option::of(token()), option::of(words())).prop_map(
            |(channel, since, token, presence)| ClientFrame::Subscribe {
                channel,
                since,
                token,
                presence
            }
        ),
        channel().prop_map(|channel| ClientFrame::Unsubscribe { channel }),
        (any::<u32>(), count()).prop_map(|(nonce, sent)| ClientFrame::Heartbeat { nonce, sent }),
        token().prop_map(|token| ClientFrame::Renew { token }),
    ]
}

fn server_frame() -> impl Strategy<Value = ServerFrame> {
    let told = (count(), vec(rejection(), 0..5), position(), option::of(counted()));
    let welcome = (session(), any::<bool>(), option::of(problem()), told);
    prop_oneof![
        welcome.prop_map(
            |(session, resumed, refused, (received, rejected, position, max_message))| {
                ServerFrame::Welcome(Welcome {
                    session,
                    resumed,
                    refused,
                    received,
                    rejected,
                    position,
                    max_message,
                })
            }
        ),
        count().prop_map(|serial| ServerFrame::Ack { serial }),
        rejection().prop_map(ServerFrame::Rejected),
        (option::of(channel()), counted(), payload()).prop_map(|(channel, offset, payload)| {
            ServerFrame::Publication { channel, offset, payload }
        }),
        (option::of(channel()), counted(), problem()).prop_map(|(channel, offset, problem)| {
            ServerFrame::Withheld { channel, offset, problem }
        }),
        (channel(), position(), any::<bool>()).prop_map(|(channel, position, recovered)| {
            ServerFrame::Subscribed { channel, position, recovered }
        }),
        (channel(), option::of(problem()))
            .prop_map(|(channel, problem)| ServerFrame::Unsubscribed { channel, problem }),
        (channel(), vec(member(), 0..5), any::<bool>())
            .prop_map(|(channel, members, more)| ServerFrame::Members { channel, members, more }),
        (channel(), member()).prop_map(|(channel, member)| ServerFrame::MemberChanged {
            channel,
            change: MemberChange::Joined(member)
        }),
        (channel(), member()).prop_map(|(channel, member)| ServerFrame::MemberChanged {
            channel,
            change: MemberChange::Left(member)
        }),
        (any::<u32>(), count()).prop_map(|(nonce, sent)| ServerFrame::HeartbeatAck { nonce, sent }),
        count().prop_map(|ms| ServerFrame::GoingAway { retry_after: Duration::from_millis(ms) }),
        problem().prop_map(ServerFrame::Error),
    ]
}

/// Any characters, control characters and quotes among them; within every limit.
fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..16).prop_map(String::from_iter)
}

fn token() -> impl Strategy<Value = Secret> {
    text().prop_map(Secret::from)
}

fn words() -> impl Strategy<Value = Text> {
    text().prop_map(Text::from)
}

fn session() -> impl Strategy<Value = SessionId> {
    text().prop_map(SessionId::from)
}

fn channel() -> impl Strategy<Value = Channel> {
    (any::<char>(), text()).prop_map(|(first, rest)| Channel::from(format!("{first}{rest}")))
}

fn payload() -> impl Strategy<Value = Message> {
    let bytes = vec(any::<u8>(), 0..64).prop_map(Message::from);
    prop_oneof![text().prop_map(Message::from), bytes]
}

/// Numbers of every size.
fn count() -> impl Strategy<Value = u64> {
    (0..=limits::NUMBER, 0..=53_u32)
        .prop_map(|(number, shift)| number.checked_shr(shift).unwrap_or(0))
}

fn counted() -> impl Strategy<Value = u64> {
    count().prop_map(|number| number.max(1))
}

fn position() -> impl Strategy<Value = Position> {
    (any::<u32>(), count()).prop_map(|(epoch, offset)| Position::new(epoch, offset))
}

fn resume() -> impl Strategy<Value = Resume> {
    (session(), position()).prop_map(|(session, position)| Resume { session, position })
}

fn problem() -> impl Strategy<Value = Problem> {
    (text(), text()).prop_map(|(name, detail)| Problem::new(name, detail))
}

fn rejection() -> impl Strategy<Value = Rejection> {
    (counted(), problem()).prop_map(|(serial, problem)| Rejection { serial, problem })
}

fn member() -> impl Strategy<Value = Member> {
    (text(), text(), option::of(words())).prop_map(|(user, join, info)| Member { user, join, info })
}
