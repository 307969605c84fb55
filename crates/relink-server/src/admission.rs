//! Counting connections before they are any.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::StatusCode;

use crate::{config::AdmissionConfig, handshake::Refusal};

/// How many connections there are, and from where.
#[derive(Debug)]
pub(crate) struct Admission {
    config: AdmissionConfig,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
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
    pub(crate) fn new(config: AdmissionConfig) -> Self {
        Self { config, counts: Mutex::default() }
    }

    pub(crate) fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Permit, Refusal> {
        let address = address.map(|address| address.to_canonical());
        let mut counts = self.lock();
        let here = address.and_then(|address| counts.by_address.get(&address).copied()).unwrap_or(0);
        let refused = if counts.all >= self.config.max_connections {
            Some((StatusCode::SERVICE_UNAVAILABLE, "this server has all the connections it can take"))
        } else if here >= self.config.per_address {
            Some((StatusCode::TOO_MANY_REQUESTS, "too many connections from one address"))
        } else {
            None
        };
        if let Some((status, why)) = refused {
            counts.refused = counts.refused.saturating_add(1);
            return Err(Refusal::new(status, why).retry_after(self.retry_after()));
        }
        counts.all += 1;
        if let Some(address) = address {
            *counts.by_address.entry(address).or_default() += 1;
        }
        drop(counts);
        Ok(Permit { admission: Arc::clone(self), address })
    }

    /// How many were refused so far.
    pub(crate) fn refused(&self) -> u64 {
        self.lock().refused
    }

    /// In whole seconds, and not the same for everybody.
    pub(crate) fn retry_after(&self) -> u64 {
        let base = self.config.retry_after.as_secs().max(1);
        base.saturating_add(rand::random_range(0..=base))
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
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
