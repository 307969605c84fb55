//! [`User`]: the user of a connection.

use std::{fmt, sync::Arc, time::Duration};

use relink::session::Member;

/// A user, as the application knows them: one name, whatever the number of connections. Cheap to
/// clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct User {
    name: Arc<str>,
    expires_in: Option<Duration>,
}

impl User {
    /// The user with this name. Sessions belong to it, and presence shows it. A connection whose
    /// user has a name of more than 255 bytes is closed with
    /// [`FORBIDDEN`](relink::CloseCode::FORBIDDEN), and
    /// [`NodeEvent::Refused`](relink_node::NodeEvent::Refused) has the reason.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), expires_in: None }
    }

    /// The same user, by a token that is valid for this long from now. A connection whose token has
    /// expired, and was not renewed, is closed with
    /// [`TOKEN_EXPIRED`](relink::CloseCode::TOKEN_EXPIRED) after
    /// [`token_grace`](relink_node::NodeConfig::token_grace); its session lasts. Without this, a
    /// token does not expire.
    #[must_use]
    pub const fn with_expires_in(mut self, expires_in: Duration) -> Self {
        self.expires_in = Some(expires_in);
        self
    }

    /// The validity of the token as the application set it; `None` if it does not expire, and in
    /// every user that is passed to the application.
    #[must_use]
    pub const fn expires_in(&self) -> Option<Duration> {
        self.expires_in
    }

    /// The user of clients that do not authenticate: one user for the server, each with its own
    /// secret session. To the members of a channel, each of them is another person.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::new(Member::ANONYMOUS)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

impl From<&str> for User {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for User {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.name, f)
    }
}
