//! What close codes and HTTP statuses lead to.

use core::time::Duration;

use relink::link::{HandshakeEvent, Refusal};
use relink::policy::{CLOSE_CODES, CloseRule, HTTP_STATUSES};
use relink::{
    CloseCode, CloseFrame, ClosePolicy, ClosedReason, Failure, LinkConfig, StopReason, Verdict,
};
use relink_sim::{Direct, Sim};

use crate::support::{link, open, peer_closes, secs, stable};

const fn slow(floor: u64) -> Verdict {
    Verdict::RetrySlow { floor: secs(floor) }
}

#[test]
fn every_close_code_has_the_verdict_that_the_documentation_promises() {
    let expected = [
        (1000, Verdict::Stop(StopReason::NORMAL_CLOSURE)),
        (1001, Verdict::Retry),
        (1002, slow(10)),
        (1003, Verdict::Stop(StopReason::UNSUPPORTED_DATA)),
        (1005, Verdict::Retry),
        (1006, Verdict::Retry),
        (1007, slow(10)),
        (1008, Verdict::Stop(StopReason::POLICY_VIOLATION)),
        (1009, Verdict::Retry),
        (1010, Verdict::Stop(StopReason::MANDATORY_EXTENSION)),
        (1011, Verdict::Retry),
        (1012, slow(5)),
        (1013, slow(10)),
        (1014, Verdict::Retry),
        (1015, slow(30)),
        (3000, Verdict::RefreshToken),
        (3001, Verdict::Retry),
        (3003, Verdict::Stop(StopReason::FORBIDDEN)),
        (3999, Verdict::Retry),
        (4000, Verdict::Retry),
        (4001, Verdict::Stop(StopReason::INVALID_TOKEN)),
        (4002, Verdict::RefreshToken),
        (4003, Verdict::Stop(StopReason::CHANNEL_NOT_AUTHORIZED)),
        (4010, slow(30)),
        (4012, Verdict::Stop(StopReason::ACCOUNT_SUSPENDED)),
        (4020, Verdict::Stop(StopReason::ADMIN_DISCONNECT)),
        (4999, Verdict::Retry),
    ];
    let policy = ClosePolicy::default();
    for (code, verdict) in expected {
        assert_eq!(policy.on_close(CloseCode(code)), verdict, "{code}");
    }
    assert_every_row_is_covered(&CLOSE_CODES, &expected.map(|(code, _)| code));
}

#[test]
fn every_status_has_the_verdict_that_the_documentation_promises() {
    let refused = Verdict::Stop(StopReason::HANDSHAKE_REFUSED);
    let expected = [
        (100, slow(30)),
        (200, slow(30)),
        (299, slow(30)),
        (301, refused),
        (400, refused),
        (401, Verdict::RefreshToken),
        (403, Verdict::Stop(StopReason::FORBIDDEN)),
        (404, slow(30)),
        (407, Verdict::Retry),
        (408, Verdict::Retry),
        (410, Verdict::Stop(StopReason::GONE)),
        (418, refused),
        (421, Verdict::SwitchEndpoint),
        (425, Verdict::Retry),
        (429, slow(5)),
        (500, Verdict::Retry),
        (501, refused),
        (502, Verdict::Retry),
        (503, slow(2)),
        (511, Verdict::Retry),
        (599, Verdict::Retry),
    ];
    let policy = ClosePolicy::default();
    for (status, verdict) in expected {
        assert_eq!(policy.on_status(status), verdict, "{status}");
    }
    assert_every_row_is_covered(&HTTP_STATUSES, &expected.map(|(status, _)| status));
}

#[test]
fn a_code_that_no_row_covers_is_retried() {
    let policy = ClosePolicy::default();
    for code in [0, 999, 1004, 1016, 2999, 5000, u16::MAX] {
        assert_eq!(policy.on_close(CloseCode(code)), Verdict::Retry, "{code}");
    }
    for status in [0, 99, 600, 999, u16::MAX] {
        assert_eq!(policy.on_status(status), Verdict::Retry, "{status}");
    }
}

#[test]
fn every_row_says_why() {
    for rule in CLOSE_CODES.iter().chain(&HTTP_STATUSES) {
        assert!(rule.why.split(' ').count() >= 3, "{rule:?} gives no reason");
        assert!(rule.from <= rule.to, "{rule:?}");
    }
}

