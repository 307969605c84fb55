//! async-std as a [`Runtime`]: connect, clock, sleep, spawn.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_std::net::TcpStream;
use relink_driver::relink::Instant;
use relink_driver::{Runtime, Sleep, StdClock};

/// The global runtime of async-std.
#[derive(Debug, Clone, Copy)]
pub struct AsyncStd {
    clock: StdClock,
}

impl AsyncStd {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { clock: StdClock::start() }
    }
}

impl Default for AsyncStd {
    fn default() -> Self {
        Self::new()
    }
}

impl Runtime for AsyncStd {
    type Tcp = TcpStream;
    type Sleep = Timer;

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn sleep(&self) -> Timer {
        Timer { clock: self.clock, armed: None }
    }

    fn connect(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::Tcp>> + Send + 'static {
        connect(address)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        async_std::task::spawn(task);
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A timer of async-io, on which async-std is built. It is reset only when the deadline changes.
#[derive(Debug)]
pub struct Timer {
    clock: StdClock,
    armed: Option<(Instant, async_io::Timer)>,
}

impl Sleep for Timer {
    fn poll_until(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.clock.now();
        if now >= deadline {
            self.armed = None;
            return Poll::Ready(());
        }
        let timer = match &mut self.armed {
            Some((armed_for, timer)) if *armed_for == deadline => timer,
            armed => &mut armed.insert((deadline, async_io::Timer::after(deadline - now))).1,
        };
        Pin::new(timer).poll(cx).map(|_| ())
    }
}
