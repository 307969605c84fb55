//! What a simulation shows: its state, its dials and delays, its events and its transcript.

use std::time::Duration;

use rand_pcg::Pcg32;
use relink::link::TransportId;
use relink::{Channel, ClosedReason, Event, Instant, Protocol, Session, State};

use super::{Dial, Sim};

impl<P: Protocol> Sim<P> {
    /// The time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// How long from now until the session's next deadline.
    #[must_use]
    pub fn wakes_in(&self) -> Option<Duration> {
        self.deadline().map(|at| at - self.now)
    }

    /// The session's next deadline.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.session.poll_timeout()
    }

    /// The exact state.
    #[must_use]
    pub fn state(&self) -> State {
        self.session.state()
    }

    /// The session itself.
    #[must_use]
    pub const fn machine(&self) -> &Session<P, Pcg32> {
        &self.session
    }

    /// How the link ended, if it did.
    #[must_use]
    pub fn end(&self) -> Option<ClosedReason> {
        if let State::Closed(reason) = self.state() { Some(reason) } else { None }
    }

    /// The transport or the attempt that is live, or the most recent one.
    #[must_use]
    pub fn id(&self) -> TransportId {
        self.session.link().transport().or(self.ids.last().copied()).unwrap_or_default()
    }

    /// How many tokens were asked for so far.
    #[must_use]
    pub const fn fetches(&self) -> u32 {
        self.world.fetches
    }

    /// The channels that a token was asked for since this was last asked.
    #[must_use]
    pub fn take_channel_fetches(&mut self) -> Vec<Channel> {
        std::mem::take(&mut self.world.channel_fetches)
    }

    /// All dials so far, in order.
    #[must_use]
    pub fn dials(&self) -> &[Dial] {
        &self.dials
    }

    /// How long the link has said that it waits, after each loss and each failed attempt that was
    /// not the end.
    #[must_use]
    pub fn delays(&self) -> Vec<Duration> {
        self.events.iter().filter_map(retry_in).flatten().collect()
    }

    /// How long the link waits for the next attempt, as it said at the last loss or failed attempt;
    /// `None` if that was the end, or there was none.
    #[must_use]
    pub fn retry_in(&self) -> Option<Duration> {
        self.events.iter().rev().find_map(retry_in).flatten()
    }

    /// How many attempts have failed since the link was last stable.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.session.link().attempts()
    }

    /// All events so far, in order.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The events since this was last asked, in order.
    #[must_use]
    pub fn take_events(&mut self) -> Vec<Event> {
        let from = std::mem::replace(&mut self.taken, self.events.len());
        self.events[from..].to_vec()
    }

    /// Compares the transcript since the last call with these lines. It has the link's actions and
    /// frames (`dial ws://peer`, `drop`, `fetch token`, `ping`, `text "hello"`, `close 1000`), and
    /// the application's events (`connected`, `lost (1001): …`, `attempt 3 failed: …`, `received
    /// text "hi"`, `sent 1`, `dropped 2: expired`, `going away, back in 3s`, `token error 3`,
    /// `closed: …`). A line may be a prefix.
    ///
    /// # Panics
    ///
    /// If they differ, with the whole transcript and its times.
    #[track_caller]
    pub fn expect<const N: usize>(&mut self, lines: [&str; N]) {
        let happened = self.transcript.take();
        let same = happened.len() == N
            && happened.iter().zip(lines).all(|(line, start)| line.starts_with(start));
        let happened = happened.join("\n");
        assert!(
            same,
            "expected:\n{}\n\nhappened:\n{happened}\n\nfrom the start:\n{}",
            lines.join("\n"),
            self.transcript
        );
    }

    /// Drops the transcript so far, usually after a shortcut.
    pub fn skip(&mut self) {
        let _ = self.transcript.take();
    }
}

/// What an event says about the next attempt, if it says something about that.
fn retry_in(event: &Event) -> Option<Option<Duration>> {
    if let Event::AttemptFailed { retry_in, .. } | Event::Disconnected { retry_in, .. } = event {
        Some(*retry_in)
    } else {
        None
    }
}
