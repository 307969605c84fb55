//! [`Builder`]: configures a link.

mod route;
mod settings;
mod start;

use std::future::Future;

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderName, HeaderValue};
use relink::policy::TokenPlacement;
use relink::profile::Profile;
use relink::session::{InvalidUrl, Secret};
use relink::{Address, Channel, ConfigError, Protocol, Resume, SessionConfig, Token};
use relink_wire::header_list;

use crate::channel_tokens::ChannelTokens;
use crate::cookies::Jar;
use crate::dial::SecureBy;
use crate::fetch::{AddressRequest, Providers};
use crate::inbox::InboxLimits;
use crate::preset::{Configured, Preset};
use crate::request::{Endpoint, IntoRequest, Template, is_token};
use crate::runtime::{ConnectError, Runtime};
use crate::wire::WireLimits;
use route::Route;

/// Configures a link. Created by a driver crate; finished by [`spawn`](Self::spawn) or
/// [`connect`](Self::connect), which report the first mistake.
pub struct Builder<Rt> {
    runtime: Rt,
    template: Template,
    /// The first mistake.
    mistake: Option<BuildError>,
    config: Configured,
    protocol: Option<Box<dyn Protocol + Send>>,
    placement: Option<TokenPlacement>,
    providers: Providers,
    resume: Option<Resume>,
    limits: WireLimits,
    inbox: InboxLimits,
    route: Route,
    secure_by: Option<SecureBy>,
    #[cfg(feature = "tls")]
    tls: crate::tls::Tls,
}

/// Why a link cannot be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The URL is not a WebSocket URL.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The first endpoint is encrypted, and another one is not: an attacker who blocks the first
    /// could read everything sent to the other.
    #[error(
        "the endpoint {endpoint} is not encrypted, but the first one ({first}) is; it must be wss, too"
    )]
    Insecure {
        /// The endpoint that is not encrypted.
        endpoint: Address,
        /// The first one.
        first: Address,
    },
    /// A header cannot be sent.
    #[error("the header {name:?} cannot be sent: {problem}")]
    Header {
        /// Its name.
        name: String,
        /// The problem, without the value.
        problem: &'static str,
    },
    /// A proxy cannot be used.
    #[error(
        "{from} is {value:?}, which is no proxy: {problem}; write it as in http://host:3128, \
         http://user:password@host:3128 or socks5h://host:1080"
    )]
    Proxy {
        /// The call, or the variable of the environment.
        from: String,
        /// The URL; as text it has neither user name nor password.
        value: Address,
        /// The problem.
        problem: &'static str,
    },
    /// Two calls of the builder exclude each other.
    #[error("{0}")]
    Conflict(&'static str),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] ConnectError),
}

impl<Rt: Runtime> Builder<Rt> {
    /// Creates a builder for a link to this address, on this runtime, with defaults for the rest.
    #[must_use]
    pub fn new(runtime: Rt, request: impl IntoRequest) -> Self {
        let builder = Self {
            runtime,
            template: Template::default(),
            mistake: None,
            config: Configured::default(),
            protocol: None,
            placement: None,
            providers: Providers::default(),
            resume: None,
            limits: WireLimits::default(),
            inbox: InboxLimits::default(),
            route: Route::Direct,
            secure_by: None,
            #[cfg(feature = "tls")]
            tls: crate::tls::Tls::default(),
        };
        builder.add_endpoint(request.into_request())
    }

    fn add_endpoint(mut self, request: Result<http::Request<()>, InvalidUrl>) -> Self {
        let added = request.and_then(|request| {
            let address = Address::from(request.uri().to_string());
            self.template.endpoints.push(Endpoint::new(&address)?);
            self.template.headers.extend(request.into_parts().0.headers);
            Ok(())
        });
        self.record_mistake(added.map_err(BuildError::from))
    }

    fn record_mistake(mut self, result: Result<(), BuildError>) -> Self {
        self.mistake = self.mistake.or(result.err());
        self
    }

    /// How the link behaves: backoff, heartbeats, close codes, budgets, the outbox.
    #[must_use]
    pub const fn config(mut self, config: SessionConfig) -> Self {
        self.config.own = Some(config);
        self
    }

    fn setting(
        mut self,
        set: impl FnOnce(&mut SessionConfig) -> Result<(), ConfigError> + Send + Sync + 'static,
    ) -> Self {
        self.config.settings.push(Box::new(set));
        self
    }

    /// Another address for the same service. The next one in turn is dialed when an attempt fails,
    /// or a link is lost before it was stable. It is sent the same headers as the first. If the
    /// first address is `wss`, all must be.
    #[must_use]
    pub fn endpoint(self, request: impl IntoRequest) -> Self {
        let request = request.into_request();
        let has_own = request.as_ref().is_ok_and(|request| !request.headers().is_empty());
        let conflict = "an endpoint() has no headers of its own; header() gives one to all of them";
        self.record_mistake(if has_own { Err(BuildError::Conflict(conflict)) } else { Ok(()) })
            .add_endpoint(request)
    }

