//! `--json`: one object a line. An interface; `docs/json-lines.md` describes it, and the tests hold it.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use relink::profile::Change;
use relink::{
    Channel, CloseCode, DropReason, Event, Member, Message, PresenceEvent, Problem, Receipt, Shown, Text,
};
use serde::Serialize;

use crate::output::Line;
use crate::words::{cause, symbol};

/// One line.
#[derive(Serialize)]
struct Told<'a> {
    /// Milliseconds since the start.
    t: u64,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum What<'a> {
    State {
        from: &'static str,
        to: &'static str,
        reason: &'static str,
    },
    ProfileState {
        from: &'static str,
        to: &'static str,
        reason: Option<&'static str>,
    },
    Dial {
        attempt: u32,
        url: String,
    },
    Connected {
        is_reconnect: bool,
    },
    Message {
        #[serde(flatten)]
        place: Place<'a>,
        #[serde(flatten)]
        content: Content<'a>,
    },
    Sent {
        id: u64,
    },
    Acknowledged {
        id: u64,
    },
    Rejected {
        id: Receipt,
        #[serde(flatten)]
        problem: Trouble<'a>,
    },
    TooLarge {
        id: Receipt,
        size: usize,
    },
    Withheld {
        #[serde(flatten)]
        place: Place<'a>,
        #[serde(flatten)]
        problem: Trouble<'a>,
    },
    InDoubt {
        id: u64,
    },
    Resumed {
        complete: bool,
    },
    ResumeRefused {
        #[serde(flatten)]
        problem: Trouble<'a>,
    },
    Subscribed {
        channel: &'a str,
        complete: bool,
    },
    Unsubscribed {
        channel: &'a str,
        #[serde(flatten)]
        problem: Trouble<'a>,
        retry_in_ms: Option<u64>,
    },
    Joined(Present<'a>),
    Updated(Present<'a>),
    Left(Present<'a>),
    StayBegan(Present<'a>),
    StayEnded(Present<'a>),
    Dropped {
        id: u64,
        why: DropReason,
    },
    Disconnected {
        code: CloseCode,
        reason: String,
        will_reconnect: bool,
        retry_in_ms: Option<u64>,
    },
    AttemptFailed {
        attempt: u32,
        reason: String,
        will_retry: bool,
        retry_in_ms: Option<u64>,
    },
    TokenError {
        consecutive_failures: u32,
    },
    GoingAway {
        retry_after_ms: u64,
    },
    Stuck,
    Missed {
        count: u64,
    },
    Closed {
        reason: &'static str,
        code: Option<CloseCode>,
    },
}

/// Where a message stands; nothing for one that has no channel.
#[derive(Serialize, Default)]
struct Place<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Content<'a> {
    Text(&'a str),
    Base64(String),
}

/// A symbol for programs, a sentence for people.
#[derive(Serialize)]
struct Trouble<'a> {
    problem: &'a str,
    detail: &'a str,
}

/// Somebody in a channel.
#[derive(Serialize)]
struct Present<'a> {
    channel: &'a str,
    user: &'a str,
    join: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<&'a str>,
}

impl<'a> From<&'a Message> for Content<'a> {
    fn from(message: &'a Message) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.as_str()),
            Message::Binary(bytes) => Self::Base64(BASE64_STANDARD.encode(bytes)),
        }
    }
}

impl<'a> From<&'a Problem> for Trouble<'a> {
    fn from(Problem { name, detail }: &'a Problem) -> Self {
        Self { problem: name, detail }
    }
}

impl<'a> Present<'a> {
    fn new(channel: &'a Channel, Member { user, join, info }: &'a Member) -> Self {
        Self { channel: channel.as_str(), user, join, info: info.as_ref().map(Text::as_str) }
    }
}

/// The lines that tell of an event; none where a program has no use for it.
pub(crate) fn lines(at: Duration, event: &Event) -> Vec<Line> {
    let line = |what| {
        let told = Told { t: millis(at), what };
        // Text and numbers: there is nothing that JSON could not hold.
        Line::Out(serde_json::to_string(&told).unwrap_or_default())
    };
    let each = |first: &Receipt, last: &Receipt, what: &dyn Fn(u64) -> What<'static>| {
        (first.0..=last.0).map(|id| line(what(id))).collect()
    };
    if let Event::Sent { first, last } = event {
        each(first, last, &|id| What::Sent { id })
    } else if let Event::Acknowledged { first, last } = event {
        each(first, last, &|id| What::Acknowledged { id })
    } else if let Event::InDoubt { first, last, .. } = event {
        each(first, last, &|id| What::InDoubt { id })
    } else if let Event::Dropped { first, last, why, .. } = event {
        each(first, last, &|id| What::Dropped { id, why: *why })
    } else {
        what(event).map(line).into_iter().collect()
    }
}

