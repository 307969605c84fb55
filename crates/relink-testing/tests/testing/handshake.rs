//! Every way a connection can begin.

use std::{io::ErrorKind, time::Duration};

use crate::common::*;
use relink_testing::{Connection, EventKind, Refusal, Script};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{
        Error,
        client::IntoClientRequest,
        error::ProtocolError,
        http::{HeaderValue, Response},
    },
};

async fn refused(script: impl Into<Script>) -> (relink_testing::Server, Response<Option<Vec<u8>>>) {
    let server = start(script).await;
    match within(connect_async(server.url())).await {
        Err(Error::Http(response)) => (server, *response),
        other => panic!("not refused: {other:?}"),
    }
}

async fn subprotocol(connection: Connection, offered: &'static str) -> Option<String> {
    let server = start(connection).await;
    let mut request = server.url().into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(offered));
    let answered = match within(connect_async(request)).await {
        Ok((_, response)) => response.headers().get("sec-websocket-protocol").cloned(),
        Err(Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(_))) => None,
        Err(other) => panic!("{other}"),
    };
    let accepted = seen(&server, |what| matches!(what, EventKind::Accepted { .. })).await;
    let EventKind::Accepted { subprotocol, .. } = accepted.kind else { unreachable!() };
    if let Some(answered) = answered {
        assert_eq!(subprotocol.as_deref(), answered.to_str().ok());
    }
    subprotocol
}

#[tokio::test]
async fn the_log_has_path_query_and_headers_of_an_accepted_client() {
    let server = start(Script::echo()).await;
    let mut request = format!("{}chat?token=hush", server.url()).into_client_request().unwrap();
    request.headers_mut().insert("Authorization", HeaderValue::from_static("Bearer hush"));
    request.headers_mut().insert("Cookie", HeaderValue::from_static("id=hush"));
    request.headers_mut().insert("Proxy-Authorization", HeaderValue::from_static("Basic hush"));
    request.headers_mut().insert("X-Shown", HeaderValue::from_static("shown"));
    let client = within(connect_async(request)).await.unwrap();

    let accepted = seen(&server, |what| matches!(what, EventKind::Accepted { .. })).await;
    let request = accepted.kind.request().unwrap();
    assert_eq!(request.path(), "/chat");
    assert_eq!(request.query(), Some("token=hush"));
    assert_eq!(request.header("AUTHORIZATION"), Some("Bearer hush"));
    assert!(request.headers().iter().any(|(name, value)| name == "cookie" && value == "id=hush"));

    let printed = format!("{:?} {accepted} {:?} {server:?}", accepted, server.events());
    assert!(!printed.contains("hush"), "{printed}");
    assert!(printed.contains("shown") && printed.contains("/chat"), "{printed}");
    drop(client);
}

#[tokio::test]
async fn accept_agrees_to_the_first_subprotocol_offered() {
    assert_eq!(
        subprotocol(Connection::new(), "chat.v2, chat.v1").await.as_deref(),
        Some("chat.v2")
    );
}

#[tokio::test]
async fn accept_can_insist_on_a_subprotocol() {
    assert_eq!(
        subprotocol(Connection::with_subprotocol("chat.v1"), "chat.v2, chat.v1").await.as_deref(),
        Some("chat.v1")
    );
}

#[tokio::test]
async fn accept_can_name_a_subprotocol_nobody_offered() {
    let server = start(Connection::with_subprotocol("surprise")).await;
    let error = within(connect_async(server.url())).await.unwrap_err();
    assert!(
        matches!(error, Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(_))),
        "{error}"
    );
}

#[tokio::test]
async fn accept_can_name_no_subprotocol() {
    assert_eq!(subprotocol(Connection::with_subprotocol(""), "chat.v1").await, None);
}

#[tokio::test]
async fn refuse_answers_with_status_and_retry_after() {
    let (server, response) = refused(Script::refuse(Refusal::new(429).retry_after(7))).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "7");
    let end = end_of(&server, 1).await;
    assert!(matches!(end, EventKind::Refused { status: 429, .. }), "{end:?}");
    assert_eq!(end.request().unwrap().path(), "/");
}

#[tokio::test]
async fn refuse_answers_with_a_date_to_retry_after() {
    let date = "Fri, 31 Dec 1999 23:59:59 GMT";
    let (_server, response) =
        refused(Connection::refuse(Refusal::new(503).retry_after(date))).await;
    assert_eq!(response.headers()["retry-after"], date);
}

