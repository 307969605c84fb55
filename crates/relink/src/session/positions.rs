//! The position in each stream that is followed: which messages are new, duplicate or missing, and
//! how many the application has taken.

use alloc::collections::{BTreeMap, VecDeque};

use crate::session::ids::{Channel, Position};

/// A stream: a channel's, or with `None` the session's own.
pub(crate) type Stream = Option<Channel>;

/// Maximum number of runs of messages that are remembered one by one until they are taken. A driver
/// stops reading long before its application is that far behind; beyond that, a position moves in
/// larger steps.
const MAX_RUNS: usize = 4_096;

/// What an offset means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The next one, with its position.
    New(Position),
    /// It arrived before.
    Duplicate,
    /// Something before it is missing.
    Gap,
    /// This stream is not followed on this transport.
    Unknown,
}

/// Two positions for each stream. What was `received` is not delivered twice; what was `taken` is
/// not requested again: a resume starts after the last message that the application has taken, and
/// what it still has to take is dropped when it arrives again.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    tracks: BTreeMap<Stream, Track>,
    untaken: VecDeque<Run>,
    /// The tracks that have messages in no run, by the number of the last of these among all.
    crowded: BTreeMap<u64, Stream>,
    /// The number of messages of all kinds that were delivered to the application.
    told: u64,
    /// The number of those that it has taken.
    taken: u64,
    /// The number of publications that arrived on the current transport, including duplicates.
    pub(crate) on_transport: u64,
}

#[derive(Debug)]
struct Track {
    received: Position,
    taken: Position,
    /// The peer has announced on this transport where the stream continues.
    open: bool,
    /// The last message that is in no run for lack of room: its number among all, and its offset.
    crowded: Option<(u64, u64)>,
}

/// Adjacent messages of one stream that were delivered one after the other.
#[derive(Debug)]
struct Run {
    stream: Stream,
    epoch: u32,
    /// The number of the last one among all delivered messages, and its offset.
    last: (u64, u64),
    count: u64,
}

impl Run {
    /// Whether this message continues the run.
    fn goes_on(&self, stream: &Stream, position: Position, told: u64) -> bool {
        self.stream == *stream
            && self.epoch == position.epoch
            && self.last.0.checked_add(1) == Some(told)
            && self.last.1.checked_add(1) == Some(position.offset)
    }
}

impl Inbox {
    /// Starts with a new transport, on which the peer has to announce first where each stream
    /// continues.
    pub(crate) fn new_transport(&mut self) {
        self.on_transport = 0;
        self.tracks.values_mut().for_each(|track| track.open = false);
    }

    /// Where to resume: after the last message that the application has taken.
    pub(crate) fn position(&self, stream: &Stream) -> Option<Position> {
        self.tracks.get(stream).map(|track| track.taken)
    }

    /// The peer continues after `position`. Returns true if no message is skipped.
    pub(crate) fn go_on(&mut self, stream: Stream, position: Position, recovered: bool) -> bool {
        let fits = |track: &Track| {
            recovered
                && track.received.epoch == position.epoch
                && track.received.offset >= position.offset
        };
        match self.tracks.get_mut(&stream) {
            Some(track) if fits(track) => {
                track.open = true;
                true
            }
            known => {
                let complete = known.is_none() && recovered;
                self.start(stream, position, true);
                complete
            }
        }
    }

    /// Continues where another process stopped, once the peer has agreed.
    pub(crate) fn start(&mut self, stream: Stream, position: Position, open: bool) {
        let track = Track { received: position, taken: position, open, crowded: None };
        let before = self.tracks.insert(stream, track);
        self.leave_crowd(before);
    }

    pub(crate) fn forget(&mut self, stream: &Stream) {
        let before = self.tracks.remove(stream);
        self.leave_crowd(before);
    }

    fn leave_crowd(&mut self, track: Option<Track>) {
        if let Some((told, _)) = track.and_then(|track| track.crowded) {
            self.crowded.remove(&told);
        }
    }

