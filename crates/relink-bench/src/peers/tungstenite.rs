//! tokio-tungstenite; and what its streams have in common with those built upon it.

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{Client, HEARTBEAT, batch};
use crate::Result;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// `feed`s, with a `flush` after each batch.
pub(super) async fn feed<S>(socket: &mut S, payload: &Bytes, count: u64, every: u64) -> Result<()>
where
    S: Sink<Message, Error = Error> + Unpin,
{
    for number in 1..=count {
        socket.feed(Message::Binary(payload.clone())).await?;
        if number % every == 0 {
            socket.flush().await?;
        }
    }
    Ok(socket.flush().await?)
}

pub(super) async fn take<S>(socket: &mut S, count: u64) -> Result<()>
where
    S: Stream<Item = std::result::Result<Message, Error>> + Unpin,
{
    for _ in 0..count {
        socket.next().await.ok_or("closed")??;
    }
    Ok(())
}

/// Used well: `feed`, and `flush` now and then.
pub(super) struct Flushed(Socket);

impl Client for Flushed {
    async fn open(url: &str) -> Result<Self> {
        Ok(Self(connect_async(url).await?.0))
    }

    async fn send(&mut self, payload: &Bytes, count: u64) -> Result<()> {
        feed(&mut self.0, payload, count, batch(payload.len())).await
    }

    async fn receive(&mut self, count: u64) -> Result<()> {
        take(&mut self.0, count).await
    }

    async fn idle(mut self) -> Result<()> {
        loop {
            if let Ok(message) = tokio::time::timeout(HEARTBEAT, self.0.next()).await {
                message.ok_or("closed")??;
            } else {
                self.0.send(Message::Ping(Bytes::new())).await?;
            }
        }
    }
}

/// `send` for each message.
pub(super) struct Naive(Flushed);

impl Client for Naive {
    async fn open(url: &str) -> Result<Self> {
        Flushed::open(url).await.map(Self)
    }

    async fn send(&mut self, payload: &Bytes, count: u64) -> Result<()> {
        feed(&mut self.0.0, payload, count, 1).await
    }

    async fn receive(&mut self, count: u64) -> Result<()> {
        self.0.receive(count).await
    }
}
