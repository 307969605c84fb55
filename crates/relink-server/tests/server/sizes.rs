//! Messages, names, words and tokens that are too large, between a server and a client on real
//! sockets.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test picks the events that it is about")]

use crate::client::{PATIENCE, Running};
use futures_util::{FutureExt, StreamExt};
use relink_server::node::NodeConfig;
use relink_server::relink::session::{DropReason, Secret, SendErrorKind, SizeLimit};
use relink_server::relink::{Event, Message, Outgoing, Position, Receipt, Resume, Subscription};
use relink_server::v1::{self, Encoding};
use relink_server::{Server, ServerConfig};
use relink_tokio::{BuildError, Client, Events, WireLimits};
use tokio::time::timeout;

const BOTH: [Encoding; 2] = [Encoding::Json, Encoding::Cbor];

async fn next(events: &mut Events) -> Event {
    timeout(PATIENCE, events.recv()).await.expect("something happens").expect("the link lives")
}

/// The first event for which `find` returns something.
async fn until<T>(events: &mut Events, mut find: impl FnMut(Event) -> Option<T>) -> T {
    loop {
        if let Some(found) = find(next(events).await) {
            return found;
        }
    }
}

async fn acknowledged(events: &mut Events, receipt: Receipt) {
    until(events, |event| match event {
        Event::Acknowledged { last, .. } if last >= receipt => Some(()),
        Event::Disconnected { detail, .. } => panic!("the link was lost: {detail}"),
        _ => None,
    })
    .await;
}

async fn connected(server: &Running, encoding: Encoding, limits: WireLimits) -> (Client, Events) {
    let address = format!("ws://{}/", server.addr);
    let (client, mut events) = relink_tokio::builder(address.as_str())
        .relink_v1(encoding)
        .limits(limits)
        .spawn()
        .expect("valid");
    until(&mut events, |event| matches!(event, Event::Connected { .. }).then_some(())).await;
    (client, events)
}

#[tokio::test]
async fn i21_what_the_server_does_not_take_comes_back_and_what_stands_behind_it_goes() {
    let server = Running::with_defaults().await;
    for encoding in BOTH {
        let (client, mut events) = connected(&server, encoding, WireLimits::default()).await;
        let bytes = vec![7; if encoding == Encoding::Json { 800 << 10 } else { 1 << 20 }];
        let refused =
            client.send(Outgoing::from(bytes.clone()).on("room")).await.expect_err("it never fits");
        assert!(
            matches!(
                refused.reason,
                SendErrorKind::TooLarge { size, limit: 1_048_576, by: SizeLimit::Peer } if size > 1_048_576
            ),
            "{refused}"
        );
        assert_eq!(refused.message, Message::from(bytes));
        let accepted = client.send(Outgoing::from("small").on("room")).await.expect("it fits");
        acknowledged(&mut events, accepted.receipt).await;
    }
    assert_eq!(server.relink.stats().node.resumed, 0);
}

#[tokio::test]
async fn i23_what_is_sent_before_the_limit_is_known_is_dropped_with_its_receipt() {
    let server = Running::with_defaults().await;
    for encoding in BOTH {
        let address = format!("ws://{}/", server.addr);
        let (client, mut events) =
            relink_tokio::builder(address.as_str()).relink_v1(encoding).spawn().expect("valid");
        let large =
            client.try_send(Outgoing::from(vec![7; 1 << 20]).on("room")).expect("not known yet");
        let small = client.try_send(Outgoing::from("small").on("room")).expect("it fits");
        let (receipt, why) = until(&mut events, |event| match event {
            Event::Dropped { first, why, .. } => Some((first, why)),
            _ => None,
        })
        .await;
        assert_eq!(receipt, large.receipt);
        assert!(matches!(why, DropReason::TooLarge { limit: Some(1_048_576), .. }), "{why:?}");
        acknowledged(&mut events, small.receipt).await;
    }
}

