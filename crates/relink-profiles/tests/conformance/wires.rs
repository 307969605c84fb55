//! The wire protocols of the profiles, frame by frame.

use rand_pcg::Pcg32;
use relink::link::{HandshakeEvent, Refusal, Step};
use relink::protocol::{
    ClientFrame as Say,
    ProtocolEvent::{self, Data, Handshake, Session},
    ServerFrame as Said,
};
use relink::rand_core::{Rng, SeedableRng};
use relink::session::{Frame, MemberChange, Secret};
use relink::{Address, Instant, Message, Protocol};
use relink_profiles::deepstream::{Deepstream, Encoding, Packet};
use relink_profiles::managed_websocket::ManagedWebSocket;
use relink_profiles::metered::{Client, ClientFrame, Peer, ServerFrame};
use relink_testing::Hub;

/// What a protocol reads from a message.
fn read(protocol: &mut impl Protocol, message: impl Into<Message>) -> Vec<ProtocolEvent> {
    let mut events = Vec::new();
    protocol.receive(message.into(), &mut events);
    events
}

/// What a protocol sends.
fn said(protocol: &mut impl Protocol, frame: Say) -> Vec<String> {
    let mut frames = Vec::new();
    protocol.send(frame, &mut frames, Instant::ORIGIN);
    texts(frames)
}

/// What it sends when a step of the handshake begins.
fn said_at(protocol: &mut impl Protocol, step: Step, token: Option<&Secret>) -> Vec<String> {
    let mut frames = Vec::new();
    protocol.begin(step, token, None, &mut frames);
    texts(frames)
}

fn texts(frames: Vec<Frame>) -> Vec<String> {
    let text = |frame| {
        let Frame::Message(message) = frame else { panic!("not a message") };
        message.as_text().unwrap().to_owned()
    };
    frames.into_iter().map(text).collect()
}

fn data(text: &str, channel: Option<&str>, serial: Option<u64>) -> Say {
    Say::Message { payload: text.to_owned().into(), channel: channel.map(Into::into), serial }
}

fn subscribe(channel: &str) -> Say {
    Say::Subscribe { channel: channel.into(), since: None, token: None, presence: None }
}

fn deepstream(encoding: Encoding) -> Deepstream {
    Deepstream::new(encoding, &Address::from("ws://h:6020/deepstream?token=secret"))
}

#[test]
fn deepstreams_protobuf_is_what_it_is_on_the_wire() {
    let login = Packet { data: Some("{}".into()), ..Packet::new(3, 2) };
    let bytes = [10, 16, 3, 26, 6, 8, 2, 18, 2, b'{', b'}'];
    assert_eq!(login.encode(Encoding::Protobuf), Message::Binary(bytes.to_vec().into()));
    assert_eq!(Packet::decode(&Message::Binary(bytes.to_vec().into())), Ok(login));
    let ping = Packet::new(2, 2).encode(Encoding::Protobuf);
    assert_eq!(ping, Message::Binary(vec![6, 16, 2, 26, 2, 8, 2].into()));
}

