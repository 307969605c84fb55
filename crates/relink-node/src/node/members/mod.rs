//! The members of channels: joining, leaving after a grace, and the lists of members, sent a page
//! at a time as a socket has room, and brought up to date by the changes since.
//!
//! For a connection that does not read, only its place in the list is kept, not a copy.

mod list;
mod stays;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::StoreRequest;
use crate::node::connections::Offered;
use crate::node::context::Context;
use crate::node::groups::Groups;
use crate::node::shared_frame::Encoded;
use crate::node::store_requests::Asker;
use crate::node::{ConnectionId, NodeConfig, StoreRequestId};
use relink::session::{Member, MemberChange};
use relink::{Channel, Instant, SessionId};
use relink_v1::ServerFrame;

use list::{List, PAGE_BYTES};
use stays::{Stay, Stays};

/// The channels of which connections here are members.
#[derive(Debug)]
pub(crate) struct Members {
    rooms: BTreeMap<Channel, Room>,
    stays: Stays,
    /// The channels whose list each connection is being sent.
    listing: Groups<ConnectionId, Channel>,
    /// The channels whose list it is sent anew when its socket has room.
    stale: Groups<ConnectionId, Channel>,
}

#[derive(Debug, Default)]
struct Room {
    seats: BTreeMap<ConnectionId, Seat>,
    /// Filled while a reader here waits for the list or is sent it.
    list: List,
}

/// A connection's seat among the members of a channel.
#[derive(Debug)]
struct Seat {
    lease: u64,
    view: View,
}

/// How much of the list a member has been sent.
#[derive(Debug, Clone, PartialEq, Eq)]
enum View {
    /// The join was requested from the store.
    Joining(StoreRequestId),
    /// The list is on its way from the store.
    Waiting,
    /// The list is sent, up to here. Stale: changes were left out for want of room, and another
    /// list follows this one.
    Listing { after: Option<String>, stale: bool },
    /// The list was sent; changes follow.
    Current,
    /// Changes were left out for want of room: another list follows.
    Stale,
}

/// Why a connection leaves a channel: it unsubscribes, or it is gone and may come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parting {
    /// On purpose: it leaves at once.
    Clean,
    /// The link broke, or is replaced: there is a grace.
    Broken,
}

impl Members {
    pub(crate) const fn new(config: &NodeConfig) -> Self {
        Self {
            rooms: BTreeMap::new(),
            stays: Stays::new(config.member_grace),
            listing: Groups::new(),
            stale: Groups::new(),
        }
    }

    // Seats.

    /// A subscription is active: the client becomes a member. The lease of its earlier membership
    /// is kept, so that the connection has one stay however often it subscribes.
    pub(crate) fn join(
        &mut self,
        id: ConnectionId,
        channel: &Channel,
        session: SessionId,
        member: Member,
        (before, fresh): (Option<u64>, u64),
        cx: &mut Context,
    ) {
        let stay = |lease| (channel.clone(), session.clone(), lease);
        // The end of a stay whose grace is over may have been requested already.
        let lease = before.filter(|lease| self.stays.lasts(&stay(*lease))).unwrap_or(fresh);
        // A member that comes back within the grace was never away: the store decides that.
        self.stays.begin(stay(lease));
        let join = StoreRequest::Join { channel: channel.clone(), session, member, lease };
        let view = View::Joining(cx.ask(Asker::Connection(id), join));
        self.rooms.entry(channel.clone()).or_default().seats.insert(id, Seat { lease, view });
    }

    /// Whether this request is the one by which it joins.
    pub(crate) fn is_joining(
        &self,
        id: ConnectionId,
        channel: &Channel,
        request: StoreRequestId,
    ) -> bool {
        self.seat(id, channel).is_some_and(|seat| seat.view == View::Joining(request))
    }

    /// It has joined, or sees the members without being one.
    pub(crate) fn joined(
        &mut self,
        id: ConnectionId,
        channel: &Channel,
        request: StoreRequestId,
        cx: &mut Context,
    ) {
        if self.is_joining(id, channel, request) {
            self.show(BTreeSet::from([id]), channel, cx);
        }
    }

    pub(crate) fn lease(&self, id: ConnectionId, channel: &Channel) -> Option<u64> {
        self.seat(id, channel).map(|seat| seat.lease)
    }

