//! A session, and a ledger of what became of each message.

use arbitrary::{Result, Unstructured};
use rand_pcg::Pcg32;
use relink::link::{Refusal, TransportId};
use relink::protocol::{Command, ProtocolEvent};
use relink::rand_core::SeedableRng;
use relink::session::Frame;
use relink::{
    Address, CloseFrame, Event, Failure, Instant, Message, Phase, Plain, Protocol, Session,
    SessionAction, SessionConfig, SessionInput, State, Token,
};

use super::draw;

/// A wire format whose first byte says what the message means.
#[derive(Debug)]
struct Spoken;

impl Protocol for Spoken {
    fn receive(&mut self, message: Message, signals: &mut Vec<ProtocolEvent>) {
        let code = |byte: &u8| relink::CloseCode(4000 + u16::from(*byte));
        let bytes = message.as_bytes();
        signals.push(match bytes {
            [0, ..] => ProtocolEvent::Welcome,
            [1, ..] => ProtocolEvent::ChallengeMet,
            [2, ..] => ProtocolEvent::Redirect(Address::from("ws://elsewhere")),
            [3, ..] => ProtocolEvent::Authenticated,
            [4, ..] => ProtocolEvent::Refused(Refusal::Token),
            [5, byte, ..] => ProtocolEvent::Refused(Refusal::As(code(byte))),
            [6, byte, ..] => ProtocolEvent::HeartbeatAck(Some(u32::from(*byte))),
            [7, ..] => ProtocolEvent::HeartbeatAck(None),
            [8, byte, ..] => ProtocolEvent::GoingAway {
                retry_after: core::time::Duration::from_secs(u64::from(*byte)),
            },
            [9, byte, ..] => ProtocolEvent::Malformed(CloseFrame::from(code(byte))),
            _ => ProtocolEvent::Data(message),
        });
    }

    fn closing(&mut self, frame: &CloseFrame, signals: &mut Vec<ProtocolEvent>) {
        Plain::default().closing(frame, signals);
    }

    fn command(&mut self, command: Command<'_>, frames: &mut Vec<Frame>) {
        Plain::default().command(command, frames);
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Waiting,
    Sent,
    Dropped,
}

/// A session with everyone around it, and the books.
pub(super) struct Ledger {
    session: Session<Spoken, Pcg32>,
    config: SessionConfig,
    now: Instant,
    ids: Vec<TransportId>,
    /// By receipt, counted from 1.
    fates: Vec<(Message, Fate)>,
    frames: usize,
    last_sent: u64,
    ended: bool,
}

impl Ledger {
    pub(super) fn new(config: SessionConfig, seed: u64) -> Self {
        let addresses = vec![Address::from("ws://one"), Address::from("ws://two")];
        let session = Session::new(config, addresses, Spoken, Pcg32::seed_from_u64(seed))
            .expect("checked before");
        let now = Instant::ORIGIN;
        Self {
            session,
            config,
            now,
            ids: Vec::new(),
            fates: Vec::new(),
            frames: 0,
            last_sent: 0,
            ended: false,
        }
    }

    /// Something happens, and everything is checked.
    pub(super) fn step(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let moment = draw::when(bytes)?.moment(self.now, self.session.poll_timeout());
        self.now = self.now.max(moment);
        match bytes.int_in_range(0..=9)? {
            0..=2 => self.helpful(moment),
            3 => self.give(SessionInput::Timeout, moment),
            4 | 5 => self.send(bytes.int_in_range(0..=60)?, moment),
            6 | 7 => self.transmit(bytes.int_in_range(0..=20)?, moment),
            _ => {
                let input = self.input(bytes)?;
                self.give(input, moment);
            }
        }
        Ok(())
    }

    fn give(&mut self, input: SessionInput, moment: Instant) {
        let is_timeout = input == SessionInput::Timeout;
        self.session.handle(input, moment);
        if is_timeout {
            let late = self.session.poll_timeout().filter(|at| *at <= moment);
            assert_eq!(late, None, "a deadline that was handled is past, at {moment:?}");
        }
        self.settle();
    }