#[tokio::test]
async fn s06_publications_that_a_client_does_not_take_are_withheld_and_told() {
    let server = Running::with_defaults().await;
    for encoding in BOTH {
        let (client, mut events) =
            connected(&server, encoding, WireLimits::new(128 << 10, 128 << 10)).await;
        client.subscribe("room", Subscription::default());
        until(&mut events, |event| matches!(event, Event::Subscribed { .. }).then_some(())).await;
        for message in [vec![1], vec![2; 200_000], vec![3]] {
            server.relink.publish("room", message).expect("within what may be published");
        }
        let session = client.resume().expect("a session").session;
        server
            .relink
            .send(session.clone(), vec![4; 200_000])
            .expect("within what may be published");
        server.relink.send(session, "last").expect("it fits");
        let mut told = Vec::new();
        loop {
            match next(&mut events).await {
                Event::Publication { message, .. } => {
                    told.push(format!("{:?}", message.as_bytes()))
                }
                Event::Message(message) if message.as_text() == Some("last") => {
                    told.push("last".into())
                }
                Event::Withheld { channel, problem, .. } => {
                    told.push(format!("{} {}", channel.is_some(), problem.name));
                }
                Event::Disconnected { detail, .. } => panic!("the link was lost: {detail}"),
                _ => {}
            }
            if told.len() == 5 {
                break;
            }
        }
        told.sort();
        assert_eq!(told, ["[1]", "[3]", "false limit_exceeded", "last", "true limit_exceeded"]);
    }
}

#[tokio::test]
async fn what_is_too_large_to_be_published_comes_back() {
    let node = NodeConfig::default().with_max_publication(1_000);
    let builder = Server::builder().config(ServerConfig::default().with_node(node));
    let server = Running::start(builder).await;
    let refused = server.relink.publish("room", vec![7; 1_000]).expect_err("too large");
    assert_eq!(refused.message, Message::from(vec![7; 1_000]));
    assert!(refused.to_string().contains("node.max_publication"), "{refused}");
    assert!(server.relink.send("a session", vec![7; 1_000]).is_err());
    let (client, mut events) = connected(&server, Encoding::Cbor, WireLimits::default()).await;
    let sent =
        client.send(Outgoing::from(vec![7; 1_000]).on("room")).await.expect("the server takes it");
    let (receipt, problem) = until(&mut events, |event| match event {
        Event::Rejected { receipt, problem, .. } => Some((receipt, problem)),
        _ => None,
    })
    .await;
    assert_eq!((receipt, &*problem.name), (sent.receipt, "limit_exceeded"));
}

#[tokio::test]
async fn w11_a_client_that_knows_no_limit_sees_why_it_is_closed_while_it_is_still_sending() {
    let server = Running::with_defaults().await;
    let (mut client, welcome) = server.hello().await;
    assert_eq!(welcome["max_message"], 1 << 20);
    let text = "x".repeat(8 << 20);
    // Sends and receives at once, as the close frame comes before everything is sent.
    client.message(1, Some("room"), &text).await;
    assert_eq!(client.closed().await.0, 1009);
}

#[tokio::test]
async fn limits_that_cannot_work_are_refused_when_it_is_built() {
    let error = Server::builder().config(ServerConfig::default().with_max_message(100)).build();
    let error = error.expect_err("nothing fits").to_string();
    assert_eq!(error, "node.max_message is 100, but it must be at least 512");
    let build = |limits, encoding: Option<Encoding>| {
        let builder = relink_tokio::builder("ws://127.0.0.1:1/").limits(limits);
        let built = match encoding {
            Some(encoding) => builder.relink_v1(encoding).connect().map(drop),
            None => builder.connect().map(drop),
        };
        built.map_err(|error: BuildError| error.to_string())
    };
    for (limits, v1, error) in [
        (WireLimits::new(0, 1_000), false, "limits.max_message is 0, but it must be at least 1"),
        (WireLimits::new(1, 124), false, "limits.max_frame is 124, but it must be at least 125"),
        (
            WireLimits::new(1_000, 1_000),
            true,
            "limits.max_message is 1000, but it must be at least 131072",
        ),
    ] {
        let encoding = v1.then_some(Encoding::Json);
        assert_eq!(build(limits, encoding), Err(error.to_owned()));
    }
    assert_eq!(build(WireLimits::new(1, 125), None), Ok(()));
    assert_eq!(build(WireLimits::new(usize::MAX, usize::MAX), Some(Encoding::Cbor)), Ok(()));
}

