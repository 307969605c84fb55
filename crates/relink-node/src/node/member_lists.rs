//! The lists of members: told a page at a time, as a socket has room, and brought up to date by the
//! changes since.
//!
//! A connection that does not read is owed its lists; that is a place in the list, and not a copy
//! of it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Bound;

use rand_core::Rng;

use crate::StoreRequest;
use crate::node::members::View;
use crate::node::shared_frame::Encoded;
use crate::node::store_requests::Asker;
use crate::node::{ConnectionId, Node};
use relink::session::Member;
use relink::{Channel, Message};
use relink_v1::{Encoding, ServerFrame, limits};

/// A page takes members up to this many bytes, as they are kept: some 16 KiB in CBOR, and at the
/// very most six times that in JSON, which every client takes.
const PAGE_BYTES: usize = 16 * 1024;
/// Beside the names and words of a member.
const MEMBER_OVERHEAD: usize = 32;
/// Changes that are kept while a list is on its way.
const MOST_CHANGES: usize = 256;
/// Pages that are kept for the next reader.
const MOST_PAGES: usize = 64;

/// Who is in a channel, for as long as somebody here waits for the list or is told it.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// By the name of the stay, which is the order of the list.
    members: BTreeMap<String, Member>,
    /// Who is being told.
    listing: BTreeSet<ConnectionId>,
    /// The same for all who are at the same place.
    pages: BTreeMap<Option<String>, Page>,
    /// A list is on its way from the store.
    asked: Option<Asked>,
    /// Came too late for that list: they may not be in it themselves.
    next: BTreeSet<ConnectionId>,
}

#[derive(Debug, Default)]
struct Asked {
    readers: BTreeSet<ConnectionId>,
    changes: Vec<Change>,
    /// There were more changes than are kept.
    outdated: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Change {
    Joined(Member),
    Left(Member),
}

#[derive(Debug)]
struct Page {
    frame: Encoded,
    /// Where the next page begins; `None` after the last one.
    next: Option<String>,
}

impl Change {
    fn apply(self, members: &mut BTreeMap<String, Member>) {
        match self {
            Self::Joined(member) => {
                members.insert(member.join.clone(), member);
            }
            Self::Left(member) => {
                members.remove(&member.join);
            }
        }
    }

    fn frame(&self, channel: &Channel) -> ServerFrame {
        let channel = channel.clone();
        match self.clone() {
            Self::Joined(member) => ServerFrame::Joined { channel, member },
            Self::Left(member) => ServerFrame::Left { channel, member },
        }
    }
}

impl Room {
    fn page(
        &mut self,
        channel: &Channel,
        after: Option<&String>,
        encoding: Encoding,
    ) -> (Message, Option<String>) {
        if self.pages.len() >= MOST_PAGES {
            self.pages.clear();
        }
        let members = &self.members;
        let page =
            self.pages.entry(after.cloned()).or_insert_with(|| Page::new(channel, members, after));
        (page.frame.get(encoding), page.next.clone())
    }

    fn is_over(&self) -> bool {
        self.listing.is_empty() && self.asked.is_none()
    }
}

impl Page {
    fn new(channel: &Channel, all: &BTreeMap<String, Member>, after: Option<&String>) -> Self {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest =
            all.range::<String, _>((from, Bound::Unbounded)).map(|(_, member)| member).peekable();
        let (mut members, mut bytes) = (Vec::new(), 0_usize);
        // One at least, whatever its size.
        while let Some(member) =
            rest.next_if(|member| members.is_empty() || bytes + size(member) <= PAGE_BYTES)
        {
            bytes = bytes.saturating_add(size(member));
            members.push(member.clone());
        }
        let more = rest.peek().is_some();
        let next = members.last().filter(|_| more).map(|member| member.join.clone());
        Self {
            frame: Encoded::new(ServerFrame::Members { channel: channel.clone(), members, more }),
            next,
        }
    }
}

fn size(member: &Member) -> usize {
    let words = member.info.as_ref().map_or(0, |words| words.as_str().len());
    MEMBER_OVERHEAD
        .saturating_add(member.user.len())
        .saturating_add(member.join.len())
        .saturating_add(words)
}

impl<R: Rng> Node<R> {
    /// The whole list, from the beginning. One that is asked for already may have been asked for
    /// before this client joined.
    pub(super) fn show_members(&mut self, id: ConnectionId, channel: &Channel) {
        self.show_members_to(BTreeSet::from([id]), channel);
    }

    fn show_members_to(&mut self, readers: BTreeSet<ConnectionId>, channel: &Channel) {
        for id in &readers {
            self.stop_listing(*id, channel);
            self.set_view(*id, channel, View::Waiting);
        }
        match self.rooms.get_mut(channel) {
            Some(Room { asked: Some(asked), next, .. }) => {
                asked.readers.retain(|id| !readers.contains(id));
                next.extend(readers);
            }
            Some(_) | None => self.ask_members(channel, readers),
        }
    }

    fn ask_members(&mut self, channel: &Channel, readers: BTreeSet<ConnectionId>) {
        let room = self.rooms.entry(channel.clone()).or_default();
        room.asked = Some(Asked { readers, ..Asked::default() });
        self.request(Asker::Node, StoreRequest::Members { channel: channel.clone() });
    }