    /// A peer in good health, a provider that grants, an application that wants the link.
    fn helpful(&mut self, moment: Instant) {
        let id = self.id();
        let said = |byte| Frame::Message(Message::from(vec![byte]));
        let input = match self.session.state() {
            State::Connecting(phase) | State::Reconnecting(phase) => match phase {
                Phase::Authorizing if self.session.link().is_locating() => {
                    SessionInput::Address { id, result: Ok(Address::from("ws://ticket/?one")) }
                }
                Phase::Authorizing => SessionInput::Token { id, result: Ok(Token::from("secret")) },
                Phase::Dialing => SessionInput::Opened { id },
                Phase::Handshaking(relink::link::Step::Welcome) => {
                    SessionInput::Frame { id, frame: said(0) }
                }
                Phase::Handshaking(relink::link::Step::Challenge) => {
                    SessionInput::Frame { id, frame: said(1) }
                }
                Phase::Handshaking(relink::link::Step::Login) => SessionInput::Login,
                Phase::Handshaking(relink::link::Step::Authenticating) => {
                    SessionInput::Frame { id, frame: said(3) }
                }
                Phase::Waiting => SessionInput::RetryNow,
            },
            State::Connected => SessionInput::Frame { id, frame: said(7) },
            State::Closing => {
                SessionInput::Frame { id, frame: Frame::Close(relink::CloseCode::NORMAL.into()) }
            }
            State::Idle | State::Closed(_) => SessionInput::Connect,
        };
        self.give(input, moment);
    }

    fn id(&self) -> TransportId {
        self.session.link().transport().or(self.ids.last().copied()).unwrap_or_default()
    }

    fn input(&self, bytes: &mut Unstructured<'_>) -> Result<SessionInput> {
        let past = bytes.ratio(1, 8)?;
        let id = if past && !self.ids.is_empty() { *bytes.choose(&self.ids)? } else { self.id() };
        let words = |bytes: &mut Unstructured<'_>| -> Result<Vec<u8>> {
            let len = bytes.int_in_range(0..=8)?;
            bytes.bytes(len).map(<[u8]>::to_vec)
        };
        Ok(match bytes.int_in_range(0..=13)? {
            0 => SessionInput::Connect,
            1 => SessionInput::Login,
            2 => SessionInput::Close(CloseFrame::new(draw::code(bytes)?, "bye")),
            3 => SessionInput::RetryNow,
            4 => SessionInput::MarkStable,
            5 => SessionInput::Hint(draw::hint(bytes)?),
            6 => SessionInput::Token { id, result: Err("no token".into()) },
            7 => {
                let expires_in = draw::duration(bytes)?;
                SessionInput::Token {
                    id,
                    result: Ok(Token::from("secret").with_expires_in(expires_in)),
                }
            }
            8 => SessionInput::Opened { id },
            9 => SessionInput::Frame { id, frame: Frame::Message(Message::from(words(bytes)?)) },
            10 => SessionInput::Frame { id, frame: Frame::Pong(words(bytes)?.into()) },
            11 => {
                let reason = format!("retry-after={}s", bytes.arbitrary::<u8>()?);
                SessionInput::Frame {
                    id,
                    frame: Frame::Close(CloseFrame::new(draw::code(bytes)?, reason)),
                }
            }
            12 => SessionInput::Alive { id },
            _ => {
                let failure = draw::failure(bytes)?;
                let location =
                    (failure == Failure::HttpRedirect).then(|| Address::from("ws://moved"));
                SessionInput::Failed { id, failure, detail: "trouble".into(), location }
            }
        })
    }

