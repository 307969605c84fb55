//! Addresses, which print only their public part, and the origins that secrets belong to.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::net::Ipv6Addr;

/// Where to dial, as a URL. `Debug` and `Display` print its scheme, host, port and path: a query or
/// a user name may be secret, and what is printed ends up in logs.
///
/// ```
/// use relink::Address;
///
/// let address = Address::from("wss://me:secret@example.org/feed?token=secret");
/// assert_eq!(address.to_string(), "wss://example.org/feed?…");
/// assert_eq!(address.expose(), "wss://me:secret@example.org/feed?token=secret");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(String);

/// What secrets belong to: a scheme, a host and a port. Two addresses of one origin reach the same
/// server; an address of another origin is foreign, and receives no secrets.
///
/// ```
/// use relink::Address;
///
/// let origin = Address::from("wss://Example.org/feed").origin()?;
/// assert_eq!(origin, Address::from("WSS://example.org:443/other?x=1").origin()?);
/// assert_ne!(origin, Address::from("wss://example.org:8443/feed").origin()?);
/// assert_ne!(origin, Address::from("ws://example.org:443/feed").origin()?);
/// # Ok::<(), relink::session::InvalidUrl>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    is_secure: bool,
    host: String,
    port: u16,
}

/// The address is not a WebSocket URL. The message names the problem, without the secrets in the
/// URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} is no address for a WebSocket: {problem}; write it as in wss://example.org/path"
)]
pub struct InvalidUrl {
    address: Address,
    problem: String,
}

impl Address {
    /// The whole address. Do not log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its origin. The scheme is `ws` or `wss`, in lower or upper case; without a port, the
    /// scheme's default.
    ///
    /// # Errors
    ///
    /// If this is not a WebSocket URL: its scheme, host or port is missing or invalid.
    pub fn origin(&self) -> Result<Origin, InvalidUrl> {
        let bad = |problem: &str| InvalidUrl::new(self.clone(), problem);
        let parts = Parts::of(&self.0);
        let is_secure = match parts.scheme {
            Some(scheme) if scheme.eq_ignore_ascii_case("wss") => true,
            Some(scheme) if scheme.eq_ignore_ascii_case("ws") => false,
            Some(_) => return Err(bad("its scheme is neither ws nor wss")),
            None => return Err(bad("it has no scheme")),
        };
        let (_, authority) = parts.authority.unwrap_or_default();
        let (host, port) = split_port(authority);
        let host = host_of(host).map_err(bad)?;
        let default = if is_secure { 443 } else { 80 };
        let port = port.map_or(Some(default), port_of);
        let port = port.ok_or_else(|| bad("its port is not a number from 1 to 65535"))?;
        Ok(Origin { is_secure, host, port })
    }

    /// Where a redirect from here to `to` leads: as for [`resolve`](Self::resolve), without a user
    /// name.
    ///
    /// # Errors
    ///
    /// As for [`resolve`](Self::resolve).
    pub fn redirect(&self, to: &Self) -> Result<Self, InvalidUrl> {
        let address = self.resolve(to)?;
        let Parts { scheme, authority, path, query } = Parts::of(&address.0);
        let (scheme, (_, authority)) = (scheme.unwrap_or_default(), authority.unwrap_or_default());
        Ok(Self(format!("{scheme}://{authority}{path}{}", query.unwrap_or_default())))
    }

    /// The user name of this address, if `other` is of the same origin.
    pub(super) fn user_at(&self, other: &Self) -> Option<&str> {
        let (user, _) = Parts::of(&self.0).authority?;
        user.filter(|_| self.origin().ok() == other.origin().ok())
    }

    /// This address with a user name; it must not have one.
    pub(super) fn with_user(&self, user: &str) -> Self {
        Self(self.0.replacen("://", &format!("://{user}@"), 1))
    }

