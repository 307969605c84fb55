//! A chat over axum: a route to log in, rooms with presence, and a kick.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use relink_server::relink::session::{Problem, Secret};
use relink_server::relink::{CloseCode, CloseFrame};
use relink_server::{Server, ServerHandle, User};
use relink_tokio::v1::Encoding;
use relink_tokio::{Client, Events, Token, builder};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// How long a token is good for.
const TOKEN: Duration = Duration::from_secs(20);

/// Starts the server. Returns its address.
pub async fn serve() -> Result<SocketAddr, Box<dyn Error>> {
    let server = Server::builder()
        .authenticate(who)
        .on_message(|context, message| async move {
            let room = context.channel().cloned();
            let room =
                room.ok_or_else(|| Problem::new(Problem::NOT_HANDLED, "say it in a room"))?;
            context.publish(room, message);
            Ok(())
        })
        .build()?;
    let relink = server.handle();
    let app = Router::new()
        .route("/link", relink.route())
        .route("/login/{name}", get(login))
        .route("/rooms/{room}", get(members))
        .route("/users/{name}/kick", post(kick))
        .with_state(relink);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

/// A real one would be signed.
async fn login(Path(name): Path<String>) -> String {
    format!("token of {name}")
}

async fn who(token: Option<Secret>) -> Result<User, CloseFrame> {
    let name = token.as_ref().and_then(|token| token.expose().strip_prefix("token of "));
    let user = name.map(|name| User::from(name).with_expires_in(TOKEN));
    user.ok_or_else(|| CloseCode::INVALID_TOKEN.into())
}

async fn members(State(relink): State<ServerHandle>, Path(room): Path<String>) -> Json<Value> {
    match relink.members(room).await {
        Ok(members) => Json(
            members
                .into_iter()
                .map(|it| json!({"user": it.user, "status": it.info.map(|it| it.to_string())}))
                .collect(),
        ),
        Err(error) => Json(json!({"error": error.to_string()})),
    }
}

async fn kick(State(relink): State<ServerHandle>, Path(name): Path<String>) {
    relink.kick(User::from(&*name), CloseFrame::new(CloseCode::ADMIN_DISCONNECT, "kicked"));
}

/// Joins as this user. The token is asked for again for each connection.
pub fn join(server: SocketAddr, name: &'static str) -> Result<(Client, Events), Box<dyn Error>> {
    let link = builder(format!("ws://{server}/link"))
        .relink_v1(Encoding::Json)
        .token(move || async move {
            let token = login(Path(name.to_owned())).await;
            Ok::<_, std::io::Error>(Token::from(token).with_expires_in(TOKEN))
        })
        .spawn()?;
    Ok(link)
}
