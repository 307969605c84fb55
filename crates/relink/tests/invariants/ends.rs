//! How a link ends.

use relink::link::{HandshakeEvent, Hint, OnFirstFailure, Refusal};
use relink::policy::GiveUpReason;
use relink::session::OutboxConfig;
use relink::{
    CloseCode, ClosedReason, Event, Failure, LinkConfig, SessionConfig, State, StopReason,
};
use relink_sim::{Direct, OnDial, Sim, Tokens, millis, secs};

use crate::support::{all_steps, count, strangers, with_tokens};

/// One way in which a link ends: the configuration, what happens, and the reported reason.
pub(crate) struct End {
    pub(crate) name: &'static str,
    config: fn(LinkConfig) -> LinkConfig,
    happens: fn(&mut Sim<Direct>),
    reason: ClosedReason,
}

#[test]
fn i02_no_deadline_is_left_after_any_end() {
    for end in ENDS {
        let mut sim = end.play();
        assert_eq!(sim.deadline(), None, "{}", end.name);
        let dials = sim.dials().len();
        sim.advance(secs(86_400));
        assert_eq!((sim.deadline(), sim.dials().len()), (None, dials), "{}", end.name);
    }
}

#[test]
fn i02_one_retry_is_pending_whatever_asks_for_it() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_connected();
    let id = sim.dials()[0].id;
    sim.peer().on_dial(OnDial::Hold);
    sim.peer().reset();
    // All inputs that might set another deadline.
    strangers(&sim, id).into_iter().for_each(|input| sim.handle(input));
    sim.connect();
    sim.hint(Hint::Online);
    sim.hint(Hint::Wake);
    sim.advance(secs(9));
    assert_eq!(sim.dials().len(), 2);

    sim.peer().refuse(Failure::Refused);
    sim.retry_now();
    sim.peer().refuse(Failure::Refused);
    sim.retry_now();
    sim.advance(secs(9));
    assert_eq!(
        sim.dials().len(),
        4,
        "one for each retry, and none for the waits that they replaced"
    );
}

#[test]
fn i14_a_close_that_is_not_answered_ends_all_the_same() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_closing();
    sim.expect(["dial", "connected", "close 1000"]);
    assert_eq!(sim.wakes_in(), Some(secs(2)));
    sim.advance(millis(1_999));
    assert_eq!(sim.state(), State::Closing);
    sim.advance(millis(1));
    sim.expect(["drop", "closed: requested"]);
    assert_eq!(sim.deadline(), None);
}

#[test]
fn i14_nor_is_a_peer_waited_for_that_reads_nothing() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_connected();
    sim.peer().reads(Some(0));
    sim.send("never read").unwrap();
    sim.close(1000);
    sim.skip();
    sim.advance(millis(6_999));
    assert_eq!(sim.state(), State::Closing, "5 s for the flush, 2 s for the answer");
    sim.advance(millis(1));
    sim.expect(["drop", "dropped 1: closed", "closed: requested"]);
}

#[test]
fn i14_traffic_does_not_stretch_the_wait_for_the_answer() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_closing();
    for _ in 0..20 {
        sim.advance(millis(100));
        sim.peer().send("so much more to say");
    }
    assert!(sim.state().is_closed());
}

#[test]
fn i14_a_dead_peer_is_not_asked_to_close() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_connected();
    sim.peer().silence();
    sim.advance(secs(40));
    assert_eq!(
        sim.machine().link().transport(),
        None,
        "dropped at once, without a close handshake"
    );
}

#[test]
fn i31_every_end_has_a_reason_that_is_told_once_and_last() {
    for end in ENDS {
        let mut sim = end.play();
        assert_eq!(sim.state(), State::Closed(end.reason), "{}", end.name);
        let events = sim.take_events();
        assert_eq!(events.last(), Some(&Event::Closed { reason: end.reason }), "{}", end.name);
        assert_eq!(
            count(&events, |event| matches!(event, Event::Closed { .. })),
            1,
            "{}",
            end.name
        );
    }
}

#[test]
fn i31_nothing_is_told_after_the_end() {
    for end in ENDS {
        let mut sim = end.play();
        let _ = sim.take_events();
        let ids: Vec<_> = sim.dials().iter().map(|dial| dial.id).collect();
        for id in ids {
            strangers(&sim, id).into_iter().for_each(|input| sim.handle(input));
        }
        for hint in [Hint::Online, Hint::Offline, Hint::Wake] {
            sim.hint(hint);
        }
        sim.close(1000);
        sim.mark_stable();
        sim.login();
        assert!(sim.send("too late").is_err());
        sim.advance(secs(600));
        assert_eq!(sim.take_events(), [], "{}", end.name);
        assert_eq!(sim.state(), State::Closed(end.reason), "{}", end.name);
    }
}

#[test]
fn i31_what_was_queued_is_accounted_for_before_the_end() {
    for end in ENDS {
        let mut sim = end.start();
        sim.send("queued").unwrap();
        (end.happens)(&mut sim);
        // Messages that are queued when the application closes have `flush_timeout`, and the close
        // handshake has `close_timeout`.
        sim.advance(secs(5 + 2));
        let events = sim.take_events();
        let fates =
            count(&events, |event| matches!(event, Event::Sent { .. } | Event::Dropped { .. }));
        assert_eq!(fates, 1, "{}: {events:?}", end.name);
        assert!(matches!(events.last(), Some(Event::Closed { .. })), "{}", end.name);
    }
}

