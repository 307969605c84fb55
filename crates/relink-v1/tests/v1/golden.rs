//! Every frame with its exact bytes in both encodings. `docs/protocol.md` shows the same; the CBOR
//! was written by Python's cbor2.

use std::time::Duration;

use relink::protocol::Rejection;
use relink::session::{Member, MemberChange, Problem, Secret};
use relink::{Channel, Message, Position, Resume, SessionId};
use relink_v1::{ClientFrame, Codec, Encoding, ServerFrame, Welcome};

/// A frame, and its encodings.
pub(crate) struct Golden<F> {
    pub(crate) frame: F,
    pub(crate) json: &'static str,
    /// In hexadecimal.
    pub(crate) cbor: &'static str,
}

impl<F> Golden<F> {
    /// The frame as a message in this encoding.
    pub(crate) fn message(&self, encoding: Encoding) -> Message {
        match encoding {
            Encoding::Json => Message::from(self.json),
            Encoding::Cbor => Message::from(unhex(self.cbor)),
        }
    }
}

#[test]
fn every_frame_of_a_client_has_its_bytes() {
    for golden in client() {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let message = golden.message(encoding);
            assert_eq!(shown(&golden.frame.encode(encoding)), shown(&message));
            assert_eq!(
                ClientFrame::decode(&message),
                Ok((golden.frame.clone(), encoding)),
                "{}",
                golden.json
            );
        }
    }
}

#[test]
fn every_frame_of_a_server_has_its_bytes() {
    for golden in server() {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let message = golden.message(encoding);
            assert_eq!(shown(&golden.frame.encode(encoding)), shown(&message));
            assert_eq!(
                ServerFrame::decode(&message),
                Ok((golden.frame.clone(), encoding)),
                "{}",
                golden.json
            );
        }
    }
}

