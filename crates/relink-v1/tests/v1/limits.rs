//! Every limit: a value at the limit is accepted, one beyond it is refused with 1003, in both
//! encodings.

use std::fmt::Debug;
use std::time::Duration;

use relink::protocol::Rejection;
use relink::session::{Member, MemberChange, Problem};
use relink::{Channel, Message, Position, Resume, SessionId};
use relink_v1::{ClientFrame, Codec, DecodeError, Encoding, ServerFrame, Welcome, limits};

const BOTH: [Encoding; 2] = [Encoding::Json, Encoding::Cbor];

fn client(most: &ClientFrame, more: &ClientFrame, field: &str) {
    check(most, more, field, ClientFrame::encode, ClientFrame::decode);
}

fn server(most: &ServerFrame, more: &ServerFrame, field: &str) {
    check(most, more, field, ServerFrame::encode, ServerFrame::decode);
}

fn check<F: Clone + Debug + PartialEq>(
    most: &F,
    more: &F,
    field: &str,
    encode: fn(&F, Encoding) -> Message,
    decode: fn(&Message) -> Result<(F, Encoding), DecodeError>,
) {
    for encoding in BOTH {
        assert_eq!(decode(&encode(most, encoding)), Ok((most.clone(), encoding)), "{field}");
        let error = decode(&encode(more, encoding)).expect_err(field);
        assert_eq!(error.close.0, 1003, "{error}");
        assert!(error.detail.starts_with(&format!("{field}: ")), "{field}: {error}");
    }
}

fn long(length: usize) -> String {
    // Limits are in bytes, not in characters.
    "é".repeat(length / 2) + &"x".repeat(length % 2)
}

#[test]
fn w11_channels_have_1_to_255_bytes() {
    let frame = |length| ClientFrame::Unsubscribe { channel: Channel::from(long(length)) };
    client(&frame(limits::CHANNEL), &frame(limits::CHANNEL + 1), "channel");
    client(&frame(1), &frame(0), "channel");
    let frame = |length| ServerFrame::Publication {
        channel: Some(Channel::from(long(length))),
        offset: 1,
        payload: "x".into(),
    };
    server(&frame(limits::CHANNEL), &frame(limits::CHANNEL + 1), "channel");
    server(&frame(1), &frame(0), "channel");
}

#[test]
fn w11_sessions_tokens_and_words_are_limited() {
    let position = Position::new(0, 0);
    let frame = |length| {
        let resume = Resume { session: SessionId::from(long(length)), position };
        ClientFrame::Hello { token: None, resume: Some(resume), max_message: None }
    };
    client(&frame(limits::SESSION), &frame(limits::SESSION + 1), "resume.session");
    let frame = |length| {
        ServerFrame::Welcome(Welcome {
            session: SessionId::from(long(length)),
            resumed: false,
            refused: None,
            received: 0,
            rejected: vec![],
            position,
            max_message: None,
        })
    };
    server(&frame(limits::SESSION), &frame(limits::SESSION + 1), "session");
    let frame = |length| ClientFrame::Renew { token: long(length).into() };
    client(&frame(limits::TOKEN), &frame(limits::TOKEN + 1), "token");
    let frame = |length| ClientFrame::Subscribe {
        channel: "x".into(),
        since: None,
        token: None,
        presence: Some(long(length).into()),
    };
    client(&frame(limits::PRESENCE), &frame(limits::PRESENCE + 1), "presence");
}

#[test]
fn w11_members_are_limited() {
    let joined = |user: usize, join: usize, info: usize| ServerFrame::MemberChanged {
        channel: "x".into(),
        change: MemberChange::Joined(Member {
            user: long(user),
            join: long(join),
            info: Some(long(info).into()),
        }),
    };
    let most = joined(limits::USER, limits::JOIN, limits::PRESENCE);
    server(&most, &joined(limits::USER + 1, 1, 1), "member.user");
    server(&most, &joined(1, limits::JOIN + 1, 1), "member.join");
    server(&most, &joined(1, 1, limits::PRESENCE + 1), "member.info");

    let member = Member { user: "u".into(), join: "j".into(), info: None };
    let list = |count| {
        let members = vec![member.clone(); count];
        ServerFrame::Members { channel: "x".into(), members, more: false }
    };
    server(&list(limits::MEMBERS), &list(limits::MEMBERS + 1), "members");
}

