//! A driver on one thread of an async runtime: nothing here is `Send`.

use std::cell::RefCell;
use std::future::{Future, pending};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use relink::session::Secret;
use relink::{
    Address, CloseCode, Event, Failure, Instant, Plain, Session, SessionAction, SessionConfig,
    SessionInput,
};
use relink_driver::{Driver, InboxLimits, StdClock, Wire, WireError, WireLimits};
use smol::channel::{Receiver, Sender};
use smol::future::or;
use smol::{Async, LocalExecutor, Timer};

type Shared = Rc<RefCell<Driver<Plain, SmallRng>>>;

/// What runs the driver. The application has a handle to it, too.
struct Loop {
    driver: Shared,
    clock: StdClock,
    stream: Option<Async<TcpStream>>,
    /// The application has done something.
    woken: Receiver<()>,
    events: Sender<Event>,
}

impl Loop {
    async fn run(mut self) {
        loop {
            let now = self.clock.now();
            if let Some(stream) = &self.stream {
                self.driver.borrow_mut().read(&mut stream.get_ref(), now);
                self.driver.borrow_mut().write(&mut stream.get_ref(), now);
            }
            while let Some(action) = { self.driver.borrow_mut().poll_action() } {
                self.act(action, now).await;
            }
            let is_due = self.driver.borrow_mut().handle_timeout(now);
            while let Some(event) = { self.driver.borrow_mut().poll_event() } {
                let is_last = matches!(event, Event::Closed { .. });
                self.events.send(event).await.unwrap();
                if is_last {
                    return;
                }
            }
            let is_busy = self.driver.borrow_mut().is_busy();
            if !is_due && !is_busy {
                self.wait().await;
            }
        }
    }

    /// Waits for the stream, the time or the application.
    async fn wait(&self) {
        let (deadline, reads, writes) = {
            let mut driver = self.driver.borrow_mut();
            (driver.poll_timeout(), driver.wants_read(), driver.wants_write())
        };
        let readable = async {
            match self.stream.as_ref().filter(|_| reads) {
                Some(stream) => stream.readable().await.unwrap(),
                None => pending().await,
            }
        };
        let writable = async {
            match self.stream.as_ref().filter(|_| writes) {
                Some(stream) => stream.writable().await.unwrap(),
                None => pending().await,
            }
        };
        let woken = async { self.woken.recv().await.unwrap() };
        or(or(readable, writable), or(woken, self.sleep(deadline))).await;
    }

    async fn sleep(&self, deadline: Option<Instant>) {
        match deadline {
            Some(at) => drop(Timer::after(at - self.clock.now()).await),
            None => pending().await,
        }
    }

    async fn act(&mut self, action: SessionAction, now: Instant) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "there are no token providers")]
        match action {
            SessionAction::Dial { id, address, token, .. } => {
                let dialed = self.dial(&address, token.as_ref()).await;
                match dialed {
                    Ok((stream, wire)) => {
                        self.stream = Some(stream);
                        self.driver.borrow_mut().connected(id, wire);
                    }
                    Err(error) => self.driver.borrow_mut().failed(id, error, now),
                }
            }
            SessionAction::Drop { id, farewell } => {
                let last = self.driver.borrow_mut().leave(id, farewell);
                if let (Some(mut last), Some(stream)) = (last, self.stream.take()) {
                    last.write_to(&mut stream.get_ref());
                }
            }
            _ => {}
        }
    }

    fn dial(
        &self,
        address: &Address,
        token: Option<&Secret>,
    ) -> impl Future<Output = Result<(Async<TcpStream>, Wire), WireError>> {
        let prepared = Wire::dial(address, token, WireLimits::default());
        let deadline = self.driver.borrow().poll_timeout();
        async move {
            let (target, wire) = prepared?;
            let to = SocketAddr::new(target.host.parse().unwrap(), target.port);
            let connect = async { Ok(Async::<TcpStream>::connect(to).await?) };
            let late = async {
                self.sleep(deadline).await;
                Err(WireError::new(Failure::Refused, "it takes too long"))
            };
            Ok((or(connect, late).await?, wire))
        }
    }
}

#[test]
fn a_runtime_whose_futures_stay_on_their_thread_can_drive_a_link() {
    let server = relink_testing::Server::spawn_thread(relink_testing::Script::echo()).unwrap();
    let rng = SmallRng::seed_from_u64(1);
    let addresses = vec![server.url().into()];
    let session = Session::new(SessionConfig::default(), addresses, Plain::default(), rng).unwrap();
    let driver = Rc::new(RefCell::new(Driver::new(session, InboxLimits::default())));
    let clock = StdClock::start();
    let (wake, woken) = smol::channel::unbounded();
    let (events, heard) = smol::channel::unbounded();
    let executor = LocalExecutor::new();
    let link = Loop { driver: driver.clone(), clock, stream: None, woken, events };
    let running = executor.spawn(link.run());

    smol::block_on(executor.run(async {
        let tell = |input| {
            driver.borrow_mut().handle(input, clock.now());
            wake.try_send(()).unwrap();
        };
        tell(SessionInput::Connect);
        driver.borrow_mut().send("hello", clock.now()).unwrap();
        loop {
            let event = heard.recv().await.unwrap();
            if let Event::Message(message) = &event {
                assert_eq!(message.as_text(), Some("hello"));
                tell(SessionInput::Close(CloseCode::NORMAL.into()));
            }
            if matches!(event, Event::Closed { .. }) {
                break;
            }
        }
        running.await;
    }));
}
