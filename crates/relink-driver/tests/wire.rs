//! The wire against tungstenite's own server, in memory: no socket, no runtime.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, Read, Write};

use bytes::Bytes;
use relink::session::Frame;
use relink::{Address, CloseCode, CloseFrame, Failure, Message};
use relink_driver::{Wire, WireError, WireEvent, WireLimits};
use tungstenite::handshake::server::{Request, Response};
use tungstenite::protocol::{Role, WebSocket};

#[test]
fn a_handshake_opens_and_messages_pass_both_ways() {
    let (mut wire, mut server) = open(WireLimits::default());
    wire.send(Frame::Message(Message::from("hello")));
    carry(&mut wire, &mut server);
    assert_eq!(server.read().unwrap().to_text().unwrap(), "hello");

    server.send("hello yourself".into()).unwrap();
    server.send(Bytes::from_static(&[1, 2, 3]).into()).unwrap();
    carry(&mut wire, &mut server);
    assert_eq!(frame(&mut wire), Frame::Message(Message::from("hello yourself")));
    assert_eq!(frame(&mut wire), Frame::Message(Message::from(vec![1, 2, 3])));
    assert!(wire.poll_event().unwrap().is_none());
}

#[test]
fn bytes_may_arrive_one_at_a_time() {
    let (mut wire, mut server) = open(WireLimits::default());
    server.send("one byte at a time".into()).unwrap();
    for byte in std::mem::take(&mut server.get_mut().out) {
        assert!(wire.poll_event().unwrap().is_none());
        wire.receive(&[byte]);
    }
    assert_eq!(frame(&mut wire), Frame::Message(Message::from("one byte at a time")));
}

#[test]
fn what_comes_with_the_answer_to_the_handshake_is_not_lost() {
    let mut wire = wire(WireLimits::default());
    let mut server = accept(&mut wire, |_| {});
    server.send("right behind".into()).unwrap();
    carry(&mut wire, &mut server);
    assert!(matches!(wire.poll_event(), Ok(Some(WireEvent::Opened(_)))));
    assert_eq!(frame(&mut wire), Frame::Message(Message::from("right behind")));
}

#[test]
fn pings_of_the_peer_are_answered_without_being_asked() {
    let (mut wire, mut server) = open(WireLimits::default());
    server.send(tungstenite::Message::Ping(Bytes::from_static(b"42"))).unwrap();
    carry(&mut wire, &mut server);
    assert_eq!(frame(&mut wire), Frame::Ping(Bytes::from_static(b"42")));
    carry(&mut wire, &mut server);
    assert_eq!(server.read().unwrap(), tungstenite::Message::Pong(Bytes::from_static(b"42")));
}

#[test]
fn a_close_frame_is_reported_and_answered() {
    let (mut wire, mut server) = open(WireLimits::default());
    let close = tungstenite::protocol::CloseFrame { code: 4020.into(), reason: "kicked".into() };
    server.close(Some(close.clone())).unwrap();
    carry(&mut wire, &mut server);
    assert_eq!(frame(&mut wire), Frame::Close(CloseFrame::new(CloseCode(4020), "kicked")));
    carry(&mut wire, &mut server);
    assert_eq!(server.read().unwrap(), tungstenite::Message::Close(Some(close)));
}

#[test]
fn a_close_reason_that_is_too_long_is_cut_between_characters() {
    let (mut wire, mut server) = open(WireLimits::default());
    wire.send(Frame::Close(CloseFrame::new(CloseCode::NORMAL, "ü".repeat(100))));
    carry(&mut wire, &mut server);
    let tungstenite::Message::Close(Some(close)) = server.read().unwrap() else {
        panic!("no close frame")
    };
    assert_eq!(close.reason.as_str(), "ü".repeat(61));
}

#[test]
fn a_close_without_a_code_goes_out_empty_and_other_codes_that_may_not_be_sent_as_1008() {
    let closed_with = |code: u16| {
        let (mut wire, mut server) = open(WireLimits::default());
        wire.send(Frame::Close(CloseFrame::new(CloseCode(code), "why")));
        carry(&mut wire, &mut server);
        let tungstenite::Message::Close(close) = server.read().unwrap() else {
            panic!("no close frame")
        };
        close.map(|close| (u16::from(close.code), close.reason.to_string()))
    };
    assert_eq!(closed_with(1005), None);
    for code in [0, 999, 1004, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
        assert_eq!(closed_with(code), Some((1008, "why".to_owned())), "{code}");
    }
}

#[test]
fn a_message_beyond_the_limit_breaks_the_wire_with_1009() {
    let (mut wire, mut server) = open(WireLimits::new(1000, 1000));
    server.send(vec![0; 1001].into()).unwrap();
    carry(&mut wire, &mut server);
    let error = wire.poll_event().unwrap_err();
    assert_eq!(error.failure, Failure::Protocol(CloseCode::TOO_BIG));
    assert_eq!(wire.parting(), Some(CloseCode::TOO_BIG.into()));
}

