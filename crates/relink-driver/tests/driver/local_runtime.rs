//! The engine on a runtime with one thread, whose streams, timers and futures are not `Send`.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use relink_driver::relink::{Event, Instant};
use relink_driver::{Builder, Local, Runtime, Sleep, StdClock};
use smol::io::{AsyncRead, AsyncWrite};
use smol::{Async, LocalExecutor};

thread_local! {
    static EXECUTOR: Rc<LocalExecutor<'static>> = Rc::default();
}

#[derive(Clone)]
struct OneThread(StdClock);

/// A stream of which nothing says that it is `Send`.
trait LocalStream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> LocalStream for T {}

struct Timer {
    clock: StdClock,
    timer: Local<(Rc<()>, Option<smol::Timer>)>,
}

impl Runtime for OneThread {
    type Tcp = Local<Box<dyn LocalStream>>;
    type Sleep = Timer;

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn sleep(&self) -> Timer {
        Timer { clock: self.0, timer: Local::new((Rc::default(), None)) }
    }

    fn connect(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::Tcp>> + Send + 'static {
        Local::new(Box::pin(async move {
            let stream: Box<dyn LocalStream> =
                Box::new(Async::<TcpStream>::connect(address).await?);
            Ok(Local::new(stream))
        }))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        EXECUTOR.with(|executor| executor.spawn(task).detach());
    }
}

impl Sleep for Timer {
    fn poll_until(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let left = deadline - self.clock.now();
        let timer = self.timer.1.insert(smol::Timer::after(left));
        Pin::new(timer).poll(cx).map(drop)
    }
}

#[test]
fn a_link_is_cut_comes_back_and_closes_on_a_runtime_that_is_not_send() {
    let script = relink_testing::Script::echo();
    let server = relink_testing::Server::spawn_thread(script).unwrap();
    let executor = EXECUTOR.with(Rc::clone);
    smol::block_on(executor.run(async {
        let builder = Builder::new(OneThread(StdClock::start()), server.url());
        let (client, mut events) = builder.spawn().unwrap();
        let mut returns = 0;
        for text in ["before the cut", "after it"] {
            client.send(text).await.unwrap();
            while events.recv().await.unwrap() != Event::Message(text.into()) {}
            if returns == 0 {
                server.kill_all();
                while returns == 0 {
                    let event = events.recv().await.unwrap();
                    returns += u32::from(matches!(event, Event::Connected { is_reconnect: true }));
                }
            }
        }
        assert_eq!((client.close().await.sent, returns), (2, 1));
    }));
}
