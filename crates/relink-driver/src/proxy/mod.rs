//! Proxies: which one an attempt goes through, and the way through it.

mod environment;
mod tunnel;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use http::{HeaderValue, Uri};
use relink::{Address, Failure};

use crate::builder::BuildError;
use crate::dial::{Connector, Opened, SecureBy, dial_direct};
use crate::request::{Target, basic, percent_decode};
use crate::runtime::{ConnectError, Runtime};
use crate::stream::BoxStream;
use environment::Environment;
use tunnel::{Host, Step, Tunnel};

/// A proxy, and what logs in to it. `Display` and `Debug` show its scheme, host and port.
#[derive(Clone)]
pub(crate) struct Proxy {
    kind: Kind,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
}

#[derive(Clone)]
enum Kind {
    /// HTTP CONNECT (RFC 9110, section 9.3.6), over TLS or not.
    Http { is_secure: bool, login: Option<HeaderValue> },
    /// RFC 1928; the name is looked up by the proxy, or here.
    Socks5 { is_looked_up_here: bool, login: Option<Login> },
}

/// A user name and a password for SOCKS5 (RFC 1929).
#[derive(Clone)]
struct Login {
    user: Vec<u8>,
    password: Vec<u8>,
}

/// The proxies of a link.
#[derive(Clone)]
pub(crate) enum Proxies {
    One(Proxy),
    Environment(Environment),
}

impl Proxy {
    /// Reads a URL. `from` names the place where it was written, for the error.
    pub(crate) fn parse(url: &str, from: &str) -> Result<Self, BuildError> {
        Self::read(url).map_err(|problem| BuildError::Proxy {
            from: from.to_owned(),
            value: Address::from(url),
            problem,
        })
    }

    fn read(url: &str) -> Result<Self, &'static str> {
        let uri: Uri = url.parse().map_err(|_| "it is not a URL")?;
        let scheme = uri.scheme_str().ok_or("it has no scheme")?.to_ascii_lowercase();
        let authority = uri.authority().ok_or("it has no host")?;
        if uri.path().len() > 1 || uri.query().is_some() {
            return Err("it has a path or a query, which proxies have not");
        }
        let port = authority.port_u16().filter(|port| *port > 0);
        let port = port.ok_or("it has no port from 1 to 65535")?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let user = authority.as_str().rsplit_once('@').map(|(user, _)| user);
        let user = user.filter(|user| !user.is_empty());
        let kind = match scheme.as_str() {
            "https" if !cfg!(feature = "tls") => {
                return Err("this program was built without TLS, which https needs");
            }
            "http" | "https" => {
                Kind::Http { is_secure: scheme == "https", login: user.map(basic).transpose()? }
            }
            "socks5" | "socks5h" => Kind::Socks5 {
                is_looked_up_here: scheme == "socks5",
                login: user.map(Login::read).transpose()?,
            },
            _ => return Err("its scheme is not one of http, https, socks5 and socks5h"),
        };
        Ok(Self { kind, host, port })
    }

    /// An error in words that name the proxy.
    fn failed(&self, failure: Failure, what: &str) -> ConnectError {
        ConnectError::new(failure, format!("the proxy {self} {what}"))
    }

    async fn open<Rt: Runtime>(
        &self,
        runtime: &Rt,
        target: &Target,
        secure: &Secure,
    ) -> Result<BoxStream, ConnectError> {
        if !matches!(self.kind, Kind::Socks5 { is_looked_up_here: true, .. }) {
            return self.tunnel(runtime, Host::of(&target.host), target.port, secure).await;
        }
        let found = runtime.lookup(target.host.clone(), target.port).await;
        let mut failed = ConnectError::new(Failure::Lookup, "the name has no address");
        for address in found.map_err(ConnectError::lookup)? {
            match self.tunnel(runtime, Host::Ip(address.ip()), target.port, secure).await {
                // The proxy cannot reach this address; maybe it can reach the next one.
                Err(error)
                    if matches!(error.failure(), Failure::Refused | Failure::Unreachable) =>
                {
                    failed = error;
                }
                done => return done,
            }
        }
        Err(failed)
    }

    async fn tunnel<Rt: Runtime>(
        &self,
        runtime: &Rt,
        host: Host,
        port: u16,
        secure: &Secure,
    ) -> Result<BoxStream, ConnectError> {
        let lost = |error: ConnectError| {
            let what = format!("cannot be reached: {}", error.detail());
            self.failed(error.failure(), &what)
        };
        let stream = dial_direct(runtime, self.host.clone(), self.port).await.map_err(lost)?;
        let mut stream: BoxStream = Box::new(stream);
        if matches!(self.kind, Kind::Http { is_secure: true, .. }) {
            stream = secure.wrap(stream, self.host.clone(), self.port).await.map_err(lost)?;
        }
        let mut tunnel = Tunnel::new(self, host, port);
        let broken = |error| lost(ConnectError::from(error));
        loop {
            match tunnel.step()? {
                Step::Open => return Ok(stream),
                Step::Send(bytes) => {
                    stream.write_all(&bytes).await.map_err(broken)?;
                    stream.flush().await.map_err(broken)?;
                }
                Step::Receive => {
                    let mut bytes = [0; 512];
                    match stream.read(&mut bytes).await.map_err(broken)? {
                        0 => return Err(self.failed(Failure::Eof, "hung up without an answer")),
                        count => tunnel.received(&bytes[..count]),
                    }
                }
            }
        }
    }
}

