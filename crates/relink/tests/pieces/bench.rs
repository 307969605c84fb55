//! A link driven by hand, for what a piece shows only from inside one.

use core::time::Duration;

use rand_pcg::Pcg32;
use relink::link::{Action, Input, LinkEvent, Timer, TransportId};
use relink::rand_core::SeedableRng;
use relink::{CloseCode, ClosedReason, Failure, Instant, Link, LinkConfig, State};

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn at(time: Duration) -> Instant {
    Instant::from_origin(time)
}

pub(crate) fn dice(seed: u64) -> Pcg32 {
    Pcg32::seed_from_u64(seed)
}

/// What an endpoint may answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// To the handshake, with a `Retry-After`.
    Status(u16, Option<Duration>),
    /// None at all.
    Failure(Failure),
    /// Over the open transport.
    Code(u16),
}

/// A link and its time; every action it asked for is kept.
pub(crate) struct Bench {
    pub(crate) link: Link<Pcg32>,
    pub(crate) now: Instant,
    pub(crate) log: Vec<Action>,
}

impl Bench {
    pub(crate) fn new(config: LinkConfig) -> Self {
        Self::seeded(config, 7)
    }

    pub(crate) fn seeded(config: LinkConfig, seed: u64) -> Self {
        Self::of(Link::new(config, 1, dice(seed)).expect("a valid configuration"))
    }

    pub(crate) fn with_endpoints(config: LinkConfig, endpoints: u8) -> Self {
        Self::of(Link::new(config, endpoints, dice(7)).expect("a valid configuration"))
    }

    fn of(link: Link<Pcg32>) -> Self {
        Self { link, now: Instant::ORIGIN, log: Vec::new() }
    }

    /// A link that was connected, and has become stable.
    pub(crate) fn stable(config: LinkConfig) -> Self {
        let mut bench = Self::new(config);
        bench.give(Input::Connect);
        bench.open();
        bench.give(Input::MarkStable);
        bench
    }

    /// Hands in an input now; returns the actions it led to.
    pub(crate) fn give(&mut self, input: Input) -> &[Action] {
        let before = self.log.len();
        self.link.handle(input, self.now).expect("all actions were taken");
        while let Some(action) = self.link.poll_action() {
            self.log.push(action);
        }
        &self.log[before..]
    }

    pub(crate) fn id(&self) -> TransportId {
        self.link.transport().expect("a transport or an attempt")
    }

    /// Moves on to the next deadline and hands in the timeout; returns which it was.
    pub(crate) fn due(&mut self) -> Timer {
        let timer = self.link.next_timer().expect("a deadline");
        self.now = self.now.max(self.link.poll_timeout().expect("a deadline"));
        self.give(Input::Timeout);
        timer
    }

    /// Lets time pass, with every deadline on the way handled when it is due.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.link.poll_timeout().is_some_and(|at| at <= end) {
            self.due();
        }
        self.now = end;
    }

    pub(crate) fn open(&mut self) {
        self.give(Input::Opened { id: self.id() });
        assert_eq!(self.link.state(), State::Connected);
    }

    /// The transport is reset, or the dial refused; returns the wait for the next attempt.
    pub(crate) fn fail(&mut self) -> Option<Duration> {
        let id = self.id();
        self.give(Input::Failed { id, failure: Failure::Refused });
        self.retry_in()
    }

    /// The peer closes with this code; returns the wait for the next attempt.
    pub(crate) fn peer_closes(&mut self, code: u16) -> Option<Duration> {
        let id = self.id();
        self.give(Input::PeerClosed { id, code: CloseCode(code) });
        self.retry_in()
    }

    /// The endpoint that is being dialed answers so.
    pub(crate) fn answer(&mut self, answer: Answer) {
        let id = self.id();
        match answer {
            Answer::Status(status, retry_after) => {
                self.give(Input::Failed { id, failure: Failure::Http { status, retry_after } });
            }
            Answer::Failure(failure) => drop(self.give(Input::Failed { id, failure })),
            Answer::Code(code) => {
                self.open();
                self.peer_closes(code);
            }
        }
    }

    /// Lets the wait for the next attempt pass, until the attempt begins.
    pub(crate) fn next_attempt(&mut self) {
        while self.link.transport().is_none() {
            self.due();
        }
    }

    /// The waits of so many attempts that fail in a row, from now on.
    pub(crate) fn waits(&mut self, attempts: usize) -> Vec<Duration> {
        let mut waits = Vec::new();
        while waits.len() < attempts {
            waits.push(self.fail().expect("another attempt"));
            self.next_attempt();
        }
        waits
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = LinkEvent> + '_ {
        self.log.iter().filter_map(|action| {
            if let Action::Event(event) = action { Some(*event) } else { None }
        })
    }

    /// What the last loss or failed attempt said about the next one.
    pub(crate) fn retry_in(&self) -> Option<Duration> {
        self.events()
            .filter_map(|event| match event {
                LinkEvent::Disconnected { retry_in, .. }
                | LinkEvent::AttemptFailed { retry_in, .. } => Some(retry_in),
                _ => None,
            })
            .last()
            .expect("a loss or a failed attempt")
    }

    pub(crate) fn end(&self) -> Option<ClosedReason> {
        if let State::Closed(reason) = self.link.state() { Some(reason) } else { None }
    }

    pub(crate) fn dials(&self) -> usize {
        self.log.iter().filter(|action| matches!(action, Action::Dial { .. })).count()
    }
}
