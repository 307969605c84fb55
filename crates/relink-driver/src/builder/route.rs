//! The way to the server: proxies, a connector of one's own, TLS.

use std::future::Future;
use std::io;
use std::sync::Arc;

use super::{BuildError, Builder};
use crate::dial::{Connector, Opened, SecureBy, secured};
use crate::proxy::{Proxies, Proxy, Secure};
use crate::request::Target;
use crate::runtime::Runtime;
use crate::stream::{BoxStream, ByteStream};

/// How the byte stream of an attempt is opened.
pub(super) enum Route {
    Direct,
    Own(Connector),
    Proxies(Proxies),
}

impl Route {
    pub(super) fn connector<Rt: Runtime>(self, runtime: &Rt, secure: Secure) -> Option<Connector> {
        let by = secure.by.clone();
        let connector = match self {
            Self::Direct => None,
            Self::Own(connector) => Some(connector),
            Self::Proxies(proxies) => Some(proxies.connector(runtime.clone(), secure)),
        };
        match by {
            None => connector,
            Some(by) => Some(secured(connector, by, runtime.clone())),
        }
    }
}

impl<Rt: Runtime> Builder<Rt> {
    /// Goes to the server through this proxy, whatever the endpoint and wherever a redirect leads.
    /// None by default.
    ///
    /// | URL | proxy |
    /// | --- | --- |
    /// | `http://host:3128` | HTTP CONNECT (RFC 9110, section 9.3.6), for `ws` as well |
    /// | `https://host:3129` | the same over TLS, with the authorities of this link; needs the feature `tls` |
    /// | `socks5h://host:1080` | SOCKS5 (RFC 1928), which looks the server's name up |
    /// | `socks5://host:1080` | SOCKS5, to an address that is looked up here |
    ///
    /// `user:password@` before the host logs in there: Basic for HTTP, which only `https` keeps
    /// from listeners, and RFC 1929 for SOCKS5; other characters than letters and digits are
    /// percent-encoded. It is shown in no event, error or log.
    ///
    /// The proxy learns the server's host and port. Of a `wss` link it sees nothing else, of a `ws`
    /// link everything. What it refuses is a failed attempt, and never counts as an answer of the
    /// server; the detail of [`Event::AttemptFailed`](relink::Event::AttemptFailed) says which
    /// proxy it was and what it answered. The time that it takes is part of `connect_timeout`.
    ///
    /// A mistake in the URL is a [`BuildError::Proxy`].
    ///
    /// ```
    /// # use relink_driver::{Builder, Runtime};
    /// # fn behind_a_proxy<Rt: Runtime>(builder: Builder<Rt>) -> Builder<Rt> {
    /// builder.proxy("http://me:password@proxy.corp.example:3128")
    /// # }
    /// ```
    #[must_use]
    pub fn proxy(self, url: &str) -> Self {
        match Proxy::parse(url, "proxy()") {
            Ok(proxy) => self.with_route(Route::Proxies(Proxies::One(proxy))),
            Err(mistake) => self.record_mistake(Err(mistake)),
        }
    }

    /// Whether the environment names the proxy, as it does for curl: for a `wss` address the first
    /// of `wss_proxy`, `https_proxy` and `all_proxy` that is set, for a `ws` address the first of
    /// `ws_proxy`, `http_proxy` and `all_proxy`, each in lower case or else in upper case. What
    /// `no_proxy` lists is dialed directly: names with all below them, addresses, networks such as
    /// `10.0.0.0/8`, separated by commas; `*` is everything. `HTTP_PROXY` in upper case is not read
    /// if `REQUEST_METHOD` is set: in CGI, it is a header of a request. Unlike for curl, a proxy
    /// must have a port. The values are those of [`proxy`](Self::proxy); without a scheme, it is
    /// `http`.
    ///
    /// `false` by default: a library does not redirect connections because of a variable that
    /// nobody who wrote the program thought of. The environment is read once, by this call.
    #[must_use]
    pub fn proxy_from_env(self, read: bool) -> Self {
        match read.then(Proxies::from_env) {
            None => self,
            Some(Ok(proxies)) => self.with_route(Route::Proxies(proxies)),
            Some(Err(mistake)) => self.record_mistake(Err(mistake)),
        }
    }

    /// Opens the byte stream of each attempt in place of TCP: a Unix socket, a pipe in memory, a
    /// proxy of another kind than [`proxy`](Self::proxy) knows. TLS is still added if the address
    /// is `wss`.
    #[must_use]
    pub fn connector<F, Fut, S>(self, connect: F) -> Self
    where
        F: Fn(Target) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: ByteStream,
    {
        self.with_route(Route::Own(Arc::new(move |target| {
            let connecting = connect(target);
            Box::pin(async move { Ok(Opened::new(connecting.await?)) })
        })))
    }

    fn with_route(mut self, route: Route) -> Self {
        let is_second = !matches!(std::mem::replace(&mut self.route, route), Route::Direct);
        let conflict = "proxy(), proxy_from_env() and connector() exclude each other; call one of \
                        them, once";
        self.record_mistake(if is_second { Err(BuildError::Conflict(conflict)) } else { Ok(()) })
    }

    /// TLS with your own authorities, cryptography or client certificates;
    /// [`tls::client`](crate::tls::client) begins such a configuration. By default, it is with the
    /// authorities of [`tls::roots`](crate::tls::roots).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls = crate::tls::Tls::custom(config);
        self
    }

    /// TLS by another library than rustls, such as that of the operating system: for each `wss`
    /// target, and for an `https` proxy, this makes the encrypted stream out of that to the target.
    /// It has to check that the certificate is for `target.host`. Redirects may lead there as well:
    /// a client certificate is for the hosts that it was meant for.
    ///
    /// The crate `relink-native-tls` in the repository is this for `native-tls`:
    ///
    /// ```
    /// # use relink_driver::{Builder, Runtime, ByteStream, Target};
    /// # struct TlsConnector;
    /// # impl TlsConnector {
    /// #     async fn connect<S: ByteStream>(&self, _: &str, stream: S) -> std::io::Result<S> { Ok(stream) }
    /// # }
    /// # fn with_the_systems<Rt: Runtime>(builder: Builder<Rt>) -> Builder<Rt> {
    /// builder.tls_by(|stream, target: Target| async move {
    ///     TlsConnector.connect(&target.host, stream).await
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn tls_by<F, Fut, S>(mut self, secure: F) -> Self
    where
        F: Fn(BoxStream, Target) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: ByteStream,
    {
        let by: SecureBy = Arc::new(move |stream, target| {
            let securing = secure(stream, target);
            Box::pin(async move { Ok(Box::new(securing.await?) as BoxStream) })
        });
        let is_second = self.secure_by.replace(by).is_some();
        let conflict = "a second tls_by() would replace the first; call it once";
        self.record_mistake(if is_second { Err(BuildError::Conflict(conflict)) } else { Ok(()) })
    }
}
