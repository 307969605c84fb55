//! Every step after the handshake.

use std::{io::ErrorKind, time::Duration};

use crate::common::*;
use futures_util::{SinkExt, StreamExt};
use relink_testing::{Connection, EventKind, Script};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite::{Error, Message, error::ProtocolError, protocol::CloseFrame};

const SHORT: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);
/// Longer than a busy machine needs for one exchange.
const AMPLE: Duration = Duration::from_millis(500);

#[tokio::test]
async fn without_steps_everything_is_echoed() {
    let (server, mut client) = pair(Script::echo()).await;
    for message in [Message::text("one"), Message::binary(vec![0, 255])] {
        client.send(message.clone()).await.unwrap();
        assert_eq!(receive(&mut client).await, message);
    }
    let kinds: Vec<EventKind> =
        server.events().into_iter().map(|event| event.kind).skip(2).collect();
    assert_eq!(kinds, [EventKind::Text("one".into()), EventKind::Binary(vec![0, 255])]);
}

#[tokio::test]
async fn send_sends_text_and_binary() {
    let (_server, mut client) =
        pair(Connection::new().send_text("hello").send_binary([1, 2])).await;
    assert_eq!(receive(&mut client).await, Message::text("hello"));
    assert_eq!(receive(&mut client).await, Message::binary(vec![1, 2]));
}

#[tokio::test]
async fn expect_waits_for_exactly_that_message() {
    let (server, mut client) =
        pair(Connection::new().expect_text("go").expect_binary([7]).send_text("gone")).await;
    for message in ["no", "GO", "go"] {
        client.send(Message::text(message)).await.unwrap();
    }
    client.send(Message::text("\u{7}")).await.unwrap();
    client.send(Message::binary(vec![7])).await.unwrap();
    assert_eq!(receive(&mut client).await, Message::text("gone"));
    assert!(server.events().iter().any(|event| event.kind == EventKind::Text("GO".into())));
}

#[tokio::test]
async fn echo_until_ends_with_exactly_that_message() {
    let (server, mut client) =
        pair(Connection::new().echo_until_text("stop").echo_until_binary([7]).close(4000, ""))
            .await;
    for message in [Message::text("STOP"), Message::binary("stop")] {
        client.send(message.clone()).await.unwrap();
        assert_eq!(receive(&mut client).await, message);
    }
    for message in [Message::text("stop"), Message::binary(vec![7])] {
        client.send(message).await.unwrap();
    }
    assert_eq!(receive_close(&mut client).await, Some((4000, String::new())));
    assert!(server.events().iter().any(|event| event.kind == EventKind::Text("stop".into())));
}

