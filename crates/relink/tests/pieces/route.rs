//! Which endpoint is dialed: several in turn, and redirects.

use core::time::Duration;

use relink::link::{
    Handshake, HandshakeEvent, Hint, OnFirstFailure, OnOffline, Refusal, Step, Timer,
};
use relink::policy::GiveUpReason;
use relink::{CloseCode, ClosePolicy, ClosedReason, Event, Failure, LinkConfig, State, Verdict};
use relink_sim::{Direct, Sim};

use crate::support::{at, fail, link, millis, open, peer_closes, secs, stable, with_endpoints};

/// A way in which an endpoint fails, by name.
type End = (&'static str, fn(&mut Sim<Direct>));

#[test]
fn each_failed_attempt_turns_to_the_next_endpoint() {
    let mut sim = with_endpoints(LinkConfig::default(), 3);
    sim.connect();
    sim.fail(4);
    assert_eq!(endpoints(&sim), configured([0, 1, 2, 0, 1]));
}

#[test]
fn a_stable_link_comes_back_to_the_endpoint_that_served_it() {
    let mut sim = with_endpoints(LinkConfig::default(), 3);
    sim.connect();
    sim.fail(1);
    open(&mut sim);
    sim.mark_stable();
    fail(&mut sim);
    sim.next_attempt();
    sim.fail(2);
    assert_eq!(endpoints(&sim), configured([0, 1, 1, 2, 0]), "once, and then the others");
}

#[test]
fn an_endpoint_that_never_became_stable_is_left_for_the_next_one() {
    let ends: [End; 3] = [
        ("closes", |sim| _ = peer_closes(sim, 1001)),
        ("cuts", |sim| _ = fail(sim)),
        ("is silent", |sim| {
            while sim.machine().link().state() == State::Connected {
                sim.due();
            }
        }),
    ];
    // The heartbeat declares it dead before it is stable.
    let config = LinkConfig::default().with_stable_after(secs(3_600));
    for (name, end) in ends {
        let mut sim = with_endpoints(config, 2);
        sim.connect();
        for _ in 0..3 {
            open(&mut sim);
            end(&mut sim);
            sim.next_attempt();
        }
        assert_eq!(endpoints(&sim), configured([0, 1, 0, 1]), "{name}");
    }
}

#[test]
fn so_is_one_whose_handshake_gets_nowhere() {
    let steps = Handshake::default().with_welcome(Some(secs(3))).with_authentication(Some(secs(3)));
    let ends: [End; 4] = [
        ("says nothing", |sim| assert_eq!(sim.due(), Timer::Step(Step::Welcome))),
        ("refuses the login", |sim| {
            sim.peer().handshake(HandshakeEvent::Welcome);
            sim.peer().handshake(HandshakeEvent::Refused(Refusal::As(CloseCode(4000))));
        }),
        ("redirects in a circle", |sim| {
            while sim.machine().link().transport().is_some() {
                redirect(sim);
            }
        }),
        ("closes", |sim| _ = peer_closes(sim, 1011)),
    ];
    for (name, end) in ends {
        let mut sim = with_endpoints(LinkConfig::default().with_handshake(steps), 2);
        sim.connect();
        for _ in 0..2 {
            sim.peer().accept();
            end(&mut sim);
            sim.next_attempt();
        }
        let mut dialed = endpoints(&sim);
        dialed.retain(|address| address != ELSEWHERE);
        assert_eq!(dialed, configured([0, 1, 0]), "{name}");
    }
}

#[test]
fn an_endpoint_is_not_to_blame_for_what_this_side_did() {
    let config = LinkConfig::default();
    let tokens = config.with_credentials(config.credentials.with_fetch(true));
    let mut sim = with_endpoints(tokens, 2);
    sim.connect();
    for _ in 0..2 {
        sim.token(Err("down"));
        sim.next_attempt();
    }
    sim.token(Ok("token".into()));
    assert_eq!(endpoints(&sim), configured([0]), "a token that could not be fetched");

    let mut sim = with_endpoints(config.with_when_offline(OnOffline::Disconnect), 2);
    sim.connect();
    open(&mut sim);
    sim.hint(Hint::Offline);
    sim.next_attempt();
    assert_eq!(endpoints(&sim), configured([0, 0]), "a network that is gone");

    let login = Handshake::default().with_login(true).with_login_timeout(Some(secs(3)));
    let mut sim = with_endpoints(config.with_handshake(login), 2);
    sim.connect();
    sim.peer().accept();
    sim.due();
    sim.next_attempt();
    assert_eq!(endpoints(&sim), configured([0, 0]), "a login that took its time");
}

#[test]
fn the_next_endpoint_is_dialed_without_the_pause_that_this_one_asked_for() {
    for (name, reply) in PAUSES {
        let mut sim = with_endpoints(LinkConfig::default(), 2);
        sim.connect();
        answer(&mut sim, reply);
        let wait = sim.retry_in().expect("another endpoint is left");
        assert!(wait <= millis(1_500), "{name}: {wait:?}");
        sim.next_attempt();
        assert_eq!(endpoints(&sim), configured([0, 1]), "{name}");
    }
}

#[test]
fn i06_the_pause_holds_once_all_were_tried() {
    for (name, reply) in PAUSES {
        let mut sim = with_endpoints(LinkConfig::default(), 3);
        sim.connect();
        for _ in 0..3 {
            answer(&mut sim, reply);
            if sim.end().is_none() {
                sim.next_attempt();
            }
        }
        let Some(first) = sim.end().is_none().then(|| sim.now() - at(secs(0))) else { continue };
        let least = if name == "503, come back in 1 min" { secs(60) } else { secs(30) };
        assert!(first >= least, "{name}: {first:?}");
        assert_eq!(endpoints(&sim), configured([0, 1, 2, 0]), "{name}");
    }
}

#[test]
fn i06_an_endpoint_that_may_be_dialed_is_not_kept_waiting_by_one_that_may_not() {
    let mut sim = with_endpoints(LinkConfig::default(), 2);
    sim.connect();
    let mut asked = Vec::new();
    while sim.now() < at(secs(300)) {
        if last(&sim) == "ws://0" {
            asked.push(sim.now());
            answer(&mut sim, Answer::Status(404, None));
        } else {
            fail(&mut sim);
        }
        sim.next_attempt();
    }
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] >= secs(30)), "{asked:?}");
    let dials = sim.dials().len();
    assert!(asked.len() >= 6 && dials >= 20, "both have their turns: {} of {dials}", asked.len());
}

