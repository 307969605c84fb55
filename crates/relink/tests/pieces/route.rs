//! Which endpoint is dialled: several in turn, and where redirects lead.

use relink::{
    Action, ClosePolicy, Endpoint, Failure, Handshake, Input, LinkConfig, LinkEvent, LinkSignal, State,
    Verdict,
};

use crate::bench::{Bench, secs};

#[test]
fn each_failed_attempt_turns_to_the_next_endpoint() {
    let mut bench = Bench::with_endpoints(LinkConfig::default(), 3);
    bench.give(Input::Connect);
    bench.waits(4);
    assert_eq!(endpoints(&bench), [0, 1, 2, 0, 1].map(Endpoint::Configured));
}

#[test]
fn a_usable_link_comes_back_to_the_endpoint_that_served_it() {
    let mut bench = Bench::with_endpoints(LinkConfig::default(), 3);
    bench.give(Input::Connect);
    bench.waits(1);
    bench.open();
    bench.fail();
    bench.next_attempt();
    assert_eq!(endpoints(&bench), [0, 1, 1].map(Endpoint::Configured));
}

#[test]
fn a_node_that_says_so_is_left_for_the_next_endpoint() {
    let mut policy = ClosePolicy::default();
    policy.set_close(4900..=4900, Verdict::SwitchEndpoint).unwrap();
    let mut bench = Bench::with_endpoints(LinkConfig::default().with_close_policy(policy), 2);
    bench.give(Input::Connect);
    bench.open();
    bench.peer_closes(4900);
    bench.next_attempt();
    assert_eq!(endpoints(&bench), [0, 1].map(Endpoint::Configured));
}

#[test]
fn d03_a_redirect_dials_at_once_and_is_no_failed_attempt() {
    let mut bench = Bench::with_endpoints(LinkConfig::default(), 2);
    bench.give(Input::Connect);
    redirect(&mut bench);
    redirect(&mut bench);
    assert_eq!(endpoints(&bench), [Endpoint::Configured(0), Endpoint::Redirected, Endpoint::Redirected]);
    assert_eq!((bench.link.attempts(), bench.link.stats().failed_attempts), (0, 0));
    bench.open();
    bench.fail();
    bench.next_attempt();
    let last = endpoints(&bench).last().copied();
    assert_eq!(last, Some(Endpoint::Configured(0)), "the next attempt asks the origin again");
}

#[test]
fn d03_a_challenge_may_end_in_a_redirect() {
    let steps = Handshake::default().with_challenge(Some(secs(3)));
    let mut bench = Bench::new(LinkConfig::default().with_handshake(steps));
    bench.give(Input::Connect);
    let first = bench.id();
    bench.give(Input::Opened { id: first });
    bench.give(Input::Signal { id: first, signal: LinkSignal::Redirect });
    assert!(bench.log.contains(&Action::Drop { id: first }), "the old transport is let go of");
    assert_ne!(bench.id(), first);
    assert_eq!(endpoints(&bench), [Endpoint::Configured(0), Endpoint::Redirected]);
}

#[test]
fn d03_redirect_loops_are_bounded() {
    let config = LinkConfig::default().with_max_redirects(3);
    let mut bench = Bench::new(config);
    bench.give(Input::Connect);
    for _ in 0..4 {
        assert!(bench.link.transport().is_some());
        redirect(&mut bench);
    }
    assert_eq!(bench.dials(), 1 + 3);
    assert!(bench.link.transport().is_none(), "the loop waits like any failed attempt");
    let failed = bench.events().filter(|event| matches!(event, LinkEvent::AttemptFailed { .. })).count();
    assert_eq!((failed, bench.link.attempts()), (1, 1));
    bench.next_attempt();
    redirect(&mut bench);
    assert_eq!(bench.dials(), 1 + 3 + 1 + 1, "each attempt has redirects of its own");
}

#[test]
fn an_http_redirect_of_an_open_transport_is_a_failure_like_any_other() {
    let mut bench = Bench::stable(LinkConfig::default());
    redirect(&mut bench);
    assert_eq!(bench.dials(), 1);
    assert!(bench.retry_in().is_some(), "a loss is told");
    assert_ne!(bench.link.state(), State::Connected);
}

fn redirect(bench: &mut Bench) {
    bench.give(Input::Failed { id: bench.id(), failure: Failure::HttpRedirect });
}

fn endpoints(bench: &Bench) -> Vec<Endpoint> {
    let dialled =
        |action: &Action| if let Action::Dial { endpoint, .. } = action { Some(*endpoint) } else { None };
    bench.log.iter().filter_map(dialled).collect()
}
