//! The link without a task: a `Stream` and a `Sink` in the hands of its owner.

use std::{
    future::ready,
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake},
};

use futures_util::{AsyncRead, AsyncWrite, FutureExt, Sink, SinkExt, Stream, StreamExt};
use relink_driver::{
    Builder, Connection as Polled, Runtime,
    relink::{
        CloseCode, Event, Message, SessionConfig, State, link::ReopenPolicy, session::SendErrorKind,
    },
};
use tokio::sync::oneshot;

use super::{
    pipe::{Near, serve_pipe},
    setup::{LATE, builder, end_of, ms, quick, quick_link, saw_text, secs, serve},
};
use crate::rig::Observed;
use crate::{AfterLast, Connection, EventKind, Script};

/// It connects, sends, receives and comes back while it is polled; after the end the stream is
/// over.
pub async fn a_polled_link_comes_back_while_it_is_polled<Rt: Runtime>(rt: Rt) {
    let script = Script::new()
        .connection(Connection::new().expect_text("one").send_text("two").close(1001, "deploy"))
        .then(AfterLast::Echo);
    let server = serve(script);
    let (rt, mut link) = polled(rt, &server.url(), quick());
    rt.soon(link.send("one".into())).await.expect("it is taken");
    assert_eq!(text(&rt, &mut link).await, "two");
    assert!(until(&rt, &mut link, connected).await);
    rt.soon(link.send("three".into())).await.expect("it is taken");
    assert_eq!(text(&rt, &mut link).await, "three");
    assert_eq!((link.stats().connects, link.state()), (2, State::Connected));

    rt.soon(link.close()).await.expect("it is closed");
    assert_eq!(until(&rt, &mut link, closed).await, "requested");
    assert_eq!(rt.soon(link.next()).await, None);
    assert!(matches!(end_of(&server, 2).await, EventKind::PeerClosed { code: Some(1000), .. }));
    let refused = rt.soon(link.send("late".into())).await.expect_err("it is closed");
    assert_eq!((refused.reason, refused.message.as_text()), (SendErrorKind::Closed, Some("late")));
}

/// Both halves of a split run in separate tasks, and each sees what the other caused.
pub async fn both_halves_of_a_split_can_live_in_tasks_of_their_own<Rt: Runtime>(rt: Rt) {
    let server = serve(Script::echo());
    let (rt, link) = polled(rt, &server.url(), quick());
    let (mut sink, mut stream) = link.split();
    let (read, was_read) = oneshot::channel();
    rt.spawn(async move {
        let mut heard = Vec::new();
        while let Some(event) = stream.next().await {
            heard.push(event);
        }
        _ = read.send(heard);
    });
    let (wrote, was_written) = oneshot::channel();
    rt.spawn(async move {
        for number in 0..500 {
            sink.send(number.to_string().into()).await.expect("it is taken");
        }
        sink.close().await.expect("it is closed");
        _ = wrote.send(());
    });
    rt.soon(was_written).await.expect("the writer ended");
    let heard = rt.soon(was_read).await.expect("the reader ended");
    assert!(matches!(heard.last(), Some(Event::Closed { .. })));
    assert_eq!(server.texts(1).len(), 500);
    rt.idle().await;
}

/// The reading half sees the end that the other half causes, although the server sends nothing.
pub async fn a_split_that_waits_is_closed_from_its_other_half<Rt: Runtime>(rt: Rt) {
    let server = serve(Script::refuse(404));
    let (rt, link) = polled(rt, &server.url(), quick());
    let (mut sink, mut stream) = link.split();
    let ((failed, has_failed), (ended, has_ended)) = (oneshot::channel(), oneshot::channel());
    rt.spawn(async move {
        let mut failed = Some(failed);
        while let Some(event) = stream.next().await {
            let failed = failed.take_if(|_| matches!(event, Event::AttemptFailed { .. }));
            failed.map(|failed| failed.send(()));
        }
        _ = ended.send(());
    });
    rt.soon(has_failed).await.expect("the first attempt failed");
    // By now the reader has received everything, and sleeps.
    rt.pass(ms(20)).await;
    rt.soon(sink.close()).await.expect("it is closed");
    rt.soon(has_ended).await.expect("the reader hears of it");
}