#[test]
fn what_is_final_for_one_endpoint_ends_the_link_when_all_have_said_so() {
    for (name, reply, reason) in FINAL {
        let mut sim = with_endpoints(LinkConfig::default(), 3);
        sim.connect();
        for endpoint in 0..3 {
            assert_eq!(last(&sim), format!("ws://{endpoint}"), "{name}");
            answer(&mut sim, reply);
            if endpoint < 2 {
                assert!(sim.retry_in().expect(name) <= secs(3), "{name}");
                sim.next_attempt();
            }
        }
        assert_eq!(sim.end().map(ClosedReason::name), Some(reason), "{name}");
    }
}

#[test]
fn a_final_answer_counts_until_the_same_endpoint_says_something_else() {
    let mut sim = with_endpoints(LinkConfig::default(), 2);
    sim.connect();
    answer(&mut sim, Answer::Status(403, None));
    sim.next_attempt();
    // The second one is down and tried again and again; the first one is dialed from time to time.
    sim.fail(20);
    let asked = endpoints(&sim).iter().filter(|endpoint| *endpoint == "ws://0").count();
    assert!(asked > 1, "it may have changed its mind");
    while last(&sim) != "ws://0" {
        fail(&mut sim);
        sim.next_attempt();
    }
    answer(&mut sim, Answer::Status(403, None));
    sim.next_attempt();
    answer(&mut sim, Answer::Status(410, None));
    assert_eq!(sim.end().map(ClosedReason::name), Some("gone"), "and now both have");
}

