//! The handles of a spawned link: reopening, looking, and what they promise to the compiler.

use std::{
    fmt::Debug,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::{AsyncRead, AsyncWrite, FutureExt};
use relink_driver::{
    BuildError, Builder, Client, ClientCell, ConnectError, Connection as Polled, Events,
    InvalidUrl, Runtime,
    relink::{
        CloseCode, ClosedReason, Event, Failure, Instant, Message, Phase, Plain, Protocol, Reason,
        SendError, State,
        link::{Hint, Indicator, ReopenPolicy, Status},
        protocol::{ClientFrame, ProtocolEvent},
        session::{Frame, SendErrorKind},
    },
};

use super::{
    pipe::{Near, serve_pipe},
    setup::{ms, quick, quick_link, saw_text, serve, spawn, start, start_config, start_with},
};
use crate::rig::Observed;
use crate::{AfterLast, Connection, Refusal, Script};

/// A link that gave up can be connected again; its events continue.
pub async fn i17_connect_works_again_after_giving_up<Rt: Runtime>(rt: Rt) {
    reopens(rt, |client| client.connect().expect("it gave up")).await;
}

/// So can a person's retry.
pub async fn i17_retry_now_works_again_after_giving_up<Rt: Runtime>(rt: Rt) {
    reopens(rt, Client::retry_now).await;
}

/// While the link closes, `connect` is remembered, if the end is not final; who waits for the end
/// learns of it.
pub async fn i17_connect_while_it_closes_comes_back_after_the_end<Rt: Runtime>(rt: Rt) {
    let again: [fn(&Client); 2] =
        [|client| client.connect().expect("it comes back"), Client::retry_now];
    for again in again {
        let config =
            quick_link(|link| link.with_reopen(ReopenPolicy::Always).with_close_timeout(ms(100)));
        let script = Script::new().connection(Connection::new().silent()).then(AfterLast::Echo);
        let (server, mut link) = start_config(rt.clone(), script, config);
        link.connected().await;
        let closing = link.client.close();
        again(&link.client);
        let farewell = link.rt.soon(closing).await;
        assert_eq!(farewell.reason.name(), "requested");
        link.until(|event| matches!(event, Event::Closed { .. }).then_some(())).await;
        assert!(!link.connected().await, "a fresh start");
        link.send("again").await;
        saw_text(&server, "again").await;
        assert_eq!(server.connections(), 2);
    }
}

/// Or it returns an error, if the link will not come back.
pub async fn i17_connect_while_it_closes_says_if_the_end_is_final<Rt: Runtime>(rt: Rt) {
    for reopen in [ReopenPolicy::Never, ReopenPolicy::AfterGivingUp] {
        let config = quick_link(|link| link.with_reopen(reopen).with_close_timeout(ms(100)));
        let (_server, mut link) = start_config(rt.clone(), Connection::new().silent(), config);
        link.connected().await;
        let closing = link.client.close();
        let ended = link.client.connect().expect_err("it is final");
        assert_eq!(ended.reason.name(), "requested");
        link.client.retry_now();
        link.rt.soon(closing).await;
        assert_eq!(link.closed().await.name(), "requested");
        link.rt.idle().await;
    }
}

/// A deliberate close is final.
pub async fn m23_a_deliberate_close_is_final<Rt: Runtime>(rt: Rt) {
    let (server, mut link) = start(rt, Script::echo());
    link.connected().await;
    link.rt.soon(link.client.close()).await;
    let ended = link.client.connect().expect_err("it is final");
    let words = "link is closed (requested) and cannot be connected again; create a new one";
    assert_eq!(ended.to_string(), words);
    link.client.retry_now();
    link.closed().await;
    link.rt.idle().await;
    assert_eq!(server.connections(), 1);
}

/// A client cell returns the live link, and a new one if that is closed.
pub async fn d10_a_renewable_handle_hands_out_the_live_link_or_a_fresh_one<Rt: Runtime>(rt: Rt) {
    let server = serve(Script::echo());
    let rt = Observed::new(rt);
    let (url, runtime, made) = (server.url(), rt.clone(), Arc::new(AtomicU32::new(0)));
    let count = made.clone();
    let renewable = ClientCell::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
        Builder::new(runtime.clone(), &url).config(quick()).spawn().map(|(client, _events)| client)
    });
    assert!(
        renewable.live().is_none() && made.load(Ordering::SeqCst) == 0,
        "made when it is asked for"
    );
    let first = renewable.get().expect("it can be made");
    first.send("one").await.expect("it is live");
    saw_text(&server, "one").await;
    renewable.get().expect("the same").send("two").await.expect("it is live");
    saw_text(&server, "two").await;
    assert_eq!((made.load(Ordering::SeqCst), server.connections()), (1, 1));

    // One user logs out, another logs in: the cell returns the next link.
    rt.soon(first.close()).await;
    assert!(renewable.live().is_none());
    first.send("again").await.expect_err("the old handle stays at its end");
    let second = renewable.get().expect("it can be made again");
    second.send("three").await.expect("it is live");
    saw_text(&server, "three").await;
    assert_eq!((made.load(Ordering::SeqCst), server.connections()), (2, 2));
    rt.soon(second.close()).await;
}

