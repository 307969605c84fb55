//! What the tests share: a client that others wrote, and waits for what the server saw.

use std::time::Duration;

use futures_util::StreamExt;
use relink_testing::{EventKind, Script, Server, ServerEvent};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message},
};

/// Far more than anything here takes; only a broken test gets there.
pub(crate) const LONG: Duration = Duration::from_secs(10);

pub(crate) type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(crate) async fn start(script: impl Into<Script>) -> Server {
    Server::start(script).await.unwrap()
}

pub(crate) async fn connect(server: &Server) -> Client {
    within(connect_async(server.url())).await.unwrap().0
}

/// A server with one client connected to it.
pub(crate) async fn pair(script: impl Into<Script>) -> (Server, Client) {
    let server = start(script).await;
    let client = connect(&server).await;
    (server, client)
}

pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(LONG, what).await.expect("took too long")
}

pub(crate) async fn receive(client: &mut Client) -> Message {
    within(client.next()).await.expect("the server left").unwrap()
}

/// The code and reason of the close frame that must come next, and the end after it.
pub(crate) async fn receive_close(client: &mut Client) -> Option<(u16, String)> {
    let Message::Close(frame) = receive(client).await else { panic!("not a close frame") };
    assert!(within(client.next()).await.is_none(), "something came after the close frame");
    frame.map(|frame| (frame.code.into(), frame.reason.to_string()))
}

/// The error that must come next.
pub(crate) async fn receive_error(client: &mut Client) -> Error {
    within(client.next()).await.expect("the stream ended without an error").unwrap_err()
}

/// Waits until the server has seen this, and returns the first such event.
pub(crate) async fn seen(server: &Server, what: impl Fn(&EventKind) -> bool) -> ServerEvent {
    server.wait_for_event(|event| what(&event.kind), LONG).await.unwrap()
}

/// Waits for the event that ends a connection.
pub(crate) async fn end_of(server: &Server, connection: usize) -> EventKind {
    server.wait_for_end(connection, LONG).await.unwrap()
}

pub(crate) const UPGRADE: &str = "GET /raw HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n\
    upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A plain socket that has sent the request of a handshake.
pub(crate) async fn request(server: &Server) -> TcpStream {
    let mut tcp = TcpStream::connect(server.addr()).await.unwrap();
    tcp.write_all(UPGRADE.as_bytes()).await.unwrap();
    tcp
}

/// Reads until the bytes end like this.
pub(crate) async fn read_until(tcp: &mut TcpStream, end: &[u8]) {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end) {
        assert!(
            within(tcp.read_buf(&mut bytes)).await.unwrap() > 0,
            "never ended with {end:?}: {bytes:?}"
        );
    }
}

/// Everything up to the end of the stream.
pub(crate) async fn read_all(tcp: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    within(tcp.read_to_end(&mut bytes)).await.map(|_| bytes)
}