    /// Resolves `to` relative to this address (RFC 3986, section 5.2); `http` stands for `ws`. One
    /// with a scheme must be absolute. The user name of this address, and a fragment, are dropped.
    ///
    /// # Errors
    ///
    /// If `to` is not a WebSocket URL, or leads from TLS to plain text.
    pub fn resolve(&self, to: &Self) -> Result<Self, InvalidUrl> {
        let from = Parts::of(&self.0);
        let target = to.0.split('#').next().unwrap_or_default();
        let to = Parts::of(target);
        let scheme =
            match to.scheme.or(from.scheme).unwrap_or_default().to_ascii_lowercase().as_str() {
                "http" => "ws".to_owned(),
                "https" => "wss".to_owned(),
                other => other.to_owned(),
            };
        // Otherwise a secret query would go to another origin.
        if to.scheme.is_some() && to.authority.is_none() {
            return Err(InvalidUrl::new(Self(target.to_owned()), "it has a scheme, but no host"));
        }
        let (user, authority) = to.authority.or(from.authority).unwrap_or_default();
        let user = user
            .filter(|_| to.authority.is_some())
            .map(|user| format!("{user}@"))
            .unwrap_or_default();
        let path = match (to.authority, to.path) {
            (None, "") => format!("{}{}", from.path, to.query.or(from.query).unwrap_or_default()),
            (None, path) if !path.starts_with('/') => {
                let folder = from.path.rfind('/').map_or("/", |end| &from.path[..=end]);
                format!("{folder}{path}{}", to.query.unwrap_or_default())
            }
            (_, path) => format!("{path}{}", to.query.unwrap_or_default()),
        };
        let address = Self(format!("{scheme}://{user}{authority}{path}"));
        let is_secure = address.origin()?.is_secure;
        if !is_secure && from.scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("wss")) {
            return Err(InvalidUrl::new(address, "it leads from TLS to plain text"));
        }
        Ok(address)
    }
}

impl Origin {
    /// Whether it uses TLS.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// The host as it is looked up: in lower case, and without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl InvalidUrl {
    /// An address and what is wrong with it, for display, without secrets.
    #[must_use]
    pub fn new(address: Address, problem: impl Into<String>) -> Self {
        Self { address, problem: problem.into() }
    }
}

/// A URL in its parts, as they were written.
struct Parts<'a> {
    scheme: Option<&'a str>,
    /// The user, if there is one, and the host with its port.
    authority: Option<(Option<&'a str>, &'a str)>,
    path: &'a str,
    /// With its question mark.
    query: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Self {
        let (before, query) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
        let scheme_end = before.find([':', '/']).filter(|end| before[*end..].starts_with(':'));
        let (scheme, rest) = match scheme_end {
            Some(end) => (Some(&before[..end]), &before[end + 1..]),
            None => (None, before),
        };
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                let parts = authority.rsplit_once('@').map(|(user, host)| (Some(user), host));
                (Some(parts.unwrap_or((None, authority))), path)
            }
            None => (None, rest),
        };
        let query = query.starts_with('?').then(|| query.split('#').next().unwrap_or_default());
        Self { scheme, authority, path, query }
    }
}

/// A host with its brackets, and the port as it is written.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    let bracket = authority.rfind(']').unwrap_or(0);
    match authority[bracket..].find(':') {
        Some(colon) => (&authority[..bracket + colon], Some(&authority[bracket + colon + 1..])),
        None => (authority, None),
    }
}

fn port_of(port: &str) -> Option<u16> {
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse().ok().filter(|port| digits && *port > 0)
}

/// A host in its canonical form.
fn host_of(host: &str) -> Result<String, &'static str> {
    if host.is_empty() {
        return Err("it has no host");
    }
    if host.contains(['[', ']']) {
        let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let address: Option<Ipv6Addr> = inside.and_then(|inside| inside.parse().ok());
        return address
            .map(|it| it.to_string())
            .ok_or("what stands in brackets is not an IPv6 address");
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte);
    if !host.bytes().all(allowed) {
        return Err("its host has characters that cannot stand in one");
    }
    Ok(host.to_ascii_lowercase())
}

