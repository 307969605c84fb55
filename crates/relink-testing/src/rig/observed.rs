//! A runtime with a look at what a link asks of it, and ways to wait on it.

use std::{
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::io::{AsyncRead, AsyncWrite};
use relink_driver::{Runtime, Sleep, relink::Instant};

use super::LONG;

/// A runtime that counts the tasks and sockets of the links on it, and whose machine can be
/// suspended.
#[derive(Clone)]
pub struct Observed<Rt> {
    rt: Rt,
    tasks: Arc<Count>,
    sockets: Arc<Count>,
    /// The addresses of every name, in place of the resolver's.
    names: Option<Vec<SocketAddr>>,
    /// The milliseconds for which the machine was suspended.
    suspended: Arc<AtomicU64>,
}

impl<Rt: Runtime> Observed<Rt> {
    /// Observes this runtime.
    pub fn new(rt: Rt) -> Self {
        Self {
            rt,
            tasks: Arc::default(),
            sockets: Arc::default(),
            names: None,
            suspended: Arc::default(),
        }
    }

    /// The same, on which every name has these addresses.
    pub fn with_names(rt: Rt, addresses: Vec<SocketAddr>) -> Self {
        Self { names: Some(addresses), ..Self::new(rt) }
    }

    /// Suspends the machine for this long: its clock continues, its timers stop.
    pub fn suspend(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).expect("some hours");
        self.suspended.fetch_add(millis, Ordering::SeqCst);
    }

    /// Waits for the future, or for this long.
    pub async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let (mut sleep, deadline) = (self.sleep(), self.now() + limit);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => sleep.poll_until(deadline, cx).map(|()| None),
        })
        .await
    }

    /// Waits for the future, which must not take long.
    pub async fn soon<T>(&self, future: impl Future<Output = T>) -> T {
        self.within(LONG, future).await.expect("took too long")
    }

    /// Lets time pass that the case is about.
    pub async fn pass(&self, time: Duration) {
        self.within(time, std::future::pending::<()>()).await;
    }

    /// Waits for something that can only be asked for, not listened to.
    pub async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = self.now() + LONG;
        while !holds() {
            assert!(self.now() < deadline, "never came true: {what}");
            self.pass(Duration::from_millis(2)).await;
        }
    }

    /// Waits until no task of a link is left.
    pub async fn idle(&self) {
        self.until("no task is left", || self.tasks.now.load(Ordering::SeqCst) == 0).await;
    }

    /// The most sockets that were ever open at once.
    pub fn most_sockets(&self) -> usize {
        self.sockets.most.load(Ordering::SeqCst)
    }
}

impl<Rt: Runtime> Runtime for Observed<Rt> {
    type Tcp = ObservedSocket<Rt::Tcp>;
    type Sleep = ObservedSleep<Rt::Sleep>;

    fn now(&self) -> Instant {
        self.rt.now() + suspended(&self.suspended)
    }

    fn sleep(&self) -> Self::Sleep {
        ObservedSleep { timer: self.rt.sleep(), suspended: Arc::clone(&self.suspended) }
    }

    fn lookup(
        &self,
        host: String,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static {
        let (rt, names) = (self.rt.clone(), self.names.clone());
        async move {
            match names {
                Some(addresses) => Ok(addresses),
                None => rt.lookup(host, port).await,
            }
        }
    }

    fn connect(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::Tcp>> + Send + 'static {
        let (rt, sockets) = (self.rt.clone(), Arc::clone(&self.sockets));
        async move {
            rt.connect(address)
                .await
                .map(|tcp| ObservedSocket { tcp, _counted: Counted::new(&sockets) })
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let counted = Counted::new(&self.tasks);
        self.rt.spawn(async move {
            let _counted = counted;
            task.await;
        });
    }
}

/// A timer of the runtime, which knows nothing of the time suspended.
pub struct ObservedSleep<Timer> {
    timer: Timer,
    suspended: Arc<AtomicU64>,
}

impl<Timer: Sleep> Sleep for ObservedSleep<Timer> {
    fn poll_until(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let awake = deadline.since_origin().saturating_sub(suspended(&self.suspended));
        self.timer.poll_until(Instant::from_origin(awake), cx)
    }
}

fn suspended(millis: &AtomicU64) -> Duration {
    Duration::from_millis(millis.load(Ordering::SeqCst))
}

/// A socket that is counted while it lives.
pub struct ObservedSocket<Tcp> {
    tcp: Tcp,
    _counted: Counted,
}

impl<Tcp: AsyncRead + Unpin> AsyncRead for ObservedSocket<Tcp> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_read(cx, into)
    }
}

impl<Tcp: AsyncWrite + Unpin> AsyncWrite for ObservedSocket<Tcp> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_close(cx)
    }
}

/// How many there are, and how many there were at most.
#[derive(Default)]
struct Count {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// One of them, as long as it lives.
struct Counted(Arc<Count>);

impl Counted {
    fn new(count: &Arc<Count>) -> Self {
        let now = count.now.fetch_add(1, Ordering::SeqCst) + 1;
        count.most.fetch_max(now, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}