#[test]
fn m04_terminal_codes_end_the_link_under_their_names() {
    let ends = [
        (4001, "invalid_token"),
        (4003, "channel_not_authorized"),
        (4012, "account_suspended"),
        (4020, "admin_disconnect"),
    ];
    for (code, name) in ends {
        let mut sim = stable(LinkConfig::default());
        assert_eq!(peer_closes(&mut sim, code), None, "{code} must not be retried");
        let end = sim.end().expect("closed");
        assert_eq!((end.name(), end.code()), (name, Some(CloseCode(code))));
        assert!(end.advice().ends_with('.'), "{name} wants advice for people");
        assert_eq!(sim.machine().link().poll_timeout(), None, "nothing may be armed after the end");
    }
}

#[test]
fn m05_an_expired_token_leads_to_a_fresh_one_where_there_is_a_provider() {
    let config = LinkConfig::default();
    let with_provider = config.with_credentials(config.credentials.with_fetch(true));
    let mut sim = link(with_provider);
    sim.connect();
    sim.token(Ok("token".into()));
    open(&mut sim);
    assert!(peer_closes(&mut sim, 4002).is_some());
    sim.next_attempt();
    assert_eq!(sim.fetches(), 2);

    let mut without = stable(config);
    assert_eq!(peer_closes(&mut without, 4002), None);
    assert_eq!(without.end().map(ClosedReason::name), Some("token_expired"));
}

#[test]
fn m06_the_connection_cap_has_a_floor_of_thirty_seconds() {
    let mut sim = stable(LinkConfig::default());
    for _ in 0..20 {
        let wait = peer_closes(&mut sim, 4010).expect("it clears at some time");
        assert!((secs(30)..secs(60)).contains(&wait), "{wait:?}");
        sim.next_attempt();
    }
}

#[test]
fn m07_going_away_and_abnormal_are_retried_on_the_normal_curve() {
    for code in [1001, 1006] {
        let mut sim = stable(LinkConfig::default());
        assert!(
            peer_closes(&mut sim, code).expect("retried") <= secs(1),
            "at once after a stable link"
        );
        sim.next_attempt();
        assert!(
            peer_closes(&mut sim, code).expect("retried") <= Duration::from_millis(1_500),
            "then on the curve"
        );
    }
}

#[test]
fn m09_a_refused_login_ends_under_the_name_of_its_code() {
    let config = LinkConfig::default();
    let config = config.with_handshake(config.handshake.with_authentication(Some(secs(5))));
    for (code, name) in
        [(4001, "invalid_token"), (4002, "token_expired"), (4020, "admin_disconnect")]
    {
        let mut sim = link(config);
        sim.connect();
        sim.peer().accept();
        let signal = HandshakeEvent::Refused(Refusal::As(CloseCode(code)));
        sim.peer().handshake(signal);
        assert_eq!(sim.end().map(ClosedReason::name), Some(name));
    }
}

#[test]
fn w05_the_two_readings_of_a_normal_closure_are_a_table_entry() {
    let listing = ClosePolicy::default();
    assert_eq!(listing.on_close(CloseCode::NORMAL), Verdict::Stop(StopReason::NORMAL_CLOSURE));
    let mut prose = listing;
    prose.set_close(1000..=1001, Verdict::RetryNow).unwrap();
    let mut sim = stable(LinkConfig::default().with_close_policy(prose));
    let wait = peer_closes(&mut sim, 1000).expect("a minimal wait");
    assert!((Duration::from_millis(250)..=Duration::from_millis(500)).contains(&wait), "{wait:?}");
}

#[test]
fn w17_an_edit_goes_in_front_of_all_earlier_ones() {
    let mut policy = ClosePolicy::default();
    policy.set_close(4000..=4099, slow(1)).unwrap();
    policy.set_close(4020..=4020, Verdict::Retry).unwrap();
    policy.set_close(4030..=4099, Verdict::RefreshToken).unwrap();
    let verdicts =
        [3999, 4000, 4010, 4020, 4030, 4099, 4100].map(|code| policy.on_close(CloseCode(code)));
    let fresh = Verdict::RefreshToken;
    assert_eq!(
        verdicts,
        [Verdict::Retry, slow(1), slow(1), Verdict::Retry, fresh, fresh, Verdict::Retry]
    );
    assert_eq!(
        policy.on_status(403),
        Verdict::Stop(StopReason::FORBIDDEN),
        "statuses are a table of their own"
    );

    policy.set_status(400..=499, Verdict::Retry).unwrap();
    assert_eq!(policy.on_status(403), Verdict::Retry);
    assert_eq!(policy.on_close(CloseCode(403)), Verdict::Retry);
    assert_ne!(policy, ClosePolicy::default());
}

