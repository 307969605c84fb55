//! stream-reconnect around tokio-tungstenite, as its README has it.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use stream_reconnect::{ReconnectStream, UnderlyingStream};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{Client, batch, tungstenite};
use crate::Result;

type Item = std::result::Result<Message, Error>;
type Establishing<T> = Pin<Box<dyn Future<Output = std::result::Result<T, Error>>>>;

struct Socket;

impl UnderlyingStream<String, Item, Error> for Socket {
    type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

    fn establish(url: String) -> Establishing<Self::Stream> {
        Box::pin(async move { Ok(connect_async(url).await?.0) })
    }

    fn is_write_disconnect_error(error: &Error) -> bool {
        !matches!(error, Error::WriteBufferFull(_) | Error::Capacity(_))
    }

    fn is_read_disconnect_error(item: &Item) -> bool {
        item.as_ref().is_err_and(Self::is_write_disconnect_error)
    }

    fn exhaust_err() -> Error {
        Error::Io(std::io::Error::other("no attempt is left"))
    }
}

pub(super) struct Reconnecting(ReconnectStream<Socket, String, Item, Error>);

impl Client for Reconnecting {
    async fn open(url: &str) -> Result<Self> {
        Ok(Self(ReconnectStream::connect(url.to_owned()).await?))
    }

    async fn send(&mut self, payload: &Bytes, count: u64) -> Result<()> {
        tungstenite::feed(&mut self.0, payload, count, batch(payload.len())).await
    }

    async fn receive(&mut self, count: u64) -> Result<()> {
        tungstenite::take(&mut self.0, count).await
    }
}
