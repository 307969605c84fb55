//! The signalling server.

use relink::session::Problem;
use relink::{Channel, CloseCode, CloseFrame, Message};
use relink_server::{BuildError, Context, Server, User};

use super::{Letter, inbox};

/// A signalling server for any number of rooms, without authentication: a real one checks a token.
///
/// # Errors
///
/// None, unless the system has no random numbers.
pub fn server() -> Result<Server, BuildError> {
    Server::builder()
        .authenticate(|token| async move {
            match token {
                Some(name) if !name.expose().is_empty() => Ok(User::from(name.expose())),
                _ => Err(CloseFrame::new(CloseCode::INVALID_TOKEN, "say who you are")),
            }
        })
        .authorize(|user, channel, _token| async move { may_subscribe(&user, &channel) })
        .on_message(|context, message| async move { deliver(&context, &message) })
        .build()
}

fn may_subscribe(user: &User, channel: &Channel) -> Result<(), Problem> {
    let channel = channel.as_str();
    if channel.starts_with("room/") || channel == inbox(user.as_str()) {
        return Ok(());
    }
    Err(Problem::new(Problem::CHANNEL_NOT_AUTHORIZED, "this inbox belongs to another user"))
}

/// Puts a signal into the inbox that it is for, with the name of the sender on it.
fn deliver(context: &Context, message: &Message) -> Result<(), Problem> {
    let to = context.channel().filter(|channel| channel.as_str().starts_with("inbox/")).cloned();
    let signal = message.as_text().and_then(|text| serde_json::from_str(text).ok());
    let (Some(to), Some(signal)) = (to, signal) else {
        return Err(Problem::new(Problem::NOT_HANDLED, "only signals, and only to inboxes"));
    };
    let letter = Letter { from: context.user().as_str().to_owned(), signal };
    let text = serde_json::to_string(&letter)
        .map_err(|error| Problem::new(Problem::NOT_HANDLED, error.to_string()))?;
    context.publish(to, text);
    Ok(())
}
