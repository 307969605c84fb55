//! Seats in channels: who joins, who leaves, and when.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use rand_core::Rng;

use crate::node::member_lists::Change;
use crate::node::store_requests::Asker;
use crate::node::streams::Follow;
use crate::node::{ConnectionId, Node, NodeEvent, StoreRequestId};
use crate::{PresenceChange, StoreRequest, Stream};
use relink::session::{Member, Text};
use relink::{Channel, SessionId};

/// A connection's seat among the members of a channel.
#[derive(Debug)]
pub(super) struct Seat {
    /// What the member says of itself, until it has joined.
    info: Option<Text>,
    /// As it was last given, to this seat or to the one that the same connection had before.
    lease: Option<u64>,
    view: View,
}

/// How much of the list of members a seat has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum View {
    /// It joins when it is subscribed.
    Wanted,
    /// The store was asked.
    Joining(StoreRequestId),
    /// The list is on its way from the store.
    Waiting,
    /// The list is told, up to here. Stale: changes were left out for want of room, and another
    /// list follows this one.
    Listing { after: Option<String>, stale: bool },
    /// The list was told; changes follow.
    StatusChange,
    /// Changes were left out for want of room: another list will tell.
    Stale,
}

/// A membership as its end is watched. The lease is part of it: who comes back holds another one,
/// and what ends then has no effect.
pub(super) type Stay = (Channel, SessionId, u64);

impl Seat {
    /// One that takes the place of the one before, if there was one: by the same lease, so that the
    /// connection has one stay however often it subscribes.
    pub(super) const fn wanted(info: Text, before: Option<u64>) -> Self {
        Self { info: Some(info), lease: before, view: View::Wanted }
    }

    pub(super) const fn lease(&self) -> Option<u64> {
        self.lease
    }
}

impl<R: Rng> Node<R> {
    /// The subscription stands: the client is seen from now on.
    pub(super) fn take_seat(&mut self, id: ConnectionId, channel: &Channel) {
        let (drawn, join) = (self.rng.next_u64(), format!("{:016x}", self.rng.next_u64()));
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (user, session) = (connection.user_name(), connection.session.clone());
        let Some(seat) = connection.subscription(channel).and_then(|at| at.seat.as_mut()) else {
            return;
        };
        let Some(session) = session.filter(|_| seat.view == View::Wanted) else { return };
        let stay = |lease| (channel.clone(), session.clone(), lease);
        // The store may have been asked to end a stay whose grace is over.
        let lease =
            seat.lease.filter(|lease| self.presence.is_online(&stay(*lease))).unwrap_or(drawn);
        seat.lease = Some(lease);
        let member = Member { user, join, info: seat.info.take() };
        // Whoever comes back within the grace was never away: that is the store's knowledge, and
        // its answer.
        let (PresenceChange::Joined | PresenceChange::Unchanged) =
            self.presence.online(stay(lease));
        let join = StoreRequest::Join { channel: channel.clone(), session, member, lease };
        let question = self.request(Asker::Connection(id), join);
        self.set_view(id, channel, View::Joining(question));
        self.hold_place(id);
    }

    pub(super) fn joined(&mut self, id: ConnectionId, channel: &Channel, question: StoreRequestId) {
        if self.view(id, channel) == Some(&View::Joining(question)) {
            self.show_members(id, channel);
        }
    }

    pub(super) fn member_joined(&mut self, channel: Channel, member: Member) {
        self.members_changed(&channel, Change::Joined(member.clone()));
        self.tell_if_read(channel, |channel| NodeEvent::Joined { channel, member });
    }

    pub(super) fn member_left(&mut self, channel: Channel, member: Member) {
        let member = Member { info: None, ..member };
        self.members_changed(&channel, Change::Left(member.clone()));
        self.tell_if_read(channel, |channel| NodeEvent::Left { channel, member });
    }

    fn tell_if_read(&mut self, channel: Channel, event: impl FnOnce(Channel) -> NodeEvent) {
        if self.streams.contains_key(&Stream::Channel(channel.clone())) {
            self.tell(event(channel));
        }
    }

    /// The channels in which this connection has seen this much.
    pub(super) fn seats_where(&self, id: ConnectionId, is: impl Fn(&View) -> bool) -> Vec<Channel> {
        let channels =
            self.connections.get(&id).into_iter().flat_map(|connection| &connection.channels);
        let seats = channels.filter(|(_, at)| at.seat.as_ref().is_some_and(|seat| is(&seat.view)));
        seats.map(|(channel, _)| channel.clone()).collect()
    }

    /// The client does not want to be seen any more, now.
    pub(super) fn leave_channel(&mut self, session: &SessionId, channel: &Channel, seat: &Seat) {
        let Some(lease) = seat.lease else { return };
        let stay = (channel.clone(), session.clone(), lease);
        if self.presence.left(&stay) {
            let (channel, session, lease) = stay;
            self.leave(channel, session, lease);
        }
    }

    /// The connection broke; the client may come back.
    pub(super) fn member_disconnected(
        &mut self,
        session: &SessionId,
        channel: &Channel,
        seat: &Seat,
    ) {
        if let Some(lease) = seat.lease {
            self.presence.broken(&(channel.clone(), session.clone(), lease), self.now);
        }
    }

    /// A session goes on here. If it is a member by a connection that is gone, perhaps with its
    /// node, it has the grace to say that it still wants to be one.
    pub(super) fn watch_seats(&mut self, session: &SessionId, seats: Vec<(Channel, u64)>) {
        for (channel, lease) in seats {
            let stay = (channel, session.clone(), lease);
            if !self.presence.is_online(&stay) {
                let (PresenceChange::Joined | PresenceChange::Unchanged) =
                    self.presence.online(stay.clone());
                self.presence.broken(&stay, self.now);
            }
        }
    }

    /// Whose grace is over.
    pub(super) fn end_graces(&mut self) {
        self.presence.handle_timeout(self.now);
        while let Some((channel, session, lease)) = self.presence.poll_left() {
            self.leave(channel, session, lease);
        }
    }

    fn leave(&mut self, channel: Channel, session: SessionId, lease: u64) {
        self.request(Asker::Node, StoreRequest::Leave { channel, session, lease });
    }

    pub(super) fn view(&mut self, id: ConnectionId, channel: &Channel) -> Option<&View> {
        let subscription = self.connections.get_mut(&id)?.subscription(channel)?;
        let subscribed = !matches!(subscription.follow, Follow::Asked { .. });
        subscription.seat.as_ref().filter(|_| subscribed).map(|seat| &seat.view)
    }

    pub(super) fn set_view(&mut self, id: ConnectionId, channel: &Channel, view: View) {
        let subscription = self.connections.get_mut(&id).and_then(|at| at.subscription(channel));
        if let Some(seat) = subscription.and_then(|subscription| subscription.seat.as_mut()) {
            seat.view = view;
        }
    }

    /// A name for a session: 128 bits from the generator.
    pub(super) fn new_session_id(&mut self) -> SessionId {
        let id: String = format!("{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64());
        SessionId::from(id)
    }
}
