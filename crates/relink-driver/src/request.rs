//! Where to connect, and the request of the WebSocket handshake, with which servers may see which
//! parts of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{
    AUTHORIZATION, COOKIE, HOST, PROXY_AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL, USER_AGENT,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use relink::Address;
use relink::policy::TokenPlacement;
use relink::session::{InvalidUrl, Origin, Secret};
use relink_wire::ClientHandshake;

use crate::builder::BuildError;
use crate::cookies::{Jar, Visit};

/// What a link can be created from: a URL as text, an [`http::Uri`], or an [`http::Request`] with
/// headers. A user name in the address, with a password or without, is sent as Basic authorization.
pub trait IntoRequest {
    /// The request; its method and version are replaced by those of WebSocket.
    ///
    /// # Errors
    ///
    /// The URL is not a WebSocket URL.
    fn into_request(self) -> Result<http::Request<()>, InvalidUrl>;
}

impl IntoRequest for http::Request<()> {
    fn into_request(self) -> Result<Self, InvalidUrl> {
        Address::from(self.uri().to_string()).origin()?;
        Ok(self)
    }
}

impl IntoRequest for Uri {
    fn into_request(self) -> Result<http::Request<()>, InvalidUrl> {
        let mut request = http::Request::new(());
        *request.uri_mut() = self;
        request.into_request()
    }
}

impl IntoRequest for &str {
    fn into_request(self) -> Result<http::Request<()>, InvalidUrl> {
        let address = Address::from(self);
        address.origin()?;
        uri_of(&address)?.into_request()
    }
}

impl IntoRequest for String {
    fn into_request(self) -> Result<http::Request<()>, InvalidUrl> {
        self.as_str().into_request()
    }
}

impl IntoRequest for &String {
    fn into_request(self) -> Result<http::Request<()>, InvalidUrl> {
        self.as_str().into_request()
    }
}

#[cfg(feature = "url")]
impl IntoRequest for url::Url {
    fn into_request(self) -> Result<http::Request<()>, InvalidUrl> {
        self.as_str().into_request()
    }
}

#[cfg(feature = "url")]
impl IntoRequest for &url::Url {
    fn into_request(self) -> Result<http::Request<()>, InvalidUrl> {
        self.as_str().into_request()
    }
}

fn uri_of(address: &Address) -> Result<Uri, InvalidUrl> {
    let bad = |_| InvalidUrl::new(address.clone(), "it has characters that cannot stand in a URL");
    address.expose().parse().map_err(bad)
}

/// Where one attempt goes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// The host, as it is looked up: without the brackets of an IPv6 address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether it uses TLS.
    pub tls: bool,
}

/// The request that every attempt repeats, with a new key and a fresh token.
#[derive(Clone, Default)]
pub(crate) struct Template {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) headers: HeaderMap,
    pub(crate) placement: TokenPlacement,
    /// Whether the application's headers also follow redirects to foreign origins.
    pub(crate) headers_follow: bool,
    pub(crate) cookies: Option<Jar>,
    #[cfg(feature = "deflate")]
    pub(crate) deflate: Option<relink_wire::DeflateConfig>,
}

/// A configured address without its user name.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    pub(crate) origin: Origin,
    uri: Uri,
    /// The `Authorization` header for the user name.
    basic: Option<HeaderValue>,
}

/// One attempt, ready to be dialed.
pub(crate) struct Prepared {
    pub(crate) target: Target,
    pub(crate) request: http::Request<()>,
    pub(crate) visit: Option<Visit>,
}

/// Headers that are sent to the configured origins only, whatever the setting for the others.
const SECRET_HEADERS: [HeaderName; 4] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, HOST];

impl Endpoint {
    pub(crate) fn new(address: &Address) -> Result<Self, InvalidUrl> {
        let origin = address.origin()?;
        let bad = |problem: &str| InvalidUrl::new(address.clone(), problem);
        let mut parts = uri_of(address)?.into_parts();
        let authority =
            parts.authority.as_ref().map_or("", http::uri::Authority::as_str).to_owned();
        let (user, host) = authority
            .rsplit_once('@')
            .map_or((None, authority.as_str()), |(user, host)| (Some(user), host));
        let basic = user.filter(|user| !user.is_empty()).map(basic).transpose().map_err(bad)?;
        parts.scheme = if origin.is_secure() { "wss" } else { "ws" }.parse().ok();
        parts.authority = host.parse().ok();
        parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
        let uri = Uri::from_parts(parts).map_err(|_| bad("it is not a URL"))?;
        Ok(Self { address: uri.to_string().into(), origin, uri, basic })
    }
}

