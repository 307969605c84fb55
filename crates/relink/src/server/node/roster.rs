//! Who is in a channel: a list first, then the changes since (I27, A9).

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use rand_core::Rng;

use crate::server::node::asking::Why;
use crate::server::node::encoded::Encoded;
use crate::server::node::follow::Follow;
use crate::server::node::{ConnectionId, Node, NodeEvent};
use crate::server::{PresenceChange, Question, Stream};
use crate::session::{Channel, Member, SessionId, Text};
use crate::v1::{ServerFrame, limits};

/// A connection's seat among the members of a channel.
#[derive(Debug)]
pub(super) struct Seat {
    /// What the member says of itself, until it has joined.
    info: Option<Text>,
    lease: u64,
    view: View,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    /// It joins when it is subscribed.
    Wanted,
    Joining,
    /// The list is on its way.
    Waiting,
    /// The list was sent; changes follow.
    Shown,
    /// Changes were left out for want of room: another list will tell.
    Stale,
}

/// A membership as its end is watched. The lease is part of it: who comes back holds another one, and what ends then has
/// no effect.
pub(super) type Stay = (Channel, SessionId, u64);

/// A list that was asked for, and what changed since.
#[derive(Debug, Default)]
pub(super) struct Roster {
    readers: BTreeSet<ConnectionId>,
    /// Came too late for this list: they may not be in it themselves.
    next: BTreeSet<ConnectionId>,
    changes: Vec<Change>,
    /// There were more changes than are kept.
    outdated: bool,
}

#[derive(Debug)]
enum Change {
    Joined(Member),
    Left(Member),
}

const MOST_CHANGES: usize = 256;

impl Seat {
    pub(super) const fn wanted(info: Text) -> Self {
        Self { info: Some(info), lease: 0, view: View::Wanted }
    }
}

impl<R: Rng> Node<R> {
    /// The subscription stands: the client is seen from now on.
    pub(super) fn take_seat(&mut self, id: ConnectionId, channel: &Channel) {
        let (lease, join) = (self.rng.next_u64(), format!("{:016x}", self.rng.next_u64()));
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (user, session) = (connection.user_name(), connection.session.clone());
        let Some(seat) = connection.subscription(channel).and_then(|at| at.seat.as_mut()) else { return };
        let Some(session) = session.filter(|_| seat.view == View::Wanted) else { return };
        seat.view = View::Joining;
        seat.lease = lease;
        let member = Member { user, join, info: seat.info.take() };
        // Whoever comes back within the grace was never away: that is the store's knowledge, and its answer.
        let (PresenceChange::Joined | PresenceChange::Unchanged) =
            self.presence.online((channel.clone(), session.clone(), lease));
        let why = Why::Join { id, channel: channel.clone(), lease, member: Box::new(member.clone()) };
        self.ask(why, Question::Join { channel: channel.clone(), session, member, lease });
    }

    /// The session that sits there with this lease, if it still does.
    pub(super) fn seated(&mut self, id: ConnectionId, channel: &Channel, lease: u64) -> Option<SessionId> {
        let connection = self.connections.get_mut(&id)?;
        let seat = connection.subscription(channel)?.seat.as_ref()?;
        (seat.lease == lease).then(|| connection.session.clone()).flatten()
    }

    pub(super) fn joined(&mut self, id: ConnectionId, channel: &Channel, lease: u64) {
        if self.seated(id, channel, lease).is_some() {
            self.show_members(id, channel);
        }
    }

    fn show_members(&mut self, id: ConnectionId, channel: &Channel) {
        self.set_view(id, channel, View::Waiting);
        if let Some(roster) = self.rosters.get_mut(channel) {
            roster.next.insert(id);
            return;
        }
        self.ask_members(channel, BTreeSet::from([id]));
    }

    fn ask_members(&mut self, channel: &Channel, readers: BTreeSet<ConnectionId>) {
        self.rosters.insert(channel.clone(), Roster { readers, ..Roster::default() });
        let channel = channel.clone();
        self.ask(Why::Members { channel: channel.clone() }, Question::Members { channel });
    }

    /// The list, brought up to date by the changes that came while it was on its way.
    pub(super) fn members(&mut self, channel: &Channel, mut members: Vec<Member>) {
        let Some(mut roster) = self.rosters.remove(channel) else { return };
        if roster.outdated {
            roster.readers.append(&mut roster.next);
            return self.ask_members(channel, roster.readers);
        }
        for change in roster.changes {
            match change {
                Change::Joined(member) => match members.iter_mut().find(|known| known.join == member.join) {
                    Some(known) => *known = member,
                    None => members.push(member),
                },
                Change::Left(member) => members.retain(|known| known.join != member.join),
            }
        }
        members.truncate(limits::MEMBERS);
        let mut frame = Encoded::new(ServerFrame::Members { channel: channel.clone(), members });
        for id in roster.readers {
            if self.view(id, channel) == Some(View::Waiting) {
                self.tell_seat(id, channel, &mut frame, View::Shown);
            }
        }
        if !roster.next.is_empty() {
            self.ask_members(channel, roster.next);
        }
    }

