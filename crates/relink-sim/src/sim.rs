//! [`Sim`]: a session, a clock, and everything that happens to it.

mod observe;

use std::time::Duration;

use rand_pcg::Pcg32;
use relink::link::{Hint, TransportId};
use relink::rand_core::SeedableRng;
use relink::session::{Frame, Secret, SendReceipt};
use relink::{
    Address, Channel, CloseCode, ConfigError, Event, Instant, LinkConfig, Outgoing, Phase, Plain,
    Protocol, Resume, SendError, Session, SessionConfig, SessionInput, State, Subscription, Token,
};

use crate::peer::{Addresses, OnDial, Peer, Surroundings, Tokens};
use crate::transcript::{self, Transcript};

/// More steps than any scenario takes in one call: more are a loop.
const MOST_STEPS: usize = 200_000;

/// One session in virtual time: a clock, a scripted [`Peer`], providers of tokens and addresses, a
/// [transcript](Self::expect), and every [dial](Self::dials) and [delay](Self::delays) so far.
///
/// The peer is well-behaved at first: it accepts dials at once, answers pings and close frames, and
/// tokens are granted. In a [`manual`](Self::manual) one nothing happens unless the scenario says
/// so. Time stands still until the scenario moves it, starting at [`Instant::ORIGIN`].
///
/// # Panics
///
/// If the link breaks a rule that holds in every scenario; the message has the transcript so far.
#[derive(Debug)]
pub struct Sim<P = Plain> {
    pub(crate) session: Session<P, Pcg32>,
    pub(crate) now: Instant,
    pub(crate) world: Surroundings,
    /// The attempts so far, in order.
    pub(crate) ids: Vec<TransportId>,
    dials: Vec<Dial>,
    attempt: u32,
    events: Vec<Event>,
    /// How many of the events were taken.
    taken: usize,
    transcript: Transcript,
    ended: bool,
}

/// A dial, as the network saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dial {
    /// When it began.
    pub at: Instant,
    /// The transport that it was to open.
    pub id: TransportId,
    /// The number of its attempt since the link was last usable, from 1. A redirect has the same.
    pub attempt: u32,
    /// Where to.
    pub address: Address,
    /// The token it carried.
    pub token: Option<Secret>,
    /// Whether the address is of a configured origin, and not one that a redirect led to.
    pub is_trusted: bool,
}

/// A duration in seconds.
#[must_use]
pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A duration in milliseconds.
#[must_use]
pub const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Sim {
    /// A link with this configuration, an outbox by default, seed 1, and one endpoint, `ws://peer`.
    ///
    /// # Panics
    ///
    /// If the configuration is not valid; [`Sim::with`] gives the error back.
    #[must_use]
    pub fn new(config: LinkConfig) -> Self {
        Self::session(SessionConfig::default().with_link(config))
    }

    /// A session with this configuration, seed 1, and one endpoint, `ws://peer`.
    ///
    /// # Panics
    ///
    /// If the configuration is not valid; [`Sim::with`] gives the error back.
    #[must_use]
    pub fn session(config: SessionConfig) -> Self {
        Self::seeded(config, 1)
    }

    /// The same with another seed: other jitter.
    ///
    /// # Panics
    ///
    /// If the configuration is not valid; [`Sim::with`] gives the error back.
    #[must_use]
    pub fn seeded(config: SessionConfig, seed: u64) -> Self {
        Self::with(config, &["ws://peer"], Plain::default(), seed)
            .unwrap_or_else(|error| panic!("{error}"))
    }
}

impl<P: Protocol> Sim<P> {
    /// A session with everything of one's own: configuration, endpoints, wire format, seed.
    ///
    /// # Errors
    ///
    /// The first field of the configuration that cannot work.
    pub fn with(
        config: SessionConfig,
        endpoints: &[&str],
        protocol: P,
        seed: u64,
    ) -> Result<Self, ConfigError> {
        let endpoints = endpoints.iter().map(|&endpoint| Address::from(endpoint)).collect();
        Ok(Self {
            session: Session::new(config, endpoints, protocol, Pcg32::seed_from_u64(seed))?,
            now: Instant::ORIGIN,
            world: Surroundings::default(),
            ids: Vec::new(),
            dials: Vec::new(),
            attempt: 0,
            events: Vec::new(),
            taken: 0,
            transcript: Transcript::default(),
            ended: false,
        })
    }

