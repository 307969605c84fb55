//! Tokio as a [`Runtime`]: connect, clock, sleep, spawn.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use relink_driver::relink::Instant;
use relink_driver::{Runtime, Sleep, Suspension};
use tokio::net::TcpStream;
use tokio::time::Instant as TokioInstant;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

/// The caller's runtime. Its clock is tokio's, so that tests can pause it, plus the time for which
/// the machine was suspended.
#[derive(Debug, Clone, Copy)]
pub struct Tokio {
    origin: TokioInstant,
    suspension: Suspension,
}

impl Tokio {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: TokioInstant::now(), suspension: Suspension::start() }
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
        let awake = self.origin.elapsed();
        Instant::from_origin(awake + self.suspension.so_far(awake))
    }

    fn sleep(&self) -> Timer {
        Timer { clock: *self, set: None, sleep: None }
    }

    fn connect(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::Tcp>> + Send + 'static {
        connect(address)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }
}

async fn connect(address: SocketAddr) -> io::Result<Compat<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream.compat())
}

/// Tokio's timer. It is created, reset and polled only when there is a reason: another deadline,
/// another task, a suspension, or that it is due.
#[derive(Debug)]
pub struct Timer {
    clock: Tokio,
    /// What it was last set to, the suspension that was known by then, and who waits.
    set: Option<(Instant, Duration, Waker)>,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Sleep for Timer {
    fn poll_until(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let Tokio { origin, suspension } = self.clock;
        let suspended = suspension.known();
        let is_set = self.set.as_ref().is_some_and(|(at, by_then, waker)| {
            (*at, *by_then) == (deadline, suspended) && waker.will_wake(cx.waker())
        });
        let at = || origin + deadline.since_origin().saturating_sub(suspended);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at())));
        if is_set && !sleep.is_elapsed() {
            return Poll::Pending;
        }
        if sleep.deadline() != at() {
            sleep.as_mut().reset(at());
        }
        self.set = Some((deadline, suspended, cx.waker().clone()));
        sleep.as_mut().poll(cx)
    }
}