    fn send(&mut self, len: usize, moment: Instant) {
        let number = self.fates.len() + 1;
        let message = Message::from(format!("{number:len$}"));
        match self.session.send(message.clone(), moment) {
            Ok(accepted) => {
                assert_eq!(accepted.receipt.0, number as u64, "receipts rise one by one");
                assert_eq!(accepted.queued, !self.session.state().is_usable());
                self.fates.push((message, Fate::Waiting));
            }
            Err(refused) => assert_eq!(refused.message, message, "what is refused comes back"),
        }
        self.settle();
    }

    /// The transport has room for so many frames.
    fn transmit(&mut self, room: usize, moment: Instant) {
        for _ in 0..room {
            let before = self.session.state();
            let Some(frame) = self.session.poll_transmit(moment) else { break };
            if let Frame::Message(message) = frame {
                assert!(
                    matches!(before, State::Connected | State::Closing),
                    "a message left in {before:?}"
                );
                let number: usize =
                    message.as_text().and_then(|text| text.trim().parse().ok()).expect("a number");
                self.frames += 1;
                self.settle();
                let (sent, fate) = &self.fates[number - 1];
                assert_eq!((sent, *fate), (&message, Fate::Sent), "message {number}");
            }
        }
        self.settle();
    }

    /// Takes every action, and balances the books.
    fn settle(&mut self) {
        while let Some(action) = self.session.poll_action() {
            match action {
                SessionAction::Dial { id, .. }
                | SessionAction::FetchToken { id }
                | SessionAction::FetchAddress { id, .. } => {
                    self.ids.push(id);
                }
                SessionAction::Event(event) => self.told(event),
                SessionAction::Drop { .. } | _ => {}
            }
        }
        let (outbox, limits) = (self.session.outbox(), self.config.outbox);
        assert!(
            outbox.len() <= limits.max_messages && outbox.bytes() <= limits.max_bytes,
            "{outbox:?}"
        );
        let with = |fate| self.fates.iter().filter(move |(_, other)| *other == fate);
        assert_eq!(
            with(Fate::Sent).count(),
            self.frames,
            "each message that was sent is one frame"
        );
        assert_eq!(
            with(Fate::Waiting).count(),
            outbox.len(),
            "each other one waits or was dropped"
        );
        assert_eq!(
            with(Fate::Waiting).map(|(message, _)| message.len()).sum::<usize>(),
            outbox.bytes()
        );
        assert_eq!(self.session.state().is_closed(), self.ended, "the end is told when it is so");
        if self.ended {
            assert_eq!(
                (outbox.len(), self.session.poll_timeout()),
                (0, None),
                "nothing is left after the end"
            );
        }
    }

    fn told(&mut self, event: Event) {
        let starts = matches!(event, Event::State { from: State::Closed(_), .. });
        assert!(!self.ended || starts, "{event:?} after the end");
        if starts || matches!(event, Event::Closed { .. }) {
            self.ended = !starts;
        }
        if let Event::Sent { first, last } = event {
            assert!(
                self.last_sent < first.0 && first <= last,
                "{first} to {last} after {}",
                self.last_sent
            );
            for receipt in first.0..=last.0 {
                self.close_account(receipt, Fate::Sent);
            }
            self.last_sent = last.0;
        } else if let Event::Dropped { first, last, messages, .. } = event {
            assert_eq!(messages.len() as u64, last.0 - first.0 + 1, "all are handed back");
            for (receipt, outgoing) in (first.0..=last.0).zip(messages) {
                assert_eq!(
                    self.close_account(receipt, Fate::Dropped),
                    outgoing.message,
                    "{receipt}"
                );
            }
        }
    }

    /// A message has one fate.
    fn close_account(&mut self, receipt: u64, fate: Fate) -> Message {
        let index = usize::try_from(receipt - 1).expect("few messages");
        let (message, before) = &mut self.fates[index];
        assert_eq!(*before, Fate::Waiting, "message {receipt} is now {fate:?}");
        *before = fate;
        message.clone()
    }
}