    /// Records a publication that arrived.
    pub(crate) fn arrived(&mut self, stream: &Stream, offset: u64) -> Arrival {
        self.on_transport += 1;
        let Some(track) = self.tracks.get_mut(stream).filter(|track| track.open) else {
            return Arrival::Unknown;
        };
        if offset <= track.received.offset {
            return Arrival::Duplicate;
        }
        if offset - track.received.offset > 1 {
            return Arrival::Gap;
        }
        track.received.offset = offset;
        Arrival::New(track.received)
    }

    /// Counts a delivered message that belongs to no stream.
    pub(crate) fn count_event(&mut self) {
        self.told += 1;
    }

    /// Records a delivered message of a stream.
    pub(crate) fn tell_of(&mut self, stream: &Stream, position: Position) {
        self.told += 1;
        let last = (self.told, position.offset);
        let has_room = self.untaken.len() < MAX_RUNS;
        match self.untaken.back_mut() {
            Some(run) if run.goes_on(stream, position, self.told) => {
                run.last = last;
                run.count += 1;
            }
            _ if has_room => {
                let run = Run { stream: stream.clone(), epoch: position.epoch, last, count: 1 };
                self.untaken.push_back(run);
            }
            _ => {
                let Some(track) = self.tracks.get_mut(stream) else { return };
                if let Some((before, _)) = track.crowded.replace(last) {
                    self.crowded.remove(&before);
                }
                self.crowded.insert(self.told, stream.clone());
            }
        }
    }

    /// Skips a message of a stream that is not delivered: taken at once if all before it are taken.
    pub(crate) fn skip(&mut self, stream: &Stream, position: Position) {
        if let Some(track) = self.tracks.get_mut(stream) {
            if track.taken.offset.checked_add(1) == Some(position.offset) {
                track.taken = position;
            }
        }
    }

