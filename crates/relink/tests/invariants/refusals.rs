//! A final end needs proof that the server answered, and not something in between.

use relink::link::Hint;
use relink::{ClosedReason, Event, Failure, LinkConfig, State};
use relink_sim::{OnDial, Sim, Tokens, millis, secs};

use crate::support::{is_connected, waits, with_tokens};

/// Final answers that may come from a captive portal or a proxy instead of the server.
const FINAL: [u16; 6] = [302, 400, 401, 403, 410, 501];

#[test]
fn i31_one_http_status_does_not_end_a_link_that_was_connected() {
    for status in FINAL {
        let mut sim = lost();
        answer(&mut sim, status);
        sim.next_dial();
        assert!(
            waits(&sim.take_events()).last() <= Some(&millis(1_500)),
            "{status}: tried again on the curve"
        );
        sim.peer().on_dial(OnDial::Accept);
        sim.next_dial();
        assert!(is_connected(&sim), "{status}");
    }
}

#[test]
fn i31_it_ends_the_first_dial_where_nothing_speaks_against_it() {
    for status in FINAL {
        let mut sim = Sim::new(LinkConfig::default());
        answer(&mut sim, status);
        sim.connect();
        assert!(matches!(sim.state(), State::Closed(ClosedReason::Stopped { .. })), "{status}");
    }
}

#[test]
fn i31_repeated_for_long_enough_it_is_believed() {
    for status in FINAL {
        let mut sim = lost();
        answer(&mut sim, status);
        let start = sim.now();
        while !sim.state().is_closed() {
            assert!(sim.next_dial());
        }
        let (took, answers) = (sim.now() - start, sim.dials().len() - 1);
        assert!(
            (secs(120)..secs(200)).contains(&took) && answers >= 10,
            "{status}: {answers} in {took:?}"
        );
        assert!(matches!(sim.state(), State::Closed(ClosedReason::Stopped { .. })), "{status}");
    }
}

#[test]
fn i31_ten_in_a_hurry_are_no_proof() {
    let mut sim = lost();
    answer(&mut sim, 403);
    for _ in 0..100 {
        sim.advance(secs(1));
        sim.retry_now();
    }
    assert!(!sim.state().is_closed() && sim.dials().len() > 50, "{} dials", sim.dials().len());
}

#[test]
fn i31_another_answer_or_another_network_begins_the_proof_anew() {
    let breaks: [fn(&mut Sim); 4] = [
        |sim| sim.hint(Hint::Online),
        |sim| sim.hint(Hint::Wake),
        |sim| {
            sim.peer().on_dial(OnDial::Refuse(Failure::Unreachable));
            sim.next_dial();
        },
        |sim| {
            sim.peer().on_dial(OnDial::Flap { after: millis(1), code: 1001.into() });
            sim.next_dial();
            sim.advance(millis(1));
        },
    ];
    for broken in breaks {
        let mut sim = lost();
        answer(&mut sim, 403);
        sim.advance(secs(100));
        broken(&mut sim);
        answer(&mut sim, 403);
        sim.advance(secs(100));
        assert!(!sim.state().is_closed());
    }
}

#[test]
fn i31_a_proxy_that_wants_a_login_is_never_the_end() {
    for status in [407, 511, 200] {
        let mut sim = Sim::new(LinkConfig::default());
        answer(&mut sim, status);
        sim.connect();
        sim.advance(secs(7_200));
        assert!(!sim.state().is_closed(), "{status}");
        sim.peer().on_dial(OnDial::Accept);
        sim.next_dial();
        assert!(is_connected(&sim), "{status}");
    }
}

#[test]
fn i31_a_close_code_is_the_server_s_own_word() {
    for code in [1008, 3003, 4001, 4003, 4020] {
        let mut sim = lost();
        sim.peer().on_dial(OnDial::Accept);
        sim.next_dial();
        sim.peer().close(code);
        assert!(sim.state().is_closed(), "{code}");
    }
}

#[test]
fn i31_nor_are_ten_refused_tokens_the_end_before_their_time() {
    let mut sim = Sim::new(with_tokens(LinkConfig::default()));
    sim.tokens(Tokens::Grant(None));
    sim.to_connected();
    sim.advance(secs(10));
    answer(&mut sim, 401);
    sim.peer().reset();
    let start = sim.now();
    while !sim.state().is_closed() {
        assert!(sim.next_dial());
    }
    assert_eq!(
        sim.state(),
        State::Closed(ClosedReason::GaveUp(relink::policy::GiveUpReason::TokenRefused))
    );
    assert!(sim.now() - start >= secs(120));
}

#[test]
fn i31_a_link_that_is_connected_anew_has_no_proof_either_way() {
    let mut sim = Sim::new(LinkConfig::default().with_reopen(relink::link::ReopenPolicy::Always));
    sim.to_connected();
    sim.close(1000);
    answer(&mut sim, 403);
    sim.connect();
    let ended =
        |event: &Event| matches!(event, Event::Closed { reason: ClosedReason::Stopped { .. } });
    assert!(sim.take_events().iter().any(ended), "a new connect may be by another user");
}

/// A link that was stable, and has just been lost.
fn lost() -> Sim {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_connected();
    sim.advance(secs(10));
    sim.peer().on_dial(OnDial::Hold);
    sim.peer().reset();
    let _ = sim.take_events();
    sim
}

fn answer(sim: &mut Sim, status: u16) {
    sim.peer().on_dial(OnDial::Refuse(Failure::Http { status, retry_after: None }));
}
