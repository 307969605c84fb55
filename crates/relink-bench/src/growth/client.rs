//! A session of `relink.v1`, without a socket.

use std::time::Duration;

use bytes::Bytes;
use rand_pcg::Pcg64;
use relink_server::relink::link::TransportId;
use relink_server::relink::rand_core::SeedableRng;
use relink_server::relink::session::Frame;
use relink_server::relink::{
    Channel, Instant, Message, Position, Session, SessionAction, SessionInput, Subscription,
};
use relink_v1::{Codec, Encoding, RelinkV1, ServerFrame, Welcome};

use super::measured;
use crate::Result;

/// The maximum number of channels and messages that are measured, however many there are.
const MOST: u64 = 1000;

/// A client with that many channels, then messages.
pub(super) fn run(size: u64) -> Result<()> {
    let mut client = Client::new(size)?;
    client.channels(size);
    let mut client = Client::new(size)?;
    client.messages(size)?;
    std::process::exit(0)
}

struct Client {
    session: Session<RelinkV1, Pcg64>,
    id: TransportId,
    now: Instant,
}

impl Client {
    fn new(size: u64) -> Result<Self> {
        let room = usize::try_from(size)? + 10;
        let mut config = relink_v1::config();
        config.outbox =
            config.outbox.with_max_messages(room).with_max_bytes(1 << 40).with_in_flight(room);
        let protocol = RelinkV1::new(Encoding::Cbor);
        let rng = Pcg64::seed_from_u64(1);
        let mut session = Session::new(config, vec!["ws://peer".into()], protocol, rng)?;
        let now = Instant::from_origin(Duration::from_secs(1));
        session.handle(SessionInput::Connect, now);
        let mut client = Self { session, id: TransportId::default(), now };
        client.open()?;
        Ok(client)
    }

    /// Comes up on a new transport.
    fn open(&mut self) -> Result<()> {
        loop {
            while let Some(action) = self.session.poll_action() {
                if let SessionAction::Dial { id, .. } = action {
                    self.id = id;
                    self.session.handle(SessionInput::Opened { id }, self.now);
                    self.transmit(1);
                    self.frame(&welcome());
                    return Ok(());
                }
            }
            self.now = self.session.poll_timeout().ok_or("nothing to wait for")?;
            self.session.handle(SessionInput::Timeout, self.now);
        }
    }

    fn frame(&mut self, frame: &ServerFrame) {
        let frame = Frame::Message(frame.encode(Encoding::Cbor));
        self.session.handle(SessionInput::Frame { id: self.id, frame }, self.now);
        while self.session.poll_action().is_some() {}
    }

    fn transmit(&mut self, most: u64) {
        for _ in 0..most {
            if self.session.poll_transmit(self.now).is_none() {
                return;
            }
        }
    }

    fn subscribe(&mut self, number: u64) {
        self.session.subscribe(channel(number), Subscription::default());
        self.transmit(1);
        let (position, recovered) = (Position::new(1, 0), true);
        self.frame(&ServerFrame::Subscribed { channel: channel(number), position, recovered });
    }

    fn channels(&mut self, size: u64) {
        for number in 0..size {
            self.subscribe(number);
        }
        measured("subscribe", 1, || self.subscribe(size));
        let some = size.min(MOST);
        let stride = size / some;
        measured("publication", some, || {
            for number in 0..some {
                let channel = Some(channel(number * stride));
                self.frame(&ServerFrame::Publication { channel, offset: 1, payload: payload() });
                self.session.taken(1);
            }
        });
        measured("unsubscribe", some, || {
            for number in 0..some {
                self.session.unsubscribe(&channel(number * stride));
                self.transmit(1);
            }
        });
        for number in 0..some {
            self.session.subscribe(channel(number * stride), Subscription::default());
        }
        measured("unsubscribe-unasked", some, || {
            for number in 0..some {
                self.session.unsubscribe(&channel(number * stride));
            }
        });
    }

    fn messages(&mut self, size: u64) -> Result<()> {
        let some = size.min(MOST);
        for _ in 1..size {
            self.session.send(payload(), self.now)?;
        }
        measured("enqueue", 1, || self.session.send(payload(), self.now).is_ok());
        measured("drain", some, || self.transmit(some));
        self.transmit(size);
        measured("ack-one", 1, || self.frame(&ServerFrame::Ack { serial: 1 }));
        measured("ack-many", some, || self.frame(&ServerFrame::Ack { serial: some + 1 }));
        Ok(())
    }
}

fn channel(number: u64) -> Channel {
    format!("channel {number}").into()
}

fn payload() -> Message {
    Message::from(Bytes::from_static(&[b'x'; 64]))
}

fn welcome() -> ServerFrame {
    ServerFrame::Welcome(Welcome {
        session: "s1".into(),
        resumed: false,
        refused: None,
        received: 0,
        rejected: Vec::new(),
        position: Position::new(1, 0),
        max_message: None,
    })
}