#[test]
fn w11_problems_are_limited_and_the_encoder_cuts_what_is_longer() {
    for encoding in BOTH {
        let name = long(limits::PROBLEM_NAME) + "x";
        let frame = ServerFrame::Error(Problem::new(name, long(limits::PROBLEM_DETAIL - 1) + "éé"));
        let Ok((ServerFrame::Error(problem), _)) = ServerFrame::decode(&frame.encode(encoding))
        else {
            panic!("cut to what is allowed");
        };
        assert_eq!(problem.name.len(), limits::PROBLEM_NAME);
        assert_eq!(problem.detail.len(), limits::PROBLEM_DETAIL - 1, "no character is cut in two");
    }
    for (name, detail, wrong) in [
        (long(limits::PROBLEM_NAME + 1), String::new(), "name: "),
        ("x".to_owned(), long(limits::PROBLEM_DETAIL + 1), "detail: "),
    ] {
        let text = format!(r#"{{"type":"error","name":"{name}","detail":"{detail}"}}"#);
        let error = ServerFrame::decode(&text.into()).expect_err("too long");
        assert_eq!(error.close.0, 1003);
        assert!(error.detail.starts_with(wrong), "{error}");
    }
}

#[test]
fn w11_rejections_are_limited() {
    let rejection = Rejection { serial: 1, problem: Problem::new("x", "") };
    let frame = |count| {
        ServerFrame::Welcome(Welcome {
            session: "x".into(),
            resumed: true,
            refused: None,
            received: 1,
            rejected: vec![rejection.clone(); count],
            position: Position::new(0, 0),
            max_message: None,
        })
    };
    server(&frame(limits::REJECTIONS), &frame(limits::REJECTIONS + 1), "rejected");
}

#[test]
fn w11_numbers_end_where_those_of_json_are_safe() {
    let (most, more) = (limits::NUMBER, limits::NUMBER + 1);
    let frame =
        |serial| ClientFrame::Message { serial: Some(serial), channel: None, payload: "".into() };
    client(&frame(most), &frame(more), "serial");
    client(&frame(1), &frame(0), "serial");
    let frame = |sent| ClientFrame::Heartbeat { nonce: u32::MAX, sent };
    client(&frame(most), &frame(more), "sent");
    let frame = |offset| ClientFrame::Subscribe {
        channel: "x".into(),
        since: Some(Position::new(u32::MAX, offset)),
        token: None,
        presence: None,
    };
    client(&frame(most), &frame(more), "since.offset");
    let frame = |offset| ServerFrame::Publication { channel: None, offset, payload: "".into() };
    server(&frame(most), &frame(more), "offset");
    server(&frame(1), &frame(0), "offset");
    server(&ServerFrame::Ack { serial: most }, &ServerFrame::Ack { serial: more }, "serial");
    let frame = |sent| ServerFrame::HeartbeatAck { nonce: 0, sent };
    server(&frame(most), &frame(more), "sent");
    let frame =
        |serial| ServerFrame::Rejected(Rejection { serial, problem: Problem::new("x", "") });
    server(&frame(most), &frame(more), "serial");
    server(&frame(1), &frame(0), "serial");
    let frame = |received| {
        ServerFrame::Welcome(Welcome {
            session: "x".into(),
            resumed: true,
            refused: None,
            received,
            rejected: vec![],
            position: Position::new(0, most),
            max_message: None,
        })
    };
    server(&frame(most), &frame(more), "received");
}

#[test]
fn durations_go_out_in_milliseconds_rounded_up() {
    for (retry_after, expected) in [
        (Duration::ZERO, 0),
        (Duration::from_nanos(1), 1),
        (Duration::from_millis(1_500), 1_500),
        (Duration::MAX, limits::NUMBER),
    ] {
        for encoding in BOTH {
            let message = ServerFrame::GoingAway { retry_after }.encode(encoding);
            let retry_after = Duration::from_millis(expected);
            assert_eq!(
                ServerFrame::decode(&message),
                Ok((ServerFrame::GoingAway { retry_after }, encoding))
            );
        }
    }
}
