//! A scripted server of `relink.v1`, for a [`Sim<RelinkV1>`](crate::Sim).
//!
//! ```
//! use relink_sim::v1;
//!
//! let mut sim = v1::connected(relink_v1::config());
//! sim.send("first").expect("there is room");
//! sim.send("second").expect("there is room");
//! assert_eq!(sim.peer().lines(), ["1: first", "2: second"]);
//! sim.peer().reset();
//! sim.peer().back(1); // the next transport: the server has the first one, and resumes the session
//! assert_eq!(sim.peer().lines(), ["2: second"]);
//! ```

use relink::link::HandshakeEvent;
use relink::session::{Frame, Member, MemberChange, Problem, Text};
use relink::{Channel, Message, Position, Resume, SessionConfig};
use relink_v1::{ClientFrame, Codec, Encoding, RelinkV1, ServerFrame, Welcome};

use crate::peer::Peer;
use crate::sim::Sim;
use crate::speak::Speak;

/// What the server keeps from one transport to the next.
#[derive(Debug, Default)]
pub(crate) struct Server {
    /// What the client asked for in its last hello.
    asked: Option<Resume>,
    max_message: Option<u64>,
}

/// A session that speaks `relink.v1`, in a [manual](Sim::manual) sim with seed 7 and one endpoint,
/// `ws://peer`.
///
/// # Panics
///
/// If the configuration is not valid.
#[must_use]
pub fn sim(config: SessionConfig) -> Sim<RelinkV1> {
    Sim::with(config, &["ws://peer"], RelinkV1::default(), 7)
        .unwrap_or_else(|error| panic!("{error}"))
        .manual()
}

/// The same, connected in a new session, `s1`; its events so far are taken.
///
/// # Panics
///
/// If the configuration is not valid.
#[must_use]
pub fn connected(config: SessionConfig) -> Sim<RelinkV1> {
    let mut sim = sim(config);
    sim.connect();
    sim.peer().greet("s1");
    sim
}

impl Speak for RelinkV1 {
    type Frame = ServerFrame;

    fn encode(&self, frame: ServerFrame) -> Message {
        frame.encode(Encoding::Json)
    }

    fn handshake(&self, event: HandshakeEvent) -> Option<ServerFrame> {
        match event {
            HandshakeEvent::Authenticated => Some(welcome("s1", None)),
            HandshakeEvent::GoingAway { retry_after } => {
                Some(ServerFrame::GoingAway { retry_after })
            }
            HandshakeEvent::Welcome
            | HandshakeEvent::ChallengeMet
            | HandshakeEvent::Redirect
            | HandshakeEvent::Refused(_)
            | _ => None,
        }
    }
}

/// The welcome to a new session, and why it is not the one that the client asked for.
#[must_use]
pub fn welcome(session: &str, refused: Option<Problem>) -> ServerFrame {
    ServerFrame::Welcome(Welcome {
        session: session.into(),
        resumed: false,
        refused,
        received: 0,
        rejected: Vec::new(),
        position: Position::new(1, 0),
        max_message: None,
    })
}

/// A member whose only stay is `USER-1`.
#[must_use]
pub fn member(user: &str, info: &str) -> Member {
    Member { user: user.into(), join: format!("{user}-1"), info: Some(Text::from(info)) }
}