#[test]
fn a_good_link_at_another_endpoint_takes_back_what_was_final() {
    let mut sim = with_endpoints(LinkConfig::default(), 2);
    sim.connect();
    answer(&mut sim, Answer::Status(410, None));
    sim.next_attempt();
    open(&mut sim);
    sim.mark_stable();
    assert!(peer_closes(&mut sim, 1008).expect("the first is asked again") <= secs(1));
    sim.next_attempt();
    open(&mut sim);
    assert_eq!(endpoints(&sim), configured([0, 1, 0]));
}

#[test]
fn what_was_decided_about_the_client_ends_the_link_at_once() {
    for (code, reason) in
        [(1000, "normal_closure"), (4012, "account_suspended"), (4020, "admin_disconnect")]
    {
        let mut sim = with_endpoints(LinkConfig::default(), 3);
        sim.connect();
        open(&mut sim);
        assert_eq!(peer_closes(&mut sim, code), None);
        assert_eq!(sim.end().map(ClosedReason::name), Some(reason));
    }
}

#[test]
fn i30_a_failed_first_attempt_is_the_end_when_every_endpoint_has_had_one() {
    let mut sim = with_endpoints(LinkConfig::default().with_first_failure(OnFirstFailure::Stop), 3);
    sim.connect();
    sim.fail(2);
    assert_eq!(fail(&mut sim), None);
    assert_eq!(endpoints(&sim), configured([0, 1, 2]));
    assert_eq!(sim.end(), Some(ClosedReason::GaveUp(GiveUpReason::FirstAttempt)));
}

#[test]
fn more_endpoints_than_have_pauses_of_their_own_are_all_dialed() {
    let mut sim = with_endpoints(LinkConfig::default(), 255);
    sim.connect();
    let mut dialed = std::collections::BTreeSet::new();
    while sim.end().is_none() {
        dialed.insert(last(&sim));
        answer(&mut sim, Answer::Status(403, None));
        if sim.end().is_none() {
            sim.next_attempt();
        }
    }
    assert_eq!(dialed.len(), 255, "each was asked");
}

/// Answers after which an endpoint is not dialed for a while.
const PAUSES: [(&str, Answer); 9] = [
    ("404", Answer::Status(404, None)),
    ("200", Answer::Status(200, None)),
    ("503, come back in 1 min", Answer::Status(503, Some(secs(60)))),
    ("429, come back in 30 s", Answer::Status(429, Some(secs(30)))),
    ("403", Answer::Status(403, None)),
    ("no WebSocket", Answer::Failure(Failure::NotWebSocket)),
    ("TLS", Answer::Failure(Failure::Tls)),
    ("4010", Answer::Code(4010)),
    ("1008", Answer::Code(1008)),
];

/// Answers that end a link with one endpoint, and the name of the reason.
const FINAL: [(&str, Answer, &str); 9] = [
    ("401", Answer::Status(401, None), "unauthorized"),
    ("403", Answer::Status(403, None), "forbidden"),
    ("410", Answer::Status(410, None), "gone"),
    ("400", Answer::Status(400, None), "handshake_refused"),
    ("invalid", Answer::Failure(Failure::InvalidRequest), "invalid_request"),
    ("1008", Answer::Code(1008), "policy_violation"),
    ("3003", Answer::Code(3003), "forbidden"),
    ("4001", Answer::Code(4001), "invalid_token"),
    ("4002", Answer::Code(4002), "token_expired"),
];

#[test]
fn a_node_that_says_so_is_left_for_the_next_endpoint() {
    let mut policy = ClosePolicy::default();
    policy.set_close(4900..=4900, Verdict::SwitchEndpoint).unwrap();
    let mut sim = with_endpoints(LinkConfig::default().with_close_policy(policy), 2);
    sim.connect();
    open(&mut sim);
    peer_closes(&mut sim, 4900);
    sim.next_attempt();
    assert_eq!(endpoints(&sim), configured([0, 1]));
}

