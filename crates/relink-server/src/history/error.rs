//! The error of a store that does not answer.

use std::{error::Error, fmt};

/// A store could not be reached, or did not answer in time. Retrying may help.
#[derive(Debug)]
pub struct HistoryError {
    store: String,
    source: Box<dyn Error + Send + Sync>,
}

impl HistoryError {
    /// An error of the store with this name: its address without a password, for display and logs.
    pub fn new(store: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { store: store.into(), source: source.into() }
    }

    /// Whether retrying may help: always.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        true
    }

    /// The store's address, without a password.
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