    /// Adds a header to every handshake. It is sent to the origins (scheme, host and port) of the
    /// configured addresses only, wherever a redirect leads; `user-agent` is sent everywhere.
    /// Credentials (`authorization`, `cookie`, `proxy-authorization`) are never logged. A `host`
    /// header replaces the one derived from the address.
    ///
    /// Name and value are text, or a `HeaderName` and a `HeaderValue`; a value that is marked as
    /// sensitive stays so.
    #[must_use]
    pub fn header<V>(mut self, name: impl AsRef<str>, value: V) -> Self
    where
        HeaderValue: TryFrom<V>,
    {
        let added =
            parse_header(name.as_ref(), value).and_then(|(name, value)| self.append(name, value));
        self.record_mistake(added)
    }

    fn append(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), BuildError> {
        let problem = "there are too many headers";
        let too_many = |_| BuildError::Header { name: name.to_string(), problem };
        self.template.headers.try_append(&name, value).map(drop).map_err(too_many)
    }

    /// Whether headers are also sent after a redirect to a foreign origin, one that is not
    /// configured. `false` by default, since a header may hold a key. Credentials, headers whose
    /// value is marked as sensitive, and `host` never are.
    #[must_use]
    pub const fn headers_follow_redirects(mut self, follow: bool) -> Self {
        self.template.headers_follow = follow;
        self
    }

    /// Whether the link has a cookie jar: what a server sets (`Set-Cookie`), in the answer that
    /// opens the link or in one that refuses or redirects it, is sent with the next dial to the
    /// same origin. `false` by default. The jar is in memory and lasts as long as the link; a
    /// cookie's `Path`, `Secure`, `Max-Age` and `Expires` are respected, and it is sent to no other
    /// host, whatever its `Domain`. A cookie set with [`header`](Self::header) replaces one with
    /// the same name.
    #[must_use]
    pub fn cookies(mut self, keep: bool) -> Self {
        self.template.cookies = keep.then(Jar::default);
        self
    }

    /// Adds a subprotocol to offer to the server, in order of preference. After a redirect, a
    /// foreign server sees it: for a token use [`TokenPlacement::Subprotocol`].
    #[must_use]
    pub fn subprotocol(mut self, name: &str) -> Self {
        let is_known =
            header_list(&self.template.headers, &SEC_WEBSOCKET_PROTOCOL).any(|known| known == name);
        let added = match HeaderValue::from_str(name) {
            _ if is_known => Ok(()),
            Ok(value) if is_token(name) => self.append(SEC_WEBSOCKET_PROTOCOL, value),
            _ => Err(BuildError::Header {
                name: SEC_WEBSOCKET_PROTOCOL.to_string(),
                problem: "the name of a subprotocol is made of letters, digits and -._~+ and the like",
            }),
        };
        self.record_mistake(added)
    }

    /// Sets the provider of tokens, called for every attempt, and before expiry while connected. It
    /// is called once per attempt, never concurrently; an error or a panic counts as a failed
    /// fetch, and its text appears in events.
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

    /// Sets the provider of addresses, called for every attempt in place of the configured
    /// endpoint: a signed URL, a ticket for one use, the answer of a negotiating request. It is
    /// called once per attempt, never concurrently, after the [token](Self::token) was fetched; an
    /// error or a panic counts as a failed fetch, and its text appears in events. A URL that is not
    /// a WebSocket URL is a failed fetch as well, and so is one in plain text if the endpoint has
    /// TLS, or with a user name beside an `authorization` header or a Bearer token. It may be
    /// relative to the endpoint, and `http` stands for `ws`.
    ///
    /// With several endpoints, a failed fetch moves to the next one, like a failed dial. A redirect
    /// belongs to the attempt, and causes no other fetch. The address is trusted like a configured
    /// one: token, headers and cookies are sent there. Its path appears in events and logs, its
    /// query and its user name do not.
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

    /// Sets the provider of tokens for channels that were subscribed to with
    /// [`Subscription::with_token`](relink::Subscription::with_token): a fresh one for every
    /// subscription. It is called for several channels at once; an error or a panic counts as a
    /// failed fetch, which is retried.
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

    /// Resumes a session of an earlier process ([`Client::resume`](crate::Client::resume)): no
    /// message sent to it meanwhile is lost, if the server still has them.
    #[must_use]
    pub fn resume(mut self, resume: Resume) -> Self {
        self.resume = Some(resume);
        self
    }

