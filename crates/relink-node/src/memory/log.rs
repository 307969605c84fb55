//! The kept part of one stream.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::{HistoryConfig, Publication};
use relink::{Instant, Message, Position};

use super::ledger::{self, Ledger};

/// The last messages of a stream, oldest first.
#[derive(Debug, Clone)]
pub(super) struct Log {
    epoch: u32,
    top: u64,
    kept: VecDeque<Kept>,
    bytes: usize,
    /// The user who created it.
    pub(super) by: Option<Arc<str>>,
    /// When it was last written to or read.
    touched: Instant,
    /// When it is checked next: its entry in the order of time.
    pub(super) due: Instant,
}

#[derive(Debug, Clone)]
struct Kept {
    at: Instant,
    message: Message,
    /// The user who sent it; `None` for the application.
    by: Option<Arc<str>>,
}

impl Log {
    pub(super) const fn new(epoch: u32, by: Option<Arc<str>>, due: Instant, now: Instant) -> Self {
        Self { epoch, top: 0, kept: VecDeque::new(), bytes: 0, by, touched: now, due }
    }

    pub(super) const fn top(&self) -> Position {
        Position::new(self.epoch, self.top)
    }

    pub(super) const fn touch(&mut self, now: Instant) {
        self.touched = now;
    }

    pub(super) fn append(
        &mut self,
        message: Message,
        by: Option<Arc<str>>,
        config: &HistoryConfig,
        ledger: &mut Ledger,
        now: Instant,
    ) -> Publication {
        self.touched = now;
        self.top = self.top.saturating_add(1);
        self.bytes = self.bytes.saturating_add(message.len());
        ledger.keep(ledger::size(&message), by.as_ref());
        self.kept.push_back(Kept { at: now, message: message.clone(), by });
        while self.kept.len() > config.max_messages
            || (self.bytes > config.max_bytes && self.kept.len() > 1)
        {
            self.forget_oldest(ledger);
        }
        Publication { offset: self.top, message }
    }

    /// The messages after a position, without a gap; `None` if that is not known.
    pub(super) fn since(&self, after: Position, limit: usize) -> Option<Vec<Publication>> {
        let forgotten = self.top.saturating_sub(self.kept.len() as u64);
        if after.epoch != self.epoch || after.offset > self.top || after.offset < forgotten {
            return None;
        }
        let skipped = usize::try_from(after.offset - forgotten).unwrap_or(usize::MAX);
        // Skipped before numbering: the other way round, each skipped message would be visited.
        let missed = self.kept.iter().skip(skipped).take(limit);
        Some(
            missed
                .zip(after.offset.saturating_add(1)..)
                .map(|(kept, offset)| Publication { offset, message: kept.message.clone() })
                .collect(),
        )
    }

    /// Removes what is too old; returns when to check again, or `None` if nothing is left and the
    /// stream was not used for long.
    pub(super) fn expire(
        &mut self,
        config: &HistoryConfig,
        ledger: &mut Ledger,
        pinned: bool,
        now: Instant,
    ) -> Option<Instant> {
        while self.kept.front().is_some_and(|kept| kept.at + config.max_age <= now) {
            self.forget_oldest(ledger);
        }
        if let Some(at) = self.looks_at(config) {
            return Some(at);
        }
        // An empty stream costs little, and keeps the positions of clients that were away.
        let idle_until = self.touched + config.max_age.saturating_mul(2);
        if idle_until > now {
            return Some(idle_until);
        }
        pinned.then(|| now + config.max_age)
    }

    /// When its oldest message expires.
    pub(super) fn looks_at(&self, config: &HistoryConfig) -> Option<Instant> {
        self.kept.front().map(|kept| kept.at + config.max_age)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub(super) fn kept(&self) -> (usize, usize) {
        (self.kept.len(), self.bytes)
    }

    /// Returns true if there was one.
    pub(super) fn forget_oldest(&mut self, ledger: &mut Ledger) -> bool {
        let Some(Kept { message, by, .. }) = self.kept.pop_front() else { return false };
        self.bytes = self.bytes.saturating_sub(message.len());
        ledger.forget(ledger::size(&message), by.as_ref());
        true
    }
}