impl End {
    fn start(&self) -> Sim<Direct> {
        let link = (self.config)(LinkConfig::default());
        // Notices and a time to live, so that there are deadlines to drop.
        let link = link.with_surface(link.surface.with_grace(Some(secs(4))));
        let outbox = OutboxConfig::default().with_ttl(Some(secs(86_400)));
        let config = SessionConfig::default().with_link(link).with_outbox(outbox);
        Sim::with(config, &["ws://peer"], Direct::default(), 1).unwrap()
    }

    pub(crate) fn play(&self) -> Sim<Direct> {
        let mut sim = self.start();
        (self.happens)(&mut sim);
        assert!(sim.state().is_closed(), "{} is an end", self.name);
        sim
    }
}

const REQUESTED: ClosedReason = ClosedReason::Requested;

pub(crate) const ENDS: [End; 20] = [
    requested("closed before it was started", |sim| sim.close(1000)),
    requested("closed while it waits", |sim| {
        sim.to_waiting(3);
        sim.close(1000);
    }),
    End {
        name: "closed while it fetches a token",
        config: with_tokens,
        happens: |sim| {
            sim.tokens(Tokens::Hang);
            sim.connect();
            sim.close(1000);
        },
        reason: REQUESTED,
    },
    requested("closed while it dials", |sim| {
        sim.peer().on_dial(OnDial::Hold);
        sim.connect();
        sim.close(1000);
    }),
    End {
        name: "closed while it shakes hands",
        config: |config| config.with_handshake(all_steps()),
        happens: |sim| {
            sim.open();
            sim.close(1000);
        },
        reason: REQUESTED,
    },
    requested("closed, and answered", |sim| {
        sim.to_connected();
        sim.close(1000);
    }),
    requested("closed, and reset", |sim| {
        sim.to_closing();
        sim.peer().reset();
    }),
    requested("closed, and not answered", |sim| {
        sim.to_closing();
        sim.advance(secs(2));
    }),
    requested("closed, and not read", |sim| {
        sim.to_connected();
        sim.peer().reads(Some(0));
        sim.close(1000);
        sim.advance(secs(7));
    }),
    End {
        name: "closed while a token is renewed",
        config: with_tokens,
        happens: |sim| {
            sim.tokens(Tokens::Grant(Some(secs(100))));
            sim.to_connected();
            sim.tokens(Tokens::Hang);
            sim.advance(secs(55));
            sim.close(1000);
        },
        reason: REQUESTED,
    },
    requested("closed within the grace", |sim| {
        sim.to_connected();
        sim.peer().on_dial(OnDial::Hold);
        sim.peer().reset();
        sim.advance(secs(2));
        sim.close(1000);
    }),
    stopped("kicked", |sim| {
        sim.to_connected();
        sim.peer().close(4020);
    }),
    End {
        name: "kicked while it shakes hands",
        config: |config| config.with_handshake(all_steps()),
        happens: |sim| {
            sim.open();
            sim.peer().handshake(HandshakeEvent::Refused(Refusal::As(CloseCode::ADMIN_DISCONNECT)));
        },
        reason: ClosedReason::Stopped { reason: StopReason::ADMIN_DISCONNECT, code: KICK },
    },
    End {
        name: "forbidden",
        config: |config| config,
        happens: |sim| {
            sim.peer().on_dial(OnDial::Refuse(Failure::Http { status: 403, retry_after: None }));
            sim.connect();
        },
        reason: ClosedReason::Stopped { reason: StopReason::FORBIDDEN, code: None },
    },
    End {
        name: "expired, and no provider",
        config: |config| config,
        happens: |sim| {
            sim.to_connected();
            sim.peer().close(4002);
        },
        reason: ClosedReason::Stopped {
            reason: StopReason::TOKEN_EXPIRED,
            code: Some(CloseCode::TOKEN_EXPIRED),
        },
    },
    gave_up(GiveUpReason::Attempts, |config| {
        config.with_budget(config.budget.with_max_attempts(Some(3)))
    }),
    gave_up(GiveUpReason::Elapsed, |config| {
        config.with_budget(config.budget.with_max_elapsed(Some(secs(20))))
    }),
    gave_up(GiveUpReason::CircuitOpen, |config| {
        let breaker = relink::policy::Breaker { failures: 2, window: secs(60), cooldown: None };
        config.with_budget(config.budget.with_breaker(Some(breaker)))
    }),
    gave_up(GiveUpReason::FirstAttempt, |config| config.with_first_failure(OnFirstFailure::Stop)),
    End {
        name: "refused token after token",
        config: with_tokens,
        happens: |sim| {
            sim.peer().on_dial(OnDial::Refuse(Failure::Http { status: 401, retry_after: None }));
            sim.connect();
            sim.advance(secs(600));
        },
        reason: ClosedReason::GaveUp(GiveUpReason::TokenRefused),
    },
];

const KICK: Option<CloseCode> = Some(CloseCode::ADMIN_DISCONNECT);

const fn requested(name: &'static str, happens: fn(&mut Sim<Direct>)) -> End {
    End { name, config: |config| config, happens, reason: REQUESTED }
}

const fn stopped(name: &'static str, happens: fn(&mut Sim<Direct>)) -> End {
    let reason = ClosedReason::Stopped { reason: StopReason::ADMIN_DISCONNECT, code: KICK };
    End { name, config: |config| config, happens, reason }
}

const fn gave_up(budget: GiveUpReason, config: fn(LinkConfig) -> LinkConfig) -> End {
    let happens: fn(&mut Sim<Direct>) = |sim| {
        sim.peer().on_dial(OnDial::Refuse(Failure::Refused));
        sim.connect();
        sim.advance(secs(60));
    };
    End { name: budget.name(), config, happens, reason: ClosedReason::GaveUp(budget) }
}