/// The reading half gets `Sent` events, while the other half sends and the server is quiet.
pub async fn a_split_tells_its_reader_what_its_writer_sent<Rt: Runtime>(rt: Rt) {
    let server = serve(Connection::new().silent());
    // No deadline comes near that could wake the reader by chance.
    let config = quick_link(|link| link.with_stable_after(secs(60)));
    let (rt, link) = polled(rt, &server.url(), config);
    let (mut sink, mut stream) = link.split();
    let ((up, is_up), (sent, was_sent)) = (oneshot::channel(), oneshot::channel());
    rt.spawn(async move {
        let (mut up, mut sent) = (Some(up), Some(sent));
        while let Some(event) = stream.next().await {
            let up = up.take_if(|_| matches!(event, Event::Connected { .. }));
            up.map(|up| up.send(()));
            let sent = sent.take_if(|_| matches!(event, Event::Sent { .. }));
            sent.map(|sent| sent.send(()));
        }
    });
    rt.soon(is_up).await.expect("the link is up");
    rt.pass(ms(20)).await;
    rt.soon(sink.send("word".into())).await.expect("it is taken");
    rt.soon(was_sent).await.expect("the reader hears of it");
    drop(sink);
}

/// `send` is done when every byte was written to the transport: stopping to poll then loses
/// nothing.
pub async fn a_message_that_was_sent_is_out_of_the_owners_hands<Rt: Runtime>(rt: Rt) {
    let (heard, was_heard) = oneshot::channel();
    let heard = Mutex::new(Some(heard));
    let connect = move |_| {
        let heard = heard.lock().ok().and_then(|mut heard| heard.take());
        let near = serve_pipe(move |mut peer| {
            let message = peer.read().ok().map(|message| message.len());
            heard.map(|heard| heard.send(message));
        });
        ready(Ok(Narrow { near, is_open: false }))
    };
    let rt = Observed::new(rt);
    let builder = Builder::new(rt.clone(), "ws://in.memory/").config(quick()).connector(connect);
    let mut link = builder.connect().expect("a link");
    until(&rt, &mut link, connected).await;
    rt.soon(link.send(vec![7; 100_000].into())).await.expect("it is taken");
    drop(link);
    assert_eq!(rt.soon(was_heard).await, Ok(Some(100_000)));
}

/// The sink waits while the outbox is full, and continues in order when there is room.
pub async fn a_full_outbox_makes_the_sink_wait<Rt: Runtime>(rt: Rt) {
    let server = serve(Script::new().connection(Connection::refuse(404)).then(AfterLast::Echo));
    let config = quick();
    let config = config.with_outbox(config.outbox.with_max_messages(1));
    let (rt, mut link) = polled(rt, &server.url(), config);
    until(&rt, &mut link, |event| matches!(event, Event::AttemptFailed { .. }).then_some(())).await;
    // One in the outbox; another one may be in the sink's own hands.
    let texts = ["1", "2", "3", "4"];
    let taken =
        texts.iter().take_while(|text| link.feed((**text).into()).now_or_never().is_some()).count();
    assert!((1..=2).contains(&taken), "{taken}");
    link.retry_now();
    rt.soon(link.send("last".into())).await.expect("there is room again");
    saw_text(&server, "last").await;
    assert_eq!(server.texts(2), [&texts[..taken], &["last"]].concat());
}