    /// The application has taken `count` more messages, the oldest first.
    pub(crate) fn take(&mut self, count: u64) {
        self.taken = self.taken.saturating_add(count).min(self.told);
        while let Some(run) = self.untaken.front_mut() {
            let left = run.last.0.saturating_sub(self.taken);
            if left >= run.count {
                break;
            }
            run.count = left;
            let offset = run.last.1.saturating_sub(left);
            let track = self.tracks.get_mut(&run.stream);
            if let Some(track) = track.filter(|track| track.taken.epoch == run.epoch) {
                track.taken.offset = track.taken.offset.max(offset);
            }
            if left > 0 {
                break;
            }
            self.untaken.pop_front();
        }
        while let Some(entry) = self.crowded.first_entry().filter(|it| *it.key() <= self.taken) {
            let stream = entry.remove();
            let Some(track) = self.tracks.get_mut(&stream) else { continue };
            if let Some((_, offset)) = track.crowded.take() {
                track.taken.offset = track.taken.offset.max(offset);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_5: Position = Position::new(7, 5);

    fn inbox() -> (Inbox, Stream) {
        let (mut inbox, stream) = (Inbox::default(), Some(Channel::from("news")));
        assert!(inbox.go_on(stream.clone(), AT_5, true));
        (inbox, stream)
    }

    #[test]
    fn i24_the_position_moves_when_the_application_takes_the_message() {
        let (mut inbox, stream) = inbox();
        for offset in 6..=8 {
            assert_eq!(inbox.arrived(&stream, offset), Arrival::New(Position::new(7, offset)));
            inbox.tell_of(&stream, Position::new(7, offset));
        }
        assert_eq!(inbox.position(&stream), Some(AT_5));
        inbox.take(1);
        assert_eq!(inbox.position(&stream), Some(Position::new(7, 6)));
        inbox.count_event();
        inbox.take(3);
        assert_eq!(inbox.position(&stream), Some(Position::new(7, 8)));
        inbox.take(u64::MAX);
        assert_eq!(inbox.position(&stream), Some(Position::new(7, 8)));
    }

    #[test]
    fn i26_what_is_on_its_way_to_the_application_is_dropped_when_it_comes_again() {
        let (mut inbox, stream) = inbox();
        inbox.arrived(&stream, 6);
        inbox.tell_of(&stream, Position::new(7, 6));
        inbox.new_transport();
        assert_eq!(inbox.arrived(&stream, 7), Arrival::Unknown);
        assert!(inbox.go_on(stream.clone(), AT_5, true));
        assert_eq!(inbox.arrived(&stream, 6), Arrival::Duplicate);
        assert_eq!(inbox.arrived(&stream, 8), Arrival::Gap);
        assert_eq!(inbox.arrived(&stream, 7), Arrival::New(Position::new(7, 7)));
    }

    #[test]
    fn another_epoch_starts_over_and_says_so() {
        let (mut inbox, stream) = inbox();
        inbox.arrived(&stream, 6);
        inbox.tell_of(&stream, Position::new(7, 6));
        assert!(!inbox.go_on(stream.clone(), Position::new(8, 1), true));
        inbox.take(1);
        assert_eq!(
            inbox.position(&stream),
            Some(Position::new(8, 1)),
            "what was taken belongs to the old epoch"
        );
        assert_eq!(inbox.arrived(&stream, 2), Arrival::New(Position::new(8, 2)));
    }

    #[test]
    fn a_peer_that_skips_ahead_has_lost_something_whatever_it_says() {
        let (mut inbox, stream) = inbox();
        assert!(!inbox.go_on(stream.clone(), Position::new(7, 9), true));
        assert_eq!(inbox.arrived(&stream, 10), Arrival::New(Position::new(7, 10)));
    }

    #[test]
    fn an_application_that_takes_nothing_costs_bounded_memory() {
        let (mut inbox, _) = inbox();
        let streams = [Some(Channel::from("news")), None];
        assert!(inbox.go_on(None, AT_5, true));
        // Alternating, so that no two are adjacent.
        let last = 5 + MAX_RUNS as u64;
        for offset in 6..=last {
            for stream in &streams {
                let Arrival::New(position) = inbox.arrived(stream, offset) else {
                    panic!("the next one")
                };
                inbox.tell_of(stream, position);
            }
        }
        assert_eq!(inbox.untaken.len(), MAX_RUNS);
        inbox.take(MAX_RUNS as u64);
        let half = Position::new(7, 5 + MAX_RUNS as u64 / 2);
        assert!(streams.iter().all(|stream| inbox.position(stream) == Some(half)));
        inbox.take(MAX_RUNS as u64 - 1);
        assert_eq!(
            inbox.position(&streams[0]),
            Some(Position::new(7, last)),
            "all of this one is taken"
        );
        assert_eq!(inbox.position(&streams[1]), Some(half), "never ahead of the application");
        inbox.take(1);
        assert_eq!(inbox.position(&streams[1]), Some(Position::new(7, last)));
        assert!(inbox.crowded.is_empty() && inbox.untaken.is_empty());
    }

    #[test]
    fn a_stream_that_starts_over_leaves_nothing_of_its_crowd() {
        let (mut inbox, news) = inbox();
        assert!(inbox.go_on(None, AT_5, true));
        for offset in 6..=6 + MAX_RUNS as u64 {
            inbox.tell_of(&None, Position::new(7, offset));
            inbox.tell_of(&news, Position::new(7, offset));
        }
        assert_eq!(inbox.crowded.len(), 2, "one entry for each stream");
        inbox.start(news.clone(), Position::new(8, 1), true);
        inbox.forget(&None);
        assert!(inbox.crowded.is_empty());
        inbox.take(u64::MAX);
        assert_eq!(inbox.position(&news), Some(Position::new(8, 1)), "of the new epoch");
    }

    #[test]
    fn i32_offsets_end_without_a_panic() {
        let (mut inbox, stream) = inbox();
        inbox.start(stream.clone(), Position::new(7, u64::MAX - 1), true);
        for expected in [Arrival::New(Position::new(7, u64::MAX)), Arrival::Duplicate] {
            assert_eq!(inbox.arrived(&stream, u64::MAX), expected);
            inbox.tell_of(&stream, Position::new(7, u64::MAX));
        }
        inbox.take(2);
        assert_eq!(inbox.position(&stream), Some(Position::new(7, u64::MAX)));
    }
}