#[test]
fn a_broken_frame_breaks_the_wire_with_1002_and_bad_text_with_1007() {
    for (bytes, code) in [
        (&[0x8b_u8, 0x00][..], CloseCode::PROTOCOL_ERROR),
        (&[0x81, 0x01, 0xff], CloseCode::INVALID_DATA),
    ] {
        let (mut wire, _) = open(WireLimits::default());
        wire.receive(bytes);
        assert_eq!(wire.poll_event().unwrap_err().failure, Failure::Protocol(code));
    }
}

#[test]
fn the_end_of_the_bytes_without_a_close_frame_is_an_end_of_file() {
    let (mut wire, _) = open(WireLimits::default());
    wire.receive_end();
    assert_eq!(wire.poll_event().unwrap_err().failure, Failure::Eof);

    let mut early = self::wire(WireLimits::default());
    early.receive_end();
    assert_eq!(early.poll_event().unwrap_err().failure, Failure::Eof);
}

#[test]
fn an_http_error_keeps_its_status_and_its_retry_after() {
    let error =
        refused("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");
    let retry_after = Some(std::time::Duration::from_secs(7));
    assert_eq!(error.failure, Failure::Http { status: 503, retry_after });
    assert!(error.detail.contains("503"), "{}", error.detail);
}

#[test]
fn a_redirect_keeps_its_location_and_one_without_is_an_error() {
    let error = refused("HTTP/1.1 307 Temporary Redirect\r\nLocation: wss://b.example/\r\n\r\n");
    assert_eq!(error.failure, Failure::HttpRedirect);
    assert_eq!(error.location, Some(Address::from("wss://b.example/")));
    let error = refused("HTTP/1.1 302 Found\r\n\r\n");
    assert_eq!(error.failure, Failure::Http { status: 302, retry_after: None });
}

#[test]
fn an_answer_that_is_no_websocket_is_named_so() {
    for answer in ["SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n"] {
        assert_eq!(refused(answer).failure, Failure::NotWebSocket, "{answer:?}");
    }
}

#[test]
fn a_token_reaches_the_server_in_its_header() {
    let secret = "s3cret".into();
    let address = Address::from("ws://example.org/feed?x=1");
    let (_, mut wire) = Wire::dial(&address, Some(&secret), WireLimits::default()).unwrap();
    let mut authorization = None;
    let mut path = None;
    accept(&mut wire, |request| {
        authorization = request.headers().get("authorization").cloned();
        path = request.uri().path_and_query().cloned();
    });
    assert_eq!(authorization.unwrap(), "Bearer s3cret");
    assert_eq!(path.unwrap(), "/feed?x=1");
}

// The peer, and the pipe to it.

/// One end of a pipe in memory.
#[derive(Default)]
struct Pipe {
    into: Vec<u8>,
    out: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.into.len().min(buffer.len());
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffer[..count].copy_from_slice(&self.into[..count]);
        self.into.drain(..count);
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn wire(limits: WireLimits) -> Wire {
    let mut request = http::Request::new(());
    *request.uri_mut() = http::Uri::from_static("ws://example.org/");
    Wire::connect(&request, limits).unwrap()
}

/// Answers the handshake, after `look` has seen its request.
fn accept(wire: &mut Wire, mut look: impl FnMut(&Request)) -> WebSocket<Pipe> {
    let mut pipe = Pipe { into: wire.outgoing().to_vec(), out: Vec::new() };
    let sent = pipe.into.len();
    wire.wrote(sent);
    #[expect(clippy::result_large_err, reason = "tungstenite's callback")]
    let answer = |request: &Request, response: Response| {
        look(request);
        Ok(response)
    };
    let accepted = tungstenite::accept_hdr(pipe, answer);
    let mut server = accepted.map_err(|error| error.to_string()).unwrap();
    pipe = std::mem::take(server.get_mut());
    wire.receive(&pipe.out);
    WebSocket::from_raw_socket(Pipe::default(), Role::Server, None)
}

fn open(limits: WireLimits) -> (Wire, WebSocket<Pipe>) {
    let mut wire = wire(limits);
    let server = accept(&mut wire, |_| {});
    assert!(matches!(wire.poll_event(), Ok(Some(WireEvent::Opened(_)))));
    (wire, server)
}

/// Moves the bytes that wait on either side to the other.
fn carry(wire: &mut Wire, server: &mut WebSocket<Pipe>) {
    let pipe = server.get_mut();
    pipe.into.extend(wire.outgoing());
    let sent = wire.outgoing().len();
    wire.wrote(sent);
    wire.receive(&std::mem::take(&mut pipe.out));
}

fn frame(wire: &mut Wire) -> Frame {
    match wire.poll_event() {
        Ok(Some(WireEvent::Frame(frame))) => frame,
        other => panic!("a frame was expected, not {other:?}"),
    }
}

fn refused(answer: &str) -> WireError {
    let mut wire = wire(WireLimits::default());
    wire.receive(answer.as_bytes());
    wire.poll_event().unwrap_err()
}