    pub(super) fn came(&mut self, channel: Channel, member: Member) {
        let frame = ServerFrame::Joined { channel: channel.clone(), member: member.clone() };
        self.changed(&channel, frame, Change::Joined(member.clone()));
        self.tell_if_read(channel, |channel| NodeEvent::Joined { channel, member });
    }

    pub(super) fn went(&mut self, channel: Channel, member: Member) {
        let member = Member { info: None, ..member };
        let frame = ServerFrame::Left { channel: channel.clone(), member: member.clone() };
        self.changed(&channel, frame, Change::Left(member.clone()));
        self.tell_if_read(channel, |channel| NodeEvent::Left { channel, member });
    }

    fn tell_if_read(&mut self, channel: Channel, event: impl FnOnce(Channel) -> NodeEvent) {
        if self.streams.contains_key(&Stream::Channel(channel.clone())) {
            self.tell(event(channel));
        }
    }

    fn changed(&mut self, channel: &Channel, frame: ServerFrame, change: Change) {
        if let Some(roster) = self.rosters.get_mut(channel) {
            if roster.changes.len() < MOST_CHANGES {
                roster.changes.push(change);
            } else {
                roster.outdated = true;
            }
        }
        let mut frame = Encoded::new(frame);
        for id in self.readers_of(channel) {
            if self.view(id, channel) == Some(View::Shown) {
                self.tell_seat(id, channel, &mut frame, View::Shown);
            }
        }
    }

    /// Sends it where there is room; where not, the whole list is sent later instead.
    fn tell_seat(&mut self, id: ConnectionId, channel: &Channel, frame: &mut Encoded, then: View) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.out.bytes() > self.config.max_outbound_bytes {
            return self.set_view(id, channel, View::Stale);
        }
        let message = frame.get(connection.out.encoding);
        connection.out.push(message);
        self.set_view(id, channel, then);
        self.ready(id);
        self.weigh(id);
    }

    /// The socket has room again.
    pub(super) fn refresh_seats(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        let is_stale = |seat: &Seat| seat.view == View::Stale;
        let stale: Vec<Channel> = connection
            .channels
            .iter()
            .filter(|(_, subscription)| subscription.seat.as_ref().is_some_and(is_stale))
            .map(|(channel, _)| channel.clone())
            .collect();
        for channel in stale {
            self.show_members(id, &channel);
        }
    }

    /// News may have been lost: everyone gets the list again.
    pub(super) fn refresh_roster(&mut self, channel: &Channel) {
        for id in self.readers_of(channel) {
            if matches!(self.view(id, channel), Some(View::Shown | View::Waiting)) {
                self.show_members(id, channel);
            }
        }
    }

    /// The client does not want to be seen any more, now.
    pub(super) fn leave_seat(&mut self, session: &SessionId, channel: &Channel, seat: &Seat) {
        if seat.view == View::Wanted {
            return;
        }
        let (channel, session, lease) = (channel.clone(), session.clone(), seat.lease);
        if self.presence.left(&(channel.clone(), session.clone(), lease)) {
            self.leave(channel, session, lease);
        }
    }

    /// The connection broke; the client may come back.
    pub(super) fn lose_seat(&mut self, session: &SessionId, channel: &Channel, seat: &Seat) {
        self.presence.broken(&(channel.clone(), session.clone(), seat.lease), self.now);
    }

    /// Whose grace is over.
    pub(super) fn end_graces(&mut self) {
        self.presence.handle_timeout(self.now);
        while let Some((channel, session, lease)) = self.presence.poll_left() {
            self.leave(channel, session, lease);
        }
    }

    fn leave(&mut self, channel: Channel, session: SessionId, lease: u64) {
        let why = Why::Leave { channel: channel.clone(), session: session.clone(), lease };
        self.ask(why, Question::Leave { channel, session, lease });
    }

    fn view(&mut self, id: ConnectionId, channel: &Channel) -> Option<View> {
        let subscription = self.connections.get_mut(&id)?.subscription(channel)?;
        let subscribed = !matches!(subscription.follow, Follow::Asked { .. });
        subscription.seat.as_ref().filter(|_| subscribed).map(|seat| seat.view)
    }

    fn set_view(&mut self, id: ConnectionId, channel: &Channel, view: View) {
        let subscription = self.connections.get_mut(&id).and_then(|at| at.subscription(channel));
        if let Some(seat) = subscription.and_then(|subscription| subscription.seat.as_mut()) {
            seat.view = view;
        }
    }

    /// A name for a session: 128 bits from the generator.
    pub(super) fn draw_session(&mut self) -> SessionId {
        let id: String = format!("{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64());
        SessionId::from(id)
    }
}
