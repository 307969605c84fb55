//! The last answer of each endpoint, reported when the link ends because all of them answered
//! *stop*.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{Address, Event};
use crate::link::{ClosedReason, Endpoint, Reason};

/// The last answer of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "who, and what")]
pub struct Answer {
    /// The configured address.
    pub address: Address,
    /// What happened.
    pub reason: Reason,
    /// What happened in detail, for display.
    pub detail: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, reason, detail } = self;
        if detail.is_empty() {
            write!(f, "{address}: {reason}")
        } else {
            write!(f, "{address}: {reason}: {detail}")
        }
    }
}

/// The last answer of each endpoint, by its index.
#[derive(Debug, Default)]
pub(super) struct Answers {
    asked: u8,
    last: Vec<Option<(Reason, String)>>,
    /// The answers because of which the link ended.
    at_the_end: Vec<Answer>,
}

impl Answers {
    /// Records which endpoint is dialed now.
    pub(super) fn ask(&mut self, endpoint: Endpoint) {
        self.at_the_end.clear();
        if let Endpoint::Configured(index) = endpoint {
            self.asked = index;
        }
    }

    /// Records that this endpoint failed.
    pub(super) fn record(&mut self, reason: Reason, detail: &str) {
        if reason.is_of_endpoint() {
            let index = usize::from(self.asked);
            if self.last.len() <= index {
                self.last.resize(index + 1, None);
            }
            self.last[index] = Some((reason, String::from(detail)));
        }
    }

    /// Returns all answers, if the link ends because of them.
    pub(super) fn at_the_end(&mut self, end: ClosedReason, addresses: &[Address]) -> Option<Event> {
        let last = core::mem::take(&mut self.last);
        let ClosedReason::Stopped { reason, .. } = end else { return None };
        if reason.holds_everywhere() || addresses.len() < 2 {
            return None;
        }
        let answers = addresses.iter().zip(last).filter_map(|(address, answer)| {
            answer.map(|(reason, detail)| Answer { address: address.clone(), reason, detail })
        });
        self.at_the_end = answers.collect();
        Some(Event::EndpointsFailed { answers: self.at_the_end.clone() })
    }

    pub(super) fn of_the_end(&self) -> &[Answer] {
        &self.at_the_end
    }
}