    /// Ends a subscription. One that had not begun may still have the lease of an earlier one.
    pub(crate) fn leave(
        &mut self,
        id: ConnectionId,
        channel: &Channel,
        session: Option<SessionId>,
        before: Option<u64>,
        parting: Parting,
        cx: &mut Context,
    ) {
        let room = self.rooms.get_mut(channel);
        let seat = room.and_then(|room| room.seats.remove(&id));
        if seat.is_some() {
            self.stale.remove(&id, channel);
            self.stop_listing(id, channel);
        }
        let lease = seat.map(|seat| seat.lease).or(before);
        let Some((session, lease)) = session.zip(lease) else { return };
        let stay = (channel.clone(), session, lease);
        match parting {
            Parting::Clean if self.stays.end(&stay) => end_stay(stay, cx),
            Parting::Broken if self.stays.lasts(&stay) => self.stays.begin_grace(stay, cx.now),
            Parting::Clean | Parting::Broken => {}
        }
    }

    /// A session goes on here. If it is a member by a connection that is gone, perhaps with its
    /// node, it has the grace to join again.
    pub(crate) fn watch_stays(
        &mut self,
        session: &SessionId,
        stays: Vec<(Channel, u64)>,
        now: Instant,
    ) {
        for (channel, lease) in stays {
            let stay = (channel, session.clone(), lease);
            if !self.stays.lasts(&stay) {
                self.stays.begin_grace(stay, now);
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.stays.poll_timeout()
    }

    /// Ends the stays whose grace is over.
    pub(crate) fn handle_timeout(&mut self, cx: &mut Context) {
        while let Some(stay) = self.stays.poll_over(cx.now) {
            end_stay(stay, cx);
        }
    }

    pub(crate) fn state(&self, id: ConnectionId, channel: &Channel) -> Option<String> {
        self.seat(id, channel).map(|seat| format!("{:?}", seat.view))
    }

    fn seat(&self, id: ConnectionId, channel: &Channel) -> Option<&Seat> {
        self.rooms.get(channel)?.seats.get(&id)
    }

    fn set_view(&mut self, id: ConnectionId, channel: &Channel, view: View) {
        let Some(room) = self.rooms.get_mut(channel) else { return };
        let Some(seat) = room.seats.get_mut(&id) else { return };
        let (is_listing, is_stale) =
            (matches!(view, View::Listing { .. }), matches!(view, View::Stale));
        seat.view = view;
        if is_listing {
            room.list.listing.insert(id);
            self.listing.insert(&id, channel.clone());
        } else {
            self.stop_listing(id, channel);
        }
        if is_stale {
            self.stale.insert(&id, channel.clone());
        } else {
            self.stale.remove(&id, channel);
        }
    }

    // Lists.

    /// Sends the whole list, from the beginning. A pending request may be from before these readers
    /// joined.
    fn show(&mut self, readers: BTreeSet<ConnectionId>, channel: &Channel, cx: &mut Context) {
        for id in &readers {
            self.set_view(*id, channel, View::Waiting);
        }
        let Some(room) = self.rooms.get_mut(channel) else { return };
        match &mut room.list.asked {
            Some(asked) => {
                asked.readers.retain(|id| !readers.contains(id));
                room.list.next.extend(readers);
            }
            None => room.list.ask(channel, readers, cx),
        }
    }

    pub(crate) fn is_list_wanted(&self, channel: &Channel) -> bool {
        self.rooms.contains_key(channel)
    }

    /// Handles the list from the store, with the changes since its request.
    pub(crate) fn listed(&mut self, channel: &Channel, members: Vec<Member>, cx: &mut Context) {
        let Some(room) = self.rooms.get_mut(channel) else { return };
        let Some(mut asked) = room.list.asked.take() else { return };
        let mut next = core::mem::take(&mut room.list.next);
        if asked.outdated {
            asked.readers.append(&mut next);
            return room.list.ask(channel, asked.readers, cx);
        }
        room.list.replace(members, asked.changes);
        if !next.is_empty() {
            room.list.ask(channel, next, cx);
        }
        let is_waiting =
            |id: &ConnectionId| room.seats.get(id).is_some_and(|it| it.view == View::Waiting);
        asked.readers.retain(is_waiting);
        for id in &asked.readers {
            self.set_view(*id, channel, View::Listing { after: None, stale: false });
        }
        for id in asked.readers {
            self.list_on(id, cx);
        }
        self.tidy(channel);
    }

    /// No more of this list.
    fn stop_listing(&mut self, id: ConnectionId, channel: &Channel) {
        self.listing.remove(&id, channel);
        if let Some(room) = self.rooms.get_mut(channel) {
            room.list.listing.remove(&id);
        }
        self.tidy(channel);
    }

    fn tidy(&mut self, channel: &Channel) {
        let Some(room) = self.rooms.get_mut(channel) else { return };
        if room.list.is_over() {
            room.list = List::default();
            if room.seats.is_empty() {
                self.rooms.remove(channel);
            }
        }
    }

    /// Sends this connection its next pages, as far as there is room. Its reading stops if they
    /// fill its queue.
    pub(crate) fn list_on(&mut self, id: ConnectionId, cx: &mut Context) {
        // A list takes no more room than one page, however slow its reader is.
        let room = PAGE_BYTES.min(cx.config.max_outbound_bytes / 2);
        while let Some(channel) = self.listing.first(&id) {
            let queued = cx.connections.queued(id).filter(|(queued, _)| *queued <= room);
            let Some((_, encoding)) = queued else { return };
            let Some(room) = self.rooms.get_mut(&channel) else { return };
            let Some(View::Listing { after, stale }) =
                room.seats.get(&id).map(|seat| seat.view.clone())
            else {
                return;
            };
            let (message, next) = room.list.page(&channel, after.as_ref(), encoding);
            cx.connections.send(id, message);
            cx.connections.review_reading(id);
            match next {
                Some(_) => self.set_view(id, &channel, View::Listing { after: next, stale }),
                None if stale => self.show(BTreeSet::from([id]), &channel, cx),
                None => self.set_view(id, &channel, View::Current),
            }
        }
    }

    /// A member joined or left: sent to all readers that have seen the list, or a part of it. Those
    /// without room for it are sent the whole list later instead.
    pub(crate) fn changed(&mut self, channel: &Channel, change: &MemberChange, cx: &mut Context) {
        let Some(room) = self.rooms.get_mut(channel) else { return };
        let (name, told) = (channel.clone(), change.clone());
        let mut frame = Encoded::new(ServerFrame::MemberChanged { channel: name, change: told });
        room.list.change(change.clone());
        let mut missed = Vec::new();
        for (id, seat) in &room.seats {
            let is_told = matches!(seat.view, View::Current | View::Listing { .. });
            match is_told.then(|| cx.connections.offer(*id, &mut frame)) {
                Some(Offered::Full) => missed.push((*id, seat.view.clone())),
                Some(Offered::Queued { .. } | Offered::Gone) | None => {}
            }
        }
        for (id, view) in missed {
            let view = match view {
                View::Listing { after, .. } => View::Listing { after, stale: true },
                View::Joining(_) | View::Waiting | View::Current | View::Stale => View::Stale,
            };
            self.set_view(id, channel, view);
        }
    }

    /// The socket has room again: if changes were left out, the list is sent anew.
    pub(crate) fn resume(&mut self, id: ConnectionId, cx: &mut Context) {
        for channel in self.stale.all(&id) {
            self.show(BTreeSet::from([id]), &channel, cx);
        }
    }

    /// Events may have been lost: all connections get the list again.
    pub(crate) fn refresh_all(&mut self, cx: &mut Context) {
        let channels: Vec<Channel> = self.rooms.keys().cloned().collect();
        for channel in channels {
            let Some(room) = self.rooms.get(&channel) else { continue };
            let is_told = |view: &View| !matches!(view, View::Joining(_) | View::Stale);
            let seats = room.seats.iter().filter(|(_, seat)| is_told(&seat.view));
            let readers: BTreeSet<ConnectionId> = seats.map(|(id, _)| *id).collect();
            if !readers.is_empty() {
                self.show(readers, &channel, cx);
            }
        }
    }
}

fn end_stay((channel, session, lease): Stay, cx: &mut Context) {
    cx.ask(Asker::Node, StoreRequest::Leave { channel, session, lease });
}
