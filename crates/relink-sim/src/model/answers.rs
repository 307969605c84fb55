//! What the endpoints have said so far, as the contract counts it: whose turn it is, and when all
//! have said *stop*.

use std::time::Duration;

use relink::{Instant, StopReason};

use super::table;

/// A final HTTP status on a link that worked before is believed after this many in a row, over this
/// time.
const PROOF: (u32, Duration) = (10, Duration::from_secs(120));
/// An endpoint that refused for good is not dialed for this long.
const REFUSED_FOR: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub(super) struct Answers {
    endpoints: Vec<Endpoint>,
    dialed: usize,
    turn: Turn,
    longest_pause: Duration,
    /// HTTP statuses in a row that would end the link.
    statuses: Vec<Instant>,
    /// Whether the link that is up now has proved stable.
    is_stable: bool,
    /// The link became stable and was lost at the same time: the order is not known.
    is_unsure: bool,
}

/// Whose turn is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The endpoint that was dialed last.
    Same,
    /// Another one.
    Other,
    /// All others have a pause, as this one may; or it is not known.
    Any,
}

#[derive(Debug, Clone, Copy)]
struct Endpoint {
    is_final: bool,
    pause: Instant,
}

/// How an attempt, or a link, came to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed {
    /// Why this endpoint need not be dialed again.
    pub(super) stop: Option<StopReason>,
    /// The answer was an HTTP status, on a link that was connected before.
    pub(super) is_doubtful: bool,
    /// A fresh token may help.
    pub(super) wants_token: bool,
    /// It is about the endpoint.
    pub(super) is_of_endpoint: bool,
    /// The pause that the endpoint asks for.
    pub(super) pause: Duration,
    /// The endpoint redirects to another one.
    pub(super) switches: bool,
}

impl Answers {
    pub(super) fn new(endpoints: u8) -> Self {
        let endpoint = Endpoint { is_final: false, pause: Instant::ORIGIN };
        Self {
            endpoints: vec![endpoint; usize::from(endpoints)],
            dialed: 0,
            turn: Turn::Same,
            longest_pause: Duration::ZERO,
            statuses: Vec::new(),
            is_stable: false,
            is_unsure: false,
        }
    }

    /// A stable link, or a person: nothing that was said counts any more.
    pub(super) fn reset_failures(&mut self) {
        self.endpoints.fill(Endpoint { is_final: false, pause: Instant::ORIGIN });
        self.statuses.clear();
        self.is_unsure = false;
    }

    /// From an end, or from the beginning.
    pub(super) fn started(&mut self) {
        self.is_stable = false;
        self.reset_failures();
    }

    pub(super) fn usable(&mut self) {
        (self.is_stable, self.turn) = (false, Turn::Same);
        self.doubt();
    }

    pub(super) fn stable(&mut self, is_sure: bool) {
        self.is_stable = true;
        self.reset_failures();
        self.is_unsure = !is_sure;
    }

    /// The link closes: what happens to it now is no loss of a good link.
    pub(super) fn closes(&mut self) {
        self.is_stable = false;
    }

    pub(super) fn is_stable(&self) -> bool {
        self.is_stable
    }

    pub(super) fn is_unsure(&self) -> bool {
        self.is_unsure
    }

    /// Another network, or another answer: what may have come from in between proves nothing.
    pub(super) fn doubt(&mut self) {
        self.statuses.clear();
    }

    /// Notes a failure; returns why the link must end now, if it must.
    pub(super) fn failed(&mut self, failed: Failed, now: Instant) -> Option<StopReason> {
        let was_stable = std::mem::take(&mut self.is_stable);
        let Failed { stop, is_doubtful, wants_token, is_of_endpoint, mut pause, switches } = failed;
        if stop.is_some_and(table::is_about_the_client) || self.is_unsure {
            self.turn = Turn::Any;
            return stop;
        }
        let is_refusal = stop.is_some() || wants_token;
        if is_refusal && is_doubtful {
            self.statuses.push(now);
        } else if !is_refusal && is_of_endpoint {
            self.doubt();
        }
        let stop = stop.filter(|_| !is_doubtful || self.is_proven(now));
        if !is_of_endpoint {
            return stop;
        }
        if stop.is_some() {
            pause = pause.max(REFUSED_FOR);
        }
        let is_good = was_stable && pause.is_zero() && !switches;
        let mut others =
            self.endpoints.iter().enumerate().filter(|(other, _)| *other != self.dialed);
        let is_one_free = others.any(|(_, other)| other.pause <= now);
        self.turn = match (is_good, is_one_free) {
            (true, _) => Turn::Same,
            (false, true) => Turn::Other,
            (false, false) => Turn::Any,
        };
        self.longest_pause = self.longest_pause.max(pause);
        let endpoint = &mut self.endpoints[self.dialed];
        endpoint.is_final = stop.is_some();
        endpoint.pause = endpoint.pause.max(now + pause);
        stop.filter(|_| self.endpoints.iter().all(|endpoint| endpoint.is_final))
    }

    /// The longest pause that an endpoint has asked for.
    pub(super) fn longest_pause(&self) -> Duration {
        self.longest_pause
    }

    fn is_proven(&self, now: Instant) -> bool {
        let (most, time) = PROOF;
        let first = self.statuses.first().copied().unwrap_or(now);
        self.statuses.len() >= most as usize && now - first >= time
    }

    /// Whether it may be this endpoint's turn.
    pub(super) fn may_dial(&mut self, endpoint: u8, is_asked_for: bool, now: Instant) -> bool {
        let next = usize::from(endpoint);
        let is_its_turn = match self.turn {
            Turn::Same => next == self.dialed,
            Turn::Other => next != self.dialed,
            Turn::Any => true,
        };
        (self.dialed, self.turn) = (next, Turn::Same);
        is_its_turn && (is_asked_for || self.endpoints[next].pause <= now)
    }
}