/// A link that closes while it is down accepts no messages, though it keeps trying: the cell
/// returns the next one.
pub async fn d10_a_renewable_handle_hands_out_no_link_that_is_down_and_closes<Rt: Runtime>(rt: Rt) {
    let rt = Observed::new(rt);
    let runtime = rt.clone();
    let renewable = ClientCell::new(move || {
        let config = quick_link(|link| link.with_flush_timeout(ms(500)));
        let builder = Builder::new(runtime.clone(), "ws://in.memory/").config(config);
        let never = builder.connector(|_| std::future::pending::<io::Result<Brittle>>());
        never.spawn().map(|(client, _events)| client)
    });
    let first = renewable.get().expect("it can be made");
    first.send("queued").await.expect("it is live");
    let closing = first.close();
    assert!(!matches!(first.state(), State::Closing | State::Closed(_)), "it goes on trying");
    assert!(renewable.live().is_none(), "but takes no messages");
    let second = renewable.get().expect("another can be made");
    second.try_send("taken").expect("it is live");
    rt.soon(closing).await;
    rt.soon(second.close()).await;
}

/// Retry-now replaces the wait, and asking five times makes no second loop.
pub async fn i17_retry_now_replaces_the_wait<Rt: Runtime>(rt: Rt) {
    let script = Script::new().connection(Connection::refuse(404)).then(AfterLast::Echo);
    let (server, mut link) = start(rt, script);
    link.attempt_failed().await;
    assert_eq!(link.client.state(), State::Connecting(Phase::Waiting));
    for _ in 0..5 {
        link.client.retry_now();
        link.client.connect().expect("it is on its way");
    }
    link.connected().await;
    link.send("one link").await;
    saw_text(&server, "one link").await;
    assert_eq!((server.connections(), server.live(), link.client.stats().dials), (2, 1, 2));
}

/// Whatever happens, there is never more than one socket.
pub async fn i01_there_is_never_more_than_one_socket<Rt: Runtime>(rt: Rt) {
    let script = Script::new()
        .connection(Connection::new().send_text("hello").reset())
        .connection(Connection::new().close(1001, ""))
        .connection(Connection::refuse(500))
        .connection(Connection::blackhole())
        .connection(Connection::new().silent())
        .connection(Connection::refuse(Refusal::new(302).location("/there")))
        .connection(Connection::drop_at_once())
        .then(AfterLast::Repeat);
    let config = quick_link(|link| {
        let heartbeat = link.heartbeat.with_timeout(ms(20)).with_probe(ms(100));
        let heartbeat = heartbeat.with_interval(Some(ms(20)));
        link.with_heartbeat(heartbeat).with_connect_timeout(ms(30)).with_stable_after(ms(5))
    });
    let (server, mut link) = start_config(rt, script, config);
    while server.connections() < 28 {
        link.next().await;
        link.client.connect().expect("it is on its way");
        link.client.retry_now();
        link.client.hint(Hint::Online);
        link.client.hint(Hint::Wake);
    }
    link.rt.soon(link.client.close()).await;
    link.rt.idle().await;
    assert_eq!(link.rt.most_sockets(), 1);
}

