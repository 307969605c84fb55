//! Who is let in: the HTTP before the WebSocket.

mod client;

use std::net::SocketAddr;

use client::{Client, Running, request};
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
    let admission = AdmissionConfig::default().with_per_address(2);
    let config = ServerConfig::default().with_admission(admission);
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
    // Once one is gone there is room again.
    first.close(1000).await;
    while Client::try_connect(server.addr, request("/")).await.is_err() {}
}

#[tokio::test]
async fn w17_a_full_server_says_503() {
    let admission = AdmissionConfig::default().with_max_connections(1);
    let config = ServerConfig::default().with_admission(admission);
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
    for request in
        [ClientRequestBuilder::new(uri()), ClientRequestBuilder::new(uri()).with_sub_protocol("relink.v2")]
    {
        let response = refused(server.addr, request).await;
        assert_eq!(response.status(), 400);
    }
    let both = ClientRequestBuilder::new(uri()).with_sub_protocol("relink.v2").with_sub_protocol("relink.v1");
    Client::try_connect(server.addr, both).await.expect("one of them suits");
}

#[tokio::test]
async fn w17_a_token_in_the_handshake_is_looked_at_there() {
    let authenticate = |token: Option<relink::Secret>| async move {
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
    for (bytes, status) in
        [("\0\0\0\0\r\n\r\n", "400"), ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", "400"), (&*endless, "431")]
    {
        let mut tcp = TcpStream::connect(server.addr).await.expect("somebody listens");
        tcp.write_all(bytes.as_bytes()).await.expect("it is read");
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.expect("an answer, and an end");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    assert_eq!(server.relink.stats().node.opened, 0);
}
