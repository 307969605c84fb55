//! relink: polled by its owner, or in a task of its own.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use relink_tokio::{Client as Handle, Connection, Event, Events, Message, builder};

use super::{Client, batch};
use crate::Result;

pub(super) struct Polled(Box<Connection>);

impl Client for Polled {
    async fn open(url: &str) -> Result<Self> {
        let mut link = Box::new(builder(url).connect()?);
        while !matches!(link.next().await, Some(Event::Connected { .. })) {}
        Ok(Self(link))
    }

    async fn send(&mut self, payload: &Bytes, count: u64) -> Result<()> {
        for number in 1..=count {
            self.0.feed(Message::from(payload.clone())).await?;
            if number % batch(payload.len()) == 0 {
                self.0.flush().await?;
            }
        }
        Ok(self.0.flush().await?)
    }

    async fn receive(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            count -= u64::from(is_message(&self.0.next().await.ok_or("closed")?));
        }
        Ok(())
    }

    async fn idle(mut self) -> Result<()> {
        self.receive(1).await
    }
}

fn is_message(event: &Event) -> bool {
    matches!(event, Event::Message(_))
}

pub(super) struct Spawned {
    client: Handle,
    events: Events,
}

impl Client for Spawned {
    async fn open(url: &str) -> Result<Self> {
        let (client, mut events) = builder(url).spawn()?;
        while !matches!(events.recv().await, Some(Event::Connected { .. })) {}
        Ok(Self { client, events })
    }

    async fn send(&mut self, payload: &Bytes, count: u64) -> Result<()> {
        for _ in 0..count {
            self.client.send(Message::from(payload.clone())).await?;
        }
        Ok(())
    }

    async fn receive(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            count -= u64::from(is_message(&self.events.recv().await.ok_or("closed")?));
        }
        Ok(())
    }

    async fn idle(mut self) -> Result<()> {
        self.receive(1).await
    }
}

/// The same, with events taken in batches.
pub(super) struct InBatches(Spawned);

impl Client for InBatches {
    async fn open(url: &str) -> Result<Self> {
        Spawned::open(url).await.map(Self)
    }

    async fn send(&mut self, payload: &Bytes, count: u64) -> Result<()> {
        self.0.send(payload, count).await
    }

    async fn receive(&mut self, mut count: u64) -> Result<()> {
        let mut batch = Vec::new();
        while count > 0 {
            self.0.events.recv_many(&mut batch, 256).await;
            count -= batch.drain(..).filter(is_message).count() as u64;
        }
        Ok(())
    }
}

/// The same, with an engine that runs between two messages, as in an application that does other
/// things.
pub(super) struct OneByOne(Spawned);

impl Client for OneByOne {
    async fn open(url: &str) -> Result<Self> {
        Spawned::open(url).await.map(Self)
    }

    async fn send(&mut self, payload: &Bytes, count: u64) -> Result<()> {
        for _ in 0..count {
            self.0.send(payload, 1).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn receive(&mut self, count: u64) -> Result<()> {
        self.0.receive(count).await
    }
}
