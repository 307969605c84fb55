//! Counting connections before they are any: how many there are, and how fast they come.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use relink_node::{AdmissionConfig, address_key};

use crate::{clock::Clock, handshake::Refusal};

/// At most this many refused connections are heard out at a time, which takes a second at most. The
/// others are told and closed at once, so that being refused costs the server nothing, however many
/// come.
const COURTESIES: usize = 32;

/// Who is let in.
#[derive(Debug)]
pub(crate) struct Admission {
    shared: Mutex<relink_node::Admission<IpAddr>>,
    courtesies: Arc<Semaphore>,
    clock: Clock,
}

/// A connection that was let in. Dropping it makes room for another one.
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

    /// Room to hear somebody out who is refused.
    pub(crate) fn courtesy(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.courtesies).try_acquire_owned().ok()
    }

    /// How many were refused so far.
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
