//! Which endpoint is dialled: several in turn, and where redirects lead.

use relink::link::{
    Action, Endpoint, Handshake, HandshakeEvent, Hint, Input, LinkEvent, OnFirstFailure, OnOffline,
    Refusal, Step, Timer, TokenError, TokenInfo,
};
use relink::policy::GiveUpReason;
use relink::{CloseCode, ClosePolicy, ClosedReason, Failure, LinkConfig, State, Verdict};

use crate::bench::{Answer, Bench, at, millis, secs};

/// A way in which an endpoint disappoints, by its name.
type End = (&'static str, fn(&mut Bench));

#[test]
fn each_failed_attempt_turns_to_the_next_endpoint() {
    let mut bench = Bench::with_endpoints(LinkConfig::default(), 3);
    bench.give(Input::Connect);
    bench.waits(4);
    assert_eq!(endpoints(&bench), [0, 1, 2, 0, 1].map(Endpoint::Configured));
}

#[test]
fn a_stable_link_comes_back_to_the_endpoint_that_served_it() {
    let mut bench = Bench::with_endpoints(LinkConfig::default(), 3);
    bench.give(Input::Connect);
    bench.waits(1);
    bench.open();
    bench.give(Input::MarkStable);
    bench.fail();
    bench.next_attempt();
    bench.waits(2);
    assert_eq!(
        endpoints(&bench),
        [0, 1, 1, 2, 0].map(Endpoint::Configured),
        "once, and then the others"
    );
}

#[test]
fn an_endpoint_that_never_became_stable_is_left_for_the_next_one() {
    let ends: [End; 3] = [
        ("closes", |bench| _ = bench.peer_closes(1001)),
        ("cuts", |bench| _ = bench.fail()),
        ("is silent", |bench| {
            while bench.link.state() == State::Connected {
                bench.due();
            }
        }),
    ];
    // The heartbeat finds it dead before it is stable.
    let config = LinkConfig::default().with_stable_after(secs(3_600));
    for (name, end) in ends {
        let mut bench = Bench::with_endpoints(config, 2);
        bench.give(Input::Connect);
        for _ in 0..3 {
            bench.open();
            end(&mut bench);
            bench.next_attempt();
        }
        assert_eq!(endpoints(&bench), [0, 1, 0, 1].map(Endpoint::Configured), "{name}");
    }
}

#[test]
fn so_is_one_whose_handshake_gets_nowhere() {
    let steps = Handshake::default().with_welcome(Some(secs(3))).with_authentication(Some(secs(3)));
    let ends: [End; 4] = [
        ("says nothing", |bench| assert_eq!(bench.due(), Timer::Step(Step::Welcome))),
        ("refuses the login", |bench| {
            let id = bench.id();
            bench.give(Input::Handshake { id, event: HandshakeEvent::Welcome });
            bench.give(Input::Handshake {
                id,
                event: HandshakeEvent::Refused(Refusal::As(CloseCode(4000))),
            });
        }),
        ("redirects in a circle", |bench| {
            while bench.link.transport().is_some() {
                redirect(bench);
            }
        }),
        ("closes", |bench| _ = bench.peer_closes(1011)),
    ];
    for (name, end) in ends {
        let mut bench = Bench::with_endpoints(LinkConfig::default().with_handshake(steps), 2);
        bench.give(Input::Connect);
        for _ in 0..2 {
            bench.give(Input::Opened { id: bench.id() });
            end(&mut bench);
            bench.next_attempt();
        }
        let configured =
            endpoints(&bench).into_iter().filter(|endpoint| *endpoint != Endpoint::Redirected);
        assert!(configured.eq([0, 1, 0].map(Endpoint::Configured)), "{name}");
    }
}

#[test]
fn an_endpoint_is_not_to_blame_for_what_this_side_did() {
    let config = LinkConfig::default();
    let tokens = config.with_credentials(config.credentials.with_fetch(true));
    let mut bench = Bench::with_endpoints(tokens, 2);
    bench.give(Input::Connect);
    for _ in 0..2 {
        bench.give(Input::Token { id: bench.id(), result: Err(TokenError::default()) });
        bench.next_attempt();
    }
    bench.give(Input::Token { id: bench.id(), result: Ok(TokenInfo::default()) });
    assert_eq!(
        endpoints(&bench),
        [0].map(Endpoint::Configured),
        "a token that could not be fetched"
    );

    let mut bench = Bench::with_endpoints(config.with_when_offline(OnOffline::Disconnect), 2);
    bench.give(Input::Connect);
    bench.open();
    bench.give(Input::Hint(Hint::Offline));
    bench.next_attempt();
    assert_eq!(endpoints(&bench), [0, 0].map(Endpoint::Configured), "a network that is gone");

    let login = Handshake::default().with_login(true).with_login_timeout(Some(secs(3)));
    let mut bench = Bench::with_endpoints(config.with_handshake(login), 2);
    bench.give(Input::Connect);
    bench.give(Input::Opened { id: bench.id() });
    bench.due();
    bench.next_attempt();
    assert_eq!(endpoints(&bench), [0, 0].map(Endpoint::Configured), "a login that took its time");
}

#[test]
fn the_next_endpoint_is_dialed_without_the_pause_that_this_one_asked_for() {
    for (name, answer) in PAUSES {
        let mut bench = Bench::with_endpoints(LinkConfig::default(), 2);
        bench.give(Input::Connect);
        bench.answer(answer);
        let wait = bench.retry_in().expect("another endpoint is left");
        assert!(wait <= millis(1_500), "{name}: {wait:?}");
        bench.next_attempt();
        assert_eq!(endpoints(&bench), [0, 1].map(Endpoint::Configured), "{name}");
    }
}

#[test]
fn i06_the_pause_holds_once_all_were_tried() {
    for (name, answer) in PAUSES {
        let mut bench = Bench::with_endpoints(LinkConfig::default(), 3);
        bench.give(Input::Connect);
        for _ in 0..3 {
            bench.answer(answer);
            if bench.end().is_none() {
                bench.next_attempt();
            }
        }
        let Some(first) = bench.end().is_none().then(|| bench.now - at(secs(0))) else { continue };
        let least = if name == "503, come back in 1 min" { secs(60) } else { secs(30) };
        assert!(first >= least, "{name}: {first:?}");
        assert_eq!(endpoints(&bench), [0, 1, 2, 0].map(Endpoint::Configured), "{name}");
    }
}

#[test]
fn i06_an_endpoint_that_may_be_dialed_is_not_kept_waiting_by_one_that_may_not() {
    let mut bench = Bench::with_endpoints(LinkConfig::default(), 2);
    bench.give(Input::Connect);
    let mut asked = Vec::new();
    while bench.now < at(secs(300)) {
        let Some(Endpoint::Configured(endpoint)) = endpoints(&bench).pop() else {
            panic!("no redirects here")
        };
        if endpoint == 0 {
            asked.push(bench.now);
            bench.answer(Answer::Status(404, None));
        } else {
            bench.fail();
        }
        bench.next_attempt();
    }
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] >= secs(30)), "{asked:?}");
    let dials = bench.dials();
    assert!(asked.len() >= 6 && dials >= 20, "both have their turns: {} of {dials}", asked.len());
}

