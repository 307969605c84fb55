//! The detail of an event belongs to that event.

use relink::{Event, SessionConfig};
use relink_sim::{Direct, Sim, Tokens, secs};

#[test]
fn a_loss_is_not_explained_by_a_token_that_could_not_be_renewed_before_it() {
    let mut config = SessionConfig::default();
    config.link.credentials.fetch = true;
    config.link.heartbeat.interval = None;
    config.link.heartbeat.watchdog = Some(secs(200));
    let mut sim = Sim::with(config, &["ws://peer"], Direct::default(), 7).expect("valid");
    sim.tokens(Tokens::Grant(Some(secs(120))));
    sim.to_connected();
    sim.tokens(Tokens::Fail);
    while sim.delays().is_empty() {
        sim.step();
    }
    assert!(sim.fetches() > 1, "the token should have been renewed before the watchdog bit");
    let detail = sim.events().iter().find_map(|event| match event {
        Event::Disconnected { detail, .. } => Some(detail.as_str()),
        _ => None,
    });
    assert_eq!(detail, Some(""));
}
