//! Attempts: failures before there is a WebSocket, the content of the request, and its target.

use std::{
    net::{SocketAddr, TcpStream},
    time::SystemTime,
};

use relink_driver::{
    Builder, Runtime,
    http::{self, HeaderValue},
    relink::{
        Event, Failure, Reason, State,
        link::{OnFirstFailure, Timer},
    },
};

use super::setup::{
    DELAY, LATE, end_of, ms, quick, quick_link, request_of, saw, saw_text, secs, serve, spawn,
    start, start_config, start_with,
};
use crate::rig::{Lost, Observed, Rig};
use crate::{AfterLast, Connection, EventKind, Refusal, Script, Server};

/// 401 without a token provider: nothing would be different next time.
pub async fn http_401_without_a_token_provider_is_the_end<Rt: Runtime>(rt: Rt) {
    refused_for_good(rt, 401, "unauthorized").await;
}

/// 403: the login is known and has no access.
pub async fn http_403_is_the_end<Rt: Runtime>(rt: Rt) {
    refused_for_good(rt, 403, "forbidden").await;
}

/// 410 is final by definition.
pub async fn http_410_is_the_end<Rt: Runtime>(rt: Rt) {
    refused_for_good(rt, 410, "gone").await;
}

/// 400: the request is wrong and stays so.
pub async fn http_400_is_the_end<Rt: Runtime>(rt: Rt) {
    refused_for_good(rt, 400, "handshake_refused").await;
}

/// 404: a wrong address, or a load balancer between two deploys; asked again, and rarely.
pub async fn http_404_is_retried_after_30_s<Rt: Runtime>(rt: Rt) {
    let (_server, lost, _link) = refused_once(rt, Refusal::new(404)).await;
    lost.assert_retry_in(secs(30), secs(31));
}

/// 500: a server in trouble may recover.
pub async fn http_500_is_retried<Rt: Runtime>(rt: Rt) {
    let (server, lost, mut link) = refused_once(rt, Refusal::new(500)).await;
    lost.assert_retry_in(DELAY, DELAY);
    assert!(!link.connected().await);
    assert_eq!(server.connections(), 2);
}

/// 200 is no WebSocket: a login page in front of the server, for one.
pub async fn http_200_is_retried_after_30_s<Rt: Runtime>(rt: Rt) {
    let (_server, lost, _link) = refused_once(rt, Refusal::new(200)).await;
    lost.assert_retry_in(secs(30), secs(31));
}

/// 429 with `Retry-After` in seconds: waited for, and spread.
pub async fn i29_http_429_is_retried_when_the_server_says<Rt: Runtime>(rt: Rt) {
    let (_server, lost, _link) = refused_once(rt, Refusal::new(429).retry_after(7)).await;
    lost.assert_retry_in(secs(7), ms(8400));
}

/// 503 with `Retry-After` as a date.
#[expect(clippy::disallowed_methods, reason = "a date is made of the time of day")]
pub async fn i29_http_503_is_retried_at_the_date_that_the_server_says<Rt: Runtime>(rt: Rt) {
    let date = httpdate::fmt_http_date(SystemTime::now() + secs(90));
    let (_server, lost, _link) = refused_once(rt, Refusal::new(503).retry_after(date)).await;
    // A date knows no fractions of a second; the case itself takes a few.
    lost.assert_retry_in(secs(80), secs(108));
}

/// No server can send a client away for longer than `retry_after.max`.
pub async fn i29_retry_after_is_clamped<Rt: Runtime>(rt: Rt) {
    let (_server, lost, _link) = refused_once(rt, Refusal::new(503).retry_after(1_000_000)).await;
    lost.assert_retry_in(secs(240), secs(360));
}

/// A date that has passed asks for no wait, and gets no dial below the status's own floor.
pub async fn i29_a_retry_after_in_the_past_is_no_hot_loop<Rt: Runtime>(rt: Rt) {
    let past = "Sun, 06 Nov 1994 08:49:37 GMT";
    let (_server, lost, _link) = refused_once(rt, Refusal::new(503).retry_after(past)).await;
    lost.assert_retry_in(secs(2), secs(3));
}

