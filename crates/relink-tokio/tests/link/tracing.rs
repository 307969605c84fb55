//! What a link traces: a span for itself, and one event for each transition, with fields.

use crate::common::{Capture, Traced};
use relink_testing::{AfterLast, Connection, Script, Server, rig::Rig};
use relink_tokio::v1::Encoding;
use relink_tokio::{
    CloseCode, Event, SessionConfig, Token, Tokio, builder,
    relink::{Backoff, LinkConfig, policy::Curve},
};
use std::time::Duration;
use tracing::Level;

#[tokio::test(flavor = "current_thread")]
async fn e07_every_transition_is_one_event_with_its_fields() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());

    let script = Script::new()
        .connection(Connection::refuse(503))
        .connection(Connection::new().expect_text("200").close(1001, "deploy; retry-after=1ms"))
        .connection(Connection::new().close(4020, "kicked"))
        .then(AfterLast::Refuse);
    let server = Server::spawn_thread(script).expect("a server on loopback");
    let backoff = Backoff::default()
        .with_curve(Curve::Fixed { delay: Duration::from_millis(5) })
        .with_floor(Duration::from_millis(1));
    let config = SessionConfig::default().with_link(LinkConfig::default().with_backoff(backoff));
    let (client, mut events) =
        builder(server.url() + "feed").config(config).spawn().expect("a link");

    let (mut transitions, mut steps) = (0, 0);
    while let Some(event) = events.recv().await {
        if let Event::State { from, to, .. } = &event {
            transitions += usize::from(from.status() != to.status());
            steps += usize::from(from.status() == to.status());
        }
        if let Event::AttemptFailed { .. } = &event {
            client.retry_now();
        }
        if let Event::Connected { is_reconnect: false } = &event {
            for number in 0..=200 {
                client.send(number.to_string()).await.expect("room");
            }
        }
    }

    let traced = capture.traced();
    let traced: Vec<_> =
        traced.iter().filter(|traced| traced.target.starts_with("relink")).collect();
    let with = |text: &str| {
        traced.iter().filter(|traced| traced.fields.contains(text)).collect::<Vec<_>>()
    };

    let spans: Vec<_> = traced.iter().filter(|traced| traced.span.is_some()).collect();
    assert_eq!((spans.len(), spans[0].span), (1, Some("link")));
    assert!(spans[0].fields.contains("/feed"));

    assert_eq!((with("message=now ").len(), with("message=still ").len()), (transitions, steps));
    assert_eq!(with("message=dialing").len(), 3);
    assert_fields(
        &with("message=attempt failed"),
        Level::WARN,
        &["attempt=1", "503", "retry_in=Some("],
    );
    let lost = with("message=lost");
    assert_eq!(lost.len(), 2);
    assert_fields(&lost[..1], Level::WARN, &["code=1001", "deploy", "retry_in=Some("]);
    assert_fields(&lost[1..], Level::WARN, &["code=4020", "kicked", "retry_in=None"]);
    assert_fields(&with("message=the server goes away"), Level::INFO, &["retry_after=1ms"]);
    assert_fields(&with("message=closed"), Level::INFO, &["admin_disconnect"]);

    // Two hundred messages went by, and nobody was told of any: what is left is the story of the
    // link.
    let loud =
        traced.iter().filter(|traced| traced.level <= Level::INFO && traced.span.is_none()).count();
    assert_eq!(loud, transitions + 5);
}

/// A subscriber that panics at each event is no business of the link's.
#[tokio::test(flavor = "current_thread")]
async fn a_subscriber_that_panics_ends_no_link() {
    let server = Server::spawn_thread(Script::echo()).expect("a server on loopback");
    let mut rig = {
        let _guard = tracing::subscriber::set_default(Panics);
        let mut rig = Rig::spawn(Tokio::new(), &server.url(), |builder| builder);
        rig.connected().await;
        rig
    };
    rig.send("hello").await;
    assert_eq!(rig.text().await, "hello");
    assert_eq!(rig.client.close().await.reason.name(), "requested");
}

/// Panics at every event.
struct Panics;

impl tracing::Subscriber for Panics {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        panic!("this panic is part of the test");
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

fn assert_fields(traced: &[&&Traced], level: Level, fields: &[&str]) {
    let [one] = traced else { panic!("one event, not {traced:#?}") };
    assert_eq!(one.level, level);
    for field in fields {
        assert!(one.fields.contains(field), "{field} is not in {one:?}");
    }
}

/// The server's half: who comes and goes, and who is refused, without the secrets of either.
#[tokio::test(flavor = "current_thread")]
async fn e07_a_server_traces_its_clients() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());

    let server = relink_server::Server::builder()
        .authenticate(|token| async move {
            let token = token.filter(|token| token.expose() == "S3CR3T");
            token.map(|_| "ada".into()).ok_or_else(|| CloseCode::INVALID_TOKEN.into())
        })
        .build()
        .expect("defaults are valid");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}", listener.local_addr().expect("an address"));
    let handle = server.handle();
    let serving = tokio::spawn(server.serve(listener));
    let link = |token: &'static str| {
        let provider = move || async move { Ok::<_, String>(Token::from(token)) };
        builder(&*url).relink_v1(Encoding::Json).token(provider).spawn().expect("a link")
    };
    let (good, _events) = link("S3CR3T");
    good.connected().await.expect("a good token");
    let session = good.resume().expect("a session").session.expose().to_owned();
    let (bad, _events) = link("wrong");
    bad.closed().await;
    good.close().await;
    handle.drain().await;
    serving.await.expect("it ends").expect("in good order");

    let traced = capture.traced();
    let traced: Vec<_> =
        traced.iter().filter(|traced| traced.target.starts_with("relink_server")).collect();
    let with = |text: &str| {
        traced.iter().filter(|traced| traced.fields.contains(text)).collect::<Vec<_>>()
    };
    assert_fields(&with("client connected"), Level::DEBUG, &["user=\"ada\"", "resumed=false"]);
    assert_fields(&with("connection refused"), Level::INFO, &["code=4001"]);
    assert_fields(&with("client disconnected"), Level::DEBUG, &["user=\"ada\"", "code=1000"]);
    assert_fields(&with("drained"), Level::INFO, &[]);
    for secret in ["S3CR3T", &session] {
        assert!(with(secret).is_empty(), "{:?}", with(secret));
    }
}
