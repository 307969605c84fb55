//! Waiting for a link to be connected, and watching its state from another task.

use relink_testing::{AfterLast, Connection, Script, Server};
use relink_tokio::{ClosedReason, Event, State};

#[tokio::test]
async fn e_connected_returns_once_the_link_is_usable_and_again_after_a_loss() {
    let script = Script::new()
        .connection(Connection::refuse(500))
        .connection(Connection::new().expect_text("cut").close(1001, ""))
        .then(AfterLast::Echo);
    let server = Server::start(script).await.unwrap();
    let (client, mut events) = relink_tokio::builder(server.url()).spawn().unwrap();
    assert!(!client.is_connected());
    client.connected().await.unwrap();
    assert!(client.is_connected());
    client.connected().await.unwrap();
    client.send("cut").await.unwrap();
    let mut watch = client.watch();
    while watch.changed().await.unwrap().is_usable() {}
    client.retry_now();
    client.connected().await.unwrap();
    client.send("back").await.unwrap();
    while events.recv().await.unwrap() != Event::Message("back".into()) {}
}

#[tokio::test]
async fn e_connected_fails_once_the_link_is_closed_for_good() {
    let server = Server::start(Script::new().connection(Connection::new().close(4020, ""))).await;
    let server = server.unwrap();
    let (client, _events) = relink_tokio::builder(server.url()).spawn().unwrap();
    let mut watch = client.watch();
    let mut states = Vec::new();
    while let Some(state) = watch.changed().await {
        states.push(state);
    }
    let error = client.connected().await.unwrap_err();
    let reason = error.reason;
    assert!(!error.may_reopen && error.to_string().ends_with("create a new one"), "{error}");
    assert!(matches!(reason, ClosedReason::Stopped { .. }), "{reason:?}");
    assert_eq!(states.last(), Some(&State::Closed(reason)));
    assert!(states.windows(2).all(|pair| pair[0] != pair[1]), "{states:?}");
    assert_eq!(watch.state(), State::Closed(reason));
}

#[tokio::test]
async fn a_watch_does_not_keep_the_link_open_and_a_dropped_wait_leaves_nothing() {
    let server = Server::start(Script::echo()).await.unwrap();
    let (client, events) = relink_tokio::builder(server.url()).spawn().unwrap();
    drop(client.connected());
    client.connected().await.unwrap();
    let mut watch = client.watch();
    assert_eq!(watch.changed().await, Some(State::Connected));
    drop((client, events));
    while let Some(state) = watch.changed().await {
        assert!(!state.is_usable(), "{state:?}");
    }
}
