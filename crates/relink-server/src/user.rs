//! Who is at the other end.

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
    /// The user with this name. Sessions belong to it, presence shows it. A connection whose user
    /// has a name of more than 255 bytes is closed with
    /// [`FORBIDDEN`](relink::CloseCode::FORBIDDEN), and
    /// [`NodeEvent::Refused`](relink_node::NodeEvent::Refused) says why.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), expires_in: None }
    }

    /// The same user, by a token that is valid for this long from now. A connection whose token is
    /// over, and was not renewed, is closed with
    /// [`TOKEN_EXPIRED`](relink::CloseCode::TOKEN_EXPIRED) after
    /// [`token_grace`](relink_node::NodeConfig::token_grace); its session lasts. Without this, a
    /// token has no end.
    #[must_use]
    pub const fn with_expires_in(mut self, expires_in: Duration) -> Self {
        self.expires_in = Some(expires_in);
        self
    }

    /// How long the token was good for when the application said so; `None` for one without an end,
    /// and wherever a user is handed to the application.
    #[must_use]
    pub const fn expires_in(&self) -> Option<Duration> {
        self.expires_in
    }

    /// Whoever the server does not ask: all of them are one user to it, each with a session that
    /// nobody else knows. To the members of a channel each of them is somebody else.
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
