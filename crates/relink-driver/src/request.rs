//! Where to connect, and what to say there: the request of the WebSocket handshake.

use http::header::{AUTHORIZATION, CONNECTION, COOKIE, HOST, PROXY_AUTHORIZATION, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use relink::{Address, Secret};

/// What a link can be started from: a URL as text, an [`http::Uri`], or an [`http::Request`] with headers of its own.
pub trait IntoRequest {
    /// The request; its method and version are replaced by what WebSocket needs.
    ///
    /// # Errors
    ///
    /// Where the text is not a URL.
    fn into_request(self) -> Result<http::Request<()>, BadUrl>;
}

/// An address that a link cannot be started from. The message names what is wrong, without the secrets in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} is no address for a WebSocket: {problem}; write it as in wss://example.org/path")]
pub struct BadUrl {
    address: Address,
    problem: &'static str,
}

impl IntoRequest for http::Request<()> {
    fn into_request(self) -> Result<Self, BadUrl> {
        check(self.uri())?;
        Ok(self)
    }
}

impl IntoRequest for Uri {
    fn into_request(self) -> Result<http::Request<()>, BadUrl> {
        check(&self)?;
        let mut request = http::Request::new(());
        *request.uri_mut() = self;
        Ok(request)
    }
}

impl IntoRequest for &str {
    fn into_request(self) -> Result<http::Request<()>, BadUrl> {
        let uri: Uri =
            self.parse().map_err(|_| BadUrl { address: Address::from(self), problem: "it is not a URL" })?;
        uri.into_request()
    }
}

impl IntoRequest for String {
    fn into_request(self) -> Result<http::Request<()>, BadUrl> {
        self.as_str().into_request()
    }
}

impl IntoRequest for &String {
    fn into_request(self) -> Result<http::Request<()>, BadUrl> {
        self.as_str().into_request()
    }
}

fn check(uri: &Uri) -> Result<(), BadUrl> {
    let bad = |problem| Err(BadUrl { address: Address::from(uri.to_string()), problem });
    match (uri.scheme_str(), uri.host()) {
        (Some("ws" | "wss"), Some(host)) if !host.is_empty() => Ok(()),
        (Some("ws" | "wss"), _) => bad("it has no host"),
        (Some(_), _) => bad("its scheme is neither ws nor wss"),
        (None, _) => bad("it has no scheme"),
    }
}

/// How a token reaches the server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TokenPlacement {
    /// As `Authorization: Bearer …` in the handshake.
    #[default]
    Bearer,
    /// As this parameter of the query, for servers that browsers must reach too. Servers and proxies tend to log it.
    Query(String),
    /// Not in the handshake: the protocol sends it. Like any message it is then in what tungstenite logs at `trace`.
    Protocol,
}

/// What is added to the handshake behind the back of everything that might log it.
#[derive(Default)]
pub struct HandshakeSecrets {
    /// Headers as they go onto the wire.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// `name=value`, already encoded, for the query of the request line, which has none yet.
    pub(crate) query: Option<String>,
}

impl std::fmt::Debug for HandshakeSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HandshakeSecrets(…)")
    }
}

/// Where one attempt goes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// The host, as it is looked up: without the brackets of an IPv6 address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether TLS goes on top.
    pub tls: bool,
}

/// The request that every attempt repeats, with a new key and a fresh token.
#[derive(Clone)]
pub(crate) struct Template {
    uri: Uri,
    /// The hosts of the other configured endpoints, which get the same credentials.
    other_hosts: Vec<String>,
    headers: HeaderMap,
    placement: TokenPlacement,
}

/// Headers that carry secrets: they go around everything that could log the request.
const SECRET_HEADERS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];

impl Template {
    pub(crate) fn new(request: http::Request<()>) -> Self {
        let (parts, ()) = request.into_parts();
        Self {
            uri: parts.uri,
            other_hosts: Vec::new(),
            headers: parts.headers,
            placement: TokenPlacement::default(),
        }
    }

    pub(crate) fn place_token(&mut self, placement: TokenPlacement) {
        self.placement = placement;
    }

    /// Another configured endpoint: its host gets the credentials, too.
    pub(crate) fn trust(&mut self, endpoint: &Address) {
        let uri = endpoint.expose().parse::<Uri>().ok();
        self.other_hosts.extend(uri.and_then(|uri| uri.host().map(str::to_owned)));
    }

    pub(crate) fn address(&self) -> Address {
        Address::from(self.uri.to_string())
    }

