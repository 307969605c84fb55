//! A scripted server in front of another one.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use crate::common::*;
use futures_util::{SinkExt, StreamExt};
use relink_testing::{Connection, EventKind, Refusal, Script, Server, Upstream};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{ClientRequestBuilder, Error, Message, protocol::CloseFrame},
};

const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A scripted server and its upstream.
struct Setup {
    front: Server,
    behind: Server,
}

impl Setup {
    async fn new(front: impl Into<Script>, behind: impl Into<Script>) -> Self {
        let behind = start(behind).await;
        let front = Server::bind_before(LOOPBACK, front, upstream(&behind)).await.unwrap();
        Self { front, behind }
    }

    fn request(&self) -> ClientRequestBuilder {
        let url = format!("{}room?x=1", self.front.url()).parse().unwrap();
        ClientRequestBuilder::new(url).with_sub_protocol("other").with_sub_protocol("chat.v2")
    }

    async fn client(&self) -> Client {
        let request = self.request().with_header("authorization", "Bearer s3cret");
        let (client, response) = within(connect_async(request)).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "chat.v2");
        client
    }
}

fn upstream(server: &Server) -> Upstream {
    let addr = server.addr();
    Upstream::new("chat.v2", move || TcpStream::connect(addr))
}

#[tokio::test]
async fn it_serves_those_who_ask_for_its_subprotocol() {
    let setup = Setup::new(Script::echo(), Connection::new().send_text("welcome").wait(LONG)).await;
    let mut client = setup.client().await;
    assert_eq!(receive(&mut client).await, Message::text("welcome"));
    client.send(Message::binary(vec![1, 2])).await.unwrap();
    seen(&setup.behind, |what| *what == EventKind::Binary(vec![1, 2])).await;
    seen(&setup.front, |what| *what == EventKind::UpstreamText("welcome".into())).await;
    seen(&setup.front, |what| *what == EventKind::Binary(vec![1, 2])).await;
    // It knows what was asked for.
    let accepted = seen(&setup.behind, |what| matches!(what, EventKind::Accepted { .. })).await;
    let request = accepted.kind.request().unwrap();
    assert_eq!((request.path(), request.query()), ("/room", Some("x=1")));
    assert_eq!(request.header("authorization"), Some("Bearer s3cret"));
    assert_eq!(request.header("sec-websocket-protocol"), Some("chat.v2"));

    let mut other = connect(&setup.front).await;
    other.send(Message::text("echo")).await.unwrap();
    assert_eq!(receive(&mut other).await, Message::text("echo"));
    assert_eq!(setup.behind.connections(), 1);
}

#[tokio::test]
async fn one_for_all_serves_everybody_and_agrees_on_nothing() {
    let behind = start(Connection::new().send_text("welcome").wait(LONG)).await;
    let addr = behind.addr();
    let upstream = Upstream::for_all(move || TcpStream::connect(addr));
    let front = Server::bind_before(LOOPBACK, Script::echo(), upstream).await.unwrap();
    let mut client = connect(&front).await;
    assert_eq!(receive(&mut client).await, Message::text("welcome"));

    // A client that requested one would fail here, so this one only reads the answer.
    let request =
        ClientRequestBuilder::new(front.url().parse().unwrap()).with_sub_protocol("chat.v2");
    assert!(within(connect_async(request)).await.is_err());
    let agreed =
        |what: &EventKind| matches!(what, EventKind::Accepted { subprotocol: Some(_), .. });
    assert!(!front.events().iter().any(|event| agreed(&event.kind)));
    let log = behind.wait_for(|_| behind.connections() == 2, LONG).await.unwrap();
    let asked = log.iter().filter_map(|event| event.kind.request());
    assert!(asked.into_iter().all(|request| request.header("sec-websocket-protocol").is_none()));
}

#[tokio::test]
async fn before_the_echo_it_takes_in_and_is_not_heard() {
    let setup =
        Setup::new(Connection::new().expect_text("go").send_text("by the script"), Script::echo())
            .await;
    let mut client = setup.client().await;
    client.send(Message::text("early")).await.unwrap();
    seen(&setup.behind, |what| *what == EventKind::Text("early".into())).await;
    assert!(timeout(Duration::from_millis(50), client.next()).await.is_err());
    client.send(Message::text("go")).await.unwrap();
    for expected in ["by the script", "early", "go"] {
        assert_eq!(receive(&mut client).await, Message::text(expected));
    }
}

