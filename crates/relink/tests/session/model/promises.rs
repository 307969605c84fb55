//! What a session promises, whatever happens.

use relink::session::PresenceEvent;
use relink::{Channel, Event, Guarantee, Position, Receipt, State};

use super::{Fate, SessionModel, name};

impl SessionModel {
    pub(super) fn tell(&mut self, event: Event) {
        let was_closed = core::mem::replace(&mut self.closed, false);
        match event {
            Event::Sent { first, last } if self.guarantee == Guarantee::AtMostOnce => {
                (first.0..=last.0).for_each(|receipt| self.fate(Receipt(receipt), Fate::Gone, ""));
            }
            Event::Acknowledged { first, last } => {
                (first.0..=last.0).for_each(|receipt| {
                    self.fate(Receipt(receipt), Fate::Acknowledged, "Acknowledged")
                });
            }
            Event::Rejected { receipt, .. } => self.fate(receipt, Fate::Rejected, "Rejected"),
            Event::InDoubt { first, last, messages } => {
                assert_eq!(messages.len() as u64, last.0 - first.0 + 1, "all are handed back");
                (first.0..=last.0)
                    .for_each(|receipt| self.fate(Receipt(receipt), Fate::InDoubt, "InDoubt"));
            }
            Event::Dropped { first, last, messages, .. } => {
                assert_eq!(messages.len() as u64, last.0 - first.0 + 1, "all are handed back");
                for (receipt, outgoing) in (first.0..=last.0).map(Receipt).zip(messages) {
                    let text = outgoing.message.as_text().expect("text").to_owned();
                    self.fates.entry(receipt).or_insert((text, Fate::Open));
                    self.fate(receipt, Fate::Dropped, "Dropped");
                }
            }
            Event::Message(message) => {
                self.seen.insert("Message");
                let offset = message
                    .as_text()
                    .and_then(|text| text.parse().ok())
                    .expect("the server says it");
                self.follows(None, Position::new(1, offset));
            }
            Event::Publication { channel, position, .. } => {
                self.seen.insert("Publication");
                self.follows(Some(channel), position);
            }
            Event::Resumed { complete } => {
                self.seen.insert("Resumed");
                self.told.retain(|stream, _| complete || stream.is_some());
            }
            Event::ResumeRefused { .. } => {
                self.seen.insert("ResumeRefused");
                self.told.remove(&None);
            }
            Event::Subscribed { channel, complete } => {
                self.seen.insert("Subscribed");
                if !complete {
                    self.told.remove(&Some(channel));
                }
            }
            Event::Unsubscribed { .. } => drop(self.seen.insert("Unsubscribed")),
            Event::Presence { channel, change } => {
                self.seen.insert("Presence");
                self.presence(channel, change);
            }
            Event::Closed { .. } => {
                self.closed = true;
                self.told.remove(&None);
            }
            _ => {
                let is_start = matches!(
                    event,
                    Event::State { .. } | Event::Dialing { .. } | Event::StatusChange(_)
                );
                assert!(!was_closed || is_start, "after the last event: {event:?}");
            }
        }
    }

    fn follows(&mut self, stream: Option<Channel>, position: Position) {
        let before =
            self.told.insert(stream, position).filter(|before| before.epoch == position.epoch);
        assert!(
            before.is_none_or(|before| position.offset == before.offset + 1),
            "no hole and no duplicate"
        );
    }

    fn presence(&mut self, channel: Channel, change: PresenceEvent) {
        let key = |member: &relink::session::Member| (channel.clone(), member.user.clone());
        let info = |member: &relink::session::Member| {
            member.info.as_ref().map(|info| info.as_str().to_owned())
        };
        match &change {
            PresenceEvent::Joined(member) => {
                assert_eq!(self.present.insert(key(member), info(member)), None, "{change:?}");
            }
            PresenceEvent::Updated(member) => {
                let before = self.present.insert(key(member), info(member));
                assert!(before.is_some_and(|before| before != info(member)), "{change:?}");
            }
            PresenceEvent::StayBegan(_) | PresenceEvent::StayEnded(_) => {
                panic!("the model's users have one stay each: {change:?}");
            }
            PresenceEvent::Left(member) => {
                assert_eq!(self.present.remove(&key(member)), Some(info(member)), "{change:?}");
            }
        }
    }

    pub(super) fn fate(&mut self, receipt: Receipt, fate: Fate, kind: &'static str) {
        self.seen.insert(kind);
        let (text, before) = self.fates.get_mut(&receipt).expect("it was taken");
        assert_eq!(*before, Fate::Open, "{text:?} has two fates, the second {fate:?}");
        *before = fate;
    }

    /// What holds between any two inputs.
    pub(super) fn check(&mut self) {
        let outbox = self.sim.machine().outbox();
        let open = self.fates.values().filter(|(_, fate)| *fate == Fate::Open).count();
        assert_eq!(outbox.len() + outbox.in_flight(), open, "what has no fate yet is here");
        assert!(
            open <= 8 && outbox.bytes() <= 120 && outbox.in_flight() <= outbox.config().in_flight
        );
        assert_eq!(self.sim.machine().stats().queued as usize, open);
        for (channel, seen) in [
            ("gap", self.sim.machine().stats().gaps),
            ("duplicate", self.sim.machine().stats().duplicates),
        ] {
            if seen > 0 {
                self.seen.insert(channel);
            }
        }
        for number in 0..3 {
            let channel = name(number);
            let position = self.sim.machine().position(&channel);
            if let (Some(position), Some(told)) = (position, self.told.get(&Some(channel.clone())))
            {
                assert!(
                    position.epoch != told.epoch || position.offset <= told.offset,
                    "ahead of what was told"
                );
            }
            let members = self.sim.machine().members(&channel);
            let present = self.present.keys().filter(|(at, _)| *at == channel).count();
            assert_eq!(members.len(), present, "what is told is what is so");
        }
        if let State::Closed(_) = self.sim.machine().state() {
            assert_eq!(self.sim.machine().poll_timeout(), None);
            assert_eq!((open, self.sim.machine().resume()), (0, None));
        }
    }
}