impl<T: Into<String>> From<T> for Address {
    fn from(address: T) -> Self {
        Self(address.into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.find(['?', '#']).unwrap_or(self.0.len());
        let (public, rest) = self.0.split_at(end);
        let is_scheme =
            |text: &str| text.is_empty() || (text.ends_with(':') && !text.contains(['/', '@']));
        let (scheme, after) = match public.split_once("//") {
            Some((scheme, after)) if is_scheme(scheme) => (Some(scheme), after),
            _ if public.starts_with('/') => (None, public),
            // Not a URL; still, drop a user name and password in front.
            _ => (None, public.rsplit('@').next().unwrap_or_default()),
        };
        let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
        let host = authority.rsplit('@').next().unwrap_or_default();
        if let Some(scheme) = scheme {
            write!(f, "{scheme}//")?;
            // A password with a character that ends the authority looks like a port.
            let looks_wrong = split_port(host).1.is_some_and(|port| port_of(port).is_none());
            if looks_wrong && (path.contains('@') || rest.contains('@')) {
                return f.write_str("…");
            }
        }
        write!(f, "{host}{path}")?;
        if rest.starts_with('?') { f.write_str("?…") } else { Ok(()) }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn secrets_are_hidden_even_where_the_address_is_none() {
        for (address, shown) in [
            ("wss://me:secret@h:1/a/@b#secret", "wss://h:1/a/@b"),
            ("//me:secret@h/a?secret", "//h/a?…"),
            ("me:secret@h/a", "h/a"),
            ("me:secret@h//a", "h//a"),
            ("wss:/me:secret@h/a", "h/a"),
            ("/a/@b?secret", "/a/@b?…"),
            ("wss://me:sec/ret@h/a", "wss://…"),
            ("wss://me:sec?ret@h/a", "wss://…"),
            ("ws://h:abc/a", "ws://h:abc/a"),
            ("", ""),
        ] {
            assert_eq!(Address::from(address).to_string(), shown);
        }
    }

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        let origin = |address: &str| {
            let origin = Address::from(address).origin().unwrap();
            (origin.is_secure(), origin.host().to_owned(), origin.port())
        };
        for (address, is_secure, host, port) in [
            ("ws://h", false, "h", 80),
            ("WSS://H.Example", true, "h.example", 443),
            ("wss://me:p%40ss@h:8443/a@b:9?c#d", true, "h", 8443),
            ("ws://127.0.0.1:65535", false, "127.0.0.1", 65535),
            ("ws://[0:0::1]:9/", false, "::1", 9),
            ("wss://[2001:DB8::1]", true, "2001:db8::1", 443),
        ] {
            assert_eq!(origin(address), (is_secure, host.to_owned(), port), "{address}");
        }
    }

    #[test]
    fn an_authority_that_is_none_is_an_error_that_names_the_part() {
        for (address, problem) in [
            ("ws://127.0.0.1:99999/", "port"),
            ("ws://h:0", "port"),
            ("ws://h:/", "port"),
            ("ws://h:abc", "port"),
            ("ws://h:+80", "port"),
            ("ws://[::1]:65536/", "port"),
            ("ws://[::1", "IPv6"),
            ("ws://::1]/", "IPv6"),
            ("ws://[::1]x/", "IPv6"),
            ("ws://a:b:1/", "port"),
            ("ws://user@/", "no host"),
            ("ws://", "no host"),
            ("ws:///path", "no host"),
            ("ws://:80/", "no host"),
            ("ws:h", "no host"),
            ("ws://a b/", "characters"),
            ("ws://a\\b/", "characters"),
            ("ws://bücher/", "characters"),
            ("http://h/", "neither ws nor wss"),
            ("/h", "no scheme"),
            ("h/ws:", "no scheme"),
            ("", "no scheme"),
        ] {
            let error = Address::from(address).origin().unwrap_err().to_string();
            assert!(error.contains(problem), "{address}: {error}");
        }
    }

    #[test]
    fn a_redirect_leaves_out_what_stays_the_same() {
        let from = Address::from("wss://me@a.example:1/deep/feed?x=1#f");
        for (to, leads_to) in [
            ("https://b.example/", "wss://b.example/"),
            ("HTTPS://me:secret@b.example?y#z", "wss://b.example?y"),
            ("//b.example/y", "wss://b.example/y"),
            ("/y?back=ws://c/", "wss://a.example:1/y?back=ws://c/"),
            ("?y=2", "wss://a.example:1/deep/feed?y=2"),
            ("other", "wss://a.example:1/deep/other"),
            ("", "wss://a.example:1/deep/feed?x=1"),
        ] {
            assert_eq!(from.redirect(&to.into()).unwrap().expose(), leads_to, "{to}");
        }
        let bare = Address::from("ws://a.example");
        assert_eq!(bare.redirect(&"next".into()).unwrap().expose(), "ws://a.example/next");
    }

    #[test]
    fn a_reference_with_a_scheme_takes_nothing_over_from_where_it_was_found() {
        let from = Address::from("ws://a.example/feed?token=secret");
        for to in [
            "https:",
            "wss:",
            "ws:",
            "HTTPS:#x",
            "wss:?x=1",
            "https:/feed",
            "https:b.example",
            "wss:other/x",
        ] {
            for error in [from.redirect(&to.into()), from.resolve(&to.into())] {
                let error = error.unwrap_err().to_string();
                assert!(error.contains("no host") && !error.contains("secret"), "{to}: {error}");
            }
        }
    }

    #[test]
    fn a_redirect_leads_from_no_tls_to_plain_text_and_to_no_address_that_is_none() {
        let from = |from: &str, to: &str| Address::from(from).redirect(&to.into());
        for to in ["ws://a.example/", "http://b.example/", "HTTP://a.example/"] {
            let error = from("WSS://a.example/", to).unwrap_err().to_string();
            assert!(error.contains("plain text"), "{to}: {error}");
            assert!(from("ws://a.example/", to).is_ok());
        }
        for to in ["ws://a.example:99999/", "http://:1/", "ftp://a.example/", "//"] {
            assert!(from("ws://a.example/", to).is_err(), "{to}");
        }
    }
}
