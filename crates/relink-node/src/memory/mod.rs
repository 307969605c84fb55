//! [`MemoryStore`]: the store of a server in one process.

mod ledger;
mod log;
mod sessions;
mod stays;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::{Full, HistoryConfig, Publication, StoreEvent, StoreRequest, StoreResponse, Stream};
use relink::internal::earliest;
use relink::{Channel, ConfigError, Instant, Message, SessionId};

use ledger::Ledger;
use log::Log;
use sessions::Kept;
use stays::Stays;

/// The maximum number of events that wait; beyond it they collapse to [`StoreEvent::Lagged`].
const MOST_NEWS: usize = 16 * 1024;

/// Streams, sessions and members in memory: for a server in one process, and for tests.
///
/// It answers [`StoreRequest`]s and respects the bounds of its [`HistoryConfig`]. Expired data is
/// removed in order of time, so that no answer costs more if there are many sessions. A stream
/// without writes, reads and watches for twice `max_age` is dropped, or earlier if room is needed;
/// if it is created again, it has another epoch, so that an old position is noticed.
///
/// ```
/// use relink::Instant;
/// use relink_node::{StoreResponse, HistoryConfig, MemoryStore, StoreEvent, StoreRequest, Stream};
///
/// let mut history = MemoryStore::new(HistoryConfig::default(), 7)?;
/// let lobby = Stream::Channel("lobby".into());
/// let publish = StoreRequest::Publish { session: None, publications: vec![(lobby.clone(), "hello".into())] };
/// assert_eq!(history.answer(publish, Instant::ORIGIN), StoreResponse::Done);
/// assert!(matches!(history.poll_news(), Some(StoreEvent::Published { publication, .. }) if publication.offset == 1));
///
/// let since = StoreRequest::Read { stream: lobby, after: None, limit: 100, by: None };
/// assert!(matches!(history.answer(since, Instant::ORIGIN), StoreResponse::Read { top, .. } if top.offset == 1));
/// # Ok::<(), relink::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct MemoryStore {
    config: HistoryConfig,
    /// The generator of epochs.
    seed: u64,
    now: Instant,
    streams: BTreeMap<Stream, Log>,
    sessions: BTreeMap<SessionId, Kept>,
    channels: BTreeMap<Channel, Stays>,
    watched: BTreeMap<Stream, usize>,
    /// When each session is checked. It has one entry; if it has been extended, the entry moves at
    /// the check, not before.
    sessions_due: BTreeSet<(Instant, SessionId)>,
    /// When each stream is checked: those with the oldest messages come first.
    streams_due: BTreeSet<(Instant, Stream)>,
    /// Empty channels, perhaps without watchers: the first to be dropped if room is needed.
    spare: BTreeSet<Stream>,
    ledger: Ledger,
    news: VecDeque<StoreEvent>,
}

