//! Where to connect, and what to say there: the request of the WebSocket handshake, and who may get which part of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{AUTHORIZATION, COOKIE, HOST, PROXY_AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use relink::{Address, InvalidUrl, Origin, Secret, TokenPlacement};

use crate::builder::BuildError;
use crate::cookies::{Jar, Visit};
use crate::handshake::OWN_HEADERS;

/// What a link can be started from: a URL as text, an [`http::Uri`], or an [`http::Request`] with headers of its own. A
/// user name in the address, with a password or without, is sent as Basic authorization.
pub trait IntoRequest {
    /// The request; its method and version are replaced by what WebSocket needs.
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
    /// Whether TLS goes on top.
    pub tls: bool,
}

/// The request that every attempt repeats, with a new key and a fresh token.
#[derive(Clone, Default)]
pub(crate) struct Template {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) headers: HeaderMap,
    pub(crate) placement: TokenPlacement,
    /// Whether the application's headers follow redirects to strangers, too.
    pub(crate) headers_follow: bool,
    pub(crate) cookies: Option<Jar>,
}

/// A configured address without the user name that stood in it.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    pub(crate) origin: Origin,
    uri: Uri,
    /// What the user name becomes in the `Authorization` header.
    basic: Option<HeaderValue>,
}

/// One attempt, ready to be dialed.
pub(crate) struct Prepared {
    pub(crate) target: Target,
    pub(crate) request: http::Request<()>,
    pub(crate) visit: Option<Visit>,
}

/// Headers that never leave the configured origins, whatever the application says of the others.
const SECRET_HEADERS: [HeaderName; 4] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, HOST];

impl Endpoint {
    pub(crate) fn new(address: &Address) -> Result<Self, InvalidUrl> {
        let origin = address.origin()?;
        let bad = |problem: &str| InvalidUrl::new(address.clone(), problem);
        let mut parts = uri_of(address)?.into_parts();
        let authority = parts.authority.as_ref().map_or("", http::uri::Authority::as_str).to_owned();
        let (user, host) =
            authority.rsplit_once('@').map_or((None, authority.as_str()), |(user, host)| (Some(user), host));
        let basic = user.filter(|user| !user.is_empty()).map(basic).transpose().map_err(bad)?;
        parts.scheme = if origin.is_secure() { "wss" } else { "ws" }.parse().ok();
        parts.authority = host.parse().ok();
        parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
        let uri = Uri::from_parts(parts).map_err(|_| bad("it is not a URL"))?;
        Ok(Self { address: uri.to_string().into(), origin, uri, basic })
    }
}

impl Template {
    /// Whether what was configured can be sent at all. `has_tokens`: a token comes with every attempt.
    pub(crate) fn check(&self, has_tokens: bool) -> Result<(), BuildError> {
        let header = |name: &HeaderName, problem| BuildError::Header { name: name.to_string(), problem };
        if let Some(name) = OWN_HEADERS.iter().find(|name| self.headers.contains_key(*name)) {
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

    /// The target and the request for an address. `is_trusted`: its origin may know the application's secrets.
    pub(crate) fn prepare(
        &self,
        address: &Address,
        token: Option<&Secret>,
        is_trusted: bool,
    ) -> Result<Prepared, InvalidUrl> {
        let bad = |problem: &str| InvalidUrl::new(address.clone(), problem);
        let Endpoint { origin, uri, basic, .. } = Endpoint::new(address)?;
        let may_go = |name: &HeaderName, value: &HeaderValue| is_trusted || self.follows(name, value);
        let going = self.headers.iter().filter(|(name, value)| may_go(name, value));
        let mut headers: HeaderMap = going.map(|(name, value)| (name.clone(), value.clone())).collect();
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
        let target = Target { host: origin.host().to_owned(), port: origin.port(), tls: origin.is_secure() };
        Ok(Prepared { target, request, visit })
    }

    /// Whether a header may go to a stranger that a redirect led to: what the handshake needs and what says nothing, and
    /// the application's own if it says so.
    fn follows(&self, name: &HeaderName, value: &HeaderValue) -> bool {
        let is_secret = value.is_sensitive() || SECRET_HEADERS.contains(name);
        !is_secret && (self.headers_follow || [USER_AGENT, SEC_WEBSOCKET_PROTOCOL].contains(name))
    }

    /// An address that was fetched in place of an endpoint, made whole. `has_token`: one goes there, too.
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

    /// Whether a token can be sent where it belongs.
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
                let value = value.ok_or("the token has characters that cannot stand in a header")?;
                headers.insert(AUTHORIZATION, value);
            }
            TokenPlacement::Query(name) => {
                let pair = format!("{}={}", percent_encode(name), percent_encode(token));
                *query = Some(query.take().map_or_else(|| pair.clone(), |before| format!("{before}&{pair}")));
            }
            TokenPlacement::Subprotocol(prefix) => {
                let name = format!("{prefix}{token}");
                let value = secret(name.clone()).filter(|_| is_token(&name));
                let value = value.ok_or("the token has characters that cannot stand in a subprotocol")?;
                headers.append(SEC_WEBSOCKET_PROTOCOL, value);
            }
        }
        Ok(())
    }
}

