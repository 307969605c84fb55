//! What it is called when a store does not answer.

use std::{error::Error, fmt};

/// A store could not be asked, or did not answer in time. Asking again may help.
#[derive(Debug)]
pub struct HistoryError {
    store: String,
    source: Box<dyn Error + Send + Sync>,
}

impl HistoryError {
    /// An error of the store with this name: an address without a password, for people and logs.
    pub fn new(store: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { store: store.into(), source: source.into() }
    }

    /// Whether asking again may help: yes, whatever it was.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        true
    }

    /// Which store: its address, without a password.
    #[must_use]
    pub fn store(&self) -> &str {
        &self.store
    }
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not answer: {}", self.store, self.source)
    }
}

impl Error for HistoryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
