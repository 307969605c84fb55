//! Who is at the other end.

use std::{fmt, sync::Arc};

use relink::Member;

/// A user, as the application knows them: one name, whatever the number of connections. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct User(Arc<str>);

impl User {
    /// The user with this name: at most 255 bytes. Sessions belong to it, presence shows it.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Whoever the server does not ask: all of them are one user to it, each with a session that nobody else knows. To the members
    /// of a channel each of them is somebody else.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::new(Member::ANONYMOUS)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
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
        f.write_str(&self.0)
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