/// The line that tells of a change in a profile's own words.
pub(crate) fn in_other_words(at: Duration, change: Change) -> Line {
    let Change { from, to, reason, .. } = change;
    let told = Told { t: millis(at), what: What::ProfileState { from, to, reason } };
    Line::Out(serde_json::to_string(&told).unwrap_or_default())
}

fn what(event: &Event) -> Option<What<'_>> {
    Some(match event {
        Event::State { from, to, reason } => {
            let (from, to) = (from.status(), to.status());
            if from == to {
                return None;
            }
            What::State { from: from.name(), to: to.name(), reason: symbol(*reason) }
        }
        Event::Dialing { attempt, address } => What::Dial { attempt: *attempt, url: address.to_string() },
        Event::Connected { is_reconnect } => What::Connected { is_reconnect: *is_reconnect },
        Event::Message(message) => What::Message { place: Place::default(), content: message.into() },
        Event::Publication { channel, position, message } => {
            let place = Place { channel: Some(channel.as_str()), offset: Some(position.offset) };
            What::Message { place, content: message.into() }
        }
        Event::Rejected { receipt, problem, .. } => What::Rejected { id: *receipt, problem: problem.into() },
        Event::TooLarge { receipt, size } => What::TooLarge { id: *receipt, size: *size },
        Event::Withheld { channel, position, problem } => {
            let place =
                Place { channel: channel.as_ref().map(Channel::as_str), offset: Some(position.offset) };
            What::Withheld { place, problem: problem.into() }
        }
        Event::Resumed { complete } => What::Resumed { complete: *complete },
        Event::ResumeRefused { problem } => What::ResumeRefused { problem: problem.into() },
        Event::Subscribed { channel, complete } => {
            What::Subscribed { channel: channel.as_str(), complete: *complete }
        }
        Event::Unsubscribed { channel, problem, retry_in } => What::Unsubscribed {
            channel: channel.as_str(),
            problem: problem.into(),
            retry_in_ms: retry_in.map(millis),
        },
        Event::Presence { channel, change } => match change {
            PresenceEvent::Joined(member) => What::Joined(Present::new(channel, member)),
            PresenceEvent::Updated(member) => What::Updated(Present::new(channel, member)),
            PresenceEvent::Left(member) => What::Left(Present::new(channel, member)),
            PresenceEvent::StayBegan(member) => What::StayBegan(Present::new(channel, member)),
            PresenceEvent::StayEnded(member) => What::StayEnded(Present::new(channel, member)),
        },
        Event::Disconnected { code, detail, reason, retry_in } => What::Disconnected {
            code: *code,
            reason: cause(*reason, detail),
            will_reconnect: retry_in.is_some(),
            retry_in_ms: retry_in.map(millis),
        },
        Event::AttemptFailed { attempt, reason, detail, retry_in } => What::AttemptFailed {
            attempt: *attempt,
            reason: cause(*reason, detail),
            will_retry: retry_in.is_some(),
            retry_in_ms: retry_in.map(millis),
        },
        Event::TokenError { consecutive_failures, .. } => {
            What::TokenError { consecutive_failures: *consecutive_failures }
        }
        Event::GoingAway { retry_after } => What::GoingAway { retry_after_ms: millis(*retry_after) },
        Event::Shown(Shown::Stuck(true)) => What::Stuck,
        Event::Missed { count } => What::Missed { count: *count },
        Event::Closed { reason } => What::Closed { reason: reason.name(), code: reason.code() },
        Event::Shown(_) | _ => return None,
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_read_in_time_is_counted() {
        let told = lines(Duration::from_millis(1_234), &Event::Missed { count: 7 });
        assert_eq!(told, [Line::Out(r#"{"t":1234,"event":"missed","count":7}"#.to_owned())]);
    }
}
