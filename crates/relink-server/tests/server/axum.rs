//! Links inside an axum application.

use std::net::SocketAddr;

use crate::client::{Client, request};
use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::{any, get},
};
use relink::CloseCode;
use relink_server::{AdmissionConfig, Server, ServerConfig, ServerHandle, Upgrade, User, relink};
use tokio::net::TcpListener;

async fn serve(relink: &ServerHandle) -> SocketAddr {
    async fn named(
        State(relink): State<ServerHandle>,
        Path(name): Path<String>,
        upgrade: Upgrade,
    ) -> Response {
        relink.upgrade(upgrade, Some(User::new(name))).await
    }
    let app = Router::new()
        .route("/", get(async || "a page"))
        .route("/link", relink.route())
        .route("/link/{name}", any(named))
        .with_state(relink.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("its number");
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    addr
}

#[tokio::test]
async fn e18_a_route_serves_links_beside_others() {
    let server = Server::builder().build().expect("the configuration is good");
    let addr = serve(&server.handle()).await;
    let mut client = Client::connect(addr, "/link").await;
    client.hello().await;
    client.subscribe("room").await;
    server.handle().publish("room", "hello").expect("it fits");
    assert_eq!(client.expect("publication").await["text"], "hello");
    server.handle().drain().await;
    assert_eq!(client.closed().await.0, 1001);
}

#[tokio::test]
async fn e18_a_handler_of_ones_own_says_who_it_is() {
    let server = Server::builder().build().expect("the configuration is good");
    let addr = serve(&server.handle()).await;
    let mut client = Client::connect(addr, "/link/alice").await;
    client.hello().await;
    server.handle().kick("alice", CloseCode::ADMIN_DISCONNECT);
    assert_eq!(client.closed().await.0, 4020);
}

#[tokio::test]
async fn e18_limits_hold_here_too() {
    let limits = AdmissionConfig::default().with_max_per_address(1);
    let config = ServerConfig::default().with_admission(limits);
    let server = Server::builder().config(config).build().expect("the configuration is good");
    let addr = serve(&server.handle()).await;
    let _first = Client::connect(addr, "/link").await;
    let Err(tokio_tungstenite::tungstenite::Error::Http(response)) =
        Client::try_connect(addr, request("/link")).await
    else {
        panic!("it is refused")
    };
    assert_eq!(response.status(), 429);
    assert!(response.headers().contains_key("retry-after"));
}