#[test]
fn a_policy_of_one_s_own_replaces_the_tables() {
    static CODES: [CloseRule; 1] = [CloseRule::new(4000, slow(3), "the only code of this server")];
    let policy = ClosePolicy::new(&CODES, &[]);
    assert_eq!(policy.on_close(CloseCode(4000)), slow(3));
    assert_eq!(policy.on_close(CloseCode(1000)), Verdict::Retry);
    assert_eq!(policy.on_status(403), Verdict::Retry);
}

#[test]
fn edits_that_cannot_work_are_refused() {
    let mut policy = ClosePolicy::default();
    #[expect(clippy::reversed_empty_ranges, reason = "this is the mistake")]
    let empty = policy.set_close(4001..=4000, Verdict::Retry).unwrap_err();
    assert_eq!(empty.to_string(), "close_policy.close.to is 4000, but it must be at least 4001");
    let year = 366 * 24 * 3600;
    let long = policy.set_status(429..=429, slow(year)).unwrap_err();
    assert_eq!(
        long.to_string(),
        "close_policy.status.verdict.retry-slow.floor is 366d, but it must be at most 365d"
    );
    for code in 0..16 {
        policy.set_close(code..=code, Verdict::Retry).unwrap();
        policy.set_status(code..=code, Verdict::Retry).unwrap();
    }
    let before = policy;
    let full = policy.set_close(17..=17, slow(1)).unwrap_err();
    assert_eq!(
        full.to_string(),
        "close_policy.close (number of rules) is 17, but it must be at most 16"
    );
    assert_eq!(
        policy.set_status(17..=17, slow(1)).unwrap_err().field().to_string(),
        "close_policy.status (number of rules)"
    );
    assert_eq!(policy, before, "a refused edit changes nothing");
}

