//! The measures by which other clients were compared.

use relink::policy::Jitter;
use relink::{Backoff, CloseCode, LinkConfig, SessionConfig};
use relink_sim::{OnDial, Sim, millis, secs};

use crate::ends::ENDS;
use crate::support::waits;

#[test]
fn flap_a_server_that_accepts_and_closes_sees_five_dials_in_twenty_seconds() {
    for seed in 0..1_000 {
        let mut sim = Sim::seeded(SessionConfig::default(), seed);
        sim.peer().on_dial(OnDial::Flap { after: millis(5), code: CloseCode::GOING_AWAY });
        sim.connect();
        sim.advance(secs(20));
        let dials = sim.dials().len();
        assert!((4..=5).contains(&dials), "{dials} dials with seed {seed}");
    }
}

#[test]
fn long_outage_three_thousand_failures_leave_no_delay_out_of_bounds() {
    let full = Backoff::default().with_jitter(Jitter::Full);
    for (seed, backoff) in (0..5).flat_map(|seed| [(seed, Backoff::default()), (seed, full)]) {
        let link = LinkConfig::default().with_backoff(backoff);
        let mut sim = Sim::seeded(SessionConfig::default().with_link(link), seed);
        sim.to_waiting(3_000);
        let waits = waits(&sim.take_events());
        assert_eq!(waits.len(), 3_000);
        assert!(waits.iter().all(|wait| backoff.floor <= *wait && *wait <= backoff.cap));
        let gaps = sim.dials().windows(2).map(|pair| pair[1].at - pair[0].at);
        assert!(gaps.eq(waits[..2_999].iter().copied()), "what is told is what is done");
    }
}

#[test]
fn after_close_nothing_is_pending_on_any_path() {
    let mut paths = 0;
    for end in ENDS.iter().filter(|end| end.name.starts_with("closed")) {
        assert_eq!(end.play().deadline(), None, "{}", end.name);
        paths += 1;
    }
    assert_eq!(paths, 11);
}