impl<P: Speak<Frame = ServerFrame>> Peer<'_, P> {
    /// The next welcome gives this as the largest message that the server takes.
    pub fn max_message(&mut self, bytes: Option<u64>) {
        self.sim.world.server.max_message = bytes;
    }

    /// [Reads](Peer::read) the frames that the client has for the server now.
    ///
    /// # Panics
    ///
    /// If something else than `relink.v1` in JSON is among them; a close frame, a ping and a pong
    /// are left out.
    #[track_caller]
    pub fn frames(&mut self) -> Vec<ClientFrame> {
        self.frames_at_most(usize::MAX)
    }

    /// The same, with at most this many frames.
    ///
    /// # Panics
    ///
    /// As [`frames`](Self::frames).
    #[track_caller]
    pub fn frames_at_most(&mut self, frames: usize) -> Vec<ClientFrame> {
        let messages = self.read_at_most(frames).into_iter().filter_map(|frame| match frame {
            Frame::Message(message) => Some(message),
            Frame::Close(close) => {
                self.sim.world.farewells.push(close);
                None
            }
            Frame::Ping(_) | Frame::Pong(_) => None,
        });
        messages.map(|message| decoded(&message)).collect()
    }

    /// The same, one [line](fn@line) each.
    #[track_caller]
    pub fn lines(&mut self) -> Vec<String> {
        self.frames().iter().map(line).collect()
    }

    /// Accepts the dial and reads the hello, the first and only frame. Returns the session that
    /// the client asks for.
    ///
    /// # Panics
    ///
    /// If the client says something else.
    #[track_caller]
    pub fn hello(&mut self) -> Option<Resume> {
        self.accept();
        let mut frames = self.frames();
        let Some(ClientFrame::Hello { resume, .. }) = frames.pop() else {
            panic!("no hello in {:?}", self.sim.state());
        };
        assert!(frames.is_empty(), "before the hello: {frames:?}");
        self.sim.world.server.asked.clone_from(&resume);
        resume
    }

    /// What the client asked for in its last [hello](Self::hello).
    #[must_use]
    pub fn asked(&self) -> Option<Resume> {
        self.sim.world.server.asked.clone()
    }

    /// Accepts the dial, reads the hello and begins a new session.
    #[track_caller]
    pub fn greet(&mut self, session: &str) {
        self.hello();
        self.welcome(session);
        let _ = self.sim.take_events();
    }

    /// Begins a new session.
    pub fn welcome(&mut self, session: &str) {
        self.welcome_with(welcome(session, None));
    }

    /// Resumes the session that the last hello asked for, with the client's messages up to this
    /// serial.
    #[track_caller]
    pub fn welcome_back(&mut self, received: u64) {
        let Some(Resume { session, position }) = self.sim.world.server.asked.clone() else {
            panic!("the client asked for a new session");
        };
        self.welcome_with(ServerFrame::Welcome(Welcome {
            session,
            resumed: true,
            refused: None,
            received,
            rejected: Vec::new(),
            position,
            max_message: None,
        }));
    }

    /// Waits for the next dial, accepts it, reads the hello, and resumes the session that it asks
    /// for, with the client's messages up to this serial.
    #[track_caller]
    pub fn back(&mut self, received: u64) {
        self.redial();
        self.welcome_back(received);
    }

    /// Waits for the next dial, accepts it, and reads the hello. Returns the session that the
    /// client asks for.
    #[track_caller]
    pub fn redial(&mut self) -> Option<Resume> {
        self.sim.next_dial();
        self.hello()
    }

    /// Acknowledges the client's messages up to this serial.
    pub fn ack(&mut self, serial: u64) {
        self.say(ServerFrame::Ack { serial });
    }

    /// Publishes a text on a channel, or on the session's own stream.
    pub fn publish(&mut self, channel: Option<&str>, offset: u64, text: &str) {
        let channel = channel.map(Channel::from);
        self.say(ServerFrame::Publication { channel, offset, payload: text.into() });
    }

    /// Confirms a subscription: publications after this offset follow.
    pub fn subscribed(&mut self, channel: &str, offset: u64, recovered: bool) {
        let position = Position::new(1, offset);
        self.say(ServerFrame::Subscribed { channel: channel.into(), position, recovered });
    }

    /// Ends a subscription, or refuses it.
    pub fn unsubscribed(&mut self, channel: &str, problem: &'static str) {
        let problem = Some(Problem::new(problem, "so it is"));
        self.say(ServerFrame::Unsubscribed { channel: channel.into(), problem });
    }

    /// Sends a page of a channel's members, each with a user and an info.
    pub fn members(&mut self, channel: &str, members: &[(&str, &str)], more: bool) {
        let members = members.iter().map(|(user, info)| member(user, info)).collect();
        self.say(ServerFrame::Members { channel: channel.into(), members, more });
    }

    /// A user joins a channel.
    pub fn joined(&mut self, channel: &str, user: &str, info: &str) {
        self.say(ServerFrame::MemberChanged {
            channel: channel.into(),
            change: MemberChange::Joined(member(user, info)),
        });
    }

    /// A user leaves a channel.
    pub fn left(&mut self, channel: &str, user: &str) {
        let member = Member { info: None, ..member(user, "") };
        self.say(ServerFrame::MemberChanged {
            channel: channel.into(),
            change: MemberChange::Left(member),
        });
    }

    fn welcome_with(&mut self, mut welcome: ServerFrame) {
        if let ServerFrame::Welcome(Welcome { max_message, .. }) = &mut welcome {
            *max_message = self.sim.world.server.max_message;
        }
        self.say(welcome);
    }
}

#[track_caller]
fn decoded(message: &Message) -> ClientFrame {
    match ClientFrame::decode(message) {
        Ok((frame, Encoding::Json)) => frame,
        other => panic!("{message:?} is no frame of relink.v1 in JSON: {other:?}"),
    }
}

/// What a client says, in short: `hello new`, `hello again`, `3: text on a` (a message with its
/// serial), `subscribe a since 1/5 token t as info`, `unsubscribe a`, `heartbeat, 3 sent`.
#[must_use]
pub fn line(frame: &ClientFrame) -> String {
    let on = |channel: &Option<Channel>| {
        channel.as_ref().map_or_else(String::new, |name| format!(" on {name}"))
    };
    match frame {
        ClientFrame::Hello { resume, .. } => {
            format!("hello {}", if resume.is_some() { "again" } else { "new" })
        }
        ClientFrame::Message { serial, channel, payload } => {
            let serial = serial.map_or_else(String::new, |serial| format!("{serial}: "));
            let text = payload.as_text().map_or_else(|| format!("{payload:?}"), str::to_owned);
            format!("{serial}{text}{}", on(channel))
        }
        ClientFrame::Subscribe { channel, since, token, presence } => {
            let since = since.map(|at| format!(" since {}/{}", at.epoch, at.offset));
            let token = token.as_ref().map(|token| format!(" token {}", token.expose()));
            let info = presence.as_ref().map(|info| format!(" as {}", info.as_str()));
            let details = [since, token, info].into_iter().flatten().collect::<String>();
            format!("subscribe {channel}{details}")
        }
        ClientFrame::Unsubscribe { channel } => format!("unsubscribe {channel}"),
        ClientFrame::Heartbeat { sent, .. } => format!("heartbeat, {sent} sent"),
        other => format!("{other:?}"),
    }
}