impl Template {
    /// Checks that the configured headers can be sent. `has_tokens`: every attempt has a token.
    pub(crate) fn check(&self, has_tokens: bool) -> Result<(), BuildError> {
        let header =
            |name: &HeaderName, problem| BuildError::Header { name: name.to_string(), problem };
        if let Some(name) =
            ClientHandshake::OWN_HEADERS.iter().find(|name| self.headers.contains_key(*name))
        {
            return Err(header(name, "the handshake writes it itself"));
        }
        if self.headers.get_all(HOST).iter().count() > 1 {
            return Err(header(&HOST, "there can be only one"));
        }
        let by_header = self.headers.get_all(AUTHORIZATION).iter().count();
        let by_user = self.endpoints.iter().any(|endpoint| endpoint.basic.is_some());
        let by_token = has_tokens && self.placement == TokenPlacement::Bearer;
        if by_header + usize::from(by_user) + usize::from(by_token) > 1 {
            return Err(header(
                &AUTHORIZATION,
                "a header, a user name in an address, and a token that is placed as Bearer exclude each other",
            ));
        }
        Ok(())
    }

    /// The target and the request for an address. `is_trusted`: its origin may receive the
    /// application's secrets.
    pub(crate) fn prepare(
        &self,
        address: &Address,
        token: Option<&Secret>,
        is_trusted: bool,
    ) -> Result<Prepared, InvalidUrl> {
        let bad = |problem: &str| InvalidUrl::new(address.clone(), problem);
        let Endpoint { origin, uri, basic, .. } = Endpoint::new(address)?;
        let may_go =
            |name: &HeaderName, value: &HeaderValue| is_trusted || self.follows(name, value);
        let going = self.headers.iter().filter(|(name, value)| may_go(name, value));
        let mut headers: HeaderMap =
            going.map(|(name, value)| (name.clone(), value.clone())).collect();
        let mut query = uri.query().map(str::to_owned);
        if is_trusted {
            let same = |endpoint: &&Endpoint| endpoint.origin == origin && endpoint.basic.is_some();
            let basic = basic.or_else(|| self.endpoints.iter().find(same)?.basic.clone());
            headers.extend(basic.map(|basic| (AUTHORIZATION, basic)));
            if let Some(token) = token {
                self.add_token(token, &mut headers, &mut query).map_err(bad)?;
            }
        }
        let visit = self.cookies.clone().map(|jar| Visit {
            jar,
            origin: origin.clone(),
            path: uri.path().to_owned(),
        });
        add_cookies(&mut headers, visit.as_ref());
        let mut request = http::Request::new(());
        *request.headers_mut() = headers;
        *request.uri_mut() = with_query(uri, query).ok_or_else(|| bad("it is not a URL"))?;
        #[cfg(feature = "deflate")]
        self.deflate.map(|deflate| request.extensions_mut().insert(deflate));
        let target =
            Target { host: origin.host().to_owned(), port: origin.port(), tls: origin.is_secure() };
        Ok(Prepared { target, request, visit })
    }

    /// Whether a header may be sent to a foreign origin after a redirect: those of the handshake
    /// and harmless ones, and the application's own if it is configured so.
    fn follows(&self, name: &HeaderName, value: &HeaderValue) -> bool {
        let is_secret = value.is_sensitive() || SECRET_HEADERS.contains(name);
        !is_secret && (self.headers_follow || [USER_AGENT, SEC_WEBSOCKET_PROTOCOL].contains(name))
    }

    /// Resolves and checks an address that was fetched in place of an endpoint. `has_token`: a
    /// token is sent there, too.
    pub(crate) fn check_fetched(
        &self,
        endpoint: &Address,
        address: &Address,
        has_token: bool,
    ) -> Result<Address, InvalidUrl> {
        let address = endpoint.resolve(address)?;
        let by_user = Endpoint::new(&address)?.basic.is_some();
        let by_token = has_token && self.placement == TokenPlacement::Bearer;
        if by_user && (by_token || self.headers.contains_key(AUTHORIZATION)) {
            let problem = "its user name, an authorization header, and a token that is placed as Bearer \
                           exclude each other";
            return Err(InvalidUrl::new(address, problem));
        }
        Ok(address)
    }