/// A redirect is followed within the attempt, to an address or to a path of the host that said so,
/// and does not count as a failure.
pub async fn d03_redirects_are_followed<Rt: Runtime>(rt: Rt) {
    let last = serve(
        Script::new()
            .connection(Connection::refuse(Refusal::new(307).location("/there")))
            .then(AfterLast::Echo),
    );
    let to = last.url().replacen("ws:", "http:", 1) + "here?x=1";
    let (first, mut link) = start(rt, Script::refuse(Refusal::new(302).location(to)));
    assert!(!link.connected().await);

    assert_eq!(request_of(&last, 1).await.path(), "/here");
    assert_eq!(request_of(&last, 1).await.query(), Some("x=1"));
    assert_eq!(request_of(&last, 2).await.path(), "/there");
    assert_eq!((first.connections(), last.connections()), (1, 2));
    let stats = link.client.stats();
    assert_eq!((stats.dials, stats.failed_attempts), (3, 0));
    let attempts = link.heard().iter().filter_map(|event| {
        if let Event::Dialing { attempt, .. } = event { Some(*attempt) } else { None }
    });
    assert_eq!(attempts.collect::<Vec<_>>(), [1, 1, 1]);
}

/// After a redirect the next attempt asks the origin again.
pub async fn the_attempt_after_a_redirect_starts_at_the_origin<Rt: Runtime>(rt: Rt) {
    let target = serve(Connection::new().close(1001, ""));
    let (origin, mut link) = start(rt, Script::refuse(Refusal::new(302).location(target.url())));
    link.connected().await;
    link.connected().await;
    assert!(origin.connections() >= 2);
}

/// A loop of redirects ends with a failed attempt, and is tried again later.
pub async fn d03_a_loop_of_redirects_is_bounded<Rt: Runtime>(rt: Rt) {
    let (server, mut link) = start_config(
        rt,
        Script::refuse(Refusal::new(302).location("/again")),
        quick_link(|link| link.with_backoff(link.backoff.with_first(None).with_floor(secs(10)))),
    );
    let lost = link.attempt_failed().await;
    assert_eq!((lost.reason, lost.attempt), (Reason::TooManyRedirects, Some(1)));
    lost.assert_retry_in(secs(10), secs(10));
    assert_eq!(server.connections(), 6, "the origin and five redirects");
}

/// A redirect without an address cannot be followed.
pub async fn a_redirect_to_nowhere_is_the_end<Rt: Runtime>(rt: Rt) {
    refused_for_good(rt, 302, "handshake_refused").await;
}

/// What a redirect left behind is not mistaken for the reason of a later loss.
pub async fn a_redirect_is_no_reason_for_a_later_loss<Rt: Runtime>(rt: Rt) {
    let script = Script::new()
        .connection(Connection::refuse(Refusal::new(302).location("/there")))
        .connection(Connection::new().silent());
    let config = quick_link(|link| {
        link.with_heartbeat(link.heartbeat.with_interval(Some(ms(50))).with_timeout(ms(50)))
    });
    let (_server, mut link) = start_config(rt, script, config);
    link.connected().await;
    let lost = link.disconnected().await;
    assert!(matches!(lost.reason, Reason::Dead(_)) && lost.detail.is_empty(), "{lost:?}");
}

/// Nothing listens.
pub async fn a_refused_port_is_retried<Rt: Runtime>(rt: Rt) {
    let (_server, port) = NoListener::new();
    let mut link = spawn(rt, &port.url(), |builder| builder);
    for attempt in 1..=3 {
        let lost = link.attempt_failed().await;
        assert_eq!((lost.reason, lost.attempt), (Reason::Failed(Failure::Refused), Some(attempt)));
        assert!(lost.detail.contains("refused"), "{lost:?}");
        lost.assert_retry_in(DELAY, DELAY);
    }
}

