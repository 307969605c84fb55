//! A [`Sim`] with the profile of a system: its server's messages, and its states under the system's
//! own names.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use rand_pcg::Pcg32;
use relink::policy::Schedule;
use relink::profile::Profile;
use relink::rand_core::SeedableRng;
use relink::session::Frame;
use relink::{Address, Backoff, Event, Failure, Instant, Position, Protocol, SessionConfig};
use relink_profiles::StateMapper;
use relink_sim::{OnDial, Sim, secs};
use relink_v1::{ClientFrame, Codec, Encoding, ServerFrame, Welcome};

/// The seed of every link here.
pub(crate) const SEED: u64 = 1;

/// A session with the profile of one of the systems.
pub(crate) struct ProfileSim {
    sim: Sim<Box<dyn Protocol + Send>>,
    states: StateMapper,
    profile: &'static Profile,
    events: Vec<Event>,
}

impl Deref for ProfileSim {
    type Target = Sim<Box<dyn Protocol + Send>>;

    fn deref(&self) -> &Self::Target {
        &self.sim
    }
}

impl DerefMut for ProfileSim {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.sim
    }
}

impl ProfileSim {
    /// With the configuration of the profile.
    pub(crate) fn new(profile: &'static Profile) -> Self {
        Self::with(profile, (profile.config)())
    }

    /// With another configuration.
    pub(crate) fn with(profile: &'static Profile, config: SessionConfig) -> Self {
        Self::seeded(profile, config, SEED)
    }

    pub(crate) fn seeded(profile: &'static Profile, config: SessionConfig, seed: u64) -> Self {
        // This path selects JSON if the profile has a choice.
        let address = "ws://peer/deepstream-json";
        let protocol = (profile.protocol)(&Address::from(address));
        let sim = Sim::with(config, &[address], protocol, seed).unwrap();
        Self { sim, states: StateMapper::new(profile), profile, events: Vec::new() }
    }

    /// The changes of state since the last call, under the system's own names.
    pub(crate) fn changes(&mut self) -> Vec<String> {
        let events = self.sim.take_events();
        let changes = events.iter().filter_map(|event| self.states.observe(event));
        let changes = changes.map(|change| change.to_string()).collect();
        self.events.extend(events);
        changes
    }

    /// The system's own name for the present state.
    pub(crate) fn word(&mut self) -> &'static str {
        self.changes();
        self.states.label().state
    }

    /// Every event so far.
    pub(crate) fn events(&mut self) -> &[Event] {
        self.changes();
        &self.events
    }

    /// When the link dialed, counted from `since`.
    pub(crate) fn dialed_after(&self, since: Instant) -> Vec<Duration> {
        let later = self.sim.dials().iter().filter(|dial| dial.at >= since);
        later.map(|dial| dial.at - since).collect()
    }

    /// The server accepts, and does its part of the handshake, so that the link is usable.
    pub(crate) fn up(&mut self) {
        self.sim.peer().on_dial(OnDial::Accept);
        if self.sim.dials().is_empty() || self.sim.state().is_closed() {
            self.sim.connect();
        }
        if self.sim.machine().link().transport().is_none() {
            self.sim.next_dial();
        }
        self.handshake();
        assert!(self.sim.state().is_usable(), "{:?}", self.sim.state());
    }

    /// The server's part of the handshake.
    pub(crate) fn handshake(&mut self) {
        match self.profile.name {
            "deepstream" | "deepstream_7" => {
                self.sim.login();
                self.sim.peer().send(r#"{"topic":2,"action":4}"#);
                self.sim.peer().send(r#"{"topic":3,"action":3}"#);
            }
            "serverpod" | "agora_rtm" => self.welcome(false),
            "metered" => self.sim.peer().send(WELCOME),
            _ => {}
        }
    }

    /// The same, until the link is stable.
    pub(crate) fn stable(&mut self) {
        self.up();
        self.sim.advance(secs(5));
    }

    /// The server resets the link, and refuses all dials from now on.
    pub(crate) fn outage(&mut self) -> Instant {
        self.sim.peer().on_dial(OnDial::Refuse(Failure::Refused));
        self.sim.peer().reset();
        self.sim.now()
    }

    // What a server of relink.v1 sends.

    pub(crate) fn welcome(&mut self, resumed: bool) {
        self.say(&ServerFrame::Welcome(Welcome {
            session: "session-1".into(),
            resumed,
            refused: None,
            received: 0,
            rejected: Vec::new(),
            position: Position::new(1, 0),
            max_message: None,
        }));
    }

    pub(crate) fn say(&mut self, frame: &ServerFrame) {
        let message = frame.encode(Encoding::Json);
        self.sim.peer().send(message);
    }

    /// The frames of relink.v1 that the server received.
    pub(crate) fn heard_v1(&mut self) -> Vec<ClientFrame> {
        let frames = self.sim.peer().heard().into_iter();
        frames
            .filter_map(
                |frame| if let Frame::Message(message) = frame { Some(message) } else { None },
            )
            .map(|message| ClientFrame::decode(&message).unwrap().0)
            .collect()
    }

    /// The texts that the server received.
    pub(crate) fn heard(&mut self) -> Vec<String> {
        let frames = self.sim.peer().heard().into_iter();
        let text = |frame| {
            if let Frame::Message(message) = frame {
                message.as_text().map(str::to_owned)
            } else {
                None
            }
        };
        frames.filter_map(text).collect()
    }
}

/// The first message of Metered's server.
pub(crate) const WELCOME: &str =
    r#"{"type":"welcome","peerId":"me","expiresAt":null,"serverTime":1,"maxMessageSize":65536}"#;

/// The delays that a backoff draws after a stable link, with the seed of every link here.
pub(crate) fn drawn(backoff: Backoff, count: usize) -> Vec<Duration> {
    let mut rng = Pcg32::seed_from_u64(SEED);
    let mut schedule = Schedule::default();
    let draw = |number: usize| {
        let is_first = number == 0 && backoff.first.is_some();
        let window = if is_first { backoff.first_window() } else { schedule.next_window(&backoff) };
        let delay = window.draw(&mut rng);
        schedule.record(delay);
        delay
    };
    (0..count).map(draw).collect()
}

/// The sums of the delays up to each of them: when each attempt starts.
pub(crate) fn summed(delays: &[Duration]) -> Vec<Duration> {
    delays
        .iter()
        .scan(Duration::ZERO, |sum, delay| {
            *sum += *delay;
            Some(*sum)
        })
        .collect()
}
