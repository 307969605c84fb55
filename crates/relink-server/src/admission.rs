//! Limits on new connections, before their handshake: their number and their rate.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use relink_node::{AdmissionConfig, address_key};

use crate::{clock::Clock, handshake::Refusal};

/// The maximum number of refused connections whose request is read before the answer, for at most a
/// second. The others are answered and closed at once, so that refusals stay cheap, however many
/// there are.
const COURTESIES: usize = 32;

/// Who is let in.
#[derive(Debug)]
pub(crate) struct Admission {
    shared: Mutex<relink_node::Admission<IpAddr>>,
    courtesies: Arc<Semaphore>,
    clock: Clock,
}

/// An accepted connection. Dropping it makes room for another one.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    address: Option<IpAddr>,
}

impl Admission {
    pub(crate) fn new(config: AdmissionConfig, clock: Clock) -> Self {
        let shared = Mutex::new(relink_node::Admission::new(config));
        Self { shared, courtesies: Arc::new(Semaphore::new(COURTESIES)), clock }
    }

    pub(crate) fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Permit, Refusal> {
        let address = address.map(address_key);
        let refused = match self.lock().admit(address, self.clock.now()) {
            Ok(()) => return Ok(Permit { admission: Arc::clone(self), address }),
            Err(refused) => refused,
        };
        let status = StatusCode::from_u16(refused.reason.http_status());
        let status = status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        Err(Refusal::new(status, refused.to_string()).retry_after(seconds(refused.retry_after)))
    }

    /// A permit to read the request of a refused connection.
    pub(crate) fn courtesy(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.courtesies).try_acquire_owned().ok()
    }

    /// The number of refused connections so far.
    pub(crate) fn refused(&self) -> u64 {
        self.lock().refused()
    }

    /// When those should come back who are refused for another reason, in seconds.
    pub(crate) fn retry_after(&self) -> u64 {
        seconds(self.lock().retry_after())
    }

    fn lock(&self) -> MutexGuard<'_, relink_node::Admission<IpAddr>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rounded up: one that comes too early is refused again.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.lock().leave(self.address);
    }
}