/// A name with several addresses is good for as long as one of them is.
pub async fn every_address_of_a_name_is_tried<Rt: Runtime>(rt: Rt) {
    let (server, port) = NoListener::new();
    let rt = Observed::with_names(rt, vec![port.address(), server.addr()]);
    let (client, _events) =
        Builder::new(rt.clone(), "ws://any.name/").config(quick()).spawn().expect("a link");
    rt.until("the link is up", || client.state().is_usable()).await;
    assert_eq!(client.stats().failed_attempts, 0);
}

/// The name does not exist.
pub async fn an_unknown_name_is_retried<Rt: Runtime>(rt: Rt) {
    let mut link = spawn(rt, "ws://relink.invalid/", |builder| builder);
    let lost = link.attempt_failed().await;
    assert_eq!(lost.reason, Reason::Failed(Failure::Lookup));
    assert!(!lost.detail.is_empty());
    lost.assert_retry_in(DELAY, DELAY);
}

/// The server accepts and sends nothing: the attempt times out, and the reason names the deadline.
pub async fn i16_a_blackholed_handshake_times_out<Rt: Runtime>(rt: Rt) {
    let script = Script::new().connection(Connection::blackhole()).then(AfterLast::Echo);
    let (server, mut link) =
        start_config(rt, script, quick_link(|link| link.with_connect_timeout(ms(150))));
    let start = link.rt.now();
    let lost = link.attempt_failed().await;
    let took = link.rt.now() - start;
    assert!((ms(100)..ms(150) + LATE).contains(&took), "{took:?}");
    assert_eq!(lost.reason, Reason::TimedOut(Timer::Dial));
    assert!(lost.reason.to_string().contains("dial took too long"), "{}", lost.reason);
    assert!(!link.connected().await);
    assert!(
        matches!(end_of(&server, 1).await, EventKind::PeerLost { .. }),
        "the socket is let go of"
    );
}

/// The answer is not HTTP.
pub async fn garbage_is_retried_after_30_s<Rt: Runtime>(rt: Rt) {
    let (_server, mut link) = start(rt, Connection::garbage());
    let lost = link.attempt_failed().await;
    assert_eq!(lost.reason, Reason::Failed(Failure::NotWebSocket));
    lost.assert_retry_in(secs(30), secs(31));
}

/// The socket ends, or is reset, before the answer: one failure each.
pub async fn i15_a_cut_handshake_is_one_failed_attempt<Rt: Runtime>(rt: Rt) {
    let script = Script::new()
        .connection(Connection::drop_at_once())
        .connection(Connection::reset_at_once())
        .then(AfterLast::Echo);
    let (server, mut link) = start(rt, script);
    assert_eq!(link.attempt_failed().await.attempt, Some(1));
    assert_eq!(link.attempt_failed().await.attempt, Some(2));
    link.connected().await;
    let stats = link.client.stats();
    assert_eq!((server.connections(), stats.dials, stats.failed_attempts), (3, 3, 2));
}

/// A failed first attempt can end the link, if it is configured so.
pub async fn i30_a_failed_first_attempt_can_be_the_end<Rt: Runtime>(rt: Rt) {
    let config = quick_link(|link| link.with_first_failure(OnFirstFailure::Stop));
    let (_server, mut link) = start_config(rt, Script::refuse(503), config);
    assert_eq!(link.attempt_failed().await.retry_in, None);
    assert_eq!(link.closed().await.name(), "first_attempt_failed");
}

/// Several endpoints: the next one has its turn when an attempt fails, with the same headers.
pub async fn the_second_endpoint_is_dialed_when_the_first_refuses<Rt: Runtime>(rt: Rt) {
    let (server, port) = NoListener::new();
    let mut link = spawn(rt, &port.url(), |builder| {
        builder
            .endpoint(server.url() + "second")
            .header("x-app", "relink")
            .header("authorization", "Basic eDp5")
    });
    assert_eq!(link.attempt_failed().await.reason, Reason::Failed(Failure::Refused));
    link.connected().await;
    let request = saw(&server, |event| {
        event.kind.request().is_some_and(|request| request.path() == "/second")
    })
    .await;
    let request = request.kind.request().cloned().expect("it has one");
    assert_eq!(request.header("x-app"), Some("relink"));
    assert_eq!(request.header("authorization"), Some("Basic eDp5"));
}

