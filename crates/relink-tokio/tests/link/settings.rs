//! The builder's verbs for single settings.

use std::time::Duration;

use relink_testing::{AfterLast, Connection, Script, Server};
use relink_tokio::{BuildError, ClosedReason, Event, LinkConfig, SessionConfig, builder};

#[tokio::test]
async fn a_setting_holds_before_and_after_a_configuration() {
    for is_first in [true, false] {
        let script = (0..3).fold(Script::new(), |it, _| it.connection(Connection::refuse(500)));
        let server = Server::start(script).await.unwrap();
        let quick = |it: relink_tokio::Builder| {
            it.backoff(Duration::from_millis(1), Duration::from_millis(5)).max_attempts(3)
        };
        let config = SessionConfig::default().with_link(LinkConfig::default());
        let link = builder(server.url());
        let link = if is_first { quick(link).config(config) } else { quick(link.config(config)) };
        let (client, _events) = link.spawn().unwrap();
        let reason = client.closed().await.reason;
        assert!(matches!(reason, ClosedReason::GaveUp { .. }), "{reason:?}");
        assert_eq!(client.stats().dials, 3);
    }
}

#[tokio::test]
async fn a_link_comes_back_after_a_code_that_it_is_told_to_retry_on() {
    let script = Script::new().connection(Connection::new().close(1000, "")).then(AfterLast::Echo);
    let server = Server::start(script).await.unwrap();
    let link = builder(server.url()).retry_on(1000).heartbeat(None);
    let (_client, mut events) = link.spawn().unwrap();
    while events.recv().await.unwrap() != (Event::Connected { is_reconnect: true }) {}
}

#[tokio::test]
async fn a_setting_out_of_bounds_is_an_error_that_names_it() {
    let server = Server::start(Script::echo()).await.unwrap();
    let spoiled = builder(server.url()).heartbeat(Duration::ZERO).spawn().unwrap_err();
    assert!(matches!(spoiled, BuildError::Config(_)), "{spoiled}");
    assert!(spoiled.to_string().contains("heartbeat.interval"), "{spoiled}");
    let second = Duration::from_secs(1);
    let spoiled = builder(server.url()).backoff(second, Duration::ZERO).spawn().unwrap_err();
    assert!(spoiled.to_string().contains("backoff.cap"), "{spoiled}");
    let many = (0..17).fold(builder(server.url()), |link, code| link.retry_on(4000 + code));
    assert!(many.spawn().is_err());
}
