//! [`ClientCell`]: a handle that creates a new link when the last one is closed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::builder::BuildError;
use crate::client::Client;

/// Returns a link at any time: the live one, or a new one if the last is closed.
///
/// The end of a link is final for it, so that a [`Client`] always stands for the same link. An
/// application that logs one user out and another in needs a new link that all its parts find: they
/// get it from here.
///
/// The application defines how a link is created: its address, its token, and the receiver of its
/// events.
///
/// ```no_run
/// # use relink_driver::{Builder, Client, ClientCell, Runtime};
/// # fn renewable<Rt: Runtime>(runtime: Rt) -> ClientCell {
/// ClientCell::new(move || {
///     let (client, events) = Builder::new(runtime.clone(), "wss://example.org/feed").spawn()?;
///     # fn listen<T>(_: T) {}
///     listen(events); // in a task of its own
///     Ok(client)
/// })
/// # }
/// ```
///
/// It keeps the link open, like any other [`Client`].
pub struct ClientCell<E = BuildError> {
    make: Box<dyn Fn() -> Result<Client, E> + Send + Sync>,
    last: Mutex<Option<Client>>,
}

impl<E> ClientCell<E> {
    /// Creates the client lazily with `make`, on the first call of [`get`](Self::get).
    #[must_use]
    pub fn new(make: impl Fn() -> Result<Client, E> + Send + Sync + 'static) -> Self {
        Self { make: Box::new(make), last: Mutex::new(None) }
    }

    /// Returns the link. Creates one first if there is no link yet, or the last is closing or
    /// closed. Concurrent calls get the same one; `make` must not call this.
    ///
    /// # Errors
    ///
    /// The error of `make`; the next call tries again.
    pub fn get(&self) -> Result<Client, E> {
        let mut last = self.lock();
        if let Some(client) = last.as_ref().filter(|client| client.is_live()) {
            return Ok(client.clone());
        }
        let client = (self.make)()?;
        *last = Some(client.clone());
        Ok(client)
    }

    /// Returns the live link, if there is one, without creating one.
    #[must_use]
    pub fn live(&self) -> Option<Client> {
        self.lock().as_ref().filter(|client| client.is_live()).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Client>> {
        // If `make` panics, the last link is unchanged.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E> std::fmt::Debug for ClientCell<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCell").field("live", &self.live()).finish_non_exhaustive()
    }
}
