//! ezsockets, which calls a handler for each message.

use async_trait::async_trait;
use bytes::Bytes;
use ezsockets::{ClientConfig, ClientExt, Error, SocketConfig, Utf8Bytes};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Client, HEARTBEAT};
use crate::Result;

/// Counts; a handler that hands each message on would cost more.
struct Handler {
    expected: u64,
    done: UnboundedSender<()>,
}

#[async_trait]
impl ClientExt for Handler {
    /// How many messages to wait for.
    type Call = u64;

    async fn on_text(&mut self, _: Utf8Bytes) -> std::result::Result<(), Error> {
        Err("no text is sent".into())
    }

    async fn on_binary(&mut self, _: Bytes) -> std::result::Result<(), Error> {
        self.expected = self.expected.wrapping_sub(1);
        self.tell()
    }

    async fn on_connect(&mut self) -> std::result::Result<(), Error> {
        Ok(self.done.send(())?)
    }

    async fn on_call(&mut self, more: u64) -> std::result::Result<(), Error> {
        self.expected = self.expected.wrapping_add(more);
        self.tell()
    }
}

impl Handler {
    fn tell(&mut self) -> std::result::Result<(), Error> {
        if self.expected == 0 { Ok(self.done.send(())?) } else { Ok(()) }
    }
}

pub(super) struct Managed {
    client: ezsockets::Client<Handler>,
    done: UnboundedReceiver<()>,
}

impl Client for Managed {
    async fn open(url: &str) -> Result<Self> {
        let (sender, done) = unbounded_channel();
        let socket =
            SocketConfig { heartbeat: HEARTBEAT, timeout: HEARTBEAT * 3, ..Default::default() };
        let config = ClientConfig::new(url).socket_config(socket);
        let handler = |_| Handler { expected: 0, done: sender };
        let (client, ended) = ezsockets::connect(handler, config).await;
        tokio::spawn(ended);
        let mut client = Self { client, done };
        // What is sent before is lost.
        client.done().await?;
        Ok(client)
    }

    async fn send(&mut self, payload: &Bytes, count: u64) -> Result<()> {
        for number in 1..=count {
            self.client.binary(payload.clone())?;
            // Its queue has no bound.
            if number % 256 == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    async fn receive(&mut self, count: u64) -> Result<()> {
        self.client.call(count)?;
        self.done().await
    }

    async fn idle(mut self) -> Result<()> {
        self.done().await
    }
}

impl Managed {
    async fn done(&mut self) -> Result<()> {
        self.done.recv().await.ok_or_else(|| "closed".into())
    }
}
