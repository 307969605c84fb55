//! Which connections are admitted: the HTTP before the WebSocket.

use std::net::SocketAddr;

use crate::client::{Client, PATIENCE, Running, request};
use relink::CloseCode;
use relink_server::{AdmissionConfig, Server, ServerConfig, User, http, relink};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Error, http::Response};

async fn refused(addr: SocketAddr, request: ClientRequestBuilder) -> Response<Option<Vec<u8>>> {
    match Client::try_connect(addr, request).await {
        Err(Error::Http(response)) => *response,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it is let in"),
    }
}

fn retry_after(response: &Response<Option<Vec<u8>>>) -> u64 {
    let value = response.headers().get("retry-after").expect("a time to come back");
    value.to_str().expect("text").parse().expect("seconds")
}

#[tokio::test]
async fn w17_too_many_from_one_address_are_told_429_and_when_to_come_back() {
    let limits = AdmissionConfig::default().with_max_per_address(2);
    let config = ServerConfig::default().with_admission(limits);
    let server = Running::start(Server::builder().config(config)).await;
    let (first, _) = server.hello().await;
    let _second = server.connect().await;
    let mut times = Vec::new();
    for _ in 0..20 {
        let response = refused(server.addr, request("/")).await;
        assert_eq!(response.status(), 429);
        times.push(retry_after(&response));
    }
    assert!(times.iter().all(|time| (10..=20).contains(time)), "{times:?}");
    assert!(times.iter().any(|time| *time != times[0]), "not all at once: {times:?}");
    assert_eq!(server.relink.stats().not_admitted, 20);
    // After one has ended there is room again.
    first.close(1000).await;
    let room = async { while Client::try_connect(server.addr, request("/")).await.is_err() {} };
    tokio::time::timeout(PATIENCE, room).await.expect("there is room");
}

#[tokio::test]
async fn w20_whoever_comes_too_fast_is_told_429_and_when_to_come_back() {
    let rate = relink::policy::Rate { burst: 2, refill: std::time::Duration::from_secs(3600) };
    let admission = AdmissionConfig::default().with_rate_per_address(Some(rate));
    let config = ServerConfig::default().with_admission(admission);
    let server = Running::start(Server::builder().config(config)).await;
    for _ in 0..2 {
        server.hello().await.0.close(1000).await;
    }
    let response = refused(server.addr, request("/")).await;
    assert_eq!(response.status(), 429);
    assert!(retry_after(&response) > 0);
}

#[tokio::test]
async fn w17_a_full_server_says_503() {
    let limits = AdmissionConfig::default().with_max_connections(1);
    let config = ServerConfig::default().with_admission(limits);
    let server = Running::start(Server::builder().config(config)).await;
    let _first = server.hello().await;
    let response = refused(server.addr, request("/")).await;
    assert_eq!(response.status(), 503);
    assert!(retry_after(&response) >= 10);
}

#[tokio::test]
async fn w17_a_client_that_does_not_offer_the_subprotocol_is_told_so() {
    let server = Running::with_defaults().await;
    let uri = || format!("ws://{}/", server.addr).parse().expect("an address");
    for request in [
        ClientRequestBuilder::new(uri()),
        ClientRequestBuilder::new(uri()).with_sub_protocol("relink.v2"),
    ] {
        let response = refused(server.addr, request).await;
        assert_eq!(response.status(), 400);
    }
    let both = ClientRequestBuilder::new(uri())
        .with_sub_protocol("relink.v2")
        .with_sub_protocol("relink.v1");
    Client::try_connect(server.addr, both).await.expect("one of them suits");
}

#[tokio::test]
async fn w17_a_token_in_the_handshake_is_looked_at_there() {
    let authenticate = |token: Option<relink::session::Secret>| async move {
        match token {
            Some(token) if token.expose() == "good" => Ok(User::new("alice")),
            Some(token) if token.expose() == "banned" => Err(CloseCode::ACCOUNT_SUSPENDED.into()),
            Some(_) => Err(CloseCode::TOKEN_EXPIRED.into()),
            None => panic!("there is one"),
        }
    };
    let server = Running::start(Server::builder().authenticate(authenticate)).await;
    let with = |token: &str| request("/").with_header("authorization", format!("Bearer {token}"));
    assert_eq!(refused(server.addr, with("old")).await.status(), 401);
    assert_eq!(refused(server.addr, with("banned")).await.status(), 403);
    let mut client = Client::try_connect(server.addr, with("good")).await.expect("it is let in");
    client.hello().await;
    server.relink.kick("alice", CloseCode::ADMIN_DISCONNECT);
    assert_eq!(client.closed().await.0, 4020, "it is her");
}

