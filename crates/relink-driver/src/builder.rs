//! [`Builder`]: from an address to a link.

use std::future::Future;
use std::io;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use rand::rngs::SmallRng;
use relink::{
    Address, Channel, ConfigError, Plain, Protocol, Resume, Secret, Session, SessionConfig, SessionInput,
    Token,
};

use crate::channel_tokens::ChannelTokens;
use crate::client::{Client, Events, spawn};
use crate::connection::Connection;
use crate::dial::{Connector, Dialer};
use crate::engine::Engine;
use crate::fetch::{AddressRequest, Providers};
use crate::inbox::InboxLimits;
use crate::request::{BadUrl, IntoRequest, Target, Template, TokenPlacement};
use crate::runtime::{ConnectError, Runtime};
use crate::shared::Shared;
use crate::stream::{BoxStream, ByteStream};
use crate::suspend;
use crate::trace::Trace;
use crate::wire::WireLimits;

/// Everything that a link is made from. Made by a driver crate; finished by [`spawn`](Self::spawn) or
/// [`connect`](Self::connect), which report what is wrong with it.
pub struct Builder<Rt> {
    runtime: Rt,
    request: Result<http::Request<()>, BuildError>,
    more_endpoints: Vec<Address>,
    config: SessionConfig,
    protocol: Box<dyn Protocol + Send>,
    providers: Providers,
    resume: Option<Resume>,
    placement: TokenPlacement,
    limits: WireLimits,
    inbox: InboxLimits,
    connector: Option<Connector>,
    #[cfg(feature = "tls")]
    tls: crate::tls::Tls,
}

/// A link that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The address is none.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A header cannot be sent.
    #[error("the header {name:?} cannot be sent: its {part} has characters that HTTP does not allow")]
    Header {
        /// Its name.
        name: String,
        /// The part that is wrong.
        part: &'static str,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] ConnectError),
}

impl<Rt: Runtime> Builder<Rt> {
    /// A link to this address, on this runtime, with everything else at its default.
    #[must_use]
    pub fn new(runtime: Rt, request: impl IntoRequest) -> Self {
        Self {
            runtime,
            request: request.into_request().map_err(BuildError::from),
            more_endpoints: Vec::new(),
            config: SessionConfig::default(),
            protocol: Box::new(Plain::default()),
            providers: Providers::default(),
            resume: None,
            placement: TokenPlacement::default(),
            limits: WireLimits::default(),
            inbox: InboxLimits::default(),
            connector: None,
            #[cfg(feature = "tls")]
            tls: crate::tls::Tls::default(),
        }
    }

    /// How the link behaves: backoff, heartbeats, close codes, budgets, the outbox.
    #[must_use]
    pub fn config(mut self, config: SessionConfig) -> Self {
        self.config = config;
        self
    }

    /// Another address for the same service, dialled in turn when an attempt fails.
    #[must_use]
    pub fn endpoint(mut self, request: impl IntoRequest) -> Self {
        match request.into_request() {
            Ok(request) => self.more_endpoints.push(Template::new(request).address()),
            Err(error) => self.request = Err(error.into()),
        }
        self
    }

