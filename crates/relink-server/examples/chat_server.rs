//! A chat: rooms with history, members who are seen, and a shutdown that nobody notices.
//!
//! ```text
//! cargo run -p relink-server --example chat_server
//! cargo run -p relink-server --example chat_server --features redis -- redis://127.0.0.1/
//! ```
//!
//! A client subscribes to `room/…`, with presence if it wants to be seen, and sends its words
//! there. Its token is its name. Restart the server while clients talk: with Redis they go on as if
//! nothing had happened.

use std::error::Error;

use relink::CloseCode;
use relink::session::Problem;
use relink_node::NodeEvent;
use relink_server::{Context, Server, ServerBuilder, User, relink};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let builder = Server::builder()
        .authenticate(|token| async move {
            match token {
                Some(token) if (1..=32).contains(&token.expose().len()) => {
                    Ok(User::new(token.expose()))
                }
                _ => Err(CloseCode::INVALID_TOKEN.into()),
            }
        })
        .authorize(|_user, channel, _token| async move {
            let is_room = channel.as_str().starts_with("room/");
            let refusal = || Problem::new(Problem::CHANNEL_NOT_AUTHORIZED, "there are rooms only");
            if is_room { Ok(()) } else { Err(refusal()) }
        })
        .on_message(|context, message| async move { say(&context, message.as_text()) });
    let server = with_history(builder).await?.build()?;

    let listener = TcpListener::bind("127.0.0.1:9000").await?;
    println!("ws://{}/; Ctrl-C shuts down", listener.local_addr()?);
    tokio::spawn(tell(server.handle().events()));
    let relink = server.handle();
    tokio::spawn(async move {
        // A second Ctrl-C would end it at once.
        if tokio::signal::ctrl_c().await.is_ok() {
            relink.drain().await;
        }
    });
    Ok(server.serve(listener).await?)
}

/// Words go to their room, with the name of whoever says them.
fn say(context: &Context, words: Option<&str>) -> Result<(), Problem> {
    let Some(room) = context.channel().filter(|channel| channel.as_str().starts_with("room/"))
    else {
        return Err(Problem::new(Problem::NOT_HANDLED, "say it in a room"));
    };
    let Some(words) = words.filter(|words| !words.trim().is_empty()) else {
        return Err(Problem::new("no_words", "there is nothing in it"));
    };
    context.publish(room.clone(), format!("{}: {words}", context.user()).as_str());
    Ok(())
}

/// In memory, or in the Redis of the first argument.
async fn with_history(builder: ServerBuilder) -> Result<ServerBuilder, Box<dyn Error>> {
    match std::env::args().nth(1) {
        None => Ok(builder),
        #[cfg(feature = "redis")]
        Some(address) => Ok(builder.history(relink_server::RedisHistory::connect(&address).await?)),
        #[cfg(not(feature = "redis"))]
        Some(_) => Err("built without the feature `redis`".into()),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "picks what is worth a line")]
async fn tell(mut events: relink_server::ServerEvents) {
    while let Some(event) = events.recv().await {
        match event {
            NodeEvent::Connected { user, resumed, .. } => {
                println!("{user} is {}", if resumed { "back" } else { "here" });
            }
            NodeEvent::Disconnected { user, code, after, .. } => {
                println!("{user} is gone after {after:.1?}, with {code}");
            }
            NodeEvent::StoreFailed { detail } => println!("the history: {detail}"),
            _ => {}
        }
    }
}
