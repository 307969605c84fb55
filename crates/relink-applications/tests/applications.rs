//! The three applications run: with a server of their own, or with a scripted one.

use std::error::Error;

use relink_applications::{chat, ticker, worker};
use relink_testing::{Connection, EventKind, Script, Server};
use relink_tokio::{CloseCode, Event, Events, Outgoing, Subscription};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, timeout};

type Result = std::result::Result<(), Box<dyn Error>>;

/// Far more than anything takes.
const LONG: Duration = Duration::from_secs(20);

async fn wait_for(events: &mut Events, is_it: impl Fn(&Event) -> bool) -> Event {
    let find = async {
        loop {
            let event = events.recv().await.expect("the link lasts");
            if is_it(&event) {
                return event;
            }
        }
    };
    timeout(LONG, find).await.expect("it happens")
}

async fn http(server: std::net::SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(server).await?;
    let head = format!(
        "{request} HTTP/1.1\r\nHost: chat\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_chat_over_axum_with_rooms_presence_and_a_kick() -> Result {
    let server = chat::serve().await?;
    let (ada, mut adas) = chat::join(server, "ada")?;
    let (bob, mut bobs) = chat::join(server, "bob")?;
    ada.subscribe("lobby", Subscription::default().with_presence("here"));
    wait_for(&mut adas, |event| matches!(event, Event::Subscribed { .. })).await;
    bob.subscribe("lobby", Subscription::default());
    wait_for(&mut bobs, |event| matches!(event, Event::Subscribed { .. })).await;

    bob.send(Outgoing::from("hello, ada").on("lobby")).await?;
    let heard = wait_for(&mut adas, |event| matches!(event, Event::Publication { .. })).await;
    let Event::Publication { message, .. } = heard else { unreachable!() };
    assert_eq!(message.as_text(), Some("hello, ada"));

    let members = http(server, "GET /rooms/lobby").await?;
    assert!(members.contains(r#"[{"status":"here","user":"ada"}]"#), "{members}");
    http(server, "POST /users/bob/kick").await?;
    let end = timeout(LONG, bob.closed()).await?;
    assert_eq!(end.reason.code(), Some(CloseCode::ADMIN_DISCONNECT));
    assert!(ada.is_connected());
    Ok(())
}

#[tokio::test]
async fn a_ticker_subscribes_anew_and_leaves_a_connection_with_a_gap() -> Result {
    let subscribed = || {
        Connection::new()
            .expect_text(r#"{"op":"subscribe","channel":"trades"}"#)
            .send_text(r#"{"event":"subscribed"}"#)
    };
    let trade = |number: u64| format!(r#"{{"number":{number},"price":1.5}}"#);
    let gap = subscribed().send_text(trade(1)).send_text(trade(2)).send_text(trade(4));
    let good = subscribed().send_text(trade(1));
    let server = Server::start(Script::new().connection(gap).connection(good)).await?;

    let (client, events) = ticker::start(&server.url())?;
    let (sender, mut trades) = mpsc::channel(1);
    let running = tokio::spawn(ticker::run(client, events, sender));
    for number in [1, 2, 1] {
        let trade = timeout(LONG, trades.recv()).await?.expect("a trade");
        assert_eq!(trade.number, number);
    }
    assert_eq!(server.connections(), 2);
    running.abort();
    Ok(())
}

#[tokio::test]
async fn a_worker_comes_back_after_its_shift_and_ends_when_it_is_told() -> Result {
    let shift =
        Connection::new().send_text("one").expect_text("re: one").close(1000, "end of shift");
    let next = Connection::new().send_text("two").expect_text("re: two");
    let server = Server::start(Script::new().connection(shift).connection(next)).await?;
    let (stop, stopped) = watch::channel(false);
    let url = server.url();
    let working = tokio::spawn(async move { worker::run(&url, stopped).await });
    server.wait_for_event(|event| event.kind == EventKind::Text("re: two".into()), LONG).await?;
    stop.send(true)?;
    let end = timeout(LONG, working).await???;
    assert_eq!((end.reason.name(), end.sent, end.dropped), ("requested", 2, 0));
    Ok(())
}