    /// Uses `relink.v1`, in this encoding: acknowledgements, resume, channels, presence. The token
    /// is sent in the first frame instead of a header.
    ///
    /// The configuration is [`v1::config`](relink_v1::config). One that is set with
    /// [`config`](Self::config), before or after, is used unchanged if it has the authentication
    /// step, and otherwise [adapted](relink_v1::adapt): its defaults are replaced by those of the
    /// protocol. A protocol or a token placement that you set is kept.
    #[cfg(feature = "v1")]
    #[must_use]
    pub fn relink_v1(self, encoding: relink_v1::Encoding) -> Self {
        let protocol = Box::new(relink_v1::RelinkV1::new(encoding));
        let adapt = |own: SessionConfig| {
            let is_made_for_it = own.link.handshake.authentication.is_some();
            if is_made_for_it { own } else { relink_v1::adapt(own) }
        };
        self.subprotocol(relink_v1::SUBPROTOCOL).preset(Preset {
            protocol,
            placement: TokenPlacement::Protocol,
            config: relink_v1::config(),
            adapt,
        })
    }

    /// Behaves like this system: its configuration, wire protocol, subprotocol and token placement.
    /// The crate `relink-profiles` has five. A protocol or a token placement that you set, before
    /// or after, is kept; to change the configuration, start from the profile's and set it after
    /// this call.
    #[must_use]
    pub fn profile(mut self, profile: &Profile) -> Self {
        if self.config.own.is_some() {
            let conflict = "config() before profile() would lose one of the two: make the configuration from the \
                            profile's, and call config() after profile()";
            return self.record_mistake(Err(BuildError::Conflict(conflict)));
        }
        // An invalid address is reported when the link is created.
        let address = self.template.endpoints.first().map(|endpoint| endpoint.address.clone());
        let protocol = (profile.protocol)(&address.unwrap_or_else(|| Address::from("")));
        if let Some(subprotocol) = profile.subprotocol {
            self = self.subprotocol(subprotocol);
        }
        let placement = profile.token.clone();
        self.preset(Preset { protocol, placement, config: (profile.config)(), adapt: |own| own })
    }

    fn preset(mut self, preset: Preset) -> Self {
        let is_second = self.config.preset.replace(preset).is_some();
        let conflict = "relink_v1() and profile() exclude each other; call one of them, once";
        self.record_mistake(if is_second { Err(BuildError::Conflict(conflict)) } else { Ok(()) })
    }

    /// How the token is sent to the server; as `Authorization: Bearer …` by default.
    #[must_use]
    pub fn token_placement(mut self, placement: TokenPlacement) -> Self {
        self.placement = Some(placement);
        self
    }

    /// The application's wire format; plain messages by default. It runs under the lock that
    /// handles and engine share: it must not call its own client.
    #[must_use]
    pub fn protocol(mut self, protocol: impl Protocol + Send + 'static) -> Self {
        self.protocol = Some(Box::new(protocol));
        self
    }

    /// The limits on what the peer may send. They are announced to a `relink.v1` server, which
    /// withholds larger messages.
    #[must_use]
    pub const fn limits(mut self, limits: WireLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Offers the server to compress messages (permessage-deflate, RFC 7692). Off by default; if
    /// the server does not agree, messages go as they are. Limits hold for messages as they are
    /// read; see [`DeflateConfig`](relink_wire::DeflateConfig) for costs and risks.
    ///
    /// ```
    /// # use relink_driver::{Builder, DeflateConfig, Runtime};
    /// # fn with_deflate<Rt: Runtime>(builder: Builder<Rt>) -> Builder<Rt> {
    /// builder.deflate(DeflateConfig::default().with_context_takeover(true))
    /// # }
    /// ```
    #[cfg(feature = "deflate")]
    #[must_use]
    pub const fn deflate(mut self, config: relink_wire::DeflateConfig) -> Self {
        self.template.deflate = Some(config);
        self
    }

    /// The limits on events that wait for the application.
    #[must_use]
    pub const fn inbox(mut self, limits: InboxLimits) -> Self {
        self.inbox = limits;
        self
    }
}

fn parse_header<V>(name: &str, value: V) -> Result<(HeaderName, HeaderValue), BuildError>
where
    HeaderValue: TryFrom<V>,
{
    let bad = |problem| BuildError::Header { name: name.to_owned(), problem };
    let parsed =
        name.parse().map_err(|_| bad("its name has characters that HTTP does not allow"))?;
    let value = HeaderValue::try_from(value)
        .map_err(|_| bad("its value has characters that HTTP does not allow"))?;
    Ok((parsed, value))
}

impl<Rt> std::fmt::Debug for Builder<Rt> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("config", &self.config.own).finish_non_exhaustive()
    }
}
