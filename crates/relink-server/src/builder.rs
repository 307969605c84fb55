//! [`ServerBuilder`]: configures and starts a server.

use std::{fmt, io, sync::Arc};

use http::{Request, StatusCode};
use rand::{
    SeedableRng,
    rngs::{StdRng, SysRng},
};
use relink::session::{Problem, Secret};
use relink::{Channel, CloseFrame, ConfigError, Message};
use relink_node::Node;
use tokio::{net::TcpListener, runtime::Handle};

use crate::{
    config::ServerConfig,
    context::Context,
    handlers::Handlers,
    history::{History, MemoryHistory},
    hub::Hub,
    server::Server,
    user::User,
};

/// Configures a server. Everything has a default: anonymous users, who may subscribe to every
/// channel, and whose messages are published to the channel that they name; history in memory.
pub struct ServerBuilder {
    config: ServerConfig,
    handlers: Handlers,
    history: Option<Arc<dyn History>>,
}

impl ServerBuilder {
    pub(crate) fn new() -> Self {
        Self { config: ServerConfig::default(), handlers: Handlers::none(), history: None }
    }

    /// Limits and times.
    #[must_use]
    pub fn config(mut self, config: ServerConfig) -> Self {
        self.config = config;
        self
    }

    /// The store of streams, sessions and members; a new [`MemoryHistory`] by default.
    #[must_use]
    pub fn history(mut self, history: impl History) -> Self {
        self.history = Some(Arc::new(history));
        self
    }

    /// Authenticates a client by the token in its hello, in `Authorization: Bearer` of the
    /// handshake, or by a fresh one before that expires. `None` if the client sends none.
    ///
    /// An error closes the connection: [`INVALID_TOKEN`](relink::CloseCode::INVALID_TOKEN) ends the
    /// client's link, [`TOKEN_EXPIRED`](relink::CloseCode::TOKEN_EXPIRED) makes it come back with a
    /// fresh one. In the handshake it becomes 401. For a token that expires, return a user with
    /// [`User::with_expires_in`].
    #[must_use]
    pub fn authenticate<F, Fut>(mut self, authenticate: F) -> Self
    where
        F: Fn(Option<Secret>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<User, CloseFrame>> + Send + 'static,
    {
        self.handlers.authenticate = Some(Arc::new(move |token| Box::pin(authenticate(token))));
        self
    }

    /// Checks the HTTP request before the upgrade: a cookie, the `Origin` of a browser, the path.
    /// `Ok(None)` leaves authentication to [`authenticate`](Self::authenticate); an error is the
    /// HTTP status of the refusal. If cookies authenticate, check `Origin`, or any web page can act
    /// in the name of its visitors.
    #[must_use]
    pub fn on_request<F, Fut>(mut self, look: F) -> Self
    where
        F: Fn(Request<()>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<User>, StatusCode>> + Send + 'static,
    {
        self.handlers.request = Some(Arc::new(move |request| Box::pin(look(request))));
        self
    }

    /// Whether a user may subscribe to a channel, with the token that the client sent for it, if
    /// any. [`CHANNEL_NOT_AUTHORIZED`](Problem::CHANNEL_NOT_AUTHORIZED) is the usual refusal. It is
    /// called again, with the same token, whenever the client renews its own; an error then ends
    /// the subscription. What a user may publish is decided in [`on_message`](Self::on_message).
    #[must_use]
    pub fn authorize<F, Fut>(mut self, authorize: F) -> Self
    where
        F: Fn(User, Channel, Option<Secret>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Problem>> + Send + 'static,
    {
        let authorize = move |(user, channel, token)| {
            Box::pin(authorize(user, channel, token)) as futures_core::future::BoxFuture<'static, _>
        };
        self.handlers.authorize = Some(Arc::new(authorize));
        self
    }

    /// Handles a message: its effects are collected in the [`Context`]. An error rejects the
    /// message, as does a panic. The messages of one session are handled one at a time, in order. A
    /// handler begins in the task of the connection and goes on in a task of its own if it waits:
    /// what computes for long belongs into tokio's `spawn_blocking`.
    ///
    /// Without it, messages are published to the channel that they name, for any user, and those
    /// that name none are rejected with [`NOT_HANDLED`](Problem::NOT_HANDLED).
    #[must_use]
    pub fn on_message<F, Fut>(mut self, handle: F) -> Self
    where
        F: Fn(Context, Message) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Problem>> + Send + 'static,
    {
        self.handlers.message =
            Some(Arc::new(move |(context, message)| Box::pin(handle(context, message))));
        self
    }

    /// Starts the server. Call it inside a tokio runtime: its timer and its store run there.
    ///
    /// # Errors
    ///
    /// If the configuration is wrong, there is no runtime, or the system gives no random numbers.
    pub fn build(self) -> Result<Server, BuildError> {
        let runtime = Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let mut config = self.config;
        let history: Arc<dyn History> = match self.history {
            Some(history) => history,
            None => Arc::new(MemoryHistory::new(config.node.history)?),
        };
        config.node.history = history.config();
        config.node.max_message = config.max_message;
        // Session ids are drawn from it, and knowing one is enough to take the session over.
        let rng = StdRng::try_from_rng(&mut SysRng).map_err(|_| BuildError::NoEntropy)?;
        config.validate()?;
        let node = Node::new(config.node, rng)?;
        Ok(Server::new(Hub::start(node, config, self.handlers, history, runtime)))
    }

    /// Builds the server and serves: [`Server::serve`].
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        self.build()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?
            .serve(listener)
            .await
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Why a server cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A field of the configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It was not called inside a tokio runtime.
    #[error("a server needs a tokio runtime to run on; build it inside one")]
    NoRuntime,
    /// The system gives no random numbers, and session ids must not be guessed.
    #[error("the system gives no random numbers")]
    NoEntropy,
}