/// The application's cookies and those of the jar, in one header (RFC 6265, section 5.4). The application's come first, and
/// in place of one in the jar that has the same name.
fn add_cookies(headers: &mut HeaderMap, visit: Option<&Visit>) {
    let own: Vec<_> = headers.get_all(COOKIE).into_iter().map(|value| value.as_bytes().to_vec()).collect();
    let own = own.join(&b"; "[..]);
    let text = String::from_utf8_lossy(&own);
    let taken: Vec<_> =
        text.split(';').filter_map(|pair| pair.split_once('=')).map(|(name, _)| name.trim()).collect();
    let kept = visit.map_or_else(Vec::new, |visit| visit.cookies(&taken));
    let kept = kept.into_iter().map(String::into_bytes);
    let all: Vec<_> = Some(own.clone()).filter(|own| !own.is_empty()).into_iter().chain(kept).collect();
    // Both were parts of a header before.
    if let (false, Ok(mut value)) = (all.is_empty(), HeaderValue::from_bytes(&all.join(&b"; "[..]))) {
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
fn basic(user: &str) -> Result<HeaderValue, &'static str> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let (name, password) = (percent_decode(name), percent_decode(password));
    if name.contains(&b':') || [&name, &password].iter().any(|part| part.iter().any(u8::is_ascii_control)) {
        return Err("its user name cannot be sent: it has a colon or a control character");
    }
    let encoded = BASE64.encode([&name[..], b":", &password[..]].concat());
    let mut value =
        HeaderValue::try_from(format!("Basic {encoded}")).map_err(|_| "its user name cannot be sent")?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether this can be the name of a subprotocol: a token of RFC 9110, section 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
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

/// The bytes that a part of a URL stands for. A percent sign that begins no escape stands for itself, as in browsers.
fn percent_decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        let escaped =
            escaped.filter(|hex| !hex.starts_with('+')).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(urls: &[&str]) -> Template {
        let endpoints = urls.iter().map(|url| Endpoint::new(&(*url).into()).unwrap()).collect();
        Template { endpoints, ..Template::default() }
    }

    fn prepare(template: &Template, to: &str, is_trusted: bool) -> (Target, http::Request<()>) {
        let Prepared { target, request, .. } =
            template.prepare(&to.into(), Some(&"tok".into()), is_trusted).unwrap();
        (target, request)
    }

    fn authorization(request: &http::Request<()>) -> Option<&str> {
        request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn urls_that_are_none_are_refused_with_the_reason() {
        for (url, problem) in [
            ("http://example.org", "neither ws nor wss"),
            ("example.org/feed", "no scheme"),
            ("", "no scheme"),
            ("ws://h:99999/", "port"),
            ("ws://user@/", "no host"),
            ("ws://h/a b", "characters"),
        ] {
            let error = url.into_request().unwrap_err().to_string();
            assert!(error.contains(problem), "{url}: {error}");
        }
        let error = "http://me:secret@example.org/?token=secret".into_request().unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn a_uri_whose_port_is_none_is_refused_too() {
        let uri = Uri::from_static("ws://h:99999/");
        assert!(uri.port_u16().is_none(), "http does not tell");
        assert!(uri.clone().into_request().unwrap_err().to_string().contains("h:99999"));
        let request = http::Request::get(uri).body(()).unwrap();
        assert!(request.into_request().unwrap_err().to_string().contains("port"));
    }

    #[test]
    fn ports_and_hosts_follow_the_scheme() {
        let target = |url: &str| prepare(&Template::default(), url, true).0;
        assert_eq!(target("ws://h/").port, 80);
        assert_eq!(target("WSS://h").port, 443);
        let ipv6 = target("ws://[::1]:9000/");
        assert_eq!((ipv6.host.as_str(), ipv6.port, ipv6.tls), ("::1", 9000, false));
    }

    #[test]
    fn strangers_get_what_the_handshake_needs_and_nothing_else() {
        let mut template = template(&["wss://a.example/feed?key=1"]);
        let mut marked = HeaderValue::from_static("marked");
        marked.set_sensitive(true);
        for (name, value) in [
            ("authorization", HeaderValue::from_static("Digest x")),
            ("cookie", HeaderValue::from_static("a=1")),
            ("proxy-authorization", HeaderValue::from_static("Basic x")),
            ("host", HeaderValue::from_static("inner.example")),
            ("x-api-key", HeaderValue::from_static("k")),
            ("x-marked", marked.clone()),
            ("origin", HeaderValue::from_static("https://app.example")),
            ("user-agent", HeaderValue::from_static("app/1")),
            ("sec-websocket-protocol", HeaderValue::from_static("chat")),
            ("sec-websocket-protocol", marked),
        ] {
            template.headers.append(HeaderName::from_static(name), value);
        }
        template.placement = TokenPlacement::Query("jwt".into());
        let names = |template: &Template, is_trusted| {
            let (_, request) = prepare(template, "wss://b.example/x?y=2", is_trusted);
            let mut names: Vec<_> = request.headers().iter().map(|(name, _)| name.to_string()).collect();
            names.sort();
            (names.join(" "), request.uri().query().unwrap().to_owned())
        };
        assert_eq!(
            names(&template, false),
            ("sec-websocket-protocol user-agent".to_owned(), "y=2".to_owned())
        );
        assert_eq!(names(&template, true).0.split(' ').count(), 10);
        assert_eq!(names(&template, true).1, "y=2&jwt=tok");
        template.headers_follow = true;
        assert_eq!(names(&template, false).0, "origin sec-websocket-protocol user-agent x-api-key");
    }

    #[test]
    fn a_token_goes_where_it_belongs_and_only_there() {
        let mut template = template(&["ws://a.example/"]);
        let subprotocols = |request: &http::Request<()>| {
            let values = request.headers().get_all("sec-websocket-protocol").into_iter();
            values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(authorization(&prepare(&template, "ws://a.example/", true).1), Some("Bearer tok"));
        assert_eq!(authorization(&prepare(&template, "ws://a.example/", false).1), None);

        template.headers.insert("sec-websocket-protocol", HeaderValue::from_static("chat"));
        template.placement = TokenPlacement::Subprotocol("bearer.".into());
        let (_, ours) = prepare(&template, "ws://a.example/", true);
        assert_eq!((authorization(&ours), subprotocols(&ours).as_str()), (None, "chat, bearer.tok"));
        assert_eq!(subprotocols(&prepare(&template, "ws://b.example/", false).1), "chat");
        for token in ["a b", "a,b", "ü", "a=", ""] {
            assert!(template.check_token(&token.into()).is_err(), "{token:?}");
        }
    }

    #[test]
    fn a_user_name_in_an_address_is_basic_authorization_for_its_origin() {
        let template = template(&["ws://bob:s%3Acret%C3%BC@a.example/", "ws://b.example/"]);
        let sent = |to, is_trusted| {
            let prepared = template.prepare(&Address::from(to), None, is_trusted).unwrap();
            authorization(&prepared.request).map(str::to_owned)
        };
        assert_eq!(template.endpoints[0].address.expose(), "ws://a.example/");
        let bob = Some(format!("Basic {}", BASE64.encode("bob:s:cretü")));
        assert_eq!(sent("ws://a.example/", true), bob);
        assert_eq!(sent("ws://A.example:80/elsewhere", true), bob);
        assert_eq!(sent("ws://b.example/", true), None);
        assert_eq!(sent("ws://eve:x@c.example/", false), None);
        for (user, pair) in
            [("bob", "bob:"), ("bob:", "bob:"), (":pw", ":pw"), ("50%off:100%", "50%off:100%")]
        {
            let sent = basic(user).unwrap();
            assert_eq!(sent.to_str().unwrap(), format!("Basic {}", BASE64.encode(pair)), "{user}");
        }
        assert!(basic("a%3Ab:c").is_err() && basic("a%0A:c").is_err());
    }

    #[test]
    fn credentials_that_compete_and_headers_that_cannot_be_set_are_refused() {
        let check = |url: &str, headers: &[(&'static str, &'static str)], has_tokens| {
            let mut template = template(&[url]);
            for (name, value) in headers {
                template.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            template.check(has_tokens).err().map(|error| error.to_string()).unwrap_or_default()
        };
        let basic = ("authorization", "Basic x");
        assert_eq!(check("ws://a/", &[basic, ("host", "b"), ("x-a", "1"), ("x-a", "2")], false), "");
        assert_eq!(check("ws://me@a/", &[], false), "");
        assert_eq!(check("ws://a/", &[], true), "");
        for error in [
            check("ws://a/", &[basic, basic], false),
            check("ws://a/", &[basic], true),
            check("ws://me@a/", &[basic], false),
            check("ws://me@a/", &[], true),
        ] {
            assert!(error.contains("authorization") && error.contains("exclude"), "{error}");
        }
        assert!(check("ws://a/", &[("host", "b"), ("host", "c")], false).contains("host"));
        for name in ["connection", "upgrade", "sec-websocket-key", "content-length", "transfer-encoding"] {
            assert!(check("ws://a/", &[(name, "x")], false).contains(name), "{name}");
        }
    }

    #[test]
    fn a_user_name_in_a_fetched_address_competes_like_a_configured_one() {
        let endpoint = Address::from("wss://h/feed");
        let fetched = |template: &Template, address: &str, has_token| {
            let checked = template.check_fetched(&endpoint, &address.into(), has_token);
            checked.map(|address| address.expose().to_owned()).map_err(|error| error.to_string())
        };
        let mut template = template(&["wss://h/feed"]);
        for (address, has_token) in [("//bob:pw@h/x", false), ("wss://h/x", true), ("/x", true)] {
            assert!(fetched(&template, address, has_token).is_ok(), "{address}");
        }
        let by_token = fetched(&template, "wss://bob:pw@h/x", true).unwrap_err();
        template.placement = TokenPlacement::Protocol;
        assert_eq!(fetched(&template, "//bob@h/x", true).unwrap(), "wss://bob@h/x");
        template.headers.insert(AUTHORIZATION, HeaderValue::from_static("Digest x"));
        assert!(fetched(&template, "wss://h/x", false).is_ok());
        for error in [by_token, fetched(&template, "wss://bob:pw@h/x", false).unwrap_err()] {
            assert!(
                error.contains("user name") && error.contains("exclude") && !error.contains("pw"),
                "{error}"
            );
        }
    }

    #[test]
    fn cookies_of_the_application_and_of_the_jar_share_a_header() {
        let mut template = template(&["ws://a.example/"]);
        template.headers.append(COOKIE, HeaderValue::from_static("a=1; b=2"));
        template.headers.append(COOKIE, HeaderValue::from_static("c=3"));
        template.cookies = Some(Jar::default());
        let cookies = |is_trusted| {
            let (_, request) = prepare(&template, "ws://a.example/", is_trusted);
            let values = request.headers().get_all(COOKIE).into_iter();
            values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(cookies(true), ["a=1; b=2; c=3"]);
        let visit = template.prepare(&"ws://a.example/".into(), None, true).unwrap().visit.unwrap();
        let set = ["b=jar", "node=7"].map(|set| (http::header::SET_COOKIE, HeaderValue::from_static(set)));
        visit.keep(&set.into_iter().collect());
        assert_eq!(cookies(true), ["a=1; b=2; c=3; node=7"]);
        assert_eq!(cookies(false), ["b=jar; node=7"]);
    }

    #[test]
    fn a_token_in_the_query_is_encoded_and_its_name_too() {
        let mut template = template(&["ws://a.example/"]);
        template.placement = TokenPlacement::Query("a b".into());
        let prepared = template.prepare(&"ws://a.example/?x=1".into(), Some(&"a b/ü".into()), true).unwrap();
        assert_eq!(prepared.request.uri().query(), Some("x=1&a%20b=a%20b%2F%C3%BC"));
    }
}