/// So it has when the first one accepts, and closes before the link was stable.
pub async fn the_second_endpoint_is_dialed_when_the_first_closes_at_once<Rt: Runtime>(rt: Rt) {
    let first = serve(Connection::new().close(1001, ""));
    let second = serve(Script::echo());
    let mut link =
        spawn(rt, &first.url(), |builder| builder.config(quick()).endpoint(second.url()));
    link.connected().await;
    link.disconnected().await;
    link.connected().await;
    link.send("hello").await;
    saw_text(&second, "hello").await;
    assert_eq!((first.connections(), second.connections()), (1, 1));
}

/// After a final answer of one endpoint the next one is tried; the end has the answer of each.
pub async fn the_end_names_the_answer_of_each_endpoint<Rt: Runtime>(rt: Rt) {
    let first = serve(Connection::refuse(403));
    let second = serve(Connection::refuse(410));
    let mut link =
        spawn(rt, &first.url(), |builder| builder.config(quick()).endpoint(second.url()));
    let answers =
        link.until(|event| {
            if let Event::EndpointsFailed { answers } = event { Some(answers) } else { None }
        })
        .await;
    let told: Vec<_> = answers.iter().map(ToString::to_string).collect();
    assert!(told[0].starts_with(&first.url()) && told[0].contains("403"), "{told:?}");
    assert!(told[1].starts_with(&second.url()) && told[1].contains("410"), "{told:?}");
    assert_eq!(link.closed().await.name(), "gone");
    assert_eq!((first.connections(), second.connections()), (1, 1));
    assert_eq!(
        link.rt.soon(link.client.closed()).await.answers,
        answers,
        "`closed` returns them, too"
    );
}

/// A link whose first address is encrypted has no endpoint that is not.
pub async fn an_encrypted_link_takes_no_endpoint_in_the_clear<Rt: Runtime>(rt: Rt) {
    let build = |endpoints: [&str; 3]| {
        let [first, second, third] = endpoints;
        Builder::new(rt.clone(), first).endpoint(second).endpoint(third).connect().map(drop)
    };
    let error =
        build(["wss://one.invalid/", "wss://two.invalid/", "ws://three.invalid/?key=secret"])
            .expect_err("the third is not encrypted")
            .to_string();
    assert!(
        error.contains("ws://three.invalid/") && error.contains("wss://one.invalid/"),
        "{error}"
    );
    assert!(!error.contains("secret"), "{error}");
    build(["ws://one.invalid/", "ws://two.invalid/", "ws://three.invalid/"]).expect("all alike");
}