    /// The target and the request for an address: the configured one, or where a redirect led.
    pub(crate) fn prepare(
        &self,
        address: &Address,
        token: Option<&Secret>,
    ) -> Result<(Target, http::Request<()>, HandshakeSecrets), BadUrl> {
        let uri = self.resolve(address)?;
        let target = target_of(&uri);
        let host = uri.host().unwrap_or_default();
        let is_trusted = self.uri.host() == Some(host) || self.other_hosts.iter().any(|other| other == host);

        let mut request = http::Request::new(());
        let mut secrets = HandshakeSecrets::default();
        let headers = request.headers_mut();
        for (name, value) in &self.headers {
            if !SECRET_HEADERS.contains(name) && !value.is_sensitive() {
                headers.append(name, value.clone());
            } else if is_trusted {
                secrets.headers.push((name.clone(), value.clone()));
            }
        }
        let bad = |problem| BadUrl { address: address.clone(), problem };
        let authority = uri.authority().map_or("", Authority::as_str);
        let host = authority.rsplit('@').next().unwrap_or_default();
        let host = HeaderValue::from_str(host).map_err(|_| bad("its host cannot stand in a header"))?;
        headers.insert(HOST, host);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
        let key = tungstenite::handshake::client::generate_key();
        headers.insert("sec-websocket-key", HeaderValue::from_str(&key).map_err(|_| bad("no key"))?);
        if let Some(token) = token.filter(|_| is_trusted) {
            self.add_token(token, &mut secrets).map_err(bad)?;
        }
        // A query may be a secret as well, and goes the same way.
        let query = uri.query().map(str::to_owned).into_iter().chain(secrets.query);
        secrets.query = query.reduce(|all, next| format!("{all}&{next}"));
        *request.uri_mut() = without_query(uri).ok_or_else(|| bad("it is not a URL"))?;
        Ok((target, request, secrets))
    }

    /// Whether a token can be sent where it belongs.
    pub(crate) fn check_token(&self, token: &Secret) -> Result<(), &'static str> {
        self.add_token(token, &mut HandshakeSecrets::default())
    }

    /// An address that was fetched in place of this endpoint, made whole.
    pub(crate) fn check_address(&self, endpoint: &Address, address: &Address) -> Result<Address, BadUrl> {
        let address = join(endpoint, address);
        let bad = |problem| BadUrl { address: address.clone(), problem };
        let uri: Uri = address.expose().parse().map_err(|_| bad("it is not a URL"))?;
        if !matches!(uri.scheme_str(), Some("ws" | "wss" | "http" | "https")) {
            return Err(bad("its scheme is neither ws nor wss"));
        }
        self.resolve(&address).map(|uri| Address::from(uri.to_string()))
    }

    fn add_token(&self, token: &Secret, secrets: &mut HandshakeSecrets) -> Result<(), &'static str> {
        match &self.placement {
            TokenPlacement::Bearer => {
                let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
                    .map_err(|_| "the token has characters that cannot stand in a header")?;
                secrets.headers.push((AUTHORIZATION, value));
            }
            TokenPlacement::Query(name) => {
                secrets.query = Some(format!("{name}={}", percent_encode(token.expose())));
            }
            TokenPlacement::Protocol => {}
        }
        Ok(())
    }

    /// Makes an address absolute. A redirect may name a path alone, may say `http` for `ws`, and may never lead from
    /// TLS to plain text.
    fn resolve(&self, address: &Address) -> Result<Uri, BadUrl> {
        let bad = |problem| BadUrl { address: address.clone(), problem };
        let uri: Uri = address.expose().parse().map_err(|_| bad("it is not a URL"))?;
        let mut parts = uri.into_parts();
        if parts.authority.is_none() {
            parts.authority = self.uri.authority().cloned();
            parts.scheme = self.uri.scheme().cloned();
        }
        let secure = matches!(parts.scheme.as_ref().map(Scheme::as_str), Some("wss" | "https"));
        if self.uri.scheme_str() == Some("wss") && !secure {
            return Err(bad("it leads from TLS to plain text"));
        }
        parts.scheme = if secure { "wss" } else { "ws" }.parse().ok();
        let root = || PathAndQuery::from_static("/");
        parts.path_and_query.get_or_insert_with(root);
        let uri = Uri::from_parts(parts).map_err(|_| bad("it is not a URL"))?;
        check(&uri)?;
        Ok(uri)
    }
}

