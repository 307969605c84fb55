//! A session, and a ledger of what became of each message.

use arbitrary::{Result, Unstructured};
use relink::session::Frame;
use relink::{CloseFrame, Event, Message, SessionConfig, SessionInput, State};

use super::draw;
use crate::{Direct, Sim};

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Waiting,
    Sent,
    Dropped,
}

/// A session in a manual [`Sim`], and the books.
pub(super) struct Ledger {
    sim: Sim<Direct>,
    config: SessionConfig,
    /// By receipt, counted from 1.
    fates: Vec<(Message, Fate)>,
    frames: usize,
    last_sent: u64,
    ended: bool,
}

impl Ledger {
    pub(super) fn new(config: SessionConfig, seed: u64) -> Self {
        let sim = Sim::with(config, &["ws://one", "ws://two"], Direct::default(), seed);
        let sim = sim.expect("checked before").manual();
        Self { sim, config, fates: Vec::new(), frames: 0, last_sent: 0, ended: false }
    }

    /// Something happens, and everything is checked.
    pub(super) fn step(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let now = self.sim.now();
        match bytes.int_in_range(0..=9)? {
            0 | 1 => {
                self.sim.set_clock(draw::when(bytes)?.moment(now, self.sim.deadline()));
                self.send(bytes.int_in_range(0..=60)?);
            }
            2 | 3 => {
                self.sim.set_clock(draw::when(bytes)?.moment(now, self.sim.deadline()));
                self.transmit(bytes.int_in_range(0..=20)?);
            }
            4 => self.hear(bytes)?,
            _ => self.sim.apply(draw::stimulus(bytes)?),
        }
        self.sim.set_clock(self.sim.now().max(now));
        self.balance();
        Ok(())
    }

    /// Something that a schedule has no words for.
    fn hear(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        match bytes.int_in_range(0..=3)? {
            0 => {
                let len = bytes.int_in_range(0..=8)?;
                self.sim.peer().send(bytes.bytes(len)?.to_vec());
            }
            1 => {
                let reason = format!("retry-after={}s", bytes.arbitrary::<u8>()?);
                self.sim.peer().close_saying(draw::code(bytes)?.0, &reason);
            }
            2 => self.sim.handle(SessionInput::Alive { id: self.sim.id() }),
            _ => {
                let frame = CloseFrame::new(draw::code(bytes)?, "bye");
                self.sim.handle(SessionInput::Close(frame));
            }
        }
        Ok(())
    }

    fn send(&mut self, len: usize) {
        let number = self.fates.len() + 1;
        let message = Message::from(format!("{number:len$}"));
        match self.sim.send(message.clone()) {
            Ok(accepted) => {
                assert_eq!(accepted.receipt.0, number as u64, "receipts rise one by one");
                assert_eq!(accepted.queued, !self.sim.state().is_usable());
                self.fates.push((message, Fate::Waiting));
            }
            Err(refused) => assert_eq!(refused.message, message, "what is refused comes back"),
        }
    }

    /// The transport has room for this many frames.
    fn transmit(&mut self, room: usize) {
        for _ in 0..room {
            let before = self.sim.state();
            let Some(frame) = self.sim.peer().read_at_most(1).pop() else { break };
            let Frame::Message(message) = frame else { continue };
            let number = message.as_text().and_then(|text| text.trim().parse::<usize>().ok());
            // Steps of the handshake are words.
            let Some(number) = number else { continue };
            assert!(
                matches!(before, State::Connected | State::Closing),
                "a message left in {before:?}"
            );
            self.frames += 1;
            self.balance();
            let (sent, fate) = &self.fates[number - 1];
            assert_eq!((sent, *fate), (&message, Fate::Sent), "message {number}");
        }
    }

    /// Balances the books.
    fn balance(&mut self) {
        self.sim.take_events().into_iter().for_each(|event| self.told(event));
        let (outbox, limits) = (self.sim.machine().outbox(), self.config.outbox);
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
        assert_eq!(self.sim.state().is_closed(), self.ended, "the end is told when it is so");
        if self.ended {
            assert_eq!(
                (outbox.len(), self.sim.deadline()),
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
