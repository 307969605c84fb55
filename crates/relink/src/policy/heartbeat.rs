//! Is the peer still there? Pings, their answers, a watchdog, and clocks that jump.
//!
//! One [`Heartbeat`] belongs to one transport and starts empty with it. At most one ping is
//! unanswered. Any inbound traffic answers it, even part of a message, but does not delay the next
//! one. A deadline that is handled *late* proves nothing about the peer, because this side slept (a
//! closed laptop, a suspended process): one quick probe is sent before the link is declared dead.

use core::time::Duration;

use crate::base::config::{ConfigError, MILLISECOND, YEAR, config, mistake};
use crate::base::time::{Instant, millis, next_due, secs};
use crate::policy::close_code::CloseCode;

config! {
    /// How liveness is checked.
    ///
    /// A link that died silently is noticed within `interval + timeout` (with `missed` = 1, and a
    /// timeout that is not longer than the interval).
    pub struct HeartbeatConfig at "heartbeat.", then check_close_code {
        /// The time between pings. `off` sends none. Shorter finds a dead link sooner, and costs a
        /// wake-up of the radio on a phone each time; 30 s stays below the idle timeout of common
        /// proxies (60 s).
        pub interval / with_interval: Option<Duration> = Some(secs(30)), in MILLISECOND..=YEAR;
        /// How long a ping may go unanswered. Shorter than a slow mobile round trip (several
        /// seconds) kills good links.
        pub timeout / with_timeout: Duration = secs(10), in MILLISECOND..=YEAR;
        /// The link is dead after this many pings in a row without an answer.
        pub missed / with_missed: u32 = 1, in 1..=1_000;
        /// Dead after this long without any traffic at all, not even part of a message, whether or
        /// not pings are due.
        pub watchdog / with_watchdog: Option<Duration> = None, in MILLISECOND..=YEAR;
        /// How long one message may take to arrive, once a part of it is there. `off`: any bytes
        /// keep the link alive, however slowly they arrive. With a limit, a peer that trickles is
        /// dead; it must leave time for the largest message on the slowest line. Time in which this
        /// side does not read does not count.
        pub message_timeout / with_message_timeout: Option<Duration> = None, in MILLISECOND..=YEAR;
        /// How long the quick probe after a clock jump or a wake-up hint may take; also how late a
        /// deadline must be handled to count as a jump. The minimum keeps timers of a busy machine,
        /// late by some milliseconds, from counting.
        pub probe / with_probe: Duration = secs(2), in millis(100)..=YEAR;
        /// The code of the close frame sent to a peer that is believed dead, in case it is not. It
        /// must be sendable, and not 1000 or 1001, which make the server discard the session.
        pub close_code / with_close_code: CloseCode = CloseCode::HEARTBEAT_TIMEOUT;
    }
}

impl HeartbeatConfig {
    fn check_close_code(&self) -> Result<(), ConfigError> {
        let ends_session = matches!(self.close_code, CloseCode::NORMAL | CloseCode::GOING_AWAY);
        if self.close_code.is_sendable() && !ends_session {
            return Ok(());
        }
        let allowed = "a code that may be sent and ends no session, as 4000";
        Err(mistake("heartbeat.close_code", "reserved, 1000 or 1001", allowed))
    }
}

/// What to do for the heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeartbeatAction {
    /// Send a ping that carries this number.
    Ping {
        /// Comes back in the pong.
        nonce: u32,
    },
    /// The peer is gone.
    Dead(DeadReason),
}

/// Why the peer counts as dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum DeadReason {
    /// Pings went unanswered.
    Heartbeat,
    /// The watchdog expired: no traffic at all.
    Watchdog,
    /// The quick probe after a clock jump or a wake-up went unanswered.
    Probe,
    /// A message took longer to arrive than it may.
    Message,
}

/// The timers of a heartbeat, named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BeatTimer {
    Ping,
    Pong,
    Watchdog,
    Message,
}

/// Watches one transport.
///
/// ```
/// use core::time::Duration;
/// use relink::Instant;
/// use relink::policy::{HeartbeatAction, Heartbeat, HeartbeatConfig, DeadReason};
///
/// let config = HeartbeatConfig::default();
/// let at = |secs| Instant::from_origin(Duration::from_secs(secs));
/// let mut heartbeat = Heartbeat::start(config, at(0));
/// assert_eq!(heartbeat.poll_timeout(), Some(at(30)));
/// assert_eq!(heartbeat.handle_timeout(at(30)), Some(HeartbeatAction::Ping { nonce: 1 }));
/// assert_eq!(heartbeat.handle_timeout(at(40)), Some(HeartbeatAction::Dead(DeadReason::Heartbeat)));
/// ```
#[derive(Debug, Clone)]
pub struct Heartbeat {
    config: HeartbeatConfig,
    last_seen: Instant,
    /// Since when a message has been arriving.
    arriving: Option<Instant>,
    next_ping: Option<Instant>,
    pending: Option<Pending>,
    missed: u32,
    nonce: u32,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    nonce: u32,
    sent: Instant,
    deadline: Instant,
    probe: bool,
}

