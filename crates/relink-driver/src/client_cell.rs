//! [`ClientCell`]: a handle that outlives the end of its link.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::builder::BuildError;
use crate::client::Client;

/// A handle that can be asked for a link at any time: it hands out the live one, or makes a fresh
/// one where the last has come to its end.
///
/// The end of a link is final for it, so that whoever holds a [`Client`] knows what they have. An
/// application that logs one user out and another in wants the next link, and everybody who sends
/// should find it: they ask this.
///
/// How a link is made is the application's: from where, with which token, and who listens to its
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
/// It holds the link as any other [`Client`] does: as long as it is there, the link lives.
pub struct ClientCell<E = BuildError> {
    make: Box<dyn Fn() -> Result<Client, E> + Send + Sync>,
    last: Mutex<Option<Client>>,
}

impl<E> ClientCell<E> {
    /// Creates the client lazily with `make`, when it is first asked for.
    #[must_use]
    pub fn new(make: impl Fn() -> Result<Client, E> + Send + Sync + 'static) -> Self {
        Self { make: Box::new(make), last: Mutex::new(None) }
    }

    /// The live link, or a fresh one where there is none, or where the last is closing or closed.
    /// All who ask at the same time get the same one; `make` must not ask itself.
    ///
    /// # Errors
    ///
    /// What making it says; the next one who asks tries again.
    pub fn get(&self) -> Result<Client, E> {
        let mut last = self.lock();
        if let Some(client) = last.as_ref().filter(|client| client.is_live()) {
            return Ok(client.clone());
        }
        let client = (self.make)()?;
        *last = Some(client.clone());
        Ok(client)
    }

    /// The live link, if there is one. Nothing is made.
    #[must_use]
    pub fn live(&self) -> Option<Client> {
        self.lock().as_ref().filter(|client| client.is_live()).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Client>> {
        // Where `make` panics, the last link is as it was.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E> std::fmt::Debug for ClientCell<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCell").field("live", &self.live()).finish_non_exhaustive()
    }
}
