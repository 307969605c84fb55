//! Readers of streams: each is live, or fetches what it missed until it is; in between lies no
//! hole.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use rand_core::Rng;

use crate::node::shared_frame::Page;
use crate::node::store_requests::Asker;
use crate::node::{ConnectionId, Node, NodeAction, StoreRequestId};
use crate::{Publication, StoreRequest, Stream};
use relink::Position;
use relink::internal::count;
use relink_v1::ServerFrame;

/// Where one connection is in one stream.
#[derive(Debug)]
pub(super) enum Follow {
    /// Waiting for authorization; `since` is the requested start.
    Asked { since: Option<Position> },
    /// What comes after this place is being looked up.
    Seeking { after: Option<Position>, greet: Greet },
    /// Everything up to here was sent, and there is no more.
    Live(Position),
    /// Everything up to here was sent; the rest stays in the store until the socket has room.
    Paused(Position),
}

/// What a reader is told with the result of a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Greet {
    /// It is subscribed, and whether it missed anything.
    First,
    /// Nothing: it goes on.
    Silent,
    /// That it missed something: its place was lost.
    Lost,
}

/// A stream that somebody here reads.
#[derive(Debug, Default)]
pub(super) struct Watched {
    readers: BTreeSet<ConnectionId>,
    /// The last news of it, and the number of the next question then: an answer to an earlier one
    /// may not know of it.
    heard: Option<(Position, StoreRequestId)>,
    checking: bool,
    check_again: bool,
}

impl Follow {
    /// Everything up to here was asked for or sent.
    pub(super) const fn place(&self) -> Option<Position> {
        match self {
            Self::Asked { since } => *since,
            Self::Seeking { after, .. } => *after,
            Self::Live(at) | Self::Paused(at) => Some(*at),
        }
    }

    /// From where on it would be, if it may.
    pub(super) const fn wanted(&self) -> Option<Option<Position>> {
        match self {
            Self::Asked { since } => Some(*since),
            Self::Seeking { .. } | Self::Live(_) | Self::Paused(_) => None,
        }
    }

    /// What is told with the answer, where it looks up exactly this.
    pub(super) fn seeks(&self, place: Option<Position>) -> Option<Greet> {
        match self {
            Self::Seeking { after, greet } if *after == place => Some(*greet),
            Self::Seeking { .. } | Self::Asked { .. } | Self::Live(_) | Self::Paused(_) => None,
        }
    }
}

impl<R: Rng> Node<R> {
    /// From now on, news of the stream reach this connection.
    pub(super) fn watch(&mut self, id: ConnectionId, stream: &Stream) {
        if !self.streams.contains_key(stream) {
            self.actions.push_back(NodeAction::Watch { stream: stream.clone() });
        }
        self.streams.entry(stream.clone()).or_default().readers.insert(id);
    }

    pub(super) fn unwatch(&mut self, id: ConnectionId, stream: &Stream) {
        let Some(watched) = self.streams.get_mut(stream) else { return };
        watched.readers.remove(&id);
        if watched.readers.is_empty() {
            self.streams.remove(stream);
            self.actions.push_back(NodeAction::Unwatch { stream: stream.clone() });
        }
    }

    pub(super) fn follow(&mut self, id: ConnectionId, stream: &Stream) -> Option<&mut Follow> {
        let connection = self.connections.get_mut(&id)?;
        match stream {
            Stream::Session(_) => connection.own.as_mut(),
            Stream::Channel(channel) => {
                connection.subscription(channel).map(|subscription| &mut subscription.follow)
            }
        }
    }

    /// Whether there were news that this answer does not know of.
    pub(super) fn is_behind_news(
        &mut self,
        stream: &Stream,
        question: StoreRequestId,
        top: Position,
    ) -> bool {
        let Some(watched) = self.streams.get_mut(stream) else { return false };
        let Some((heard, mark)) = watched.heard else { return false };
        if heard.epoch == top.epoch {
            return heard.offset > top.offset;
        }
        if question < mark {
            return true;
        }
        // The store was asked after these news and says that another epoch is the present one.
        watched.heard = Some((top, mark));
        false
    }

    /// Tells a reader of a channel where it begins. For the session's own stream the welcome does.
    pub(super) fn begin(
        &mut self,
        id: ConnectionId,
        stream: &Stream,
        position: Position,
        recovered: bool,
    ) {
        if let Stream::Channel(channel) = stream {
            self.push(
                id,
                &ServerFrame::Subscribed { channel: channel.clone(), position, recovered },
            );
            self.take_seat(id, channel);
        }
    }

