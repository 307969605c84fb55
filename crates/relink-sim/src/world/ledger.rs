//! The facts, seen from outside: everything that was ever published, what each application took of
//! it, and the fate of each sent message. It judges, and no other part knows of it.

use std::collections::BTreeMap;

use relink::session::DropReason;
use relink::{Event, Message, Position, Priority};
use relink_node::{StoreEvent, Stream};

/// A message of a client: which client, which of its lives, which receipt there.
pub(super) type Key = (usize, u32, u64);

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Acknowledged,
    Rejected,
    InDoubt,
    Dropped(DropReason),
    /// The client's process ended before it was reported.
    Untold,
}

#[derive(Debug)]
struct Sent {
    tag: String,
    priority: Priority,
    fate: Option<Fate>,
}

/// Marks the second half of an effect; both halves belong together.
pub(super) const SECOND: char = '*';

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The first rule that was broken.
    pub(super) broken: Option<String>,
    published: BTreeMap<(Stream, u32), Vec<Message>>,
    sent: BTreeMap<Key, Sent>,
    tags: BTreeMap<String, Key>,
    /// How often each half of an effect is in the log.
    effects: BTreeMap<String, u32>,
    /// The last receipt of each client and priority that had its effect.
    order: BTreeMap<(usize, u32, Priority), u64>,
    /// How far each application is in each stream that it follows.
    cursors: BTreeMap<(usize, Stream), Position>,
    pub(super) taken: u64,
}

impl Ledger {
    pub(super) fn blame(&mut self, what: impl Into<String>) {
        if self.broken.is_none() {
            self.broken = Some(what.into());
        }
    }

    // Events of the store.

    /// The store has appended a message.
    pub(super) fn news(&mut self, news: &StoreEvent) {
        let StoreEvent::Published { stream, epoch, publication } = news else { return };
        let log = self.published.entry((stream.clone(), *epoch)).or_default();
        log.push(publication.message.clone());
        if log.len() as u64 != publication.offset {
            self.blame(format!("the store gave {stream:?} the offset {}", publication.offset));
        }
        let tag = String::from_utf8_lossy(publication.message.as_bytes()).into_owned();
        let times = self.effects.entry(tag.clone()).or_default();
        *times += 1;
        if *times > 1 {
            self.blame(format!("i26: {tag} had its effect twice"));
        }
        let Some(key) = self.tags.get(&tag).copied() else { return };
        let Some(sent) = self.sent.get(&key) else { return };
        let (client, life, receipt) = key;
        let last = self.order.insert((client, life, sent.priority), receipt).unwrap_or(0);
        if last >= receipt {
            self.blame(format!(
                "i21: {tag} (receipt {receipt}) had its effect after receipt {last}"
            ));
        }
    }

    /// Whether the effect of a message is in the log.
    pub(super) fn had_effect(&self, message: &Message) -> bool {
        self.effects.contains_key(&*String::from_utf8_lossy(message.as_bytes()))
    }

    // Actions and events of a client's application.

    pub(super) fn sent(&mut self, key: Key, tag: String, priority: Priority) {
        self.tags.insert(tag.clone(), key);
        self.sent.insert(key, Sent { tag, priority, fate: None });
    }