#[test]
fn m09_every_reason_to_stop_has_a_name_and_advice() {
    let reasons = CLOSE_CODES.iter().chain(&HTTP_STATUSES).filter_map(|rule| match rule.verdict {
        Verdict::Stop(reason) => Some(reason),
        _ => None,
    });
    let unnamed_by_a_row = [StopReason::TOKEN_EXPIRED, StopReason::INVALID_REQUEST];
    let mut checked = 0;
    for reason in reasons.chain(unnamed_by_a_row) {
        assert_eq!(StopReason::by_name(reason.name()), Some(reason));
        assert!(reason.name().chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'));
        assert!(reason.advice().ends_with('.') && reason.advice().len() > 20, "{reason:?}");
        checked += 1;
    }
    assert_eq!(checked, 16);
    assert_eq!(StopReason::by_name("nothing_of_the_kind"), None);
}

#[test]
fn failures_of_the_transport_are_judged_as_what_they_are_like() {
    let wait = |failure| {
        let mut sim = stable(LinkConfig::default());
        sim.peer().refuse(failure);
        sim.retry_in().ok_or_else(|| sim.end().expect("an end"))
    };
    for failure in [
        Failure::Lookup,
        Failure::Refused,
        Failure::Unreachable,
        Failure::Reset,
        Failure::Eof,
        Failure::Io,
        Failure::Gap,
        Failure::Protocol(CloseCode::TOO_BIG),
    ] {
        assert!(wait(failure).expect("retried") <= secs(1), "{failure:?}");
    }
    for failure in [Failure::Tls, Failure::NotWebSocket] {
        assert!(wait(failure).expect("retried") >= secs(30), "{failure:?}");
    }
    assert_eq!(wait(Failure::InvalidRequest).unwrap_err().name(), "invalid_request");
    let status = |status, retry_after| {
        let mut sim = link(LinkConfig::default());
        sim.connect();
        sim.peer().refuse(Failure::Http { status, retry_after });
        sim.retry_in().ok_or_else(|| sim.end().expect("an end"))
    };
    assert_eq!(status(403, None).unwrap_err().name(), "forbidden");
    assert_eq!(status(401, None).unwrap_err().name(), "unauthorized");
    assert!((secs(2)..secs(5)).contains(&status(503, None).expect("retried")));
    assert!((secs(40)..=secs(48)).contains(&status(503, Some(secs(40))).expect("retried")));
}

#[test]
fn what_this_side_found_wrong_means_what_the_peers_code_would_but_never_the_end() {
    let after = |ends: fn(&mut Sim<Direct>, u16), code| {
        let mut sim = stable(LinkConfig::default());
        ends(&mut sim, code);
        sim.retry_in()
    };
    let floor = |wait: Duration| if wait >= secs(30) { 30 } else { wait.as_secs() / 5 * 5 };
    for code in CLOSE_CODES.iter().flat_map(|rule| [rule.from, rule.to]) {
        let peers = after(|sim, code| sim.peer().close(code), code);
        let own = after(|sim, code| sim.peer().refuse(Failure::Protocol(CloseCode(code))), code);
        let own = own.unwrap_or_else(|| panic!("{code}: a finding of this side ended the link"));
        match peers {
            Some(peers) => assert_eq!(floor(own), floor(peers), "{code}"),
            None => assert!(own >= secs(10), "{code}: {own:?}"),
        }
    }
}

#[test]
fn only_codes_that_may_stand_in_a_frame_are_sendable() {
    let sendable: Vec<u16> = (0..=u16::MAX).filter(|code| CloseCode(*code).is_sendable()).collect();
    let expected: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
    assert_eq!(sendable, expected);
}

#[test]
fn what_goes_out_in_a_close_frame_is_one_rule_for_all_codes_and_reasons() {
    for code in (0..=u16::MAX).map(CloseCode) {
        let sent = CloseFrame::new(code, "why").for_wire();
        let expected = match code {
            CloseCode::NO_STATUS => None,
            code if code.is_sendable() => Some(CloseFrame::new(code, "why")),
            _ => Some(CloseFrame::new(CloseCode::POLICY_VIOLATION, "why")),
        };
        assert_eq!(sent, expected, "{code}");
    }
    for (character, most) in [("x", 123), ("ü", 122), ("€", 123), ("🦀", 120)] {
        let long = CloseFrame { code: CloseCode::NORMAL, reason: character.repeat(200) };
        let sent = long.clone().for_wire().expect("a code");
        assert_eq!((sent.reason.len(), character), (most, character));
        assert_eq!(CloseFrame::new(long.code, long.reason), sent);
        let fits = CloseFrame::new(CloseCode::NORMAL, &character.repeat(200)[..most]);
        assert_eq!(fits.clone().for_wire(), Some(fits), "what fits is not touched");
    }
}

#[test]
fn a_close_frame_can_say_when_to_come_back() {
    let frame = |reason: &str| CloseFrame::new(CloseCode::GOING_AWAY, reason);
    for (delay, reason, whole) in [
        (secs(3), "", "retry-after=3s"),
        (secs(3), "deploy", "deploy; retry-after=3s"),
        (Duration::from_millis(1_500), "", "retry-after=1s500ms"),
    ] {
        let said = frame(reason).with_retry_after(delay);
        assert_eq!(said.reason, whole);
        assert_eq!(said.retry_after(), Some(delay));
    }
    let long = frame(&"ü".repeat(100)).with_retry_after(Duration::MAX);
    assert!(long.reason.len() <= CloseFrame::MAX_REASON, "{long:?}");
    assert!(long.retry_after().is_some(), "{long:?}");
    for reason in ["", "retry-after", "retry-after=", "retry-after=soon", "no-retry-after=3s"] {
        assert_eq!(frame(reason).retry_after(), None, "{reason}");
    }
    for reason in ["later,retry-after=3s", "retry-after=3s;bye", "a retry-after=3s b"] {
        assert_eq!(frame(reason).retry_after(), Some(secs(3)), "{reason}");
    }
}

/// Each row of a table decides for at least one of the codes above: fails if a row is added without
/// a code.
fn assert_every_row_is_covered(table: &[CloseRule], codes: &[u16]) {
    for (index, rule) in table.iter().enumerate() {
        let decides = |code: &u16| table.iter().position(|rule| rule.covers(*code)) == Some(index);
        assert!(codes.iter().any(decides), "{rule:?} is not checked");
    }
}