#[tokio::test]
async fn its_close_reaches_the_client() {
    let setup =
        Setup::new(Script::echo(), Connection::new().expect_text("x").close(4009, "replaced"))
            .await;
    let mut client = setup.client().await;
    client.send(Message::text("x")).await.unwrap();
    assert_eq!(receive_close(&mut client).await, Some((4009, "replaced".into())));
    assert!(matches!(
        end_of(&setup.front, 1).await,
        EventKind::Closed { code: Some(4009), answered: true, .. }
    ));
}

#[tokio::test]
async fn its_end_without_a_close_reaches_the_client_too() {
    let setup = Setup::new(Script::echo(), Connection::new().expect_text("x").reset()).await;
    let mut client = setup.client().await;
    client.send(Message::text("x")).await.unwrap();
    receive_error(&mut client).await;
    assert_eq!(end_of(&setup.front, 1).await, EventKind::Dropped);
}

#[tokio::test]
async fn the_clients_close_reaches_it_behind_all_that_was_said() {
    let setup = Setup::new(Script::echo(), Connection::new().wait(LONG)).await;
    let mut client = setup.client().await;
    for number in 0..100 {
        client.send(Message::text(number.to_string())).await.unwrap();
    }
    client.close(Some(CloseFrame { code: 4123.into(), reason: "bye".into() })).await.unwrap();
    assert_eq!(
        end_of(&setup.behind, 1).await,
        EventKind::PeerClosed { code: Some(4123), reason: "bye".into() }
    );
    assert!(setup.behind.events().iter().any(|event| event.kind == EventKind::Text("99".into())));
}

#[tokio::test]
async fn where_the_script_closes_it_sees_a_loss() {
    let setup =
        Setup::new(Connection::new().expect_text("x").close(1001, "deploy"), Script::echo()).await;
    let mut client = setup.client().await;
    client.send(Message::text("x")).await.unwrap();
    assert_eq!(receive_close(&mut client).await, Some((1001, "deploy".into())));
    assert!(matches!(end_of(&setup.behind, 1).await, EventKind::PeerLost { .. }));
}

#[tokio::test]
async fn its_refusal_is_the_fronts() {
    let setup = Setup::new(Script::echo(), Script::refuse(Refusal::new(429).retry_after(7))).await;
    let Error::Http(response) = within(connect_async(setup.request())).await.unwrap_err() else {
        panic!("no refusal");
    };
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (429, &"7".parse().unwrap())
    );
    assert!(matches!(end_of(&setup.front, 1).await, EventKind::Refused { status: 429, .. }));
}

#[tokio::test]
async fn where_it_is_not_there_the_front_says_502() {
    let Setup { front, behind } = Setup::new(Script::echo(), Script::echo()).await;
    behind.stop().await;
    let request =
        ClientRequestBuilder::new(front.url().parse().unwrap()).with_sub_protocol("chat.v2");
    let Error::Http(response) = within(connect_async(request)).await.unwrap_err() else {
        panic!("no refusal")
    };
    assert_eq!(response.status().as_u16(), 502);
}

#[tokio::test]
async fn others_can_be_refused() {
    let behind = start(Script::echo()).await;
    let front =
        Server::bind_before(LOOPBACK, Script::echo(), upstream(&behind).only()).await.unwrap();
    let Error::Http(response) = within(connect_async(front.url())).await.unwrap_err() else {
        panic!("no refusal");
    };
    assert_eq!(response.status().as_u16(), 400);
    assert!(matches!(end_of(&front, 1).await, EventKind::HandshakeFailed { .. }));
    let request =
        ClientRequestBuilder::new(front.url().parse().unwrap()).with_sub_protocol("chat.v2");
    within(connect_async(request)).await.unwrap();
}

#[tokio::test]
async fn a_flood_in_both_directions_gets_through() {
    const COUNT: usize = 3_000;
    let setup = Setup::new(Script::echo(), Script::echo()).await;
    let (mut sink, mut stream) = setup.client().await.split();
    let flood = async {
        for number in 0..COUNT {
            sink.send(Message::binary(vec![(number % 256) as u8; 4096])).await.unwrap();
        }
    };
    let count = async {
        for number in 0..COUNT {
            let message = stream.next().await.unwrap().unwrap();
            assert_eq!(message.into_data()[4095], (number % 256) as u8);
        }
    };
    within(async { tokio::join!(flood, count) }).await;
}

#[tokio::test]
async fn stopping_the_front_ends_what_is_behind() {
    let setup = Setup::new(Script::echo(), Script::echo()).await;
    let mut client = setup.client().await;
    setup.front.stop().await;
    let Error::Io(error) = receive_error(&mut client).await else { panic!("no reset") };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(matches!(end_of(&setup.behind, 1).await, EventKind::PeerLost { .. }));
}