/// Headers and subprotocols of one's own arrive, secret ones too; and the client learns which one
/// the server chose.
pub async fn headers_and_subprotocols_arrive<Rt: Runtime>(rt: Rt) {
    let (server, mut link) = start_with(rt, Connection::new(), |builder| {
        builder
            .header("x-app", "relink")
            .header("cookie", "session=1")
            .header("authorization", "Basic eDp5")
            .subprotocol("chat.v2")
            .subprotocol("chat.v1")
    });
    let accepted = saw(&server, |event| event.kind.request().is_some()).await.kind;
    let request = accepted.request().expect("it has one");
    for (name, value) in [
        ("x-app", "relink"),
        ("cookie", "session=1"),
        ("authorization", "Basic eDp5"),
        ("sec-websocket-protocol", "chat.v2, chat.v1"),
        ("sec-websocket-version", "13"),
        ("upgrade", "websocket"),
        ("host", &server.addr().to_string()),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert!(
        matches!(accepted, EventKind::Accepted { subprotocol: Some(chosen), .. } if chosen == "chat.v2")
    );
    link.connected().await;
    assert_eq!(link.client.subprotocol().as_deref(), Some("chat.v2"));
}

/// An answer with a subprotocol that was not offered is refused.
pub async fn a_subprotocol_that_was_not_offered_is_refused<Rt: Runtime>(rt: Rt) {
    let (_server, mut link) = start(rt, Connection::with_subprotocol("surprise"));
    let lost = link.attempt_failed().await;
    assert_eq!(lost.reason, Reason::Failed(Failure::NotWebSocket));
    assert!(lost.detail.to_lowercase().contains("subprotocol"), "{lost:?}");
}

/// An `http::Request` is a start: its path, its query and its headers.
pub async fn a_request_is_a_start<Rt: Runtime>(rt: Rt) {
    let server = serve(Connection::new());
    let request = http::Request::get(server.url() + "feed?room=1&big")
        .header("x-app", HeaderValue::from_static("relink"))
        .body(())
        .expect("a request");
    let (_client, _events) = Builder::new(rt, request).config(quick()).spawn().expect("a link");
    let request = request_of(&server, 1).await;
    assert_eq!((request.path(), request.query()), ("/feed", Some("room=1&big")));
    assert_eq!(request.header("x-app"), Some("relink"));
}

/// Each attempt is a request of its own: a new key every time.
pub async fn every_attempt_has_its_own_key<Rt: Runtime>(rt: Rt) {
    let (server, mut link) = start(rt, Connection::new().close(1001, ""));
    for _ in 0..2 {
        link.connected().await;
    }
    let keys = [request_of(&server, 1).await, request_of(&server, 2).await]
        .map(|request| request.header("sec-websocket-key").map(str::to_owned));
    assert!(keys[0].is_some() && keys[0] != keys[1], "{keys:?}");
}

/// A configuration that cannot work is an error before anything is dialed, and names the part.
pub async fn what_cannot_be_built_says_why<Rt: Runtime>(rt: Rt) {
    let build = |change: fn(Builder<Rt>) -> Builder<Rt>| {
        let built = change(Builder::new(rt.clone(), "ws://127.0.0.1:9/")).spawn();
        built.expect_err("it cannot work").to_string()
    };
    assert!(build(|builder| builder.header("x-bad", "line\nbreak")).contains("x-bad"));
    assert!(build(|builder| builder.header("no name", "x")).contains("no name"));
    assert!(build(|builder| builder.subprotocol("line\nbreak")).contains("sec-websocket-protocol"));
    assert!(build(|builder| builder.endpoint("http://h/")).contains("http"));
    let config =
        |builder: Builder<Rt>| builder.config(quick_link(|link| link.with_connect_timeout(ms(0))));
    assert!(build(config).contains("connect_timeout"));
    let error =
        Builder::new(rt.clone(), "example.org").connect().expect_err("no scheme").to_string();
    assert!(error.contains("wss://"), "{error}");
}

/// Refused with this status, every time: the end.
async fn refused_for_good<Rt: Runtime>(rt: Rt, status: u16, name: &str) {
    let (server, mut link) = start(rt, Script::refuse(status));
    let lost = link.attempt_failed().await;
    assert_eq!((lost.retry_in, lost.attempt), (None, Some(1)));
    assert_eq!(lost.reason, Reason::Failed(Failure::Http { status, retry_after: None }));
    assert!(lost.detail.contains(&status.to_string()), "{lost:?}");
    let end = link.closed().await;
    assert_eq!((end.name(), end.code()), (name, None));
    assert!(matches!(link.client.state(), State::Closed(reason) if reason == end));
    link.rt.idle().await;
    assert_eq!(server.connections(), 1);
}

/// Refused the first time: what came of it.
async fn refused_once<Rt: Runtime>(rt: Rt, refusal: Refusal) -> (Server, Lost, Rig<Rt>) {
    let (server, mut link) =
        start(rt, Script::new().connection(Connection::refuse(refusal)).then(AfterLast::Echo));
    let lost = link.attempt_failed().await;
    (server, lost, link)
}

/// A local port on which nothing listens, nor will: a client's socket has it.
struct NoListener(TcpStream);

impl NoListener {
    fn new() -> (Server, Self) {
        let server = serve(Script::echo());
        let socket = TcpStream::connect(server.addr()).expect("a socket on loopback");
        (server, Self(socket))
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("it is bound")
    }

    fn url(&self) -> String {
        format!("ws://{}/", self.address())
    }
}