    /// The fates of messages in an event.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "most events are about no message of the application"
    )]
    pub(super) fn heed(&mut self, client: usize, life: u32, event: &Event) {
        match event {
            Event::Acknowledged { first, last } => {
                (first.0..=last.0)
                    .for_each(|receipt| self.fate((client, life, receipt), Fate::Acknowledged));
            }
            Event::Rejected { receipt, .. } => self.fate((client, life, receipt.0), Fate::Rejected),
            Event::InDoubt { first, last, .. } => {
                (first.0..=last.0)
                    .for_each(|receipt| self.fate((client, life, receipt), Fate::InDoubt));
            }
            // One that is dropped at once is reported before `send` has returned.
            Event::Dropped { first, last, why, .. } => {
                (first.0..=last.0)
                    .for_each(|receipt| self.fate((client, life, receipt), Fate::Dropped(*why)));
            }
            _ => {}
        }
    }

    fn fate(&mut self, key: Key, fate: Fate) {
        match self.sent.get_mut(&key) {
            Some(Sent { fate: known @ None, .. }) => *known = Some(fate),
            Some(Sent { fate: Some(known), tag, .. }) => {
                let two = format!("i21: {tag} has two fates: {known:?}, then {fate:?}");
                self.blame(two);
            }
            None => self.blame(format!("i21: {fate:?} is told of {key:?}, which was never sent")),
        }
    }

    /// The process is gone, and will not learn the fate of its messages.
    pub(super) fn gone(&mut self, client: usize, life: u32) {
        for (_, sent) in self.sent.range_mut((client, life, 0)..=(client, life, u64::MAX)) {
            sent.fate.get_or_insert(Fate::Untold);
        }
    }

    /// An application follows a stream from here on.
    pub(super) fn begin(&mut self, client: usize, stream: Stream, position: Position) {
        self.cursors.insert((client, stream), position);
    }

    pub(super) fn forget(&mut self, client: usize, stream: &Stream) {
        self.cursors.remove(&(client, stream.clone()));
    }

    pub(super) fn cursor(&self, client: usize, stream: &Stream) -> Option<Position> {
        self.cursors.get(&(client, stream.clone())).copied()
    }

    /// An application takes a message; a channel's has a position, the session's own has none.
    pub(super) fn take(
        &mut self,
        client: usize,
        stream: &Stream,
        at: Option<Position>,
        message: &Message,
    ) {
        self.taken += 1;
        let Some(cursor) = self.cursors.get_mut(&(client, stream.clone())) else {
            return self.blame(format!(
                "client {client} took a message of {stream:?}, which it does not follow"
            ));
        };
        let (before, next) = (*cursor, Position::new(cursor.epoch, cursor.offset + 1));
        *cursor = next;
        if at.is_some_and(|at| at != next) {
            return self.blame(format!(
                "i26: client {client} took {at:?} of {stream:?} after {before:?}, and was told of no gap"
            ));
        }
        let log = self.published.get(&(stream.clone(), next.epoch));
        let true_one = log.and_then(|log| log.get(usize::try_from(next.offset - 1).ok()?));
        if true_one != Some(message) {
            let took = String::from_utf8_lossy(message.as_bytes());
            self.blame(format!(
                "i26: client {client} took {took:?} as {next:?} of {stream:?}: not what is there"
            ));
        }
    }

    // The end.

    /// Every message has one fate, and its effect agrees with it.
    pub(super) fn close(&mut self) {
        let mut wrong = Vec::new();
        for (key, Sent { tag, fate, .. }) in &self.sent {
            let times = self.effects.get(tag).copied().unwrap_or(0);
            let second = self.effects.get(&format!("{tag}{SECOND}")).copied();
            if second.is_some_and(|second| second != times) {
                wrong.push(format!("one half of the effect of {tag} is missing"));
            }
            let fits = match fate {
                Some(Fate::Acknowledged) => times == 1,
                Some(Fate::Dropped(_) | Fate::Rejected) => times == 0,
                Some(Fate::InDoubt | Fate::Untold) => times <= 1,
                None => false,
            };
            if !fits {
                wrong.push(format!(
                    "i21: {tag} ({key:?}) came to {fate:?}, and had its effect {times} times"
                ));
            }
        }
        wrong.into_iter().for_each(|wrong| self.blame(wrong));
    }

    pub(super) fn too_large(&self) -> usize {
        let is_too_large =
            |sent: &&Sent| matches!(sent.fate, Some(Fate::Dropped(DropReason::TooLarge { .. })));
        self.sent.values().filter(is_too_large).count()
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.sent.values().filter(|sent| sent.fate == Some(Fate::Acknowledged)).count()
    }
}