/// A close that waits for the peer waits: it does not wake its own task over and over.
pub async fn a_close_that_waits_does_not_spin<Rt: Runtime>(rt: Rt) {
    let server = serve(Connection::new().silent());
    let config = quick_link(|link| link.with_stable_after(secs(60)).with_close_timeout(secs(60)));
    let (rt, mut link) = polled(rt, &server.url(), config);
    until(&rt, &mut link, connected).await;
    let wakes = Arc::<Wakes>::default();
    let waker = wakes.clone().into();
    let mut closing = pin!(link.close());
    let mut quiet = 0;
    for _ in 0..20 {
        let before = wakes.0.load(Ordering::SeqCst);
        assert!(closing.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        quiet += usize::from(wakes.0.load(Ordering::SeqCst) == before);
    }
    assert!(quiet >= 10, "{quiet} of 20");
}

/// Messages that the sink accepted before the link was up are sent before it closes.
pub async fn a_polled_link_sends_what_it_took_before_it_closes<Rt: Runtime>(rt: Rt) {
    let server = serve(Script::new().connection(Connection::refuse(500)).then(AfterLast::Echo));
    let (rt, mut link) = polled(rt, &server.url(), quick());
    rt.soon(link.feed("hello".into())).await.expect("it is taken");
    rt.soon(link.close()).await.expect("it is closed");
    assert_eq!(link.stats().messages_sent, 1);
    assert_eq!(server.texts(2), ["hello"]);
    assert!(matches!(end_of(&server, 2).await, EventKind::PeerClosed { code: Some(1000), .. }));
}

/// A message that found no room comes back, in a bounded time, when the link closes while its
/// server is away.
pub async fn a_polled_link_that_closes_hands_back_what_found_no_room<Rt: Runtime>(rt: Rt) {
    let server = serve(Script::refuse(500));
    let config = quick_link(|link| link.with_flush_timeout(ms(100)));
    let config = config.with_outbox(config.outbox.with_max_messages(1));
    let (rt, mut link) = polled(rt, &server.url(), config);
    rt.soon(link.feed("queued".into())).await.expect("there is room");
    Pin::new(&mut link).start_send("held".into()).expect("the sink takes one more");
    let start = rt.now();
    let refused = rt.soon(link.close()).await.expect_err("there was never room");
    assert_eq!((refused.reason, refused.message.as_text()), (SendErrorKind::Closed, Some("held")));
    assert!((ms(100)..ms(100) + LATE).contains(&(rt.now() - start)));
    rt.soon(link.close()).await.expect("it is closed");
    assert_eq!(until(&rt, &mut link, closed).await, "requested");
    assert_eq!((link.stats().messages_refused, link.stats().messages_dropped), (1, 1));
}

/// A custom code and reason; the stream has the end.
pub async fn a_polled_link_closes_with_a_code_of_its_own<Rt: Runtime>(rt: Rt) {
    let server = serve(Script::echo());
    let (rt, mut link) = polled(rt, &server.url(), quick());
    until(&rt, &mut link, connected).await;
    link.start_close(CloseCode(4321), "good night");
    assert_eq!(until(&rt, &mut link, closed).await, "requested");
    let reason = "good night".to_owned();
    assert_eq!(end_of(&server, 1).await, EventKind::PeerClosed { code: Some(4321), reason });
}

/// After giving up it can be connected again, and its stream continues.
pub async fn i17_a_polled_link_works_again_after_giving_up<Rt: Runtime>(rt: Rt) {
    let server = serve(Script::new().connection(Connection::refuse(500)).then(AfterLast::Echo));
    let config = quick_link(|link| link.with_budget(link.budget.with_max_attempts(Some(1))));
    let (rt, mut link) = polled(rt, &server.url(), config);
    assert_eq!(until(&rt, &mut link, closed).await, "attempts_exhausted");
    assert_eq!(rt.soon(link.next()).await, None);
    link.connect().expect("it gave up");
    until(&rt, &mut link, connected).await;
    assert_eq!(server.connections(), 2);
}

/// If it is reconnected while it closes, it comes back after the end, or returns an error.
pub async fn i17_a_polled_link_can_be_reconnected_while_it_closes<Rt: Runtime>(rt: Rt) {
    let server = serve(Script::echo());
    let config = quick_link(|link| link.with_reopen(ReopenPolicy::Always));
    let (watched, mut link) = polled(rt.clone(), &server.url(), config);
    until(&watched, &mut link, connected).await;
    link.start_close(CloseCode::NORMAL, "");
    link.connect().expect("it comes back");
    assert_eq!(until(&watched, &mut link, closed).await, "requested");
    until(&watched, &mut link, connected).await;
    assert_eq!(server.connections(), 2);

    let (watched, mut link) = polled(rt, &server.url(), quick());
    until(&watched, &mut link, connected).await;
    link.start_close(CloseCode::NORMAL, "");
    assert_eq!(link.connect().expect_err("it is final").reason.name(), "requested");
    assert_eq!(until(&watched, &mut link, closed).await, "requested");
}

/// A heartbeat is kept and a dead link replaced by polling alone.
pub async fn w22_a_polled_link_finds_a_silent_peer<Rt: Runtime>(rt: Rt) {
    let server = serve(Script::new().connection(Connection::new().silent()).then(AfterLast::Echo));
    let config = quick_link(|link| {
        link.with_heartbeat(link.heartbeat.with_interval(Some(ms(60))).with_timeout(ms(60)))
    });
    let (rt, mut link) = polled(rt, &server.url(), config);
    assert!(!until(&rt, &mut link, connected).await);
    assert!(until(&rt, &mut link, connected).await);
    assert_eq!(link.stats().heartbeats_lost, 1);
}

/// When it is dropped, its socket is closed at once.
pub async fn a_polled_link_that_is_dropped_lets_go<Rt: Runtime>(rt: Rt) {
    let server = serve(Script::echo());
    let (rt, mut link) = polled(rt, &server.url(), quick());
    until(&rt, &mut link, connected).await;
    drop(link);
    assert!(matches!(end_of(&server, 1).await, EventKind::PeerLost { .. }));
}

fn polled<Rt: Runtime>(
    rt: Rt,
    url: &str,
    config: SessionConfig,
) -> (Observed<Rt>, Polled<Observed<Rt>>) {
    let watched = Observed::new(rt);
    let link = builder(watched.clone(), url).config(config).connect().expect("a link");
    (watched, link)
}

async fn until<Rt: Runtime, T>(
    rt: &Observed<Rt>,
    link: &mut (impl Stream<Item = Event> + Unpin),
    pick: impl Fn(Event) -> Option<T>,
) -> T {
    rt.soon(async {
        loop {
            let event = link.next().await.expect("the stream goes on");
            if let Some(picked) = pick(event) {
                return picked;
            }
        }
    })
    .await
}

async fn text<Rt: Runtime>(rt: &Observed<Rt>, link: &mut Polled<Observed<Rt>>) -> String {
    let message: Message =
        until(
            rt,
            link,
            |event| if let Event::Message(message) = event { Some(message) } else { None },
        )
        .await;
    message.as_text().expect("a text message").to_owned()
}

fn connected(event: Event) -> Option<bool> {
    if let Event::Connected { is_reconnect } = event { Some(is_reconnect) } else { None }
}

fn closed(event: Event) -> Option<&'static str> {
    if let Event::Closed { reason } = event { Some(reason.name()) } else { None }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A stream that takes a thousand bytes at a time, and rests after each.
struct Narrow {
    near: Near,
    is_open: bool,
}

impl AsyncRead for Narrow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.near).poll_read(cx, into)
    }
}

impl AsyncWrite for Narrow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_open = !self.is_open;
        if self.is_open {
            return Pin::new(&mut self.near).poll_write(cx, &from[..from.len().min(1000)]);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.near).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.near).poll_close(cx)
    }
}
