//! Under `tokio::time::pause` a link's time is virtual: minutes of it pass in an instant, to the
//! millisecond.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use relink_testing::rig::{Observed, Rig};
use relink_tokio::{
    Event, Message, Token, Tokio, from_tokio,
    relink::{
        Plain, Protocol, Reason,
        link::Timer,
        policy::DeadReason,
        protocol::{ClientFrame, ProtocolEvent},
        session::Frame,
    },
};
use tokio::{io::DuplexStream, time::Instant};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::protocol::{CloseFrame, frame::coding::CloseCode},
};

type Builder = relink_driver::Builder<Observed<Tokio>>;

/// Tokio's timers know no less.
const MILLISECOND: Duration = Duration::from_millis(1);

/// Thirty losses with the default backoff: the delays are those that were told, and the curve
/// reaches its cap.
#[tokio::test(start_paused = true)]
async fn e16_thirty_reconnects_take_virtual_minutes() {
    let mut rig = start(|mut server| async move {
        let frame = CloseFrame { code: CloseCode::Away, reason: "".into() };
        server.close(Some(frame)).await.expect("the client listens");
        while server.next().await.is_some() {}
    });
    let begin = Instant::now();
    let (mut told, mut last) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..30 {
        last = rig.disconnected().await.retry_in();
        told += last;
        let waiting = Instant::now();
        rig.until(|event| matches!(event, Event::Dialing { .. }).then_some(())).await;
        let waited = waiting.elapsed();
        assert!((last..=last + 2 * MILLISECOND).contains(&waited), "{waited:?} for {last:?}");
    }
    assert!((told..=told + 60 * MILLISECOND).contains(&begin.elapsed()));
    assert!(begin.elapsed() > Duration::from_secs(4 * 60));
    assert!((Duration::from_secs(10)..=Duration::from_secs(20)).contains(&last), "{last:?}");
}

/// The default heartbeat finds a silent peer after 30 + 10 s.
#[tokio::test(start_paused = true)]
async fn e16_a_silent_peer_is_found_after_forty_virtual_seconds() {
    let mut rig = start(|server| async move {
        std::future::pending::<()>().await;
        drop(server);
    });
    rig.connected().await;
    let begin = Instant::now();
    let lost = rig.disconnected().await;
    let found = begin.elapsed();
    assert_eq!(lost.reason, Reason::Dead(DeadReason::Heartbeat));
    let due = Duration::from_secs(40);
    assert!((due..=due + 5 * MILLISECOND).contains(&found), "{found:?}");
    // It was stable, so the first attempt follows within a second.
    assert!(lost.retry_in() <= Duration::from_secs(1), "{lost:?}");
}

/// An hour of quiet on a link whose peer answers its pings: nothing happens.
#[tokio::test(start_paused = true)]
async fn e16_a_quiet_link_lasts_for_a_virtual_hour() {
    let mut rig = start(|mut server| async move { while server.next().await.is_some() {} });
    rig.connected().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let stats = rig.client.stats();
    assert_eq!((stats.pings, stats.disconnects, stats.dials), (119, 0, 1));
    rig.client.send("still here").await.expect("room");
    assert_eq!(rig.client.close().await.sent, 1);
}

/// A dial that never ends is given up after 10 s.
#[tokio::test(start_paused = true)]
async fn e16_a_dial_times_out_after_ten_virtual_seconds() {
    let never = |_| async {
        let (near, _far) = std::future::pending::<(DuplexStream, DuplexStream)>().await;
        io::Result::Ok(from_tokio(near))
    };
    let mut rig = rig(|builder| builder.connector(never));
    let begin = Instant::now();
    let reason = rig.attempt_failed().await.reason;
    assert_eq!(reason, Reason::TimedOut(Timer::Dial));
    let due = Duration::from_secs(10);
    assert!((due..=due + 5 * MILLISECOND).contains(&begin.elapsed()));
}

/// Plain messages, and a word for the server about a fresh token.
struct Renewing(Plain);

impl Protocol for Renewing {
    fn receive(&mut self, message: Message, events: &mut Vec<ProtocolEvent>) {
        self.0.receive(message, events);
    }

    fn send(
        &mut self,
        frame: ClientFrame,
        frames: &mut Vec<Frame>,
        now: relink_tokio::relink::Instant,
    ) {
        if let ClientFrame::Renew { token } = frame {
            frames.push(Frame::Message(Message::from(format!("renew {}", token.expose()))));
        } else {
            self.0.send(frame, frames, now);
        }
    }

    fn renews(&self) -> bool {
        true
    }
}

/// Ahead of its expiry a token is renewed, on the link that is up, if the protocol can give it to
/// the server.
#[tokio::test(start_paused = true)]
async fn e16_a_token_is_renewed_once_in_virtual_ten_minutes() {
    let fetched = Arc::new(AtomicU32::new(0));
    let counted = fetched.clone();
    let mut rig = start_with(
        |mut server| async move { while server.next().await.is_some() {} },
        |builder| {
            builder.protocol(Renewing(Plain::default())).token(move || {
                counted.fetch_add(1, Ordering::SeqCst);
                let token = Token::from("token").with_expires_in(Duration::from_secs(600));
                std::future::ready(Ok::<_, Infallible>(token))
            })
        },
    );
    rig.connected().await;
    // A minute ahead, and up to 20 % of that sooner.
    tokio::time::sleep(Duration::from_secs(527)).await;
    assert_eq!(fetched.load(Ordering::SeqCst), 1);
    tokio::time::sleep(Duration::from_secs(14)).await;
    assert_eq!(fetched.load(Ordering::SeqCst), 2);
    assert_eq!((rig.client.stats().tokens_fetched, rig.client.stats().dials), (2, 1));
}

/// A link over pipes in memory, each accepted and served like this.
fn start<Serve: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(WebSocketStream<DuplexStream>) -> Serve + Copy + Send + Sync + 'static,
) -> Rig<Tokio> {
    start_with(serve, |builder| builder)
}

fn start_with<Serve: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(WebSocketStream<DuplexStream>) -> Serve + Copy + Send + Sync + 'static,
    change: impl FnOnce(Builder) -> Builder,
) -> Rig<Tokio> {
    let connect = move |_| {
        let (near, far) = tokio::io::duplex(4096);
        tokio::spawn(async move { serve(accept_async(far).await.expect("a handshake")).await });
        std::future::ready(io::Result::Ok(from_tokio(near)))
    };
    rig(|builder| change(builder.connector(connect)))
}

/// Waits end when nothing more can happen, which in paused time comes at once.
fn rig(change: impl FnOnce(Builder) -> Builder) -> Rig<Tokio> {
    let mut rig = Rig::spawn(Tokio::new(), "ws://in.memory/", change);
    rig.limit = Duration::from_secs(3600);
    rig
}
