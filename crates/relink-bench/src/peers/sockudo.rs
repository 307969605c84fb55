//! sockudo-ws.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use sockudo_ws::{Config, Message, WebSocketStream};
use tokio::net::TcpStream;

use super::{Client, batch, upgraded};
use crate::Result;

pub(super) struct Sockudo(WebSocketStream<TcpStream>);

impl Client for Sockudo {
    /// Its own handshake comes with HTTP/2.
    async fn open(url: &str) -> Result<Self> {
        Ok(Self(WebSocketStream::client(upgraded(url).await?, Config::default())))
    }

    async fn send(&mut self, payload: &Bytes, count: u64) -> Result<()> {
        for number in 1..=count {
            self.0.feed(Message::Binary(payload.clone())).await?;
            if number % batch(payload.len()) == 0 {
                self.0.flush().await?;
            }
        }
        Ok(self.0.flush().await?)
    }

    async fn receive(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            self.0.next().await.ok_or("closed")??;
        }
        Ok(())
    }
}
