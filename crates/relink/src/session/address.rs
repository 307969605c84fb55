//! Addresses, of which only the public part is ever shown.

use alloc::string::String;
use core::fmt;

/// Where to dial, as a URL. `Debug` and `Display` show its scheme, host, port and path: a query or a user name may be a
/// secret, and what is shown ends up in logs.
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

impl Address {
    /// The whole address. Do not log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
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
        let is_scheme = |text: &str| text.is_empty() || (text.ends_with(':') && !text.contains(['/', '@']));
        let (scheme, after) = match public.split_once("//") {
            Some((scheme, after)) if is_scheme(scheme) => (Some(scheme), after),
            _ if public.starts_with('/') => (None, public),
            // Whatever this is, a name and a password would stand in front.
            _ => (None, public.rsplit('@').next().unwrap_or_default()),
        };
        let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
        let host = authority.rsplit('@').next().unwrap_or_default();
        if let Some(scheme) = scheme {
            write!(f, "{scheme}//")?;
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
            ("", ""),
        ] {
            assert_eq!(Address::from(address).to_string(), shown);
        }
    }
}