/// Where a redirect leads, seen from where it came from: it may leave out what stays the same (RFC 3986, section 5.2).
pub(crate) fn join(from: &Address, to: &Address) -> Address {
    let to = to.expose();
    let Ok(base) = from.expose().parse::<Uri>() else { return Address::from(to) };
    let scheme = base.scheme_str().unwrap_or("ws");
    let origin = format!("{scheme}://{}", base.authority().map_or("", Authority::as_str));
    let has_scheme = to.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':'));
    Address::from(if has_scheme {
        to.to_owned()
    } else if to.starts_with("//") {
        format!("{scheme}:{to}")
    } else if to.starts_with('/') {
        format!("{origin}{to}")
    } else if to.starts_with('?') {
        format!("{origin}{}{to}", base.path())
    } else {
        let folder = base.path().rfind('/').map_or("/", |end| &base.path()[..=end]);
        format!("{origin}{folder}{to}")
    })
}

fn without_query(uri: Uri) -> Option<Uri> {
    let mut parts = uri.into_parts();
    let path = parts.path_and_query.as_ref().map_or("/", PathAndQuery::path).parse();
    parts.path_and_query = Some(path.ok()?);
    Uri::from_parts(parts).ok()
}

fn target_of(uri: &Uri) -> Target {
    let tls = uri.scheme_str() == Some("wss");
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    Target { host: host.to_owned(), port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }), tls }
}

/// Percent-encoding for a query's value: everything but the unreserved characters of RFC 3986.
fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(url: &str) -> Template {
        Template::new(url.into_request().unwrap())
    }

    #[test]
    fn urls_that_are_none_are_refused_with_the_reason() {
        for (url, problem) in [
            ("http://example.org", "neither ws nor wss"),
            ("example.org/feed", "not a URL"),
            ("/feed", "no scheme"),
            ("", "not a URL"),
        ] {
            let error = url.into_request().unwrap_err().to_string();
            assert!(error.contains(problem), "{url}: {error}");
        }
        let error = "http://me:secret@example.org/?token=secret".into_request().unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn ports_and_hosts_follow_the_scheme() {
        let target = |url: &str| {
            let template = template(url);
            template.prepare(&template.address(), None).unwrap().0
        };
        assert_eq!(target("ws://h/").port, 80);
        assert_eq!(target("wss://h").port, 443);
        let ipv6 = target("ws://[::1]:9000/");
        assert_eq!((ipv6.host.as_str(), ipv6.port, ipv6.tls), ("::1", 9000, false));
    }

    #[test]
    fn a_redirect_keeps_secrets_from_other_hosts_and_never_leaves_tls() {
        let mut request = "wss://a.example/feed".into_request().unwrap();
        request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Basic c2VjcmV0"));
        let template = Template::new(request);
        let prepare = |to: &str| template.prepare(&to.into(), Some(&"tok".into()));

        let (target, request, secrets) = prepare("/elsewhere").unwrap();
        assert_eq!((target.host.as_str(), request.uri().path()), ("a.example", "/elsewhere"));
        assert_eq!(secrets.headers.len(), 2);

        let (target, _, secrets) = prepare("https://b.example/x").unwrap();
        assert_eq!((target.host.as_str(), target.tls), ("b.example", true));
        assert!(secrets.headers.is_empty());

        assert!(prepare("ws://a.example/").unwrap_err().to_string().contains("plain text"));
    }

    #[test]
    fn a_redirect_leaves_out_what_stays_the_same() {
        let from = Address::from("wss://me@a.example:1/deep/feed?x=1");
        for (to, joined) in [
            ("https://b.example/", "https://b.example/"),
            ("//b.example/y", "wss://b.example/y"),
            ("/y?back=ws://c/", "wss://me@a.example:1/y?back=ws://c/"),
            ("?y=2", "wss://me@a.example:1/deep/feed?y=2"),
            ("other", "wss://me@a.example:1/deep/other"),
        ] {
            assert_eq!(join(&from, &to.into()).expose(), joined);
        }
    }

    #[test]
    fn other_endpoints_get_the_credentials_and_strangers_do_not() {
        let mut template = template("wss://a.example/feed?key=1");
        template.trust(&"wss://b.example/".into());
        let secrets = |to: &str| template.prepare(&to.into(), Some(&"tok".into())).unwrap().2;
        assert_eq!(secrets("wss://b.example/").headers.len(), 1);
        assert!(secrets("wss://c.example/").headers.is_empty());
    }

    #[test]
    fn a_query_goes_around_whatever_logs_the_request() {
        let mut template = template("wss://a.example/feed?key=1");
        template.place_token(TokenPlacement::Query("jwt".to_owned()));
        let (_, request, secrets) = template.prepare(&template.address(), Some(&"tok".into())).unwrap();
        assert_eq!(request.uri().to_string(), "wss://a.example/feed");
        assert_eq!(secrets.query.as_deref(), Some("key=1&jwt=tok"));
    }

    #[test]
    fn a_token_in_the_query_is_encoded() {
        assert_eq!(percent_encode("a b/ü"), "a%20b%2F%C3%BC");
    }
}