#[test]
fn d03_a_redirect_dials_at_once_and_is_no_failed_attempt() {
    let mut sim = with_endpoints(LinkConfig::default(), 2);
    sim.connect();
    redirect(&mut sim);
    redirect(&mut sim);
    assert_eq!(endpoints(&sim), ["ws://0", ELSEWHERE, ELSEWHERE]);
    assert_eq!((sim.attempts(), sim.machine().link().stats().failed_attempts), (0, 0));
    open(&mut sim);
    sim.mark_stable();
    fail(&mut sim);
    sim.next_attempt();
    assert_eq!(last(&sim), "ws://0", "the next attempt asks the origin again");
}

#[test]
fn d03_a_challenge_may_end_in_a_redirect() {
    let steps = Handshake::default().with_challenge(Some(secs(3)));
    let mut sim = link(LinkConfig::default().with_handshake(steps));
    sim.connect();
    let first = sim.id();
    sim.peer().accept();
    sim.peer().handshake(HandshakeEvent::Redirect);
    assert!(!sim.peer().farewells().is_empty(), "the old transport is let go of");
    assert_ne!(sim.id(), first);
    assert_eq!(endpoints(&sim), ["ws://0", ELSEWHERE]);
}

#[test]
fn d03_redirect_loops_are_bounded() {
    let config = LinkConfig::default().with_max_redirects(3);
    let mut sim = link(config);
    sim.connect();
    for _ in 0..4 {
        assert!(sim.machine().link().transport().is_some());
        redirect(&mut sim);
    }
    assert_eq!(sim.dials().len(), 1 + 3);
    assert!(sim.machine().link().transport().is_none(), "the loop waits like any failed attempt");
    let failed =
        sim.events().iter().filter(|event| matches!(event, Event::AttemptFailed { .. })).count();
    assert_eq!((failed, sim.attempts()), (1, 1));
    sim.next_attempt();
    redirect(&mut sim);
    assert_eq!(sim.dials().len(), 1 + 3 + 1 + 1, "each attempt has redirects of its own");
}

#[test]
fn an_http_redirect_of_an_open_transport_is_a_failure_like_any_other() {
    let mut sim = stable(LinkConfig::default());
    redirect(&mut sim);
    assert_eq!(sim.dials().len(), 1);
    assert!(sim.retry_in().is_some(), "a loss is told");
    assert_ne!(sim.machine().link().state(), State::Connected);
}

fn redirect(sim: &mut Sim<Direct>) {
    sim.peer().redirect(ELSEWHERE);
}

/// The addresses that were dialed.
fn endpoints(sim: &Sim<Direct>) -> Vec<String> {
    sim.dials().iter().map(|dial| dial.address.to_string()).collect()
}

/// The address that was dialed last.
fn last(sim: &Sim<Direct>) -> String {
    sim.dials().last().expect("a dial").address.to_string()
}

/// Where a redirect leads.
const ELSEWHERE: &str = "ws://elsewhere";

/// The endpoints with these numbers.
fn configured<const N: usize>(numbers: [u8; N]) -> [String; N] {
    numbers.map(|number| format!("ws://{number}"))
}

/// An answer of an endpoint.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// An HTTP status, with a `Retry-After`.
    Status(u16, Option<Duration>),
    /// A dial that fails in another way.
    Failure(Failure),
    /// A close code, after the transport has opened.
    Code(u16),
}

/// The endpoint that is being dialed answers this.
fn answer(sim: &mut Sim<Direct>, answer: Answer) {
    match answer {
        Answer::Status(status, retry_after) => {
            sim.peer().refuse(Failure::Http { status, retry_after });
        }
        Answer::Failure(failure) => sim.peer().refuse(failure),
        Answer::Code(code) => {
            open(sim);
            sim.peer().close(code);
        }
    }
}