    /// The list from the store, brought up to date by the changes that came while it was on its
    /// way.
    pub(super) fn members(&mut self, channel: &Channel, members: Vec<Member>) {
        let Some(room) = self.rooms.get_mut(channel) else { return };
        let Some(mut asked) = room.asked.take() else { return };
        let mut next = core::mem::take(&mut room.next);
        if asked.outdated {
            asked.readers.append(&mut next);
            return self.ask_members(channel, asked.readers);
        }
        let by_join = |member: Member| (member.join.clone(), member);
        room.members = members.into_iter().take(limits::MEMBERS).map(by_join).collect();
        room.pages.clear();
        for change in asked.changes {
            change.apply(&mut room.members);
        }
        asked.readers.retain(|id| self.view(*id, channel) == Some(&View::Waiting));
        for id in &asked.readers {
            self.set_view(*id, channel, View::Listing { after: None, stale: false });
            if let Some(connection) = self.connections.get_mut(id) {
                connection.lists.insert(channel.clone());
            }
        }
        if let Some(room) = self.rooms.get_mut(channel) {
            room.listing.extend(&asked.readers);
        }
        if !next.is_empty() {
            self.ask_members(channel, next);
        }
        for id in asked.readers {
            self.list_on(id);
        }
        self.leave_room(channel);
    }

    /// No more of this list.
    pub(super) fn stop_listing(&mut self, id: ConnectionId, channel: &Channel) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.lists.remove(channel);
        }
        if let Some(room) = self.rooms.get_mut(channel) {
            room.listing.remove(&id);
        }
        self.leave_room(channel);
    }

    fn leave_room(&mut self, channel: &Channel) {
        if self.rooms.get(channel).is_some_and(Room::is_over) {
            self.rooms.remove(channel);
        }
    }

    /// So little waits for a socket when it is given the next page: a list takes no more room than
    /// one page, however slow its reader is.
    pub(super) fn wants_page(&self, queued: usize) -> bool {
        queued <= PAGE_BYTES.min(self.config.max_outbound_bytes / 2)
    }

    /// The next pages that this connection is owed, as far as there is room.
    pub(super) fn list_on(&mut self, id: ConnectionId) {
        loop {
            let Some(connection) = self.connections.get(&id) else { return };
            let Some(channel) = connection.lists.first().cloned() else { return };
            if !self.wants_page(connection.out.bytes()) {
                return;
            }
            self.send_list_page(id, &channel);
        }
    }

    fn send_list_page(&mut self, id: ConnectionId, channel: &Channel) {
        let Some(View::Listing { after, stale }) = self.view(id, channel).cloned() else {
            return self.stop_listing(id, channel);
        };
        let (Some(room), Some(connection)) =
            (self.rooms.get_mut(channel), self.connections.get_mut(&id))
        else {
            return self.stop_listing(id, channel);
        };
        let (message, next) = room.page(channel, after.as_ref(), connection.out.encoding);
        connection.out.push(message);
        self.ready(id);
        match next {
            Some(_) => self.set_view(id, channel, View::Listing { after: next, stale }),
            None if stale => self.show_members(id, channel),
            None => {
                self.set_view(id, channel, View::StatusChange);
                self.stop_listing(id, channel);
            }
        }
    }

    /// Somebody came or went: told to all who have seen the list, or a part of it.
    pub(super) fn members_changed(&mut self, channel: &Channel, change: Change) {
        let mut frame = Encoded::new(change.frame(channel));
        if let Some(room) = self.rooms.get_mut(channel) {
            if let Some(asked) = &mut room.asked {
                if asked.changes.len() < MOST_CHANGES {
                    asked.changes.push(change.clone());
                } else {
                    asked.outdated = true;
                }
            }
            room.pages.clear();
            change.apply(&mut room.members);
        }
        for id in self.readers_of(channel) {
            self.tell_change(id, channel, &mut frame);
        }
    }

    /// If there is no room for it, the whole list is sent later instead.
    fn tell_change(&mut self, id: ConnectionId, channel: &Channel, frame: &mut Encoded) {
        let missed = match self.view(id, channel) {
            Some(View::StatusChange) => View::Stale,
            Some(View::Listing { after, .. }) => {
                View::Listing { after: after.clone(), stale: true }
            }
            Some(View::Wanted | View::Joining(_) | View::Waiting | View::Stale) | None => return,
        };
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.out.bytes() > self.config.max_outbound_bytes {
            return self.set_view(id, channel, missed);
        }
        let message = frame.get(connection.out.encoding);
        connection.out.push(message);
        self.ready(id);
        self.review_reading(id);
    }

    /// The socket has room again: where changes were left out, the list is told anew.
    pub(super) fn refresh_seats(&mut self, id: ConnectionId) {
        for channel in self.seats_where(id, |view| *view == View::Stale) {
            self.show_members(id, &channel);
        }
    }

    /// News may have been lost: everyone gets the list again.
    pub(super) fn refresh_roster(&mut self, channel: &Channel) {
        let mut readers = BTreeSet::from_iter(self.readers_of(channel));
        let is_told =
            |view: &View| matches!(view, View::StatusChange | View::Waiting | View::Listing { .. });
        readers.retain(|id| self.view(*id, channel).is_some_and(is_told));
        if !readers.is_empty() {
            self.show_members_to(readers, channel);
        }
    }
}
