//! async-tungstenite, on smol.

use std::future::Future;

use async_tungstenite::WebSocketStream;
use async_tungstenite::smol::{ConnectStream, connect_async};
use bytes::Bytes;

use super::{Client, batch, tungstenite};
use crate::Result;

pub(super) struct OnSmol(WebSocketStream<ConnectStream>);

impl Client for OnSmol {
    fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
        smol::block_on(future)
    }

    async fn open(url: &str) -> Result<Self> {
        Ok(Self(connect_async(url).await?.0))
    }

    async fn send(&mut self, payload: &Bytes, count: u64) -> Result<()> {
        tungstenite::feed(&mut self.0, payload, count, batch(payload.len())).await
    }

    async fn receive(&mut self, count: u64) -> Result<()> {
        tungstenite::take(&mut self.0, count).await
    }
}
