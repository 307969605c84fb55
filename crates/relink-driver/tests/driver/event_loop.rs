//! A loop around a driver, with a server at the other end of its pipe.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use relink::{
    Event, Instant, Message, Plain, Protocol, Session, SessionAction, SessionConfig, SessionInput,
    State,
};
use relink_driver::{Driver, InboxLimits, Wire, WireLimits};
use relink_wire::{Frame, ServerHandshake, WebSocket};

/// The client's end of a connection.
#[derive(Default)]
pub(crate) struct Pipe {
    pub(crate) arrived: VecDeque<u8>,
    pub(crate) has_ended: bool,
    sent: Vec<u8>,
    /// How much more can be written.
    pub(crate) room: usize,
    pub(crate) is_broken: bool,
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.arrived.read(into)? {
            0 if !self.has_ended => Err(ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        if self.is_broken {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let count = from.len().min(self.room);
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room -= count;
        self.sent.extend(&from[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A loop in virtual time, with the server at the other end of its pipe.
pub(crate) struct EventLoop<P> {
    pub(crate) driver: Driver<P, SmallRng>,
    pub(crate) now: Instant,
    pub(crate) pipe: Option<Pipe>,
    server: Option<WebSocket>,
    /// Whether buffers are lent, as to a loop that moves bytes elsewhere.
    pub(crate) lends: bool,
    turns: u32,
}

impl EventLoop<Plain> {
    /// A link that is usable.
    pub(crate) fn plain(limits: InboxLimits) -> Self {
        Self::new(limits, Plain::default())
    }
}

impl<P: Protocol> EventLoop<P> {
    /// A link that is usable, with this protocol.
    pub(crate) fn new(limits: InboxLimits, protocol: P) -> Self {
        let rng = SmallRng::seed_from_u64(1);
        let session = Session::new(SessionConfig::default(), vec!["ws://h/".into()], protocol, rng);
        let driver = Driver::new(session.unwrap(), limits);
        let now = Instant::ORIGIN;
        let mut event_loop = Self { driver, now, pipe: None, server: None, lends: false, turns: 0 };
        event_loop.driver.handle(SessionInput::Connect, now);
        event_loop.run();
        assert_eq!(event_loop.driver.session().state(), State::Connected);
        while event_loop.driver.poll_event().is_some() {}
        event_loop
    }

    fn shake_hands(&mut self) {
        let pipe = self.pipe.as_mut().unwrap();
        let mut handshake = ServerHandshake::new(4096);
        handshake.input().extend(&std::mem::take(&mut pipe.sent));
        let answer = ServerHandshake::accept(&handshake.poll_request().unwrap().unwrap()).unwrap();
        let mut server = handshake.into_websocket(&answer, WireLimits::default());
        pipe.arrived.extend(server.output().bytes());
        server.output().wrote(usize::MAX);
        self.server = Some(server);
    }

    /// Runs until there is nothing to do at this time, with a server that agrees to each handshake.
    pub(crate) fn run(&mut self) {
        self.turns = 0;
        self.settle();
        if self.server.is_none() && self.pipe.as_ref().is_some_and(|pipe| !pipe.sent.is_empty()) {
            self.shake_hands();
            self.settle();
        }
    }

    fn settle(&mut self) {
        loop {
            self.turns += 1;
            assert!(self.turns < 10_000, "it spins");
            if let Some(pipe) = &mut self.pipe {
                move_bytes(&mut self.driver, pipe, self.lends, self.now);
            }
            while let Some(action) = self.driver.poll_action() {
                self.act(action);
            }
            if !self.driver.handle_timeout(self.now) && !self.driver.is_busy() {
                return;
            }
        }
    }

    fn act(&mut self, action: SessionAction) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else is asked for")]
        match action {
            SessionAction::Dial { id, address, token, .. } => {
                let dialed = Wire::dial(&address, token.as_ref(), WireLimits::default());
                self.pipe = Some(Pipe { room: 1 << 20, ..Pipe::default() });
                self.driver.connected(id, dialed.unwrap().1);
            }
            SessionAction::Drop { id, farewell } => {
                let mut last = self.driver.leave(id, farewell).unwrap();
                last.write_to(self.pipe.as_mut().unwrap());
                (self.pipe, self.server) = (None, None);
            }
            other => panic!("{other:?}"),
        }
    }

    /// Lets time pass, deadline by deadline.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.driver.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.run();
        }
        self.now = end;
    }

    pub(crate) fn pipe(&mut self) -> &mut Pipe {
        self.pipe.as_mut().unwrap()
    }

    pub(crate) fn server_says(&mut self, frame: &Frame) {
        let server = self.server.as_mut().unwrap();
        server.send(frame).unwrap();
        self.pipe.as_mut().unwrap().arrived.extend(server.output().bytes());
        server.output().wrote(usize::MAX);
    }

    /// What the server has read of what was written.
    pub(crate) fn server_reads(&mut self) -> Vec<Frame> {
        let server = self.server.as_mut().unwrap();
        server.input().extend(&std::mem::take(&mut self.pipe.as_mut().unwrap().sent));
        let frames = std::iter::from_fn(|| server.poll_frame().unwrap()).collect();
        // It answers pings.
        self.pipe.as_mut().unwrap().arrived.extend(server.output().bytes());
        server.output().wrote(usize::MAX);
        frames
    }

    /// The same if there is a connection, as a message of these bytes.
    pub(crate) fn server_says_if_open(&mut self, bytes: &[u8]) {
        let is_open = self.server.as_ref().is_some_and(|server| !server.is_closing());
        if is_open && !self.pipe().has_ended {
            self.server_says(&Frame::Binary(bytes.to_vec().into()));
        }
    }

    pub(crate) fn server_reads_if_open(&mut self) -> Vec<Frame> {
        if self.server.is_some() { self.server_reads() } else { Vec::new() }
    }

    pub(crate) fn messages(&mut self) -> Vec<Message> {
        let events = std::iter::from_fn(|| self.driver.poll_event());
        events
            .filter_map(|event| if let Event::Message(it) = event { Some(it) } else { None })
            .collect()
    }
}

fn move_bytes<P: Protocol>(
    driver: &mut Driver<P, SmallRng>,
    pipe: &mut Pipe,
    lends: bool,
    now: Instant,
) {
    if !lends {
        driver.read(pipe, now);
        driver.write(pipe, now);
        return;
    }
    if let Some(mut buffer) = driver.begin_read(now) {
        buffer.read_from(pipe);
        driver.end_read(buffer, now);
    }
    if let Some(mut buffer) = driver.begin_write(now) {
        // Meanwhile, the application may send: that goes out behind what is lent.
        driver.send("meanwhile", now).unwrap();
        buffer.write_to(pipe);
        driver.end_write(buffer, now);
    }
}