    /// Checks that a token can be sent in its place.
    pub(crate) fn check_token(&self, token: &Secret) -> Result<(), &'static str> {
        self.add_token(token, &mut HeaderMap::new(), &mut None)
    }

    fn add_token(
        &self,
        token: &Secret,
        headers: &mut HeaderMap,
        query: &mut Option<String>,
    ) -> Result<(), &'static str> {
        let token = token.expose();
        let secret = |text: String| {
            let mut value = HeaderValue::try_from(text).ok()?;
            value.set_sensitive(true);
            Some(value)
        };
        match &self.placement {
            TokenPlacement::Protocol => return Ok(()),
            _ if token.is_empty() => return Err("the token is empty"),
            TokenPlacement::Bearer => {
                let value = secret(format!("Bearer {token}"));
                let value =
                    value.ok_or("the token has characters that cannot stand in a header")?;
                headers.insert(AUTHORIZATION, value);
            }
            TokenPlacement::Query(name) => {
                let pair = format!("{}={}", percent_encode(name), percent_encode(token));
                *query = Some(
                    query.take().map_or_else(|| pair.clone(), |before| format!("{before}&{pair}")),
                );
            }
            TokenPlacement::Subprotocol(prefix) => {
                let name = format!("{prefix}{token}");
                let value = secret(name.clone()).filter(|_| is_token(&name));
                let value =
                    value.ok_or("the token has characters that cannot stand in a subprotocol")?;
                headers.append(SEC_WEBSOCKET_PROTOCOL, value);
            }
        }
        Ok(())
    }
}

/// The application's cookies and those of the jar, in one header (RFC 6265, section 5.4). The
/// application's come first, and replace those of the same name in the jar.
fn add_cookies(headers: &mut HeaderMap, visit: Option<&Visit>) {
    let own: Vec<_> =
        headers.get_all(COOKIE).into_iter().map(|value| value.as_bytes().to_vec()).collect();
    let own = own.join(&b"; "[..]);
    let text = String::from_utf8_lossy(&own);
    let taken: Vec<_> = text
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, _)| name.trim())
        .collect();
    let kept = visit.map_or_else(Vec::new, |visit| visit.cookies(&taken));
    let kept = kept.into_iter().map(String::into_bytes);
    let all: Vec<_> =
        Some(own.clone()).filter(|own| !own.is_empty()).into_iter().chain(kept).collect();
    // Both were parts of a header before.
    if let (false, Ok(mut value)) = (all.is_empty(), HeaderValue::from_bytes(&all.join(&b"; "[..])))
    {
        value.set_sensitive(true);
        headers.insert(COOKIE, value);
    }
}

fn with_query(uri: Uri, query: Option<String>) -> Option<Uri> {
    let mut parts = uri.into_parts();
    let path = parts.path_and_query.as_ref().map_or("/", PathAndQuery::path);
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    parts.path_and_query = Some(format!("{path}{query}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Basic authorization for the user name, and the password, of an address (RFC 7617).
pub(crate) fn basic(user: &str) -> Result<HeaderValue, &'static str> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let (name, password) = (percent_decode(name), percent_decode(password));
    if name.contains(&b':')
        || [&name, &password].iter().any(|part| part.iter().any(u8::is_ascii_control))
    {
        return Err("its user name cannot be sent: it has a colon or a control character");
    }
    let encoded = BASE64.encode([&name[..], b":", &password[..]].concat());
    let mut value = HeaderValue::try_from(format!("Basic {encoded}"))
        .map_err(|_| "its user name cannot be sent")?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether this is a valid name of a subprotocol: a token of RFC 9110, section 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Percent-encoding for a query: everything but the unreserved characters of RFC 3986.
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

/// Decodes percent-encoding. A percent sign that begins no escape is kept, as in browsers.
pub(crate) fn percent_decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped =
            after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        let escaped = escaped
            .filter(|hex| !hex.starts_with('+'))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    decoded
}

#[cfg(test)]
mod tests;