#[tokio::test]
async fn w17_the_application_may_look_at_the_request() {
    let server = Running::start(Server::builder().on_request(|request| async move {
        match request.uri().query() {
            Some("who=alice") => Ok(Some(User::new("alice"))),
            Some(_) => Err(http::StatusCode::NOT_FOUND),
            None => panic!("as asked"),
        }
    }))
    .await;
    assert_eq!(refused(server.addr, request("/?what")).await.status(), 404);
    assert_eq!(refused(server.addr, request("/")).await.status(), 500);
    let mut client = Client::connect(server.addr, "/?who=alice").await;
    client.say(&json!({"type": "hello"})).await;
    client.expect("welcome").await;
    server.relink.kick("alice", CloseCode::ADMIN_DISCONNECT);
    assert_eq!(client.closed().await.0, 4020);
}

#[tokio::test]
async fn w17_whoever_does_not_speak_http_is_told_so_in_it() {
    let server = Running::with_defaults().await;
    let endless = format!("GET / HTTP/1.1\r\nhost: {}", "x".repeat(20_000));
    for (bytes, status) in [
        ("\0\0\0\0\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", "400"),
        (&*endless, "431"),
    ] {
        let mut tcp = TcpStream::connect(server.addr).await.expect("the server listens");
        tcp.write_all(bytes.as_bytes()).await.expect("it is read");
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.expect("an answer, and an end");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    assert_eq!(server.relink.stats().node.opened, 0);
}

/// Sends the head of a request, a byte at a time, and reads the head of the answer and what follows
/// it.
async fn answer(addr: SocketAddr, head: &[u8]) -> String {
    let mut tcp = TcpStream::connect(addr).await.expect("the server listens");
    tcp.set_nodelay(true).expect("it is open");
    for byte in head {
        // If the answer came before the end of the request, the rest is not read.
        if tcp.write_all(&[*byte]).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let read = async {
        while !answer.starts_with(b"HTTP/1.1 101")
            && tcp.read_buf(&mut answer).await.is_ok_and(|count| count > 0)
        {}
    };
    tokio::time::timeout(PATIENCE, read).await.expect("an answer, and an end");
    String::from_utf8_lossy(&answer).into_owned()
}

fn head(more: &str) -> String {
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    format!("GET / HTTP/1.1\r\nHost: x\r\n{key}Sec-WebSocket-Protocol: relink.v1\r\n{more}\r\n")
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";

#[tokio::test]
async fn w17_a_request_as_proxies_write_it_is_let_in() {
    let server = Running::with_defaults().await;
    let many: String = (0..200).map(|number| format!("X-{number}: {number}\r\n")).collect();
    for more in [
        UPGRADE,
        "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n",
        "connection: keep-alive\r\nconnection: UPGRADE\r\nUPGRADE: WEBSOCKET\r\n",
        &format!("{many}{UPGRADE}"),
    ] {
        let answer = answer(server.addr, head(more).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{more}: {answer}");
    }
    for (head, status, problem) in [
        (head(UPGRADE).replace("HTTP/1.1", "HTTP/1.0"), 400, "in HTTP/1.1"),
        (head(UPGRADE).replace("GET", "POST"), 400, "GET"),
        (head("Connection: keep-alive\r\nUpgrade: websocket\r\n"), 400, "Connection"),
        (head("Connection: Upgrade\r\nUpgrade: h2c\r\n"), 400, "Upgrade"),
        (head(UPGRADE).replace(": 13", ": 8"), 426, "sec-websocket-version: 13"),
    ] {
        let answer = answer(server.addr, head.as_bytes()).await;
        let status = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&status) && answer.contains(problem), "{head}: {answer}");
    }
}

#[tokio::test]
async fn w17_a_bearer_token_is_read_whatever_its_capitals_and_what_is_none_is_refused() {
    let authenticate = |token: Option<relink::session::Secret>| async move {
        match token {
            Some(token) if token.expose() == "good" => Ok(User::new("alice")),
            _ => Err(CloseCode::INVALID_TOKEN.into()),
        }
    };
    let server = Running::start(Server::builder().authenticate(authenticate)).await;
    for (line, status) in [
        ("Authorization: Bearer good\r\n", 101),
        ("authorization: bearer good\r\n", 101),
        ("AUTHORIZATION: BEARER   good  \r\n", 101),
        ("Authorization: Bearer\tgood\r\n", 101),
        ("Authorization: bearer bad\r\n", 401),
        ("Authorization: Bearer\r\n", 400),
        ("Authorization: Bearer  \r\n", 400),
        ("Authorization: Bearer good and more\r\n", 400),
        ("Authorization: Bearer g\u{f6}\u{f6}d\r\n", 400),
        ("Authorization: Bearer good\r\nAuthorization: Bearer good\r\n", 400),
        // Not decided here, but by the hello.
        ("Authorization: Basic eDp5\r\n", 101),
        ("", 101),
    ] {
        let answer = answer(server.addr, head(&format!("{UPGRADE}{line}")).as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer}");
        assert!(status != 400 || answer.contains("Authorization"), "{line}: {answer}");
    }
}
