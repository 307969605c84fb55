//! A client that knows nothing of relink: a WebSocket, and JSON written by hand.

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use relink_server::{Server, ServerBuilder, ServerHandle};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{ClientRequestBuilder, Error, Message, http::Uri},
};

/// Longer than anything takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A server on a port of its own.
pub(crate) struct Running {
    pub(crate) relink: ServerHandle,
    pub(crate) addr: SocketAddr,
    pub(crate) serving: JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub(crate) async fn start(builder: ServerBuilder) -> Self {
        let server = builder.build().expect("the configuration is good");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("its number");
        Self { relink: server.handle(), addr, serving: tokio::spawn(server.serve(listener)) }
    }

    pub(crate) async fn with_defaults() -> Self {
        Self::start(Server::builder()).await
    }

    pub(crate) async fn connect(&self) -> Client<TcpStream> {
        Client::connect(self.addr, "/").await
    }

    /// A client that was welcomed, and its welcome.
    pub(crate) async fn hello(&self) -> (Client<TcpStream>, Value) {
        let mut client = self.connect().await;
        let welcome = client.hello().await;
        (client, welcome)
    }
}

pub(crate) fn request(path: &str) -> ClientRequestBuilder {
    let uri: Uri = format!("ws://localhost{path}").parse().expect("an address");
    ClientRequestBuilder::new(uri).with_sub_protocol("relink.v1")
}

pub(crate) struct Client<IO> {
    ws: WebSocketStream<IO>,
}

/// A client over a pipe in memory, for virtual time.
pub(crate) async fn piped(relink: &ServerHandle) -> Client<DuplexStream> {
    let (here, there) = duplex(64 * 1024);
    let relink = relink.clone();
    tokio::spawn(async move { relink.accept(there, None).await });
    Client { ws: client_async(request("/"), here).await.expect("a handshake").0 }
}

impl Client<TcpStream> {
    pub(crate) async fn connect(addr: SocketAddr, path: &str) -> Self {
        Self::try_connect(addr, request(path)).await.expect("a handshake")
    }

    pub(crate) async fn try_connect(
        addr: SocketAddr,
        request: ClientRequestBuilder,
    ) -> Result<Self, Error> {
        let tcp = TcpStream::connect(addr).await.expect("the server listens");
        Ok(Self { ws: client_async(request, tcp).await?.0 })
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Client<IO> {
    pub(crate) async fn say(&mut self, frame: &Value) {
        self.say_raw(Message::text(frame.to_string())).await;
    }

    pub(crate) async fn say_raw(&mut self, message: Message) {
        self.ws.send(message).await.expect("it is sent");
    }

    /// Sends bytes as they are, without a frame around them.
    pub(crate) async fn say_bytes(&mut self, bytes: &[u8]) {
        self.ws.get_mut().write_all(bytes).await.expect("it is sent");
    }

    pub(crate) async fn hello(&mut self) -> Value {
        self.say(&json!({"type": "hello"})).await;
        self.expect("welcome").await
    }

    pub(crate) async fn resume(&mut self, welcome: &Value, offset: u64) -> Value {
        let position = json!({"epoch": welcome["position"]["epoch"], "offset": offset});
        let resume = json!({"session": welcome["session"], "position": position});
        self.say(&json!({"type": "hello", "resume": resume})).await;
        self.expect("welcome").await
    }

    /// Sends a message with a serial, to a channel or to the server.
    pub(crate) async fn message(&mut self, serial: u64, channel: Option<&str>, text: &str) {
        let mut frame = json!({"type": "message", "serial": serial, "text": text});
        if let Some(channel) = channel {
            frame["channel"] = channel.into();
        }
        self.say(&frame).await;
    }

    pub(crate) async fn subscribe(&mut self, channel: &str) -> Value {
        self.say(&json!({"type": "subscribe", "channel": channel})).await;
        self.expect("subscribed").await
    }

    /// The next frame.
    pub(crate) async fn hear(&mut self) -> Value {
        match self.hear_raw().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("{other:?}"),
        }
    }

    /// The next frame, which must be of this type.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        let frame = self.hear().await;
        assert_eq!(frame["type"], kind, "{frame}");
        frame
    }

    /// The code that the server closes with, and the frames before it.
    pub(crate) async fn closed(&mut self) -> (u16, Vec<Value>) {
        let mut before = Vec::new();
        loop {
            match self.hear_raw().await {
                Some(Message::Text(text)) => {
                    before.push(serde_json::from_str(&text).expect("JSON"))
                }
                Some(Message::Close(Some(frame))) => return (frame.code.into(), before),
                Some(Message::Close(None)) => return (1005, before),
                other => panic!("{other:?} after {before:?}"),
            }
        }
    }

    /// The code that the server closes with, however late.
    pub(crate) async fn closed_patiently(&mut self) -> u16 {
        loop {
            match self.ws.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Closes, and waits for the answer.
    pub(crate) async fn close(mut self, code: u16) {
        let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame {
            code: code.into(),
            reason: "".into(),
        };
        self.ws.close(Some(frame)).await.expect("it is sent");
        while self.hear_raw().await.is_some() {}
    }

    /// The next message; skips pings and pongs.
    async fn hear_raw(&mut self) -> Option<Message> {
        loop {
            let heard = timeout(PATIENCE, self.ws.next()).await.expect("the server says something");
            match heard.transpose().expect("the connection is good") {
                Some(Message::Ping(_) | Message::Pong(_)) => {}
                heard => return heard,
            }
        }
    }
}
