//! Tokens: when they are fetched, how they travel, and what happens when they do not come.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use relink_driver::{
    Runtime, TokenPlacement,
    relink::{
        Event, Instant, Message, Protocol, Reason, Resume, SessionConfig, Token,
        link::{HandshakeEvent, Hint, Step, Timer},
        policy::CredentialsConfig,
        protocol::{ClientFrame, ProtocolEvent},
        session::{Frame, Secret},
    },
};

use super::setup::{
    DELAY, LATE, end_of, ms, quick_link, request_of, saw_text, secs, serve, spawn, start,
    start_with,
};
use crate::rig::Observed;
use crate::{AfterLast, Connection, EventKind, Script};

/// The token travels as `Authorization: Bearer …`, and nowhere else.
pub async fn a_token_is_a_bearer_token_by_default<Rt: Runtime>(rt: Rt) {
    let (server, _link) = start_with(rt, Script::echo(), |builder| builder.token(numbered().0));
    let request = request_of(&server, 1).await;
    assert_eq!(request.header("authorization"), Some("Bearer token-1"));
    assert_eq!(request.query(), None);
}

/// The token travels in the query, encoded, beside what is there already.
pub async fn a_token_can_travel_in_the_query<Rt: Runtime>(rt: Rt) {
    let server = serve(Script::echo());
    for (number, path, query) in
        [(1, "feed", "jwt=a%2Bb%2Fc"), (2, "feed?room=1", "room=1&jwt=a%2Bb%2Fc")]
    {
        let url = server.url() + path;
        let _link = spawn(rt.clone(), &url, |builder| {
            let token = || ready(Ok::<_, Infallible>(Token::from("a+b/c")));
            builder.token(token).token_placement(TokenPlacement::Query("jwt".into()))
        });
        let request = request_of(&server, number).await;
        assert_eq!((request.path(), request.query()), ("/feed", Some(query)));
        assert_eq!(request.header("authorization"), None);
    }
}

/// The token can be left to the protocol, which sends it once the transport is open.
pub async fn a_token_can_be_left_to_the_protocol<Rt: Runtime>(rt: Rt) {
    let script = Connection::new().expect_text("login token-1").send_text("welcome");
    let config =
        quick_link(|link| link.with_handshake(link.handshake.with_authentication(Some(secs(5)))));
    let (server, mut link) = start_with(rt, script, |builder| {
        let builder = builder.config(config).token(numbered().0);
        builder.token_placement(TokenPlacement::Protocol).protocol(LoginFirst)
    });
    assert!(!link.connected().await);
    let request = request_of(&server, 1).await;
    assert_eq!((request.header("authorization"), request.query()), (None, None));
}

/// One token per attempt, and never one that was used before.
pub async fn m02_every_attempt_brings_a_token_of_its_own<Rt: Runtime>(rt: Rt) {
    let script = Script::new()
        .connection(Connection::new().close(1001, ""))
        .connection(Connection::refuse(500))
        .connection(Connection::new().close(1001, ""))
        .then(AfterLast::Echo);
    let (tokens, count) = numbered();
    let (server, mut link) = start_with(rt, script, |builder| builder.token(tokens));
    for _ in 0..3 {
        link.connected().await;
    }
    for connection in 1..=4 {
        let expected = format!("Bearer token-{connection}");
        let request = request_of(&server, connection).await;
        assert_eq!(request.header("authorization"), Some(expected.as_str()));
    }
    assert_eq!((count.load(Ordering::SeqCst), link.client.stats().tokens_fetched), (4, 4));
}

