//! Streams and their readers: each reader is live, or fetches what it missed until it is, without a
//! gap in between.

mod lookups;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::node::connections::Offered;
use crate::node::context::Context;
use crate::node::groups::Groups;
use crate::node::shared_frame::Page;
use crate::node::store_requests::Asker;
use crate::node::{ConnectionId, NodeAction, StoreRequestId};
use crate::{Publication, StoreRequest, Stream};
use relink::Position;
use relink::internal::count;

pub(crate) use lookups::LookedUp;
use lookups::Lookup;

/// All streams with a reader here.
#[derive(Debug)]
pub(crate) struct Streams {
    watched: BTreeMap<Stream, Watched>,
    lookups: BTreeMap<(Stream, Option<Position>), Lookup>,
    /// The streams that each connection gets no more of until its socket has room.
    paused: Groups<ConnectionId, Stream>,
}

/// The place of one connection in one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follow {
    /// The place is not known yet: it comes with the welcome.
    Waiting,
    /// The messages after this position are being looked up.
    Seeking { after: Option<Position>, greet: Greet },
    /// Everything was sent, up to here.
    Live(Position),
    /// Everything up to here was sent; the rest stays in the store until the socket has room.
    Paused(Position),
}

/// The frame that a reader gets with the result of a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Greet {
    /// Subscribed; it says whether anything was missed.
    First,
    /// None: it goes on.
    Silent,
    /// Subscribed, with messages missed: its place was lost.
    Lost,
}

/// A stream with a reader here.
#[derive(Debug, Default)]
struct Watched {
    readers: BTreeMap<ConnectionId, Follow>,
    /// The last news of it, and the id of the next request then. Responses and news come by
    /// different ways: one to an earlier request may not know of the news, and a reader that were
    /// taken for live after it would miss them.
    heard: Option<(Position, StoreRequestId)>,
    checking: bool,
    check_again: bool,
}

impl Follow {
    /// Everything up to here was requested or sent.
    const fn place(self) -> Option<Position> {
        match self {
            Self::Waiting => None,
            Self::Seeking { after, .. } => after,
            Self::Live(at) | Self::Paused(at) => Some(at),
        }
    }

    /// The frame for the response to the look-up of a place, if it waits for that.
    fn seeks(self, place: Option<Position>) -> Option<Greet> {
        match self {
            Self::Seeking { after, greet } if after == place => Some(greet),
            Self::Seeking { .. } | Self::Waiting | Self::Live(_) | Self::Paused(_) => None,
        }
    }
}

impl Watched {
    /// Whether there were events that this response does not include.
    fn is_behind_news(&mut self, request: StoreRequestId, top: Position) -> bool {
        let Some((heard, mark)) = self.heard else { return false };
        if heard.epoch == top.epoch {
            return heard.offset > top.offset;
        }
        if request < mark {
            return true;
        }
        // Offsets of two epochs cannot be compared. The store was asked after these news and has
        // another epoch now.
        self.heard = Some((top, mark));
        false
    }
}

impl Streams {
    pub(crate) const fn new() -> Self {
        Self { watched: BTreeMap::new(), lookups: BTreeMap::new(), paused: Groups::new() }
    }

    pub(crate) fn is_watched(&self, stream: &Stream) -> bool {
        self.watched.contains_key(stream)
    }

    /// Watches a stream for this connection.
    pub(crate) fn watch(&mut self, id: ConnectionId, stream: &Stream, cx: &mut Context) {
        if !self.watched.contains_key(stream) {
            cx.act(NodeAction::Watch { stream: stream.clone() });
        }
        let watched = self.watched.entry(stream.clone()).or_default();
        watched.readers.entry(id).or_insert(Follow::Waiting);
    }

    pub(crate) fn unwatch(&mut self, id: ConnectionId, stream: &Stream, cx: &mut Context) {
        self.set_follow(id, stream, Follow::Waiting);
        let Some(watched) = self.watched.get_mut(stream) else { return };
        watched.readers.remove(&id);
        if watched.readers.is_empty() {
            self.watched.remove(stream);
            cx.act(NodeAction::Unwatch { stream: stream.clone() });
        }
    }

    /// A subscription is allowed: it begins after a position, or now.
    pub(crate) fn begin(
        &mut self,
        id: ConnectionId,
        stream: &Stream,
        since: Option<Position>,
        cx: &mut Context,
    ) {
        self.watch(id, stream, cx);
        self.look_up(id, stream, since, Greet::First, cx);
    }

    /// Starts the session's own stream at the position of the welcome, with the messages that the
    /// store had after it.
    pub(crate) fn begin_welcome(
        &mut self,
        id: ConnectionId,
        stream: &Stream,
        position: Position,
        response: (StoreRequestId, Position, Vec<Publication>),
        cx: &mut Context,
    ) {
        let (request, top, missed) = response;
        let behind = self.is_behind_news(stream, request, top);
        let follow = send_page(id, position, &mut Page::new(stream, missed), cx);
        self.set_follow(id, stream, follow);
        if let Follow::Live(end) = follow {
            if behind || end.offset < top.offset {
                self.look_up(id, stream, Some(end), Greet::Silent, cx);
            }
        }
    }