    // What the application does.

    /// Wants the link up.
    pub fn connect(&mut self) {
        self.handle(SessionInput::Connect);
    }

    /// Logs in.
    pub fn login(&mut self) {
        self.handle(SessionInput::Login);
    }

    /// Closes with this code.
    pub fn close(&mut self, code: u16) {
        self.handle(SessionInput::Close(CloseCode(code).into()));
    }

    /// Presses *retry now*.
    pub fn retry_now(&mut self) {
        self.handle(SessionInput::RetryNow);
    }

    /// Vouches for the link.
    pub fn mark_stable(&mut self) {
        self.handle(SessionInput::MarkStable);
    }

    /// Passes on a hint from the system.
    pub fn hint(&mut self, hint: Hint) {
        self.handle(SessionInput::Hint(hint));
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// Returns the message if the session did not accept it.
    pub fn send(&mut self, message: impl Into<Outgoing>) -> Result<SendReceipt, SendError> {
        let answer = self.session.send(message, self.now);
        self.settle();
        answer
    }

    /// Subscribes to a channel.
    pub fn subscribe(&mut self, channel: impl Into<Channel>, subscription: Subscription) {
        self.session.subscribe(channel, subscription);
        self.settle();
    }

    /// Unsubscribes from it. Returns false if it was not subscribed to.
    pub fn unsubscribe(&mut self, channel: &str) -> bool {
        let was_subscribed = self.session.unsubscribe(&Channel::from(channel));
        self.settle();
        was_subscribed
    }

    /// Asks to resume a session of an earlier process. Returns false if it is too late for that.
    pub fn resume_from(&mut self, resume: Resume) -> bool {
        self.session.resume_from(resume)
    }

    /// Has taken this many more messages, the oldest first.
    pub fn take(&mut self, count: u64) {
        self.session.taken(count);
    }

    /// Hands in any input: what a confused driver might, for one.
    pub fn handle(&mut self, input: SessionInput) {
        self.hand_in(input);
        self.settle();
    }

    // The world.

    /// From now on nothing happens of itself: dials, fetches and pings are unanswered until the
    /// scenario answers them, and the peer reads when it is [asked to](Peer::read).
    #[must_use]
    pub const fn manual(mut self) -> Self {
        self.world.on_dial = OnDial::Hold;
        self.world.tokens = Tokens::Hang;
        self.world.addresses = Addresses::Hang;
        self.world.is_silent = true;
        self.world.credit = Some(0);
        self
    }

    /// The other side.
    pub const fn peer(&mut self) -> Peer<'_, P> {
        Peer { sim: self }
    }

    /// From now on, the token provider answers like this.
    pub const fn tokens(&mut self, answer: Tokens) {
        self.world.tokens = answer;
    }

    /// The token provider answers the fetch that hangs, once.
    pub fn token(&mut self, result: Result<Token, &str>) {
        let id = self.id();
        self.handle(SessionInput::Token { id, result: result.map_err(str::to_owned) });
    }

    /// The token provider answers the fetch of a token for a channel.
    pub fn channel_token(&mut self, channel: &str, result: Result<&str, &str>) {
        let result = result.map(Secret::from).map_err(str::to_owned);
        self.handle(SessionInput::ChannelToken { channel: channel.into(), result });
    }

    /// How the address provider answers from now on.
    pub const fn addresses(&mut self, answer: Addresses) {
        self.world.addresses = answer;
    }

    // Time.