/// State, color and statistics agree with the events.
pub async fn d09_state_and_statistics_can_be_read_at_any_time<Rt: Runtime>(rt: Rt) {
    let script = Script::new()
        .connection(Connection::refuse(500))
        .connection(Connection::new().expect_text("12345").close(4010, ""))
        .then(AfterLast::Echo);
    let (_server, mut link) = start(rt, script);
    assert!(!link.client.state().is_usable());
    link.connected().await;
    assert_eq!((link.client.state(), link.client.shown()), (State::Connected, Status::Connected));
    assert_eq!(link.client.indicator(), Indicator::Good);
    link.send("12345").await;
    link.disconnected().await;
    link.rt.until("the wait", || link.client.state() == State::Reconnecting(Phase::Waiting)).await;
    assert_eq!(
        (link.client.shown(), link.client.indicator()),
        (Status::Reconnecting, Indicator::Neutral)
    );
    link.client.retry_now();
    link.connected().await;
    link.rt.soon(link.client.close()).await;
    assert_eq!(link.client.indicator(), Indicator::Bad);
    let stats = link.client.stats();
    assert_eq!(
        (stats.dials, stats.failed_attempts, stats.connects, stats.disconnects),
        (3, 1, 2, 1)
    );
    assert_eq!(
        (stats.messages_sent, stats.bytes_sent, stats.queued, stats.queued_peak),
        (1, 5, 0, 0)
    );
    assert_eq!((stats.connected_for.count(), stats.recovered_in.count()), (2, 1));
}

/// States are reported in order, each from the one before, and none twice.
pub async fn i04_the_order_of_events_is_the_order_of_transitions<Rt: Runtime>(rt: Rt) {
    let script = Script::new()
        .connection(Connection::refuse(500))
        .connection(Connection::new().close(1001, ""))
        .connection(Connection::new().close(4020, ""));
    let (_server, mut link) = start(rt, script);
    link.closed().await;
    let mut at = State::Idle;
    for event in link.heard() {
        let Event::State { from, to, .. } = event else { continue };
        assert_eq!(*from, at);
        assert_ne!(from, to);
        at = *to;
    }
    assert!(at.is_closed());
    let ends = link.heard().iter().filter(|event| matches!(event, Event::Closed { .. }));
    assert_eq!(ends.count(), 1, "I31");
}

/// A handle works from a thread that knows no runtime.
pub async fn a_handle_works_from_any_thread<Rt: Runtime>(rt: Rt) {
    let (server, mut link) = start(rt, Script::echo());
    link.connected().await;
    let (client, (done, is_done)) = (link.client.clone(), mpsc::channel());
    std::thread::spawn(move || done.send(client.try_send("from a thread").is_ok()));
    saw_text(&server, "from a thread").await;
    assert_eq!(is_done.recv(), Ok(true));
}

/// A connector that panics, at once or later, and a stream that does are failed attempts, as a
/// refused port is.
pub async fn a_connector_that_panics_is_a_failed_attempt<Rt: Runtime>(rt: Rt) {
    let tries = AtomicU32::new(0);
    let mut link = spawn(rt, "ws://in.memory/", |builder| {
        builder.connector(move |_| {
            let number = tries.fetch_add(1, Ordering::SeqCst);
            assert_ne!(number, 0, "this panic is part of the test");
            async move {
                assert_ne!(number, 1, "this panic is part of the test");
                let near = serve_pipe(|mut peer| while peer.read().is_ok() {});
                Ok(Brittle { near, breaks: number == 2 })
            }
        })
    });
    for _ in 0..3 {
        let failed = link.attempt_failed().await;
        assert_eq!(failed.reason, Reason::Failed(Failure::Io), "{failed:?}");
        assert!(failed.detail.contains("panicked"), "{failed:?}");
    }
    link.connected().await;
    assert_eq!(link.rt.soon(link.client.close()).await.reason.name(), "requested");
}

/// A panic of the application's protocol ends the link, with its own reason; no future waits for
/// ever.
pub async fn an_engine_that_dies_says_so<Rt: Runtime>(rt: Rt) {
    let script = Connection::new().expect_text("go").send_text("boom");
    let config = quick_link(|link| link.with_reopen(ReopenPolicy::Always));
    let (_server, mut link) =
        start_with(rt, script, |builder| builder.config(config).protocol(PanicsAt("boom")));
    link.connected().await;
    let client = link.client.clone();
    let mut waiting = pin!(client.closed());
    assert!(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await);
    link.send("go").await;
    assert_eq!(link.rt.soon(waiting).await.reason, ClosedReason::DriverGone);
    assert_eq!(link.closed().await.name(), "driver_gone");
    let refused = link.client.try_send("late").expect_err("it is closed");
    assert_eq!((refused.reason, refused.message.as_text()), (SendErrorKind::Closed, Some("late")));
    link.client.connect().expect_err("there is no task to connect it");
    link.rt.idle().await;
}

