//! The bodies of the fuzz targets, as ordinary functions: a refactoring breaks them here, and not
//! in a folder that is built once a week. Each takes arbitrary bytes and panics where something
//! does not hold.

#[cfg(feature = "wire")]
mod deflate;
mod draw;
#[cfg(feature = "v1")]
mod frames;
#[cfg(feature = "v1")]
mod judge;
mod ledger;
#[cfg(feature = "wire")]
mod wire;

use std::time::Duration;

use arbitrary::{Result, Unstructured};
use rand_pcg::Pcg32;
use relink::link::{Hint, Input, TransportId};
use relink::rand_core::{Rng, SeedableRng};
use relink::{Address, LinkConfig, Plain, Session, SessionConfig};

use crate::model::Violation;
use crate::stimulus::{Delay, Kind, Source, Stimulus};
use crate::trial::DifferentialTest;
#[cfg(feature = "wire")]
pub use deflate::deflate;
#[cfg(feature = "v1")]
pub use frames::{client_frame, frames, server_frame};
use ledger::Ledger;
#[cfg(feature = "wire")]
pub use wire::wire;

/// Anything happens to a link with any valid configuration: its contract holds.
///
/// # Panics
///
/// If it does not.
pub fn link(data: &[u8]) {
    let (config, seed, schedule) = schedule(data);
    let mut trial = DifferentialTest::new(config, seed).expect("a valid configuration");
    schedule.into_iter().for_each(|stimulus| holds(trial.apply(stimulus)));
}

/// Anything happens to a session: each message has one fate, order and bounds hold, the end is the
/// end.
///
/// # Panics
///
/// If they do not.
pub fn session(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let _ = run_session(&mut bytes);
}

/// Any numbers in a configuration are taken or refused by name; with those that are taken, a link
/// lives on for a thousand steps.
///
/// # Panics
///
/// If they are not.
pub fn config(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let _ = run_config(&mut bytes);
}

/// What [`link`] does with these bytes: a valid configuration, a seed and what happens. A case that
/// the fuzzer found reads better like this.
#[must_use]
pub fn schedule(data: &[u8]) -> (LinkConfig, u64, Vec<Stimulus>) {
    let mut bytes = Unstructured::new(data);
    let config = draw::link_config(&mut bytes).unwrap_or_default();
    let config = if config.validate().is_ok() { config } else { LinkConfig::default() };
    let seed = bytes.arbitrary().unwrap_or_default();
    let mut schedule = Vec::new();
    while !bytes.is_empty() {
        // The story ends where the bytes do.
        let Ok(stimulus) = draw::stimulus(&mut bytes) else { break };
        schedule.push(stimulus);
    }
    (config, seed, schedule)
}

fn run_session(bytes: &mut Unstructured<'_>) -> Result<()> {
    let config = draw::session_config(bytes)?;
    let config = if config.validate().is_ok() { config } else { SessionConfig::default() };
    let mut ledger = Ledger::new(config, bytes.arbitrary()?);
    while !bytes.is_empty() {
        ledger.step(bytes)?;
    }
    Ok(())
}

fn run_config(bytes: &mut Unstructured<'_>) -> Result<()> {
    let config = draw::session_config(bytes)?;
    let seed = bytes.arbitrary()?;
    let addresses = vec![Address::from("ws://peer")];
    let session = Session::new(config, addresses, Plain::default(), Pcg32::seed_from_u64(seed));
    match (session, config.validate()) {
        (Ok(_), Ok(())) => live_on(config.link, seed),
        (Err(refused), Err(mistake)) => {
            assert_eq!(refused, mistake, "a session refuses what validation refuses");
            assert!(refused.to_string().starts_with(&refused.field().to_string()), "{refused}");
        }
        (session, valid) => panic!("{session:?}, but validation says {valid:?}: {config:?}"),
    }
    Ok(())
}

/// A thousand steps with a server that is well on most days.
fn live_on(config: LinkConfig, seed: u64) {
    let mut trial = DifferentialTest::new(config, seed).expect("a valid configuration");
    let mut dice = Pcg32::seed_from_u64(seed);
    let (id, in_time) = (TransportId::default(), Delay::PastDeadline(Duration::ZERO));
    let now = Delay::After(Duration::ZERO);
    for _ in 0..1_000 {
        let input = |input| Kind::Input(input, Source::Live);
        let (delay, kind) = match dice.next_u32() % 8 {
            0..=2 => (now, Kind::Helpful),
            3 | 4 => (in_time, input(Input::Timeout)),
            5 => (now, input(Input::Failed { id, failure: relink::Failure::Reset })),
            6 => (
                Delay::After(Duration::from_millis(u64::from(dice.next_u32()))),
                input(Input::Timeout),
            ),
            _ => (now, input(Input::Hint(Hint::Online))),
        };
        holds(trial.apply(Stimulus { delay, kind }));
    }
}

fn holds(checked: core::result::Result<(), Violation>) {
    if let Err(broken) = checked {
        panic!("{broken}");
    }
}