#[tokio::test]
async fn refuse_redirects() {
    let (_server, response) =
        refused(Script::refuse(Refusal::new(302).location("ws://127.0.0.1:1/else"))).await;
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()["location"], "ws://127.0.0.1:1/else");
}

#[tokio::test]
async fn refuse_can_answer_200_like_a_login_page() {
    let (_server, response) = refused(Script::refuse(200)).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn refuse_takes_a_status_without_a_name() {
    let (_server, response) = refused(Script::refuse(599)).await;
    assert_eq!(response.status(), 599);
}

#[tokio::test]
async fn garbage_is_not_http() {
    let server = start(Connection::garbage()).await;
    let error = within(connect_async(server.url())).await.unwrap_err();
    assert!(!matches!(error, Error::Http(_) | Error::Io(_)), "{error}");
    assert!(matches!(end_of(&server, 1).await, EventKind::AnsweredGarbage { .. }));
}

#[tokio::test]
async fn a_blackhole_keeps_the_socket_and_answers_nothing() {
    let server = start(Script::blackhole()).await;
    let mut tcp = request(&server).await;
    seen(&server, |what| *what == EventKind::Blackholed).await;
    // A short silence proves little, but bytes would prove the opposite.
    let mut byte = [0];
    assert!(timeout(Duration::from_millis(50), tcp.read(&mut byte)).await.is_err());
    assert_eq!(server.live(), 1);

    drop(tcp);
    assert!(matches!(end_of(&server, 1).await, EventKind::PeerLost { .. }));
    server.wait_for(|_| server.live() == 0, LONG).await.unwrap();
}

#[tokio::test]
async fn reset_first_resets_before_the_handshake() {
    let server = start(Connection::reset_at_once()).await;
    let mut tcp = TcpStream::connect(server.addr()).await.unwrap();
    assert_eq!(read_all(&mut tcp).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(end_of(&server, 1).await, EventKind::Reset);
}

#[tokio::test]
async fn drop_first_ends_the_socket_before_the_handshake() {
    let server = start(Connection::drop_at_once()).await;
    let mut tcp = request(&server).await;
    assert_eq!(read_all(&mut tcp).await.unwrap(), b"");
    assert_eq!(end_of(&server, 1).await, EventKind::Dropped);
}

#[tokio::test]
async fn a_request_that_is_no_upgrade_gets_400() {
    let server = start(Script::echo()).await;
    let mut tcp = TcpStream::connect(server.addr()).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let answer = String::from_utf8(read_all(&mut tcp).await.unwrap()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let EventKind::HandshakeFailed { why, .. } = end_of(&server, 1).await else { panic!() };
    assert!(why.to_lowercase().contains("upgrade"), "{why}");
}

#[tokio::test]
async fn bytes_that_are_no_request_end_the_connection() {
    let server = start(Script::echo()).await;
    let mut tcp = TcpStream::connect(server.addr()).await.unwrap();
    tcp.write_all(b"\x16\x03\x01 this is no HTTP\r\n\r\n").await.unwrap();
    assert_eq!(read_all(&mut tcp).await.unwrap(), b"");
    assert!(matches!(end_of(&server, 1).await, EventKind::HandshakeFailed { .. }));
}

#[tokio::test]
async fn a_request_without_end_is_cut_off() {
    let server = start(Script::echo()).await;
    let mut tcp = TcpStream::connect(server.addr()).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    tcp.write_all(&[b'x'; 20_000]).await.unwrap();
    assert_eq!(read_all(&mut tcp).await.unwrap(), b"");
    let EventKind::HandshakeFailed { why, .. } = end_of(&server, 1).await else { panic!() };
    assert!(why.contains("longer than 16384 bytes"), "{why}");
}

#[tokio::test]
async fn a_client_that_leaves_before_its_request_is_noticed() {
    let server = start(Script::echo()).await;
    drop(TcpStream::connect(server.addr()).await.unwrap());
    assert!(matches!(end_of(&server, 1).await, EventKind::HandshakeFailed { .. }));
}

#[tokio::test]
async fn frames_sent_along_with_the_request_are_not_lost() {
    let server = start(Script::echo()).await;
    let mut tcp = TcpStream::connect(server.addr()).await.unwrap();
    // A masked text frame with the mask 0: "hi".
    let mut bytes = UPGRADE.as_bytes().to_vec();
    bytes.extend([0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
    tcp.write_all(&bytes).await.unwrap();
    read_until(&mut tcp, &[0x81, 2, b'h', b'i']).await;
}