impl Login {
    fn read(user: &str) -> Result<Self, &'static str> {
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        let login = Self { user: percent_decode(user), password: percent_decode(password) };
        if login.user.is_empty() {
            return Err("its user name is empty, which SOCKS5 has no login for");
        }
        // The lengths are bytes on the wire.
        let fits = login.user.len() <= 255 && login.password.len() <= 255;
        if fits { Ok(login) } else { Err("its user name or its password has more than 255 bytes") }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            Kind::Http { is_secure: false, .. } => "http",
            Kind::Http { is_secure: true, .. } => "https",
            Kind::Socks5 { is_looked_up_here: true, .. } => "socks5",
            Kind::Socks5 { is_looked_up_here: false, .. } => "socks5h",
        };
        match self.host.parse() {
            Ok(IpAddr::V6(host)) => write!(f, "{scheme}://[{host}]:{}", self.port),
            _ => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Proxies {
    /// Those of the environment of this process, as it is now.
    pub(crate) fn from_env() -> Result<Self, BuildError> {
        let variable = |name: &str| std::env::var(name).ok();
        Environment::read(variable).map(Self::Environment)
    }

    fn choose(&self, target: &Target) -> Option<&Proxy> {
        match self {
            Self::One(proxy) => Some(proxy),
            Self::Environment(environment) => environment.choose(target),
        }
    }

    /// A connector that goes through them. A link without proxies has none, and does not pay for
    /// them.
    pub(crate) fn connector<Rt: Runtime>(self, runtime: Rt, secure: Secure) -> Connector {
        let all = Arc::new((self, runtime, secure));
        Arc::new(move |target: Target| -> BoxFuture<'static, _> {
            let all = Arc::clone(&all);
            Box::pin(async move {
                let (proxies, runtime, secure) = &*all;
                match proxies.choose(&target) {
                    Some(proxy) => proxy.open(runtime, &target, secure).await.map(Opened::new),
                    None => dial_direct(runtime, target.host, target.port).await.map(Opened::new),
                }
            })
        })
    }
}

/// TLS to a proxy, by the same means and with the same authorities as to the server.
pub(crate) struct Secure {
    pub(crate) by: Option<SecureBy>,
    #[cfg(feature = "tls")]
    pub(crate) tls: crate::tls::Tls,
}

impl Secure {
    async fn wrap(
        &self,
        stream: BoxStream,
        host: String,
        port: u16,
    ) -> Result<BoxStream, ConnectError> {
        if let Some(by) = &self.by {
            return by(stream, Target { host, port, tls: true }).await.map_err(ConnectError::tls);
        }
        // A client certificate is for the server, and not shown to a proxy.
        #[cfg(feature = "tls")]
        return self.tls.clone().wrap(stream, &host, false).await;
        // Refused when the proxy was configured.
        #[cfg(not(feature = "tls"))]
        return Ok(stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_scheme_a_host_a_port_and_maybe_a_login() {
        for (url, shown) in [
            ("http://h:3128", "http://h:3128"),
            ("HTTP://me:S3CR3T@h:3128/", "http://h:3128"),
            ("socks5://me:S3C%40R3T@[::1]:1080", "socks5://[::1]:1080"),
            ("socks5h://10.0.0.1:9", "socks5h://10.0.0.1:9"),
        ] {
            let proxy = Proxy::parse(url, "proxy()").unwrap();
            assert_eq!((proxy.to_string().as_str(), format!("{proxy:?}").as_str()), (shown, shown));
        }
        let Kind::Socks5 { login: Some(login), .. } =
            Proxy::read("socks5://a%3Ab:c%40@h:1").unwrap().kind
        else {
            panic!("a login")
        };
        assert_eq!((&login.user[..], &login.password[..]), (&b"a:b"[..], &b"c@"[..]));
    }

    #[test]
    fn what_is_no_proxy_is_refused_with_its_name_its_value_and_what_is_allowed() {
        let long = format!("socks5://{}@h:1", "u".repeat(256));
        for (url, problem) in [
            ("", "not a URL"),
            ("h:3128", "scheme"),
            ("ftp://h:21", "scheme"),
            ("http://h", "port"),
            ("http://h:0", "port"),
            ("http://h:65536", "port"),
            ("http://h:1/path", "path"),
            ("http://me:S3CR3T@h:1?query", "path"),
            ("http://me:S3CR3T@h :1", "not a URL"),
            ("http://m%3Ae:S3CR3T@h:1", "user name"),
            (&long, "255"),
            ("socks5://:S3CR3T@h:1", "empty"),
        ] {
            let error = Proxy::parse(url, "HTTPS_PROXY").unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(problem) && shown.contains("HTTPS_PROXY"), "{url}: {shown}");
            assert!(shown.contains("http://host:3128") && !shown.contains("S3CR3T"), "{shown}");
        }
    }
}