#[test]
fn what_is_final_for_one_endpoint_ends_the_link_when_all_have_said_so() {
    for (name, answer, reason) in FINAL {
        let mut bench = Bench::with_endpoints(LinkConfig::default(), 3);
        bench.give(Input::Connect);
        for endpoint in 0..3 {
            assert_eq!(endpoints(&bench).last(), Some(&Endpoint::Configured(endpoint)), "{name}");
            bench.answer(answer);
            if endpoint < 2 {
                assert!(bench.retry_in().expect(name) <= secs(3), "{name}");
                bench.next_attempt();
            }
        }
        assert_eq!(bench.end().map(ClosedReason::name), Some(reason), "{name}");
    }
}

#[test]
fn a_final_answer_counts_until_the_same_endpoint_says_something_else() {
    let mut bench = Bench::with_endpoints(LinkConfig::default(), 2);
    bench.give(Input::Connect);
    bench.answer(Answer::Status(403, None));
    bench.next_attempt();
    // The second is down, and tried again and again; the first is asked from time to time.
    bench.waits(20);
    let asked =
        endpoints(&bench).iter().filter(|endpoint| **endpoint == Endpoint::Configured(0)).count();
    assert!(asked > 1, "it may have changed its mind");
    while endpoints(&bench).last() != Some(&Endpoint::Configured(0)) {
        bench.fail();
        bench.next_attempt();
    }
    bench.answer(Answer::Status(403, None));
    bench.next_attempt();
    bench.answer(Answer::Status(410, None));
    assert_eq!(bench.end().map(ClosedReason::name), Some("gone"), "and now both have");
}