/// There is one fetch at a time, whatever happens meanwhile.
pub async fn i19_fetches_never_overlap<Rt: Runtime>(rt: Rt) {
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let watched = Observed::new(rt.clone());
    let tokens = {
        let (under_way, most) = (Arc::clone(&under_way), Arc::clone(&most));
        move || {
            let (watched, under_way, most) =
                (watched.clone(), Arc::clone(&under_way), Arc::clone(&most));
            async move {
                let _fetch = UnderWay::start(under_way, &most);
                watched.pass(ms(30)).await;
                Ok::<_, Infallible>(Token::from("token"))
            }
        }
    };
    let (server, mut link) =
        start_with(rt, Connection::new().close(1001, ""), |builder| builder.token(tokens));
    while server.connections() < 4 {
        link.next().await;
        link.client.connect().expect("it is on its way");
        link.client.retry_now();
        link.client.hint(Hint::Online);
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

/// A panic of the provider, at once or later, is a failed fetch; the link keeps trying.
pub async fn i19_a_panic_is_a_failed_fetch<Rt: Runtime>(rt: Rt) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let (server, mut link) = start_with(rt, Script::echo(), |builder| {
        builder.token(move || {
            let call = counted.fetch_add(1, Ordering::SeqCst) + 1;
            assert_ne!(
                call, 1,
                "this panic belongs to the case: it comes before there is a future"
            );
            async move {
                assert_ne!(call, 2, "this panic belongs to the case: it comes out of the future");
                Ok::<_, Infallible>(Token::from("at last"))
            }
        })
    });
    for attempt in [1, 2] {
        let lost = link.attempt_failed().await;
        assert_eq!((lost.attempt, lost.reason), (Some(attempt), Reason::TokenFailed));
        assert!(lost.detail.contains("panicked"), "{lost:?}");
        lost.assert_retry_in(DELAY, DELAY);
    }
    link.connected().await;
    assert_eq!(request_of(&server, 1).await.header("authorization"), Some("Bearer at last"));
    let stats = link.client.stats();
    assert_eq!((stats.token_failures, stats.tokens_fetched, stats.dials), (2, 1, 1));
}

/// Failures are reported from the third in a row on, with the provider's error; the link keeps
/// trying.
pub async fn m10_token_errors_are_reported_from_the_third_on<Rt: Runtime>(rt: Rt) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let (_server, mut link) = start_with(rt, Script::echo(), |builder| {
        builder.token(move || {
            let call = counted.fetch_add(1, Ordering::SeqCst) + 1;
            ready(if call <= 4 { Err(format!("no luck {call}")) } else { Ok(Token::from("token")) })
        })
    });
    link.connected().await;
    let told: Vec<_> = link.heard().iter().filter_map(token_error).collect();
    assert_eq!(told, [(3, "no luck 3".to_owned()), (4, "no luck 4".to_owned())]);
    assert_eq!(calls.load(Ordering::SeqCst), 5);
}

/// A provider that never answers has a deadline of its own.
pub async fn i16_a_fetch_that_hangs_is_a_failed_fetch<Rt: Runtime>(rt: Rt) {
    let config = with_credentials(|credentials| credentials.with_timeout(ms(100)));
    let (server, mut link) = start_with(rt, Script::echo(), |builder| {
        builder.config(config).token(std::future::pending::<Result<Token, Infallible>>)
    });
    let start = link.rt.now();
    let lost = link.attempt_failed().await;
    let took = link.rt.now() - start;
    assert_eq!(lost.reason, Reason::TimedOut(Timer::Token));
    assert!((ms(50)..ms(100) + LATE).contains(&took), "{took:?}");
    assert_eq!(server.connections(), 0);
}

/// 401 with a provider: a fresh token, again and again, but not for ever.
pub async fn i19_refused_tokens_are_bounded_and_reported<Rt: Runtime>(rt: Rt) {
    let config = with_credentials(|credentials| credentials.with_max_refusals(Some(4)));
    let (tokens, count) = numbered();
    let (server, mut link) =
        start_with(rt, Script::refuse(401), |builder| builder.config(config).token(tokens));
    for _ in 0..3 {
        link.attempt_failed().await.assert_retry_in(DELAY, DELAY);
    }
    assert_eq!(link.closed().await.name(), "token_refused");
    let told = link.heard().iter().filter_map(token_error).map(|(failures, _)| failures);
    assert_eq!(told.collect::<Vec<_>>(), [3, 4]);
    assert_eq!((count.load(Ordering::SeqCst), server.connections()), (4, 4));
}