#[test]
fn deepstreams_packets_survive_both_encodings() {
    let packets = [
        Packet {
            url: Some("ws://h".into()),
            protocol_version: Some("0.1a".into()),
            sdk_type: Some("relink".into()),
            ..Packet::new(2, 5)
        },
        Packet { data: Some(r#"{"a":"ü"}"#.into()), is_error: true, ..Packet::new(3, 4) },
        Packet { name: Some("news".into()), data: Some("5".into()), ..Packet::new(4, 2) },
        Packet {
            names: vec!["a".into(), "b".into()],
            correlation_id: Some("7".into()),
            is_ack: true,
            ..Packet::new(4, 3)
        },
        Packet {
            name: Some("news".into()),
            original_action: Some(3),
            is_error: true,
            ..Packet::new(4, 104)
        },
    ];
    for packet in packets {
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            assert_eq!(
                Packet::decode(&packet.encode(encoding)).as_ref(),
                Ok(&packet),
                "{encoding:?}"
            );
        }
    }
}

#[test]
fn deepstream_is_told_the_address_without_its_secret_and_the_login_as_json() {
    let mut client = deepstream(Encoding::Json);
    let challenge = said_at(&mut client, Step::Challenge, None).remove(0);
    assert!(
        challenge.contains(r#""url":"ws://h:6020/deepstream""#) && !challenge.contains("secret")
    );
    assert_eq!(
        said_at(&mut client, Step::Challenge, None),
        [] as [&str; 0],
        "once for each transport"
    );
    client.opened(&mut Vec::new());
    assert_eq!(said_at(&mut client, Step::Welcome, None).len(), 1);
    for (token, login) in [
        (r#"{"username":"ada"}"#, r#"{"topic":3,"action":2,"data":"{\"username\":\"ada\"}"}"#),
        ("abc\"", r#"{"topic":3,"action":2,"data":"{\"token\":\"abc\\\"\"}"}"#),
    ] {
        let token = Secret::from(token);
        assert_eq!(said_at(&mut client, Step::Authenticating, Some(&token)), [login]);
    }
}

#[test]
fn deepstreams_events_are_channels() {
    let mut client = deepstream(Encoding::Json);
    client.opened(&mut Vec::new());
    let asked = said(&mut client, subscribe("news"));
    assert_eq!(asked, [r#"{"topic":4,"action":3,"correlationId":"1","names":["news"]}"#]);
    // The answers of the JSON endpoint are not marked as such.
    let events = read(&mut client, r#"{"topic":4,"action":3,"correlationId":"1"}"#);
    assert!(
        matches!(&events[..], [Session(Said::Subscribed { channel, recovered: true, .. })] if channel.as_str() == "news")
    );
    for (data, text) in [(r#""\"hello\"""#, "hello"), (r#""{\"n\":1}""#, r#"{"n":1}"#)] {
        let events =
            read(&mut client, format!(r#"{{"topic":4,"action":2,"name":"news","data":{data}}}"#));
        assert!(
            matches!(&events[..], [Session(Said::Publication { payload, .. })] if payload.as_text() == Some(text)),
            "{events:?}"
        );
    }
    let stranger = read(&mut client, r#"{"topic":4,"action":2,"name":"other","data":"1"}"#);
    assert_eq!(stranger, [], "it was not requested");
    assert_eq!(
        [
            said(&mut client, data("hello", Some("news"), None)),
            said(&mut client, data("5", Some("news"), None))
        ]
        .concat(),
        [
            r#"{"topic":4,"action":2,"data":"\"hello\"","name":"news"}"#,
            r#"{"topic":4,"action":2,"data":"5","name":"news"}"#,
        ]
    );
    said(&mut client, subscribe("secret"));
    let late = r#"{"topic":4,"action":2,"name":"news","data":"1"}"#;
    let mut next = client.clone();
    next.opened(&mut Vec::new());
    assert_eq!(read(&mut next, late), [], "it was not requested on the next transport yet");
    let denied = r#"{"topic":4,"action":104,"name":"secret","correlationId":"2","originalAction":3,"isError":true}"#;
    let events = read(&mut client, denied);
    assert!(
        matches!(&events[..], [Session(Said::Unsubscribed { problem: Some(problem), .. })] if problem.name == "channel_not_authorized")
    );
}

#[test]
fn deepstreams_refusals_end_or_fetch_a_token() {
    let mut client = deepstream(Encoding::Json);
    let refusal = |client: &mut Deepstream, text: &str| match &read(client, text)[..] {
        [Handshake(HandshakeEvent::Refused(Refusal::Stop(reason)))] => reason.name(),
        [Handshake(HandshakeEvent::Refused(Refusal::Token))] => "a fresh token may do",
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(&mut client, r#"{"topic":3,"action":4}"#), "a fresh token may do");
    assert_eq!(refusal(&mut client, r#"{"topic":3,"action":100}"#), "too_many_auth_attempts");
    assert_eq!(refusal(&mut client, r#"{"topic":2,"action":100}"#), "authentication_timeout");
    assert_eq!(refusal(&mut client, r#"{"topic":2,"action":6}"#), "challenge_denied");
    for gibberish in ["", "{}", "[]", "hello", r#"{"topic":"2"}"#, r#"{"topic":2,"action":7}"#] {
        assert!(
            matches!(&read(&mut client, gibberish)[..], [ProtocolEvent::Malformed(_)]),
            "{gibberish:?}"
        );
    }
    let record = r#"{"topic":5,"action":1}"#;
    assert_eq!(
        read(&mut client, record),
        [Data(record.into())],
        "other topics are the application's"
    );
}

#[test]
fn metereds_answers_come_in_the_order_of_the_messages() {
    let mut client = Client::default();
    client.opened(&mut Vec::new());
    let frames: Vec<_> = (1..=3)
        .flat_map(|serial| said(&mut client, data("1", Some("room"), Some(serial))))
        .collect();
    assert_eq!(frames[2], r#"{"type":"publish","requestId":"3","channel":"room","data":1}"#);
    let ack = |request: u32| format!(r#"{{"type":"ack","requestId":"{request}"}}"#);
    assert_eq!(read(&mut client, ack(2)), [], "the first has no answer yet");
    assert_eq!(
        read(&mut client, ack(1)),
        [Session(Said::Ack { serial: 1 }), Session(Said::Ack { serial: 2 })]
    );
    let refused =
        read(&mut client, r#"{"type":"error","requestId":"3","code":"action_not_permitted"}"#);
    assert!(
        matches!(&refused[..], [Session(Said::Rejected(rejection))] if rejection.serial == 3 && rejection.problem.name == "action_not_permitted")
    );
    assert_eq!(read(&mut client, ack(3)), [], "once");
}

#[test]
fn metereds_refused_subscription_costs_nothing_else() {
    let mut client = Client::default();
    client.opened(&mut Vec::new());
    said(&mut client, subscribe("secret"));
    let refused = read(
        &mut client,
        r#"{"type":"error","requestId":"1","code":"channel_not_authorized","message":"no"}"#,
    );
    assert!(
        matches!(&refused[..], [Session(Said::Unsubscribed { problem: Some(problem), .. })] if !problem.is_retryable())
    );
    for text in ["", "{}", r#"{"type":"tomorrow"}"#, r#"{"type":"ack"}"#] {
        assert_eq!(read(&mut client, text), [], "{text:?} is passed over");
    }
    let away = |text: &str| read(&mut Client::default(), text);
    for (text, millis) in [
        (r#"{"type":"going_away","retryAfterMs":3000}"#, 3_000),
        (r#"{"type":"going_away"}"#, 1_000),
        (r#"{"type":"going_away","retryAfterMs":"soon"}"#, 1_000),
    ] {
        let retry_after = relink_sim::millis(millis);
        assert_eq!(away(text), [Session(Said::GoingAway { retry_after })]);
    }
    let to_peer = said(&mut client, data(r#"{"sdp":1}"#, Some("@bob"), None));
    assert_eq!(to_peer, [r#"{"type":"send","to":"bob","data":{"sdp":1}}"#]);
}

#[test]
fn metereds_frames_survive_the_wire() {
    let peer = Peer { id: "ada".into(), metadata: Some(r#"{"name":"Ada"}"#.into()) };
    let server = [
        ServerFrame::Welcome {
            peer: "me".into(),
            expires_at: Some(9),
            server_time: 1,
            max_message_size: 5,
            metadata: None,
        },
        ServerFrame::Welcome {
            peer: "me".into(),
            expires_at: None,
            server_time: 1,
            max_message_size: 5,
            metadata: Some("{}".into()),
        },
        ServerFrame::Ack { request: "1".into() },
        ServerFrame::Error {
            request: Some("1".into()),
            code: "no".into(),
            message: Some("why".into()),
        },
        ServerFrame::Message { channel: "room".into(), from: "ada".into(), data: "null".into() },
        ServerFrame::Direct { from: "ada".into(), data: r#"[1,2.50,"ü"]"#.into() },
        ServerFrame::Presence { channel: "room".into(), joined: vec![peer], left: vec![] },
        ServerFrame::GoingAway { retry_after_ms: 5 },
        ServerFrame::Pong,
    ];
    for frame in server {
        assert_eq!(ServerFrame::decode(&frame.encode()).as_ref(), Ok(&frame));
    }
    let request = Some("7".to_owned());
    let client = [
        ClientFrame::Subscribe { channel: "room".into(), request: request.clone() },
        ClientFrame::Unsubscribe { channel: "room".into(), request: None },
        ClientFrame::Publish {
            channel: "room".into(),
            data: "null".into(),
            request: request.clone(),
        },
        ClientFrame::Send { to: "bob".into(), data: "{}".into(), request },
        ClientFrame::Ping,
    ];
    for frame in client {
        assert_eq!(ClientFrame::decode(&frame.encode()).as_ref(), Ok(&frame));
    }
    for (text, code) in [
        ("", "malformed_message"),
        (r#"{"type":"dance"}"#, "unknown_type"),
        (r#"{"type":"subscribe"}"#, "invalid_channel"),
        (r#"{"type":"subscribe","channel":"a\nb"}"#, "invalid_channel"),
        (r#"{"type":"publish","channel":"a"}"#, "missing_data"),
        (r#"{"type":"send","data":1}"#, "invalid_peer_id"),
    ] {
        assert_eq!(ClientFrame::decode(text).unwrap_err().code(), code, "{text}");
    }
}

#[test]
fn metereds_hub_carries_messages_and_presence_between_clients() {
    let mut hub = Hub::new(65_536);
    let mut clients: Vec<Client> = Vec::new();
    for (key, id) in ["ada", "bob"].into_iter().enumerate() {
        let mut client = Client::default();
        client.opened(&mut Vec::new());
        let welcome = hub.connected(key, Peer { id: id.into(), metadata: None }, None, 1);
        assert_eq!(
            read(&mut client, welcome.encode()),
            [ProtocolEvent::MaxMessage(Some(65_536)), Handshake(HandshakeEvent::Welcome)]
        );
        assert_eq!(client.peer_id(), id);
        clients.push(client);
    }
    // What a client sends, and what all clients receive as a result.
    let tell = |hub: &mut Hub<usize>, clients: &mut Vec<Client>, from: usize, frame: Say| {
        let mut heard = Vec::new();
        for text in said(&mut clients[from], frame) {
            for reply in hub.received(&from, &text.into()) {
                heard.extend(
                    read(&mut clients[reply.to], reply.frame.encode())
                        .into_iter()
                        .map(|signal| (reply.to, signal)),
                );
            }
        }
        heard
    };
    tell(&mut hub, &mut clients, 0, subscribe("room"));
    let joined = tell(&mut hub, &mut clients, 1, subscribe("room"));
    assert!(joined.iter().any(|(to, signal)| *to == 0
        && matches!(signal, Session(Said::MemberChanged { change: MemberChange::Joined(member), .. }) if member.user == "bob")));
    let everybody = |signal: &ProtocolEvent| matches!(signal, Session(Said::Members { members, .. }) if members.len() == 2);
    assert!(joined.iter().any(|(to, signal)| *to == 1 && everybody(signal)));
    let heard = tell(&mut hub, &mut clients, 0, data("hello", Some("room"), None));
    assert_eq!(heard.len(), 2, "its own, too: {heard:?}");
    let direct = tell(&mut hub, &mut clients, 0, data("psst", Some("@bob"), None));
    assert!(
        matches!(&direct[..], [(1, Data(message))] if message.as_text().unwrap().contains("psst"))
    );
    let nobody = tell(&mut hub, &mut clients, 0, data("psst", Some("@eve"), Some(1)));
    assert!(
        matches!(&nobody[..], [(0, Session(Said::Rejected(rejection)))] if rejection.problem.name == "peer_not_found")
    );
    let left = hub.disconnected(&1);
    assert!(
        matches!(&read(&mut clients[0], left[0].frame.encode())[..], [Session(Said::MemberChanged { change: MemberChange::Left(member), .. })] if member.user == "bob")
    );
}

#[test]
fn w11_no_bytes_panic_a_protocol() {
    let mut dice = Pcg32::seed_from_u64(3);
    let samples: Vec<Vec<u8>> = vec![
        Packet { names: vec!["a".into()], correlation_id: Some("7".into()), ..Packet::new(4, 3) }
            .encode(Encoding::Protobuf)
            .as_bytes()
            .to_vec(),
        br#"{"type":"presence","channel":"room","joined":[{"peerId":"ada","metadata":{}}],"left":[]}"#
            .to_vec(),
        br#"{"topic":4,"action":2,"name":"news","data":"1"}"#.to_vec(),
        br#"{"type":"connection_ack","timestamp":5,"connectionId":"srv-1"}"#.to_vec(),
    ];
    for _ in 0..30_000 {
        let mut bytes = samples[dice.next_u32() as usize % samples.len()].clone();
        for _ in 0..=dice.next_u32() % 4 {
            let at = dice.next_u32() as usize % bytes.len();
            bytes[at] = dice.next_u32().to_le_bytes()[0];
        }
        bytes.truncate(dice.next_u32() as usize % (bytes.len() + 1));
        let text = Message::from(String::from_utf8_lossy(&bytes).into_owned());
        for message in [Message::Binary(bytes.into()), text] {
            let mut events = Vec::new();
            deepstream(Encoding::Json).receive(message.clone(), &mut events);
            Client::default().receive(message.clone(), &mut events);
            ManagedWebSocket::default().receive(message.clone(), &mut events);
            let _ = Hub::<u8>::new(1).received(&1, &message);
            let _ = ClientFrame::decode(message.as_text().unwrap_or_default());
        }
    }
}