#[test]
fn a_good_link_at_another_endpoint_takes_back_what_was_final() {
    let mut bench = Bench::with_endpoints(LinkConfig::default(), 2);
    bench.give(Input::Connect);
    bench.answer(Answer::Status(410, None));
    bench.next_attempt();
    bench.open();
    bench.give(Input::MarkStable);
    assert!(bench.peer_closes(1008).expect("the first is asked again") <= secs(1));
    bench.next_attempt();
    bench.open();
    assert_eq!(endpoints(&bench), [0, 1, 0].map(Endpoint::Configured));
}

#[test]
fn what_was_decided_about_the_client_ends_the_link_at_once() {
    for (code, reason) in
        [(1000, "normal_closure"), (4012, "account_suspended"), (4020, "admin_disconnect")]
    {
        let mut bench = Bench::with_endpoints(LinkConfig::default(), 3);
        bench.give(Input::Connect);
        bench.open();
        assert_eq!(bench.peer_closes(code), None);
        assert_eq!(bench.end().map(ClosedReason::name), Some(reason));
    }
}

#[test]
fn i30_a_failed_first_attempt_is_the_end_when_every_endpoint_has_had_one() {
    let mut bench =
        Bench::with_endpoints(LinkConfig::default().with_first_failure(OnFirstFailure::Stop), 3);
    bench.give(Input::Connect);
    bench.waits(2);
    assert_eq!(bench.fail(), None);
    assert_eq!(endpoints(&bench), [0, 1, 2].map(Endpoint::Configured));
    assert_eq!(bench.end(), Some(ClosedReason::GaveUp(GiveUpReason::FirstAttempt)));
}

#[test]
fn more_endpoints_than_have_pauses_of_their_own_are_all_dialed() {
    let mut bench = Bench::with_endpoints(LinkConfig::default(), 255);
    bench.give(Input::Connect);
    let mut dialed = std::collections::BTreeSet::new();
    while bench.end().is_none() {
        dialed.insert(format!("{:?}", endpoints(&bench).last()));
        bench.answer(Answer::Status(403, None));
        if bench.end().is_none() {
            bench.next_attempt();
        }
    }
    assert_eq!(dialed.len(), 255, "each was asked");
}

/// Answers that ask to be left alone for a while.
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

/// Answers that end a link with one endpoint, and the name of that end.
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
    assert_eq!(
        endpoints(&bench),
        [Endpoint::Configured(0), Endpoint::Redirected, Endpoint::Redirected]
    );
    assert_eq!((bench.link.attempts(), bench.link.stats().failed_attempts), (0, 0));
    bench.open();
    bench.give(Input::MarkStable);
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
    bench.give(Input::Handshake { id: first, event: HandshakeEvent::Redirect });
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
    let failed =
        bench.events().filter(|event| matches!(event, LinkEvent::AttemptFailed { .. })).count();
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
    let dialled = |action: &Action| {
        if let Action::Dial { endpoint, .. } = action { Some(*endpoint) } else { None }
    };
    bench.log.iter().filter_map(dialled).collect()
}