#[tokio::test]
async fn what_the_server_cannot_read_is_told_to_the_application_and_costs_no_link() {
    let server = Running::with_defaults().await;
    for encoding in BOTH {
        let builder = relink_tokio::builder(format!("ws://{}/", server.addr).as_str())
            .relink_v1(encoding)
            .channel_token(|_| async { Ok::<_, String>(Secret::from("t".repeat(16_385))) });
        let (client, mut events) = builder.spawn().expect("valid");
        until(&mut events, |event| matches!(event, Event::Connected { .. }).then_some(())).await;
        for name in [String::new(), "c".repeat(256)] {
            let refused = client.send(Outgoing::from("hello").on(name.as_str())).await;
            let refused = refused.expect_err("no server can read it");
            assert!(matches!(refused.reason, SendErrorKind::BadChannel(_)), "{refused}");
            assert_eq!(refused.message, Message::from("hello"));
            client.subscribe(name.as_str(), Subscription::default());
        }
        client.subscribe("a", Subscription::default().with_presence("i".repeat(4_097)));
        client.subscribe("b", Subscription::default().with_token());
        for allowed in ["at least 1", "at most 255", "at most 4096", "at most 16384"] {
            let detail = until(&mut events, |event| match event {
                Event::Unsubscribed { problem, .. } => Some(problem.detail),
                Event::Disconnected { detail, .. } => panic!("the link was lost: {detail}"),
                _ => None,
            })
            .await;
            assert!(detail.ends_with(allowed), "{detail}");
        }
        let longest = "c".repeat(255);
        client
            .subscribe(longest.as_str(), Subscription::default().with_presence("i".repeat(4_096)));
        until(&mut events, |event| match event {
            Event::Subscribed { channel, .. } => (channel.as_str() == longest).then_some(()),
            Event::Disconnected { detail, .. } => panic!("the link was lost: {detail}"),
            _ => None,
        })
        .await;
        let sent = client.send(Outgoing::from("hello").on(longest)).await.expect("it can be read");
        acknowledged(&mut events, sent.receipt).await;
        assert_eq!(client.stats().dials, 1);
    }
}

#[tokio::test]
async fn both_handles_say_at_once_what_no_server_can_read() {
    let builder = || {
        let config = v1::config();
        let config = config.with_outbox(config.outbox.with_max_messages(1));
        relink_tokio::builder("ws://127.0.0.1:1/").relink_v1(Encoding::Cbor).config(config)
    };
    let (client, _events) = builder().spawn().expect("valid");
    client.try_send("first").expect("there is room for one");
    let refused = client.send(Outgoing::from("hello").on("")).now_or_never();
    let refused = refused.expect("it does not wait for room").expect_err("no server can read it");
    assert!(matches!(refused.reason, SendErrorKind::BadChannel(_)), "{refused}");

    let mut connection = builder().connect().expect("valid");
    connection.try_send("first").expect("there is room for one");
    let refused =
        connection.try_send(Outgoing::from("hello").on("")).expect_err("no server can read it");
    assert!(matches!(refused.reason, SendErrorKind::BadChannel(_)), "{refused}");
    connection.subscribe("", Subscription::default());
    let ended = async {
        while let Some(event) = connection.next().await {
            if let Event::Unsubscribed { problem, retry_in: None, .. } = event {
                return Some(problem.name);
            }
        }
        None
    };
    assert_eq!(
        timeout(PATIENCE, ended).await.expect("it is told").as_deref(),
        Some("limit_exceeded")
    );
}

#[tokio::test]
async fn a_session_that_no_server_can_read_is_refused_when_the_link_is_built() {
    let resume = |session: String, offset| Resume {
        session: session.into(),
        position: Position::new(1, offset),
    };
    for (resume, error) in [
        (
            resume("s".repeat(129), 1),
            "the length of resume.session in bytes is 129, but it must be at most 128",
        ),
        (
            resume("s".to_owned(), 1 << 53),
            "resume.position.offset is 9007199254740992, but it must be at most 9007199254740991",
        ),
    ] {
        let builder =
            relink_tokio::builder("ws://127.0.0.1:1/").relink_v1(Encoding::Json).resume(resume);
        assert_eq!(
            builder.spawn().map(drop).map_err(|error| error.to_string()),
            Err(error.to_owned())
        );
    }
}