    /// A header for every handshake. Credentials (`authorization`, `cookie`, `proxy-authorization`) go to the hosts of the
    /// configured addresses only, wherever a redirect leads, and never into a log.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let header = parse_header(name, value);
        self.request = self.request.and_then(|mut request| {
            let (name, value) = header?;
            request.headers_mut().append(name, value);
            Ok(request)
        });
        self
    }

    /// A subprotocol to ask the server for; several in the order of preference.
    #[must_use]
    pub fn subprotocol(mut self, name: &str) -> Self {
        const HEADER: &str = "sec-websocket-protocol";
        if let Ok(request) = &mut self.request {
            let before = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
            let all = before.map_or_else(|| name.to_owned(), |before| format!("{before}, {name}"));
            match HeaderValue::from_str(&all) {
                Ok(value) => drop(request.headers_mut().insert(HEADER, value)),
                Err(_) => self.request = Err(BuildError::Header { name: HEADER.to_owned(), part: "value" }),
            }
        }
        self
    }

    /// Brings a token for every attempt, and ahead of expiry while connected. It is called once per attempt, by one
    /// caller at a time; an error or a panic counts as a failed fetch, and its text is shown to people.
    #[must_use]
    pub fn token<F, Fut, E>(mut self, provider: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Token, E>> + Send + 'static,
        E: std::fmt::Display,
    {
        self.providers.token = Some(crate::fetch::provider(move |()| provider()));
        self
    }

    /// Brings an address for every attempt, in place of the configured endpoint whose turn it is: a signed URL, a ticket for
    /// one use, the answer of a call that negotiates. It is called once per attempt, by one caller at a time, after the
    /// [token](Self::token) has come; an error or a panic counts as a failed fetch, and its text is shown to people. An
    /// address at which there can be no WebSocket is a failed fetch as well, and so is one in plain text if the endpoint
    /// has TLS. It may leave out what is the same as in the endpoint, and may say `http` for `ws`.
    ///
    /// With several endpoints, a failed fetch turns to the next one, like a failed dial. A redirect belongs to the attempt,
    /// and needs no other address. The address is trusted like a configured one: token, headers and cookies go there. Its
    /// path is shown in events and logs, its query and its user name are not.
    ///
    /// ```no_run
    /// # use relink_driver::{AddressRequest, Builder, Runtime};
    /// # async fn ticket(_: &AddressRequest) -> Result<String, std::io::Error> { Ok(String::new()) }
    /// # fn with_tickets<Rt: Runtime>(builder: Builder<Rt>) -> Builder<Rt> {
    /// builder.address(|request: AddressRequest| async move {
    ///     let ticket = ticket(&request).await?;
    ///     Ok::<_, std::io::Error>(format!("/feed?ticket={ticket}"))
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn address<F, Fut, A, E>(mut self, provider: F) -> Self
    where
        F: Fn(AddressRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, E>> + Send + 'static,
        A: Into<Address>,
        E: std::fmt::Display,
    {
        self.providers.address = Some(crate::fetch::provider(provider));
        self
    }

    /// Brings the token for a channel that was subscribed to with
    /// [`Subscription::with_token`](relink::Subscription::with_token): a fresh one for every subscription (I28). Several
    /// channels are asked for at once; an error or a panic counts as a failed fetch, which is tried again.
    #[must_use]
    pub fn channel_token<F, Fut, E>(mut self, provider: F) -> Self
    where
        F: Fn(Channel) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Secret, E>> + Send + 'static,
        E: std::fmt::Display,
    {
        self.providers.channels = ChannelTokens::new(provider);
        self
    }

    /// Goes on with a session of an earlier life of this process, or of another one
    /// ([`Client::resume`](Client::resume)): nothing that was sent to it meanwhile is lost, if the server still has it.
    #[must_use]
    pub fn resume(mut self, resume: Resume) -> Self {
        self.resume = Some(resume);
        self
    }

    /// Speaks `relink.v1`, in this encoding: acknowledgements, resume, channels, presence. The token goes with the first
    /// frame instead of a header. This starts the configuration anew, from [`v1::config`](relink::v1::config): call
    /// [`config`](Self::config) after it, with what you have made of that one.
    #[cfg(feature = "v1")]
    #[must_use]
    pub fn relink_v1(self, encoding: relink::v1::Encoding) -> Self {
        self.subprotocol(relink::v1::SUBPROTOCOL)
            .token_placement(TokenPlacement::Protocol)
            .protocol(relink::v1::RelinkV1::new(encoding))
            .config(relink::v1::config())
    }

    /// Behaves as one of the systems of [`relink::profile`]: its configuration, its wire protocol, its subprotocol, where its
    /// token goes. This starts the configuration anew: call [`config`](Self::config) after it, with what you have made of
    /// the profile's.
    #[cfg(feature = "profiles")]
    #[must_use]
    pub fn profile(mut self, profile: &relink::profile::Profile) -> Self {
        use relink::profile::TokenPlace;

        // An address that is none is reported when the link is made.
        let address = self.request.as_ref().ok().map(|request| Template::new(request.clone()).address());
        self.protocol = (profile.protocol)(&address.unwrap_or_else(|| Address::from("")));
        if let Some(subprotocol) = profile.subprotocol {
            self = self.subprotocol(subprotocol);
        }
        let placement = match profile.token {
            TokenPlace::Query(name) => TokenPlacement::Query(name.to_owned()),
            TokenPlace::Protocol => TokenPlacement::Protocol,
            TokenPlace::Bearer | _ => TokenPlacement::Bearer,
        };
        self.token_placement(placement).config((profile.config)())
    }

    /// How the token reaches the server; as `Authorization: Bearer …` by default.
    #[must_use]
    pub fn token_placement(mut self, placement: TokenPlacement) -> Self {
        self.placement = placement;
        self
    }

    /// The application's wire format; plain messages by default. It runs under the lock that handles and engine share: it
    /// must not call its own client.
    #[must_use]
    pub fn protocol(mut self, protocol: impl Protocol + Send + 'static) -> Self {
        self.protocol = Box::new(protocol);
        self
    }

    /// The limits on what the peer may send. A server of `relink.v1` is told of them, and withholds what is larger.
    #[must_use]
    pub const fn limits(mut self, limits: WireLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How much may wait for the application.
    #[must_use]
    pub const fn inbox(mut self, limits: InboxLimits) -> Self {
        self.inbox = limits;
        self
    }

    /// Opens the byte stream of each attempt in place of TCP: a proxy, a Unix socket, a pipe in memory. TLS still goes
    /// on top where the address is `wss`.
    #[must_use]
    pub fn connector<F, Fut, S>(mut self, connect: F) -> Self
    where
        F: Fn(Target) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: ByteStream,
    {
        self.connector = Some(Arc::new(move |target| {
            let connecting = connect(target);
            Box::pin(async move { connecting.await.map(|stream| Box::new(stream) as BoxStream) })
        }));
        self
    }

    /// TLS with roots or client certificates of one's own.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls = crate::tls::Tls::custom(config);
        self
    }

    /// Starts the link in a task of its own.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with what it was built from; nothing was dialled then.
    pub fn spawn(self) -> Result<(Client, Events), BuildError> {
        Ok(spawn(self.engine()?))
    }

    /// Starts the link without a task: it lives while it is polled.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](Self::spawn).
    pub fn connect(self) -> Result<Connection<Rt>, BuildError> {
        Ok(Connection::new(self.engine()?))
    }

    fn engine(mut self) -> Result<Engine<Rt>, BuildError> {
        let mut template = Template::new(self.request?);
        template.place_token(self.placement);
        self.more_endpoints.iter().for_each(|endpoint| template.trust(endpoint));
        let mut endpoints = vec![template.address()];
        endpoints.append(&mut self.more_endpoints);

        #[cfg(feature = "tls")]
        if endpoints.iter().any(|address| address.expose().starts_with("wss:")) {
            self.tls.prepare()?;
        }
        let dialer = Dialer {
            template,
            limits: self.limits,
            connector: self.connector,
            #[cfg(feature = "tls")]
            tls: self.tls,
        };
        let mut config = self.config;
        config.link.credentials.fetch |= self.providers.token.is_some();
        config.link.credentials.address |= self.providers.address.is_some();
        self.protocol.reads_at_most(self.limits.largest()?)?;
        let trace = Trace::link(&endpoints[0]);
        let mut session = Session::new(config, endpoints, self.protocol, rand::make_rng::<SmallRng>())?;
        if let Some(resume) = self.resume {
            session.resume_from(resume);
        }
        let clock = self.runtime.clone();
        let shared = Arc::new(Shared::new(session, self.inbox, Box::new(move || clock.now())));
        suspend::watch(&shared);
        shared.tell(SessionInput::Connect);
        Ok(Engine::new(self.runtime, shared, dialer, self.providers, trace))
    }
}

fn parse_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), BuildError> {
    let bad = |part| BuildError::Header { name: name.to_owned(), part };
    let parsed: HeaderName = name.parse().map_err(|_| bad("name"))?;
    let value = value.parse().map_err(|_| bad("value"))?;
    Ok((parsed, value))
}

impl<Rt> std::fmt::Debug for Builder<Rt> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
    }
}