/// In paused time a timeout passes as soon as nothing else can happen.
#[tokio::test(start_paused = true)]
async fn a_client_that_pings_and_never_reads_is_let_go() {
    let server = start(Script::echo()).await;
    let mut tcp = request(&server).await;
    read_until(&mut tcp, b"\r\n\r\n").await;
    let ping = [[0x89, 0x80 | 125, 0, 0, 0, 0].as_slice(), &[7; 125]].concat().repeat(512);
    let begin = Instant::now();
    while timeout(SHORT, tcp.write_all(&ping)).await.is_ok() {
        assert!(begin.elapsed() < LONG, "it reads on and on");
    }
    let events = server.wait_for(|events| events.iter().any(|event| event.kind.is_end()), 2 * LONG);
    let EventKind::Closed { code: Some(1008), reason, answered: false } =
        events.await.unwrap().pop().unwrap().kind
    else {
        panic!("it is not closed: {:?}", server.events().last());
    };
    assert!(reason.contains("not reading"), "{reason}");
    assert!((LONG..LONG + 3 * SECOND).contains(&begin.elapsed()), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn echo_ends_after_its_time() {
    let (server, mut client) = pair(Connection::new().echo_for(AMPLE).close(4000, "enough")).await;
    client.send(Message::text("quick")).await.unwrap();
    assert_eq!(receive(&mut client).await, Message::text("quick"));
    assert_eq!(receive_close(&mut client).await, Some((4000, "enough".into())));
    let events = server
        .wait_for(|events| events.iter().any(|event| event.kind.is_end()), LONG)
        .await
        .unwrap();
    let at =
        |what: fn(&EventKind) -> bool| events.iter().find(|event| what(&event.kind)).unwrap().at;
    assert!(at(EventKind::is_end) - at(|what| matches!(what, EventKind::Accepted { .. })) >= AMPLE);
}

#[tokio::test]
async fn wait_reads_and_answers_pings_but_sends_nothing_back() {
    let (server, mut client) = pair(Connection::new().wait(AMPLE).send_text("after")).await;
    client.send(Message::text("ignored")).await.unwrap();
    client.send(Message::Ping(vec![9].into())).await.unwrap();
    assert_eq!(receive(&mut client).await, Message::Pong(vec![9].into()));
    assert_eq!(receive(&mut client).await, Message::text("after"));
    seen(&server, |what| *what == EventKind::Text("ignored".into())).await;
    seen(&server, |what| *what == EventKind::Ping(vec![9])).await;
}

#[tokio::test]
async fn ping_is_answered_and_logged() {
    let (server, mut client) = pair(Connection::new().ping().send_text("x")).await;
    assert!(receive(&mut client).await.is_ping());
    assert_eq!(receive(&mut client).await, Message::text("x"));
    let _ = client.flush().await;
    seen(&server, |what| *what == EventKind::Pong(b"relink-testing".to_vec())).await;
}

#[tokio::test]
async fn silent_answers_nothing_and_then_takes_up_what_piled_up() {
    let (server, mut client) = pair(Connection::new().silent_for(SHORT)).await;
    let silent = seen(&server, |what| *what == EventKind::Silent).await;
    client.send(Message::Ping(vec![1].into())).await.unwrap();
    client.send(Message::text("late")).await.unwrap();
    assert!(receive(&mut client).await.is_pong());
    assert_eq!(receive(&mut client).await, Message::text("late"));
    let ping = seen(&server, |what| *what == EventKind::Ping(vec![1])).await;
    assert!(ping.at - silent.at >= SHORT);
}

#[tokio::test]
async fn silent_without_a_time_lasts_until_the_peer_leaves() {
    let (server, mut client) = pair(Connection::new().silent()).await;
    seen(&server, |what| *what == EventKind::Silent).await;
    client.send(Message::Ping(vec![].into())).await.unwrap();
    assert!(timeout(SHORT, client.next()).await.is_err(), "a silent server answered");
    drop(client);
    assert!(matches!(end_of(&server, 1).await, EventKind::PeerLost { .. }));
    assert!(!server.events().iter().any(|event| matches!(event.kind, EventKind::Ping(_))));
}

#[tokio::test]
async fn silent_stops_reading_so_that_the_peer_cannot_write_for_ever() {
    let (server, mut client) = pair(Connection::new().silent()).await;
    seen(&server, |what| *what == EventKind::Silent).await;
    let flood = async {
        loop {
            client.send(Message::binary(vec![0; 1024 * 1024])).await.unwrap();
        }
    };
    assert!(timeout(Duration::from_millis(500), flood).await.is_err());
}

#[tokio::test]
async fn close_sends_code_and_reason_and_waits_for_the_answer() {
    let (server, mut client) = pair(Script::close_with(1001, "deploy; retry-after=5")).await;
    assert_eq!(receive_close(&mut client).await, Some((1001, "deploy; retry-after=5".into())));
    let reason = "deploy; retry-after=5".to_owned();
    assert_eq!(
        end_of(&server, 1).await,
        EventKind::Closed { code: Some(1001), reason, answered: true }
    );
}

#[tokio::test]
async fn close_without_a_code_has_none() {
    let (server, mut client) = pair(Connection::new().close_without_code()).await;
    assert_eq!(receive_close(&mut client).await, None);
    let closed = end_of(&server, 1).await;
    assert!(matches!(closed, EventKind::Closed { code: None, answered: true, .. }), "{closed:?}");
}

#[tokio::test]
async fn close_may_send_codes_that_have_no_meaning() {
    for code in [1004, 1016, 2999_u16] {
        let server = start(Script::close_with(code, "")).await;
        let mut tcp = request(&server).await;
        let [high, low] = code.to_be_bytes();
        read_until(&mut tcp, &[0x88, 2, high, low]).await;
    }
}

#[tokio::test]
async fn close_gives_up_on_an_answer_after_a_second() {
    let server = start(Script::close_with(1000, "")).await;
    let started = Instant::now();
    let tcp = request(&server).await;
    let closed = end_of(&server, 1).await;
    assert!(matches!(closed, EventKind::Closed { answered: false, .. }), "{closed:?}");
    assert!(started.elapsed() >= Duration::from_secs(1));
    drop(tcp);
}

#[tokio::test]
async fn close_still_logs_what_was_under_way() {
    let (server, mut client) = pair(Connection::new().close(1000, "")).await;
    client.send(Message::text("under way")).await.unwrap();
    receive_close(&mut client).await;
    end_of(&server, 1).await;
    assert!(server.events().iter().any(|event| event.kind == EventKind::Text("under way".into())));
}

#[tokio::test]
async fn drop_ends_the_socket_without_a_close_frame() {
    let (server, mut client) = pair(Connection::new().drop_socket()).await;
    let error = receive_error(&mut client).await;
    assert!(
        matches!(error, Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)),
        "{error}"
    );
    assert_eq!(end_of(&server, 1).await, EventKind::Dropped);
}

#[tokio::test]
async fn drop_is_a_fin_even_with_unread_bytes() {
    let server = start(Connection::new().silent_for(SHORT).drop_socket()).await;
    let mut tcp = request(&server).await;
    seen(&server, |what| *what == EventKind::Silent).await;
    tcp.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    let bytes = read_all(&mut tcp).await.unwrap();
    assert!(bytes.ends_with(b"\r\n\r\n"), "{bytes:?}");
}

#[tokio::test]
async fn reset_resets() {
    let server = start(Connection::new().send_text("hi").expect_text("hi").reset()).await;
    let mut client = connect(&server).await;
    assert_eq!(receive(&mut client).await, Message::text("hi"));
    client.send(Message::text("hi")).await.unwrap();
    let error = receive_error(&mut client).await;
    assert!(matches!(&error, Error::Io(io) if io.kind() == ErrorKind::ConnectionReset), "{error}");
    assert_eq!(end_of(&server, 1).await, EventKind::Reset);
}

#[tokio::test]
async fn a_close_by_the_peer_is_answered_and_logged() {
    for (frame, expected) in [
        (Some(CloseFrame { code: 4321.into(), reason: "bye".into() }), (Some(4321), "bye")),
        (None, (None, "")),
    ] {
        let (server, mut client) = pair(Script::echo()).await;
        client.close(frame).await.unwrap();
        receive_close(&mut client).await;
        let EventKind::PeerClosed { code, reason } = end_of(&server, 1).await else { panic!() };
        assert_eq!((code, reason.as_str()), expected);
    }
}

#[tokio::test]
async fn a_peer_that_just_leaves_is_lost() {
    let (server, client) = pair(Script::echo()).await;
    drop(client);
    assert!(matches!(end_of(&server, 1).await, EventKind::PeerLost { .. }));
}

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_is_told_1002() {
    let server = start(Script::echo()).await;
    let mut tcp = request(&server).await;
    // An unmasked frame.
    tcp.write_all(&[0x81, 2, b'h', b'i']).await.unwrap();
    let bytes = read_all(&mut tcp).await.unwrap();
    assert!(bytes.ends_with(&[0x88, 2, 0x03, 0xEA]), "{bytes:?}");
    assert!(matches!(end_of(&server, 1).await, EventKind::ProtocolError { .. }));
}

#[tokio::test]
async fn a_message_of_more_than_a_mebibyte_is_told_1009() {
    let (server, mut client) = pair(Script::echo()).await;
    client.send(Message::binary(vec![0; 1024 * 1024])).await.unwrap();
    assert_eq!(receive(&mut client).await.len(), 1024 * 1024);
    client.send(Message::binary(vec![0; 1024 * 1024 + 1])).await.unwrap();
    assert_eq!(receive_close(&mut client).await, Some((1009, String::new())));
    assert!(matches!(end_of(&server, 1).await, EventKind::ProtocolError { .. }));
}
