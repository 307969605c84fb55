//! A session, a clock, and a server by hand: frames in, frames out, no socket.

use core::time::Duration;

use rand_pcg::Pcg32;
use relink::link::TransportId;
use relink::rand_core::SeedableRng;
use relink::session::{
    Frame, Member, MemberChange, PresenceEvent, Problem, Secret, SendReceipt, Text,
};
use relink::{
    Channel, CloseCode, CloseFrame, Event, Failure, Instant, Message, Outgoing, Position, Protocol,
    Resume, SendError, Session, SessionAction, SessionConfig, SessionInput, State, Subscription,
};
use relink_v1 as v1;
use relink_v1::{ClientFrame, Codec, Encoding, RelinkV1, ServerFrame, Welcome};

pub(crate) type Client = Session<RelinkV1, Pcg32>;

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn client(mut config: SessionConfig) -> Client {
    // So that scenarios of up to half a minute have no heartbeat in them.
    config.link.heartbeat.interval = Some(secs(30));
    let rng = Pcg32::seed_from_u64(7);
    Session::new(config, vec!["ws://peer".into()], RelinkV1::default(), rng).expect("valid")
}

/// What was negotiated with whoever serves.
pub(crate) struct Desk<P = RelinkV1> {
    pub(crate) session: Session<P, Pcg32>,
    pub(crate) now: Instant,
    /// The transport that was dialled last.
    pub(crate) id: TransportId,
    /// What the client asked to go on with in its last hello.
    pub(crate) asked: Option<Resume>,
    pub(crate) farewells: Vec<CloseFrame>,
    /// What the server takes, as its next welcome tells.
    pub(crate) max_message: Option<u64>,
    /// Fetches of tokens for channels that wait for their result.
    pub(crate) fetches: Vec<Channel>,
    events: Vec<Event>,
}

impl Desk {
    pub(crate) fn with(config: SessionConfig) -> Self {
        Self::of(client(config))
    }

    /// One that is connected in a new session, and has told all about that.
    pub(crate) fn connected() -> Self {
        Self::connected_with(v1::config())
    }

    pub(crate) fn connected_with(config: SessionConfig) -> Self {
        let mut desk = Self::with(config);
        desk.connect();
        desk
    }
}

