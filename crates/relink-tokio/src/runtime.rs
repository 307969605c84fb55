//! Tokio, as a link sees it: look up, connect, clock, sleep, spawn.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use relink_driver::relink::Instant;
use relink_driver::{Runtime, Sleep};
use tokio::net::TcpStream;
use tokio::time::Instant as TokioInstant;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

/// The runtime that the caller runs on. Its clock is tokio's, so that it stands still where tests pause it.
#[derive(Debug, Clone, Copy)]
pub struct Tokio {
    origin: TokioInstant,
}

impl Tokio {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: TokioInstant::now() }
    }
}

impl Default for Tokio {
    fn default() -> Self {
        Self::new()
    }
}

impl Runtime for Tokio {
    type Tcp = Compat<TcpStream>;
    type Sleep = Timer;

    fn now(&self) -> Instant {
        Instant::from_origin(self.origin.elapsed())
    }

    fn sleep(&self) -> Timer {
        Timer { origin: self.origin, sleep: None }
    }

    fn lookup(
        &self,
        host: String,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static {
        lookup(host, port)
    }

    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Tcp>> + Send + 'static {
        connect(address)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }
}

async fn lookup(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

async fn connect(address: SocketAddr) -> io::Result<Compat<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream.compat())
}

/// Tokio's timer. It is made and moved only when the deadline changes.
#[derive(Debug)]
pub struct Timer {
    origin: TokioInstant,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Sleep for Timer {
    fn poll_until(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.origin + deadline.since_origin();
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    }
}