impl MemoryStore {
    /// Creates an empty store. Epochs are drawn from `seed`: use another one for every process, or
    /// positions from before a restart seem valid.
    ///
    /// # Errors
    ///
    /// The first field of the configuration that cannot work.
    pub fn new(config: HistoryConfig, seed: u64) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            config,
            seed,
            now: Instant::ORIGIN,
            streams: BTreeMap::new(),
            sessions: BTreeMap::new(),
            channels: BTreeMap::new(),
            watched: BTreeMap::new(),
            sessions_due: BTreeSet::new(),
            streams_due: BTreeSet::new(),
            spare: BTreeSet::new(),
            ledger: Ledger::default(),
            news: VecDeque::new(),
        })
    }

    /// Answers a request.
    pub fn answer(&mut self, question: StoreRequest, now: Instant) -> StoreResponse {
        self.handle_timeout(now);
        match question {
            StoreRequest::Create { session, user } => self.create(session, user),
            StoreRequest::Resume { session, user } => self.resume(session, &user),
            StoreRequest::Touch { sessions } => StoreResponse::Touched {
                lost: sessions.into_iter().filter(|session| !self.keep(session)).collect(),
            },
            StoreRequest::End { session, generation } => {
                if self.sessions.get(&session).is_some_and(|kept| kept.generation == generation) {
                    self.forget_session(&session);
                }
                StoreResponse::Done
            }
            StoreRequest::EndUser { user, ago, frame } => self.end_user(&user, ago, &frame),
            StoreRequest::Commit { session, generation, serial, publications, rejection } => {
                self.commit(&session, generation, serial, publications, rejection)
            }
            StoreRequest::Publish { session, publications } => {
                let payer = session.as_ref().map(|session| self.payer_of(session));
                if payer == Some(None) {
                    return StoreResponse::Unknown;
                }
                let payer = payer.flatten();
                if let Err(full) = self.make_room(payer.as_deref(), &publications) {
                    return StoreResponse::Full(full);
                }
                self.publish(publications, payer.as_ref());
                StoreResponse::Done
            }
            StoreRequest::Read { stream, after, limit, by } => {
                let payer = by.as_ref().and_then(|session| self.payer_of(session));
                if let Err(full) = self.make_room_for(&stream, payer.as_deref()) {
                    return StoreResponse::Full(full);
                }
                let Some(log) = self.log(&stream, payer.as_ref()) else {
                    return StoreResponse::Unknown;
                };
                let missed =
                    after.map_or_else(|| Some(Vec::new()), |after| log.since(after, limit));
                StoreResponse::Read { top: log.top(), missed }
            }
            StoreRequest::Join { channel, session, member, lease } => {
                self.join(channel, session, member, lease)
            }
            StoreRequest::Leave { channel, session, lease } => {
                self.leave(&channel, &session, Some(lease));
                StoreResponse::Done
            }
            StoreRequest::Members { channel } => {
                let stays = self.channels.get(&channel);
                StoreResponse::Members(stays.into_iter().flat_map(Stays::members).collect())
            }
        }
    }

    /// The next event for all nodes. There is one queue: a driver with several nodes passes each of
    /// them a copy.
    #[must_use]
    pub fn poll_news(&mut self) -> Option<StoreEvent> {
        self.news.pop_front()
    }

    /// A node watches a stream: it is not dropped for being idle, so that its readers' positions
    /// stay valid.
    pub fn watch(&mut self, stream: Stream) {
        let watchers = self.watched.entry(stream).or_default();
        *watchers = watchers.saturating_add(1);
    }

    /// A node does not watch a stream any more.
    pub fn unwatch(&mut self, stream: &Stream) {
        let Some(watchers) = self.watched.get_mut(stream) else { return };
        *watchers = watchers.saturating_sub(1);
        if *watchers == 0 {
            self.watched.remove(stream);
            self.spare(stream);
        }
    }

    /// When something will expire. Each request removes expired data; this is for events of members
    /// that left while there are no requests.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let session = self.sessions_due.first().map(|(at, _)| *at);
        let stream = self.streams_due.first().map(|(at, _)| *at);
        earliest([session, stream])
    }

    /// Removes what has expired at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now <= self.now {
            return;
        }
        self.now = now;
        let is_due = |at: Instant| at <= now && at < Instant::END;
        while self.sessions_due.first().is_some_and(|(at, _)| is_due(*at)) {
            if let Some((_, session)) = self.sessions_due.pop_first() {
                self.expire_session(session);
            }
        }
        while self.streams_due.first().is_some_and(|(at, _)| is_due(*at)) {
            if let Some((_, stream)) = self.streams_due.pop_first() {
                self.expire_stream(stream);
            }
        }
    }

    /// The number of sessions.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The number of streams.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The bytes that count against [`max_total_bytes`](HistoryConfig::max_total_bytes).
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.ledger.bytes()
    }

    /// The number of kept messages of a stream, and their bytes.
    #[must_use]
    pub fn kept(&self, stream: &Stream) -> (usize, usize) {
        self.streams.get(stream).map_or((0, 0), Log::kept)
    }

    /// Makes room for these bytes, within the limit of the user; the application has only the total
    /// limit.
    fn make_room(
        &mut self,
        user: Option<&str>,
        publications: &[(Stream, Message)],
    ) -> Result<(), Full> {
        if publications.is_empty() {
            return Ok(());
        }
        let streams = publications.iter().map(|(stream, _)| stream);
        let begun: BTreeSet<&Stream> =
            streams.filter(|stream| !self.streams.contains_key(stream)).collect();
        let begun = begun.len();
        let sizes = publications.iter().map(|(_, message)| ledger::size(message));
        let wanted = sizes.fold(begun.saturating_mul(ledger::STREAM), usize::saturating_add);
        if user.is_some_and(|user| !self.may_keep(user, wanted)) {
            return Err(Full::User);
        }
        if self.squeeze(wanted) { Ok(()) } else { Err(Full::Store) }
    }

    /// Makes room for a stream, if it does not exist.
    fn make_room_for(&mut self, stream: &Stream, user: Option<&str>) -> Result<(), Full> {
        if self.streams.contains_key(stream) {
            return Ok(());
        }
        if user.is_some_and(|user| !self.may_keep(user, ledger::STREAM)) {
            return Err(Full::User);
        }
        if self.squeeze(ledger::STREAM) { Ok(()) } else { Err(Full::Store) }
    }

    fn may_keep(&self, user: &str, wanted: usize) -> bool {
        self.ledger.bytes_of(user).saturating_add(wanted) <= self.config.user_bytes
    }

    fn publish(&mut self, publications: Vec<(Stream, Message)>, by: Option<&Arc<str>>) {
        let (config, now) = (self.config, self.now);
        for (stream, message) in publications {
            if self.log(&stream, by).is_none() {
                continue;
            }
            let Some(log) = self.streams.get_mut(&stream) else { continue };
            let publication: Publication =
                log.append(message, by.cloned(), &config, &mut self.ledger, now);
            let (epoch, due) = (log.top().epoch, log.due);
            let too_old_at = now + config.max_age;
            if too_old_at < due {
                // It was empty, and its check was later than its first message requires.
                self.look_at(stream.clone(), too_old_at);
            }
            self.spare.remove(&stream);
            self.squeeze(0);
            self.tell(StoreEvent::Published { stream, epoch, publication });
        }
    }

    /// Makes room in total, if that is possible: drops empty channels without watchers, then the
    /// oldest messages of all.
    fn squeeze(&mut self, wanted: usize) -> bool {
        let most = self.config.max_total_bytes;
        while wanted <= most && self.ledger.bytes().saturating_add(wanted) > most {
            if let Some(stream) = self.spare.pop_first() {
                let is_empty = self.streams.get(&stream).is_some_and(Log::is_empty);
                if is_empty && !self.is_pinned(&stream) {
                    self.forget_stream(&stream);
                }
                continue;
            }
            // A stream with a message is checked at the latest when that expires.
            let holds = self.now + self.config.max_age;
            let first = self.streams_due.first().filter(|(at, _)| *at <= holds).cloned();
            let Some((_, stream)) = first else { return false };
            let Some(log) = self.streams.get_mut(&stream) else { return false };
            log.forget_oldest(&mut self.ledger);
            let at = log.looks_at(&self.config);
            self.spare(&stream);
            self.look_at(stream, at.unwrap_or(self.now + self.config.max_age.saturating_mul(2)));
        }
        wanted <= most
    }

    /// A channel may have become one to drop if room is needed.
    fn spare(&mut self, stream: &Stream) {
        let is_empty = self.streams.get(stream).is_some_and(Log::is_empty);
        if is_empty && !self.is_pinned(stream) {
            self.spare.insert(stream.clone());
        }
    }

    fn is_pinned(&self, stream: &Stream) -> bool {
        match stream {
            Stream::Session(session) => self.sessions.contains_key(session),
            Stream::Channel(_) => self.watched.contains_key(stream),
        }
    }

    /// Moves a stream in the order of time.
    fn look_at(&mut self, stream: Stream, at: Instant) {
        let Some(log) = self.streams.get_mut(&stream) else { return };
        let before = core::mem::replace(&mut log.due, at);
        self.streams_due.remove(&(before, stream.clone()));
        self.streams_due.insert((at, stream));
    }

    fn forget_stream(&mut self, stream: &Stream) {
        let Some(mut log) = self.streams.remove(stream) else { return };
        while log.forget_oldest(&mut self.ledger) {}
        self.ledger.forget(ledger::STREAM, log.by.as_ref());
        self.spare.remove(stream);
        self.streams_due.remove(&(log.due, stream.clone()));
    }

    /// The log of a stream, created if needed; `None` for the stream of a session that does not
    /// exist.
    fn log(&mut self, stream: &Stream, by: Option<&Arc<str>>) -> Option<&mut Log> {
        if !self.streams.contains_key(stream) {
            if let Stream::Session(session) = stream {
                self.sessions.get(session)?;
            }
            let due = self.now + self.config.max_age.saturating_mul(2);
            let log = Log::new(self.draw_epoch(), by.cloned(), due, self.now);
            self.streams_due.insert((due, stream.clone()));
            self.streams.insert(stream.clone(), log);
            self.ledger.keep(ledger::STREAM, by);
            self.spare(stream);
        }
        let log = self.streams.get_mut(stream)?;
        log.touch(self.now);
        Some(log)
    }

    fn expire_stream(&mut self, stream: Stream) {
        let pinned = self.is_pinned(&stream);
        let Some(log) = self.streams.get_mut(&stream) else { return };
        match log.expire(&self.config, &mut self.ledger, pinned, self.now) {
            Some(at) => {
                self.spare(&stream);
                self.look_at(stream, at);
            }
            None => self.forget_stream(&stream),
        }
    }

    fn tell(&mut self, news: StoreEvent) {
        if self.news.len() >= MOST_NEWS {
            self.news.clear();
            self.news.push_back(StoreEvent::Lagged);
        }
        self.news.push_back(news);
    }

    /// The next number of SplitMix64: well mixed, and never the same twice in a row.
    fn draw_epoch(&mut self) -> u32 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 32) as u32
    }
}