    /// The place of a connection in a stream, or the one that it seeks.
    pub(crate) fn place(&self, id: ConnectionId, stream: &Stream) -> Option<Position> {
        self.follow(id, stream)?.place()
    }

    pub(crate) fn state(&self, id: ConnectionId, stream: &Stream) -> Option<String> {
        self.follow(id, stream).map(|follow| format!("{follow:?}"))
    }

    fn follow(&self, id: ConnectionId, stream: &Stream) -> Option<Follow> {
        self.watched.get(stream)?.readers.get(&id).copied()
    }

    fn set_follow(&mut self, id: ConnectionId, stream: &Stream, to: Follow) {
        let Some(watched) = self.watched.get_mut(stream) else { return };
        let Some(follow) = watched.readers.get_mut(&id) else { return };
        *follow = to;
        if matches!(to, Follow::Paused(_)) {
            self.paused.insert(&id, stream.clone());
        } else {
            self.paused.remove(&id, stream);
        }
    }

    fn is_behind_news(&mut self, stream: &Stream, request: StoreRequestId, top: Position) -> bool {
        self.watched.get_mut(stream).is_some_and(|watched| watched.is_behind_news(request, top))
    }

    /// The socket has room again: paused streams continue from the store.
    pub(crate) fn resume(&mut self, id: ConnectionId, cx: &mut Context) {
        for stream in self.paused.all(&id) {
            if let Some(Follow::Paused(at)) = self.follow(id, &stream) {
                self.look_up(id, &stream, Some(at), Greet::Silent, cx);
            }
        }
    }

    /// A message was appended.
    pub(crate) fn published(
        &mut self,
        stream: &Stream,
        epoch: u32,
        publication: Publication,
        cx: &mut Context,
    ) {
        let Some(watched) = self.watched.get_mut(stream) else { return };
        let news = Position::new(epoch, publication.offset);
        let is_newer = watched
            .heard
            .is_none_or(|(heard, _)| heard.epoch != epoch || heard.offset < news.offset);
        if is_newer {
            watched.heard = Some((news, cx.requests.next_id()));
        }
        let mut page = Page::new(stream, vec![publication]);
        let mut behind = Vec::new();
        for (id, follow) in &mut watched.readers {
            let Follow::Live(at) = *follow else { continue };
            if at.epoch == epoch && news.offset <= at.offset {
                continue;
            }
            if at.epoch != epoch || Some(news.offset) != at.offset.checked_add(1) {
                behind.push((*id, at));
                continue;
            }
            *follow = send_page(*id, at, &mut page, cx);
            if matches!(follow, Follow::Paused(_)) {
                self.paused.insert(id, stream.clone());
            }
        }
        for (id, at) in behind {
            self.look_up(id, stream, Some(at), Greet::Silent, cx);
        }
    }

    /// Events may have been lost: reads the top of every watched stream.
    pub(crate) fn check_all(&mut self, cx: &mut Context) {
        for (stream, watched) in &mut self.watched {
            watched.check(stream, cx);
        }
    }

    /// The store responds with a stream's top.
    pub(crate) fn checked(&mut self, stream: &Stream, top: Position, cx: &mut Context) {
        let Some(watched) = self.watched.get_mut(stream) else { return };
        watched.checking = false;
        let again = core::mem::take(&mut watched.check_again);
        for (id, at) in watched.live() {
            if at.epoch != top.epoch || at.offset < top.offset {
                self.look_up(id, stream, Some(at), Greet::Silent, cx);
            }
        }
        if let Some(watched) = self.watched.get_mut(stream).filter(|_| again) {
            watched.check(stream, cx);
        }
    }
}

impl Watched {
    fn live(&self) -> Vec<(ConnectionId, Position)> {
        let live = |(id, follow): (&ConnectionId, &Follow)| match follow {
            Follow::Live(at) => Some((*id, *at)),
            Follow::Waiting | Follow::Seeking { .. } | Follow::Paused(_) => None,
        };
        self.readers.iter().filter_map(live).collect()
    }

    fn check(&mut self, stream: &Stream, cx: &mut Context) {
        if self.checking {
            self.check_again = true;
            return;
        }
        self.checking = true;
        let stream = stream.clone();
        cx.ask(Asker::Node, StoreRequest::Read { stream, after: None, limit: 1, by: None });
    }
}

/// Sends what follows a place, as far as there is room. Returns the reader's new state.
fn send_page(id: ConnectionId, after: Position, page: &mut Page, cx: &mut Context) -> Follow {
    let mut at = after;
    let mut is_full = false;
    for (offset, message) in &mut page.messages {
        if *offset <= at.offset {
            continue;
        }
        if Some(*offset) != at.offset.checked_add(1) {
            break;
        }
        match cx.connections.offer(id, message) {
            Offered::Queued { is_withheld } => {
                at.offset = *offset;
                count(&mut cx.stats.delivered);
                if is_withheld {
                    count(&mut cx.stats.withheld);
                }
            }
            Offered::Full => {
                is_full = true;
                count(&mut cx.stats.slow);
                break;
            }
            Offered::Gone => break,
        }
    }
    if is_full { Follow::Paused(at) } else { Follow::Live(at) }
}