    /// Lets this much time pass. Everything due in it happens at its time, in order.
    pub fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        for _ in 0..MOST_STEPS {
            if self.next_step().is_none_or(|at| at > end) {
                self.now = end;
                return;
            }
            self.step();
        }
        self.check(false, "it does not come to rest");
    }

    /// Lets time pass until the next thing happens, and lets it happen. Says whether there was one.
    pub fn step(&mut self) -> bool {
        let Some(at) = self.next_step() else { return false };
        self.now = self.now.max(at);
        match self.act() {
            // What arrived is judged before a deadline of the same moment.
            Some(input) => self.handle(input),
            None => self.handle_timeout(),
        }
        true
    }

    /// The machine sleeps: time passes and nothing is handled. What the scenario does next is what
    /// the link finds on waking; any [`advance`](Self::advance) then has it notice the deadlines
    /// that have passed.
    pub fn sleep(&mut self, by: Duration) {
        self.now = self.now + by;
    }

    /// Sets the clock, backwards too.
    pub const fn set_clock(&mut self, now: Instant) {
        self.now = now;
    }

    /// Hands in that time has passed, and checks that this was progress.
    pub fn handle_timeout(&mut self) {
        self.handle(SessionInput::Timeout);
        let later = self.deadline().is_none_or(|next| next > self.now);
        self.check(later, "a handled deadline must be followed by a later one, or by none");
    }

    /// Carries out all actions of the session, as a driver does, until there are no more.
    #[track_caller]
    pub(crate) fn settle(&mut self) {
        let mut writing = false;
        for _ in 0..MOST_STEPS {
            // A batch is sent as a whole, before its events.
            let frame = if writing { self.next_frame() } else { None };
            let answer = if let Some(frame) = frame {
                self.hear(frame)
            } else if let Some(action) = self.session.poll_action() {
                writing = false;
                self.carry_out(action)
            } else if writing {
                let idle = !self.state().is_closed() || self.deadline().is_none();
                return self.check(idle, "no deadline outlives the end");
            } else {
                writing = true;
                None
            };
            if let Some(input) = answer {
                self.hand_in(input);
            }
        }
        self.check(false, "it wants ever more at the same time");
    }

    /// The number of the last ping: they count from 1.
    pub(crate) fn last_ping(&self) -> u32 {
        u32::try_from(self.session.stats().pings).unwrap_or(u32::MAX)
    }

    fn hand_in(&mut self, input: SessionInput) {
        use State::{Connecting, Reconnecting};
        let is_dialing =
            matches!(self.state(), Connecting(Phase::Dialing) | Reconnecting(Phase::Dialing));
        if let SessionInput::Opened { id } = input {
            if is_dialing {
                self.world.opens(id);
            }
        }
        self.session.handle(input, self.now);
    }

    fn next_frame(&mut self) -> Option<Frame> {
        if !self.world.has_room() {
            return None;
        }
        let frame = self.session.poll_transmit(self.now)?;
        self.check(self.world.is_open(), "frames leave over an open transport alone");
        Some(frame)
    }

    /// When the next thing happens: an act of the peer, or a deadline.
    pub(crate) fn next_step(&self) -> Option<Instant> {
        [self.world.next_act(), self.deadline()].into_iter().flatten().min()
    }

    pub(crate) fn note(&mut self, line: impl Into<String>) {
        self.transcript.note(self.now, line);
    }

    pub(crate) fn note_dial(&mut self, dial: Dial) {
        self.note(format!("dial {}", dial.address));
        self.dials.push(Dial { at: self.now, attempt: self.attempt, ..dial });
    }

    pub(crate) fn note_event(&mut self, event: Event) {
        if let Some(line) = transcript::event(&event) {
            self.note(line);
        }
        if let Event::Dialing { attempt, .. } = event {
            self.attempt = attempt;
        }
        let reopened = matches!(event, Event::State { from: State::Closed(_), .. });
        self.check(reopened || !self.ended, "something was told after the end");
        self.ended = matches!(event, Event::Closed { .. });
        self.events.push(event);
    }

    #[track_caller]
    pub(crate) fn check(&self, holds: bool, rule: &str) {
        assert!(holds, "{rule}; it is {:?}, and this happened:\n{}", self.state(), self.transcript);
    }
}
