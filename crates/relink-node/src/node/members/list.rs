//! The list of a channel's members, as it is sent to its readers.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Bound;

use crate::StoreRequest;
use crate::node::ConnectionId;
use crate::node::context::Context;
use crate::node::shared_frame::Encoded;
use crate::node::store_requests::Asker;
use relink::session::{Member, MemberChange};
use relink::{Channel, Message};
use relink_v1::{Encoding, ServerFrame, limits};

/// The maximum bytes of members in a page, as they are kept: about 16 KiB in CBOR, and at most six
/// times that in JSON, which every client accepts.
pub(super) const PAGE_BYTES: usize = 16 * 1024;
/// The overhead of a member beside its names and text.
const MEMBER_OVERHEAD: usize = 32;
/// The maximum number of changes kept while a list is requested.
const MOST_CHANGES: usize = 256;
/// The maximum number of pages kept for the next reader.
const MOST_PAGES: usize = 64;

/// The members of a channel, while a reader here waits for the list or is sent it.
#[derive(Debug, Default)]
pub(super) struct List {
    /// By the id of the stay, which is the order of the list.
    members: BTreeMap<String, Member>,
    /// The readers that are sent the list.
    pub(super) listing: BTreeSet<ConnectionId>,
    /// Shared by readers at the same place.
    pages: BTreeMap<Option<String>, Page>,
    /// A requested list.
    pub(super) asked: Option<Asked>,
    /// Connections that joined too late for that list: they may not be in it themselves.
    pub(super) next: BTreeSet<ConnectionId>,
}

#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) readers: BTreeSet<ConnectionId>,
    pub(super) changes: Vec<MemberChange>,
    /// There were more changes than are kept.
    pub(super) outdated: bool,
}

#[derive(Debug)]
struct Page {
    frame: Encoded,
    /// The start of the next page; `None` after the last one.
    next: Option<String>,
}

fn apply(change: MemberChange, members: &mut BTreeMap<String, Member>) {
    match change {
        MemberChange::Joined(member) => members.insert(member.join.clone(), member),
        MemberChange::Left(member) => members.remove(&member.join),
    };
}

impl List {
    pub(super) fn is_over(&self) -> bool {
        self.listing.is_empty() && self.asked.is_none()
    }

    pub(super) fn ask(
        &mut self,
        channel: &Channel,
        readers: BTreeSet<ConnectionId>,
        cx: &mut Context,
    ) {
        self.asked = Some(Asked { readers, ..Asked::default() });
        cx.ask(Asker::Node, StoreRequest::Members { channel: channel.clone() });
    }

    /// Replaces the list, and applies the changes since its request.
    pub(super) fn replace(&mut self, members: Vec<Member>, changes: Vec<MemberChange>) {
        let by_join = |member: Member| (member.join.clone(), member);
        self.members = members.into_iter().take(limits::MEMBERS).map(by_join).collect();
        self.pages.clear();
        for change in changes {
            apply(change, &mut self.members);
        }
    }

    pub(super) fn change(&mut self, change: MemberChange) {
        if let Some(asked) = &mut self.asked {
            if asked.changes.len() < MOST_CHANGES {
                asked.changes.push(change.clone());
            } else {
                asked.outdated = true;
            }
        }
        if !self.is_over() {
            self.pages.clear();
            apply(change, &mut self.members);
        }
    }

    /// The page after a place, and the start of the next one.
    pub(super) fn page(
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
}

impl Page {
    fn new(channel: &Channel, all: &BTreeMap<String, Member>, after: Option<&String>) -> Self {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest =
            all.range::<String, _>((from, Bound::Unbounded)).map(|(_, member)| member).peekable();
        let (mut members, mut bytes) = (Vec::new(), 0_usize);
        // At least one, whatever its size.
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