impl<P: Protocol> Desk<P> {
    pub(crate) fn of(session: Session<P, Pcg32>) -> Self {
        Self {
            session,
            now: Instant::from_origin(secs(100)),
            id: TransportId::default(),
            asked: None,
            farewells: Vec::new(),
            max_message: None,
            fetches: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(crate) fn connect(&mut self) {
        self.give(SessionInput::Connect);
        self.open();
        self.welcome("s1");
        self.events.clear();
    }

    // The driver.

    pub(crate) fn give(&mut self, input: SessionInput) {
        self.session.handle(input, self.now);
        self.act();
    }

    fn act(&mut self) {
        while let Some(action) = self.session.poll_action() {
            match action {
                SessionAction::Dial { id, .. } => self.id = id,
                SessionAction::Drop { farewell, .. } => self.farewells.extend(farewell),
                SessionAction::FetchChannelToken { channel } => self.fetches.push(channel),
                SessionAction::Event(event) => self.events.push(event),
                other => panic!("nobody asked for {other:?}"),
            }
        }
    }

    /// Lets time pass, and wakes the session whenever it wants that.
    pub(crate) fn sleep(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.give(SessionInput::Timeout);
        }
        self.now = end;
    }

    pub(crate) fn lose(&mut self) {
        let (id, failure, detail) = (self.id, Failure::Reset, String::new());
        self.give(SessionInput::Failed { id, failure, detail, location: None });
    }

    /// Waits for the next dial, lets it succeed, and takes the hello.
    pub(crate) fn redial(&mut self) {
        let before = self.id;
        while self.id == before {
            self.now = self.session.poll_timeout().expect("another attempt").max(self.now);
            self.give(SessionInput::Timeout);
        }
        self.open();
    }

    /// The transport opens, and the client says hello and nothing else.
    pub(crate) fn open(&mut self) {
        self.give(SessionInput::Opened { id: self.id });
        let mut words = self.frames();
        let Some(ClientFrame::Hello { resume, .. }) = words.pop() else { panic!("no hello") };
        assert!(words.is_empty(), "before hello: {words:?}");
        self.asked = resume;
    }

    // The server.

    pub(crate) fn say(&mut self, frame: ServerFrame) {
        let frame = Frame::Message(frame.encode(Encoding::Json));
        self.give(SessionInput::Frame { id: self.id, frame });
    }

    /// Begins a new session.
    pub(crate) fn welcome(&mut self, session: &str) {
        let max_message = self.max_message;
        let mut welcome = fresh(session, None);
        if let ServerFrame::Welcome(Welcome { max_message: told, .. }) = &mut welcome {
            *told = max_message;
        }
        self.say(welcome);
    }

    /// Goes on with the session that was asked for.
    pub(crate) fn welcome_back(&mut self, received: u64) {
        let Resume { session, position } = self.asked.clone().expect("the client asked");
        self.say(ServerFrame::Welcome(Welcome {
            session,
            resumed: true,
            refused: None,
            received,
            rejected: Vec::new(),
            position,
            max_message: self.max_message,
        }));
    }

    /// Back over a new transport, with this much taken in by the server.
    pub(crate) fn back(&mut self, received: u64) {
        self.redial();
        self.welcome_back(received);
    }

    pub(crate) fn ack(&mut self, serial: u64) {
        self.say(ServerFrame::Ack { serial });
    }

    pub(crate) fn publish(&mut self, channel: Option<&str>, offset: u64, text: &str) {
        let channel = channel.map(Channel::from);
        self.say(ServerFrame::Publication { channel, offset, payload: text.into() });
    }

    pub(crate) fn subscribed(&mut self, channel: &str, offset: u64, recovered: bool) {
        let position = Position::new(1, offset);
        self.say(ServerFrame::Subscribed { channel: channel.into(), position, recovered });
    }

    pub(crate) fn unsubscribed(&mut self, channel: &str, problem: &'static str) {
        let problem = Some(Problem::new(problem, "so it is"));
        self.say(ServerFrame::Unsubscribed { channel: channel.into(), problem });
    }

    pub(crate) fn members(&mut self, channel: &str, members: &[(&str, &str)]) {
        self.page(channel, members, false);
    }

    pub(crate) fn page(&mut self, channel: &str, members: &[(&str, &str)], more: bool) {
        let members = members.iter().map(|(user, info)| member(user, info)).collect();
        self.say(ServerFrame::Members { channel: channel.into(), members, more });
    }

    pub(crate) fn joined(&mut self, channel: &str, user: &str, info: &str) {
        self.say(ServerFrame::MemberChanged {
            channel: channel.into(),
            change: MemberChange::Joined(member(user, info)),
        });
    }

    pub(crate) fn left(&mut self, channel: &str, user: &str) {
        let member = Member { info: None, ..member(user, "") };
        self.say(ServerFrame::MemberChanged {
            channel: channel.into(),
            change: MemberChange::Left(member),
        });
    }

    /// A stay by its name begins, or ends.
    pub(crate) fn stay(&mut self, channel: &str, user: &str, join: &str, is_here: bool) {
        let (channel, member) = (channel.into(), Member { join: join.into(), ..member(user, "") });
        self.say(if is_here {
            ServerFrame::MemberChanged { channel, change: MemberChange::Joined(member) }
        } else {
            ServerFrame::MemberChanged {
                channel,
                change: MemberChange::Left(Member { info: None, ..member }),
            }
        });
    }

    // The application.

    pub(crate) fn send(&mut self, message: impl Into<Outgoing>) -> Result<SendReceipt, SendError> {
        let answer = self.session.send(message, self.now);
        self.act();
        answer
    }

    pub(crate) fn send_all(&mut self, texts: &[&str]) {
        for text in texts {
            self.send(*text).expect("room");
        }
    }

    pub(crate) fn subscribe(&mut self, channel: &str) {
        self.session.subscribe(channel, Subscription::default());
        self.act();
    }

    /// Subscribes, and the server agrees from this offset on.
    pub(crate) fn follow(&mut self, channel: &str, offset: u64) {
        self.subscribe(channel);
        self.frames();
        self.subscribed(channel, offset, true);
        self.events.clear();
    }

    pub(crate) fn take(&mut self, count: u64) {
        self.give(SessionInput::Taken { count });
    }

    pub(crate) fn token(&mut self, channel: &str, result: Result<&str, &str>) {
        let result = result.map(Secret::from).map_err(str::to_owned);
        self.give(SessionInput::ChannelToken { channel: channel.into(), result });
    }

    pub(crate) fn close(&mut self) {
        self.give(SessionInput::Close(CloseCode::NORMAL.into()));
    }

    // What there is to see.

    pub(crate) fn is_connected(&self) -> bool {
        self.session.state() == State::Connected
    }

    pub(crate) fn frame(&mut self) -> Option<ClientFrame> {
        let frame = self.session.poll_transmit(self.now);
        self.act();
        match frame? {
            Frame::Message(message) => {
                let (frame, encoding) =
                    ClientFrame::decode(&message).expect("a frame of relink.v1");
                assert_eq!(encoding, Encoding::Json);
                Some(frame)
            }
            Frame::Close(frame) => {
                self.farewells.push(frame);
                None
            }
            other => panic!("{other:?} is no frame of relink.v1"),
        }
    }

    pub(crate) fn frames(&mut self) -> Vec<ClientFrame> {
        core::iter::from_fn(|| self.frame()).collect()
    }

    /// The frames that wait for the transport, in short.
    pub(crate) fn heard(&mut self) -> Vec<String> {
        self.frames().iter().map(frame_in_short).collect()
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        core::mem::take(&mut self.events)
    }

    /// What the application was told about messages, sessions and channels since the last look, in
    /// short.
    pub(crate) fn told(&mut self) -> Vec<String> {
        self.take_events().iter().filter_map(event_in_short).collect()
    }
}

pub(crate) fn fresh(session: &str, refused: Option<Problem>) -> ServerFrame {
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

/// Somebody whose stay is named after them.
pub(crate) fn member(user: &str, info: &str) -> Member {
    Member { user: user.into(), join: format!("{user}-1"), info: Some(Text::from(info)) }
}

fn text(message: &Message) -> &str {
    message.as_text().expect("text")
}

pub(crate) fn frame_in_short(frame: &ClientFrame) -> String {
    let on = |channel: &Option<Channel>| {
        channel.as_ref().map_or(String::new(), |name| format!(" on {name}"))
    };
    match frame {
        ClientFrame::Hello { resume, .. } => {
            format!("hello {}", if resume.is_some() { "again" } else { "new" })
        }
        ClientFrame::Message { serial: Some(serial), channel, payload } => {
            format!("{serial}: {}{}", text(payload), on(channel))
        }
        ClientFrame::Message { serial: None, channel, payload } => {
            format!("{}{}", text(payload), on(channel))
        }
        ClientFrame::Subscribe { channel, since, token, presence } => {
            let since =
                since.map_or(String::new(), |at| format!(" since {}/{}", at.epoch, at.offset));
            let token =
                token.as_ref().map_or(String::new(), |token| format!(" token {}", token.expose()));
            let info =
                presence.as_ref().map_or(String::new(), |info| format!(" as {}", info.as_str()));
            format!("subscribe {channel}{since}{token}{info}")
        }
        ClientFrame::Unsubscribe { channel } => format!("unsubscribe {channel}"),
        ClientFrame::Heartbeat { sent, .. } => format!("heartbeat, {sent} sent"),
        other => format!("{other:?}"),
    }
}

fn event_in_short(event: &Event) -> Option<String> {
    let said = |member: &Member| {
        let info = member.info.as_ref().map_or("", Text::as_str);
        format!("{} ({info})", member.user)
    };
    Some(match event {
        Event::Message(message) => format!("message {}", text(message)),
        Event::Publication { channel, position, message } => {
            format!("{channel} {}: {}", position.offset, text(message))
        }
        Event::Acknowledged { first, last } if first == last => format!("acknowledged {first}"),
        Event::Acknowledged { first, last } => format!("acknowledged {first} to {last}"),
        Event::Rejected { receipt, problem, .. } => format!("rejected {receipt}: {}", problem.name),
        Event::InDoubt { first, last, .. } if first == last => format!("in doubt {first}"),
        Event::InDoubt { first, last, .. } => format!("in doubt {first} to {last}"),
        Event::Dropped { first, last, why, .. } if first == last => {
            format!("dropped {first}: {}", why.name())
        }
        Event::Dropped { first, last, why, .. } => {
            format!("dropped {first} to {last}: {}", why.name())
        }
        Event::TooLarge { receipt, size } => format!("too large {receipt}: {size}"),
        Event::Withheld { channel, position, problem } => {
            let channel = channel.as_ref().map_or("own", Channel::as_str);
            format!("{channel} {} withheld: {}", position.offset, problem.name)
        }
        Event::Resumed { complete } => {
            (if *complete { "resumed" } else { "resumed with a hole" }).to_owned()
        }
        Event::ResumeRefused { problem } => format!("refused: {}", problem.name),
        Event::Subscribed { channel, complete: true } => format!("subscribed {channel}"),
        Event::Subscribed { channel, complete: false } => {
            format!("subscribed {channel} with a hole")
        }
        Event::Unsubscribed { channel, problem, retry_in } => {
            let again = if retry_in.is_some() { "later" } else { "no more" };
            format!("unsubscribed {channel}: {}, {again}", problem.name)
        }
        Event::Presence { channel, change } => match change {
            PresenceEvent::Joined(member) => format!("{channel}: {} joined", said(member)),
            PresenceEvent::Updated(member) => format!("{channel}: {} changed", said(member)),
            PresenceEvent::Left(member) => format!("{channel}: {} left", said(member)),
            PresenceEvent::StayBegan(member) => format!("{channel}: {} once more", said(member)),
            PresenceEvent::StayEnded(member) => format!("{channel}: {} once less", said(member)),
        },
        Event::Disconnected { code, detail, .. } => format!("disconnected {}: {detail}", code.0),
        Event::Connected { is_reconnect: false } => "connected".to_owned(),
        Event::Connected { is_reconnect: true } => "connected again".to_owned(),
        Event::Closed { reason } => format!("closed: {}", reason.name()),
        _ => return None,
    })
}