/// Text as it is, bytes in hexadecimal.
pub(crate) fn shown(message: &Message) -> String {
    match message {
        Message::Text(text) => text.as_str().to_owned(),
        Message::Binary(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// Bytes from hexadecimal digits; blanks are ignored.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).expect("two digits")).collect()
}

fn session() -> SessionId {
    SessionId::from("5UEQ2BgTtVdNSPYHXTuyHg")
}

fn lobby() -> Channel {
    Channel::from("lobby")
}

fn member(user: &str, join: &str, info: Option<&str>) -> Member {
    Member { user: user.into(), join: join.into(), info: info.map(Into::into) }
}

fn golden<F>(frame: F, json: &'static str, cbor: &'static str) -> Golden<F> {
    Golden { frame, json, cbor }
}

/// Frames of clients.
pub(crate) fn client() -> Vec<Golden<ClientFrame>> {
    vec![
        golden(
            ClientFrame::Hello {
                token: Some(Secret::from("s3cret")),
                resume: None,
                max_message: None,
            },
            r#"{"type":"hello","token":"s3cret"}"#,
            "a200010866733363726574",
        ),
        golden(
            ClientFrame::Hello {
                token: None,
                resume: Some(Resume { session: session(), position: Position::new(1, 40) }),
                max_message: Some(16_777_216),
            },
            r#"{"type":"hello","resume":{"session":"5UEQ2BgTtVdNSPYHXTuyHg","position":{"epoch":1,"offset":40}},"max_message":16777216}"#,
            "a3000109a20a7635554551324267547456644e535059485854757948670ba20c01051828181e1a01000000",
        ),
        golden(
            ClientFrame::Message { serial: Some(7), channel: Some(lobby()), payload: "hi".into() },
            r#"{"type":"message","serial":7,"channel":"lobby","text":"hi"}"#,
            "a40002010702656c6f62627903626869",
        ),
        golden(
            ClientFrame::Message {
                serial: None,
                channel: None,
                payload: vec![0, 1, 254, 255].into(),
            },
            r#"{"type":"message","base64":"AAH+/w=="}"#,
            "a2000204440001feff",
        ),
        golden(
            ClientFrame::Subscribe { channel: lobby(), since: None, token: None, presence: None },
            r#"{"type":"subscribe","channel":"lobby"}"#,
            "a2000302656c6f626279",
        ),
        golden(
            ClientFrame::Subscribe {
                channel: lobby(),
                since: Some(Position::new(3, 1000)),
                token: Some(Secret::from("s3cret")),
                presence: Some("away".into()),
            },
            r#"{"type":"subscribe","channel":"lobby","since":{"epoch":3,"offset":1000},"token":"s3cret","presence":"away"}"#,
            "a5000302656c6f6262790da20c03051903e808667333637265740e6461776179",
        ),
        golden(
            ClientFrame::Unsubscribe { channel: lobby() },
            r#"{"type":"unsubscribe","channel":"lobby"}"#,
            "a2000402656c6f626279",
        ),
        golden(
            ClientFrame::Heartbeat { nonce: 12, sent: 7 },
            r#"{"type":"heartbeat","nonce":12,"sent":7}"#,
            "a30005060c0707",
        ),
        golden(
            ClientFrame::Renew { token: Secret::from("s3cret") },
            r#"{"type":"renew","token":"s3cret"}"#,
            "a200060866733363726574",
        ),
    ]
}

/// Frames of servers.
pub(crate) fn server() -> Vec<Golden<ServerFrame>> {
    vec![
        golden(
            ServerFrame::Welcome(Welcome {
                session: session(),
                resumed: false,
                refused: None,
                received: 0,
                rejected: vec![],
                position: Position::new(1, 0),
                max_message: Some(1_048_576),
            }),
            r#"{"type":"welcome","session":"5UEQ2BgTtVdNSPYHXTuyHg","resumed":false,"received":0,"position":{"epoch":1,"offset":0},"max_message":1048576}"#,
            "a600070a7635554551324267547456644e535059485854757948670ff411000ba20c010500181e1a00100000",
        ),
        golden(
            ServerFrame::Welcome(Welcome {
                session: session(),
                resumed: true,
                refused: None,
                received: 7,
                rejected: vec![Rejection {
                    serial: 6,
                    problem: Problem::new("not_handled", "no such command"),
                }],
                position: Position::new(1, 40),
                max_message: None,
            }),
            r#"{"type":"welcome","session":"5UEQ2BgTtVdNSPYHXTuyHg","resumed":true,"received":7,"rejected":[{"serial":6,"problem":{"name":"not_handled","detail":"no such command"}}],"position":{"epoch":1,"offset":40}}"#,
            "a600070a7635554551324267547456644e535059485854757948670ff511071281a201061819a2181a6b \
             6e6f745f68616e646c6564181b6f6e6f207375636820636f6d6d616e640ba20c01051828",
        ),
        golden(
            ServerFrame::Welcome(Welcome {
                session: session(),
                resumed: false,
                refused: Some(Problem::new("session_expired", "it ended 10 minutes ago")),
                received: 0,
                rejected: vec![],
                position: Position::new(2, 0),
                max_message: None,
            }),
            r#"{"type":"welcome","session":"5UEQ2BgTtVdNSPYHXTuyHg","resumed":false,"refused":{"name":"session_expired","detail":"it ended 10 minutes ago"},"received":0,"position":{"epoch":2,"offset":0}}"#,
            "a600070a7635554551324267547456644e535059485854757948670ff410a2181a6f73657373696f6e5f \
             65787069726564181b77697420656e646564203130206d696e757465732061676f11000ba20c020500",
        ),
        golden(ServerFrame::Ack { serial: 7 }, r#"{"type":"ack","serial":7}"#, "a200080107"),
        golden(
            ServerFrame::Rejected(Rejection {
                serial: 6,
                problem: Problem::new("not_handled", "no such command"),
            }),
            r#"{"type":"rejected","serial":6,"problem":{"name":"not_handled","detail":"no such command"}}"#,
            "a3000901061819a2181a6b6e6f745f68616e646c6564181b6f6e6f207375636820636f6d6d616e64",
        ),
        golden(
            ServerFrame::Publication { channel: Some(lobby()), offset: 1001, payload: "hi".into() },
            r#"{"type":"publication","channel":"lobby","offset":1001,"text":"hi"}"#,
            "a4000a02656c6f626279051903e903626869",
        ),
        golden(
            ServerFrame::Publication {
                channel: None,
                offset: 41,
                payload: vec![0, 1, 254, 255].into(),
            },
            r#"{"type":"publication","offset":41,"base64":"AAH+/w=="}"#,
            "a3000a05182904440001feff",
        ),
        golden(
            ServerFrame::Withheld {
                channel: Some(lobby()),
                offset: 1002,
                problem: Problem::new("limit_exceeded", "it has 20971563 bytes"),
            },
            r#"{"type":"publication","channel":"lobby","offset":1002,"problem":{"name":"limit_exceeded","detail":"it has 20971563 bytes"}}"#,
            "a4000a02656c6f626279051903ea1819a2181a6e6c696d69745f6578636565646564181b7569742068617320323039 \
             3731353633206279746573",
        ),
        golden(
            ServerFrame::Subscribed {
                channel: lobby(),
                position: Position::new(3, 1000),
                recovered: true,
            },
            r#"{"type":"subscribed","channel":"lobby","position":{"epoch":3,"offset":1000},"recovered":true}"#,
            "a4000b02656c6f6262790ba20c03051903e813f5",
        ),
        golden(
            ServerFrame::Unsubscribed { channel: lobby(), problem: None },
            r#"{"type":"unsubscribed","channel":"lobby"}"#,
            "a2000c02656c6f626279",
        ),
        golden(
            ServerFrame::Unsubscribed {
                channel: lobby(),
                problem: Some(Problem::new("channel_not_authorized", "not yours")),
            },
            r#"{"type":"unsubscribed","channel":"lobby","problem":{"name":"channel_not_authorized","detail":"not yours"}}"#,
            "a3000c02656c6f6262791819a2181a766368616e6e656c5f6e6f745f617574686f72697a6564181b696e \
             6f7420796f757273",
        ),
        golden(
            ServerFrame::Members {
                channel: lobby(),
                members: vec![member("ann", "j1", Some("away")), member("bob", "j2", None)],
                more: false,
            },
            r#"{"type":"members","channel":"lobby","members":[{"user":"ann","join":"j1","info":"away"},{"user":"bob","join":"j2"}]}"#,
            "a3000d02656c6f626279181882a31563616e6e16626a31176461776179a21563626f6216626a32",
        ),
        golden(
            ServerFrame::Members {
                channel: lobby(),
                members: vec![member("ann", "j1", None)],
                more: true,
            },
            r#"{"type":"members","channel":"lobby","members":[{"user":"ann","join":"j1"}],"more":true}"#,
            "a4000d02656c6f626279181881a21563616e6e16626a31181df5",
        ),
        golden(
            ServerFrame::MemberChanged {
                channel: lobby(),
                change: MemberChange::Joined(member("ann", "j3", Some("here"))),
            },
            r#"{"type":"joined","channel":"lobby","member":{"user":"ann","join":"j3","info":"here"}}"#,
            "a3000e02656c6f62627914a31563616e6e16626a33176468657265",
        ),
        golden(
            ServerFrame::MemberChanged {
                channel: lobby(),
                change: MemberChange::Left(member("ann", "j3", None)),
            },
            r#"{"type":"left","channel":"lobby","member":{"user":"ann","join":"j3"}}"#,
            "a3000f02656c6f62627914a21563616e6e16626a33",
        ),
        golden(
            ServerFrame::HeartbeatAck { nonce: 12, sent: 3 },
            r#"{"type":"heartbeat_ack","nonce":12,"sent":3}"#,
            "a30010060c0703",
        ),
        golden(
            ServerFrame::GoingAway { retry_after: Duration::from_millis(5000) },
            r#"{"type":"going_away","retry_after_ms":5000}"#,
            "a20011181c191388",
        ),
        golden(
            ServerFrame::Error(Problem::new("token_expired", "since 12:00")),
            r#"{"type":"error","name":"token_expired","detail":"since 12:00"}"#,
            "a30012181a6d746f6b656e5f65787069726564181b6b73696e63652031323a3030",
        ),
    ]
}
