//! Channels of systems that do not number messages: they are numbered here.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use relink::protocol::{ProtocolEvent, ServerFrame};
use relink::{Channel, Message, Position};

/// Counts messages channel by channel. Every subscription starts a new epoch: messages sent while
/// the link was down are lost, and the session reports a gap.
#[derive(Debug, Clone, Default)]
pub(super) struct Streams {
    epoch: u32,
    channels: BTreeMap<Channel, Stream>,
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    /// The peer has not confirmed the subscription yet.
    asked: bool,
    /// The peer has not listed the members yet.
    awaits_members: bool,
    offset: u64,
}

impl Streams {
    /// Starts with a new transport, on which nothing is subscribed to yet.
    pub(super) fn reset(&mut self) {
        self.channels.clear();
    }

    /// A subscription was requested.
    pub(super) fn asked(&mut self, channel: Channel) {
        self.channels.insert(channel, Stream { asked: true, awaits_members: true, offset: 0 });
    }

    /// A channel was unsubscribed from, or refused.
    pub(super) fn forget(&mut self, channel: &Channel) {
        self.channels.remove(channel);
    }

    /// The peer confirmed a channel: by an answer, or by a message on it that overtook the answer.
    pub(super) fn confirmed(&mut self, channel: &Channel, events: &mut Vec<ProtocolEvent>) {
        let Some(stream) = self.channels.get_mut(channel).filter(|stream| stream.asked) else {
            return;
        };
        stream.asked = false;
        self.epoch = self.epoch.wrapping_add(1);
        let position = Position::new(self.epoch, 0);
        let channel = channel.clone();
        events.push(ServerFrame::Subscribed { channel, position, recovered: true }.into());
    }

    /// Handles a message on a channel; one without a subscription is dropped.
    pub(super) fn message(
        &mut self,
        channel: &Channel,
        message: Message,
        events: &mut Vec<ProtocolEvent>,
    ) {
        self.confirmed(channel, events);
        let Some(stream) = self.channels.get_mut(channel) else { return };
        stream.offset = stream.offset.saturating_add(1);
        let offset = stream.offset;
        let channel = Some(channel.clone());
        events.push(ServerFrame::Publication { channel, offset, payload: message }.into());
    }

    /// Handles a presence message. Returns true if it is the first one since the subscription,
    /// which lists all members; `None` if there is no subscription.
    pub(super) fn presence(
        &mut self,
        channel: &Channel,
        events: &mut Vec<ProtocolEvent>,
    ) -> Option<bool> {
        self.confirmed(channel, events);
        let stream = self.channels.get_mut(channel)?;
        Some(core::mem::replace(&mut stream.awaits_members, false))
    }
}
