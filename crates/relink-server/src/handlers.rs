//! The application's decisions: authentication, authorization, messages.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

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
                let asking = AssertUnwindSafe(async { ask(request).await }).catch_unwind();
                asking.await.unwrap_or(Err(StatusCode::INTERNAL_SERVER_ERROR))
            }
            None => Ok(None),
        }
    }

    pub(crate) fn identify(&self, token: Option<Secret>) -> Started<Result<User, CloseFrame>> {
        match &self.authenticate {
            Some(ask) => start(ask, token)
                .map(|user| user.unwrap_or_else(|| Err(CloseCode::INTERNAL_ERROR.into()))),
            None => Started::Done(Ok(User::anonymous())),
        }
    }

    pub(crate) fn may_have(
        &self,
        user: User,
        channel: Channel,
        token: Option<Secret>,
    ) -> Started<Result<(), Problem>> {
        match &self.authorize {
            Some(ask) => start(ask, (user, channel, token))
                .map(|answer| answer.unwrap_or_else(|| Err(panicked()))),
            None => Started::Done(Ok(())),
        }
    }

    /// Calls the application's handler of a message.
    pub(crate) fn take(
        &self,
        context: Context,
        message: Message,
    ) -> Started<Result<Vec<(Stream, Message)>, Problem>> {
        let Some(ask) = &self.message else {
            return Started::Done(publish(&context, message));
        };
        start(ask, (context.clone(), message))
            .map(move |answer| answer.unwrap_or_else(|| Err(panicked())).map(|()| context.finish()))
    }
}

/// A call that was polled once.
pub(crate) enum Started<T> {
    Done(T),
    Waits(BoxFuture<'static, T>),
}

impl<T: Send + 'static> Started<T> {
    pub(crate) async fn result(self) -> T {
        match self {
            Self::Done(result) => result,
            Self::Waits(call) => call.await,
        }
    }

    pub(crate) fn map<U>(self, with: impl FnOnce(T) -> U + Send + 'static) -> Started<U> {
        match self {
            Self::Done(result) => Started::Done(with(result)),
            Self::Waits(call) => Started::Waits(Box::pin(async move { with(call.await) })),
        }
    }
}

/// Begins a call. The result is `None` if it panicked.
fn start<A, T: Send + 'static>(ask: &Ask<A, T>, argument: A) -> Started<Option<T>> {
    let first = catch_unwind(AssertUnwindSafe(|| {
        let mut call = ask(argument);
        call.as_mut().now_or_never().ok_or(call)
    }));
    match first {
        Ok(Ok(result)) => Started::Done(Some(result)),
        Ok(Err(call)) => {
            let rest = AssertUnwindSafe(call).catch_unwind();
            Started::Waits(Box::pin(async move { rest.await.ok() }))
        }
        Err(_) => Started::Done(None),
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

fn panicked() -> Problem {
    Problem::new("internal_error", "the server failed at this message; it is not asked for again")
}
