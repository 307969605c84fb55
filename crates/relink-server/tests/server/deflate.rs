//! permessage-deflate (RFC 7692) as a server: whom it agrees with, and what it reads.

use http::Request;
use relink_server::{DeflateConfig, Server, ServerConfig};
use relink_wire::{ClientHandshake, CloseFrame, Frame, Limits, WebSocket};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{PATIENCE, Running};

const LIMIT: usize = 2000;

/// A server that compresses, and takes small messages.
async fn server(deflate: Option<DeflateConfig>) -> Running {
    let config = ServerConfig::default().with_max_message(LIMIT).with_deflate(deflate);
    Running::start(Server::builder().config(config)).await
}

/// A client by the wire alone, so that what it sends is known.
struct Raw {
    tcp: TcpStream,
    socket: WebSocket,
}

impl Raw {
    /// Returns the client, and what the server has answered to its offer.
    async fn connect(server: &Running, offer: Option<DeflateConfig>) -> (Self, Option<String>) {
        let mut tcp = TcpStream::connect(server.addr).await.expect("somebody listens");
        let request = Request::get("ws://localhost/").header("sec-websocket-protocol", "relink.v1");
        let mut request = request.body(()).expect("a plain request");
        offer.map(|offer| request.extensions_mut().insert(offer));
        let mut handshake = ClientHandshake::new(&request).expect("a plain request");
        tcp.write_all(handshake.output().bytes()).await.expect("it is sent");
        let sent = handshake.output().len();
        handshake.output().wrote(sent);
        let answer = loop {
            if let Some(answer) = handshake.poll_answer().expect("HTTP") {
                break answer;
            }
            read(&mut tcp, handshake.input()).await;
        };
        handshake.check(&answer).expect("the server agrees");
        let extension = answer.headers().get("sec-websocket-extensions");
        let extension = extension.map(|value| value.to_str().expect("ASCII").to_owned());
        (Self { tcp, socket: handshake.into_websocket(Limits::default()) }, extension)
    }

    async fn say(&mut self, frame: &Value) {
        self.socket.send(&Frame::text(frame.to_string())).expect("it may be sent");
        self.flush().await;
    }

    async fn flush(&mut self) {
        self.tcp.write_all(self.socket.output().bytes()).await.expect("it is sent");
        let sent = self.socket.output().len();
        self.socket.output().wrote(sent);
    }

    async fn hear(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.socket.poll_frame().expect("the server keeps the protocol") {
                return frame;
            }
            read(&mut self.tcp, self.socket.input()).await;
        }
    }

    async fn hear_json(&mut self) -> Value {
        let Frame::Text(text) = self.hear().await else { panic!("no text") };
        serde_json::from_str(text.as_str()).expect("JSON")
    }

    async fn expect(&mut self, kind: &str) -> Value {
        let frame = self.hear_json().await;
        assert_eq!(frame["type"], kind, "{frame}");
        frame
    }

    /// The code that the server closes with.
    async fn closed(&mut self) -> CloseFrame {
        loop {
            if let Frame::Close(content) = self.hear().await {
                return content.expect("a code");
            }
        }
    }
}

async fn read(tcp: &mut TcpStream, input: &mut relink_wire::Input) {
    let reading = timeout(PATIENCE, tcp.read(input.spare(4096)));
    match reading.await.expect("the server says something").expect("the connection is good") {
        0 => input.end(),
        count => input.filled(count),
    }
}

fn takeover() -> DeflateConfig {
    let deflate = DeflateConfig::default().with_level(9).with_max_ratio(None).with_min_size(1);
    deflate.with_context_takeover(true).with_peer_context_takeover(true)
}