    /// Sends what fits; returns the place after it, or `None` where the socket is full and the
    /// reader paused.
    pub(super) fn send_page(
        &mut self,
        id: ConnectionId,
        stream: &Stream,
        after: Position,
        page: &mut Page,
    ) -> Option<Position> {
        let most = self.config.max_outbound_bytes;
        let mut at = after;
        let mut full = false;
        for (offset, message) in &mut page.messages {
            let Some(connection) = self.connections.get_mut(&id) else { break };
            if *offset <= at.offset {
                continue;
            }
            if Some(*offset) != at.offset.checked_add(1) {
                break;
            }
            if connection.out.bytes() > most {
                full = true;
                break;
            }
            let (message, is_withheld) =
                message.get_within(connection.out.encoding, connection.out.most);
            if is_withheld {
                count(&mut self.stats.withheld);
            }
            connection.out.push(message);
            connection.out.publications = connection.out.publications.saturating_add(1);
            count(&mut self.stats.delivered);
            at.offset = *offset;
        }
        if at != after {
            self.ready(id);
        }
        if full {
            count(&mut self.stats.slow);
        }
        self.set_follow(id, stream, if full { Follow::Paused(at) } else { Follow::Live(at) });
        self.review_reading(id);
        (!full).then_some(at)
    }

    pub(super) fn set_follow(&mut self, id: ConnectionId, stream: &Stream, to: Follow) {
        if let Some(follow) = self.follow(id, stream) {
            *follow = to;
        }
    }

    /// The socket has room again: whoever was paused goes on from the store.
    pub(super) fn go_on(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        let paused = |follow: &Follow| match follow {
            Follow::Paused(at) => Some(*at),
            Follow::Asked { .. } | Follow::Seeking { .. } | Follow::Live(_) => None,
        };
        let mut again = Vec::new();
        if let (Some(at), Some(session)) =
            (connection.own.as_ref().and_then(paused), &connection.session)
        {
            again.push((Stream::Session(session.clone()), at));
        }
        for (channel, subscription) in &connection.channels {
            again.extend(
                paused(&subscription.follow).map(|at| (Stream::Channel(channel.clone()), at)),
            );
        }
        for (stream, at) in again {
            self.look_up(id, &stream, Some(at), Greet::Silent);
        }
        self.refresh_seats(id);
    }

    /// The store says that a message was appended.
    pub(super) fn published(&mut self, stream: &Stream, epoch: u32, publication: Publication) {
        let mark = StoreRequestId(self.next_number());
        let Some(watched) = self.streams.get_mut(stream) else { return };
        let news = Position::new(epoch, publication.offset);
        let newer = watched
            .heard
            .is_none_or(|(heard, _)| heard.epoch != epoch || heard.offset < news.offset);
        if newer {
            watched.heard = Some((news, mark));
        }
        let readers: Vec<ConnectionId> = watched.readers.iter().copied().collect();
        let mut page = Page::new(stream, alloc::vec![publication]);
        for id in readers {
            let Some(Follow::Live(at)) = self.follow(id, stream) else { continue };
            let at = *at;
            if at.epoch == epoch && news.offset <= at.offset {
                continue;
            }
            if at.epoch == epoch && Some(news.offset) == at.offset.checked_add(1) {
                self.send_page(id, stream, at, &mut page);
            } else {
                self.look_up(id, stream, Some(at), Greet::Silent);
            }
        }
    }

    /// It was asked about the stream of a session that there is no more.
    pub(super) fn page_is_over(&mut self, stream: &Stream, after: Option<Position>) {
        if let Some(lookup) = self.lookups.remove(&(stream.clone(), after)) {
            self.give_back(lookup.asker);
        }
        self.stream_is_over(stream);
    }

    pub(super) fn stream_is_over(&mut self, stream: &Stream) {
        if let Stream::Session(session) = stream {
            self.lose_intake(session, "the session is gone");
        }
    }

    /// News may have been lost: looks at the top of everything that is watched.
    pub(super) fn doubt(&mut self) {
        let streams: Vec<Stream> = self.streams.keys().cloned().collect();
        for stream in streams {
            self.check(&stream);
            if let Stream::Channel(channel) = &stream {
                self.refresh_roster(channel);
            }
        }
    }

    fn check(&mut self, stream: &Stream) {
        let Some(watched) = self.streams.get_mut(stream) else { return };
        if watched.checking {
            watched.check_again = true;
            return;
        }
        watched.checking = true;
        let stream = stream.clone();
        self.request(Asker::Node, StoreRequest::Read { stream, after: None, limit: 1, by: None });
    }

    pub(super) fn checked(&mut self, stream: &Stream, top: Position) {
        let Some(watched) = self.streams.get_mut(stream) else { return };
        watched.checking = false;
        let again = core::mem::take(&mut watched.check_again);
        let readers: Vec<ConnectionId> = watched.readers.iter().copied().collect();
        for id in readers {
            let Some(Follow::Live(at)) = self.follow(id, stream) else { continue };
            let at = *at;
            if at.epoch != top.epoch || at.offset < top.offset {
                self.look_up(id, stream, Some(at), Greet::Silent);
            }
        }
        if again {
            self.check(stream);
        }
    }
}

impl Watched {
    pub(super) fn readers(&self) -> Vec<ConnectionId> {
        self.readers.iter().copied().collect()
    }
}