/// Every configured endpoint is trusted with the token, under whatever name.
pub async fn every_endpoint_gets_the_token<Rt: Runtime>(rt: Rt) {
    let second = serve(Script::echo());
    let url = format!("ws://localhost:{}/", second.addr().port());
    let (_first, mut link) =
        start_with(rt, Script::refuse(500), |builder| builder.endpoint(url).token(numbered().0));
    link.connected().await;
    assert_eq!(request_of(&second, 1).await.header("authorization"), Some("Bearer token-2"));
}

/// If the link is closed during a fetch, the fetch is dropped, and nothing is dialed.
pub async fn a_close_lets_go_of_the_fetch<Rt: Runtime>(rt: Rt) {
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&under_way);
    let (server, mut link) = start_with(rt, Script::echo(), |builder| {
        builder.token(move || {
            let fetch = UnderWay::start(Arc::clone(&counted), &most);
            async move {
                let _fetch = fetch;
                std::future::pending::<Result<Token, Infallible>>().await
            }
        })
    });
    link.rt.until("a fetch is under way", || under_way.load(Ordering::SeqCst) == 1).await;
    link.rt.soon(link.client.close()).await;
    link.closed().await;
    link.rt.idle().await;
    assert_eq!((under_way.load(Ordering::SeqCst), server.connections()), (0, 0));
}

/// Without a provider no token is sent, and what the server thinks of that is its affair.
pub async fn without_a_provider_there_is_no_token<Rt: Runtime>(rt: Rt) {
    let (server, link) = start(rt, Script::echo());
    link.send("anonymous").await;
    saw_text(&server, "anonymous").await;
    assert_eq!(request_of(&server, 1).await.header("authorization"), None);
    drop(link);
    assert!(matches!(end_of(&server, 1).await, EventKind::PeerClosed { .. }));
}

/// Brings `token-1`, `token-2`, …, and counts.
pub(crate) fn numbered()
-> (impl Fn() -> Ready<Result<Token, Infallible>> + Send + Sync + 'static, Arc<AtomicU32>) {
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let provider = move || {
        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
        ready(Ok(Token::from(format!("token-{number}"))))
    };
    (provider, count)
}

fn with_credentials(change: impl FnOnce(CredentialsConfig) -> CredentialsConfig) -> SessionConfig {
    quick_link(|link| link.with_credentials(change(link.credentials)))
}

fn token_error(event: &Event) -> Option<(u32, String)> {
    let Event::TokenError { consecutive_failures, detail } = event else { return None };
    Some((*consecutive_failures, detail.clone()))
}

/// A fetch, as long as it is under way.
pub(crate) struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    pub(crate) fn start(count: Arc<AtomicUsize>, most: &AtomicUsize) -> Self {
        most.fetch_max(count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Sends `login TOKEN`, and waits for `welcome`.
struct LoginFirst;

impl Protocol for LoginFirst {
    fn receive(&mut self, message: Message, events: &mut Vec<ProtocolEvent>) {
        let is_welcome = message.as_text() == Some("welcome");
        events.push(if is_welcome {
            HandshakeEvent::Authenticated.into()
        } else {
            ProtocolEvent::Data(message)
        });
    }

    fn begin(
        &mut self,
        step: Step,
        token: Option<&Secret>,
        _resume: Option<&Resume>,
        frames: &mut Vec<Frame>,
    ) {
        if let (Step::Authenticating, Some(token)) = (step, token) {
            frames.push(Frame::Message(format!("login {}", token.expose()).into()));
        }
    }

    fn send(&mut self, _: ClientFrame, _: &mut Vec<Frame>, _: Instant) {}
}