/// Who waits for the end, or for room, and looks away is forgotten at once.
pub async fn who_stops_waiting_leaves_nothing_behind<Rt: Runtime>(rt: Rt) {
    struct Task;
    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    let outbox = quick().with_outbox(quick().outbox.with_max_messages(1));
    let (_server, mut link) = start_config(rt, Script::refuse(404), outbox);
    link.attempt_failed().await;
    link.send("fills it").await;
    let task = Arc::new(Task);
    let (waker, client) = (Waker::from(task.clone()), link.client.clone());
    let held = Arc::strong_count(&task);
    let poll = |future: Pin<&mut dyn Future<Output = ()>>| {
        assert!(future.poll(&mut Context::from_waker(&waker)).is_pending());
    };
    let mut waiting: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    for number in 0..1000_u32 {
        waiting.push(Box::pin(client.closed().map(drop)));
        waiting.push(Box::pin(client.send(number.to_string()).map(drop)));
    }
    waiting.iter_mut().for_each(|future| poll(future.as_mut()));
    assert_eq!(Arc::strong_count(&task), held + 2000);
    waiting.clear();
    assert_eq!(Arc::strong_count(&task), held);
}

/// Handles are `Clone + Send + Sync + 'static`, errors are errors, and every future can move
/// between threads. The compiler checks it.
pub async fn e03_handles_and_futures_can_go_anywhere<Rt: Runtime>(_: Rt) {
    fn handle<T: Clone + Debug + Send + Sync + 'static>() {}
    fn owned<T: Debug + Send + 'static>() {}
    fn error<T: std::error::Error + Send + Sync + 'static>() {}
    fn future(_: impl Send) {}
    fn futures(client: &Client, events: &mut Events) {
        future(client.send("x"));
        future(client.close());
        future(client.close_with(CloseCode::NORMAL, ""));
        future(client.closed());
        future(events.recv());
    }
    handle::<Client>();
    owned::<Events>();
    owned::<Polled<Rt>>();
    owned::<Builder<Rt>>();
    error::<BuildError>();
    error::<InvalidUrl>();
    error::<ConnectError>();
    error::<SendError>();
    _ = futures;
}

/// Passes messages as they are, and panics at one of them.
#[derive(Debug)]
struct PanicsAt(&'static str);

impl Protocol for PanicsAt {
    fn receive(&mut self, message: Message, events: &mut Vec<ProtocolEvent>) {
        assert_ne!(message.as_text(), Some(self.0), "this panic is part of the test");
        Plain::default().receive(message, events);
    }

    fn send(&mut self, frame: ClientFrame, frames: &mut Vec<Frame>, now: Instant) {
        Plain::default().send(frame, frames, now);
    }
}

/// A stream that panics when it is read, or does not.
struct Brittle {
    near: Near,
    breaks: bool,
}

impl AsyncRead for Brittle {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        assert!(!self.breaks, "this panic is part of the test");
        Pin::new(&mut self.near).poll_read(cx, into)
    }
}

impl AsyncWrite for Brittle {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.near).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.near).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.near).poll_close(cx)
    }
}

/// Gives up after two attempts, and is connected again.
async fn reopens<Rt: Runtime>(rt: Rt, again: fn(&Client)) {
    let script = Script::new()
        .connection(Connection::refuse(500))
        .connection(Connection::refuse(500))
        .then(AfterLast::Echo);
    let config = quick_link(|link| link.with_budget(link.budget.with_max_attempts(Some(2))));
    let (server, mut link) = start_config(rt, script, config);
    assert_eq!(link.closed().await.name(), "attempts_exhausted");
    again(&link.client);
    assert!(!link.connected().await, "a fresh start");
    link.send("again").await;
    saw_text(&server, "again").await;
    assert_eq!(server.connections(), 3);
}
