//! Counting connections before they are any: how many there are, and how fast they come.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use relink_node::{Admission as Rates, address_key};

use crate::{
    clock::Clock,
    config::{ConnectionLimits, ServerConfig},
    handshake::Refusal,
};

/// At most this many refused connections are heard out at a time, which takes a second at most. The
/// others are told and closed at once, so that being refused costs the server nothing, however many
/// come.
const COURTESIES: usize = 32;

/// How many connections there are, and from where.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: ConnectionLimits,
    courtesies: Arc<Semaphore>,
    clock: Clock,
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    rates: Option<Rates<IpAddr, ()>>,
    all: usize,
    by_address: BTreeMap<IpAddr, usize>,
    refused: u64,
}

/// A connection that was let in. Dropping it makes room for another one.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    address: Option<IpAddr>,
}

impl Admission {
    pub(crate) fn new(config: &ServerConfig, clock: Clock) -> Self {
        let rates = config.admission.map(Rates::new);
        let counts = Counts { rates, all: 0, by_address: BTreeMap::new(), refused: 0 };
        let courtesies = Arc::new(Semaphore::new(COURTESIES));
        Self { limits: config.limits, courtesies, clock, counts: Mutex::new(counts) }
    }

    pub(crate) fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Permit, Refusal> {
        let address = address.map(address_key);
        let mut counts = self.lock();
        let here =
            address.and_then(|address| counts.by_address.get(&address).copied()).unwrap_or(0);
        let too_many = if counts.all >= self.limits.max_connections {
            Some((StatusCode::SERVICE_UNAVAILABLE, "server is at capacity"))
        } else if here >= self.limits.per_address {
            Some((StatusCode::TOO_MANY_REQUESTS, "too many connections from one address"))
        } else {
            None
        };
        let refusal = match too_many {
            Some((status, why)) => Some(Refusal::new(status, why).retry_after(self.retry_after())),
            None => address.and_then(|address| counts.too_fast(address, self.clock.now())),
        };
        if let Some(refusal) = refusal {
            counts.refused = counts.refused.saturating_add(1);
            return Err(refusal);
        }
        counts.all += 1;
        if let Some(address) = address {
            *counts.by_address.entry(address).or_default() += 1;
        }
        drop(counts);
        Ok(Permit { admission: Arc::clone(self), address })
    }

    /// Room to hear somebody out who is refused.
    pub(crate) fn courtesy(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.courtesies).try_acquire_owned().ok()
    }

    /// How many were refused so far.
    pub(crate) fn refused(&self) -> u64 {
        self.lock().refused
    }

    /// In whole seconds, and not the same for everybody.
    pub(crate) fn retry_after(&self) -> u64 {
        let base = self.limits.retry_after.as_secs().max(1);
        base.saturating_add(rand::random_range(0..=base))
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn too_fast(&mut self, address: IpAddr, now: relink::Instant) -> Option<Refusal> {
        let too_many = self.rates.as_mut()?.admit(address, now).err()?;
        let status = StatusCode::from_u16(too_many.reason.http_status());
        let refusal =
            Refusal::new(status.unwrap_or(StatusCode::TOO_MANY_REQUESTS), too_many.to_string());
        // Rounded up: whoever comes too early is refused again.
        let wait = too_many.retry_after;
        Some(refusal.retry_after(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.admission.lock();
        counts.all -= 1;
        let Some(address) = self.address else { return };
        if let Some(count) = counts.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&address);
            }
        }
    }
}