#[tokio::test]
async fn a_server_agrees_to_compression_if_both_ends_want_it() {
    let fresh = DeflateConfig::default();
    let agreed =
        "permessage-deflate; client_no_context_takeover; server_no_context_takeover".to_owned();
    for (there, here, expected) in [
        (Some(fresh), Some(takeover()), Some(agreed)),
        (Some(takeover()), Some(takeover()), Some("permessage-deflate".to_owned())),
        (Some(fresh), None, None),
        (None, Some(fresh), None),
        (None, None, None),
    ] {
        let server = server(there).await;
        let (mut client, answer) = Raw::connect(&server, here).await;
        assert_eq!(answer, expected);
        client.say(&json!({"type": "hello"})).await;
        client.expect("welcome").await;
        client.say(&json!({"type": "subscribe", "channel": "room"})).await;
        client.expect("subscribed").await;
        for serial in 1..=3 {
            let text = "again and again ".repeat(60);
            let frame =
                json!({"type": "message", "serial": serial, "channel": "room", "text": text});
            client.say(&frame).await;
            let mut heard = [client.hear_json().await, client.hear_json().await];
            heard.sort_by_key(|frame| frame["type"].to_string());
            assert_eq!(heard[0]["type"], "ack", "{heard:?}");
            assert_eq!(heard[1]["text"], text);
        }
    }
}

#[tokio::test]
async fn the_limit_holds_for_what_a_message_becomes() {
    let server = server(Some(takeover())).await;
    for over in [0, 1] {
        let (mut client, _) = Raw::connect(&server, Some(takeover())).await;
        client.say(&json!({"type": "hello"})).await;
        client.expect("welcome").await;
        let empty = json!({"type": "message", "serial": 1, "channel": "room", "text": ""});
        let text = "x".repeat(LIMIT - empty.to_string().len() + over);
        client.say(&json!({"type": "message", "serial": 1, "channel": "room", "text": text})).await;
        if over == 0 {
            client.expect("ack").await;
        } else {
            assert_eq!(client.closed().await.code, 1009);
        }
    }
}

#[tokio::test]
async fn a_bomb_is_closed_with_1009_before_it_fills_memory() {
    let config = DeflateConfig::default();
    let config = ServerConfig::default().with_deflate(Some(config));
    let server = Running::start(Server::builder().config(config)).await;
    let (mut client, _) = Raw::connect(&server, Some(takeover())).await;
    client.say(&json!({"type": "hello"})).await;
    client.expect("welcome").await;
    // A thousandth of what it becomes.
    client.socket.send(&Frame::binary(vec![0; 1 << 20])).expect("it may be sent");
    assert!(client.socket.output().len() < 2000);
    client.flush().await;
    let closed = client.closed().await;
    assert_eq!(closed.code, 1009);
    assert!(closed.reason.contains("more than 200 times"), "{closed:?}");
}

#[tokio::test]
async fn frames_of_a_compressed_message_may_have_a_ping_between() {
    let server = server(Some(takeover())).await;
    let (mut client, _) = Raw::connect(&server, Some(takeover())).await;
    // The message as it is, in a block without compression; its end is left out (RFC 7692, 7.2.1).
    let hello = json!({"type": "hello"}).to_string();
    let length = hello.len() as u16;
    let block = [&[0], &length.to_le_bytes()[..], &(!length).to_le_bytes(), hello.as_bytes(), &[0]];
    let block = block.concat();
    let (begin, end) = block.split_at(9);
    let frame = |first: u8, payload: &[u8]| {
        [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
    };
    let frames = [frame(0x41, begin), frame(0x89, b"between"), frame(0x80, end)];
    for bytes in frames {
        client.tcp.write_all(&bytes).await.expect("it is sent");
    }
    assert_eq!(client.hear().await, Frame::Pong("between".into()));
    client.expect("welcome").await;
}

#[tokio::test]
async fn what_cannot_work_is_refused_by_name() {
    let wrong = DeflateConfig::default().with_level(10);
    let config = ServerConfig::default().with_deflate(Some(wrong));
    let error = Server::builder().config(config).build().expect_err("there is no such level");
    assert_eq!(error.to_string(), "deflate.level is 10, but it must be at most 9");
}
