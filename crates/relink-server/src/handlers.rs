//! The application's decisions: authentication, authorization, messages.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use http::{Request, StatusCode};
use relink::session::{Problem, Secret};
use relink::{Channel, CloseCode, CloseFrame, Message};
use relink_node::Stream;

use crate::{context::Context, user::User};

type Identified = Result<Option<User>, StatusCode>;
type Wanted = (User, Channel, Option<Secret>);
type Ask<A, T> = Arc<dyn Fn(A) -> BoxFuture<'static, T> + Send + Sync>;

/// The application's functions. A panic in one is caught. They begin in the task of their
/// connection; after the handshake, one that waits goes on in a task of its own.
#[derive(Clone)]
pub(crate) struct Handlers {
    pub(crate) request: Option<Ask<Request<()>, Identified>>,
    pub(crate) authenticate: Option<Ask<Option<Secret>, Result<User, CloseFrame>>>,
    pub(crate) authorize: Option<Ask<Wanted, Result<(), Problem>>>,
    pub(crate) message: Option<Ask<(Context, Message), Result<(), Problem>>>,
}

impl Handlers {
    pub(crate) const fn none() -> Self {
        Self { request: None, authenticate: None, authorize: None, message: None }
    }

    /// Calls the application's check of an HTTP request.
    pub(crate) async fn look_at(&self, request: Request<()>) -> Identified {
        match &self.request {
            Some(ask) => {
                caught(ask, request).await.unwrap_or(Err(StatusCode::INTERNAL_SERVER_ERROR))
            }
            None => Ok(None),
        }
    }

    pub(crate) async fn identify(&self, token: Option<Secret>) -> Result<User, CloseFrame> {
        match &self.authenticate {
            Some(ask) => {
                caught(ask, token).await.unwrap_or_else(|| Err(CloseCode::INTERNAL_ERROR.into()))
            }
            None => Ok(User::anonymous()),
        }
    }

    pub(crate) async fn may_have(
        &self,
        user: User,
        channel: Channel,
        token: Option<Secret>,
    ) -> Result<(), Problem> {
        match &self.authorize {
            Some(ask) => {
                caught(ask, (user, channel, token)).await.unwrap_or_else(|| Err(panicked()))
            }
            None => Ok(()),
        }
    }

    /// Calls the application's handler of a message.
    pub(crate) async fn take(
        &self,
        context: Context,
        message: Message,
    ) -> Result<Vec<(Stream, Message)>, Problem> {
        let Some(ask) = &self.message else { return publish(&context, message) };
        caught(ask, (context.clone(), message)).await.unwrap_or_else(|| Err(panicked()))?;
        Ok(context.finish())
    }
}

/// Without a handler, a message is published to the channel that it names.
fn publish(context: &Context, message: Message) -> Result<Vec<(Stream, Message)>, Problem> {
    match context.channel() {
        Some(channel) => Ok(vec![(Stream::Channel(channel.clone()), message)]),
        None => {
            Err(Problem::new(Problem::NOT_HANDLED, "this server takes messages to channels only"))
        }
    }
}

/// `None` if it panicked; the panic hook has reported why.
async fn caught<A, T>(ask: &Ask<A, T>, argument: A) -> Option<T> {
    AssertUnwindSafe(async { ask(argument).await }).catch_unwind().await.ok()
}

fn panicked() -> Problem {
    Problem::new("internal_error", "the server failed at this message; it is not asked for again")
}