impl Heartbeat {
    /// Starts to watch a transport that is usable from `now` on.
    #[must_use]
    pub fn start(config: HeartbeatConfig, now: Instant) -> Self {
        let next_ping = config.interval.map(|interval| now + interval);
        Self {
            config,
            last_seen: now,
            arriving: None,
            next_ping,
            pending: None,
            missed: 0,
            nonce: 0,
        }
    }

    /// Records that a frame arrived. One store: this is on the path of every message.
    #[inline]
    pub fn seen(&mut self, now: Instant) {
        self.last_seen = now;
    }

    /// Records that bytes arrived, of whatever frame; `since` is when the incomplete message began.
    pub fn arriving(&mut self, since: Option<Instant>, now: Instant) {
        self.seen(now);
        self.arriving = since;
    }

    /// The message is complete.
    #[inline]
    pub const fn arrived(&mut self) {
        self.arriving = None;
    }

    /// Treats the peer as alive until now: this side did not read, or there is other evidence.
    pub fn excused(&mut self, now: Instant) {
        self.seen(now);
        self.arriving = self.arriving.map(|_| now);
    }

    /// Records a pong; `None` if the protocol's answer carries no number. Returns the round trip
    /// time if it answers the current ping; a late answer to an earlier one is traffic like any
    /// other.
    pub fn pong(&mut self, nonce: Option<u32>, now: Instant) -> Option<Duration> {
        self.seen(now);
        let pending = self.pending.take_if(|ping| nonce.is_none_or(|nonce| nonce == ping.nonce))?;
        self.missed = 0;
        Some(now - pending.sent)
    }

    /// Starts a quick probe, since the machine woke up or the network changed. Returns `None` if
    /// one is under way, or if pings are off: such a peer may not answer any.
    #[must_use]
    pub fn probe(&mut self, now: Instant) -> Option<HeartbeatAction> {
        let probing = self.pending.is_some_and(|ping| ping.probe);
        (self.config.interval.is_some() && !probing).then(|| self.ping(now, true))
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_deadline().map(|(at, _)| at)
    }

    pub(crate) fn next_deadline(&self) -> Option<(Instant, BeatTimer)> {
        if let Some(Pending { deadline, probe: true, .. }) = self.pending {
            return Some((deadline, BeatTimer::Pong));
        }
        let ping = match self.pending {
            Some(ping) => Some((ping.deadline, BeatTimer::Pong)),
            None => self.next_ping.map(|at| (at, BeatTimer::Ping)),
        };
        let watchdog =
            self.config.watchdog.map(|limit| (self.last_seen + limit, BeatTimer::Watchdog));
        let message = self.config.message_timeout.zip(self.arriving);
        let message = message.map(|(limit, since)| (since + limit, BeatTimer::Message));
        next_due([ping, watchdog, message])
    }

    /// Handles what is due at `now`. An early call does nothing; a late one probes before it
    /// declares the peer dead.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Instant) -> Option<HeartbeatAction> {
        while let Some((at, timer)) = self.next_deadline() {
            if at > now {
                return None;
            }
            let jumped = now - at >= self.config.probe;
            match timer {
                BeatTimer::Ping => return Some(self.ping(now, false)),
                BeatTimer::Pong => {
                    let pending = self.pending.take()?;
                    if self.last_seen > pending.sent {
                        self.missed = 0;
                    } else if jumped {
                        return Some(self.ping(now, true));
                    } else if pending.probe {
                        return Some(HeartbeatAction::Dead(DeadReason::Probe));
                    } else {
                        self.missed += 1;
                        if self.missed >= self.config.missed {
                            return Some(HeartbeatAction::Dead(DeadReason::Heartbeat));
                        }
                    }
                }
                BeatTimer::Watchdog if jumped => return Some(self.ping(now, true)),
                BeatTimer::Watchdog => return Some(HeartbeatAction::Dead(DeadReason::Watchdog)),
                BeatTimer::Message if jumped => {
                    self.arriving = Some(now);
                    return Some(self.ping(now, true));
                }
                BeatTimer::Message => return Some(HeartbeatAction::Dead(DeadReason::Message)),
            }
        }
        None
    }

    /// The number of pings in a row that went unanswered.
    #[must_use]
    pub const fn missed(&self) -> u32 {
        self.missed
    }

    fn ping(&mut self, now: Instant, probe: bool) -> HeartbeatAction {
        self.nonce = self.nonce.wrapping_add(1);
        let allowed = if probe { self.config.probe } else { self.config.timeout };
        let deadline = now + allowed;
        self.pending = Some(Pending { nonce: self.nonce, sent: now, deadline, probe });
        self.next_ping = self.config.interval.map(|interval| now + interval);
        HeartbeatAction::Ping { nonce: self.nonce }
    }
}
