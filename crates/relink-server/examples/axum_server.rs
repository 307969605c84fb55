//! Links inside an axum application, beside ordinary routes.
//!
//! ```text
//! cargo run -p relink-server --example axum_server --features axum
//! curl -d 'hello, everyone' http://127.0.0.1:9000/publish/news
//! ```

use std::{error::Error, net::SocketAddr};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use relink_server::{Server, ServerHandle};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::builder().build()?;
    let relink = server.handle();
    let app = Router::new()
        .route("/", get(async || "links at /link, as relink.v1\n"))
        .route("/link", relink.route())
        .route("/publish/{channel}", post(publish))
        .with_state(relink.clone());

    let listener = TcpListener::bind("127.0.0.1:9000").await?;
    println!("http://{}/; Ctrl-C shuts down", listener.local_addr()?);
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                relink.drain().await;
            }
        })
        .await?;
    Ok(())
}

async fn publish(
    State(relink): State<ServerHandle>,
    Path(channel): Path<String>,
    words: String,
) -> StatusCode {
    match relink.publish(channel, words) {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::PAYLOAD_TOO_LARGE,
    }
}
